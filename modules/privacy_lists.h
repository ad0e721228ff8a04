/* modules/privacy_lists.h - what modules/blocking and modules/privacy share: one engine that a host
 * has while either runs on it, and changes of an account's lists, which its lane
 * (router/account.h) does one after the other. */
#pragma once

#include "modules/account_request.h"
#include "modules/privacy_store.h"

/* For a module's start() and stop(): lists are loaded and obeyed. 0 or a negative errno. */
ON_JOB int privacy_lists_use(struct host *h) MUST_USE;
void privacy_lists_leave(struct host *h);

/* What follows is for a client's request, in the lane. */

/* Whose tables those are. */
static inline struct privacy_owner privacy_owner_of(
	const struct account_request *w, int64_t max_lists, int64_t max_rules)
{
	return (struct privacy_owner){ .host = w->host->name,
		.name = jid_local(w->bare),
		.max_rules = max_rules,
		.max_lists = max_lists };
}
/* Commits what fn does in a write, and lets it hold: snapshots, presence. 0 or a negative errno. */
ON_JOB int privacy_change(
	struct account_request *w, int (*fn)(struct db_tx *tx, void *arg), void *arg);
/* Their list of that name has changed: XEP-0016 §2.6. To all resources, or to those that have asked
 * about lists. */
enum privacy_told { PRIVACY_TOLD_ALL, PRIVACY_TOLD_READERS };
ON_JOB void privacy_push(struct account_request *w, const char *list, enum privacy_told whom);
/* The account's lists as they are now: counted in *out_account. 0 or a negative errno. */
ON_JOB int privacy_hold(
	struct account_request *w, struct account **out_account, const struct privacy **out);
