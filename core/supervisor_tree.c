/* core/supervisor_tree.c - the tree below a supervisor, asked for level by level, and paths in it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/supervisor.h"

#define LOOK_MS                                                                          \
	2000 /* a level that does not answer in that time is shown without what is below \
	      */
#define DEPTH_MAX 16

struct walk {
	void (*fn)(const char *path, unsigned depth, const struct child_row *row, void *arg);
	void *arg;
	char path[DEPTH_MAX * CHILD_ID_MAX];
};

static struct supervisor_answer *which(struct actor_id supervisor)
{
	return supervisor_ask_wait(
		supervisor, &(struct supervisor_request){ .kind = WHICH_CHILDREN }, LOOK_MS);
}

static bool has_more(const struct child_row *row)
{
	return row->type == CHILD_SUPERVISOR && row->state == CHILD_UP;
}

/* w->path ends after len bytes, before and after. */
static void walk(struct walk *w, struct actor_id supervisor, unsigned depth, size_t len)
{
	AUTO(free_ptr) struct supervisor_answer *level = which(supervisor);
	size_t longer;

	for (unsigned i = 0; i < level->n; i++) {
		const struct child_row *row = &level->rows[i];

		longer = len +
			(size_t)snprintf(w->path + len, sizeof(w->path) - len, "%s%s",
				len ? "/" : "", row->id);
		w->fn(w->path, depth, row, w->arg);
		if (has_more(row) && depth + 1 < DEPTH_MAX)
			walk(w, row->actor, depth + 1, longer);
	}
	w->path[len] = 0;
}

void supervisor_walk(struct actor_id supervisor,
	void (*fn)(const char *path, unsigned depth, const struct child_row *row, void *arg),
	void *arg)
{
	struct walk w = { .fn = fn, .arg = arg };

	walk(&w, supervisor, 0, 0);
}

/* The supervisor among these children whose id is the first len bytes of path, or ACTOR_NONE. */
static struct actor_id below(struct actor_id supervisor, const char *path, size_t len)
{
	AUTO(free_ptr) struct supervisor_answer *level = which(supervisor);

	for (unsigned i = 0; i < level->n; i++) {
		const struct child_row *row = &level->rows[i];

		if (has_more(row) && strlen(row->id) == len && memcmp(row->id, path, len) == 0)
			return row->actor;
	}
	return ACTOR_NONE;
}

struct supervisor_answer *supervisor_ask_path(struct actor_id supervisor,
	enum supervisor_request_kind kind, const char *path, uint64_t deadline_ms)
{
	struct supervisor_answer *a;
	const char *slash;

	REQUIRE(kind != START_CHILD && kind != WHICH_CHILDREN);
	while (supervisor.v && (slash = strchr(path, '/'))) {
		supervisor = below(supervisor, path, (size_t)(slash - path));
		path = slash + 1;
	}
	if (supervisor.v)
		return supervisor_ask_wait(supervisor,
			&(struct supervisor_request){ .kind = kind, .id = path }, deadline_ms);
	a = xcalloc(1, sizeof(*a));
	a->outcome = SUPERVISOR_NOT_FOUND;
	return a;
}
