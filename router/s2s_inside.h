/* router/s2s_inside.h - what the files of the s2s manager share: s2s_table.c has the links of each
 * shard, s2s_link.c is what becomes of one, s2s.c a stanza's way to it, s2s_life.c the start and
 * the end. */
#pragma once

#include <stdatomic.h>
#include <urcu/list.h>

#include "core/errand.h"
#include "router/s2s_link.h"

/* --- s2s_table.c */

#define S2S_BUCKETS 256 /* of one shard */
/* The links of one shard, which alone looks at them. */
struct s2s_table {
	struct cds_list_head buckets[S2S_BUCKETS];
	struct cds_list_head idle; /* by use */
	unsigned n, n_idle;
	struct s2s_queue put_by; /* while it is not open */
	bool begun;
	bool open; /* its links carry what comes */
	bool touring; /* s2s_tour() walks through it: none goes */
};
ANY_THREAD uint32_t s2s_pair_hash(const char *ours, const char *theirs);
/* Where the link of a pair with that hash is. */
ANY_THREAD struct shard *s2s_home_of(uint32_t hash, unsigned index);
ON_SHARD struct s2s_table *s2s_table_own(void);
/* NULL: there is none. */
ON_SHARD struct s2s_link *s2s_table_find(
	struct s2s_table *h, uint32_t hash, unsigned index, const char *ours, const char *theirs);
/* The shard's own, held. NULL: there are too many. */
ON_SHARD struct s2s_link *s2s_table_have(
	uint32_t hash, unsigned index, const char *ours, const char *theirs);
/* Something is about to be done with it, and s2s_table_settle() follows: it does not go meanwhile.
 */
ON_SHARD void s2s_table_hold(struct s2s_table *h, struct s2s_link *l);
/* If it is idle, it may go from now on. */
ON_SHARD void s2s_table_settle(struct s2s_link *l);
ON_SHARD void s2s_table_forget(struct s2s_table *h, struct s2s_link *l); /* frees it */

/* Something to do with every link of every shard, one shard after the other. */
struct s2s_tour {
	struct errand errand;
	void (*fn)(struct s2s_link *l, struct s2s_tour *t);
	void (*look)(const struct s2s_link *l, void *arg);
	void *arg;
	const char *theirs;
	unsigned n;
};
void s2s_tour(struct s2s_tour *t); /* not on a shard; returns when all have been seen */

/* --- s2s_link.c */

extern const struct s2s_opener *s2s_opener; /* NULL: none */
extern const char s2s_too_much[];
ON_SHARD void s2s_link_enter(struct s2s_link *l, enum s2s_link_state state);
enum s2s_taking { TAKE_ANEW, TAKE_ACCEPTED }; /* it was taken on before */
ON_SHARD void s2s_link_send(struct s2s_link *l, struct stanza *s, enum s2s_taking taking);
/* What waits goes by the incoming stream from now on, and so does what comes. */
ON_SHARD void s2s_link_turn_to_incoming(struct s2s_link *l);
/* The way out lives on by itself. */
ON_SHARD void s2s_link_let_out_go(struct s2s_link *l);
ON_SHARD bool s2s_link_is_queue_full(const struct s2s_queue *q);
void s2s_link_time_is_up(struct timer *t); /* of its timer */
/* An error for each of them, which leave the queue. */
ON_SHARD void s2s_bounce_all(struct s2s_queue *q, int error, const char *why);
/* For s2s_start(). False: there is no room, and no record of it in the spool. */
ON_SHARD bool s2s_put_by(struct stanza *s);

/* --- s2s.c */

/* Which of the links of a pair. */
ANY_THREAD unsigned s2s_index_of(const struct stanza *s);
/* At its link's shard. refused_by: the stream that has given it back, or ACTOR_NONE. */
ON_SHARD void s2s_arrive(struct stanza *s, uint32_t hash, unsigned index,
	struct actor_id refused_by, enum s2s_taking taking);
ON_SHARD void s2s_route_again(struct stanza *s, struct actor_id refused_by);

/* --- s2s_life.c */

extern const char s2s_shutting_down[];
extern _Atomic bool s2s_stopping; /* or paused */
extern _Atomic bool s2s_stopped; /* for what is not in the spool that is the end */
/* Links that came now would be nobody's to end. */
ANY_THREAD static inline bool s2s_is_stopping(void)
{
	return atomic_load_explicit(&s2s_stopping, memory_order_relaxed);
}
