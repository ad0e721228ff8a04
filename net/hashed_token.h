/* net/hashed_token.h - the HT family of SASL mechanisms, server side: the client shows that it has
 * a token by one HMAC over the TLS channel's binding, and the server that it knows it by another.
 * draft-schmaus-kitten-sasl-ht-09, for XEP-0484. sasl.c drives it. No state: any thread.
 *
 * A token's text is longer than a block of SHA-256, and the key of such an HMAC is the text's hash
 * (RFC 2104 §2). So the hash is all that is ever kept of a token. */
#pragma once

#include "core/attr.h"
#include "net/tls.h"

#define TOKEN_RANDOM_BYTES 51
#define TOKEN_TEXT 68 /* characters of a token: base64 of those, without padding */
#define TOKEN_HASH 32 /* of its text, and of a proof */

enum { HT_EXPR, HT_UNIQ, HT_ENDP, HT_NONE, HT_MECHANISMS }; /* strongest first */
const char *ht_name(unsigned index); /* "HT-SHA-256-EXPR" */
unsigned ht_index(const char *name); /* HT_MECHANISMS: unknown */
/* Those that this channel can carry, as bits; none without TLS. */
uint32_t ht_mechanisms(const struct tls_channel *channel);

/* A fresh token and its hash. False: no random. The caller wipes text. */
bool token_make(char text[TOKEN_TEXT + 1], uint8_t hash[TOKEN_HASH]);

/* An initiator-message (§3.1): the name, NUL, and the proof. */
struct ht_message {
	const char *user; /* ends with a NUL */
	const uint8_t *proof; /* TOKEN_HASH bytes */
};
/* Both point into message, which is a client's. False: it is none. */
bool ht_read(const char *message, size_t len, struct ht_message *out);
/* What a client with that token says over this channel (§3.1), and what it hears (§3.3). */
enum ht_side { HT_INITIATOR, HT_RESPONDER };
void ht_proof(enum ht_side side, unsigned mechanism, const uint8_t hash[TOKEN_HASH],
	const struct tls_channel *channel, uint8_t out[TOKEN_HASH]);
