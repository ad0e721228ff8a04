/* modules/private.h - what modules/private keeps, for an operator's commands. */
#pragma once

#include "core/attr.h"

struct private_item {
	const char *element, *ns; /* <element xmlns='ns'> */
	int64_t bytes; /* of XML */
	int64_t changed; /* seconds since 1970 */
};
/* In order of namespace and element. How many there are, or a negative errno. */
ON_JOB int private_each(const char *host, const char *name,
	void (*fn)(const struct private_item *item, void *arg), void *arg);
/* One element, or with both NULL everything. How many there were, or a negative errno. */
ON_JOB int private_delete(const char *host, const char *name, const char *element, const char *ns);
