/* router/acks.h - what a client may be told of its stanzas: XEP-0198's h. Part of a session whose
 * client has asked for stream management (net/c2s_sm.c makes it); a session without has none, and
 * then all of this costs a look at a pointer.
 *
 * An acknowledgement covers a stanza when what the server owes it is done: by default when it has
 * been handled, that is, routed. Whoever has more to do first takes a ticket while it is handled,
 * and completes it when that is done:
 *
 *   p->ticket = ack_begin(session);                from user_send_hook or below route()
 *   ...                                            the message is stored
 *   ack_complete(p->ticket);                       on the session's shard; it may be gone
 *
 * h never passes a stanza with a ticket that is not complete.
 *
 * Both must also be true after the process was killed: what was acknowledged is there, and what is
 * there is not sent again. A stanza carries whose and which it was (ack_session, ack_number),
 * whoever keeps something made of it in the spool keeps these two with it, and tells them at the
 * start. */
#pragma once

#include "core/actor.h"
#include "core/attr.h"
#include "core/rcu.h"
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

struct acks {
	/* Any thread. */
	_Atomic uint8_t state; /* enum acks_state; relaxed: for who looks on */
	RCU_PTR(struct session_origin) origin; /* owned; NULL: as at its login */
	/* Owning shard only. */
	uint64_t key; /* of a session that can be resumed, for all processes; else 0 */
	uint32_t handled; /* stanzas of the client so far, modulo 2^32; the last is being handled */
	uint32_t n_open, room;
	struct ack_open *open; /* owned; in order */
	void (*covered)(struct acks *a); /* acks_covered() has moved */
};

struct ack_ticket {
	struct actor_id session; /* ACTOR_NONE: nothing to complete */
	uint32_t number;
};

/* For the stanza of this session that is being handled. */
ON_SHARD struct ack_ticket ack_begin(struct session *ss);
ON_SHARD void ack_complete(struct ack_ticket t); /* once each, on the session's shard */

/* For net/c2s_sm.c: h as it may be told. */
ON_SHARD uint32_t acks_covered(const struct acks *a);
void acks_fini(struct acks *a);

/* --- at the start, before there are sessions; one thread at a time --- */

/* That stanza of that session was handled: a record in the spool came of it. */
void acks_recover_handled(uint64_t session, uint32_t number);
uint32_t acks_recovered(uint64_t session, uint32_t h); /* what h is then */
/* A message with this log_id is in the queue of a session that can be resumed. */
void acks_recover_message(uint64_t log_id);
bool acks_recovered_message(uint64_t log_id);
void acks_recover_end(void); /* all has been asked */

/* Any registered thread; good until its next quiescent state. */
static inline struct session_origin session_origin(const struct session *ss)
{
	const struct acks *a = rcu_get(ss->acks);
	const struct session_origin *o = a ? rcu_get(a->origin) : NULL;

	return o ? *o : (struct session_origin){ ss->address, ss->port, ss->tls };
}
