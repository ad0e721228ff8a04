/* router/password.c - prepares passwords and makes of them what alone is kept: SCRAM verifiers.
 * RFC 5802 §3, RFC 7677; SASLprep is RFC 4013, from ICU. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <unicode/usprep.h>
#include <unicode/ustring.h>

#include "core/mem.h"
#include "router/auth.h"

#define SALT_BYTES 16

/* --- SASLprep -------------------------------------------------------------------------------- */

/* Those that SASLprep leaves as they are. */
static bool is_printable_ascii(const char *text, size_t *out_len)
{
	const char *p = text;

	while (*p >= ' ' && *p < 0x7f)
		p++;
	*out_len = (size_t)(p - text);
	return !*p;
}

/* Characters that Unicode got after version 3.2 are allowed, as in RFC 3454's queries: a password
 * may hold them, and clients send them as they are. */
static bool saslprep(const UChar *from, int32_t from_len, UChar *to, int32_t max, int32_t *to_len)
{
	UErrorCode error = U_ZERO_ERROR;
	UStringPrepProfile *profile = usprep_openByType(USPREP_RFC4013_SASLPREP, &error);

	*to_len = usprep_prepare(
		profile, from, from_len, to, max, USPREP_ALLOW_UNASSIGNED, NULL, &error);
	usprep_close(profile);
	return U_SUCCESS(error);
}

static int prepare_unicode(const char *password, size_t len, char *out)
{
	UChar raw[PASSWORD_MAX], prepared[PASSWORD_MAX];
	int32_t raw_len = 0, prepared_len = 0, out_len = 0;
	UErrorCode error = U_ZERO_ERROR;
	int result = -EINVAL;

	u_strFromUTF8(raw, PASSWORD_MAX, &raw_len, password, (int32_t)len, &error);
	if (U_SUCCESS(error) && saslprep(raw, raw_len, prepared, PASSWORD_MAX, &prepared_len)) {
		u_strToUTF8(out, PASSWORD_MAX + 1, &out_len, prepared, prepared_len, &error);
		if (U_SUCCESS(error) && out_len > 0 && out_len <= PASSWORD_MAX)
			result = 0;
	}
	wipe(raw, sizeof(raw));
	wipe(prepared, sizeof(prepared));
	return result;
}

int password_prepare(const char *password, char *out)
{
	size_t len = strnlen(password, PASSWORD_MAX + 1), ascii_len;
	int error = 0;

	if (!len || len > PASSWORD_MAX)
		return -EINVAL;
	if (is_printable_ascii(password, &ascii_len))
		memcpy(out, password, len + 1);
	else
		error = prepare_unicode(password, len, out);
	if (error)
		wipe(out, PASSWORD_MAX + 1);
	return error;
}

/* --- SCRAM ----------------------------------------------------------------------------------- */

const EVP_MD *scram_digest(enum scram_hash hash)
{
	switch (hash) {
	case SCRAM_SHA_1:
		return EVP_sha1();
	case SCRAM_SHA_256:
		return EVP_sha256();
	default:
		return EVP_sha512();
	}
}

size_t scram_key_bytes(enum scram_hash hash)
{
	return (size_t)EVP_MD_get_size(scram_digest(hash));
}

static bool hmac(const EVP_MD *md, const uint8_t *key, const char *text, uint8_t *out)
{
	return HMAC(md, key, EVP_MD_get_size(md), (const uint8_t *)text, strlen(text), out, NULL);
}

int scram_derive(enum scram_hash hash, const char *password, struct scram_verifier *v)
{
	const EVP_MD *md = scram_digest(hash);
	int bytes = EVP_MD_get_size(md);
	uint8_t salted[SCRAM_KEY_MAX], client_key[SCRAM_KEY_MAX];
	bool done;

	done = PKCS5_PBKDF2_HMAC(password, (int)strlen(password), v->salt, v->salt_len,
		       (int)v->iterations, md, bytes, salted) == 1 &&
		hmac(md, salted, "Client Key", client_key) &&
		EVP_Digest(client_key, (size_t)bytes, v->stored_key, NULL, md, NULL) == 1 &&
		hmac(md, salted, "Server Key", v->server_key);
	wipe(salted, sizeof(salted));
	wipe(client_key, sizeof(client_key));
	return done ? 0 : -ENOMEM;
}

int scram_make(
	enum scram_hash hash, const char *password, uint32_t iterations, struct scram_verifier *v)
{
	*v = (struct scram_verifier){ .salt_len = SALT_BYTES,
		.iterations =
			iterations < SCRAM_ITERATIONS_MIN ? SCRAM_ITERATIONS_MIN : iterations };
	if (RAND_bytes(v->salt, SALT_BYTES) != 1)
		return -EIO;
	return scram_derive(hash, password, v);
}

bool scram_check(enum scram_hash hash, const char *password, const struct scram_verifier *v)
{
	struct scram_verifier made = *v;

	return scram_derive(hash, password, &made) == 0 &&
		CRYPTO_memcmp(made.stored_key, v->stored_key, scram_key_bytes(hash)) == 0;
}
