/* core/crash.c - everything here that runs in the handler may run in a handler: signal-safety(7).
 */
#include "core/crash.h"

#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/mem.h"

#define FRAMES_MAX 64
static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
static char log_path[PATH_MAX];
_Atomic pid_t crash_suspect;

static void put(int fd, const char *text)
{
	ssize_t n = write(fd, text, strlen(text));

	(void)n; /* nobody is left to be told */
}

static void put_number(int fd, unsigned number)
{
	char digits[16], *at = digits + sizeof(digits) - 1;

	*at = 0;
	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	put(fd, at);
}

static void describe(int fd, int signo)
{
	void *frames[FRAMES_MAX];
	char thread[16] = "";

	prctl(PR_GET_NAME, thread);
	put(fd, "linnetd: crash: signal ");
	put_number(fd, (unsigned)signo);
	put(fd, " in thread ");
	put(fd, thread);
	put(fd, ", process ");
	put_number(fd, (unsigned)getpid());
	put(fd, "\n");
	backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), fd);
}

/* Whether the end that another process asked for is on its way to the thread that it is about. */
static bool hand_on(int signo, const siginfo_t *info)
{
	pid_t suspect = atomic_load(&crash_suspect);

	return signo == SIGABRT && info->si_code == SI_USER && suspect && suspect != gettid() &&
		tgkill(getpid(), suspect, signo) == 0;
}

static void handle(int signo, siginfo_t *info, void *context UNUSED)
{
	int fd;

	if (hand_on(signo, info))
		return;
	fd = log_path[0] ? open(log_path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
	if (fd >= 0)
		describe(fd, signo);
	describe(STDERR_FILENO, signo);
	signal(signo, SIG_DFL);
	raise(signo); /* now as the system does it */
}

void crash_write_to(const char *path)
{
	log_path[0] = 0;
	if (path && strlen(path) < sizeof(log_path))
		memcpy(log_path, path, strlen(path) + 1);
}

void crash_watch(void)
{
	struct sigaction act = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO };
	void *frame[1];

	backtrace(frame, 1); /* loads its library now, which a handler must not */
	for (unsigned i = 0; i < ARRAY_LEN(faults); i++) {
		struct sigaction now;

		if (sigaction(faults[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
			sigaction(faults[i], &act, NULL);
	}
}
