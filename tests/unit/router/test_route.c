/* route() with real shards: stanzas go to a domain of ours, to a service or come back. Who of an
 * account receives what is test_local's and test_deliver's. */
#include "tests/support/router_world.h"
#include "xml/builder.h"

TestSuite(route, .init = world_begin, .fini = world_end);

#define CHAT(to) "<message xmlns='jabber:client' type='chat' to='" to "'><body>x</body></message>"

Test(route, reaches_a_full_jid_on_either_shard)
{
	struct client *here = client_new("here", 0), *there = client_new("there", 1);

	cr_assert_eq(client_send(here, CHAT("juliet@capulet.example/there")), ROUTE_DELIVER);
	cr_assert_eq(there->heard.n, 1);
	cr_assert(strstr(heard_last(&there->heard), "from='juliet@capulet.example/here'"));
	cr_assert(strstr(heard_last(&there->heard), "<body>x</body>"));
	cr_assert_eq(client_send(here, CHAT("juliet@capulet.example/here")), ROUTE_DELIVER);
	cr_assert_eq(here->heard.n, 1);
	client_free(here);
	client_free(there);
}

Test(route, bounces_what_is_for_another_server)
{
	struct client *c = client_new("a", 0);

	cr_assert_eq(client_send(c, CHAT("romeo@montague.example")), ROUTE_FORWARD);
	cr_assert_eq(c->heard.n, 1);
	cr_assert(strstr(heard_last(&c->heard), "remote-server-not-found"), "%s",
		heard_last(&c->heard));
	client_free(c);
}

/* RFC 6120 §8.3.1: a stanza of type error is never answered with one; nor is an iq's result. */
Test(route, answers_no_error_with_an_error)
{
	static const char *const quiet[] = {
		"<message xmlns='jabber:client' type='error' to='romeo@montague.example'/>",
		"<presence xmlns='jabber:client' type='error' to='romeo@montague.example'/>",
		"<iq xmlns='jabber:client' type='error' id='1' to='romeo@montague.example'/>",
		"<iq xmlns='jabber:client' type='result' id='1' to='romeo@montague.example'/>",
	};
	struct client *c = client_new("a", 0);

	for (size_t i = 0; i < ARRAY_LEN(quiet); i++) {
		client_send(c, quiet[i]);
		cr_assert_eq(c->heard.n, 0, "%s", quiet[i]);
	}
	client_free(c);
}

static void echo(void *arg, struct stanza *s)
{
	struct builder b;

	shard_check(NULL);
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
	cr_assert_eq(c->heard.n, 1);
	cr_assert_eq(route_count(), 2);
	route_unregister("echo.capulet.example");
	cr_assert_eq(client_send(c, CHAT("echo.capulet.example")), ROUTE_FORWARD);
	cr_assert_eq(calls, 1);
	client_free(c);
}

Test(route, another_service_takes_the_place_of_one)
{
	struct client *c = client_new("a", 0);
	unsigned first = 0, second = 0;

	cr_expect_not(
		route_replace_service("echo.capulet.example", echo, &second), "there is none");
	cr_expect_not(route_replace_service(WORLD_HOST, echo, &second), "a host's");
	cr_assert_eq(route_register_service("echo.capulet.example", echo, &first), 0);
	cr_expect(route_replace_service("echo.capulet.example", echo, &second));
	cr_expect_eq(route_count(), 2);
	cr_assert_eq(client_send(c, CHAT("echo.capulet.example")), ROUTE_SERVICE);
	cr_expect_eq(first, 0);
	cr_expect_eq(second, 1);
	route_unregister("echo.capulet.example");
	cr_assert_eq(client_send(c, CHAT("echo.capulet.example")), ROUTE_FORWARD);
	cr_expect(route_has(WORLD_HOST));
	client_free(c);
}

static void collect_host(struct host *h, void *arg)
{
	*(struct host **)arg = h;
}

Test(route, finds_hosts_by_domain)
{
	struct host *only = NULL;

	cr_expect_eq(route_host(WORLD_HOST), world_host);
	cr_expect_null(route_host("montague.example"));
	cr_expect(route_has(WORLD_HOST));
	cr_expect_not(route_has("montague.example"));
	cr_assert_eq(route_register_service("echo.capulet.example", echo, NULL), 0);
	cr_expect(route_has("echo.capulet.example"));
	cr_expect_null(route_host("echo.capulet.example"), "a service is no host");
	route_each_host(collect_host, &only);
	cr_expect_eq(only, world_host);
	route_unregister("echo.capulet.example");
	route_unregister("echo.capulet.example"); /* twice is nothing */
}

/* The name that streams to no host of ours are answered with is always a host's, as long as there
 * is one. */
Test(route, has_a_name_of_its_own)
{
	struct host *other = host_new("montague.example", host_conf_new());

	cr_expect_str_eq(route_own_name(), WORLD_HOST);
	cr_assert_eq(route_register_service("echo.capulet.example", echo, NULL), 0);
	cr_assert_eq(route_register_host(other), 0);
	cr_expect_str_eq(route_own_name(), WORLD_HOST);
	route_unregister(WORLD_HOST);
	cr_expect_str_eq(route_own_name(), "montague.example");
	route_unregister("montague.example");
	cr_expect_str_eq(route_own_name(), "", "a service is no host");
	cr_assert_eq(route_register_host(world_host), 0);
	cr_expect_str_eq(route_own_name(), WORLD_HOST);
	route_unregister("echo.capulet.example");
	host_unref(other);
}

/* From a thread that is no shard, in order of each sender: a shard is picked by the sender. */
Test(route, posts_from_any_thread_and_keeps_a_senders_order)
{
	enum { N = 40 };
	struct client *c = client_new("a", 1);
	char text[160];

	for (int i = 0; i < N; i++) {
		snprintf(text, sizeof(text),
			"<message xmlns='jabber:client' id='%d' from='nurse@capulet.example/r' "
			"to='juliet@capulet.example/a'/>",
			i);
		route_post(parse_sealed(text));
	}
	cr_assert(heard_wait(&c->heard, N));
	for (int i = 0; i < N; i++) {
		snprintf(text, sizeof(text), "id='%d'", i);
		cr_expect(strstr(c->heard.text[i], text), "%d: %s", i, c->heard.text[i]);
	}
	client_free(c);
}

/* --- what comes from another server --- */

struct entering {
	struct stanza *stanza;
	enum verdict verdict;
};

static void enter_here(void *arg)
{
	struct entering *e = arg;

	shard_check(NULL);
	e->verdict = route_foreign(e->stanza);
}

static enum verdict enter(const char *to, const char *id)
{
	AUTO(free_ptr)
	char *text =
		xprintf("<message xmlns='jabber:client' from='romeo@montague.example/r' to='%s' "
			"id='%s'/>",
			to, id);
	struct entering e = { .stanza = parse_unsealed(text) };

	on_shard(0, enter_here, &e);
	settle();
	return e.verdict;
}

/* Marks what comes, and keeps what is called so. */
static enum hook_next look(void *subject, void *arg)
{
	struct stanza *s = subject;
	struct builder b;

	shard_check(NULL);
	*(unsigned *)arg += 1;
	if (!strcmp(s->id, "kept"))
		return HOOK_STOP;
	build_more(&b, s);
	build_open(&b, "seen", "urn:example:seen");
	build_close(&b);
	return HOOK_GO_ON;
}

static void count_call(void *arg, struct stanza *s UNUSED)
{
	*(unsigned *)arg += 1;
}

Test(route, modules_see_what_comes_from_outside)
{
	struct client *c = client_new("a", 1);
	unsigned seen = 0, calls = 0;

	hook_add(world_host->hooks, &foreign_stanza_hook, 50, look, &seen);
	cr_assert_eq(route_register_service("echo.capulet.example", count_call, &calls), 0);
	cr_expect_eq(enter("juliet@capulet.example/a", "1"), ROUTE_DELIVER);
	cr_assert_eq(c->heard.n, 1);
	cr_expect(strstr(heard_last(&c->heard), "<seen xmlns='urn:example:seen'"), "%s",
		heard_last(&c->heard));
	cr_expect_eq(enter("juliet@capulet.example/a", "kept"), ROUTE_DROP);
	cr_expect_eq(c->heard.n, 1, "it goes no further");
	cr_expect_eq(seen, 2);
	cr_expect_eq(enter("echo.capulet.example", "2"), ROUTE_SERVICE);
	cr_expect_eq(calls, 1);
	cr_expect_eq(seen, 2, "a service has no modules");
	route_unregister("echo.capulet.example");
	hook_remove(world_host->hooks, &foreign_stanza_hook, 50, look, &seen);
	client_free(c);
}
