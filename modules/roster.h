/* modules/roster.h - rosters, for an operator's commands. What they change goes the way of a
 * client's changes: stored, pushed to the account's resources, and told to contacts. All block, on
 * threads that may; -ENOSYS: mod_roster does not run there. */
#pragma once

#include "core/attr.h"
#include "core/hook.h"
#include "router/host.h"
#include "xml/jid.h"

/* Runs in the account's lane for each change that its resources are told. Subject: struct stanza,
 * the push to the account's bare JID, sealed; of the host's set. */
extern struct hook roster_push_hook;

struct roster_entry {
	const struct jid *contact;
	const char *name; /* NULL: none */
	const char *const *groups;
	unsigned n_groups;
	unsigned bits; /* enum contact_bits */
};
/* All that are in the roster or pending, in no order. The entry is good during the call. 0 or a
 * negative errno. */
ON_JOB int roster_list(struct host *h, const char *user,
	void (*fn)(const struct roster_entry *e, void *arg), void *arg);
/* Adds or changes this account's half: name, groups, and the subscription, as it is from now on.
 * 0, an enum stanza_error, or a negative errno. */
ON_JOB int roster_put(struct host *h, const char *user, const struct roster_entry *e);
/* As its client would: the contact is told, and both halves end. */
ON_JOB int roster_remove(struct host *h, const char *user, const struct jid *contact);
/* Pushes the whole roster once more to resources that asked for it. */
ON_JOB int roster_repeat(struct host *h, const char *user);
