/* bench/bench_scram.c - on OpenSSL's PBKDF2, HMAC and base64. */
#include "bench/bench_scram.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

const char *mech_name(enum bench_mech mech)
{
	static const char *const names[] = { "SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN" };

	return names[mech];
}

static const EVP_MD *digest(enum bench_mech mech)
{
	return mech == MECH_SCRAM_SHA_1 ? EVP_sha1() : EVP_sha256();
}

static void encode(const void *bytes, size_t len, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}

/* The length, or -1. */
static int decode(const char *text, size_t len, char *out, size_t room)
{
	int n;

	if (len > room)
		return -1;
	n = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);
	for (size_t i = len; n > 0 && i > 0 && text[i - 1] == '=' && len - i < 2; i--)
		n--;
	return n;
}

bool scram_begin(struct scram_client *s, enum bench_mech mech, const char *user,
	const char *password, char *out)
{
	char message[300];
	uint8_t random[18];
	int len;

	if (mech == MECH_PLAIN) {
		len = snprintf(message, sizeof(message), "%c%s%c%s", 0, user, 0, password);
	} else {
		RAND_bytes(random, sizeof(random));
		encode(random, sizeof(random), s->nonce);
		len = snprintf(s->first_bare, sizeof(s->first_bare), "n=%s,r=%s", user, s->nonce);
		if (len >= (int)sizeof(s->first_bare))
			return false;
		len = snprintf(message, sizeof(message), "n,,%s", s->first_bare);
	}
	if (len >= (int)sizeof(message))
		return false;
	encode(message, (size_t)len, out);
	return true;
}

static bool salted_password(struct scram_account *a, enum bench_mech mech, const char *password,
	const char *salt64, unsigned iterations)
{
	char salt[128];
	int salt_len = decode(salt64, strlen(salt64), salt, sizeof(salt));

	if (a->iterations == iterations && a->mech == mech && !strcmp(a->salt, salt64))
		return true;
	if (salt_len < 0 ||
		!PKCS5_PBKDF2_HMAC(password, (int)strlen(password), (uint8_t *)salt, salt_len,
			(int)iterations, digest(mech), EVP_MD_get_size(digest(mech)), a->salted))
		return false;
	snprintf(a->salt, sizeof(a->salt), "%s", salt64);
	a->iterations = iterations;
	a->mech = mech;
	return true;
}

static void hmac(const EVP_MD *md, const uint8_t *key, const char *text, uint8_t *out)
{
	HMAC(md, key, EVP_MD_get_size(md), (const uint8_t *)text, strlen(text), out, NULL);
}

bool scram_answer(const struct scram_client *s, struct scram_account *a, enum bench_mech mech,
	const char *password, const char *challenge, size_t len, char *out)
{
	char message[SCRAM_TEXT * 3 / 4 - 3], nonce[256], salt[128], bare[300], whole[1500],
		proof64[64];
	uint8_t key[32], stored[32], signature[32];
	const EVP_MD *md = digest(mech);
	unsigned iterations;
	int n = decode(challenge, len, message, sizeof(message) - 1);

	if (n < 0)
		return false;
	message[n] = 0;
	if (sscanf(message, "r=%255[^,],s=%127[^,],i=%u", nonce, salt, &iterations) != 3 ||
		strncmp(nonce, s->nonce, strlen(s->nonce)) ||
		!salted_password(a, mech, password, salt, iterations))
		return false;
	snprintf(bare, sizeof(bare), "c=biws,r=%s", nonce);
	snprintf(whole, sizeof(whole), "%s,%s,%s", s->first_bare, message, bare);
	hmac(md, a->salted, "Client Key", key);
	EVP_Digest(key, (size_t)EVP_MD_get_size(md), stored, NULL, md, NULL);
	hmac(md, stored, whole, signature);
	for (int i = 0; i < EVP_MD_get_size(md); i++)
		key[i] ^= signature[i];
	encode(key, (size_t)EVP_MD_get_size(md), proof64);
	n = snprintf(message, sizeof(message), "%s,p=%s", bare, proof64);
	encode(message, (size_t)n, out);
	return true;
}

void token_proof(const struct scram_account *a, const char *user, char *out)
{
	char message[256 + 32];
	size_t len = (size_t)snprintf(message, 256, "%s", user) + 1;

	HMAC(EVP_sha256(), a->token, (int)strlen(a->token), (const uint8_t *)"Initiator", 9,
		(uint8_t *)message + len, NULL);
	encode(message, len + 32, out);
}
