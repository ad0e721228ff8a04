/* SASL, server side, against a client written here from RFC 5802 §3 alone. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/base64.h"
#include "net/sasl.h"
#include "net/scram.h"
#include "xml/jid.h"

#define ALL 0xffu
#define NO_PLUS (SASL_SCRAM_SHA_512 | SASL_SCRAM_SHA_256 | SASL_SCRAM_SHA_1 | SASL_PLAIN)
#define FAILS(c) (100 + (c)) /* in tables: SASL_FAIL with this condition */

static struct host_conf conf = { .refs = 1, .sasl_mechanisms = ALL, .scram_iterations = 4096 };
static struct host host = { .refs = 1, .name = "example.org" };
static const struct tls_channel plain_tcp = { 0 };
static const struct tls_channel tls_1_2 = { .encrypted = true,
	.len = { [TLS_BIND_END_POINT] = 32 },
	.data = { [TLS_BIND_END_POINT] = "the hash of a certificate, 32 b" } };
static const struct tls_channel tls_1_3 = { .encrypted = true,
	.len = { [TLS_BIND_EXPORTER] = 32, [TLS_BIND_END_POINT] = 32 },
	.data = { [TLS_BIND_EXPORTER] = "what both ends export, 32 bytes",
		[TLS_BIND_END_POINT] = "the hash of a certificate, 32 b" } };

static const struct tls_channel certified = { .encrypted = true, .certified = true };

static void setup(void)
{
	rcu_set(host.conf, &conf);
}
TestSuite(sasl, .init = setup);

static const EVP_MD *digest(enum scram_hash hash)
{
	return hash == SCRAM_SHA_1      ? EVP_sha1()
		: hash == SCRAM_SHA_256 ? EVP_sha256()
					: EVP_sha512();
}

static void hmac(enum scram_hash hash, const void *key, size_t len, const char *text, uint8_t *out)
{
	HMAC(digest(hash), key, (int)len, (const uint8_t *)text, strlen(text), out, NULL);
}

/* SaltedPassword */
static void salted(enum scram_hash hash, const char *password, const uint8_t *salt, int salt_len,
	int iterations, uint8_t *out)
{
	PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, salt_len, iterations, digest(hash),
		(int)scram_key_bytes(hash), out);
}

static struct auth_account account_of(const char *password, const char *salt64, uint32_t iterations)
{
	struct auth_account a = { 0 };

	for (int hash = 0; hash < SCRAM_HASHES; hash++) {
		struct scram_verifier *v = &a.scram[hash];
		uint8_t room[64], pass[64], key[64];
		size_t n = scram_key_bytes(hash);

		v->salt_len = (uint8_t)base64_decode(salt64, strlen(salt64), room);
		memcpy(v->salt, room, v->salt_len);
		v->iterations = iterations;
		salted(hash, password, v->salt, v->salt_len, (int)iterations, pass);
		hmac(hash, pass, n, "Client Key", key);
		EVP_Digest(key, n, v->stored_key, NULL, digest(hash), NULL);
		hmac(hash, pass, n, "Server Key", v->server_key);
	}
	return a;
}

static char *encoded(const void *bytes, size_t len)
{
	char *text = xmalloc(BASE64_LEN(len) + 1);

	base64_encode(bytes, len, text);
	return text;
}

static char *decoded(const char *text)
{
	char *bytes = xmalloc(strlen(text) + 1);
	ssize_t len = base64_decode(text, strlen(text), (uint8_t *)bytes);

	cr_assert_geq(len, 0);
	bytes[len] = 0;
	return bytes;
}

/* FAILS(condition) or the verdict. */
static int result(const struct sasl *s, int verdict)
{
	return verdict == SASL_FAIL ? FAILS((int)s->condition) : verdict;
}

static int start_bytes(struct sasl *s, const char *mechanism, const char *bytes, size_t len)
{
	AUTO(free_ptr) char *text = encoded(bytes, len);

	s->equals_is_empty = true;
	return result(s, sasl_start(s, mechanism, len ? text : "=", len ? strlen(text) : 1));
}

static int start(struct sasl *s, const char *mechanism, const char *message)
{
	return start_bytes(s, mechanism, message, strlen(message));
}

static int step(struct sasl *s, const char *message)
{
	AUTO(free_ptr) char *text = encoded(message, strlen(message));

	return result(s, sasl_step(s, text, strlen(text)));
}

/* A client's last message. c: what it binds to, gs2-header and data. */
static char *client_final(enum scram_hash hash, const char *password, const char *first_bare,
	const char *server_first, const void *c, size_t c_len)
{
	AUTO(free_ptr) char *c64 = encoded(c, c_len);
	char nonce[200], salt64[100];
	uint8_t salt[100], pass[64], key[64], stored[64], signature[64];
	size_t n = scram_key_bytes(hash);
	int iterations;
	ssize_t salt_len;

	cr_assert_eq(
		sscanf(server_first, "r=%199[^,],s=%99[^,],i=%d", nonce, salt64, &iterations), 3);
	salt_len = base64_decode(salt64, strlen(salt64), salt);
	AUTO(free_ptr) char *bare = xprintf("c=%s,r=%s", c64, nonce);
	AUTO(free_ptr) char *whole = xprintf("%s,%s,%s", first_bare, server_first, bare);
	salted(hash, password, salt, (int)salt_len, iterations, pass);
	hmac(hash, pass, n, "Client Key", key);
	EVP_Digest(key, n, stored, NULL, digest(hash), NULL);
	hmac(hash, stored, n, whole, signature);
	for (size_t i = 0; i < n; i++)
		key[i] ^= signature[i];
	AUTO(free_ptr) char *proof = encoded(key, n);
	return xprintf("%s,p=%s", bare, proof);
}

/* A whole exchange; gs2 as sent, data what the client binds to besides it. */
static int exchange(const char *mechanism, enum scram_hash hash, uint32_t offered,
	const struct tls_channel *channel, const char *gs2, const void *data, size_t data_len,
	const struct auth_account *account)
{
	struct sasl *s = sasl_new(&host, offered, channel);
	AUTO(free_ptr) char *first = xprintf("%sn=user,r=abc", gs2);
	char c[200];
	int verdict = start(s, mechanism, first);

	if (verdict == SASL_NEED_ACCOUNT) {
		cr_assert_eq(sasl_account(s, account), SASL_CONTINUE);
		AUTO(free_ptr) char *challenge = decoded(s->out);

		memcpy(c, gs2, strlen(gs2));
		if (data_len)
			memcpy(c + strlen(gs2), data, data_len);
		AUTO(free_ptr)
		char *final = client_final(
			hash, "pencil", first + strlen(gs2), challenge, c, strlen(gs2) + data_len);
		verdict = step(s, final);
	}
	sasl_free(s);
	return verdict;
}

static const struct {
	const char *section, *mechanism, *salt, *server_nonce, *first, *challenge, *final, *answer;
} vectors[] = {
	{ "RFC 5802 §5", "SCRAM-SHA-1", "QSXCR+Q6sek8bf92", "3rfcNHYJY1ZVvWVs7j",
		"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
		"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
		"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
		"p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
		"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
	{ "RFC 7677 §3", "SCRAM-SHA-256", "W22ZaJ0SNY7soEsUEjb6gQ==",
		"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
		"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
		"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
		"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
};

Test(sasl, published_exchanges)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct sasl *s = sasl_new(&host, NO_PLUS, &plain_tcp);
		struct auth_account a = account_of("pencil", vectors[i].salt, 4096);

		cr_assert_eq(start(s, vectors[i].mechanism, vectors[i].first), SASL_NEED_ACCOUNT);
		cr_expect_str_eq(s->user, "user");
		strcpy(s->scram->server_nonce, vectors[i].server_nonce);
		cr_assert_eq(sasl_account(s, &a), SASL_CONTINUE);
		AUTO(free_ptr) char *challenge = decoded(s->out);
		cr_expect_str_eq(challenge, vectors[i].challenge, "%s", vectors[i].section);
		cr_assert_eq(step(s, vectors[i].final), SASL_DONE, "%s", vectors[i].section);
		AUTO(free_ptr) char *answer = decoded(s->out);
		cr_expect_str_eq(answer, vectors[i].answer, "%s", vectors[i].section);
		cr_expect_not(s->anonymous);
		sasl_free(s);
	}
}

Test(sasl, every_hash_with_and_without_binding)
{
	static const char *const plus[] = { "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS",
		"SCRAM-SHA-512-PLUS" };
	static const char *const bare[] = { "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512" };
	struct auth_account a = account_of("pencil", "QSXCR+Q6sek8bf92", 100);

	for (int h = 0; h < SCRAM_HASHES; h++) {
		cr_expect_eq(
			exchange(bare[h], h, NO_PLUS, &plain_tcp, "n,,", "", 0, &a), SASL_DONE);
		/* RFC 5802 §6: a client that could bind, and a server that could not. */
		cr_expect_eq(
			exchange(bare[h], h, NO_PLUS, &plain_tcp, "y,,", "", 0, &a), SASL_DONE);
		cr_expect_eq(exchange(plus[h], h, ALL, &tls_1_3, "p=tls-exporter,,",
				     tls_1_3.data[TLS_BIND_EXPORTER], 32, &a),
			SASL_DONE);
		cr_expect_eq(exchange(plus[h], h, ALL, &tls_1_2, "p=tls-server-end-point,,",
				     tls_1_2.data[TLS_BIND_END_POINT], 32, &a),
			SASL_DONE);
	}
}

Test(sasl, binding_to_another_channel)
{
	struct auth_account a = account_of("pencil", "QSXCR+Q6sek8bf92", 100);
	const struct {
		const char *section, *gs2;
		const char *data;
		size_t len;
	} rows[] = {
		{ "RFC 5802 §6 other data", "p=tls-exporter,,", "what both ends export, 32 bytez",
			32 },
		{ "RFC 5802 §6 data of the other type", "p=tls-exporter,,",
			"the hash of a certificate, 32 b", 32 },
		{ "RFC 5802 §6 less data", "p=tls-exporter,,", "what both ends", 14 },
		{ "RFC 5802 §6 no data", "p=tls-server-end-point,,", "", 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		cr_expect_eq(exchange("SCRAM-SHA-1-PLUS", SCRAM_SHA_1, ALL, &tls_1_3, rows[i].gs2,
				     rows[i].data, rows[i].len, &a),
			FAILS(SASL_NOT_AUTHORIZED), "%s", rows[i].section);
}

/* What a client may begin with, and what becomes of it. */
static const struct {
	const char *section, *mechanism;
	uint32_t offered;
	const struct tls_channel *channel;
	const char *first;
	int want;
} firsts[] = {
	{ "RFC 5802 §7 all there", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,,n=user,r=abc",
		SASL_NEED_ACCOUNT },
	{ "RFC 5802 §5.1 extensions are let be", "SCRAM-SHA-1", NO_PLUS, &plain_tcp,
		"n,,n=user,r=abc,x=1,y=a=b", SASL_NEED_ACCOUNT },
	{ "RFC 6120 §6.3.8 authzid is one's own", "SCRAM-SHA-1", NO_PLUS, &plain_tcp,
		"n,a=user@example.org,n=user,r=abc", SASL_NEED_ACCOUNT },
	{ "RFC 6120 §6.5.6 another's", "SCRAM-SHA-1", NO_PLUS, &plain_tcp,
		"n,a=other@example.org,n=user,r=abc", FAILS(SASL_INVALID_AUTHZID) },
	{ "RFC 6120 §6.5.6 another host's", "SCRAM-SHA-1", NO_PLUS, &plain_tcp,
		"n,a=user@example.com,n=user,r=abc", FAILS(SASL_INVALID_AUTHZID) },
	{ "RFC 6120 §6.5.6 a full JID", "SCRAM-SHA-1", NO_PLUS, &plain_tcp,
		"n,a=user@example.org/r,n=user,r=abc", FAILS(SASL_INVALID_AUTHZID) },
	{ "RFC 6120 §6.5.6 no JID", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,a=@,n=user,r=abc",
		FAILS(SASL_INVALID_AUTHZID) },
	{ "RFC 5802 §5.1 m= is refused", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,,m=x,n=user,r=abc",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §5.1 m= behind, too", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,,n=user,r=abc,m=x",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 order", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,,r=abc,n=user",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 no nonce", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,,n=user",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 empty nonce", "SCRAM-SHA-1", NO_PLUS, &plain_tcp,
		"n,,n=user,r=", FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 nonce not printable", "SCRAM-SHA-1", NO_PLUS, &plain_tcp,
		"n,,n=user,r=a\x01", FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 nonce not ASCII", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,,n=user,r=\xc3\xa4",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 empty name", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,,n=,r=abc",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 trailing comma", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,,n=user,r=abc,",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 extension without value", "SCRAM-SHA-1", NO_PLUS, &plain_tcp,
		"n,,n=user,r=abc,x=", FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 extension without letter", "SCRAM-SHA-1", NO_PLUS, &plain_tcp,
		"n,,n=user,r=abc,1=a", FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §5.1 = alone in a name", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,,n=us=er,r=abc",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §5.1 = at a name's end", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,,n=us=2,r=abc",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §5.1 lower-case code", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,,n=us=2c,r=abc",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §5.1 a name that cannot be", "SCRAM-SHA-1", NO_PLUS, &plain_tcp,
		"n,,n=us@er,r=abc", FAILS(SASL_NOT_AUTHORIZED) },
	{ "RFC 5802 §7 no gs2-header", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n=user,r=abc",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 unknown flag", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "x,,n=user,r=abc",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 flag too long", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "nn,,n=user,r=abc",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 authzid without a=", "SCRAM-SHA-1", NO_PLUS, &plain_tcp,
		"n,user,n=user,r=abc", FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 authzid empty", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "n,a=,n=user,r=abc",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 nothing", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, "",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 commas", "SCRAM-SHA-1", NO_PLUS, &plain_tcp, ",,,,",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §6 -PLUS was offered: y means somebody took it out", "SCRAM-SHA-1", ALL,
		&tls_1_3, "y,,n=user,r=abc", FAILS(SASL_NOT_AUTHORIZED) },
	{ "RFC 5802 §6 n is for clients that cannot bind", "SCRAM-SHA-1", ALL, &tls_1_3,
		"n,,n=user,r=abc", SASL_NEED_ACCOUNT },
	{ "RFC 5802 §6 p= needs -PLUS", "SCRAM-SHA-1", ALL, &tls_1_3,
		"p=tls-exporter,,n=user,r=abc", FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §6 -PLUS needs p=", "SCRAM-SHA-1-PLUS", ALL, &tls_1_3, "n,,n=user,r=abc",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §6 -PLUS needs p=, not y", "SCRAM-SHA-1-PLUS", ALL, &tls_1_3, "y,,n=user,r=abc",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §6 unknown type", "SCRAM-SHA-1-PLUS", ALL, &tls_1_3,
		"p=tls-unique,,n=user,r=abc", FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 5802 §7 no type", "SCRAM-SHA-1-PLUS", ALL, &tls_1_3, "p=,,n=user,r=abc",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 9266 §4.2 tls-exporter is TLS 1.3's", "SCRAM-SHA-1-PLUS", ALL, &tls_1_2,
		"p=tls-exporter,,n=user,r=abc", FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 6120 §6.5.7 unknown", "DIGEST-MD5", ALL, &tls_1_3, "",
		FAILS(SASL_INVALID_MECHANISM) },
	{ "RFC 6120 §6.5.7 mechanisms are in capitals", "plain", ALL, &tls_1_3, "",
		FAILS(SASL_INVALID_MECHANISM) },
	{ "RFC 6120 §6.5.7 not offered", "SCRAM-SHA-512", SASL_SCRAM_SHA_256, &tls_1_3, "",
		FAILS(SASL_INVALID_MECHANISM) },
	{ "RFC 6120 §6.5.7 anonymous not offered", "ANONYMOUS", NO_PLUS, &tls_1_3, "",
		FAILS(SASL_INVALID_MECHANISM) },
	{ "RFC 6120 §6.5.9 weaker than what was", "SCRAM-SHA-1", SASL_SCRAM_SHA_256, &tls_1_3, "",
		FAILS(SASL_MECHANISM_TOO_WEAK) },
	{ "RFC 6120 §6.5.4 PLAIN in the clear", "PLAIN", NO_PLUS & ~SASL_PLAIN, &plain_tcp, "",
		FAILS(SASL_ENCRYPTION_REQUIRED) },
	{ "RFC 6120 §6.5.9 PLAIN switched off", "PLAIN", NO_PLUS & ~SASL_PLAIN, &tls_1_3, "",
		FAILS(SASL_MECHANISM_TOO_WEAK) },
};

Test(sasl, first_messages)
{
	for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
		struct sasl *s = sasl_new(&host, firsts[i].offered, firsts[i].channel);

		cr_expect_eq(start(s, firsts[i].mechanism, firsts[i].first), firsts[i].want, "%s",
			firsts[i].section);
		sasl_free(s);
	}
}

Test(sasl, nul_in_a_message)
{
	struct sasl *s = sasl_new(&host, NO_PLUS, &plain_tcp);

	cr_expect_eq(start_bytes(s, "SCRAM-SHA-1", "n,,n=us\0er,r=abc", 16),
		FAILS(SASL_MALFORMED_REQUEST), "RFC 5802 §7");
	sasl_free(s);
}

Test(sasl, names_are_decoded_and_prepared)
{
	struct sasl *s = sasl_new(&host, NO_PLUS, &plain_tcp);

	cr_expect_eq(start(s, "SCRAM-SHA-1", "n,,n=Us=2Cer=3D,r=abc"), SASL_NEED_ACCOUNT);
	cr_expect_str_eq(s->user, "us,er=", "RFC 5802 §5.1, RFC 7622 §3.3");
	sasl_free(s);
}

/* The client's last message: a right one with one thing changed. */
Test(sasl, final_messages)
{
	const struct {
		const char *section, *from, *to;
		int want;
	} rows[] = {
		{ "RFC 5802 §7 as it should be", "", "", SASL_DONE },
		{ "RFC 5802 §5.1 other gs2-header", "c=biws", "c=eSws",
			FAILS(SASL_NOT_AUTHORIZED) },
		{ "RFC 5802 §5.1 no gs2-header", "c=biws", "c=", FAILS(SASL_NOT_AUTHORIZED) },
		{ "RFC 5802 §5.1 not base64", "c=biws", "c=bi*s", FAILS(SASL_NOT_AUTHORIZED) },
		{ "RFC 5802 §5.1 other nonce", ",r=abc", ",r=abd", FAILS(SASL_NOT_AUTHORIZED) },
		{ "RFC 5802 §5.1 shorter nonce", ",r=abc", ",r=ab", FAILS(SASL_NOT_AUTHORIZED) },
		{ "RFC 5802 §7 order", "c=biws,r=", "r=biws,c=", FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 5802 §7 no proof", ",p=", ",x=", FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 5802 §7 something behind the proof", "=", "=,x=1",
			FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 5802 §7 proof not base64", ",p=", ",p=*", FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 5802 §7 proof too long", ",p=", ",p=AAAA", FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 5802 §3 what is signed is what was sent",
			",p=", ",x=1,p=", FAILS(SASL_NOT_AUTHORIZED) },
		{ "RFC 5802 §5.1 m= is refused", ",p=", ",m=1,p=", FAILS(SASL_MALFORMED_REQUEST) },
	};
	struct auth_account a = account_of("pencil", "QSXCR+Q6sek8bf92", 100);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sasl *s = sasl_new(&host, NO_PLUS, &plain_tcp);
		size_t from = strlen(rows[i].from);

		cr_assert_eq(start(s, "SCRAM-SHA-256", "n,,n=user,r=abc"), SASL_NEED_ACCOUNT);
		cr_assert_eq(sasl_account(s, &a), SASL_CONTINUE);
		AUTO(free_ptr) char *challenge = decoded(s->out);
		AUTO(free_ptr)
		char *right =
			client_final(SCRAM_SHA_256, "pencil", "n=user,r=abc", challenge, "n,,", 3);
		char *at = rows[i].from[0] == '=' ? right + strlen(right) - 1
						  : strstr(right, rows[i].from);
		cr_assert_not_null(at);
		AUTO(free_ptr)
		char *sent = xprintf("%.*s%s%s", (int)(at - right), right, rows[i].to, at + from);
		cr_expect_eq(step(s, sent), rows[i].want, "%s", rows[i].section);
		sasl_free(s);
	}
}

static int log_in(const char *password, const struct auth_account *a)
{
	struct sasl *s = sasl_new(&host, NO_PLUS, &plain_tcp);
	int verdict;

	cr_assert_eq(start(s, "SCRAM-SHA-256", "n,,n=user,r=abc"), SASL_NEED_ACCOUNT);
	cr_assert_eq(sasl_account(s, a), SASL_CONTINUE);
	AUTO(free_ptr) char *challenge = decoded(s->out);
	AUTO(free_ptr)
	char *final = client_final(SCRAM_SHA_256, password, "n=user,r=abc", challenge, "n,,", 3);
	verdict = step(s, final);
	sasl_free(s);
	return verdict;
}

Test(sasl, accounts)
{
	struct auth_account a = account_of("pencil", "QSXCR+Q6sek8bf92", 100);

	cr_expect_eq(log_in("pencil", &a), SASL_DONE);
	cr_expect_eq(log_in("pen", &a), FAILS(SASL_NOT_AUTHORIZED), "RFC 6120 §6.5.10");
	cr_expect_eq(log_in("pencil", NULL), FAILS(SASL_NOT_AUTHORIZED), "RFC 6120 §6.5.10");
	a.disabled = true;
	cr_expect_eq(log_in("pencil", &a), FAILS(SASL_ACCOUNT_DISABLED), "RFC 6120 §6.5.2");
	cr_expect_eq(log_in("pen", &a), FAILS(SASL_NOT_AUTHORIZED), "told only who may know");
	a.disabled = false;
	a.scram[SCRAM_SHA_256].iterations = 0;
	cr_expect_eq(log_in("pencil", &a), FAILS(SASL_NOT_AUTHORIZED), "no verifier for the hash");
}

/* RFC 5802 §9: who has no account sees what everybody sees, and the same each time. */
Test(sasl, strangers_see_an_account)
{
	char *seen[3];
	static const char *const firsts_of[] = { "n,,n=ghost,r=abc", "n,,n=ghost,r=abc",
		"n,,n=ghoul,r=abc" };

	for (int i = 0; i < 3; i++) {
		struct sasl *s = sasl_new(&host, NO_PLUS, &plain_tcp);

		cr_assert_eq(start(s, "SCRAM-SHA-1", firsts_of[i]), SASL_NEED_ACCOUNT);
		cr_assert_eq(sasl_account(s, NULL), SASL_CONTINUE);
		AUTO(free_ptr) char *challenge = decoded(s->out);
		seen[i] = xstrdup(strstr(challenge, ",s="));
		cr_expect(strstr(challenge, ",i=4096"), "%s", challenge);
		sasl_free(s);
	}
	cr_expect_str_eq(seen[0], seen[1], "the same name has the same salt");
	cr_expect_str_neq(seen[0], seen[2]);
	for (int i = 0; i < 3; i++)
		free(seen[i]);
}

Test(sasl, nonces_are_fresh)
{
	struct auth_account a = account_of("pencil", "QSXCR+Q6sek8bf92", 100);
	char *seen[2];

	for (int i = 0; i < 2; i++) {
		struct sasl *s = sasl_new(&host, NO_PLUS, &plain_tcp);

		start(s, "SCRAM-SHA-1", "n,,n=user,r=abc");
		sasl_account(s, &a);
		seen[i] = decoded(s->out);
		cr_expect_eq(
			memcmp(seen[i], "r=abc", 5), 0, "RFC 5802 §5.1 the client's comes first");
		sasl_free(s);
	}
	cr_expect_str_neq(seen[0], seen[1]);
	free(seen[0]);
	free(seen[1]);
}

Test(sasl, plain)
{
	const struct {
		const char *section, *message;
		size_t len;
		int want;
	} rows[] = {
		{ "RFC 4616 §2", "\0user\0pencil", 12, SASL_NEED_CHECK },
		{ "RFC 6120 §6.3.8 one's own JID", "user@example.org\0user\0pencil", 28,
			SASL_NEED_CHECK },
		{ "RFC 6120 §6.5.6 another's", "juliet@example.org\0user\0pencil", 30,
			FAILS(SASL_INVALID_AUTHZID) },
		{ "RFC 4616 §2 no name", "\0\0pencil", 8, FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 4616 §2 no password", "\0user\0", 6, FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 4616 §2 one NUL", "\0user", 5, FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 4616 §2 no NUL", "user", 4, FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 4616 §2 three NULs", "\0user\0pen\0cil", 13, FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 4616 §2 nothing", "", 0, FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 4616 §2 NUL alone", "\0", 1, FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 4616 §2 NULs alone", "\0\0", 2, FAILS(SASL_MALFORMED_REQUEST) },
		{ "RFC 7622 §3.3 a name that cannot be", "\0us@er\0pencil", 13,
			FAILS(SASL_NOT_AUTHORIZED) },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sasl *s = sasl_new(&host, ALL, &tls_1_3);

		cr_expect_eq(start_bytes(s, "PLAIN", rows[i].message, rows[i].len), rows[i].want,
			"%s", rows[i].section);
		if (rows[i].want == SASL_NEED_CHECK) {
			cr_expect_str_eq(s->user, "user");
			cr_expect_str_eq(s->password, "pencil");
			if (i == 0) {
				cr_expect_eq(sasl_checked(s, true), SASL_DONE);
				cr_expect_null(s->out);
			} else {
				cr_expect_eq(result(s, sasl_checked(s, false)),
					FAILS(SASL_NOT_AUTHORIZED), "RFC 6120 §6.5.10");
			}
			cr_expect_null(s->password, "not kept");
		}
		sasl_free(s);
	}
}

Test(sasl, anonymous)
{
	char *seen[2];

	for (int i = 0; i < 2; i++) {
		struct sasl *s = sasl_new(&host, ALL, &plain_tcp);

		cr_assert_eq(
			i ? start(s, "ANONYMOUS", "trace@example.com") : start(s, "ANONYMOUS", ""),
			SASL_DONE, "RFC 4505 §2");
		cr_expect(s->anonymous);
		cr_expect_eq(strlen(s->user), 32u);
		seen[i] = xstrdup(s->user);
		sasl_free(s);
	}
	cr_expect_str_neq(seen[0], seen[1]);
	free(seen[0]);
	free(seen[1]);
}

Test(sasl, without_initial_response)
{
	struct sasl *s = sasl_new(&host, ALL, &tls_1_3);

	cr_assert_eq(sasl_start(s, "PLAIN", NULL, 0), SASL_CONTINUE, "RFC 6120 §6.4.2");
	cr_expect_str_eq(s->out, "", "RFC 4422 §5 an empty challenge asks for it");
	cr_expect_eq(step(s, "\0user\0pencil"), FAILS(SASL_MALFORMED_REQUEST));
	sasl_free(s);
	s = sasl_new(&host, ALL, &tls_1_3);
	cr_assert_eq(sasl_start(s, "ANONYMOUS", NULL, 0), SASL_CONTINUE);
	cr_expect_eq(sasl_step(s, "", 0), SASL_DONE, "RFC 6120 §6.4.3 an empty response");
	sasl_free(s);
}

Test(sasl, equals_sign)
{
	struct sasl *s = sasl_new(&host, ALL, &tls_1_3);

	cr_expect_eq(result(s, sasl_start(s, "ANONYMOUS", "=", 1)), FAILS(SASL_INCORRECT_ENCODING),
		"XEP-0388 §2.2");
	sasl_free(s);
	s = sasl_new(&host, ALL, &tls_1_3);
	cr_expect_eq(sasl_start(s, "ANONYMOUS", "", 0), SASL_DONE, "XEP-0388 §2.2");
	sasl_free(s);
}

/* XEP-0474 §5.1: what the client was shown, under its own proof. */
Test(sasl, what_was_offered_is_told)
{
	static const struct {
		const char *section, *mechanism, *first;
		uint32_t offered;
		const struct tls_channel *channel;
		enum scram_hash hash;
		const char *list;
	} rows[] = {
		{ "XEP-0474 §5.3", "SCRAM-SHA-1-PLUS", "p=tls-exporter,,n=user,r=abc",
			SASL_SCRAM_SHA_1 | SASL_SCRAM_SHA_1_PLUS, &tls_1_3, SCRAM_SHA_1,
			"SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1etls-server-end-point" },
		{ "XEP-0474 §5.1 without bindings", "SCRAM-SHA-256", "n,,n=user,r=abc",
			SASL_SCRAM_SHA_1 | SASL_SCRAM_SHA_256 | SASL_PLAIN, &tls_1_3, SCRAM_SHA_256,
			"PLAIN\x1eSCRAM-SHA-1\x1eSCRAM-SHA-256" },
	};

	conf.scram_protects_offer = true;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sasl *s = sasl_new(&host, rows[i].offered, rows[i].channel);
		uint8_t hash[EVP_MAX_MD_SIZE];

		cr_assert_eq(start(s, rows[i].mechanism, rows[i].first), SASL_NEED_ACCOUNT);
		cr_assert_eq(sasl_account(s, NULL), SASL_CONTINUE);
		EVP_Digest(
			rows[i].list, strlen(rows[i].list), hash, NULL, digest(rows[i].hash), NULL);
		AUTO(free_ptr) char *want = encoded(hash, scram_key_bytes(rows[i].hash));
		AUTO(free_ptr) char *challenge = decoded(s->out);
		const char *told = strstr(challenge, ",h=");
		cr_assert_not_null(told, "%s", rows[i].section);
		cr_expect_str_eq(told + 3, want, "%s", rows[i].section);
		sasl_free(s);
	}
	/* The XEP's own figure for its example. */
	uint8_t published[20];
	EVP_Digest(rows[0].list, strlen(rows[0].list), published, NULL, EVP_sha1(), NULL);
	AUTO(free_ptr) char *text = encoded(published, 20);
	cr_expect_str_eq(text, "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
	conf.scram_protects_offer = false;
}

/* --- tokens: draft-schmaus-kitten-sasl-ht-09, XEP-0484 --------------------------------------- */

#define NOW 1000000
static char token_text[TOKEN_TEXT + 1];
static struct token tokens[TOKEN_SLOTS];

/* As a client makes it, with OpenSSL and the text alone. */
static void client_proof(
	const char *text, const char *side, const void *data, size_t len, uint8_t out[TOKEN_HASH])
{
	char message[200];
	size_t n = strlen(side);

	memcpy(message, side, n);
	memcpy(message + n, data, len);
	HMAC(EVP_sha256(), text, (int)strlen(text), (uint8_t *)message, n + len, out, NULL);
}

static int show_token(struct sasl *s, const char *mechanism, const char *user, const char *text,
	const void *data, size_t len)
{
	char message[200];
	size_t n = strlen(user) + 1;

	memcpy(message, user, n);
	client_proof(text, "Initiator", data, len, (uint8_t *)message + n);
	return start_bytes(s, mechanism, message, n + TOKEN_HASH);
}

static void give_token(enum token_slot slot, unsigned mechanism, int64_t expires)
{
	memset(tokens, 0, sizeof(tokens));
	cr_assert(token_make(token_text, tokens[slot].hash));
	tokens[slot].mechanism = (uint8_t)mechanism;
	tokens[slot].expires = expires;
	tokens[slot].count = 7;
}

Test(sasl, tokens)
{
	static const struct {
		const char *section;
		unsigned asked, shown; /* mechanisms */
		int64_t expires;
		enum token_slot slot;
		bool disabled, wrong, known;
		uint32_t count;
		int want;
	} rows[] = {
		{ "XEP-0484 §3.4", HT_NONE, HT_NONE, NOW + 1, TOKEN_CURRENT, .known = true,
			.want = SASL_DONE },
		{ "XEP-0484 §5.1", HT_NONE, HT_NONE, NOW + 1, TOKEN_FRESH, .known = true,
			.want = SASL_DONE },
		{ "draft-ht-09 §3 tls-exporter", HT_EXPR, HT_EXPR, NOW + 1, TOKEN_CURRENT,
			.known = true, .want = SASL_DONE },
		{ "draft-ht-09 §3 tls-server-end-point", HT_ENDP, HT_ENDP, NOW + 1, TOKEN_CURRENT,
			.known = true, .want = SASL_DONE },
		{ "XEP-0484 §3.4 without the binding it was asked with", HT_EXPR, HT_NONE, NOW + 1,
			TOKEN_CURRENT, .known = true, .want = FAILS(SASL_NOT_AUTHORIZED) },
		{ "XEP-0484 §3.4 with another", HT_ENDP, HT_EXPR, NOW + 1, TOKEN_CURRENT,
			.known = true, .want = FAILS(SASL_NOT_AUTHORIZED) },
		{ "XEP-0484 §5.1 expired", HT_NONE, HT_NONE, NOW, TOKEN_CURRENT, .known = true,
			.want = FAILS(SASL_CREDENTIALS_EXPIRED) },
		{ "XEP-0484 §3.4 counted on", HT_NONE, HT_NONE, NOW + 1, TOKEN_CURRENT,
			.known = true, .count = 8, .want = SASL_DONE },
		{ "XEP-0484 §3.4 counted already", HT_NONE, HT_NONE, NOW + 1, TOKEN_CURRENT,
			.known = true, .count = 7, .want = FAILS(SASL_CREDENTIALS_EXPIRED) },
		{ "RFC 6120 §6.5.2", HT_NONE, HT_NONE, NOW + 1, TOKEN_CURRENT, .known = true,
			.disabled = true, .want = FAILS(SASL_ACCOUNT_DISABLED) },
		{ "another token", HT_NONE, HT_NONE, NOW + 1, TOKEN_CURRENT, .known = true,
			.wrong = true, .want = FAILS(SASL_NOT_AUTHORIZED) },
		{ "another token, of an account that is closed", HT_NONE, HT_NONE, NOW + 1,
			TOKEN_CURRENT, .known = true, .wrong = true, .disabled = true,
			.want = FAILS(SASL_NOT_AUTHORIZED) },
		{ "no such client", HT_NONE, HT_NONE, NOW + 1, TOKEN_CURRENT,
			.want = FAILS(SASL_NOT_AUTHORIZED) },
		{ "a slot that is empty", HT_NONE, HT_NONE, 0, TOKEN_CURRENT, .known = true,
			.want = FAILS(SASL_NOT_AUTHORIZED) },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sasl *s = sasl_new(&host, SASL_HT(ht_mechanisms(&tls_1_3)), &tls_1_3);
		int binding = rows[i].shown == HT_EXPR ? TLS_BIND_EXPORTER : TLS_BIND_END_POINT;
		size_t len = rows[i].shown == HT_NONE ? 0 : 32;

		give_token(rows[i].slot, rows[i].asked, rows[i].expires);
		AUTO(free_ptr) char *text = xstrdup(token_text);
		text[5] ^= rows[i].wrong;
		cr_assert_eq(show_token(s, ht_name(rows[i].shown), "user", text,
				     tls_1_3.data[binding], len),
			SASL_NEED_TOKEN);
		cr_expect_str_eq(s->user, "user");
		const struct sasl_token t = { .tokens = rows[i].known ? tokens : NULL,
			.disabled = rows[i].disabled,
			.now = NOW,
			.count = rows[i].count };
		cr_expect_eq(result(s, sasl_token(s, &t)), rows[i].want, "%s", rows[i].section);
		if (rows[i].want == SASL_DONE) {
			uint8_t reply[TOKEN_HASH];

			client_proof(token_text, "Responder", tls_1_3.data[binding], len, reply);
			AUTO(free_ptr) char *want = encoded(reply, TOKEN_HASH);
			cr_expect_str_eq(s->out, want, "draft-ht-09 §3.3");
			cr_expect_eq(s->slot, rows[i].slot);
		}
		sasl_free(s);
	}
}

Test(sasl, token_messages)
{
	static const struct {
		const char *section, *message;
		size_t len;
		int want;
	} rows[] = {
		{ "draft-ht-09 §3.1",
			"user\0"
			"0123456789abcdef0123456789abcdef",
			37, SASL_NEED_TOKEN },
		{ "draft-ht-09 §3.1 a NUL in the proof",
			"user\0"
			"\0"
			"123456789abcdef0123456789abcdef",
			37, SASL_NEED_TOKEN },
		{ "no name",
			"\0"
			"0123456789abcdef0123456789abcdef",
			33, FAILS(SASL_MALFORMED_REQUEST) },
		{ "no NUL", "user0123456789abcdef0123456789abcdef", 36,
			FAILS(SASL_MALFORMED_REQUEST) },
		{ "a proof too short",
			"user\0"
			"0123456789abcdef0123456789abcde",
			36, FAILS(SASL_MALFORMED_REQUEST) },
		{ "a proof too long",
			"user\0"
			"0123456789abcdef0123456789abcdef0",
			38, FAILS(SASL_MALFORMED_REQUEST) },
		{ "nothing", "", 0, FAILS(SASL_MALFORMED_REQUEST) },
		{ "a name that is none",
			"us/er\0"
			"0123456789abcdef0123456789abcdef",
			38, FAILS(SASL_NOT_AUTHORIZED) },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sasl *s = sasl_new(&host, SASL_HT(ht_mechanisms(&tls_1_3)), &tls_1_3);

		cr_expect_eq(start_bytes(s, "HT-SHA-256-NONE", rows[i].message, rows[i].len),
			rows[i].want, "%s", rows[i].section);
		sasl_free(s);
	}
}

Test(sasl, tokens_by_channel)
{
	static const struct tls_channel unique = { .encrypted = true,
		.len = { [TLS_BIND_UNIQUE] = 12, [TLS_BIND_END_POINT] = 32 } };

	cr_expect_eq(ht_mechanisms(&plain_tcp), 0, "XEP-0484 §6");
	cr_expect_eq(ht_mechanisms(&tls_1_2), 1u << HT_ENDP | 1u << HT_NONE);
	cr_expect_eq(ht_mechanisms(&unique), 1u << HT_UNIQ | 1u << HT_ENDP | 1u << HT_NONE,
		"RFC 5929 §3");
	cr_expect_eq(ht_mechanisms(&tls_1_3), 1u << HT_EXPR | 1u << HT_ENDP | 1u << HT_NONE,
		"RFC 9266 §3");
	/* Not offered: no token, whatever it is. */
	struct sasl *s = sasl_new(&host, ALL, &tls_1_3);
	cr_expect_eq(start_bytes(s, "HT-SHA-256-NONE", "user", 4), FAILS(SASL_INVALID_MECHANISM));
	sasl_free(s);
	s = sasl_new(&host, SASL_HT(ht_mechanisms(&tls_1_2)), &tls_1_2);
	cr_expect_eq(start_bytes(s, "HT-SHA-256-EXPR", "user", 4), FAILS(SASL_INVALID_MECHANISM));
	sasl_free(s);
	s = sasl_new(&host, SASL_HT(ht_mechanisms(&tls_1_2)), &tls_1_2);
	cr_expect_neq(start(s, "SCRAM-SHA-256", "n,,n=user,r=abc"), SASL_NEED_ACCOUNT);
	sasl_free(s);
}

Test(sasl, encodings)
{
	const struct {
		const char *section, *text;
		int want;
	} rows[] = {
		{ "RFC 6120 §13.9.1", "biwsbj11c2VyLHI9YWJj", SASL_NEED_ACCOUNT },
		{ "RFC 6120 §13.9.1 space", "biwsbj11 c2VyLHI9YWJj",
			FAILS(SASL_INCORRECT_ENCODING) },
		{ "RFC 6120 §13.9.1 newline", "biwsbj11c2VyLHI9YWJj\n",
			FAILS(SASL_INCORRECT_ENCODING) },
		{ "RFC 6120 §13.9.1 = inside", "biws=j11c2VyLHI9YWJj",
			FAILS(SASL_INCORRECT_ENCODING) },
		{ "RFC 4648 §3.2 no padding", "biwsbj11c2VyLHI9YWJjZA",
			FAILS(SASL_INCORRECT_ENCODING) },
		{ "RFC 4648 §3.5 bits under the padding",
			"biwsbj11c2VyLHI9YWJjZB==", FAILS(SASL_INCORRECT_ENCODING) },
		{ "RFC 4648 §4 three of padding",
			"biwsbj11c2VyLHI9YWJjZ===", FAILS(SASL_INCORRECT_ENCODING) },
		{ "RFC 4648 §5 is another alphabet", "-_wsbj11c2VyLHI9YWJj",
			FAILS(SASL_INCORRECT_ENCODING) },
		{ "RFC 4648 §4 padding alone", "====", FAILS(SASL_INCORRECT_ENCODING) },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sasl *s = sasl_new(&host, NO_PLUS, &plain_tcp);

		cr_expect_eq(
			result(s, sasl_start(s, "SCRAM-SHA-1", rows[i].text, strlen(rows[i].text))),
			rows[i].want, "%s", rows[i].section);
		sasl_free(s);
	}
}

Test(sasl, base64_both_ways)
{
	uint8_t bytes[64], back[64];
	char text[BASE64_LEN(64) + 1];

	for (size_t len = 0; len <= sizeof(bytes) - 3; len++) {
		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)(37 * i + len);
		cr_expect_eq(base64_encode(bytes, len, text), BASE64_LEN(len));
		cr_expect_eq(base64_decode(text, strlen(text), back), (ssize_t)len);
		cr_expect_eq(memcmp(bytes, back, len), 0);
	}
	cr_expect_eq(base64_encode("foob", 4, text), 8u);
	cr_expect_str_eq(text, "Zm9vYg==", "RFC 4648 §10");
}

Test(sasl, sizes_are_bounded)
{
	size_t len = SASL_TEXT_MAX + 4;
	AUTO(free_ptr) char *text = xmalloc(len);
	struct sasl *s = sasl_new(&host, NO_PLUS, &plain_tcp);

	memset(text, 'A', len);
	cr_expect_eq(
		result(s, sasl_start(s, "SCRAM-SHA-1", text, len)), FAILS(SASL_MALFORMED_REQUEST));
	sasl_free(s);
}

Test(sasl, out_of_turn)
{
	struct auth_account a = account_of("pencil", "QSXCR+Q6sek8bf92", 100);
	struct sasl *s = sasl_new(&host, NO_PLUS, &plain_tcp);

	cr_assert_eq(start(s, "SCRAM-SHA-1", "n,,n=user,r=abc"), SASL_NEED_ACCOUNT);
	cr_expect_eq(step(s, "c=biws"), FAILS(SASL_MALFORMED_REQUEST), "a response too early");
	cr_expect_eq(sasl_account(s, &a), SASL_FAIL, "the account comes too late");
	sasl_free(s);
	s = sasl_new(&host, NO_PLUS, &plain_tcp);
	cr_assert_eq(start(s, "SCRAM-SHA-1", "n,,n=user,r=abc"), SASL_NEED_ACCOUNT);
	cr_expect_eq(sasl_fail(s, SASL_ABORTED), SASL_FAIL, "RFC 6120 §6.4.4");
	cr_expect_eq(s->condition, SASL_ABORTED);
	cr_expect_eq(sasl_account(s, NULL), SASL_FAIL);
	cr_expect_eq(s->condition, SASL_ABORTED);
	sasl_free(s);
}

/* ---- OAUTHBEARER ---- */

static const struct {
	const char *what, *message;
	int want;
	const char *user, *token;
} bearers[] = {
	{ "RFC 7628 §4.1",
		"n,a=romeo@example.org,\x01host=example.org\x01port=5222\x01"
		"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
		SASL_NEED_CHECK, "romeo", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==" },
	{ "§3.1: the scheme in any case",
		"n,a=romeo@example.org,\x01"
		"auth=bearer x\x01\x01",
		SASL_NEED_CHECK, "romeo", "x" },
	{ "§3.1: keys that nobody knows",
		"y,a=romeo@example.org,\x01k=\x01"
		"auth=Bearer x\x01\x01",
		SASL_NEED_CHECK, "romeo", "x" },
	{ "RFC 5801 §4: what is escaped",
		"n,a=ro=2Cmeo@example.org,\x01"
		"auth=Bearer x\x01\x01",
		SASL_NEED_CHECK, "ro,meo", "x" },
	{ "RFC 5801 §4: escaped wrongly",
		"n,a=ro=2cmeo@example.org,\x01"
		"auth=Bearer x\x01\x01",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "RFC 6120 §6.3.8: of another host",
		"n,a=romeo@example.net,\x01"
		"auth=Bearer x\x01\x01",
		FAILS(SASL_INVALID_AUTHZID) },
	{ "of nobody",
		"n,,\x01"
		"auth=Bearer x\x01\x01",
		FAILS(SASL_INVALID_AUTHZID) },
	{ "with a resource",
		"n,a=romeo@example.org/a,\x01"
		"auth=Bearer x\x01\x01",
		FAILS(SASL_INVALID_AUTHZID) },
	{ "§3.1: another scheme",
		"n,a=romeo@example.org,\x01"
		"auth=Basic x\x01\x01",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "no token",
		"n,a=romeo@example.org,\x01"
		"auth=Bearer \x01\x01",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "no auth", "n,a=romeo@example.org,\x01\x01", FAILS(SASL_MALFORMED_REQUEST) },
	{ "no end",
		"n,a=romeo@example.org,\x01"
		"auth=Bearer x\x01",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "more than the end",
		"n,a=romeo@example.org,\x01"
		"auth=Bearer x\x01\x01x",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "a channel binding",
		"p=tls-unique,a=romeo@example.org,\x01"
		"auth=Bearer x\x01\x01",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "an empty key",
		"n,a=romeo@example.org,\x01=\x01"
		"auth=Bearer x\x01\x01",
		FAILS(SASL_MALFORMED_REQUEST) },
	{ "nothing", "", FAILS(SASL_MALFORMED_REQUEST) },
};

Test(sasl, oauth_bearer)
{
	for (size_t i = 0; i < ARRAY_LEN(bearers); i++) {
		struct sasl *s = sasl_new(&host, SASL_OAUTHBEARER, &tls_1_3);

		cr_expect_eq(start(s, "OAUTHBEARER", bearers[i].message), bearers[i].want, "%s",
			bearers[i].what);
		if (bearers[i].user) {
			cr_expect_str_eq(s->user, bearers[i].user, "%s", bearers[i].what);
			cr_expect_str_eq(s->password, bearers[i].token, "%s", bearers[i].what);
			cr_expect_eq(sasl_checked(s, true), SASL_DONE);
		}
		sasl_free(s);
	}
}

/* RFC 7628 §3.2.2, §3.2.3: why it is refused comes first, and the client lets it be. */
Test(sasl, oauth_bearer_refused)
{
	struct sasl *s = sasl_new(&host, SASL_OAUTHBEARER, &tls_1_3);

	cr_assert_eq(start(s, "OAUTHBEARER", bearers[0].message), SASL_NEED_CHECK);
	cr_assert_eq(sasl_checked(s, false), SASL_CONTINUE);
	cr_expect_null(s->password);
	AUTO(free_ptr) char *why = decoded(s->out);
	cr_expect_str_eq(why, "{\"status\":\"invalid_token\"}");
	cr_expect_eq(step(s, "\x01"), FAILS(SASL_NOT_AUTHORIZED));
	sasl_free(s);
}

Test(sasl, oauth_bearer_is_for_tls)
{
	struct sasl *s = sasl_new(&host, SASL_SCRAM_SHA_1, &plain_tcp);

	cr_expect_eq(start(s, "OAUTHBEARER", bearers[0].message), FAILS(SASL_ENCRYPTION_REQUIRED));
	sasl_free(s);
}

/* ---- EXTERNAL ---- */

#define ONE 1
#define TWO 2
#define ONE_TWICE 3

/* XEP-0178 §2, RFC 6120 §6.3.8, RFC 4422 §A.1. */
static const struct {
	const char *section, *authzid;
	int names; /* in the certificate */
	int want;
	const char *user;
} externals[] = {
	{ "XEP-0178 §2 ex. 9: one address, none asked for", "", ONE, SASL_NEED_ACCOUNT, "romeo" },
	{ "XEP-0178 §2: one address, itself", "romeo@example.org", ONE, SASL_NEED_ACCOUNT,
		"romeo" },
	{ "RFC 6120 §6.3.8: a JID is prepared", "Romeo@Example.ORG", ONE, SASL_NEED_ACCOUNT,
		"romeo" },
	{ "XEP-0178 §2: the same one twice", "", ONE_TWICE, SASL_NEED_ACCOUNT, "romeo" },
	{ "XEP-0178 §2 ex. 10: several, one of them asked for", "juliet@example.org", TWO,
		SASL_NEED_ACCOUNT, "juliet" },
	{ "XEP-0178 §2 ex. 10: several, none asked for", "", TWO, FAILS(SASL_INVALID_AUTHZID) },
	{ "XEP-0178 §2: another account", "juliet@example.org", ONE, FAILS(SASL_INVALID_AUTHZID) },
	{ "RFC 6120 §6.3.8: no JID", "@example.org", ONE, FAILS(SASL_INVALID_AUTHZID) },
	{ "RFC 6120 §6.3.8: a name alone", "romeo", ONE, FAILS(SASL_INVALID_AUTHZID) },
	{ "RFC 6120 §6.3.8: the server's domain", "example.org", ONE, FAILS(SASL_INVALID_AUTHZID) },
	{ "RFC 6120 §6.3.8: a resource", "romeo@example.org/orchard", ONE,
		FAILS(SASL_INVALID_AUTHZID) },
	{ "another domain", "romeo@example.net", ONE, FAILS(SASL_INVALID_AUTHZID) },
	{ "no certificate any more", "", 0, FAILS(SASL_INVALID_AUTHZID) },
};

static struct sasl *external(int names, struct jid **jids)
{
	struct sasl *s = sasl_new(&host, SASL_EXTERNAL | SASL_PLAIN, &certified);

	cr_assert_eq(jid_make("romeo", "example.org", NULL, NULL, &jids[0]), 0);
	cr_assert_eq(
		jid_make(names == TWO ? "juliet" : "romeo", "example.org", NULL, NULL, &jids[1]),
		0);
	s->certified = jids;
	s->n_certified = names == ONE_TWICE ? 2 : (unsigned)names;
	return s;
}

static void external_end(struct sasl *s, struct jid **jids)
{
	sasl_free(s);
	jid_free(jids[0]);
	jid_free(jids[1]);
}

Test(sasl, external_identities)
{
	for (size_t i = 0; i < ARRAY_LEN(externals); i++) {
		struct jid *jids[2];
		struct sasl *s = external(externals[i].names, jids);

		cr_expect_eq(start(s, "EXTERNAL", externals[i].authzid), externals[i].want, "%s",
			externals[i].section);
		if (externals[i].user)
			cr_expect_str_eq(s->user, externals[i].user, "%s", externals[i].section);
		external_end(s, jids);
	}
}

Test(sasl, external_with_a_nul)
{
	struct jid *jids[2];
	struct sasl *s = external(ONE, jids);
	AUTO(free_ptr) char *text = encoded((const uint8_t *)"romeo@example.org\0x", 19);

	cr_expect_eq(result(s, sasl_start(s, "EXTERNAL", text, strlen(text))),
		FAILS(SASL_MALFORMED_REQUEST));
	external_end(s, jids);
}

/* Without an initial response, RFC 4422 §A.1 has the server ask for one. */
Test(sasl, external_in_two_steps)
{
	struct jid *jids[2];
	struct sasl *s = external(ONE, jids);

	cr_assert_eq(sasl_start(s, "EXTERNAL", NULL, 0), SASL_CONTINUE);
	cr_expect_str_eq(s->out, "");
	cr_expect_eq(sasl_step(s, "", 0), SASL_NEED_ACCOUNT);
	external_end(s, jids);
}

Test(sasl, external_asks_for_the_account)
{
	struct auth_account none = { 0 }, disabled = { .disabled = true };
	const struct {
		const char *section;
		const struct auth_account *account;
		int want;
	} rows[] = {
		{ "there is one, with or without a password", &none, SASL_DONE },
		{ "XEP-0178 §2: there is none", NULL, FAILS(SASL_NOT_AUTHORIZED) },
		{ "RFC 6120 §6.5.2", &disabled, FAILS(SASL_ACCOUNT_DISABLED) },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct jid *jids[2];
		struct sasl *s = external(ONE, jids);

		cr_assert_eq(start(s, "EXTERNAL", ""), SASL_NEED_ACCOUNT);
		cr_expect_eq(result(s, sasl_account(s, rows[i].account)), rows[i].want, "%s",
			rows[i].section);
		cr_expect(rows[i].want != SASL_DONE || !s->out);
		external_end(s, jids);
	}
}

Test(sasl, external_that_is_not_offered)
{
	struct sasl *s = sasl_new(&host, NO_PLUS, &tls_1_3);

	cr_expect_eq(start(s, "EXTERNAL", ""), FAILS(SASL_INVALID_MECHANISM), "RFC 6120 §6.5.7");
	sasl_free(s);
}

Test(sasl, what_is_offered)
{
	const struct {
		const char *section;
		const struct tls_channel *channel;
		uint32_t allowed;
		bool anonymous;
		uint32_t want;
	} rows[] = {
		{ "RFC 6120 §6.3.3, §13.8.3: no PLAIN in the clear", &plain_tcp, ALL, false,
			NO_PLUS & ~SASL_PLAIN },
		{ "RFC 5802 §4: -PLUS with a binding", &tls_1_2, ALL, false,
			ALL & ~SASL_ANONYMOUS },
		{ "RFC 5802 §4: and with another", &tls_1_3, ALL, false, ALL & ~SASL_ANONYMOUS },
		{ "XEP-0175 §2: where the host allows it", &plain_tcp, ALL, true,
			(NO_PLUS & ~SASL_PLAIN) | SASL_ANONYMOUS },
		{ "RFC 6120 §6.3.4: EXTERNAL without a certificate", &tls_1_3,
			SASL_EXTERNAL | SASL_PLAIN, false, SASL_PLAIN },
		{ "RFC 6120 §6.3.4: and with one", &certified, SASL_EXTERNAL | SASL_PLAIN, false,
			SASL_EXTERNAL | SASL_PLAIN },
		{ "the host's setting", &tls_1_3, SASL_SCRAM_SHA_256 | SASL_ANONYMOUS, false,
			SASL_SCRAM_SHA_256 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct host_conf c = { .sasl_mechanisms = rows[i].allowed,
			.anonymous = rows[i].anonymous };

		cr_expect_eq(
			sasl_mechanisms(&c, rows[i].channel), rows[i].want, "%s", rows[i].section);
	}
	cr_expect(sasl_announces(ALL, &tls_1_3, TLS_BIND_EXPORTER), "XEP-0440 §3");
	cr_expect_not(sasl_announces(ALL, &tls_1_2, TLS_BIND_EXPORTER));
	cr_expect_not(sasl_announces(NO_PLUS, &tls_1_3, TLS_BIND_EXPORTER));
	for (unsigned i = 0; i < SASL_MECHANISMS; i++)
		cr_expect_not_null(sasl_mechanism_name(i));
	for (int c = 0; c < SASL_CONDITIONS; c++)
		cr_expect_not_null(sasl_condition_name(c));
}
