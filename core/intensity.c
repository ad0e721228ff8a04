/* core/intensity.c - the times of the last restarts, the oldest of which decides. */
#include "core/intensity.h"

#include <stdlib.h>

#include "core/mem.h"

void intensity_init(struct intensity *i, unsigned max, uint64_t within_ms)
{
	REQUIRE(max <= INTENSITY_MAX);
	*i = (struct intensity){ .max = max, .within_ms = within_ms };
	if (max)
		i->at_ms = xcalloc(max, sizeof(*i->at_ms));
}

void intensity_fini(struct intensity *i)
{
	free(i->at_ms);
	i->at_ms = NULL;
}

bool intensity_allows(struct intensity *i, uint64_t now_ms)
{
	uint64_t *oldest;

	if (i->max == 0)
		return false;
	oldest = &i->at_ms[i->next];
	if (i->used == i->max && now_ms - *oldest <= i->within_ms)
		return false;
	*oldest = now_ms;
	i->next = (i->next + 1) % i->max;
	if (i->used < i->max)
		i->used++;
	return true;
}
