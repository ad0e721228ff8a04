/* router/directory.h - who is connected: bare JID to sessions, ejabberd's session manager.
 * Looked up for every stanza to an account, so it is an RCU hash table; one account's sessions are
 * one small array, replaced when they change. Writers are the sessions' own shards. */
#pragma once

#include "core/actor.h"
#include "core/attr.h"
#include "core/rcu.h"
#include "xml/jid.h"

struct session_entry {
	struct actor_id id;
	const struct jid *jid;  /* full; lives as long as the array that holds this entry */
	int8_t priority;
	bool available;         /* has sent initial presence and not taken it back */
	uint64_t since_ms;      /* wall clock, for listings */
};
/* Immutable once published. */
struct sessions {
	struct rcu_head rcu;
	unsigned n;
	struct session_entry at[];
};

void directory_init(void); /* main, before the first shard */
void directory_fini(void); /* main, after the last shard */

/* Enters a session. DIRECTORY_TAKEN: the resource is in use; *holder names its session.
 * DIRECTORY_FULL: the account has max_sessions already. Any registered thread. */
#define DIRECTORY_TAKEN 1
#define DIRECTORY_FULL 2
int directory_enter(const struct jid *full, struct actor_id id, unsigned max_sessions,
	struct actor_id *holder);
/* A new holder for the same resource, whatever was there; the old one is returned. */
struct actor_id directory_replace(const struct jid *full, struct actor_id id);
/* Leaves, if id still holds the resource; true when it did. */
bool directory_leave(const struct jid *full, struct actor_id id);
void directory_presence(const struct jid *full, struct actor_id id, bool available, int priority);

/* The account's sessions, or NULL: good until the thread's next quiescent state. */
const struct sessions *directory_find(const struct jid *any_of_account);
/* The one session of a full JID, or NULL. */
const struct session_entry *directory_find_full(const struct jid *full);
uint64_t directory_count(void);          /* sessions */
uint64_t directory_count_accounts(void); /* accounts with at least one */
/* Every account's sessions, in no order; a consistent array each. May be called on any registered
 * thread; long tables are walked in pieces by the caller's own quiescent states. */
void directory_each(void (*fn)(const struct sessions *s, void *arg), void *arg);
