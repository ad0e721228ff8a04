/* net/sasl.h - one SASL negotiation, server side: texts in, verdicts out, no I/O. RFC 6120 §6 and
 * XEP-0388, which differ in the elements around these texts.
 * SCRAM-SHA-1, -256, -512 and their -PLUS forms (RFC 5802, RFC 7677) with downgrade protection
 * (XEP-0474), PLAIN (RFC 4616), ANONYMOUS (RFC 4505), EXTERNAL (RFC 4422 appendix A, XEP-0178),
 * OAUTHBEARER (RFC 7628), HT-SHA-256-* (net/hashed_token.h). The base64 is done here, both ways.
 * What needs an account or a password check stops and says so; the stream does that on a job and
 * tells the result:
 *
 *   s = sasl_new(host, offered, &channel);
 *   verdict = sasl_start(s, mechanism, text, len);      <auth/> or <authenticate/>
 *   for (;;) switch (verdict) {
 *   case SASL_CONTINUE:     send <challenge/> with s->out, later sasl_step() with <response/>
 *   case SASL_NEED_ACCOUNT: auth_find(s->user) on a job, then sasl_account()
 *   case SASL_NEED_CHECK:   auth_check(s->user, s->password) on a job, then sasl_checked()
 *   case SASL_NEED_TOKEN:   the tokens of s->user's client on a job, then sasl_token()
 *   case SASL_DONE:         send <success/> with s->out; the account is s->user; sasl_free()
 *   case SASL_FAIL:         send <failure/> with sasl_condition_name(s->condition); sasl_free()
 *   }
 *
 * <abort/> is sasl_fail(s, SASL_ABORTED); a backend that is away, SASL_TEMPORARY_AUTH_FAILURE.
 * One thread at a time. The memory lives as long as the negotiation, secrets are wiped. */
#pragma once

#include "core/attr.h"
#include "net/hashed_token.h"
#include "net/tls.h"
#include "router/auth.h"
#include "router/host.h"
#include "router/user_agent.h"

#define SASL_MESSAGE_MAX 4096 /* decoded bytes of one message from the client */
#define SASL_TEXT_MAX ((SASL_MESSAGE_MAX + 2) / 3 * 4) /* of the same in base64 */

enum sasl_verdict {
	SASL_CONTINUE,
	SASL_NEED_ACCOUNT,
	SASL_NEED_CHECK,
	SASL_NEED_TOKEN,
	SASL_DONE,
	SASL_FAIL
};
enum sasl_condition { /* RFC 6120 §6.5 */
	SASL_ABORTED,
	SASL_ACCOUNT_DISABLED,
	SASL_CREDENTIALS_EXPIRED,
	SASL_ENCRYPTION_REQUIRED,
	SASL_INCORRECT_ENCODING,
	SASL_INVALID_AUTHZID,
	SASL_INVALID_MECHANISM,
	SASL_MALFORMED_REQUEST,
	SASL_MECHANISM_TOO_WEAK,
	SASL_NOT_AUTHORIZED,
	SASL_TEMPORARY_AUTH_FAILURE,
	SASL_CONDITIONS,
};
const char *sasl_condition_name(enum sasl_condition c); /* the element: "not-authorized" */

/* The mechanisms to announce: those of the host's setting that this channel can carry. PLAIN and
 * OAUTHBEARER only encrypted, -PLUS only with a channel binding, ANONYMOUS only where the host
 * allows it, EXTERNAL only for who has shown a certificate. Bits of router/host.h (SASL_PLAIN,
 * ...); the lowest is the strongest and is named first. */
uint32_t sasl_mechanisms(const struct host_conf *conf, const struct tls_channel *channel);
#define SASL_MECHANISMS 10
const char *sasl_mechanism_name(unsigned index); /* of bit 1 << index; "SCRAM-SHA-1" */
/* Behind them the mechanisms that take tokens, which XEP-0484 announces elsewhere: the bits of
 * ht_mechanisms(), moved. Nobody offers both kinds at once. */
#define SASL_HT(ht_bits) ((uint32_t)(ht_bits) << SASL_MECHANISMS)
/* XEP-0440: whether to announce this binding type along with the offered mechanisms. */
bool sasl_announces(uint32_t offered, const struct tls_channel *channel, enum tls_binding type);

struct sasl {
	/* For the caller to read. */
	char *user; /* owned: prepared local part; from SASL_NEED_* or SASL_DONE on */
	char *password; /* owned, wiped: with SASL_NEED_CHECK. A job takes it, leaving NULL, and
			 * wipes it itself: the negotiation may end before the job */
	char *out; /* owned: base64 for <challenge/> ("": an empty one) or <success/> (NULL:
		    * without data) */
	enum sasl_condition condition; /* with SASL_FAIL */
	uint32_t mechanism; /* bit; 0 before sasl_start() */
	bool anonymous; /* with SASL_DONE: a throw-away account that no backend knows */
	enum token_slot slot; /* with SASL_DONE after a token: which one it was */
	/* For the caller to set before sasl_start(). */
	bool equals_is_empty; /* RFC 6120 §6.4.2: a first message "=" has no bytes */
	/* For EXTERNAL: the accounts of the host that the client's certificate names. Not owned. */
	struct jid *const *certified;
	unsigned n_certified;
	/* Private to sasl.c. */
	int step;
	struct host *host; /* counted */
	uint32_t offered;
	struct tls_channel channel;
	struct scram *scram; /* owned */
	uint8_t proof[TOKEN_HASH]; /* of a token */
};

/* The hash that a SCRAM exchange used, after SASL_NEED_ACCOUNT; -1: it is none. */
int sasl_scram_hash(const struct sasl *s);
/* Whether this one looks at the channel's data; all others know its kinds and no more. */
bool sasl_binds(const char *mechanism);
/* channel is copied. offered: what sasl_mechanisms() said when the features were sent. */
struct sasl *sasl_new(struct host *host, uint32_t offered, const struct tls_channel *channel);
void sasl_free(struct sasl *s); /* wipes; NULL is fine */

/* Each returns an enum sasl_verdict. text: the element's character data as received; of the first
 * NULL, if there is no initial response. */
int sasl_start(struct sasl *s, const char *mechanism, const char *text, size_t len);
int sasl_step(struct sasl *s, const char *text, size_t len);
/* After SASL_NEED_ACCOUNT. account NULL: there is none; the exchange goes on as if there were one
 * and fails at its end. The account is copied. */
int sasl_account(struct sasl *s, const struct auth_account *account);
/* After SASL_NEED_CHECK. */
int sasl_checked(struct sasl *s, bool right);
/* After SASL_NEED_TOKEN. tokens: those of the client, TOKEN_SLOTS of them, or NULL: it has none.
 * now: seconds since 1970. count: what the client says it counts (XEP-0484 §3.4), 0: nothing. */
struct sasl_token {
	const struct token *tokens;
	bool disabled; /* the account is */
	int64_t now;
	uint32_t count;
};
int sasl_token(struct sasl *s, const struct sasl_token *t);
/* Ends it from any state: returns SASL_FAIL. */
int sasl_fail(struct sasl *s, enum sasl_condition condition);
