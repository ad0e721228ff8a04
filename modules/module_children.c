/* modules/module_children.c - specifications by instance, and the supervisor asked about them. */
#include "modules/module_children.h"

#include <stdlib.h>

#include "core/supervisor.h"
#include "modules/running.h"

#define ASK_MS 600000

char *module_processes_name(const char *host)
{
	return xprintf("processes of %s", host);
}

static struct child_spec spec_of(
	struct module_instance *mi, const struct child_spec *from, char id[CHILD_ID_MAX])
{
	struct child_spec spec = *from;

	snprintf(id, CHILD_ID_MAX, "%.30s.%.30s", mi->module->name, from->id);
	spec.id = id;
	switch (spec.kind) {
	case CHILD_ACTOR:
		spec.actor.arg = mi;
		break;
	case CHILD_THREAD:
		spec.thread.arg = mi;
		break;
	case CHILD_PROCESS:
		spec.process.arg = mi;
		break;
	default:
		spec.part.arg = mi;
	}
	return spec;
}

static void add(struct module_children *c, struct module_instance *mi)
{
	const struct child_spec *from = mi->module->children;

	for (; from && from->id; from++) {
		c->at = xrealloc(c->at, (c->n + 1) * sizeof(*c->at));
		c->at[c->n++] = spec_of(mi, from, xmalloc(CHILD_ID_MAX));
	}
}

struct module_children *module_children_of(struct host *h)
{
	struct module_children *c = xcalloc(1, sizeof(*c));

	for (struct running *r = running_first(h); r; r = running_next(r))
		add(c, &r->mi);
	return c;
}

void module_children_free(struct module_children *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->n; i++)
		free((char *)c->at[i].id);
	free(c->at);
	free(c);
}

static struct actor_id supervisor_of(struct module_instance *mi)
{
	AUTO(free_ptr) char *name = module_processes_name(mi->host->name);

	return actor_whereis(name);
}

void module_children_begin(struct module_instance *mi)
{
	struct actor_id supervisor = supervisor_of(mi);
	const struct child_spec *from = mi->module->children;
	char id[CHILD_ID_MAX];

	for (; supervisor.v && from && from->id; from++) {
		const struct child_spec spec = spec_of(mi, from, id);

		/* One that fails has been logged, and cannot undo a reload any more. */
		free(supervisor_ask_wait(supervisor,
			&(struct supervisor_request){ .kind = START_CHILD, .spec = &spec },
			ASK_MS));
	}
}

static void end(struct actor_id supervisor, const char *id)
{
	static const enum supervisor_request_kind steps[] = { TERMINATE_CHILD, DELETE_CHILD };

	for (unsigned i = 0; i < ARRAY_LEN(steps); i++)
		free(supervisor_ask_wait(supervisor,
			&(struct supervisor_request){ .kind = steps[i], .id = id }, ASK_MS));
}

void module_children_end(struct module_instance *mi)
{
	struct actor_id supervisor = supervisor_of(mi);
	const struct child_spec *from = mi->module->children;
	char id[CHILD_ID_MAX];

	for (; supervisor.v && from && from->id; from++) {
		spec_of(mi, from, id);
		end(supervisor, id);
	}
}
