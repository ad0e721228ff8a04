/* core/intensity.h - whether a restart is one too many: more than so many within so long.
 * One thread. Time is the caller's. */
#pragma once

#include "core/attr.h"

#define INTENSITY_MAX 10000 /* restarts */

struct intensity {
	unsigned max; /* MaxR */
	uint64_t within_ms; /* MaxT */
	uint64_t *at_ms; /* owned: when the last max were, a ring */
	unsigned used, next;
};
void intensity_init(struct intensity *i, unsigned max, uint64_t within_ms);
void intensity_fini(struct intensity *i);
/* Counts a restart; false when there have been more than max within the last within_ms. */
bool intensity_allows(struct intensity *i, uint64_t now_ms);
