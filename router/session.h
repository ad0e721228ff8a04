/* router/session.h - a bound resource: what the rest of the server may know of a client.
 * Part of a client stream (net/c2s.h), which makes and ends it. Whoever finds it through the
 * directory may read the constant part until the thread's next quiescent state; everything else is
 * the owning shard's. Its presence follows RFC 6121 §4: it is told to the account's own resources,
 * to whom the client directed it, and by router/presence to contacts. */
#pragma once

#include "core/actor.h"
#include "core/attr.h"
#include "core/conf.h"
#include "core/hook.h"
#include "core/rcu.h"
#include "core/record.h"
#include "router/host.h"
#include "xml/stanza.h"

struct account; /* router/account.h */
struct acks; /* router/acks.h */
struct directed; /* whom this session has sent directed presence; private to session.c */

/* Bytes of a JID that lies in its session, where a look-up goes anyway. */
#define SESSION_JID_ROOM 72

/* What a client has begun to read by itself of the messages that wait for its account, and else. */
enum session_reading {
	SESSION_READS_ARCHIVE = 1, /* the archive: XEP-0313 */
	SESSION_READS_OFFLINE = 2, /* what waits, one by one: XEP-0013 */
	SESSION_READS_BLOCKS = 4, /* the blocklist, so it gets pushes: XEP-0191 §3.3 */
	SESSION_READS_OLD_ROSTER = 8, /* pushes were left out: no versions until it asks again */
	SESSION_READS_PRIVACY = 16, /* privacy lists: XEP-0016 */
};

struct session {
	/* Constant once bound. */
	struct actor_id id;
	struct host *host; /* counted */
	struct jid *jid; /* full; session_set_jid() */
	char jid_room[SESSION_JID_ROOM] __attribute__((aligned(8))); /* most fit */
	/* Read under RCU by any thread, written by the directory: account_of(). */
	RCU_PTR(struct account) account; /* counted; NULL: not loaded */
	/* Read under RCU, set by the owning shard once; its stream's. NULL: no stream management.
	 */
	RCU_PTR(struct acks) acks;
	/* Constant again. */
	struct conf_prefix address; /* the client's */
	/* Any thread; relaxed. Its number among the account's: XEP-0016 §2.4. 0: none */
	_Atomic uint8_t active_list;
	/* Constant. */
	uint16_t port;
	bool tls;
	/* Any thread; relaxed. */
	_Atomic bool interested; /* asked for the roster, so it gets pushes: RFC 6121 §2.1.6 */
	_Atomic uint8_t reads_log; /* bits of enum session_reading */
	/* Owning shard only. */
	int8_t priority;
	/* Constant. */
	uint64_t since_ms; /* wall clock */
	uint64_t user_agent; /* user_agent_key() of its client's id; 0: it gave none */
	/* Owning shard only. */
	struct stanza *presence; /* the last broadcast one; NULL: not available */
	struct directed *directed; /* owned */
};
static inline void session_reads(struct session *ss, enum session_reading what)
{
	atomic_fetch_or_explicit(&ss->reads_log, (uint8_t)what, memory_order_relaxed);
}
static inline void session_reads_no_more(struct session *ss, enum session_reading what)
{
	atomic_fetch_and_explicit(&ss->reads_log, (uint8_t)~what, memory_order_relaxed);
}
static inline bool session_is_reading(const struct session *ss, enum session_reading what)
{
	return atomic_load_explicit(&ss->reads_log, memory_order_relaxed) & what;
}
/* Directed presence is remembered for at most so many addresses at once. */
#define SESSION_DIRECTED_MAX 2000

/* Its address will be read, and if it is this shard's, something delivered to it: what that needs
 * of the stream that it is part of lies before. */
#define SESSION_LINES 5u
static inline void session_soon(const struct session *ss)
{
	object_soon((uintptr_t)ss - SESSION_LINES * 64, SESSION_LINES + 2);
}

/* The client's own presence stanza, sealed, with or without `to`: RFC 6121 §4.2-4.6. Takes s. */
ON_SHARD void session_presence_out(struct session *ss, struct stanza *s);
/* Those to whom it directed presence and whom `hidden` now says it hides from are told that it is
 * gone. */
ON_SHARD void session_hide_directed(
	struct session *ss, bool (*hidden)(const struct session *ss, const struct jid *whom));
/* Whether it has directed presence to that account or room, or one of its resources, which still
 * holds. */
ON_SHARD bool session_has_directed(const struct session *ss, const struct jid *whom);
/* Whether a request for this resource may reach it where requests_from_strangers is off: from
 * whoever knows that it is there (RFC 6121 §8.5.3.1), and the server and its services. */
ON_SHARD bool session_takes_request(const struct session *ss, const struct stanza *request);
/* Unavailable presence has come for it: who is gone need not be told later. RFC 6121 §4.6.1 */
ON_SHARD void session_heard_unavailable(struct session *ss, const struct jid *from);
/* The stream is gone or going: unavailable goes to all who were told otherwise. status may be
 * NULL. Idempotent. */
ON_SHARD void session_unavailable(struct session *ss, const char *status);

/* --- what waits while a session catches up with what was kept for its account --- */

/* From now on session_held() keeps what comes for it, but for what was waiting itself
 * (MESSAGE_LOG_WAITS), until session_let_go() gives it all to the session, in order. */
ON_SHARD void session_hold(struct session *ss);
/* The session gets what else was kept, and what else comes: it takes long. */
ON_SHARD void session_hold_only_messages(struct actor_id session);
/* True: s is kept. Asked by who receives for it. */
ON_SHARD bool session_held(struct session *ss, struct stanza *s, int copies);
ON_SHARD void session_let_go(struct actor_id session); /* gone already: as deliver_failed() says */
extern _Thread_local unsigned sessions_holding; /* on this shard; asks session_held() cheaply */

/* Before it is entered into the directory. Takes j, from the heap; NULL: none. */
void session_set_jid(struct session *ss, struct jid *j);
/* Frees what a session owns, the struct itself excepted. After a grace period. */
void session_fini(struct session *ss);

/* What its shard knows of it, for another process; and there, once it is in the directory. False:
 * that cannot be read. Nobody is told of anything. */
ON_SHARD void session_save(const struct session *ss, struct record *r);
ON_SHARD bool session_load(struct session *ss, struct record_reader *r);

/* Run on the session's shard; subject: struct session. */
extern struct hook session_opened_hook; /* after bind, when its account's data is there */
extern struct hook session_closed_hook; /* after it has left the directory */
/* What a client sends, before it is sealed and goes its way: `from` is stamped, and the rules of
 * RFC 6120 §8 are kept. A function may add to it, or answer it itself and return HOOK_STOP: then it
 * goes no further. Subject: struct session_packet. */
struct session_packet {
	struct session *session;
	struct stanza *stanza; /* unsealed; to NULL: for the account itself, or presence for all */
};
extern struct hook user_send_hook;
/* Runs while the client of a session is gone and may come back (XEP-0198 §5), for each stanza that
 * comes for it, and when it goes for those that it may not have, the last one first, until a
 * function returns HOOK_STOP. */
struct session_away {
	const struct session *session;
	struct stanza *stanza; /* sealed */
};
extern struct hook session_away_hook; /* subject: struct session_away */
/* Also told of each change of presence; subject: struct session_presence. */
struct session_presence {
	struct session *session;
	struct stanza *stanza;
	bool initial; /* it was not available before */
	int8_t priority_was; /* when it was */
};
extern struct hook session_presence_hook;
