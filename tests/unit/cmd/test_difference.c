/* tests/unit/cmd/test_difference.c - what a reload says of two settings files, line by line. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/linnetd_settings.h"
#include "core/mem.h"

static char folder[] = "/tmp/linnet-difference-XXXXXX";

static void enter_folder(void)
{
	cr_assert(mkdtemp(folder));
	cr_assert_eq(chdir(folder), 0);
}

static void leave_folder(void)
{
	unlink("linnet.yml");
	cr_assert_eq(chdir("/"), 0);
	rmdir(folder);
}

TestSuite(difference, .init = enter_folder, .fini = leave_folder);

/* Of a file with what every row of the tables below has, and one row's lines. */
static struct settings *load(const char *common, const char *yaml)
{
	struct conf_errors *e = conf_errors_new();
	FILE *f = fopen("linnet.yml", "w");
	AUTO(free_ptr) char *said = NULL;
	struct settings *s;

	cr_assert(f);
	fprintf(f, "%s\n%s\n", common, yaml);
	fclose(f);
	s = settings_load("linnet.yml", e);
	said = conf_errors_text(e);
	cr_assert(s, "%s: %s", yaml, said);
	conf_errors_free(e);
	return s;
}

static void put_line(const struct difference *d, void *out)
{
	AUTO(free_ptr) char *line = difference_line(d);

	fprintf(out, "%s\n", line);
}

static char *lines_of(
	const struct settings *started, const struct settings *before, const struct settings *after)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	settings_differences(started, before, after, put_line, out);
	fclose(out);
	return text;
}

static const struct {
	const char *common, *before, *after, *want;
} rows[] = {
	{ "hosts: [a]", "loglevel: 4", "loglevel: info", "" },
	{ "hosts: [a]", "loglevel: info", "loglevel: debug", "~ loglevel: info -> debug\n" },
	{ "hosts: [a]", "", "log_file: x.log", "~ log_file: null -> x.log\n" },
	{ "hosts: [a]", "", "language: fr", "~ language: en -> fr\n" },
	{ "hosts: [a]", "", "certfile: null", "" },
	{ "hosts: [a]", "tls_min_version: '1.3'", "", "~ tls_min_version: 1.3 -> 1.2\n" },
	/* hosts, whatever their order */
	{ "", "hosts: [a, b]", "hosts: [b, a]", "" },
	{ "", "hosts: [a, b]", "hosts: [b, c]", "- host a\n+ host c\n" },
	{ "", "hosts: [a, b]\nhost_config: {a: {language: de}}", "hosts: [b]", "- host a\n" },
	/* what waits */
	{ "hosts: [a]", "shards: 2", "shards: 4",
		"! shards: 2 -> 4 takes effect after a restart\n" },
	{ "hosts: [a]", "", "database: x.db",
		"! database.path: linnet.db -> x.db takes effect after a restart\n" },
	/* listeners, by address and port and not by their place in the list */
	{ "hosts: [a]", "listen: [{starttls: no, port: 1}, {starttls: no, port: 2, ip: '::'}]",
		"listen: [{starttls: no, port: 2, ip: '::'}, {starttls: no, port: 3}]",
		"- listener 0.0.0.0:1\n+ listener 0.0.0.0:3\n" },
	{ "hosts: [a]", "listen: [{starttls: no, port: 1}, {starttls: no, port: 2}]",
		"listen: [{starttls: no, port: 2, max_connections: 5}, {starttls: no, port: 1}]",
		"~ listener 0.0.0.0:2 max_connections: 0 -> 5\n" },
	{ "hosts: [a]", "listen: [{starttls: no, port: 1, ip: '::'}]",
		"listen: [{starttls: no, port: 1, ip: '::', v6_only: yes}]",
		"~ listener [::]:1 v6_only: false -> true\n" },
	{ "hosts: [a]", "listen: [{starttls: no, port: 1}]",
		"listen: [{starttls: no, port: 1, ip: '::'}]",
		"- listener 0.0.0.0:1\n+ listener [::]:1\n" },
	{ "hosts: [a]", "listen: [{starttls: no, port: 0}, {starttls: no, port: 0}]",
		"listen: [{starttls: no, port: 0}]", "- listener 0.0.0.0:0\n" },
	/* rules, by name */
	{ "hosts: [a]", "acl: {x: {user: u}, y: {user: u}}",
		"acl: {z: {user: u}, x: {user: [v, w]}}",
		"~ acl.x: {user: u} -> {user: [v, w]}\n- acl.y\n+ acl.z: {user: u}\n" },
	{ "hosts: [a]", "", "shaper: {slow: 1000}\nshaper_rules: {s: [slow: all]}",
		"+ shaper.slow: 1000\n+ shaper_rules.s: [{slow: all}]\n" },
	{ "hosts: [a]", "access_rules: {r: {allow: all}}", "access_rules: {r: {deny: all}}",
		"~ access_rules.r: {allow: all} -> {deny: all}\n" },
	/* modules */
	{ "hosts: [a]", "modules: {mod_ping: {}, time: {}}", "modules: {version: {}, ping: {}}",
		"- modules.mod_time\n+ modules.mod_version\n" },
	{ "hosts: [a]", "modules: {mod_ping: {ping_interval: 60}}",
		"modules: {ping: {ping_interval: 2 min}}",
		"~ modules.mod_ping.ping_interval: 1 min -> 2 min\n" },
	{ "hosts: [a]", "modules: {mod_ping: {ping_interval: 60}}",
		"modules: {mod_ping: {ping_interval: 1 min}}", "" },
	{ "hosts: [a]", "modules: {mod_version: {}}",
		"modules: {mod_version: {iqdisc: {queues: 3}, max_queue: 7}}",
		"~ modules.mod_version.iqdisc: null -> {queues: 3}\n"
		"~ modules.mod_version.max_queue: 4096 -> 7\n" },
	{ "hosts: [a]", "modules: {mod_version: {iqdisc: parallel}}",
		"modules: {mod_version: {iqdisc: one_queue}}",
		"~ modules.mod_version.iqdisc: parallel -> one_queue\n" },
	{ "hosts: [a]", "modules: {mod_echo: {}}", "modules: {mod_echo: {host: e.x}}",
		"~ modules.mod_echo.host: \"echo.@HOST@\" -> e.x (starts the module anew)\n" },
	/* one host's own: what its options come to */
	{ "hosts: [a, b]", "", "host_config: {a: {language: fr}}",
		"~ language (host a): en -> fr\n" },
	{ "hosts: [a, b]\nhost_config: {a: {language: fr}}", "language: de", "language: nl",
		"~ language: de -> nl\n" },
	{ "hosts: [a, b]", "host_config: {a: {language: fr}}\nlanguage: de", "language: nl",
		"~ language: de -> nl\n~ language (host a): fr -> nl\n" },
	{ "hosts: [a, b]\nmodules: {mod_ping: {}}", "",
		"host_config: {b: {modules: {mod_ping: {send_pings: yes}, mod_time: {}}}}",
		"~ modules.mod_ping.send_pings (host b): false -> true\n"
		"+ modules.mod_time (host b)\n" },
	{ "hosts: [a, b]", "host_config: {b: {modules: {mod_ping: {}}}}", "",
		"- modules.mod_ping (host b)\n" },
	{ "hosts: [a, b]\nhost_config: {b: {modules: {mod_ping: {}}}}", "modules: {mod_ping: {}}",
		"modules: {}", "- modules.mod_ping\n" },
};

Test(difference, each_line)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct settings *before = load(rows[i].common, rows[i].before);
		struct settings *after = load(rows[i].common, rows[i].after);
		struct settings *started = settings_waiting(before);
		AUTO(free_ptr) char *lines = lines_of(started, before, after);
		AUTO(free_ptr) char *none = lines_of(started, before, before);

		cr_expect_str_eq(
			lines, rows[i].want, "%s to %s:\n%s", rows[i].before, rows[i].after, lines);
		cr_expect_str_empty(none);
		settings_free(started);
		settings_free(before);
		settings_free(after);
	}
}

/* A reload in between does not let what waits for a restart be forgotten, nor taking it back. */
Test(difference, what_waits_is_counted_from_the_start)
{
	struct settings *first = load("hosts: [a]", "shards: 2\nloglevel: info");
	struct settings *second = load("hosts: [a]", "shards: 4\nloglevel: debug");
	struct settings *started = settings_waiting(first);
	AUTO(free_ptr) char *still = NULL, *no_more = NULL;

	settings_free(first);
	still = lines_of(started, second, second);
	cr_expect_str_eq(still, "! shards: 2 -> 4 takes effect after a restart\n");
	first = load("hosts: [a]", "shards: 2\nloglevel: debug");
	no_more = lines_of(started, second, first);
	cr_expect_str_empty(no_more);
	settings_free(first);
	settings_free(second);
	settings_free(started);
}

static const struct {
	struct difference d;
	const char *want;
} worded[] = {
	{ { '~', "option", .name = "x.secret" }, "~ x.secret: changed" },
	{ { '!', "option", .name = "x.secret", .note = "takes effect after a restart" },
		"! x.secret: changed takes effect after a restart" },
	{ { '~', "certificate", .name = "a in a.pem", .before = "b", .after = "c" },
		"~ certificate a in a.pem: b -> c" },
	{ { '-', "module", .name = "modules.mod_x", .host = "a" }, "- modules.mod_x (host a)" },
	{ { '~', "option", .name = "x", .before = "b" }, "~ x: b -> null" },
};

Test(difference, in_words)
{
	for (size_t i = 0; i < ARRAY_LEN(worded); i++) {
		AUTO(free_ptr) char *line = difference_line(&worded[i].d);

		cr_expect_str_eq(line, worded[i].want);
	}
}

/* Errors that come up while a reload is under way stand where the file says what could not be. */
static const struct {
	const char *why, *want;
} certificates[] = {
	{ "./a.pem: no start line", "linnet.yml:2:13" },
	{ "./b.pem: no start line", "linnet.yml:2:22" },
	{ "./host.pem: no key", "linnet.yml:3:29" },
	{ "tls_ciphers, tls_ciphersuites, tls_groups: no", "linnet.yml:2:12" },
};

Test(difference, places)
{
	static const char common[] = "hosts: [a, b]\ncertfiles: [./a.pem, \"./b*.pem\"]\n"
				     "host_config: {b: {certfile: ./host.pem}}\n";
	struct settings *s;

	for (const char *const *f = (const char *const[]){ "a.pem", "b.pem", "host.pem", NULL }; *f;
		f++) {
		FILE *out = fopen(*f, "w");

		cr_assert(out);
		fputs("x\n", out);
		fclose(out);
	}
	s = load(common, "listen: [{port: 1, starttls: no}, {port: 2, starttls: no}]");
	for (size_t i = 0; i < ARRAY_LEN(certificates); i++) {
		const char *why = certificates[i].why;
		const struct conf_node *n = settings_certificate_node(s, why);
		struct conf_error at = conf_node_place(n);
		AUTO(free_ptr) char *place = xprintf("%s:%u:%u", at.file, at.line, at.column);

		cr_expect_str_eq(place, certificates[i].want, "%s: %s", why, place);
	}
	cr_expect_eq(conf_node_place(settings_listen_node(s, 1)).column, 35);
	cr_expect_null(settings_listen_node(s, 2));
	cr_expect_eq(conf_node_place(settings_host_node(s, "b")).column, 12);
	settings_free(s);
	unlink("a.pem");
	unlink("b.pem");
	unlink("host.pem");
}
