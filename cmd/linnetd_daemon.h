/* cmd/linnetd_daemon.h - how the process stands to whoever started it: a shell, systemd, a script.
 * Main thread, and daemon_begin() before any other thread exists. */
#pragma once

#include <signal.h>
#include <sys/types.h>

#include "core/attr.h"

/* Goes into the background: the caller of the program waits until daemon_ready(), or ends with
 * status 1 when the server ends before that, its reasons still on the terminal. 0 or negative
 * errno. */
int daemon_begin(void);
void daemon_ready(void); /* also tells systemd; without daemon_begin() that is all it does */

/* The monitor's part of the same, once the server below it is ready. */
void daemon_released(void);

/* Those that tell the server something: SIGTERM, SIGINT, SIGHUP, SIGUSR1. */
sigset_t daemon_signals(void);
/* The process that signals are for: the monitor where there is one. */
pid_t daemon_pid(void);
/* Writes that; 0 or negative errno. */
int pid_file_write(const char *path);
void pid_file_remove(void); /* the one that was written, if any */

/* One line to systemd (sd_notify(3)), where it asked for them: "STOPPING=1". */
void daemon_notify(const char *state);
void daemon_notify_reloading(void); /* with the time systemd wants; READY=1 ends it */
