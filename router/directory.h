/* router/directory.h - who is connected: bare JID to sessions, ejabberd's session manager.
 * Looked up for every stanza to an account, so it is an RCU hash table; one account's sessions are
 * one small array in it, replaced when they change. Writers are the sessions' own shards. */
#pragma once

#include "core/actor.h"
#include "core/attr.h"
#include "core/rcu.h"
#include "router/session.h"
#include "xml/jid.h"

struct session_entry {
	struct actor_id id;
	const struct session
		*session; /* freed a grace period after it left; its constant part only */
	int8_t priority;
	bool available; /* has sent initial presence and not taken it back */
	bool carbons; /* wants copies of the account's messages: XEP-0280 */
};
struct sessions_link {
	struct sessions *_Atomic rcu_only; /* as RCU_PTR's */
};
/* Immutable once published but for its links, never empty. An account's only session is in one
 * cache line with what leads there. */
struct sessions {
	struct sessions_link next[2]; /* in its bucket; the table says which of them is in use */
	struct rcu_head rcu;
	uint32_t bare_hash;
	uint32_t n;
	struct session_entry at[];
};

void directory_init(void); /* a registered thread, before the first shard */
void directory_fini(void); /* main, after the last shard */

/* Enters a session. DIRECTORY_TAKEN: the resource is in use; *holder names its session.
 * DIRECTORY_FULL: the account has max_sessions already. Any registered thread. */
#define DIRECTORY_TAKEN 1
#define DIRECTORY_FULL 2
int directory_enter(const struct session *ss, unsigned max_sessions, struct actor_id *holder);
/* A new holder for the same resource, whatever was there; the old one is returned. */
struct actor_id directory_replace(const struct session *ss);
/* Leaves, if it still holds the resource; true when it did. */
bool directory_leave(const struct session *ss);
/* What others find of it from now on: nothing when it has left. Any registered thread. */
void directory_presence(const struct session *ss, bool available, int priority);
void directory_carbons(const struct session *ss, bool wanted);
/* All sessions of the account, if it has any, point to this snapshot from now on, each with a
 * reference of its own. A session that enters later gets it from them. Any registered thread. */
void directory_set_account(const struct jid *any_of_account, struct account *a);

/* directory_find() will be asked, and then something delivered: what that needs comes from memory
 * meanwhile. One step leads to the next, so other work belongs between them. */
enum directory_step { DIRECTORY_BUCKET, DIRECTORY_ACCOUNT, DIRECTORY_SESSION };
void directory_soon(const struct jid *any_of_account, enum directory_step step);
/* The account's sessions, or NULL: good until the thread's next quiescent state. */
const struct sessions *directory_find(const struct jid *any_of_account);
/* The session of that resource among them, or NULL. */
const struct session_entry *sessions_find(const struct sessions *s, const struct jid *full);
/* Both in one: the session of a full JID, or NULL. */
const struct session_entry *directory_find_full(const struct jid *full);
uint64_t directory_count(void); /* sessions */
uint64_t directory_count_accounts(void); /* accounts with at least one */
/* Every account's sessions, in no order; a consistent array each. Any registered thread but a
 * shard: it looks at everybody. */
void directory_each(void (*fn)(const struct sessions *s, void *arg), void *arg);
