/* router/iq.c - the table of IQ handlers, one small array per host and scope, and the dispatcher.
 */
#include "router/iq.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"
#include "core/stall.h"
#include "router/route.h"

HOOK(iq_visit);

/* A registered handler. Its table holds one reference, each request under way another. */
struct iq_entry {
	_Atomic uint32_t refs;
	struct iq_handler_spec spec;
	char *ns; /* owned copy */
	struct carrier *carrier; /* owned; NULL for IQ_NO_QUEUE */
};

/* Immutable once published; sorted by namespace. */
struct iq_table {
	unsigned n;
	struct iq_entry *at[];
};

static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
static struct metric handled_metric =
	METRIC_COUNTER("iq_handled_total", "Requests given to a handler.");
static struct metric refused_metric =
	METRIC_COUNTER("iq_refused_total", "Requests answered resource-constraint: queue full.");

static void entry_unref(struct iq_entry *e)
{
	/* Never the last one here while iq_unregister() waits: it keeps its own. */
	atomic_fetch_sub_explicit(&e->refs, 1, memory_order_release);
}

static int compare(const char *ns, const struct iq_entry *e)
{
	return ns == e->spec.ns ? 0 : strcmp(ns, e->ns);
}

/* Where ns is, or would be: *found tells which. */
static unsigned position(const struct iq_table *t, const char *ns, bool *found)
{
	unsigned from = 0, to = t ? t->n : 0;

	*found = false;
	while (from < to) {
		unsigned middle = (from + to) / 2;
		int order = compare(ns, t->at[middle]);

		if (!order) {
			*found = true;
			return middle;
		}
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return from;
}

static struct iq_entry *lookup(struct host *h, enum iq_scope scope, const char *ns)
{
	const struct iq_table *t = rcu_get(h->iq[scope]);
	bool found;
	unsigned at = position(t, ns, &found);

	return found ? t->at[at] : NULL;
}

static struct carrier *make_carrier(const struct iq_handler_spec *spec)
{
	unsigned max = spec->disc.max_queue ? spec->disc.max_queue : IQ_MAX_QUEUE;

	switch (spec->disc.kind) {
	case IQ_ONE_QUEUE:
		return carrier_new(CARRIER_THREAD, 0, max, spec->ns);
	case IQ_QUEUES:
		return carrier_new(
			CARRIER_LANES, spec->disc.queues ? spec->disc.queues : 1, max, spec->ns);
	case IQ_PARALLEL:
		return carrier_new(CARRIER_POOL, 0, max, spec->ns);
	default:
		return NULL;
	}
}

static struct iq_entry *entry_new(const struct iq_handler_spec *spec)
{
	struct iq_entry *e = xcalloc(1, sizeof(*e));

	atomic_init(&e->refs, 1);
	e->spec = *spec;
	e->ns = xstrdup(spec->ns);
	e->carrier = make_carrier(spec);
	return e;
}

static void entry_free(struct iq_entry *e)
{
	carrier_free(e->carrier);
	free(e->ns);
	free(e);
}

static struct iq_table *table_with(const struct iq_table *was, unsigned at, struct iq_entry *e)
{
	unsigned n = was ? was->n : 0;
	struct iq_table *now = xmalloc(sizeof(*now) + (n + 1) * sizeof(now->at[0]));

	now->n = n + 1;
	if (at)
		memcpy(now->at, was->at, at * sizeof(now->at[0]));
	now->at[at] = e;
	if (n - at)
		memcpy(now->at + at + 1, was->at + at, (n - at) * sizeof(now->at[0]));
	return now;
}

static struct iq_table *table_replacing(const struct iq_table *was, unsigned at, struct iq_entry *e)
{
	struct iq_table *now = xmalloc(sizeof(*now) + was->n * sizeof(now->at[0]));

	now->n = was->n;
	memcpy(now->at, was->at, was->n * sizeof(now->at[0]));
	now->at[at] = e;
	return now;
}

static struct iq_table *table_without(const struct iq_table *was, unsigned at)
{
	struct iq_table *now = xmalloc(sizeof(*now) + was->n * sizeof(now->at[0]));

	now->n = was->n - 1;
	memcpy(now->at, was->at, at * sizeof(now->at[0]));
	memcpy(now->at + at, was->at + at + 1, (now->n - at) * sizeof(now->at[0]));
	return now;
}

int iq_register(struct host *h, const struct iq_handler_spec *spec)
{
	struct iq_table *was, *now;
	unsigned at;
	bool taken;

	metric_register(&handled_metric);
	metric_register(&refused_metric);
	pthread_mutex_lock(&writing);
	was = rcu_get(h->iq[spec->scope]);
	at = position(was, spec->ns, &taken);
	if (!taken) {
		now = table_with(was, at, entry_new(spec));
		rcu_set(h->iq[spec->scope], now);
		rcu_free_later(was);
	}
	pthread_mutex_unlock(&writing);
	return taken ? IQ_TAKEN : 0;
}

/* The requests under way end on job threads and shards, neither of which waits for us. */
static void wait_for_last(struct iq_entry *e)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	while (atomic_load_explicit(&e->refs, memory_order_acquire) > 1) {
		bool reading = rcu_offline();

		nanosleep(&nap, NULL);
		rcu_online(reading);
	}
}

/* For an entry that stands in no table any more. */
static void entry_end(struct iq_entry *e)
{
	rcu_wait(); /* nobody finds it any more; inline calls are over */
	wait_for_last(e);
	entry_free(e);
}

int iq_replace(struct host *h, const struct iq_handler_spec *spec)
{
	struct iq_entry *e = NULL;
	struct iq_table *was;
	unsigned at;
	bool found;

	pthread_mutex_lock(&writing);
	was = rcu_get(h->iq[spec->scope]);
	at = position(was, spec->ns, &found);
	if (found) {
		e = was->at[at];
		rcu_set(h->iq[spec->scope], table_replacing(was, at, entry_new(spec)));
		rcu_free_later(was);
	}
	pthread_mutex_unlock(&writing);
	if (!e)
		return -ENOENT;
	entry_end(e);
	return 0;
}

void iq_unregister(struct host *h, enum iq_scope scope, const char *ns)
{
	struct iq_entry *e = NULL;
	struct iq_table *was;
	unsigned at;
	bool found;

	pthread_mutex_lock(&writing);
	was = rcu_get(h->iq[scope]);
	at = position(was, ns, &found);
	if (found) {
		e = was->at[at];
		rcu_set(h->iq[scope], table_without(was, at));
		rcu_free_later(was);
	}
	pthread_mutex_unlock(&writing);
	if (e)
		entry_end(e);
}

bool iq_registered(struct host *h, enum iq_scope scope, const char *ns)
{
	return lookup(h, scope, ns) != NULL;
}

static void count_host(struct host *h, void *arg)
{
	struct iq_counts *counts = arg;

	for (int scope = IQ_LOCAL; scope <= IQ_SM; scope++) {
		const struct iq_table *t = rcu_get(h->iq[scope]);

		for (unsigned i = 0; t && i < t->n; i++) {
			counts->handlers++;
			if (t->at[i]->carrier)
				counts->waiting += carrier_waiting(t->at[i]->carrier);
		}
	}
}

struct iq_counts iq_count(void)
{
	struct iq_counts counts = { 0 };

	route_each_host(count_host, &counts);
	return counts;
}

void iq_table_free(struct host *h)
{
	for (int scope = IQ_LOCAL; scope <= IQ_SM; scope++) {
		struct iq_table *t = rcu_get(h->iq[scope]);

		REQUIRE(!t || !t->n); /* modules withdraw their handlers before the host goes */
		free(t);
	}
}

static struct iq iq_of(
	const struct iq_entry *e, struct host *h, struct stanza *s, const struct elem *payload)
{
	return (struct iq){
		.stanza = s,
		.from = s->from,
		.to = s->to,
		.payload = payload,
		.set = s->type == IQ_SET,
		.host = h,
		.conf = e->spec.conf,
		.arg = e->spec.arg,
	};
}

/* Sends what the handler decided. */
ON_SHARD static void answer(const struct stanza *s, struct builder *b, int rc)
{
	if (rc == 0) {
		route(build_end(b));
		return;
	}
	build_drop(b);
	if (rc > 0)
		route_error(s, rc, NULL);
}

/* A request on its way to a queue and back. */
struct iq_call {
	struct job job;
	struct iq_entry *entry; /* one reference */
	struct iq iq; /* its stanza and host: one reference each */
	struct builder answer;
	int rc;
};

static void call_work(struct job *j)
{
	struct iq_call *c = container_of(j, struct iq_call, job);

	c->rc = c->entry->spec.fn(&c->iq, &c->answer);
}

static void call_done(struct job *j)
{
	struct iq_call *c = container_of(j, struct iq_call, job);

	shard_check(NULL);
	answer(c->iq.stanza, &c->answer, c->rc);
	stanza_unref(c->iq.stanza);
	host_unref(c->iq.host);
	entry_unref(c->entry);
	free(c);
}

ON_SHARD static void run_inline(
	const struct iq_entry *e, struct host *h, struct stanza *s, const struct elem *payload)
{
	struct iq iq = iq_of(e, h, s, payload);
	struct builder b;
	int rc;

	build_iq_result(&b, s);
	rc = e->spec.fn(&iq, &b);
	stall_ran_inside("iq", e->ns, (void *)e->spec.fn);
	answer(s, &b, rc);
}

/* Requests to an account queue by that account, those to the server by who asks. */
static uint64_t lane_key(enum iq_scope scope, const struct stanza *s)
{
	return scope == IQ_SM ? s->to->bare_hash : s->from->bare_hash;
}

ON_SHARD static void run_queued(
	struct iq_entry *e, struct host *h, struct stanza *s, const struct elem *payload)
{
	struct iq_call *c = xcalloc(1, sizeof(*c));

	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	c->job.work = call_work;
	c->job.done = call_done;
	c->entry = e;
	c->iq = iq_of(e, host_ref(h), stanza_ref(s), payload);
	build_iq_result(&c->answer, s);
	if (!carrier_submit(e->carrier, lane_key(e->spec.scope, s), &c->job))
		return;
	metric_add(&refused_metric, 1);
	c->rc = ERR_RESOURCE_CONSTRAINT;
	call_done(&c->job);
}

static bool type_allowed(const struct iq_entry *e, const struct stanza *s)
{
	return e->spec.types & (s->type == IQ_SET ? IQ_FOR_SET : IQ_FOR_GET);
}

int dispatch_iq(struct host *h, enum iq_scope scope, struct stanza *s)
{
	const struct elem *payload = stanza_iq_child(s);
	struct iq_entry *e;

	if (!payload) { /* RFC 6120 §8.2.3: exactly one child */
		route_error(s, ERR_BAD_REQUEST, NULL);
		return 0;
	}
	if (hook_run(h->hooks, &iq_visit_hook, &(struct iq_visit){ h, scope, s, payload }) ==
		HOOK_STOP)
		return 0;
	e = lookup(h, scope, payload->ns);
	if (!e)
		return IQ_NO_HANDLER;
	metric_add(&handled_metric, 1);
	if (!type_allowed(e, s))
		route_error(s, ERR_NOT_ALLOWED, NULL);
	else if (e->carrier)
		run_queued(e, h, s, payload);
	else
		run_inline(e, h, s, payload);
	return 0;
}
