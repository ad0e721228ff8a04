/* net/dialback.c - XEP-0185 on OpenSSL. */
#include "net/dialback.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "core/mem.h"

_Static_assert(DIALBACK_KEY_LEN == 2 * SHA256_DIGEST_LENGTH, "a digest in hexadecimal");

static char secret_digest[DIALBACK_KEY_LEN + 1]; /* constant once there are streams */
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void write_hex(const unsigned char digest[SHA256_DIGEST_LENGTH], char *out)
{
	for (unsigned i = 0; i < SHA256_DIGEST_LENGTH; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static void digest_secret(const void *secret, size_t len)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	SHA256(secret, len, digest);
	write_hex(digest, secret_digest);
	wipe(digest, sizeof(digest));
}

static void make_random(void)
{
	unsigned char random[32];

	if (*secret_digest)
		return; /* it has been set */
	REQUIRE(getrandom(random, sizeof(random), 0) == sizeof(random));
	digest_secret(random, sizeof(random));
	wipe(random, sizeof(random));
}

void dialback_set_secret(const char *secret)
{
	digest_secret(secret, strlen(secret));
}

void dialback_key(const char *receiving, const char *originating, const char *stream_id,
	char out[DIALBACK_KEY_LEN + 1])
{
	AUTO(free_ptr) char *text = xprintf("%s %s %s", receiving, originating, stream_id);
	unsigned char digest[SHA256_DIGEST_LENGTH];

	pthread_once(&made, make_random);
	REQUIRE(HMAC(EVP_sha256(), secret_digest, DIALBACK_KEY_LEN, (const unsigned char *)text,
		strlen(text), digest, NULL));
	write_hex(digest, out);
}

bool dialback_is_key(
	const char *key, const char *receiving, const char *originating, const char *stream_id)
{
	char right[DIALBACK_KEY_LEN + 1];

	dialback_key(receiving, originating, stream_id, right);
	return strlen(key) == DIALBACK_KEY_LEN && !CRYPTO_memcmp(key, right, DIALBACK_KEY_LEN);
}
