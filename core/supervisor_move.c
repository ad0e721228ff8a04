/* core/supervisor_move.c - one after the other: children stop from the last to the first, and start
 * from the first to the last. */
#include "core/log.h"
#include "core/supervisor_inside.h"

static struct child *after(struct child *c)
{
	return cds_list_entry(c->node.next, struct child, node);
}

static struct child *before(struct child *c)
{
	return cds_list_entry(c->node.prev, struct child, node);
}

void move_range(struct supervisor *s, struct child *first, struct child *last, enum which which,
	void (*done)(struct supervisor *s, struct child *failed))
{
	REQUIRE(s->move.stage == STAGE_IDLE && !s->awaited);
	s->move = (struct move){ STAGE_STOPPING, first, last, last, which, false, done };
}

void move_start(struct supervisor *s, struct child *first, struct child *last, enum which which,
	void (*done)(struct supervisor *s, struct child *failed))
{
	REQUIRE(s->move.stage == STAGE_IDLE && !s->awaited);
	s->move = (struct move){ STAGE_STARTING, first, last, first, which, false, done };
}

static void finish(struct supervisor *s, struct child *failed)
{
	void (*done)(struct supervisor * s, struct child * failed) = s->move.done;

	s->move = (struct move){ .stage = STAGE_IDLE };
	done(s, failed);
}

/* Whether it has to be waited for. */
static bool stop(struct child *c)
{
	shard_check(NULL);
	if (c->state == CHILD_UP)
		child_stop(c);
	if (c->state != CHILD_DOWN)
		return true;
	cds_list_del_init(&c->exit); /* whatever it ended of: it is down, as it should */
	return false;
}

static void stop_next(struct supervisor *s)
{
	struct child *c = s->move.at;

	shard_check(NULL);
	if (c && stop(c)) {
		s->awaited = c;
	} else if (c && c != s->move.first) {
		s->move.at = before(c);
	} else {
		s->move.stage = STAGE_STARTING;
		s->move.at = s->move.first;
	}
}

static bool is_to_start(const struct child *c, enum which which)
{
	if (c->state != CHILD_DOWN || which == START_NONE)
		return false;
	if (which == START_ALL)
		return true;
	return c->spec.restart == CHILD_PERMANENT ||
		(c->spec.restart == CHILD_TRANSIENT && !c->finished);
}

static void report_failure(const struct child *c)
{
	log_error("supervisor", "a child did not start", L_STR("child", c->id),
		L_STR("reason", c->reason));
}

/* c is to be up, or at least not to be an error. */
static void started(struct supervisor *s, struct child *c)
{
	if (c->state == CHILD_DOWN && !c->ignored) {
		report_failure(c);
		finish(s, c);
	} else {
		s->move.at = c == s->move.last ? NULL : after(c);
	}
}

static void start(struct supervisor *s, struct child *c)
{
	shard_check(NULL);
	if (s->move.which == START_RESTARTABLE)
		c->restarts++;
	s->move.begun = true;
	child_start(c);
	if (c->state == CHILD_STARTING)
		s->awaited = c;
}

static void start_next(struct supervisor *s)
{
	struct child *c = s->move.at;

	shard_check(NULL);
	if (s->move.begun) {
		s->move.begun = false;
		started(s, c);
	} else if (!c || s->ending || s->move.which == START_NONE) {
		finish(s, NULL);
	} else if (!is_to_start(c, s->move.which)) {
		s->move.at = c == s->move.last ? NULL : after(c);
	} else {
		start(s, c);
	}
}

bool move_step(struct supervisor *s)
{
	if (s->awaited)
		return false;
	if (s->move.stage == STAGE_STOPPING)
		stop_next(s);
	else
		start_next(s);
	return true;
}
