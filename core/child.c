/* core/child.c - one child's way from down to up and back, whatever kind it is of. */
#include "core/child.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/child_life.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"

static struct metric abandoned = METRIC_COUNTER("supervisor_abandoned_total",
	"Children that could not be ended and were left to themselves");
static void (*_Atomic told_of_abandoned)(const char *id, bool lost);

const struct child_methods *child_methods(enum child_kind kind)
{
	switch (kind) {
	case CHILD_ACTOR:
		return &child_actor_methods;
	case CHILD_THREAD:
		return &child_thread_methods;
	case CHILD_PROCESS:
		return &child_process_methods;
	case CHILD_PART:
		return &child_part_methods;
	default:
		return NULL;
	}
}

const char *child_kind_name(enum child_kind kind)
{
	return child_methods(kind) ? child_methods(kind)->name : "none";
}

const char *child_state_name(enum child_state state)
{
	static const char *const names[] = {
		[CHILD_DOWN] = "down",
		[CHILD_STARTING] = "starting",
		[CHILD_UP] = "up",
		[CHILD_STOPPING] = "stopping",
	};

	return names[state];
}

void child_on_abandoned(void (*fn)(const char *id, bool lost))
{
	atomic_store(&told_of_abandoned, fn);
}

static const struct child_methods *methods_of(const struct child *c)
{
	return child_methods(c->spec.kind);
}

static void set_state(struct child *c, enum child_state state)
{
	shard_check(NULL);
	c->state = state;
	c->since_ms = shard_now_ms();
}

/* The first reason stays: what comes after it is its consequence. */
static void set_reason(struct child *c, const char *reason)
{
	if (!c->reason[0])
		snprintf(c->reason, sizeof(c->reason), "%s", log_text(reason));
}

uint64_t child_heartbeat_ms(const struct child *c)
{
	switch (c->spec.kind) {
	case CHILD_THREAD:
		return c->spec.thread.heartbeat_ms;
	case CHILD_PROCESS:
		return c->spec.process.heartbeat_ms;
	default:
		return 0;
	}
}

uint64_t child_start_ms(const struct child *c)
{
	if (c->spec.start_ms)
		return c->spec.start_ms;
	return c->spec.type == CHILD_SUPERVISOR ? 0 : CHILD_START_MS;
}

void *child_arg(const struct child *c, void *arg)
{
	return c->has_extra ? c->extra.data : arg;
}

/* --- ends --- */

static void down(struct child *c, const char *reason)
{
	shard_check(NULL);
	timer_cancel(&c->timer);
	set_reason(c, reason);
	c->life = NULL;
	set_state(c, CHILD_DOWN);
}

static bool is_lost_with(const struct child *c)
{
	return c->spec.kind == CHILD_ACTOR || c->spec.kind == CHILD_PART ||
		(c->spec.kind == CHILD_THREAD && c->spec.thread.holds_shard);
}

/* Force did not help. */
static void abandon(struct child *c)
{
	void (*tell)(const char *id, bool lost) = atomic_load(&told_of_abandoned);
	bool lost = is_lost_with(c);

	shard_check(NULL);
	metric_add(&abandoned, 1);
	log_error("supervisor", "abandoned what does not end", L_STR("child", c->id),
		L_STR("kind", child_kind_name(c->spec.kind)), L_STR("reason", c->reason),
		L_INT("lost", lost));
	methods_of(c)->abandon(c);
	down(c, "abandoned");
	if (tell)
		tell(c->id, lost);
	c->changed(c);
}

static void kill_it(struct child *c)
{
	shard_check(NULL);
	c->killed = true;
	set_state(c, CHILD_STOPPING);
	timer_set(&c->timer, CHILD_KILL_MS);
	methods_of(c)->kill(c);
}

void child_stop(struct child *c)
{
	REQUIRE(c->state == CHILD_UP);
	if (c->spec.shutdown_ms == CHILD_BRUTAL_KILL) {
		kill_it(c);
		return;
	}
	set_state(c, CHILD_STOPPING);
	timer_cancel(&c->timer);
	if (c->spec.shutdown_ms != CHILD_INFINITY)
		timer_set(&c->timer, (uint64_t)c->spec.shutdown_ms);
	methods_of(c)->stop(c);
}

void child_cut(struct child *c)
{
	if (c->state == CHILD_DOWN)
		return;
	methods_of(c)->kill(c);
	methods_of(c)->abandon(c);
	down(c, STOP_KILLED);
}

void child_ended(struct child *c, const char *reason)
{
	c->finished = c->state == CHILD_UP && strcmp(reason, STOP_NORMAL) == 0;
	down(c, reason);
	c->changed(c);
}

/* --- heartbeats --- */

static void watch_heart(struct child *c)
{
	shard_check(NULL);
	timer_cancel(&c->timer);
	if (!child_heartbeat_ms(c))
		return;
	c->beats_seen = methods_of(c)->beats(c);
	timer_set(&c->timer, child_heartbeat_ms(c));
}

static void look_at_heart(struct child *c)
{
	shard_check(NULL);
	if (methods_of(c)->beats(c) != c->beats_seen) {
		watch_heart(c);
	} else {
		set_reason(c, "missed a heartbeat");
		kill_it(c);
	}
}

static void time_is_up(struct timer *t)
{
	struct child *c = caa_container_of(t, struct child, timer);

	shard_check(NULL);
	switch (c->state) {
	case CHILD_STARTING:
		set_reason(c, "its start took too long");
		kill_it(c);
		break;
	case CHILD_UP:
		look_at_heart(c);
		break;
	case CHILD_STOPPING:
		if (c->killed)
			abandon(c);
		else
			kill_it(c);
		break;
	case CHILD_DOWN:
		break;
	}
}

/* --- starts --- */

static void up(struct child *c)
{
	shard_check(NULL);
	set_state(c, CHILD_UP);
	watch_heart(c);
}

static void wait_for_start(struct child *c)
{
	uint64_t ms = child_start_ms(c);

	shard_check(NULL);
	/* An actor's shard counts too, and is to be first if it turns at all. */
	if (ms)
		timer_set(&c->timer, c->spec.kind == CHILD_ACTOR ? ms + CHILD_KILL_MS : ms);
}

void child_start(struct child *c)
{
	REQUIRE(c->state == CHILD_DOWN);
	c->reason[0] = 0;
	c->ignored = c->finished = c->killed = false;
	set_state(c, CHILD_STARTING);
	switch (methods_of(c)->start(c)) {
	case STARTED:
		up(c);
		break;
	case START_UNDER_WAY:
		wait_for_start(c);
		break;
	default:
		down(c, "it did not start");
	}
}

static const char *failure(enum start_outcome outcome, const char *reason)
{
	if (outcome == START_ALREADY)
		return "its name is taken";
	if (outcome == START_TIMED_OUT)
		return "its start took too long";
	return reason ? reason : "it did not start";
}

void child_began(struct child *c, enum start_outcome outcome, const char *reason)
{
	c->ignored = outcome == START_IGNORED;
	if (outcome == STARTED)
		up(c);
	else
		down(c, c->ignored ? "ignored" : failure(outcome, reason));
	c->changed(c);
}

/* --- the record --- */

struct child *child_new(
	const struct child_spec *spec, struct actor_id keeper, void (*changed)(struct child *c))
{
	struct child *c = xcalloc(1, sizeof(*c));

	c->spec = *spec;
	snprintf(c->id, sizeof(c->id), "%s", spec->id);
	c->spec.id = c->id;
	c->keeper = keeper;
	c->changed = changed;
	CDS_INIT_LIST_HEAD(&c->exit);
	timer_init(&c->timer, time_is_up);
	set_state(c, CHILD_DOWN);
	return c;
}

void child_free(struct child *c)
{
	if (!c)
		return;
	REQUIRE(c->state == CHILD_DOWN);
	term_drop(&c->extra);
	free(c);
}

void child_tell(const struct child *c, struct child_row *row)
{
	*row = (struct child_row){
		.kind = c->spec.kind,
		.type = c->spec.type,
		.restart = c->spec.restart,
		.state = c->state,
		.modules = c->spec.modules,
		.restarts = c->restarts,
		.for_ms = shard_now_ms() - c->since_ms,
		.waiting = -1,
		.holds = -1,
	};
	memcpy(row->id, c->id, sizeof(row->id));
	memcpy(row->reason, c->reason, sizeof(row->reason));
	if (c->life && methods_of(c)->tell)
		methods_of(c)->tell(c, row);
}
