/* modules/registry.c - starts, changes and stops modules on hosts. One mutex covers every step of a
 * change; readers walk a host's list under RCU. A change first reads all settings into plans and
 * starts what is new unseen, so that what is wrong or does not start changes nothing. */
#include "modules/registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/shard.h"
#include "modules/catalogue.h"
#include "modules/domain_set.h"
#include "modules/options.h"
#include "modules/plan.h"

/* One row of a running module, registered with the dispatcher. */
struct answering {
	struct running *owner;
	const struct iq_row *row;
	struct iqdisc disc;
	bool given; /* another module's row has taken its place */
};

struct service {
	RCU_PTR(struct service) next;
	char *domain;
	char *title;
	service_fn *fn;
	void *arg;
	bool routed; /* the domain is ours in the route table: since the commit, until given away */
};

struct running {
	struct module_instance mi;
	RCU_PTR(struct running) next; /* of the host, in the order started */
	struct options *options; /* one reference; mi.conf is their conf */
	struct answering *answering;
	unsigned n_answering; /* registered */
	unsigned n_hooks; /* added */
	bool leaving; /* stops with the commit of the change that is being prepared */
	RCU_PTR(struct service) services;
};

/* One host of a change. */
struct host_plan {
	struct host *host;
	const struct conf_node *at;
	struct plan plan;
};
struct registry_change {
	struct host_plan *hosts;
	size_t n_hosts;
	struct host **gone;
	size_t n_gone;
	struct domain_set afterwards; /* the hosts' names, and what the fresh will serve */
};
static struct registry_change *preparing; /* whose modules are being started */

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

/* ---- A host's list */

static struct running *running_first(struct host *h)
{
	struct module_instance *mi = __atomic_load_n(&h->modules, __ATOMIC_ACQUIRE);

	return mi ? container_of(mi, struct running, mi) : NULL;
}

static struct running *running_next(struct running *r)
{
	return rcu_get(r->next);
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

/* A row of a module that is leaving the host; NULL: nobody answers that. */
static struct answering *answering_to_take(struct host *h, const struct iq_row *row)
{
	for (struct running *r = running_first(h); r; r = running_next(r))
		for (unsigned i = 0; r->leaving && i < r->n_answering; i++) {
			struct answering *a = &r->answering[i];

			if (!a->given && a->row->scope == row->scope &&
				!strcmp(a->row->ns, row->ns))
				return a;
		}
	return NULL;
}

static void answering_begin(struct running *r)
{
	const struct iq_row *rows = r->mi.module->iq;
	struct host *h = r->mi.host;
	unsigned n = 0;

	while (rows && rows[n].ns)
		n++;
	r->answering = xcalloc(n + 1, sizeof(*r->answering));
	for (unsigned i = 0; i < n; i++) {
		struct answering *a = &r->answering[i], *was = answering_to_take(h, &rows[i]);
		struct iq_handler_spec spec;

		*a = (struct answering){
			.owner = r, .row = &rows[i], .disc = options_disc(r->options, &rows[i])
		};
		spec = answering_spec(a);
		REQUIRE((was ? iq_replace(h, &spec) : iq_register(h, &spec)) == 0);
		if (was)
			was->given = true;
		r->n_answering++;
	}
}

static void answering_end(struct running *r)
{
	while (r->n_answering > 0) {
		const struct answering *a = &r->answering[--r->n_answering];

		if (!a->given)
			iq_unregister(r->mi.host, a->row->scope, a->row->ns);
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

static struct service *service_find(struct running *r, const char *domain)
{
	struct service *v = rcu_get(r->services);

	while (v && strcmp(v->domain, domain) != 0)
		v = rcu_get(v->next);
	return v;
}

/* The service of a leaving module that holds the domain; NULL: none. */
static struct service *service_leaving(struct host *h, bool h_goes, const char *domain)
{
	for (struct running *r = running_first(h); r; r = running_next(r)) {
		struct service *v = h_goes || r->leaving ? service_find(r, domain) : NULL;

		if (v && v->routed)
			return v;
	}
	return NULL;
}

static struct service *service_to_take(const struct registry_change *c, const char *domain)
{
	struct service *v = NULL;

	for (size_t i = 0; i < c->n_hosts && !v; i++)
		v = service_leaving(c->hosts[i].host, false, domain);
	for (size_t i = 0; i < c->n_gone && !v; i++)
		v = service_leaving(c->gone[i], true, domain);
	return v;
}

static bool host_goes(const struct registry_change *c, const char *name)
{
	for (size_t i = 0; i < c->n_gone; i++)
		if (!strcmp(c->gone[i]->name, name))
			return true;
	return false;
}

/* Nobody who is there, and stays, has the domain. */
static bool comes_free(const struct registry_change *c, const char *domain)
{
	return !route_has(domain) || host_goes(c, domain) || service_to_take(c, domain);
}

int module_serve(struct module_instance *mi, const char *domain, const char *title, service_fn *fn,
	void *arg)
{
	struct running *r = container_of(mi, struct running, mi);
	AUTO(free_ptr) char *text = with_host(domain, mi->host->name);
	char prepared[JID_PART_MAX + 1];
	struct service *v;

	REQUIRE(preparing);
	if (jid_prep_domain(text, strlen(text), prepared) < 0) {
		log_error("modules", "not a domain", L_STR("module", mi->module->name),
			L_STR("domain", text));
		return -EINVAL;
	}
	if (!comes_free(preparing, prepared) || !domain_set_add(&preparing->afterwards, prepared)) {
		log_error("modules", "the domain is taken", L_STR("module", mi->module->name),
			L_STR("domain", prepared));
		return -EADDRINUSE;
	}
	v = xcalloc(1, sizeof(*v));
	v->domain = xstrdup(prepared);
	v->title = title ? xstrdup(title) : NULL;
	v->fn = fn;
	v->arg = arg;
	rcu_set(v->next, rcu_get(r->services));
	rcu_set(r->services, v);
	return 0;
}

/* The domains become the module's, those of one that is leaving at once. */
static void services_begin(struct running *r, const struct registry_change *c)
{
	for (struct service *v = rcu_get(r->services); v; v = rcu_get(v->next)) {
		struct service *was = route_has(v->domain) ? service_to_take(c, v->domain) : NULL;

		if (was) {
			was->routed = false;
			REQUIRE(route_replace_service(v->domain, v->fn, v->arg));
		} else {
			REQUIRE(route_register_service(v->domain, v->fn, v->arg) == 0);
		}
		v->routed = true;
	}
}

static void services_end(struct running *r)
{
	struct service *v = rcu_swap(r->services, NULL), *next;

	if (v)
		rcu_wait(); /* those who list them, where no route is withdrawn */
	for (; v; v = next) {
		next = rcu_get(v->next);
		if (v->routed)
			route_unregister(v->domain); /* waits for a grace period */
		service_free(v);
	}
}

/* ---- Starting and stopping one */

/* Into the list: at the end, or in the place of one that it takes over from. */
static void running_list(struct running *r, struct running *instead)
{
	struct host *h = r->mi.host;
	struct running *before = running_first(h);

	if (instead)
		rcu_set(r->next, running_next(instead));
	if (before == instead) {
		__atomic_store_n(&h->modules, &r->mi, __ATOMIC_RELEASE);
		return;
	}
	while (running_next(before) != instead)
		before = running_next(before);
	rcu_set(before->next, r);
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

static void hooks_begin(struct running *r, struct running *instead)
{
	const struct hook_row *row = r->mi.module->hooks;
	struct hook_set *hooks = r->mi.host->hooks;

	for (; row && row->hook; row++, r->n_hooks++)
		if (!instead ||
			!hook_replace(hooks, row->hook, row->order, row->fn, &instead->mi, &r->mi))
			hook_add(hooks, row->hook, row->order, row->fn, &r->mi);
	if (instead)
		instead->n_hooks = 0;
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

static void running_free(struct running *r)
{
	options_drop(r->options);
	host_unref(r->mi.host);
	free(r);
}

/* Starts one that nobody sees yet; it takes the plan's options. */
static int running_start(struct host *h, struct planned *p, struct conf_errors *e)
{
	struct running *r = xcalloc(1, sizeof(*r));
	int error;

	r->mi.module = p->module;
	r->mi.host = host_ref(h);
	r->options = p->options;
	p->options = NULL;
	rcu_set(r->mi.conf, r->options->conf);
	error = p->module->start ? p->module->start(&r->mi) : 0;
	if (error < 0) {
		conf_fail_key(e, p->node, "%s did not start on %s: %s", p->module->name, h->name,
			strerror(-error));
		services_end(r);
		running_free(r);
		return error;
	}
	p->fresh = r;
	return 0;
}

/* Offers what was started, in the place of what ran before. */
static void running_offer(struct planned *p, const struct registry_change *c)
{
	struct running *r = p->fresh;

	answering_begin(r);
	hooks_begin(r, p->running);
	services_begin(r, c);
	running_list(r, p->running);
	log_info("modules", p->running ? "started anew" : "started",
		L_STR("module", p->module->name), L_STR("host", r->mi.host->name));
}

static void running_stop(struct running *r)
{
	running_unlist(r);
	withdraw(r); /* its grace period also covers the list */
	log_info("modules", "stopped", L_STR("module", r->mi.module->name),
		L_STR("host", r->mi.host->name));
	running_free(r);
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

static int start_fresh(struct host_plan *hp, struct conf_errors *e)
{
	for (unsigned i = 0; i < hp->plan.n; i++) {
		struct planned *p = &hp->plan.at[i];
		int error = p->running && !p->running->leaving ? 0 : running_start(hp->host, p, e);

		if (error < 0)
			return error;
	}
	return 0;
}

static int prepare_host(struct registry_change *c, struct host_plan *hp, struct conf_errors *e)
{
	const char *name = hp->host->name;

	if (route_host(name) != hp->host && !comes_free(c, name)) {
		conf_fail(e, hp->at, "a module serves the domain %s already", name);
		return -EADDRINUSE;
	}
	return start_fresh(hp, e);
}

int registry_change_prepare(struct registry_change *c, struct conf_errors *e)
{
	int error = 0;

	lock_registry();
	preparing = c;
	for (size_t i = 0; i < c->n_hosts; i++) {
		domain_set_add(&c->afterwards, c->hosts[i].host->name);
		match_running(&c->hosts[i]);
	}
	for (size_t i = 0; i < c->n_hosts && error == 0; i++)
		error = prepare_host(c, &c->hosts[i], e);
	preparing = NULL;
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
		withdraw(p->fresh);
		running_free(p->fresh);
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
