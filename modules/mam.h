/* modules/mam.h - archives for operators. On job threads and the control thread. */
#pragma once

#include <stdio.h>

#include "core/attr.h"

struct mam_summary {
	int64_t messages; /* those too old included, until they are deleted */
	int64_t first_us, last_us; /* since 1970; if there are any */
};
/* 0 or a negative errno. Counting takes time in proportion. */
ON_JOB int mam_summary(const char *host, const char *name, struct mam_summary *out);
/* All that is older than a moment; what waits goes on waiting. How many, or a negative errno. */
ON_JOB int64_t mam_purge(const char *host, const char *name, int64_t before_us);
/* As XEP-0227 (Portable Import/Export Format) writes it, the account and its host around it. How
 * many, or a negative errno. */
ON_JOB int64_t mam_export(const char *host, const char *name, FILE *out);
