/* modules/registry.c - finds modules, reads their settings, starts and stops them on hosts.
 * One mutex covers every change; readers walk a host's list under RCU. Every change first reads
 * all settings into a plan, so that a wrong one changes nothing. */
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/shard.h"
#include "modules/registry.h"

#define BUILT_IN(X) \
	X(auth_internal) X(cputime) X(disco) X(echo) X(last) X(ping) X(register) X(time) X(version)

#define BUILT_IN_DECLARE(n) extern const struct module module_##n;
BUILT_IN(BUILT_IN_DECLARE)
#define BUILT_IN_ENTRY(n) &module_##n,
static const struct module *const built_in[] = { BUILT_IN(BUILT_IN_ENTRY) };

struct plugin {
	struct plugin *next;
	const struct module *module;
};

/* One module's settings on one host. Counted: a handler that blocks keeps them across a reload. */
struct settings {
	_Atomic uint32_t refs;
	struct arena arena;
	struct iqdisc disc; /* kind and queues only if disc_given */
	bool disc_given;
	const void *conf; /* the module's own part; settings_of() leads back */
};

struct common_conf {
	const struct conf_node *iqdisc;
	int64_t max_queue;
};

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
	struct settings *settings; /* one reference; mi.conf is their conf */
	struct answering *answering;
	unsigned n_answering; /* registered */
	unsigned n_hooks; /* added */
	RCU_PTR(struct service) services;
};

/* One entry of a `modules` map, read and found right. */
struct planned {
	const struct module *module;
	const struct conf_node *node;
	struct settings *settings; /* owned until it is given to a running */
	struct running *running; /* of before; set while reloading */
	struct settings *before; /* restarted: what it had, owned */
	bool fresh; /* started by this reload */
};
struct plan {
	struct planned *at;
	unsigned n;
};

/* Covers every static below and writing to hosts' lists. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct plugin *plugins;
static char **folders;
static size_t n_folders;

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

/* ---- Finding modules */

static const char *plain_name(const char *name)
{
	return strncmp(name, "mod_", 4) == 0 ? name + 4 : name;
}

static const struct module *known(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(built_in); i++)
		if (strcmp(built_in[i]->name, name) == 0)
			return built_in[i];
	for (struct plugin *p = plugins; p; p = p->next)
		if (strcmp(p->module->name, name) == 0)
			return p->module;
	return NULL;
}

static bool name_may_be_file(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '_' &&
			*c != '-')
			return false;
	return *name != '\0';
}

static const struct module *plugin_open(
	const char *path, const char *name, const struct conf_node *at, struct conf_errors *e)
{
	void *code = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct module *const *symbol;
	const struct module *m;
	struct plugin *p;

	if (!code) {
		conf_fail_key(e, at, "the module cannot be loaded: %s", dlerror());
		return NULL;
	}
	symbol = dlsym(code, LINNET_MODULE_SYMBOL);
	if (!symbol || !*symbol) {
		conf_fail_key(e, at, "%s is not a module: it has no symbol %s", path,
			LINNET_MODULE_SYMBOL);
		goto close;
	}
	m = *symbol;
	if (m->abi != LINNET_MODULE_ABI) {
		conf_fail_key(e, at,
			"%s was built for module interface %u, this server has %u: build it anew",
			path, m->abi, LINNET_MODULE_ABI);
		goto close;
	}
	if (strcmp(m->name, name) != 0) {
		conf_fail_key(e, at, "%s holds a module named %s", path, m->name);
		goto close;
	}
	p = xmalloc(sizeof(*p));
	*p = (struct plugin){ .next = plugins, .module = m };
	plugins = p;
	log_info("modules", "loaded", L_STR("module", name), L_STR("file", path));
	return m;
close:
	dlclose(code);
	return NULL;
}

/* NULL: e says why not. */
static const struct module *find_module(const struct conf_node *at, struct conf_errors *e)
{
	const char *name = plain_name(conf_node_key(at));
	const struct module *m = known(name);
	struct conf_guess guess = { .given = name };

	if (m)
		return m;
	for (size_t i = 0; i < n_folders && name_may_be_file(name); i++) {
		AUTO(free_ptr) char *path = xprintf("%s/%s.so", folders[i], name);

		if (access(path, F_OK) == 0)
			return plugin_open(path, name, at, e);
	}
	for (size_t i = 0; i < ARRAY_LEN(built_in); i++)
		conf_guess(&guess, built_in[i]->name);
	for (struct plugin *p = plugins; p; p = p->next)
		conf_guess(&guess, p->module->name);
	conf_fail_key_guess(e, at, &guess, "there is no module \"%s\"", name);
	return NULL;
}

void registry_set_folders(const struct conf_list *list)
{
	const char *const *names = list->at;

	lock_registry();
	for (size_t i = 0; i < n_folders; i++)
		free(folders[i]);
	free(folders);
	n_folders = list->n;
	folders = xcalloc(n_folders + 1, sizeof(*folders));
	for (size_t i = 0; i < n_folders; i++)
		folders[i] = xstrdup(names[i]);
	unlock_registry();
}

/* ---- Settings of one module */

#define NUMBER_TEXT_(n) #n
#define NUMBER_TEXT(n) NUMBER_TEXT_(n)
#define QUEUES_MAX 1024

static const struct conf_item common_items[] = {
	{ "iqdisc", CONF_RAW, FIELD(struct common_conf, iqdisc, const struct conf_node *),
		.help = "Where the module's requests are answered, instead of where each is by "
			"default: "
			"no_queue (at once, by the thread that read the request), one_queue (a "
			"thread of "
			"its own, in order), {queues: N} (N queues on the job threads, an account "
			"always "
			"in the same one) or parallel (the job threads, in no order)." },
	{ "max_queue", CONF_INT, FIELD(struct common_conf, max_queue, int64_t),
		.preset = NUMBER_TEXT(IQ_MAX_QUEUE), .unit = "requests", .min = 1, .max = 1000000,
		.help = "How many requests may wait or be worked on at once; one more is answered "
			"with "
			"resource-constraint, type wait." },
	{ 0 }
};

static const struct conf_item *common_of(const struct module *m)
{
	return m->iq ? common_items : NULL;
}

/* The settings stand in front of the module's own part, so that whoever has that can count them. */
static struct settings *settings_of(const void *conf)
{
	return *(struct settings **)((const char *)conf - sizeof(max_align_t));
}

static void settings_drop(struct settings *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
		return;
	arena_fini(&s->arena);
	free(s);
}

static void disc_read(struct settings *s, const struct conf_node *n, struct conf_errors *e)
{
	static const struct {
		const char *word;
		enum iq_discipline kind;
	} plain[] = { { "no_queue", IQ_NO_QUEUE }, { "one_queue", IQ_ONE_QUEUE },
		{ "parallel", IQ_PARALLEL } };
	static const struct conf_item queues = { "queues", CONF_INT, .min = 1, .max = QUEUES_MAX };
	const struct conf_node *n_queues = conf_node_get(n, "queues");
	struct conf_guess guess = { .given = conf_node_text(n) };
	int64_t number = 1;

	s->disc_given = true;
	if (n_queues && conf_node_count(n) == 1) {
		s->disc.kind = IQ_QUEUES;
		conf_fill_value(&queues, n_queues, &number, &s->arena, e);
		s->disc.queues = (unsigned)number;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (conf_node_kind(n) == CONF_SCALAR &&
			strcmp(conf_node_text(n), plain[i].word) == 0) {
			s->disc.kind = plain[i].kind;
			return;
		}
		conf_guess(&guess, plain[i].word);
	}
	conf_fail_guess(e, n, &guess,
		"iqdisc: expected no_queue, one_queue, parallel or {queues: N}, found \"%s\"",
		conf_node_text(n));
}

static void disc_check(const struct settings *s, const struct module *m, const struct conf_node *at,
	struct conf_errors *e)
{
	if (!s->disc_given || s->disc.kind != IQ_NO_QUEUE)
		return;
	for (const struct iq_row *row = m->iq; row->ns; row++) {
		if (!row->blocks)
			continue;
		conf_fail(e, at, "iqdisc: %s asks the database, so it cannot be no_queue", m->name);
		return;
	}
}

/* Always returns settings; what is wrong is in e. */
static struct settings *settings_read(
	const struct module *m, const struct conf_node *map, struct conf_errors *e)
{
	struct settings *s = xcalloc(1, sizeof(*s));
	struct common_conf common = { .max_queue = IQ_MAX_QUEUE };
	struct settings **front;
	unsigned before = conf_errors_count(e);
	const char *wrong;
	struct conf_part parts[2];

	atomic_init(&s->refs, 1);
	arena_init(&s->arena, NULL, 0);
	front = arena_zalloc(&s->arena, sizeof(max_align_t) + m->conf_size);
	*front = s;
	s->conf = (char *)front + sizeof(max_align_t);
	parts[0] = (struct conf_part){ .rows = m->conf, .out = (void *)s->conf };
	parts[1] = (struct conf_part){ .rows = common_of(m), .out = &common };
	conf_fill_parts(parts, ARRAY_LEN(parts), map, &s->arena, e);
	s->disc.max_queue = (unsigned)common.max_queue;
	if (common.iqdisc) {
		disc_read(s, common.iqdisc, e);
		disc_check(s, m, common.iqdisc, e);
	}
	wrong = m->check && conf_errors_count(e) == before ? m->check(s->conf, &s->arena) : NULL;
	if (wrong)
		conf_fail_key(e, map, "%s", wrong);
	return s;
}

static struct iqdisc disc_for(const struct settings *s, const struct iq_row *row)
{
	struct iqdisc disc = s->disc;

	if (!s->disc_given) {
		disc.kind = row->disc;
		disc.queues = row->queues ? row->queues : IQ_ROW_QUEUES;
	}
	return disc;
}

const void *module_conf_hold(struct module_instance *mi)
{
	const void *conf = module_conf(mi);

	atomic_fetch_add_explicit(&settings_of(conf)->refs, 1, memory_order_relaxed);
	return conf;
}

void module_conf_drop(const void *held)
{
	if (held)
		settings_drop(settings_of(held));
}

/* ---- Plans */

static void plan_free(struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++) {
		settings_drop(plan->at[i].settings);
		settings_drop(plan->at[i].before);
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
		const struct module *m = find_module(node, e);

		if (m && plan_find(plan, m))
			conf_fail_key(e, node, "the module %s stands here twice", m->name);
		else if (m)
			plan->at[plan->n++] = (struct planned){
				.module = m, .node = node, .settings = settings_read(m, node, e)
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
			.owner = r, .row = &rows[i], .disc = disc_for(r->settings, &rows[i])
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

static bool disc_equal(const struct iqdisc *a, const struct iqdisc *b)
{
	return a->kind == b->kind && a->max_queue == b->max_queue &&
		(a->kind != IQ_QUEUES || a->queues == b->queues);
}

static void answering_move(struct answering *a, struct iqdisc disc)
{
	struct iq_handler_spec spec;

	if (disc_equal(&a->disc, &disc))
		return;
	a->disc = disc;
	spec = answering_spec(a);
	iq_unregister(a->owner->mi.host, a->row->scope, a->row->ns);
	REQUIRE(iq_register(a->owner->mi.host, &spec) == 0);
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

	rcu_set(r->mi.conf, r->settings->conf);
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
	settings_drop(r->settings);
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
	r->settings = p->settings;
	error = offer(r, p->node, e);
	if (error < 0) {
		r->settings = NULL;
		running_free(r);
		return error;
	}
	p->settings = NULL;
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

static void note_restart(const struct conf_change *change, void *arg)
{
	bool *restart = arg;

	*restart |= change->item->needs_restart;
}

/* Other settings that only a start can apply. 0, or negative errno: it runs as before. */
static int running_restart(struct planned *p, struct conf_errors *e)
{
	struct running *r = p->running;
	int error;

	withdraw(r);
	p->before = r->settings;
	r->settings = p->settings;
	p->settings = NULL;
	error = offer(r, p->node, e);
	if (error == 0)
		return 0;
	settings_drop(r->settings);
	r->settings = p->before;
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
	struct settings *old = r->settings;

	r->settings = p->settings;
	p->settings = NULL;
	rcu_set(r->mi.conf, r->settings->conf);
	for (unsigned i = 0; i < r->n_answering; i++)
		answering_move(&r->answering[i], disc_for(r->settings, r->answering[i].row));
	rcu_wait(); /* from here on only who counted old has it */
	if (p->module->reload)
		p->module->reload(&r->mi, old->conf);
	settings_drop(old);
}

/* Starts and restarts what the plan asks for; the part of a reload that can fail. */
static int plan_begin(struct host *h, struct plan *plan, struct conf_errors *e)
{
	for (unsigned i = 0; i < plan->n; i++) {
		struct planned *p = &plan->at[i];
		bool restart = false;
		int error = 0;

		if (!p->running)
			error = running_start(h, p, e);
		else if (p->module->conf)
			conf_differences(p->module->conf, p->running->settings->conf,
				p->settings->conf, note_restart, &restart);
		if (restart)
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
			p->settings = p->before;
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
		if (plan->at[i].settings)
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
	name = plain_name(name);
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

void registry_reference_each(
	void (*fn)(const struct module *m, const struct conf_item *common, void *arg), void *arg)
{
	lock_registry();
	for (size_t i = 0; i < ARRAY_LEN(built_in); i++)
		fn(built_in[i], common_of(built_in[i]), arg);
	for (struct plugin *p = plugins; p; p = p->next)
		fn(p->module, common_of(p->module), arg);
	unlock_registry();
}
