/* net/dns_cache.h - answers by name and type, each for as long as its TTL says, the least recently
 * asked for going first when there is no room. One thread at a time. */
#pragma once

#include "net/dns_answer.h"

#define DNS_CACHE_BYTES (4u << 20)
#define DNS_CACHE_TTL_MAX_S 86400 /* what is longer is cut; RFC 8767 §4 suggests a week */
#define DNS_CACHE_NEGATIVE_TTL_MAX_S 3600 /* RFC 2308 §5: one to three hours */

struct dns_cache;
struct dns_cache *dns_cache_new(size_t max_bytes);
void dns_cache_free(struct dns_cache *c); /* NULL is fine */
/* Borrowed until the next call; NULL: there is none, or not any more. */
const struct dns_answer *dns_cache_find(struct dns_cache *c, const char *name, enum dns_type type,
	uint64_t now_ms, uint32_t *out_left_s);
/* Takes a reference of its own, and the place of an older one. What failed or has no TTL is not
 * kept. */
void dns_cache_put(
	struct dns_cache *c, const char *name, const struct dns_answer *a, uint64_t now_ms);
void dns_cache_forget_all(struct dns_cache *c);
unsigned dns_cache_count(const struct dns_cache *c);
