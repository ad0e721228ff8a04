/* net/telling.h - who wants to hear what was done and what came of it, step by step, for people:
 * `linnetctl s2s explain`. Part of its owner's object, which outlives what tells. */
#pragma once

#include "core/attr.h"

struct telling {
	/* On the shard of what tells, which it may not end; line: without its end, good during the
	 * call. */
	void (*step)(struct telling *t, const char *line);
};
#define TELLING_MAX 512 /* bytes of a line; longer ones are cut */
/* t may be NULL: nobody wants to hear it. */
PRINTF_LIKE(2, 3) void tell(struct telling *t, const char *format, ...);
