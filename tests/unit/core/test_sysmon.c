/* The system monitor: what it decides from what it reads, and that it says and shows so. */
#include "core/sysmon.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "core/supervisor.h"

/* --- thresholds --- */

static const struct {
	enum sysmon_measure measure;
	int64_t bound, warning, want;
} thresholds[] = {
	{ SYSMON_QUEUE, 0, 10000, 10000 }, /* no bound: as set */
	{ SYSMON_QUEUE, 4096, 10000, 2048 }, /* half its bound comes first */
	{ SYSMON_QUEUE, 4096, 100, 100 },
	{ SYSMON_QUEUE, 4096, 0, 0 }, /* no warnings */
	{ SYSMON_QUEUE, 0, 0, 0 },
	{ SYSMON_SHARE, 1000, 10000, 900 },
	{ SYSMON_SHARE, 1000, 0, 900 }, /* not a queue's business */
	{ SYSMON_SHARE, 0, 10000, 0 },
	{ SYSMON_SHARE, INT64_MAX, 0, INT64_MAX / 100 * 90 + 6 },
};

Test(sysmon, from_when_on_it_is_too_much)
{
	for (size_t i = 0; i < ARRAY_LEN(thresholds); i++)
		cr_expect_eq(sysmon_threshold(thresholds[i].measure, thresholds[i].bound,
				     thresholds[i].warning),
			thresholds[i].want, "row %zu", i);
}

static const struct {
	bool raised;
	int64_t value, threshold;
	enum sysmon_change want;
	bool after;
} judgements[] = {
	{ false, 99, 100, SYSMON_SAME, false },
	{ false, 100, 100, SYSMON_RAISED, true },
	{ true, 5000, 100, SYSMON_SAME, true }, /* said already */
	{ true, 99, 100, SYSMON_SAME, true }, /* does not flap */
	{ true, 88, 100, SYSMON_SAME, true },
	{ true, 87, 100, SYSMON_WELL, false },
	{ true, 0, 100, SYSMON_WELL, false },
	{ false, 5000, 0, SYSMON_SAME, false }, /* 0: never */
	{ true, 5000, 0, SYSMON_WELL, false }, /* switched off meanwhile */
	{ true, 0, 1, SYSMON_WELL, false },
};

Test(sysmon, is_raised_once_and_well_again_once)
{
	for (size_t i = 0; i < ARRAY_LEN(judgements); i++) {
		bool raised = judgements[i].raised;

		cr_expect_eq(sysmon_judge(&raised, judgements[i].value, judgements[i].threshold),
			judgements[i].want, "row %zu", i);
		cr_expect_eq(raised, judgements[i].after, "row %zu", i);
	}
}

/* --- memory: limit 1000 --- */

static const struct {
	enum sysmon_memory now;
	int64_t used, limit;
	enum sysmon_memory want;
	uint64_t shed;
} memories[] = {
	{ MEMORY_WELL, 899, 1000, MEMORY_WELL, 0 },
	{ MEMORY_WELL, 900, 1000, MEMORY_SHORT, 0 }, /* first nobody new */
	{ MEMORY_WELL, 1000, 1000, MEMORY_SHORT, 0 },
	{ MEMORY_WELL, 1001, 1000, MEMORY_OVER, 51 }, /* then those who hold the most */
	{ MEMORY_SHORT, 899, 1000, MEMORY_SHORT, 0 }, /* does not flap */
	{ MEMORY_SHORT, 800, 1000, MEMORY_SHORT, 0 }, { MEMORY_SHORT, 799, 1000, MEMORY_WELL, 0 },
	{ MEMORY_SHORT, 960, 1000, MEMORY_SHORT, 0 }, /* nobody is closed on the way up */
	{ MEMORY_SHORT, 2000, 1000, MEMORY_OVER, 1050 },
	{ MEMORY_OVER, 960, 1000, MEMORY_OVER, 10 }, /* goes on to 95 % */
	{ MEMORY_OVER, 950, 1000, MEMORY_SHORT, 0 }, { MEMORY_OVER, 100, 1000, MEMORY_WELL, 0 },
	{ MEMORY_WELL, INT64_MAX, 0, MEMORY_WELL, 0 }, /* no limit */
	{ MEMORY_OVER, INT64_MAX, 0, MEMORY_WELL, 0 }, /* no limit any more */
	{ MEMORY_OVER, 2000, 10000, MEMORY_WELL, 0 }, /* a larger one */
};

Test(sysmon, memory_is_refused_first_and_taken_back_then)
{
	for (size_t i = 0; i < ARRAY_LEN(memories); i++) {
		uint64_t shed = 77;

		cr_expect_eq(sysmon_memory_next(
				     memories[i].now, memories[i].used, memories[i].limit, &shed),
			memories[i].want, "row %zu", i);
		cr_expect_eq(shed, memories[i].shed, "row %zu", i);
	}
}

/* --- the thread --- */

static _Atomic int64_t length;
static _Atomic int sheds;

static void read_queue(struct sysmon_round *r)
{
	sysmon_tell(r, "short one", 1, 0);
	sysmon_tell(r, "a \"long\" one", length, 0);
	sysmon_tell(r, "a \"long\" one", 3, 0); /* another host's */
}

static bool shed(uint64_t bytes)
{
	cr_assert_gt(bytes, 0);
	atomic_fetch_add(&sheds, 1);
	return true;
}

static const struct sysmon_probe probes[] = { { "tests", SYSMON_QUEUE, read_queue } };
static const struct sysmon_plan plan = { .probes = probes, .n_probes = 1, .shed = shed };
static const struct child_spec child[] = {
	{ .id = "system monitor",
		.shutdown_ms = 5000,
		THREAD_CHILD(
			sysmon_run, .arg = (void *)&plan, .heartbeat_ms = SYSMON_HEARTBEAT_MS) },
};
static const struct supervisor_plan above = {
	.strategy = ONE_FOR_ONE, .max_restarts = 0, .within_s = 1, SUPERVISOR_CHILDREN(child)
};

static void begin(void)
{
	rcu_thread_begin();
	cr_assert_eq(shards_start(1), 0);
	sysmon_set(&(struct sysmon_limits){ .queue_warning = 100 });
	cr_assert_eq(supervisor_spawn_wait(shard_at(0), &above, &(struct start){ .name = "above" })
			     .outcome,
		STARTED);
}

static void end(void)
{
	gen_stop_id(actor_whereis("above"), STOP_SHUTDOWN);
	while (actor_whereis("above").v)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	shards_stop();
	rcu_thread_end();
}

TestSuite(sysmon_thread, .init = begin, .fini = end, .timeout = 60);

static bool is_state(const char *part)
{
	AUTO(free_ptr) char *state = sysmon_state();

	return strstr(state, part);
}

/* Until the next look or the one after: the suite's timeout ends what never comes. */
static void await_state(const char *part)
{
	while (!is_state(part))
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

static bool is_exported(const char *line)
{
	AUTO(free_ptr) char *text = metric_text();

	return strstr(text, line);
}

Test(sysmon_thread, tells_of_a_long_queue_and_when_it_is_well)
{
	await_state("well");
	atomic_store(&length, 250);
	await_state("tests: a \"long\" one has 250, warned of from 100 on");
	cr_expect(
		is_exported("\nlinnet_queue_length{kind=\"tests\",queue=\"a _long_ one\"} 250\n"));
	cr_expect(is_exported("\nlinnet_queue_length{kind=\"tests\",queue=\"short one\"} 1\n"));
	cr_expect(is_exported("\nlinnet_monitor_warnings_total 1\n"));
	atomic_store(&length, 0);
	await_state("well");
	cr_expect(is_exported("\nlinnet_queue_length{kind=\"tests\",queue=\"a _long_ one\"} 3\n"),
		"the longest of that name");
}

Test(sysmon_thread, memory_over_its_limit_is_taken_back)
{
	cr_expect_not(sysmon_memory_short());
	sysmon_set(&(struct sysmon_limits){ .memory_bytes = 1 });
	await_state("memory is over its limit");
	cr_expect(sysmon_memory_short());
	while (!atomic_load(&sheds))
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	cr_expect(is_exported("\nlinnet_memory_state 2\n"));
	cr_expect(is_exported("\nlinnet_memory_limit_bytes 1\n"));
	sysmon_set(&(struct sysmon_limits){ .memory_bytes = INT64_C(1) << 40 });
	await_state("well");
	cr_expect_not(sysmon_memory_short());
}
