/* Messages of name servers, good and bad. RFC 1035 §4. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/dns_answer.h"

/* A message put together piece by piece; the question is always for q.example. */
struct message {
	uint8_t bytes[65536];
	size_t len;
};
#define QUESTION 12 /* where its name stands */

static void put_16(struct message *m, unsigned value)
{
	m->bytes[m->len++] = (uint8_t)(value >> 8);
	m->bytes[m->len++] = (uint8_t)value;
}

static void put_bytes(struct message *m, const void *bytes, size_t len)
{
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

/* "a.b", without compression. */
static void put_name(struct message *m, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		m->bytes[m->len++] = (uint8_t)n;
		put_bytes(m, name, n);
		name += n + (name[n] == '.');
	}
	m->bytes[m->len++] = 0;
}

#define RESPONSE 0x8180
#define AUTHENTIC 0x20
static void begin(struct message *m, unsigned flags, enum dns_type type, unsigned answers,
	unsigned authorities)
{
	m->len = 0;
	put_16(m, 0x1234);
	put_16(m, flags);
	put_16(m, 1);
	put_16(m, answers);
	put_16(m, authorities);
	put_16(m, 0);
	put_name(m, "q.example");
	put_16(m, type);
	put_16(m, 1);
}

/* All of a record but its data; name NULL: a pointer to the question's. */
static void put_head(
	struct message *m, const char *name, unsigned type, uint32_t ttl_s, unsigned data_len)
{
	if (name)
		put_name(m, name);
	else
		put_16(m, 0xc000 | QUESTION);
	put_16(m, type);
	put_16(m, 1);
	put_16(m, ttl_s >> 16);
	put_16(m, ttl_s & 0xffff);
	put_16(m, data_len);
}

static void put_a(struct message *m, const char *name, uint32_t ttl_s, uint8_t last)
{
	put_head(m, name, DNS_A, ttl_s, 4);
	put_bytes(m, (uint8_t[]){ 192, 0, 2, last }, 4);
}

static void put_alias(struct message *m, const char *name, uint32_t ttl_s, const char *target)
{
	put_head(m, name, 5, ttl_s, (unsigned)strlen(target) + 2);
	put_name(m, target);
}

static void put_srv(struct message *m, unsigned priority, const char *target)
{
	put_head(m, NULL, DNS_SRV, 60, 6 + (unsigned)strlen(target) + (*target ? 2 : 1));
	put_16(m, priority);
	put_16(m, 7);
	put_16(m, 5269);
	put_name(m, target);
}

static void put_soa(struct message *m, uint32_t ttl_s, uint32_t minimum_s)
{
	put_head(m, "example", 6, ttl_s, 22);
	put_16(m, 0); /* two root names */
	for (int i = 0; i < 4; i++)
		put_bytes(m, "\0\0\0\1", 4);
	put_16(m, minimum_s >> 16);
	put_16(m, minimum_s & 0xffff);
}

/* From a copy of exactly its length, so that a sanitizer sees who reads on. */
static int parse(const struct message *m, enum dns_type type, struct dns_answer **out)
{
	uint8_t *exact = xmemdup(m->bytes, m->len ? m->len : 1);
	int error = dns_answer_parse(exact, m->len, "q.example", type, out);

	free(exact);
	return error;
}

static struct dns_answer *parsed(const struct message *m, enum dns_type type)
{
	struct dns_answer *a;

	cr_assert_eq(parse(m, type, &a), 0);
	return a;
}

Test(dns_answer, addresses)
{
	static struct message m;
	struct dns_answer *a;

	begin(&m, RESPONSE | AUTHENTIC, DNS_A, 3, 0);
	put_a(&m, NULL, 300, 1);
	put_a(&m, "Q.ExAmPlE", 60, 2); /* RFC 1035 §2.3.3 */
	put_a(&m, "other.example", 5, 3);
	a = parsed(&m, DNS_A);
	cr_expect_eq(a->outcome, DNS_FOUND);
	cr_expect_eq(a->n, 2, "another name's is none");
	cr_expect_eq(a->ttl_s, 60, "the shortest");
	cr_expect(a->secure);
	cr_expect_eq(a->at[1].ipv4[3], 2);
	dns_answer_unref(a);
}

Test(dns_answer, services)
{
	static struct message m;
	struct dns_answer *a;

	begin(&m, RESPONSE, DNS_SRV, 3, 0);
	put_srv(&m, 10, "XMPP.example");
	put_srv(&m, 20, "");
	put_srv(&m, 30, "not a host.example");
	a = parsed(&m, DNS_SRV);
	cr_expect_eq(a->n, 2, "RFC 2782: a target is a host's name");
	cr_expect_not(a->secure);
	cr_expect_str_eq(a->at[0].srv.target, "xmpp.example");
	cr_expect_eq(a->at[0].srv.priority, 10);
	cr_expect_eq(a->at[0].srv.weight, 7);
	cr_expect_eq(a->at[0].srv.port, 5269);
	cr_expect_str_eq(a->at[1].srv.target, "");
	dns_answer_unref(a);
}

Test(dns_answer, certificates)
{
	static struct message m;
	static uint8_t long_one[DNS_TLSA_MAX + 1];
	struct dns_answer *a;

	begin(&m, RESPONSE, DNS_TLSA, 3, 0);
	put_head(&m, NULL, DNS_TLSA, 60, 3 + 4);
	put_bytes(&m, "\3\1\1abcd", 7);
	put_head(&m, NULL, DNS_TLSA, 60, 3); /* nothing to compare with */
	put_bytes(&m, "\3\1\1", 3);
	put_head(&m, NULL, DNS_TLSA, 60, 3 + sizeof(long_one));
	put_bytes(&m, "\3\1\0", 3);
	put_bytes(&m, long_one, sizeof(long_one));
	a = parsed(&m, DNS_TLSA);
	cr_assert_eq(a->n, 1);
	cr_expect(a->at[0].tlsa.usage == 3 && a->at[0].tlsa.selector == 1 &&
		a->at[0].tlsa.matching == 1 && a->at[0].tlsa.len == 4);
	cr_expect_eq(memcmp(a->at[0].tlsa.data, "abcd", 4), 0);
	dns_answer_unref(a);
}

Test(dns_answer, aliases)
{
	static struct message m;
	struct dns_answer *a;

	begin(&m, RESPONSE, DNS_A, 3, 0);
	put_a(&m, "c.example", 300, 9); /* in whatever order */
	put_alias(&m, "b.example", 20, "c.example");
	put_alias(&m, NULL, 400, "b.example");
	a = parsed(&m, DNS_A);
	cr_expect(a->n == 1 && a->at[0].ipv4[3] == 9);
	cr_expect_eq(a->ttl_s, 20);
	dns_answer_unref(a);
	/* In a circle there is nothing. */
	begin(&m, RESPONSE, DNS_A, 2, 0);
	put_alias(&m, NULL, 400, "b.example");
	put_alias(&m, "b.example", 400, "q.example");
	a = parsed(&m, DNS_A);
	cr_expect_eq(a->outcome, DNS_NOTHING);
	dns_answer_unref(a);
}

static const struct {
	const char *section;
	unsigned rcode;
	enum dns_outcome outcome;
	uint32_t soa_ttl_s, minimum_s, ttl_s;
} nothings[] = {
	{ "RFC 2308 §2.2", 0, DNS_NOTHING, 300, 60, 60 },
	{ "RFC 2308 §2.1", 3, DNS_NO_NAME, 300, 60, 60 },
	{ "RFC 2308 §5: the smaller one", 3, DNS_NO_NAME, 30, 60, 30 },
	{ "RFC 2181 §8: a sign is no TTL", 0, DNS_NOTHING, 0x80000001, 60, 0 },
	{ "RFC 2308 §5: not kept without", 0, DNS_NOTHING, 0, 0, 0 },
	{ "SERVFAIL", 2, DNS_FAILED, 300, 60, 0 },
	{ "REFUSED", 5, DNS_FAILED, 300, 60, 0 },
	{ "whatever", 11, DNS_FAILED, 300, 60, 0 },
};

Test(dns_answer, nothing_there)
{
	static struct message m;

	for (size_t i = 0; i < ARRAY_LEN(nothings); i++) {
		bool soa = nothings[i].minimum_s;
		struct dns_answer *a;

		begin(&m, RESPONSE | nothings[i].rcode, DNS_SRV, 0, soa);
		if (soa)
			put_soa(&m, nothings[i].soa_ttl_s, nothings[i].minimum_s);
		a = parsed(&m, DNS_SRV);
		cr_expect_eq(a->outcome, nothings[i].outcome, "%s", nothings[i].section);
		cr_expect_eq(a->ttl_s, nothings[i].ttl_s, "%s: %u", nothings[i].section, a->ttl_s);
		cr_expect_eq(*a->why != 0, a->outcome == DNS_FAILED, "%s", nothings[i].section);
		dns_answer_unref(a);
	}
}

/* The bounds: what goes beyond them is left out, and the rest counts. */
Test(dns_answer, many)
{
	static struct message m;
	struct dns_answer *a;

	begin(&m, RESPONSE, DNS_A, 3000, 0);
	for (unsigned i = 0; i < 3000; i++)
		put_a(&m, NULL, 60, (uint8_t)i);
	a = parsed(&m, DNS_A);
	cr_expect_eq(a->n, DNS_RECORDS_MAX);
	cr_expect_lt(a->bytes, 4096);
	dns_answer_unref(a);
}

static void put_loop(struct message *m)
{
	put_16(m, 0xc000 | (unsigned)m->len); /* a name that points to itself */
}

Test(dns_answer, malformed)
{
	static struct message m;
	struct dns_answer *a;

	begin(&m, RESPONSE, DNS_A, 1, 0);
	put_a(&m, NULL, 60, 1);
	for (; m.len; m.len--) { /* every way to be cut short */
		a = NULL;
		cr_expect_eq(parse(&m, DNS_A, &a) != 0, a == NULL);
		if (a)
			cr_expect_eq(a->n, 1, "only the whole one is right");
		dns_answer_unref(a);
	}
	begin(&m, 0x0180, DNS_A, 0, 0); /* a question */
	cr_expect_neq(parse(&m, DNS_A, &a), 0);
	begin(&m, RESPONSE, DNS_AAAA, 0, 0); /* to another one */
	cr_expect_neq(parse(&m, DNS_A, &a), 0);
	begin(&m, RESPONSE, DNS_A, 1, 0); /* RFC 1035 §4.1.4: a pointer forwards */
	put_16(&m, 0xc000 | (unsigned)(m.len + 2));
	put_bytes(&m, "\1q\7example\0\0\1\0\1\0\0\0\1\0\4abcd", 24);
	a = NULL;
	if (!parse(&m, DNS_A, &a))
		cr_expect_eq(a->n, 0);
	dns_answer_unref(a);
	begin(&m, RESPONSE, DNS_A, 1, 0);
	put_loop(&m);
	put_bytes(&m, "\0\1\0\1\0\0\0\1\0\4abcd", 14);
	a = parsed(&m, DNS_A);
	cr_expect_eq(a->n, 0, "nobody's record");
	dns_answer_unref(a);
	begin(&m, RESPONSE, DNS_SRV, 1, 0); /* a target that points behind the end */
	put_head(&m, NULL, DNS_SRV, 60, 8);
	put_bytes(&m, "\0\1\0\1\0\1\xff\xff", 8);
	a = parsed(&m, DNS_SRV);
	cr_expect_eq(a->n, 0);
	dns_answer_unref(a);
}

Test(dns_answer, counted)
{
	struct dns_answer *a = dns_answer_failed(DNS_A, "because"), *b = dns_answer_ref(a);

	cr_expect_eq(a, b);
	dns_answer_unref(a);
	cr_expect_str_eq(b->why, "because");
	dns_answer_unref(b);
	dns_answer_unref(NULL);
}
