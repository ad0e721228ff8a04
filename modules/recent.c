/* modules/recent.c - a hash table whose entries also stand in the order of their first time. */
#include "modules/recent.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <urcu/list.h>

#include "core/mem.h"

struct seen {
	struct cds_list_head in_order; /* oldest first */
	struct seen *next; /* of the same bucket */
	struct recent_key key;
	uint64_t since_ms;
	unsigned times;
};

struct recent {
	pthread_mutex_t lock; /* covers all below */
	struct cds_list_head in_order;
	unsigned n, max;
	unsigned n_buckets; /* a power of two */
	struct seen *bucket[];
};

struct recent_key recent_key_of_address(const struct conf_prefix *address)
{
	static const uint8_t v4_start[12] = { [10] = 0xff, [11] = 0xff };
	struct recent_key key;

	memcpy(key.bytes, address->bytes, sizeof(key.bytes));
	if (memcmp(key.bytes, v4_start, sizeof(v4_start)) != 0)
		memset(key.bytes + 8, 0, 8);
	return key;
}

struct recent_key recent_key_of_account(const struct jid *j)
{
	struct recent_key key = { .bytes = { 0xfe } }; /* no address begins so that may connect */

	memcpy(key.bytes + 1, &j->bare_hash, sizeof(j->bare_hash));
	return key;
}

struct recent *recent_new(unsigned max_keys)
{
	unsigned n_buckets = 64;
	struct recent *r;

	while (n_buckets < max_keys)
		n_buckets *= 2;
	r = xcalloc(1, sizeof(*r) + n_buckets * sizeof(r->bucket[0]));
	pthread_mutex_init(&r->lock, NULL);
	CDS_INIT_LIST_HEAD(&r->in_order);
	r->max = max_keys;
	r->n_buckets = n_buckets;
	return r;
}

/* FNV-1a: who picks addresses to collide has to own them. */
static struct seen **bucket_of(struct recent *r, const struct recent_key *key)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof(key->bytes); i++)
		hash = (hash ^ key->bytes[i]) * 16777619u;
	return &r->bucket[hash & (r->n_buckets - 1)];
}

static struct seen *find(struct recent *r, const struct recent_key *key)
{
	struct seen *s = *bucket_of(r, key);

	while (s && memcmp(&s->key, key, sizeof(*key)) != 0)
		s = s->next;
	return s;
}

static void forget(struct recent *r, struct seen *s)
{
	struct seen **at = bucket_of(r, &s->key);

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	cds_list_del(&s->in_order);
	free(s);
	r->n--;
}

static void forget_old(struct recent *r, uint64_t now_ms, uint64_t window_ms)
{
	while (!cds_list_empty(&r->in_order)) {
		struct seen *s = cds_list_first_entry(&r->in_order, struct seen, in_order);

		if (now_ms - s->since_ms < window_ms)
			return;
		forget(r, s);
	}
}

void recent_free(struct recent *r)
{
	if (!r)
		return;
	forget_old(r, 0, 0);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static struct seen *remember(struct recent *r, const struct recent_key *key, uint64_t now_ms)
{
	struct seen *s, **bucket = bucket_of(r, key);

	if (r->n == r->max)
		return NULL;
	s = xmalloc(sizeof(*s));
	*s = (struct seen){ .next = *bucket, .key = *key, .since_ms = now_ms };
	*bucket = s;
	cds_list_add_tail(&s->in_order, &r->in_order);
	r->n++;
	return s;
}

bool recent_take(
	struct recent *r, struct recent_key key, uint64_t now_ms, uint64_t window_ms, unsigned most)
{
	struct seen *s;
	bool taken;

	pthread_mutex_lock(&r->lock);
	forget_old(r, now_ms, window_ms);
	s = find(r, &key);
	if (!s)
		s = remember(r, &key, now_ms);
	taken = s && s->times < most;
	if (taken)
		s->times++;
	pthread_mutex_unlock(&r->lock);
	return taken;
}

void recent_exhaust(struct recent *r, struct recent_key key)
{
	struct seen *s;

	pthread_mutex_lock(&r->lock);
	s = find(r, &key);
	if (s)
		s->times = UINT_MAX;
	pthread_mutex_unlock(&r->lock);
}
