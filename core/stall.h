/* core/stall.h - who held a shard for too long, and turns that were too long for another reason.
 * The loops that call handlers say after each one what ran; what a handler calls in its turn (a
 * hook's function, an IQ handler) answers for itself. The clock behind it is the kernel's coarse
 * one (some 4 ms, 5 ns to read), which is enough to tell 20 ms and costs next to nothing. Threads
 * that did not ask to be watched pay one load. */
#pragma once

#include <stdatomic.h>
#include <time.h>

#include "core/attr.h"

#define STALL_MS 20u

extern _Atomic uint32_t stall_ms; /* longer is too long; relaxed. The setting shard_turn_warning */
extern _Thread_local uint64_t stall_since_ms; /* when the running handler began; 0: not watched */
/* What the running handler is about: an actor's class and the function of it, or NULL. */
extern _Thread_local const char *stall_name;
extern _Thread_local void *stall_fn;
extern _Thread_local uint64_t stall_longest_ms; /* of the handlers since stall_begin() */

static inline uint64_t stall_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void stall_register(void); /* its metrics */
/* What runs from now on is watched; to be called after every sleep. */
static inline void stall_begin(void)
{
	stall_since_ms = stall_clock_ms();
	stall_longest_ms = 0;
}
static inline void stall_end(void)
{
	stall_since_ms = 0;
}
/* Logs (at most one line a second of each kind) and counts: private to those below. name: see
 * stall_name. */
void stall_report(const char *kind, const char *name, void *fn, uint64_t took_ms);
/* The longest so far since stall_begin(). */
void stall_note_longest(const char *kind, const char *name, void *fn, uint64_t took_ms);
void stall_report_turn(uint64_t took_ms);

/* Within a handler: fn of this kind ("hook", "iq") and name has just returned. What the handler did
 * before it counts for it, too. */
static inline void stall_ran_inside(const char *kind, const char *name, void *fn)
{
	uint64_t now_ms, took_ms;

	if (!stall_since_ms)
		return;
	now_ms = stall_clock_ms();
	took_ms = now_ms - stall_since_ms;
	stall_since_ms = now_ms;
	if (unlikely(took_ms > stall_longest_ms))
		stall_note_longest(kind, name, fn, took_ms);
	if (unlikely(took_ms > atomic_load_explicit(&stall_ms, memory_order_relaxed)))
		stall_report(kind, name, fn, took_ms);
}

/* The handler fn of this kind ("watch", "mail", "timer", "turn_end") has just returned. If it said
 * what it was about, that is told. */
static inline void stall_ran(const char *kind, void *fn)
{
	stall_ran_inside(kind, stall_name, stall_fn ? stall_fn : fn);
	stall_name = NULL;
	stall_fn = NULL;
}
/* All that has run since stall_begin() took so long together. It is told of with the longest of
 * what ran, unless that was told of for itself. */
static inline void stall_turn(uint64_t took_ms)
{
	uint32_t limit_ms = atomic_load_explicit(&stall_ms, memory_order_relaxed);

	if (unlikely(took_ms > limit_ms) && stall_longest_ms <= limit_ms)
		stall_report_turn(took_ms);
}
/* The running handler works for an actor of this class. name: static. */
static inline void stall_about(const char *name, void *fn)
{
	stall_name = name;
	stall_fn = fn;
}
