/* router/auth_cache.c - sets of a few entries each, found by a digest of the name. */
#include "router/auth_cache.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"

#define WAYS 8
#define KEY 16
#define SALT 16 /* of a password */
#define HASH 32

struct entry {
	uint8_t key[KEY];
	uint64_t said_ms, used_ms; /* clock_ms(); used 0: empty */
	bool exists;
	/* A password that was right: SCRAM's stored key of it. */
	uint64_t right_ms; /* 0: none */
	uint8_t salt[SALT], hash[HASH];
};
struct auth_cache {
	pthread_mutex_t lock;
	size_t n_sets;
	struct entry sets[][WAYS];
};

static struct metric hits = METRIC_COUNTER("auth_cache_hits_total",
	"Questions about accounts of other systems that were answered from memory");
static struct metric misses = METRIC_COUNTER("auth_cache_misses_total",
	"Questions about accounts of other systems that were not in memory");

static struct auth_cache *cache_new(size_t entries)
{
	size_t n = (entries + WAYS - 1) / WAYS;
	struct auth_cache *c = xcalloc(1, sizeof(*c) + n * sizeof(c->sets[0]));

	pthread_mutex_init(&c->lock, NULL);
	c->n_sets = n;
	return c;
}

void auth_cache_free(struct auth_cache *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* The host's, which lives as long as the host. */
static struct auth_cache *cache_of(struct host *h, const struct host_conf *conf)
{
	static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
	struct auth_cache *c = rcu_get(h->auth_cache);

	if (c || !conf->auth_cache_size)
		return c;
	pthread_mutex_lock(&making);
	c = rcu_get(h->auth_cache);
	if (!c) {
		c = cache_new((size_t)conf->auth_cache_size);
		rcu_set(h->auth_cache, c);
	}
	pthread_mutex_unlock(&making);
	return c;
}

static void make_key(enum auth_method source, const char *user, uint8_t key[KEY])
{
	AUTO(free_ptr) char *whom = xprintf("cache:%d:%s", (int)source, user);

	_Static_assert(KEY == AUTH_PSEUDONYM, "one digest");
	auth_pseudonym(whom, key);
}

static struct entry *set_of(struct auth_cache *c, const uint8_t key[KEY])
{
	uint64_t n;

	memcpy(&n, key, sizeof(n));
	return c->sets[n % c->n_sets];
}

/* Under the lock. */
static struct entry *find(struct auth_cache *c, const uint8_t key[KEY])
{
	struct entry *set = set_of(c, key);

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].used_ms && memcmp(set[i].key, key, KEY) == 0)
			return &set[i];
	return NULL;
}

/* Under the lock: the one with this key, or the least used of its set. */
static struct entry *place(struct auth_cache *c, const uint8_t key[KEY])
{
	struct entry *e = find(c, key), *set = set_of(c, key);

	if (e)
		return e;
	e = &set[0];
	for (unsigned i = 1; i < WAYS; i++)
		if (set[i].used_ms < e->used_ms)
			e = &set[i];
	*e = (struct entry){ 0 };
	memcpy(e->key, key, KEY);
	return e;
}

enum auth_known auth_cache_ask(
	struct host *h, enum auth_method source, const char *user, bool stale)
{
	struct host_conf *conf = host_conf_hold(h);
	struct auth_cache *c = conf->use_auth_cache ? cache_of(h, conf) : NULL;
	enum auth_known known = AUTH_UNKNOWN;
	uint64_t now_ms = clock_ms();
	uint8_t key[KEY];
	struct entry *e;

	if (c) {
		make_key(source, user, key);
		pthread_mutex_lock(&c->lock);
		e = find(c, key);
		if (e && (stale || now_ms - e->said_ms < (uint64_t)conf->auth_cache_life_ms)) {
			known = e->exists ? AUTH_KNOWN_YES : AUTH_KNOWN_NO;
			e->used_ms = now_ms;
		}
		pthread_mutex_unlock(&c->lock);
		metric_add(known ? &hits : &misses, 1);
	}
	host_conf_drop(conf);
	return known;
}

void auth_cache_note(struct host *h, enum auth_method source, const char *user, bool exists)
{
	struct host_conf *conf = host_conf_hold(h);
	struct auth_cache *c = conf->use_auth_cache ? cache_of(h, conf) : NULL;
	uint8_t key[KEY];
	struct entry *e;

	if (c) {
		make_key(source, user, key);
		pthread_mutex_lock(&c->lock);
		e = exists || conf->auth_cache_missed ? place(c, key) : find(c, key);
		if (e && !exists && !conf->auth_cache_missed) {
			e->used_ms = 0;
		} else if (e) {
			e->exists = exists;
			e->right_ms = exists ? e->right_ms : 0;
			e->said_ms = e->used_ms = clock_ms();
		}
		pthread_mutex_unlock(&c->lock);
	}
	host_conf_drop(conf);
}

static uint32_t rounds(const struct host_conf *conf)
{
	return (uint32_t)conf->scram_iterations;
}

void auth_cache_remember(
	struct host *h, enum auth_method source, const char *user, const char *password)
{
	struct host_conf *conf = host_conf_hold(h);
	struct auth_cache *c = cache_of(h, conf);
	struct scram_verifier v;
	uint8_t key[KEY];
	struct entry *e;

	if (c && scram_make(SCRAM_SHA_256, password, rounds(conf), &v) == 0) {
		make_key(source, user, key);
		pthread_mutex_lock(&c->lock);
		e = place(c, key);
		e->exists = true;
		e->said_ms = e->used_ms = e->right_ms = clock_ms();
		memcpy(e->salt, v.salt, SALT);
		memcpy(e->hash, v.stored_key, HASH);
		pthread_mutex_unlock(&c->lock);
		wipe(&v, sizeof(v));
	}
	host_conf_drop(conf);
}

bool auth_cache_recall(struct host *h, enum auth_method source, const char *user,
	const char *password, uint64_t within_ms)
{
	struct host_conf *conf = host_conf_hold(h);
	struct auth_cache *c = cache_of(h, conf);
	struct scram_verifier v = { .salt_len = SALT, .iterations = rounds(conf) };
	bool there = false, right = false;
	uint8_t key[KEY];
	struct entry *e;

	if (v.iterations < SCRAM_ITERATIONS_MIN)
		v.iterations = SCRAM_ITERATIONS_MIN;
	if (c) {
		make_key(source, user, key);
		pthread_mutex_lock(&c->lock);
		e = find(c, key);
		there = e && e->right_ms && clock_ms() - e->right_ms < within_ms;
		if (there) {
			memcpy(v.salt, e->salt, SALT);
			memcpy(v.stored_key, e->hash, HASH);
			e->used_ms = clock_ms();
		}
		pthread_mutex_unlock(&c->lock);
		right = scram_check(SCRAM_SHA_256, password, &v) && there;
		wipe(&v, sizeof(v));
	}
	host_conf_drop(conf);
	return right;
}

void auth_cache_forget(struct host *h, const char *user)
{
	struct auth_cache *c = rcu_get(h->auth_cache);
	uint8_t key[KEY];

	for (int m = 0; c && m < AUTH_SOURCES; m++) {
		struct entry *e;

		make_key((enum auth_method)m, user, key);
		pthread_mutex_lock(&c->lock);
		e = find(c, key);
		if (e)
			e->used_ms = 0;
		pthread_mutex_unlock(&c->lock);
	}
}

void auth_cache_clear(struct host *h)
{
	struct auth_cache *c = rcu_get(h->auth_cache);

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	memset(c->sets, 0, c->n_sets * sizeof(c->sets[0]));
	pthread_mutex_unlock(&c->lock);
}
