/* core/errand.h - how a thread that may block has something done on a shard, and waits for it.
 * Part of a larger struct with the parameters, on the waiting thread's stack. */
#pragma once

#include <semaphore.h>

#include "core/shard.h"

struct errand {
	struct msg msg;
	sem_t told;
};
/* Runs run(&e->msg) on that shard; returns after errand_tell(). Aborts on a shard. */
void errand_wait(struct errand *e, struct shard *on, void (*run)(struct msg *m));
/* Once, on any thread; e may be gone afterwards. */
ANY_THREAD void errand_tell(struct errand *e);
