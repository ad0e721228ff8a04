/* Children that are threads or processes: what starts them, what counts as their end, what stops
 * them, and what is done about those that do not stop. Real threads, real processes. */
#include "core/child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/support/moved_clock.h"
#include "tests/support/puppets.h"

static _Atomic unsigned abandoned, shards_lost;
static sem_t sup_ended;
static char ended_reason[64];

static void count_abandoned(const char *id UNUSED, bool shard_lost)
{
	abandoned++;
	shards_lost += shard_lost;
}

static void begin(void)
{
	sem_init(&sup_ended, 0, 0);
	rcu_thread_begin();
	child_on_abandoned(count_abandoned);
	cr_assert_eq(shards_start(1), 0);
}

static void end(void)
{
	shards_stop();
	rcu_thread_end();
}

/* Long beside what a busy machine takes for anything: only the tests let it pass. */
enum { BEAT_MS = 60000, SHUTDOWN_MS = 100000 };

TestSuite(child, .init = begin, .fini = end, .timeout = 60);

static void note_end(struct actor_id id UNUSED, const char *reason, void *arg UNUSED)
{
	snprintf(ended_reason, sizeof(ended_reason), "%s", reason);
	sem_post(&sup_ended);
}

static struct supervisor_plan plan;

static struct supervisor_plan *plan_with(const struct child_spec *spec)
{
	plan = (struct supervisor_plan){ .strategy = ONE_FOR_ONE,
		.max_restarts = 3,
		.within_s = 1000,
		.children = spec,
		.n_children = 1 };
	return &plan;
}

static struct start_result start(const struct child_spec *spec)
{
	return supervisor_spawn_wait(
		shard_at(0), plan_with(spec), &(struct start){ .ended = note_end });
}

static struct actor_id started(const struct child_spec *spec)
{
	struct start_result r = start(spec);

	cr_assert_eq(r.outcome, STARTED, "%s", log_text(r.reason));
	return r.id;
}

static void stop(struct actor_id sup)
{
	gen_stop_id(sup, STOP_SHUTDOWN);
	cr_assert(await(&sup_ended));
}

/* Waits until the child "t" has been restarted that often and is up; false after a long time. */
static bool restarted(struct actor_id sup, uint64_t times)
{
	struct child_row row;

	for (unsigned i = 0; i < 30000; i++) {
		row = row_of(sup, "t");
		if (row.restarts == times && row.state == CHILD_UP)
			return true;
		usleep(1000);
	}
	return false;
}

/* --- threads --- */

/* A thread that is told what to do. */
static struct orders {
	_Atomic bool beat, deaf;
	_Atomic bool leave; /* one of them */
	_Atomic unsigned runs, beats, ends;
	sem_t ready, again;
	const char *reason;
} orders;

static void orders_init(void)
{
	memset(&orders, 0, sizeof(orders));
	sem_init(&orders.ready, 0, 0);
	sem_init(&orders.again, 0, 0);
	orders.beat = true;
	abandoned = shards_lost = 0;
}

static const char *obey(struct heart *h, void *arg)
{
	struct orders *o = arg;

	o->runs++;
	while (!atomic_exchange(&o->leave, false) && (o->deaf || !heart_stops(h))) {
		if (o->beat) {
			heart_beat(h);
			o->beats++;
		}
		sem_post(&o->ready);
		sem_wait(&o->again);
	}
	o->ends++;
	return o->reason ? o->reason : STOP_NORMAL;
}

static void wake(void *arg)
{
	struct orders *o = arg;

	sem_post(&o->again);
}

/* Once more round its loop. */
static void once_more(void)
{
	sem_post(&orders.again);
	cr_assert(await(&orders.ready));
}

static const struct child_spec calm_thread = {
	.id = "t",
	.shutdown_ms = SHUTDOWN_MS,
	THREAD_CHILD(obey, .arg = &orders, .wake = wake),
};
static const struct child_spec beating_thread = {
	.id = "t",
	.shutdown_ms = SHUTDOWN_MS,
	THREAD_CHILD(obey, .arg = &orders, .wake = wake, .heartbeat_ms = BEAT_MS),
};

Test(child, a_thread_is_stopped_by_asking_it)
{
	struct actor_id sup;

	orders_init();
	sup = started(&calm_thread);
	cr_assert(await(&orders.ready));
	cr_expect_eq(row_of(sup, "t").kind, CHILD_THREAD);
	cr_expect_eq(row_of(sup, "t").state, CHILD_UP);
	stop(sup);
	cr_expect_eq(orders.ends, 1, "the supervisor has waited for it");
	cr_expect_eq(abandoned, 0);
}

static const char *wait_long(struct heart *h, void *arg)
{
	struct orders *o = arg;

	while (!heart_wait(h, 0) && o->runs < 3)
		o->runs++;
	heart_beat(h);
	o->ends += heart_wait(h, 1000000000);
	o->ends += heart_wait(h, 1000000000);
	return STOP_NORMAL;
}

Test(child, a_waiting_thread_is_woken_when_it_is_to_end)
{
	const struct child_spec spec = { .id = "t",
		.shutdown_ms = SHUTDOWN_MS,
		THREAD_CHILD(wait_long, .arg = &orders, .heartbeat_ms = BEAT_MS) };
	struct actor_id sup;

	orders_init();
	sup = started(&spec);
	cr_expect_eq(orders.runs, 3, "until then the wait is over when its time is");
	stop(sup);
	cr_expect_eq(orders.ends, 2, "told once, it knows for good");
}

Test(child, a_thread_that_returns_has_ended)
{
	struct actor_id sup;

	orders_init();
	sup = started(&calm_thread);
	cr_assert(await(&orders.ready));
	orders.reason = "no more work";
	orders.leave = true;
	sem_post(&orders.again);
	cr_assert(await(&orders.ready));
	cr_assert(restarted(sup, 1));
	cr_expect_eq(orders.runs, 2);
	stop(sup);
}

Test(child, a_transient_thread_that_returns_normally_is_through)
{
	struct child_spec spec = calm_thread;
	struct actor_id sup;

	orders_init();
	spec.restart = CHILD_TRANSIENT;
	orders.leave = true;
	sup = started(&spec);
	while (row_of(sup, "t").state != CHILD_DOWN)
		sched_yield();
	calm();
	cr_expect_eq(orders.runs, 1);
	cr_expect_str_eq(row_of(sup, "t").reason, STOP_NORMAL);
	stop(sup);
}

Test(child, the_first_heartbeat_ends_the_start)
{
	struct start_result r;

	orders_init();
	orders.beat = false;
	orders.leave = true;
	orders.reason = "no luck";
	r = start(&beating_thread);
	cr_expect_eq(r.outcome, START_FAILED, "it returned before it had beaten");
	orders.beat = true;
	stop(started(&beating_thread));
}

Test(child, a_thread_that_returns_before_its_first_beat_says_why)
{
	const struct child_spec many = { .id = "t", THREAD_CHILD(obey, .heartbeat_ms = BEAT_MS) };
	struct supervisor_answer *a;
	struct actor_id sup;

	orders_init();
	orders.leave = true;
	orders.reason = "no disk";
	plan = (struct supervisor_plan){
		.strategy = SIMPLE_ONE_FOR_ONE, .children = &many, .n_children = 1
	};
	sup = supervisor_spawn_wait(shard_at(0), &plan, &(struct start){ .ended = note_end }).id;
	a = ask_start(sup, NULL, &orders);
	cr_expect_eq(a->outcome, SUPERVISOR_START_FAILED, "{error,Error}");
	cr_expect_str_eq(a->why, "no disk");
	free(a);
	stop(sup);
}

Test(child, a_missed_heartbeat_is_a_failure)
{
	struct actor_id sup;

	orders_init();
	sup = started(&beating_thread);
	cr_assert(await(&orders.ready));
	once_more();
	clock_move(PAST(BEAT_MS));
	cr_expect_eq(row_of(sup, "t").state, CHILD_UP, "it has beaten meanwhile");
	orders.beat = false;
	once_more();
	clock_move(PAST(BEAT_MS));
	cr_assert(await(&orders.ready), "it was told to stop, and another one began");
	orders.beat = true;
	once_more();
	cr_assert(restarted(sup, 1));
	cr_expect_eq(orders.runs, 2);
	cr_expect_eq(abandoned, 0, "it could be stopped");
	stop(sup);
}

Test(child, a_thread_that_cannot_be_stopped_is_abandoned_and_the_tree_goes_on)
{
	struct actor_id sup;

	orders_init();
	orders.deaf = true;
	sup = started(&calm_thread);
	cr_assert(await(&orders.ready));
	gen_stop_id(sup, STOP_SHUTDOWN);
	calm();
	clock_move(PAST(SHUTDOWN_MS));
	cr_expect_eq(abandoned, 0, "killed, and given time");
	clock_move(PAST(CHILD_KILL_MS));
	cr_assert(await(&sup_ended));
	cr_expect_eq(abandoned, 1);
	cr_expect_eq(shards_lost, 0);
	orders.deaf = false; /* its heart is still whole */
	sem_post(&orders.again);
	while (orders.ends == 0)
		sched_yield();
}

Test(child, an_abandoned_thread_may_outlive_the_shards)
{
	struct actor_id sup;

	orders_init();
	orders.deaf = true;
	sup = started(&calm_thread);
	cr_assert(await(&orders.ready));
	gen_stop_id(sup, STOP_SHUTDOWN);
	calm();
	clock_move(PAST(SHUTDOWN_MS));
	clock_move(PAST(CHILD_KILL_MS));
	cr_assert(await(&sup_ended));
	shards_stop();
	orders.beat = true; /* its first, of which nobody can be told */
	orders.deaf = false;
	orders.leave = true;
	sem_post(&orders.again);
	while (orders.ends == 0)
		sched_yield();
	cr_assert_eq(shards_start(1), 0);
}

Test(child, a_hanging_thread_that_holds_a_shard_makes_the_server_restart)
{
	struct child_spec spec = beating_thread;
	struct actor_id sup;

	orders_init();
	spec.shutdown_ms = CHILD_BRUTAL_KILL;
	spec.thread.holds_shard = true;
	orders.deaf = true;
	sup = started(&spec);
	cr_assert(await(&orders.ready));
	orders.beat = false;
	once_more();
	clock_move(PAST(BEAT_MS));
	cr_expect_eq(row_of(sup, "t").state, CHILD_STOPPING);
	cr_expect_str_eq(row_of(sup, "t").reason, "missed a heartbeat");
	orders.beat = true; /* for its successor */
	clock_move(PAST(CHILD_KILL_MS));
	cr_expect_eq(abandoned, 1);
	cr_expect_eq(shards_lost, 1);
	cr_assert(restarted(sup, 1), "the tree goes on");
	orders.deaf = false;
	sem_post(&orders.again);
	stop(sup);
	while (orders.ends < 2) {
		sem_post(&orders.again);
		sched_yield();
	}
}

/* --- parts --- */

static struct building {
	_Atomic int fails;
	_Atomic bool open; /* its functions return */
	_Atomic unsigned starts, stops;
	sem_t begun;
} building;

static void building_init(void)
{
	memset(&building, 0, sizeof(building));
	sem_init(&building.begun, 0, 0);
	building.open = true;
	abandoned = shards_lost = 0;
}

static void wait_until_open(void)
{
	sem_post(&building.begun);
	while (!building.open)
		usleep(1000);
}

static int build(void *arg, char *why)
{
	cr_assert_eq(arg, &building);
	building.starts++;
	wait_until_open();
	if (!building.fails)
		return 0;
	building.fails--;
	snprintf(why, CHILD_REASON_MAX, "no stones");
	return -ENOENT;
}

static void pull_down(void *arg UNUSED)
{
	wait_until_open();
	building.stops++;
}

static int64_t count_starts(void *arg UNUSED)
{
	return building.starts;
}

static const struct child_spec part = {
	.id = "t",
	.shutdown_ms = SHUTDOWN_MS,
	.start_ms = SHUTDOWN_MS,
	PART_CHILD(.start = build, .stop = pull_down, .holds = count_starts, .arg = &building),
};

Test(child, a_part_is_up_when_its_start_has_returned_and_down_when_its_stop_has)
{
	struct actor_id sup;

	building_init();
	sup = started(&part);
	cr_expect_eq(row_of(sup, "t").state, CHILD_UP);
	cr_expect_eq(row_of(sup, "t").kind, CHILD_PART);
	cr_expect_eq(row_of(sup, "t").holds, 1);
	cr_expect_eq(row_of(sup, "t").waiting, -1, "it has nothing that could wait");
	cr_expect_eq(outcome_of(ask_id(sup, RESTART_WITH_REST, "t")), SUPERVISOR_OK);
	cr_expect_eq(row_of(sup, "t").holds, 2);
	cr_expect_eq(building.stops, 1);
	stop(sup);
	cr_expect_eq(building.stops, 2);
}

Test(child, a_part_without_functions_is_up_and_down_at_once)
{
	const struct child_spec nothing = { .id = "t", PART_CHILD(.start = NULL) };
	struct actor_id sup = started(&nothing);

	cr_expect_eq(row_of(sup, "t").state, CHILD_UP);
	cr_expect_eq(row_of(sup, "t").holds, -1);
	stop(sup);
	cr_expect_str_eq(ended_reason, STOP_SHUTDOWN);
}

Test(child, a_part_that_does_not_start_says_why)
{
	AUTO(free_ptr) struct supervisor_answer *r = NULL;
	struct actor_id sup;

	building_init();
	building.fails = 1;
	cr_expect_eq(start(&part).outcome, START_FAILED);
	sup = started(&part);
	building.fails = 1;
	r = ask_id(sup, RESTART_WITH_REST, "t");
	cr_expect_eq(r->outcome, SUPERVISOR_START_FAILED);
	cr_expect_str_eq(r->why, "t: no stones");
	stop(sup);
}

static void note_start(const struct start_result *r, void *arg UNUSED)
{
	cr_expect_eq(r->outcome, START_FAILED);
	sem_post(&sup_ended);
}

Test(child, a_part_that_starts_too_long_is_stopped_when_it_has)
{
	building_init();
	building.open = false;
	gen_spawn(shard_at(0), &supervisor_class, plan_with(&part),
		&(struct start){ .started = note_start });
	cr_assert(await(&building.begun));
	clock_move(PAST(SHUTDOWN_MS));
	building.open = true;
	cr_assert(await(&sup_ended), "the supervisor has not started");
	cr_expect_eq(building.stops, 1);
	cr_expect_eq(abandoned, 0);
}

Test(child, a_part_that_does_not_stop_is_lost_to_the_server)
{
	struct actor_id sup;

	building_init();
	sup = started(&part);
	cr_assert(await(&building.begun));
	building.open = false;
	gen_stop_id(sup, STOP_SHUTDOWN);
	cr_assert(await(&building.begun));
	clock_move(PAST(SHUTDOWN_MS));
	cr_expect_eq(abandoned, 0, "killed, and given time");
	clock_move(PAST(CHILD_KILL_MS));
	cr_assert(await(&sup_ended));
	cr_expect_eq(abandoned, 1);
	cr_expect_eq(shards_lost, 1);
	building.open = true;
	while (!building.stops)
		sched_yield();
}

/* --- processes --- */

static int talk_fd = -1;

static void keep_talk(int fd, void *arg UNUSED)
{
	if (talk_fd >= 0)
		close(talk_fd);
	talk_fd = fd;
}

#define SHELL(script)                           \
	(const char *const[])                   \
	{                                       \
		"/bin/sh", "-c", (script), NULL \
	}

static struct child_spec process(const char *const *argv)
{
	return (struct child_spec){ .id = "t", .shutdown_ms = SHUTDOWN_MS, PROCESS_CHILD(argv) };
}

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) < 0;
}

Test(child, a_process_is_stopped_with_sigterm_and_waited_for)
{
	struct child_spec spec = process(SHELL("sleep 1000; sleep 1000"));
	struct actor_id sup;
	ssize_t got;
	char byte;
	pid_t pid;

	spec.process.talk = keep_talk;
	sup = started(&spec);
	pid = row_of(sup, "t").pid;
	cr_assert_gt(pid, 0);
	cr_expect_not(is_gone(pid));
	stop(sup);
	cr_expect(is_gone(pid), "and no zombie is left");
	while ((got = read(talk_fd, &byte, 1)) < 0)
		usleep(1000);
	cr_expect_eq(got, 0, "nobody of its group has its output open");
}

static const struct {
	const char *script;
	enum child_restart restart;
	bool again;
	const char *reason;
} exits[] = {
	{ "exit 0", CHILD_TRANSIENT, false, STOP_NORMAL },
	{ "exit 3", CHILD_TEMPORARY, false, "exit status 3" },
	{ "kill -9 $$", CHILD_TEMPORARY, false, "signal 9" },
	{ "sleep 1000 & exit 0", CHILD_TRANSIENT, false, STOP_NORMAL },
};

Test(child, how_a_process_ends_is_the_reason)
{
	for (size_t i = 0; i < ARRAY_LEN(exits); i++) {
		struct child_spec spec = process(SHELL(exits[i].script));
		struct actor_id sup;

		spec.restart = exits[i].restart;
		sup = started(&spec);
		while (row_of(sup, "t").state != CHILD_DOWN)
			usleep(1000);
		cr_expect_str_eq(row_of(sup, "t").reason, exits[i].reason);
		stop(sup);
	}
}

Test(child, a_process_that_is_killed_is_restarted)
{
	struct child_spec spec = process(SHELL("sleep 1000"));
	struct actor_id sup = started(&spec);
	pid_t pid = row_of(sup, "t").pid;

	kill(pid, SIGKILL);
	cr_assert(restarted(sup, 1));
	cr_expect_neq(row_of(sup, "t").pid, pid);
	stop(sup);
}

Test(child, a_process_that_ends_again_and_again_ends_its_supervisor)
{
	struct child_spec spec = process(SHELL("exit 1"));

	started(&spec);
	cr_assert(await(&sup_ended));
	cr_expect_str_eq(ended_reason, STOP_INTENSITY);
}

Test(child, a_program_that_is_not_there_is_a_failed_start)
{
	const char *const argv[] = { "/nonexistent/program", NULL };
	struct child_spec spec = process(argv);

	cr_expect_eq(start(&spec).outcome, START_FAILED);
}

Test(child, a_process_that_does_not_listen_is_killed)
{
	struct child_spec spec = process(SHELL("trap '' TERM; echo ready; sleep 1000; sleep 1000"));
	struct actor_id sup;
	char ready[8];
	pid_t pid;

	spec.process.talk = keep_talk;
	sup = started(&spec);
	pid = row_of(sup, "t").pid;
	while (read(talk_fd, ready, sizeof(ready)) <= 0)
		usleep(1000);
	gen_stop_id(sup, STOP_SHUTDOWN);
	calm();
	cr_expect_not(is_gone(pid), "it was asked and stayed");
	clock_move(PAST(SHUTDOWN_MS));
	cr_assert(await(&sup_ended));
	cr_expect(is_gone(pid));
}

Test(child, brutal_kill_does_not_ask_a_process)
{
	struct child_spec spec = process(SHELL("trap '' TERM; echo ready; sleep 1000; sleep 1000"));
	struct actor_id sup;
	pid_t pid;

	spec.shutdown_ms = CHILD_BRUTAL_KILL;
	sup = started(&spec);
	pid = row_of(sup, "t").pid;
	stop(sup);
	cr_expect(is_gone(pid));
}

Test(child, a_process_talks_by_its_standard_input_and_output)
{
	struct child_spec spec = process(SHELL("read word; echo \"heard $word\"; sleep 1000"));
	struct actor_id sup;
	char text[32] = "";

	spec.process.talk = keep_talk;
	sup = started(&spec);
	cr_assert_eq(write(talk_fd, "this\n", 5), 5);
	while (read(talk_fd, text, sizeof(text) - 1) <= 0)
		usleep(1000);
	cr_expect_str_eq(text, "heard this\n");
	stop(sup);
}

Test(child, a_process_beats_on_descriptor_3)
{
	struct child_spec spec = process(SHELL("while read word; do echo >&3; done"));
	struct actor_id sup;

	spec.process.talk = keep_talk;
	spec.process.heartbeat_ms = BEAT_MS;
	spec.process.argv = SHELL("echo >&3; while read word; do echo >&3; echo; done");
	sup = started(&spec);
	for (unsigned i = 0; i < 3; i++) {
		char back[4];

		cr_assert_eq(write(talk_fd, "beat\n", 5), 5);
		while (read(talk_fd, back, sizeof(back)) <= 0)
			usleep(1000);
		settle(); /* the beat before the answer has been read */
		clock_move(PAST(BEAT_MS));
		cr_expect_eq(row_of(sup, "t").state, CHILD_UP);
	}
	cr_expect_eq(row_of(sup, "t").restarts, 0);
	clock_move(PAST(BEAT_MS));
	cr_assert(restarted(sup, 1), "a missed one is a failure");
	stop(sup);
}

Test(child, a_process_that_does_not_beat_at_all_has_not_started)
{
	struct child_spec spec = process(SHELL("exit 0"));

	spec.process.heartbeat_ms = BEAT_MS;
	cr_expect_eq(start(&spec).outcome, START_FAILED);
}

Test(child, a_killed_supervisor_leaves_no_process)
{
	struct child_spec spec = process(SHELL("sleep 1000"));
	struct actor_id sup = started(&spec);
	pid_t pid = row_of(sup, "t").pid;

	gen_stop_id(sup, STOP_KILLED);
	cr_assert(await(&sup_ended));
	while (!is_gone(pid))
		usleep(1000);
}
