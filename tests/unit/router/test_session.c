/* Presence of a client's own with real shards: RFC 6121 §4, as far as it goes without a roster. */
#include "tests/support/router_world.h"

static struct heard romeo; /* everybody at montague.example */

static void begin(void)
{
	world_begin();
	cr_assert_eq(route_register_service("montague.example", heard_service, &romeo), 0);
}

static void end(void)
{
	route_unregister("montague.example");
	heard_forget(&romeo);
	world_end();
}

TestSuite(session, .init = begin, .fini = end);

#define PRESENCE(rest) "<presence xmlns='jabber:client'" rest
#define AVAILABLE PRESENCE("/>")
#define UNAVAILABLE PRESENCE(" type='unavailable'/>")

static bool is_available(const struct client *c)
{
	return directory_find_full(c->session.jid)->available;
}

/* --- §4.2 initial presence, §4.4 later ones, §4.5 unavailable -------------------------------- */

Test(session, tells_its_own_resources) /* §4.2.2, §4.4.2, §4.5.2 */
{
	struct client *a = client_new("a", 0), *b = client_new("b", 1);

	client_send(a, PRESENCE("><show>away</show><priority>3</priority></presence>"));
	cr_expect_eq(a->heard.n, 1, "its own presence comes back");
	cr_expect_eq(b->heard.n, 0, "b is not available yet");
	cr_expect(strstr(heard_last(&a->heard), "from='juliet@capulet.example/a'"));
	cr_expect(strstr(heard_last(&a->heard), "to='juliet@capulet.example'"));
	client_send(b, AVAILABLE);
	cr_expect_eq(a->heard.n, 2);
	cr_assert_eq(b->heard.n, 2, "its own and a's");
	cr_expect(strstr(b->heard.text[0], "away") || strstr(b->heard.text[1], "away"));
	client_send(b, PRESENCE("><show>dnd</show></presence>"));
	cr_expect_eq(a->heard.n, 3);
	cr_expect_eq(b->heard.n, 3, "a's is not told again: this one was not the first");
	client_send(a, PRESENCE(" type='unavailable'><status>bye</status></presence>"));
	cr_assert_eq(b->heard.n, 4);
	cr_expect(strstr(heard_last(&b->heard), "type='unavailable'"));
	cr_expect(strstr(heard_last(&b->heard), "<status>bye</status>"));
	cr_expect(strstr(heard_last(&a->heard), "type='unavailable'"), "and who sent it is told");
	cr_expect_not(is_available(a));
	cr_expect_eq(a->session.priority, 0);
	client_send(a, UNAVAILABLE);
	cr_expect_eq(b->heard.n, 4, "it was unavailable already");
	client_free(a);
	client_free(b);
}

Test(session, tells_a_newcomer_where_the_others_stand_now)
{
	struct client *a = client_new("a", 0), *b = client_new("b", 1), *c = client_new("c", 0);

	client_send(a, AVAILABLE);
	client_send(b, AVAILABLE);
	client_send(b, UNAVAILABLE);
	client_send(c, AVAILABLE);
	cr_expect_eq(c->heard.n, 2, "its own and a's; b has gone");
	client_send(b, AVAILABLE);
	cr_expect_eq(b->heard.n, 3 + 3, "available again: once more its own, a's and c's");
	client_free(a);
	client_free(b);
	client_free(c);
}

struct posted_presence {
	struct msg msg;
	struct client *client;
};

static sem_t held, go_on;

static void hold(struct msg *m UNUSED)
{
	sem_post(&held);
	while (sem_wait(&go_on) < 0)
		;
}

static void become_unavailable(struct msg *m)
{
	struct client *c = container_of(m, struct posted_presence, msg)->client;
	struct stanza *s = parse_unsealed(UNAVAILABLE);

	shard_check(NULL);
	stanza_set_from(s, c->session.jid);
	session_presence_out(&c->session, s);
}

static void become_available(void *arg)
{
	struct client *c = arg;
	struct stanza *s = parse_unsealed(AVAILABLE);

	shard_check(NULL);
	stanza_set_from(s, c->session.jid);
	session_presence_out(&c->session, s);
}

/* The newcomer still sees b in the directory, and its question comes when b has gone. */
Test(session, a_newcomer_is_not_told_of_one_that_has_just_gone)
{
	struct client *a = client_new("a", 0), *b = client_new("b", 1);
	struct posted_presence goes = { { .run = become_unavailable }, b };
	struct msg holding = { .run = hold };

	sem_init(&held, 0, 0);
	sem_init(&go_on, 0, 0);
	client_send(b, AVAILABLE);
	shard_post(shard_at(1), &holding);
	cr_assert(await(&held));
	shard_post(shard_at(1), &goes.msg);
	on_shard(0, become_available, a);
	sem_post(&go_on);
	settle();
	cr_assert_eq(a->heard.n, 2, "its own, and that b has gone: %u", a->heard.n);
	cr_expect(strstr(heard_last(&a->heard), "type='unavailable'"));
	client_free(a);
	client_free(b);
}

struct leaving {
	struct client *client;
	const char *status;
};

static void leave(void *arg)
{
	struct leaving *l = arg;

	shard_check(NULL);
	session_unavailable(&l->client->session, l->status);
}

/* §4.5.2: the stream has gone, so the server says it for the client; once. */
Test(session, says_unavailable_for_a_client_that_has_gone)
{
	struct client *a = client_new("a", 0), *b = client_new("b", 1);
	struct leaving l = { a, "Replaced by new connection" };

	client_becomes(a, 7);
	client_send(b, AVAILABLE);
	client_send(a, PRESENCE(" to='romeo@montague.example'/>"));
	heard_forget(&a->heard);
	heard_forget(&b->heard);
	heard_forget(&romeo);
	for (int i = 0; i < 2; i++)
		on_shard(0, leave, &l);
	settle();
	cr_expect_eq(a->heard.n, 0, "itself it is not told");
	cr_assert_eq(b->heard.n, 1);
	cr_expect(strstr(heard_last(&b->heard), "type='unavailable'"));
	cr_expect(strstr(heard_last(&b->heard), "<status>Replaced by new connection</status>"));
	cr_assert_eq(romeo.n, 1, "§4.6.3: as is whom it was directed to");
	cr_expect(strstr(heard_last(&romeo), "<status>Replaced by new connection</status>"));
	cr_expect_not(is_available(a));
	cr_expect_eq(directory_find_full(a->session.jid)->priority, 0);
	client_free(a);
	client_free(b);
}

/* --- §4.7.2.3 priority ----------------------------------------------------------------------- */

static const struct {
	const char *priority;
	bool good;
	int value;
} priorities[] = {
	{ "0", true, 0 },
	{ "5", true, 5 },
	{ "-1", true, -1 },
	{ "127", true, 127 },
	{ "-128", true, -128 },
	{ " 7\n", true, 7 },
	{ "128", false, 0 },
	{ "-129", false, 0 },
	{ "99999999999999999999", false, 0 },
	{ "", false, 0 },
	{ "high", false, 0 },
	{ "5x", false, 0 },
	{ "5 5", false, 0 },
};

Test(session, reads_a_priority)
{
	struct client *c = client_new("a", 0);
	char text[160];

	for (size_t i = 0; i < ARRAY_LEN(priorities); i++) {
		int before = c->session.priority;

		heard_forget(&c->heard);
		snprintf(text, sizeof(text), PRESENCE("><priority>%s</priority></presence>"),
			priorities[i].priority);
		client_send(c, text);
		cr_assert_eq(c->heard.n, 1);
		if (priorities[i].good) {
			cr_expect(is_available(c), "§4.7.2.3 '%s'", priorities[i].priority);
			cr_expect_eq(
				directory_find_full(c->session.jid)->priority, priorities[i].value);
		} else {
			cr_expect(strstr(heard_last(&c->heard), "<bad-request "),
				"§4.7.2.3 '%s': %s", priorities[i].priority, heard_last(&c->heard));
			cr_expect_eq(c->session.priority, before, "what was before stays");
		}
	}
	client_send(c, AVAILABLE);
	cr_expect_eq(c->session.priority, 0, "§4.7.2.3: without one it is zero");
	client_free(c);
}

/* --- who is named nowhere -------------------------------------------------------------------- */

static const struct {
	const char *section, *type;
} nameless[] = {
	{ "3.1.1", "subscribe" },
	{ "3.1.4", "subscribed" },
	{ "3.3.1", "unsubscribe" },
	{ "3.2.1", "unsubscribed" },
	{ "4.3", "probe" },
};

Test(session, refuses_what_must_name_somebody)
{
	struct client *c = client_new("a", 0);
	char text[160];

	for (size_t i = 0; i < ARRAY_LEN(nameless); i++) {
		heard_forget(&c->heard);
		snprintf(text, sizeof(text), PRESENCE(" type='%s'/>"), nameless[i].type);
		client_send(c, text);
		cr_expect(strstr(heard_last(&c->heard), "<bad-request "), "§%s: %s",
			nameless[i].section, heard_last(&c->heard));
		cr_expect(strstr(heard_last(&c->heard), "from='juliet@capulet.example'"),
			"RFC 6120 §10.3: its own account answers: %s", heard_last(&c->heard));
	}
	client_send(c, PRESENCE(" type='error'/>"));
	cr_expect_eq(c->heard.n, 1, "an error is not answered");
	client_free(c);
}

/* --- §4.6 directed presence ------------------------------------------------------------------ */

#define TO_ROMEO " to='romeo@montague.example/orchard'"

/* What is sent one after the other; how often romeo hears each kind before and after the client
 * has gone. */
static const struct {
	const char *section, *sent[4];
	unsigned before, unavailable_then;
} directed[] = {
	{ "4.6.3: told when it goes", { PRESENCE(TO_ROMEO "/>") }, 1, 1 },
	{ "4.6.3: told twice, taken back once",
		{ PRESENCE(TO_ROMEO "/>"), PRESENCE(TO_ROMEO "/>") }, 2, 1 },
	{ "4.6.3: taken back by the client itself",
		{ PRESENCE(TO_ROMEO "/>"), PRESENCE(TO_ROMEO " type='unavailable'/>") }, 2, 0 },
	{ "4.6.3: and given again",
		{ PRESENCE(TO_ROMEO "/>"), PRESENCE(TO_ROMEO " type='unavailable'/>"),
			PRESENCE(TO_ROMEO "/>") },
		3, 1 },
	{ "4.6.3: going unavailable for all tells him too",
		{ AVAILABLE, PRESENCE(TO_ROMEO "/>"), UNAVAILABLE }, 2, 0 },
	{ "4.6.3: even without having been available for all",
		{ PRESENCE(TO_ROMEO "/>"), UNAVAILABLE }, 2, 0 },
	{ "4.6.1: going unavailable for him alone tells nobody else",
		{ AVAILABLE, PRESENCE(TO_ROMEO " type='unavailable'/>") }, 1, 0 },
	{ "3.1.2: a subscription is no presence", { PRESENCE(TO_ROMEO " type='subscribe'/>") }, 1,
		0 },
	{ "4.3: nor is a probe", { PRESENCE(TO_ROMEO " type='probe'/>") }, 1, 0 },
	{ "4.4.2: what all are told is not his", { AVAILABLE, AVAILABLE }, 0, 0 },
};

Test(session, takes_directed_presence_back)
{
	for (size_t i = 0; i < ARRAY_LEN(directed); i++) {
		struct client *c = client_new("balcony", i % 2);

		for (size_t k = 0; k < ARRAY_LEN(directed[i].sent) && directed[i].sent[k]; k++)
			client_send(c, directed[i].sent[k]);
		cr_expect_eq(romeo.n, directed[i].before, "§%s: %u", directed[i].section, romeo.n);
		heard_forget(&romeo);
		client_free(c);
		cr_expect_eq(romeo.n, directed[i].unavailable_then, "§%s: %u in the end",
			directed[i].section, romeo.n);
		if (romeo.n)
			cr_expect(strstr(romeo.text[0], "type='unavailable'") &&
					strstr(romeo.text[0],
						"to='romeo@montague.example/orchard'"),
				"§%s: %s", directed[i].section, romeo.text[0]);
		heard_forget(&romeo);
	}
}

Test(session, directs_presence_to_another_of_its_own)
{
	struct client *a = client_new("a", 0), *b = client_new("b", 1);

	client_send(a, PRESENCE(" to='juliet@capulet.example/b'/>"));
	cr_expect_eq(b->heard.n, 1);
	client_free(a);
	cr_expect_eq(b->heard.n, 2);
	cr_expect(strstr(heard_last(&b->heard), "type='unavailable'"));
	client_free(b);
}

static _Atomic unsigned given, taken;

static void count_presence(void *arg UNUSED, struct stanza *s)
{
	atomic_fetch_add(s->type == PRES_AVAILABLE ? &given : &taken, 1);
}

struct directing {
	struct client *from;
	unsigned first, n;
	const char *type;
};

static void direct(void *arg)
{
	struct directing *d = arg;
	char text[160];

	shard_check(NULL);
	for (unsigned i = d->first; i < d->first + d->n; i++) {
		struct stanza *s;

		snprintf(text, sizeof(text), PRESENCE(" to='room%u@rooms.example/nick'%s/>"), i,
			d->type);
		s = parse_unsealed(text);
		stanza_set_from(s, d->from->session.jid);
		session_presence_out(&d->from->session, s);
	}
}

Test(session, remembers_a_bounded_number_of_directed_presences)
{
	struct client *c = client_new("a", 0);
	struct directing many = { c, 0, SESSION_DIRECTED_MAX, "" };
	struct directing one_more = { c, SESSION_DIRECTED_MAX, 1, "" };
	struct directing back = { c, 7, 1, " type='unavailable'" };

	cr_assert_eq(route_register_service("rooms.example", count_presence, NULL), 0);
	on_shard(0, direct, &many);
	cr_expect_eq(given, SESSION_DIRECTED_MAX);
	on_shard(0, direct, &one_more);
	cr_expect_eq(given, SESSION_DIRECTED_MAX, "not sent, since it could not be taken back");
	cr_assert_eq(c->heard.n, 1);
	cr_expect(strstr(heard_last(&c->heard), "<resource-constraint "));
	on_shard(0, direct, &back);
	on_shard(0, direct, &one_more);
	cr_expect_eq(given, SESSION_DIRECTED_MAX + 1, "room again");
	client_free(c);
	cr_expect_eq(taken, 1 + SESSION_DIRECTED_MAX, "each is told when it goes");
	route_unregister("rooms.example");
}

/* --- the hook -------------------------------------------------------------------------------- */

static char seen[64];

static enum hook_next see(void *subject, void *arg UNUSED)
{
	struct session_presence *p = subject;

	strcat(seen, p->stanza->type == PRES_UNAVAILABLE ? "u" : p->initial ? "I" : "a");
	strcat(seen, p->session->presence ? "+" : "-");
	return HOOK_GO_ON;
}

Test(session, tells_modules_of_each_change)
{
	struct client *c = client_new("a", 1);

	cr_assert_eq(hook_add(world_host->hooks, &session_presence_hook, 50, see, NULL), 0);
	client_send(c, AVAILABLE);
	client_send(c, AVAILABLE);
	client_send(c, PRESENCE("><priority>999</priority></presence>"));
	client_send(c, UNAVAILABLE);
	client_send(c, UNAVAILABLE);
	client_send(c, AVAILABLE);
	client_free(c);
	cr_expect_str_eq(seen, "I+a+u-I+u-");
	hook_remove(world_host->hooks, &session_presence_hook, 50, see, NULL);
}

/* Short ones lie in the session, long ones do not fit; either is replaced by either. */
Test(session_jid, fits_or_not)
{
	static const char *const texts[] = { "romeo@montague.example/orchard",
		"juliet@capulet.example/the-balcony-of-her-chamber-above-the-orchard-at-night",
		"nurse@capulet.example" };
	struct session *ss = xcalloc(1, sizeof(*ss));

	for (size_t i = 0; i < 2 * ARRAY_LEN(texts); i++) {
		const char *text = texts[i % ARRAY_LEN(texts)];
		char written[JID_TEXT_MAX];
		struct jid *j;

		cr_assert_eq(jid_parse(text, strlen(text), NULL, &j), JID_OK);
		session_set_jid(ss, j);
		jid_write(ss->jid, written);
		cr_expect_str_eq(written, text);
	}
	session_set_jid(ss, NULL);
	cr_expect_null(ss->jid);
	free(ss);
}
