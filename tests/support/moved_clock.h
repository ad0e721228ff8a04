/* tests/support/moved_clock.h - time that passes when a test says so: the program's monotonic clock
 * runs ahead of the machine's by what clock_move() added. For one file of a test program, because
 * it takes the place of the C library's clock_gettime(). Nothing waits and nothing depends on how
 * fast the machine is. */
#pragma once

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/shard.h"
#include "tests/support/on_shard.h"

static _Atomic int64_t clock_ahead_ms;

int clock_gettime(clockid_t id, struct timespec *now)
{
	int64_t ahead_ms = atomic_load(&clock_ahead_ms);

	if (syscall(SYS_clock_gettime, id, now) < 0)
		return -1;
	if (id == CLOCK_MONOTONIC) {
		now->tv_sec += ahead_ms / 1000;
		now->tv_nsec += ahead_ms % 1000 * 1000000;
		if (now->tv_nsec >= 1000000000) {
			now->tv_sec++;
			now->tv_nsec -= 1000000000;
		}
	}
	return 0;
}

static inline void pass_by(void *arg UNUSED)
{
}

/* Each shard has run some whole turns: it has seen what lay in its sockets and its mailbox when
 * this was called, its timers that were due have fired, and what it wrote is written. */
UNUSED static void settle(void)
{
	for (int i = 0; i < 4; i++)
		for (unsigned s = 0; s < shards_count(); s++)
			on_shard(s, pass_by, NULL);
}

UNUSED static void clock_move(int64_t ms)
{
	atomic_fetch_add(&clock_ahead_ms, ms);
	settle();
}
