/* core/child_spec.c - which specifications are good ones. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* An id that is there twice, or NULL. There may be very many. */
static const char *find_twice(const struct child_spec *specs, unsigned n)
{
	const char **ids = xcalloc(n, sizeof(*ids)), *found = NULL;

	for (unsigned i = 0; i < n; i++)
		ids[i] = specs[i].id;
	qsort(ids, n, sizeof(*ids), by_text);
	for (unsigned i = 1; i < n && !found; i++)
		if (!strcmp(ids[i - 1], ids[i]))
			found = ids[i];
	free(ids);
	return found;
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
	const char *why, *twice;

	for (unsigned i = 0; i < n; i++) {
		if (!id_is_good(specs[i].id))
			return fail(out_why, specs[i].id, "no id, a long one, or one with a slash");
		why = refuse(&specs[i]);
		if (why)
			return fail(out_why, specs[i].id, why);
	}
	twice = n > 1 ? find_twice(specs, n) : NULL;
	return twice ? fail(out_why, twice, "its id is there twice") : 0;
}
