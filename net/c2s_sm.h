/* net/c2s_sm.h - stream management of a client stream: XEP-0198. Acknowledgements both ways, and
 * sessions that outlive their connection.
 *
 * A client asks with <enable/>; from then on what it is sent is kept until it has said <a/>. If it
 * may resume and its connection is lost, the stream lets go of socket, TLS and parser and waits
 * (state wait_for_resume): the actor, its place in the directory and its presence stay, and what
 * comes for it joins what is kept. A new stream, on whichever shard, that logs in and says
 * <resume/> gives its connection to the waiting one and is gone; so whoever knows the session by
 * its id notices nothing, and no stanza is on its way to anywhere else.
 *
 * Owning shard only. */
#pragma once

#include "net/c2s_stream.h"
#include "net/sm_places.h"
#include "net/sm_spool.h"
#include "net/unacked.h"
#include "router/acks.h"

struct sm_resume;

/* Of one stream, from <enable/> on. */
struct sm {
	struct acks acks; /* what the session points to */
	struct c2s *c;
	struct unacked out;
	struct sm_spool spool;
	struct timer timer; /* connected: to ask for an <a/>, or for its answer; else: max_ms */
	uint64_t max_ms; /* how long it waits; 0: it cannot be resumed */
	uint8_t id[SM_ID_BYTES]; /* when it can */
	uint32_t since_asked; /* stanzas sent since our last <r/> */
	uint32_t r_number; /* handled when the client's <r/> came */
	bool asked; /* our <r/> is not answered yet */
	bool restored; /* from a process before */
	struct sm_found *found; /* not owned: while it is being restored */
	uint64_t *received; /* owned: messages that were acknowledged there, by log_id */
	uint32_t n_received;
	bool parked; /* the server ends, and the next one finds it in the spool */
	bool r_waits; /* the client's <r/> is not answered yet */
	struct sm_resume *resume; /* owned: waits for what is being stored */
	struct actor_id newcomer; /* the stream whose <resume/> was granted */
};

static inline struct sm *c2s_sm(const struct c2s *c)
{
	struct acks *a = rcu_get(c->session.acks);

	return a ? container_of(a, struct sm, acks) : NULL;
}
/* It has no connection and waits for its client. */
static inline bool c2s_sm_waits(const struct c2s *c)
{
	const struct sm *sm = c2s_sm(c);

	return sm && atomic_load_explicit(&sm->acks.state, memory_order_relaxed) == ACKS_WAITING;
}

/* <enable/>, <r/>, <a/> or <resume/> of an open session. */
ON_SHARD struct next c2s_sm_element(struct c2s *c, const struct stanza *s);
/* One of them from a stream without a session, where only <resume/> has its place. */
ON_SHARD struct next c2s_sm_early(struct c2s *c, const struct stanza *s);
/* A stanza for the client, in place of conn_write(). False: there are too many, the session is
 * ending and has not taken it. */
ON_SHARD bool c2s_sm_send(
	struct c2s *c, struct sm *sm, struct stanza *s, enum deliver_copies copies);
/* It outlives its connection. */
static inline bool c2s_sm_stays(const struct c2s *c)
{
	const struct sm *sm = c2s_sm(c);

	return sm && sm->max_ms && !c->left;
}
/* Its end is not told to anybody. */
static inline bool c2s_sm_is_parked(const struct c2s *c)
{
	const struct sm *sm = c2s_sm(c);

	return sm && sm->parked;
}
/* One that waits and has left the directory: its actor ends soon. */
ON_SHARD void c2s_sm_end(struct c2s *c);
/* The connection is lost. True: it waits for another. */
ON_SHARD bool c2s_sm_lost(struct c2s *c);
/* A stanza of the client has been handled. */
ON_SHARD void c2s_sm_handled(struct c2s *c, bool may_change_state);
/* The server ends: it leaves the directory without a word, to be found again by the next one. */
ON_SHARD void c2s_sm_park(struct c2s *c);
/* It has left the directory: what it was sent goes elsewhere. */
ON_SHARD void c2s_sm_left(struct c2s *c);
ON_SHARD uint64_t c2s_sm_held_bytes(const struct c2s *c);
void c2s_sm_free(struct c2s *c); /* after a grace period */

/* What a process before has left in the spool waits for its clients again. Not on a shard, once the
 * hosts are there, before any stream; returns when it is so. */
void c2s_sm_restore(void);

/* --- for logins of other kinds (XEP-0198 §9: SASL2, Bind 2) --- */

/* Enables it, of an open session. 0, or a stanza error. The answer is for c2s_sm_enabled() or
 * c2s_sm_failed(). */
ON_SHARD int c2s_sm_enable(struct c2s *c, const struct elem *enable);
ON_SHARD void c2s_sm_enabled(const struct c2s *c, struct builder *b); /* adds <enabled/> */
ON_SHARD void c2s_sm_failed(struct builder *b, int error); /* adds <failed/> */

struct sm_answer {
	int error; /* enum stanza_error; 0: granted */
	bool has_h; /* always, when it is granted */
	uint32_t h; /* stanzas that the server has handled */
	char id[SM_ID_TEXT];
};
/* Asks for the session of a <resume/>, for an authenticated stream without one; nothing more is
 * parsed meanwhile. answered() is called later, while c still lives and is connected. When it is
 * granted, answered() writes what the client is to read first (with c2s_sm_resumed()); as soon as
 * it returns, the connection goes over and c is gone. Else the stream goes on behind it. */
typedef void sm_answered_fn(struct c2s *c, const struct sm_answer *a);
ON_SHARD void c2s_sm_resume(struct c2s *c, const struct elem *resume, sm_answered_fn *answered);
/* Adds <resumed/>, or <failed/>. */
ON_SHARD void c2s_sm_resumed(struct builder *b, const struct sm_answer *a);
