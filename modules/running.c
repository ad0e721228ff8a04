/* modules/running.c - what a module has registered on a host, and how another instance takes it
 * over. */
#include "modules/running.h"

#include <stdlib.h>

#include "core/shard.h"
#include "modules/module_children.h"

/* ---- A host's list */

struct running *running_first(struct host *h)
{
	struct module_instance *mi = __atomic_load_n(&h->modules, __ATOMIC_ACQUIRE);

	return mi ? container_of(mi, struct running, mi) : NULL;
}

struct running *running_next(struct running *r)
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
	running_drop_domains(r);
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

int running_start(
	struct registry_change *c, struct host *h, struct planned *p, struct conf_errors *e)
{
	struct running *r = xcalloc(1, sizeof(*r));
	int error;

	r->mi.module = p->module;
	r->mi.host = host_ref(h);
	r->options = p->options;
	p->options = NULL;
	rcu_set(r->mi.conf, r->options->conf);
	r->starting_in = c;
	error = p->module->start ? p->module->start(&r->mi) : 0;
	r->starting_in = NULL;
	if (error < 0) {
		conf_fail_key(e, p->node, "%s did not start on %s: %s", p->module->name, h->name,
			strerror(-error));
		running_drop_domains(r);
		running_free(r);
		return error;
	}
	p->fresh = r;
	return 0;
}

void running_take_back(struct running *r)
{
	withdraw(r);
	running_free(r);
}

static void children_end(struct running *r)
{
	if (r->has_children)
		module_children_end(&r->mi);
	r->has_children = false;
}

static void children_begin(struct running *r, struct running *instead)
{
	if (instead)
		children_end(instead); /* they have the same names */
	r->has_children = r->mi.module->children != NULL;
	module_children_begin(&r->mi);
}

void running_offer(struct planned *p, const struct registry_change *c)
{
	struct running *r = p->fresh;

	answering_begin(r);
	hooks_begin(r, p->running);
	running_take_domains(r, c);
	running_list(r, p->running);
	children_begin(r, p->running);
	log_info("modules", p->running ? "started anew" : "started",
		L_STR("module", p->module->name), L_STR("host", r->mi.host->name));
}

void running_stop(struct running *r)
{
	running_unlist(r);
	children_end(r);
	withdraw(r); /* its grace period also covers the list */
	log_info("modules", "stopped", L_STR("module", r->mi.module->name),
		L_STR("host", r->mi.host->name));
	running_free(r);
}

void running_hand_over(struct planned *p)
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
