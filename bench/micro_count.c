/* bench/micro_count.c - instructions, from the processor's counter where the machine lends it, or
 * from callgrind below which the program runs. The difference of two runs, so that what one run
 * needs besides does not count. */
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/micro.h"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else /* built without Valgrind's headers: never below it */
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS
#endif

static enum micro_counter counter;
static int processor = -1; /* perf's descriptor, of this thread and all that it starts */
static const char *dumps;
static unsigned dumped;

enum micro_counter micro_count_begin(const char *dumps_path)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_HW_INSTRUCTIONS,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.inherit = 1 };

	dumps = dumps_path;
	if (dumps)
		return counter = COUNT_CALLGRIND;
	processor = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return counter = processor >= 0 ? COUNT_PROCESSOR : COUNT_NONE;
}

static double run_on_processor(const struct micro *m, unsigned n)
{
	uint64_t before, after;

	if (read(processor, &before, sizeof(before)) != sizeof(before))
		return -1;
	m->run(m, n);
	return read(processor, &after, sizeof(after)) == sizeof(after) ? (double)(after - before)
								       : -1;
}

/* Callgrind writes DUMPS.1, DUMPS.2 and so on, each with a line of its total. */
static double read_dump(void)
{
	char path[512], line[256];
	double total = -1;
	FILE *f;

	snprintf(path, sizeof(path), "%s.%u", dumps, ++dumped);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "totals: %lf", &total) == 1)
			break;
	fclose(f);
	unlink(path);
	return total;
}

static double run_in_callgrind(const struct micro *m, unsigned n)
{
	CALLGRIND_START_INSTRUMENTATION;
	CALLGRIND_ZERO_STATS;
	m->run(m, n);
	CALLGRIND_DUMP_STATS;
	CALLGRIND_STOP_INSTRUMENTATION;
	return read_dump();
}

double micro_count(const struct micro *m, unsigned n)
{
	double (*run)(const struct micro *m, unsigned n) =
		counter == COUNT_PROCESSOR ? run_on_processor : run_in_callgrind;
	double once, thrice;

	if (counter == COUNT_NONE || m->flow)
		return -1;
	m->run(m, n); /* so that nothing happens for the first time */
	once = run(m, n);
	thrice = run(m, 3 * n);
	return once < 0 || thrice < once ? -1 : (thrice - once) / (2.0 * n);
}
