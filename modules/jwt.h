/* modules/jwt.h - tokens that somebody else has signed: JSON Web Tokens (RFC 7519) by the keys of a
 * file (JWK or a JWK Set, RFC 7517), through libcjose. Any thread; keys are constant. */
#pragma once

#include <jansson.h>

#include "core/attr.h"
#include "core/rcu.h"

struct jwt_keys;
#define JWT_KEYS_BYTES_MAX (1u << 20) /* of the file */
/* 0 or a negative errno, and *why, which the caller frees. Blocks on the file. */
int jwt_keys_load(const char *path, struct jwt_keys **out, char **why);
void jwt_keys_free(struct jwt_keys *k); /* NULL is fine */
void jwt_keys_free_later(struct jwt_keys *k); /* after a grace period of RCU */
/* Whether the file is not what was read any more. */
bool jwt_keys_outdated(const struct jwt_keys *k, const char *path);

enum jwt_verdict {
	JWT_VALID,
	JWT_NO_TOKEN, /* not of the form of a signed token: a password, perhaps */
	JWT_UNKNOWN_KEY, /* no key of ours could have signed it */
	JWT_BAD_SIGNATURE,
	JWT_BAD_CLAIMS, /* not an object, or exp, nbf or iat are no numbers */
	JWT_EXPIRED,
	JWT_NOT_YET, /* nbf lies ahead */
};
const char *jwt_verdict_text(enum jwt_verdict v); /* for the log */
/* Whether one of the keys has signed it and its time is now (seconds since 1970, give or take
 * leeway). What signs is what the key is for, whatever the token says: RFC 8725 §3.1. The claims go
 * to *claims, a reference of the caller's, when it is valid; else NULL. */
#define JWT_MAX 4096 /* bytes of a token */
enum jwt_verdict jwt_check(const struct jwt_keys *k, const char *token, int64_t now_s,
	int64_t leeway_s, json_t **claims);
