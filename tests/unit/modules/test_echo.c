/* tests/unit/modules/test_echo.c - the developer's guide §8.2: route(To, From, Packet). */
#include "tests/support/hearing.h"
#include "tests/support/hosting.h"

static struct host *h;
static struct heard romeo;

static void begin(void)
{
	h = hosting_begin("localhost");
	cr_assert_eq(shards_start(1), 0);
	cr_assert_eq(start_modules(h, "mod_echo: {}"), 0);
	cr_assert_eq(route_register_service("montague.net", heard_service, &romeo), 0);
}

static void end(void)
{
	heard_forget(&romeo);
	route_unregister("montague.net");
	registry_stop_host(h);
	shards_stop();
	hosting_end(h);
}
TestSuite(echo, .init = begin, .fini = end);

static const struct {
	const char *sent, *back;
} stanzas[] = {
	{ "<message xmlns='jabber:client' from='romeo@montague.net/orchard' to='echo.localhost' "
	  "type='chat' id='m1' xml:lang='it'><body>Ciao &amp; &lt;addio&gt;</body>"
	  "<x xmlns='urn:example:x' a='1'><y/></x></message>",
		"<message from='echo.localhost' to='romeo@montague.net/orchard' type='chat' "
		"id='m1' xml:lang='it'><body>Ciao &amp; &lt;addio&gt;</body>"
		"<x xmlns='urn:example:x' a='1'><y/></x></message>" },
	{ "<message xmlns='jabber:client' from='romeo@montague.net' to='any@echo.localhost/r'/>",
		"<message from='any@echo.localhost/r' to='romeo@montague.net'/>" },
	{ "<presence xmlns='jabber:client' from='romeo@montague.net/o' to='echo.localhost'>"
	  "<priority>5</priority></presence>",
		"<presence from='echo.localhost' to='romeo@montague.net/o'><priority>5</priority>"
		"</presence>" },
	{ "<iq xmlns='jabber:client' from='romeo@montague.net/o' to='echo.localhost' type='get' "
	  "id='i1'><query xmlns='jabber:iq:version'/></iq>",
		"<iq from='echo.localhost' to='romeo@montague.net/o' type='get' id='i1'>"
		"<query xmlns='jabber:iq:version'/></iq>" },
};

Test(echo, sends_back_with_the_addresses_swapped)
{
	for (size_t i = 0; i < ARRAY_LEN(stanzas); i++) {
		send_from(0, stanzas[i].sent);
		cr_assert(heard_wait(&romeo, 1), "%s", stanzas[i].sent);
		cr_expect_str_eq(romeo.text[0], stanzas[i].back);
		heard_forget(&romeo);
	}
}

static const char *const answers[] = {
	"<iq xmlns='jabber:client' from='romeo@montague.net/o' to='echo.localhost' type='result' "
	"id='1'/>",
	"<iq xmlns='jabber:client' from='romeo@montague.net/o' to='echo.localhost' type='error' "
	"id='1'/>",
	"<message xmlns='jabber:client' from='romeo@montague.net/o' to='echo.localhost' "
	"type='error'/>",
	"<presence xmlns='jabber:client' from='romeo@montague.net/o' to='echo.localhost' "
	"type='error'/>",
};

Test(echo, answers_are_not_answered)
{
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		send_from(0, answers[i]);
		on_shard(0, do_nothing, NULL);
		cr_expect_eq(romeo.n, 0, "%s", answers[i]);
	}
}
