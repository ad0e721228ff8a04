/* router/s2s.h - the s2s manager: which link carries a stanza to a domain of another server.
 * A link is for a pair of domains, one of ours and one of theirs; with `max_s2s_connections` a pair
 * has several, and which one a stanza takes depends on its addresses alone, so that order is kept.
 * Each link lives on one shard, picked by its names; whoever has a stanza for it posts it there,
 * and there alone it is looked up, opened, queued for and given up: without a lock. What it is
 * carried by is net's: an outgoing stream (net/s2s_out.h), which the manager asks for through
 * struct s2s_opener, or an incoming one that goes both ways (XEP-0288).
 *
 * Every stanza leaves through a link once, or its sender gets an error once; errors and results
 * that cannot leave are dropped, as RFC 6120 §8.3.1 asks. */
#pragma once

#include "core/actor.h"
#include "core/attr.h"
#include "xml/stanza.h"

struct host;

/* --- for the router, and for whoever gives a stanza back --- */

/* Before anything else is done about a stanza that s2s_route() is going to get: a message is put
 * into the spool (router/s2s_spool.h). False: there is no room, and its sender is told. */
ON_SHARD bool s2s_accept(struct stanza *s);
/* A sealed stanza whose `to` is no domain of ours. Does not take s. */
ON_SHARD void s2s_route(struct stanza *s);

/* --- policy --- */

/* The setting s2s_use_starttls of a host. */
enum s2s_starttls { S2S_TLS_NO, S2S_TLS_OPTIONAL, S2S_TLS_REQUIRED, S2S_TLS_REQUIRED_TRUSTED };
/* Whose settings hold for a domain of ours: the host itself, or, of a service, the host that its
 * domain stands under, or the first. Good until the thread's next quiescent state; NULL: there is
 * no host. */
struct host *s2s_host(const char *ours);
/* Whether its rule s2s_access lets a domain of ours speak with that one, in either direction. */
ANY_THREAD bool s2s_allowed(const char *ours, const char *theirs);

/* --- for incoming streams that go both ways: XEP-0288 --- */

/* From now on what is for theirs from ours may go to link, an actor whose class has a recipient
 * (router/deliver.h), unless a stream of our own is established. What waits for such a one goes to
 * it at once. Stanzas that its receive() refuses come back to the manager by themselves; what its
 * stream gives back unsent, it gives to s2s_give_back(), oldest first.
 *
 * Order is kept when the way changes: the stream before is asked to give back (replaced()), and
 * what comes for the pair waits until all that has come back is on its way. */
ANY_THREAD void s2s_link_add(const char *ours, const char *theirs, struct actor_id link);
/* Before its first refusal and before it gives anything back. Unknown is fine. */
ANY_THREAD void s2s_link_remove(const char *ours, const char *theirs, struct actor_id link);
/* What it was given and has not sent. Does not take s. */
ON_SHARD void s2s_give_back(struct stanza *s, struct actor_id by);

/* --- for the server's start and end, and for its operator; threads that may block --- */

struct s2s_link; /* router/s2s_link.h */
/* Every link that is remembered, on its shard; fn is quick. */
void s2s_each(void (*fn)(const struct s2s_link *l, void *arg), void *arg);
/* From within that: how its way out is connected, for the caller to free, where there is one; and
 * what that was sent and has not acknowledged. */
ON_SHARD char *s2s_describe(const struct s2s_link *l);
ON_SHARD unsigned s2s_unacked(const struct s2s_link *l);
/* Ends the links to theirs (NULL: all). What waits for them gets an error. How many there were. */
unsigned s2s_close(const char *theirs);
/* The rules or settings have changed: links that are not allowed any more end, and those that have
 * failed may be tried again. */
void s2s_recheck(void);
ANY_THREAD int64_t s2s_count(void); /* links that are established */
/* What a process before has left in the spool waits, before all else, for s2s_start(), as does what
 * comes until then. Once; after s2s_spool_find(). */
void s2s_restore(void);
/* Links carry what comes, and what has been put by. */
void s2s_start(void);
/* Ends all links and forgets them; what they have not sent, and what comes from then on, is put by
 * until s2s_start(). */
void s2s_pause(void);
/* The same, but what is not in the spool comes back to its senders. */
void s2s_stop(void);
