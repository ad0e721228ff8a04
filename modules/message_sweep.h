/* modules/message_sweep.h - what is too old or too much goes from the message log: how old and how
 * many is for the modules of each host to say. */
#pragma once

#include "modules/message_db.h"
#include "router/host.h"

/* 0: no limit. */
struct message_limits {
	uint64_t archive_below; /* ids below are not in archives any more */
	int64_t archive_max; /* messages in one archive */
	uint64_t waiting_below; /* ids below do not wait any more */
};
/* Sets what its module has a limit for. Any thread; does not block. */
typedef void message_limits_fn(void *arg, struct message_limits *limits);

/* From a module's start() and stop(). The last one to go waits for the sweeper's end. */
void message_sweep_use(const struct host *h, message_limits_fn *fn, void *arg);
void message_sweep_unuse(const struct host *h, message_limits_fn *fn, void *arg);
