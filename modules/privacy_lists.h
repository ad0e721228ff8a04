/* modules/privacy_lists.h - what modules/blocking and modules/privacy share: one engine that a host
 * has while either runs on it, and changes of an account's lists, which its lane
 * (router/account.h) does one after the other. */
#pragma once

#include "core/arena.h"
#include "core/job.h"
#include "modules/module.h"
#include "modules/privacy_store.h"

/* For a module's start() and stop(): lists are loaded and obeyed. 0 or a negative errno. */
ON_JOB int privacy_lists_use(struct host *h) MUST_USE;
void privacy_lists_leave(struct host *h);

/* A client's request, in the lane. */
struct privacy_work {
	struct job job;
	struct host *host; /* counted */
	struct jid *bare; /* owned */
	struct stanza *stanza; /* counted */
	struct privacy_owner owner; /* its names last as long as the work */
	struct arena arena;
	int (*run)(struct privacy_work *w); /* ON_JOB; 0: answered, an enum stanza_error, or a
					       negative errno */
};
/* For an iq handler: what it returns. */
int privacy_submit(const struct iq *iq, int64_t max_lists, int64_t max_rules,
	int (*run)(struct privacy_work *w)) MUST_USE;
/* To the client that asked. Takes s; NULL: an empty result. */
ON_JOB void privacy_answer(struct privacy_work *w, struct stanza *s);
/* Commits what fn does in a write, and lets it hold: snapshots, presence. 0 or a negative errno. */
ON_JOB int privacy_change(
	struct privacy_work *w, int (*fn)(struct db_tx *tx, void *arg), void *arg);
/* Their list of that name has changed: XEP-0016 §2.6. To all resources, or to those that have asked
 * about lists. */
enum privacy_told { PRIVACY_TOLD_ALL, PRIVACY_TOLD_READERS };
ON_JOB void privacy_push(struct privacy_work *w, const char *list, enum privacy_told whom);
/* The account's lists as they are now: counted in *out_account. 0 or a negative errno. */
ON_JOB int privacy_hold(
	struct privacy_work *w, struct account **out_account, const struct privacy **out);
