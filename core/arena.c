/* core/arena.c - a bump allocator over chunks that double. */
#include "core/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define ALIGN 8u
#define CHUNK_MIN 512u
#define CHUNK_MAX 65536u

struct arena_chunk {
	struct arena_chunk *older;
	char bytes[];
};

static char *aligned(char *p)
{
	return (char *)(((uintptr_t)p + (ALIGN - 1)) & ~(uintptr_t)(ALIGN - 1));
}

void arena_init(struct arena *a, void *first, size_t first_bytes)
{
	a->at = first;
	a->end = first ? (char *)first + first_bytes : NULL;
	a->last = NULL;
	a->taken_bytes = 0;
}

void arena_fini(struct arena *a)
{
	struct arena_chunk *c = a->last;

	while (c) {
		struct arena_chunk *older = c->older;

		free(c);
		c = older;
	}
	arena_init(a, NULL, 0);
}

static void add_chunk(struct arena *a, size_t need)
{
	size_t bytes = a->taken_bytes < CHUNK_MIN ? CHUNK_MIN : a->taken_bytes;
	struct arena_chunk *c;

	if (bytes > CHUNK_MAX)
		bytes = CHUNK_MAX;
	if (bytes < need + sizeof(*c) + ALIGN)
		bytes = need + sizeof(*c) + ALIGN;
	c = xmalloc(bytes);
	c->older = a->last;
	a->last = c;
	a->at = c->bytes;
	a->end = (char *)c + bytes;
	a->taken_bytes += (uint32_t)bytes;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	char *p = aligned(a->at);

	if (unlikely(!a->at || p > a->end || (size_t)(a->end - p) < bytes)) {
		add_chunk(a, bytes);
		p = aligned(a->at);
	}
	a->at = p + bytes;
	return p;
}

void *arena_zalloc(struct arena *a, size_t bytes)
{
	return memset(arena_alloc(a, bytes), 0, bytes);
}

char *arena_text(struct arena *a, const char *text, size_t len)
{
	char *p;

	if (unlikely(!a->at || (size_t)(a->end - a->at) <= len))
		add_chunk(a, len + 1);
	p = a->at;
	if (len)
		memcpy(p, text, len);
	p[len] = 0;
	a->at = p + len + 1;
	return p;
}

char *arena_strdup(struct arena *a, const char *text)
{
	return arena_text(a, text, strlen(text));
}

char *arena_printf(struct arena *a, const char *format, ...)
{
	va_list args, again;
	char *p;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	REQUIRE(len >= 0);
	p = arena_text(a, NULL, 0);
	a->at = p; /* take the NUL back, then ask for the whole */
	if ((size_t)(a->end - a->at) <= (size_t)len) {
		add_chunk(a, (size_t)len + 1);
		p = a->at;
	}
	vsnprintf(p, (size_t)len + 1, format, again);
	va_end(again);
	a->at = p + len + 1;
	return p;
}
