/* bench/bench_process.c - /proc/PID/stat, smaps_rollup, and the clock of a process's CPU: stat has
 * the same time, but in hundredths of a second, which is all there is of children that ended. */
#include "bench/bench_process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct stat_line {
	int parent, threads;
	uint64_t ended_ticks; /* of children that have ended */
};

static bool read_stat(pid_t pid, struct stat_line *out)
{
	long user, system; /* of children waited for */
	char path[64], line[1024];
	const char *at;
	FILE *in;
	bool read;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	in = fopen(path, "re");
	if (!in)
		return false;
	read = fgets(line, sizeof(line), in);
	fclose(in);
	at = read ? strrchr(line, ')') : NULL; /* the name may hold anything */
	if (!at ||
		sscanf(at + 2,
			"%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %ld %ld %*d %*d %d",
			&out->parent, &user, &system, &out->threads) != 4)
		return false;
	out->ended_ticks = (uint64_t)(user + system);
	return true;
}

static bool has(const struct processes *p, pid_t pid)
{
	for (unsigned i = 0; i < p->n; i++)
		if (p->pid[i] == pid)
			return true;
	return false;
}

/* One look through /proc; how many children were new. */
static unsigned add_children(struct processes *p)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	unsigned before = p->n;

	while (proc && (entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name);
		struct stat_line stat;

		if (pid > 0 && p->n < PROCESSES_MAX && !has(p, pid) && read_stat(pid, &stat) &&
			has(p, stat.parent))
			p->pid[p->n++] = pid;
	}
	if (proc)
		closedir(proc);
	return p->n - before;
}

bool processes_add(struct processes *p, pid_t pid)
{
	struct stat_line stat;

	if (!read_stat(pid, &stat) || p->n == PROCESSES_MAX)
		return false;
	if (!has(p, pid))
		p->pid[p->n++] = pid;
	while (add_children(p))
		;
	return true;
}

uint64_t processes_cpu_us(const struct processes *p)
{
	uint64_t ns = 0;

	for (unsigned i = 0; i < p->n; i++) {
		struct timespec used;
		struct stat_line stat;
		clockid_t clock;

		if (!clock_getcpuclockid(p->pid[i], &clock) && !clock_gettime(clock, &used))
			ns += (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
		if (read_stat(p->pid[i], &stat))
			ns += stat.ended_ticks * 1000000000 / (uint64_t)sysconf(_SC_CLK_TCK);
	}
	return ns / 1000;
}

unsigned processes_threads(const struct processes *p)
{
	unsigned threads = 0;

	for (unsigned i = 0; i < p->n; i++) {
		struct stat_line stat;

		if (read_stat(p->pid[i], &stat))
			threads += (unsigned)stat.threads;
	}
	return threads;
}

static uint64_t read_pss(pid_t pid)
{
	unsigned long kib = 0;
	char path[64], line[256];
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	in = fopen(path, "re");
	while (in && fgets(line, sizeof(line), in))
		if (sscanf(line, "Pss: %lu kB", &kib) == 1)
			break;
	if (in)
		fclose(in);
	return (uint64_t)kib * 1024;
}

uint64_t processes_memory(const struct processes *p)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < p->n; i++)
		bytes += read_pss(p->pid[i]);
	return bytes;
}

uint64_t own_cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
		(uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

uint64_t own_wait_us(void)
{
	FILE *in = fopen("/proc/thread-self/schedstat", "re");
	unsigned long long ran_ns, waited_ns = 0;

	if (in) {
		if (fscanf(in, "%llu %llu", &ran_ns, &waited_ns) != 2)
			waited_ns = 0;
		fclose(in);
	}
	return waited_ns / 1000;
}
