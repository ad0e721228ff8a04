/* net/dns_answer.c - reads a message of RFC 1035 §4. All offsets are checked against its end;
 * a compressed name goes backwards only (§4.1.4), so that it ends. */
#include "net/dns_answer.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define TYPE_CNAME 5
#define TYPE_SOA 6
#define CLASS_IN 1
#define HEADER_BYTES 12
#define LOOKED_AT_MAX 100 /* records of one section */
#define ALIASES_MAX 8
#define LABEL_MAX 63
#define TTL_SIGN 0x80000000u /* RFC 2181 §8: such a TTL is 0 */

enum { RCODE_OK = 0, RCODE_NO_NAME = 3 };

struct reader {
	const uint8_t *bytes;
	size_t len, at;
};

struct found {
	size_t owner, data; /* offsets */
	uint16_t type, len;
	uint32_t ttl_s;
};

/* What an answer is made of, before it is known how much of it there is. */
struct gathered {
	struct found answers[LOOKED_AT_MAX];
	unsigned n;
	const struct found *wanted[DNS_RECORDS_MAX];
	unsigned n_wanted;
	uint32_t ttl_s;
};

const char *dns_type_name(enum dns_type type)
{
	switch (type) {
	case DNS_A:
		return "A";
	case DNS_AAAA:
		return "AAAA";
	case DNS_SRV:
		return "SRV";
	case DNS_TLSA:
		return "TLSA";
	}
	return "?";
}

/* ---- Bytes. What is beyond the end reads as 0 and leaves the reader there. */

static bool has(const struct reader *r, size_t n)
{
	return r->at <= r->len && n <= r->len - r->at;
}

static uint16_t read_16(struct reader *r)
{
	uint16_t value = 0;

	if (has(r, 2))
		value = (uint16_t)(r->bytes[r->at] << 8 | r->bytes[r->at + 1]);
	r->at += 2;
	return value;
}

static uint32_t read_32(struct reader *r)
{
	uint32_t high = read_16(r);

	return high << 16 | read_16(r);
}

/* ---- Names. */

/* Where the label at `at` is, after as many jumps backwards as it takes; 0: nowhere. */
static size_t find_label(const struct reader *r, size_t at, size_t *lowest)
{
	while (at < r->len && (r->bytes[at] & 0xc0) == 0xc0) {
		if (at + 1 >= r->len)
			return 0;
		at = (size_t)(r->bytes[at] & 0x3f) << 8 | r->bytes[at + 1];
		if (at >= *lowest || at < HEADER_BYTES)
			return 0;
		*lowest = at;
	}
	return at < r->len && r->bytes[at] <= LABEL_MAX ? at : 0;
}

static bool may_stand(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* The name at `at`, without its last dot. False: it is none that we could ask for. */
static bool name_at(const struct reader *r, size_t at, char out[DNS_NAME_MAX])
{
	size_t lowest = at, len = 0;

	while ((at = find_label(r, at, &lowest)) != 0 && r->bytes[at]) {
		uint8_t n = r->bytes[at++];

		if (n > r->len - at || len + n + 1 >= DNS_NAME_MAX)
			return false;
		if (len)
			out[len++] = '.';
		for (; n; n--, at++) {
			uint8_t c = r->bytes[at];

			c = c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
			if (!may_stand(c))
				return false;
			out[len++] = (char)c;
		}
	}
	out[len] = 0;
	return at != 0;
}

/* Steps over the name that is next, without following it. */
static bool skip_name(struct reader *r)
{
	while (r->at < r->len) {
		uint8_t n = r->bytes[r->at];

		if ((n & 0xc0) == 0xc0) {
			r->at += 2;
			return r->at <= r->len;
		}
		if (n > LABEL_MAX)
			return false;
		r->at += n + 1u;
		if (!n)
			return r->at <= r->len;
	}
	return false;
}

static bool is_name(const struct reader *r, size_t at, const char *name)
{
	char text[DNS_NAME_MAX];

	return name_at(r, at, text) && !strcmp(text, name);
}

/* ---- Records. */

static bool read_record(struct reader *r, struct found *out)
{
	uint16_t class;

	out->owner = r->at;
	if (!skip_name(r))
		return false;
	out->type = read_16(r);
	class = read_16(r);
	out->ttl_s = read_32(r);
	out->len = read_16(r);
	out->data = r->at;
	if (!has(r, out->len))
		return false;
	r->at += out->len;
	if (out->ttl_s & TTL_SIGN)
		out->ttl_s = 0;
	if (class != CLASS_IN)
		out->type = 0;
	return true;
}

/* Takes n records; those beyond the bound are stepped over. */
static bool read_section(struct reader *r, unsigned n, struct gathered *g)
{
	g->n = 0;
	for (; n; n--) {
		struct found f;

		if (!read_record(r, &f))
			return false;
		if (g->n < LOOKED_AT_MAX)
			g->answers[g->n++] = f;
	}
	return true;
}

static bool is_whole(const struct reader *r, const struct found *f, enum dns_type type)
{
	char target[DNS_NAME_MAX];

	switch (type) {
	case DNS_A:
		return f->len == 4;
	case DNS_AAAA:
		return f->len == 16;
	case DNS_SRV:
		return f->len > 6 && name_at(r, f->data + 6, target);
	case DNS_TLSA:
		return f->len > 3 && f->len - 3 <= DNS_TLSA_MAX;
	}
	return false;
}

static const struct found *find_alias(
	const struct reader *r, const struct gathered *g, const char *name)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->answers[i].type == TYPE_CNAME && is_name(r, g->answers[i].owner, name))
			return &g->answers[i];
	return NULL;
}

/* The records of the name, or of the one that it is an alias of. */
static void choose(
	const struct reader *r, struct gathered *g, const char *asked, enum dns_type type)
{
	char name[DNS_NAME_MAX];
	const struct found *alias;

	snprintf(name, sizeof(name), "%s", asked);
	g->ttl_s = UINT32_MAX;
	for (unsigned hops = 0; (alias = find_alias(r, g, name)) != NULL; hops++) {
		if (hops == ALIASES_MAX || !name_at(r, alias->data, name))
			return;
		g->ttl_s = alias->ttl_s < g->ttl_s ? alias->ttl_s : g->ttl_s;
	}
	for (unsigned i = 0; i < g->n && g->n_wanted < DNS_RECORDS_MAX; i++) {
		const struct found *f = &g->answers[i];

		if (f->type != type || !is_name(r, f->owner, name) || !is_whole(r, f, type))
			continue;
		g->wanted[g->n_wanted++] = f;
		g->ttl_s = f->ttl_s < g->ttl_s ? f->ttl_s : g->ttl_s;
	}
}

/* RFC 2308 §5: as long as the zone's SOA says, beside which nothing is kept. */
static uint32_t negative_ttl(const struct reader *r, const struct gathered *g)
{
	for (unsigned i = 0; i < g->n; i++) {
		const struct found *f = &g->answers[i];
		struct reader minimum = { r->bytes, r->len, f->data + f->len - 4u };
		uint32_t ttl_s;

		if (f->type != TYPE_SOA || f->len < 22)
			continue;
		ttl_s = read_32(&minimum);
		return ttl_s < f->ttl_s ? ttl_s : f->ttl_s;
	}
	return 0;
}

/* ---- An answer: the records, then texts and bytes that they point to. */

static struct dns_answer *make(enum dns_type type, unsigned n, size_t more)
{
	size_t bytes = sizeof(struct dns_answer) + n * sizeof(struct dns_record) + more;
	struct dns_answer *a = xcalloc(1, bytes);

	atomic_init(&a->refs, 1);
	a->type = type;
	a->bytes = (uint32_t)bytes;
	a->why = "";
	a->n = n;
	return a;
}

static size_t more_bytes(const struct reader *r, const struct found *f, enum dns_type type)
{
	char target[DNS_NAME_MAX];

	if (type == DNS_TLSA)
		return f->len;
	return type == DNS_SRV && name_at(r, f->data + 6, target) ? strlen(target) + 1 : 0;
}

/* Returns what of more it has used. */
static size_t put(const struct reader *whole, const struct found *f, enum dns_type type,
	struct dns_record *out, char *more)
{
	struct reader r = { whole->bytes, whole->len, f->data };
	char target[DNS_NAME_MAX] = "";

	if (type == DNS_SRV) {
		out->srv.priority = read_16(&r);
		out->srv.weight = read_16(&r);
		out->srv.port = read_16(&r);
		out->srv.target = more;
		name_at(&r, r.at, target);
		memcpy(more, target, strlen(target) + 1);
		return strlen(target) + 1;
	}
	if (type != DNS_TLSA) {
		memcpy(out->ipv6, r.bytes + r.at, f->len);
		return 0;
	}
	out->tlsa = (struct dns_tlsa){ r.bytes[r.at], r.bytes[r.at + 1], r.bytes[r.at + 2],
		(uint16_t)(f->len - 3), (const uint8_t *)more };
	memcpy(more, r.bytes + r.at + 3, f->len - 3u);
	return f->len - 3u;
}

static struct dns_answer *assemble(
	const struct reader *r, const struct gathered *g, enum dns_type type)
{
	struct dns_answer *a;
	size_t more = 0;
	char *at;

	for (unsigned i = 0; i < g->n_wanted; i++)
		more += more_bytes(r, g->wanted[i], type);
	a = make(type, g->n_wanted, more);
	at = (char *)&a->at[g->n_wanted];
	for (unsigned i = 0; i < g->n_wanted; i++)
		at += put(r, g->wanted[i], type, &a->at[i], at);
	a->ttl_s = g->ttl_s;
	return a;
}

/* ---- The whole. */

static const char *const rcode_texts[] = { "", "the question was not understood (FORMERR)",
	"the name server failed (SERVFAIL), as it does when DNSSEC does", "",
	"the name server cannot answer such questions (NOTIMP)",
	"the name server does not answer us (REFUSED)" };

static struct dns_answer *refused(enum dns_type type, unsigned rcode)
{
	char text[64];

	if (rcode < ARRAY_LEN(rcode_texts))
		return dns_answer_failed(type, rcode_texts[rcode]);
	snprintf(text, sizeof(text), "the name server answered with code %u", rcode);
	return dns_answer_failed(type, text);
}

int dns_answer_parse(const uint8_t *bytes, size_t len, const char *name, enum dns_type type,
	struct dns_answer **out)
{
	struct reader r = { bytes, len, 2 };
	struct gathered g = { 0 };
	unsigned flags = read_16(&r), rcode = flags & 0xf;
	unsigned questions = read_16(&r), answers = read_16(&r), authorities = read_16(&r);

	read_16(&r); /* additional records are nobody's answer */
	if (len < HEADER_BYTES || !(flags & 0x8000) || questions != 1)
		return -EBADMSG;
	if (rcode != RCODE_OK && rcode != RCODE_NO_NAME) {
		*out = refused(type, rcode);
		return 0;
	}
	if (!is_name(&r, r.at, name) || !skip_name(&r) || read_16(&r) != type ||
		read_16(&r) != CLASS_IN || !read_section(&r, answers, &g))
		return -EBADMSG;
	choose(&r, &g, name, type);
	if (!g.n_wanted) {
		if (!read_section(&r, authorities, &g))
			return -EBADMSG;
		g.ttl_s = negative_ttl(&r, &g);
	}
	*out = assemble(&r, &g, type);
	(*out)->secure = flags & 0x20; /* RFC 4035 §3.2.3 */
	(*out)->outcome = g.n_wanted ? DNS_FOUND : rcode == RCODE_OK ? DNS_NOTHING : DNS_NO_NAME;
	return 0;
}

struct dns_answer *dns_answer_failed(enum dns_type type, const char *why)
{
	struct dns_answer *a = make(type, 0, strlen(why) + 1);

	a->outcome = DNS_FAILED;
	a->why = memcpy(a->at, why, strlen(why) + 1);
	return a;
}

struct dns_answer *dns_answer_ref(const struct dns_answer *a)
{
	struct dns_answer *counted = (struct dns_answer *)a;

	atomic_fetch_add_explicit(&counted->refs, 1, memory_order_relaxed);
	return counted;
}

void dns_answer_unref(const struct dns_answer *a)
{
	struct dns_answer *counted = (struct dns_answer *)a;

	if (counted && atomic_fetch_sub_explicit(&counted->refs, 1, memory_order_acq_rel) == 1)
		free(counted);
}
