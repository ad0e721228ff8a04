/* tests/unit/router/test_access.c - ejabberd's acl, access_rules, shaper and shaper_rules: who
 * matches what, and what is said of mistakes. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "router/access.h"
#include "router/host.h"
#include "router/route.h"

/* ---- Rules from text, published while our hosts are a.example and b.example. */

static struct host *hosts[2];

static void begin(void)
{
	static const char *const names[] = { "a.example", "b.example" };

	rcu_thread_begin();
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		hosts[i] = host_new(names[i], host_conf_new());
		cr_assert_eq(route_register_host(hosts[i]), 0);
	}
}

static void end(void)
{
	access_publish(NULL);
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		route_unregister(hosts[i]->name);
		host_unref(hosts[i]);
	}
	rcu_wait_later();
	rcu_thread_end();
}

TestSuite(access, .init = begin, .fini = end);

/* NULL when there were errors; said is the caller's to free. The file is gone afterwards. */
static struct access_rules *compile(const char *yaml, char **said)
{
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("t.yml", yaml, strlen(yaml), e);
	struct access_rules *r = NULL;
	const struct conf_node *root;
	int bad;

	*said = conf_errors_text(e);
	cr_assert(f, "%s", *said);
	free(*said);
	root = conf_root(f);
	bad = access_compile(conf_node_get(root, "acl"), conf_node_get(root, "access_rules"),
		conf_node_get(root, "shaper"), conf_node_get(root, "shaper_rules"), e, &r);
	cr_expect_eq(bad, conf_errors_count(e) ? CONF_BAD : 0);
	*said = conf_errors_text(e);
	conf_errors_free(e);
	conf_file_free(f);
	if (bad) {
		access_free(r);
		r = NULL;
	}
	return r;
}

static void publish(const char *yaml)
{
	AUTO(free_ptr) char *said = NULL;
	struct access_rules *r = compile(yaml, &said);

	cr_assert(r, "%s\n%s", yaml, said);
	access_publish(r);
}

/* Somebody: "user@host/resource", an address, or both with a space between. */
struct somebody {
	struct arena arena;
	struct jid *jid;
	struct conf_prefix address;
	struct access_subject subject;
};

static void somebody(struct somebody *s, const char *text)
{
	static const struct conf_item address = { "address", CONF_ADDRESS };
	size_t len = strcspn(text, " ");
	const char *ip = text + len;

	if (!strchr(text, '@') && ((*text >= '0' && *text <= '9') || strchr(text, ':')))
		ip = text;
	*s = (struct somebody){ 0 };
	arena_init(&s->arena, NULL, 0);
	if (ip != text) {
		cr_assert_eq(jid_parse(text, len, &s->arena, &s->jid), 0, "%s", text);
		s->subject.jid = s->jid;
		ip += strspn(ip, " ");
	}
	if (*ip) {
		struct conf_errors *e = conf_errors_new();
		AUTO(free_ptr) char *yaml = xprintf("'%s'", ip);
		struct conf_file *f = conf_file_parse("ip", yaml, strlen(yaml), e);

		cr_assert_eq(conf_fill_value(&address, conf_root(f), &s->address, &s->arena, e), 0);
		conf_file_free(f);
		conf_errors_free(e);
		s->subject.address = &s->address;
	}
}

/* ---- acl. */

static const struct {
	const char *acl, *who;
	bool want;
} acl_rows[] = {
	{ "user: admin", "admin@a.example", true },
	{ "user: admin", "admin@b.example/x", true },
	{ "user: admin", "admin@elsewhere.example", false },
	{ "user: admin", "other@a.example", false },
	{ "user: ADMIN", "admin@a.example", true },
	{ "user: admin@elsewhere.example", "admin@elsewhere.example", true },
	{ "user: admin@Elsewhere.Example", "admin@elsewhere.example/r", true },
	{ "user: admin@elsewhere.example", "admin@a.example", false },
	{ "user: [x, admin@a.example]", "admin@a.example", true },
	{ "user: [x, admin@a.example]", "x@b.example", true },
	{ "user: [x, admin@a.example]", "admin@b.example", false },
	{ "user: {admin: a.example, root: b.example}", "root@b.example", true },
	{ "user: {admin: a.example, root: b.example}", "root@a.example", false },
	{ "user: [{admin: a.example}, {root: b.example}]", "root@b.example", true },
	{ "user: admin", "127.0.0.1", false },
	{ "server: a.example", "x@a.example", true },
	{ "server: a.example", "x@b.example", false },
	{ "server: [a.example, c.example]", "x@c.example", true },
	{ "server_glob: '*.example'", "x@deep.c.example", true },
	{ "server_glob: '*.example'", "x@example", false },
	{ "server_regexp: '^(a|b)\\.example$'", "x@b.example", true },
	{ "server_regexp: '^(a|b)\\.example$'", "x@c.example", false },
	{ "resource: Home", "x@a.example/Home", true },
	{ "resource: Home", "x@a.example/home", false },
	{ "resource: Home", "x@a.example", false },
	{ "resource_glob: 'bot-*'", "x@a.example/bot-7", true },
	{ "resource_regexp: '[0-9]$'", "x@a.example/bot-7", true },
	{ "resource_regexp: '[0-9]$'", "x@a.example/bot", false },
	{ "user_glob: 'a*'", "anna@b.example", true },
	{ "user_glob: 'a*'", "anna@c.example", false },
	{ "user_glob: 'a*@c.example'", "anna@c.example", true },
	{ "user_glob: {'a*': c.example}", "anna@c.example", true },
	{ "user_glob: {'a*': c.example}", "anna@a.example", false },
	{ "user_regexp: ''", "anybody@a.example", true },
	{ "user_regexp: ''", "anybody@c.example", false },
	{ "user_regexp: '^t[0-9]+$'", "t12@a.example", true },
	{ "user_regexp: '^t[0-9]+$@c.example'", "t12@c.example", true },
	{ "user_regexp: '^t[0-9]+$'", "tx@a.example", false },
	{ "user_regexp: ''", "a.example", false },
	{ "node_glob: 'a*@*.example'", "anna@c.example", true },
	{ "node_glob: 'a*@*.example'", "anna@c.org", false },
	{ "node_glob: {'a*': '*.org'}", "anna@c.org", true },
	{ "node_regexp: '^a@^c'", "anna@c.example", true },
	{ "node_regexp: '^a@^c'", "anna@d.example", false },
	{ "ip: 127.0.0.0/8", "127.1.2.3", true },
	{ "ip: 127.0.0.0/8", "128.0.0.1", false },
	{ "ip: 10.0.0.0/9", "10.127.255.255", true },
	{ "ip: 10.0.0.0/9", "10.128.0.0", false },
	{ "ip: 10.1.2.3", "10.1.2.3", true },
	{ "ip: 10.1.2.3", "10.1.2.4", false },
	{ "ip: 0.0.0.0/0", "10.1.2.3", true },
	{ "ip: 0.0.0.0/0", "::1", false },
	{ "ip: ['::1/128', 'fd00::/8']", "fd12::1", true },
	{ "ip: ['::1/128', 'fd00::/8']", "fe80::1", false },
	{ "ip: '::/0'", "10.1.2.3", true },
	{ "ip: '::ffff:10.0.0.0/104'", "10.1.2.3", true },
	{ "ip: 127.0.0.1", "x@a.example", false },
	{ "{ip: 127.0.0.1, user: admin}", "admin@a.example 10.0.0.1", true },
	{ "{ip: 127.0.0.1, user: admin}", "x@a.example 127.0.0.1", true },
	{ "{ip: 127.0.0.1, user: admin}", "x@a.example 10.0.0.1", false },
	{ "[{ip: 127.0.0.1}, {user: admin}]", "admin@a.example", true },
	{ "all", "x@anywhere.example", true },
	{ "none", "x@a.example", false },
	{ "{}", "x@a.example", false },
	{ "", "x@a.example", false },
};

Test(access, acls)
{
	for (size_t i = 0; i < ARRAY_LEN(acl_rows); i++) {
		const char *acl = acl_rows[i].acl;
		bool block = !strchr(acl, ':') || strchr("{[", *acl); /* or one condition */
		AUTO(free_ptr) char *yaml = xprintf(block ? "acl: {t: %s}" : "acl: {t: {%s}}", acl);
		struct somebody s;

		publish(yaml);
		somebody(&s, acl_rows[i].who);
		cr_expect_eq(acl_matches("t", "a.example", &s.subject), acl_rows[i].want,
			"%s on %s", acl, acl_rows[i].who);
		arena_fini(&s.arena);
		rcu_quiescent();
	}
}

Test(access, acls_that_exist_always)
{
	struct somebody s;

	somebody(&s, "x@a.example");
	cr_expect(acl_matches("all", "a.example", &s.subject), "before anything is published");
	cr_expect_not(acl_matches("none", "a.example", &s.subject));
	publish("acl: {}");
	cr_expect(acl_matches("all", "a.example", &s.subject));
	cr_expect_not(acl_matches("none", "a.example", &s.subject));
	cr_expect_not(acl_matches("unheard_of", "a.example", &s.subject));
	arena_fini(&s.arena);
}

/* ---- access_rules. */

static const char rules[] = "acl:\n"
			    "  admin: {user: admin@a.example}\n"
			    "  blocked: {user: spammer}\n"
			    "  near: {ip: [127.0.0.0/8, '::1']}\n"
			    "  ours: {user_regexp: ''}\n"
			    "access_rules:\n"
			    "  everybody: allow\n"
			    "  nobody: deny\n"
			    "  plain: {allow: admin}\n"
			    "  ordered: [{deny: blocked}, {allow: ours}]\n"
			    "  map: {deny: blocked, allow: ours}\n"
			    "  turned: [{allow: ours}, {deny: blocked}]\n"
			    "  rest: [{deny: blocked}, allow]\n"
			    "  both: [{allow: [admin, near]}]\n"
			    "  both_map: [{allow: {acl: admin, ip: 127.0.0.0/8}}]\n"
			    "  in_place: [{allow: [{user: guest}, {acl: near}]}]\n"
			    "  several: [{allow: {user: [guest, visitor]}}]\n"
			    "  empty: []\n";

static const struct {
	const char *rule, *who;
	bool want;
} rule_rows[] = {
	{ "all", "x@anywhere.example", true },
	{ "none", "admin@a.example", false },
	{ "everybody", "x@anywhere.example", true },
	{ "nobody", "admin@a.example", false },
	{ "plain", "admin@a.example/r", true },
	{ "plain", "x@a.example", false },
	{ "ordered", "x@a.example", true },
	{ "ordered", "spammer@a.example", false },
	{ "ordered", "x@c.example", false },
	{ "map", "x@a.example", true },
	{ "map", "spammer@a.example", false },
	{ "turned", "spammer@a.example", true },
	{ "rest", "x@c.example", true },
	{ "rest", "spammer@b.example", false },
	{ "both", "admin@a.example 127.0.0.1", true },
	{ "both", "admin@a.example 10.0.0.1", false },
	{ "both", "admin@a.example", false },
	{ "both", "x@a.example 127.0.0.1", false },
	{ "both_map", "admin@a.example 127.0.0.9", true },
	{ "both_map", "admin@a.example 10.0.0.1", false },
	{ "in_place", "guest@b.example ::1", true },
	{ "in_place", "guest@b.example ::2", false },
	{ "several", "visitor@a.example", true },
	{ "several", "other@a.example", false },
	{ "empty", "admin@a.example", false },
	{ "unheard_of", "admin@a.example", false },
};

Test(access, rules)
{
	publish(rules);
	for (size_t i = 0; i < ARRAY_LEN(rule_rows); i++) {
		struct somebody s;

		somebody(&s, rule_rows[i].who);
		cr_expect_eq(access_allowed(rule_rows[i].rule, "a.example", &s.subject),
			rule_rows[i].want, "%s for %s", rule_rows[i].rule, rule_rows[i].who);
		arena_fini(&s.arena);
	}
}

Test(access, nothing_published)
{
	struct somebody s;

	somebody(&s, "x@a.example");
	cr_expect(access_allowed("all", "a.example", &s.subject));
	cr_expect_not(access_allowed("none", "a.example", &s.subject));
	cr_expect_not(access_allowed("c2s", "a.example", &s.subject));
	cr_expect_eq(shaper_rate_for("c2s", "a.example", &s.subject).bytes_per_s, 0);
	cr_expect_eq(access_number_for("max", "a.example", &s.subject, 5), 5);
	arena_fini(&s.arena);
}

Test(access, a_reload_replaces)
{
	struct somebody s;

	somebody(&s, "x@a.example");
	publish("access_rules: {c2s: allow}");
	cr_expect(access_allowed("c2s", "a.example", &s.subject));
	publish("access_rules: {c2s: deny}");
	cr_expect_not(access_allowed("c2s", "a.example", &s.subject));
	arena_fini(&s.arena);
}

/* ---- shaper, shaper_rules. */

static const char shapers[] = "acl:\n"
			      "  admin: {user: admin}\n"
			      "  slow: {user: slow}\n"
			      "shaper:\n"
			      "  normal: 3000\n"
			      "  fast: {rate: 100 KB, burst_size: 1 MB}\n"
			      "  plain: {rate: 500}\n"
			      "  free: infinity\n"
			      "shaper_rules:\n"
			      "  c2s: [{none: admin}, {normal: slow}, fast]\n"
			      "  map: {plain: slow, free: all}\n"
			      "  some: [{normal: slow}]\n"
			      "  number: [{700: slow}, infinity]\n"
			      "  max_sessions: {5000: admin, 10: all}\n"
			      "  max_some: {7: slow}\n"
			      "  max_rooms: 12\n"
			      "  max_free: infinity\n";

static const struct {
	const char *name, *who;
	int64_t rate, burst;
} rate_rows[] = {
	{ "c2s", "admin@a.example", 0, 0 },
	{ "c2s", "slow@a.example", 3000, 3000 },
	{ "c2s", "x@a.example", 102400, 1048576 },
	{ "map", "slow@a.example", 500, 500 },
	{ "map", "x@a.example", 0, 0 },
	{ "some", "x@a.example", 0, 0 },
	{ "number", "slow@a.example", 700, 700 },
	{ "number", "x@a.example", 0, 0 },
	{ "normal", "x@a.example", 3000, 3000 },
	{ "fast", "x@a.example", 102400, 1048576 },
	{ "free", "x@a.example", 0, 0 },
	{ "none", "x@a.example", 0, 0 },
	{ "unheard_of", "x@a.example", 0, 0 },
};

Test(access, rates)
{
	publish(shapers);
	for (size_t i = 0; i < ARRAY_LEN(rate_rows); i++) {
		struct shaper_rate rate;
		struct somebody s;

		somebody(&s, rate_rows[i].who);
		rate = shaper_rate_for(rate_rows[i].name, "a.example", &s.subject);
		cr_expect_eq(rate.bytes_per_s, rate_rows[i].rate, "%s for %s", rate_rows[i].name,
			rate_rows[i].who);
		cr_expect_eq(rate.burst_bytes, rate_rows[i].burst, "%s for %s", rate_rows[i].name,
			rate_rows[i].who);
		arena_fini(&s.arena);
	}
}

static const struct {
	const char *name, *who;
	int64_t want;
} number_rows[] = {
	{ "max_sessions", "admin@a.example", 5000 },
	{ "max_sessions", "x@a.example", 10 },
	{ "max_some", "slow@a.example", 7 },
	{ "max_some", "x@a.example", -1 },
	{ "max_rooms", "x@a.example", 12 },
	{ "max_free", "x@a.example", INT64_MAX },
	{ "c2s", "slow@a.example", -1 },
	{ "unheard_of", "x@a.example", -1 },
};

Test(access, numbers)
{
	publish(shapers);
	for (size_t i = 0; i < ARRAY_LEN(number_rows); i++) {
		struct somebody s;

		somebody(&s, number_rows[i].who);
		cr_expect_eq(access_number_for(number_rows[i].name, "a.example", &s.subject, -1),
			number_rows[i].want, "%s for %s", number_rows[i].name, number_rows[i].who);
		arena_fini(&s.arena);
	}
}

/* ---- Mistakes. */

static const struct {
	const char *yaml, *said;
} mistakes[] = {
	{ "acl: 5", "t.yml:1:6: acl: expected a map of names\n" },
	{ "acl: {all: {user: x}}",
		"t.yml:1:7: expected another name: \"all\" has its meaning already\n" },
	{ "acl: {a: x}", "t.yml:1:10: a: expected a map of conditions, found \"x\"\n" },
	{ "acl: {a: [x]}", "t.yml:1:11: expected a condition, such as user: admin\n" },
	{ "acl: {a: [[x]]}", "t.yml:1:11: expected a condition, such as user: admin\n" },
	{ "acl: {a: {users: x}}",
		"t.yml:1:11: expected a condition such as user, server, resource, user_regexp, "
		"user_glob or ip, found \"users\", did you mean \"user\"?\n" },
	{ "acl: {a: {user: }}", "t.yml:1:11: user: expected a value, found nothing\n" },
	{ "acl: {a: {user: [[x]]}}",
		"t.yml:1:18: user: expected a value, found a list in a list\n" },
	{ "acl: {a: {user: 'a b'}}",
		"t.yml:1:17: expected the name of an account, found \"a b\"\n" },
	{ "acl: {a: {user: 'a@b c'}}", "t.yml:1:17: expected a domain, found \"b c\"\n" },
	{ "acl: {a: {user: {a: [b]}}}", "t.yml:1:21: user: expected a domain\n" },
	{ "acl: {a: {server: {b: c}}}",
		"t.yml:1:19: server: expected a value or a list, found a map\n" },
	{ "acl: {a: {user_regexp: '('}}",
		"t.yml:1:24: a regular expression: expected a ) to the (\n" },
	{ "acl: {a: {user_glob: '[a'}}", "t.yml:1:22: a glob: expected a ] to the [\n" },
	{ "acl: {a: {node_glob: 'x'}}",
		"t.yml:1:22: expected USER_PATTERN@SERVER_PATTERN, found \"x\"\n" },
	{ "acl: {a: {ip: 10.0.0.0/40}}",
		"t.yml:1:15: ip: expected an IPv4 or IPv6 address, or a network such as 10.0.0.0/8 "
		"or fd00::/8, found \"10.0.0.0/40\"\n" },
	{ "access_rules: [x]", "t.yml:1:15: access_rules: expected a map of names\n" },
	{ "access_rules: {r: all}", "t.yml:1:19: expected allow or deny, found \"all\"\n" },
	{ "access_rules: {r: {alow: all}}",
		"t.yml:1:20: expected allow or deny, found \"alow\", did you mean \"allow\"?\n" },
	{ "access_rules: {r: }",
		"t.yml:1:16: expected a rule, such as allow: all, found nothing\n" },
	{ "access_rules: {r: [[x]]}",
		"t.yml:1:20: expected a rule, such as allow: all, found a list in a list\n" },
	{ "access_rules: {r: {allow: }}", "t.yml:1:20: expected the name of an acl\n" },
	{ "access_rules: {r: {allow: []}}",
		"t.yml:1:20: allow: expected whom it is for, found nothing\n" },
	{ "acl: {admin: {user: x}}\naccess_rules: {r: {allow: admn}}",
		"t.yml:2:27: expected the name of an acl, found \"admn\", did you mean "
		"\"admin\"?\n" },
	{ "access_rules: {r: {allow: {acl: nobody}}}",
		"t.yml:1:33: expected the name of an acl, found \"nobody\"; one of nobody stands "
		"under "
		"acl as nobody: none\n" },
	{ "access_rules: {r: {allow: {port: 1}}}",
		"t.yml:1:28: expected a condition such as user, server, resource, user_regexp, "
		"user_glob or ip, found \"port\"\n" },
	{ "shaper: {none: 5}",
		"t.yml:1:10: expected another name: \"none\" has its meaning already\n" },
	{ "shaper: {s: 0}",
		"t.yml:1:13: rate: expected a size of at least 1, such as 65536, 64 KB or 1 MB, or "
		"infinity, found \"0\"\n" },
	{ "shaper: {s: {burst: 1}}",
		"t.yml:1:13: the option \"rate\" is missing\n"
		"t.yml:1:14: unknown option \"burst\", expected one of rate, burst_size\n" },
	{ "shaper: {fast: 5}\nshaper_rules: {r: fats}",
		"t.yml:2:19: expected a number from 1, infinity or the name of a shaper, found "
		"\"fats\", did you mean \"fast\"?\n" },
	{ "shaper_rules: {r: {0: all}}",
		"t.yml:1:20: expected a number from 1, infinity or the name of a shaper, found "
		"\"0\"\n" },
};

Test(access, mistakes)
{
	for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
		AUTO(free_ptr) char *said = NULL;

		cr_expect_null(compile(mistakes[i].yaml, &said), "%s", mistakes[i].yaml);
		cr_expect_str_eq(said, mistakes[i].said, "%s\n%s", mistakes[i].yaml, said);
	}
}

/* Names in other settings are checked when all of them are known. */
struct naming {
	const char *access, *shaper;
};
static const struct conf_item naming_rows[] = {
	{ "access", CONF_ACCESS, FIELD(struct naming, access, const char *), .preset = "all" },
	{ "shaper", CONF_SHAPER, FIELD(struct naming, shaper, const char *) },
	{ 0 },
};

static const struct {
	const char *yaml, *said;
} names[] = {
	{ "", "" },
	{ "access: all", "" },
	{ "access: none", "" },
	{ "access: c2s", "" },
	{ "shaper: none", "" },
	{ "shaper: normal", "" },
	{ "shaper: c2s_shaper", "" },
	{ "access: c2z",
		"n.yml:1:9: expected a name of access_rules, found \"c2z\", did you mean "
		"\"c2s\"?\n" },
	{ "access: normal", "n.yml:1:9: expected a name of access_rules, found \"normal\"\n" },
	{ "shaper: c2s_shapr",
		"n.yml:1:9: expected a name of shaper or shaper_rules, found \"c2s_shapr\", did "
		"you "
		"mean \"c2s_shaper\"?\n" },
};

Test(access, names_in_other_settings)
{
	AUTO(free_ptr) char *wrong = NULL;
	struct access_rules *r = compile("access_rules: {c2s: allow}\nshaper: {normal: 1}\n"
					 "shaper_rules: {c2s_shaper: normal}",
		&wrong);

	cr_assert(r, "%s", wrong);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct conf_errors *e = conf_errors_new();
		const char *yaml = names[i].yaml;
		struct conf_file *f = conf_file_parse("n.yml", yaml, strlen(yaml), e);
		AUTO(free_ptr) char *said = NULL;
		struct naming naming;
		struct arena a;

		arena_init(&a, NULL, 0);
		cr_assert_eq(conf_fill(naming_rows, conf_root(f), &naming, &a, e), 0);
		arena_fini(&a); /* as a module's options go after a check */
		access_check_names(r, e);
		access_check_names(r, e); /* forgotten: said once */
		said = conf_errors_text(e);
		cr_expect_str_eq(said, names[i].said, "%s\n%s", yaml, said);
		conf_errors_free(e);
		conf_file_free(f);
	}
	access_free(r);
}
