/* What <authenticate/> asks for, and the hash that an upgrade task brings. XEP-0388, XEP-0386,
 * XEP-0484, XEP-0480. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "net/hashed_token.h"
#include "net/sasl.h"
#include "net/sasl2.h"
#include "tests/support/asking.h"

#define ID "d4565fa7-4d72-4749-b3d3-740edbf87770"
#define AGENT "<user-agent id='" ID "'/>"
#define FAST(attrs) AGENT "<fast xmlns='urn:xmpp:fast:0' " attrs "/>"
#define FAILS(c) (1 + (int)(c))
#define BAD FAILS(SASL_MALFORMED_REQUEST)

static struct stanza *authenticate(const char *children)
{
	char text[4096];

	snprintf(text, sizeof(text),
		"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='M'>%s</authenticate>", children);
	return parse_unsealed(text);
}

Test(sasl2, refused)
{
	static const struct {
		const char *section, *children;
		int want;
	} rows[] = {
		{ "XEP-0388 §2.3", AGENT, 0 },
		{ "XEP-0388 §2.3 no id", "<user-agent><software>x</software></user-agent>", 0 },
		{ "XEP-0388 §2.3 no UUID", "<user-agent id='1'/>", BAD },
		{ "XEP-0388 §2.3 another's element", "<user-agent xmlns='urn:x' id='1'/>", 0 },
		{ "XEP-0484 §3.4", FAST(""), 0 },
		{ "XEP-0484 §4.1", "<fast xmlns='urn:xmpp:fast:0'/>", BAD },
		{ "XEP-0484 §4.1 in any order", "<fast xmlns='urn:xmpp:fast:0'/>" AGENT, 0 },
		{ "XEP-0484 §3.4 positive", FAST("count='1'"), 0 },
		{ "XEP-0484 §3.4 positive", FAST("count='0'"), BAD },
		{ "XEP-0484 §3.4 positive", FAST("count='-1'"), BAD },
		{ "XEP-0484 §8 xs:int", FAST("count='2147483647'"), 0 },
		{ "XEP-0484 §8 xs:int", FAST("count='2147483648'"), BAD },
		{ "XEP-0484 §8 xs:int", FAST("count='99999999999999999999'"), BAD },
		{ "XEP-0484 §8 xs:int", FAST("count=''"), BAD },
		{ "XEP-0484 §8 xs:boolean", FAST("invalidate='1'"), 0 },
		{ "XEP-0484 §8 xs:boolean", FAST("invalidate='yes'"), BAD },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct stanza *s = authenticate(rows[i].children);
		struct sasl2_request r;

		cr_expect_eq(sasl2_read(s->root, &s->arena, &r), rows[i].want, "%s: %s",
			rows[i].section, rows[i].children);
		stanza_unref(s);
	}
}

Test(sasl2, everything_at_once)
{
	struct stanza *s = authenticate(
		"<initial-response>AA==</initial-response>"
		"<user-agent id='D4565FA7-4D72-4749-B3D3-740EDBF87770'><software>Aves</software>"
		"<device>Phone</device></user-agent>"
		"<bind xmlns='urn:xmpp:bind:0'><tag>Aves</tag></bind>"
		"<resume xmlns='urn:xmpp:sm:3' previd='x' h='1'/>"
		"<fast xmlns='urn:xmpp:fast:0' count='7' invalidate='true'/>"
		"<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-ENDP'/>"
		"<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>"
		"<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>"
		"<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-BLOOP</upgrade>");
	struct sasl2_request r;

	cr_assert_eq(sasl2_read(s->root, &s->arena, &r), 0);
	cr_expect_str_eq(r.mechanism, "M");
	cr_expect_str_eq(r.initial, "AA==");
	cr_expect_str_eq(r.agent.id, ID);
	cr_expect_str_eq(r.agent.software, "Aves");
	cr_expect_str_eq(r.agent.device, "Phone");
	cr_expect_str_eq(r.tag, "Aves");
	cr_expect_not_null(r.bind);
	cr_expect_not_null(r.resume);
	cr_expect(r.fast && r.fast_invalidate);
	cr_expect_eq(r.fast_count, 7u);
	cr_expect_eq(r.token, HT_ENDP);
	cr_expect_eq(r.upgrades, 1u << SCRAM_SHA_512 | 1u << SCRAM_SHA_256);
	stanza_unref(s);
}

Test(sasl2, nothing_at_all)
{
	struct stanza *s = parse_unsealed("<authenticate xmlns='urn:xmpp:sasl:2'/>");
	struct sasl2_request r;

	cr_assert_eq(sasl2_read(s->root, &s->arena, &r), 0);
	cr_expect_str_eq(r.mechanism, "");
	cr_expect_null(r.initial, "XEP-0388 §2.2: absence of an initial response");
	cr_expect_str_eq(r.agent.id, "");
	cr_expect_eq(r.token, HT_MECHANISMS);
	cr_expect_not(r.fast);
	cr_expect_null(r.bind);
	stanza_unref(s);
	s = authenticate("<initial-response/>");
	cr_assert_eq(sasl2_read(s->root, &s->arena, &r), 0);
	cr_expect_str_eq(r.initial, "", "XEP-0388 §2.2: an empty one");
	stanza_unref(s);
}

/* XEP-0386 §3.2.1; our limit. */
Test(sasl2, tags)
{
	char most[SASL2_TAG_MAX + 1], bind[SASL2_TAG_MAX + 100];
	struct sasl2_request r;
	struct stanza *s;

	memset(most, 'x', SASL2_TAG_MAX);
	most[SASL2_TAG_MAX] = 0;
	snprintf(bind, sizeof(bind), "<bind xmlns='urn:xmpp:bind:0'><tag>%s</tag></bind>", most);
	s = authenticate(bind);
	sasl2_read(s->root, &s->arena, &r);
	cr_expect_str_eq(r.tag, most);
	stanza_unref(s);
	snprintf(bind, sizeof(bind), "<bind xmlns='urn:xmpp:bind:0'><tag>%sx</tag></bind>", most);
	s = authenticate(bind);
	sasl2_read(s->root, &s->arena, &r);
	cr_expect_null(r.tag);
	cr_expect_not_null(r.bind);
	stanza_unref(s);
}

Test(sasl2, upgrade_names)
{
	for (int hash = 0; hash < SCRAM_HASHES; hash++)
		cr_expect_eq(sasl2_upgrade(sasl2_upgrade_name((enum scram_hash)hash)), hash);
	cr_expect_eq(sasl2_upgrade("UPGR-SCRAM-SHA-256-PLUS"), SCRAM_HASHES, "XEP-0480 §2.1");
	cr_expect_eq(sasl2_upgrade("SCRAM-SHA-256"), SCRAM_HASHES);
	cr_expect_eq(sasl2_upgrade(""), SCRAM_HASHES);
}

/* XEP-0480 §3: the salted password becomes the keys that the password itself would. */
Test(sasl2, hash_of_an_upgrade)
{
	struct scram_verifier want = { .salt = "salt", .salt_len = 4, .iterations = 4096 },
			      got = want;
	uint8_t salted[32];
	char text[300], hash64[64];
	struct stanza *s;

	job_check();
	cr_assert_eq(scram_derive(SCRAM_SHA_256, "pencil", &want), 0);
	PKCS5_PBKDF2_HMAC("pencil", 6, (const uint8_t *)"salt", 4, 4096, EVP_sha256(), 32, salted);
	EVP_EncodeBlock((unsigned char *)hash64, salted, 32);
	snprintf(text, sizeof(text),
		"<task-data xmlns='urn:xmpp:sasl:2'><hash "
		"xmlns='urn:xmpp:scram-upgrade:0'>%s</hash>"
		"</task-data>",
		hash64);
	s = parse_unsealed(text);
	cr_assert(sasl2_read_hash(s->root, &s->arena, SCRAM_SHA_256, &got));
	cr_expect_eq(memcmp(got.stored_key, want.stored_key, 32), 0);
	cr_expect_eq(memcmp(got.server_key, want.server_key, 32), 0);
	cr_expect_not(
		sasl2_read_hash(s->root, &s->arena, SCRAM_SHA_512, &got), "of another length");
	stanza_unref(s);
}
