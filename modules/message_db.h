/* modules/message_db.h - the tables of the message log. A message's bytes are stored once
 * (message_body) however many accounts have it; each account that does has an entry with its
 * number, the message's id and whom it was exchanged with (message_entry); and as long as nobody of
 * that account has received it, a row says so (message_waiting). Archive (XEP-0313), offline
 * delivery (XEP-0160) and push are readers of these tables.
 * An id is the time in microseconds, shifted left by 8, and a number of whoever gave it: ids grow
 * with time and are never given twice, so they are also what XEP-0359 calls a stanza id. */
#pragma once

#include <time.h>

#include "core/attr.h"
#include "core/db.h"
#include "xml/jid.h"

#define MESSAGE_ID_SHIFT 8
static inline int64_t message_time_us(uint64_t id)
{
	return (int64_t)(id >> MESSAGE_ID_SHIFT);
}
static inline uint64_t message_first_id(
	int64_t time_us) /* no message of that time has a lower one */
{
	return (uint64_t)time_us << MESSAGE_ID_SHIFT;
}
#define MESSAGE_ID_TEXT_MAX 20
/* As it stands in stanzas: decimal digits. False: it is none. */
bool message_id_read(const char *text, uint64_t *out);

/* One account's entry. */
struct message_entry {
	int64_t account; /* its number; 0: there is no such entry */
	uint64_t peer; /* message_peer() */
	uint32_t resource; /* message_resource() */
	uint32_t flags; /* MESSAGE_... */
};
enum {
	MESSAGE_OUTGOING = 1, /* sent by the account */
	MESSAGE_HIDDEN = 2, /* not for its archive: it waits, and goes when it was received */
	MESSAGE_WAITING = 4, /* to be written: nobody has received it */
	MESSAGE_NO_BODY = 8, /* without <body/>: a marker, a receipt */
};
struct message_row {
	uint64_t id;
	const void *body; /* the stanza's wire form */
	uint32_t body_len;
	struct message_entry entries[2]; /* the sender's, the receiver's */
	int64_t max_waiting; /* for the receiver; 0: any number */
	bool full; /* out: so many wait already, and nothing was written */
};

/* Whom it was exchanged with, in 63 bits: bare JID and resource each. Stable over releases. Two
 * names may meet, so readers compare the stanza's own addresses as well. */
uint64_t message_peer(const struct jid *j);
uint32_t message_resource(const struct jid *j); /* 0: it has none */

ON_JOB int message_db_open(struct db *db); /* makes the tables */
/* The account's number, given when it is first asked for. 0 or a negative errno. */
ON_JOB int message_db_account(struct db *db, const char *host, const char *name, int64_t *out);

ON_JOB int message_db_last_id(struct db *db, uint64_t *out); /* the highest there is; 0: none */

/* --- in a write (core/db.h); 0 or positive, or a negative errno --- */

/* Body, entries and waiting row; what is there already stays as it is. */
int message_db_put(struct db_tx *tx, struct message_row *row);
/* The account has received it: it does not wait any more, and a hidden one goes. */
int message_db_received(struct db_tx *tx, int64_t account, uint64_t id);
/* One entry, and its body when it was the last. */
int message_db_remove(struct db_tx *tx, int64_t account, uint64_t id);
/* Entries of an account below an id, at most max of them; returns how many. */
int message_db_remove_before(struct db_tx *tx, int64_t account, uint64_t id, unsigned max);
/* A step of removing the account with all it has: at most max entries; 0 when nothing is left. */
int message_db_remove_account(struct db_tx *tx, const char *host, const char *name, unsigned max);

/* --- what waits --- */

enum message_wait {
	MESSAGE_FREE = 1,
	MESSAGE_TAKEN = 2, /* handed to a session that lives */
	MESSAGE_OFFERED = 3, /* free, but for a session that pages through the archive by itself */
};
struct message_found {
	uint64_t id;
	uint32_t flags;
	const void *body; /* during the call */
	size_t body_len;
};
typedef int message_found_fn(const struct message_found *m, void *arg); /* as db_row_fn */
/* In order; those above an id that are free, and with MESSAGE_OFFERED those that are offered, too.
 * How many, or a negative errno. */
ON_JOB int message_db_waiting(struct db *db, int64_t account, enum message_wait up_to,
	uint64_t above, unsigned max, message_found_fn *fn, void *arg);
ON_JOB int64_t message_db_count_waiting(struct db *db, int64_t account);
/* The same ones, as far as the id last: taken. */
int message_db_take(
	struct db_tx *tx, int64_t account, enum message_wait up_to, uint64_t above, uint64_t last);
int message_db_let_go_all(struct db_tx *tx); /* at the start, before sessions are recovered */
