/* router/directory.c - the session manager's table: accounts by their hash, read under RCU. Ours
 * rather than liburcu's, so that what a look-up needs can be fetched before it is made, and an
 * account is one cache line with a short way to it. */
#include "router/directory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/metric.h"
#include "router/account.h"

_Static_assert(sizeof(struct sessions) + sizeof(struct session_entry) <= 64, "one cache line");

/* A part of the accounts, by their hash, with a table of its own: so that it grows without much ado
 * at once. Writers of one exclude each other; logins are few compared with stanzas. */
struct stripe {
	pthread_mutex_t lock;
	RCU_PTR(struct table) table; /* replaced under lock */
	uint32_t accounts; /* under lock */
	_Atomic bool resizing; /* set under lock: readers may still be in the table before */
} __attribute__((aligned(64)));

/* Constant but for the buckets. Every account has two links, of which consecutive tables use one
 * each: readers of the old table walk on while the new one is made, but a third has to wait until
 * they have left. */
struct table {
	struct rcu_head rcu;
	struct stripe *stripe;
	uint32_t buckets; /* a power of two */
	uint32_t link; /* which of an account's */
	struct sessions_link at[];
};

#define STRIPE_BITS 8
#define STRIPES (1u << STRIPE_BITS)
#define BUCKETS_MIN 8u /* of a stripe */
static struct {
	struct stripe stripe[STRIPES];
	_Atomic uint64_t n_sessions, n_accounts;
} directory;

static int64_t read_sessions(void)
{
	return (int64_t)directory_count();
}

static int64_t read_accounts(void)
{
	return (int64_t)directory_count_accounts();
}

static struct metric sessions_metric =
	METRIC_GAUGE_READ("sessions", "Bound resources.", read_sessions);
static struct metric accounts_metric =
	METRIC_GAUGE_READ("accounts_online", "Accounts with at least one session.", read_accounts);

static struct table *table_new(struct stripe *st, uint32_t buckets, uint32_t link)
{
	struct table *t = xcalloc(1, sizeof(*t) + buckets * sizeof(t->at[0]));

	t->stripe = st;
	t->buckets = buckets;
	t->link = link;
	return t;
}

void directory_init(void)
{
	for (unsigned i = 0; i < STRIPES; i++) {
		struct stripe *st = &directory.stripe[i];

		pthread_mutex_init(&st->lock, NULL);
		rcu_set(st->table, table_new(st, BUCKETS_MIN, 0));
		st->accounts = 0;
		atomic_store(&st->resizing, false);
	}
	atomic_store(&directory.n_sessions, 0);
	atomic_store(&directory.n_accounts, 0);
	metric_register(&sessions_metric);
	metric_register(&accounts_metric);
}

void directory_fini(void)
{
	REQUIRE(atomic_load(&directory.n_sessions) == 0);
	rcu_wait_later();
	for (unsigned i = 0; i < STRIPES; i++)
		free(rcu_swap(directory.stripe[i].table, NULL));
}

/* --- looking up --- */

static struct stripe *stripe_of(const struct jid *j)
{
	return &directory.stripe[j->bare_hash % STRIPES];
}

static struct sessions_link *bucket_of(struct table *t, uint32_t bare_hash)
{
	return &t->at[bare_hash >> STRIPE_BITS & (t->buckets - 1)];
}

static bool are_of(const struct sessions *s, const struct jid *j)
{
	return s->bare_hash == j->bare_hash && jid_equal_bare(s->at[0].session->jid, j);
}

/* An account's sessions, and what leads to them: their bucket or the ones before. */
struct place {
	struct table *table;
	struct sessions_link *link;
	struct sessions *sessions; /* NULL: none */
};

static struct sessions *find(const struct jid *j, struct place *out)
{
	struct table *t = rcu_get(stripe_of(j)->table);
	struct sessions_link *link = bucket_of(t, j->bare_hash);
	struct sessions *s;

	while ((s = rcu_get(*link)) && !are_of(s, j))
		link = &s->next[t->link];
	*out = (struct place){ t, link, s };
	return s;
}

/* --- changing; all of it under the stripe's lock --- */

static struct sessions *sessions_new(unsigned n)
{
	struct sessions *s = xcalloc(1, sizeof(*s) + n * sizeof(s->at[0]));

	s->n = n;
	return s;
}

static void sessions_free(struct rcu_head *head)
{
	free(container_of(head, struct sessions, rcu));
}

static struct sessions *sessions_copy(const struct sessions *was, unsigned n)
{
	struct sessions *now = sessions_new(n);

	memcpy(now->at, was->at, (was->n < n ? was->n : n) * sizeof(was->at[0]));
	return now;
}

static void replace(struct place *p, struct sessions *now)
{
	struct sessions *was = p->sessions;
	unsigned link = p->table->link;

	now->bare_hash = was->bare_hash;
	rcu_set(now->next[link], rcu_get(was->next[link]));
	rcu_set(*p->link, now);
	rcu_later(&was->rcu, sessions_free);
}

static void put(struct table *t, struct sessions *s)
{
	struct sessions_link *bucket = bucket_of(t, s->bare_hash);

	rcu_set(s->next[t->link], rcu_get(*bucket));
	rcu_set(*bucket, s);
}

static void table_left(struct rcu_head *head)
{
	struct table *t = container_of(head, struct table, rcu);

	atomic_store_explicit(&t->stripe->resizing, false, memory_order_release);
	free(t);
}

static void resize(struct stripe *st, uint32_t buckets)
{
	struct table *was = rcu_get(st->table), *now = table_new(st, buckets, !was->link);

	for (uint32_t i = 0; i < was->buckets; i++)
		for (struct sessions *s = rcu_get(was->at[i]); s; s = rcu_get(s->next[was->link]))
			put(now, s);
	atomic_store_explicit(&st->resizing, true, memory_order_relaxed);
	rcu_set(st->table, now);
	rcu_later(&was->rcu, table_left);
}

/* Two to four buckets an account, so that few look-ups meet another one; up to sixteen after many
 * have left. */
static void count_accounts(struct stripe *st, int by)
{
	uint32_t buckets = rcu_get(st->table)->buckets;

	st->accounts += (uint32_t)by;
	atomic_fetch_add_explicit(
		&directory.n_accounts, (uint64_t)(int64_t)by, memory_order_relaxed);
	if (atomic_load_explicit(&st->resizing, memory_order_acquire))
		return;
	if (st->accounts * 2 > buckets)
		resize(st, buckets * 2);
	else if (st->accounts * 16 < buckets && buckets > BUCKETS_MIN)
		resize(st, buckets / 2);
}

static int index_of(const struct sessions *s, const struct jid *full)
{
	for (unsigned i = 0; i < s->n; i++)
		if (jid_equal(s->at[i].session->jid, full))
			return (int)i;
	return -1;
}

static void add_account(struct stripe *st, const struct session *ss)
{
	struct sessions *s = sessions_new(1);

	s->bare_hash = ss->jid->bare_hash;
	s->at[0] = (struct session_entry){ .id = ss->id, .session = ss };
	put(rcu_get(st->table), s);
	count_accounts(st, 1);
}

static void share_account(const struct sessions *with, const struct session *ss)
{
	account_give(ss, rcu_get(with->at[0].session->account));
}

static void add_session(struct place *p, const struct session *ss)
{
	unsigned n = p->sessions->n;
	struct sessions *now = sessions_copy(p->sessions, n + 1);

	share_account(p->sessions, ss);
	now->at[n] = (struct session_entry){ .id = ss->id, .session = ss };
	replace(p, now);
}

int directory_enter(const struct session *ss, unsigned max_sessions, struct actor_id *holder)
{
	struct stripe *st = stripe_of(ss->jid);
	struct place p;
	int rc = 0, taken;

	pthread_mutex_lock(&st->lock);
	if (!find(ss->jid, &p)) {
		add_account(st, ss);
	} else if ((taken = index_of(p.sessions, ss->jid)) >= 0) {
		*holder = p.sessions->at[taken].id;
		rc = DIRECTORY_TAKEN;
	} else if (p.sessions->n >= max_sessions) {
		rc = DIRECTORY_FULL;
	} else {
		add_session(&p, ss);
	}
	pthread_mutex_unlock(&st->lock);
	if (!rc)
		atomic_fetch_add_explicit(&directory.n_sessions, 1, memory_order_relaxed);
	return rc;
}

struct actor_id directory_replace(const struct session *ss)
{
	struct stripe *st = stripe_of(ss->jid);
	struct actor_id was = ACTOR_NONE;
	struct place p;
	int at = -1;

	pthread_mutex_lock(&st->lock);
	if (find(ss->jid, &p))
		at = index_of(p.sessions, ss->jid);
	if (at >= 0) {
		struct sessions *now = sessions_copy(p.sessions, p.sessions->n);

		was = now->at[at].id;
		share_account(p.sessions, ss);
		now->at[at] = (struct session_entry){ .id = ss->id, .session = ss };
		replace(&p, now);
	} else {
		if (p.sessions)
			add_session(&p, ss);
		else
			add_account(st, ss);
		atomic_fetch_add_explicit(&directory.n_sessions, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&st->lock);
	return was;
}

static void remove_at(struct stripe *st, struct place *p, unsigned at)
{
	struct sessions *was = p->sessions, *now;

	if (was->n == 1) {
		rcu_set(*p->link, rcu_get(was->next[p->table->link]));
		rcu_later(&was->rcu, sessions_free);
		count_accounts(st, -1);
		return;
	}
	now = sessions_copy(was, was->n - 1);
	memcpy(now->at + at, was->at + at + 1, (was->n - at - 1) * sizeof(was->at[0]));
	replace(p, now);
}

/* Where ss has its place among its account's, or -1. */
static int place_of(const struct session *ss, struct place *out)
{
	int at = find(ss->jid, out) ? index_of(out->sessions, ss->jid) : -1;

	return at >= 0 && actor_id_equal(out->sessions->at[at].id, ss->id) ? at : -1;
}

bool directory_leave(const struct session *ss)
{
	struct stripe *st = stripe_of(ss->jid);
	struct place p;
	int at;

	pthread_mutex_lock(&st->lock);
	at = place_of(ss, &p);
	if (at >= 0)
		remove_at(st, &p, (unsigned)at);
	pthread_mutex_unlock(&st->lock);
	if (at >= 0)
		atomic_fetch_sub_explicit(&directory.n_sessions, 1, memory_order_relaxed);
	return at >= 0;
}

/* What changes about a session while it is there. */
struct change {
	enum { CHANGE_PRESENCE, CHANGE_CARBONS } what;
	bool on; /* available, or carbons wanted */
	int priority;
};

static void apply(struct session_entry *e, const struct change *c)
{
	if (c->what == CHANGE_CARBONS) {
		e->carbons = c->on;
		return;
	}
	e->available = c->on;
	e->priority = (int8_t)c->priority;
}

static void change(const struct session *ss, const struct change *c)
{
	struct stripe *st = stripe_of(ss->jid);
	struct session_entry was, now;
	struct place p;
	int at;

	pthread_mutex_lock(&st->lock);
	at = place_of(ss, &p);
	if (at >= 0) {
		was = now = p.sessions->at[at];
		apply(&now, c);
		if (was.available != now.available || was.priority != now.priority ||
			was.carbons != now.carbons) {
			struct sessions *all = sessions_copy(p.sessions, p.sessions->n);

			all->at[at] = now;
			replace(&p, all);
		}
	}
	pthread_mutex_unlock(&st->lock);
}

void directory_presence(const struct session *ss, bool available, int priority)
{
	change(ss, &(struct change){ CHANGE_PRESENCE, available, priority });
}

void directory_carbons(const struct session *ss, bool wanted)
{
	change(ss, &(struct change){ CHANGE_CARBONS, wanted, 0 });
}

void directory_set_account(const struct jid *any_of_account, struct account *a)
{
	struct stripe *st = stripe_of(any_of_account);
	struct sessions *all;
	struct place p;

	pthread_mutex_lock(&st->lock);
	all = find(any_of_account, &p);
	for (unsigned i = 0; all && i < all->n; i++)
		account_give(all->at[i].session, a);
	pthread_mutex_unlock(&st->lock);
}

/* Which account of its bucket it is, if any, is not looked for: most are alone. */
void directory_soon(const struct jid *any_of_account, enum directory_step step)
{
	struct table *t = rcu_get(stripe_of(any_of_account)->table);
	struct sessions_link *bucket = bucket_of(t, any_of_account->bare_hash);
	struct sessions *first;

	if (step == DIRECTORY_BUCKET) {
		__builtin_prefetch(bucket);
		return;
	}
	first = rcu_get(*bucket);
	if (step == DIRECTORY_ACCOUNT) {
		__builtin_prefetch(first);
	} else if (first && first->bare_hash == any_of_account->bare_hash) {
		session_soon(first->at[0].session);
		actor_soon(first->at[0].id);
	}
}

const struct sessions *directory_find(const struct jid *any_of_account)
{
	struct place p;

	return find(any_of_account, &p);
}

const struct session_entry *sessions_find(const struct sessions *s, const struct jid *full)
{
	int at = index_of(s, full);

	return at >= 0 ? &s->at[at] : NULL;
}

const struct session_entry *directory_find_full(const struct jid *full)
{
	const struct sessions *s = directory_find(full);

	return s ? sessions_find(s, full) : NULL;
}

uint64_t directory_count(void)
{
	return atomic_load_explicit(&directory.n_sessions, memory_order_relaxed);
}

uint64_t directory_count_accounts(void)
{
	return atomic_load_explicit(&directory.n_accounts, memory_order_relaxed);
}

void directory_each(void (*fn)(const struct sessions *s, void *arg), void *arg)
{
	for (unsigned i = 0; i < STRIPES; i++) {
		struct table *t = rcu_get(directory.stripe[i].table);

		for (uint32_t b = 0; b < t->buckets; b++)
			for (struct sessions *s = rcu_get(t->at[b]); s;
				s = rcu_get(s->next[t->link]))
				fn(s, arg);
	}
}
