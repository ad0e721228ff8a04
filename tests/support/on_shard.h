/* tests/support/on_shard.h - how a test's main thread gets something done on a shard. */
#pragma once

#include <semaphore.h>
#include <time.h>

#include "core/shard.h"

struct errand {
	struct msg msg;
	void (*fn)(void *arg);
	void *arg;
	sem_t done;
};

static inline void errand_run(struct msg *m)
{
	struct errand *e = caa_container_of(m, struct errand, msg);

	e->fn(e->arg);
	sem_post(&e->done);
}

/* Calls fn(arg) on a shard and waits until it has returned. */
UNUSED static void on_shard(unsigned shard, void (*fn)(void *arg), void *arg)
{
	struct errand e = { .msg.run = errand_run, .fn = fn, .arg = arg };

	sem_init(&e.done, 0, 0);
	shard_post(shard_at(shard), &e.msg);
	while (sem_wait(&e.done) != 0)
		continue;
	sem_destroy(&e.done);
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
