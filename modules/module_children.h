/* modules/module_children.h - what modules want to be looked after (struct module's children), as
 * children of one supervisor for each host. It is started after the host's modules, with what they
 * ask for then; modules that come or go later, by a reload, bring and take away theirs. */
#pragma once

#include "modules/module.h"

struct running;

/* The name that the host's supervisor is registered under; the caller frees. */
char *module_processes_name(const char *host);

struct module_children {
	unsigned n;
	struct child_spec *at; /* owned, and their ids */
};
/* Those of all that run there. Any registered thread; a shard, too. */
struct module_children *module_children_of(struct host *h);
void module_children_free(struct module_children *c); /* NULL is fine */

/* A module begins or ends to run beside a supervisor that runs already. No supervisor: nothing. Not
 * on a shard. */
void module_children_begin(struct module_instance *mi);
void module_children_end(struct module_instance *mi); /* returns when they have ended */
