/* tests/unit/bench/test_report.c - what several processes tell becomes the figures of one run. */
#include "bench/bench_report.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct report a, b, sum;
static struct figures figures;

static double figure(const char *name)
{
	for (unsigned i = 0; i < figures.n; i++)
		if (!strcmp(figures.at[i].name, name))
			return figures.at[i].value;
	cr_assert_fail("there is no figure %s", name);
	return 0;
}

static bool has(const char *name)
{
	for (unsigned i = 0; i < figures.n; i++)
		if (!strcmp(figures.at[i].name, name))
			return true;
	return false;
}

/* Two processes that both saw the server use 3 s in 2 s, and were busy themselves for 0.5 s and
 * for 1.9 s. */
static void two(void)
{
	struct window first = { "message", true, 1, 1000, 500000, 2000000000, 3000000, 500, 0.25 };
	struct window second = { "message", true, 1, 3000, 1900000, 2000000000, 3000000, 1500,
		0.95 };
	struct hist h;

	report_window(&a, &first);
	report_window(&b, &second);
	hist_clear(&h);
	hist_add(&h, 10);
	report_hist(&a, "latency", &h);
	hist_add(&h, 30);
	report_hist(&b, "latency", &h);
	report_add(&a, "lost", 1, "");
	report_add(&b, "lost", 2, "");
	report_same(&a, "server_memory_before", 4096, "bytes");
	report_same(&b, "server_memory_before", 5000, "bytes");
	report_merge(&sum, &a);
	report_merge(&sum, &b);
	report_figures(&sum, &figures);
}

Test(report, counts_are_added_up)
{
	two();
	cr_expect_eq(figure("messages"), 4000);
	cr_expect_eq(figure("messages_per_second"), 2000);
	cr_expect_eq(figure("lost"), 3);
}

Test(report, the_server_is_counted_once)
{
	two();
	cr_expect_eq(figure("seconds"), 2);
	cr_expect_eq(figure("server_cores"), 1.5);
	cr_expect_eq(figure("server_cpu_per_message"), 750);
	cr_expect_eq(figure("server_memory_before"), 4096);
}

Test(report, a_second_window_puts_its_name_before_what_both_have)
{
	struct window first = { "message", true, 1, 1000, 500000, 2000000000, 3000000, 500, 0.25 };
	struct window second = { "delivery", true, 1, 4000, 500000, 1000000000, 2000000, 4000,
		0.5 };

	report_window(&a, &first);
	report_window(&a, &second);
	report_figures(&a, &figures);
	cr_expect_eq(figure("seconds"), 2);
	cr_expect_eq(figure("delivery_seconds"), 1);
	cr_expect_eq(figure("server_cores"), 1.5);
	cr_expect_eq(figure("delivery_server_cores"), 2);
	cr_expect_eq(figure("deliveries"), 4000);
	cr_expect_eq(figure("deliveries_per_second"), 4000);
	cr_expect_eq(figure("server_cpu_per_delivery"), 500);
}

Test(report, histograms_are_merged)
{
	two();
	cr_expect_eq(sum.timings[0].hist.n, 3);
	cr_expect_eq(figure("latency_p50"), 10);
	cr_expect_eq(figure("latency_max"), 30);
}

Test(report, one_busy_process_is_the_limit)
{
	char text[240];

	two();
	cr_expect_eq(figure("own_cpu_per_message"), 600);
	cr_expect_eq(report_own_limit(&sum), OWN_BUSY);
	report_own_text(&sum, text, sizeof(text));
	cr_expect(strstr(text, "95 % of a core"), "%s", text);
	cr_expect_eq(report_own_limit(&a), OWN_FREE);
	report_own_text(&a, text, sizeof(text));
	cr_expect_str_empty(text);
}

Test(report, waiting_for_a_core_is_told_too)
{
	struct window w = { .name = "ping", .processes = 1, .busiest = 0.5, .neediest = 0.97 };
	char text[240];

	report_window(&a, &w);
	cr_expect_eq(report_own_limit(&a), OWN_STARVED);
	report_own_text(&a, text, sizeof(text));
	cr_expect(strstr(text, "waited for one 47 %"), "%s", text);
}

Test(report, without_a_server_to_look_at_nothing_is_said_of_it)
{
	struct window w = { "ping", false, 1, 10, 20, 1000000000, 0, 10, 0.1 };

	report_window(&a, &w);
	report_figures(&a, &figures);
	cr_expect(has("pings_per_second"));
	cr_expect_not(has("server_cpu_per_ping"));
	cr_expect_not(has("server_cores"));
}

Test(report, no_operations_are_no_division_by_zero)
{
	struct window w = { "ping", true, 1, 0, 20, 1000000000, 100, 0, 0.1 };

	report_window(&a, &w);
	report_figures(&a, &figures);
	cr_expect_eq(figure("server_cpu_per_ping"), 100);
}

Test(report, more_figures_than_there_is_room_for_are_left_out)
{
	for (unsigned i = 0; i < FIGURES_MAX + 10; i++) {
		char name[20];

		snprintf(name, sizeof(name), "figure_%u", i);
		report_add(&a, name, i, "");
	}
	for (unsigned i = 0; i < 10; i++) {
		report_hist(&a, "latency", &(struct hist){ .n = 0 });
		report_window(&a, &(struct window){ "ping", .processes = 1 });
	}
	report_merge(&sum, &a);
	report_figures(&sum, &figures);
	cr_expect_eq(sum.n, FIGURES_MAX);
	cr_expect_leq(figures.n, ARRAY_LEN(figures.at));
}
