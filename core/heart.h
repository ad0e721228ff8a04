/* core/heart.h - how a supervised thread tells that it lives, and hears that it is to end.
 *   static const char *watch_run(struct heart *h, void *arg)
 *   {
 *           do {
 *                   heart_beat(h);
 *                   ... something that takes less than heartbeat_ms ...
 *           } while (!heart_wait(h, 1000));
 *           return STOP_NORMAL;
 *   }
 * Valid until run() returns, also when the thread has been abandoned. See core/child.h. */
#pragma once

#include "core/attr.h"

struct heart;
ANY_THREAD void heart_beat(struct heart *h); /* one atomic add; the first ends the start */
ANY_THREAD bool heart_stops(const struct heart *h); /* one relaxed load */
/* Blocks until the thread is to end (true, and from then on at once) or so many milliseconds are
 * over (false). Its own thread only. */
bool heart_wait(struct heart *h, uint64_t ms);
