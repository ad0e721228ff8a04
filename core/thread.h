/* core/thread.h - a thread with a name, deaf to signals but faults: those are the main
 * thread's. */
#pragma once

#include <pthread.h>

#include "core/attr.h"

/* name: cut to 15 bytes, as the kernel wants it. 0 or a negative errno. */
int thread_start(pthread_t *out, const char *name, void *(*fn)(void *arg), void *arg);
