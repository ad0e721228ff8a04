/* net/srv.c - RFC 2782's algorithm, word by word. */
#include "net/srv.h"

#include <stdlib.h>
#include <string.h>

/* Those without weight come before the others of their priority: they have a small chance then. */
static int by_priority(const void *left, const void *right)
{
	const struct srv_choice *a = left, *b = right;

	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	if (!a->weight != !b->weight)
		return a->weight ? 1 : -1;
	return a->index < b->index ? -1 : 1;
}

/* The first whose running sum of weights reaches the number drawn. */
static unsigned draw(const struct srv_choice *at, unsigned n, uint32_t (*random)(uint32_t below))
{
	uint32_t sum = 0, drawn;
	unsigned i;

	for (i = 0; i < n; i++)
		sum += at[i].weight;
	drawn = random(sum + 1);
	for (i = 0, sum = 0; i < n - 1; i++) {
		sum += at[i].weight;
		if (sum >= drawn)
			break;
	}
	return i;
}

static void order_equals(struct srv_choice *at, unsigned n, uint32_t (*random)(uint32_t below))
{
	for (; n > 1; at++, n--) {
		unsigned drawn = draw(at, n, random);
		struct srv_choice chosen = at[drawn];

		memmove(at + 1, at, drawn * sizeof(*at));
		*at = chosen;
	}
}

void srv_order(struct srv_choice *at, unsigned n, uint32_t (*random)(uint32_t below))
{
	qsort(at, n, sizeof(*at), by_priority);
	for (unsigned from = 0, to; from < n; from = to) {
		for (to = from; to < n && at[to].priority == at[from].priority; to++)
			;
		order_equals(at + from, to - from, random);
	}
}
