/* router/account.h - what the server knows of an account of ours beside its name: ejabberd spreads
 * it over mod_roster, mod_privacy, mod_mam and others, which all ask their tables for each stanza.
 * Here it is one snapshot, made of parts that modules load (contacts, blocks, preferences). While
 * an account has sessions they all point to its snapshot, which any thread reads under RCU: nothing
 * on a stanza's way asks the database. An account without sessions has none; what comes for it is
 * slow work anyway and goes through the account's lane, where a job may load one. The lane: all
 * work on an account's stored data runs one after the other on the job threads. Who changes a part
 * changes the database there and then says account_changed(). */
#pragma once

#include "core/attr.h"
#include "core/job.h"
#include "core/rcu.h"
#include "router/host.h"
#include "router/session.h"
#include "xml/jid.h"

/* Stands first in what a module keeps of an account. Constant once loaded, shared by snapshots. */
struct account_part {
	_Atomic uint32_t refs; /* private; one when load() returns it */
	void (*free)(struct account_part *p); /* any thread; the last reader has gone */
};

/* A kind of part: a static object of its module. */
struct account_kind {
	const char *name; /* "roster" */
	/* *out: with one reference, or NULL for nothing known. 0, or a negative errno: then the
	 * account cannot be served now. */
	int (*load)(/* on a job thread */
		void *arg, struct host *h, const struct jid *bare, struct account_part **out);
	_Atomic unsigned place; /* private; given when first added, counted from 1 */
};
#define ACCOUNT_KINDS_MAX 8

struct account {
	_Atomic uint32_t refs; /* private */
	struct rcu_head rcu; /* private */
	struct account_part *parts[ACCOUNT_KINDS_MAX]; /* account_part() */
};

/* From a module's start() and stop(): this host's accounts have such a part. A second one of the
 * same kind takes the place of the first. Accounts that have sessions get it soon after. After
 * account_kind_remove() no load() with that arg is running or
 * will come. Block. */
void account_kind_add(struct host *h, struct account_kind *k, void *arg);
void account_kind_remove(struct host *h, struct account_kind *k, void *arg);

/* A part, or NULL: there is none, or a is NULL. Good as long as a is. */
static inline const void *account_part(const struct account *a, struct account_kind *k)
{
	unsigned place = atomic_load_explicit(&k->place, memory_order_relaxed);

	return a && place ? a->parts[place - 1] : NULL;
}
/* The snapshot of a bound session's account: good until the thread's next quiescent state. NULL
 * while it is being loaded. Any registered thread. */
static inline const struct account *account_of(const struct session *ss)
{
	return rcu_get(ss->account);
}
/* The same for an address: NULL when it has no session, too. */
const struct account *account_online(const struct jid *any_of_account);

/* A counted snapshot: the one of its sessions, or one that is loaded for the caller. 0, or a
 * negative errno. Whether the account exists is router/auth's to say. In the account's lane, so
 * that no change is missed. */
ON_JOB int account_hold(struct host *h, const struct jid *bare, struct account **out);
void account_drop(struct account *a); /* NULL is fine */

/* Work on the stored data of one account: j->work() in its lane, j->done() as for every job. 0, or
 * CARRIER_FULL and j is still the caller's. */
ANY_THREAD int account_work(const struct jid *any_of_account, struct job *j) MUST_USE;
/* How much of it waits or runs, about: whoever makes a great deal of it rests when it is much. */
ANY_THREAD unsigned account_work_waiting(void);

/* In the account's lane, after a change of kind k was committed: its sessions, if it has any, get a
 * snapshot with that part loaded anew. 0, or a negative errno: they keep what they had. */
ON_JOB int account_changed(struct host *h, const struct jid *bare, struct account_kind *k);
/* A session has entered the directory: loads what its account needs, unless that is there. 0: it is
 * there. 1: done() will be called on the asking shard, with 0 or a negative errno, whether the
 * session still lives or not. Negative errno: too much waits. */
typedef void account_ready_fn(struct actor_id session, int error);
ON_SHARD int account_need(const struct session *ss, account_ready_fn *done) MUST_USE;

/* For router/directory alone, under its lock: ss points to a, with a reference of its own; NULL: to
 * none. */
void account_give(const struct session *ss, struct account *a);

/* main, after jobs_start() and before the first stream; after the last one and before jobs_stop().
 */
void accounts_start(void);
void accounts_stop(void);

/* Runs when a stanza comes for an account of ours, before anybody gets it:
 * on a shard, or on a job thread when the account has no session; it does not block. A function
 * that refuses it sets error (enum stanza_error; 0: it is dropped without a word) and returns
 * HOOK_STOP. */
struct account_visit {
	struct host *host;
	const struct account *account; /* NULL: its snapshot is not there yet, or has no parts */
	struct stanza *stanza; /* sealed */
	int error;
};
extern struct hook account_visit_hook;
/* Asks it: 0 admitted, an enum stanza_error, or -1: to be dropped. RCU-registered
 * thread. */
int account_admits(struct host *h, const struct account *a, struct stanza *s);
