/* What core/rcu.h promises: what a reader sees stays until it lets go, and then goes. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "tests/support/on_shard.h"

struct thing {
	struct rcu_head rcu;
	_Atomic bool *freed;
};

static void thing_free(struct rcu_head *head)
{
	struct thing *t = caa_container_of(head, struct thing, rcu);

	*t->freed = true;
	free(t);
}

static struct thing *thing_new(_Atomic bool *freed)
{
	struct thing *t = xmalloc(sizeof(*t));

	t->freed = freed;
	return t;
}

static RCU_PTR(struct thing) current;
static sem_t has_read, may_let_go;

TestSuite(rcu, .timeout = 60);

Test(rcu, a_pointer_is_set_got_and_swapped)
{
	static struct thing a, b;

	cr_expect_null(rcu_get(current));
	rcu_set(current, &a);
	cr_expect_eq(rcu_get(current), &a);
	cr_expect_eq(rcu_swap(current, &b), &a);
	cr_expect_eq(rcu_get(current), &b);
}

Test(rcu, later_is_after_all_has_been_let_go)
{
	_Atomic bool freed = false, other = false;

	rcu_thread_begin();
	rcu_later(&thing_new(&freed)->rcu, thing_free);
	rcu_later(&thing_new(&other)->rcu, thing_free);
	rcu_free_later(xmalloc(10)); /* LeakSanitizer looks */
	rcu_free_later(NULL);
	rcu_wait_later();
	cr_expect(freed);
	cr_expect(other);
	rcu_thread_end();
}

/* How a reader lets go. */
enum { BY_QUIESCENCE, BY_OFFLINE, BY_ENDING };

static void *read_and_let_go(void *arg)
{
	int how = (int)(intptr_t)arg;
	_Atomic bool *freed;
	bool reading = false;

	rcu_thread_begin();
	freed = rcu_get(current)->freed;
	sem_post(&has_read);
	cr_assert(await(&may_let_go));
	cr_expect_not(*freed, "it was still being read");
	if (how == BY_OFFLINE)
		reading = rcu_offline();
	while (how != BY_ENDING && !*freed) { /* hangs when that does not let go */
		if (how == BY_QUIESCENCE)
			rcu_quiescent();
		sched_yield();
	}
	rcu_online(reading);
	rcu_thread_end();
	return NULL;
}

static void let_go(int how)
{
	_Atomic bool freed = false;
	pthread_t reader;

	rcu_set(current, thing_new(&freed));
	pthread_create(&reader, NULL, read_and_let_go, (void *)(intptr_t)how);
	cr_assert(await(&has_read));
	rcu_later(&rcu_swap(current, NULL)->rcu, thing_free);
	sem_post(&may_let_go);
	rcu_wait_later();
	cr_expect(freed);
	pthread_join(reader, NULL);
}

Test(rcu, a_reader_holds_it_until_it_lets_go)
{
	sem_init(&has_read, 0, 0);
	sem_init(&may_let_go, 0, 0);
	rcu_thread_begin();
	let_go(BY_QUIESCENCE);
	let_go(BY_OFFLINE);
	let_go(BY_ENDING);
	rcu_thread_end();
}

Test(rcu, begin_and_end_nest_and_offline_pairs_fit_anywhere)
{
	cr_expect_not(rcu_offline(), "not even registered");
	rcu_online(false);
	rcu_thread_begin();
	rcu_thread_begin();
	rcu_thread_end();
	cr_expect(rcu_offline(), "still a reader");
	cr_expect_not(rcu_offline(), "within another pair");
	rcu_online(false);
	rcu_online(true);
	rcu_thread_end();
	cr_expect_not(rcu_offline());
	rcu_wait();
}

static void wait_on_shard(void *arg UNUSED)
{
	rcu_wait();
}

Test(rcu, waiting_on_a_shard_aborts, .signal = SIGABRT)
{
	shards_start(1);
	on_shard(0, wait_on_shard, NULL);
}
