/* core/stall.h - who held a shard for too long.
 * The loops that call handlers say after each one what ran. The clock behind it is the kernel's
 * coarse one (some 4 ms, 5 ns to read), which is enough to tell 20 ms and costs next to nothing.
 * Threads that did not ask to be watched pay one load. */
#pragma once

#include <time.h>

#include "core/attr.h"

#define STALL_MS 20u

extern _Thread_local uint64_t stall_since_ms; /* when the running handler began; 0: not watched */

static inline uint64_t stall_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* What runs from now on is watched; to be called after every sleep. */
static inline void stall_begin(void)
{
	stall_since_ms = stall_clock_ms();
}
static inline void stall_end(void)
{
	stall_since_ms = 0;
}
/* Logs (at most one line a second) and counts: private to stall_ran(). */
void stall_report(const char *kind, void *fn, uint64_t took_ms);

/* The handler fn of this kind ("watch", "mail", "timer", "turn_end") has just returned. */
static inline void stall_ran(const char *kind, void *fn)
{
	uint64_t now_ms, took_ms;

	if (!stall_since_ms)
		return;
	now_ms = stall_clock_ms();
	took_ms = now_ms - stall_since_ms;
	stall_since_ms = now_ms;
	if (unlikely(took_ms > STALL_MS))
		stall_report(kind, fn, took_ms);
}
