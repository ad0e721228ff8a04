/* modules/domain_set.h - a set of domains, for a change that must find two who want the same one,
 * with thousands of hosts. One thread at a time. Starts all zero. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct domain_set {
	char **at; /* owned: open addressing, NULL where there is none; at most half full */
	size_t room, n;
};
bool domain_set_add(struct domain_set *d, const char *domain); /* false: it is in there already */
void domain_set_fini(struct domain_set *d);
