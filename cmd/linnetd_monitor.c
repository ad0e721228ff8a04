/* cmd/linnetd_monitor.c - one child, its signals, its end. */
#include "cmd/linnetd_monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/linnetd_daemon.h"
#include "core/clock.h"
#include "core/handover.h"
#include "core/intensity.h"
#include "core/keep.h"
#include "core/mem.h"

/* What a program that is started by the monitor itself finds in its environment. */
#define ENV_SERVER "LINNET_TAKES_OVER" /* monitor, keep end, channel, restarts */
#define ENV_MONITOR                                                                  \
	"LINNET_MONITORS" /* server, its keep channel, the one that leaves, restarts \
			   */
#define ENV_KEPT "LINNET_KEPT" /* keep_pack() */

static struct monitor {
	pid_t self, child;
	pid_t next; /* is to take the child's place; 0: none */
	pid_t leaving; /* the last that has left its place, and ends by itself; 0: none */
	char *program, *next_program; /* owned */
	char **argv;
	int takeover; /* in a server that takes over: the channel */
	int signals; /* signalfd */
	bool was_ready; /* a server has been */
	bool ended; /* the child has, and has been waited for */
	bool lost_next; /* the one that the server left everything to */
	bool ending; /* it was asked to */
	uint64_t due_ms; /* by when it is to say that it lives, or be gone; 0: nothing is said */
	bool hung; /* it did not, and was told to end */
	struct intensity intensity;
	struct monitor_history history;
	char why[64];
} monitor = { .takeover = -1 };

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
	if (monitor.leaving && monitor.ending)
		kill(monitor.leaving, (int)info.ssi_signo);
	if (monitor.next && monitor.ending)
		kill(monitor.next, (int)info.ssi_signo);
}

/* --- upgrade: the monitor's part --- */

static bool read_program(int channel, char path[PATH_MAX])
{
	ssize_t n = channel < 0 ? -1 : recv(channel, path, PATH_MAX, MSG_DONTWAIT);

	return n > 0 && !path[n - 1];
}

static void put_environment(const char *name, char *word)
{
	AUTO(free_ptr) char *kept = keep_pack();

	setenv(name, word, 1);
	setenv(ENV_KEPT, kept, 1);
	free(word);
}

/* In the child of the fork. */
NO_RETURN static void become_next(const char *path, int channel)
{
	const sigset_t orders = daemon_signals();
	struct handover *h;

	fcntl(channel, F_SETFD, 0);
	put_environment(ENV_SERVER,
		xprintf("%d %d %d %u", (int)monitor.self, keep_pass_next(), channel,
			monitor.history.restarts));
	sigprocmask(SIG_SETMASK, &orders, NULL);
	setpgid(0, 0);
	execv(path, monitor.argv);
	h = handover_new(channel);
	handover_say(h, HANDOVER_REFUSED, strerror(errno));
	_exit(EXIT_FAILURE);
}

static void start_next(void)
{
	AUTO(fd_close) int channel = keep_told_fd();
	char path[PATH_MAX];

	if (monitor.next || monitor.ending || !read_program(channel, path) || keep_open_next())
		return;
	free(monitor.next_program);
	monitor.next_program = xstrdup(path);
	monitor.next = fork();
	if (monitor.next == 0)
		become_next(path, channel);
	if (monitor.next < 0)
		monitor.next = 0;
}

/* Goes on as the program whose server it has now. */
static void exec_itself(void)
{
	put_environment(ENV_MONITOR,
		xprintf("%d %d %d %u", (int)monitor.child, keep_pass_channel(),
			(int)monitor.leaving, monitor.history.restarts));
	execv(monitor.program, monitor.argv);
	fprintf(stderr, "linnetd: %s cannot be the monitor: %s\n", monitor.program,
		strerror(errno));
	unsetenv(ENV_MONITOR);
	unsetenv(ENV_KEPT);
}

static void told_by_next(const char *what)
{
	if (strcmp(what, MONITOR_READY))
		return;
	if (!monitor.next) {
		monitor.lost_next = true; /* these were its last words */
		return;
	}
	monitor.leaving = monitor.ended ? 0 : monitor.child;
	monitor.child = monitor.next;
	monitor.next = 0;
	monitor.due_ms = 0;
	monitor.hung = false;
	keep_promote_next();
	free(monitor.program);
	monitor.program = monitor.next_program;
	monitor.next_program = NULL;
	if (!monitor.ending)
		exec_itself();
}

static void told(const char *what)
{
	unsigned within_ms;

	if (!strcmp(what, MONITOR_READY)) {
		monitor.was_ready = true;
		daemon_released();
	} else if (!monitor.hung && sscanf(what, MONITOR_ALIVE, &within_ms) == 1) {
		monitor.due_ms = clock_ms() + within_ms;
	} else if (!strcmp(what, MONITOR_UPGRADE)) {
		start_next();
	} else if (!strcmp(what, MONITOR_CALL_OFF) && monitor.next) {
		kill(monitor.next, SIGKILL);
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

/* Of all children that have ended: the server, one that was to take its place, one that has left
 * its place to another. True: the server has, and nobody has its place. */
static bool has_ended(int *status)
{
	pid_t pid;
	int of_it;

	monitor.ended = false;
	while ((pid = waitpid(-1, &of_it, WNOHANG)) > 0) {
		if (pid == monitor.next)
			monitor.next = 0;
		if (pid == monitor.leaving)
			monitor.leaving = 0;
		if (pid != monitor.child)
			continue;
		*status = of_it;
		monitor.ended = true;
	}
	pid = monitor.child;
	keep_listen_next(told_by_next);
	if (!monitor.next)
		keep_close_next();
	return monitor.ended && monitor.child == pid;
}

/* Returns with the child's wait status. */
static int watch_server(void)
{
	int status;

	monitor.due_ms = 0;
	monitor.hung = false;
	while (!has_ended(&status)) {
		struct pollfd fds[] = { { .fd = monitor.signals, .events = POLLIN },
			{ .fd = keep_channel(), .events = POLLIN },
			{ .fd = keep_channel_next(), .events = POLLIN } };

		poll(fds, ARRAY_LEN(fds), until_due_ms());
		if (fds[0].revents)
			take_signal();
		keep_listen(told);
		keep_listen_next(told_by_next);
		look_at_heart();
	}
	keep_listen(told); /* its last words */
	return status;
}

/* One that was to take the place of a server that has ended has nothing to take. */
static void end_next(void)
{
	if (monitor.next) {
		kill(monitor.next, SIGKILL);
		waitpid(monitor.next, NULL, 0);
	}
	monitor.next = 0;
	keep_close_next();
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
	if (monitor.ending || (WIFEXITED(status) && !monitor.was_ready))
		return false;
	if (WIFEXITED(status) && status == 0 && !monitor.lost_next)
		return false;
	monitor.lost_next = false;
	note_end(status);
	if (intensity_allows(&monitor.intensity, clock_ms()))
		return true;
	fprintf(stderr,
		"linnetd: ended by %s, and that more than %u times within %u s: giving up\n",
		monitor.why, MONITOR_RESTARTS, MONITOR_WITHIN_MS / 1000);
	return false;
}

/* --- life --- */

bool monitor_goes_on(void)
{
	return getenv(ENV_SERVER) || getenv(ENV_MONITOR);
}

const char *monitor_program(void)
{
	return monitor.program;
}

int monitor_takeover(void)
{
	return steal_fd(&monitor.takeover);
}

/* The program's path now, before another file may have its name. */
static char *own_program(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	return n > 0 ? xstrndup(path, (size_t)n) : xstrdup(monitor.argv[0]);
}

static void take_kept(void)
{
	const char *kept = getenv(ENV_KEPT);

	if (kept)
		keep_unpack(kept);
	unsetenv(ENV_KEPT);
}

/* A server beside one that is to hand over to it: the same as become_server(), over an exec(). */
static bool resume_as_server(void)
{
	const char *word = getenv(ENV_SERVER);
	int end;

	if (!word ||
		sscanf(word, "%d %d %d %u", &monitor.self, &end, &monitor.takeover,
			&monitor.history.restarts) != 4)
		return false;
	unsetenv(ENV_SERVER);
	take_kept();
	keep_serve_at(end);
	fcntl(monitor.takeover, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != monitor.self)
		_exit(EXIT_FAILURE);
	return true;
}

/* The monitor of a server that runs already. */
static bool resume_as_monitor(void)
{
	const char *word = getenv(ENV_MONITOR);
	int channel;

	if (!word ||
		sscanf(word, "%d %d %d %u", &monitor.child, &channel, &monitor.leaving,
			&monitor.history.restarts) != 4)
		return false;
	unsetenv(ENV_MONITOR);
	take_kept();
	keep_resume(channel);
	monitor.was_ready = true;
	return true;
}

int monitor_run(int (*serve)(void *arg), void *arg, char **argv)
{
	sigset_t set = daemon_signals();
	bool resumed;
	int status = 0;
	pid_t child;

	monitor.argv = argv;
	monitor.program = own_program();
	if (resume_as_server())
		return serve(arg);
	monitor.self = getpid();
	resumed = resume_as_monitor();
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	monitor.signals = signalfd(-1, &set, SFD_CLOEXEC);
	intensity_init(&monitor.intensity, MONITOR_RESTARTS, MONITOR_WITHIN_MS);
	do {
		child = monitor.signals < 0 ? -errno : resumed ? monitor.child : start_server();
		resumed = false;
		if (child == 0)
			return serve(arg);
		if (child < 0) {
			fprintf(stderr, "linnetd: cannot start the server: %s\n", strerror(-child));
			return EXIT_FAILURE;
		}
		status = watch_server();
		end_next();
	} while (comes_back(status));
	intensity_fini(&monitor.intensity);
	if (monitor.leaving)
		kill(monitor.leaving, SIGTERM); /* for it to hurry */
	while (wait(NULL) > 0)
		; /* what they hold is free when we are gone */
	return exit_status(status);
}
