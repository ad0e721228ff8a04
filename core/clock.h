/* core/clock.h - the time. Any thread. On a shard, shard_now_ms() is the time of the turn and free.
 */
#pragma once

#include <stdint.h>
#include <time.h>

/* Since some moment before the program began; never goes back. Microseconds. */
static inline uint64_t clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The same in milliseconds. */
static inline uint64_t clock_ms(void)
{
	return clock_us() / 1000;
}

/* Since 1970, UTC, in milliseconds; goes where the operator sets it. */
static inline uint64_t clock_wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
