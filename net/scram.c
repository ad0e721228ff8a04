/* net/scram.c - RFC 5802's grammar (§7) read strictly, and its three HMACs. */
#include "net/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "net/base64.h"
#include "net/sasl.h"

#define MALFORMED SCRAM_FAIL(SASL_MALFORMED_REQUEST)
#define WRONG SCRAM_FAIL(SASL_NOT_AUTHORIZED)

/* What is left to read, or one piece of it. */
struct span {
	const char *at;
	size_t len;
};

struct scram *scram_new(enum scram_hash hash, const struct tls_channel *channel)
{
	uint8_t nonce[SCRAM_NONCE_BYTES];
	struct scram *sc;

	if (RAND_bytes(nonce, sizeof(nonce)) != 1)
		return NULL;
	sc = xcalloc(1, sizeof(*sc));
	sc->hash = hash;
	sc->channel = channel;
	sc->binding = -1;
	base64_encode(nonce, sizeof(nonce), sc->server_nonce);
	return sc;
}

void scram_free(struct scram *sc)
{
	if (!sc)
		return;
	free(sc->user);
	free(sc->authzid);
	free(sc->gs2);
	free(sc->auth_message);
	free(sc->nonce);
	free(sc->offer);
	wipe(sc, sizeof(*sc));
	free(sc);
}

/* Up to the next comma or the end; steps over the comma. False: there was no comma. */
static bool take_piece(struct span *rest, struct span *piece)
{
	const char *comma = memchr(rest->at, ',', rest->len);

	piece->at = rest->at;
	piece->len = comma ? (size_t)(comma - rest->at) : rest->len;
	rest->at += piece->len + (comma != NULL);
	rest->len -= piece->len + (comma != NULL);
	return comma != NULL;
}

static bool is_attr(const struct span *piece, char name)
{
	return piece->len >= 2 && piece->at[0] == name && piece->at[1] == '=';
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* attr-val of an extension we do not know, which is let be. "m" is the one that must be understood.
 */
static bool is_extension(const struct span *piece)
{
	return piece->len >= 3 && is_alpha(piece->at[0]) && piece->at[1] == '=' &&
		piece->at[0] != 'm';
}

/* saslname: "=2C" is a comma, "=3D" an equals sign, no other "=" may be. NULL: against the grammar.
 */
static char *saslname(const char *text, size_t len)
{
	char *name, *at;

	if (!len)
		return NULL;
	name = at = xmalloc(len + 1);
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '=') {
			*at++ = text[i];
			continue;
		}
		if (len - i < 3 || (memcmp(text + i, "=2C", 3) && memcmp(text + i, "=3D", 3))) {
			free(name);
			return NULL;
		}
		*at++ = text[i + 2] == 'C' ? ',' : '=';
		i += 2;
	}
	*at = 0;
	return name;
}

static bool is_nonce(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x21 || text[i] > 0x7e) /* commas ended the piece before */
			return false;
	return len > 0;
}

/* gs2-cbind-flag, against the mechanism's name and what this channel has. RFC 5802 §6. */
static int binding_flag(struct scram *sc, const struct span *flag)
{
	if (flag->len == 1 && flag->at[0] == 'n')
		return sc->plus ? MALFORMED : 0;
	if (flag->len == 1 && flag->at[0] == 'y') {
		if (sc->plus)
			return MALFORMED;
		/* "I could, but you cannot": when we did offer it, somebody took the offer out. */
		return sc->plus_offered ? WRONG : 0;
	}
	if (!is_attr(flag, 'p') || !sc->plus)
		return MALFORMED;
	for (int type = 0; type < TLS_BINDINGS; type++) {
		const char *name = tls_binding_name(type);

		if (strlen(name) == flag->len - 2 && !memcmp(name, flag->at + 2, flag->len - 2)) {
			sc->binding = type;
			return sc->channel->len[type] ? 0 : MALFORMED;
		}
	}
	return MALFORMED;
}

static int gs2_header(struct scram *sc, struct span *rest)
{
	const char *start = rest->at;
	struct span piece;
	int fails;

	if (!take_piece(rest, &piece))
		return MALFORMED;
	fails = binding_flag(sc, &piece);
	if (fails)
		return fails;
	if (!take_piece(rest, &piece))
		return MALFORMED;
	if (piece.len) {
		if (!is_attr(&piece, 'a'))
			return MALFORMED;
		sc->authzid = saslname(piece.at + 2, piece.len - 2);
		if (!sc->authzid)
			return MALFORMED;
	}
	sc->gs2 = xstrndup(start, (size_t)(rest->at - start));
	return 0;
}

int scram_first(struct scram *sc, const char *text, size_t len)
{
	struct span rest = { text, len }, piece;
	bool more;
	int fails;

	if (memchr(text, 0, len))
		return MALFORMED;
	fails = gs2_header(sc, &rest);
	if (fails)
		return fails;
	sc->auth_message = xstrndup(rest.at, rest.len);
	/* [reserved-mext ","] is an extension that we would have to understand: it fails here too.
	 */
	if (!take_piece(&rest, &piece) || !is_attr(&piece, 'n'))
		return MALFORMED;
	sc->user = saslname(piece.at + 2, piece.len - 2);
	if (!sc->user)
		return MALFORMED;
	more = take_piece(&rest, &piece);
	if (!is_attr(&piece, 'r') || !is_nonce(piece.at + 2, piece.len - 2))
		return MALFORMED;
	sc->nonce = xstrndup(piece.at + 2, piece.len - 2);
	while (more) {
		more = take_piece(&rest, &piece);
		if (!is_extension(&piece))
			return MALFORMED;
	}
	return 0;
}

/* XEP-0474 §5.1: ",h=" and the hash of what was announced, which the client's proof then covers. */
static void write_offer(const struct scram *sc, char *out)
{
	uint8_t hash[EVP_MAX_MD_SIZE];

	REQUIRE(EVP_Digest(sc->offer, strlen(sc->offer), hash, NULL, scram_digest(sc->hash),
			NULL) == 1);
	base64_encode(hash, scram_key_bytes(sc->hash), stpcpy(out, ",h="));
}

char *scram_challenge(struct scram *sc)
{
	char salt[BASE64_LEN(SCRAM_SALT_MAX) + 1], offer[3 + BASE64_LEN(EVP_MAX_MD_SIZE) + 1] = "";
	char *nonce = xprintf("%s%s", sc->nonce, sc->server_nonce), *message, *both;

	free(sc->nonce);
	sc->nonce = nonce;
	base64_encode(sc->verifier.salt, sc->verifier.salt_len, salt);
	if (sc->offer)
		write_offer(sc, offer);
	message = xprintf("r=%s,s=%s,i=%u%s", nonce, salt, sc->verifier.iterations, offer);
	both = xprintf("%s,%s", sc->auth_message, message);
	free(sc->auth_message);
	sc->auth_message = both;
	return message;
}

/* "c=": the gs2-header once more, and what binds to the channel. */
static bool binding_matches(const struct scram *sc, const struct span *c)
{
	size_t gs2 = strlen(sc->gs2), data = sc->binding < 0 ? 0 : sc->channel->len[sc->binding];
	AUTO(free_ptr) char *want = xmalloc(gs2 + data);
	AUTO(free_ptr) char *text = xmalloc(BASE64_LEN(gs2 + data) + 1);

	memcpy(want, sc->gs2, gs2);
	if (data)
		memcpy(want + gs2, sc->channel->data[sc->binding], data);
	return base64_encode(want, gs2 + data, text) == c->len &&
		CRYPTO_memcmp(text, c->at, c->len) == 0;
}

static bool hmac(const struct scram *sc, const uint8_t *key, uint8_t *out)
{
	return scram_hmac(sc->hash, key, scram_key_bytes(sc->hash), sc->auth_message,
		strlen(sc->auth_message), out);
}

/* RFC 5802 §3. Both signatures are made whatever comes of the first, so that all who fail take as
 * long as those who do not. */
static int check_proof(struct scram *sc, const uint8_t *proof, char **answer)
{
	uint8_t key[EVP_MAX_MD_SIZE], ours[EVP_MAX_MD_SIZE], signature[EVP_MAX_MD_SIZE];
	char text[BASE64_LEN(EVP_MAX_MD_SIZE) + 1];
	size_t n = scram_key_bytes(sc->hash);
	bool right = false;

	if (hmac(sc, sc->verifier.stored_key, key) &&
		hmac(sc, sc->verifier.server_key, signature)) {
		for (size_t i = 0; i < n; i++)
			key[i] ^= proof[i];
		right = EVP_Digest(key, n, ours, NULL, scram_digest(sc->hash), NULL) == 1;
		right &= CRYPTO_memcmp(ours, sc->verifier.stored_key, n) == 0;
		right &= sc->known;
		base64_encode(signature, n, text);
	}
	wipe(key, sizeof(key));
	if (!right)
		return WRONG;
	if (sc->disabled)
		return SCRAM_FAIL(SASL_ACCOUNT_DISABLED);
	*answer = xprintf("v=%s", text);
	return 0;
}

int scram_final(struct scram *sc, const char *text, size_t len, char **answer)
{
	struct span rest = { text, len }, c, r, piece;
	uint8_t proof[BASE64_LEN(SCRAM_KEY_MAX) / 4 * 3];
	size_t hash_bytes = scram_key_bytes(sc->hash);
	char *whole;

	if (memchr(text, 0, len))
		return MALFORMED;
	if (!take_piece(&rest, &c) || !is_attr(&c, 'c') || !take_piece(&rest, &r) ||
		!is_attr(&r, 'r'))
		return MALFORMED;
	while (take_piece(&rest, &piece))
		if (!is_extension(&piece) || is_attr(&piece, 'p'))
			return MALFORMED;
	if (!is_attr(&piece, 'p') || piece.len - 2 != BASE64_LEN(hash_bytes) ||
		base64_decode(piece.at + 2, piece.len - 2, proof) != (ssize_t)hash_bytes)
		return MALFORMED;
	c.at += 2, c.len -= 2, r.at += 2, r.len -= 2;
	if (!binding_matches(sc, &c) || r.len != strlen(sc->nonce) ||
		CRYPTO_memcmp(r.at, sc->nonce, r.len))
		return WRONG;
	whole = xprintf("%s,%.*s", sc->auth_message, (int)(piece.at - 1 - text), text);
	free(sc->auth_message);
	sc->auth_message = whole;
	return check_proof(sc, proof, answer);
}
