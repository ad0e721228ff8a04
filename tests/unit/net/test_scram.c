/* What one SCRAM exchange remembers and writes: RFC 5802, RFC 7677. Which messages are refused, and
 * the proofs, are test_sasl.c's. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/base64.h"
#include "net/sasl.h"
#include "net/scram.h"

static const struct tls_channel plain_tcp;
static const struct tls_channel tls_1_3 = { .encrypted = true,
	.len = { [TLS_BIND_EXPORTER] = 32, [TLS_BIND_END_POINT] = 32 } };

static int first(struct scram *sc, const char *text)
{
	return scram_first(sc, text, strlen(text));
}

static const struct {
	const char *section, *text;
	bool plus;
	const char *user, *authzid, *gs2, *bare, *nonce;
	int binding;
} firsts[] = {
	{ "RFC 5802 §5", "n,,n=user,r=fyko", false, "user", NULL, "n,,", "n=user,r=fyko", "fyko",
		-1 },
	{ "RFC 5802 §5.1 an extension", "y,,n=user,r=fyko,x=1", false, "user", NULL, "y,,",
		"n=user,r=fyko,x=1", "fyko", -1 },
	{ "RFC 5802 §5.1 saslname", "n,,n==3D=2C=2C=3D,r=a=b", false, "=,,=", NULL, "n,,",
		"n==3D=2C=2C=3D,r=a=b", "a=b", -1 },
	{ "RFC 5802 §5.1 authzid", "n,a=juliet=2C,n=nurse,r=r", false, "nurse", "juliet,",
		"n,a=juliet=2C,", "n=nurse,r=r", "r", -1 },
	{ "RFC 5802 §6 tls-exporter", "p=tls-exporter,,n=u,r=n", true, "u", NULL,
		"p=tls-exporter,,", "n=u,r=n", "n", TLS_BIND_EXPORTER },
	{ "RFC 5802 §6 tls-server-end-point", "p=tls-server-end-point,a=x,n=u,r=n", true, "u", "x",
		"p=tls-server-end-point,a=x,", "n=u,r=n", "n", TLS_BIND_END_POINT },
};

Test(scram, what_the_first_message_says)
{
	for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
		struct scram *sc = scram_new(SCRAM_SHA_256, &tls_1_3);

		sc->plus = firsts[i].plus;
		cr_assert_eq(first(sc, firsts[i].text), 0, "%s", firsts[i].section);
		cr_expect_str_eq(sc->user, firsts[i].user, "%s", firsts[i].section);
		if (firsts[i].authzid)
			cr_expect_str_eq(sc->authzid, firsts[i].authzid, "%s", firsts[i].section);
		else
			cr_expect_null(sc->authzid);
		cr_expect_str_eq(sc->gs2, firsts[i].gs2, "%s", firsts[i].section);
		cr_expect_str_eq(sc->auth_message, firsts[i].bare, "%s", firsts[i].section);
		cr_expect_str_eq(sc->nonce, firsts[i].nonce, "%s", firsts[i].section);
		cr_expect_eq(sc->binding, firsts[i].binding, "%s", firsts[i].section);
		scram_free(sc);
	}
}

/* Whatever prefix of a message comes: refused, and nothing is lost or freed twice. */
Test(scram, messages_cut_short)
{
	static const char whole[] = "p=tls-exporter,a=x=2Cy,n=us=3Der,r=nonce,x=1";
	static const char final[] = "c=cD10bHMtZXhwb3J0ZXIs,r=nonce,p=AAAA";
	size_t shortest = strlen("p=tls-exporter,a=x=2Cy,n=us=3Der,r=n"),
	       extension = sizeof(whole) - 5;

	for (size_t len = 0; len < sizeof(whole); len++) {
		struct scram *sc = scram_new(SCRAM_SHA_1, &tls_1_3);
		AUTO(free_ptr) char *text = xmemdup(whole, len + 1); /* to the byte */
		bool right = len >= shortest && (len <= extension || len == sizeof(whole) - 1);

		sc->plus = true;
		cr_expect_eq(scram_first(sc, text, len),
			right ? 0 : SCRAM_FAIL(SASL_MALFORMED_REQUEST), "%zu: %.*s", len, (int)len,
			text);
		scram_free(sc);
	}
	for (size_t len = 0; len < sizeof(final); len++) {
		struct scram *sc = scram_new(SCRAM_SHA_1, &tls_1_3);
		AUTO(free_ptr) char *text = xmemdup(final, len + 1);
		char *answer = NULL;

		sc->plus = true;
		cr_assert_eq(first(sc, whole), 0);
		free(scram_challenge(sc));
		cr_expect_eq(
			scram_final(sc, text, len, &answer), SCRAM_FAIL(SASL_MALFORMED_REQUEST));
		cr_expect_null(answer);
		scram_free(sc);
	}
	scram_free(NULL);
}

Test(scram, the_challenge)
{
	struct scram *sc = scram_new(SCRAM_SHA_1, &plain_tcp);
	char *challenge;

	cr_assert_eq(first(sc, "n,,n=user,r=fyko"), 0);
	memset(sc->verifier.salt, 0xff, SCRAM_SALT_MAX);
	sc->verifier.salt_len = SCRAM_SALT_MAX;
	sc->verifier.iterations = UINT32_MAX;
	strcpy(sc->server_nonce, "3rfc");
	challenge = scram_challenge(sc);
	cr_expect_str_eq(challenge,
		"r=fyko3rfc,s=//////////////////////////////////////////8=,i=4294967295",
		"RFC 5802 §5.1");
	AUTO(free_ptr) char *both = xprintf("n=user,r=fyko,%s", challenge);
	cr_expect_str_eq(sc->auth_message, both, "RFC 5802 §3");
	cr_expect_str_eq(sc->nonce, "fyko3rfc");
	free(challenge);
	scram_free(sc);
}

Test(scram, nonces_are_fresh_and_printable)
{
	struct scram *a = scram_new(SCRAM_SHA_1, &plain_tcp),
		     *b = scram_new(SCRAM_SHA_1, &plain_tcp);
	uint8_t bytes[BASE64_LEN(SCRAM_NONCE_BYTES)];

	cr_expect_str_neq(a->server_nonce, b->server_nonce);
	cr_expect_eq(
		base64_decode(a->server_nonce, strlen(a->server_nonce), bytes), SCRAM_NONCE_BYTES);
	scram_free(a);
	scram_free(b);
}

Test(scram, bytes_of_a_hash)
{
	cr_expect_eq(scram_key_bytes(SCRAM_SHA_1), 20);
	cr_expect_eq(scram_key_bytes(SCRAM_SHA_256), 32);
	cr_expect_eq(scram_key_bytes(SCRAM_SHA_512), 64);
}
