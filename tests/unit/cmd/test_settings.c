/* tests/unit/cmd/test_settings.c - the settings file as a whole: what it makes, what it refuses. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/linnetd_manual.h"
#include "cmd/linnetd_settings.h"
#include "core/mem.h"
#include "modules/catalogue.h"
#include "router/host_conf.h"

/* ---- A folder with a settings file and a certificate; gone with the test. */

static char folder[] = "/tmp/linnet-settings-XXXXXX";

static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	cr_assert(f);
	fputs(text, f);
	fclose(f);
}

static void enter_folder(void)
{
	cr_assert(mkdtemp(folder));
	cr_assert_eq(chdir(folder), 0);
	write_file("cert.pem", "certificate\n");
	write_file("other.pem", "certificate\n");
}

static void leave_folder(void)
{
	unlink("cert.pem");
	unlink("other.pem");
	unlink("linnet.yml");
	cr_assert_eq(chdir("/"), 0);
	rmdir(folder);
}

TestSuite(settings, .init = enter_folder, .fini = leave_folder);

/* said: the errors, for the caller to free. */
static struct settings *load(const char *yaml, char **said)
{
	struct conf_errors *e = conf_errors_new();
	struct settings *s;

	write_file("linnet.yml", yaml);
	s = settings_load("linnet.yml", e);
	cr_expect_eq(!s, conf_errors_count(e) != 0);
	*said = conf_errors_text(e);
	conf_errors_free(e);
	return s;
}

static struct settings *load_good(const char *yaml)
{
	AUTO(free_ptr) char *said = NULL;
	struct settings *s = load(yaml, &said);

	cr_assert(s, "%s", said);
	cr_assert_str_empty(said);
	return s;
}

/* ---- Good files. */

Test(settings, smallest)
{
	struct settings *s = load_good("hosts: Example.ORG\n");
	const struct settings_host *h = settings_find_host(s, "example.org");

	cr_assert_eq(s->n_hosts, 1);
	cr_assert_eq(h, &s->hosts[0]);
	cr_expect_str_eq(h->name, "example.org");
	cr_expect_str_eq(h->conf->name, "example.org");
	cr_expect_null(h->modules);
	cr_expect_null(settings_find_host(s, "example.com"));
	cr_expect_null(settings_modules(s, "example.com"));
	cr_expect_eq(s->n_listen, 0);
	cr_expect_eq(s->server.acceptors, 1);
	cr_expect_eq(s->server.control_socket_mode, 0600);
	cr_expect_str_eq(s->database.path, "linnet.db");
	cr_expect_eq(h->conf->max_sessions, 10);
	cr_expect_eq(h->conf->resource_conflict, CONFLICT_CLOSE_OLD);
	cr_expect_not(h->conf->anonymous);
	cr_expect(access_has_rule(s->access, "all"));
	settings_free(s);
}

Test(settings, paths_start_at_the_file)
{
	struct conf_errors *e = conf_errors_new();
	AUTO(free_ptr) char *path = xprintf("%s/linnet.yml", folder);
	AUTO(free_ptr) char *log = xprintf("%s/x.log", folder);
	AUTO(free_ptr) char *db = xprintf("%s/linnet.db", folder);
	struct settings *s;

	write_file("linnet.yml", "hosts: a\nlog_file: x.log\npid_file: /run/x.pid\n");
	cr_assert_eq(chdir("/"), 0);
	s = settings_load(path, e);
	cr_assert_eq(chdir(folder), 0);
	cr_assert(s);
	cr_expect_str_eq(s->server.log_file, log);
	cr_expect_str_eq(s->server.pid_file, "/run/x.pid");
	cr_expect_str_eq(s->database.path, db, "a default that is relative, too");
	settings_free(s);
	conf_errors_free(e);
}

Test(settings, options_of_one_host)
{
	struct settings *s = load_good("hosts: [a.example, b.example, c.example]\n"
				       "certfiles: '*.pem'\n"
				       "max_user_sessions: 3\n"
				       "language: de\n"
				       "modules: {mod_ping: {}, mod_time: {}}\n"
				       "host_config:\n"
				       "  B.example:\n"
				       "    max_user_sessions: 7\n"
				       "    auth_method: [anonymous]\n"
				       "    certfile: other.pem\n"
				       "    modules: {mod_version: {}}\n"
				       "  c.example:\n"
				       "    disable_sasl_mechanisms: [plain, digest-md5]\n");
	const struct settings_host *a = settings_find_host(s, "a.example");
	const struct settings_host *b = settings_find_host(s, "b.example");
	const struct settings_host *c = settings_find_host(s, "c.example");
	struct host_conf *kept;

	cr_expect_eq(a->conf->max_sessions, 3);
	cr_expect_eq(b->conf->max_sessions, 7);
	cr_expect_str_eq(b->conf->language, "de");
	cr_expect_eq(a->conf->sasl_mechanisms & SASL_ANONYMOUS, 0);
	cr_expect(a->conf->sasl_mechanisms & SASL_PLAIN);
	cr_expect(b->conf->anonymous);
	cr_expect_eq(b->conf->sasl_mechanisms, SASL_ANONYMOUS);
	cr_expect_eq(c->conf->sasl_mechanisms & SASL_PLAIN, 0);
	cr_expect(c->conf->sasl_mechanisms & SASL_SCRAM_SHA_1);
	cr_expect(conf_node_get(settings_modules(s, "a.example"), "mod_time"));
	cr_expect_null(conf_node_get(b->modules, "mod_ping"), "replaced, not added to");
	cr_expect(conf_node_get(b->modules, "mod_version"));
	cr_assert_eq(s->n_tls_hosts, 1);
	cr_expect_str_eq(s->tls_hosts[0].host, "b.example");
	cr_expect_str_eq(s->tls_hosts[0].certfile, "other.pem");
	kept = settings_host_conf(b);
	settings_free(s);
	cr_expect_str_eq(kept->certfile, "other.pem", "a host's options outlive the file");
	cr_expect_str_eq(kept->language, "de");
	host_conf_drop(kept);
}

Test(settings, listeners)
{
	struct settings *s = load_good("hosts: a\ncertfiles: cert.pem\nnegotiation_timeout: 40\n"
				       "access_rules: {c2s: {allow: all}}\n"
				       "shaper: {slow: 1 KB}\n"
				       "listen:\n"
				       "- {port: 5222, ip: '0::0', access: c2s, shaper: slow}\n"
				       "- {port: 5223, module: c2s, tls: true, backlog: 7}\n"
				       "- {port: 5224, starttls: false, negotiation_timeout: 9}\n");
	const struct listen_conf *l = s->listen;

	cr_assert_eq(s->n_listen, 3);
	cr_expect_str_eq(l[0].ip, "::");
	cr_expect_str_eq(l[0].access, "c2s");
	cr_expect_str_eq(l[0].shaper, "slow");
	cr_expect(l[0].starttls && l[0].starttls_required && !l[0].tls);
	cr_expect_eq(l[0].negotiation_timeout_ms, 40000);
	cr_expect(l[1].tls && !l[1].starttls && !l[1].starttls_required);
	cr_expect_eq(l[1].backlog, 7);
	cr_expect_null(l[1].access);
	cr_expect(!l[2].starttls && !l[2].starttls_required && !l[2].tls);
	cr_expect_eq(l[2].negotiation_timeout_ms, 9000);
	settings_free(s);
}

Test(settings, access_is_given_away_once)
{
	struct settings *s = load_good("hosts: a\nacl: {admin: {user: root}}\n");
	struct access_rules *access = settings_take_access(s);

	cr_assert(access);
	cr_expect_null(settings_take_access(s));
	settings_free(s);
	access_free(access);
}

/* ---- Bad files. */

static const struct {
	const char *yaml, *said;
} bad[] = {
	{ "", "linnet.yml:1:1: the option \"hosts\" is missing\n" },
	{ "hosts: []", "linnet.yml:1:1: hosts: expected at least one domain, found none\n" },
	{ "hosts: [a, ~]", "linnet.yml:1:12: host: expected a domain name, found nothing\n" },
	{ "hosts: a\nlisten: [{port: 1}]",
		"linnet.yml:2:10: this port asks for TLS: expected certfiles or a certfile, found "
		"none\n" },
	{ "hosts: a\ncertfiles: cert.pem\nlisten: [{port: 1, tls: true, starttls: true}]",
		"linnet.yml:3:31: expected either tls or starttls, found both\n" },
	{ "hosts: a\nlisten: [{port: 1, starttls: no, starttls_required: yes}]",
		"linnet.yml:2:34: expected starttls to be on where it is required, found it "
		"off\n" },
	{ "hosts: a\nlisten: [{port: 1, starttls: no, ip: localhost}]",
		"linnet.yml:2:38: ip: expected an IPv4 or IPv6 address; 0.0.0.0 or :: for all, "
		"found \"localhost\"\n" },
	{ "hosts: a\nlisten: [{port: 1, starttls: no, module: ejabberd_s2s_in}]",
		"linnet.yml:2:20: ejabberd_s2s_in has no option \"starttls\": this is "
		"s2s_use_starttls at the top\n" },
	{ "hosts: a\nlisten: [{port: 1, starttls: no, shaper: fats}]\nshaper: {fast: 1}",
		"linnet.yml:2:42: expected a name of shaper or shaper_rules, found \"fats\", did "
		"you mean \"fast\"?\n" },
	{ "hosts: a\nlisten: 5222", "linnet.yml:2:9: listen: expected a list, found \"5222\"\n" },
	{ "hosts: a\ncertfiles: [cert.pem, 'x*.pem']",
		"linnet.yml:2:23: x*.pem: expected files of this pattern, found none\n" },
	{ "hosts: a\nhost_config: {a: {certfile: no.pem}}",
		"linnet.yml:2:29: no.pem: expected a file that can be read: No such file or "
		"directory\n" },
	{ "hosts: a\nhost_config: {a: {keyfile: cert.pem}}",
		"linnet.yml:1:8: a: there is a keyfile, but no certfile\n" },
	{ "hosts: [b, a]\nsasl_mechanisms: [ANONYMOUS]\nhost_config: {b: {auth_method: "
	  "anonymous}}",
		"linnet.yml:1:12: a: sasl_mechanisms leaves none that auth_method can use\n" },
	{ "hosts: a\nhost_config: {a: 1}", "linnet.yml:2:18: expected a map of options\n" },
	{ "hosts: a\nhost_config: [a]",
		"linnet.yml:2:14: host_config: expected a map of hosts with their options\n" },
	{ "hosts: a\nhost_config: {a: {language: de}, A: {language: fr}}",
		"linnet.yml:2:34: the host a has options twice, before this in line 2\n" },
	{ "hosts: a\nmodules: [mod_ping]",
		"linnet.yml:2:10: expected a map of modules with their options\n" },
	{ "hosts: a\nmodules: {mod_ping: {send_pingz: true}}",
		"linnet.yml:2:22: unknown option \"send_pingz\", did you mean \"send_pings\"?\n" },
	{ "hosts: [a, b]\nmodules: {mod_pingg: {}}\nhost_config: {b: {modules: {mod_tim: {}}}}",
		"linnet.yml:2:11: there is no module \"pingg\", did you mean \"ping\"?\n"
		"linnet.yml:3:29: there is no module \"tim\", did you mean \"time\"?\n" },
	{ "hosts: {", "linnet.yml:2:1: not YAML: did not find expected node content\n" },
};

Test(settings, mistakes_one_by_one)
{
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(free_ptr) char *said = NULL;
		struct settings *s = load(bad[i].yaml, &said);

		cr_expect_null(s, "%s", bad[i].yaml);
		cr_expect_str_eq(said, bad[i].said, "%s\n%s", bad[i].yaml, said);
		settings_free(s);
	}
}

/* The file that linnetd --check is tried on, too. */
Test(settings, twenty_mistakes)
{
	struct conf_errors *e = conf_errors_new();
	AUTO(free_ptr) char *said = NULL;
	char want[8192];
	size_t len;
	FILE *f;

	cr_assert_eq(chdir(LINNET_TESTS_SUPPORT), 0);
	cr_expect_null(settings_load("mistakes.yml", e));
	said = conf_errors_text(e);
	f = fopen("mistakes.txt", "r");
	cr_assert(f);
	len = fread(want, 1, sizeof(want) - 1, f);
	want[len] = 0;
	fclose(f);
	cr_expect_eq(conf_errors_count(e), 20);
	cr_expect_str_eq(said, want, "%s", said);
	conf_errors_free(e);
	cr_assert_eq(chdir(folder), 0);
}

Test(settings, no_file)
{
	struct conf_errors *e = conf_errors_new();
	AUTO(free_ptr) char *said = NULL;

	cr_expect_null(settings_load("absent.yml", e));
	said = conf_errors_text(e);
	cr_expect_str_eq(
		said, "absent.yml: the settings file cannot be read: No such file or directory\n");
	conf_errors_free(e);
}

/* ---- What is printed for people. */

static char *printed(void (*print)(FILE *out))
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	print(out);
	fclose(out);
	return text;
}

/* Takes the # off the lines that would be settings: those with no or an even number of spaces
 * behind it. */
static char *uncommented(const char *example)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	for (const char *line = example; *line; line += strcspn(line, "\n") + 1) {
		size_t spaces = strspn(line + 1, " ");

		if (*line != '#') {
			cr_expect_eq(*line, '\n', "a line that is no comment: %.40s", line);
			continue;
		}
		/* What names files that are not here. */
		if (!strncmp(line, "#certfile", 9))
			fputs("certfiles: cert.pem\n",
				strncmp(line, "#certfiles", 10) ? stderr : out);
		else if (spaces % 2 == 0)
			fprintf(out, "%.*s\n", (int)strcspn(line + 1, "\n"), line + 1);
	}
	fclose(out);
	return text;
}

static void put_line(const struct difference *d, void *out)
{
	AUTO(free_ptr) char *line = difference_line(d);

	fprintf(out, "%s\n", line);
}

static char *changes(const struct settings *before, const struct settings *after)
{
	struct settings *started = settings_waiting(before);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	settings_differences(started, before, after, put_line, out);
	fclose(out);
	settings_free(started);
	return text;
}

static void expect_module(const struct module *m, void *out)
{
	fprintf(out, "+ modules.mod_%s\n", m->name);
}

Test(settings, example_is_right_and_means_the_defaults)
{
	AUTO(free_ptr) char *example = printed(manual_example);
	AUTO(free_ptr) char *yaml = uncommented(example);
	struct settings *s = load_good(yaml);
	struct settings *defaults = load_good("hosts: example.org\ncertfiles: cert.pem\n"
					      "listen: [{port: 5222, ip: \"::\"}]\n");
	AUTO(free_ptr) char *differ = changes(defaults, s);
	AUTO(free_ptr) char *want = NULL;
	size_t len;
	FILE *out = open_memstream(&want, &len);

	/* Only what has no default, and is shown by an example; and every module is. */
	fputs("+ acl.admin: {user: admin@example.org}\n"
	      "+ acl.local: {user_regexp: \"\"}\n"
	      "+ acl.blocked: {user: [spammer], server_glob: \"*.bad.example\"}\n"
	      "+ acl.loopback: {ip: [127.0.0.0/8, \"::1\"]}\n"
	      "+ access_rules.c2s: [{deny: blocked}, {allow: local}]\n"
	      "+ access_rules.configure: {allow: admin}\n"
	      "+ shaper.normal: 3000\n"
	      "+ shaper.fast: {rate: 100000, burst_size: 200000}\n"
	      "+ shaper_rules.c2s_shaper: [{none: admin}, normal]\n"
	      "+ shaper_rules.max_user_offline_messages: [{5000: admin}, 100]\n"
	      "~ ca_file: null -> /etc/ssl/certs/ca-certificates.crt\n"
	      "~ disable_sasl_mechanisms: [] -> [PLAIN]\n"
	      "~ stream_management.location: null -> im3.example.org:5222\n"
	      "~ dns_servers: [] -> [127.0.0.1:53, \"[2001:db8::53]:5353\"]\n"
	      "~ outgoing_s2s_ipv4_address: null -> 192.0.2.1\n"
	      "~ outgoing_s2s_ipv6_address: null -> 2001:db8::1\n"
	      "~ s2s_places: {} -> {chat.example.org: [{host: 192.0.2.1, port: 5270, tls: true}]}\n"
	      "~ module_path: [] -> [/usr/lib/linnet/modules]\n",
		out);
	catalogue_each(expect_module, out);
	fputs("~ max_user_sessions (host example.org): 10 -> 3\n"
	      "+ modules.mod_ping (host example.org)\n",
		out);
	fclose(out);
	cr_expect_str_eq(differ, want, "%s", differ);
	settings_free(s);
	settings_free(defaults);
}

static void print_markdown(FILE *out)
{
	manual_reference(out, CONF_MARKDOWN);
}

static void print_roff(FILE *out)
{
	manual_reference(out, CONF_ROFF);
}

Test(settings, reference_names_every_option)
{
	AUTO(free_ptr) char *markdown = printed(print_markdown);
	AUTO(free_ptr) char *roff = printed(print_roff);

	cr_expect(strstr(markdown, "#### `listen[].starttls_required`\n"));
	cr_expect(strstr(markdown, "#### `database.synchronous`\n"));
	cr_expect(strstr(markdown, "default `closeold`"));
	cr_expect(strstr(roff, ".TP\n\\fBlisten[].starttls_required\\fR\n"));
	for (const char *line = roff; *line; line += strcspn(line, "\n") + 1)
		cr_expect(*line != '.' || strchr("TSRPnf", line[1]) || strchr("if", line[1]),
			"roff would take this for a request: %.40s", line);
}
