/* core/child_life.h - a child as its supervisor holds it: starts, ends, and is told when it has.
 * For core/supervisor*.c and core/child*.c alone. Everything runs on the supervisor's shard. */
#pragma once

#include "core/child.h"

struct child {
	struct cds_list_head node; /* the supervisor's, in start order */
	struct cds_list_head exit; /* the supervisor's: its end waits to be looked at; or empty */
	struct child_spec spec; /* its id is the one below */
	char id[CHILD_ID_MAX];
	struct term extra; /* simple_one_for_one: takes the place of the specification's arg */
	bool has_extra;
	struct actor_id keeper; /* the supervisor, which letters go to */
	/* A start is through or has failed, or the child has ended: see state. Never from within
	 * child_start() or child_stop(). */
	void (*changed)(struct child *c);

	enum child_state state;
	uint64_t since_ms;
	uint64_t restarts;
	bool ignored; /* the start function said so: down, and no error */
	bool finished; /* it ended by itself, normally: a transient one is through */
	bool killed; /* STOPPING by force */
	char reason[CHILD_REASON_MAX];
	struct timer timer; /* the start's, the heartbeat's or the shutdown's */
	uint32_t beats_seen;
	void *life; /* the kind's, from the start to the end; NULL when down */
};

/* What is different between the kinds. */
struct child_methods {
	const char *(*refuse)(const struct child_spec *spec); /* why it is no good, or NULL */
	/* STARTED, START_UNDER_WAY or START_FAILED; the last with c->reason. */
	enum start_outcome (*start)(struct child *c);
	void (*stop)(struct child *c); /* asks */
	void (*kill)(struct child *c); /* does what can be done */
	/* It is out of the supervisor's sight: c->life lives on by itself, and ends it if it can.
	 */
	void (*abandon)(struct child *c);
	uint32_t (*beats)(const struct child *c);
	void (*tell)(const struct child *c, struct child_row *row); /* NULL: nothing to add */
	const char *name;
};
extern const struct child_methods child_actor_methods, child_thread_methods, child_process_methods,
	child_part_methods;
const struct child_methods *child_methods(enum child_kind kind); /* NULL: no such kind */

ON_SHARD struct child *child_new(const struct child_spec *spec, struct actor_id keeper,
	void (*changed)(struct child *c)); /* DOWN */
ON_SHARD void child_free(struct child *c); /* when it is DOWN; NULL is fine */
/* From DOWN to STARTING, UP, or again DOWN when the start has failed at once. */
ON_SHARD void child_start(struct child *c);
ON_SHARD void child_stop(struct child *c); /* from UP to STOPPING, as the specification has it */
/* Kills it and looks no more: DOWN. For a supervisor that is killed itself. */
ON_SHARD void child_cut(struct child *c);
ON_SHARD void child_tell(const struct child *c, struct child_row *row);

/* For the kinds. */
void *child_arg(const struct child *c, void *arg); /* that, or the extra one */
uint64_t child_heartbeat_ms(const struct child *c); /* 0: none is expected */
uint64_t child_start_ms(const struct child *c); /* 0: as long as it needs */
ON_SHARD void child_began(struct child *c, enum start_outcome outcome, const char *reason);
ON_SHARD void child_ended(struct child *c, const char *reason); /* life is gone already */
