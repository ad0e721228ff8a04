/* router/acks.h - what a client may be told of its stanzas: XEP-0198's h. Part of a session whose
 * client has asked for stream management (net/c2s_sm.c makes it); a session without has none, and
 * then all of this costs a look at a pointer. A stream from another server has its own
 * (net/s2s_in_sm.c).
 *
 * An acknowledgement covers a stanza when what the server owes it is done: by default when it has
 * been handled, that is, routed. Whoever has more to do first takes a ticket while it is handled,
 * and completes it when that is done:
 *
 *   p->ticket = ack_begin();                       from user_send_hook or below route()
 *   ...                                            the message is stored
 *   ack_complete(p->ticket);                       on the same shard; the session may be gone
 *
 * h never passes a stanza with a ticket that is not complete.
 *
 * After the process was killed, what was acknowledged must be there, and what is there must not be
 * sent again. So a stanza carries whose and which it was (ack_session, ack_number, ack_check);
 * whoever makes a record of it in the spool keeps these with it, keeps the record until h covers
 * the stanza (ack_keep()), and tells the next process what it finds (acks_recover_handled()). What
 * is known in that way beyond a gap is kept by the session itself until h covers it: records of
 * others go with their own use, and the next process may be killed, too, before the client comes
 * back. */
#pragma once

#include "core/actor.h"
#include "core/attr.h"
#include "core/rcu.h"
#include "core/spool.h"
#include "router/session.h"

enum acks_state {
	ACKS_ON, /* the client is connected */
	ACKS_WAITING, /* wait_for_resume: it is not, and may come back */
};

/* Where a client is that came back: it may be elsewhere than at its login. */
struct session_origin {
	struct conf_prefix address;
	uint16_t port;
	bool tls;
};

/* A stanza with tickets. */
struct ack_open {
	uint32_t number, tickets;
};
/* A record that waits for h. */
struct ack_mark {
	uint32_t number;
	struct spool_record *record;
};
/* One that a process before has handled, and the client sends again. */
struct ack_skip {
	uint32_t number, check;
};

struct acks {
	/* Any thread. */
	_Atomic uint8_t state; /* enum acks_state; relaxed: for who looks on */
	RCU_PTR(struct session_origin) origin; /* owned; NULL: as at its login */
	/* Owning shard only. */
	struct actor_id session; /* or the stream that they are of */
	uint64_t key; /* of a session that can be resumed, for all processes; else 0 */
	uint32_t handled; /* stanzas so far, modulo 2^32; the last is being handled */
	uint32_t n_open, open_room, n_marks, marks_room, n_skip, at_skip;
	struct ack_open *open; /* owned; in order */
	struct ack_mark *marks; /* owned */
	struct ack_skip
		*skip; /* owned; in order, until h covers them; those from at_skip on are to come */
	void (*covered)(struct acks *a); /* acks_covered() has moved */
};

struct ack_ticket {
	struct actor_id session; /* ACTOR_NONE: nothing to complete */
	uint32_t number;
};

/* For the stanza that is being handled on this shard, if it is one of such a session. */
ON_SHARD struct ack_ticket ack_begin(void);
ON_SHARD void ack_complete(struct ack_ticket t); /* once each */
/* The same without anything to complete. */
ON_SHARD struct ack_ticket ack_here(void);
/* The record of a message (router/message.h) gets MESSAGE_SPOOL_COVERED when h covers that stanza,
 * now or later. */
ON_SHARD void ack_keep(struct ack_ticket t, struct spool_record *r);

/* --- for client streams --- */

/* s is the next stanza of its client; ss->acks is there. False: a process before has handled it. */
ON_SHARD bool acks_begin_stanza(struct session *ss, struct stanza *s);
/* The same of a stream that does not outlive the process: never false. */
ON_SHARD void acks_begin_foreign(struct acks *a);
ON_SHARD void acks_end_stanza(void);
ON_SHARD uint32_t acks_covered(const struct acks *a); /* h as it may be told */
ON_SHARD void acks_release(struct acks *a); /* records up to there; once it is kept what h is */
ON_SHARD void acks_release_all(struct acks *a); /* nobody will ask for h any more */
void acks_fini(struct acks *a);

/* Any registered thread; good until its next quiescent state. */
static inline struct session_origin session_origin(const struct session *ss)
{
	const struct acks *a = rcu_get(ss->acks);
	const struct session_origin *o = a ? rcu_get(a->origin) : NULL;

	return o ? *o : (struct session_origin){ ss->address, ss->port, ss->tls };
}

/* --- at the start, before there are sessions; one thread at a time --- */

void acks_recover_begin(void); /* without it, nothing of this is of use to anybody */
/* That stanza of that session was handled: a record in the spool came of it. */
void acks_recover_handled(uint64_t session, uint32_t number, uint32_t check);
/* All have been told. */
void acks_recover_all(void);
/* Then, on any thread: those of a session above h, in order, into out; NULL: only how many. */
uint32_t acks_recovered_above(uint64_t session, uint32_t h, struct ack_skip *out);
/* h as it was kept becomes what it is, with those that are known to be done; those beyond a gap go
 * into a->skip. */
void acks_recovered(struct acks *a, uint32_t h);
/* A record that has told of a stanza is of no other use: it goes when all sessions know. */
void acks_recover_free(struct spool_record *r);
/* A message with this log_id is in the queue of a session that can be resumed. */
void acks_recover_message(uint64_t log_id);
bool acks_recovered_message(uint64_t log_id);
void acks_recover_end(void); /* all has been asked */
