/* tests/unit/modules/test_register.c - XEP-0077: before login, after it, and who may. */
#include "core/actor.h"
#include "core/job.h"
#include "router/directory.h"
#include "router/prelogin.h"
#include "tests/support/accounts.h"
#include "tests/support/hearing.h"
#include "tests/support/hosting.h"

extern const struct module module_register;

static struct host *h;
static struct accounts accounts;
static struct heard romeo;
static struct listener_actor stream = { .heard = &romeo };
static struct conf_prefix address = { .bytes = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 },
	.bits = 128 };

static void begin(void)
{
	h = hosting_begin("shakespeare.lit");
	accounts_begin(&accounts, h);
	accounts_create(&accounts, h, "juliet", "R0m30isbest");
	directory_init();
	cr_assert_eq(jobs_start(2), 0);
	cr_assert_eq(shards_start(1), 0);
	on_shard(0, listener_begin_here, &stream);
}

static void end(void)
{
	registry_stop_host(h);
	on_shard(0, listener_end_here, &stream);
	shards_stop();
	jobs_stop();
	directory_fini();
	heard_forget(&romeo);
	accounts_end(&accounts);
	hosting_end(h);
}
TestSuite(register, .init = begin, .fini = end);

/* ---- Before login */

struct attempt {
	const char *request;
	enum hook_next next;
};

static void run_prelogin(void *arg)
{
	struct attempt *a = arg;
	struct stanza *iq = parse_sealed(a->request);
	struct prelogin_iq p = {
		.host = h, .iq = iq, .address = &address, .stream = stream.actor.id
	};

	shard_check(NULL);
	a->next = hook_run(h->hooks, &prelogin_iq_hook, &p);
	stanza_unref(iq);
}

/* What the stream is answered. The caller frees. */
static char *before_login(const char *request)
{
	struct attempt a = { .request = request };
	char *answer;

	on_shard(0, run_prelogin, &a);
	if (a.next != HOOK_STOP)
		return strdup("nobody's");
	cr_assert(heard_wait(&romeo, 1), "%s", request);
	cr_assert_eq(romeo.n, 1);
	answer = strdup(romeo.text[0]);
	heard_forget(&romeo);
	return answer;
}

#define GET                                                                    \
	"<iq xmlns='jabber:client' type='get' id='reg1' to='shakespeare.lit'>" \
	"<query xmlns='jabber:iq:register'/></iq>"
#define SET(children)                                                          \
	"<iq xmlns='jabber:client' type='set' id='reg2' to='shakespeare.lit'>" \
	"<query xmlns='jabber:iq:register'>" children "</query></iq>"
#define REFUSED(id, code, type, condition)                                                       \
	"<iq type='error' id='" id "' from='shakespeare.lit'><error type='" type "' code='" code \
	"'><" condition " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"

static const struct {
	const char *section, *settings, *request, *answer;
} early[] = {
	{ "3.1, not supported", "mod_register: {}", GET,
		REFUSED("reg1", "503", "cancel", "service-unavailable") },
	{ "3.1, not supported", "mod_register: {}",
		SET("<username>bill</username><password>Calliope</password>"),
		REFUSED("reg2", "503", "cancel", "service-unavailable") },
	{ "3.1, not from here", "mod_register: {access: all, ip_access: none}", GET,
		REFUSED("reg1", "503", "cancel", "service-unavailable") },
	{ "5", "mod_register: {redirect_url: 'http://www.shakespeare.lit/contests.php'}", GET,
		"<iq type='result' id='reg1' from='shakespeare.lit'>"
		"<query xmlns='jabber:iq:register'><instructions>To register, visit "
		"http://www.shakespeare.lit/contests.php</instructions>"
		"<x xmlns='jabber:x:oob'><url>http://www.shakespeare.lit/contests.php</url></x>"
		"</query></iq>" },
	{ "3.1", "mod_register: {access: all, instructions: Choose!}", GET,
		"<iq type='result' id='reg1' from='shakespeare.lit'>"
		"<query xmlns='jabber:iq:register'><instructions>Choose!</instructions>"
		"<username/><password/></query></iq>" },
	{ "3.1, information missing", "mod_register: {access: all}",
		SET("<username>bill</username>"),
		REFUSED("reg2", "406", "modify", "not-acceptable") },
	{ "3.1, information missing", "mod_register: {access: all}",
		SET("<username>bill</username><password/>"),
		REFUSED("reg2", "406", "modify", "not-acceptable") },
	{ "3.1, information missing", "mod_register: {access: all}",
		SET("<username/><password>Calliope</password>"),
		REFUSED("reg2", "406", "modify", "not-acceptable") },
	{ "3.1, conflict", "mod_register: {access: all}",
		SET("<username>Juliet</username><password>Calliope</password>"),
		REFUSED("reg2", "409", "cancel", "conflict") },
	{ "3.2, not registered", "mod_register: {access: all}", SET("<remove/>"),
		REFUSED("reg2", "400", "wait", "unexpected-request") },
	{ "3.1", "mod_register: {access: all}",
		SET("<username>Bill</username><password>Calliope</password>"),
		"<iq type='result' id='reg2' from='shakespeare.lit'/>" },
};

Test(register, section_3_1_before_login)
{
	for (size_t i = 0; i < ARRAY_LEN(early); i++) {
		char *answer;

		cr_assert_eq(start_modules(h, early[i].settings), 0);
		answer = before_login(early[i].request);
		cr_expect_str_eq(answer, early[i].answer, "§%s: %s", early[i].section, answer);
		free(answer);
		registry_stop_host(h);
	}
	cr_expect_str_eq(accounts_password(&accounts, "bill"), "Calliope");
	cr_expect_str_eq(accounts_password(&accounts, "juliet"), "R0m30isbest");
	cr_expect_eq(accounts.n, 2);
}

static const struct {
	const char *request, *part;
} texts[] = {
	{ SET("<username>a b</username><password>Calliope</password>"), "<jid-malformed" },
	{ SET("<username>a@b</username><password>Calliope</password>"), "<jid-malformed" },
	{ SET("<username>bill</username><password>sieben7</password>"),
		">This password is too short.<" },
	{ SET("<username>bill</username><password>sieb\xc3\xa9n7</password>"), "too short" },
};

Test(register, names_and_passwords_are_judged)
{
	cr_assert_eq(start_modules(h, "mod_register: {access: all}"), 0);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char *answer = before_login(texts[i].request);

		cr_expect(strstr(answer, texts[i].part), "%s: %s", texts[i].request, answer);
		cr_expect_not(strstr(answer, "sieb"), "§3.3: the password is not sent back");
		free(answer);
	}
	cr_expect_eq(accounts.n, 1);
}

Test(register, one_account_for_an_address_and_time)
{
	char *answer;

	cr_assert_eq(start_modules(h, "mod_register: {access: all}"), 0);
	for (unsigned i = 0; i < 5; i++) { /* taken names may be tried again ... */
		answer = before_login(
			SET("<username>juliet</username><password>Calliope</password>"));
		cr_expect(strstr(answer, "<conflict"), "%s", answer);
		free(answer);
	}
	answer = before_login(SET("<username>bill</username><password>Calliope</password>"));
	cr_expect(strstr(answer, "type='result'"), "%s", answer);
	free(answer);
	answer = before_login(SET("<username>will</username><password>Calliope</password>"));
	cr_expect(strstr(answer, "<resource-constraint"), "%s", answer);
	cr_expect(strstr(answer, "type='wait'"), "%s", answer);
	free(answer);
	address.bytes[15] = 2;
	answer = before_login(SET("<username>will</username><password>Calliope</password>"));
	cr_expect(strstr(answer, "type='result'"), "another address: %s", answer);
	free(answer);
	address.bytes[15] = 3;
	for (unsigned i = 0; i < 10; i++) /* ... but not without end */
		free(before_login(SET("<username>juliet</username><password>Calliope</password>")));
	answer = before_login(SET("<username>kate</username><password>Calliope</password>"));
	cr_expect(strstr(answer, "<resource-constraint"), "%s", answer);
	free(answer);
	address.bytes[15] = 1;
	cr_expect_eq(accounts.n, 3);
}

Test(register, the_database_is_away)
{
	char *answer;

	cr_assert_eq(start_modules(h, "mod_register: {access: all}"), 0);
	accounts.away = true;
	answer = before_login(SET("<username>bill</username><password>Calliope</password>"));
	cr_expect(strstr(answer, "<internal-server-error"), "%s", answer);
	free(answer);
	accounts.away = false;
	answer = before_login(SET("<username>bill</username><password>Calliope</password>"));
	cr_expect(strstr(answer, "type='result'"), "and is back: %s", answer);
	free(answer);
}

Test(register, other_requests_are_left_alone)
{
	char *answer;

	cr_assert_eq(start_modules(h, "mod_register: {access: all}"), 0);
	answer = before_login("<iq xmlns='jabber:client' type='get' id='1'>"
			      "<query xmlns='jabber:iq:auth'/></iq>");
	cr_expect_str_eq(answer, "nobody's");
	free(answer);
}

static char *features(bool authenticated)
{
	struct builder b;
	struct stream_features f = {
		.host = h, .features = &b, .authenticated = authenticated, .address = &address
	};
	struct buf *wire = buf_new(256);
	char *text;

	build_begin(&b, "features", NS_STREAM);
	hook_run(h->hooks, &stream_features_hook, &f);
	elem_wire(b.stanza->root, NS_STREAM, &wire);
	text = strndup(wire->data, wire->len);
	buf_unref(wire);
	build_drop(&b);
	return text;
}

static const struct {
	const char *settings;
	bool authenticated, offered;
} offers[] = {
	{ "mod_register: {}", false, false },
	{ "mod_register: {access: all}", false, true },
	{ "mod_register: {access: all}", true, false },
	{ "mod_register: {access: all, ip_access: none}", false, false },
	{ "mod_register: {redirect_url: 'https://x/'}", false, true },
};

Test(register, section_8_stream_feature)
{
	for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
		char *text;

		cr_assert_eq(start_modules(h, offers[i].settings), 0);
		text = features(offers[i].authenticated);
		cr_expect_eq(
			strstr(text,
				"<register xmlns='http://jabber.org/features/iq-register'/>") !=
				NULL,
			offers[i].offered, "%s: %s", offers[i].settings, text);
		free(text);
		registry_stop_host(h);
	}
}

/* ---- After login */

/* Errors go by way of the router: they are heard where the sender is. */
static char *after_login(const char *request)
{
	struct module_instance *mi = registry_find(h, "register");
	char *answer = ask(module_register.iq[0].fn, h, module_conf(mi), mi, request);

	if (strcmp(answer, "later") != 0)
		return answer;
	free(answer);
	cr_assert(heard_wait(&romeo, 1), "%s", request);
	answer = strdup(romeo.text[0]);
	heard_forget(&romeo);
	return answer;
}

#define FROM(who, children)                                                                \
	"<iq xmlns='jabber:client' type='set' id='1' from='" who "' to='shakespeare.lit'>" \
	"<query xmlns='jabber:iq:register'>" children "</query></iq>"

static const struct {
	const char *section, *settings, *request, *part;
} late[] = {
	{ "3.1", "mod_register: {}",
		"<iq xmlns='jabber:client' type='get' id='1' from='juliet@shakespeare.lit/b' "
		"to='shakespeare.lit'><query xmlns='jabber:iq:register'/></iq>",
		"<query xmlns='jabber:iq:register'><registered/><username>juliet</username>"
		"<password/></query>" },
	{ "3.1", "mod_register: {access: all}",
		"<iq xmlns='jabber:client' type='get' id='1' from='romeo@montague.net/o' "
		"to='shakespeare.lit'><query xmlns='jabber:iq:register'/></iq>",
		"error service-unavailable" },
	{ "3.1", "mod_register: {access: all, access_from: all}",
		"<iq xmlns='jabber:client' type='get' id='1' from='romeo@montague.net/o' "
		"to='shakespeare.lit'><query xmlns='jabber:iq:register'/></iq>",
		"<username/><password/>" },
	{ "3.3", "mod_register: {}",
		FROM("juliet@montague.net/o",
			"<username>juliet</username><password>mine now</password>"),
		"<not-allowed" },
	{ "3.1", "mod_register: {access: all}",
		FROM("romeo@montague.net/o",
			"<username>romeo</username><password>Calliope</password>"),
		"<not-allowed" },
	{ "3.1", "mod_register: {access_from: all}",
		FROM("romeo@montague.net/o",
			"<username>romeo</username><password>Calliope</password>"),
		"<not-allowed" },
	{ "3.2", "mod_register: {}", FROM("romeo@montague.net/o", "<remove/>"),
		"<registration-required" },
	{ "3.2", "mod_register: {}",
		FROM("romeo@montague.net/o", "<remove/><username>juliet</username>"),
		"<bad-request" },
};

Test(register, strangers_after_login)
{
	cr_assert_eq(route_register_service("montague.net", heard_service, &romeo), 0);
	for (size_t i = 0; i < ARRAY_LEN(late); i++) {
		char *answer;

		cr_assert_eq(start_modules(h, late[i].settings), 0);
		answer = after_login(late[i].request);
		cr_expect(strstr(answer, late[i].part), "§%s: %s", late[i].section, answer);
		free(answer);
		registry_stop_host(h);
	}
	cr_expect_eq(accounts.n, 1);
	cr_expect_str_eq(accounts_password(&accounts, "juliet"), "R0m30isbest");
	route_unregister("montague.net");
}

Test(register, strangers_who_may)
{
	char *answer;

	cr_assert_eq(route_register_service("montague.net", heard_service, &romeo), 0);
	cr_assert_eq(start_modules(h, "mod_register: {access: all, access_from: all}"), 0);
	answer = after_login(FROM(
		"romeo@montague.net/o", "<username>romeo</username><password>Calliope</password>"));
	cr_expect_str_eq(answer,
		"<iq type='result' id='1' to='romeo@montague.net/o' from='shakespeare.lit'/>");
	free(answer);
	cr_expect_str_eq(accounts_password(&accounts, "romeo"), "Calliope");
	answer = after_login(FROM(
		"romeo@montague.net/o", "<username>two</username><password>Calliope</password>"));
	cr_expect(strstr(answer, "<resource-constraint"), "%s", answer);
	free(answer);
	route_unregister("montague.net");
}

/* Where the server closes the account's sessions: the letter with the answer is on its way. */
static enum hook_next note_removal(void *subject, void *arg UNUSED)
{
	cr_expect_str_eq(jid_local(subject), "juliet");
	on_shard(0, do_nothing, NULL);
	cr_expect_eq(romeo.n, 1, "§3.2: first the answer");
	return HOOK_GO_ON;
}

Test(register, owners_change_passwords_and_leave)
{
	struct session session = { .id = stream.actor.id, .host = h };
	struct actor_id holder;
	static const char *const result =
		"<iq type='result' id='1' to='juliet@shakespeare.lit/b' from='shakespeare.lit'/>";
	char *answer;

	cr_assert_eq(jid_make("juliet", "shakespeare.lit", "b", NULL, &session.jid), JID_OK);
	cr_assert_eq(start_modules(h, "mod_register: {}"), 0);
	answer = after_login(FROM("juliet@shakespeare.lit/b",
		"<username>juliet</username><password>newpasswd</password>"));
	cr_expect_str_eq(answer, result, "§3.3: %s", answer);
	free(answer);
	cr_expect_str_eq(accounts_password(&accounts, "juliet"), "newpasswd");
	cr_assert_eq(directory_enter(&session, 10, &holder), 0);
	hook_add(h->hooks, &account_removed_hook, 90, note_removal, NULL);
	answer = after_login(FROM("juliet@shakespeare.lit/b", "<remove/>"));
	cr_expect_str_eq(answer, result, "§3.2: %s", answer);
	free(answer);
	hook_remove(h->hooks, &account_removed_hook, 90, note_removal, NULL);
	directory_leave(&session);
	rcu_wait();
	jid_free(session.jid);
	cr_expect_eq(accounts.n, 0);
}

Test(register, an_account_of_others_is_not_asked)
{
	struct module_instance *mi;
	char *answer;

	cr_assert_eq(start_modules(h, "mod_register: {}"), 0);
	mi = registry_find(h, "register");
	answer = ask(module_register.iq[1].fn, h, module_conf(mi), mi,
		"<iq xmlns='jabber:client' type='get' id='1' from='bill@shakespeare.lit/b' "
		"to='juliet@shakespeare.lit'><query xmlns='jabber:iq:register'/></iq>");
	cr_expect_str_eq(answer, "error service-unavailable");
	free(answer);
}

Test(register, welcome_and_watchers)
{
	cr_assert_eq(route_register_service("montague.net", heard_service, &romeo), 0);
	cr_assert_eq(start_modules(h,
			     "mod_register: {access: all, registration_watchers: "
			     "[watch@montague.net]}"),
		0);
	{
		struct attempt a = { .request = SET("<username>bill</username>"
						    "<password>Calliope</password>") };

		on_shard(0, run_prelogin, &a);
	}
	cr_assert(heard_wait(&romeo, 2));
	cr_expect_str_eq(romeo.text[1],
		"<message from='shakespeare.lit' to='watch@montague.net'><body>The account "
		"bill@shakespeare.lit was registered from 192.0.2.1.</body></message>");
	heard_forget(&romeo);
	route_unregister("montague.net");
}
