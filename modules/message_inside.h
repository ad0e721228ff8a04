/* modules/message_inside.h - what the files of the message log share. */
#pragma once

#include "core/errand.h"
#include "core/spool.h"
#include "core/timer.h"
#include "modules/message_log.h"
#include "router/acks.h"
#include "router/message.h"

#define SPOOL_MESSAGE 16 /* kind of record */

/* A message in the spool. It goes when it is written and taken. */
struct message_spooled {
	_Atomic uint32_t state; /* first: message_spool_mark() */
	uint32_t body_len;
	uint64_t id;
	uint64_t ack_session; /* router/acks.h: whose stanza it was */
	uint32_t ack_number;
	struct message_entry entries[2];
	char body[];
};

/* Something a shard has to write; part of its owner's object. */
struct message_keeping {
	struct message_keeping *next;
	struct message_row row; /* with one entry and no body: the account has received it */
	/* On the shard, when it is durable (0), or never will be: a negative errno, or -ESHUTDOWN
	 * when the server ends before it could be. Owns k. */
	void (*done)(struct message_keeping *k, int error);
};
/* A message that is being written: what its sender is told waits for it, and should the process be
 * killed, the spool has it. */
struct message_storing {
	struct buf *wire; /* counted */
	struct spool_record *record;
	struct ack_ticket ticket;
};
/* --- message_log.c */
/* The sender's stanza is not acknowledged before message_stored(). Once for a stanza. */
ON_SHARD struct ack_ticket message_ticket(const struct stanza *s);
/* Fills in the row's id and body, and spools it. taken: MESSAGE_SPOOL_TAKEN when nobody receives it
 * here. False: there is no room for it just now, and nothing has happened. */
ON_SHARD bool message_spool(
	struct message_storing *m, struct message_row *row, struct stanza *s, uint32_t taken);
ON_SHARD void message_stored(struct message_storing *m, int error); /* as done() was told */

/* --- message_log.c: the entries of a row, where the sender's is asked for */
void message_fill_sender(struct message_row *row, const struct stanza *s);
void message_fill_receiver(
	struct message_row *row, int64_t account, const struct stanza *s, uint32_t flags);

/* --- message_scribe.c */
ON_SHARD uint64_t message_new_id(void);
void message_id_floor(uint64_t id); /* ids are higher from now on; before the first message */
/* In the order of these calls, with all else of this turn in one write. */
ON_SHARD void message_write(struct message_keeping *k);
/* 0, or a negative errno: writing fails just now, so nothing more is accepted. */
ON_SHARD int message_writing_fails(void);
/* Around what may become such a write later: message_log_settle() looks at this shard meanwhile. */
ON_SHARD void message_begun(void);
ON_SHARD void message_ended(void);
void message_scribes_start(struct db *db);
void message_scribes_stop(void); /* writes what is left; main or control */

/* --- message_absent.c */
/* A message for an account that is not there, or after such a one. Keeps a reference. */
ON_SHARD void message_for_absent(struct host *h, struct stanza *s);
ON_SHARD bool message_is_behind(const struct jid *to); /* such a one is under way */
