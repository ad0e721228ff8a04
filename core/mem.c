/* core/mem.c - allocation that aborts rather than returning NULL. */
#include "core/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__clang__)
struct thread_role shard_role, job_role;
#endif

void require_failed(const char *what, const char *file, int line, const char *func)
{
	fprintf(stderr, "linnet: %s:%d: %s: required: %s\n", file, line, func, what);
	abort();
}

/* jemalloc's, where it is linked. */
int mallctl(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len)
	__attribute__((weak));

void mem_give_back(void)
{
	size_t threads = 1;
	bool on = true;

	if (!mallctl)
		return;
	mallctl("max_background_threads", NULL, NULL, &threads, sizeof(threads));
	mallctl("background_thread", NULL, NULL, &on, sizeof(on));
}

int64_t mem_resident_bytes(void)
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

int64_t mem_heap_bytes(const char *which)
{
	uint64_t epoch = 1; /* asks for figures of now */
	size_t bytes = 0, len = sizeof(bytes);

	if (!mallctl)
		return 0;
	mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
	return mallctl(which, &bytes, &len, NULL, 0) == 0 ? (int64_t)bytes : 0;
}

bool mem_has_heap_figures(void)
{
	return mallctl != NULL;
}

int64_t mem_in_use_bytes(void)
{
	return mallctl ? mem_heap_bytes("stats.allocated") : mem_resident_bytes();
}

static void *or_die(void *p, size_t bytes)
{
	if (unlikely(!p)) {
		fprintf(stderr, "linnet: out of memory asking for %zu bytes\n", bytes);
		abort();
	}
	return p;
}

void *xmalloc(size_t bytes)
{
	return or_die(malloc(bytes ? bytes : 1), bytes);
}

void *xcalloc(size_t count, size_t bytes)
{
	return or_die(calloc(count ? count : 1, bytes ? bytes : 1), count * bytes);
}

void *xrealloc(void *old, size_t bytes)
{
	return or_die(realloc(old, bytes ? bytes : 1), bytes);
}

char *xstrdup(const char *text)
{
	return or_die(strdup(text), strlen(text) + 1);
}

char *xstrndup(const char *text, size_t max)
{
	return or_die(strndup(text, max), max + 1);
}

void *xmemdup(const void *from, size_t bytes)
{
	void *copy = xmalloc(bytes);

	if (bytes)
		memcpy(copy, from, bytes);
	return copy;
}

char *xprintf(const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	return or_die(len < 0 ? NULL : text, 0);
}

void free_ptr(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void wipe(void *secret, size_t bytes)
{
	explicit_bzero(secret, bytes);
}
