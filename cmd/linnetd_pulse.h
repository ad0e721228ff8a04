/* cmd/linnetd_pulse.h - proves to the monitor that every shard turns: a message goes round them
 * all, a few times in the setting hang_timeout, and each round is told to the monitor, which ends a
 * server that it has not heard of for that long. Without a monitor nothing goes round. */
#pragma once

#include "core/attr.h"

void pulse_start(int64_t within_ms); /* main, after the shards */
ANY_THREAD void pulse_within(int64_t within_ms); /* another time, from the next round on */
void pulse_stop(void); /* main, before the shards go; waits for the round under way */
