/* net/c2s_stream.h - the inside of a client stream, shared by the files that make it up:
 * c2s.c (its life and what it receives), c2s_login.c (the states before a session), c2s_sasl.c and
 * c2s_sasl2.c (how one becomes somebody), c2s_session.c (bind, and the established session),
 * c2s_sm.c and c2s_resume.c (acknowledgements, and sessions without a connection), c2s_shed.c
 * (closed to free memory), c2s_move.c (to another process), c2s_log.c. Owning shard only. */
#pragma once

#include <urcu/list.h>

#include "core/fsm.h"
#include "core/log.h"
#include "core/timer.h"
#include "net/c2s.h"
#include "net/listener.h"
#include "net/sasl.h"
#include "net/stream.h"
#include "router/deliver.h"
#include "router/session.h"

struct auth_request;
struct sasl2_login; /* net/c2s_sasl2.c's */

#define C2S_CERTIFIED_MAX 8 /* accounts of one certificate */

/* What a stream needs until it has a session. */
struct c2s_login {
	struct sasl *sasl; /* owned, while one goes on */
	struct sasl2_login *sasl2; /* owned: it goes by XEP-0388. NULL: by RFC 6120 */
	struct jid *from; /* owned: the bare JID of the stream header; NULL: none was given */
	struct stanza *request; /* owned: of XEP-0078 or bind, while it waits for what is asked */
	uint32_t offered, offered2; /* SASL mechanisms in the last features, by profile */
	struct jid *certified[C2S_CERTIFIED_MAX]; /* owned: whom its certificate names here */
	unsigned n_certified;
	uint32_t tokens; /* mechanisms for tokens in them: bits of net/hashed_token.h */
	uint8_t auth_attempts, auth_guesses; /* that failed */
	uint8_t bind_attempts; /* that failed */
};

struct c2s {
	struct fsm fsm; /* the actor is in it */
	struct stream stream;
	struct session session; /* host is set from the first stream header on */
	struct cds_list_head on_shard; /* net/crowd.h's */
	struct rcu_head rcu;
	struct listener *listener; /* counted; NULL: there is no connection */
	struct listener_options *options; /* counted; NULL as well */
	struct host_conf *conf; /* counted; the host's, as of the stream header */
	struct c2s_login *login; /* owned; NULL once there is a session */
	char *user; /* owned: authenticated local part; NULL before */
	unsigned follow_version; /* 0: ask again */
	bool followed : 1; /* what log_follow() had said at follow_version */
	bool limited : 1; /* counts in net/limits.h */
	bool bound : 1; /* in the directory */
	bool left : 1; /* was bound and has left it */
	bool leaving : 1; /* left, and in the directory still: what comes of that is held */
	bool open : 1; /* bound, and its account's data is there: session_opened_hook has run */
	struct timer timer; /* the negotiation's end; afterwards, idleness */
	uint64_t idle_heard_ms; /* the last byte when the idle hook was last asked */
	uint32_t idle_pinged_ms, idle_again_ms; /* router/idle.h; UINT32_MAX: never */
	struct csi *csi; /* owned: net/c2s_csi.c's; NULL: the client is active */
	struct c2s_moving *moving; /* owned: c2s_move.c's, from being held on */
};
_Static_assert(sizeof(struct c2s) <= 640, "ten cache lines, of which jemalloc has a class");
_Static_assert(offsetof(struct c2s, session.jid) / 64 == SESSION_LINES, "see session_soon()");

enum c2s_event {
	C2S_OPENED, /* data: struct stream_opened */
	C2S_STANZA, /* data: struct stanza, taken by the state */
	C2S_AUTH, /* data: struct auth_request, answered */
	C2S_NOTED, /* data: struct user_agent_visit, written */
	C2S_NOT_RESUMED, /* to a login that asked for its old session */
	C2S_PREPARED, /* what modules tell with the resource is there */
	C2S_LOST, /* the session goes on without a connection */
	C2S_RESUMED, /* and has one again */
};

/* The states, in order of their numbers. */
enum c2s_state {
	WAIT_FOR_STREAM,
	WAIT_FOR_FEATURE_REQUEST,
	WAIT_FOR_SASL_RESPONSE,
	WAIT_FOR_AUTH,
	WAIT_FOR_BIND,
	WAIT_FOR_SESSION,
	SESSION_ESTABLISHED,
	WAIT_FOR_RESUME,
};
ON_SHARD struct next wait_for_stream(struct fsm *f, struct term *e);
ON_SHARD struct next wait_for_feature_request(struct fsm *f, struct term *e);
ON_SHARD struct next wait_for_sasl_response(struct fsm *f, struct term *e);
ON_SHARD struct next wait_for_auth(struct fsm *f, struct term *e);
ON_SHARD struct next wait_for_bind(struct fsm *f, struct term *e);
ON_SHARD struct next wait_for_session(struct fsm *f, struct term *e);
ON_SHARD struct next session_established(struct fsm *f, struct term *e);
ON_SHARD struct next wait_for_resume(struct fsm *f, struct term *e);

static inline struct c2s *c2s_of(struct fsm *f)
{
	return container_of(f, struct c2s, fsm);
}
static inline struct c2s *c2s_in_crowd(struct cds_list_head *stream)
{
	return container_of(stream, struct c2s, on_shard);
}

/* One from another process, whose stream has been loaded; counted references and address are the
 * caller's to fill in. Its fsm starts in the first state, its timer is not set. */
ON_SHARD void c2s_begin(struct c2s *c);
/* Is read as fast as its listener says by now. */
ON_SHARD void c2s_shape(struct c2s *c);
extern const struct fsm_class c2s_class;
extern const struct stream_events c2s_stream_events;

/* net/c2s_move.c. */
ON_SHARD int c2s_load_state(/* the class's code_change; extra: struct record_reader */
	struct fsm *f, unsigned old_version, bool down, void *extra, unsigned *state);
ON_SHARD bool c2s_has_moved(const struct c2s *c); /* all that is left is who it was */
ON_SHARD void c2s_moving_free(struct c2s *c); /* a bound one */

/* Ends the stream with an error; leaves the directory first. Returns the state to stay in. */
ON_SHARD struct next c2s_fail(struct c2s *c, enum stream_condition cond, const char *text);
/* A stanza for the client, now. False: the session is ending and has not taken it. */
ON_SHARD bool c2s_send(struct c2s *c, struct stanza *s, enum deliver_copies copies);
/* Leaves the directory and tells who must know. Idempotent; status may be NULL. */
ON_SHARD void c2s_leave(struct c2s *c, const char *status);
/* Gives back what its connection holds of the listener's; idempotent. */
ON_SHARD void c2s_release(struct c2s *c);
/* It is idle from now on: asks in a moment whether it still is. */
ON_SHARD void c2s_watch_idle(struct c2s *c);
ON_SHARD bool c2s_is_secure(const struct c2s *c);
/* How fast the rules of this name let it be read. */
ON_SHARD struct shaper_rate c2s_rate(const struct c2s *c, const char *shaper);
/* Takes the resource as asked for (NULL: any) for c->user, and goes on with then(): error is 0, or
 * the stanza error. However a client came to ask: RFC 6120 §7, XEP-0386, XEP-0078. With a resource
 * the login is over, and c->login gone after then(). */
typedef struct next c2s_bound_fn(struct c2s *c, int error);
ON_SHARD struct next c2s_bind(struct c2s *c, const char *resource, c2s_bound_fn *then);
ON_SHARD void c2s_random_resource(char out[17]);

/* net/c2s_login.c, for c2s_sasl.c and c2s_sasl2.c. */
ON_SHARD bool c2s_tls_missing(const struct c2s *c); /* nobody logs in without it here */
ON_SHARD void c2s_send_features(struct c2s *c);
/* Whether memory is short; each time counts as a login that was turned away. */
bool c2s_logins_refused(void);
ON_SHARD bool c2s_login_blocked(const struct c2s *c); /* its address guesses too much */
ON_SHARD bool c2s_login_allowed(const struct c2s *c, const char *user);
/* The stream has an account: user, which it takes. */
ON_SHARD void c2s_logged_in(struct c2s *c, char *user);
/* False: enough, and the stream is ending. user NULL: nobody's password was guessed at. */
ON_SHARD bool c2s_login_failed(struct c2s *c, const char *user, const char *why);
/* Something to ask of the host's account backend: answered by C2S_AUTH. Nothing more is parsed till
 * then. False: too much is being asked already. Either way r is not the caller's any more. */
ON_SHARD struct auth_request *c2s_question(
	struct c2s *c, enum auth_ask what, const char *user, const char *password);
ON_SHARD bool c2s_ask(struct c2s *c, struct auth_request *r);
ON_SHARD void c2s_login_end(struct c2s *c); /* frees c->login */

/* net/c2s_sasl.c. */
ON_SHARD struct next c2s_sasl(struct c2s *c, struct stanza *s); /* <auth/> */
/* One by a mechanism, which may not be among the offered, nor be one at all. */
ON_SHARD struct sasl *c2s_new_sasl(const struct c2s *c, const char *mechanism, uint32_t offered);
ON_SHARD struct next c2s_sasl_verdict(struct c2s *c, int verdict);
ON_SHARD struct next c2s_sasl_failed(struct c2s *c, enum sasl_condition condition);

/* net/c2s_sasl2.c. */
ON_SHARD void c2s_sasl2_offer(struct c2s *c, struct builder *features);
ON_SHARD struct next c2s_sasl2(struct c2s *c, struct stanza *s); /* <authenticate/> */
ON_SHARD struct auth_request *c2s_sasl2_token_question(struct c2s *c);
ON_SHARD struct next c2s_sasl2_token(struct c2s *c, const struct auth_request *r);
ON_SHARD void c2s_sasl2_account(struct c2s *c, const struct auth_request *r); /* it was found */
ON_SHARD struct next c2s_sasl2_done(struct c2s *c); /* the mechanism is through */
/* What came while its tasks go on. */
ON_SHARD struct next c2s_sasl2_element(struct c2s *c, struct stanza *s);
ON_SHARD bool c2s_sasl2_is_done(const struct c2s *c); /* the mechanism was through */
ON_SHARD struct next c2s_sasl2_answered(struct c2s *c, const struct auth_request *r);
ON_SHARD struct next c2s_sasl2_not_resumed(struct c2s *c);
ON_SHARD struct next c2s_sasl2_prepared(struct c2s *c);
ON_SHARD struct next c2s_sasl2_noted(struct c2s *c, const struct user_agent_visit *v);
void c2s_sasl2_free(struct sasl2_login *two); /* NULL is fine */

/* net/c2s_log.c: the stream in the log. */
ON_SHARD bool c2s_is_followed(struct c2s *c); /* log_follow() means this one */
ON_SHARD static inline bool c2s_follows(struct c2s *c)
{
	return unlikely(atomic_load_explicit(&log_following, memory_order_relaxed)) &&
		c2s_is_followed(c);
}
/* A line with the stream's connection, address and JID, whatever the level when it is followed. */
#define c2s_log(c, level_, what, ...)                                                              \
	do {                                                                                       \
		if (unlikely(                                                                      \
			    atomic_load_explicit(&log_level, memory_order_relaxed) >= (level_)) || \
			c2s_follows(c)) {                                                          \
			const struct log_field fields_[] = { { 0 }, ##__VA_ARGS__ };               \
			c2s_log_write((c), (level_), (what), fields_ + 1, ARRAY_LEN(fields_) - 1); \
		}                                                                                  \
	} while (0)
#define C2S_LOG_FIELDS_MAX 8
ON_SHARD void c2s_log_write(struct c2s *c, enum log_level level, const char *what,
	const struct log_field *fields, unsigned n);
/* One that was "received" or "sent", when the stream is followed. */
ON_SHARD void c2s_log_stanza_write(struct c2s *c, const char *what, const struct stanza *s);
ON_SHARD static inline void c2s_log_stanza(struct c2s *c, const char *what, const struct stanza *s)
{
	if (c2s_follows(c))
		c2s_log_stanza_write(c, what, s);
}
