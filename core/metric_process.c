/* core/metric_process.c - what the process tells about itself, asked when metrics are read. */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/metric.h"

/* jemalloc's, where it is linked. */
int mallctl(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len)
	__attribute__((weak));

static int64_t started_s;

static int64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long total = 0, resident = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%ld %ld", &total, &resident) != 2)
		resident = 0;
	fclose(f);
	return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

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

static int64_t open_files(void)
{
	int64_t n = entries_of("/proc/self/fd");

	return n ? n - 1 : 0; /* less the one that looked */
}

static int64_t max_files(void)
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

static int64_t jemalloc_bytes(const char *name)
{
	uint64_t epoch = 1; /* asks for figures of now */
	size_t bytes = 0, len = sizeof(bytes);

	mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
	return mallctl(name, &bytes, &len, NULL, 0) == 0 ? (int64_t)bytes : 0;
}

static int64_t heap_allocated(void)
{
	return jemalloc_bytes("stats.allocated");
}

static int64_t heap_active(void)
{
	return jemalloc_bytes("stats.active");
}

static int64_t heap_resident(void)
{
	return jemalloc_bytes("stats.resident");
}

static struct metric process_metrics[] = {
	METRIC_GAUGE_READ("process_resident_memory_bytes", "Resident memory", resident_bytes),
	{ .name = "process_cpu_seconds_total",
		.help = "User and system CPU time of all threads",
		.kind = METRIC_KIND_COUNTER,
		.read = cpu_us,
		.per_unit = 1000000 },
	METRIC_GAUGE_READ("process_open_fds", "Open file descriptors", open_files),
	METRIC_GAUGE_READ("process_max_fds", "File descriptors the process may open", max_files),
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
	for (unsigned i = 0; mallctl && i < ARRAY_LEN(jemalloc_metrics); i++)
		metric_register(&jemalloc_metrics[i]);
}

void metric_process_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_all);
}
