/* modules/message_log.h - one log of all messages: who reads it (archive, offline delivery) and how
 * a message comes into it.
 *
 * For an account that is there, a message is put into the spool (core/spool.h, which outlives the
 * process) on its sender's shard, then delivered; what the shard has gathered meanwhile goes into
 * the database in one write. For an account that is not there it goes through the account's lane
 * (router/account.h), where a job finds out whether the account exists and would have it, and is
 * then written with a row that says it waits. As long as a shard has such a message under way, all
 * others for that account go the same way, so that none overtakes it. When a session becomes
 * available, a reader hands it what waits, in that lane, and messages that come for it meanwhile
 * are held (router/session.h).
 *
 * message_log.c is a message's way through it, message_scribe.c what a shard writes,
 * message_absent.c those who are not there, message_waiting.c what waits for them, message_worth.c
 * what is worth it, message_db.c the tables. */
#pragma once

#include "modules/message_db.h"
#include "modules/module.h"
#include "router/account.h"
#include "router/session.h"

/* A module's start() and stop(): its host's messages go through the log. Counted. 0 or a negative
 * errno. */
ON_JOB int message_log_use(struct host *h);
void message_log_unuse(struct host *h);

/* The account's number in the log; 0: its host does not use it, or a is NULL. */
int64_t message_account(const struct account *a);

/* --- what is kept: asked of a host's modules; on a shard or on a job thread, so they do not block
 */

struct message_question {
	struct host *host;
	const struct account *account; /* never NULL */
	const struct stanza *stanza;
	const struct jid *peer; /* with whom the account exchanges it */
	bool outgoing;
	int64_t max_waiting; /* keep_message_hook: out; how many may wait for the account */
};
/* HOOK_STOP: it belongs into the account's archive. */
extern struct hook archive_message_hook;
/* The account is not there. HOOK_STOP: it is to wait for it, if there are not too many. */
extern struct hook keep_message_hook;
/* A message for an account that is not there has been written and waits. On a shard. */
struct message_kept {
	const struct account *account; /* as it was when that was decided */
	struct stanza *stanza;
};
extern struct hook message_kept_hook; /* of the account's host */

/* What a message is worth to keep, from what it is: XEP-0313 §6.1.1, XEP-0160 §3, XEP-0334. Bits.
 */
enum { MESSAGE_WORTH_ARCHIVE = 1, MESSAGE_WORTH_KEEPING = 2 };
unsigned message_worth(const struct stanza *s);

/* --- reading */

/* Part of its owner's object. */
struct message_after {
	void (*run)(struct message_after *a); /* on the shard; owns a from then on */
	struct message_after *next; /* private */
	const struct jid *from; /* private; the caller's until then */
	uint64_t number; /* private */
};
/* What the account has sent from this shard to somebody who is not there is not in the log before
 * the other account's lane has looked at it. True: a->run() comes when that is done with all that
 * was sent before. False: there is nothing to wait for, and a is still the caller's. */
ON_SHARD bool message_log_after_sent(const struct jid *from, struct message_after *a) MUST_USE;

/* Returns when all that was accepted before is in the database: a reader sees what it has sent. */
ON_JOB void message_log_settle(void);
/* The session has become available to messages: it gets what waits for its account, then what
 * comes. XEP-0160 §2, XEP-0203. One that reads the archive by itself (session_reads()) gets what it
 * could not page through alone. What has a lower id than `oldest` has waited for too long. */
ON_SHARD void message_log_catch_up(struct session *ss, uint64_t oldest);
