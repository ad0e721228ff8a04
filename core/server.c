/* core/server.c - which of a class's functions core/gen.c is to call. */
#include "core/server.h"

#include <errno.h>

#include "core/log.h"

static struct server *server_of(struct gen *g)
{
	return caa_container_of(g, struct server, gen);
}

static const struct server_class *class_of(const struct gen *g)
{
	return caa_container_of(g->actor.class, struct server_class, gen.actor);
}

static struct next server_init(struct gen *g, void *arg)
{
	const struct server_class *class = class_of(g);

	return class->init ? class->init(server_of(g), arg) : server_wait();
}

static struct next handle_info(struct gen *g, struct term *info)
{
	const struct server_class *class = class_of(g);

	if (class->info)
		return class->info(server_of(g), info);
	log_debug(
		class->gen.actor.name, "dropped what it did not expect", L_INT("kind", info->kind));
	return server_wait();
}

static struct next server_handle(
	struct gen *g, enum mail_kind kind, struct term *t, struct caller from)
{
	const struct server_class *class = class_of(g);

	switch (kind) {
	case MAIL_CALL:
	case MAIL_CALL_ANY:
		return class->call ? class->call(server_of(g), t, from)
				   : server_stopped(STOP_NO_HANDLER);
	case MAIL_CAST:
	case MAIL_CAST_ANY:
		return class->cast ? class->cast(server_of(g), t) : server_stopped(STOP_NO_HANDLER);
	default:
		return handle_info(g, t);
	}
}

static void server_rest(struct gen *g)
{
	if (class_of(g)->hibernate)
		class_of(g)->hibernate(server_of(g));
}

static void server_terminate(struct gen *g, const char *reason)
{
	if (class_of(g)->terminate)
		class_of(g)->terminate(server_of(g), reason);
}

static bool server_drop(struct gen *g)
{
	if (!class_of(g)->drop)
		return false;
	class_of(g)->drop(server_of(g));
	return true;
}

static int server_code_change(
	struct gen *g, const struct gen_class *now, unsigned old_version, void *extra)
{
	const struct server_class *class = caa_container_of(now, struct server_class, gen);

	if (class->code_change)
		return class->code_change(
			server_of(g), old_version, old_version > now->version, extra);
	return old_version == now->version ? 0 : -ENOTSUP;
}

static bool server_has_state(const struct gen *g UNUSED, unsigned state UNUSED)
{
	return false;
}

static const char *server_state_name(const struct gen *g UNUSED)
{
	return "";
}

const struct behaviour server_behaviour = {
	.init = server_init,
	.handle = server_handle,
	.hibernate = server_rest,
	.terminate = server_terminate,
	.drop = server_drop,
	.code_change = server_code_change,
	.has_state = server_has_state,
	.state_name = server_state_name,
};
