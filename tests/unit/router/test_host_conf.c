/* The options of a virtual host: what stands at the top, what one host says over it, and what the
 * two come to. */
#include "router/host_conf.h"

#include <stdlib.h>

#include "core/mem.h"
#include "tests/support/settings_text.h"

/* The server's options and those of host_config, each as YAML ("" for none), made into one
 * snapshot. The errors as text, which the caller frees, and the snapshot. */
static char *make(const char *all_yaml, const char *own_yaml, struct host_conf **out)
{
	struct settings_text all = settings_text(all_yaml), own = settings_text(own_yaml);
	struct host_conf *top = host_conf_new();
	char *said;

	cr_expect_eq(conf_fill(host_conf_items, all.root, top, &top->arena, all.errors), 0, "%s",
		all_yaml);
	*out = host_conf_make("capulet.example", top, own.root, own.root, NULL, 0, own.errors);
	said = conf_errors_text(own.errors);
	host_conf_drop(top); /* what was made stands alone */
	settings_text_end(&all);
	settings_text_end(&own);
	return said;
}

/* --- what they come to ----------------------------------------------------------------------- */

#define SCRAM (SASL_SCRAM_SHA_512 | SASL_SCRAM_SHA_256 | SASL_SCRAM_SHA_1)
#define PLUS (SASL_SCRAM_SHA_512_PLUS | SASL_SCRAM_SHA_256_PLUS | SASL_SCRAM_SHA_1_PLUS)
#define USUAL (PLUS | SCRAM | SASL_PLAIN | SASL_EXTERNAL)

static const struct {
	const char *all, *own;
	uint32_t mechanisms;
	bool anonymous;
} rows[] = {
	{ "", "", USUAL, false },
	{ "auth_method: anonymous", "", SASL_ANONYMOUS, true },
	{ "auth_method: [internal, anonymous]", "", USUAL | SASL_ANONYMOUS, true },
	{ "auth_method: mnesia", "", USUAL, false }, /* ejabberd's words */
	{ "auth_method: [sql, ldap]", "auth_method: anonymous", SASL_ANONYMOUS, true },
	{ "auth_method: [external, pam]", "", USUAL, false },
	{ "sasl_mechanisms: [SCRAM-SHA-1, PLAIN]", "", SASL_SCRAM_SHA_1 | SASL_PLAIN, false },
	{ "sasl_mechanisms: [PLAIN]", "sasl_mechanisms: [SCRAM-SHA-256]", SASL_SCRAM_SHA_256,
		false },
	{ "disable_sasl_mechanisms: [PLAIN, DIGEST-MD5, X-OAUTH2, EXTERNAL]", "", PLUS | SCRAM,
		false },
	{ "disable_sasl_mechanisms: PLAIN", "disable_sasl_mechanisms: []", USUAL, false },
	{ "sasl_mechanisms: [PLAIN, ANONYMOUS]", "", SASL_PLAIN, false },
};

Test(host_conf, mechanisms_are_those_allowed_that_somebody_can_use)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct host_conf *c;
		AUTO(free_ptr) char *said = make(rows[i].all, rows[i].own, &c);

		cr_expect_str_eq(said, "", "%s", rows[i].all);
		cr_expect_eq(c->sasl_mechanisms, rows[i].mechanisms, "%s; %s: %x", rows[i].all,
			rows[i].own, c->sasl_mechanisms);
		cr_expect_eq(c->anonymous, rows[i].anonymous, "%s; %s", rows[i].all, rows[i].own);
		host_conf_drop(c);
	}
}

Test(host_conf, sources_stand_in_the_order_of_auth_method)
{
	struct host_conf *c;
	AUTO(free_ptr)
	char *said = make("auth_method: [external, anonymous, internal, external]", "", &c);

	cr_expect_str_eq(said, "");
	cr_expect_eq(c->n_sources, 2);
	cr_expect_eq(c->sources[0], AUTH_BY_EXTERNAL);
	cr_expect_eq(c->sources[1], AUTH_BY_INTERNAL);
	cr_expect(c->anonymous);
	host_conf_drop(c);
}

/* --- one host's own -------------------------------------------------------------------------- */

Test(host_conf, a_key_goes_with_its_certificate)
{
	struct host_conf *c;
	AUTO(free_ptr) char *said = make("certfile: a.pem", "keyfile: /keys/b.pem", &c);

	cr_expect_str_eq(said, "");
	cr_expect_str_eq(c->keyfile, "/keys/b.pem");
	host_conf_drop(c);
}

Test(host_conf, own_options_stand_over_those_of_all)
{
	struct host_conf *c;
	AUTO(free_ptr)
	char *said = make("{max_user_sessions: 3, language: de, certfile: a.pem, "
			  "resource_conflict: closenew, auth_fail_limit: 5}",
		"{max_user_sessions: 7, resource_conflict: acceptnew, certfile: null}", &c);

	cr_expect_str_eq(said, "");
	cr_expect_str_eq(c->name, "capulet.example");
	cr_expect_eq(c->max_sessions, 7);
	cr_expect_eq(c->resource_conflict, CONFLICT_CLOSE_OLD, "ejabberd's word for closeold");
	cr_expect_null(c->certfile, "taken back");
	cr_expect_str_eq(c->language, "de");
	cr_expect_eq(c->auth_fails, 5);
	cr_expect_eq(c->auth_fail_window_ms, 600000, "the preset");
	cr_expect_eq(c->refs, 1);
	host_conf_drop(c);
}

struct more {
	int64_t rooms, ports;
};
static const struct conf_item more_items[] = {
	{ "rooms", CONF_INT, FIELD(struct more, rooms, int64_t), .per_host = true },
	{ "ports", CONF_INT, FIELD(struct more, ports, int64_t) }, { 0 }
};

Test(host_conf, other_rooms_add_options_of_their_own)
{
	struct settings_text own =
		settings_text("{max_user_sessions: 7, rooms: 4, ports: 1, nonsense: 2}");
	struct host_conf *top = host_conf_new(), *c;
	struct more more = { 0 };
	char *said;

	cr_assert_eq(conf_fill(host_conf_items, NULL, top, &top->arena, own.errors), 0);
	c = host_conf_make("a", top, own.root, own.root, &(struct conf_part){ more_items, &more },
		1, own.errors);
	said = conf_errors_text(own.errors);
	cr_expect_eq(more.rooms, 4);
	cr_expect_eq(c->max_sessions, 7);
	cr_expect(strstr(said, "test.yml:1:34: "), "ports is for the whole server: %s", said);
	cr_expect(strstr(said, "test.yml:1:44: "), "nobody knows it: %s", said);
	cr_expect_eq(conf_errors_count(own.errors), 2, "%s", said);
	free(said);
	host_conf_drop(top);
	host_conf_drop(c);
	settings_text_end(&own);
}

/* --- what is refused ------------------------------------------------------------------------- */

static const struct {
	const char *own, *error; /* a part of it */
} mistakes[] = {
	{ "sasl_mechanisms: [ANONYMOUS]",
		"capulet.example: sasl_mechanisms leaves none that auth_method can use" },
	{ "{auth_method: anonymous, sasl_mechanisms: [PLAIN]}", "sasl_mechanisms leaves none" },
	{ "auth_method: []", "sasl_mechanisms leaves none" },
	{ "{sasl_mechanisms: [PLAIN], disable_sasl_mechanisms: [PLAIN]}",
		"sasl_mechanisms leaves none" },
	{ "keyfile: key.pem", "capulet.example: there is a keyfile, but no certfile" },
	{ "sasl_mechanisms: [SCRAM-SHA-2]", "test.yml:1:19: sasl_mechanisms: expected" },
	{ "auth_method: http", "test.yml:1:14: auth_method: expected" },
	{ "max_user_sessions: 0", "max_user_sessions: expected" },
	{ "max_user_sessions: 10001", "max_user_sessions: expected" },
	{ "max_out_bytes: 65535", "max_out_bytes: expected" },
	{ "scram_iterations: 4095", "scram_iterations: expected" }, /* RFC 5802 §5.1 */
	{ "auth_fail_window: 999 ms", "auth_fail_window: expected" },
	{ "resource_conflict: both", "resource_conflict: expected" },
};

Test(host_conf, mistakes_are_named_with_their_place)
{
	for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
		struct host_conf *c;
		AUTO(free_ptr) char *said = make("", mistakes[i].own, &c);

		cr_expect(strstr(said, mistakes[i].error), "%s: %s", mistakes[i].own, said);
		cr_expect_eq(strchr(said, '\n'), said + strlen(said) - 1, "one: %s", said);
		host_conf_drop(c);
	}
}

/* RFC 5646 §2.1: parts of one to eight letters or digits between hyphens, the first of letters. */
static const struct {
	const char *tag;
	bool good;
} languages[] = {
	{ "en", true },
	{ "pt-BR", true },
	{ "zh-Hant-TW", true },
	{ "de-1996", true },
	{ "x-klingon", true },
	{ "abcdefgh", true },
	{ "abcdefghi", false },
	{ "en-abcdefghi", false },
	{ "e1", false },
	{ "1", false },
	{ "en-", false },
	{ "-en", false },
	{ "en--us", false },
	{ "en_US", false },
	{ "en us", false },
	{ "d\xc3\xa4", false },
	{ "", false },
};

Test(host_conf, a_language_is_a_tag)
{
	for (size_t i = 0; i < ARRAY_LEN(languages); i++) {
		AUTO(free_ptr) char *own = xprintf("language: '%s'", languages[i].tag);
		struct host_conf *c;
		AUTO(free_ptr) char *said = make("", own, &c);

		cr_expect_eq(*said == 0, languages[i].good, "%s: %s", own, said);
		cr_expect_str_eq(c->language, languages[i].good ? languages[i].tag : "en");
		host_conf_drop(c);
	}
}

static const struct {
	const char *text;
	bool good;
} locations[] = {
	{ "im.example.org", true },
	{ "im.example.org:5222", true },
	{ "192.0.2.1:1", true },
	{ "[2001:db8::1]", true },
	{ "[2001:db8::1]:65535", true },
	{ "", false },
	{ ":5222", false },
	{ "im.example.org:", false },
	{ "im.example.org:0", false },
	{ "im.example.org:65536", false },
	{ "im.example.org:5222x", false },
	{ "im.example.org:000005222", false },
	{ "im@example.org", false },
	{ "2001:db8::1", false },
	{ "[2001:db8::1", false },
	{ "[2001:db8::1]5222", false },
	{ "[192.0.2.1]", false },
	{ "[", false },
};
/* XEP-0198 §5, RFC 6120 §4.9.3.19 */
Test(host_conf, a_location_is_a_place_and_a_port)
{
	for (size_t i = 0; i < ARRAY_LEN(locations); i++) {
		AUTO(free_ptr)
		char *own = xprintf("stream_management: {location: '%s'}", locations[i].text);
		AUTO(free_ptr) char *said = NULL;
		struct host_conf *c;

		said = make("", own, &c);
		cr_expect_eq(*said == 0, locations[i].good, "%s: %s", own, said);
		if (locations[i].good)
			cr_expect_str_eq(c->sm.location, locations[i].text);
		host_conf_drop(c);
	}
}
