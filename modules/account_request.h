/* modules/account_request.h - a request that a client makes to its own account and that is answered
 * from the account's lane (router/account.h), behind what came for the account before it and what
 * its client has sent before: there it may read and write the database and say account_changed().
 * What goes to the client takes the straight way, in the order sent. */
#pragma once

#include "core/job.h"
#include "modules/message_log.h"
#include "modules/module.h"
#include "router/account.h"

struct account_request {
	struct job job; /* private */
	struct message_after after; /* private */
	/* During run(). */
	struct module_instance *mi;
	const void *conf; /* the module's settings */
	struct host *host;
	struct jid *bare; /* the account */
	struct stanza *stanza;
	const struct elem *payload;
	struct actor_id session; /* who asks */
	struct arena arena;
	/* On a job thread. 0: it has answered; an enum stanza_error, or a negative errno: -EDQUOT
	 * for resource-constraint. */
	int (*run)(struct account_request *r);
};
typedef int account_request_fn(struct account_request *r);

/* For the handler of an iq_row without a queue: what it returns. */
ON_SHARD int account_request_iq(const struct iq *iq, account_request_fn *run) MUST_USE;
/* The same, from user_send_hook: 0, or an enum stanza_error, and nothing will be answered. */
ON_SHARD int account_request(struct module_instance *mi, struct actor_id session, struct stanza *s,
	const struct elem *payload, account_request_fn *run) MUST_USE;
/* To who asks, before the answer; takes them. */
ON_JOB void account_request_send(struct account_request *r, struct stanza **at, unsigned n);
/* Takes s; NULL: an empty result. */
ON_JOB void account_request_answer(struct account_request *r, struct stanza *s);
