/* cmd/linnetd_monitor.c - one child, its signals, its end. */
#include "cmd/linnetd_monitor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/linnetd_daemon.h"
#include "core/clock.h"
#include "core/intensity.h"
#include "core/keep.h"
#include "core/mem.h"

static struct monitor {
	pid_t self, child;
	int signals; /* signalfd */
	bool was_ready; /* a server has been */
	bool ending; /* it was asked to */
	uint64_t due_ms; /* by when it is to say that it lives, or be gone; 0: nothing is said */
	bool hung; /* it did not, and was told to end */
	struct intensity intensity;
	struct monitor_history history;
	char why[64];
} monitor;

const struct monitor_history *monitor_history(void)
{
	return &monitor.history;
}

/* A group of its own: what a terminal's Ctrl-C means for the server comes from here, once. It ends
 * when the monitor is killed, since the next one could not have its ports. What it is told stays
 * blocked until main takes it: who is asked to end while it starts ends well. */
static void become_server(void)
{
	const sigset_t orders = daemon_signals();

	sigprocmask(SIG_SETMASK, &orders, NULL);
	keep_serve();
	close(monitor.signals);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != monitor.self)
		_exit(EXIT_FAILURE);
}

/* 0 in the server, its process id in the monitor, or a negative errno. */
static pid_t start_server(void)
{
	int error = keep_open();
	pid_t child;

	if (error)
		return error;
	child = fork();
	if (child < 0)
		return -errno;
	if (child == 0)
		become_server();
	else
		monitor.child = child;
	return child;
}

static void take_signal(void)
{
	struct signalfd_siginfo info;

	if (read(monitor.signals, &info, sizeof(info)) != sizeof(info) || info.ssi_signo == SIGCHLD)
		return;
	if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
		monitor.ending = true;
	kill(monitor.child, (int)info.ssi_signo);
}

static void told(const char *what)
{
	unsigned within_ms;

	if (!strcmp(what, MONITOR_READY)) {
		monitor.was_ready = true;
		daemon_released();
	} else if (!monitor.hung && sscanf(what, MONITOR_ALIVE, &within_ms) == 1) {
		monitor.due_ms = clock_ms() + within_ms;
	}
}

/* Tells a server that hangs to write down where, then to end. */
static void look_at_heart(void)
{
	if (!monitor.due_ms || clock_ms() < monitor.due_ms)
		return;
	kill(monitor.child, monitor.hung ? SIGKILL : SIGABRT);
	monitor.hung = true;
	monitor.due_ms = clock_ms() + MONITOR_ABORT_MS;
}

static int until_due_ms(void)
{
	uint64_t now_ms = clock_ms();

	if (!monitor.due_ms)
		return -1;
	return monitor.due_ms > now_ms ? (int)(monitor.due_ms - now_ms) : 0;
}

/* Returns with the child's wait status. */
static int watch_server(void)
{
	struct pollfd fds[] = { { .fd = monitor.signals, .events = POLLIN },
		{ .fd = keep_channel(), .events = POLLIN } };
	int status;

	monitor.due_ms = 0;
	monitor.hung = false;
	while (waitpid(monitor.child, &status, WNOHANG) != monitor.child) {
		poll(fds, ARRAY_LEN(fds), until_due_ms());
		if (fds[0].revents)
			take_signal();
		keep_listen(told);
		look_at_heart();
	}
	keep_listen(told); /* its last words */
	return status;
}

static void note_end(int status)
{
	if (WIFSIGNALED(status))
		snprintf(monitor.why, sizeof(monitor.why), "%ssignal %d (%s)",
			monitor.hung ? "hanging, " : "", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		snprintf(monitor.why, sizeof(monitor.why), "status %d", WEXITSTATUS(status));
	monitor.history.why = monitor.why;
	monitor.history.restarts++;
}

/* What a shell would see of it. */
static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* One that ended by itself before it was ready could not start and has said why. */
static bool comes_back(int status)
{
	if (monitor.ending || (WIFEXITED(status) && (status == 0 || !monitor.was_ready)))
		return false;
	note_end(status);
	if (intensity_allows(&monitor.intensity, clock_ms()))
		return true;
	fprintf(stderr,
		"linnetd: ended by %s, and that more than %u times within %u s: giving up\n",
		monitor.why, MONITOR_RESTARTS, MONITOR_WITHIN_MS / 1000);
	return false;
}

int monitor_run(int (*serve)(void *arg), void *arg)
{
	sigset_t set = daemon_signals();
	int status = 0;
	pid_t child;

	monitor.self = getpid();
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	monitor.signals = signalfd(-1, &set, SFD_CLOEXEC);
	intensity_init(&monitor.intensity, MONITOR_RESTARTS, MONITOR_WITHIN_MS);
	do {
		child = monitor.signals < 0 ? -errno : start_server();
		if (child == 0)
			return serve(arg);
		if (child < 0) {
			fprintf(stderr, "linnetd: cannot start the server: %s\n", strerror(-child));
			return EXIT_FAILURE;
		}
		status = watch_server();
	} while (comes_back(status));
	intensity_fini(&monitor.intensity);
	return exit_status(status);
}
