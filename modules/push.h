/* modules/push.h - the app servers that an account has pushes sent to, for an operator's commands.
 */
#pragma once

#include "core/attr.h"
#include "router/host.h"
#include "xml/jid.h"

struct push_entry {
	const char *service; /* JID */
	const char *node; /* "" for none */
	const char *resource; /* which of the account's clients asked */
	int64_t since; /* seconds since 1970 */
};
/* How many there are, or a negative errno. */
ON_JOB int push_each(const char *host, const char *name,
	void (*fn)(const struct push_entry *e, void *arg), void *arg);
/* All of a service, or one node of it; service NULL: all of the account. How many there were, or a
 * negative errno. */
ON_JOB int push_remove(
	struct host *h, const struct jid *bare, const char *service, const char *node);
