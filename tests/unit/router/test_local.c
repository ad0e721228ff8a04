/* The tables of RFC 6121 §8.5 and RFC 6120 §10.5, row by row, without a server; and what
 * local_route() makes of those that reach nobody. Who receives is test_deliver's. */
#include "router/local.h"

#include "router/iq.h"
#include "tests/support/accounts.h"
#include "tests/support/router_world.h"
#include "xml/builder.h"

enum who { NONE, AVAILABLE, NEGATIVE, CONNECTED, MIXED };

static const char *const kinds[] = { "message", "presence", "iq" };

static struct stanza *make(enum stanza_kind kind, const char *type, const char *to)
{
	struct builder b;

	build_begin(&b, kinds[kind], NS_CLIENT);
	build_attr(&b, "from", "romeo@montague.example/orchard");
	build_attr(&b, "to", to);
	build_attr(&b, "id", "1");
	build_attr(&b, "type", type);
	return build_end(&b);
}

static struct sessions *sessions_of(enum who who)
{
	struct sessions *s;

	if (who == NONE)
		return NULL;
	s = xcalloc(1, sizeof(*s) + 2 * sizeof(s->at[0]));
	s->n = who == MIXED ? 2 : 1;
	s->at[0].available = who != CONNECTED;
	s->at[0].priority = who == NEGATIVE ? -1 : who == MIXED ? 5 : 0;
	s->at[1].available = true;
	s->at[1].priority = -3;
	return s;
}

struct row {
	const char *section;
	enum stanza_kind kind;
	const char *type;
	const char *to;
	enum who who;
	bool match; /* of the full JID */
	enum verdict verdict;
	int detail; /* enum local_to, enum iq_scope or enum stanza_error */
};

static const char bare[] = "juliet@capulet.example";
static const char full[] = "juliet@capulet.example/balcony";
static const char domain[] = "capulet.example";
static const char domain_resource[] = "capulet.example/x";
#define M STANZA_MESSAGE
#define P STANZA_PRESENCE
#define I STANZA_IQ
#define UNAVAILABLE ERR_SERVICE_UNAVAILABLE

static const struct row rows[] = {
	/* RFC 6120 §10.5.1, §10.5.2: the server itself. */
	{ "6120 10.5.1", I, "get", domain, NONE, false, ROUTE_DISPATCH, IQ_LOCAL },
	{ "6120 10.5.1", I, "set", domain, NONE, false, ROUTE_DISPATCH, IQ_LOCAL },
	{ "6120 10.5.1", I, "result", domain, NONE, false, ROUTE_DROP, 0 },
	{ "6120 10.5.1", I, "error", domain, NONE, false, ROUTE_DROP, 0 },
	{ "6120 10.5.1", M, "chat", domain, NONE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "6120 10.5.1", M, "error", domain, NONE, false, ROUTE_DROP, 0 },
	{ "6120 10.5.1", P, NULL, domain, NONE, false, ROUTE_DROP, 0 },
	{ "6120 10.5.2", I, "get", domain_resource, NONE, false, ROUTE_BOUNCE, UNAVAILABLE },
	/* RFC 6121 §8.5.2.1: bare JID, at least one available resource. */
	{ "8.5.2.1.1", M, NULL, bare, AVAILABLE, false, ROUTE_DELIVER, LOCAL_BEST },
	{ "8.5.2.1.1", M, "normal", bare, AVAILABLE, false, ROUTE_DELIVER, LOCAL_BEST },
	{ "8.5.2.1.1", M, "chat", bare, AVAILABLE, false, ROUTE_DELIVER, LOCAL_BEST },
	{ "8.5.2.1.1", M, "chat", bare, MIXED, false, ROUTE_DELIVER, LOCAL_BEST },
	{ "8.5.2.1.1", M, "headline", bare, AVAILABLE, false, ROUTE_DELIVER, LOCAL_NOT_NEGATIVE },
	{ "8.5.2.1.1", M, "groupchat", bare, AVAILABLE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.2.1.1", M, "error", bare, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.2.1.1", M, "unknown-type", bare, AVAILABLE, false, ROUTE_DELIVER, LOCAL_BEST },
	{ "8.5.2.1.2", P, NULL, bare, AVAILABLE, false, ROUTE_DELIVER, LOCAL_AVAILABLE },
	{ "8.5.2.1.2", P, "unavailable", bare, NEGATIVE, false, ROUTE_DELIVER, LOCAL_AVAILABLE },
	{ "8.5.2.1.3", I, "get", bare, AVAILABLE, false, ROUTE_DISPATCH, IQ_SM },
	{ "8.5.2.1.3", I, "set", bare, AVAILABLE, false, ROUTE_DISPATCH, IQ_SM },
	{ "8.5.2.1.3", I, "result", bare, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.2.1.3", I, "error", bare, AVAILABLE, false, ROUTE_DROP, 0 },
	/* §8.5.2.2: bare JID, none available, or none but with negative priority. */
	{ "8.5.2.2.1", M, "normal", bare, CONNECTED, false, ROUTE_STORE, UNAVAILABLE },
	{ "8.5.2.2.1", M, "chat", bare, NONE, false, ROUTE_STORE, UNAVAILABLE },
	{ "8.5.2.2.1", M, "chat", bare, NEGATIVE, false, ROUTE_STORE, UNAVAILABLE },
	{ "8.5.2.2.1", M, "groupchat", bare, NONE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.2.2.1", M, "headline", bare, NONE, false, ROUTE_DROP, 0 },
	{ "8.5.2.2.1", M, "headline", bare, NEGATIVE, false, ROUTE_DROP, 0 },
	{ "8.5.2.2.1", M, "error", bare, NONE, false, ROUTE_DROP, 0 },
	{ "8.5.2.2.2", P, NULL, bare, CONNECTED, false, ROUTE_DROP, 0 },
	{ "8.5.2.2.3", I, "get", bare, CONNECTED, false, ROUTE_DISPATCH, IQ_SM },
	/* §8.5.3.1: full JID of a connected resource. */
	{ "8.5.3.1", M, "normal", full, AVAILABLE, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", M, "headline", full, NEGATIVE, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", M, "chat", full, AVAILABLE, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", M, "groupchat", full, CONNECTED, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", M, "error", full, NEGATIVE, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", P, NULL, full, AVAILABLE, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", P, "unavailable", full, AVAILABLE, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", P, "subscribe", full, AVAILABLE, true, ROUTE_ACCOUNT, 0 },
	{ "8.5.3.1", P, "probe", full, AVAILABLE, true, ROUTE_ACCOUNT, 0 },
	{ "8.5.3.1", P, "unsubscribed", full, AVAILABLE, true, ROUTE_ACCOUNT, 0 },
	{ "8.5.2.1.2", P, "subscribe", bare, AVAILABLE, false, ROUTE_ACCOUNT, 0 },
	{ "8.5.2.1.2", P, "probe", bare, AVAILABLE, false, ROUTE_ACCOUNT, 0 },
	{ "8.5.2.2.2", P, "subscribed", bare, NONE, false, ROUTE_ACCOUNT, 0 },
	{ "8.5.2.2.2", P, "probe", bare, NONE, false, ROUTE_ACCOUNT, 0 },
	{ "8.5.2.2.2", P, "wrong", bare, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.3.1", I, "get", full, CONNECTED, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", I, "result", full, AVAILABLE, true, ROUTE_DELIVER, LOCAL_ONE },
	/* §8.5.3.2: full JID that matches nobody. */
	{ "8.5.3.2.1", M, "normal", full, AVAILABLE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.3.2.1", M, "groupchat", full, AVAILABLE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.3.2.1", M, "headline", full, AVAILABLE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.3.2.1", M, "chat", full, AVAILABLE, false, ROUTE_DELIVER, LOCAL_BEST },
	{ "8.5.3.2.1", M, "normal", full, NONE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.3.2.1", M, "chat", full, NONE, false, ROUTE_STORE, UNAVAILABLE },
	{ "8.5.3.2.1", M, "chat", full, NEGATIVE, false, ROUTE_STORE, UNAVAILABLE },
	{ "8.5.3.2.1", M, "error", full, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.3.2.2", P, NULL, full, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.3.2.2", P, "unavailable", full, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.3.2.2", P, "subscribe", full, AVAILABLE, false, ROUTE_ACCOUNT, 0 },
	{ "8.5.3.2.2", P, "subscribed", full, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.3.2.2", P, "unsubscribe", full, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.3.2.2", P, "unsubscribed", full, NONE, false, ROUTE_DROP, 0 },
	{ "8.5.3.2.2", P, "probe", full, AVAILABLE, false, ROUTE_ACCOUNT, 0 },
	{ "8.5.3.2.2", P, "error", full, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.3.2.3", I, "get", full, AVAILABLE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.3.2.3", I, "set", full, NONE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.3.2.3", I, "result", full, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.3.2.3", I, "error", full, NONE, false, ROUTE_DROP, 0 },
};

static int detail_of(const struct local_decision *d)
{
	switch (d->verdict) {
	case ROUTE_DELIVER:
		return d->to;
	case ROUTE_DISPATCH:
		return d->scope;
	case ROUTE_BOUNCE:
	case ROUTE_STORE:
		return d->error;
	default:
		return 0;
	}
}

Test(local, decides_as_the_tables_say)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct stanza *s = make(r->kind, r->type, r->to);
		struct sessions *all = sessions_of(r->who);
		struct local_decision d = local_decide(s, all, r->match ? &all->at[0] : NULL);

		cr_expect_eq(d.verdict, r->verdict, "§%s row %zu: verdict %d, not %d", r->section,
			i, d.verdict, r->verdict);
		cr_expect_eq(detail_of(&d), r->detail, "§%s row %zu: detail %d, not %d", r->section,
			i, detail_of(&d), r->detail);
		free(all);
		stanza_unref(s);
	}
}

/* --- with a server --------------------------------------------------------------------------- */

static struct heard romeo;
static struct accounts accounts;
static _Atomic unsigned asked;

static int answer(const struct iq *iq UNUSED, struct builder *b UNUSED)
{
	atomic_fetch_add(&asked, 1);
	return 0;
}

static const struct iq_handler_spec handler = { .scope = IQ_SM,
	.ns = "urn:example:account",
	.types = IQ_FOR_BOTH,
	.disc = { IQ_NO_QUEUE, 0, 0 },
	.fn = answer };

static void begin(void)
{
	world_begin();
	cr_assert_eq(route_register_service("montague.example", heard_service, &romeo), 0);
	accounts_begin(&accounts, world_host);
	cr_assert_eq(accounts_create(&accounts, world_host, "juliet", "secret"), 0);
	cr_assert_eq(auth_start(NULL), 0);
	cr_assert_eq(iq_register(world_host, &handler), 0);
}

static void end(void)
{
	iq_unregister(world_host, IQ_SM, handler.ns);
	auth_stop();
	route_unregister("montague.example");
	heard_forget(&romeo);
	world_end();
	accounts_end(&accounts);
}

TestSuite(local_route, .init = begin, .fini = end);

/* RFC 6121 §8.5.1 and §8.5.2.2.3: the server answers for an account that is there, connected or
 * not, and nobody learns more of one that is not than of one that does not answer. */
static const struct {
	const char *section, *from, *to;
	bool connected, away; /* the account's client; the accounts' database */
	unsigned asked;
	const char *answer;
} questions[] = {
	{ "8.5.2.1.3", "romeo@montague.example/r", "juliet@capulet.example", true, false, 1,
		"type='result'" },
	{ "8.5.2.2.3", "romeo@montague.example/r", "juliet@capulet.example", false, false, 1,
		"type='result'" },
	{ "8.5.1", "romeo@montague.example/r", "nobody@capulet.example", false, false, 0,
		"<service-unavailable " },
	{ "8.5.2.1.3", "romeo@montague.example/r", "juliet@capulet.example", true, true, 1,
		"type='result'" }, /* no need to ask whether there is one */
	{ "8.5.1", "romeo@montague.example/r", "juliet@capulet.example", false, true, 0,
		"<internal-server-error " },
};

Test(local_route, answers_for_accounts_that_are_there)
{
	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		AUTO(free_ptr)
		char *text = xprintf("<iq xmlns='jabber:client' type='get' id='%zu' "
				     "from='%s' to='%s'>"
				     "<q xmlns='urn:example:account'/></iq>",
			i, questions[i].from, questions[i].to);
		struct client *c = questions[i].connected ? client_new("r", 1) : NULL;

		asked = 0;
		accounts.away = questions[i].away;
		cr_expect_eq(world_send(0, text), ROUTE_DISPATCH);
		cr_assert(heard_wait(&romeo, 1), "§%s row %zu", questions[i].section, i);
		cr_expect(strstr(heard_last(&romeo), questions[i].answer), "§%s row %zu: %s",
			questions[i].section, i, heard_last(&romeo));
		cr_expect_eq(asked, questions[i].asked, "§%s row %zu", questions[i].section, i);
		heard_forget(&romeo);
		if (c)
			client_free(c);
	}
}

Test(local_route, answers_for_ones_own_account_without_asking_whether_it_exists)
{
	accounts.away = true;
	world_send(0,
		"<iq xmlns='jabber:client' type='set' id='1' "
		"from='juliet@capulet.example/unbound' to='juliet@capulet.example'>"
		"<q xmlns='urn:example:account'/></iq>");
	cr_expect_eq(asked, 1);
}

static enum hook_next keep(void *subject, void *arg)
{
	struct stanza *s = subject;

	cr_expect_eq(s->kind, STANZA_MESSAGE);
	++*(unsigned *)arg;
	return HOOK_STOP;
}

#define MESSAGE(type)                                                                     \
	"<message xmlns='jabber:client' type='" type "' from='romeo@montague.example/r' " \
	"to='juliet@capulet.example'/>"

/* RFC 6121 §8.5.2.2.1: stored where somebody stores, else returned. */
Test(local_route, offers_a_message_that_found_nobody)
{
	unsigned kept = 0;

	cr_expect_eq(world_send(0, MESSAGE("chat")), ROUTE_BOUNCE);
	cr_expect(strstr(heard_last(&romeo), "<service-unavailable "));
	heard_forget(&romeo);
	cr_assert_eq(hook_add(world_host->hooks, &offline_message_hook, 50, keep, &kept), 0);
	cr_expect_eq(world_send(0, MESSAGE("chat")), ROUTE_STORE);
	cr_expect_eq(world_send(1, MESSAGE("normal")), ROUTE_STORE);
	cr_expect_eq(kept, 2);
	cr_expect_eq(world_send(1, MESSAGE("headline")), ROUTE_DROP);
	cr_expect_eq(kept, 2, "a headline is of now");
	cr_expect_eq(romeo.n, 0);
	hook_remove(world_host->hooks, &offline_message_hook, 50, keep, &kept);
}
