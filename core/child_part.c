/* core/child_part.c - a child that is something started and stopped by functions that may block.
 * Between the two there is no thread. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/child_life.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/thread.h"

struct part {
	/* Constant. */
	struct child_part spec; /* its arg is the child's */
	struct actor_id keeper;
	/* The thread's while one runs, the supervisor's shard's otherwise. */
	int failed; /* what start() said */
	char why[CHILD_REASON_MAX];
	struct letter done;
	/* Under lock. */
	pthread_mutex_t lock;
	bool posted; /* done is on its way */
	bool orphan; /* abandoned: no letter is to come, as the shards may be gone */
	/* The supervisor's shard. */
	struct child *child; /* NULL: nobody cares any more */
	pthread_t thread;
	bool busy; /* there is one */
	bool stopping;
};

static const char *refuse(const struct child_spec *spec UNUSED)
{
	return NULL;
}

static void part_free(struct part *p)
{
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void done_open(struct actor *a, struct letter *l);

/* False: there is nobody to tell. */
static bool post(struct part *p)
{
	bool told;

	pthread_mutex_lock(&p->lock);
	told = !p->orphan;
	p->posted = told;
	p->done.to = p->keeper;
	p->done.open = done_open;
	if (told)
		letter_post(&p->done);
	pthread_mutex_unlock(&p->lock);
	return told;
}

static void *starting(void *arg)
{
	struct part *p = arg;

	rcu_thread_begin();
	p->failed = p->spec.start(p->spec.arg, p->why);
	rcu_thread_end();
	if (!post(p))
		part_free(p);
	return NULL;
}

static void *stopping(void *arg)
{
	struct part *p = arg;

	rcu_thread_begin();
	p->spec.stop(p->spec.arg);
	rcu_thread_end();
	if (!post(p))
		part_free(p);
	return NULL;
}

static int run(struct part *p, const char *name, void *(*fn)(void *arg))
{
	int error;

	p->posted = false; /* before there is one that posts */
	error = thread_start(&p->thread, name, fn, p);
	p->busy = error == 0;
	return error;
}

static void begin_stop(struct part *p, const char *name)
{
	p->stopping = true;
	if (p->spec.stop)
		REQUIRE(run(p, name, stopping) == 0); /* there is no other way down */
	else
		post(p);
}

/* The same for one that was abandoned while it started. */
static void begin_stop_alone(struct part *p)
{
	pthread_t thread;

	if (!p->spec.stop) {
		part_free(p);
		return;
	}
	p->orphan = true;
	REQUIRE(thread_start(&thread, "abandoned", stopping, p) == 0);
	pthread_detach(thread);
}

static void started(struct part *p)
{
	struct child *c = p->child;

	shard_check(NULL);
	if (p->failed) {
		if (c)
			child_began(c, START_FAILED, p->why[0] ? p->why : NULL);
		part_free(p);
	} else if (!c) {
		begin_stop_alone(p);
	} else if (c->state == CHILD_STOPPING) {
		begin_stop(p, c->id); /* its time was over */
	} else {
		child_began(c, STARTED, NULL);
	}
}

static void done_open(struct actor *a UNUSED, struct letter *l)
{
	struct part *p = caa_container_of(l, struct part, done);
	struct child *c = p->child;

	shard_check(NULL);
	if (p->busy)
		pthread_join(p->thread, NULL); /* it has nothing left to do but to go */
	p->busy = false;
	if (!p->stopping) {
		started(p);
		return;
	}
	part_free(p);
	if (c)
		child_ended(c, STOP_SHUTDOWN);
}

static enum start_outcome start(struct child *c)
{
	struct part *p = xcalloc(1, sizeof(*p));
	int error;

	p->spec = c->spec.part;
	p->spec.arg = child_arg(c, p->spec.arg);
	p->keeper = c->keeper;
	p->child = c;
	pthread_mutex_init(&p->lock, NULL);
	error = p->spec.start ? run(p, c->id, starting) : 0;
	if (error) {
		snprintf(c->reason, sizeof(c->reason), "no thread: %s", strerror(-error));
		part_free(p);
		return START_FAILED;
	}
	c->life = p;
	return p->spec.start ? START_UNDER_WAY : STARTED;
}

/* While it starts, and when it stops already, there is nothing more to be done. */
static void stop(struct child *c)
{
	struct part *p = c->life;

	if (!p->busy && !p->stopping)
		begin_stop(p, c->id);
}

static void abandon(struct child *c)
{
	struct part *p = c->life;

	shard_check(NULL);
	p->child = NULL;
	pthread_mutex_lock(&p->lock);
	p->orphan = !p->posted;
	if (p->orphan)
		pthread_detach(p->thread);
	pthread_mutex_unlock(&p->lock);
}

static uint32_t beats(const struct child *c UNUSED)
{
	return 0;
}

static void tell(const struct child *c, struct child_row *row)
{
	const struct part *p = c->life;

	if (c->state == CHILD_UP && p->spec.holds)
		row->holds = p->spec.holds(p->spec.arg);
	if (c->state == CHILD_UP && p->spec.waits)
		row->waiting = p->spec.waits(p->spec.arg);
}

const struct child_methods child_part_methods = {
	.refuse = refuse,
	.start = start,
	.stop = stop,
	.kill = stop,
	.abandon = abandon,
	.beats = beats,
	.tell = tell,
	.name = "part",
};
