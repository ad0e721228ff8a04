/* What one entry of `listen` may say, and which of them cannot be open together. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "net/listener_conf.h"

/* One entry read from YAML. The errors' text, which the caller frees; "" for none. */
static char *fill(const char *yaml, struct arena *a, struct listen_conf *out)
{
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("test.yml", yaml, strlen(yaml), e);
	char *text;

	cr_assert_not_null(f, "%s", yaml);
	memset(out, 0, sizeof(*out));
	conf_fill(listen_items, conf_root(f), out, a, e);
	listen_conf_finish(out, conf_root(f), 120000, e);
	text = conf_errors_text(e);
	conf_file_free(f);
	conf_errors_free(e);
	return text;
}

static const struct {
	const char *yaml, *error;
} wrong[] = {
	{ "ip: 127.0.0.1", "port" },
	{ "port: 65536", "65535" },
	{ "port: -1", "port" },
	{ "port: {}", "port" },
	{ "{port: 1, ip: localhost}", "an IPv4 or IPv6 address" },
	{ "{port: 1, ip: 1.2.3}", "an IPv4 or IPv6 address" },
	{ "{port: 1, ip: ':::'}", "an IPv4 or IPv6 address" },
	{ "{port: 1, module: ejabberd_c3s}", "ejabberd_c2s" },
	{ "{port: 1, tls: true, starttls: true}",
		"test.yml:1:22: expected either tls or starttls, found both" },
	{ "{port: 1, starttls: false, starttls_required: true}",
		"test.yml:1:28: expected starttls to be on where it is required, found it off" },
	{ "{port: 1, max_stanza_size: 9999}", "max_stanza_size" },
	{ "{port: 1, max_stanza_size: 1 GB}", "max_stanza_size" },
	{ "{port: 1, max_stanza_size_unauthenticated: 2 MB}", "max_stanza_size_unauthenticated" },
	{ "{port: 1, negotiation_timeout: 2 h}", "negotiation_timeout" },
	{ "{port: 1, backlog: 0}", "backlog" },
	{ "{port: 1, max_connections: -1}", "max_connections" },
	{ "{port: 1, password: x}",
		"test.yml:1:11: ejabberd_c2s has no option \"password\": it is one of "
		"ejabberd_service" },
	{ "{port: 1, module: ejabberd_service, password: x, starttls: true}",
		"test.yml:1:50: ejabberd_service has no option \"starttls\": XEP-0114 has no "
		"STARTTLS" },
	{ "{port: 1, module: ejabberd_service}",
		"test.yml:1:1: expected hosts or a password, without which no component comes" },
	{ "{port: 1, module: ejabberd_service, hosts: {a.example: {}, b.example: {password: x}}}",
		"test.yml:1:45: the component a.example has no password" },
	{ "{port: 1, module: ejabberd_service, password: x, hosts: {a b: {}}}",
		"expected a domain name, found \"a b\"" },
	{ "{port: 1, module: ejabberd_service, password: x, hosts: {A.example: {}}}",
		"expected \"a.example\", as domains are compared" },
	{ "{port: 1, module: ejabberd_service, password: x, domain_conflict: setresource}",
		"closenew or closeold" },
	{ "{port: 1, cafile: /ca.pem}",
		"test.yml:1:11: expected tls_verify to be on where there is a cafile" },
	{ "{port: 1, starttls: false, tls_verify: true}",
		"test.yml:1:28: expected tls or starttls, without which there are no "
		"certificates" },
	{ "{port: 1, module: ejabberd_service, password: x, tls: true, tls_verify: true}",
		"ejabberd_service has no option \"tls_verify\": a component shows who it is by its "
		"password" },
	{ "{port: 1, module: ejabberd_s2s_in, tls_verify: true, cafile: /ca.pem}",
		"ejabberd_s2s_in has no option \"cafile\": this is ca_file at the top" },
	{ "{port: 1, backlgo: 10}", "did you mean \"backlog\"?" },
};

Test(listener_conf, mistakes)
{
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct listen_conf l;
		struct arena a;
		char *text;

		arena_init(&a, NULL, 0);
		text = fill(wrong[i].yaml, &a, &l);
		cr_expect(strstr(text, wrong[i].error), "%s: %s", wrong[i].yaml, text);
		free(text);
		arena_fini(&a);
	}
}

static const struct {
	const char *yaml, *ip;
	bool tls, starttls, required;
	int64_t timeout_ms;
} right[] = {
	{ "port: 5222", "0.0.0.0", false, true, true, 120000 },
	{ "{port: 5222, starttls_required: false}", "0.0.0.0", false, true, false, 120000 },
	{ "{port: 5222, starttls: false}", "0.0.0.0", false, false, false, 120000 },
	{ "{port: 5223, tls: true}", "0.0.0.0", true, false, false, 120000 },
	{ "{port: 5223, tls: true, starttls_required: true}", "0.0.0.0", true, false, false,
		120000 },
	{ "{port: 0, ip: '0:0::0', negotiation_timeout: 7}", "::", false, true, true, 7000 },
	{ "{port: 1, ip: '2001:DB8:0::1'}", "2001:db8::1", false, true, true, 120000 },
	{ "{port: 5347, module: ejabberd_service, password: x}", "0.0.0.0", false, false, false,
		120000 },
	{ "{port: 5347, module: ejabberd_service, hosts: {a.example: {password: x}}, tls: true}",
		"0.0.0.0", true, false, false, 120000 },
	{ "{port: 1, ip: '::ffff:192.0.2.1'}", "::ffff:192.0.2.1", false, true, true, 120000 },
};

Test(listener_conf, what_follows_from_it)
{
	for (size_t i = 0; i < ARRAY_LEN(right); i++) {
		struct listen_conf l;
		struct arena a;
		char *text;

		arena_init(&a, NULL, 0);
		text = fill(right[i].yaml, &a, &l);
		cr_expect_str_eq(text, "", "%s", right[i].yaml);
		cr_expect_str_eq(l.ip, right[i].ip, "one form for equal addresses");
		cr_expect_eq(l.tls, right[i].tls, "%s", right[i].yaml);
		cr_expect_eq(l.starttls, right[i].starttls, "%s", right[i].yaml);
		cr_expect_eq(l.starttls_required, right[i].required, "%s", right[i].yaml);
		cr_expect_eq(l.negotiation_timeout_ms, right[i].timeout_ms, "%s", right[i].yaml);
		free(text);
		arena_fini(&a);
	}
}

static const struct {
	struct listen_conf a, b;
	bool clash;
} pairs[] = {
	{ { .port = 1, .ip = "127.0.0.1" }, { .port = 1, .ip = "127.0.0.1" }, true },
	{ { .port = 1, .ip = "127.0.0.1" }, { .port = 2, .ip = "127.0.0.1" }, false },
	{ { .port = 1, .ip = "127.0.0.1" }, { .port = 1, .ip = "127.0.0.2" }, false },
	{ { .port = 0, .ip = "127.0.0.1" }, { .port = 0, .ip = "127.0.0.1" }, false },
	{ { .port = 1, .ip = "127.0.0.1" }, { .port = 1, .ip = "0.0.0.0" }, true },
	{ { .port = 1, .ip = "127.0.0.1" }, { .port = 1, .ip = "::1" }, false },
	{ { .port = 1, .ip = "127.0.0.1" }, { .port = 1, .ip = "::" }, true },
	{ { .port = 1, .ip = "127.0.0.1" }, { .port = 1, .ip = "::", .v6_only = true }, false },
	{ { .port = 1, .ip = "0.0.0.0" }, { .port = 1, .ip = "::" }, true },
	{ { .port = 1, .ip = "0.0.0.0" }, { .port = 1, .ip = "::", .v6_only = true }, false },
	{ { .port = 1, .ip = "0.0.0.0" }, { .port = 1, .ip = "::1" }, false },
	{ { .port = 1, .ip = "::1" }, { .port = 1, .ip = "::" }, true },
	{ { .port = 1, .ip = "::1" }, { .port = 1, .ip = "::", .v6_only = true }, true },
};

Test(listener_conf, clashes)
{
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		cr_expect_eq(
			listen_conf_clash(&pairs[i].a, &pairs[i].b), pairs[i].clash, "row %zu", i);
		cr_expect_eq(listen_conf_clash(&pairs[i].b, &pairs[i].a), pairs[i].clash,
			"row %zu, the other way round", i);
	}
}
