/* modules/offline.h - what waits for accounts, for operators. On job threads and the control
 * thread. */
#pragma once

#include "core/attr.h"

/* How many messages wait, or a negative errno. */
ON_JOB int64_t offline_count(const char *host, const char *name);
struct offline_item {
	int64_t at_us; /* since 1970 */
	const char *from; /* "": the message does not say */
	int64_t bytes;
};
/* In order; what is in a session's hands already is left out. 0 or a negative errno. */
ON_JOB int offline_each(const char *host, const char *name,
	void (*fn)(const struct offline_item *item, void *arg), void *arg);
/* Nothing waits any more; archives keep what is theirs. How many, or a negative errno. */
ON_JOB int64_t offline_purge(const char *host, const char *name);
