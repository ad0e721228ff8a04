/* core/mem.h - allocation that cannot fail for small, fixed sizes: the process aborts with a
 * message. A size that a peer chose is allocated with malloc() and its failure handled. jemalloc is
 * linked in, so these are its functions; free() frees. Any thread. */
#pragma once

#include <string.h>

#include "core/attr.h"

void *xmalloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t bytes) __attribute__((malloc, returns_nonnull)); /* zeroed */
void *xrealloc(void *old, size_t bytes) __attribute__((returns_nonnull));
/* Copies, the caller's to free. At most max bytes of text. */
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *text, size_t max) __attribute__((malloc, returns_nonnull));
void *xmemdup(const void *from, size_t bytes) __attribute__((malloc, returns_nonnull));
char *xprintf(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((malloc, returns_nonnull));

/* From now on jemalloc gives memory that was freed some seconds ago back to the system by itself,
 * also when nothing is allocated any more. Once, after the last fork(). */
void mem_give_back(void);

int64_t mem_resident_bytes(void); /* of the process, as the kernel counts; 0: unknown */
/* jemalloc's figure of that name, "stats.allocated", as of now; 0 where it is not linked in. */
int64_t mem_heap_bytes(const char *which);
bool mem_has_heap_figures(void); /* jemalloc is linked in */
/* Heap memory in use: what was asked for and not freed; without jemalloc, what is resident. */
int64_t mem_in_use_bytes(void);

/* For AUTO(): frees what the pointer points to. */
void free_ptr(void *pointer_to_pointer);
/* For AUTO() and steal: closes unless -1. */
void fd_close(int *fd);
/* Gives the descriptor away: returns it and leaves -1 behind. */
static inline int steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}
/* Overwrites a secret so that no optimiser leaves it out, then forgets it. */
void wipe(void *secret, size_t bytes);
