/* net/crowd.c - a list for each shard and kind. */
#include "net/crowd.h"

#include <stdlib.h>
#include <string.h>

#include "core/errand.h"
#include "core/mem.h"

static _Atomic int64_t counts[LISTEN_MODULES];

struct cds_list_head *crowd_here(enum listen_module kind)
{
	static _Thread_local struct cds_list_head lists[LISTEN_MODULES];
	struct cds_list_head *list = &lists[kind];

	if (!list->next)
		CDS_INIT_LIST_HEAD(list);
	return list;
}

void crowd_join(enum listen_module kind, struct cds_list_head *stream)
{
	cds_list_add(stream, crowd_here(kind));
	atomic_fetch_add_explicit(&counts[kind], 1, memory_order_relaxed);
}

void crowd_leave(enum listen_module kind, struct cds_list_head *stream)
{
	cds_list_del(stream);
	atomic_fetch_sub_explicit(&counts[kind], 1, memory_order_relaxed);
}

int64_t crowd_count(enum listen_module kind)
{
	return atomic_load_explicit(&counts[kind], memory_order_relaxed);
}

ON_SHARD static void each_here(enum listen_module kind, crowd_fn *fn, void *arg)
{
	struct cds_list_head *stream, *next;

	cds_list_for_each_safe(stream, next, crowd_here(kind)) fn(stream, arg);
}

/* --- all shards at once -------------------------------------------------------------------- */

struct told {
	struct msg msg;
	enum listen_module kind;
	crowd_fn *fn;
	char arg[] __attribute__((aligned(_Alignof(max_align_t))));
};

static void told_run(struct msg *m)
{
	struct told *t = container_of(m, struct told, msg);

	shard_check(NULL);
	each_here(t->kind, t->fn, t->arg);
	free(t);
}

void crowd_tell(enum listen_module kind, crowd_fn *fn, const void *arg, size_t bytes)
{
	for (unsigned i = 0; i < shards_count(); i++) {
		struct told *t = xcalloc(1, sizeof(*t) + bytes);

		t->msg.run = told_run;
		t->kind = kind;
		t->fn = fn;
		if (bytes)
			memcpy(t->arg, arg, bytes);
		shard_post(shard_at(i), &t->msg);
	}
}

/* --- one shard after the other ------------------------------------------------------------- */

struct visit {
	struct errand errand;
	enum listen_module kind;
	crowd_fn *fn;
	void *arg;
};

static void visit_run(struct msg *m)
{
	struct visit *v = container_of(m, struct visit, errand.msg);

	shard_check(NULL);
	each_here(v->kind, v->fn, v->arg);
	errand_tell(&v->errand);
}

void crowd_visit(enum listen_module kind, crowd_fn *fn, void *arg)
{
	for (unsigned i = 0; i < shards_count(); i++) {
		struct visit v = { .kind = kind, .fn = fn, .arg = arg };

		errand_wait(&v.errand, shard_at(i), visit_run);
	}
}
