/* bench/bench_crew.h - the processes of a run: begun, watched and their results put together. */
#pragma once

#include "bench/bench_scenario.h"

/* True: the run was made and nothing was wrong. What there is to show has been shown. */
bool crew_run(const struct options *o, const struct scenario *s);
