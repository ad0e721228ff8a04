/* cmd/linnetd_daemon.c - two forks, a pid file, and sd_notify. */
#include "cmd/linnetd_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/keep.h"
#include "core/mem.h"

static int parent_fd = -1; /* the one who waits; a byte says ready, its end alone says failed */
static char *pid_path;

/* In the process that was started: its status is the server's start. */
NO_RETURN static void wait_for_start(int fd)
{
	char byte;
	ssize_t n;

	while ((n = read(fd, &byte, 1)) < 0 && errno == EINTR)
		;
	_exit(n == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

int daemon_begin(void)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child < 0)
		return -errno;
	if (child > 0) {
		close(ends[1]);
		wait_for_start(ends[0]);
	}
	close(ends[0]);
	setsid();
	child = fork(); /* a session's leader could get a terminal back */
	if (child < 0)
		return -errno;
	if (child > 0)
		_exit(EXIT_SUCCESS);
	parent_fd = ends[1];
	return 0;
}

static void let_go_of_terminal(void)
{
	AUTO(fd_close) int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
}

void daemon_released(void)
{
	if (parent_fd < 0)
		return;
	let_go_of_terminal();
	fd_close(&parent_fd);
}

void daemon_ready(void)
{
	if (parent_fd >= 0 && write(parent_fd, "", 1) < 0)
		errno = 0; /* who started it is gone: nobody to tell */
	daemon_released();
	daemon_notify("READY=1");
}

sigset_t daemon_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	return set;
}

pid_t daemon_pid(void)
{
	return keep_is_served() ? getppid() : getpid();
}

int pid_file_write(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return -errno;
	fprintf(f, "%d\n", (int)daemon_pid());
	if (fclose(f))
		return -errno;
	pid_path = xstrdup(path);
	return 0;
}

void pid_file_remove(void)
{
	if (pid_path)
		unlink(pid_path);
	free(pid_path);
	pid_path = NULL;
}

void daemon_notify(const char *state)
{
	sd_notify(0, state);
}

void daemon_notify_reloading(void)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_us());
}
