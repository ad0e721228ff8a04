/* router/s2s_trace.h - what was done to reach another server, line by line, for the last attempts:
 * `linnetctl s2s explain`. Bounded; part of a link, its shard's only. */
#pragma once

#include "core/attr.h"

#define S2S_TRACE_ATTEMPTS 3
#define S2S_TRACE_LINES 48 /* of one attempt; of more the last are missing */

struct s2s_trace_line {
	uint64_t at_ms; /* wall clock */
	char *text; /* owned */
};
struct s2s_attempt {
	struct s2s_trace_line *lines; /* owned; room for S2S_TRACE_LINES */
	unsigned n;
};
struct s2s_trace { /* all zero: nothing yet */
	struct s2s_attempt attempts[S2S_TRACE_ATTEMPTS];
	unsigned begun; /* attempts in all; the last is at (begun - 1) % S2S_TRACE_ATTEMPTS */
};

void s2s_trace_begin(struct s2s_trace *t); /* a new attempt: the oldest is forgotten */
/* A line of the last attempt; one is begun if there is none. Bytes that a peer chose are cut. */
PRINTF_LIKE(2, 3) void s2s_trace_say(struct s2s_trace *t, const char *format, ...);
/* Oldest attempt first. */
void s2s_trace_each(const struct s2s_trace *t,
	void (*fn)(unsigned attempt, const struct s2s_trace_line *line, void *arg), void *arg);
void s2s_trace_fini(struct s2s_trace *t);
