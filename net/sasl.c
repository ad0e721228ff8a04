/* net/sasl.c - mechanisms, their steps, and the conditions they end with. */
#include "net/sasl.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "core/buf.h"
#include "core/mem.h"
#include "net/base64.h"
#include "net/hashed_token.h"
#include "net/oauth_bearer.h"
#include "net/scram.h"
#include "xml/jid.h"

enum step {
	STEP_NEW,
	STEP_FIRST,
	STEP_ACCOUNT,
	STEP_FINAL,
	STEP_CHECK,
	STEP_TOKEN,
	STEP_REFUSED,
	STEP_ENDED
};

#define SASL_PLUS (SASL_SCRAM_SHA_512_PLUS | SASL_SCRAM_SHA_256_PLUS | SASL_SCRAM_SHA_1_PLUS)
#define SASL_TOKENS SASL_HT((1u << HT_MECHANISMS) - 1)
#define MECHANISMS_ALL (SASL_MECHANISMS + HT_MECHANISMS)
#define SASL_SCRAM (SASL_PLUS | SASL_SCRAM_SHA_512 | SASL_SCRAM_SHA_256 | SASL_SCRAM_SHA_1)

static const struct {
	const char *name;
	enum scram_hash hash; /* of SCRAM */
} mechanisms[SASL_MECHANISMS] = {
	{ "SCRAM-SHA-512-PLUS", SCRAM_SHA_512 },
	{ "SCRAM-SHA-256-PLUS", SCRAM_SHA_256 },
	{ "SCRAM-SHA-1-PLUS", SCRAM_SHA_1 },
	{ "SCRAM-SHA-512", SCRAM_SHA_512 },
	{ "SCRAM-SHA-256", SCRAM_SHA_256 },
	{ "SCRAM-SHA-1", SCRAM_SHA_1 },
	{ "PLAIN" },
	{ "ANONYMOUS" },
	{ "EXTERNAL" },
	{ "OAUTHBEARER" },
};

/* MECHANISMS_ALL: unknown. */
static unsigned mechanism_index(const char *name)
{
	unsigned i;

	for (i = 0; i < SASL_MECHANISMS; i++)
		if (!strcmp(mechanisms[i].name, name))
			return i;
	return i + ht_index(name);
}

const char *sasl_condition_name(enum sasl_condition c)
{
	static const char *const names[SASL_CONDITIONS] = {
		[SASL_ABORTED] = "aborted",
		[SASL_ACCOUNT_DISABLED] = "account-disabled",
		[SASL_CREDENTIALS_EXPIRED] = "credentials-expired",
		[SASL_ENCRYPTION_REQUIRED] = "encryption-required",
		[SASL_INCORRECT_ENCODING] = "incorrect-encoding",
		[SASL_INVALID_AUTHZID] = "invalid-authzid",
		[SASL_INVALID_MECHANISM] = "invalid-mechanism",
		[SASL_MALFORMED_REQUEST] = "malformed-request",
		[SASL_MECHANISM_TOO_WEAK] = "mechanism-too-weak",
		[SASL_NOT_AUTHORIZED] = "not-authorized",
		[SASL_TEMPORARY_AUTH_FAILURE] = "temporary-auth-failure",
	};

	REQUIRE(c < SASL_CONDITIONS);
	return names[c];
}

uint32_t sasl_mechanisms(const struct host_conf *conf, const struct tls_channel *channel)
{
	uint32_t set = conf->sasl_mechanisms;
	bool binds = false;

	for (int type = 0; type < TLS_BINDINGS; type++)
		binds |= channel->len[type] != 0;
	if (!binds)
		set &= ~SASL_PLUS;
	if (!channel->encrypted)
		set &= ~(SASL_PLAIN | SASL_OAUTHBEARER);
	if (!conf->anonymous)
		set &= ~SASL_ANONYMOUS;
	if (!channel->certified)
		set &= ~SASL_EXTERNAL;
	return set;
}

const char *sasl_mechanism_name(unsigned index)
{
	REQUIRE(index < SASL_MECHANISMS);
	return mechanisms[index].name;
}

bool sasl_announces(uint32_t offered, const struct tls_channel *channel, enum tls_binding type)
{
	return offered & SASL_PLUS && channel->len[type];
}

bool sasl_binds(const char *mechanism)
{
	return (SASL_PLUS | (SASL_TOKENS & ~SASL_HT(1u << HT_NONE))) &
		1u << mechanism_index(mechanism);
}

int sasl_scram_hash(const struct sasl *s)
{
	return s->scram ? (int)s->scram->hash : -1;
}

struct sasl *sasl_new(struct host *host, uint32_t offered, const struct tls_channel *channel)
{
	struct sasl *s = xcalloc(1, sizeof(*s));

	s->host = host_ref(host);
	s->offered = offered;
	s->channel = *channel;
	return s;
}

static void forget_password(struct sasl *s)
{
	if (s->password)
		wipe(s->password, strlen(s->password));
	free(s->password);
	s->password = NULL;
}

void sasl_free(struct sasl *s)
{
	if (!s)
		return;
	forget_password(s);
	free(s->user);
	free(s->out);
	scram_free(s->scram);
	host_unref(s->host);
	wipe(s, sizeof(*s));
	free(s);
}

int sasl_fail(struct sasl *s, enum sasl_condition condition)
{
	if (s->step != STEP_ENDED)
		s->condition = condition;
	s->step = STEP_ENDED;
	forget_password(s);
	return SASL_FAIL;
}

static void answer_bytes(struct sasl *s, const void *bytes, size_t len)
{
	free(s->out);
	s->out = xmalloc(BASE64_LEN(len) + 1);
	base64_encode(bytes, len, s->out);
}

/* Puts the text to send into s->out; NULL: none. */
static void answer(struct sasl *s, const char *text)
{
	if (text) {
		answer_bytes(s, text, strlen(text));
		return;
	}
	free(s->out);
	s->out = NULL;
}

static int succeed(struct sasl *s, const char *text)
{
	answer(s, text);
	s->step = STEP_ENDED;
	forget_password(s);
	return SASL_DONE;
}

/* Makes s->user of the name a client gave. */
static bool take_user(struct sasl *s, const char *name)
{
	char local[JID_PART_MAX + 1];
	int len = jid_prep_local(name, strlen(name), local);

	if (len <= 0)
		return false;
	s->user = xstrndup(local, (size_t)len);
	return true;
}

/* Nobody acts for another: an authorization identity is the account's own bare JID.
 * RFC 6120 §6.3.8. */
static bool is_own_jid(const struct sasl *s, const char *authzid)
{
	struct jid *jid;
	bool own;

	if (jid_parse(authzid, strlen(authzid), NULL, &jid) != JID_OK)
		return false;
	own = jid_is_bare(jid) && !strcmp(jid_local(jid), s->user) &&
		!strcmp(jid_domain(jid), s->host->name);
	jid_free(jid);
	return own;
}

static int identify(struct sasl *s, const char *user, const char *authzid, int step, int verdict)
{
	if (!take_user(s, user))
		return sasl_fail(s, SASL_NOT_AUTHORIZED);
	if (authzid && *authzid && !is_own_jid(s, authzid))
		return sasl_fail(s, SASL_INVALID_AUTHZID);
	s->step = step;
	return verdict;
}

/* i;octet, RFC 4790 §9.3. */
static int by_octets(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void append_sorted(struct buf **b, const char **names, unsigned n)
{
	qsort(names, n, sizeof(*names), by_octets);
	for (unsigned i = 0; i < n; i++) {
		if (i)
			buf_append_char(b, '\x1e');
		buf_append(b, names[i], strlen(names[i]));
	}
}

/* What the client was shown, as XEP-0474 §5.1 puts it together. The caller frees. */
static char *what_was_offered(const struct sasl *s)
{
	const char *names[SASL_MECHANISMS + TLS_BINDINGS];
	struct buf *b = buf_new(200);
	unsigned n = 0;
	char *text;

	for (unsigned i = 0; i < SASL_MECHANISMS; i++)
		if (s->offered & 1u << i)
			names[n++] = mechanisms[i].name;
	append_sorted(&b, names, n);
	n = 0;
	for (int type = 0; type < TLS_BINDINGS; type++)
		if (sasl_announces(s->offered, &s->channel, (enum tls_binding)type))
			names[n++] = tls_binding_name((enum tls_binding)type);
	if (n)
		buf_append_char(&b, '\x1f');
	append_sorted(&b, names, n);
	text = xstrndup(b->data, b->len);
	buf_unref(b);
	return text;
}

static bool protects_offer(const struct sasl *s)
{
	struct host_conf *conf = host_conf_hold(s->host);
	bool protects = conf->scram_protects_offer;

	host_conf_drop(conf);
	return protects;
}

static int scram_begin(struct sasl *s, const char *message, size_t len)
{
	int fails;

	s->scram = scram_new(mechanisms[__builtin_ctz(s->mechanism)].hash, &s->channel);
	if (!s->scram)
		return sasl_fail(s, SASL_TEMPORARY_AUTH_FAILURE);
	s->scram->plus = s->mechanism & SASL_PLUS;
	s->scram->plus_offered = s->offered & SASL_PLUS;
	if (protects_offer(s))
		s->scram->offer = what_was_offered(s);
	fails = scram_first(s->scram, message, len);
	if (fails)
		return sasl_fail(s, (enum sasl_condition)(fails - 1));
	return identify(s, s->scram->user, s->scram->authzid, STEP_ACCOUNT, SASL_NEED_ACCOUNT);
}

static int scram_end(struct sasl *s, const char *message, size_t len)
{
	AUTO(free_ptr) char *text = NULL;
	int fails = scram_final(s->scram, message, len, &text);

	return fails ? sasl_fail(s, (enum sasl_condition)(fails - 1)) : succeed(s, text);
}

/* RFC 4616 §2: [authzid] NUL authcid NUL passwd. The decoded message ends with a NUL of ours. */
static int plain(struct sasl *s, const char *message, size_t len)
{
	const char *end = message + len, *user, *password;

	user = message + strlen(message) + 1;
	if (user > end)
		return sasl_fail(s, SASL_MALFORMED_REQUEST);
	password = user + strlen(user) + 1;
	if (!*user || password >= end || password + strlen(password) != end)
		return sasl_fail(s, SASL_MALFORMED_REQUEST);
	s->password = xstrdup(password);
	return identify(s, user, message, STEP_CHECK, SASL_NEED_CHECK);
}

/* RFC 7628: whose token it is, the client says; whether it is, the source does that knows tokens.
 */
static int bearer(struct sasl *s, const char *message, size_t len)
{
	struct oauth_bearer said;
	struct jid *jid = NULL;
	int verdict;

	if (!oauth_bearer_read(message, len, &said) || !*said.token) {
		verdict = sasl_fail(s, SASL_MALFORMED_REQUEST);
	} else if (jid_parse(said.authzid, strlen(said.authzid), NULL, &jid) != JID_OK) {
		verdict = sasl_fail(s, SASL_INVALID_AUTHZID);
	} else {
		s->password = xstrdup(said.token);
		verdict = identify(s, jid_local(jid), said.authzid, STEP_CHECK, SASL_NEED_CHECK);
	}
	jid_free(jid);
	wipe(&said, sizeof(said));
	return verdict;
}

/* RFC 4505: the trace is the client's to choose and tells nothing. */
static int anonymous(struct sasl *s)
{
	uint8_t random[16];
	char *at;

	if (RAND_bytes(random, sizeof(random)) != 1)
		return sasl_fail(s, SASL_TEMPORARY_AUTH_FAILURE);
	at = s->user = xmalloc(2 * sizeof(random) + 1);
	for (size_t i = 0; i < sizeof(random); i++) {
		*at++ = "0123456789abcdef"[random[i] >> 4];
		*at++ = "0123456789abcdef"[random[i] & 15];
	}
	*at = 0;
	s->anonymous = true;
	return succeed(s, NULL);
}

/* The one account that is meant, of those that the certificate names; NULL: none, or more than one.
 */
static const struct jid *certified(const struct sasl *s, const struct jid *asked)
{
	const struct jid *found = NULL;

	for (unsigned i = 0; i < s->n_certified; i++) {
		const struct jid *j = s->certified[i];

		if (asked && !jid_equal(asked, j))
			continue;
		if (found && !jid_equal(found, j))
			return NULL;
		found = j;
	}
	return found;
}

/* RFC 4422 §A.1: the message is an authorization identity, or empty. XEP-0178 §2: which it must be,
 * is the account's JID, and may be left out where the certificate has no other of this host. */
static int external(struct sasl *s, const char *authzid, size_t len)
{
	const struct jid *found;
	struct jid *asked = NULL;

	if (memchr(authzid, 0, len))
		return sasl_fail(s, SASL_MALFORMED_REQUEST);
	if (len && jid_parse(authzid, len, NULL, &asked) != JID_OK)
		return sasl_fail(s, SASL_INVALID_AUTHZID);
	found = certified(s, asked);
	jid_free(asked);
	if (!found)
		return sasl_fail(s, SASL_INVALID_AUTHZID);
	s->user = xstrdup(jid_local(found));
	s->step = STEP_ACCOUNT;
	return SASL_NEED_ACCOUNT;
}

/* There must be such an account, and that is all. */
static int external_account(struct sasl *s, const struct auth_account *account)
{
	if (!account)
		return sasl_fail(s, SASL_NOT_AUTHORIZED);
	return account->disabled ? sasl_fail(s, SASL_ACCOUNT_DISABLED) : succeed(s, NULL);
}

static int token_begin(struct sasl *s, const char *message, size_t len)
{
	struct ht_message said;

	if (!ht_read(message, len, &said))
		return sasl_fail(s, SASL_MALFORMED_REQUEST);
	memcpy(s->proof, said.proof, TOKEN_HASH);
	return identify(s, said.user, NULL, STEP_TOKEN, SASL_NEED_TOKEN);
}

static int decoded(struct sasl *s, const char *message, size_t len)
{
	switch (s->step) {
	case STEP_FIRST:
		if (s->mechanism & SASL_SCRAM)
			return scram_begin(s, message, len);
		if (s->mechanism & SASL_TOKENS)
			return token_begin(s, message, len);
		if (s->mechanism == SASL_EXTERNAL)
			return external(s, message, len);
		if (s->mechanism == SASL_OAUTHBEARER)
			return bearer(s, message, len);
		return s->mechanism == SASL_PLAIN ? plain(s, message, len) : anonymous(s);
	case STEP_FINAL:
		return scram_end(s, message, len);
	case STEP_REFUSED: /* the client has read why: RFC 7628 §3.2.3 */
		return sasl_fail(s, SASL_NOT_AUTHORIZED);
	default: /* a response that nobody asked for */
		return sasl_fail(s, SASL_MALFORMED_REQUEST);
	}
}

int sasl_step(struct sasl *s, const char *text, size_t len)
{
	uint8_t message[SASL_TEXT_MAX / 4 * 3 + 1];
	ssize_t bytes;
	int verdict;

	if (s->equals_is_empty && len == 1 && *text == '=')
		len = 0;
	if (len > SASL_TEXT_MAX)
		return sasl_fail(s, SASL_MALFORMED_REQUEST);
	bytes = base64_decode(text, len, message);
	if (bytes < 0)
		return sasl_fail(s, SASL_INCORRECT_ENCODING);
	message[bytes] = 0;
	verdict = decoded(s, (const char *)message, (size_t)bytes);
	wipe(message, (size_t)bytes);
	return verdict;
}

/* Why a mechanism that was not offered is refused. RFC 6120 §6.5.4, §6.5.7, §6.5.9. */
static enum sasl_condition refusal(const struct sasl *s, uint32_t mechanism)
{
	if (mechanism & (SASL_PLAIN | SASL_OAUTHBEARER) && !s->channel.encrypted)
		return SASL_ENCRYPTION_REQUIRED;
	if (!(mechanism & (SASL_ANONYMOUS | SASL_EXTERNAL | SASL_OAUTHBEARER | SASL_TOKENS)) &&
		s->offered & (mechanism - 1))
		return SASL_MECHANISM_TOO_WEAK;
	return SASL_INVALID_MECHANISM;
}

int sasl_start(struct sasl *s, const char *mechanism, const char *text, size_t len)
{
	unsigned i = mechanism_index(mechanism);

	REQUIRE(s->step == STEP_NEW);
	if (i == MECHANISMS_ALL)
		return sasl_fail(s, SASL_INVALID_MECHANISM);
	if (!(s->offered & 1u << i))
		return sasl_fail(s, refusal(s, 1u << i));
	s->mechanism = 1u << i;
	s->step = STEP_FIRST;
	if (text)
		return sasl_step(s, text, len);
	answer(s, ""); /* every mechanism here begins with the client's message: ask for it */
	return SASL_CONTINUE;
}

int sasl_account(struct sasl *s, const struct auth_account *account)
{
	AUTO(free_ptr) char *challenge = NULL;
	struct scram_verifier fake;
	enum scram_hash hash;

	if (s->step == STEP_ENDED) /* aborted while the account was looked up */
		return SASL_FAIL;
	REQUIRE(s->step == STEP_ACCOUNT);
	if (s->mechanism == SASL_EXTERNAL)
		return external_account(s, account);
	hash = s->scram->hash;
	s->scram->known = account && account->scram[hash].iterations;
	s->scram->disabled = account && account->disabled;
	auth_fake_verifier(s->host, s->user, hash, &fake); /* always: it takes as long for all */
	s->scram->verifier = s->scram->known ? account->scram[hash] : fake;
	challenge = scram_challenge(s->scram);
	answer(s, challenge);
	s->step = STEP_FINAL;
	return SASL_CONTINUE;
}

int sasl_checked(struct sasl *s, bool right)
{
	if (s->step == STEP_ENDED)
		return SASL_FAIL;
	REQUIRE(s->step == STEP_CHECK);
	if (right)
		return succeed(s, NULL);
	if (s->mechanism != SASL_OAUTHBEARER)
		return sasl_fail(s, SASL_NOT_AUTHORIZED);
	forget_password(s);
	answer(s, OAUTH_BEARER_REFUSED);
	s->step = STEP_REFUSED;
	return SASL_CONTINUE;
}

/* Which of them the client has shown, or TOKEN_SLOTS. All are looked at, so that it takes as long
 * whatever it was; a client without any is measured against nothing at all. */
static enum token_slot token_shown(
	const struct sasl *s, const struct token *tokens, unsigned mechanism)
{
	static const struct token none[TOKEN_SLOTS];
	enum token_slot shown = TOKEN_SLOTS;

	for (int slot = TOKEN_SLOTS - 1; slot >= 0; slot--) {
		const struct token *t = tokens ? &tokens[slot] : &none[slot];
		uint8_t want[TOKEN_HASH];
		bool right;

		ht_proof(HT_INITIATOR, mechanism, t->hash, &s->channel, want);
		right = CRYPTO_memcmp(want, s->proof, TOKEN_HASH) == 0;
		wipe(want, sizeof(want));
		if (right && t->expires && t->mechanism == mechanism)
			shown = (enum token_slot)slot;
	}
	return shown;
}

/* XEP-0484 §3.4, §4.2: a token is good for the mechanism it was asked for, and until it expires. */
int sasl_token(struct sasl *s, const struct sasl_token *t)
{
	unsigned mechanism = (unsigned)__builtin_ctz(s->mechanism) - SASL_MECHANISMS;
	uint8_t reply[TOKEN_HASH];
	enum token_slot shown;

	if (s->step == STEP_ENDED)
		return SASL_FAIL;
	REQUIRE(s->step == STEP_TOKEN);
	shown = token_shown(s, t->tokens, mechanism);
	if (shown == TOKEN_SLOTS)
		return sasl_fail(s, SASL_NOT_AUTHORIZED);
	if (t->disabled)
		return sasl_fail(s, SASL_ACCOUNT_DISABLED);
	if (t->tokens[shown].expires <= t->now || (t->count && t->count <= t->tokens[shown].count))
		return sasl_fail(s, SASL_CREDENTIALS_EXPIRED);
	s->slot = shown;
	ht_proof(HT_RESPONDER, mechanism, t->tokens[shown].hash, &s->channel, reply);
	answer_bytes(s, reply, sizeof(reply));
	wipe(reply, sizeof(reply));
	s->step = STEP_ENDED;
	return SASL_DONE;
}
