/* router/message.h - where a message passes the message log (modules/message_log.h) on its way,
 * without the router knowing how it is kept. A message is stored or on its way to be before anybody
 * gets it, and who has sent it is told so (XEP-0198) when it is stored. */
#pragma once

#include "core/hook.h"
#include "core/spool.h"
#include "router/local.h"

/* Bits of a stanza's log_flags; set before it is sealed, or by whoever routes it alone. */
enum {
	MESSAGE_LOG_SENDER = 1, /* for its sender's archive, too */
	MESSAGE_LOG_PUT = 2, /* its entries are written or on their way */
	MESSAGE_LOG_WAITS = 4, /* it waits in the log until a session has received it */
	MESSAGE_LOG_LATE = 8, /* it has waited until its receiver's account was loaded */
	MESSAGE_COPIED = 16, /* its account's other sessions have their copies: XEP-0280 */
	MESSAGE_BY_CLIENT = 32, /* it is no answer that the server gave in an account's name */
};

/* Runs for each message as soon as it is known what would happen to it, before it does. A function
 * that takes it over returns HOOK_STOP; it keeps a reference of its own then. On a shard. */
struct message_passing {
	struct host *host; /* whose account it is for; NULL: a service's, or another server's */
	struct stanza *stanza;
	const struct sessions *all; /* the account's; NULL: none, or it is for no account */
	enum verdict verdict;
	enum local_to to; /* ROUTE_DELIVER: which of them get it */
	const struct session_entry *one; /* LOCAL_ONE: that one */
};
extern struct hook message_hook;
/* Where it hangs: one set for all hosts. */
struct hook_set *message_hooks(void);

/* Its record in the spool begins with these bits, and goes when it has all. */
enum {
	MESSAGE_SPOOL_WRITTEN = 1, /* it is in the database */
	MESSAGE_SPOOL_TAKEN = 2, /* a session has it, or nobody is going to */
	MESSAGE_SPOOL_COVERED = 4, /* its sender will not send it again: router/acks.h */
};
ANY_THREAD void message_spool_mark(struct spool_record *r, uint32_t bit); /* NULL is fine */
/* A session has it, or nobody is going to: until now it was in nobody's hands but the log's. The
 * first of several calls counts. */
ANY_THREAD void message_taken(struct stanza *s);
/* Its record, which the caller marks from now on; NULL: somebody has done so. */
ANY_THREAD static inline struct spool_record *message_give_up_record(struct stanza *s)
{
	return atomic_load_explicit(&s->log_record, memory_order_relaxed)
		? atomic_exchange_explicit(&s->log_record, NULL, memory_order_acq_rel)
		: NULL;
}

/* A session has received a message that waited: it is on the client's side, as far as the server
 * can know (with XEP-0198: acknowledged). On the session's shard. */
struct message_received {
	struct session *session;
	struct stanza *stanza;
	/* The session's own record of it: whoever writes that it was received takes it, and frees
	 * it when that is written. NULL: none, or taken. */
	struct spool_record *record;
};
extern struct hook message_received_hook; /* of the session's host */
/* Takes record. */
ON_SHARD static inline void message_received(
	struct session *ss, struct stanza *s, struct spool_record *record)
{
	struct message_received subject = { ss, s, record };

	if (unlikely(s->log_flags & MESSAGE_LOG_WAITS))
		hook_run(ss->host->hooks, &message_received_hook, &subject);
	spool_free(subject.record);
}
