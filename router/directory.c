/* router/directory.c - the session manager's table: liburcu's lock-free hash of accounts. */
#include "router/directory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/rculfhash.h>

#include "core/mem.h"
#include "core/metric.h"

struct account {
	struct cds_lfht_node node;
	struct rcu_head rcu;
	RCU_PTR(struct sessions) sessions; /* never empty while in the table */
};

/* Writers of one account exclude each other; logins are few compared with stanzas. */
#define STRIPES 64
#define BUCKETS_MIN 1024u
static struct {
	struct cds_lfht *accounts;
	pthread_mutex_t stripe[STRIPES];
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

void directory_init(void)
{
	directory.accounts = cds_lfht_new(
		BUCKETS_MIN, BUCKETS_MIN, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
	REQUIRE(directory.accounts);
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_init(&directory.stripe[i], NULL);
	atomic_store(&directory.n_sessions, 0);
	atomic_store(&directory.n_accounts, 0);
	metric_register(&sessions_metric);
	metric_register(&accounts_metric);
}

void directory_fini(void)
{
	bool reading;

	REQUIRE(atomic_load(&directory.n_sessions) == 0);
	rcu_wait_later();
	/* A resize under way ends first, for which it waits for all readers, so this is none. The
	 * table is empty, so it cannot fail. */
	reading = rcu_offline();
	REQUIRE(cds_lfht_destroy(directory.accounts, NULL) == 0);
	rcu_online(reading);
	directory.accounts = NULL;
}

static int account_matches(struct cds_lfht_node *node, const void *key)
{
	struct account *a = caa_container_of(node, struct account, node);

	tsan_acquire(a);
	return jid_equal_bare(rcu_get(a->sessions)->at[0].session->jid, key);
}

static struct account *find(const struct jid *j)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	cds_lfht_lookup(directory.accounts, j->bare_hash, account_matches, j, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? caa_container_of(node, struct account, node) : NULL;
}

static pthread_mutex_t *stripe_of(const struct jid *j)
{
	return &directory.stripe[j->bare_hash % STRIPES];
}

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

static void account_free(struct rcu_head *head)
{
	free(container_of(head, struct account, rcu));
}

static void replace(struct account *a, struct sessions *now)
{
	struct sessions *was = rcu_swap(a->sessions, now);

	rcu_later(&was->rcu, sessions_free);
}

static int index_of(const struct sessions *s, const struct jid *full)
{
	for (unsigned i = 0; i < s->n; i++)
		if (jid_equal(s->at[i].session->jid, full))
			return (int)i;
	return -1;
}

/* Left to itself the table grows when accounts are eight times its buckets, so that each look-up
 * walks past several others; so it is told to at each doubling. */
struct growth {
	struct rcu_head head;
	unsigned long buckets;
};

static void grow(struct rcu_head *head)
{
	struct growth *g = container_of(head, struct growth, head);
	/* Another resize may be under way, which waits for all readers: this thread is none
	 * meanwhile. */
	bool reading = rcu_offline();

	cds_lfht_resize(directory.accounts, g->buckets);
	rcu_online(reading);
	free(g);
}

static void count_account(void)
{
	uint64_t n = atomic_fetch_add_explicit(&directory.n_accounts, 1, memory_order_relaxed) + 1;
	struct growth *g;

	if (n <= BUCKETS_MIN || n & (n - 1))
		return;
	g = xmalloc(sizeof(*g));
	g->buckets = n;
	rcu_later(&g->head, grow); /* it may wait for readers, and this thread is one */
}

static void add_account(const struct session *ss)
{
	struct account *a = xcalloc(1, sizeof(*a));
	struct sessions *s = sessions_new(1);

	s->at[0] = (struct session_entry){ .id = ss->id, .session = ss };
	rcu_set(a->sessions, s);
	cds_lfht_node_init(&a->node);
	tsan_release(a);
	cds_lfht_add(directory.accounts, ss->jid->bare_hash, &a->node);
	count_account();
}

static void add_session(struct account *a, const struct session *ss)
{
	struct sessions *was = rcu_get(a->sessions), *now = sessions_new(was->n + 1);

	memcpy(now->at, was->at, was->n * sizeof(was->at[0]));
	now->at[was->n] = (struct session_entry){ .id = ss->id, .session = ss };
	replace(a, now);
}

int directory_enter(const struct session *ss, unsigned max_sessions, struct actor_id *holder)
{
	pthread_mutex_t *stripe = stripe_of(ss->jid);
	struct account *a;
	int rc = 0, taken;

	pthread_mutex_lock(stripe);
	a = find(ss->jid);
	if (!a) {
		add_account(ss);
	} else if ((taken = index_of(rcu_get(a->sessions), ss->jid)) >= 0) {
		*holder = rcu_get(a->sessions)->at[taken].id;
		rc = DIRECTORY_TAKEN;
	} else if (rcu_get(a->sessions)->n >= max_sessions) {
		rc = DIRECTORY_FULL;
	} else {
		add_session(a, ss);
	}
	pthread_mutex_unlock(stripe);
	if (!rc)
		atomic_fetch_add_explicit(&directory.n_sessions, 1, memory_order_relaxed);
	return rc;
}

struct actor_id directory_replace(const struct session *ss)
{
	pthread_mutex_t *stripe = stripe_of(ss->jid);
	struct actor_id was = ACTOR_NONE;
	struct account *a;
	int at = -1;

	pthread_mutex_lock(stripe);
	a = find(ss->jid);
	if (a)
		at = index_of(rcu_get(a->sessions), ss->jid);
	if (at >= 0) {
		struct sessions *old = rcu_get(a->sessions), *now = sessions_new(old->n);

		memcpy(now->at, old->at, old->n * sizeof(old->at[0]));
		was = old->at[at].id;
		now->at[at] = (struct session_entry){ .id = ss->id, .session = ss };
		replace(a, now);
	} else {
		if (a)
			add_session(a, ss);
		else
			add_account(ss);
		atomic_fetch_add_explicit(&directory.n_sessions, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(stripe);
	return was;
}

static void remove_at(struct account *a, unsigned at)
{
	struct sessions *was = rcu_get(a->sessions), *now;

	if (was->n == 1) {
		cds_lfht_del(directory.accounts, &a->node);
		rcu_later(&was->rcu, sessions_free);
		rcu_later(&a->rcu, account_free);
		atomic_fetch_sub_explicit(&directory.n_accounts, 1, memory_order_relaxed);
		return;
	}
	now = sessions_new(was->n - 1);
	memcpy(now->at, was->at, at * sizeof(was->at[0]));
	memcpy(now->at + at, was->at + at + 1, (was->n - at - 1) * sizeof(was->at[0]));
	replace(a, now);
}

bool directory_leave(const struct session *ss)
{
	pthread_mutex_t *stripe = stripe_of(ss->jid);
	struct account *a;
	bool held = false;
	int at;

	pthread_mutex_lock(stripe);
	a = find(ss->jid);
	at = a ? index_of(rcu_get(a->sessions), ss->jid) : -1;
	if (at >= 0 && actor_id_equal(rcu_get(a->sessions)->at[at].id, ss->id)) {
		remove_at(a, (unsigned)at);
		held = true;
	}
	pthread_mutex_unlock(stripe);
	if (held)
		atomic_fetch_sub_explicit(&directory.n_sessions, 1, memory_order_relaxed);
	return held;
}

void directory_presence(const struct session *ss, bool available, int priority)
{
	pthread_mutex_t *stripe = stripe_of(ss->jid);
	struct account *a;
	int at;

	pthread_mutex_lock(stripe);
	a = find(ss->jid);
	at = a ? index_of(rcu_get(a->sessions), ss->jid) : -1;
	if (at >= 0 && actor_id_equal(rcu_get(a->sessions)->at[at].id, ss->id)) {
		struct sessions *was = rcu_get(a->sessions);

		if (was->at[at].available != available || was->at[at].priority != priority) {
			struct sessions *now = sessions_new(was->n);

			memcpy(now->at, was->at, was->n * sizeof(was->at[0]));
			now->at[at].available = available;
			now->at[at].priority = (int8_t)priority;
			replace(a, now);
		}
	}
	pthread_mutex_unlock(stripe);
}

const struct sessions *directory_find(const struct jid *any_of_account)
{
	struct account *a = find(any_of_account);

	return a ? rcu_get(a->sessions) : NULL;
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
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	cds_lfht_for_each (directory.accounts, &iter, node) {
		struct account *a = caa_container_of(node, struct account, node);

		tsan_acquire(a);
		fn(rcu_get(a->sessions), arg);
	}
}
