/* bench/bench_view.h - the run for who watches it: one line of a terminal, written over. */
#pragma once

#include "bench/bench_options.h"
#include "bench/bench_timeline.h"
#include "core/attr.h"

struct view {
	bool shown; /* standard output is a terminal that may be written to */
	bool has_server;
	unsigned users;
	double warmup, seconds;
	/* Private. */
	enum phase phase;
	double since_s; /* when the phase was first seen */
};
void view_init(struct view *v, const struct options *o);
/* The line for a sample, without its end. */
void view_line(struct view *v, const struct sample *s, char *out, size_t room);
void view_show(struct view *v, const struct sample *s);
void view_clear(const struct view *v);
