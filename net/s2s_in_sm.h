/* net/s2s_in_sm.h - stream management of a stream from another server: XEP-0198. What it hands us
 * is acknowledged when it is stored or done with; where the stream goes both ways (XEP-0288), what
 * it is sent is kept until it has acknowledged that.
 *
 * If the peer may resume and its connection is lost, the stream lets go of it and waits (state
 * wait_for_resume) with its pairs, its counts and what is unacknowledged; a new stream that has
 * proven to be of the same domain and says <resume/> gives its connection to the waiting one and is
 * gone (net/s2s_in_resume.c). Those that wait are bounded in time and number. They do not outlive
 * the process: with a clean end the peer is told its last h. Owning shard only. */
#pragma once

#include "net/s2s_in_stream.h"
#include "net/sm_places.h"
#include "net/unacked.h"
#include "router/acks.h"

struct s2s_in_resume;

struct s2s_in_sm {
	struct acks acks; /* of what the peer sends */
	struct s2s_in *c;
	struct unacked out; /* what it is sent */
	uint32_t unsent; /* the last so many of out: they came while there was no connection */
	struct timer timer; /* connected: to ask for an <a/>, or for its answer; else: max_ms */
	struct cds_list_head of_waiting; /* this shard's, the oldest first; while it waits */
	char *for_domain; /* owned: who may resume it: the peer's first */
	uint64_t max_ms; /* how long it waits; 0: it cannot be resumed */
	uint8_t id[SM_ID_BYTES]; /* when it can */
	uint32_t since_asked; /* stanzas sent since our last <r/> */
	uint32_t r_number; /* handled when the peer's <r/> came */
	bool asked; /* our <r/> is not answered yet */
	bool r_waits; /* the peer's is not */
	bool waits; /* there is no connection */
	struct s2s_in_resume *resume; /* owned: waits for what is being stored */
	struct actor_id newcomer; /* the stream whose <resume/> was granted */
};

static inline bool s2s_in_sm_waits(const struct s2s_in *c)
{
	return c->sm && c->sm->waits;
}
/* It outlives its connection. */
static inline bool s2s_in_sm_stays(const struct s2s_in *c)
{
	return c->sm && c->sm->max_ms && !c->over && !c->ending;
}
/* What it has sent is handled, and done with. */
static inline bool s2s_in_sm_is_covered(const struct s2s_in *c)
{
	return !c->sm || !c->sm->acks.n_open;
}

/* <enable/>, <r/>, <a/> or <resume/>. Does not take s. */
ON_SHARD struct next s2s_in_sm_element(struct s2s_in *c, const struct stanza *s);
/* In place of conn_write(). Where too much waits already, its sender is told. */
ON_SHARD void s2s_in_sm_send(struct s2s_in *c, struct stanza *s);
/* The connection is lost. True: it waits for another. */
ON_SHARD bool s2s_in_sm_lost(struct s2s_in *c);
ON_SHARD void s2s_in_sm_tell(struct s2s_in *c); /* h, unasked: before the stream ends */
ON_SHARD void s2s_in_sm_ask(struct s2s_in *c); /* for what is unacknowledged, at once */
/* It will not be resumed: what was not sent finds another way, and so does what was not
 * acknowledged where the peer has ended the stream in order; otherwise that may have arrived, and
 * comes back to its senders. Idempotent. */
ON_SHARD void s2s_in_sm_over(struct s2s_in *c);
/* What is for theirs from ours goes by another stream from now on, and with it what waits here
 * for a connection. */
ON_SHARD void s2s_in_sm_replaced(struct s2s_in *c, const char *ours, const char *theirs);
ON_SHARD void s2s_in_sm_free(struct s2s_in *c);
ON_SHARD uint64_t s2s_in_sm_held_bytes(const struct s2s_in *c);

/* --- between s2s_in_sm.c and s2s_in_resume.c --- */
ON_SHARD void s2s_in_sm_detach(struct s2s_in *c); /* from its connection, if it has one */
ON_SHARD void s2s_in_sm_attached(struct s2s_in *c, uint32_t h); /* h: the peer's */
ON_SHARD void s2s_in_sm_failed(struct s2s_in *c, int error, const uint32_t *h); /* <failed/> */
ON_SHARD void s2s_in_sm_too_high(struct s2s_in *c, uint32_t h, uint32_t sent);
ON_SHARD struct next s2s_in_resume(struct s2s_in *c, const struct elem *resume);
ON_SHARD void s2s_in_resume_covered(struct s2s_in_sm *sm); /* all that was handled is done with */
ON_SHARD void s2s_in_resume_refused(struct s2s_in_sm *sm); /* whoever wants it now: it is over */
