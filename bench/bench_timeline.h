/* bench/bench_timeline.h - how a run went, look by look, seen from outside the processes that make
 * the load. One thread. */
#pragma once

#include "bench/bench_board.h"
#include "bench/bench_options.h"
#include "core/attr.h"

struct sample { /* rates and times are of the stretch since the sample before */
	double at_s; /* since the run began */
	double per_second; /* operations */
	double server_cores, own_cores;
	uint64_t operations; /* in this stretch; without any the times are 0 */
	uint64_t p50_us, p99_us;
	uint64_t memory; /* the server's PSS in bytes; 0: not looked at */
	unsigned sessions;
	enum phase phase;
};
struct timeline {
	struct sample *at; /* owned */
	unsigned n, room;
	/* Private: the state at the last look. */
	uint64_t start_ns, last_ns, memory_ns, server_us, own_us;
	struct hist latency;
};
void timeline_init(struct timeline *t, uint64_t now_ns);
void timeline_fini(struct timeline *t);
/* server, own: whose CPU and memory are looked at. */
void timeline_look(struct timeline *t, const struct board *board, const struct processes *server,
	const struct processes *own, uint64_t now_ns);
/* NULL: nothing has been seen yet. */
const struct sample *timeline_last(const struct timeline *t);
