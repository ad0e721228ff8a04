/* router/deliver.h - a stanza's last step inside the server: to the actor that receives it.
 * The receiver is named by id. On its own shard it is called at once; elsewhere the stanza hops as
 * a letter with one reference. A receiver that is gone meanwhile is an ordinary answer: a message
 * that none of its receivers got is routed again, a request is answered service-unavailable. */
#pragma once

#include "core/actor.h"
#include "core/attr.h"
#include "xml/stanza.h"

struct acks;
struct session;

enum deliver_copies {
	DELIVER_SURE, /* when none of its receivers gets it, it is routed again or answered */
	DELIVER_COPY, /* when this receiver is gone, that is all */
};

/* What the class of an actor that can receive stanzas points to. */
struct recipient {
	/* On the actor's shard. Does not take s: keeps a reference of its own if it needs one.
	 * False: it is on its way out, has left the directory, and has not received it. */
	bool (*receive)(struct actor *a, struct stanza *s, enum deliver_copies copies);
	/* Of a stream from another server: what is for theirs from ours goes by another way from
	 * now on. What it was given for them and cannot send it gives back (router/s2s.h) before it
	 * returns. NULL: there is never such. */
	void (*replaced)(struct actor *a, const char *ours, const char *theirs);
	/* Its session, when it is bound; NULL otherwise. */
	struct session *(*session)(struct actor *a);
	/* Its acknowledgements (router/acks.h), of one that has them without a session; NULL: those
	 * of its session. */
	struct acks *(*acks)(struct actor *a);
	/* Memory that is held by what it has received and its client has not, about. NULL: none. */
	uint64_t (*held_bytes)(struct actor *a);
};
/* Sealed stanzas only. Does not take s. */
ON_SHARD void deliver(struct actor_id to, struct stanza *s, enum deliver_copies copies);
/* Before s goes to n receivers as DELIVER_SURE, if to more than one. */
void deliver_to_several(struct stanza *s, unsigned n);
/* What happens to a stanza whose receiver was gone, or went before it had read it: once the last of
 * its receivers has failed, it goes back to the router. Not taken. */
ON_SHARD void deliver_failed(struct stanza *s, enum deliver_copies copies);
/* deliver() as a copy, from any thread, for answers to a stream that is not bound yet. */
ANY_THREAD void deliver_to(struct actor_id to, struct stanza *s);
/* Something for that shard is about to be posted on a stanza's way by somebody else. */
ON_SHARD void deliver_hops_to(const struct shard *there);
/* True when a shard this turn delivered to has fallen far behind: whoever reads from a socket
 * should rest until the next turn. Asking clears it. */
ON_SHARD bool deliver_congested(void);
