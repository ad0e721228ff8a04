/* core/errand.c - a message and a semaphore. */
#include "core/errand.h"

#include <errno.h>

#include "core/rcu.h"

void errand_wait(struct errand *e, struct shard *on, void (*run)(struct msg *m))
{
	bool reading = rcu_offline();

	REQUIRE(!shard_self());
	e->msg.run = run;
	sem_init(&e->told, 0, 0);
	shard_post(on, &e->msg);
	while (sem_wait(&e->told) < 0)
		REQUIRE(errno == EINTR);
	sem_destroy(&e->told);
	rcu_online(reading);
}

void errand_tell(struct errand *e)
{
	sem_post(&e->told);
}
