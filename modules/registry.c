/* modules/registry.c - starts, changes and stops modules on hosts. One mutex covers every change;
 * readers walk a host's list under RCU. Every change first reads all settings into a plan, so that
 * a wrong one changes nothing. */
#include "modules/registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/shard.h"
#include "modules/catalogue.h"
#include "modules/options.h"

/* One row of a running module, registered with the dispatcher. */
struct answering {
	struct running *owner;
	const struct iq_row *row;
	struct iqdisc disc;
};

struct service {
	RCU_PTR(struct service) next;
	char *domain;
	char *title;
};

struct running {
	struct module_instance mi;
	RCU_PTR(struct running) next; /* of the host, in the order started */
	struct options *options; /* one reference; mi.conf is their conf */
	struct answering *answering;
	unsigned n_answering; /* registered */
	unsigned n_hooks; /* added */
	RCU_PTR(struct service) services;
};

/* One entry of a `modules` map, read and found right. */
struct planned {
	const struct module *module;
	const struct conf_node *node;
	struct options *options; /* owned until it is given to a running */
	struct running *running; /* of before; set while reloading */
	struct options *before; /* restarted: what it had, owned */
	bool fresh; /* started by this reload */
};
struct plan {
	struct planned *at;
	unsigned n;
};

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

/* ---- Plans */

static void plan_free(struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++) {
		options_drop(plan->at[i].options);
		options_drop(plan->at[i].before);
	}
	free(plan->at);
}

static struct planned *plan_find(const struct plan *plan, const struct module *m)
{
	for (unsigned i = 0; i < plan->n; i++)
		if (plan->at[i].module == m)
			return &plan->at[i];
	return NULL;
}

/* 0, or CONF_BAD and there is no plan. */
static int plan_read(struct plan *plan, const struct conf_node *modules, struct conf_errors *e)
{
	unsigned before = conf_errors_count(e);
	const struct conf_node *node;

	*plan = (struct plan){ 0 };
	if (!modules || conf_node_kind(modules) == CONF_NULL)
		return 0;
	if (conf_node_kind(modules) != CONF_MAPPING) {
		conf_fail(e, modules, "expected a map of modules with their options");
		return CONF_BAD;
	}
	plan->at = xcalloc(conf_node_count(modules) + 1, sizeof(*plan->at));
	conf_node_each (node, modules) {
		const struct module *m = catalogue_find(node, e);

		if (m && plan_find(plan, m))
			conf_fail_key(e, node, "the module %s stands here twice", m->name);
		else if (m)
			plan->at[plan->n++] = (struct planned){
				.module = m, .node = node, .options = options_read(m, node, e)
			};
	}
	if (conf_errors_count(e) == before)
		return 0;
	plan_free(plan);
	return CONF_BAD;
}

int registry_check(
	const char *host_name UNUSED, const struct conf_node *modules, struct conf_errors *e)
{
	struct plan plan;
	int result;

	lock_registry();
	result = plan_read(&plan, modules, e);
	if (result == 0)
		plan_free(&plan);
	unlock_registry();
	return result;
}

/* ---- A running module's requests */

/* Stands before every handler: gives it settings that stay whole while it runs. */
static int answer(const struct iq *iq, struct builder *out)
{
	const struct answering *a = iq->arg;
	struct module_instance *mi = &a->owner->mi;
	struct iq call = *iq;
	int result;

	call.arg = mi;
	if (shard_self()) {
		call.conf = module_conf(mi); /* whole until the end of the turn */
		return a->row->fn(&call, out);
	}
	call.conf = module_conf_hold(mi);
	result = a->row->fn(&call, out);
	module_conf_drop(call.conf);
	return result;
}

static struct iq_handler_spec answering_spec(struct answering *a)
{
	return (struct iq_handler_spec){ .scope = a->row->scope,
		.ns = a->row->ns,
		.types = a->row->types,
		.disc = a->disc,
		.fn = answer,
		.arg = a };
}

static int answering_begin(struct running *r, const struct conf_node *at, struct conf_errors *e)
{
	const struct iq_row *rows = r->mi.module->iq;
	unsigned n = 0;

	while (rows && rows[n].ns)
		n++;
	r->answering = xcalloc(n + 1, sizeof(*r->answering));
	for (unsigned i = 0; i < n; i++) {
		struct iq_handler_spec spec;

		r->answering[i] = (struct answering){
			.owner = r, .row = &rows[i], .disc = options_disc(r->options, &rows[i])
		};
		spec = answering_spec(&r->answering[i]);
		if (iq_register(r->mi.host, &spec) != 0) {
			conf_fail_key(e, at, "another module of %s answers %s already",
				r->mi.host->name, rows[i].ns);
			return -EADDRINUSE;
		}
		r->n_answering++;
	}
	return 0;
}

static void answering_end(struct running *r)
{
	while (r->n_answering > 0) {
		const struct iq_row *row = r->answering[--r->n_answering].row;

		iq_unregister(r->mi.host, row->scope, row->ns);
	}
	free(r->answering);
	r->answering = NULL;
}

static void answering_move(struct answering *a, struct iqdisc disc)
{
	struct iq_handler_spec spec;

	if (disc.kind == a->disc.kind && disc.max_queue == a->disc.max_queue &&
		(disc.kind != IQ_QUEUES || disc.queues == a->disc.queues))
		return;
	a->disc = disc;
	spec = answering_spec(a);
	REQUIRE(iq_replace(a->owner->mi.host, &spec) == 0);
}

/* ---- Domains of modules */

/* template with the host's name for each @HOST@. The caller frees. */
static char *with_host(const char *template, const char *host)
{
	char *text = xstrdup(template), *at;

	while ((at = strstr(text, "@HOST@"))) {
		char *longer = xprintf("%.*s%s%s", (int)(at - text), text, host, at + 6);

		free(text);
		text = longer;
	}
	return text;
}

static void service_free(struct service *v)
{
	if (!v)
		return;
	free(v->domain);
	free(v->title);
	free(v);
}

int module_serve(struct module_instance *mi, const char *domain, const char *title, service_fn *fn,
	void *arg)
{
	struct running *r = container_of(mi, struct running, mi);
	AUTO(free_ptr) char *text = with_host(domain, mi->host->name);
	char prepared[JID_PART_MAX + 1];
	struct service *v;

	if (jid_prep_domain(text, strlen(text), prepared) < 0) {
		log_error("modules", "not a domain", L_STR("module", mi->module->name),
			L_STR("domain", text));
		return -EINVAL;
	}
	v = xcalloc(1, sizeof(*v));
	v->domain = xstrdup(prepared);
	v->title = title ? xstrdup(title) : NULL;
	if (route_register_service(v->domain, fn, arg) != 0) {
		log_error("modules", "the domain is taken", L_STR("module", mi->module->name),
			L_STR("domain", v->domain));
		service_free(v);
		return -EADDRINUSE;
	}
	rcu_set(v->next, rcu_get(r->services));
	rcu_set(r->services, v);
	return 0;
}

static void services_end(struct running *r)
{
	struct service *v = rcu_swap(r->services, NULL), *next;

	for (next = v; next; next = rcu_get(next->next))
		route_unregister(
			next->domain); /* waits for a grace period: v is unseen from here */
	for (; v; v = next) {
		next = rcu_get(v->next);
		service_free(v);
	}
}

/* ---- Starting and stopping one */

static struct running *running_first(struct host *h)
{
	struct module_instance *mi = __atomic_load_n(&h->modules, __ATOMIC_ACQUIRE);

	return mi ? container_of(mi, struct running, mi) : NULL;
}

static struct running *running_next(struct running *r)
{
	return rcu_get(r->next);
}

static void running_list(struct running *r)
{
	struct running *last = running_first(r->mi.host);

	while (last && running_next(last))
		last = running_next(last);
	if (last)
		rcu_set(last->next, r);
	else
		__atomic_store_n(&r->mi.host->modules, &r->mi, __ATOMIC_RELEASE);
}

/* Out of the list; readers may stand on it until a grace period is over. */
static void running_unlist(struct running *r)
{
	struct running *before = running_first(r->mi.host), *next = running_next(r);

	if (before == r) {
		__atomic_store_n(&r->mi.host->modules, next ? &next->mi : NULL, __ATOMIC_RELEASE);
		return;
	}
	while (before && running_next(before) != r)
		before = running_next(before);
	if (before)
		rcu_set(before->next, next);
}

static void hooks_begin(struct running *r)
{
	const struct hook_row *row = r->mi.module->hooks;

	for (; row && row->hook; row++, r->n_hooks++)
		hook_add(r->mi.host->hooks, row->hook, row->order, row->fn, &r->mi);
}

static void hooks_end(struct running *r)
{
	while (r->n_hooks > 0) {
		const struct hook_row *row = &r->mi.module->hooks[--r->n_hooks];

		hook_remove(r->mi.host->hooks, row->hook, row->order, row->fn, &r->mi);
	}
}

/* Withdraws all that the module offers and waits until nobody uses it. */
static void withdraw(struct running *r)
{
	answering_end(r);
	hooks_end(r);
	services_end(r);
	rcu_wait();
	if (r->mi.module->stop)
		r->mi.module->stop(&r->mi);
	r->mi.data = NULL;
}

/* Offers the module with its settings as they are. */
static int offer(struct running *r, const struct conf_node *at, struct conf_errors *e)
{
	int error;

	rcu_set(r->mi.conf, r->options->conf);
	error = r->mi.module->start ? r->mi.module->start(&r->mi) : 0;
	if (error < 0) {
		conf_fail_key(e, at, "%s did not start on %s: %s", r->mi.module->name,
			r->mi.host->name, strerror(-error));
		services_end(r);
		return error;
	}
	error = answering_begin(r, at, e);
	if (error < 0) {
		withdraw(r);
		return error;
	}
	hooks_begin(r);
	return 0;
}

static void running_free(struct running *r)
{
	options_drop(r->options);
	host_unref(r->mi.host);
	free(r);
}

/* Takes the plan's settings, if it starts. */
static int running_start(struct host *h, struct planned *p, struct conf_errors *e)
{
	struct running *r = xcalloc(1, sizeof(*r));
	int error;

	r->mi.module = p->module;
	r->mi.host = host_ref(h);
	r->options = p->options;
	error = offer(r, p->node, e);
	if (error < 0) {
		r->options = NULL;
		running_free(r);
		return error;
	}
	p->options = NULL;
	p->running = r;
	p->fresh = true;
	running_list(r);
	log_info("modules", "started", L_STR("module", p->module->name), L_STR("host", h->name));
	return 0;
}

static void running_stop(struct running *r)
{
	running_unlist(r);
	withdraw(r); /* its grace period also covers the list */
	log_info("modules", "stopped", L_STR("module", r->mi.module->name),
		L_STR("host", r->mi.host->name));
	running_free(r);
}

/* ---- Hosts */

static void stop_all(struct host *h)
{
	struct running *r, *next;

	while ((r = running_first(h))) {
		while ((next = running_next(r)))
			r = next;
		running_stop(r);
	}
}

int registry_start_host(struct host *h, const struct conf_node *modules, struct conf_errors *e)
{
	struct plan plan;
	int result;

	lock_registry();
	result = plan_read(&plan, modules, e);
	if (result != 0)
		goto unlock;
	for (unsigned i = 0; i < plan.n && result == 0; i++)
		result = running_start(h, &plan.at[i], e);
	if (result < 0)
		stop_all(h);
	plan_free(&plan);
unlock:
	unlock_registry();
	return result;
}

void registry_stop_host(struct host *h)
{
	lock_registry();
	stop_all(h);
	unlock_registry();
}

/* Other settings that only a start can apply. 0, or negative errno: it runs as before. */
static int running_restart(struct planned *p, struct conf_errors *e)
{
	struct running *r = p->running;
	int error;

	withdraw(r);
	p->before = r->options;
	r->options = p->options;
	p->options = NULL;
	error = offer(r, p->node, e);
	if (error == 0)
		return 0;
	options_drop(r->options);
	r->options = p->before;
	p->before = NULL;
	if (offer(r, p->node, e) == 0)
		return error;
	running_unlist(r);
	rcu_wait();
	running_free(r);
	p->running = NULL;
	return error;
}

static void running_hand_over(struct planned *p)
{
	struct running *r = p->running;
	struct options *old = r->options;

	if (options_same(p->module, old, p->options))
		return;
	r->options = p->options;
	p->options = NULL;
	rcu_set(r->mi.conf, r->options->conf);
	for (unsigned i = 0; i < r->n_answering; i++)
		answering_move(&r->answering[i], options_disc(r->options, r->answering[i].row));
	rcu_wait(); /* from here on only who counted old has it */
	if (p->module->reload)
		p->module->reload(&r->mi, old->conf);
	options_drop(old);
}

/* Starts and restarts what the plan asks for; the part of a reload that can fail. */
static int plan_begin(struct host *h, struct plan *plan, struct conf_errors *e)
{
	for (unsigned i = 0; i < plan->n; i++) {
		struct planned *p = &plan->at[i];
		int error = 0;

		if (!p->running)
			error = running_start(h, p, e);
		else if (options_need_restart(p->module, p->running->options, p->options))
			error = running_restart(p, e);
		if (error < 0)
			return error;
	}
	return 0;
}

static void plan_take_back(struct plan *plan, struct conf_errors *e)
{
	for (unsigned i = plan->n; i-- > 0;) {
		struct planned *p = &plan->at[i];

		if (p->fresh) {
			running_stop(p->running);
		} else if (p->before) {
			p->options = p->before;
			p->before = NULL;
			running_restart(p, e);
		}
	}
}

static void plan_finish(struct host *h, struct plan *plan)
{
	struct running *r, *next;

	for (r = running_first(h); r; r = next) {
		next = running_next(r);
		if (!plan_find(plan, r->mi.module))
			running_stop(r);
	}
	for (unsigned i = 0; i < plan->n; i++)
		if (plan->at[i].options)
			running_hand_over(&plan->at[i]);
}

int registry_reload_host(struct host *h, const struct conf_node *modules, struct conf_errors *e)
{
	struct plan plan;
	int result;

	lock_registry();
	result = plan_read(&plan, modules, e);
	if (result != 0)
		goto unlock;
	for (struct running *r = running_first(h); r; r = running_next(r)) {
		struct planned *p = plan_find(&plan, r->mi.module);

		if (p)
			p->running = r;
	}
	result = plan_begin(h, &plan, e);
	if (result < 0)
		plan_take_back(&plan, e);
	else
		plan_finish(h, &plan);
	plan_free(&plan);
unlock:
	unlock_registry();
	return result;
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
