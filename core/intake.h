/* core/intake.h - many threads hand in, one thread takes everything at once, oldest first.
 * A lock-free stack that its only taker turns round: handing in is one compare-and-swap, and
 * because things are only ever taken all together it cannot be fooled by one that comes back. */
#pragma once

#include <stdatomic.h>

#include "core/attr.h"

struct intake_item { /* part of whatever is handed in */
	struct intake_item *next;
};
struct intake {
	struct intake_item *_Atomic newest;
};

/* Any thread. True when it was empty, so that someone must wake the taker; i may be gone by then.
 */
static inline bool intake_push(struct intake *in, struct intake_item *i)
{
	struct intake_item *newest = atomic_load_explicit(&in->newest, memory_order_relaxed);

	do {
		i->next = newest;
	} while (!atomic_compare_exchange_weak_explicit(
		&in->newest, &newest, i, memory_order_release, memory_order_relaxed));
	return !newest;
}

/* The taker: a list, oldest first; NULL when there is nothing. */
static inline struct intake_item *intake_take(struct intake *in)
{
	struct intake_item *i = atomic_exchange_explicit(&in->newest, NULL, memory_order_acquire);
	struct intake_item *oldest = NULL;

	while (i) {
		struct intake_item *older = i->next;

		i->next = oldest;
		oldest = i;
		i = older;
	}
	return oldest;
}
