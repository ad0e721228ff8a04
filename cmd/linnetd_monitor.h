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
int monitor_run(int (*serve)(void *arg), void *arg, char **argv);
const struct monitor_history *monitor_history(void); /* the server's */

/* An upgrade. The monitor starts another program, with the same arguments, beside its server; when
 * that one is ready it has become the server, and the monitor goes on as that program, too, under
 * its own process id. Until then its death, or a word of the server, is the end of the matter. */
/* Whether this process was started by a monitor that runs already. Before monitor_run(). */
bool monitor_goes_on(void);
const char *monitor_program(void); /* that this process was started from, with its path */
int monitor_takeover(void); /* in the new server: the channel to the old one, the caller's; or -1 */

#define MONITOR_RESTARTS 5u
#define MONITOR_WITHIN_MS 60000u
/* What the server says by keep_tell(): it has started; it lives, and hangs if it does not say so
 * again within so many milliseconds. */
#define MONITOR_READY "ready"
#define MONITOR_ALIVE "alive %u"
/* With the channel's other end, in which the path of the program waits, with its NUL: start it. And
 * end it again. */
#define MONITOR_UPGRADE "upgrade"
#define MONITOR_CALL_OFF "call off"
#define MONITOR_ABORT_MS 5000u /* how long one that hangs has to write down where */
