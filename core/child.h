/* core/child.h - what a supervisor looks after: a child's specification, and what is told of it.
 * A child is an actor, a thread of ours, a process of the operating system, or a part: something
 * that is started and stopped by two functions. Its specification is a row of a static table;
 * everything that one points to outlives the supervisor. After Erlang's child_spec():
 *
 *   static const struct child_spec children[] = {
 *           { .id = "router", .shutdown_ms = 5000, ACTOR_CHILD(&router_class.gen) },
 *           { .id = "watchdog", .restart = CHILD_TRANSIENT, .shutdown_ms = 1000,
 *             THREAD_CHILD(watchdog_run, .heartbeat_ms = 2000) },
 *           { .id = "auth", .shutdown_ms = 1000, PROCESS_CHILD(auth_argv, .talk = auth_talk) },
 *   }; */
#pragma once

#include <sys/types.h>

#include "core/gen.h"
#include "core/heart.h"

#define CHILD_ID_MAX 64 /* bytes, the terminating one too */
#define CHILD_REASON_MAX 160
#define CHILD_START_MS 30000 /* how long a start may take when nothing else is said */
#define CHILD_KILL_MS 2000 /* what has not ended so long after it was killed is abandoned */

enum child_restart {
	CHILD_PERMANENT, /* always restarted */
	CHILD_TRANSIENT, /* when it ended with another reason than STOP_NORMAL */
	CHILD_TEMPORARY, /* never, not even with its siblings */
};
enum child_type { CHILD_WORKER, CHILD_SUPERVISOR };

/* How a child is stopped: asked to, then killed after so many milliseconds (0 and up). */
#define CHILD_BRUTAL_KILL (-1) /* killed without being asked */
#define CHILD_INFINITY (-2) /* asked and waited for; the right one for supervisors */

enum child_kind { CHILD_NONE, CHILD_ACTOR, CHILD_THREAD, CHILD_PROCESS, CHILD_PART };

/* An actor ends with its stop reason. Asked to stop: gen_stop_id(STOP_SHUTDOWN). */
struct child_actor {
	const struct gen_class *class; /* a spawned object of it is the child */
	unsigned shard; /* counted round, as tables do not know how many there are */
	const char *name; /* registered; NULL: nothing */
	void *arg; /* its init's */
};

/* A thread ends when run() returns, or when it misses a heartbeat. Asked to stop:
 * heart_stops(). It cannot be killed: one that does not end is left to itself and reported. */
struct child_thread {
	const char *(*run)(struct heart *h, void *arg); /* returns why it ended */
	void *arg;
	/* On a shard: it is to look at heart_stops(). NULL: it does, or is in heart_wait(). */
	void (*wake)(void *arg);
	bool holds_shard; /* the server cannot do without what an abandoned one holds */
	/* Of how many at least one heart_beat() comes; 0: none is expected. With one, the first
	 * beat ends the start. */
	uint64_t heartbeat_ms;
};

/* A process ends with its exit status, or when it misses a heartbeat. Asked to stop: SIGTERM;
 * killed: SIGKILL; both go to the whole group of processes that it has begun. Its start holds the
 * supervisor's shard while the system makes it: not a thing for each stanza. */
struct child_process {
	const char *const *argv; /* the program's path or name, its arguments, NULL */
	/* On the supervisor's shard, at each start: fd is our end of a socket pair whose other end
	 * is the standard input and output of the new process. Takes fd, which does not block.
	 * NULL: they are /dev/null. */
	void (*talk)(int fd, void *arg);
	void *arg;
	/* As a thread's: any byte written to descriptor CHILD_PULSE_FD is a beat. */
	uint64_t heartbeat_ms;
};
#define CHILD_PULSE_FD 3

/* A part does not end by itself. Its functions may block: they run on a thread for all parts,
 * registered with RCU, or on one more while that is busy. Either may be NULL: nothing is to be
 * done. One that does not return in time is abandoned, and what it holds is lost to the server. */
struct child_part {
	/* 0, or it did not start and why has the reason (at most CHILD_REASON_MAX bytes). */
	int (*start)(void *arg, char *why);
	void (*stop)(void *arg);
	/* For the tree: what it has by now, and how much waits in it. On the supervisor's shard;
	 * NULL: nothing to count. */
	int64_t (*holds)(void *arg);
	int64_t (*waits)(void *arg);
	void *arg;
};

struct child_spec {
	const char *id; /* shorter than CHILD_ID_MAX, without '/' */
	enum child_restart restart;
	enum child_type type;
	int64_t shutdown_ms; /* or CHILD_BRUTAL_KILL or CHILD_INFINITY */
	uint64_t start_ms; /* 0: CHILD_START_MS, for supervisors as long as their children need */
	const char *const *modules; /* ends with NULL; NULL: dynamic */
	enum child_kind kind; /* with what follows: one of the macros below */
	union {
		struct child_actor actor;
		struct child_thread thread;
		struct child_process process;
		struct child_part part;
	};
};
#define ACTOR_CHILD(class_, ...) .kind = CHILD_ACTOR, .actor = { .class = (class_), ##__VA_ARGS__ }
#define THREAD_CHILD(run_, ...) .kind = CHILD_THREAD, .thread = { .run = (run_), ##__VA_ARGS__ }
#define PROCESS_CHILD(argv_, ...) \
	.kind = CHILD_PROCESS, .process = { .argv = (argv_), ##__VA_ARGS__ }
#define PART_CHILD(...) .kind = CHILD_PART, .part = { __VA_ARGS__ }

/* check_childspecs: 0, or -EINVAL and in words what is wrong with which. out_why may be NULL. */
ANY_THREAD int child_specs_check(
	const struct child_spec *specs, unsigned n, char out_why[CHILD_REASON_MAX * 2]);

enum child_state {
	CHILD_DOWN, /* there is no such process: never started, ignored, ended or stopped */
	CHILD_STARTING,
	CHILD_UP,
	CHILD_STOPPING, /* asked or killed, and not yet gone */
};

/* A row of which_children and of the tree. */
struct child_row {
	char id[CHILD_ID_MAX]; /* of a simple_one_for_one's child: with '#' and a number */
	enum child_kind kind;
	enum child_type type;
	enum child_restart restart;
	enum child_state state;
	struct actor_id actor; /* ACTOR_NONE when it is not up, or is none */
	pid_t pid; /* of a process; 0 otherwise */
	const char *const *modules;
	uint64_t restarts; /* by the supervisor, in its life */
	uint64_t for_ms; /* how long it has been in this state */
	/* Of an actor, the messages in its shard's mailbox; of a part, what it says; -1: nothing to
	 * count. */
	int64_t waiting;
	int64_t holds; /* a part's; -1: nothing to count */
	char reason[CHILD_REASON_MAX]; /* why it last ended or did not start; "" when it has not */
};
ANY_THREAD const char *child_state_name(enum child_state state);
ANY_THREAD const char *child_kind_name(enum child_kind kind);

/* What could not be ended even by force. The tree goes on without it; when lost, it has a shard or
 * is a part, which cannot be had back: the server has to be restarted. On a shard; called for each;
 * NULL: only logged and counted. To be set before the first supervisor starts. */
void child_on_abandoned(void (*fn)(const char *id, bool lost));
