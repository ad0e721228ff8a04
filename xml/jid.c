/* xml/jid.c - addresses: splitting, hashing, comparing; xml/precis prepares what is not plain. */
#include "xml/jid.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/mem.h"
#include "xml/precis.h"

/* ---- hashing: SipHash-1-3, since peers choose what is hashed ---- */

static uint64_t seed[2];

__attribute__((constructor)) static void draw_seed(void)
{
	REQUIRE(getrandom(seed, sizeof(seed), 0) == sizeof(seed));
}

static inline uint64_t rotl(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static uint32_t hash(const char *bytes, size_t len)
{
	uint64_t v[4] = { seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
		seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u };
	uint64_t word, last = (uint64_t)len << 56;
	size_t at;

	for (at = 0; at + 8 <= len; at += 8) {
		memcpy(&word, bytes + at, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (unsigned shift = 0; at < len; at++, shift += 8)
		last |= (uint64_t)(unsigned char)bytes[at] << shift;
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	word = v[0] ^ v[1] ^ v[2] ^ v[3];
	return (uint32_t)(word ^ word >> 32);
}

uint32_t jid_hash_domain(const char *domain, size_t len)
{
	return hash(domain, len);
}

/* ---- preparing one part ---- */

/* Which ASCII may stand where. Upper case is allowed in a local part, but lowered on the way.
 * What only a resource may hold: blanks and the eight of RFC 7622 §3.3.1. */
enum { IN_LOCAL = 1, IN_DOMAIN = 2, IN_RESOURCE = 4 };
#define ALL (IN_LOCAL | IN_DOMAIN | IN_RESOURCE)
#define NODE (IN_LOCAL | IN_RESOURCE)
static const uint8_t ascii[128] = {
	[' '] = IN_RESOURCE,
	['!'] = NODE,
	['"'] = IN_RESOURCE,
	['#' ... '%'] = NODE,
	['&' ... '\''] = IN_RESOURCE,
	['(' ... ','] = NODE,
	['-' ... '.'] = ALL,
	['/'] = IN_RESOURCE,
	['0' ... '9'] = ALL,
	[':'] = IN_RESOURCE,
	[';'] = NODE,
	['<'] = IN_RESOURCE,
	['='] = NODE,
	['>'] = IN_RESOURCE,
	['?'] = NODE,
	['@'] = IN_RESOURCE,
	['A' ... 'Z'] = ALL,
	['[' ... '`'] = NODE,
	['a' ... 'z'] = ALL,
	['{' ... '~'] = NODE,
};

static inline char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* All of the text is ASCII that may stand in such a part. */
static bool is_plain(const char *text, size_t len, uint8_t where)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 128 || !(ascii[(unsigned char)text[i]] & where))
			return false;
	return true;
}

static bool has_excluded(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 128 && !(ascii[(unsigned char)text[i]] & IN_LOCAL))
			return true;
	return false;
}

static int lowered(const char *text, size_t len, char *buffer)
{
	for (size_t i = 0; i < len; i++)
		buffer[i] = lower(text[i]);
	buffer[len] = 0;
	return (int)len;
}

int jid_prep_local(const char *text, size_t len, char *buffer)
{
	int out;

	if (likely(len && len <= JID_PART_MAX && is_plain(text, len, IN_LOCAL)))
		return lowered(text, len, buffer);
	out = precis_username(text, len, buffer, JID_PART_MAX);
	/* After the mapping: a full-width '@' has become one. */
	return out > 0 && !has_excluded(buffer, (size_t)out) ? out : -1;
}

int jid_prep_resource(const char *text, size_t len, char *buffer)
{
	if (likely(len && len <= JID_PART_MAX && is_plain(text, len, IN_RESOURCE))) {
		memcpy(buffer, text, len);
		buffer[len] = 0;
		return (int)len;
	}
	return precis_opaque(text, len, buffer, JID_PART_MAX);
}

/* Labels of letters, digits and inner hyphens that IDNA would leave as they are: none empty, none
 * over 63 bytes, none with "--" where it means something (xn--). RFC 5890 §2.3.1. */
static bool is_plain_domain(const char *text, size_t len)
{
	size_t label = 0; /* where the current one begins */

	if (!is_plain(text, len, IN_DOMAIN))
		return false;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && text[i] != '.')
			continue;
		if (i == label || i - label > 63 || text[label] == '-' || text[i - 1] == '-')
			return false;
		if (i - label >= 4 && text[label + 2] == '-' && text[label + 3] == '-')
			return false;
		label = i + 1;
	}
	return true;
}

/* An IPv6 address in brackets (RFC 7622 §3.2), in the one form of RFC 5952. */
static int prep_ipv6(const char *text, size_t len, char *buffer)
{
	char inner[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (len < 4 || len - 2 >= sizeof(inner) || text[len - 1] != ']')
		return -1;
	memcpy(inner, text + 1, len - 2);
	inner[len - 2] = 0;
	if (strlen(inner) != len - 2 || inet_pton(AF_INET6, inner, &address) != 1)
		return -1;
	buffer[0] = '[';
	inet_ntop(AF_INET6, &address, buffer + 1, INET6_ADDRSTRLEN);
	return (int)(stpcpy(buffer + strlen(buffer), "]") - buffer);
}

int jid_prep_domain(const char *text, size_t len, char *buffer)
{
	int out;

	if (len && text[len - 1] == '.') /* stripped before anything else: RFC 7622 §3.2 */
		len--;
	if (likely(len && len <= JID_PART_MAX && is_plain_domain(text, len)))
		return lowered(text, len, buffer);
	if (len && text[0] == '[')
		return prep_ipv6(text, len, buffer);
	out = precis_domain(text, len, buffer, JID_PART_MAX);
	return out > 0 ? out : -1;
}

/* ---- making ---- */

static void *take(struct arena *a, size_t bytes)
{
	return a ? arena_alloc(a, bytes) : xmalloc(bytes);
}

/* From prepared parts. */
static struct jid *assemble(const char *local, size_t local_len, const char *domain,
	size_t domain_len, const char *resource, size_t resource_len, struct arena *a)
{
	size_t text_len = local_len + domain_len + resource_len + 3;
	struct jid *j = take(a, sizeof(*j) + text_len);
	char *at = j->text;

	j->local_len = (uint16_t)local_len;
	j->domain_len = (uint16_t)domain_len;
	j->resource_len = (uint16_t)resource_len;
	memcpy(at, local, local_len);
	at += local_len;
	*at++ = 0;
	memcpy(at, domain, domain_len);
	at += domain_len;
	*at++ = 0;
	memcpy(at, resource, resource_len);
	at[resource_len] = 0;
	j->bare_hash = hash(j->text, local_len + 1 + domain_len);
	j->full_hash = resource_len ? hash(j->text, text_len) : j->bare_hash;
	return j;
}

/* NULL is an absent part; an empty one that is there is wrong. */
static int make(const char *local, size_t local_len, const char *domain, size_t domain_len,
	const char *resource, size_t resource_len, struct arena *a, struct jid **out)
{
	char parts[3][JID_PART_MAX + 1];
	int lens[3] = { 0 };

	if (local && (lens[0] = jid_prep_local(local, local_len, parts[0])) < 0)
		return JID_BAD_LOCAL;
	if ((lens[1] = jid_prep_domain(domain, domain_len, parts[1])) < 0)
		return JID_BAD_DOMAIN;
	if (resource && (lens[2] = jid_prep_resource(resource, resource_len, parts[2])) < 0)
		return JID_BAD_RESOURCE;
	*out = assemble(
		parts[0], (size_t)lens[0], parts[1], (size_t)lens[1], parts[2], (size_t)lens[2], a);
	return JID_OK;
}

int jid_parse(const char *text, size_t len, struct arena *a, struct jid **out)
{
	const char *slash = memchr(text, '/', len), *resource = slash ? slash + 1 : NULL;
	size_t bare_len = slash ? (size_t)(slash - text) : len;
	const char *at = memchr(text, '@', bare_len), *domain = at ? at + 1 : text;

	return make(at ? text : NULL, at ? (size_t)(at - text) : 0, domain,
		(size_t)(text + bare_len - domain), resource,
		resource ? (size_t)(text + len - resource) : 0, a, out);
}

static const char *present(const char *part)
{
	return part && *part ? part : NULL;
}

int jid_make(const char *local, const char *domain, const char *resource, struct arena *a,
	struct jid **out)
{
	local = present(local);
	domain = domain ? domain : "";
	resource = present(resource);
	return make(local, local ? strlen(local) : 0, domain, strlen(domain), resource,
		resource ? strlen(resource) : 0, a, out);
}

int jid_with_resource(const struct jid *j, const char *resource, struct arena *a, struct jid **out)
{
	char prepared[JID_PART_MAX + 1];
	int len = jid_prep_resource(resource, strlen(resource), prepared);

	if (len < 0)
		return JID_BAD_RESOURCE;
	*out = assemble(
		jid_local(j), j->local_len, jid_domain(j), j->domain_len, prepared, (size_t)len, a);
	return JID_OK;
}

struct jid *jid_bare(const struct jid *j, struct arena *a)
{
	return assemble(jid_local(j), j->local_len, jid_domain(j), j->domain_len, "", 0, a);
}

struct jid *jid_of_domain(const struct jid *j, struct arena *a)
{
	return assemble("", 0, jid_domain(j), j->domain_len, "", 0, a);
}

size_t jid_bytes(const struct jid *j)
{
	return sizeof(*j) + (size_t)j->local_len + j->domain_len + j->resource_len + 3;
}

struct jid *jid_dup(const struct jid *j, struct arena *a)
{
	return memcpy(take(a, jid_bytes(j)), j, jid_bytes(j));
}

void jid_free(struct jid *j)
{
	free(j);
}

/* ---- comparing and writing ---- */

bool jid_equal(const struct jid *a, const struct jid *b)
{
	return a->full_hash == b->full_hash && a->local_len == b->local_len &&
		a->domain_len == b->domain_len && a->resource_len == b->resource_len &&
		!memcmp(a->text, b->text,
			(size_t)a->local_len + a->domain_len + a->resource_len + 2);
}

bool jid_equal_bare(const struct jid *a, const struct jid *b)
{
	return a->bare_hash == b->bare_hash && a->local_len == b->local_len &&
		a->domain_len == b->domain_len &&
		!memcmp(a->text, b->text, (size_t)a->local_len + a->domain_len + 1);
}

size_t jid_write_bare(const struct jid *j, char *buffer)
{
	char *at = buffer;

	if (j->local_len) {
		at = mempcpy(at, jid_local(j), j->local_len);
		*at++ = '@';
	}
	at = mempcpy(at, jid_domain(j), j->domain_len);
	*at = 0;
	return (size_t)(at - buffer);
}

size_t jid_write(const struct jid *j, char *buffer)
{
	size_t len = jid_write_bare(j, buffer);

	if (j->resource_len) {
		buffer[len++] = '/';
		memcpy(buffer + len, jid_resource(j), j->resource_len + 1u);
		len += j->resource_len;
	}
	return len;
}

const char *jid_text(const struct jid *j, struct arena *a)
{
	char text[JID_TEXT_MAX];
	size_t len = jid_write(j, text);

	return arena_text(a, text, len);
}

const char *jid_error_text(int error)
{
	static const char *const texts[] = { [JID_OK] = "a good address",
		[JID_BAD_LOCAL] = "the part before '@' is not allowed",
		[JID_BAD_DOMAIN] = "the domain is not allowed",
		[JID_BAD_RESOURCE] = "the resource is not allowed" };

	return error >= 0 && error < (int)ARRAY_LEN(texts) ? texts[error] : "an unknown error";
}
