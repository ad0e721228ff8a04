/* core/heart.h - how a supervised thread tells that it lives, and hears that it is to end.
 *   static const char *watch_run(struct heart *h, void *arg)
 *   {
 *           while (!heart_stops(h)) {
 *                   heart_beat(h);
 *                   ... something that takes less than heartbeat_ms ...
 *           }
 *           return STOP_NORMAL;
 *   }
 * Valid until run() returns, also when the thread has been abandoned. See core/child.h. */
#pragma once

#include "core/attr.h"

struct heart;
ANY_THREAD void heart_beat(struct heart *h); /* one atomic add; the first ends the start */
ANY_THREAD bool heart_stops(const struct heart *h); /* one relaxed load */
