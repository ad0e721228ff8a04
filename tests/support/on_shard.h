/* tests/support/on_shard.h - how a test's main thread gets something done on a shard. */
#pragma once

#include <time.h>

#include "core/errand.h"
#include "core/timer.h"

struct on_shard {
	struct errand errand;
	void (*fn)(void *arg);
	void *arg;
};

static inline void on_shard_run(struct msg *m)
{
	struct on_shard *o = caa_container_of(m, struct on_shard, errand.msg);

	o->fn(o->arg);
	errand_tell(&o->errand);
}

/* Calls fn(arg) on a shard and waits until it has returned. */
UNUSED static void on_shard(unsigned shard, void (*fn)(void *arg), void *arg)
{
	struct on_shard o = { .fn = fn, .arg = arg };

	errand_wait(&o.errand, shard_at(shard), on_shard_run);
}

/* Waits for a semaphore that somebody must post; false after 30 s, so that a test fails, not hangs.
 */
UNUSED static bool await(sem_t *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30;
	return sem_timedwait(s, &until) == 0;
}

struct nap {
	struct errand errand;
	struct timer timer;
	uint64_t ms;
};

static inline void nap_over(struct timer *t)
{
	errand_tell(&caa_container_of(t, struct nap, timer)->errand);
}

static inline void nap_run(struct msg *m)
{
	struct nap *n = caa_container_of(m, struct nap, errand.msg);

	shard_check(NULL);
	timer_init(&n->timer, nap_over);
	timer_set(&n->timer, n->ms);
}

/* Lets that much time pass on a shard's own clock: its timers that were due before have fired. */
UNUSED static void nap_on_shard(unsigned shard, uint64_t ms)
{
	struct nap n = { .ms = ms };

	errand_wait(&n.errand, shard_at(shard), nap_run);
}
