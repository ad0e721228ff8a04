/* Rosters towards accounts of other servers, which a service stands for here: what is routed to
 * them, in which order, and what comes of what they send. RFC 6121 §2.5.2, §3, §4. */
#include <unistd.h>

#include "core/db.h"
#include "modules/registry.h"
#include "router/contacts.h"
#include "router/presence.h"
#include "router/subscription.h"
#include "tests/support/accounts.h"
#include "tests/support/router_world.h"
#include "tests/support/settings_text.h"

static struct accounts accounts;
static struct heard romeo; /* everybody at montague.example */
static struct client *juliet;
static struct db *db;
static char folder[] = "/tmp/test_roster.XXXXXX";
static char path[64];

static void ready(struct actor_id session UNUSED, int error)
{
	cr_assert_eq(error, 0);
}

static void need_here(void *arg)
{
	shard_check(NULL);
	cr_assert_geq(account_need(&((struct client *)arg)->session, ready), 0);
}

/* What has been sent has had all its effects when an answer in the account's lane comes behind it.
 */
static void pass_the_lane(void)
{
	settle();
	for (int i = 0; i < 2; i++) {
		unsigned before = juliet->heard.n;

		client_send(juliet,
			"<iq xmlns='jabber:client' type='get' id='lane' "
			"to='juliet@capulet.example'>"
			"<query xmlns='jabber:iq:roster' ver='x'/></iq>");
		cr_assert(heard_wait(&juliet->heard, before + 1));
		settle();
	}
}

static void forget(void)
{
	heard_forget(&juliet->heard);
	heard_forget(&romeo);
}

static void begin(void)
{
	const struct db_conf conf = { .driver = "sqlite",
		.path = path,
		.max_queue = 100,
		.synchronous = DB_SYNC_OFF,
		.cache_bytes = 1 << 20 };
	struct settings_text t;

	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/db", folder);
	world_begin();
	cr_assert_eq(db_open(&conf, &db), 0);
	db_main_set(db);
	accounts_begin(&accounts, world_host);
	cr_assert_eq(accounts_create(&accounts, world_host, "juliet", "x"), 0);
	cr_assert_eq(accounts_create(&accounts, world_host, "nurse", "x"), 0);
	t = settings_text("mod_roster: {}");
	cr_assert_eq(registry_start_host(world_host, t.root, t.errors), 0);
	settings_text_end(&t);
	cr_assert_eq(route_register_service("montague.example", heard_service, &romeo), 0);
	juliet = client_new("balcony", 0);
	on_shard(0, need_here, juliet);
	for (int i = 0; i < 1000 && !account_of(&juliet->session); i++) {
		rcu_quiescent();
		usleep(1000);
	}
	cr_assert(account_of(&juliet->session));
	pass_the_lane(); /* it has asked for its roster */
	forget();
}

static void end(void)
{
	client_free(juliet);
	registry_stop_host(world_host);
	route_unregister("montague.example");
	accounts_stop();
	accounts_start();
	db_main_set(NULL);
	db_close(db);
	heard_forget(&romeo);
	world_end();
	accounts_end(&accounts);
	unlink(path);
	rmdir(folder);
}
TestSuite(roster, .init = begin, .fini = end);

/* As the stream would: subscriptions are the account's. */
static void subscribe_out(const char *type, const char *to)
{
	AUTO(free_ptr)
	char *text = xprintf("<presence xmlns='jabber:client' type='%s' to='%s'/>", type, to);
	struct sending snd = { .from = juliet, .stanza = parse_unsealed(text) };
	struct jid *bare = jid_bare(juliet->session.jid, NULL);

	stanza_set_from(snd.stanza, bare);
	on_shard(0, send_here, &snd);
	jid_free(bare);
	pass_the_lane();
}

static void comes(const char *rest)
{
	AUTO(free_ptr)
	char *text =
		xprintf("<presence xmlns='jabber:client' from='romeo@montague.example%s", rest);

	world_send(1, text);
	pass_the_lane();
}

static unsigned state(void)
{
	struct jid *j;
	unsigned bits;

	cr_assert_eq(jid_parse("romeo@montague.example", 22, NULL, &j), JID_OK);
	bits = contact_state(account_of(&juliet->session), j) & CONTACT_SUBSCRIPTION;
	jid_free(j);
	return bits;
}

/* The n-th that romeo's server was sent. */
static bool sent(unsigned n, const char *type, const char *from)
{
	AUTO(free_ptr) char *want_type = xprintf("type='%s'", type);
	AUTO(free_ptr) char *want_from = xprintf("from='%s'", from);

	if (n >= romeo.n)
		return false;
	cr_log_info("%s", romeo.text[n]);
	return (*type ? strstr(romeo.text[n], want_type) != NULL
		      : strstr(romeo.text[n], "type=") == NULL) &&
		strstr(romeo.text[n], want_from) &&
		strstr(romeo.text[n], "to='romeo@montague.example");
}

#define ACCOUNT "juliet@capulet.example"
#define RESOURCE ACCOUNT "/balcony"

static void make_both(void)
{
	subscribe_out("subscribe", "romeo@montague.example");
	comes("' to='" ACCOUNT "' type='subscribed'/>");
	comes("' to='" ACCOUNT "' type='subscribe'/>");
	subscribe_out("subscribed", "romeo@montague.example");
	cr_assert_eq(state(), CONTACT_BOTH);
	forget();
}

Test(roster, asks_and_is_answered) /* §3.1.2, §3.1.6 */
{
	subscribe_out("subscribe", "romeo@montague.example/orchard");
	cr_assert_eq(romeo.n, 1);
	cr_expect(sent(0, "subscribe", ACCOUNT), "both addresses are bare");
	cr_expect_not(strstr(romeo.text[0], "orchard"));
	cr_expect_eq(state(), CONTACT_PENDING_OUT);
	comes("' to='" ACCOUNT "' type='subscribed'/>");
	cr_expect_eq(state(), CONTACT_TO);
	cr_expect_eq(romeo.n, 1, "its server tells presence by itself");
}

Test(roster, says_yes_and_then_tells_where_it_is) /* §3.1.5 */
{
	client_becomes(juliet, 3);
	comes("' to='" ACCOUNT "' type='subscribe'/>");
	forget();
	subscribe_out("subscribed", "romeo@montague.example");
	cr_assert_eq(romeo.n, 2);
	cr_expect(sent(0, "subscribed", ACCOUNT));
	cr_expect(sent(1, "", RESOURCE));
	cr_expect(strstr(romeo.text[1], "<priority>3</priority>"));
	cr_expect_eq(state(), CONTACT_FROM);
}

Test(roster, is_unavailable_before_it_is_over) /* §3.2.2 */
{
	make_both();
	client_becomes(juliet, 0);
	forget();
	subscribe_out("unsubscribed", "romeo@montague.example");
	cr_assert_eq(romeo.n, 2);
	cr_expect(sent(0, "unavailable", RESOURCE));
	cr_expect(sent(1, "unsubscribed", ACCOUNT));
	cr_expect_eq(state(), CONTACT_TO);
}

Test(roster, is_unavailable_to_who_unsubscribes) /* §3.3.3, A.3.2 */
{
	make_both();
	client_becomes(juliet, 0);
	forget();
	comes("' to='" ACCOUNT "' type='unsubscribe'/>");
	cr_assert(heard_wait(&romeo, 2));
	cr_expect_eq(romeo.n, 2);
	cr_expect(sent(0, "unavailable", RESOURCE));
	cr_expect(sent(1, "unsubscribed", ACCOUNT));
	cr_expect_eq(state(), CONTACT_TO);
}

Test(roster, parts_with_who_is_removed) /* §2.5.2 */
{
	make_both();
	client_becomes(juliet, 0);
	forget();
	client_send(juliet,
		"<iq xmlns='jabber:client' type='set' id='d' to='" ACCOUNT "'>"
		"<query xmlns='jabber:iq:roster'>"
		"<item jid='romeo@montague.example' subscription='remove'/></query></iq>");
	pass_the_lane();
	cr_assert_eq(romeo.n, 3);
	cr_expect(sent(0, "unsubscribe", ACCOUNT) || sent(1, "unsubscribe", ACCOUNT) ||
		sent(2, "unsubscribe", ACCOUNT));
	cr_expect((sent(0, "unavailable", RESOURCE) &&
			  (sent(1, "unsubscribed", ACCOUNT) || sent(2, "unsubscribed", ACCOUNT))) ||
		(sent(1, "unavailable", RESOURCE) && sent(2, "unsubscribed", ACCOUNT)));
	cr_expect_eq(state(), 0);
}

Test(roster, is_subscribed_already_and_says_so) /* §3.1.3 */
{
	make_both();
	comes("' to='" ACCOUNT "' type='subscribe'/>");
	cr_assert_geq(romeo.n, 1);
	cr_expect(sent(0, "subscribed", ACCOUNT));
	cr_expect_eq(state(), CONTACT_BOTH);
}

Test(roster, approved_before_it_was_asked_for) /* §3.4.2 */
{
	client_becomes(juliet, 0);
	subscribe_out("subscribed", "romeo@montague.example");
	cr_expect_eq(romeo.n, 0, "an approval goes nowhere until somebody asks");
	comes("' to='" ACCOUNT "' type='subscribe'/>");
	cr_assert_eq(romeo.n, 2);
	cr_expect(sent(0, "subscribed", ACCOUNT));
	cr_expect(sent(1, "", RESOURCE));
	cr_expect_eq(state(), CONTACT_FROM);
}

Test(roster, probes_and_tells_when_it_comes) /* §4.2.2, §4.3.1 */
{
	make_both();
	client_becomes(juliet, 0);
	cr_assert_eq(romeo.n, 2);
	cr_expect(sent(0, "", RESOURCE));
	cr_expect(sent(1, "probe", ACCOUNT), "from the bare address");
	client_becomes(juliet, 1);
	cr_expect_eq(romeo.n, 3, "later presence asks nobody");
	cr_expect(sent(2, "", RESOURCE));
}

Test(roster, answers_probes) /* §4.3.2 */
{
	comes("/r' to='" ACCOUNT "' type='probe'/>");
	cr_assert_eq(romeo.n, 1);
	cr_expect(sent(0, "unsubscribed", ACCOUNT), "who is not subscribed is told so");
	make_both();
	comes("/r' to='" ACCOUNT "' type='probe'/>");
	cr_assert_eq(romeo.n, 1);
	cr_expect(sent(0, "unavailable", ACCOUNT));
	client_becomes(juliet, 5);
	forget();
	comes("/r' to='" ACCOUNT "' type='probe'/>");
	cr_assert_eq(romeo.n, 1);
	cr_expect(sent(0, "", RESOURCE));
	cr_expect(strstr(romeo.text[0], "<priority>5</priority>"));
}

Test(roster, says_nothing_for_accounts_that_are_not_there_but_to_probes) /* §4.3.2, §8.5.1 */
{
	static const char *const types[] = { "subscribe", "subscribed", "unsubscribe",
		"unsubscribed" };

	comes("' to='nobody@capulet.example' id='p' type='probe'/>");
	cr_assert(heard_wait(&romeo, 1));
	cr_expect(sent(0, "unsubscribed", "nobody@capulet.example"));
	cr_expect(strstr(romeo.text[0], "id='p'"), "§4.3.2.1: %s", romeo.text[0]);
	forget();
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		AUTO(free_ptr)
		char *text = xprintf("' to='nobody@capulet.example' type='%s'/>", types[i]);

		comes(text);
	}
	comes("' to='nurse@capulet.example' type='probe'/>");
	cr_assert(heard_wait(&romeo, 1));
	cr_expect_eq(romeo.n, 1);
	cr_expect(sent(0, "unsubscribed", "nurse@capulet.example"), "it is not subscribed");
}

Test(roster, a_full_house_refuses_strangers) /* our choice: max_requests */
{
	char text[128];

	for (int i = 0; i < 501; i++) {
		snprintf(text, sizeof(text),
			"<presence xmlns='jabber:client' from='r%d@montague.example' to='" ACCOUNT
			"' type='subscribe'/>",
			i);
		world_send(1, text);
	}
	pass_the_lane();
	cr_assert_eq(romeo.n, 1);
	cr_expect(strstr(romeo.text[0], "resource-constraint"));
}

static enum hook_next withhold(void *subject, void *arg)
{
	const struct presence_withheld *w = subject;

	cr_expect_eq(w->session, &juliet->session);
	return w->way == *(enum presence_way *)arg ? HOOK_STOP : HOOK_GO_ON;
}

Test(roster, presence_is_withheld) /* for XEP-0016, XEP-0191 */
{
	static enum presence_way out = PRESENCE_OUT, in = PRESENCE_IN;

	make_both();
	hook_add(world_host->hooks, &presence_withheld_hook, 50, withhold, &out);
	client_becomes(juliet, 0);
	cr_assert_eq(romeo.n, 1);
	cr_expect(sent(0, "probe", ACCOUNT));
	comes("/r' to='" ACCOUNT "' type='probe'/>");
	cr_expect_eq(romeo.n, 1, "an answer is withheld, too");
	hook_remove(world_host->hooks, &presence_withheld_hook, 50, withhold, &out);
	client_send(juliet, "<presence xmlns='jabber:client' type='unavailable'/>");
	forget();
	hook_add(world_host->hooks, &presence_withheld_hook, 50, withhold, &in);
	client_becomes(juliet, 0);
	cr_assert_eq(romeo.n, 1);
	cr_expect(sent(0, "", RESOURCE));
	hook_remove(world_host->hooks, &presence_withheld_hook, 50, withhold, &in);
}

static const char *push_of_a_set(void)
{
	forget();
	client_send(juliet,
		"<iq xmlns='jabber:client' type='set' id='s' to='" ACCOUNT "'>"
		"<query xmlns='jabber:iq:roster'><item jid='nurse@capulet.example'/></query></iq>");
	cr_assert(heard_wait(&juliet->heard, 2), "a push and a result");
	return juliet->heard.text[0];
}

Test(roster, has_no_version_while_it_is_behind) /* §2.6.3: an empty answer would be wrong later */
{
	cr_expect(strstr(push_of_a_set(), "ver='"));
	session_reads(&juliet->session, SESSION_READS_OLD_ROSTER);
	cr_expect_not(strstr(push_of_a_set(), "ver='"));
	pass_the_lane(); /* it asks for the roster */
	cr_expect(strstr(push_of_a_set(), "ver='"));
}
