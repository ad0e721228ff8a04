/* bench/bench_scram.h - a client's side of SASL: PLAIN and SCRAM (RFC 5802), texts in base64.
 * The costly hash of a password is kept with its account, as clients do, so that the load generator
 * does not spend its time there on every login. */
#pragma once

#include "bench/bench_options.h"
#include "core/attr.h"

#define SCRAM_TOKEN 128
#define SCRAM_TEXT 1024 /* room for each message, base64 included */

struct scram_account { /* all zero at first */
	char salt[128]; /* base64, as the server sent it */
	unsigned iterations;
	enum bench_mech mech;
	uint8_t salted[32];
	char token[SCRAM_TOKEN]; /* XEP-0484; "": none yet */
};
struct scram_client {
	char first_bare[256], nonce[40];
};
const char *mech_name(enum bench_mech mech);
/* The initial response; false: name or password too long. */
bool scram_begin(struct scram_client *s, enum bench_mech mech, const char *user,
	const char *password, char *out);
/* The only message by HT-SHA-256-NONE. */
void token_proof(const struct scram_account *a, const char *user, char *out);
/* The answer to the challenge. False: it makes no sense. */
bool scram_answer(const struct scram_client *s, struct scram_account *a, enum bench_mech mech,
	const char *password, const char *challenge, size_t len, char *out);
