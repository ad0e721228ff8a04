/* net/dns_cache.c - a chained table, and a list by last use. */
#include "net/dns_cache.h"

#include <stdlib.h>
#include <string.h>
#include <urcu/list.h>

#include "core/mem.h"
#include "xml/jid.h"

#define BUCKETS 4096

struct kept {
	struct cds_list_head used; /* the most recent first */
	struct kept *next; /* in its bucket */
	const struct dns_answer *answer; /* counted */
	uint64_t until_ms;
	unsigned bucket;
	char name[];
};

struct dns_cache {
	struct cds_list_head used;
	size_t bytes, max_bytes;
	unsigned n;
	struct kept *buckets[BUCKETS];
};

static unsigned bucket_of(const char *name, enum dns_type type)
{
	return (jid_hash_domain(name, strlen(name)) ^ (uint32_t)type) % BUCKETS;
}

static size_t bytes_of(const struct kept *k)
{
	return sizeof(*k) + strlen(k->name) + 1 + k->answer->bytes;
}

static void drop(struct dns_cache *c, struct kept *k)
{
	struct kept **link = &c->buckets[k->bucket];

	while (*link != k)
		link = &(*link)->next;
	*link = k->next;
	cds_list_del(&k->used);
	c->bytes -= bytes_of(k);
	c->n--;
	dns_answer_unref(k->answer);
	free(k);
}

static struct kept *find(const struct dns_cache *c, const char *name, enum dns_type type)
{
	struct kept *k = c->buckets[bucket_of(name, type)];

	while (k && (k->answer->type != type || strcmp(k->name, name) != 0))
		k = k->next;
	return k;
}

static struct kept *least_used(const struct dns_cache *c)
{
	return caa_container_of(c->used.prev, struct kept, used);
}

struct dns_cache *dns_cache_new(size_t max_bytes)
{
	struct dns_cache *c = xcalloc(1, sizeof(*c));

	CDS_INIT_LIST_HEAD(&c->used);
	c->max_bytes = max_bytes;
	return c;
}

void dns_cache_free(struct dns_cache *c)
{
	if (c)
		dns_cache_forget_all(c);
	free(c);
}

const struct dns_answer *dns_cache_find(struct dns_cache *c, const char *name, enum dns_type type,
	uint64_t now_ms, uint32_t *out_left_s)
{
	struct kept *k = find(c, name, type);

	if (k && k->until_ms <= now_ms) {
		drop(c, k);
		k = NULL;
	}
	if (!k)
		return NULL;
	cds_list_move(&k->used, &c->used);
	*out_left_s = (uint32_t)((k->until_ms - now_ms) / 1000);
	return k->answer;
}

static uint32_t ttl_of(const struct dns_answer *a)
{
	uint32_t max_s =
		a->outcome == DNS_FOUND ? DNS_CACHE_TTL_MAX_S : DNS_CACHE_NEGATIVE_TTL_MAX_S;

	if (a->outcome == DNS_FAILED)
		return 0;
	return a->ttl_s < max_s ? a->ttl_s : max_s;
}

void dns_cache_put(
	struct dns_cache *c, const char *name, const struct dns_answer *a, uint64_t now_ms)
{
	struct kept *k = find(c, name, a->type);
	size_t name_bytes = strlen(name) + 1;

	if (k)
		drop(c, k);
	if (!ttl_of(a))
		return;
	k = xcalloc(1, sizeof(*k) + name_bytes);
	k->answer = dns_answer_ref(a);
	k->until_ms = now_ms + ttl_of(a) * UINT64_C(1000);
	k->bucket = bucket_of(name, a->type);
	memcpy(k->name, name, name_bytes);
	k->next = c->buckets[k->bucket];
	c->buckets[k->bucket] = k;
	cds_list_add(&k->used, &c->used);
	c->bytes += bytes_of(k);
	c->n++;
	while (c->bytes > c->max_bytes && c->n)
		drop(c, least_used(c));
}

void dns_cache_forget_all(struct dns_cache *c)
{
	while (c->n)
		drop(c, least_used(c));
}

unsigned dns_cache_count(const struct dns_cache *c)
{
	return c->n;
}
