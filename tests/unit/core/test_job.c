/* What core/job.h promises, told apart by what each carrier does with jobs that wait for each
 * other: same shard at once, one thread in order, lanes in order side by side, no order at all. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/job.h"
#include "core/rcu.h"
#include "tests/support/on_shard.h"

#define THREADS 4

struct task {
	struct job job;
	int number;
	sem_t *gate; /* waited for while running, when not NULL */
	sem_t *running; /* posted when running has begun */
	pthread_t thread; /* that ran it */
	struct shard *done_on;
};

static _Atomic int running_now, most_at_once, done_count;
static sem_t all_done;
static int order[256];
static _Atomic int n_order;

static void task_work(struct job *j)
{
	struct task *t = caa_container_of(j, struct task, job);
	int now = atomic_fetch_add(&running_now, 1) + 1, most = atomic_load(&most_at_once);

	while (now > most && !atomic_compare_exchange_weak(&most_at_once, &most, now))
		continue;
	t->thread = pthread_self();
	order[atomic_fetch_add(&n_order, 1)] = t->number;
	if (t->running)
		sem_post(t->running);
	if (t->gate)
		cr_assert(await(t->gate));
	atomic_fetch_sub(&running_now, 1);
}

static void task_done(struct job *j)
{
	struct task *t = caa_container_of(j, struct task, job);

	t->done_on = shard_self();
	atomic_fetch_add(&done_count, 1);
	sem_post(&all_done);
}

static struct task *tasks_new(int n)
{
	struct task *tasks = calloc((size_t)n, sizeof(*tasks));

	for (int i = 0; i < n; i++) {
		tasks[i].job.work = task_work;
		tasks[i].job.done = task_done;
		tasks[i].number = i;
	}
	return tasks;
}

static void await_done(int n)
{
	for (int i = 0; i < n; i++)
		cr_assert(await(&all_done), "%d of %d done", i, n);
}

static void begin(void)
{
	rcu_thread_begin();
	sem_init(&all_done, 0, 0);
	cr_assert_eq(shards_start(1), 0);
	cr_assert_eq(jobs_start(THREADS), 0);
}

static void end(void)
{
	jobs_stop();
	shards_stop();
	rcu_thread_end();
}

TestSuite(job, .init = begin, .fini = end, .timeout = 60);

/* --- inline: no_queue --- */

static struct carrier *carrier;
static struct task *tasks;

static void submit_inline(void *arg UNUSED)
{
	cr_expect_eq(carrier_submit(carrier, 1, &tasks[0].job), 0);
	cr_expect_eq(done_count, 1, "work and done before submit returns");
	cr_expect(pthread_equal(tasks[0].thread, pthread_self()));
	cr_expect_eq(tasks[0].done_on, shard_self());
}

Test(job, inline_runs_at_once_on_the_callers_shard)
{
	tasks = tasks_new(1);
	carrier = carrier_new(CARRIER_INLINE, 0, 0, "inline");
	on_shard(0, submit_inline, NULL);
	cr_expect_eq(carrier_waiting(carrier), 0);
	carrier_free(carrier);
	free(tasks);
}

/* --- one thread: one_queue --- */

Test(job, a_thread_runs_one_after_the_other_in_order_away_from_the_pool)
{
	struct carrier *pool = carrier_new(CARRIER_POOL, 0, 0, "pool");
	struct task *blockers = tasks_new(THREADS);
	sem_t gate;

	sem_init(&gate, 0, 0);
	tasks = tasks_new(100);
	carrier = carrier_new(CARRIER_THREAD, 0, 0, "own");
	for (int i = 0; i < THREADS;
		i++) { /* the pool is busy: a thread of its own does not mind */
		blockers[i].gate = &gate;
		blockers[i].number = -1;
		cr_expect_eq(carrier_submit(pool, 0, &blockers[i].job), 0);
	}
	for (int i = 0; i < 100; i++)
		cr_expect_eq(carrier_submit(carrier, (uint64_t)i, &tasks[i].job), 0);
	await_done(100);
	for (int i = 0, next = 0; i < n_order; i++) {
		if (order[i] >= 0)
			cr_expect_eq(order[i], next++);
	}
	for (int i = 1; i < 100; i++)
		cr_expect(pthread_equal(tasks[i].thread, tasks[0].thread));
	for (int i = 0; i < THREADS; i++)
		sem_post(&gate);
	carrier_free(carrier);
	carrier_free(pool);
	free(tasks);
	free(blockers);
}

/* --- lanes: {queues: N} --- */

Test(job, lanes_keep_the_order_of_a_key_and_never_overlap_it)
{
	tasks = tasks_new(200);
	carrier = carrier_new(CARRIER_LANES, 8, 0, "lanes");
	for (int i = 0; i < 200; i++)
		cr_expect_eq(carrier_submit(carrier, 42, &tasks[i].job), 0);
	await_done(200);
	for (int i = 0; i < 200; i++)
		cr_expect_eq(order[i], i);
	cr_expect_eq(most_at_once, 1);
	carrier_free(carrier);
	free(tasks);
}

/* A key that waits holds up nobody in another lane. */
Test(job, lanes_run_side_by_side)
{
	sem_t gate, running;
	int begun = 0;

	sem_init(&gate, 0, 0);
	sem_init(&running, 0, 0);
	tasks = tasks_new(64);
	carrier = carrier_new(CARRIER_LANES, 8, 0, "lanes");
	for (int i = 0; i < 64; i++) {
		tasks[i].gate = &gate;
		tasks[i].running = &running;
		cr_expect_eq(carrier_submit(carrier, (uint64_t)i, &tasks[i].job), 0);
	}
	for (; begun < THREADS; begun++)
		cr_assert(await(&running), "only %d lanes at once", begun);
	cr_expect_eq(running_now, THREADS);
	for (int i = 0; i < 64; i++)
		sem_post(&gate);
	await_done(64);
	carrier_free(carrier);
	free(tasks);
}

Test(job, a_busy_lane_shares_the_pool_with_others)
{
	struct carrier *other = carrier_new(CARRIER_LANES, 1, 0, "other");
	struct task *last = tasks_new(1);
	int before = 0;

	tasks = tasks_new(200);
	carrier = carrier_new(CARRIER_LANES, 1, 0, "lanes");
	jobs_stop();
	jobs_start(1);
	sem_t gate;
	sem_init(&gate, 0, 0);
	tasks[0].gate = &gate;
	for (int i = 0; i < 200; i++)
		cr_expect_eq(carrier_submit(carrier, 0, &tasks[i].job), 0);
	last->number = 1000;
	cr_expect_eq(carrier_submit(other, 0, &last->job), 0);
	sem_post(&gate);
	await_done(201);
	while (order[before] != 1000)
		before++;
	cr_expect_lt(before, 100, "it had to wait for %d of the other carrier's jobs", before);
	carrier_free(carrier);
	carrier_free(other);
	free(tasks);
	free(last);
}

/* --- pool: parallel --- */

Test(job, the_pool_overlaps_even_equal_keys)
{
	sem_t gate, running;

	sem_init(&gate, 0, 0);
	sem_init(&running, 0, 0);
	tasks = tasks_new(THREADS);
	carrier = carrier_new(CARRIER_POOL, 0, 0, "pool");
	for (int i = 0; i < THREADS; i++) {
		tasks[i].gate = &gate;
		tasks[i].running = &running;
		cr_expect_eq(carrier_submit(carrier, 42, &tasks[i].job), 0);
	}
	for (int i = 0; i < THREADS; i++)
		cr_assert(await(&running), "only %d at once", i);
	for (int i = 0; i < THREADS; i++)
		sem_post(&gate);
	await_done(THREADS);
	carrier_free(carrier);
	free(tasks);
}

/* --- bounds --- */

static void fill(enum carrier_kind kind, unsigned lanes)
{
	sem_t gate, running;

	sem_init(&gate, 0, 0);
	sem_init(&running, 0, 0);
	tasks = tasks_new(11);
	carrier = carrier_new(kind, lanes, 10, "full");
	for (int i = 0; i < 11; i++) {
		tasks[i].gate = &gate;
		tasks[i].running = &running;
		cr_expect_eq(carrier_submit(carrier, 1, &tasks[i].job), i < 10 ? 0 : CARRIER_FULL);
	}
	cr_expect_eq(carrier_waiting(carrier), 10, "waiting and running");
	cr_assert(await(&running));
	for (int i = 0; i < 10; i++)
		sem_post(&gate);
	await_done(10);
	while (carrier_waiting(carrier)) /* counted down just after done() */
		sched_yield();
	sem_post(&gate);
	cr_expect_eq(carrier_submit(carrier, 1, &tasks[10].job), 0, "room again");
	await_done(1);
	carrier_free(carrier);
	free(tasks);
}

Test(job, a_full_carrier_refuses)
{
	fill(CARRIER_THREAD, 0);
	fill(CARRIER_LANES, 4);
	fill(CARRIER_POOL, 0);
}

struct listing {
	unsigned n, waiting, max_queue; /* of those named so */
};

static void list_carrier(const char *name, unsigned waiting, unsigned max_queue, void *arg)
{
	struct listing *l = arg;

	if (strcmp(name, "watched") != 0)
		return;
	l->n++;
	l->waiting += waiting;
	l->max_queue += max_queue;
}

static struct listing listed(void)
{
	struct listing l = { 0 };

	carriers_each(list_carrier, &l);
	return l;
}

Test(job, carriers_with_queues_are_listed)
{
	struct carrier *first = carrier_new(CARRIER_LANES, 2, 10, "watched"), *at_once, *second;
	char name[] = "watched";
	struct listing l;
	sem_t gate;

	sem_init(&gate, 0, 0);
	at_once = carrier_new(CARRIER_INLINE, 0, 10, "watched");
	second = carrier_new(CARRIER_POOL, 0, 5, name);
	name[0] = 'x'; /* the caller's again */
	tasks = tasks_new(3);
	for (int i = 0; i < 3; i++) {
		tasks[i].gate = &gate;
		cr_assert_eq(carrier_submit(i ? first : second, 1, &tasks[i].job), 0);
	}
	l = listed();
	cr_expect_eq(l.n, 2, "not the one without a queue");
	cr_expect_eq(l.waiting, 3);
	cr_expect_eq(l.max_queue, 15);
	for (int i = 0; i < 3; i++)
		sem_post(&gate);
	await_done(3);
	carrier_free(first);
	cr_expect_eq(listed().n, 1);
	carrier_free(second);
	carrier_free(at_once);
	cr_expect_eq(listed().n, 0);
	free(tasks);
}

/* --- where done() runs --- */

static void submit_from_shard(void *arg UNUSED)
{
	cr_expect_eq(carrier_submit(carrier, 1, &tasks[0].job), 0);
	cr_expect_eq(tasks[0].job.home, shard_self());
}

Test(job, done_comes_home)
{
	tasks = tasks_new(2);
	carrier = carrier_new(CARRIER_POOL, 0, 0, "pool");
	on_shard(0, submit_from_shard, NULL);
	await_done(1);
	cr_expect_eq(tasks[0].done_on, shard_at(0));
	cr_expect_eq(carrier_submit(carrier, 1, &tasks[1].job), 0);
	await_done(1);
	cr_expect_null(tasks[1].done_on, "no shard asked: on the job thread");
	cr_expect_null(tasks[1].job.home);
	carrier_free(carrier);
	free(tasks);
}

/* --- the end --- */

Test(job, freeing_a_carrier_waits_for_its_jobs)
{
	tasks = tasks_new(50);
	for (enum carrier_kind kind = CARRIER_THREAD; kind <= CARRIER_POOL; kind++) {
		done_count = 0;
		n_order = 0;
		carrier = carrier_new(kind, 4, 0, "ending");
		for (int i = 0; i < 50; i++)
			cr_expect_eq(carrier_submit(carrier, (uint64_t)i, &tasks[i].job), 0);
		carrier_free(carrier);
		cr_expect_eq(done_count, 50);
	}
	free(tasks);
}

Test(job, stopping_the_pool_runs_what_is_queued_and_then_refuses)
{
	tasks = tasks_new(51);
	carrier = carrier_new(CARRIER_LANES, 3, 0, "ending");
	for (int i = 0; i < 50; i++)
		cr_expect_eq(carrier_submit(carrier, (uint64_t)i, &tasks[i].job), 0);
	jobs_stop();
	cr_expect_eq(done_count, 50);
	cr_expect_eq(carrier_submit(carrier, 0, &tasks[50].job), CARRIER_FULL);
	carrier_free(carrier);
	free(tasks);
	jobs_start(1);
}

static void run_job_check(void *arg UNUSED)
{
	job_check();
}

Test(job, the_check_aborts_on_a_shard, .signal = SIGABRT)
{
	job_check();
	on_shard(0, run_job_check, NULL);
}
