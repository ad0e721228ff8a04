/* route(), deliver() and sessions with real shards: stanzas reach whom the rules name, on the same
 * shard and across; what cannot be delivered comes back. */
#include "tests/support/router_world.h"
#include "xml/builder.h"

TestSuite(route, .init = world_begin, .fini = world_end);
TestSuite(session, .init = world_begin, .fini = world_end);

#define CHAT(to) "<message xmlns='jabber:client' type='chat' to='" to "'><body>x</body></message>"

Test(route, reaches_a_full_jid_on_either_shard)
{
	struct client *here = client_new("here", 0), *there = client_new("there", 1);

	cr_assert_eq(client_send(here, CHAT("juliet@capulet.example/there")), ROUTE_DELIVER);
	cr_assert_eq(there->n, 1);
	cr_assert(strstr(client_last(there), "from='juliet@capulet.example/here'"));
	cr_assert(strstr(client_last(there), "<body>x</body>"));
	cr_assert_eq(client_send(here, CHAT("juliet@capulet.example/here")), ROUTE_DELIVER);
	cr_assert_eq(here->n, 1);
	client_free(here);
	client_free(there);
}

Test(route, bounces_what_is_for_another_server)
{
	struct client *c = client_new("a", 0);

	cr_assert_eq(client_send(c, CHAT("romeo@montague.example")), ROUTE_FORWARD);
	cr_assert_eq(c->n, 1);
	cr_assert(strstr(client_last(c), "remote-server-not-found"), "%s", client_last(c));
	client_free(c);
}

Test(route, answers_no_error_with_an_error)
{
	struct client *c = client_new("a", 0);

	client_send(c, "<message xmlns='jabber:client' type='error' to='romeo@montague.example'/>");
	cr_assert_eq(c->n, 0);
	client_free(c);
}

Test(route, prefers_the_highest_priority)
{
	struct client *low = client_new("low", 0), *high = client_new("high", 1);

	client_send(low, "<presence xmlns='jabber:client'><priority>1</priority></presence>");
	client_send(high, "<presence xmlns='jabber:client'><priority>9</priority></presence>");
	client_forget(low);
	client_forget(high);
	cr_assert_eq(client_send(low, CHAT("juliet@capulet.example")), ROUTE_DELIVER);
	cr_assert_eq(low->n, 0);
	cr_assert_eq(high->n, 1);
	client_free(low);
	client_free(high);
}

struct handing {
	struct client *to;
	struct stanza *stanza;
	enum deliver_copies copies;
};

static void hand(void *arg)
{
	struct handing *h = arg;

	deliver(h->to->session.id, h->stanza, h->copies);
}

static void leave(void *arg)
{
	directory_leave(&((struct client *)arg)->session);
}

/* b was found in the directory, then left: what only b would have got goes to a instead. */
static unsigned arrivals_after_leaving(enum deliver_copies copies)
{
	struct client *a = client_new("a", 0), *b = client_new("b", 1);
	struct handing h = { b, stanza_of(CHAT("juliet@capulet.example/b")), copies };
	unsigned n;

	client_send(a, "<presence xmlns='jabber:client'/>");
	client_forget(a);
	on_shard(1, leave, b);
	b->deaf = true;
	stanza_read_head(h.stanza);
	stanza_set_from(h.stanza, a->session.jid);
	stanza_seal(h.stanza);
	on_shard(0, hand, &h);
	settle();
	n = a->n;
	cr_assert_eq(b->n, 0);
	stanza_unref(h.stanza);
	client_free(a);
	client_free(b);
	return n;
}

Test(route, gives_a_message_back_when_its_receiver_is_leaving)
{
	cr_assert_eq(arrivals_after_leaving(DELIVER_SOLE), 1);
}

Test(route, drops_a_copy_when_its_receiver_is_leaving)
{
	cr_assert_eq(arrivals_after_leaving(DELIVER_COPY), 0);
}

static void echo(void *arg, struct stanza *s)
{
	struct builder b;

	*(unsigned *)arg += 1;
	build_begin(&b, "message", NS_CLIENT);
	build_attr_jid(&b, "from", s->to);
	build_attr_jid(&b, "to", s->from);
	route(build_end(&b));
}

Test(route, calls_a_service_until_it_is_withdrawn)
{
	struct client *c = client_new("a", 0);
	unsigned calls = 0;

	cr_assert_eq(route_register_service("echo.capulet.example", echo, &calls), 0);
	cr_assert_eq(route_register_service("echo.capulet.example", echo, &calls), ROUTE_TAKEN);
	cr_assert_eq(route_register_service(WORLD_HOST, echo, &calls), ROUTE_TAKEN);
	cr_assert_eq(client_send(c, CHAT("echo.capulet.example")), ROUTE_SERVICE);
	cr_assert_eq(calls, 1);
	cr_assert_eq(c->n, 1);
	cr_assert_eq(route_count(), 2);
	route_unregister("echo.capulet.example");
	cr_assert_eq(client_send(c, CHAT("echo.capulet.example")), ROUTE_FORWARD);
	cr_assert_eq(calls, 1);
	client_free(c);
}

Test(session, tells_its_own_resources) /* RFC 6121 §4.2.2, §4.4.2, §4.5.2 */
{
	struct client *a = client_new("a", 0), *b = client_new("b", 1);

	client_send(a, "<presence xmlns='jabber:client'><show>away</show></presence>");
	cr_assert_eq(a->n, 1, "its own presence comes back");
	cr_assert_eq(b->n, 0, "b is not available yet");
	client_send(b, "<presence xmlns='jabber:client'/>");
	cr_assert_eq(a->n, 2);
	cr_assert_eq(b->n, 2, "its own and a's");
	cr_assert(strstr(b->text[0], "away") || strstr(b->text[1], "away"));
	client_send(a, "<presence xmlns='jabber:client' type='unavailable'/>");
	cr_assert_eq(b->n, 3);
	cr_assert(strstr(client_last(b), "type='unavailable'"));
	cr_assert_not(directory_find_full(a->session.jid)->available);
	client_free(a);
	client_free(b);
}

Test(session, takes_directed_presence_back) /* RFC 6121 §4.6.3 */
{
	struct client *a = client_new("a", 0), *b = client_new("b", 1);

	client_send(a, "<presence xmlns='jabber:client' to='juliet@capulet.example/b'/>");
	cr_assert_eq(b->n, 1);
	client_free(a);
	settle();
	cr_assert_eq(b->n, 2);
	cr_assert(strstr(client_last(b), "type='unavailable'"));
	client_free(b);
}

Test(session, refuses_a_bad_priority) /* RFC 6121 §4.7.2.3 */
{
	struct client *a = client_new("a", 0);

	client_send(a, "<presence xmlns='jabber:client'><priority>128</priority></presence>");
	cr_assert(strstr(client_last(a), "bad-request"), "%s", client_last(a));
	cr_assert_not(directory_find_full(a->session.jid)->available);
	client_send(a, "<presence xmlns='jabber:client'><priority>-128</priority></presence>");
	cr_assert(directory_find_full(a->session.jid)->available);
	client_free(a);
}
