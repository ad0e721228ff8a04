/* What the process tells about itself: each figure moves with what it measures. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/metric.h"

TestSuite(metric_process, .init = metric_process_init);

struct reading {
	const char *name;
	int64_t value;
	unsigned n;
};

static void read_one(const struct metric *m, void *arg)
{
	struct reading *r = arg;

	if (strcmp(m->name, r->name) == 0) {
		r->value = metric_value(m);
		r->n++;
	}
}

static int64_t reading(const char *name)
{
	struct reading r = { .name = name };

	metric_each(read_one, &r);
	cr_assert_eq(r.n, 1, "%s: %u times", name, r.n);
	return r.value;
}

Test(metric_process, is_registered_once)
{
	metric_process_init();
	cr_expect_geq(reading("process_uptime_seconds"), 0);
}

Test(metric_process, counts_open_files)
{
	int64_t before = reading("process_open_fds"), after;
	int fds[3];

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	after = reading("process_open_fds");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	cr_expect_eq(after, before + 3);
	cr_expect_eq(reading("process_open_fds"), before);
}

Test(metric_process, knows_how_many_files_it_may_open)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 77;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_expect_eq(reading("process_max_fds"), 77);
}

static void *wait_for_end(void *arg)
{
	char byte;

	while (read(*(int *)arg, &byte, 1) < 0)
		;
	return NULL;
}

Test(metric_process, counts_threads)
{
	int64_t before = reading("process_threads");
	pthread_t threads[3];
	int ends[2];

	cr_assert_eq(pipe(ends), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, wait_for_end, &ends[0]), 0);
	cr_expect_eq(reading("process_threads"), before + 3);
	close(ends[1]);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	close(ends[0]);
}

Test(metric_process, measures_resident_memory)
{
	enum { BYTES = 64 << 20 };
	int64_t before = reading("process_resident_memory_bytes");
	char *memory = xmalloc(BYTES);

	memset(memory, 1, BYTES);
	cr_expect_geq(reading("process_resident_memory_bytes"), before + BYTES / 2);
	cr_expect_eq(memory[BYTES / 2], 1);
	free(memory);
}

/* Works until the kernel's own clock of this process has gone on, whatever the real one says. */
Test(metric_process, measures_the_time_it_has_worked)
{
	int64_t before = reading("process_cpu_seconds_total"), worked_us;
	clock_t until = clock() + CLOCKS_PER_SEC / 5;

	while (clock() < until)
		continue;
	worked_us = reading("process_cpu_seconds_total") - before;
	cr_expect_geq(worked_us, 150000);
}

Test(metric_process, is_exported_in_seconds_and_bytes)
{
	AUTO(free_ptr) char *text = metric_text();

	cr_expect(strstr(text, "# TYPE linnet_process_cpu_seconds counter\n"), "%s", text);
	cr_expect(strstr(text, "linnet_process_cpu_seconds_total 0."), "%s", text);
	cr_expect(strstr(text, "# TYPE linnet_process_resident_memory_bytes gauge\n"));
}
