/* tests/unit/modules/test_registry.c - settings of modules, and starting, changing and stopping
 * them on a host: all or nothing. */
#include <errno.h>

#include "router/idle.h"
#include "tests/support/hosting.h"

static const struct {
	const char *yaml, *error;
} wrong[] = {
	{ "mod_pong: {}", "test.yml:1:1: there is no module \"pong\", did you mean \"ping\"?" },
	{ "mod_pingpongpang: {}", "there is no module \"pingpongpang\"" },
	{ "../../tmp/evil: {}", "there is no module \"../../tmp/evil\"" },
	{ "mod_ping: {}\nping: {}", "test.yml:2:1: the module ping stands here twice" },
	{ "mod_ping: {send_ping: true}", "did you mean \"send_pings\"?" },
	{ "mod_ping: {timeout_action: kil}", "timeout_action" },
	{ "mod_ping: {ping_interval: 2 parsecs}", "ping_interval" },
	{ "mod_version: {iqdisc: one_qeue}", "did you mean \"one_queue\"?" },
	{ "mod_version: {iqdisc: {queues: 0}}", "queues" },
	{ "mod_version: {iqdisc: {queues: 100000}}", "queues" },
	{ "mod_version: {iqdisc: {lanes: 4}}",
		"iqdisc: expected no_queue, one_queue, parallel or {queues: N}" },
	{ "mod_version: {max_queue: 0}", "max_queue" },
	{ "mod_register: {iqdisc: no_queue}", "cannot be no_queue" },
	{ "mod_mam: {iqdisc: parallel}", "so it is no_queue" },
	{ "mod_blocking: {iqdisc: {queues: 4}}", "so it is no_queue" },
	{ "mod_echo: {iqdisc: no_queue}", "iqdisc" }, /* it has no requests to answer */
	{ "[mod_ping]", "expected a map of modules" },
};

Test(registry, wrong_settings_are_told_with_their_place)
{
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct settings_text t = settings_text(wrong[i].yaml);
		char *text;

		cr_expect_eq(registry_check("localhost", t.root, t.errors), CONF_BAD, "%s",
			wrong[i].yaml);
		cr_expect_eq(conf_errors_count(t.errors), 1, "%s", wrong[i].yaml);
		text = conf_errors_text(t.errors);
		cr_expect(strstr(text, wrong[i].error), "%s: %s", wrong[i].yaml, text);
		free(text);
		settings_text_end(&t);
	}
}

static const char *const right[] = {
	"",
	"{}",
	"mod_ping:",
	"mod_ping: {}\nversion: {show_os: true, iqdisc: parallel, max_queue: 17}",
	"mod_version: {iqdisc: {queues: 8}}",
	"mod_register: {iqdisc: one_queue}",
	"mod_mam: {iqdisc: no_queue}",
};

Test(registry, right_settings)
{
	for (size_t i = 0; i < ARRAY_LEN(right); i++) {
		struct settings_text t = settings_text(right[i]);

		cr_expect_eq(registry_check("localhost", t.root, t.errors), 0, "%s", right[i]);
		settings_text_end(&t);
	}
}

static void join_name(struct module_instance *mi, void *arg)
{
	strcat(arg, mi->module->name);
	strcat(arg, " ");
}

static const char *names(struct host *h, char text[256])
{
	text[0] = '\0';
	registry_each(h, join_name, text);
	return text;
}

Test(registry, what_a_started_module_offers_is_withdrawn_with_it)
{
	struct host *h = hosting_begin("localhost");
	char text[256];

	cr_assert_eq(start_modules(h, "mod_echo: {}\nmod_ping: {}\nmod_version: {}"), 0);
	cr_expect_str_eq(names(h, text), "echo ping version ", "in the order of the settings");
	cr_expect(registry_find(h, "mod_ping") && registry_find(h, "ping"));
	cr_expect_not(registry_find(h, "disco"));
	cr_expect(iq_registered(h, IQ_LOCAL, NS_PING));
	cr_expect(iq_registered(h, IQ_SM, NS_PING));
	cr_expect_not(hook_empty(h->hooks, &session_idle_hook));
	cr_expect(route_has("echo.localhost"));

	registry_stop_host(h);
	cr_expect_str_eq(names(h, text), "");
	cr_expect_not(iq_registered(h, IQ_LOCAL, NS_PING));
	cr_expect_not(iq_registered(h, IQ_SM, NS_PING));
	cr_expect(hook_empty(h->hooks, &session_idle_hook));
	cr_expect_not(route_has("echo.localhost"));
	hosting_end(h);
}

Test(registry, one_that_does_not_start_takes_all_back)
{
	struct host *h = hosting_begin("localhost");
	struct settings_text t = settings_text("mod_ping: {}\nmod_echo: {host: localhost}");
	char text[256], *errors;

	cr_expect_eq(registry_start_host(h, t.root, t.errors), -EADDRINUSE);
	errors = conf_errors_text(t.errors);
	cr_expect(strstr(errors, "test.yml:2:1: echo did not start on localhost"), "%s", errors);
	free(errors);
	cr_expect_str_eq(names(h, text), "");
	cr_expect_not(iq_registered(h, IQ_LOCAL, NS_PING));
	settings_text_end(&t);
	hosting_end(h);
}

static void find_disc(const struct iq_row *row UNUSED, const struct iqdisc *disc, void *arg)
{
	*(struct iqdisc *)arg = *disc;
}

static const char *disc_of(struct host *h, const char *name, char text[IQDISC_TEXT_MAX])
{
	struct iqdisc disc;

	registry_iq_each(registry_find(h, name), find_disc, &disc);
	return iqdisc_text(&disc, text);
}

struct version_conf {
	bool show_os;
};

Test(registry, a_reload_hands_options_over)
{
	struct host *h = hosting_begin("localhost");
	struct module_instance *mi;
	const struct version_conf *old;
	char text[IQDISC_TEXT_MAX];

	cr_assert_eq(start_modules(h, "mod_version: {}"), 0);
	mi = registry_find(h, "version");
	cr_expect_str_eq(disc_of(h, "version", text), "no_queue", "the row's own");
	old = module_conf_hold(mi);
	cr_expect_not(old->show_os);

	cr_assert_eq(reload_modules(h, "mod_version: {show_os: true, iqdisc: {queues: 3}}"), 0);
	cr_expect_eq(registry_find(h, "version"), mi, "the same instance goes on");
	cr_expect(((const struct version_conf *)module_conf(mi))->show_os);
	cr_expect_not(old->show_os, "whole while somebody holds it");
	cr_expect_str_eq(disc_of(h, "version", text), "{queues: 3}");
	cr_expect(iq_registered(h, IQ_LOCAL, NS_VERSION));
	module_conf_drop(old);

	cr_assert_eq(reload_modules(h, "mod_version: {}"), 0);
	cr_expect_str_eq(disc_of(h, "version", text), "no_queue");
	hosting_end(h);
}

Test(registry, a_reload_starts_stops_and_restarts)
{
	struct host *h = hosting_begin("localhost");
	char text[256];

	cr_assert_eq(start_modules(h, "mod_echo: {}\nmod_ping: {}"), 0);
	cr_assert_eq(reload_modules(h, "mod_version: {}\nmod_echo: {host: mirror.@HOST@}"), 0);
	cr_expect_str_eq(names(h, text), "echo version ");
	cr_expect_not(iq_registered(h, IQ_LOCAL, NS_PING));
	cr_expect(iq_registered(h, IQ_LOCAL, NS_VERSION));
	cr_expect(route_has("mirror.localhost"), "host needs a restart of the module: it got one");
	cr_expect_not(route_has("echo.localhost"));
	hosting_end(h);
}

static const char *const bad_reloads[] = {
	/* found while reading */
	"mod_version: {}\nmod_echo: {host: mirror.@HOST@}\nmod_nothing: {}",
	"mod_version: {}\nmod_echo: {host: mirror.@HOST@, hots: x}",
	/* found while starting, after others have started or restarted */
	"mod_version: {}\nmod_echo: {host: localhost}",
	"mod_echo: {host: mirror.@HOST@}\nmod_version: {}\nmod_cputime: {}\nmod_late: {}",
};

Test(registry, a_failed_reload_changes_nothing)
{
	struct host *h = hosting_begin("localhost");
	char text[256];

	cr_assert_eq(start_modules(h, "mod_echo: {}\nmod_ping: {}"), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad_reloads); i++) {
		cr_expect_neq(reload_modules(h, bad_reloads[i]), 0, "%s", bad_reloads[i]);
		cr_expect_str_eq(names(h, text), "echo ping ", "%s", bad_reloads[i]);
		cr_expect(iq_registered(h, IQ_LOCAL, NS_PING), "%s", bad_reloads[i]);
		cr_expect_not(iq_registered(h, IQ_LOCAL, NS_VERSION), "%s", bad_reloads[i]);
		cr_expect(route_has("echo.localhost"), "%s", bad_reloads[i]);
		cr_expect_not(route_has("mirror.localhost"), "%s", bad_reloads[i]);
	}
	hosting_end(h);
}

/* What two hosts run by now, and whose domain is where. */
static void expect_as_before(struct host *a, struct host *b, const struct module_instance *echo)
{
	char text[256];

	cr_expect_str_eq(names(a, text), "echo ping ");
	cr_expect_str_eq(names(b, text), "version ");
	cr_expect_eq(registry_find(a, "echo"), echo, "the same instance");
	cr_expect(route_has("echo.a.example"));
	cr_expect_not(route_has("echo.b.example"));
	cr_expect(iq_registered(a, IQ_LOCAL, NS_PING));
	cr_expect_not(iq_registered(b, IQ_LOCAL, NS_PING));
}

static const struct {
	const char *a, *b, *error; /* error NULL: all is well, and abandoned all the same */
} changes[] = {
	{ "mod_version: {}", "mod_ping: {}\nmod_echo: {}", NULL },
	{ "mod_echo: {host: b.example}", "mod_ping: {}", "echo did not start on a.example" },
	{ "mod_version: {}", "mod_echo: {host: a.example}", "echo did not start on b.example" },
	{ "mod_echo: {host: x.example}", "mod_echo: {host: x.example}",
		"echo did not start on b.example" },
	{ "mod_version: {}\nmod_echo: {}", "mod_echo: {host: echo.a.example}",
		"echo did not start on b.example" },
};

Test(registry, a_change_of_two_hosts_is_one)
{
	struct host *a = hosting_begin("a.example"), *b = host_new("b.example", host_conf_new());
	struct module_instance *echo;

	cr_assert_eq(route_register_host(b), 0);
	cr_assert_eq(start_modules(a, "mod_echo: {}\nmod_ping: {}"), 0);
	cr_assert_eq(start_modules(b, "mod_version: {}"), 0);
	echo = registry_find(a, "echo");
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct settings_text of_a = settings_text(changes[i].a);
		struct settings_text of_b = settings_text(changes[i].b);
		struct registry_change *c = registry_change_begin();
		AUTO(free_ptr) char *said = NULL;
		int result;

		cr_assert_eq(registry_change_host(c, a, NULL, of_a.root, of_a.errors), 0);
		cr_assert_eq(registry_change_host(c, b, NULL, of_b.root, of_a.errors), 0);
		result = registry_change_prepare(c, of_a.errors);
		cr_expect_eq(result < 0, changes[i].error != NULL, "%zu", i);
		said = conf_errors_text(of_a.errors);
		cr_expect(!changes[i].error || strstr(said, changes[i].error), "%s", said);
		expect_as_before(a, b, echo);
		registry_change_abandon(c);
		expect_as_before(a, b, echo);
		settings_text_end(&of_a);
		settings_text_end(&of_b);
	}
	registry_stop_host(b);
	route_unregister("b.example");
	host_unref(b);
	hosting_end(a);
}

/* What one host's module gives up, another's may have, and a new host too. */
Test(registry, a_domain_moves_in_one_change)
{
	struct host *a = hosting_begin("a.example"), *b = host_new("b.example", host_conf_new());
	struct settings_text of_a = settings_text("mod_ping: {}");
	struct settings_text of_b = settings_text("mod_echo: {host: echo.a.example}");
	struct registry_change *c = registry_change_begin();

	cr_assert_eq(route_register_host(b), 0);
	cr_assert_eq(start_modules(a, "mod_echo: {}"), 0);
	cr_assert_eq(registry_change_host(c, a, NULL, of_a.root, of_a.errors), 0);
	cr_assert_eq(registry_change_host(c, b, NULL, of_b.root, of_a.errors), 0);
	cr_assert_eq(registry_change_prepare(c, of_a.errors), 0);
	registry_change_commit(c);
	cr_expect(registry_find(b, "echo") && !registry_find(a, "echo"));
	cr_expect(route_has("echo.a.example"));
	registry_stop_host(b);
	cr_expect_not(route_has("echo.a.example"), "it was b's");
	route_unregister("b.example");
	host_unref(b);
	settings_text_end(&of_a);
	settings_text_end(&of_b);
	hosting_end(a);
}

Test(registry, a_new_host_does_not_take_a_modules_domain)
{
	struct host *a = hosting_begin("a.example");
	struct host *b = host_new("echo.a.example", host_conf_new());
	struct settings_text keeps = settings_text("mod_echo: {}"), none = settings_text("{}");

	cr_assert_eq(start_modules(a, "mod_echo: {}"), 0);
	for (int gives = 0; gives < 2; gives++) {
		struct registry_change *c = registry_change_begin();

		cr_assert_eq(registry_change_host(
				     c, a, NULL, gives ? none.root : keeps.root, none.errors),
			0);
		cr_assert_eq(registry_change_host(c, b, none.root, NULL, none.errors), 0);
		cr_expect_eq(registry_change_prepare(c, none.errors), gives ? 0 : -EADDRINUSE);
		if (gives)
			registry_change_commit(c);
		else
			registry_change_abandon(c);
	}
	cr_expect_eq(conf_errors_count(none.errors), 1);
	cr_expect_eq(route_register_host(b), 0, "free by now");
	route_unregister("echo.a.example");
	host_unref(b);
	settings_text_end(&keeps);
	settings_text_end(&none);
	hosting_end(a);
}

Test(registry, hosts_have_modules_of_their_own)
{
	struct host *a = hosting_begin("a.example"), *b = host_new("b.example", host_conf_new());

	cr_assert_eq(route_register_host(b), 0);
	cr_assert_eq(start_modules(a, "mod_version: {show_os: true}\nmod_echo: {}"), 0);
	cr_assert_eq(start_modules(b, "mod_version: {}\nmod_echo: {}"), 0);
	cr_expect(((const struct version_conf *)module_conf(registry_find(a, "version")))->show_os);
	cr_expect_not(
		((const struct version_conf *)module_conf(registry_find(b, "version")))->show_os);
	cr_expect(route_has("echo.a.example") && route_has("echo.b.example"));
	registry_stop_host(b);
	route_unregister("b.example");
	host_unref(b);
	cr_expect(iq_registered(a, IQ_LOCAL, NS_VERSION));
	hosting_end(a);
}

static void count_documented(const struct module *m, const struct conf_item *common, void *arg)
{
	cr_expect(m->help && *m->help, "%s", m->name);
	cr_expect_eq(common != NULL, m->iq != NULL, "%s", m->name);
	for (const struct conf_item *row = m->conf; row && row->name; row++)
		cr_expect(row->help && *row->help, "%s.%s", m->name, row->name);
	++*(unsigned *)arg;
}

Test(registry, every_module_and_option_is_documented)
{
	unsigned n = 0;

	registry_reference_each(count_documented, &n);
	cr_expect_geq(n, 8);
}
