/* modules/registry.c - starts, changes and stops modules on hosts. One mutex covers every step of a
 * change; readers walk a host's list under RCU. A change first reads all settings into plans and
 * starts what is new unseen, so that what is wrong or does not start changes nothing. */
#include "modules/registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "modules/catalogue.h"
#include "modules/running.h"

/* Covers the catalogue and writing to hosts' lists. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Nobody waits for the lock while it reads under RCU: its holder may wait for a grace period. */
static void lock_registry(void)
{
	bool reading = rcu_offline();

	pthread_mutex_lock(&lock);
	rcu_online(reading);
}

static void unlock_registry(void)
{
	pthread_mutex_unlock(&lock);
}

void registry_set_folders(const struct conf_list *folders)
{
	lock_registry();
	catalogue_set_folders(folders);
	unlock_registry();
}

int registry_check(
	const char *host_name UNUSED, const struct conf_node *modules, struct conf_errors *e)
{
	struct plan plan;
	int result;

	lock_registry();
	result = plan_read(&plan, modules, e);
	plan_free(&plan);
	unlock_registry();
	return result;
}

void registry_differences(const struct conf_node *before, const struct conf_node *after,
	void (*fn)(const struct module_change *change, void *arg), void *arg)
{
	struct conf_errors *errors = conf_errors_new();
	struct plan was, now;

	lock_registry();
	plan_read(&was, before, errors);
	plan_read(&now, after, errors);
	plan_differences(&was, &now, fn, arg);
	plan_free(&was);
	plan_free(&now);
	unlock_registry();
	conf_errors_free(errors);
}

/* ---- Changes */

struct registry_change *registry_change_begin(void)
{
	return xcalloc(1, sizeof(struct registry_change));
}

int registry_change_host(struct registry_change *c, struct host *h, const struct conf_node *at,
	const struct conf_node *modules, struct conf_errors *e)
{
	struct host_plan hp = { .host = h, .at = at };
	int result;

	lock_registry();
	result = plan_read(&hp.plan, modules, e);
	unlock_registry();
	if (result != 0)
		return result;
	c->hosts = xrealloc(c->hosts, (c->n_hosts + 1) * sizeof(*c->hosts));
	c->hosts[c->n_hosts++] = hp;
	return 0;
}

void registry_change_gone(struct registry_change *c, struct host *h)
{
	c->gone = xrealloc(c->gone, (c->n_gone + 1) * sizeof(struct host *));
	c->gone[c->n_gone++] = h;
}

/* Who goes on with the same instance, who leaves. */
static void match_running(struct host_plan *hp)
{
	for (struct running *r = running_first(hp->host); r; r = running_next(r)) {
		struct planned *p = plan_find(&hp->plan, r->mi.module);

		if (p)
			p->running = r;
		r->leaving = !p || options_need_restart(p->module, r->options, p->options);
	}
}

static int start_fresh(struct registry_change *c, struct host_plan *hp, struct conf_errors *e)
{
	for (unsigned i = 0; i < hp->plan.n; i++) {
		struct planned *p = &hp->plan.at[i];
		int error =
			p->running && !p->running->leaving ? 0 : running_start(c, hp->host, p, e);

		if (error < 0)
			return error;
	}
	return 0;
}

static int prepare_host(struct registry_change *c, struct host_plan *hp, struct conf_errors *e)
{
	const char *name = hp->host->name;

	if (route_host(name) != hp->host && !running_comes_free(c, name)) {
		conf_fail(e, hp->at, "a module serves the domain %s already", name);
		return -EADDRINUSE;
	}
	return start_fresh(c, hp, e);
}

int registry_change_prepare(struct registry_change *c, struct conf_errors *e)
{
	int error = 0;

	lock_registry();
	for (size_t i = 0; i < c->n_hosts; i++) {
		domain_set_add(&c->afterwards, c->hosts[i].host->name);
		match_running(&c->hosts[i]);
	}
	for (size_t i = 0; i < c->n_hosts && error == 0; i++)
		error = prepare_host(c, &c->hosts[i], e);
	unlock_registry();
	return error;
}

static void change_free(struct registry_change *c)
{
	for (size_t i = 0; i < c->n_hosts; i++)
		plan_free(&c->hosts[i].plan);
	free(c->hosts);
	free(c->gone);
	domain_set_fini(&c->afterwards);
	free(c);
}

static void stop_fresh(struct host_plan *hp)
{
	for (unsigned i = hp->plan.n; i-- > 0;) {
		struct planned *p = &hp->plan.at[i];

		if (!p->fresh)
			continue;
		running_take_back(p->fresh);
		p->fresh = NULL;
	}
}

static void stay_all(struct host *h)
{
	for (struct running *r = running_first(h); r; r = running_next(r))
		r->leaving = false;
}

void registry_change_abandon(struct registry_change *c)
{
	if (!c)
		return;
	lock_registry();
	for (size_t i = c->n_hosts; i-- > 0;) {
		stop_fresh(&c->hosts[i]);
		stay_all(c->hosts[i].host);
	}
	unlock_registry();
	change_free(c);
}

/* Those that another instance has replaced stand in no list any more. */
static void stop_leaving(struct host_plan *hp)
{
	struct running *r, *next;

	for (unsigned i = 0; i < hp->plan.n; i++)
		if (hp->plan.at[i].fresh && hp->plan.at[i].running)
			running_stop(hp->plan.at[i].running);
	for (r = running_first(hp->host); r; r = next) {
		next = running_next(r);
		if (r->leaving)
			running_stop(r);
	}
}

static void hand_over(struct host_plan *hp)
{
	for (unsigned i = 0; i < hp->plan.n; i++)
		if (hp->plan.at[i].running && !hp->plan.at[i].fresh)
			running_hand_over(&hp->plan.at[i]);
}

void registry_change_commit(struct registry_change *c)
{
	lock_registry();
	for (size_t i = 0; i < c->n_hosts; i++)
		for (unsigned k = 0; k < c->hosts[i].plan.n; k++)
			if (c->hosts[i].plan.at[k].fresh)
				running_offer(&c->hosts[i].plan.at[k], c);
	for (size_t i = 0; i < c->n_hosts; i++) {
		stop_leaving(&c->hosts[i]);
		hand_over(&c->hosts[i]);
	}
	unlock_registry();
	change_free(c);
}

/* ---- One host */

int registry_reload_host(struct host *h, const struct conf_node *modules, struct conf_errors *e)
{
	struct registry_change *c = registry_change_begin();
	int result = registry_change_host(c, h, NULL, modules, e);

	if (result == 0)
		result = registry_change_prepare(c, e);
	if (result == 0)
		registry_change_commit(c);
	else
		registry_change_abandon(c);
	return result;
}

int registry_start_host(struct host *h, const struct conf_node *modules, struct conf_errors *e)
{
	return registry_reload_host(h, modules, e);
}

void registry_stop_host(struct host *h)
{
	struct running *r, *next;

	lock_registry();
	while ((r = running_first(h))) {
		while ((next = running_next(r)))
			r = next;
		running_stop(r);
	}
	unlock_registry();
}

/* ---- Looking */

struct module_instance *registry_find(struct host *h, const char *name)
{
	name = module_plain_name(name);
	for (struct running *r = running_first(h); r; r = running_next(r))
		if (strcmp(r->mi.module->name, name) == 0)
			return &r->mi;
	return NULL;
}

void registry_each(struct host *h, void (*fn)(struct module_instance *mi, void *arg), void *arg)
{
	for (struct running *r = running_first(h); r; r = running_next(r))
		fn(&r->mi, arg);
}

void registry_iq_each(struct module_instance *mi,
	void (*fn)(const struct iq_row *row, const struct iqdisc *disc, void *arg), void *arg)
{
	struct running *r = container_of(mi, struct running, mi);

	lock_registry();
	for (unsigned i = 0; i < r->n_answering; i++)
		fn(r->answering[i].row, &r->answering[i].disc, arg);
	unlock_registry();
}

const char *iqdisc_text(const struct iqdisc *disc, char text[IQDISC_TEXT_MAX])
{
	static const char *const words[] = {
		[IQ_NO_QUEUE] = "no_queue", [IQ_ONE_QUEUE] = "one_queue", [IQ_PARALLEL] = "parallel"
	};

	if (disc->kind != IQ_QUEUES)
		return words[disc->kind];
	snprintf(text, IQDISC_TEXT_MAX, "{queues: %u}", disc->queues);
	return text;
}

void module_feature_each(
	struct host *h, enum iq_scope scope, void (*fn)(const char *feature, void *arg), void *arg)
{
	for (struct running *r = running_first(h); r; r = running_next(r)) {
		const struct module *m = r->mi.module;
		const char *const *f = scope == IQ_LOCAL ? m->features : m->account_features;

		for (; f && *f; f++)
			fn(*f, arg);
	}
}

void module_service_each(
	struct host *h, void (*fn)(const char *domain, const char *title, void *arg), void *arg)
{
	for (struct running *r = running_first(h); r; r = running_next(r))
		for (struct service *v = rcu_get(r->services); v; v = rcu_get(v->next))
			fn(v->domain, v->title, arg);
}

struct reference {
	void (*fn)(const struct module *m, const struct conf_item *common, void *arg);
	void *arg;
};

static void add_reference(const struct module *m, void *arg)
{
	const struct reference *r = arg;

	r->fn(m, options_common(m), r->arg);
}

void registry_reference_each(
	void (*fn)(const struct module *m, const struct conf_item *common, void *arg), void *arg)
{
	struct reference r = { fn, arg };

	lock_registry();
	catalogue_each(add_reference, &r);
	unlock_registry();
}
