/* modules/datetime.h - moments as XEP-0082 (XMPP Date and Time Profiles) §3.2 writes them. Any
 * thread. */
#pragma once

#include "core/attr.h"

#define DATETIME_MAX sizeof("2002-09-10T23:08:25.123Z")

/* In UTC, to the millisecond that has begun. */
void datetime_write(int64_t us_since_1970, char out[DATETIME_MAX]);
/* False: it is none. What is finer than a microsecond is cut off; leap seconds are the next one. */
bool datetime_read(const char *text, int64_t *out_us_since_1970);
