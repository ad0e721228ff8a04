/* modules/plan.h - one host's `modules` map, read and found right, before anything of it runs.
 * For modules/registry, whose lock covers every call: reading looks into the catalogue. */
#pragma once

#include "modules/options.h"
#include "modules/registry.h"

struct running; /* modules/registry.c */

struct planned {
	const struct module *module;
	const struct conf_node *node;
	struct options *options; /* owned until it is given to a running */
	struct running *running; /* as the host has it by now; NULL: none */
	struct running
		*fresh; /* started by this change; takes over from running, if there is one */
};
struct plan {
	struct planned *at;
	unsigned n;
};

/* 0, or CONF_BAD and there is no plan. modules NULL or empty: a plan of none. */
int plan_read(struct plan *plan, const struct conf_node *modules, struct conf_errors *e);
void plan_free(struct plan *plan);
struct planned *plan_find(const struct plan *plan, const struct module *m);
/* What makes one plan of the other, both still with their files. */
void plan_differences(const struct plan *before, const struct plan *after,
	void (*fn)(const struct module_change *change, void *arg), void *arg);
