/* bench/bench_crew.c - fork, look once per second, wait. */
#include "bench/bench_crew.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench_run.h"
#include "bench/bench_view.h"
#include "bench/bench_worker.h"

#define SPARE_FILES 64 /* of a process, besides its connections */
#define LOGIN_LOOK_NS 100000000ull /* memory by sessions wants more than one point */
#define LOOK_NS 1000000000ull

struct crew {
	struct processes members;
	struct board *board;
	unsigned running;
	bool good;
};

/* No process may be without a group of users. */
static unsigned how_many(const struct options *o, const struct scenario *s)
{
	struct rlimit files;
	unsigned room, n, groups = o->users / (s ? scenario_group(s, o) : 1);

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	room = files.rlim_max > 1u << 20 ? 1u << 20 : (unsigned)files.rlim_max;
	room = room > 2 * SPARE_FILES ? room - SPARE_FILES : SPARE_FILES;
	n = o->processes ? o->processes : (o->users + room - 1) / room;
	if (n > PROCESSES_MAX)
		n = PROCESSES_MAX;
	return n < groups ? n : groups ? groups : 1;
}

static bool begin(struct crew *crew, const struct options *o, const struct scenario *s)
{
	pid_t parent = getpid();

	fflush(NULL);
	for (unsigned i = 0; i < crew->board->processes; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("linnet-bench: fork");
			atomic_store(&crew->board->give_up, true);
			return false;
		}
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent)
				_exit(1);
			exit(worker_run(o, s, crew->board, i) ? 0 : 1);
		}
		crew->members.pid[crew->members.n++] = pid;
		crew->running++;
	}
	return true;
}

/* Whoever has ended; one that crashed could not say so. */
static void reap(struct crew *crew)
{
	int status;

	while (waitpid(-1, &status, WNOHANG) > 0) {
		crew->running--;
		if (WIFSIGNALED(status))
			fprintf(stderr, "linnet-bench: a process was ended by signal %d\n",
				WTERMSIG(status));
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			crew->good = false;
			atomic_store(&crew->board->give_up, true);
		}
	}
}

/* Until ns have passed or a child has ended. */
static void sleep_for(uint64_t ns)
{
	struct timespec wait = { .tv_sec = (time_t)(ns / 1000000000),
		.tv_nsec = (long)(ns % 1000000000) };
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigtimedwait(&child, NULL, &wait);
}

static void watch(struct crew *crew, const struct options *o, struct timeline *t)
{
	uint64_t now = now_ns(), shown = 0, next = now;
	struct view view;

	view_init(&view, o);
	timeline_init(t, now);
	while (crew->running) {
		now = now_ns();
		if (now >= next) {
			timeline_look(t, crew->board, &o->server, &crew->members, now);
			next = now +
				(timeline_last(t)->phase <= PHASE_LOGIN ? LOGIN_LOOK_NS : LOOK_NS);
			if (now - shown >= LOOK_NS) {
				view_show(&view, timeline_last(t));
				shown = now;
			}
		}
		sleep_for(next > now ? next - now : 0);
		reap(crew);
	}
	view_clear(&view);
}

/* --- showing ----------------------------------------------------------------------------- */

static bool write_file(
	const char *path, bool (*write)(const struct run *r, FILE *out), const struct run *r)
{
	FILE *out = strcmp(path, "-") ? fopen(path, "we") : stdout;
	bool good = out && write(r, out);

	if (out && out != stdout && fclose(out))
		good = false;
	if (!good)
		perror(path);
	return good;
}

static bool show(const struct run *r)
{
	const struct options *o = r->options;
	bool good = true;

	if (!o->json || strcmp(o->json, "-"))
		run_table(r, stdout);
	if (o->json)
		good = write_file(o->json, run_json, r);
	if (o->html)
		good &= write_file(o->html, run_html, r);
	return good;
}

static void conclude(struct run *r, const struct crew *crew)
{
	for (unsigned i = 0; i < crew->board->processes; i++) {
		const struct share *s = &crew->board->shares[i];

		report_merge(&r->report, &s->report);
		if (*s->not_offered)
			r->not_offered = s->not_offered;
	}
	if (r->options->server.n && r->timeline.n) {
		report_same(&r->report, "server_memory_start", (double)r->timeline.at[0].memory,
			"bytes");
		report_same(&r->report, "server_memory_end",
			(double)processes_memory(&r->options->server), "bytes");
	}
	report_figures(&r->report, &r->figures);
	options_title(r->options, r->title, sizeof(r->title));
	r->processes = crew->board->processes;
	r->good = crew->good;
}

int crew_run(const struct options *o, const struct scenario *s)
{
	struct crew crew = { .good = true };
	struct run *run = calloc(1, sizeof(*run));
	time_t now = time(NULL);
	sigset_t child, before;
	bool shown = true;
	int status;

	crew.board = board_new(how_many(o, s));
	if (!run || !crew.board)
		abort();
	run->options = o;
	strftime(run->began, sizeof(run->began), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	if (!begin(&crew, o, s))
		crew.good = false;
	watch(&crew, o, &run->timeline);
	sigprocmask(SIG_SETMASK, &before, NULL);
	conclude(run, &crew);
	/* Otherwise it never began, and said why. */
	if (s && (run->report.n_windows || run->report.n_timings || run->not_offered))
		shown = show(run);
	status = !shown ? 1 : run->not_offered ? 3 : crew.good ? 0 : 1;
	timeline_fini(&run->timeline);
	free(run);
	board_free(crew.board);
	return status;
}
