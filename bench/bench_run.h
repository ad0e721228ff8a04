/* bench/bench_run.h - a run that is over, as it is shown: as a table, as JSON, as a page. */
#pragma once

#include <stdio.h>

#include "bench/bench_options.h"
#include "bench/bench_report.h"
#include "bench/bench_timeline.h"
#include "core/attr.h"

struct run {
	const struct options *options;
	char title[240];
	char began[32]; /* 2026-11-21T16:27:43Z */
	unsigned processes; /* of the load generator */
	const char *not_offered; /* what the server lacks for the scenario; NULL: nothing */
	bool good; /* nothing lost, doubled, out of order or failed */
	struct report report; /* of all processes together */
	struct figures figures; /* made of it */
	struct timeline timeline;
};
void run_table(const struct run *r, FILE *out);
/* One object in one line, see docs/bench.md. False: it could not be written. */
bool run_json(const struct run *r, FILE *out);
/* A page complete in itself. */
bool run_html(const struct run *r, FILE *out);
/* "12345", "1.23" or "-": as many digits as mean something. */
void run_value(double value, char *out, size_t room);
