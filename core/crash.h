/* core/crash.h - what a process that dies of a fault leaves behind: which signal, in which thread,
 * and the calls that led there, as plain lines; addresses are for addr2line(1) with the same
 * binary. */
#pragma once

#include <stdatomic.h>
#include <sys/types.h>

#include "core/attr.h"

/* The thread whose calls are written down when another process asks for an end by SIGABRT; 0:
 * main's. */
extern _Atomic pid_t crash_suspect;

/* From now on SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT are written down before they end the
 * process; those that somebody else handles already (a sanitizer) are left alone. main. */
void crash_watch(void);
/* Where to, besides stderr: appended to that file, NULL: nowhere. main, or whoever opens the log.
 */
void crash_write_to(const char *path);
