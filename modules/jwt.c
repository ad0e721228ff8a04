/* modules/jwt.c - signatures by libcjose, claims by jansson. */
#include "modules/jwt.h"

#include <cjose/cjose.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"

#define KEYS_MAX 64
#define HMAC_KEY_BYTES 32 /* RFC 7518 §3.2: as long as the shortest digest */

struct jwt_keys {
	struct rcu_head rcu;
	struct timespec changed; /* the file, when it was read */
	cjose_jwk_t *at[KEYS_MAX]; /* owned */
	unsigned n;
};

const char *jwt_verdict_text(enum jwt_verdict v)
{
	static const char *const texts[] = {
		[JWT_VALID] = "valid",
		[JWT_NO_TOKEN] = "no signed token",
		[JWT_UNKNOWN_KEY] = "signed by no key of ours",
		[JWT_BAD_SIGNATURE] = "the signature is wrong",
		[JWT_BAD_CLAIMS] = "the claims cannot be read",
		[JWT_EXPIRED] = "expired",
		[JWT_NOT_YET] = "not valid yet",
	};

	return texts[v];
}

/* --- keys ------------------------------------------------------------------------------------ */

void jwt_keys_free(struct jwt_keys *k)
{
	if (!k)
		return;
	for (unsigned i = 0; i < k->n; i++)
		cjose_jwk_release(k->at[i]);
	free(k);
}

static void free_later(struct rcu_head *head)
{
	jwt_keys_free(container_of(head, struct jwt_keys, rcu));
}

void jwt_keys_free_later(struct jwt_keys *k)
{
	rcu_later(&k->rcu, free_later);
}

/* NULL, or what is wrong with it. */
static const char *add_key(struct jwt_keys *k, const json_t *json)
{
	AUTO(free_ptr) char *text = json_dumps(json, JSON_COMPACT);
	cjose_jwk_t *key;
	cjose_err err;

	if (k->n == KEYS_MAX)
		return "there are too many keys";
	key = text ? cjose_jwk_import(text, strlen(text), &err) : NULL;
	if (text)
		wipe(text, strlen(text));
	if (!key)
		return "a key cannot be read (RFC 7517)";
	k->at[k->n++] = key;
	if (cjose_jwk_get_kty(key, &err) == CJOSE_JWK_KTY_OCT &&
		cjose_jwk_get_keysize(key, &err) < HMAC_KEY_BYTES * 8)
		return "a secret key is shorter than 32 bytes (RFC 7518 §3.2)";
	return NULL;
}

static const char *add_keys(struct jwt_keys *k, const json_t *json)
{
	const json_t *set = json_object_get(json, "keys"), *one;
	const char *wrong = NULL;
	size_t i;

	if (!json_is_object(json))
		return "it is no JSON object";
	if (!set)
		return add_key(k, json);
	json_array_foreach (set, i, one)
		if (!wrong)
			wrong = add_key(k, one);
	return wrong || k->n ? wrong : "there is no key in it";
}

/* NULL: errno says why. The caller wipes and frees. */
static char *read_text(FILE *f)
{
	char *text = xmalloc(JWT_KEYS_BYTES_MAX + 1);
	size_t len = fread(text, 1, JWT_KEYS_BYTES_MAX, f);

	text[len] = 0;
	if (!ferror(f) && len < JWT_KEYS_BYTES_MAX)
		return text;
	errno = ferror(f) ? EIO : EFBIG;
	wipe(text, len);
	free(text);
	return NULL;
}

static char *read_file(const char *path, struct timespec *changed)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	char *text = NULL;

	if (!f)
		return NULL;
	if (!fstat(fileno(f), &st)) {
		*changed = st.st_mtim;
		text = read_text(f);
	}
	fclose(f);
	return text;
}

bool jwt_keys_outdated(const struct jwt_keys *k, const char *path)
{
	struct stat st;

	return !stat(path, &st) &&
		(st.st_mtim.tv_sec != k->changed.tv_sec ||
			st.st_mtim.tv_nsec != k->changed.tv_nsec);
}

int jwt_keys_load(const char *path, struct jwt_keys **out, char **why)
{
	struct timespec changed;
	AUTO(free_ptr) char *text = read_file(path, &changed);
	struct jwt_keys *k;
	const char *wrong;
	json_t *json;
	int error = errno;

	if (!text) {
		*why = xprintf("%s: %s", path, strerror(error));
		return -error;
	}
	json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	wipe(text, strlen(text));
	k = xcalloc(1, sizeof(*k));
	k->changed = changed;
	wrong = add_keys(k, json);
	json_decref(json);
	if (!wrong) {
		*out = k;
		return 0;
	}
	*why = xprintf("%s: %s", path, wrong);
	jwt_keys_free(k);
	return -EINVAL;
}

/* --- tokens ---------------------------------------------------------------------------------- */

/* RFC 7518 §3.1: what keys of this kind sign with. */
static bool key_is_for(const cjose_jwk_t *key, const char *algorithm)
{
	cjose_err err;

	switch (cjose_jwk_get_kty(key, &err)) {
	case CJOSE_JWK_KTY_OCT:
		return !strncmp(algorithm, "HS", 2);
	case CJOSE_JWK_KTY_RSA:
		return !strncmp(algorithm, "RS", 2) || !strncmp(algorithm, "PS", 2);
	case CJOSE_JWK_KTY_EC:
		return !strncmp(algorithm, "ES", 2);
	default:
		return false;
	}
}

/* Any key without an id may be meant; one with an id only by it. */
static bool key_is_meant(const cjose_jwk_t *key, const char *kid)
{
	cjose_err err;
	const char *own = cjose_jwk_get_kid(key, &err);

	return !kid || !own || !strcmp(kid, own);
}

static enum jwt_verdict check_signature(const struct jwt_keys *k, cjose_jws_t *jws)
{
	cjose_header_t *header = cjose_jws_get_protected(jws);
	cjose_err err;
	const char *algorithm = cjose_header_get(header, CJOSE_HDR_ALG, &err);
	const char *kid = cjose_header_get(header, CJOSE_HDR_KID, &err);
	enum jwt_verdict verdict = JWT_UNKNOWN_KEY;

	for (unsigned i = 0; algorithm && i < k->n; i++) {
		if (!key_is_for(k->at[i], algorithm) || !key_is_meant(k->at[i], kid))
			continue;
		if (cjose_jws_verify(jws, k->at[i], &err))
			return JWT_VALID;
		verdict = JWT_BAD_SIGNATURE;
	}
	return verdict;
}

/* A time that is not there says nothing; exp must be, or a token that leaked would be good forever.
 */
static enum jwt_verdict check_times(const json_t *claims, int64_t now_s, int64_t leeway_s)
{
	const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");

	if (!json_is_number(exp) || (nbf && !json_is_number(nbf)))
		return JWT_BAD_CLAIMS;
	if (json_number_value(exp) <= (double)(now_s - leeway_s))
		return JWT_EXPIRED;
	if (nbf && json_number_value(nbf) > (double)(now_s + leeway_s))
		return JWT_NOT_YET;
	return JWT_VALID;
}

static enum jwt_verdict check_claims(
	cjose_jws_t *jws, int64_t now_s, int64_t leeway_s, json_t **claims)
{
	enum jwt_verdict verdict = JWT_BAD_CLAIMS;
	uint8_t *text;
	size_t len;
	cjose_err err;

	if (!cjose_jws_get_plaintext(jws, &text, &len, &err))
		return verdict;
	*claims = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(*claims))
		verdict = check_times(*claims, now_s, leeway_s);
	if (verdict == JWT_VALID)
		return verdict;
	json_decref(*claims);
	*claims = NULL;
	return verdict;
}

/* RFC 7515 §7.1: three parts. Anything else is nothing that libcjose need look at. */
static bool has_the_form(const char *token)
{
	size_t len = strnlen(token, JWT_MAX + 1);
	unsigned dots = 0;

	if (len > JWT_MAX || strncmp(token, "ey", 2) != 0)
		return false;
	for (const char *c = token; *c; c++) {
		dots += *c == '.';
		if (!strchr("-_.", *c) && !((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') &&
			!(*c >= '0' && *c <= '9'))
			return false;
	}
	return dots == 2;
}

enum jwt_verdict jwt_check(const struct jwt_keys *k, const char *token, int64_t now_s,
	int64_t leeway_s, json_t **claims)
{
	enum jwt_verdict verdict;
	cjose_jws_t *jws;
	cjose_err err;

	*claims = NULL;
	if (!has_the_form(token))
		return JWT_NO_TOKEN;
	jws = cjose_jws_import(token, strlen(token), &err);
	if (!jws)
		return JWT_NO_TOKEN;
	verdict = check_signature(k, jws);
	if (verdict == JWT_VALID)
		verdict = check_claims(jws, now_s, leeway_s, claims);
	cjose_jws_release(jws);
	return verdict;
}
