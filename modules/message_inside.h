/* modules/message_inside.h - what the files of the message log share. */
#pragma once

#include "core/actor.h"
#include "core/errand.h"
#include "core/spool.h"
#include "core/timer.h"
#include "modules/message_log.h"
#include "router/message.h"

#define SPOOL_MESSAGE 16 /* kind of record */

/* A message in the spool. It goes when it is written and taken. */
struct message_spooled {
	_Atomic uint32_t state; /* first: message_spool_mark() */
	uint32_t body_len;
	uint64_t id;
	uint64_t ack_session; /* router/acks.h: whose stanza it was */
	uint32_t ack_number, ack_check;
	struct message_entry entries[2];
	char body[];
};

/* Something a shard has to write; part of its owner's object. */
struct message_keeping {
	struct message_keeping *next;
	struct message_row row; /* with one entry and no body: the account has received it */
	bool refusable; /* nobody has it yet: when writing fails, its sender is told so at once */
	/* On the shard, when it is durable (0), or cannot be (negative errno). Owns k. */
	void (*done)(struct message_keeping *k, int error);
};
/* --- message_log.c: a record in the spool for it; NULL: there is no room. state: bits
 * MESSAGE_SPOOL_..., of what is done already. */
ON_SHARD struct spool_record *message_spool_row(
	const struct message_row *row, const struct stanza *s, uint32_t state);
/* The entries of a row, where the sender's is asked for. */
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

/* --- message_waiting.c */
/* Who gets what has begun to wait for the account; ACTOR_NONE: nobody is there. */
ON_SHARD struct actor_id message_somebody(const struct jid *bare);
/* What has begun to wait although somebody is there. Part of its owner's object. */
struct message_handing {
	const struct jid *account; /* the owner's */
	uint64_t from_id; /* the first message; what waits from before is left to who asks for it */
	void (*done)(struct message_handing *h); /* on the asking shard; owns h */
	struct letter letter; /* the rest is private */
	struct msg back;
	struct shard *home;
	struct message_handing *next;
};
/* h->done() comes when it is delivered to whoever is there, or nobody is. It may come at once. */
ON_SHARD void message_hand_on(struct message_handing *h);

/* --- message_absent.c */
/* A message for an account that is not there, or after such a one. Keeps a reference. */
ON_SHARD void message_for_absent(struct host *h, struct stanza *s);
ON_SHARD bool message_is_behind(const struct jid *to); /* such a one is under way */
/* A message for somebody who has just come, and whose account is being loaded: it is routed again
 * when that is done, and so are those that come for them meanwhile. Keeps a reference. */
ON_SHARD void message_when_loaded(struct stanza *s);
ON_SHARD bool message_is_loading(const struct jid *to); /* such a one is under way */
