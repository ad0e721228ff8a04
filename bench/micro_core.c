/* bench/micro_core.c - messages from thread to thread, and a million timers. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "bench/micro.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "core/timer.h"
#include "tests/support/on_shard.h"

/* ---- the mailbox ---- */

#define ON_THE_WAY 1024u /* of one producer at once */
#define BATCH 64u /* what a turn may find */

static void run_nothing(struct msg *m)
{
	micro_keep(m);
}

static struct mailbox *box;

static void begin_box(const struct micro *m UNUSED)
{
	box = mailbox_new();
}

static void end_box(const struct micro *m UNUSED)
{
	mailbox_free(box);
}

static void hop_alone_here(void *n)
{
	struct msg batch[BATCH];

	shard_check(NULL);
	for (unsigned done = 0; done < *(unsigned *)n; done += BATCH) {
		for (unsigned i = 0; i < BATCH; i++) {
			batch[i].run = run_nothing;
			mailbox_post(box, &batch[i]);
		}
		mailbox_run(box);
	}
}

/* What it costs, without a second thread. */
static void hop_alone(const struct micro *m UNUSED, unsigned n)
{
	on_shard(0, hop_alone_here, &n);
}

struct parcel {
	struct msg msg;
	_Atomic bool arrived; /* the producer may use it again */
};
struct producer {
	pthread_t thread;
	unsigned n;
	struct parcel at[ON_THE_WAY];
};

static void parcel_run(struct msg *m)
{
	struct parcel *p = container_of(m, struct parcel, msg);

	atomic_store_explicit(&p->arrived, true, memory_order_release);
}

static void parcel_await(struct parcel *p)
{
	while (!atomic_load_explicit(&p->arrived, memory_order_acquire))
		sched_yield();
}

static void *produce(void *arg)
{
	struct producer *p = arg;

	for (unsigned i = 0; i < ON_THE_WAY; i++)
		atomic_init(&p->at[i].arrived, true);
	for (unsigned i = 0; i < p->n; i++) {
		struct parcel *next = &p->at[i % ON_THE_WAY];

		parcel_await(next);
		atomic_store_explicit(&next->arrived, false, memory_order_relaxed);
		next->msg.run = parcel_run;
		shard_post(shard_at(0), &next->msg);
	}
	for (unsigned i = 0; i < ON_THE_WAY; i++)
		parcel_await(&p->at[i]);
	return NULL;
}

/* To a shard, from m->size threads. */
static void hop(const struct micro *m, unsigned n)
{
	struct producer *producers = xcalloc(m->size, sizeof(*producers));

	for (unsigned i = 0; i < m->size; i++) {
		producers[i].n = n / m->size;
		REQUIRE(!pthread_create(&producers[i].thread, NULL, produce, &producers[i]));
	}
	for (unsigned i = 0; i < m->size; i++)
		pthread_join(producers[i].thread, NULL);
	free(producers);
}

/* ---- timers ---- */

#define TIMERS 1000000u
#define PERIOD_MS 60000u /* about as often as each fires */

static struct wheel *wheel;
static struct timer *timers; /* owned */
static uint64_t now_ms, seed;

static uint64_t some_delay(void)
{
	return PERIOD_MS / 2 + micro_random(&seed) % PERIOD_MS;
}

static void set_again(struct timer *t)
{
	wheel_set(wheel, t, some_delay());
}

static void begin_wheel(const struct micro *m UNUSED)
{
	seed = 1;
	now_ms = 1000;
	wheel = wheel_new(now_ms);
	timers = xcalloc(TIMERS, sizeof(*timers));
	for (unsigned i = 0; i < TIMERS; i++) {
		timer_init(&timers[i], set_again);
		set_again(&timers[i]);
	}
}

static void end_wheel(const struct micro *m UNUSED)
{
	wheel_free(wheel);
	free(timers);
}

/* A deadline that was met, as most are. */
static void set_and_cancel(const struct micro *m UNUSED, unsigned n)
{
	struct timer t;

	timer_init(&t, set_again);
	for (unsigned i = 0; i < n; i++) {
		wheel_set(wheel, &t, some_delay());
		wheel_cancel(wheel, &t);
	}
}

/* An idle session's: the deadline of one of the million is put off. */
static void set_anew(const struct micro *m UNUSED, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		set_again(&timers[micro_random(&seed) % TIMERS]);
}

/* Time passes by the millisecond until n have fired, each of which is set again. */
static void set_and_fire(const struct micro *m UNUSED, unsigned n)
{
	for (unsigned fired = 0; fired < n;)
		fired += wheel_advance(wheel, ++now_ms);
}

const struct micro micros_core[] = { { "mailbox: post and run, one thread", 0, begin_box, hop_alone,
					     end_box },
	{ "mailbox: a hop, one producer", 1, NULL, hop, NULL, .flow = true },
	{ "mailbox: a hop, four producers", 4, NULL, hop, NULL, .flow = true },
	{ "timers: set and cancel, 1 M set", 0, begin_wheel, set_and_cancel, end_wheel },
	{ "timers: set anew, 1 M set", 0, begin_wheel, set_anew, end_wheel },
	{ "timers: fire and set, 1 M set", 0, begin_wheel, set_and_fire, end_wheel }, { 0 } };
