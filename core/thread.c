/* core/thread.c - pthread_create() with what every thread of ours needs. */
#include "core/thread.h"

#include <signal.h>
#include <stdio.h>

#include "core/mem.h"

/* What is blocked while it happens ends the process without a word, see core/crash.h. */
static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };

int thread_start(pthread_t *out, const char *name, void *(*fn)(void *arg), void *arg)
{
	char kernel_name[16];
	sigset_t deaf, before;
	int err;

	sigfillset(&deaf);
	for (unsigned i = 0; i < ARRAY_LEN(faults); i++)
		sigdelset(&deaf, faults[i]);
	pthread_sigmask(SIG_SETMASK, &deaf, &before);
	err = pthread_create(out, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return -err;
	snprintf(kernel_name, sizeof(kernel_name), "%s", name);
	pthread_setname_np(*out, kernel_name);
	return 0;
}
