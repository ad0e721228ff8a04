/* A thread that may block has something done on a shard: it waits, and holds nobody up meanwhile.
 */
#include "core/errand.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>

#include "core/rcu.h"

static void begin(void)
{
	rcu_thread_begin();
	cr_assert_eq(shards_start(2), 0);
}

static void end(void)
{
	shards_stop();
	rcu_thread_end();
}

TestSuite(errand, .init = begin, .fini = end, .timeout = 60);

struct visit {
	struct errand errand;
	int *order; /* shared by all; each takes the next number */
	int number;
	struct shard *on;
};

static void visit_run(struct msg *m)
{
	struct visit *v = caa_container_of(m, struct visit, errand.msg);

	v->number = ++*v->order;
	v->on = shard_self();
	errand_tell(&v->errand);
}

Test(errand, is_done_there_when_it_returns)
{
	int order = 0;

	for (unsigned i = 0; i < 200; i++) {
		struct visit v = { .order = &order };

		errand_wait(&v.errand, shard_at(i % 2), visit_run);
		cr_assert_eq(v.number, (int)i + 1);
		cr_assert_eq(v.on, shard_at(i % 2));
	}
}

/* Told from another thread, and later than its message has run. */
static void *tell_later(void *arg)
{
	struct visit *v = arg;

	v->number = 77;
	errand_tell(&v->errand); /* it may be gone now */
	return NULL;
}

static pthread_t teller;

static void visit_hand_on(struct msg *m)
{
	struct visit *v = caa_container_of(m, struct visit, errand.msg);

	cr_expect_eq(pthread_create(&teller, NULL, tell_later, v), 0);
}

Test(errand, ends_when_it_is_told_and_not_before)
{
	struct visit v = { 0 };

	errand_wait(&v.errand, shard_at(0), visit_hand_on);
	cr_expect_eq(v.number, 77);
	pthread_join(teller, NULL);
}

/* Whoever waits reads nothing: a writer's grace period ends although this thread has not come to
 * a quiescent state of its own. */
static sem_t freed;

static void post_freed(struct rcu_head *head UNUSED)
{
	sem_post(&freed);
}

static void *await_freed(void *arg)
{
	struct visit *v = arg;

	while (sem_wait(&freed) < 0)
		;
	errand_tell(&v->errand);
	return NULL;
}

static void visit_wait_for_grace(struct msg *m)
{
	struct visit *v = caa_container_of(m, struct visit, errand.msg);
	static struct rcu_head head;

	rcu_later(&head, post_freed);
	cr_expect_eq(pthread_create(&teller, NULL, await_freed, v), 0);
}

Test(errand, holds_up_no_grace_period)
{
	struct visit v = { 0 };

	sem_init(&freed, 0, 0);
	errand_wait(&v.errand, shard_at(0), visit_wait_for_grace);
	pthread_join(teller, NULL);
	rcu_wait(); /* it reads again, so this thread must be registered still */
}

static void visit_another(struct msg *m UNUSED)
{
	int order = 0;
	struct visit v = { .order = &order };

	errand_wait(&v.errand, shard_at(1), visit_run);
}

Test(errand, of_a_shard_aborts, .signal = SIGABRT)
{
	struct visit v = { 0 };

	errand_wait(&v.errand, shard_at(0), visit_another);
}
