/* modules/account_request.h - a client's request about its own account's data, done in the
 * account's lane (router/account.h), where it may read and write the database and say
 * account_changed(). */
#pragma once

#include "core/arena.h"
#include "core/job.h"
#include "modules/module.h"
#include "router/account.h"

struct account_request {
	struct job job;
	struct module_instance *mi;
	struct host *host; /* counted */
	struct jid *bare; /* owned */
	struct stanza *stanza; /* counted */
	const void *conf; /* held */
	struct arena arena;
	/* ON_JOB. 0: it has answered, an enum stanza_error, or a negative errno: -EDQUOT for
	 * resource-constraint. */
	int (*run)(struct account_request *r);
};
/* For an iq handler of a module's row: what it returns. */
int account_request_submit(const struct iq *iq, int (*run)(struct account_request *r)) MUST_USE;
/* To the client, if it is still there. Takes s; NULL: an empty result. */
ON_JOB void account_request_answer(struct account_request *r, struct stanza *s);
