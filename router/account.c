/* router/account.c - snapshots of accounts, and the lanes where they are made. */
#include "router/account.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"
#include "router/directory.h"

#define LANES 64
#define QUEUE 65536

HOOK(account_visit);

static struct carrier *lanes;
static struct metric loaded_metric =
	METRIC_COUNTER("accounts_loaded_total", "Accounts whose data was loaded.");
static struct metric failed_metric =
	METRIC_COUNTER("accounts_load_failed_total", "Accounts whose data could not be loaded.");

/* ---- Kinds */

/* Who loads a kind of part for a host. */
struct loader {
	struct loader *next;
	struct host *host;
	struct account_kind *kind;
	void *arg;
};
/* Loads hold it for reading, so that a module that goes waits for them. */
static pthread_rwlock_t loaders_lock;
static struct loader *loaders;
static _Atomic unsigned n_loaders;
static unsigned places;

__attribute__((constructor)) static void init_lock(void)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&loaders_lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

static void change_loaders(void)
{
	bool reading = rcu_offline();

	pthread_rwlock_wrlock(&loaders_lock);
	rcu_online(reading);
}

static struct loader **loader_of(const struct host *h, const struct account_kind *k)
{
	struct loader **at = &loaders;

	while (*at && ((*at)->host != h || (*at)->kind != k))
		at = &(*at)->next;
	return at;
}

/* ---- Snapshots */

static void part_drop(struct account_part *p)
{
	if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		p->free(p);
}

static void account_free(struct rcu_head *head)
{
	struct account *a = container_of(head, struct account, rcu);

	for (unsigned i = 0; i < ACCOUNT_KINDS_MAX; i++)
		part_drop(a->parts[i]);
	free(a);
}

void account_drop(struct account *a)
{
	if (a && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1)
		rcu_later(&a->rcu, account_free);
}

static struct account *account_new(void)
{
	struct account *a = xcalloc(1, sizeof(*a));

	atomic_init(&a->refs, 1);
	return a;
}

static struct account *account_copy(const struct account *from)
{
	struct account *a = account_new();

	for (unsigned i = 0; i < ACCOUNT_KINDS_MAX; i++) {
		a->parts[i] = from->parts[i];
		if (a->parts[i])
			atomic_fetch_add_explicit(&a->parts[i]->refs, 1, memory_order_relaxed);
	}
	return a;
}

/* One that is not on its way out. */
static struct account *account_ref(struct account *a)
{
	uint32_t refs = a ? atomic_load_explicit(&a->refs, memory_order_relaxed) : 0;

	while (refs &&
		!atomic_compare_exchange_weak_explicit(
			&a->refs, &refs, refs + 1, memory_order_acquire, memory_order_relaxed))
		;
	return refs ? a : NULL;
}

void account_give(const struct session *ss, struct account *a)
{
	struct session *writable = (struct session *)ss;

	account_drop(rcu_swap(writable->account, account_ref(a)));
}

const struct account *account_online(const struct jid *any_of_account)
{
	const struct sessions *all = directory_find(any_of_account);

	for (unsigned i = 0; all && i < all->n; i++) {
		const struct account *a = account_of(all->at[i].session);

		if (a)
			return a;
	}
	return NULL;
}

static struct account *hold_online(const struct jid *bare)
{
	return account_ref((struct account *)account_online(bare));
}

/* Loads only (NULL: all kinds) into a; loads may block, so nothing is read under RCU meanwhile. */
ON_JOB static int load_parts(struct host *h, const struct jid *bare,
	const struct account_kind *only, struct account *into)
{
	bool reading;
	int error = 0;

	reading = rcu_offline();
	pthread_rwlock_rdlock(&loaders_lock);
	rcu_online(reading);
	for (struct loader *l = loaders; l && !error; l = l->next) {
		struct account_part **at = &into->parts[atomic_load(&l->kind->place) - 1];

		if (l->host != h || (only && l->kind != only))
			continue;
		part_drop(*at);
		*at = NULL;
		error = l->kind->load(l->arg, h, bare, at);
		if (error)
			log_warning("account", "cannot be loaded", L_STR("host", h->name),
				L_STR("part", l->kind->name), L_STR("why", strerror(-error)));
	}
	pthread_rwlock_unlock(&loaders_lock);
	metric_add(error ? &failed_metric : &loaded_metric, 1);
	return error;
}

int account_hold(struct host *h, const struct jid *bare, struct account **out)
{
	struct account *a = hold_online(bare);
	int error = 0;

	job_check();
	if (!a) {
		a = account_new();
		error = load_parts(h, bare, NULL, a);
	}
	if (error)
		account_drop(a);
	else
		*out = a;
	return error;
}

int account_changed(struct host *h, const struct jid *bare, struct account_kind *k)
{
	struct account *was = hold_online(bare), *now;
	int error;

	job_check();
	if (!was)
		return 0;
	now = account_copy(was);
	account_drop(was);
	error = load_parts(h, bare, k, now);
	if (!error)
		directory_set_account(bare, now);
	account_drop(now);
	return error;
}

/* ---- Lanes */

int account_work(const struct jid *any_of_account, struct job *j)
{
	return carrier_submit(lanes, any_of_account->bare_hash, j);
}

unsigned account_work_waiting(void)
{
	return carrier_waiting(lanes);
}

/* A session that waits for its account's data. */
struct need {
	struct job job;
	struct host *host; /* counted */
	struct jid *bare; /* owned */
	struct actor_id session;
	account_ready_fn *done; /* NULL: nobody waits */
	int error;
};

static void need_free(struct need *n)
{
	host_unref(n->host);
	jid_free(n->bare);
	free(n);
}

static void need_work(struct job *j)
{
	struct need *n = container_of(j, struct need, job);
	struct account *a;

	job_check();
	n->error = account_hold(n->host, n->bare, &a);
	if (n->error)
		return;
	directory_set_account(n->bare, a);
	account_drop(a);
}

static void need_done(struct job *j)
{
	struct need *n = container_of(j, struct need, job);

	if (n->done)
		n->done(n->session, n->error);
	need_free(n);
}

static struct need *need_new(struct host *h, const struct jid *any_of_account)
{
	struct need *n = xcalloc(1, sizeof(*n));

	n->host = host_ref(h);
	n->bare = jid_bare(any_of_account, NULL);
	n->job.work = need_work;
	n->job.done = need_done;
	return n;
}

int account_need(const struct session *ss, account_ready_fn *done)
{
	struct need *n;

	if (account_of(ss) || !atomic_load_explicit(&n_loaders, memory_order_relaxed))
		return 0;
	n = need_new(ss->host, ss->jid);
	n->session = ss->id;
	n->done = done;
	if (account_work(n->bare, &n->job) == 0)
		return 1;
	need_free(n);
	return -EAGAIN;
}

/* ---- All of a host's accounts */

static void reload_work(struct job *j)
{
	struct need *n = container_of(j, struct need, job);
	struct account *a = account_new();

	job_check();
	if (directory_find(n->bare) && load_parts(n->host, n->bare, NULL, a) == 0)
		directory_set_account(n->bare, a);
	account_drop(a);
}

static void reload_one(const struct sessions *s, void *arg)
{
	struct host *h = arg;
	struct need *n;

	if (s->at[0].session->host != h)
		return;
	n = need_new(h, s->at[0].session->jid);
	n->job.work = reload_work;
	if (account_work(n->bare, &n->job)) {
		log_warning("account", "too much waits: it keeps what it had",
			L_STR("host", h->name), L_STR("name", jid_local(n->bare)));
		need_free(n);
	}
}

static void reload_host(struct host *h)
{
	directory_each(reload_one, h);
}

void account_kind_add(struct host *h, struct account_kind *k, void *arg)
{
	struct loader **at;

	change_loaders();
	if (!atomic_load(&k->place)) {
		REQUIRE(places < ACCOUNT_KINDS_MAX);
		atomic_store(&k->place, ++places);
	}
	at = loader_of(h, k);
	if (!*at) {
		*at = xcalloc(1, sizeof(**at));
		(*at)->host = h;
		(*at)->kind = k;
		atomic_fetch_add(&n_loaders, 1);
	}
	(*at)->arg = arg;
	pthread_rwlock_unlock(&loaders_lock);
	reload_host(h); /* those that are there already */
}

void account_kind_remove(struct host *h, struct account_kind *k, void *arg)
{
	struct loader **at, *gone;

	change_loaders();
	at = loader_of(h, k);
	gone = *at;
	if (gone && gone->arg == arg) { /* else another one has taken its place */
		*at = gone->next;
		free(gone);
		atomic_fetch_sub(&n_loaders, 1);
	}
	pthread_rwlock_unlock(&loaders_lock);
}

/* ---- */

void accounts_start(void)
{
	metric_register(&loaded_metric);
	metric_register(&failed_metric);
	lanes = carrier_new(CARRIER_LANES, LANES, QUEUE, "account data");
}

void accounts_stop(void)
{
	carrier_free(lanes);
	lanes = NULL;
}

int account_admits(struct host *h, const struct account *a, struct stanza *s)
{
	struct account_visit visit = { .host = h, .account = a, .stanza = s };

	if (hook_run(h->hooks, &account_visit_hook, &visit) == HOOK_GO_ON)
		return 0;
	return visit.error ? visit.error : -1;
}
