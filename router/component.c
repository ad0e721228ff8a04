/* router/component.c - domains of external components, between their streams and the route table.
 */
#include "router/component.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/job.h"
#include "core/mem.h"
#include "core/metric.h"
#include "router/deliver.h"
#include "router/route.h"
#include "xml/builder.h"

HOOK(component_connected);
HOOK(component_left);

static struct {
	struct carrier *lane; /* claims and releases, one at a time */
	pthread_mutex_t lock; /* of list */
	struct cds_list_head list; /* those that have their domains */
	_Atomic int64_t n;
} components = { .lock = PTHREAD_MUTEX_INITIALIZER,
	.list = { &components.list, &components.list } };

int64_t components_count(void)
{
	return atomic_load_explicit(&components.n, memory_order_relaxed);
}

static struct metric count_metric = METRIC_GAUGE_READ(
	"components", "Domains that external components serve.", components_count);

static struct hook_set *hooks;

static void make_hooks(void)
{
	hooks = hook_set_new();
}

struct hook_set *component_hooks(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_hooks);
	return hooks;
}

void components_start(void)
{
	metric_register(&count_metric);
	components.lane = carrier_new(CARRIER_LANES, 1, 0, "components");
}

void components_stop(void)
{
	carrier_free(components.lane);
	components.lane = NULL;
}

struct component *component_new(const struct jid *domain, struct actor_id stream)
{
	struct component *c = xcalloc(1, sizeof(*c));

	c->jid = jid_dup(domain, NULL);
	c->stream = stream;
	c->since_ms = clock_wall_ms();
	return c;
}

static void component_free(struct component *c)
{
	jid_free(c->jid);
	free(c);
}

/* The route's service: on the sender's shard. Once the stream is gone nothing is sent there again,
 * so that what deliver() gives back is answered here. */
static void to_component(void *arg, struct stanza *s)
{
	struct component *c = arg;

	shard_check(NULL);
	if (atomic_load_explicit(&c->gone, memory_order_acquire))
		route_error(s, ERR_SERVICE_UNAVAILABLE, NULL);
	else
		deliver(c->stream, s, DELIVER_SURE);
}

const struct component *component_find(const char *domain)
{
	return route_service_arg(domain, to_component);
}

void components_each(void (*fn)(const struct component *c, void *arg), void *arg)
{
	struct component *c;

	pthread_mutex_lock(&components.lock);
	cds_list_for_each_entry (c, &components.list, node)
		fn(c, arg);
	pthread_mutex_unlock(&components.lock);
}

static void list_enter(struct component *c)
{
	pthread_mutex_lock(&components.lock);
	cds_list_add_tail(&c->node, &components.list);
	pthread_mutex_unlock(&components.lock);
	atomic_fetch_add_explicit(&components.n, 1, memory_order_relaxed);
}

static void list_leave(struct component *c)
{
	pthread_mutex_lock(&components.lock);
	cds_list_del(&c->node);
	pthread_mutex_unlock(&components.lock);
	atomic_fetch_sub_explicit(&components.n, 1, memory_order_relaxed);
}

/* --- claims -------------------------------------------------------------------------------- */

struct claim {
	struct job job;
	struct actor_id stream;
	struct component *wanted, *got;
	enum component_conflict conflict;
	component_claimed_fn *done;
};

/* From another component, if it is one's. */
ON_JOB static bool take_over(struct component *c, enum component_conflict conflict)
{
	const char *domain = jid_domain(c->jid);
	struct component *was = route_service_arg(domain, to_component);

	if (!was || (conflict == COMPONENT_CLOSE_NEW && !atomic_load(&was->gone)))
		return false;
	list_leave(was);
	if (!atomic_load(&was->gone))
		was->replaced(was->stream);
	return route_replace_service(domain, to_component, c);
}

ON_JOB static bool take(struct component *c, enum component_conflict conflict)
{
	if (route_register_service(jid_domain(c->jid), to_component, c) == ROUTE_TAKEN &&
		!take_over(c, conflict))
		return false;
	list_enter(c);
	return true;
}

/* Those that are somebody else's stay in wanted. */
static void claim_work(struct job *j)
{
	struct claim *claim = container_of(j, struct claim, job);
	struct component **from = &claim->wanted, **end = &claim->got;

	job_check();
	while (*from) {
		struct component *c = *from;

		if (!take(c, claim->conflict)) {
			if (!claim->got)
				return; /* its own domain */
			from = &c->next;
			continue;
		}
		*from = c->next;
		c->next = NULL;
		*end = c;
		end = &c->next;
	}
}

static void claim_done(struct job *j)
{
	struct claim *claim = container_of(j, struct claim, job);
	struct component *next;

	shard_check(NULL);
	for (struct component *c = claim->wanted; c; c = next) {
		next = c->next;
		component_free(c);
	}
	claim->done(claim->stream, claim->got);
	free(claim);
}

void component_claim(
	struct component *list, enum component_conflict conflict, component_claimed_fn *done)
{
	struct claim *claim = xcalloc(1, sizeof(*claim));

	claim->job.work = claim_work;
	claim->job.done = claim_done;
	claim->stream = list->stream;
	claim->wanted = list;
	claim->conflict = conflict;
	claim->done = done;
	REQUIRE(!carrier_submit(components.lane, 0, &claim->job)); /* without a bound */
}

/* --- releases ------------------------------------------------------------------------------ */

struct release {
	struct job job;
	struct component *list;
};

/* One that was replaced has neither its route nor its place any more. */
static void release_work(struct job *j)
{
	struct release *r = container_of(j, struct release, job);
	struct component *next;

	job_check();
	for (struct component *c = r->list; c; c = next) {
		next = c->next;
		if (route_service_arg(jid_domain(c->jid), to_component) == c) {
			list_leave(c);
			route_unregister(jid_domain(c->jid));
		}
		component_free(c);
	}
}

static void release_done(struct job *j)
{
	shard_check(NULL);
	free(container_of(j, struct release, job));
}

void component_gone(struct component *list)
{
	for (struct component *c = list; c; c = c->next)
		atomic_store_explicit(&c->gone, true, memory_order_release);
}

void component_release(struct component *list)
{
	struct release *r;

	if (!list)
		return;
	component_gone(list);
	r = xcalloc(1, sizeof(*r));
	r->job.work = release_work;
	r->job.done = release_done;
	r->list = list;
	REQUIRE(!carrier_submit(components.lane, 0, &r->job));
}
