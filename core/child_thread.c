/* core/child_thread.c - a child that is a thread of ours, and its heart.
 * The thread and its letters hold the heart. An abandoned thread keeps a whole one, and writes no
 * letters any more: the shards may be gone before it ends. */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/child_life.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/thread.h"

struct heart {
	/* Constant while the thread runs. */
	const char *(*run)(struct heart *h, void *arg);
	void *arg;
	struct actor_id keeper;
	/* Any thread. */
	_Atomic unsigned refs;
	_Atomic uint32_t beats; /* relaxed */
	_Atomic bool stops; /* relaxed: what it is to see besides comes by other ways */
	sem_t told; /* posted when it stops */
	/* Under lock. */
	pthread_mutex_t lock;
	bool over; /* its last letter is on its way */
	bool orphan; /* abandoned */
	/* The thread's until posted. */
	struct letter began, ended;
	const char *reason;
	/* The supervisor's shard. */
	struct child *child; /* NULL: nobody cares any more */
	pthread_t thread;
};

static const char *refuse(const struct child_spec *spec)
{
	return spec->thread.run ? NULL : "no thread to run";
}

static void heart_unref(struct heart *h)
{
	if (atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&h->lock);
	sem_destroy(&h->told);
	free(h);
}

static void began_open(struct actor *a UNUSED, struct letter *l)
{
	struct heart *h = caa_container_of(l, struct heart, began);
	struct child *c = h->child;

	shard_check(NULL);
	heart_unref(h);
	if (c && c->state == CHILD_STARTING)
		child_began(c, STARTED, NULL);
}

static void ended_open(struct actor *a UNUSED, struct letter *l)
{
	struct heart *h = caa_container_of(l, struct heart, ended);
	struct child *c = h->child;
	const char *reason = h->reason;

	shard_check(NULL);
	pthread_join(h->thread, NULL); /* it has nothing left to do but to go */
	heart_unref(h);
	if (c)
		child_ended(c, reason);
}

/* The letter holds the heart, too; an orphan's is not sent. */
static void post(struct heart *h, struct letter *l, void (*open)(struct actor *a, struct letter *l))
{
	pthread_mutex_lock(&h->lock);
	if (!h->orphan) {
		atomic_fetch_add(&h->refs, 1);
		h->over = l == &h->ended;
		l->to = h->keeper;
		l->open = open;
		letter_post(l);
	}
	pthread_mutex_unlock(&h->lock);
}

void heart_beat(struct heart *h)
{
	if (atomic_fetch_add_explicit(&h->beats, 1, memory_order_relaxed) == 0)
		post(h, &h->began, began_open);
}

bool heart_stops(const struct heart *h)
{
	return atomic_load_explicit(&h->stops, memory_order_relaxed);
}

bool heart_wait(struct heart *h, uint64_t ms)
{
	uint64_t until_us = clock_us() + ms * 1000;
	const struct timespec until = { .tv_sec = (time_t)(until_us / 1000000),
		.tv_nsec = (long)(until_us % 1000000 * 1000) };
	bool reading = rcu_offline();

	while (!heart_stops(h) && sem_clockwait(&h->told, CLOCK_MONOTONIC, &until) < 0 &&
		errno == EINTR)
		continue;
	rcu_online(reading);
	return heart_stops(h);
}

static void *heart_run(void *arg)
{
	struct heart *h = arg;
	const char *reason = h->run(h, h->arg);

	h->reason = reason ? reason : STOP_NORMAL;
	post(h, &h->ended, ended_open);
	heart_unref(h);
	return NULL;
}

static enum start_outcome start(struct child *c)
{
	const struct child_thread *spec = &c->spec.thread;
	struct heart *h = xcalloc(1, sizeof(*h));
	int err;

	h->run = spec->run;
	h->arg = child_arg(c, spec->arg);
	h->keeper = c->keeper;
	h->child = c;
	sem_init(&h->told, 0, 0);
	pthread_mutex_init(&h->lock, NULL);
	atomic_init(&h->refs, 1);
	err = thread_start(&h->thread, c->id, heart_run, h);
	if (err) {
		heart_unref(h);
		snprintf(c->reason, sizeof(c->reason), "no thread: %s", strerror(-err));
		return START_FAILED;
	}
	c->life = h;
	return spec->heartbeat_ms ? START_UNDER_WAY : STARTED;
}

static void stop(struct child *c)
{
	struct heart *h = c->life;

	atomic_store_explicit(&h->stops, true, memory_order_relaxed);
	sem_post(&h->told);
	if (c->spec.thread.wake)
		c->spec.thread.wake(h->arg);
}

static void abandon(struct child *c)
{
	struct heart *h = c->life;

	shard_check(NULL);
	h->child = NULL;
	pthread_mutex_lock(&h->lock);
	h->orphan = !h->over;
	if (h->orphan)
		pthread_detach(h->thread);
	pthread_mutex_unlock(&h->lock);
}

static uint32_t beats(const struct child *c)
{
	const struct heart *h = c->life;

	return atomic_load_explicit(&h->beats, memory_order_relaxed);
}

const struct child_methods child_thread_methods = {
	.refuse = refuse,
	.start = start,
	.stop = stop,
	.kill = stop, /* there is no other way */
	.abandon = abandon,
	.beats = beats,
	.name = "thread",
};
