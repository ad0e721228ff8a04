/* bench/micro.h - one thing the server does all the time, done many times over: linnet-micro says
 * how long once takes and how many instructions it needs. A benchmark is a row of a table in the
 * file of its subject; micro_main.c runs them all. */
#pragma once

#include "core/attr.h"

struct micro {
	const char *name; /* "parser: a chat message" */
	unsigned size; /* the benchmark's own: entries, threads */
	/* All run on main, beside two shards that have nothing else to do. */
	void (*begin)(const struct micro *m); /* NULL: nothing to prepare */
	void (*run)(const struct micro *m, unsigned n); /* n times */
	void (*end)(const struct micro *m);
	/* Threads wait for each other or for a disk: the clock says how often it happens, and
	 * instructions say nothing. */
	bool flow;
};
/* Each ends with a row without a name. */
extern const struct micro micros_xml[], micros_core[], micros_directory[], micros_route[],
	micros_db[], micros_spool[], micros_archive[];

/* Where files may be made that should be on a real disk. */
extern const char *micro_folder;

/* The compiler must make it, though nobody reads it. */
static inline void micro_keep(const void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

/* The same numbers in each run. */
static inline uint32_t micro_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

/* Instructions that run() takes once, in user mode, as the processor or Valgrind counts them. */
enum micro_counter { COUNT_NONE, COUNT_PROCESSOR, COUNT_CALLGRIND };
/* Before any other thread is there. dumps: where callgrind leaves its figures; NULL: not below it.
 */
enum micro_counter micro_count_begin(const char *dumps);
double micro_count(const struct micro *m, unsigned n); /* below zero: not to be had */
