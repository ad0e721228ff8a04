/* router/route.c - the route table, and the first of the router's decisions: whose domain is it? */
#include "router/route.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/rculfhash.h>

#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"
#include "router/local.h"
#include "router/message.h"
#include "router/s2s.h"
#include "xml/builder.h"

HOOK(foreign_stanza);
HOOK(host_message);
HOOK(host_answer);
HOOK(offline_message);

struct route_entry {
	struct cds_lfht_node node;
	struct rcu_head rcu;
	char *domain;
	struct host *host; /* counted; NULL: a service */
	service_fn *fn;
	void *arg;
};

static struct {
	pthread_mutex_t writing;
	pthread_once_t made;
	struct cds_lfht *routes;
	RCU_PTR(struct route_entry) own; /* the host that route_own_name() names */
	_Atomic unsigned n, n_services;
} table = { .writing = PTHREAD_MUTEX_INITIALIZER, .made = PTHREAD_ONCE_INIT };

static struct metric routed_metrics[] = {
	METRIC_COUNTER_OF("stanzas_routed_total", "kind=\"message\"", "Stanzas routed."),
	METRIC_COUNTER_OF("stanzas_routed_total", "kind=\"presence\"", "Stanzas routed."),
	METRIC_COUNTER_OF("stanzas_routed_total", "kind=\"iq\"", "Stanzas routed."),
};
static struct metric bounced_metric =
	METRIC_COUNTER("stanzas_bounced_total", "Stanzas answered with an error by the router.");

static void make_table(void)
{
	table.routes = cds_lfht_new(64, 64, 0, CDS_LFHT_AUTO_RESIZE, NULL);
	REQUIRE(table.routes);
	for (size_t i = 0; i < ARRAY_LEN(routed_metrics); i++)
		metric_register(&routed_metrics[i]);
	metric_register(&bounced_metric);
}

static int entry_matches(struct cds_lfht_node *node, const void *key)
{
	struct route_entry *e = caa_container_of(node, struct route_entry, node);

	tsan_acquire(e);
	return !strcmp(e->domain, key);
}

static struct route_entry *find(const char *domain)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	pthread_once(&table.made, make_table);
	cds_lfht_lookup(table.routes, jid_hash_domain(domain, strlen(domain)), entry_matches,
		domain, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? caa_container_of(node, struct route_entry, node) : NULL;
}

static int add(const char *domain, struct host *h, service_fn *fn, void *arg)
{
	struct route_entry *e;
	int rc = ROUTE_TAKEN;

	pthread_mutex_lock(&table.writing);
	if (!find(domain)) {
		e = xcalloc(1, sizeof(*e));
		e->domain = xstrdup(domain);
		e->host = h ? host_ref(h) : NULL;
		e->fn = fn;
		e->arg = arg;
		cds_lfht_node_init(&e->node);
		tsan_release(e);
		cds_lfht_add(table.routes, jid_hash_domain(domain, strlen(domain)), &e->node);
		if (h && !rcu_get(table.own))
			rcu_set(table.own, e);
		atomic_fetch_add(&table.n, 1);
		atomic_fetch_add(&table.n_services, !h);
		rc = 0;
	}
	pthread_mutex_unlock(&table.writing);
	return rc;
}

int route_register_host(struct host *h)
{
	return add(h->name, h, NULL, NULL);
}

int route_register_service(const char *domain, service_fn *fn, void *arg)
{
	return add(domain, NULL, fn, arg);
}

/* For an entry that stands in the table no more. */
static void entry_end(struct route_entry *e)
{
	rcu_wait(); /* no reader calls e->fn any more */
	host_unref(e->host);
	free(e->domain);
	free(e);
}

bool route_replace_service(const char *domain, service_fn *fn, void *arg)
{
	unsigned long hash = jid_hash_domain(domain, strlen(domain));
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;
	struct route_entry *was = NULL, *now;

	pthread_once(&table.made, make_table);
	pthread_mutex_lock(&table.writing);
	cds_lfht_lookup(table.routes, hash, entry_matches, domain, &iter);
	node = cds_lfht_iter_get_node(&iter);
	if (node)
		was = caa_container_of(node, struct route_entry, node);
	if (was && !was->host) {
		now = xcalloc(1, sizeof(*now));
		now->domain = xstrdup(domain);
		now->fn = fn;
		now->arg = arg;
		cds_lfht_node_init(&now->node);
		tsan_release(now);
		REQUIRE(!cds_lfht_replace(
			table.routes, &iter, hash, entry_matches, domain, &now->node));
	}
	pthread_mutex_unlock(&table.writing);
	if (!was || was->host)
		return false;
	entry_end(was);
	return true;
}

void *route_service_arg(const char *domain, service_fn *fn)
{
	const struct route_entry *e = find(domain);

	return e && !e->host && e->fn == fn ? e->arg : NULL;
}

/* Some host that is still there. */
static struct route_entry *any_host(void)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	cds_lfht_for_each (table.routes, &iter, node) {
		struct route_entry *e = caa_container_of(node, struct route_entry, node);

		tsan_acquire(e);
		if (e->host)
			return e;
	}
	return NULL;
}

void route_unregister(const char *domain)
{
	struct route_entry *e;

	pthread_mutex_lock(&table.writing);
	e = find(domain);
	if (e) {
		cds_lfht_del(table.routes, &e->node);
		if (rcu_get(table.own) == e)
			rcu_set(table.own, any_host());
		atomic_fetch_sub(&table.n, 1);
		atomic_fetch_sub(&table.n_services, !e->host);
	}
	pthread_mutex_unlock(&table.writing);
	if (e)
		entry_end(e);
}

struct host *route_host(const char *domain)
{
	struct route_entry *e = find(domain);

	return e ? e->host : NULL;
}

const char *route_own_name(void)
{
	const struct route_entry *e = rcu_get(table.own);

	return e ? e->domain : "";
}

bool route_has(const char *domain)
{
	return find(domain) != NULL;
}

void route_each_host(void (*fn)(struct host *h, void *arg), void *arg)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	pthread_once(&table.made, make_table);
	cds_lfht_for_each (table.routes, &iter, node) {
		struct route_entry *e = caa_container_of(node, struct route_entry, node);

		tsan_acquire(e);
		if (e->host)
			fn(e->host, arg);
	}
}

unsigned route_count(void)
{
	return atomic_load(&table.n);
}

unsigned route_count_services(void)
{
	return atomic_load(&table.n_services);
}

/* A message that no account of ours receives. False: it goes no further. */
ON_SHARD static bool message_passes(struct stanza *s, enum verdict verdict)
{
	struct message_passing passing = { .stanza = s, .verdict = verdict };

	return s->kind != STANZA_MESSAGE ||
		hook_run(message_hooks(), &message_hook, &passing) == HOOK_GO_ON;
}

ON_SHARD static enum verdict to_service(const struct route_entry *e, struct stanza *s)
{
	if (!message_passes(s, ROUTE_SERVICE))
		return ROUTE_BOUNCE;
	e->fn(e->arg, s);
	return ROUTE_SERVICE;
}

/* Behind the tables stands the s2s manager. */
ON_SHARD static enum verdict to_elsewhere(struct stanza *s)
{
	if (!s2s_accept(s))
		return ROUTE_BOUNCE;
	if (!message_passes(s, ROUTE_FORWARD)) {
		message_taken(s);
		return ROUTE_BOUNCE;
	}
	s2s_route(s);
	return ROUTE_FORWARD;
}

enum verdict route(struct stanza *s)
{
	const struct route_entry *e;
	enum verdict verdict;

	REQUIRE(s->sealed && s->to && s->from);
	if (s->kind < ARRAY_LEN(routed_metrics))
		metric_add(&routed_metrics[s->kind], 1);
	e = find(jid_domain(s->to));
	if (!e)
		verdict = to_elsewhere(s);
	else if (e->host)
		verdict = local_route(e->host, s);
	else
		verdict = to_service(e, s);
	stanza_unref(s);
	return verdict;
}

enum verdict route_foreign(struct stanza *s)
{
	const struct host *h = route_host(jid_domain(s->to));

	if (h && hook_run(h->hooks, &foreign_stanza_hook, s) == HOOK_STOP) {
		stanza_unref(s);
		return ROUTE_DROP;
	}
	stanza_seal(s);
	return route(s);
}

int route_unfit(const struct stanza *s)
{
	if (s->faults & STANZA_BAD_TO)
		return ERR_JID_MALFORMED; /* §8.3.3.8 */
	if (s->type == TYPE_BAD)
		return ERR_BAD_REQUEST;
	if (s->kind == STANZA_IQ && !s->id)
		return ERR_BAD_REQUEST; /* §8.1.3 */
	if ((s->type == IQ_GET || s->type == IQ_SET) && !stanza_iq_child(s))
		return ERR_BAD_REQUEST; /* §8.2.3 */
	return 0;
}

struct posted {
	struct msg msg;
	struct stanza *stanza;
};

static void posted_run(struct msg *m)
{
	struct posted *p = container_of(m, struct posted, msg);

	shard_check(NULL);
	route(p->stanza);
	free(p);
}

void route_post(struct stanza *s)
{
	struct posted *p = xmalloc(sizeof(*p));

	p->msg.run = posted_run;
	p->stanza = s;
	shard_post(shard_at(s->from->full_hash % shards_count()), &p->msg);
}

/* Sealed; NULL: there is none to be given. */
static struct stanza *error_for(const struct stanza *s, int cond, const char *text)
{
	struct builder b;

	if (!s->from || s->type == MSG_ERROR || s->type == PRES_ERROR || s->type == IQ_ERROR ||
		s->type == IQ_RESULT)
		return NULL;
	metric_add(&bounced_metric, 1);
	build_error(&b, s, cond, text);
	if (!s->to) /* it was for the sender's own account: RFC 6120 §10.3 */
		build_attr_jid(&b, "from", jid_bare(s->from, &b.stanza->arena));
	return build_end(&b);
}

void route_error(const struct stanza *s, int cond, const char *text)
{
	struct stanza *error = error_for(s, cond, text);

	if (error)
		route(error);
}

void route_error_instead(struct stanza *s, int cond, const char *text)
{
	struct stanza *error = error_for(s, cond, text);

	if (!error) {
		message_taken(s);
		return;
	}
	atomic_store_explicit(&error->log_record, message_give_up_record(s), memory_order_release);
	if (route(stanza_ref(error)) != ROUTE_DELIVER)
		message_taken(error);
	stanza_unref(error);
}
