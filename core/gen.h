/* core/gen.h - what servers and state machines have in common: how they start, what their handlers
 * return, how they rest and end. After Erlang's gen. Use core/server.h or core/fsm.h.
 * A life: start() registers the name and calls the class's init; mail that comes meanwhile waits.
 * Then one handler at a time runs, each says in its return value what is next. At the end
 * terminate() is called, callers without an answer are told CALL_DOWN, the name and the id are
 * given back, and drop() frees the memory. */
#pragma once

#include "core/actor.h"
#include "core/call.h"
#include "core/term.h"
#include "core/timer.h"

/* --- what a handler returns: small, and by value --- */

enum next_kind {
	NEXT_WAIT, /* for whatever comes */
	NEXT_WAIT_MS, /* and for no longer than .ms: then TERM_TIMEOUT comes */
	NEXT_HIBERNATE, /* and give back memory when nothing more is waiting */
	NEXT_STOP, /* with .reason */
	NEXT_IGNORE, /* init only: not started, and no error */
	NEXT_LATER, /* init only: has begun what gen_started() will end */
};
struct next {
	enum next_kind kind;
	unsigned to_state; /* fsm only: the state to be in + 1; 0: the same */
	union {
		uint64_t ms;
		const char *reason;
	};
};

/* Why something stops: text that outlives the program's interest in it. All but these three are
 * errors and reported as such. */
#define STOP_NORMAL "normal"
#define STOP_SHUTDOWN "shutdown"
#define STOP_KILLED "killed" /* by a supervisor, which tells why where that is to be told */
#define STOP_BAD_RETURN "bad return value"
#define STOP_NO_HANDLER "no handler"
bool stop_is_error(const char *reason);

/* --- starting --- */

enum start_outcome {
	STARTED,
	START_ALREADY, /* .id has the name */
	START_IGNORED, /* init said so */
	START_FAILED, /* init stopped with .reason */
	START_TIMED_OUT, /* init was not through in time */
	START_UNDER_WAY, /* init returned NEXT_LATER: .started will tell */
};
struct start_result {
	enum start_outcome outcome;
	struct actor_id id;
	const char *reason;
};
/* How to start; all zero is a start without name or deadline. Copied, the name too. */
struct start {
	const char *name; /* registered on this node */
	uint64_t init_ms; /* for an init that returns NEXT_LATER; 0: no deadline */
	bool trace; /* log everything it gets, whatever the log level */
	/* Told once, when the outcome is known; on the shard of what was started. */
	void (*started)(const struct start_result *r, void *arg);
	/* Told when what had started has ended; on its shard. For supervisors. */
	void (*ended)(struct actor_id id, const char *reason, void *arg);
	void *arg;
};

/* --- the part of a server or fsm that is the same in both --- */

struct gen_more; /* what few need, made on demand: name, waiting callers, timers */
struct gen {
	struct actor actor;
	struct timer idle; /* the timeout or hibernation that the last return asked for */
	struct gen_more *more; /* owned; NULL until needed */
	const char *stop_reason; /* gen_stop() was called in a handler */
	unsigned state; /* fsm only */
	uint8_t phase; /* enum gen_phase in gen.c */
	bool running; /* a handler is on the stack */
	bool hibernating; /* idle is armed for that */
	bool traced;
};

/* The part of a server's or fsm's class that is the same in both. */
struct gen_class {
	struct actor_class actor;
	unsigned version; /* of the state's layout, for code_change */
	size_t bytes; /* of the object that begins with the struct gen; needed by gen_spawn() only
		       */
};

/* Which kind of class it is: implemented by server.c, fsm.c and supervisor.c. */
struct behaviour {
	struct next (*init)(struct gen *g, void *arg);
	struct next (*handle)(
		struct gen *g, enum mail_kind kind, struct term *t, struct caller from);
	void (*hibernate)(struct gen *g);
	/* Asked by gen_stop_id() to stop: true: not yet, it calls gen_stop() when it is ready.
	 * NULL: at once. */
	bool (*stops_later)(struct gen *g, const char *reason);
	void (*terminate)(struct gen *g, const char *reason);
	bool (*drop)(struct gen *g); /* false: the class has none */
	int (*code_change)(
		struct gen *g, const struct gen_class *now, unsigned old_version, void *extra);
	bool (*has_state)(const struct gen *g, unsigned state);
	const char *(*state_name)(const struct gen *g); /* "" where there are no states */
};

/* g becomes an actor of the running shard. */
ON_SHARD struct start_result gen_start(
	struct gen *g, const struct gen_class *class, void *arg, const struct start *how);
/* The end of an init that had returned NEXT_LATER: what init would have returned. */
ON_SHARD void gen_started(struct gen *g, struct next n);
/* Makes a zeroed object of class->bytes and starts it there; how->started tells the outcome. In the
 * end the object is freed, when its class has no drop. */
ANY_THREAD void gen_spawn(
	struct shard *on, const struct gen_class *class, void *arg, const struct start *how);
/* Blocks: never on a shard. */
ANY_THREAD struct start_result gen_spawn_wait(
	struct shard *on, const struct gen_class *class, void *arg, const struct start *how);
/* enter_loop: g->actor has begun already, as an actor of any class; init is not called. name: what
 * it is registered as, NULL for nothing. */
ON_SHARD void gen_enter(
	struct gen *g, const struct gen_class *class, const char *name, struct next n);

/* A message as a plain function call. What is not taken from t stays the caller's. Returns whether
 * g still lives. From within a handler of g, or before its start is through, it is posted instead.
 */
ON_SHARD bool gen_now(struct gen *g, enum mail_kind kind, struct term *t);
/* Ends g now, or when the running handler of it returns. */
ON_SHARD void gen_stop(struct gen *g, const char *reason);
ANY_THREAD void gen_stop_id(struct actor_id id, const char *reason); /* in turn with its mail */
ANY_THREAD void gen_trace(struct actor_id id, bool on);

/* One-shot timers of g: the event comes as MAIL_CAST after ms. Takes event. */
enum gen_timer_kind { GEN_TIMER_PLAIN, GEN_TIMER_WITH_REF }; /* whether event.ref is filled in */
ON_SHARD uint32_t gen_timer_start(
	struct gen *g, uint64_t ms, struct term event, enum gen_timer_kind kind);
ON_SHARD int64_t gen_timer_cancel(struct gen *g, uint32_t ref); /* ms left, or -1 */

/* Changes the class of a running g: calls now's code_change with the old class's version. 0, or
 * what code_change returned; then g stays as it was. */
ON_SHARD int gen_upgrade(struct gen *g, const struct gen_class *now, void *extra);
/* The same from outside, in turn with its mail. Blocks: never on a shard. */
ANY_THREAD enum call_outcome gen_upgrade_wait(struct actor_id id, const struct gen_class *now,
	void *extra, uint64_t deadline_ms, int *out_err);
