/* core/child_process.c - a child that is a process of the operating system.
 * Its end shows on a descriptor (pidfd_open), its beats come through a pipe; both are watched by
 * the supervisor's shard. An abandoned process is still waited for, so that it leaves no zombie. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/child_life.h"
#include "core/log.h"
#include "core/mem.h"

struct process {
	struct watch end; /* fd: the process itself */
	struct watch pulse; /* fd: our end of its pipe, or -1 */
	struct child *child; /* NULL: nobody cares any more */
	pid_t pid;
	uint32_t beats;
};

static const char *refuse(const struct child_spec *spec)
{
	return spec->process.argv && spec->process.argv[0] ? NULL : "no program";
}

/* --- what comes from it --- */

static void close_pulse(struct process *p)
{
	shard_check(NULL);
	if (p->pulse.fd < 0)
		return;
	shard_unwatch(&p->pulse);
	fd_close(&p->pulse.fd);
	p->pulse.fd = -1;
}

static void pulse_ready(struct watch *w, uint32_t events UNUSED)
{
	struct process *p = caa_container_of(w, struct process, pulse);
	struct child *c = p->child;
	char bytes[256];
	ssize_t got = read(w->fd, bytes, sizeof(bytes));

	shard_check(NULL);
	if (got == 0) {
		close_pulse(p); /* a beat will be missed soon, if it lives on */
	} else if (got > 0) {
		p->beats++;
		if (c && c->state == CHILD_STARTING)
			child_began(c, STARTED, NULL);
	}
}

static void describe(const siginfo_t *end, char *out, size_t size)
{
	if (end->si_code != CLD_EXITED)
		snprintf(out, size, "signal %d", end->si_status);
	else if (end->si_status)
		snprintf(out, size, "exit status %d", end->si_status);
	else
		snprintf(out, size, "%s", STOP_NORMAL);
}

/* It is a zombie until waitid(), so its number cannot mean another group yet. */
static void end_ready(struct watch *w, uint32_t events UNUSED)
{
	struct process *p = caa_container_of(w, struct process, end);
	struct child *c = p->child;
	siginfo_t end = { 0 };
	char reason[32];

	shard_check(NULL);
	kill(-p->pid, SIGKILL); /* what it leaves behind */
	if (waitid(P_PID, (id_t)p->pid, &end, WEXITED) < 0)
		log_error("supervisor", "lost a process", L_INT("pid", p->pid),
			L_INT("errno", errno));
	describe(&end, reason, sizeof(reason));
	close_pulse(p);
	shard_unwatch(&p->end);
	fd_close(&p->end.fd);
	free(p);
	if (c)
		child_ended(c, reason);
}

/* --- starting --- */

/* The descriptors that the new process is to have, and our ends of them; -1: none. */
struct wiring {
	int stdio, our_stdio;
	int pulse, our_pulse;
};

static void wiring_close(struct wiring *w)
{
	fd_close(&w->stdio);
	fd_close(&w->our_stdio);
	fd_close(&w->pulse);
	fd_close(&w->our_pulse);
}

static int wiring_open(struct wiring *w, const struct child_process *spec)
{
	int pair[2];

	if (spec->talk) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return -errno;
		w->stdio = pair[0];
		w->our_stdio = pair[1];
		fcntl(w->our_stdio, F_SETFL, O_NONBLOCK);
	}
	if (spec->heartbeat_ms) {
		if (pipe2(pair, O_CLOEXEC) < 0)
			return -errno;
		w->our_pulse = pair[0];
		w->pulse = pair[1];
		fcntl(w->our_pulse, F_SETFL, O_NONBLOCK);
	}
	return 0;
}

/* Standard input and output first: their ends may have the pulse's number. */
static void plan_files(posix_spawn_file_actions_t *files, const struct wiring *w)
{
	if (w->stdio >= 0) {
		posix_spawn_file_actions_adddup2(files, w->stdio, STDIN_FILENO);
		posix_spawn_file_actions_adddup2(files, w->stdio, STDOUT_FILENO);
	} else {
		posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDWR, 0);
		posix_spawn_file_actions_adddup2(files, STDIN_FILENO, STDOUT_FILENO);
	}
	if (w->pulse >= 0)
		posix_spawn_file_actions_adddup2(files, w->pulse, CHILD_PULSE_FD);
}

/* A group of its own, and all signals as a new program expects them. */
static void plan_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setpgroup(attributes, 0);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setflags(
		attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(const struct child_process *spec, const struct wiring *w, pid_t *out)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int err;

	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	plan_files(&files, w);
	plan_attributes(&attributes);
	err = posix_spawnp(
		out, spec->argv[0], &files, &attributes, (char *const *)spec->argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return -err;
}

/* Takes our ends of the pipe. */
static int watch(struct process *p, struct wiring *w)
{
	int err;

	shard_check(NULL);
	p->end = (struct watch){ pidfd_open(p->pid, 0), EPOLLIN, end_ready };
	p->pulse = (struct watch){ steal_fd(&w->our_pulse), EPOLLIN, pulse_ready };
	if (p->end.fd < 0)
		return -errno;
	err = shard_watch(&p->end);
	if (!err && p->pulse.fd >= 0)
		err = shard_watch(&p->pulse);
	return err;
}

/* It runs, and cannot be watched: no descriptors are left. */
static void take_back(struct process *p)
{
	shard_check(NULL);
	kill(-p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	if (p->end.fd >= 0)
		shard_unwatch(&p->end);
	fd_close(&p->end.fd);
	fd_close(&p->pulse.fd);
	free(p);
}

static enum start_outcome failed(struct child *c, int err)
{
	snprintf(
		c->reason, sizeof(c->reason), "%.30s: %s", c->spec.process.argv[0], strerror(-err));
	return START_FAILED;
}

static enum start_outcome start(struct child *c)
{
	const struct child_process *spec = &c->spec.process;
	AUTO(wiring_close) struct wiring w = { -1, -1, -1, -1 };
	struct process *p;
	pid_t pid = 0;
	int err = wiring_open(&w, spec);

	shard_check(NULL);
	if (!err)
		err = spawn(spec, &w, &pid);
	if (err)
		return failed(c, err);
	p = xcalloc(1, sizeof(*p));
	p->child = c;
	p->pid = pid;
	err = watch(p, &w);
	if (err) {
		take_back(p);
		return failed(c, err);
	}
	c->life = p;
	if (spec->talk)
		spec->talk(steal_fd(&w.our_stdio), child_arg(c, spec->arg));
	return spec->heartbeat_ms ? START_UNDER_WAY : STARTED;
}

/* --- ending --- */

static void stop(struct child *c)
{
	struct process *p = c->life;

	kill(-p->pid, SIGTERM);
}

static void kill_process(struct child *c)
{
	struct process *p = c->life;

	kill(-p->pid, SIGKILL);
}

static void abandon(struct child *c)
{
	struct process *p = c->life;

	p->child = NULL;
}

static uint32_t beats(const struct child *c)
{
	const struct process *p = c->life;

	return p->beats;
}

static void tell(const struct child *c, struct child_row *row)
{
	const struct process *p = c->life;

	row->pid = p->pid;
}

const struct child_methods child_process_methods = {
	.refuse = refuse,
	.start = start,
	.stop = stop,
	.kill = kill_process,
	.abandon = abandon,
	.beats = beats,
	.tell = tell,
	.name = "process",
};
