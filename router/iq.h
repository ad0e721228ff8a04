/* router/iq.h - who answers which request: gen_iq_handler with its queueing disciplines.
 * A handler is registered for a scope, a virtual host and a namespace. It runs where its
 * discipline says, gets the request and a builder for the answer, and returns what to send. */
#pragma once

#include "core/attr.h"
#include "core/hook.h"
#include "core/job.h"
#include "router/host.h"
#include "xml/builder.h"
#include "xml/stanza.h"

enum iq_scope {
	IQ_LOCAL, /* to the server's own JID: ejabberd_local */
	IQ_SM, /* to an account's bare JID, answered for it: ejabberd_sm */
};
enum iq_types { IQ_FOR_GET = 1, IQ_FOR_SET = 2, IQ_FOR_BOTH = 3 };
enum iq_discipline { IQ_NO_QUEUE, IQ_ONE_QUEUE, IQ_QUEUES, IQ_PARALLEL };
struct iqdisc {
	enum iq_discipline kind;
	unsigned queues; /* IQ_QUEUES: how many lanes */
	unsigned max_queue; /* requests waiting or running at once; a full queue answers
			     * wait / resource-constraint */
};
#define IQ_MAX_QUEUE 4096

struct iq {
	struct stanza *stanza; /* sealed */
	const struct jid *from, *to;
	const struct elem *payload; /* the request's child */
	bool set; /* else get */
	struct host *host; /* counted while the handler runs */
	const void *conf; /* the module's settings for this host; whole while it runs */
	void *arg; /* as registered */
};
static inline const void *iq_conf(const struct iq *iq)
{
	return iq->conf;
}

/* Returned instead of an error (RFC 6120 §8.3.3, enum stanza_error, positive) or 0 for the answer
 * in the builder: the handler will send, or has sent, the answer itself. */
#define IQ_LATER (-1)
#define IQ_IGNORE (-2) /* no answer at all */
typedef int iq_handler(const struct iq *iq, struct builder *answer);

struct iq_handler_spec {
	enum iq_scope scope;
	const char *ns; /* of the payload; a name of xml/ns.h or one that outlives it */
	enum iq_types types; /* others are answered not-allowed */
	struct iqdisc disc;
	iq_handler *fn;
	void *arg;
	const void *conf; /* handed to fn; must outlive iq_unregister() */
};
/* Any thread that may block. 0, or IQ_TAKEN: the namespace has a handler in that scope and host. */
#define IQ_TAKEN 1
int iq_register(struct host *h, const struct iq_handler_spec *spec);
/* After it returns no call of the handler is running or will come, so its code and conf may go. */
void iq_unregister(struct host *h, enum iq_scope scope, const char *ns);
/* A new spec for a handler that is registered: no request comes between the two. What waits in the
 * old queue is answered from there, possibly beside the first requests of the new one. After it
 * returns, nobody uses the old spec. 0, or -ENOENT: there is no handler to replace. */
int iq_replace(struct host *h, const struct iq_handler_spec *spec);
bool iq_registered(struct host *h, enum iq_scope scope, const char *ns); /* RCU-registered thread */

/* Of all hosts: looks at every handler, so for people only. RCU-registered thread. */
struct iq_counts {
	unsigned handlers, waiting; /* requests that wait or run in their queues */
};
struct iq_counts iq_count(void);

/* Runs for each request to one of our hosts or an account, before its handler is looked up. On a
 * shard. Who answers it instead says HOOK_STOP. */
struct iq_visit {
	struct host *host;
	enum iq_scope scope;
	struct stanza *stanza; /* sealed */
	const struct elem *payload;
};
extern struct hook iq_visit_hook; /* subject: struct iq_visit; of the host's set */

/* With its host, which nobody finds any more and whose handlers are withdrawn. */
void iq_table_free(struct host *h);

/* Hands a sealed get or set to the handler for its namespace. Takes no reference. An answer is
 * routed. IQ_NO_HANDLER: nobody is registered; the caller answers. */
#define IQ_NO_HANDLER 1
ON_SHARD int dispatch_iq(struct host *h, enum iq_scope scope, struct stanza *s);
