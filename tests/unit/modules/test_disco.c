/* tests/unit/modules/test_disco.c - XEP-0030, with XEP-0128's forms and XEP-0157's addresses. */
#include "core/actor.h"
#include "modules/disco.h"
#include "router/directory.h"
#include "tests/support/accounts.h"
#include "tests/support/asking.h"
#include "tests/support/hosting.h"

extern const struct module module_disco;

#define INFO "http://jabber.org/protocol/disco#info"
#define ITEMS "http://jabber.org/protocol/disco#items"
enum { SERVER_INFO, SERVER_ITEMS, ACCOUNT_INFO, ACCOUNT_ITEMS }; /* rows of module_disco.iq */

static struct host *h;
static struct accounts accounts;

static void begin(void)
{
	h = hosting_begin("capulet.com");
	directory_init();
	accounts_begin(&accounts, h);
	accounts_create(&accounts, h, "juliet", "R0m30");
	accounts_create(&accounts, h, "nurse", "w3t");
}

static void end(void)
{
	accounts_end(&accounts);
	registry_stop_host(h);
	directory_fini();
	hosting_end(h);
}
TestSuite(disco, .init = begin, .fini = end);

static char *ask_disco(int row, const char *from, const char *to, const char *node)
{
	struct module_instance *mi = registry_find(h, "disco");
	char request[512], attribute[128] = "";

	if (node)
		snprintf(attribute, sizeof(attribute), " node='%s'", node);
	snprintf(request, sizeof(request),
		"<iq xmlns='jabber:client' type='get' from='%s' to='%s' id='1'><query "
		"xmlns='%s'%s/>"
		"</iq>",
		from, to, module_disco.iq[row].ns, attribute);
	return ask(module_disco.iq[row].fn, h, module_conf(mi), mi, request);
}

#define RESULT(from, to, ns, children)                                                         \
	"<iq type='result' id='1' to='" to "' from='" from "'><query xmlns='" ns "'>" children \
	"</query></iq>"

static void expect(const char *paragraph, char *answer, const char *wanted)
{
	cr_expect_str_eq(answer, wanted, "%s: %s", paragraph, answer);
	free(answer);
}

Test(disco, features_are_those_of_the_running_modules)
{
	cr_assert_eq(start_modules(h, "mod_disco: {}"), 0);
	expect("§3.1", ask_disco(SERVER_INFO, "romeo@montague.net/orchard", "capulet.com", NULL),
		RESULT("capulet.com", "romeo@montague.net/orchard", INFO,
			"<identity category='server' type='im' name='Linnet'/>"
			"<feature var='" INFO "'/><feature var='" ITEMS "'/>"));
	cr_assert_eq(
		reload_modules(h, "mod_disco: {name: Verona}\nmod_ping: {}\nmod_version: {}"), 0);
	expect("§3.1", ask_disco(SERVER_INFO, "romeo@montague.net/orchard", "capulet.com", NULL),
		RESULT("capulet.com", "romeo@montague.net/orchard", INFO,
			"<identity category='server' type='im' name='Verona'/>"
			"<feature var='" INFO "'/><feature var='" ITEMS "'/>"
			"<feature var='urn:xmpp:ping'/><feature var='jabber:iq:version'/>"));
	expect("§3.1, an account has others",
		ask_disco(ACCOUNT_INFO, "juliet@capulet.com/balcony", "juliet@capulet.com", NULL),
		RESULT("juliet@capulet.com", "juliet@capulet.com/balcony", INFO,
			"<identity category='account' type='registered'/>"
			"<feature var='" INFO "'/><feature var='" ITEMS "'/>"
			"<feature var='urn:xmpp:ping'/>"));
}

Test(disco, addresses)
{
	cr_assert_eq(start_modules(h,
			     "mod_disco:\n"
			     "  server_info:\n"
			     "    - name: abuse-addresses\n"
			     "      urls: ['mailto:abuse@capulet.com', 'xmpp:abuse@capulet.com']\n"
			     "    - {name: admin-addresses, urls: ['mailto:xmpp@capulet.com']}"),
		0);
	expect("XEP-0157 §3", ask_disco(SERVER_INFO, "a@b.c/d", "capulet.com", NULL),
		RESULT("capulet.com", "a@b.c/d", INFO,
			"<identity category='server' type='im' name='Linnet'/>"
			"<feature var='" INFO "'/><feature var='" ITEMS "'/>"
			"<x xmlns='jabber:x:data' type='result'>"
			"<field var='FORM_TYPE' type='hidden'>"
			"<value>http://jabber.org/network/serverinfo</value></field>"
			"<field var='abuse-addresses' type='list-multi'>"
			"<value>mailto:abuse@capulet.com</value>"
			"<value>xmpp:abuse@capulet.com</value></field>"
			"<field var='admin-addresses' type='list-multi'>"
			"<value>mailto:xmpp@capulet.com</value></field></x>"));
}

Test(disco, addresses_are_uris)
{
	static const char *const bad[] = { "abuse at home", "mailto:", ":x", "1a:b", "a b:c", "" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(free_ptr)
		char *yaml = xprintf("mod_disco: {server_info: [{name: "
				     "status-addresses, urls: ['%s']}]}",
			bad[i]);

		cr_expect_neq(start_modules(h, yaml), 0, "XEP-0157 §3: '%s'", bad[i]);
	}
	cr_expect_eq(start_modules(h,
			     "mod_disco: {server_info: [{name: a, urls: ['x+y.z-1:0', "
			     "'https://x/?a=b#c']}]}"),
		0);
}

Test(disco, items_are_the_services)
{
	cr_assert_eq(start_modules(h, "mod_disco: {}"), 0);
	expect("§4.1, none: an empty result",
		ask_disco(SERVER_ITEMS, "a@b.c/d", "capulet.com", NULL),
		"<iq type='result' id='1' to='a@b.c/d' from='capulet.com'><query xmlns='" ITEMS
		"'/></iq>");
	cr_assert_eq(reload_modules(h,
			     "mod_echo: {}\nmod_disco: {extra_domains: [plays.shakespeare.lit]}"),
		0);
	expect("§4.1", ask_disco(SERVER_ITEMS, "a@b.c/d", "capulet.com", NULL),
		RESULT("capulet.com", "a@b.c/d", ITEMS,
			"<item jid='echo.capulet.com' name='Echo'/>"
			"<item jid='plays.shakespeare.lit'/>"));
}

static const struct {
	const char *paragraph;
	int row;
	const char *from, *to, *node, *answer;
} refused[] = {
	{ "§3.1", SERVER_INFO, "a@b.c/d", "capulet.com", "nothing", "error item-not-found" },
	{ "§4.2", SERVER_ITEMS, "a@b.c/d", "capulet.com", "nothing", "error item-not-found" },
	{ "§3.1", ACCOUNT_INFO, "juliet@capulet.com/b", "juliet@capulet.com", "nothing",
		"error item-not-found" },
	{ "§8.1.1", ACCOUNT_INFO, "romeo@montague.net/o", "tybalt@capulet.com", NULL,
		"error service-unavailable" },
	{ "§8.1.1, a node", ACCOUNT_INFO, "romeo@montague.net/o", "tybalt@capulet.com", "n",
		"error service-unavailable" },
	{ "§8.1.2", ACCOUNT_INFO, "romeo@montague.net/o", "juliet@capulet.com", NULL,
		"error service-unavailable" },
	{ "§8.2.1", ACCOUNT_ITEMS, "romeo@montague.net/o", "tybalt@capulet.com", NULL,
		"<iq type='result' id='1' to='romeo@montague.net/o' from='tybalt@capulet.com'>"
		"<query xmlns='" ITEMS "'/></iq>" },
	{ "§8.2.1, a node", ACCOUNT_ITEMS, "romeo@montague.net/o", "tybalt@capulet.com", "n",
		"<iq type='result' id='1' to='romeo@montague.net/o' from='tybalt@capulet.com'>"
		"<query xmlns='" ITEMS "' node='n'/></iq>" },
	{ "§8.2.2", ACCOUNT_ITEMS, "romeo@montague.net/o", "juliet@capulet.com", NULL,
		"<iq type='result' id='1' to='romeo@montague.net/o' from='juliet@capulet.com'>"
		"<query xmlns='" ITEMS "'/></iq>" },
};

Test(disco, what_is_refused)
{
	cr_assert_eq(start_modules(h, "mod_disco: {}"), 0);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		expect(refused[i].paragraph,
			ask_disco(refused[i].row, refused[i].from, refused[i].to, refused[i].node),
			refused[i].answer);
}

Test(disco, items_of_an_account_are_its_available_resources)
{
	static const char *const resources[] = { "balcony", "chamber", "not-yet" };
	struct session sessions[3] = { 0 };

	cr_assert_eq(start_modules(h, "mod_disco: {}"), 0);
	for (unsigned i = 0; i < ARRAY_LEN(sessions); i++) {
		struct actor_id holder;

		sessions[i].host = h;
		sessions[i].id.v = i + 1;
		cr_assert_eq(
			jid_make("juliet", "capulet.com", resources[i], NULL, &sessions[i].jid), 0);
		cr_assert_eq(directory_enter(&sessions[i], 10, &holder), 0);
		if (i < 2)
			directory_presence(&sessions[i], true, 0);
	}
	expect("§4.1",
		ask_disco(ACCOUNT_ITEMS, "juliet@capulet.com/balcony", "juliet@capulet.com", NULL),
		RESULT("juliet@capulet.com", "juliet@capulet.com/balcony", ITEMS,
			"<item jid='juliet@capulet.com/balcony'/>"
			"<item jid='juliet@capulet.com/chamber'/>"));
	for (unsigned i = 0; i < ARRAY_LEN(sessions); i++) {
		directory_leave(&sessions[i]);
		rcu_wait();
		jid_free(sessions[i].jid);
	}
}

/* A module that knows a node and brings a form. */
static enum hook_next music(void *subject, void *arg UNUSED)
{
	struct disco_query *q = subject;

	if (q->node && strcmp(q->node, "music") != 0)
		return HOOK_GO_ON;
	q->known |= q->node != NULL;
	if (q->part == DISCO_IDENTITIES && q->node)
		disco_identity(q->answer, "hierarchy", "branch", NULL);
	if (q->part == DISCO_FEATURES)
		disco_feature(q->answer, "urn:example:music");
	if (q->part == DISCO_FORMS) {
		disco_form(q->answer, "urn:example:form");
		build_close(q->answer);
	}
	if (q->part == DISCO_ITEMS)
		disco_item(q->answer, "capulet.com", q->node ? "music/A" : "music", NULL);
	return HOOK_GO_ON;
}

Test(disco, modules_add_nodes_forms_and_items)
{
	cr_assert_eq(start_modules(h, "mod_disco: {}"), 0);
	hook_add(h->hooks, &disco_info_hook, 50, music, NULL);
	hook_add(h->hooks, &disco_items_hook, 50, music, NULL);
	expect("XEP-0128 §2", ask_disco(SERVER_INFO, "a@b.c/d", "capulet.com", NULL),
		RESULT("capulet.com", "a@b.c/d", INFO,
			"<identity category='server' type='im' name='Linnet'/>"
			"<feature var='" INFO "'/><feature var='" ITEMS "'/>"
			"<feature var='urn:example:music'/>"
			"<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' "
			"type='hidden'><value>urn:example:form</value></field></x>"));
	expect("§3.2, the node is mirrored",
		ask_disco(SERVER_INFO, "a@b.c/d", "capulet.com", "music"),
		"<iq type='result' id='1' to='a@b.c/d' from='capulet.com'><query xmlns='" INFO
		"' node='music'><identity category='hierarchy' type='branch'/>"
		"<feature var='urn:example:music'/>"
		"<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>"
		"<value>urn:example:form</value></field></x></query></iq>");
	expect("§4.2", ask_disco(SERVER_ITEMS, "a@b.c/d", "capulet.com", "music"),
		"<iq type='result' id='1' to='a@b.c/d' from='capulet.com'><query xmlns='" ITEMS
		"' node='music'><item jid='capulet.com' node='music/A'/></query></iq>");
	expect("§4.1", ask_disco(SERVER_ITEMS, "a@b.c/d", "capulet.com", NULL),
		RESULT("capulet.com", "a@b.c/d", ITEMS, "<item jid='capulet.com' node='music'/>"));
	hook_remove(h->hooks, &disco_info_hook, 50, music, NULL);
	hook_remove(h->hooks, &disco_items_hook, 50, music, NULL);
}
