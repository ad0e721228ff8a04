/* Every thread of ours has a name that people see, and leaves signals to the main thread. */
#include "core/thread.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* Signals beyond 31 are the C library's or nobody's. */
#define SIGNALS 32

static bool same_signals(const sigset_t *a, const sigset_t *b)
{
	for (int s = 1; s < SIGNALS; s++)
		if (sigismember(a, s) != sigismember(b, s))
			return false;
	return true;
}

/* Blocked, they would end the process without core/crash.c having written down where. */
static bool is_fault(int s)
{
	return s == SIGSEGV || s == SIGBUS || s == SIGILL || s == SIGFPE || s == SIGABRT;
}

static void *mask_of(void *arg)
{
	pthread_sigmask(SIG_SETMASK, NULL, arg);
	return arg;
}

Test(thread, is_deaf_to_signals_while_its_maker_hears_them)
{
	sigset_t before, after, theirs;
	pthread_t t;
	void *returned;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	cr_assert_eq(thread_start(&t, "deaf", mask_of, &theirs), 0);
	pthread_join(t, &returned);
	cr_expect_eq(returned, &theirs);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	cr_expect(same_signals(&before, &after));
	for (int s = 1; s < SIGNALS; s++)
		if (s != SIGKILL && s != SIGSTOP)
			cr_expect_eq(sigismember(&theirs, s), !is_fault(s), "signal %d", s);
}

static const struct {
	const char *name, *kernel;
} names[] = {
	{ "shard 0", "shard 0" },
	{ "fifteen letters", "fifteen letters" },
	{ "urn:xmpp:mam:2 and more", "urn:xmpp:mam:2 " },
	{ "", "" },
};

static void *wait_for_end(void *arg)
{
	char byte;

	while (read(*(int *)arg, &byte, 1) < 0)
		;
	return NULL;
}

Test(thread, has_a_name_as_long_as_the_kernel_takes_it)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char name[32];
		pthread_t t;
		int ends[2];

		cr_assert_eq(pipe(ends), 0);
		cr_assert_eq(thread_start(&t, names[i].name, wait_for_end, &ends[0]), 0);
		cr_expect_eq(pthread_getname_np(t, name, sizeof(name)), 0);
		cr_expect_str_eq(name, names[i].kernel);
		close(ends[1]);
		pthread_join(t, NULL);
		close(ends[0]);
	}
}

static void *never(void *arg UNUSED)
{
	return NULL;
}

/* Its stack would be larger than anything there is. */
Test(thread, that_cannot_be_made_is_an_error)
{
	sigset_t before, after;
	pthread_attr_t huge;
	pthread_t t;

	pthread_attr_init(&huge);
	cr_assert_eq(pthread_attr_setstacksize(&huge, (size_t)1 << 47), 0);
	cr_assert_eq(pthread_setattr_default_np(&huge), 0);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	cr_expect_eq(thread_start(&t, "never", never, NULL), -EAGAIN);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	cr_expect(same_signals(&before, &after), "signals are heard as before");
	pthread_attr_destroy(&huge);
}
