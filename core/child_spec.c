/* core/child_spec.c - which specifications are good ones. */
#include <errno.h>
#include <stdio.h>

#include "core/child_life.h"
#include "core/mem.h"

static bool id_is_good(const char *id)
{
	return id && *id && strlen(id) < CHILD_ID_MAX && !strchr(id, '/');
}

/* Why it is no good by itself, or NULL. */
static const char *refuse(const struct child_spec *spec)
{
	const struct child_methods *kind = child_methods(spec->kind);

	if ((unsigned)spec->restart > CHILD_TEMPORARY)
		return "no such restart";
	if ((unsigned)spec->type > CHILD_SUPERVISOR)
		return "no such type";
	if (spec->shutdown_ms < CHILD_INFINITY)
		return "no such shutdown";
	if (spec->modules && !spec->modules[0])
		return "an empty list of modules";
	if (!kind)
		return "no start";
	if (spec->type == CHILD_SUPERVISOR && spec->kind != CHILD_ACTOR)
		return "a supervisor is an actor";
	return kind->refuse(spec);
}

static bool id_is_taken(const struct child_spec *specs, unsigned n, const char *id)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(specs[i].id, id) == 0)
			return true;
	return false;
}

static int fail(char *out_why, const char *id, const char *why)
{
	if (out_why)
		snprintf(out_why, CHILD_REASON_MAX * 2, "%.64s: %s", id ? id : "", why);
	return -EINVAL;
}

int child_specs_check(
	const struct child_spec *specs, unsigned n, char out_why[CHILD_REASON_MAX * 2])
{
	const char *why;

	for (unsigned i = 0; i < n; i++) {
		if (!id_is_good(specs[i].id))
			return fail(out_why, specs[i].id, "no id, a long one, or one with a slash");
		if (id_is_taken(specs, i, specs[i].id))
			return fail(out_why, specs[i].id, "its id is there twice");
		why = refuse(&specs[i]);
		if (why)
			return fail(out_why, specs[i].id, why);
	}
	return 0;
}
