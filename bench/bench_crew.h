/* bench/bench_crew.h - the processes of a run: begun, watched and their results put together. */
#pragma once

#include "bench/bench_scenario.h"

/* The program's exit status, as options_man() explains it. What there is to show has been shown. */
int crew_run(const struct options *o, const struct scenario *s);
