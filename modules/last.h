/* modules/last.h - when an account was last there, for others than its contacts: for commands of
 * the operator. */
#pragma once

#include "core/attr.h"
#include "router/host.h"

/* Seconds since 1970 when its last session ended; it may be there again. 0, 1: nobody knows, or a
 * negative errno, -ENODEV where mod_last does not run. */
ON_JOB int last_seen(struct host *h, const char *user, int64_t *out_s);
