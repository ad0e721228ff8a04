/* core/shard.h - one event loop, one thread, one core's share of all connections.
 * A turn: run what epoll brought, take the whole mailbox, run due timers, run what asked for the
 * end of the turn (each connection with output writes once), ring the bells of the shards that got
 * mail, report quiescence to RCU, sleep. A shard never blocks. A handler over 20 ms is logged with
 * its name and counted. */
#pragma once

#include <sys/epoll.h>
#include <urcu/list.h>

#include "core/attr.h"
#include "core/mailbox.h"

struct shard;
#define SHARDS_MAX 250

/* So many cache lines from there on will be needed. Any address will do, 0 too. */
static inline void object_soon(uintptr_t at, unsigned lines)
{
	for (unsigned i = 0; i < lines; i++)
		__builtin_prefetch((const void *)(at + i * 64));
}

/* Something with a descriptor. Part of its owner's object. */
struct watch {
	int fd;
	uint32_t events; /* EPOLLIN, EPOLLOUT, ... as asked for */
	void (*ready)(struct watch *w, uint32_t events); /* runs on the owning shard */
};

/* Its ready() will be called soon: what it needs comes from memory meanwhile. That is the object it
 * is part of: the cache line before the watch, and the five behind. */
static inline void watch_soon(const struct watch *w)
{
	object_soon((uintptr_t)w - 64, 7);
}

/* Something to do once before the shard sleeps. Part of its owner's object. */
struct turn_end {
	struct cds_list_head node;
	void (*run)(struct turn_end *t);
};

/* Starts n threads; returns 0 or a negative errno. main only. */
int shards_start(unsigned n);
/* Ends them after each has run its mailbox empty; joins. main only. */
void shards_stop(void);
ANY_THREAD unsigned shards_count(void);
ANY_THREAD struct shard *shard_at(unsigned index);
ANY_THREAD unsigned shard_index(const struct shard *s);
ANY_THREAD struct shard *shard_self(void); /* NULL off the shards */
/* Aborts when not on s; s NULL: when not on any shard. */
ANY_THREAD void shard_check(const struct shard *s) TAKES_SHARD_ROLE;

/* Takes m; m->run runs on s. From a shard the bell rings once at the end of the turn. */
ANY_THREAD void shard_post(struct shard *s, struct msg *m);
ANY_THREAD unsigned shard_load(const struct shard *s); /* live actors, about; picks a shard */

ANY_THREAD unsigned shard_waiting(const struct shard *s); /* messages in its box, about */

ON_SHARD uint64_t shard_now_ms(void); /* monotonic, read once per turn */
ON_SHARD int shard_watch(struct watch *w); /* 0 or negative errno; level-triggered */
ON_SHARD int shard_rewatch(struct watch *w); /* after w->events changed */
ON_SHARD void shard_unwatch(struct watch *w); /* no ready() after it returns; before close() */
ON_SHARD void shard_at_turn_end(struct turn_end *t); /* once, however often asked */
ON_SHARD void shard_not_at_turn_end(struct turn_end *t); /* takes it back; unasked is fine */
void turn_end_init(struct turn_end *t, void (*run)(struct turn_end *t));
/* A scratch area of at least SHARD_SCRATCH bytes for the running call alone. */
#define SHARD_SCRATCH 65536
ON_SHARD char *shard_scratch(void);
