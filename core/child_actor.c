/* core/child_actor.c - a child that is an actor: spawned on its shard, heard of by letters. */
#include <stdlib.h>

#include "core/child_life.h"
#include "core/mem.h"
#include "core/supervisor.h"

/* Goes to and fro: written on the actor's shard until it is posted, then the supervisor's. */
struct life {
	struct letter began, ended;
	struct start_result result;
	const char *reason;
	struct child *child; /* the supervisor's shard alone; NULL: nobody cares any more */
	struct actor_id id; /* the supervisor's shard alone; ACTOR_NONE until it has begun */
};

static const char *refuse(const struct child_spec *spec)
{
	const struct gen_class *class = spec->actor.class;

	if (!class || !class->actor.behaviour)
		return "no class";
	if ((spec->type == CHILD_SUPERVISOR) != (class == &supervisor_class))
		return "its type and its class differ";
	return class->bytes < sizeof(struct gen) ? "its class cannot be spawned" : NULL;
}

/* --- on the actor's shard --- */

static void post(
	struct letter *l, struct actor_id to, void (*open)(struct actor *a, struct letter *l))
{
	l->to = to;
	l->open = open;
	letter_post(l);
}

static void began_open(struct actor *a, struct letter *l);
static void ended_open(struct actor *a, struct letter *l);

static void began(const struct start_result *r, void *arg)
{
	struct life *life = arg;

	life->result = *r;
	post(&life->began, life->began.to, began_open);
}

static void ended(struct actor_id id UNUSED, const char *reason, void *arg)
{
	struct life *life = arg;

	life->reason = reason;
	post(&life->ended, life->began.to, ended_open);
}

/* --- on the supervisor's, who may be gone --- */

static void began_open(struct actor *a UNUSED, struct letter *l)
{
	struct life *life = caa_container_of(l, struct life, began);
	struct start_result r = life->result;
	struct child *c = life->child;

	shard_check(NULL);
	if (r.outcome != STARTED) {
		free(life);
		if (c)
			child_began(c, r.outcome, r.reason);
		return;
	}
	life->id = r.id;
	if (!c || c->state == CHILD_STOPPING)
		gen_stop_id(r.id, STOP_KILLED);
	else
		child_began(c, STARTED, NULL);
}

static void ended_open(struct actor *a UNUSED, struct letter *l)
{
	struct life *life = caa_container_of(l, struct life, ended);
	struct child *c = life->child;
	const char *reason = life->reason;

	shard_check(NULL);
	free(life);
	if (c)
		child_ended(c, reason);
}

static enum start_outcome start(struct child *c)
{
	const struct child_actor *spec = &c->spec.actor;
	struct life *life = xcalloc(1, sizeof(*life));
	struct start how = {
		.name = spec->name,
		.init_ms = child_start_ms(c),
		.started = began,
		.ended = ended,
		.arg = life,
	};

	life->child = c;
	life->began.to = c->keeper;
	c->life = life;
	gen_spawn(
		shard_at(spec->shard % shards_count()), spec->class, child_arg(c, spec->arg), &how);
	return START_UNDER_WAY;
}

static void stop(struct child *c)
{
	struct life *life = c->life;

	gen_stop_id(life->id, STOP_SHUTDOWN);
}

static void kill_actor(struct child *c)
{
	struct life *life = c->life;

	if (life->id.v) /* else began_open() does it */
		gen_stop_id(life->id, STOP_KILLED);
}

static void abandon(struct child *c)
{
	struct life *life = c->life;

	life->child = NULL;
}

static uint32_t beats(const struct child *c UNUSED)
{
	return 0;
}

static void tell(const struct child *c, struct child_row *row)
{
	const struct life *life = c->life;

	row->actor = life->id;
	if (life->id.v)
		row->waiting = shard_waiting(actor_shard(life->id));
}

const struct child_methods child_actor_methods = {
	.refuse = refuse,
	.start = start,
	.stop = stop,
	.kill = kill_actor,
	.abandon = abandon,
	.beats = beats,
	.tell = tell,
	.name = "actor",
};
