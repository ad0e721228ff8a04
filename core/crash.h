/* core/crash.h - what a process that dies of a fault leaves behind: which signal, in which thread,
 * and the calls that led there, as plain lines; addresses are for addr2line(1) with the same
 * binary. */
#pragma once

#include "core/attr.h"

/* From now on SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT are written down before they end the
 * process; those that somebody else handles already (a sanitizer) are left alone. main. */
void crash_watch(void);
/* Where to, besides stderr: appended to that file, NULL: nowhere. main, or whoever opens the log.
 */
void crash_write_to(const char *path);
