/* modules/shared_roster.h - groups of accounts that are in each other's rosters without anybody's
 * doing: for modules/roster, and for an operator's commands. */
#pragma once

#include "core/attr.h"
#include "modules/module.h"
#include "router/contacts.h"

/* Who is in a group: a list; all accounts of the host; those of them that are connected. */
enum shared_who { SHARED_LISTED, SHARED_ALL, SHARED_ONLINE };

struct shared_group_info {
	const char *id; /* "staff" */
	const char *label; /* as rosters show it */
	const char *description;
	enum shared_who who;
	bool fixed; /* from the settings */
	const char *const *displays; /* ids of the groups whose members its members see */
	unsigned n_displays;
	unsigned n_members; /* as it is now */
};

/* What the groups of the host give an account: 0 or a negative errno. */
ON_JOB int shared_roster_load(
	struct host *h, const struct jid *bare, struct contacts_loading *into);

/* --- commands; they block. 0, -ENOSYS: mod_shared_roster does not run there, -ENOENT: there is no
 * such group or member, -EPERM: it comes from the settings, or another negative errno. What they
 * change is pushed to all whom it concerns. */
ON_JOB int shared_groups_each(
	struct host *h, void (*fn)(const struct shared_group_info *g, void *arg), void *arg);
/* Makes or changes a group: all but its members. label and description NULL: as they are. */
ON_JOB int shared_group_put(struct host *h, const struct shared_group_info *g);
ON_JOB int shared_group_delete(struct host *h, const char *id);
ON_JOB int shared_group_display(struct host *h, const char *id, const char *displayed, bool on);
ON_JOB int shared_members_each(
	struct host *h, const char *id, void (*fn)(const struct jid *member, void *arg), void *arg);
ON_JOB int shared_member_add(struct host *h, const char *id, const struct jid *account);
ON_JOB int shared_member_remove(struct host *h, const char *id, const struct jid *account);

/* --- modules/roster_shared.c, for modules/shared_roster: in the account's lane. 0 or CARRIER_FULL.
 */
/* A contact has come into the account's groups, or gone. */
int roster_shared_contact(
	struct module_instance *mi, const struct jid *account, const struct jid *contact) MUST_USE;
/* The account has other groups; the same, while all others are told so too. */
int roster_shared_refresh(struct module_instance *mi, const struct jid *account) MUST_USE;
int roster_shared_refresh_all(struct module_instance *mi, const struct jid *account) MUST_USE;
