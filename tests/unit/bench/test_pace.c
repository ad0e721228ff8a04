/* tests/unit/bench/test_pace.c - who is held up begins late, and counts from when it was due. */
#include "bench/bench_pace.h"

#include <criterion/criterion.h>
#include <poll.h>

#include "bench/bench_loop.h"

static struct {
	unsigned n;
	uint64_t first, last;
} seen;

static void due(void *arg, uint64_t when_ns)
{
	cr_assert_eq(arg, &seen);
	if (!seen.n++)
		seen.first = when_ns;
	cr_assert_geq(when_ns, seen.last);
	seen.last = when_ns;
}

static struct pace p;

static void begin(double per_second)
{
	pace_begin(&p, per_second, now_ns(), due, &seen);
}

Test(pace, the_first_is_due_at_once)
{
	begin(0.001);
	cr_expect_eq(seen.n, 1);
	cr_expect_eq(seen.first, p.start_ns);
	cr_expect_eq(pace_next_ns(&p), p.start_ns + 1000000000000);
	pace_end(&p);
}

Test(pace, the_first_may_be_due_later)
{
	uint64_t start = now_ns() + 1000000000000;

	pace_begin(&p, 1, start, due, &seen);
	cr_expect_eq(seen.n, 0);
	pace_run(&p, start);
	cr_expect_eq(seen.n, 1);
	pace_end(&p);
}

Test(pace, nothing_begins_before_its_time)
{
	begin(0.001);
	pace_run(&p, p.start_ns + 999999999999);
	cr_expect_eq(seen.n, 1);
	pace_run(&p, p.start_ns + 1000000000000);
	cr_expect_eq(seen.n, 2);
	pace_end(&p);
}

Test(pace, all_that_were_missed_begin_with_their_own_times)
{
	begin(0.001);
	pace_run(&p, p.start_ns + 5500000000000);
	cr_expect_eq(seen.n, 6);
	cr_expect_eq(seen.last, p.start_ns + 5000000000000);
	cr_expect_eq(p.late.n, 6);
	cr_expect_geq(p.late.max_us, 4500000000 - 1, "the second of them was 4,500 s late");
	pace_end(&p);
}

Test(pace, no_rounding_adds_up)
{
	begin(3);
	p.count = 3000000000;
	cr_expect_eq(pace_next_ns(&p), p.start_ns + 1000000000ull * 1000000000);
	pace_end(&p);
}

Test(pace, a_burst_is_bounded_and_the_rest_due_at_once)
{
	struct pollfd timer;

	begin(1e6);
	pace_run(&p, p.start_ns + 60000000000);
	cr_expect_leq(seen.n, 10000);
	timer = (struct pollfd){ .fd = p.fd, .events = POLLIN };
	cr_expect_eq(poll(&timer, 1, 10000), 1);
	pace_end(&p);
}

Test(pace, the_loop_runs_what_is_due)
{
	struct options o = { .users = 1 };
	struct loop l;

	loop_init(&l, &o);
	begin(1000);
	loop_pace(&l, &p);
	loop_run(&l, now_ns() + 20000000);
	loop_pace(&l, NULL);
	cr_expect_gt(seen.n, 1);
	cr_expect_leq(seen.last, now_ns());
	pace_end(&p);
	loop_fini(&l);
}
