/* core/supervisor.h - keeps its children running by restarting them when necessary. After Erlang's
 * supervisor(3); docs/supervision.md has the whole picture.
 * A supervisor is an actor and does one thing at a time: what comes while it starts or stops a
 * child (exits, requests) waits its turn, in order. Children are described in core/child.h, and
 * start in the order of the table, each when the one before is up; they stop in the reverse order.
 *
 *   static const struct supervisor_plan routing = {
 *           .strategy = REST_FOR_ONE, .max_restarts = 3, .within_s = 10,
 *           SUPERVISOR_CHILDREN(children),
 *   };
 *   r = supervisor_spawn_wait(shard_at(0), &routing, &(struct start){ .name = "routing" });
 *
 * The start is through when all children have been started: STARTED; START_IGNORED or START_FAILED
 * as its init says; START_FAILED with STOP_SHUTDOWN when a child could not be started, and then
 * those before it have been stopped. gen_stop_id() stops the children, then the supervisor.
 * A supervisor among another one's children: see SUPERVISOR_CHILD(). */
#pragma once

#include "core/child.h"

enum supervisor_strategy {
	ONE_FOR_ONE, /* only the one that ended is restarted */
	ONE_FOR_ALL, /* all others are stopped, then all are started */
	REST_FOR_ONE, /* those after it are stopped, then it and they are started */
	SIMPLE_ONE_FOR_ONE, /* ONE_FOR_ONE, where all are added later, from one specification */
};
#define SUPERVISOR_IGNORE 1
struct supervisor_plan {
	enum supervisor_strategy strategy;
	/* MaxR and MaxT: more than so many restarts within so many seconds end all children and
	 * then the supervisor, with STOP_INTENSITY. */
	unsigned max_restarts; /* up to INTENSITY_MAX of core/intensity.h */
	unsigned within_s;
	const struct child_spec *children; /* SIMPLE_ONE_FOR_ONE: exactly one, its id a label */
	unsigned n_children;
	/* Module:init, at each start of the supervisor: fills in *out, which is a copy of this. 0,
	 * SUPERVISOR_IGNORE, or negative errno. NULL: the plan is as it stands here. */
	int (*init)(struct supervisor_plan *out, void *arg);
	void *arg;
};
#define SUPERVISOR_CHILDREN(table_) .children = (table_), .n_children = ARRAY_LEN(table_)
#define STOP_INTENSITY "too many restarts"

extern const struct gen_class supervisor_class; /* its init's arg: a struct supervisor_plan * */
#define SUPERVISOR_CHILD(plan_, ...)                             \
	.type = CHILD_SUPERVISOR, .shutdown_ms = CHILD_INFINITY, \
	ACTOR_CHILD(&supervisor_class, .arg = (void *)(plan_), ##__VA_ARGS__)

ANY_THREAD static inline void supervisor_spawn(
	struct shard *on, const struct supervisor_plan *plan, const struct start *how)
{
	gen_spawn(on, &supervisor_class, (void *)plan, how);
}
/* Blocks: never on a shard. */
ANY_THREAD static inline struct start_result supervisor_spawn_wait(
	struct shard *on, const struct supervisor_plan *plan, const struct start *how)
{
	return gen_spawn_wait(on, &supervisor_class, (void *)plan, how);
}

/* --- requests --- */

enum supervisor_request_kind {
	START_CHILD, /* adds .spec and starts it; SIMPLE_ONE_FOR_ONE: starts one more, with .extra
		      */
	TERMINATE_CHILD, /* stops it; the specification stays */
	DELETE_CHILD, /* forgets the specification; the child must not be running */
	RESTART_CHILD, /* starts one that is not running */
	WHICH_CHILDREN,
	/* What Erlang's do not have, for an operator: the child, and with it those that the
	 * strategy would stop and start if it ended: all of ONE_FOR_ALL, those after it of
	 * REST_FOR_ONE. Stopped last first, started first first; one that does not start leaves
	 * those after it down. */
	STOP_WITH_REST,
	START_WITH_REST, /* the child must not be running */
	RESTART_WITH_REST,
};
struct supervisor_request {
	enum supervisor_request_kind kind;
	const char *id; /* of the child; START_CHILD, WHICH_CHILDREN: unused */
	const struct child_spec *spec; /* START_CHILD: copied, with the id */
	/* Takes the place of the specification's arg, restarts too; dropped with the child. Taken
	 * in any case. */
	struct term extra;
};

enum supervisor_outcome {
	SUPERVISOR_OK, /* a child whose start was ignored: .child.state is CHILD_DOWN */
	SUPERVISOR_ALREADY_PRESENT, /* START_CHILD: the id is there, and not running */
	SUPERVISOR_ALREADY_STARTED, /* START_CHILD: the id is there, and running */
	SUPERVISOR_RUNNING, /* DELETE_CHILD, RESTART_CHILD, START_WITH_REST */
	SUPERVISOR_NOT_FOUND,
	SUPERVISOR_SIMPLE_ONE_FOR_ONE, /* which does not do this */
	SUPERVISOR_BAD_SPEC, /* child_specs_check() has .why */
	SUPERVISOR_START_FAILED, /* .why says how */
	SUPERVISOR_GONE, /* there is no such supervisor (any more), or it does not answer */
};
struct supervisor_answer {
	enum supervisor_outcome outcome;
	struct child_row child; /* as it is now; of an error only where the child is known */
	char why[CHILD_REASON_MAX * 2];
	unsigned n; /* WHICH_CHILDREN: in start order */
	struct child_row rows[];
};
ANY_THREAD const char *supervisor_outcome_name(enum supervisor_outcome outcome);

/* a is the receiver's until it returns; asker: NULL when that actor is gone. On the asker's shard,
 * exactly once. */
typedef void supervisor_fn(struct actor *asker, const struct supervisor_answer *a, void *arg);
ON_SHARD void supervisor_ask(struct actor *asker, struct actor_id supervisor,
	const struct supervisor_request *request, uint64_t deadline_ms, supervisor_fn *fn,
	void *arg);
/* Blocks: never on a shard. The caller frees. WHICH_CHILDREN is answered at once, what else there
 * is when it has been done. */
ANY_THREAD struct supervisor_answer *supervisor_ask_wait(struct actor_id supervisor,
	const struct supervisor_request *request, uint64_t deadline_ms) MUST_USE;

/* --- the tree, for people. Block: never on a shard --- */

/* Each child of the supervisor and, below those that are supervisors, theirs; parents first. path:
 * ids with '/' between, from the supervisor's children down. */
ANY_THREAD void supervisor_walk(struct actor_id supervisor,
	void (*fn)(const char *path, unsigned depth, const struct child_row *row, void *arg),
	void *arg);
/* What names a child, on the one with that path. The caller frees. */
ANY_THREAD struct supervisor_answer *supervisor_ask_path(struct actor_id supervisor,
	enum supervisor_request_kind kind, const char *path, uint64_t deadline_ms) MUST_USE;
