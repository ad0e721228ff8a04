/* core/buf.c - counted bytes. */
#include "core/buf.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct buf *buf_new(size_t cap)
{
	struct buf *b;

	REQUIRE(cap <= UINT32_MAX);
	b = xmalloc(sizeof(*b) + cap);
	atomic_init(&b->refs, 1);
	b->len = 0;
	b->cap = (uint32_t)cap;
	return b;
}

struct buf *buf_of(const void *bytes, size_t len)
{
	struct buf *b = buf_new(len);

	if (len)
		memcpy(b->data, bytes, len);
	b->len = (uint32_t)len;
	return b;
}

struct buf *buf_ref(struct buf *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void buf_unref(struct buf *b)
{
	/* The last holder sees all that the others did before they let go. */
	if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free(b);
}

void buf_append(struct buf **b, const void *bytes, size_t len)
{
	struct buf *was = *b;

	if (was->cap - was->len < len) {
		size_t cap = was->cap < 128 ? 256 : (size_t)was->cap * 2;

		if (cap < was->len + len)
			cap = was->len + len;
		REQUIRE(cap <= UINT32_MAX);
		was = xrealloc(was, sizeof(*was) + cap);
		was->cap = (uint32_t)cap;
		*b = was;
	}
	memcpy(was->data + was->len, bytes, len);
	was->len += (uint32_t)len;
}
