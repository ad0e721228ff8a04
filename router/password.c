/* router/password.c - prepares passwords and makes of them what alone is kept: SCRAM verifiers.
 * RFC 5802 §3, RFC 7677; SASLprep is RFC 4013, from ICU. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
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

/* Fetched once: OpenSSL 3.0 looks the name up under a lock whenever it is given EVP_sha1(). */
static const EVP_MD *digests[SCRAM_HASHES]; /* for good */
static pthread_once_t digests_once = PTHREAD_ONCE_INIT;

static void fetch_digests(void)
{
	static const char *const names[SCRAM_HASHES] = { "SHA1", "SHA256", "SHA512" };

	for (int hash = 0; hash < SCRAM_HASHES; hash++) {
		digests[hash] = EVP_MD_fetch(NULL, names[hash], NULL);
		REQUIRE(digests[hash]);
	}
}

const EVP_MD *scram_digest(enum scram_hash hash)
{
	pthread_once(&digests_once, fetch_digests);
	return digests[hash];
}

size_t scram_key_bytes(enum scram_hash hash)
{
	return (size_t)EVP_MD_get_size(scram_digest(hash));
}

/* The hash of the key, padded with `pad`, and the text: half of RFC 2104 §2. */
static bool hash_padded(EVP_MD_CTX *ctx, const EVP_MD *md, const uint8_t *key, size_t key_len,
	uint8_t pad, const void *text, size_t len, uint8_t *out)
{
	uint8_t block[EVP_MAX_MD_SIZE * 2];
	size_t block_len = (size_t)EVP_MD_get_block_size(md);
	bool done;

	memset(block, pad, block_len);
	for (size_t i = 0; i < key_len; i++)
		block[i] ^= key[i];
	done = EVP_DigestInit_ex2(ctx, md, NULL) && EVP_DigestUpdate(ctx, block, block_len) &&
		EVP_DigestUpdate(ctx, text, len) && EVP_DigestFinal_ex(ctx, out, NULL);
	wipe(block, block_len);
	return done;
}

/* OpenSSL 3.0's HMAC() looks up and sets up for longer than it hashes. */
bool scram_hmac(enum scram_hash hash, const uint8_t *key, size_t key_len, const void *text,
	size_t len, uint8_t *out)
{
	const EVP_MD *md = scram_digest(hash);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t bytes = scram_key_bytes(hash);
	uint8_t inner[EVP_MAX_MD_SIZE];
	bool done;

	REQUIRE(key_len <= bytes);
	done = ctx && hash_padded(ctx, md, key, key_len, 0x36, text, len, inner) &&
		hash_padded(ctx, md, key, key_len, 0x5c, inner, bytes, out);
	EVP_MD_CTX_free(ctx);
	wipe(inner, sizeof(inner));
	return done;
}

bool scram_keys(enum scram_hash hash, const uint8_t *salted, struct scram_verifier *v)
{
	size_t bytes = scram_key_bytes(hash);
	uint8_t client_key[SCRAM_KEY_MAX];
	bool done;

	done = scram_hmac(hash, salted, bytes, "Client Key", 10, client_key) &&
		EVP_Digest(client_key, bytes, v->stored_key, NULL, scram_digest(hash), NULL) == 1 &&
		scram_hmac(hash, salted, bytes, "Server Key", 10, v->server_key);
	wipe(client_key, sizeof(client_key));
	return done;
}

int scram_derive(enum scram_hash hash, const char *password, struct scram_verifier *v)
{
	uint8_t salted[SCRAM_KEY_MAX];
	bool done;

	done = PKCS5_PBKDF2_HMAC(password, (int)strlen(password), v->salt, v->salt_len,
		       (int)v->iterations, scram_digest(hash), (int)scram_key_bytes(hash),
		       salted) == 1 &&
		scram_keys(hash, salted, v);
	wipe(salted, sizeof(salted));
	return done ? 0 : -ENOMEM;
}

bool scram_salt(struct scram_verifier *v)
{
	return RAND_bytes(v->salt, v->salt_len) == 1;
}

int scram_make(
	enum scram_hash hash, const char *password, uint32_t iterations, struct scram_verifier *v)
{
	*v = (struct scram_verifier){ .salt_len = SALT_BYTES,
		.iterations =
			iterations < SCRAM_ITERATIONS_MIN ? SCRAM_ITERATIONS_MIN : iterations };
	if (!scram_salt(v))
		return -EIO;
	return scram_derive(hash, password, v);
}

bool scram_check(enum scram_hash hash, const char *password, const struct scram_verifier *v)
{
	struct scram_verifier made = *v;

	return scram_derive(hash, password, &made) == 0 &&
		CRYPTO_memcmp(made.stored_key, v->stored_key, scram_key_bytes(hash)) == 0;
}

/* --- verifiers as text ----------------------------------------------------------------------- */

#define ITERATIONS_MAX 10000000

/* How many bytes; negative: it is no base64 of at most max bytes. */
static int read_base64(struct scram_part p, uint8_t *out, size_t max)
{
	uint8_t bytes[SCRAM_KEY_MAX * 2];
	int n;

	if (!p.len || p.len % 4 || p.len / 4 * 3 > sizeof(bytes))
		return -1;
	n = EVP_DecodeBlock(bytes, (const unsigned char *)p.text, (int)p.len);
	for (size_t i = p.len; n > 0 && i > p.len - 2 && p.text[i - 1] == '='; i--)
		n--; /* it counts what fills up */
	if (n < 0 || (size_t)n > max)
		return -1;
	memcpy(out, bytes, (size_t)n);
	return n;
}

bool scram_read_parts(enum scram_hash hash, struct scram_part stored, struct scram_part server,
	struct scram_part salt, int64_t iterations, struct scram_verifier *v)
{
	int key = (int)scram_key_bytes(hash), salt_len = read_base64(salt, v->salt, SCRAM_SALT_MAX);

	v->iterations = 0;
	if (salt_len <= 0 || iterations < 1 || iterations > ITERATIONS_MAX ||
		read_base64(stored, v->stored_key, SCRAM_KEY_MAX) != key ||
		read_base64(server, v->server_key, SCRAM_KEY_MAX) != key)
		return false;
	v->salt_len = (uint8_t)salt_len;
	v->iterations = (uint32_t)iterations;
	return true;
}

/* Up to the separator, which is skipped. */
static struct scram_part take_part(const char **text, const char *separator)
{
	struct scram_part part = { *text, strcspn(*text, separator) };

	*text += part.len + ((*text)[part.len] != 0);
	return part;
}

bool scram_read(const char *text, enum scram_hash *hash, struct scram_verifier *v)
{
	static const char *const names[SCRAM_HASHES] = { "SCRAM-SHA-1", "SCRAM-SHA-256",
		"SCRAM-SHA-512" };
	struct scram_part name = take_part(&text, "$"), rounds = take_part(&text, ":");
	struct scram_part salt = take_part(&text, "$"), stored = take_part(&text, ":");
	struct scram_part server = { text, strlen(text) };
	int i = 0;

	while (i < SCRAM_HASHES &&
		(strlen(names[i]) != name.len || memcmp(names[i], name.text, name.len) != 0))
		i++;
	if (i == SCRAM_HASHES || !rounds.len || strspn(rounds.text, "0123456789") != rounds.len ||
		rounds.len > 9)
		return false;
	*hash = (enum scram_hash)i;
	return scram_read_parts(*hash, stored, server, salt, strtol(rounds.text, NULL, 10), v);
}
