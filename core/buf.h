/* core/buf.h - bytes on their way to sockets, counted, so that a thousand receivers share one copy.
 * Filled by one owner, then shared and never changed again. Counting is atomic: any thread. */
#pragma once

#include <stdatomic.h>

#include "core/attr.h"

struct buf {
	_Atomic uint32_t refs;
	uint32_t len; /* bytes filled */
	uint32_t cap; /* bytes there is room for */
	char data[];
};

struct buf *buf_new(size_t cap) __attribute__((returns_nonnull)); /* empty, one reference */
struct buf *buf_of(const void *bytes, size_t len) __attribute__((returns_nonnull));
struct buf *buf_ref(struct buf *b);
void buf_unref(struct buf *b); /* NULL is fine */

/* Only while the caller holds the only reference; *b may move. */
void buf_append(struct buf **b, const void *bytes, size_t len);
static inline void buf_append_char(struct buf **b, char c)
{
	if (likely((*b)->len < (*b)->cap))
		(*b)->data[(*b)->len++] = c;
	else
		buf_append(b, &c, 1);
}
