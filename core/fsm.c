/* core/fsm.c - which of a class's functions core/gen.c is to call. */
#include "core/fsm.h"

#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "core/stall.h"

_Static_assert(sizeof(struct fsm) <= 96, "there is one in every client stream");

static struct fsm *fsm_of(struct gen *g)
{
	return caa_container_of(g, struct fsm, gen);
}

static const struct fsm_class *class_of(const struct gen *g)
{
	return caa_container_of(g->actor.class, struct fsm_class, gen.actor);
}

static const struct fsm_state *state_of(const struct gen *g)
{
	return &class_of(g)->states[g->state];
}

const char *fsm_state_name(const struct fsm *f)
{
	return state_of(&f->gen)->name;
}

static struct next fsm_init(struct gen *g, void *arg)
{
	const struct fsm_class *class = class_of(g);

	REQUIRE(class->n_states > 0);
	return class->init ? class->init(fsm_of(g), arg) : fsm_next(0);
}

static struct next handle_event(
	struct gen *g, struct next (*fn)(struct fsm *f, struct term *event), struct term *event)
{
	if (unlikely(!fn))
		return fsm_stopped(STOP_NO_HANDLER);
	stall_about(g->actor.class->name, (void *)fn);
	return fn(fsm_of(g), event);
}

static struct next handle_sync_event(struct gen *g,
	struct next (*fn)(struct fsm *f, struct term *event, struct caller from),
	struct term *event, struct caller from)
{
	return fn ? fn(fsm_of(g), event, from) : fsm_stopped(STOP_NO_HANDLER);
}

static struct next handle_info(struct gen *g, struct term *info)
{
	const struct fsm_class *class = class_of(g);

	if (class->info)
		return class->info(fsm_of(g), info);
	log_debug(
		class->gen.actor.name, "dropped what it did not expect", L_INT("kind", info->kind));
	return fsm_same();
}

static struct next fsm_handle(
	struct gen *g, enum mail_kind kind, struct term *t, struct caller from)
{
	switch (kind) {
	case MAIL_CAST:
	case MAIL_TIMEOUT:
		return handle_event(g, state_of(g)->event, t);
	case MAIL_CAST_ANY:
		return handle_event(g, class_of(g)->event, t);
	case MAIL_CALL:
		return handle_sync_event(g, state_of(g)->sync_event, t, from);
	case MAIL_CALL_ANY:
		return handle_sync_event(g, class_of(g)->sync_event, t, from);
	default:
		return handle_info(g, t);
	}
}

static void fsm_rest(struct gen *g)
{
	if (class_of(g)->hibernate)
		class_of(g)->hibernate(fsm_of(g));
}

static void fsm_terminate(struct gen *g, const char *reason)
{
	if (class_of(g)->terminate)
		class_of(g)->terminate(fsm_of(g), reason);
}

static bool fsm_drop(struct gen *g)
{
	if (!class_of(g)->drop)
		return false;
	class_of(g)->drop(fsm_of(g));
	return true;
}

static unsigned state_named(const struct fsm_class *class, const char *name)
{
	unsigned i = 0;

	while (i < class->n_states && strcmp(class->states[i].name, name) != 0)
		i++;
	return i;
}

static int fsm_code_change(
	struct gen *g, const struct gen_class *now, unsigned old_version, void *extra)
{
	const struct fsm_class *class = caa_container_of(now, struct fsm_class, gen);
	unsigned state = state_named(class, state_of(g)->name);
	int err = old_version == now->version ? 0 : -ENOTSUP;

	if (class->code_change)
		err = class->code_change(
			fsm_of(g), old_version, old_version > now->version, extra, &state);
	if (err)
		return err;
	if (state >= class->n_states)
		return -EINVAL;
	g->state = state;
	return 0;
}

static bool fsm_has_state(const struct gen *g, unsigned state)
{
	return state < class_of(g)->n_states;
}

static const char *fsm_gen_state_name(const struct gen *g)
{
	return state_of(g)->name;
}

const struct behaviour fsm_behaviour = {
	.init = fsm_init,
	.handle = fsm_handle,
	.hibernate = fsm_rest,
	.terminate = fsm_terminate,
	.drop = fsm_drop,
	.code_change = fsm_code_change,
	.has_state = fsm_has_state,
	.state_name = fsm_gen_state_name,
};
