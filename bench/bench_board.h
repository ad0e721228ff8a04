/* bench/bench_board.h - memory that all processes of a run share: each writes how far it is, the
 * one that began the run reads it. */
#pragma once

#include <stdatomic.h>

#include "bench/bench_report.h"
#include "core/attr.h"

enum phase {
	PHASE_REGISTER,
	PHASE_LOGIN,
	PHASE_WARMUP,
	PHASE_MEASURE,
	PHASE_DRAIN, /* what is on the way still arrives */
	PHASE_CLOSE,
};
const char *phase_name(enum phase p);

/* One process's part; only that process writes it. */
struct share {
	_Atomic enum phase phase;
	_Atomic unsigned sessions; /* logged in */
	_Atomic uint64_t operations; /* since the run began */
	struct hist latency; /* of these; read while it is written, for the live view alone */
	struct report report; /* whole once the process has ended */
	char not_offered[120]; /* likewise: what the server lacks for the scenario; "": nothing */
};
struct board {
	_Atomic unsigned met; /* how often processes have arrived at a meeting */
	_Atomic bool give_up; /* one has failed: the others need not wait for it */
	unsigned processes;
	size_t size;
	struct share shares[];
};
struct board *board_new(unsigned processes); /* NULL: no memory */
void board_free(struct board *b);
