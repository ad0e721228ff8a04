/* bench/micro_main.c - linnet-micro: runs the benchmarks and prints what they take.
 * Times are medians of rounds of some milliseconds each. Instructions come from the processor's
 * counter, or, with --callgrind, from a second run of this program under Valgrind. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/micro.h"
#include "core/cli.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/shard.h"

static const struct micro *const tables[] = { micros_xml, micros_core, micros_directory,
	micros_route, micros_db, micros_spool, micros_archive };

#define ROUNDS 11u
#define ROUND_NS 20000000u
#define LEAST 64u /* times in a round: enough for each thread of a benchmark */
#define COUNTED 1024u /* times, to count instructions */
#define QUICK_SIZE 10000u /* nothing larger with --quick */
#define RESULTS_MAX 64

struct result {
	const struct micro *micro;
	/* Of one; below zero: not known. */
	double cpu_ns; /* of all threads: other programs do not count */
	double ns; /* on the clock */
	double instructions;
};
static struct result results[RESULTS_MAX];
static unsigned n_results;

static struct {
	const char *only; /* part of a name */
	const char *dumps; /* under callgrind: only count, print plainly */
	bool quick, json, callgrind;
} options;
const char *micro_folder = ".";

/* ---- one benchmark ---- */

struct took {
	double cpu_ns, ns;
};

static double clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static struct took run_timed(const struct micro *m, unsigned n)
{
	double cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID), ns = clock_ns(CLOCK_MONOTONIC);

	m->run(m, n);
	return (struct took){ clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns,
		clock_ns(CLOCK_MONOTONIC) - ns };
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *of, unsigned n)
{
	qsort(of, n, sizeof(*of), by_size);
	return of[n / 2];
}

static void measure(struct result *r)
{
	unsigned n = LEAST, rounds = options.quick ? 1 : ROUNDS;
	double cpu_ns[ROUNDS], ns[ROUNDS];

	while (!options.quick && run_timed(r->micro, n).ns < ROUND_NS / 2.0)
		n *= 2;
	for (unsigned i = 0; i < rounds; i++) {
		struct took took = run_timed(r->micro, n);

		cpu_ns[i] = took.cpu_ns / n;
		ns[i] = took.ns / n;
	}
	r->cpu_ns = median(cpu_ns, rounds);
	r->ns = median(ns, rounds);
}

static void run_one(const struct micro *m)
{
	struct result *r = &results[n_results++];

	REQUIRE(n_results <= RESULTS_MAX);
	*r = (struct result){ m, -1, -1, -1 };
	if (options.dumps && m->flow)
		return;
	if (m->begin)
		m->begin(m);
	if (!options.dumps)
		measure(r);
	r->instructions = micro_count(m, COUNTED);
	if (m->end)
		m->end(m);
	if (options.dumps) {
		printf("%.1f %s\n", r->instructions, m->name);
		fflush(stdout);
	}
}

static void run_all(void)
{
	for (unsigned t = 0; t < ARRAY_LEN(tables); t++)
		for (const struct micro *m = tables[t]; m->name; m++)
			if ((!options.only || strstr(m->name, options.only)) &&
				(!options.quick || m->size <= QUICK_SIZE))
				run_one(m);
}

/* ---- instructions from Valgrind ---- */

static void take_line(const char *line)
{
	double instructions;
	int at;

	if (sscanf(line, "%lf %n", &instructions, &at) != 1)
		return;
	for (unsigned i = 0; i < n_results; i++) {
		const char *name = results[i].micro->name;

		if (!strncmp(line + at, name, strlen(name)) && line[at + strlen(name)] == '\n')
			results[i].instructions = instructions;
	}
}

static void count_in_callgrind(void)
{
	char self[400], line[256];
	AUTO(free_ptr) char *command = NULL;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	FILE *lines;

	REQUIRE(len > 0);
	self[len] = 0;
	command = xprintf("exec valgrind -q --tool=callgrind --instr-atstart=no "
			  "--callgrind-out-file='%s/linnet-micro-%d' '%s' "
			  "--counted '%s/linnet-micro-%d' --only '%s'",
		micro_folder, (int)getpid(), self, micro_folder, (int)getpid(),
		options.only ? options.only : "");
	lines = popen(command, "re");
	while (lines && fgets(line, sizeof(line), lines))
		take_line(line);
	if (!lines || pclose(lines))
		fprintf(stderr, "linnet-micro: Valgrind could not run all\n");
}

/* ---- what comes of it ---- */

static void print_figure(double value, int width)
{
	if (value < 0)
		printf(" %*s", width, "-");
	else
		printf(" %*.*f", width, value < 100 ? 1 : 0, value);
}

static void print_table(void)
{
	printf("%-40s %12s %12s %14s\n", "once", "CPU ns", "clock ns", "instructions");
	for (unsigned i = 0; i < n_results; i++) {
		const struct result *r = &results[i];

		printf("%-40s", r->micro->name);
		print_figure(r->cpu_ns, 12);
		print_figure(r->ns, 12);
		print_figure(r->instructions, 14);
		printf("\n");
	}
}

static void print_json(void)
{
	printf("{");
	for (unsigned i = 0; i < n_results; i++) {
		const struct result *r = &results[i];

		printf("%s\n\"%s\":{\"cpu_ns\":%.1f,\"ns\":%.1f", i ? "," : "", r->micro->name,
			r->cpu_ns, r->ns);
		if (r->instructions >= 0)
			printf(",\"instructions\":%.0f", r->instructions);
		printf("}");
	}
	printf("\n}\n");
}

enum { ONLY, CALLGRIND, COUNTED_TO, FOLDER, QUICK, JSON, HELP, N_OPTIONS };
static const struct cli_option rows[] = {
	[ONLY] = { "only", "TEXT", "Those with TEXT in their names." },
	[CALLGRIND] = { "callgrind", NULL, "Count instructions under Valgrind too: a minute." },
	[COUNTED_TO] = { "counted", "PREFIX",
		"Only count, where Valgrind dumps to PREFIX: what --callgrind starts." },
	[FOLDER] = { "folder", "PATH", "Where databases may be made (.)." },
	[QUICK] = { "quick", NULL,
		"Each a few times only, the largest not at all: whether they run." },
	[JSON] = { "json", NULL, "As one JSON object." },
	[HELP] = { "help", NULL, "Print this help and exit." },
	[N_OPTIONS] = { 0 },
};

static void read_options(int argc, char **argv)
{
	const char *values[N_OPTIONS];
	int end = cli_parse(rows, argc, argv, values);

	if (end < 0)
		exit(2);
	if (end < argc) {
		fprintf(stderr, "linnet-micro: expected options, found '%s'\n", argv[end]);
		exit(2);
	}
	if (values[HELP]) {
		printf("usage: linnet-micro [options]\n");
		cli_help(rows, stdout);
		exit(0);
	}
	options.only = values[ONLY];
	options.dumps = values[COUNTED_TO];
	options.quick = values[QUICK];
	options.json = values[JSON];
	options.callgrind = values[CALLGRIND];
	if (values[FOLDER])
		micro_folder = values[FOLDER];
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	micro_count_begin(options.dumps);
	atomic_store(&log_level, LOG_LEVEL_ERROR); /* a round is longer than a turn should be */
	rcu_thread_begin();
	REQUIRE(shards_start(2) == 0);
	run_all();
	shards_stop();
	rcu_thread_end();
	if (options.dumps)
		return 0;
	if (options.callgrind)
		count_in_callgrind();
	if (options.json)
		print_json();
	else
		print_table();
	return 0;
}
