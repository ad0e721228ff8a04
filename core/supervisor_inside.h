/* core/supervisor_inside.h - a supervisor, for its own files alone: supervisor.c is its life and
 * its queue of work, supervisor_move.c stops and starts ranges of children, supervisor_request.c
 * does what it is asked for. Everything runs on its shard. */
#pragma once

#include "core/child_life.h"
#include "core/intensity.h"
#include "core/supervisor.h"

struct supervisor;

/* What the supervisor is at: a range of children is stopped, last first, and then started, first
 * first. Then done() is called, once. */
enum stage { STAGE_IDLE, STAGE_STOPPING, STAGE_STARTING };
enum which { START_NONE, START_RESTARTABLE, START_ALL };
struct move {
	enum stage stage;
	struct child *first, *last; /* NULL: no child at all */
	struct child *at; /* next to be stopped or started */
	enum which which;
	bool begun; /* at has been told to start: what has come of it is to be looked at */
	/* failed: the child that could not be started, where the move broke off; or NULL. */
	void (*done)(struct supervisor *s, struct child *failed);
};

struct supervisor {
	struct gen gen;
	struct supervisor_plan plan; /* its table is its owner's */
	struct intensity intensity;
	struct cds_list_head children; /* struct child, in start order */
	unsigned n_children;
	struct move move;
	struct child *awaited; /* whose change the move waits for */
	/* The work that waits its turn: exits come before requests, as they make the requests'
	 * answers true. */
	struct cds_list_head exits; /* struct child.exit */
	struct cds_list_head requests; /* struct request.node */
	struct request *asked; /* the one that the move is for; owned */
	struct child *subject; /* of that request */
	const char *ending; /* why it is to end as soon as the step under way is through */
	bool over; /* it has ended, as soon as the running handler has returned */
	bool in_init;
	struct next init_result; /* what init is to return; NEXT_LATER until known */
	uint64_t serial; /* of SIMPLE_ONE_FOR_ONE's children */
};

struct request {
	struct cds_list_head node;
	struct caller from;
	enum supervisor_request_kind kind;
	char id[CHILD_ID_MAX];
	struct child_spec spec;
	char why[CHILD_REASON_MAX * 2]; /* the specification is no good; or "" */
	struct term extra;
};

/* supervisor.c */
ON_SHARD struct child *supervisor_add(struct supervisor *s, const struct child_spec *spec);
ON_SHARD void supervisor_remove(struct supervisor *s, struct child *c); /* it is down */
ON_SHARD struct child *supervisor_find(struct supervisor *s, const char *id); /* NULL: none */
/* Whom the strategy stops and starts with c, c too. */
ON_SHARD void supervisor_affected(
	struct supervisor *s, struct child *c, struct child **first, struct child **last);
/* Does what can be done now. s may be gone afterwards. */
ON_SHARD void supervisor_run(struct supervisor *s);

/* supervisor_move.c */
ON_SHARD void move_range(struct supervisor *s, struct child *first, struct child *last,
	enum which which, void (*done)(struct supervisor *s, struct child *failed));
/* Only starts. */
ON_SHARD void move_start(struct supervisor *s, struct child *first, struct child *last,
	enum which which, void (*done)(struct supervisor *s, struct child *failed));
/* One step further; false when it has to wait for a child. Calls done(). */
ON_SHARD bool move_step(struct supervisor *s);

/* supervisor_request.c */
ON_SHARD void request_take(struct supervisor *s, struct term *t, struct caller from);
ON_SHARD void request_begin(struct supervisor *s, struct request *r); /* takes r */
void request_free(struct request *r); /* its caller hears nothing; NULL is fine */
