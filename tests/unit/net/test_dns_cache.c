/* Answers that are kept: for how long, and which go when there is no room. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/dns_cache.h"

static struct dns_answer *answer_of(enum dns_type type, enum dns_outcome outcome, uint32_t ttl_s)
{
	struct dns_answer *a = dns_answer_failed(type, "");

	a->outcome = outcome;
	a->ttl_s = ttl_s;
	return a;
}

static void put(struct dns_cache *c, const char *name, enum dns_type type, enum dns_outcome outcome,
	uint32_t ttl_s)
{
	struct dns_answer *a = answer_of(type, outcome, ttl_s);

	dns_cache_put(c, name, a, 1000);
	dns_answer_unref(a);
}

static const struct {
	const char *what;
	enum dns_outcome outcome;
	uint32_t ttl_s, kept_s; /* 0: not at all */
} rows[] = {
	{ "as long as its TTL says", DNS_FOUND, 300, 300 },
	{ "RFC 1035 §3.2.1: a TTL of zero", DNS_FOUND, 0, 0 },
	{ "not for ever", DNS_FOUND, 604800, DNS_CACHE_TTL_MAX_S },
	{ "RFC 2308 §5: what is not there", DNS_NO_NAME, 60, 60 },
	{ "RFC 2308 §5: nor such records", DNS_NOTHING, 60, 60 },
	{ "RFC 2308 §5: a bound for both", DNS_NOTHING, 86400, DNS_CACHE_NEGATIVE_TTL_MAX_S },
	{ "nothing that failed", DNS_FAILED, 60, 0 },
};

Test(dns_cache, how_long)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dns_cache *c = dns_cache_new(DNS_CACHE_BYTES);
		uint64_t end_ms = 1000 + rows[i].kept_s * UINT64_C(1000);
		uint32_t left_s = 0;

		put(c, "a.example", DNS_A, rows[i].outcome, rows[i].ttl_s);
		cr_expect_eq(dns_cache_count(c), rows[i].kept_s != 0, "%s", rows[i].what);
		if (rows[i].kept_s) {
			cr_expect(dns_cache_find(c, "a.example", DNS_A, 1000, &left_s), "%s",
				rows[i].what);
			cr_expect_eq(left_s, rows[i].kept_s, "%s: %u", rows[i].what, left_s);
			cr_expect(dns_cache_find(c, "a.example", DNS_A, end_ms - 1, &left_s), "%s",
				rows[i].what);
			cr_expect_eq(left_s, 0);
		}
		cr_expect_null(
			dns_cache_find(c, "a.example", DNS_A, end_ms, &left_s), "%s", rows[i].what);
		cr_expect_eq(dns_cache_count(c), 0);
		dns_cache_free(c);
	}
}

Test(dns_cache, by_name_and_type)
{
	struct dns_cache *c = dns_cache_new(DNS_CACHE_BYTES);
	uint32_t left_s;

	put(c, "a.example", DNS_A, DNS_FOUND, 10);
	put(c, "a.example", DNS_AAAA, DNS_NOTHING, 20);
	put(c, "a.example", DNS_A, DNS_NO_NAME, 30); /* in place of the first */
	cr_expect_eq(dns_cache_count(c), 2);
	cr_expect_eq(dns_cache_find(c, "a.example", DNS_A, 1000, &left_s)->outcome, DNS_NO_NAME);
	cr_expect_eq(dns_cache_find(c, "a.example", DNS_AAAA, 1000, &left_s)->outcome, DNS_NOTHING);
	cr_expect_null(dns_cache_find(c, "b.example", DNS_A, 1000, &left_s));
	cr_expect_null(dns_cache_find(c, "a.example", DNS_SRV, 1000, &left_s));
	put(c, "a.example", DNS_A, DNS_FOUND, 0); /* what is true now may not be kept */
	cr_expect_null(dns_cache_find(c, "a.example", DNS_A, 1000, &left_s));
	dns_cache_forget_all(c);
	cr_expect_eq(dns_cache_count(c), 0);
	dns_cache_free(c);
	dns_cache_free(NULL);
}

Test(dns_cache, the_longest_unasked_goes_first)
{
	struct dns_cache *c = dns_cache_new(64 << 10);
	uint32_t left_s;
	char name[32];
	unsigned n;

	put(c, "asked.example", DNS_A, DNS_FOUND, 100);
	put(c, "unasked.example", DNS_A, DNS_FOUND, 100);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "%u.example", i);
		put(c, name, DNS_A, DNS_FOUND, 100);
		cr_assert_not_null(
			dns_cache_find(c, "asked.example", DNS_A, 1000, &left_s), "%u", i);
	}
	n = dns_cache_count(c);
	cr_expect(n > 100 && n < 2000, "%u", n);
	cr_expect_null(dns_cache_find(c, "unasked.example", DNS_A, 1000, &left_s));
	cr_expect_not_null(dns_cache_find(c, "9999.example", DNS_A, 1000, &left_s));
	dns_cache_free(c);
}
