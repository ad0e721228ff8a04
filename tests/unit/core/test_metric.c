/* Counting over threads, and the text a scraper reads (OpenMetrics 1.0). */
#include "core/metric.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"

#define THREADS 8
#define ADDS 10000

static struct metric adds = METRIC_COUNTER("test_adds_total", "Adds");
static struct metric level = METRIC_GAUGE("test_level", "Level");
static struct metric took = METRIC_TIME("test_took_seconds", "Time taken");

static void *add_many(void *arg)
{
	for (int i = 0; i < ADDS; i++) {
		metric_add(&adds, 1);
		metric_add(&level, i % 2 ? -3 : 3);
		metric_time(&took, 5);
	}
	metric_add(&level, 1);
	if (arg) {
		pthread_barrier_wait(arg); /* counted while alive */
		pthread_barrier_wait(arg);
	}
	return NULL;
}

static void expect_counted(int threads)
{
	cr_expect_eq(metric_value(&adds), threads * ADDS);
	cr_expect_eq(metric_value(&level), threads);
	cr_expect_eq(metric_value(&took), threads * ADDS);
}

Test(metric, adds_up_running_and_ended_threads)
{
	pthread_barrier_t barrier;
	pthread_t threads[THREADS];

	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, add_many, &barrier), 0);
	pthread_barrier_wait(&barrier);
	expect_counted(THREADS); /* all alive */
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	expect_counted(THREADS); /* all gone */
	add_many(NULL);
	expect_counted(THREADS + 1);
}

static int64_t forty_two(void)
{
	return 42;
}

static bool has_line(const char *text, const char *line)
{
	size_t len = strlen(line);
	const char *at = text;

	while ((at = strstr(at, line))) {
		if ((at == text || at[-1] == '\n') && at[len] == '\n')
			return true;
		at++;
	}
	return false;
}

Test(metric, text)
{
	static struct metric b =
		METRIC_COUNTER_OF("t_kinds_total", "kind=\"b\"", "Kinds\\ and \"more\"\n");
	static struct metric a =
		METRIC_COUNTER_OF("t_kinds_total", "kind=\"a\"", "Kinds\\ and \"more\"\n");
	static struct metric asked = METRIC_GAUGE_READ("t_asked", "Asked", forty_two);
	static struct metric bare = METRIC_COUNTER("t_bare", "A name without its ending");
	static struct metric time = METRIC_TIME("t_time_seconds", "Time");
	static struct metric spread = METRIC_SPREAD("t_spread", "Spread");
	static struct metric of = { .name = "t_of_seconds",
		.help = "Time of one",
		.label = "of=\"x\"",
		.kind = METRIC_KIND_HISTOGRAM,
		.per_unit = 1000000 };
	AUTO(free_ptr) char *text = NULL;
	const char *type;
	size_t len;
	static const char *const lines[] = {
		"# HELP linnet_t_kinds Kinds\\\\ and \\\"more\\\"\\n",
		"# TYPE linnet_t_kinds counter",
		"linnet_t_kinds_total{kind=\"a\"} 1",
		"linnet_t_kinds_total{kind=\"b\"} 2",
		"# TYPE linnet_t_asked gauge",
		"linnet_t_asked 42",
		"linnet_t_bare_total 7",
		"# TYPE linnet_t_time_seconds histogram",
		"linnet_t_time_seconds_bucket{le=\"1e-06\"} 2",
		"linnet_t_time_seconds_bucket{le=\"2e-06\"} 3",
		"linnet_t_time_seconds_bucket{le=\"4e-06\"} 4",
		"linnet_t_time_seconds_bucket{le=\"0.001024\"} 5",
		"linnet_t_time_seconds_bucket{le=\"67.108864\"} 5",
		"linnet_t_time_seconds_bucket{le=\"+Inf\"} 6",
		"linnet_t_time_seconds_sum 100.001030",
		"linnet_t_time_seconds_count 6",
		"linnet_t_spread_bucket{le=\"64\"} 0",
		"linnet_t_spread_bucket{le=\"128\"} 1",
		"linnet_t_spread_sum 100",
		"linnet_t_of_seconds_bucket{of=\"x\",le=\"+Inf\"} 1",
		"linnet_t_of_seconds_sum{of=\"x\"} 0.000001",
		"linnet_t_of_seconds_count{of=\"x\"} 1",
	};

	metric_add(&b, 2);
	metric_add(&a, 1);
	metric_register(&asked);
	metric_add(&bare, 7);
	metric_time(&time, 0);
	metric_time(&time, 1);
	metric_time(&time, 2);
	metric_time(&time, 3);
	metric_time(&time, 1024);
	metric_time(&time, 100000000);
	metric_spread(&spread, 100);
	metric_time(&of, 1);
	text = metric_text();
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		cr_expect(has_line(text, lines[i]), "%s in\n%s", lines[i], text);
	cr_expect_lt((void *)strstr(text, "kind=\"a\""), (void *)strstr(text, "kind=\"b\""));
	type = strstr(text, "# TYPE linnet_t_kinds ");
	cr_expect_null(strstr(type + 1, "# TYPE linnet_t_kinds ")); /* once per family */
	len = strlen(text);
	cr_expect_str_eq(text + len - 7, "\n# EOF\n");
}

/* Two files may count the same thing without knowing each other. */
Test(metric, same_name_counts_together)
{
	static struct metric one = METRIC_COUNTER("t_same_total", "Same");
	static struct metric other = METRIC_COUNTER("t_same_total", "Same");
	AUTO(free_ptr) char *text = NULL;

	metric_add(&one, 1);
	metric_add(&other, 2);
	cr_expect_eq(metric_value(&one), 3);
	cr_expect_eq(metric_value(&other), 3);
	text = metric_text();
	cr_expect(has_line(text, "linnet_t_same_total 3"));
}

static void check_order(const struct metric *m, void *arg)
{
	const struct metric **before = arg;

	if (*before)
		cr_expect_leq(strcmp((*before)->name, m->name), 0);
	*before = m;
}

Test(metric, process_tells_plausible_figures)
{
	AUTO(free_ptr) char *text = NULL;
	const struct metric *before = NULL;
	long long resident = 0, files = 0, threads = 0;

	metric_process_init();
	metric_process_init();
	text = metric_text();
	sscanf(strstr(text, "\nlinnet_process_resident_memory_bytes "), "%*s %lld", &resident);
	sscanf(strstr(text, "\nlinnet_process_open_fds "), "%*s %lld", &files);
	sscanf(strstr(text, "\nlinnet_process_threads "), "%*s %lld", &threads);
	cr_expect_gt(resident, 100000);
	cr_expect_geq(files, 3);
	cr_expect_geq(threads, 1);
	cr_expect(strstr(text, "\nlinnet_process_cpu_seconds_total 0."));
	metric_each(check_order, &before);
}

/* Far more than one chunk of counters. */
Test(metric, many)
{
	struct metric *many = xcalloc(500, sizeof(*many));
	char(*names)[32] = xcalloc(500, sizeof(*names));

	for (int i = 0; i < 500; i++) {
		snprintf(names[i], sizeof(names[i]), "t_many_%d_total", i);
		many[i] = (struct metric)METRIC_COUNTER(names[i], "One of many");
		metric_add(&many[i], i);
	}
	for (int i = 0; i < 500; i++)
		cr_expect_eq(metric_value(&many[i]), i);
}

Test(metric, counts_in_buckets)
{
	static struct metric lengths = METRIC_TIME("t_lengths_seconds", "Lengths");
	static const struct {
		uint64_t us;
		unsigned bucket;
	} rows[] = { { 0, 0 }, { 1, 0 }, { 2, 1 }, { 3, 2 }, { 4, 2 }, { 5, 3 }, { 1 << 26, 26 },
		{ (1 << 26) + 1, 27 }, { UINT64_MAX, 27 } };
	int64_t before[METRIC_BUCKETS], after[METRIC_BUCKETS];

	metric_register(&lengths);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		metric_buckets(&lengths, before);
		metric_time(&lengths, rows[i].us);
		metric_buckets(&lengths, after);
		for (unsigned b = 0; b < METRIC_BUCKETS; b++)
			cr_expect_eq(after[b] - before[b], b == rows[i].bucket, "%zu: %u", i, b);
	}
}
