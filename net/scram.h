/* net/scram.h - the messages of one SCRAM exchange, server side. RFC 5802, RFC 7677.
 * sasl.c drives it; here is what the texts mean and whether the proof is right. Returns 0 or,
 * positive, 1 + the enum sasl_condition that ends the negotiation (SCRAM_FAIL). */
#pragma once

#include "core/attr.h"
#include "net/tls.h"
#include "router/auth.h"

#define SCRAM_FAIL(condition) (1 + (int)(condition))
#define SCRAM_NONCE_BYTES 18 /* random; 24 characters */

struct scram {
	enum scram_hash hash;
	bool plus; /* the mechanism's name ends in -PLUS */
	bool plus_offered; /* any mechanism we announced does */
	bool known; /* the verifier is an account's; false: made up, and nothing is right */
	bool disabled; /* the account's; told only to who has the password */
	char *user; /* owned: decoded, not prepared; from scram_first() on */
	char *authzid; /* owned: decoded, or NULL */
	char *gs2; /* owned: gs2-header as the client sent it */
	char *auth_message; /* owned: grows to AuthMessage; the client's first message, bare, at
			       first */
	char *nonce; /* owned: the client's, then both */
	char *offer; /* owned: what was announced, as XEP-0474 §5.1 writes it, or NULL: not told */
	char server_nonce[40]; /* set by scram_new(); tests put theirs */
	const struct tls_channel *channel; /* the negotiation's */
	int binding; /* enum tls_binding of p=, or -1 */
	struct scram_verifier verifier;
};

struct scram *scram_new(
	enum scram_hash hash, const struct tls_channel *channel); /* NULL: no random */
void scram_free(struct scram *sc); /* wipes; NULL is fine */

/* client-first-message. Text may hold any byte. */
int scram_first(struct scram *sc, const char *text, size_t len);
/* server-first-message, which the caller frees, once known, disabled and verifier are set. */
char *scram_challenge(struct scram *sc);
/* client-final-message; on 0 *answer is the server-final-message, which the caller frees. */
int scram_final(struct scram *sc, const char *text, size_t len, char **answer);
