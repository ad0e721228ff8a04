/* modules/plan.c - reads a `modules` map, and says what differs between two. */
#include "modules/plan.h"

#include <stdlib.h>

#include "modules/catalogue.h"

void plan_free(struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++)
		options_drop(plan->at[i].options);
	free(plan->at);
	*plan = (struct plan){ 0 };
}

struct planned *plan_find(const struct plan *plan, const struct module *m)
{
	for (unsigned i = 0; i < plan->n; i++)
		if (plan->at[i].module == m)
			return &plan->at[i];
	return NULL;
}

/* The module of the plan that answers what row does; NULL: none. */
static const struct module *plan_answers(const struct plan *plan, const struct iq_row *row)
{
	for (unsigned i = 0; i < plan->n; i++)
		for (const struct iq_row *its = plan->at[i].module->iq; its && its->ns; its++)
			if (its->scope == row->scope && !strcmp(its->ns, row->ns))
				return plan->at[i].module;
	return NULL;
}

static void plan_add(struct plan *plan, const struct module *m, const struct conf_node *node,
	struct conf_errors *e)
{
	if (plan_find(plan, m)) {
		conf_fail_key(e, node, "the module %s stands here twice", m->name);
		return;
	}
	for (const struct iq_row *row = m->iq; row && row->ns; row++) {
		const struct module *other = plan_answers(plan, row);

		if (!other)
			continue;
		conf_fail_key(e, node, "the module %s answers %s already", other->name, row->ns);
		return;
	}
	plan->at[plan->n++] =
		(struct planned){ .module = m, .node = node, .options = options_read(m, node, e) };
}

int plan_read(struct plan *plan, const struct conf_node *modules, struct conf_errors *e)
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

		if (m)
			plan_add(plan, m, node, e);
	}
	if (conf_errors_count(e) == before)
		return 0;
	plan_free(plan);
	return CONF_BAD;
}

/* ---- What differs */

struct differing {
	struct module_change change;
	void (*fn)(const struct module_change *change, void *arg);
	void *arg;
};

static void tell_option(const struct conf_change *option, void *arg)
{
	struct differing *d = arg;

	d->change.option = option;
	d->fn(&d->change, d->arg);
}

void plan_differences(const struct plan *before, const struct plan *after,
	void (*fn)(const struct module_change *change, void *arg), void *arg)
{
	struct differing d = { .fn = fn, .arg = arg };

	d.change.what = MODULE_REMOVED;
	for (unsigned i = 0; i < before->n; i++) {
		d.change.module = before->at[i].module->name;
		if (!plan_find(after, before->at[i].module))
			fn(&d.change, arg);
	}
	for (unsigned i = 0; i < after->n; i++) {
		const struct planned *now = &after->at[i], *was = plan_find(before, now->module);

		d.change = (struct module_change){ .what = was ? MODULE_CHANGED : MODULE_ADDED,
			.module = now->module->name };
		if (was)
			options_differences(
				now->module, was->options, now->options, tell_option, &d);
		else
			fn(&d.change, arg);
	}
}
