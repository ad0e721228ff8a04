/* core/metric_process.c - what the process tells about itself, asked when metrics are read. */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/metric.h"

static int64_t started_s;

static int64_t cpu_us(void)
{
	struct rusage used;

	if (getrusage(RUSAGE_SELF, &used) < 0)
		return 0;
	return (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
		used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

static int64_t entries_of(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int64_t n = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

int64_t process_open_files(void)
{
	int64_t n;
	struct stat s;

	if (stat("/proc/self/fd", &s) == 0 && s.st_size > 0) /* Linux 6.2 and later count them */
		return s.st_size;
	n = entries_of("/proc/self/fd");
	return n ? n - 1 : 0; /* less the one that looked */
}

int64_t process_max_files(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 0 : (int64_t)limit.rlim_cur;
}

static int64_t threads(void)
{
	return entries_of("/proc/self/task");
}

static int64_t uptime_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec - started_s;
}

static int64_t heap_allocated(void)
{
	return mem_heap_bytes("stats.allocated");
}

static int64_t heap_active(void)
{
	return mem_heap_bytes("stats.active");
}

static int64_t heap_resident(void)
{
	return mem_heap_bytes("stats.resident");
}

static struct metric process_metrics[] = {
	METRIC_GAUGE_READ("process_resident_memory_bytes", "Resident memory", mem_resident_bytes),
	{ .name = "process_cpu_seconds_total",
		.help = "User and system CPU time of all threads",
		.kind = METRIC_KIND_COUNTER,
		.read = cpu_us,
		.per_unit = 1000000 },
	METRIC_GAUGE_READ("process_open_fds", "Open file descriptors", process_open_files),
	METRIC_GAUGE_READ(
		"process_max_fds", "File descriptors the process may open", process_max_files),
	METRIC_GAUGE_READ("process_threads", "Threads", threads),
	METRIC_GAUGE_READ("process_uptime_seconds", "Time since the start", uptime_s),
};
static struct metric jemalloc_metrics[] = {
	METRIC_GAUGE_READ("heap_allocated_bytes", "Heap memory in use", heap_allocated),
	METRIC_GAUGE_READ("heap_active_bytes", "Heap pages that hold memory in use", heap_active),
	METRIC_GAUGE_READ("heap_resident_bytes", "Heap pages held, free ones too", heap_resident),
};

static void register_all(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	started_s = now.tv_sec;
	for (unsigned i = 0; i < ARRAY_LEN(process_metrics); i++)
		metric_register(&process_metrics[i]);
	for (unsigned i = 0; mem_has_heap_figures() && i < ARRAY_LEN(jemalloc_metrics); i++)
		metric_register(&jemalloc_metrics[i]);
}

void metric_process_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_all);
}
