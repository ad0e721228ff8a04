/* net/hashed_token.c - texts and HMACs of HT-SHA-256-*. */
#include "net/hashed_token.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "core/mem.h"
#include "net/base64.h"
#include "router/auth.h"

_Static_assert(BASE64_LEN(TOKEN_RANDOM_BYTES) == TOKEN_TEXT && TOKEN_RANDOM_BYTES % 3 == 0, "");
_Static_assert(TOKEN_TEXT > 64, "else the HMAC's key is not the text's hash: RFC 2104 §2");

static const struct {
	const char *name;
	int binding; /* enum tls_binding, or -1 */
} mechanisms[HT_MECHANISMS] = {
	[HT_EXPR] = { "HT-SHA-256-EXPR", TLS_BIND_EXPORTER },
	[HT_UNIQ] = { "HT-SHA-256-UNIQ", TLS_BIND_UNIQUE },
	[HT_ENDP] = { "HT-SHA-256-ENDP", TLS_BIND_END_POINT },
	[HT_NONE] = { "HT-SHA-256-NONE", -1 },
};

const char *ht_name(unsigned index)
{
	REQUIRE(index < HT_MECHANISMS);
	return mechanisms[index].name;
}

unsigned ht_index(const char *name)
{
	unsigned i;

	for (i = 0; i < HT_MECHANISMS && strcmp(mechanisms[i].name, name); i++)
		;
	return i;
}

uint32_t ht_mechanisms(const struct tls_channel *channel)
{
	uint32_t set = 0;

	for (unsigned i = 0; channel->encrypted && i < HT_MECHANISMS; i++)
		if (mechanisms[i].binding < 0 || channel->len[mechanisms[i].binding])
			set |= 1u << i;
	return set;
}

bool token_make(char text[TOKEN_TEXT + 1], uint8_t hash[TOKEN_HASH])
{
	uint8_t random[TOKEN_RANDOM_BYTES];
	bool made = RAND_priv_bytes(random, sizeof(random)) == 1;

	if (made) {
		base64_encode(random, sizeof(random), text);
		made = EVP_Digest(text, TOKEN_TEXT, hash, NULL, scram_digest(SCRAM_SHA_256),
			       NULL) == 1;
	}
	wipe(random, sizeof(random));
	return made;
}

bool ht_read(const char *message, size_t len, struct ht_message *out)
{
	const char *end = memchr(message, 0, len);

	if (!end || end == message || (size_t)(message + len - end) != 1 + TOKEN_HASH)
		return false;
	out->user = message;
	out->proof = (const uint8_t *)end + 1;
	return true;
}

void ht_proof(enum ht_side side, unsigned mechanism, const uint8_t hash[TOKEN_HASH],
	const struct tls_channel *channel, uint8_t out[TOKEN_HASH])
{
	int binding = mechanisms[mechanism].binding;
	size_t bound = binding < 0 ? 0 : channel->len[binding], len = strlen("Initiator");
	char text[sizeof("Initiator") + TLS_BINDING_MAX];

	memcpy(text, side == HT_INITIATOR ? "Initiator" : "Responder", len);
	if (bound)
		memcpy(text + len, channel->data[binding], bound);
	REQUIRE(scram_hmac(SCRAM_SHA_256, hash, TOKEN_HASH, text, len + bound, out));
}
