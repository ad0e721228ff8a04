/* net/s2s_out_stream.h - the inside of a stream to another server, shared by the files that make it
 * up: s2s_out.c (its life: places, connections, ends), s2s_out_login.c (from the header to the
 * established stream), s2s_out_verify.c (questions of dialback), s2s_out_sm.c (XEP-0198). All of it
 * is for its link's shard.
 *
 * One s2s_out tries the places of the other server one after the other until one serves, or none is
 * left; then its link is told, and it ends. */
#pragma once

#include "core/fsm.h"
#include "core/timer.h"
#include "net/dial.h"
#include "net/lookup.h"
#include "net/s2s.h"
#include "net/s2s_out.h"
#include "net/s2s_pairs.h"
#include "net/s2s_stanza.h"
#include "net/stream.h"
#include "router/host.h"
#include "router/s2s.h"
#include "router/s2s_link.h"

#define S2S_OUT_STANZA_MAX 262144 /* bytes, of what is read */

/* What the other server's features offer. */
enum s2s_offer {
	OFFERS_STARTTLS = 1,
	REQUIRES_STARTTLS = 2,
	OFFERS_EXTERNAL = 4,
	OFFERS_SM = 8,
	OFFERS_BIDI = 16,
};

struct s2s_out {
	struct fsm fsm; /* the actor is in it */
	struct stream stream; /* where has_stream */
	struct s2s_link *link; /* NULL: it was let go, and ends */
	const char *ours, *theirs; /* owned */
	struct telling telling; /* to the link's trace */
	struct lookup *lookup; /* owned; NULL: none under way */
	struct dial *dial; /* owned; NULL: not yet */
	const struct place *place; /* where the stream leads to; dial's */
	struct timer timer; /* the negotiation's end; established: is it idle? */
	struct timer reopen; /* the stream ends and the next place is tried */
	struct timer answers; /* for questions that are out */
	struct s2s_verify *waiting, *asked; /* questions to be asked, and asked on this stream */
	struct s2s_sm *sm; /* owned: net/s2s_out_sm.c's; NULL: the peer has none */
	struct s2s_pairs pairs; /* that the peer may send for */
	char *peer_id; /* owned: the id of the stream, which the peer gives; NULL: none */
	char *why; /* owned: what was wrong with the last place */
	bool has_stream : 1;
	bool versioned : 1; /* the peer speaks XMPP 1.0 */
	bool secure : 1; /* TLS */
	bool authenticated : 1;
	bool tried_external : 1; /* in vain, at this place */
	bool usable : 1; /* negotiated as far as dialback needs it */
	bool calling_back : 1; /* our key has been sent: dialback */
	bool key_refused : 1; /* and found to be invalid */
	bool bidi : 1; /* XEP-0288: the peer was asked to send by it, too */
	bool settled : 1; /* it has been said of each stanza what becomes of it: XEP-0198 */
	bool said_end : 1; /* nothing more is sent; what comes is taken until the peer has ended it
			    */
	uint8_t offers; /* bits of enum s2s_offer, in the last features */
	uint8_t peer_error; /* enum stream_condition + 1 of the peer's stream error; 0: none */
	uint64_t used_ms; /* shard_now_ms() at the last stanza, in either direction */
	/* What the peer says of itself, XEP-0478; 0: nothing. */
	uint64_t peer_max_bytes; /* of a stanza */
	uint64_t peer_idle_ms; /* it closes what is silent for so long */
};

enum s2s_out_event {
	S2S_OUT_CONNECTED, /* data: struct s2s_out_connected */
	S2S_OUT_NOWHERE, /* no place is left */
	S2S_OUT_OPENED, /* data: struct s2s_out_opened */
	S2S_OUT_STANZA, /* data: struct stanza, taken by the state */
	S2S_OUT_SECURED,
	S2S_OUT_FAILED, /* this place, whatever the state */
	S2S_OUT_AWAY, /* the connection is lost, and another is looked for */
	S2S_OUT_WANTED, /* a stanza waits, or a question, or there is one question less */
};
struct s2s_out_connected {
	int fd; /* taken */
	const struct place *place;
};
struct s2s_out_opened {
	const struct stanza *head;
	const char *default_ns;
};

/* The states, in order of their numbers. */
enum s2s_out_state {
	S2S_OUT_OPEN_SOCKET,
	S2S_OUT_WAIT_FOR_STREAM,
	S2S_OUT_WAIT_FOR_FEATURES,
	S2S_OUT_WAIT_FOR_STARTTLS_PROCEED,
	S2S_OUT_WAIT_FOR_AUTH_RESULT,
	S2S_OUT_WAIT_FOR_VALIDATION,
	S2S_OUT_STREAM_ESTABLISHED,
	S2S_OUT_REOPEN_SOCKET,
	S2S_OUT_WAIT_FOR_RESUME,
	S2S_OUT_WAIT_BEFORE_RETRY,
};
ON_SHARD struct next s2s_out_open_socket(struct fsm *f, struct term *e);
ON_SHARD struct next s2s_out_wait_for_stream(struct fsm *f, struct term *e);
ON_SHARD struct next s2s_out_wait_for_features(struct fsm *f, struct term *e);
ON_SHARD struct next s2s_out_wait_for_starttls_proceed(struct fsm *f, struct term *e);
ON_SHARD struct next s2s_out_wait_for_auth_result(struct fsm *f, struct term *e);
ON_SHARD struct next s2s_out_wait_for_validation(struct fsm *f, struct term *e);
ON_SHARD struct next s2s_out_stream_established(struct fsm *f, struct term *e);
ON_SHARD struct next s2s_out_reopen_socket(struct fsm *f, struct term *e);
ON_SHARD struct next s2s_out_wait_for_resume(struct fsm *f, struct term *e);

static inline struct s2s_out *s2s_out_of(struct fsm *f)
{
	return container_of(f, struct s2s_out, fsm);
}

static inline bool s2s_out_is_established(const struct s2s_out *o)
{
	return o->fsm.gen.state == S2S_OUT_STREAM_ESTABLISHED;
}

/* --- net/s2s_out.c --- */

/* A line for who asks later what happened. */
PRINTF_LIKE(2, 3) ON_SHARD void s2s_out_say(struct s2s_out *o, const char *format, ...);
/* This place is of no use: why, in words for senders, too. The next one is tried once the running
 * callback returns. The state to be in. */
PRINTF_LIKE(2, 3) ON_SHARD struct next s2s_out_fail(struct s2s_out *o, const char *format, ...);
/* The same, and the peer is told by a stream error. */
ON_SHARD struct next s2s_out_refuse(struct s2s_out *o, enum stream_condition c, const char *why);
/* The same outside of the machine's own functions; the peer is told unless c is
 * S2S_OUT_WITHOUT_A_WORD. */
#define S2S_OUT_WITHOUT_A_WORD STREAM_CONDITIONS
ON_SHARD void s2s_out_fail_now(struct s2s_out *o, enum stream_condition c, const char *why);
/* There is no way to them, or no more need of one. told: to senders, as s2s_link_down() says.
 * error 0: that is in order. */
ON_SHARD void s2s_out_leave_link(struct s2s_out *o, int error, const char *told, const char *why);
ON_SHARD void s2s_out_end_dial(struct s2s_out *o); /* there is no place any more */
/* Both know who they are: stanzas may be sent, once a stream before is resumed. */
ON_SHARD struct next s2s_out_proven(struct s2s_out *o);
ON_SHARD struct next s2s_out_established(struct s2s_out *o);
/* Begins with the first place again. */
ON_SHARD void s2s_out_look_up(struct s2s_out *o);
/* It would send something if it were established. */
ON_SHARD bool s2s_out_is_awaited(const struct s2s_out *o);
/* Nothing more is to be done: it ends in order. */
ON_SHARD struct next s2s_out_finish(struct s2s_out *o);
/* The stream ends without an error. */
ON_SHARD void s2s_out_close_stream(struct s2s_out *o);
ON_SHARD void s2s_out_send_header(struct s2s_out *o);
/* TLS begins now. 0, or a negative errno. */
ON_SHARD int s2s_out_begin_tls(struct s2s_out *o);

/* --- net/s2s_out_events.c --- */

extern const struct stream_events s2s_out_events;
/* As if the connection had been lost. */
ON_SHARD void s2s_out_cut(struct s2s_out *o);
/* What the peer says is against the rules: established, it ends. */
ON_SHARD struct next s2s_out_end(struct s2s_out *o, enum stream_condition c, const char *why);

/* --- net/s2s_out_login.c --- */

/* A stanza of the peer's, on a stream that goes both ways; taken, unless the stream ends. */
ON_SHARD struct next s2s_out_foreign(struct s2s_out *o, struct term *e);

/* --- net/s2s_out_sm.c --- */

ON_SHARD void s2s_out_sm_enable(struct s2s_out *o); /* stanzas may follow at once */
ON_SHARD void s2s_out_sm_send(struct s2s_out *o, struct stanza *s); /* in place of conn_write() */
ON_SHARD void s2s_out_sm_element(struct s2s_out *o, const struct elem *e);
/* The last one that was written cannot have been got. */
ON_SHARD void s2s_out_sm_unsent(struct s2s_out *o);
/* The connection is lost. True: it can be resumed, and stays up as far as its link is concerned. */
ON_SHARD bool s2s_out_sm_lost(struct s2s_out *o);
ON_SHARD bool s2s_out_sm_is_away(const struct s2s_out *o);
/* One of a process before: away, and not looking for a connection until s2s_out_sm_begin(). */
ON_SHARD void s2s_out_sm_restore(
	struct s2s_out *o, struct s2s_found_stream *f, struct s2s_found *found);
ON_SHARD void s2s_out_sm_begin(struct s2s_out *o);
/* There is no way to them just now. True: it will look again. */
ON_SHARD bool s2s_out_sm_retries(struct s2s_out *o);
ON_SHARD void s2s_out_sm_resume(struct s2s_out *o);
ON_SHARD bool s2s_out_sm_resumed(struct s2s_out *o, const struct elem *resumed);
/* failed: their answer; NULL: they do not offer it any more. */
ON_SHARD void s2s_out_sm_not_resumed(struct s2s_out *o, const struct elem *failed);
/* It is to be closed. True: it waits a moment for what is not acknowledged, or not stored, then
 * closes. */
ON_SHARD bool s2s_out_sm_closes(struct s2s_out *o);
/* It is over. What may or may not have arrived comes back, unless it has: they have read all and
 * closed, and have not said otherwise just before. What was never sent goes back to the link. NULL
 * is fine. */
ON_SHARD void s2s_out_sm_end(struct s2s_out *o, bool arrived);
/* The peer counts what it sends, and what it is sent. */
ON_SHARD bool s2s_out_sm_is_on(const struct s2s_out *o);
ON_SHARD void s2s_out_sm_handled(struct s2s_out *o); /* a stanza of what it sends */
/* Of what it sends; NULL: there is no XEP-0198. */
ON_SHARD struct acks *s2s_out_sm_acks(const struct s2s_out *o);
/* h, unasked: before the stream ends. */
ON_SHARD void s2s_out_sm_tell(struct s2s_out *o);
ON_SHARD unsigned s2s_out_sm_unacked(const struct s2s_out *o); /* stanzas */
ON_SHARD uint64_t s2s_out_sm_held_bytes(const struct s2s_out *o);

/* --- net/s2s_out_verify.c --- */

ON_SHARD void s2s_out_question(struct s2s_out *o, struct s2s_verify *v); /* takes v */
ON_SHARD void s2s_out_ask(struct s2s_out *o); /* what waits, on a stream that is usable */
ON_SHARD void s2s_out_answer(struct s2s_out *o, const struct stanza *s); /* <db:verify/> */
/* None of them will be answered. */
ON_SHARD void s2s_out_no_answers(struct s2s_out *o, enum s2s_verdict verdict, const char *why);
