/* core/thread.c - pthread_create() with what every thread of ours needs. */
#include "core/thread.h"

#include <signal.h>
#include <stdio.h>

int thread_start(pthread_t *out, const char *name, void *(*fn)(void *arg), void *arg)
{
	char kernel_name[16];
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(out, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return -err;
	snprintf(kernel_name, sizeof(kernel_name), "%s", name);
	pthread_setname_np(*out, kernel_name);
	return 0;
}
