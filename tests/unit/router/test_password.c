/* What is kept of passwords: SCRAM verifiers (RFC 5802, RFC 7677), of prepared text (RFC 4013). */
#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "router/auth.h"

/* --- verifiers ------------------------------------------------------------------------------- */

static const struct {
	const char *section;
	enum scram_hash hash;
	const char *salt, *messages, *proof, *signature; /* base64; messages: AuthMessage */
} vectors[] = {
	{ "RFC 5802 §5", SCRAM_SHA_1, "QSXCR+Q6sek8bf92",
		"n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
		"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,"
		"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
		"v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
	{ "RFC 7677 §3", SCRAM_SHA_256, "W22ZaJ0SNY7soEsUEjb6gQ==",
		"n=user,r=rOprNGfwEbeRWgbNEkqO,"
		"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
		"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
		"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
};

static size_t decode(const char *base64, uint8_t *out)
{
	size_t len = strlen(base64);
	int n = EVP_DecodeBlock(out, (const uint8_t *)base64, (int)len);

	cr_assert_geq(n, 0);
	while (len && base64[len - 1] == '=') {
		len--;
		n--;
	}
	return (size_t)n;
}

/* The client's proof of the example must lead to our stored key, and our server key to the
 * example's signature. */
Test(scram, vectors)
{
	static const char *const digests[] = { "SHA1", "SHA256", "SHA512" };

	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const EVP_MD *md = EVP_get_digestbyname(digests[vectors[i].hash]);
		size_t key = scram_key_bytes(vectors[i].hash);
		struct scram_verifier v = { .iterations = 4096 };
		uint8_t salt[64], proof[64], signature[64], made[64];
		const uint8_t *messages = (const uint8_t *)vectors[i].messages;

		v.salt_len = (uint8_t)decode(vectors[i].salt, salt);
		memcpy(v.salt, salt, v.salt_len);
		cr_assert_eq(scram_derive(vectors[i].hash, "pencil", &v), 0);
		cr_assert_eq(decode(vectors[i].proof, proof), key);
		cr_assert_eq(decode(vectors[i].signature, signature), key);
		HMAC(md, v.stored_key, (int)key, messages, strlen(vectors[i].messages), made, NULL);
		for (size_t b = 0; b < key; b++)
			made[b] ^= proof[b]; /* ClientKey */
		EVP_Digest(made, key, made, NULL, md, NULL);
		cr_expect_arr_eq(made, v.stored_key, key, "%s", vectors[i].section);
		HMAC(md, v.server_key, (int)key, messages, strlen(vectors[i].messages), made, NULL);
		cr_expect_arr_eq(made, signature, key, "%s", vectors[i].section);
		cr_expect(scram_check(vectors[i].hash, "pencil", &v), "%s", vectors[i].section);
		cr_expect_not(scram_check(vectors[i].hash, "pencil ", &v));
	}
}

/* No RFC has an example with SHA-512; these keys are those of Python's hashlib. */
Test(scram, sha_512_by_another_implementation)
{
	static const char stored[] = "Lm7w6zPGAx+UoahlEm1whIN7PS1KGU+9+V5PyudK6c/"
				     "mWVVtkXSCpVPmUKQLYDKR7v0uSkxrBzPm7HuSwZ/"
				     "ytw==";
	static const char server[] =
		"b/Ph5kGCpfdw2MyLh0C8l10iiFENloZLKPiJIHv57J3BRD9++4RvoYjTKhOehyHgJS/"
		"nsxnNB17UKgNU7nRy"
		"6g==";
	struct scram_verifier v = { .iterations = 4096 };
	uint8_t salt[64], key[96];

	v.salt_len = (uint8_t)decode("QSXCR+Q6sek8bf92", salt);
	memcpy(v.salt, salt, v.salt_len);
	cr_expect_eq(scram_key_bytes(SCRAM_SHA_512), 64);
	cr_assert_eq(scram_derive(SCRAM_SHA_512, "pencil", &v), 0);
	cr_assert_eq(decode(stored, key), 64);
	cr_expect_arr_eq(v.stored_key, key, 64);
	cr_assert_eq(decode(server, key), 64);
	cr_expect_arr_eq(v.server_key, key, 64);
}

Test(scram, made_ones_are_salted_and_strong_enough)
{
	for (int hash = 0; hash < SCRAM_HASHES; hash++) {
		struct scram_verifier a, b;

		cr_assert_eq(scram_make((enum scram_hash)hash, "secret", 1, &a), 0);
		cr_assert_eq(scram_make((enum scram_hash)hash, "secret", 5000, &b), 0);
		cr_expect_eq(a.iterations, 4096, "RFC 5802 §5.1");
		cr_expect_eq(b.iterations, 5000);
		cr_expect_geq(a.salt_len, 16);
		cr_expect_neq(memcmp(a.salt, b.salt, a.salt_len), 0);
		cr_expect_neq(memcmp(a.stored_key, b.stored_key, 20), 0);
		cr_expect_neq(memcmp(a.stored_key, a.server_key, 20), 0);
		cr_expect(scram_check((enum scram_hash)hash, "secret", &a));
		cr_expect_not(scram_check((enum scram_hash)hash, "Secret", &a));
		a.stored_key[scram_key_bytes((enum scram_hash)hash) - 1] ^= 1;
		cr_expect_not(scram_check((enum scram_hash)hash, "secret", &a));
	}
}

/* --- passwords ------------------------------------------------------------------------------- */

static const struct {
	const char *section, *password, *prepared; /* NULL: refused */
} passwords[] = {
	{ "RFC 4013 §3 1: soft hyphen goes", "I\xc2\xadX", "IX" },
	{ "RFC 4013 §3 2", "user", "user" },
	{ "RFC 4013 §3 3: case stays", "USER", "USER" },
	{ "RFC 4013 §3 4: NFKC", "\xc2\xaa", "a" },
	{ "RFC 4013 §3 5: NFKC", "\xe2\x85\xa8", "IX" },
	{ "RFC 4013 §3 6: control character", "\x07", NULL },
	{ "RFC 4013 §3 7: bidirectional check", "\xd8\xa7\x31", NULL },
	{ "RFC 4013 §2.1: no-break space is a space", "a\xc2\xa0z", "a z" },
	{ "RFC 4013 §2.3: tab", "a\tb", NULL },
	{ "RFC 4013 §2.3: delete", "a\x7f", NULL },
	{ "RFC 4013 §2.3: private use", "\xee\x80\x80", NULL },
	{ "letters beyond Unicode 3.2", "\xf0\x9f\x90\xa6", "\xf0\x9f\x90\xa6" },
	{ "decomposed and composed are one", "e\xcc\x81", "\xc3\xa9" },
	{ "not UTF-8", "a\xff", NULL },
	{ "surrogate", "\xed\xa0\x80", NULL },
	{ "empty", "", NULL },
	{ "nothing left", "\xc2\xad", NULL },
};

Test(password, prepare)
{
	char out[PASSWORD_MAX + 1];

	for (size_t i = 0; i < ARRAY_LEN(passwords); i++) {
		int error = password_prepare(passwords[i].password, out);

		cr_expect_eq(
			error, passwords[i].prepared ? 0 : -EINVAL, "%s", passwords[i].section);
		if (!error && passwords[i].prepared)
			cr_expect_str_eq(out, passwords[i].prepared, "%s", passwords[i].section);
	}
}

Test(password, length)
{
	char text[PASSWORD_MAX + 2], out[PASSWORD_MAX + 1];

	memset(text, 'x', sizeof(text));
	text[PASSWORD_MAX] = 0;
	cr_expect_eq(password_prepare(text, out), 0);
	cr_expect_str_eq(out, text);
	text[PASSWORD_MAX] = 'x';
	text[PASSWORD_MAX + 1] = 0;
	cr_expect_eq(password_prepare(text, out), -EINVAL);
	/* Short enough as it comes, too long when prepared: U+FDFA becomes 18 characters. */
	for (size_t i = 0; i + 3 <= PASSWORD_MAX; i += 3)
		memcpy(text + i, "\xef\xb7\xba", 4);
	memset(out, 'x', sizeof(out));
	cr_expect_eq(password_prepare(text, out), -EINVAL);
	for (size_t i = 0; i < sizeof(out); i++)
		cr_assert_eq(out[i], 0, "nothing of it stays behind, at %zu", i);
}
