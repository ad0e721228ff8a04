/* One client's bytes as an XML element within SASL2: first byte how, then <authenticate/> or what
 * comes in a task. The account's password is "pencil", and its client has a token whose hash is all
 * zeros but for the first byte, so that some exchanges succeed. */
#include <stdlib.h>

#include "core/mem.h"
#include "net/hashed_token.h"
#include "net/sasl.h"
#include "net/sasl2.h"
#include "net/scram.h"
#include "xml/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct host_conf conf = {
	.refs = 1, .scram_iterations = 4096, .scram_protects_offer = true
};
static struct host host = { .refs = 1, .name = "example.org" };

enum { HOW_FAST = 1, HOW_KNOWN = 2, HOW_DISABLED = 4, HOW_TLS_1_2 = 8 };

static void begin(const struct sasl2_request *r, int how)
{
	const struct token tokens[TOKEN_SLOTS] = {
		[TOKEN_FRESH] = { .hash = { 1 }, .mechanism = HT_NONE, .expires = 2000 },
		[TOKEN_CURRENT] = { .hash = { 2 },
			.mechanism = HT_EXPR,
			.expires = 900,
			.count = 3 },
	};
	const struct tls_channel channel = { .encrypted = true,
		.len = { [TLS_BIND_EXPORTER] = how & HOW_TLS_1_2 ? 0 : 32,
			[TLS_BIND_UNIQUE] = how & HOW_TLS_1_2 ? 12 : 0,
			[TLS_BIND_END_POINT] = 32 } };
	const struct sasl_token t = { .tokens = how & HOW_KNOWN ? tokens : NULL,
		.disabled = how & HOW_DISABLED,
		.now = 1000,
		.count = r->fast_count };
	uint32_t offered = r->fast && how & HOW_FAST ? SASL_HT(ht_mechanisms(&channel)) : 0xff;
	struct sasl *s = sasl_new(&host, offered, &channel);
	int verdict = sasl_start(s, r->mechanism, r->initial, r->initial ? strlen(r->initial) : 0);

	if (verdict == SASL_NEED_TOKEN)
		verdict = sasl_token(s, &t);
	else if (verdict == SASL_NEED_ACCOUNT)
		verdict = sasl_account(s, NULL);
	if (verdict == SASL_DONE)
		REQUIRE(s->user);
	sasl_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct parser_limits limits = { 16384, PARSER_DEPTH, PARSER_ATTRS };
	struct scram_verifier v = { .iterations = 1, .salt_len = 4 };
	struct sasl2_request r;
	struct stanza *s;

	if (!len || parse_element((const char *)bytes + 1, len - 1, &limits, &s) != PARSER_OK)
		return 0;
	rcu_set(host.conf, &conf);
	if (sasl2_read(s->root, &s->arena, &r) == 0) {
		REQUIRE(!r.fast || r.agent.id[0]);
		REQUIRE(r.token <= HT_MECHANISMS && r.fast_count <= INT32_MAX);
		begin(&r, bytes[0]);
	}
	for (int hash = 0; hash < SCRAM_HASHES; hash++)
		sasl2_read_hash(s->root, &s->arena, (enum scram_hash)hash, &v);
	stanza_unref(s);
	return 0;
}
