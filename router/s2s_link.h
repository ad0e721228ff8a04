/* router/s2s_link.h - one link of the s2s manager, as the manager and who carries its stanzas see
 * it (net/s2s_out.c). All of it is for the link's own shard.
 *
 * A link is idle until a stanza comes for it. Then it asks its opener for a way out and keeps what
 * comes meanwhile. The way is open, or there is none:
 *
 *   idle -> opening -> up -> idle          s2s_link_up(), s2s_link_down()
 *              |        ^
 *           retrying ---'                  after a failure, until it may be tried again
 *
 * Whatever the way out has not sent it gives back with s2s_link_unsent() before s2s_link_down(),
 * oldest first. A stanza given back goes out by the next way before all others; the second time its
 * sender gets an error. */
#pragma once

#include <urcu/list.h>

#include "core/actor.h"
#include "core/attr.h"
#include "core/timer.h"
#include "router/s2s_queue.h"
#include "router/s2s_spool.h"
#include "router/s2s_trace.h"
#include "xml/stanza.h"

enum s2s_link_state { S2S_IDLE, S2S_OPENING, S2S_UP, S2S_RETRYING };

struct s2s_link {
	struct cds_list_head in_bucket; /* of the shard's table */
	struct cds_list_head by_use; /* idle ones, the latest last */
	uint32_t hash; /* of the pair */
	unsigned index; /* 0 to max_s2s_connections - 1 */
	const char *ours, *theirs; /* owned; prepared domains */
	uint8_t state;
	bool on_incoming; /* stanzas go to the incoming stream */
	struct actor_id incoming; /* one that goes both ways, or ACTOR_NONE */
	bool fenced; /* one before it may still give something back */
	struct s2s_queue returned, held; /* then: what it gave back; what came since */
	void *out; /* the opener's; NULL: none */
	struct s2s_queue queue; /* empty when up */
	struct s2s_queue back; /* given back by a way that is about to be gone */
	uint64_t handed; /* stanzas given to this way out */
	uint64_t handed_again; /* of them the first so many had been given back before */
	struct timer timer; /* the oldest has waited too long; it may be tried again; idle */
	unsigned failures; /* in a row */
	int error; /* enum stanza_error of the last one */
	char *why; /* owned: what went wrong, for the operator */
	char *told; /* owned: what senders are told of it */
	uint64_t since_ms; /* in this state, wall clock */
	uint64_t sent; /* stanzas, in all */
	struct s2s_trace trace; /* what was tried last */
};

/* Who opens ways out. One for the process; none: no server is found. */
struct s2s_opener {
	/* Begins; returns what l->out is then, never NULL. s2s_link_up() or s2s_link_down()
	 * follows, never from within. */
	void *(*open)(struct s2s_link *l);
	/* The same for a stream that a process before has left: the link is up, and found's
	 * messages of that stream are under way by it. Takes the record, and those messages. It
	 * begins with wanted(). May be NULL. */
	void *(*restore)(
		struct s2s_link *l, struct s2s_found_stream *stream, struct s2s_found *found);
	/* A stanza came for a link that is opening. May be NULL. */
	void (*wanted)(void *out);
	/* The link is up: memory that waits in it, which its peer does not read. May be NULL. */
	uint64_t (*held_bytes)(void *out);
	/* The link is up. Does not take s. */
	void (*send)(void *out, struct stanza *s);
	/* It ends by itself: l knows it no more, nor it l. What it has not sent it gives to
	 * s2s_route(). */
	void (*close)(void *out);
	/* Stanzas that it was sent and has not acknowledged (XEP-0198). May be NULL. */
	unsigned (*unacked)(void *out);
	/* For people: how it is connected. The caller frees; may be NULL. */
	char *(*describe)(void *out);
};
void s2s_set_opener(const struct s2s_opener *o); /* main, before there are stanzas; NULL: none */

/* The established way out: what waited leaves. */
ON_SHARD void s2s_link_up(struct s2s_link *l);
/* Does not take s. */
ON_SHARD void s2s_link_unsent(struct s2s_link *l, struct stanza *s);
/* It is gone, or could not be opened. error: what senders are told (enum stanza_error), with told;
 * NULL: a sentence that fits the error. why is the operator's, with whatever it names. Both are
 * copied. error 0: it ended in order, and may be opened again at once. */
ON_SHARD void s2s_link_down(struct s2s_link *l, int error, const char *told, const char *why);
/* An error to its sender, once, in place of its leaving. */
ON_SHARD void s2s_bounce(struct stanza *s, int error, const char *why);
/* Whether it would send something as soon as it is up. */
static inline bool s2s_link_waits(const struct s2s_link *l)
{
	return l->queue.n != 0;
}

/* The link with index 0 of that pair, made if need be, with a way out that is up or opening: also
 * where one has just failed. NULL: there are too many links. On the shard s2s_home() says. */
ON_SHARD struct s2s_link *s2s_link_wanted(const char *ours, const char *theirs);
ANY_THREAD struct shard *s2s_home(const char *ours, const char *theirs);
