/* cmd/linnetd_monitor.h - the small process above the server, which starts it again when it dies.
 * It reads no settings and serves nobody: it holds the listening sockets (core/keep.h), so that
 * who connects meanwhile waits in their backlogs, and hands signals on. */
#pragma once

#include "core/attr.h"

/* How the server before this one ended; why NULL: this is the first. */
struct monitor_history {
	unsigned restarts;
	const char *why; /* "signal 9 (Killed)", "hanging, signal 6 (Aborted)", "status 1" */
};

/* Forks and calls serve(arg) in the child; returns in both: in the child what serve() returned, in
 * the monitor the exit status for all. That is the server's own when it was asked to end, ended
 * with status 0, or found that it cannot start; a server that dies is started again, unless it does
 * so more often than MONITOR_RESTARTS in MONITOR_WITHIN_MS. Before any thread exists. */
int monitor_run(int (*serve)(void *arg), void *arg);
const struct monitor_history *monitor_history(void); /* the server's */

#define MONITOR_RESTARTS 5u
#define MONITOR_WITHIN_MS 60000u
/* What the server says by keep_tell(): it has started; it lives, and hangs if it does not say so
 * again within so many milliseconds. */
#define MONITOR_READY "ready"
#define MONITOR_ALIVE "alive %u"
#define MONITOR_ABORT_MS 5000u /* how long one that hangs has to write down where */
