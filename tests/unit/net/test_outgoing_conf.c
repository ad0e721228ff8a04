/* What the settings may say about how other servers are found and reached. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "net/outgoing_conf.h"

/* The errors' text, which the caller frees; "" for none. */
static char *fill(const char *yaml, struct arena *a, struct outgoing_conf *out)
{
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("test.yml", yaml, strlen(yaml), e);
	char *text;

	cr_assert_not_null(f, "%s", yaml);
	memset(out, 0, sizeof(*out));
	conf_fill(outgoing_conf_items, conf_root(f), out, a, e);
	text = conf_errors_text(e);
	conf_file_free(f);
	conf_errors_free(e);
	return text;
}

static const struct {
	const char *yaml, *error;
} wrong[] = {
	{ "dns_servers: [localhost]", "the address of a name server" },
	{ "dns_servers: ['127.0.0.1:']", "the address of a name server" },
	{ "dns_servers: ['127.0.0.1:0']", "the address of a name server" },
	{ "dns_servers: ['127.0.0.1:65536']", "the address of a name server" },
	{ "dns_servers: ['[::1']", "the address of a name server" },
	{ "dns_servers: ['[::1]x']", "the address of a name server" },
	{ "dns_servers: ['[::1]:5x']", "the address of a name server" },
	{ "dns_servers: ['']", "the address of a name server" },
	{ "s2s_dns_timeout: 0", "s2s_dns_timeout" },
	{ "s2s_dns_retries: -1", "s2s_dns_retries" },
	{ "outgoing_s2s_families: [ipv5]", "ipv4 or ipv6" },
	{ "outgoing_s2s_port: 0", "outgoing_s2s_port" },
	{ "outgoing_s2s_ipv4_address: '::1'", "an IPv4 address" },
	{ "outgoing_s2s_ipv6_address: 192.0.2.1", "an IPv6 address" },
	{ "s2s_places: {'a b': []}", "a map of domain names" },
	{ "s2s_places: {a.example: [], A.example: []}", "each once" },
	{ "s2s_places: {a.example: [{host: 'a b'}]}", "an address or a name" },
	{ "s2s_places: {a.example: [{port: 65536}]}", "port" },
	{ "s2s_places: {a.example: [{prot: 1}]}", "did you mean \"port\"?" },
};

Test(outgoing_conf, mistakes)
{
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct outgoing_conf c;
		struct arena a;
		char *text;

		arena_init(&a, NULL, 0);
		text = fill(wrong[i].yaml, &a, &c);
		cr_expect(strstr(text, wrong[i].error), "%s: %s", wrong[i].yaml, text);
		free(text);
		arena_fini(&a);
	}
}

Test(outgoing_conf, presets)
{
	struct outgoing_conf c;
	struct arena a;
	char *text;

	arena_init(&a, NULL, 0);
	text = fill("{}", &a, &c);
	cr_expect_str_eq(text, "");
	cr_expect_eq(c.port, 5269);
	cr_expect_eq(c.timeout_ms, 10000);
	cr_expect_eq(c.dns_timeout_ms, 10000);
	cr_expect_eq(c.dns_retries, 2);
	cr_expect_not(c.dns_trust_ad);
	cr_assert_eq(c.families.n, 2);
	cr_expect_eq(((const int *)c.families.at)[0], OUTGOING_IPV6);
	cr_expect_eq(((const int *)c.families.at)[1], OUTGOING_IPV4);
	free(text);
	arena_fini(&a);
}

static const struct {
	const char *given, *want;
} servers[] = {
	{ "192.0.2.1", "192.0.2.1:53" },
	{ "192.0.2.1:5353", "192.0.2.1:5353" },
	{ "2001:DB8:0::1", "[2001:db8::1]:53" },
	{ "[2001:db8::1]", "[2001:db8::1]:53" },
	{ "[2001:db8::1]:5353", "[2001:db8::1]:5353" },
};

Test(outgoing_conf, name_servers_have_one_form)
{
	for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
		struct outgoing_conf c;
		struct arena a;
		char yaml[128], *text;

		arena_init(&a, NULL, 0);
		snprintf(yaml, sizeof(yaml), "dns_servers: ['%s']", servers[i].given);
		text = fill(yaml, &a, &c);
		cr_assert_str_eq(text, "");
		cr_expect_str_eq(((const char *const *)c.dns_servers.at)[0], servers[i].want);
		free(text);
		arena_fini(&a);
	}
}

Test(outgoing_conf, places)
{
	const struct fixed_places *p;
	const struct fixed_place *at;
	struct outgoing_conf c;
	struct arena a;
	char *text;

	arena_init(&a, NULL, 0);
	text = fill("s2s_places:\n  M\u00dcNCHEN.example:\n    - host: Stra\u00dfe.example\n      "
		    "port: 5270\n"
		    "      tls: true\n    - {}\n",
		&a, &c);
	cr_assert_str_eq(text, "");
	p = c.places.at;
	at = p->at.at;
	cr_expect_str_eq(p->domain, "m\u00fcnchen.example");
	cr_assert_eq(p->at.n, 2);
	cr_expect_str_eq(at[0].host, "xn--strae-oqa.example");
	cr_expect(at[0].port == 5270 && at[0].tls);
	cr_expect_null(at[1].host);
	cr_expect(at[1].port == 0 && !at[1].tls);
	free(text);
	arena_fini(&a);
}
