/* bench/bench_worker.h - one process of the load generator: plays a scenario with its users. */
#pragma once

#include "bench/bench_scenario.h"

/* s NULL: only what comes before a scenario. The result is in board->shares[index]. False:
 * something went wrong and was told. */
bool worker_run(
	const struct options *o, const struct scenario *s, struct board *board, unsigned index);
/* The options of one process: its share of the users, of the rate and of the messages. */
void worker_share(const struct options *all, unsigned group, unsigned processes, unsigned index,
	struct options *out);
