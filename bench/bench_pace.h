/* bench/bench_pace.h - operations at a rate: each has a moment at which it is to begin, whether or
 * not those before it are done. Who measures from that moment sees what a user would have waited,
 * also when the load generator itself was held up (coordinated omission). One thread. */
#pragma once

#include "bench/bench_hist.h"
#include "core/attr.h"

struct pace {
	/* Begins one; when_ns is now or earlier. */
	void (*due)(void *arg, uint64_t when_ns);
	void *arg;
	double per_second;
	uint64_t start_ns, count; /* count are begun since start_ns */
	uint64_t armed_ns; /* the timer rings then */
	int fd; /* owned: a timer, readable when the next is due */
	struct hist late; /* how late each began */
};
/* The first is due at start_ns, which may be now. */
void pace_begin(struct pace *p, double per_second, uint64_t start_ns, void (*due)(void *, uint64_t),
	void *arg);
void pace_end(struct pace *p);
uint64_t pace_next_ns(const struct pace *p);
/* Begins all that are due, at most some thousands, and sets the timer for the next. */
void pace_run(struct pace *p, uint64_t now_ns);
