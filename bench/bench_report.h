/* bench/bench_report.h - what a run has to tell: each process of the load generator fills one in,
 * they are merged, and the figures that people and programs see are made of the sum. */
#pragma once

#include "bench/bench_hist.h"
#include "core/attr.h"

#define FIGURES_MAX 64
struct figure {
	char name[112]; /* "server_cpu_per_message" */
	double value;
	const char *unit;
	bool same; /* about the server, not about one process's share: not added up */
};
/* A stretch of time in which operations were counted; sums over the processes. */
struct window {
	char name[32]; /* of the operation: "message" */
	bool has_server; /* there are processes to look at */
	unsigned processes;
	uint64_t operations, own_us;
	uint64_t wall_ns, server_us; /* each process saw all of it: divided when told */
	double per_second;
	double busiest; /* cores that the busiest process used */
	double neediest; /* the same with what it waited for a core */
};
struct timing {
	char name[32]; /* "latency" */
	struct hist hist;
};
struct report {
	struct window windows[6];
	struct timing timings[6];
	struct figure figures[FIGURES_MAX];
	unsigned n_windows, n_timings, n;
};

/* A count of this process, added up over all. */
void report_add(struct report *r, const char *name, double value, const char *unit);
/* What every process would tell alike: the first one's counts. */
void report_same(struct report *r, const char *name, double value, const char *unit);
/* Reported as p50, p95, p99, p99.9 and the longest, in microseconds. */
void report_hist(struct report *r, const char *name, const struct hist *h);
void report_window(struct report *r, const struct window *w);
/* "messages", "deliveries" */
void window_plural(const struct window *w, char *out, size_t room);
/* `from` is of the same scenario. */
void report_merge(struct report *into, const struct report *from);

struct figures {
	struct figure at[FIGURES_MAX * 2];
	unsigned n;
};
void report_figures(const struct report *r, struct figures *out);
/* When a process of the generator used, or would have used, 90 % of a core or more while it
 * measured, the figures may be about it and not about the server. */
enum own_limit { OWN_FREE, OWN_BUSY, OWN_STARVED };
enum own_limit report_own_limit(const struct report *r);
/* What to tell people of it; empty: nothing. */
void report_own_text(const struct report *r, char *out, size_t room);
