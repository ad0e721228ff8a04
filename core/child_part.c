/* core/child_part.c - a child that is something started and stopped by functions that may block.
 * Between the two there is no thread. One that is through with a part waits for the next one for a
 * moment: there may be thousands in a row, and what it has by then (a connection to the database)
 * is worth more than itself. */
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
	char name[16]; /* of the thread */
	struct actor_id keeper;
	/* The thread's while one runs, the supervisor's shard's otherwise. */
	int failed; /* what start() said */
	char why[CHILD_REASON_MAX];
	struct letter done;
	struct cds_list_head node; /* the crew's until a thread takes it */
	/* Under lock. */
	pthread_mutex_t lock;
	bool posted; /* done is on its way */
	bool orphan; /* abandoned: no letter is to come, as the shards may be gone */
	/* The supervisor's shard. */
	struct child *child; /* NULL: nobody cares any more */
	bool busy; /* a thread has it, or will */
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

static void work_on(struct part *p)
{
	if (p->stopping)
		p->spec.stop(p->spec.arg);
	else
		p->failed = p->spec.start(p->spec.arg, p->why);
	if (!post(p))
		part_free(p);
}

/* --- the threads --- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct cds_list_head waiting; /* parts */
	unsigned idle; /* threads that wait, less those that somebody has woken */
} crew = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.waiting = CDS_LIST_HEAD_INIT(crew.waiting),
};

static struct part *take(void)
{
	struct part *p;

	if (cds_list_empty(&crew.waiting))
		return NULL;
	p = cds_list_first_entry(&crew.waiting, struct part, node);
	cds_list_del(&p->node);
	return p;
}

static struct part *await_part(void)
{
	bool reading = rcu_offline();
	struct part *p;

	pthread_mutex_lock(&crew.lock);
	crew.idle++;
	while (!(p = take()))
		pthread_cond_wait(&crew.work, &crew.lock);
	pthread_mutex_unlock(&crew.lock);
	rcu_online(reading);
	return p;
}

static void *crew_main(void *first)
{
	rcu_thread_begin();
	for (struct part *p = first;; p = await_part()) {
		pthread_setname_np(pthread_self(), p->name);
		work_on(p);
		pthread_setname_np(pthread_self(), "parts");
	}
	return NULL;
}

/* To one that waits, or a new one. 0, or a negative errno: there is none. */
static int run(struct part *p)
{
	pthread_t thread;
	int error = 0;
	bool waits;

	p->busy = true;
	p->posted = false;
	pthread_mutex_lock(&crew.lock);
	waits = crew.idle > 0;
	if (waits) {
		crew.idle--;
		cds_list_add_tail(&p->node, &crew.waiting);
		pthread_cond_signal(&crew.work);
	}
	pthread_mutex_unlock(&crew.lock);
	if (!waits)
		error = thread_start(&thread, p->name, crew_main, p);
	if (!waits && !error)
		pthread_detach(thread);
	return error;
}

/* --- on the supervisor's shard --- */

static void begin_stop(struct part *p)
{
	p->stopping = true;
	if (p->spec.stop)
		REQUIRE(run(p) == 0); /* there is no other way down */
	else
		post(p);
}

/* The same for one that was abandoned while it started. */
static void begin_stop_alone(struct part *p)
{
	p->orphan = true;
	if (p->spec.stop)
		begin_stop(p);
	else
		part_free(p);
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
		begin_stop(p); /* its time was over */
	} else {
		child_began(c, STARTED, NULL);
	}
}

static void done_open(struct actor *a UNUSED, struct letter *l)
{
	struct part *p = caa_container_of(l, struct part, done);
	struct child *c = p->child;

	shard_check(NULL);
	pthread_mutex_lock(&p->lock); /* who has posted this may not have let go yet */
	pthread_mutex_unlock(&p->lock);
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
	snprintf(p->name, sizeof(p->name), "%.15s", c->id);
	error = p->spec.start ? run(p) : 0;
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
		begin_stop(p);
}

static void abandon(struct child *c)
{
	struct part *p = c->life;

	shard_check(NULL);
	p->child = NULL;
	pthread_mutex_lock(&p->lock);
	p->orphan = !p->posted;
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
