/* modules/privacy_store.h - the tables of privacy lists (router/privacy.h), for modules/blocking
 * and modules/privacy. Rules whose order is below 0 are blocks that stand before all others: a
 * client sees the list with its orders raised so that they begin with 0. */
#pragma once

#include "core/attr.h"
#include "core/db.h"
#include "router/privacy.h"

ON_JOB int privacy_store_start(void); /* 0 or a negative errno */
extern struct db_stmt *const privacy_erase_stmts[]; /* for erase_account() */

/* load() of the account_kind. */
ON_JOB int privacy_store_load(
	void *arg, struct host *h, const struct jid *bare, struct account_part **out);

/* --- inside a write; 0 or a negative errno */

#define PRIVACY_LISTS_MAX 200
struct privacy_owner {
	const char *host, *name;
	/* Of all the account's lists together; -EDQUOT when there would be more. */
	int64_t max_rules, max_lists; /* no more lists than PRIVACY_LISTS_MAX */
};
/* Denies all from and to that address, before everything else of the default list, which is made
 * if there is none. Nothing changes where it is blocked already. */
int privacy_store_block(struct db_tx *tx, const struct privacy_owner *o, const struct jid *whom);
/* whom NULL: everybody. */
int privacy_store_unblock(struct db_tx *tx, const struct privacy_owner *o, const struct jid *whom);
/* After a change: -EDQUOT when the account has more than it may, which undoes the write. */
int privacy_store_check(struct db_tx *tx, const struct privacy_owner *o);
/* The rules of that list, which is made if there is none. */
int privacy_store_set(struct db_tx *tx, const struct privacy_owner *o, const char *list,
	const struct privacy_rule *rules, unsigned n);
/* list: its id; with its rules. */
int privacy_store_delete(struct db_tx *tx, const struct privacy_owner *o, int64_t list);
int privacy_store_standard(
	struct db_tx *tx, const struct privacy_owner *o, int64_t list); /* 0: none */

/* Whether it is what XEP-0191 calls a block. */
static inline bool privacy_is_block(const struct privacy_rule *r)
{
	return r->about == PRIVACY_JID && r->deny && !r->kinds;
}
