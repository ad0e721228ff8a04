/* core/job.c - one queue discipline for all: a pool of threads takes lanes from a list in turn.
 * A lane is a queue of jobs. A serial lane is off the list while one of its jobs runs, so its jobs
 * keep their order and never overlap; a parallel one stays on it. A carrier is some lanes of the
 * common pool, or one serial lane with a pool of one thread for itself. Taking one job of a lane at
 * a time shares the threads fairly between carriers. A mutex per pool: jobs are slow by nature. */
#include "core/job.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <urcu/list.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "core/thread.h"

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work; /* a lane has become ready, or the pool ends */
	struct cds_list_head ready; /* lanes with jobs that may run now */
	pthread_t *threads;
	unsigned n_threads;
	unsigned resting; /* threads that wait for work */
	bool waking; /* one of them is on its way, and wakes the next if there is more to do */
	bool ending;
};

struct lane { /* under its pool's lock */
	struct cds_list_head node; /* in pool->ready, or empty */
	struct cds_wfcq_node *first, *last;
	bool busy; /* serial: a job of it runs */
};

struct carrier {
	/* Constant. */
	enum carrier_kind kind;
	struct pool *pool; /* NULL for CARRIER_INLINE */
	unsigned n_lanes, max_queue;
	char *name; /* owned */
	struct cds_list_head node; /* in carriers, under carriers_lock */
	/* Under pool->lock. */
	bool closing;
	pthread_cond_t idle; /* closing, and the last job is done */
	_Atomic unsigned waiting; /* and running; read by any thread */
	struct lane lanes[];
};

static struct pool common = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.ready = CDS_LIST_HEAD_INIT(common.ready),
};

/* All but inline ones. */
static pthread_mutex_t carriers_lock = PTHREAD_MUTEX_INITIALIZER;
static CDS_LIST_HEAD(carriers);

static struct metric queued = METRIC_GAUGE("jobs_queued", "Jobs that wait or run");
static struct metric run_total = METRIC_COUNTER("jobs_total", "Jobs run");
static struct metric refused =
	METRIC_COUNTER("jobs_refused_total", "Jobs refused because their carrier was full");
static struct metric run_time = METRIC_TIME("job_seconds", "How long jobs ran");

void job_check(void)
{
	REQUIRE(!shard_self());
}

/* --- lanes: all under the pool's lock --- */

static void lane_put(struct lane *l, struct job *j)
{
	j->msg.node.next = NULL;
	if (l->first)
		l->last->next = &j->msg.node;
	else
		l->first = &j->msg.node;
	l->last = &j->msg.node;
}

static struct job *lane_take(struct lane *l)
{
	struct job *j = caa_container_of(l->first, struct job, msg.node);

	l->first = l->first->next;
	return j;
}

/* Puts the lane at the end of the list when it has a job that may run. */
static void lane_offer(struct pool *p, struct lane *l)
{
	if (l->first && !l->busy && cds_list_empty(&l->node))
		cds_list_add_tail(&l->node, &p->ready);
}

/* Whether to signal p->work: short jobs that come together are one thread's, slow ones spread. */
static bool pool_wants_thread(struct pool *p)
{
	if (p->waking || !p->resting || cds_list_empty(&p->ready))
		return false;
	p->waking = true;
	return true;
}

static struct lane *lane_of(struct carrier *c, uint64_t key)
{
	key *= 0x9e3779b97f4a7c15u; /* Fibonacci hashing: neighbouring keys go to different lanes */
	return &c->lanes[(key >> 32) % c->n_lanes];
}

/* --- threads --- */

static void job_return(struct msg *m)
{
	struct job *j = caa_container_of(m, struct job, msg);

	j->done(j);
}

/* j may be gone when this returns. */
static void job_run(struct job *j)
{
	uint64_t since_us = clock_us();

	j->work(j);
	metric_time(&run_time, clock_us() - since_us);
	metric_add(&run_total, 1);
	if (j->home) {
		j->msg.run = job_return;
		shard_post(j->home, &j->msg);
	} else {
		j->done(j);
	}
}

static void job_finished(struct carrier *c)
{
	metric_add(&queued, -1);
	if (atomic_fetch_sub_explicit(&c->waiting, 1, memory_order_relaxed) == 1 && c->closing)
		pthread_cond_signal(&c->idle);
}

static struct lane *await_lane(struct pool *p)
{
	struct lane *l;

	while (cds_list_empty(&p->ready)) {
		bool reading;

		if (p->ending)
			return NULL;
		reading = rcu_offline();
		p->resting++;
		pthread_cond_wait(&p->work, &p->lock);
		p->resting--;
		p->waking = false;
		rcu_online(reading);
	}
	l = cds_list_first_entry(&p->ready, struct lane, node);
	cds_list_del_init(&l->node);
	return l;
}

static void *pool_main(void *arg)
{
	struct pool *p = arg;
	struct lane *l;

	rcu_thread_begin();
	pthread_mutex_lock(&p->lock);
	while ((l = await_lane(p))) {
		struct job *j = lane_take(l);
		struct carrier *c = j->carrier;
		bool wake;

		l->busy = c->kind != CARRIER_POOL;
		lane_offer(p, l);
		wake = pool_wants_thread(p);
		pthread_mutex_unlock(&p->lock);
		if (wake)
			pthread_cond_signal(&p->work);
		job_run(j);
		rcu_quiescent();
		pthread_mutex_lock(&p->lock);
		l->busy = false;
		lane_offer(p, l); /* nobody is woken: this thread looks at the list next */
		job_finished(c); /* last: carrier_free() may be waiting for it */
	}
	pthread_mutex_unlock(&p->lock);
	rcu_thread_end();
	return NULL;
}

static void pool_end(struct pool *p)
{
	bool reading = rcu_offline();

	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	rcu_online(reading);
	free(p->threads);
	p->threads = NULL;
	p->n_threads = 0;
}

static int pool_begin(struct pool *p, unsigned threads, const char *name)
{
	char numbered[32];
	int err = 0;

	p->threads = xcalloc(threads, sizeof(*p->threads));
	p->ending = false;
	while (p->n_threads < threads && !err) {
		snprintf(numbered, sizeof(numbered), threads > 1 ? "%s%u" : "%s", name,
			p->n_threads);
		err = thread_start(&p->threads[p->n_threads], numbered, pool_main, p);
		p->n_threads += !err;
	}
	if (err)
		pool_end(p);
	return err;
}

int jobs_start(unsigned threads)
{
	REQUIRE(threads > 0 && common.n_threads == 0);
	metric_register(&queued);
	metric_register(&run_total);
	metric_register(&refused);
	metric_register(&run_time);
	return pool_begin(&common, threads, "job");
}

void jobs_stop(void)
{
	job_check();
	pool_end(&common);
}

/* --- carriers --- */

static struct pool *pool_new(const char *name)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	CDS_INIT_LIST_HEAD(&p->ready);
	REQUIRE(pool_begin(p, 1, name) == 0);
	return p;
}

static void pool_free(struct pool *p)
{
	pool_end(p);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct carrier *carrier_new(
	enum carrier_kind kind, unsigned lanes, unsigned max_queue, const char *name)
{
	unsigned n = kind == CARRIER_INLINE ? 0 : kind == CARRIER_LANES ? lanes : 1;
	struct carrier *c = xcalloc(1, sizeof(*c) + n * sizeof(c->lanes[0]));

	REQUIRE(kind != CARRIER_LANES || lanes > 0);
	c->kind = kind;
	c->n_lanes = n;
	c->max_queue = max_queue;
	pthread_cond_init(&c->idle, NULL);
	for (unsigned i = 0; i < n; i++)
		CDS_INIT_LIST_HEAD(&c->lanes[i].node);
	if (kind == CARRIER_THREAD)
		c->pool = pool_new(name);
	else if (kind != CARRIER_INLINE)
		c->pool = &common;
	c->name = xstrdup(name);
	CDS_INIT_LIST_HEAD(&c->node);
	if (c->pool) {
		pthread_mutex_lock(&carriers_lock);
		cds_list_add_tail(&c->node, &carriers);
		pthread_mutex_unlock(&carriers_lock);
	}
	return c;
}

void carrier_free(struct carrier *c)
{
	bool reading;

	if (!c)
		return;
	job_check();
	reading = rcu_offline();
	pthread_mutex_lock(&carriers_lock);
	cds_list_del(&c->node);
	pthread_mutex_unlock(&carriers_lock);
	if (c->pool) {
		pthread_mutex_lock(&c->pool->lock);
		c->closing = true;
		while (atomic_load_explicit(&c->waiting, memory_order_relaxed))
			pthread_cond_wait(&c->idle, &c->pool->lock);
		pthread_mutex_unlock(&c->pool->lock);
	}
	if (c->kind == CARRIER_THREAD)
		pool_free(c->pool);
	rcu_online(reading);
	pthread_cond_destroy(&c->idle);
	free(c->name);
	free(c);
}

static bool carrier_is_full(const struct carrier *c)
{
	unsigned waiting = atomic_load_explicit(&c->waiting, memory_order_relaxed);

	return c->closing || c->pool->ending || (c->max_queue && waiting >= c->max_queue);
}

int carrier_submit(struct carrier *c, uint64_t key, struct job *j)
{
	struct lane *l;
	bool wake = false;
	int err = 0;

	j->home = shard_self();
	j->carrier = c;
	if (c->kind == CARRIER_INLINE) {
		j->work(j);
		metric_add(&run_total, 1);
		j->done(j);
		return 0;
	}
	pthread_mutex_lock(&c->pool->lock);
	if (carrier_is_full(c)) {
		err = CARRIER_FULL;
	} else {
		atomic_fetch_add_explicit(&c->waiting, 1, memory_order_relaxed);
		l = lane_of(c, key);
		lane_put(l, j);
		lane_offer(c->pool, l);
		wake = pool_wants_thread(c->pool);
	}
	pthread_mutex_unlock(&c->pool->lock);
	if (wake) /* only now, or it would wake up to wait for the lock */
		pthread_cond_signal(&c->pool->work);
	metric_add(err ? &refused : &queued, 1);
	return err;
}

unsigned carrier_waiting(const struct carrier *c)
{
	return atomic_load_explicit(&c->waiting, memory_order_relaxed);
}

void carriers_each(
	void (*fn)(const char *name, unsigned waiting, unsigned max_queue, void *arg), void *arg)
{
	struct carrier *c;

	pthread_mutex_lock(&carriers_lock);
	cds_list_for_each_entry (c, &carriers, node)
		fn(c->name, carrier_waiting(c), c->max_queue, arg);
	pthread_mutex_unlock(&carriers_lock);
}

int64_t jobs_waiting(void)
{
	return metric_value(&queued);
}
