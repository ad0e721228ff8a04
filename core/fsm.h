/* core/fsm.h - a state machine: a table of named states, one function each. After gen_fsm.
 * The owner's object holds the struct fsm (80 bytes); handlers run one at a time on its shard, and
 * say in their return value which state is next:
 *
 *   static struct next wait_for_stream(struct fsm *f, struct term *event)
 *   {
 *           ...
 *           return fsm_next_ms(WAIT_FOR_AUTH, 30000);       TERM_TIMEOUT if nothing comes
 *   }
 *   static const struct fsm_state c2s_states[] = {
 *           [WAIT_FOR_STREAM] = { "wait_for_stream", wait_for_stream },
 *           [WAIT_FOR_AUTH] = { "wait_for_auth", wait_for_auth },
 *   };
 *   static const struct fsm_class c2s_class = {
 *           FSM_CLASS("c2s", 1, struct c2s), FSM_STATES(c2s_states), .info = c2s_info,
 *   };
 *
 * Events come by post from anywhere, or as a plain call on the machine's own shard: fsm_event_now()
 * allocates nothing. A payload that a handler does not take is dropped after it. */
#pragma once

#include "core/gen.h"

struct fsm {
	struct gen gen;
};

struct fsm_state {
	const char *name;
	struct next (*event)(struct fsm *f, struct term *event); /* TERM_TIMEOUT too */
	struct next (*sync_event)(struct fsm *f, struct term *event, struct caller from);
};

/* Every function may be missing. An event that has no handler all the same ends the machine, an
 * info is dropped. */
struct fsm_class {
	struct gen_class gen; /* FSM_CLASS() */
	const struct fsm_state *states; /* FSM_STATES() */
	unsigned n_states;
	/* fsm_next() and its like with the first state (missing: states[0]), fsm_stopped(),
	 * fsm_ignore(), or fsm_later() and then fsm_started() from elsewhere on the shard. */
	struct next (*init)(struct fsm *f, void *arg);
	/* Whatever the state: fsm_send_all_state_event() and its sync form, and anything else. */
	struct next (*event)(struct fsm *f, struct term *event);
	struct next (*sync_event)(struct fsm *f, struct term *event, struct caller from);
	struct next (*info)(struct fsm *f, struct term *info);
	void (*hibernate)(struct fsm *f); /* give back memory */
	void (*terminate)(struct fsm *f, const char *reason); /* may still answer callers */
	/* The state was made by a class of old_version; 0, or nonzero to stay as it is. *state: in
	 * this class's table, the state of the same name (or n_states if there is none); to be
	 * changed at will. Missing: such a change is refused unless the versions are equal. */
	int (*code_change)(
		struct fsm *f, unsigned old_version, bool down, void *extra, unsigned *state);
	/* Last of all, after a failed start too: frees the object. Missing: that is the business of
	 * whoever called fsm_start(); a spawned object is freed. */
	void (*drop)(struct fsm *f);
};
extern const struct behaviour fsm_behaviour;
#define FSM_CLASS(name_, version_, type_)                                   \
	.gen = { .actor = { .name = (name_), .behaviour = &fsm_behaviour }, \
		.version = (version_),                                      \
		.bytes = sizeof(type_) }
#define FSM_STATES(table_) .states = (table_), .n_states = ARRAY_LEN(table_)

/* --- what a handler returns --- */

static inline struct next fsm_next(unsigned state)
{
	return (struct next){ .kind = NEXT_WAIT, .to_state = state + 1 };
}
static inline struct next fsm_next_ms(unsigned state, uint64_t ms)
{
	return (struct next){ .kind = NEXT_WAIT_MS, .to_state = state + 1, .ms = ms };
}
static inline struct next fsm_next_hibernate(unsigned state)
{
	return (struct next){ .kind = NEXT_HIBERNATE, .to_state = state + 1 };
}
/* The same state again. */
static inline struct next fsm_same(void)
{
	return (struct next){ .kind = NEXT_WAIT };
}
static inline struct next fsm_same_ms(uint64_t ms)
{
	return (struct next){ .kind = NEXT_WAIT_MS, .ms = ms };
}
static inline struct next fsm_same_hibernate(void)
{
	return (struct next){ .kind = NEXT_HIBERNATE };
}
static inline struct next fsm_stopped(const char *reason)
{
	return (struct next){ .kind = NEXT_STOP, .reason = reason };
}
static inline struct next fsm_ignore(void)
{
	return (struct next){ .kind = NEXT_IGNORE };
}
static inline struct next fsm_later(void)
{
	return (struct next){ .kind = NEXT_LATER };
}

ON_SHARD static inline unsigned fsm_state(const struct fsm *f)
{
	return f->gen.state;
}
ON_SHARD const char *fsm_state_name(const struct fsm *f);

/* --- starting and ending: see core/gen.h for struct start and what is told --- */

/* On the running shard, in the caller's memory. how may be NULL here and below. */
ON_SHARD static inline struct start_result fsm_start(
	struct fsm *f, const struct fsm_class *class, void *arg, const struct start *how)
{
	return gen_start(&f->gen, &class->gen, arg, how);
}
ON_SHARD static inline void fsm_started(struct fsm *f, struct next n)
{
	gen_started(&f->gen, n);
}
/* The object begins with its struct fsm. */
ANY_THREAD static inline void fsm_spawn(
	struct shard *on, const struct fsm_class *class, void *arg, const struct start *how)
{
	gen_spawn(on, &class->gen, arg, how);
}
/* Blocks: never on a shard. */
ANY_THREAD static inline struct start_result fsm_spawn_wait(
	struct shard *on, const struct fsm_class *class, void *arg, const struct start *how)
{
	return gen_spawn_wait(on, &class->gen, arg, how);
}
/* An actor that lives already, under its id, becomes a state machine; n as from init. name: what it
 * has been registered as, or NULL. */
ON_SHARD static inline void fsm_enter_loop(
	struct fsm *f, const struct fsm_class *class, const char *name, struct next n)
{
	gen_enter(&f->gen, &class->gen, name, n);
}
/* At once; from within a handler of f: when that returns. f may be gone afterwards. */
ON_SHARD static inline void fsm_stop_now(struct fsm *f, const char *reason)
{
	gen_stop(&f->gen, reason);
}
ANY_THREAD static inline void fsm_stop(struct actor_id id, const char *reason)
{
	gen_stop_id(id, reason);
}

/* --- events: all but the _now forms take event --- */

/* Handled before it returns, true if f still lives. What is not taken from *event stays the
 * caller's. From within a handler of f it is posted instead, and taken. */
ON_SHARD static inline bool fsm_event_now(struct fsm *f, struct term *event)
{
	return gen_now(&f->gen, MAIL_CAST, event);
}
ON_SHARD static inline bool fsm_info_now(struct fsm *f, struct term *info)
{
	return gen_now(&f->gen, MAIL_INFO, info);
}
ANY_THREAD static inline void fsm_send_event(struct actor_id to, struct term event)
{
	mail_send(to, MAIL_CAST, event);
}
ANY_THREAD static inline void fsm_send_all_state_event(struct actor_id to, struct term event)
{
	mail_send(to, MAIL_CAST_ANY, event);
}
ANY_THREAD static inline void fsm_info(struct actor_id to, struct term info)
{
	mail_send(to, MAIL_INFO, info);
}
ON_SHARD static inline void fsm_sync_send_event(struct actor *asker, struct actor_id to,
	struct term event, uint64_t deadline_ms, call_fn *fn, void *arg)
{
	call_begin(asker, to, MAIL_CALL, event, deadline_ms, fn, arg);
}
ON_SHARD static inline void fsm_sync_send_all_state_event(struct actor *asker, struct actor_id to,
	struct term event, uint64_t deadline_ms, call_fn *fn, void *arg)
{
	call_begin(asker, to, MAIL_CALL_ANY, event, deadline_ms, fn, arg);
}
/* Block: never on a shard. */
ANY_THREAD static inline enum call_outcome fsm_sync_send_event_wait(
	struct actor_id to, struct term event, uint64_t deadline_ms, struct term *reply)
{
	return call_wait(to, MAIL_CALL, event, deadline_ms, reply);
}
ANY_THREAD static inline enum call_outcome fsm_sync_send_all_state_event_wait(
	struct actor_id to, struct term event, uint64_t deadline_ms, struct term *reply)
{
	return call_wait(to, MAIL_CALL_ANY, event, deadline_ms, reply);
}

/* --- timers, called by the machine itself --- */

/* The event comes to the state that f is in then. Both take event and return a reference for
 * fsm_cancel_timer(); start_timer's event carries it in .ref. */
ON_SHARD static inline uint32_t fsm_send_event_after(struct fsm *f, uint64_t ms, struct term event)
{
	return gen_timer_start(&f->gen, ms, event, GEN_TIMER_PLAIN);
}
ON_SHARD static inline uint32_t fsm_start_timer(struct fsm *f, uint64_t ms, struct term event)
{
	return gen_timer_start(&f->gen, ms, event, GEN_TIMER_WITH_REF);
}
/* The milliseconds that were left, or -1 when there is no such timer (any more). The event does not
 * come after that. */
ON_SHARD static inline int64_t fsm_cancel_timer(struct fsm *f, uint32_t ref)
{
	return gen_timer_cancel(&f->gen, ref);
}

/* --- changing the class of a running machine: code_change --- */

ON_SHARD static inline int fsm_upgrade(struct fsm *f, const struct fsm_class *now, void *extra)
{
	return gen_upgrade(&f->gen, &now->gen, extra);
}
/* Blocks: never on a shard. */
ANY_THREAD static inline enum call_outcome fsm_upgrade_wait(struct actor_id id,
	const struct fsm_class *now, void *extra, uint64_t deadline_ms, int *out_err)
{
	return gen_upgrade_wait(id, &now->gen, extra, deadline_ms, out_err);
}
