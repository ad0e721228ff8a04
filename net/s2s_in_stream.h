/* net/s2s_in_stream.h - the inside of a stream from another server, shared by the files that make
 * it up: s2s_in.c (its life, and what it receives from the router where it goes both ways),
 * s2s_in_login.c (header, features, STARTTLS), s2s_in_dialback.c (XEP-0220), s2s_in_sasl.c
 * (XEP-0178), s2s_in_stanza.c (the established stream), s2s_in_sm.c and s2s_in_resume.c (XEP-0198).
 * Owning shard only. */
#pragma once

#include <urcu/list.h>

#include "core/fsm.h"
#include "core/log.h"
#include "core/timer.h"
#include "net/listener.h"
#include "net/s2s.h"
#include "net/s2s_in.h"
#include "net/s2s_pairs.h"
#include "net/stream.h"
#include "router/host.h"
#include "router/s2s.h"

struct s2s_in {
	struct fsm fsm; /* the actor is in it */
	struct stream stream;
	struct cds_list_head on_shard; /* net/crowd.h's */
	struct listener *listener; /* counted; NULL: there is no connection */
	struct listener_options *options; /* counted; NULL as well */
	struct conf_prefix address;
	char *ours, *theirs; /* owned: of the stream header; NULL before, theirs also when it says
			      * none */
	struct s2s_pairs pairs; /* it may carry stanzas for */
	uint16_t port;
	uint16_t asking; /* questions that are out: s2s_verify() */
	uint16_t refused; /* pairs that were */
	uint8_t attempts; /* at SASL that failed */
	bool limited : 1; /* counts in net/limits.h */
	bool challenged : 1; /* SASL EXTERNAL: its response is awaited */
	bool proven : 1; /* SASL EXTERNAL: the peer is theirs */
	bool helpful : 1; /* it has asked about keys of ours: it may need no more of us */
	bool bidi : 1; /* XEP-0288: what is for the peer may go this way */
	bool lent : 1; /* and does: the router knows */
	bool over : 1; /* it will not be resumed */
	uint8_t ending; /* enum s2s_in_ending */
	uint8_t end_condition; /* then: enum stream_condition; STREAM_CONDITIONS: none */
	struct s2s_in_sm *sm; /* owned; NULL: the peer has not asked for XEP-0198 */
	uint64_t received; /* stanzas */
	uint64_t peer_max_bytes; /* of a stanza to it; 0: it has not said */
	struct timer timer; /* the negotiation's end; afterwards, idleness */
};

/* A clean end takes a moment under XEP-0198. */
enum s2s_in_ending {
	S2S_IN_STAYS,
	S2S_IN_AWAITS_ACKS, /* of what the peer was sent */
	S2S_IN_AWAITS_STORAGE, /* of what it has sent; nothing more is read */
};

enum s2s_in_event {
	S2S_IN_OPENED, /* data: struct stream_opened */
	S2S_IN_STANZA, /* data: struct stanza, taken by the state */
	S2S_IN_VERIFIED, /* data: struct s2s_question with its verdict */
	S2S_IN_LOST, /* the stream goes on without a connection */
	S2S_IN_RESUMED, /* and has one again */
};

/* The states, in order of their numbers. */
enum s2s_in_state {
	S2S_IN_WAIT_FOR_STREAM,
	S2S_IN_WAIT_FOR_FEATURE_REQUEST,
	S2S_IN_STREAM_ESTABLISHED,
	S2S_IN_WAIT_FOR_RESUME,
};
ON_SHARD struct next s2s_in_wait_for_stream(struct fsm *f, struct term *e);
ON_SHARD struct next s2s_in_wait_for_feature_request(struct fsm *f, struct term *e);
ON_SHARD struct next s2s_in_stream_established(struct fsm *f, struct term *e);
ON_SHARD struct next s2s_in_wait_for_resume(struct fsm *f, struct term *e);

static inline struct s2s_in *s2s_in_of(struct fsm *f)
{
	return container_of(f, struct s2s_in, fsm);
}

/* NULL: it is gone, or something else. */
ON_SHARD struct s2s_in *s2s_in_of_actor(struct actor *a);
const struct stream_events *s2s_in_stream_calls(void);
/* Ends the stream with an error. Returns the state to stay in. */
ON_SHARD struct next s2s_in_fail(struct s2s_in *c, enum stream_condition cond, const char *text);
/* One that is ending: something it waits for may be done. */
ON_SHARD void s2s_in_go_on_ending(struct s2s_in *c);
/* The router sends nothing this way any more; idempotent. */
ON_SHARD void s2s_in_leave(struct s2s_in *c);
/* Gives back what its connection holds of the listener's; idempotent. */
ON_SHARD void s2s_in_release(struct s2s_in *c);
/* As fast as its listener says, and looked after when it is idle. */
ON_SHARD void s2s_in_watch(struct s2s_in *c);
/* The peer may speak for that domain of theirs to that one of ours: true. False: there are too many
 * such pairs on this stream. how: for metrics and the log. */
enum s2s_in_proof { S2S_IN_BY_DIALBACK, S2S_IN_BY_CERTIFICATE, S2S_IN_PROOFS };
ON_SHARD bool s2s_in_authorise(
	struct s2s_in *c, const char *theirs, const char *ours, enum s2s_in_proof how);
/* The same without a word: of one that was so before. */
ON_SHARD bool s2s_in_add_pair(struct s2s_in *c, const char *theirs, const char *ours);
/* XEP-0288: from now on the router may send by it. Not before the peer has had the chance to ask
 * for XEP-0198, so that what goes this way is known to have arrived. Idempotent. */
ON_SHARD void s2s_in_go_both_ways(struct s2s_in *c);
/* If it does: the router sends by it, and by no other stream, from now on. */
ON_SHARD void s2s_in_lend(struct s2s_in *c);
/* What the peer asks for beside stanzas, in whatever state. Does not take s. */
ON_SHARD struct next s2s_in_element(struct s2s_in *c, struct stanza *s);

/* --- policy --- */

/* Of s2s_host(). Good until the thread's next quiescent state. */
const struct host_conf *s2s_in_conf(const char *ours);
static inline bool s2s_in_is_secure(const struct s2s_in *c)
{
	return c->stream.conn.tls != NULL;
}
/* Nothing but STARTTLS may happen on this stream yet, as far as that domain of ours is concerned.
 */
ON_SHARD bool s2s_in_tls_missing(const struct s2s_in *c, const char *ours);
/* The peer has shown a certificate that is valid for that domain. */
ON_SHARD bool s2s_in_is_certified(const struct s2s_in *c, const char *theirs);

/* --- net/s2s_in_sasl.c --- */

ON_SHARD bool s2s_in_offers_external(const struct s2s_in *c);
ON_SHARD struct next s2s_in_sasl(struct s2s_in *c, struct stanza *s); /* does not take s */

/* --- net/s2s_in_dialback.c --- */

/* A request as it came. Names are answered as they were given, and compared as prepared. */
struct s2s_request {
	const char *from, *to, *id; /* as given; id: <db:verify/> only */
	const char *theirs, *ours; /* prepared */
	const char *key; /* without the space around it */
};

/* A key that is being asked about. The stream may be gone when the answer comes, or have begun
 * anew, so it is named by id. */
struct s2s_question {
	struct s2s_verify verify; /* its texts are those below */
	struct actor_id stream;
	struct s2s_request request; /* pointing to copies of its own */
	uint64_t stream_id;
	char id[STREAM_ID_TEXT];
	char text[]; /* from NUL to NUL theirs NUL ours NUL key NUL */
};

ON_SHARD struct next s2s_in_dialback(struct s2s_in *c, struct stanza *s); /* does not take s */
ON_SHARD struct next s2s_in_verified(struct s2s_in *c, const struct s2s_question *q);

/* A line with the stream's connection, address and domains. */
#define s2s_in_log(c, level_, what, ...)                                                     \
	do {                                                                                 \
		if (atomic_load_explicit(&log_level, memory_order_relaxed) >= (level_)) {    \
			const struct log_field fields_[] = { { 0 }, ##__VA_ARGS__ };         \
			s2s_in_log_write(                                                    \
				(c), (level_), (what), fields_ + 1, ARRAY_LEN(fields_) - 1); \
		}                                                                            \
	} while (0)
#define S2S_IN_LOG_FIELDS_MAX 6
ON_SHARD void s2s_in_log_write(const struct s2s_in *c, enum log_level level, const char *what,
	const struct log_field *fields, unsigned n);
