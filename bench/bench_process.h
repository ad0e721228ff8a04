/* bench/bench_process.h - what the measured processes have used, out of /proc.
 * Each process named counts with all its descendants as they are at the moment of asking. */
#pragma once

#include <sys/types.h>

#include "core/attr.h"

#define PROCESSES_MAX 64
struct processes {
	pid_t pid[PROCESSES_MAX];
	unsigned n;
};

/* Adds pid and its descendants. False: there is no such process. */
bool processes_add(struct processes *p, pid_t pid);
/* User and system, of threads and children that have ended too. */
uint64_t processes_cpu_us(const struct processes *p);
uint64_t processes_memory(const struct processes *p); /* PSS, bytes: shared pages divided up */
unsigned processes_threads(const struct processes *p);
uint64_t own_cpu_us(void);
/* How long this thread was ready to run and no core was free; 0 where the kernel does not say. */
uint64_t own_wait_us(void);
