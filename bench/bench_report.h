/* bench/bench_report.h - figures with names and units, as a table for people or as JSON. */
#pragma once

#include "bench/bench_hist.h"
#include "core/attr.h"

#define FIGURES_MAX 48
struct figure {
	char name[48]; /* "server_cpu_us_per_message" */
	double value;
	const char *unit;
};
struct report {
	struct figure at[FIGURES_MAX];
	unsigned n;
};

void report_add(struct report *r, const char *name, double value, const char *unit);
/* p50, p95, p99, p99.9 and the longest, in microseconds. */
void report_hist(struct report *r, const char *name, const struct hist *h);
/* title: what was run, as it was asked for. */
void report_table(const struct report *r, const char *title);
void report_json(const struct report *r, const char *title);
