/* core/server.h - a server: state that one shard owns and others ask for. After gen_server.
 * The object begins with its struct server; handlers run one at a time on its shard:
 *
 *   static struct next echo_call(struct server *s, struct term *request, struct caller from)
 *   {
 *           call_reply(from, TERM_OF(ECHO, term_take(request), free));    now, or later, once
 *           return server_wait();
 *   }
 *   static const struct server_class echo_class = {
 *           SERVER_CLASS("echo", 1, struct echo), .call = echo_call,
 *   };
 *   r = server_spawn_wait(shard_at(0), &echo_class, NULL, &(struct start){ .name = "echo" });
 *   outcome = server_call_wait(r.id, TERM(ECHO), CALL_MS, &reply);
 *
 * A payload that a handler does not take is dropped after it. */
#pragma once

#include "core/gen.h"

struct server {
	struct gen gen;
};

/* Every function may be missing. A call or cast that comes all the same ends the server, an info
 * is dropped. */
struct server_class {
	struct gen_class gen; /* SERVER_CLASS() */
	/* server_wait(), server_wait_ms(), server_hibernate(), server_stopped(), server_ignore(),
	 * or server_later() and then server_started() from elsewhere on the shard. */
	struct next (*init)(struct server *s, void *arg);
	/* server_wait(), server_wait_ms(), server_hibernate() or server_stopped(). */
	struct next (*call)(struct server *s, struct term *request, struct caller from);
	struct next (*cast)(struct server *s, struct term *request);
	struct next (*info)(struct server *s, struct term *info); /* TERM_TIMEOUT too */
	void (*hibernate)(struct server *s); /* give back memory */
	void (*terminate)(struct server *s, const char *reason); /* may still answer callers */
	/* The state was made by a class of old_version; 0, or nonzero to stay as it is. Missing:
	 * such a change is refused unless the versions are equal. */
	int (*code_change)(struct server *s, unsigned old_version, bool down, void *extra);
	/* Last of all, after a failed start too: frees the object. Missing: that is the business of
	 * whoever called server_start(); a spawned object is freed. */
	void (*drop)(struct server *s);
};
extern const struct behaviour server_behaviour;
#define SERVER_CLASS(name_, version_, type_)                                   \
	.gen = { .actor = { .name = (name_), .behaviour = &server_behaviour }, \
		.version = (version_),                                         \
		.bytes = sizeof(type_) }

static inline struct next server_wait(void)
{
	return (struct next){ .kind = NEXT_WAIT };
}
static inline struct next server_wait_ms(uint64_t ms)
{
	return (struct next){ .kind = NEXT_WAIT_MS, .ms = ms };
}
static inline struct next server_hibernate(void)
{
	return (struct next){ .kind = NEXT_HIBERNATE };
}
static inline struct next server_stopped(const char *reason)
{
	return (struct next){ .kind = NEXT_STOP, .reason = reason };
}
static inline struct next server_ignore(void)
{
	return (struct next){ .kind = NEXT_IGNORE };
}
static inline struct next server_later(void)
{
	return (struct next){ .kind = NEXT_LATER };
}

/* --- starting and ending: see core/gen.h for struct start and what is told --- */

/* On the running shard, in the caller's memory. how may be NULL here and below. */
ON_SHARD static inline struct start_result server_start(
	struct server *s, const struct server_class *class, void *arg, const struct start *how)
{
	return gen_start(&s->gen, &class->gen, arg, how);
}
ON_SHARD static inline void server_started(struct server *s, struct next n)
{
	gen_started(&s->gen, n);
}
ANY_THREAD static inline void server_spawn(
	struct shard *on, const struct server_class *class, void *arg, const struct start *how)
{
	gen_spawn(on, &class->gen, arg, how);
}
/* Blocks: never on a shard. */
ANY_THREAD static inline struct start_result server_spawn_wait(
	struct shard *on, const struct server_class *class, void *arg, const struct start *how)
{
	return gen_spawn_wait(on, &class->gen, arg, how);
}
/* An actor that lives already, under its id, becomes a server; n as from init. name: what it has
 * been registered as, or NULL. */
ON_SHARD static inline void server_enter_loop(
	struct server *s, const struct server_class *class, const char *name, struct next n)
{
	gen_enter(&s->gen, &class->gen, name, n);
}
ANY_THREAD static inline void server_stop(struct actor_id id, const char *reason)
{
	gen_stop_id(id, reason);
}

/* --- asking: all take request --- */

ON_SHARD static inline void server_call(struct actor *asker, struct actor_id to,
	struct term request, uint64_t deadline_ms, call_fn *fn, void *arg)
{
	call_begin(asker, to, MAIL_CALL, request, deadline_ms, fn, arg);
}
/* Blocks: never on a shard. */
ANY_THREAD static inline enum call_outcome server_call_wait(
	struct actor_id to, struct term request, uint64_t deadline_ms, struct term *reply)
{
	return call_wait(to, MAIL_CALL, request, deadline_ms, reply);
}
ANY_THREAD static inline void server_cast(struct actor_id to, struct term request)
{
	mail_send(to, MAIL_CAST, request);
}
ANY_THREAD static inline void server_info(struct actor_id to, struct term info)
{
	mail_send(to, MAIL_INFO, info);
}
ON_SHARD static inline void server_multi_call(struct actor *asker,
	const struct call_target *targets, unsigned n, struct term request, term_copy *copy,
	uint64_t deadline_ms, multi_call_fn *fn, void *arg)
{
	multi_call_begin(asker, targets, n, request, copy, deadline_ms, fn, arg);
}
/* Blocks: never on a shard. */
ANY_THREAD static inline struct call_answers *server_multi_call_wait(
	const struct call_target *targets, unsigned n, struct term request, term_copy *copy,
	uint64_t deadline_ms)
{
	return multi_call_wait(targets, n, request, copy, deadline_ms);
}
ANY_THREAD static inline void server_abcast(
	const struct call_target *targets, unsigned n, struct term request, term_copy *copy)
{
	multi_cast(targets, n, request, copy);
}

/* --- changing the class of a running server: code_change --- */

ON_SHARD static inline int server_upgrade(
	struct server *s, const struct server_class *now, void *extra)
{
	return gen_upgrade(&s->gen, &now->gen, extra);
}
/* Blocks: never on a shard. */
ANY_THREAD static inline enum call_outcome server_upgrade_wait(struct actor_id id,
	const struct server_class *now, void *extra, uint64_t deadline_ms, int *out_err)
{
	return gen_upgrade_wait(id, &now->gen, extra, deadline_ms, out_err);
}
