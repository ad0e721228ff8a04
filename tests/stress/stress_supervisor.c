/* A tree of supervisors on several shards, whose children are ended at random from all sides while
 * others are added, stopped and deleted: actors by letters, threads and processes by themselves.
 * When that is over, the tree has to come to a state that the manual allows; when it is stopped,
 * nothing may be left. LINNET_SEED repeats what the attackers choose, not when. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/errand.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/server.h"
#include "core/supervisor.h"

enum {
	SHARDS = 4,
	ATTACKERS = 3,
	ROUNDS = 1000, /* each walks the whole tree */
	WAIT_S = 60,
	ASK_MS = 30000,
};

static _Atomic unsigned n_ends, n_lives, n_threads;

/* --- the children --- */

static struct next soul_init(struct server *s UNUSED, void *arg UNUSED)
{
	n_lives++;
	return server_wait();
}

static void soul_terminate(struct server *s UNUSED, const char *reason UNUSED)
{
	n_lives--;
}

static const struct server_class soul_class = {
	SERVER_CLASS("soul", 1, struct server),
	.init = soul_init,
	.terminate = soul_terminate,
};

/* Beats for a while, then has had enough. */
static const char *worry(struct heart *h, void *arg UNUSED)
{
	const struct timespec pause = { .tv_nsec = 2000000 };

	n_threads++;
	for (unsigned i = 0; i < 20 && !heart_stops(h); i++) {
		heart_beat(h);
		nanosleep(&pause, NULL);
	}
	n_threads--;
	return "had enough";
}

static const char *const short_program[] = { "/bin/sh", "-c", "sleep 0.05; exit 1", NULL };

#define SOUL(id_, restart_, shard_)                                      \
	{                                                                \
		.id = (id_), .restart = (restart_),                      \
		.shutdown_ms = (shard_) % 2 ? 20000 : CHILD_BRUTAL_KILL, \
		ACTOR_CHILD(&soul_class.gen, .shard = (shard_))          \
	}
static const struct child_spec souls[] = {
	SOUL("p0", CHILD_PERMANENT, 0),
	SOUL("t1", CHILD_TRANSIENT, 1),
	SOUL("p2", CHILD_PERMANENT, 2),
	SOUL("x3", CHILD_TEMPORARY, 3),
	SOUL("p4", CHILD_PERMANENT, 3),
};
static const struct child_spec mixed[] = {
	SOUL("p0", CHILD_PERMANENT, 3),
	{ .id = "pt", .shutdown_ms = 20000, THREAD_CHILD(worry, .heartbeat_ms = 20000) },
	SOUL("p2", CHILD_PERMANENT, 1),
	{ .id = "pp", .shutdown_ms = 20000, PROCESS_CHILD(short_program) },
};
static const struct child_spec any_soul[] = { SOUL("soul", CHILD_TRANSIENT, 2) };

/* Few restarts are allowed, so that now and then a supervisor gives up and is restarted. */
#define PLAN(strategy_, table_)                                            \
	{                                                                  \
		.strategy = (strategy_), .max_restarts = 8, .within_s = 1, \
		SUPERVISOR_CHILDREN(table_)                                \
	}
static const struct supervisor_plan each = PLAN(ONE_FOR_ONE, souls);
static const struct supervisor_plan all = PLAN(ONE_FOR_ALL, souls);
static const struct supervisor_plan rest = PLAN(REST_FOR_ONE, souls);
static const struct supervisor_plan both = PLAN(ONE_FOR_ALL, mixed);
static const struct supervisor_plan many = PLAN(SIMPLE_ONE_FOR_ONE, any_soul);
static const struct child_spec low[] = {
	{ .id = "all", SUPERVISOR_CHILD(&all, .shard = 3) },
	{ .id = "rest", SUPERVISOR_CHILD(&rest, .shard = 0) },
};
static const struct supervisor_plan lower = PLAN(REST_FOR_ONE, low);
static const struct child_spec top[] = {
	{ .id = "each", SUPERVISOR_CHILD(&each, .shard = 1) },
	{ .id = "lower", SUPERVISOR_CHILD(&lower, .shard = 2) },
	{ .id = "both", SUPERVISOR_CHILD(&both, .shard = 0) },
	{ .id = "many", SUPERVISOR_CHILD(&many, .shard = 1) },
	SOUL("p", CHILD_PERMANENT, 2),
};
static const struct supervisor_plan root_plan = {
	.strategy = ONE_FOR_ONE,
	.max_restarts = 10000,
	.within_s = 1,
	SUPERVISOR_CHILDREN(top),
};
static struct actor_id root;

/* --- the attackers --- */

static _Thread_local unsigned seed;

static unsigned any(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static void ask(struct actor_id sup, enum supervisor_request_kind kind, const char *id,
	const struct child_spec *spec)
{
	free(supervisor_ask_wait(
		sup, &(struct supervisor_request){ .kind = kind, .id = id, .spec = spec }, ASK_MS));
}

static void attack_row(const char *path UNUSED, unsigned depth UNUSED, const struct child_row *row,
	void *arg UNUSED)
{
	static const char *const reasons[] = { STOP_NORMAL, STOP_SHUTDOWN, STOP_KILLED };

	if (row->state != CHILD_UP || row->kind != CHILD_ACTOR)
		return;
	if (row->type == CHILD_SUPERVISOR && any(60))
		return;
	if (row->type == CHILD_WORKER && any(6))
		return;
	gen_stop_id(row->actor, reasons[any(3)]);
	n_ends++;
}

static void note_supervisor(
	const char *path, unsigned depth UNUSED, const struct child_row *row, void *arg)
{
	struct actor_id *out = arg;

	if (strcmp(path, "many") == 0 && row->state == CHILD_UP)
		out[0] = row->actor;
	if (strcmp(path, "each") == 0 && row->state == CHILD_UP)
		out[1] = row->actor;
}

/* Adds to the one, and has the other stop, start, forget and add a child of its own. */
static void ask_around(void)
{
	static const struct child_spec extra = SOUL("extra", CHILD_PERMANENT, 1);
	struct actor_id sups[2] = { { 0 }, { 0 } };

	supervisor_walk(root, note_supervisor, sups);
	if (sups[0].v) {
		ask(sups[0], START_CHILD, NULL, NULL);
		ask(sups[0], TERMINATE_CHILD, "soul#1", NULL);
	}
	if (sups[1].v) {
		ask(sups[1], START_CHILD, NULL, &extra);
		ask(sups[1], any(2) ? TERMINATE_CHILD : RESTART_CHILD, "extra", NULL);
		ask(sups[1], DELETE_CHILD, "extra", NULL);
	}
}

static void *attack(void *arg)
{
	seed = (unsigned)(uintptr_t)arg;
	for (unsigned i = 0; i < ROUNDS; i++) {
		supervisor_walk(root, attack_row, NULL);
		ask_around();
	}
	return NULL;
}

/* --- what the manual allows when nobody ends children any more --- */

struct verdict {
	unsigned rows, wrong;
};

static bool is_allowed(const struct child_row *row)
{
	if (row->state == CHILD_STARTING || row->state == CHILD_STOPPING)
		return false;
	if (row->kind != CHILD_ACTOR || strncmp(row->id, "extra", 5) == 0)
		return true; /* comes and goes by itself; may have been stopped by request */
	if (row->restart == CHILD_PERMANENT)
		return row->state == CHILD_UP;
	if (row->restart == CHILD_TRANSIENT)
		return row->state == CHILD_UP || strcmp(row->reason, STOP_NORMAL) == 0;
	return true;
}

static void judge(
	const char *path UNUSED, unsigned depth UNUSED, const struct child_row *row, void *arg)
{
	struct verdict *v = arg;

	v->rows++;
	v->wrong += !is_allowed(row);
}

static void print_row(
	const char *path, unsigned depth UNUSED, const struct child_row *row, void *arg UNUSED)
{
	fprintf(stderr, "%-20s %-8s restarts %llu, %s\n", path, child_state_name(row->state),
		(unsigned long long)row->restarts, row->reason);
}

static void await_allowed(void)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	struct verdict v;

	for (unsigned i = 0; i < WAIT_S * 100; i++) {
		v = (struct verdict){ 0 };
		supervisor_walk(root, judge, &v);
		if (v.wrong == 0 && v.rows >= ARRAY_LEN(top) + 3 * ARRAY_LEN(souls))
			return;
		nanosleep(&pause, NULL);
	}
	supervisor_walk(root, print_row, NULL);
	fprintf(stderr, "stress_supervisor: %u of %u rows are not as they may be\n", v.wrong,
		v.rows);
	exit(1);
}

/* --- the end --- */

static void root_ended(struct actor_id id UNUSED, const char *reason, void *arg)
{
	REQUIRE(strcmp(reason, STOP_SHUTDOWN) == 0);
	sem_post(arg);
}

/* Those of a supervisor that was killed go by themselves, so they may take a moment longer. */
static bool all_gone(void)
{
	siginfo_t child;

	return n_lives == 0 && n_threads == 0 &&
		waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

static void stop_root(sem_t *ended)
{
	gen_stop_id(root, STOP_SHUTDOWN);
	while (sem_wait(ended) < 0)
		REQUIRE(errno == EINTR);
	for (unsigned i = 0; i < WAIT_S * 100 && !all_gone(); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	REQUIRE(all_gone());
}

int main(void)
{
	const char *given = getenv("LINNET_SEED");
	unsigned first = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	pthread_t attackers[ATTACKERS];
	sem_t ended;

	printf("LINNET_SEED=%u\n", first);
	fflush(stdout);
	atomic_store(&log_level, LOG_LEVEL_NONE);
	rcu_thread_begin();
	REQUIRE(shards_start(SHARDS) == 0);
	sem_init(&ended, 0, 0);
	root = supervisor_spawn_wait(shard_at(0), &root_plan,
		&(struct start){ .name = "root", .ended = root_ended, .arg = &ended })
		       .id;
	REQUIRE(root.v);
	for (uintptr_t i = 0; i < ATTACKERS; i++)
		REQUIRE(pthread_create(&attackers[i], NULL, attack, (void *)(first + i)) == 0);
	for (unsigned i = 0; i < ATTACKERS; i++)
		pthread_join(attackers[i], NULL);
	await_allowed();
	stop_root(&ended);
	shards_stop();
	rcu_thread_end();
	printf("%u ends, and the tree stood\n", n_ends);
	return n_ends < 1000;
}
