/* core/arena.h - memory that is taken piece by piece and given back at once.
 * A stanza, an IQ answer, a settings snapshot: each lives in an arena and dies with it.
 * One thread at a time; nothing in it is freed singly. Allocation aborts when the system has none
 * left; whoever fills an arena with a peer's bytes bounds them first. */
#pragma once

#include "core/attr.h"

struct arena_chunk;
struct arena {
	char *at, *end; /* the free part of the newest chunk */
	struct arena_chunk *last; /* owned; newest first */
	uint32_t taken_bytes; /* what all chunks together hold, for accounting */
};

/* An arena over the caller's first piece of memory (may be NULL, 0); further chunks come from
 * malloc. */
void arena_init(struct arena *a, void *first, size_t first_bytes);
void arena_fini(struct arena *a); /* frees every chunk but the caller's first piece */

void *arena_alloc(struct arena *a, size_t bytes) __attribute__((returns_nonnull)); /* 8-aligned */
void *arena_zalloc(struct arena *a, size_t bytes) __attribute__((returns_nonnull));
/* Byte-aligned and NUL-terminated: text[len] = 0 follows. */
char *arena_text(struct arena *a, const char *text, size_t len) __attribute__((returns_nonnull));
/* Copies; they live as long as the arena. */
char *arena_strdup(struct arena *a, const char *text) __attribute__((returns_nonnull));
char *arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3)
	__attribute__((returns_nonnull));
