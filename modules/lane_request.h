/* modules/lane_request.h - a request that a client makes to its own account and that is answered
 * from the account's lane (router/account.h), behind what came for the account before it and what
 * its client has sent before. What goes to the client takes the straight way, in the order sent. */
#pragma once

#include "core/job.h"
#include "modules/message_log.h"

struct lane_request {
	struct job job; /* private */
	struct message_after after; /* private */
	/* During run(). */
	struct host *host;
	const void *conf; /* the module's settings */
	struct stanza *stanza;
	const struct elem *payload;
	struct actor_id session; /* who asks */
	struct arena arena;
	/* On a job thread. An enum stanza_error, or 0: it has sent the answer. */
	int (*run)(struct lane_request *r);
};
typedef int lane_request_fn(struct lane_request *r);

/* From a handler without a queue, or from user_send_hook. 0, or an enum stanza_error: nothing will
 * be answered. */
ON_SHARD int lane_request(struct module_instance *mi, struct actor_id session, struct stanza *s,
	const struct elem *payload, lane_request_fn *run);
/* To who asks, in this order; takes n stanzas at `at`, and answer, which may be NULL: more follows.
 */
ON_JOB void lane_request_send(
	struct lane_request *r, struct stanza **at, unsigned n, struct stanza *answer);
