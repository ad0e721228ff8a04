/* tests/unit/bench/test_timeline.c - what one look sees of several processes, and the line that is
 * made of it. */
#include "bench/bench_timeline.h"

#include <criterion/criterion.h>
#include <string.h>

#include "bench/bench_view.h"

static struct timeline t;
static struct processes none;
static struct board *board;

static void begin(void)
{
	board = board_new(2);
	cr_assert_not_null(board);
	timeline_init(&t, 1000000000);
}

static void release(void)
{
	timeline_fini(&t);
	board_free(board);
}

static const struct sample *look(uint64_t at_s)
{
	timeline_look(&t, board, &none, &none, at_s * 1000000000);
	return timeline_last(&t);
}

Test(timeline, nothing_seen_yet)
{
	begin();
	cr_expect_null(timeline_last(&t));
	release();
}

Test(timeline, sums_over_processes_and_the_slowest_phase)
{
	const struct sample *s;

	begin();
	board->shares[0].sessions = 30;
	board->shares[1].sessions = 12;
	board->shares[0].phase = PHASE_MEASURE;
	board->shares[1].phase = PHASE_LOGIN;
	s = look(1);
	cr_expect_eq(s->sessions, 42);
	cr_expect_eq(s->phase, PHASE_LOGIN);
	cr_expect_eq(s->at_s, 0);
	release();
}

Test(timeline, rates_and_times_are_those_since_the_last_look)
{
	const struct sample *s;

	begin();
	look(1);
	for (unsigned i = 0; i < 100; i++)
		hist_add(&board->shares[i % 2].latency, 20);
	s = look(3);
	cr_expect_eq(s->operations, 100);
	cr_expect_eq(s->per_second, 50);
	cr_expect_eq(s->p99_us, 20);
	for (unsigned i = 0; i < 10; i++)
		hist_add(&board->shares[0].latency, 10);
	s = look(4);
	cr_expect_eq(s->per_second, 10);
	cr_expect_eq(s->p99_us, 10, "not the longer ones of before");
	s = look(5);
	cr_expect_eq(s->operations, 0);
	cr_expect_eq(s->p99_us, 0);
	release();
}

Test(timeline, many_looks_find_room)
{
	begin();
	for (unsigned i = 1; i <= 1000; i++)
		look(i);
	cr_expect_eq(t.n, 1000);
	cr_expect_eq(t.at[999].at_s, 999);
	release();
}

Test(view, the_line_tells_phase_sessions_rate_and_cpu)
{
	struct options o = { .users = 40, .seconds = 10, .warmup = 1, .quiet = true };
	struct sample s = { .at_s = 4,
		.phase = PHASE_MEASURE,
		.sessions = 40,
		.operations = 1234,
		.per_second = 1234,
		.p99_us = 5670,
		.server_cores = 0.5,
		.own_cores = 0.25 };
	char line[160];
	struct view v;

	o.server.n = 1;
	view_init(&v, &o);
	cr_expect_not(v.shown);
	view_line(&v, &s, line, sizeof(line));
	s.at_s = 7;
	view_line(&v, &s, line, sizeof(line));
	cr_expect_str_eq(line,
		"measure  3/10 s  40/40 sessions  1234/s  p99 5.67 ms  server 50 %  "
		"own 25 %");
}
