/* bench/micro_xml.c - a peer's bytes to stanzas, stanzas to bytes, texts to addresses. */
#include <stdlib.h>
#include <string.h>

#include "bench/micro.h"
#include "core/mem.h"
#include "tests/support/on_shard.h"
#include "xml/builder.h"
#include "xml/parser.h"

#define HEADER                                                                    \
	"<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0'" \
	" to='montague.example' xmlns:stream='http://etherx.jabber.org/streams'>"
#define BODY                                                                       \
	"Thou knowest the mask of night is on my face, else would a maiden blush " \
	"bepaint my cheek."
#define CHAT                                                                      \
	"<message to='juliet@capulet.example/balcony' type='chat' id='ktx72v49'>" \
	"<body>" BODY "</body>"                                                   \
	"<active xmlns='http://jabber.org/protocol/chatstates'/></message>"
#define LARGE_BODY_BYTES 20000

static const struct parser_limits limits = { 262144, PARSER_DEPTH, PARSER_ATTRS };

/* ---- reading ---- */

static struct parser_pool *pool;
static struct parser *parser;
static char *large; /* owned: a message of 20 KB */

static bool read_start(void *arg, const struct stanza *head, const char *default_ns)
{
	(void)arg, (void)head, (void)default_ns;
	return true;
}

static bool read_stanza(void *arg, struct stanza *s)
{
	(void)arg;
	micro_keep(s);
	stanza_unref(s);
	return true;
}

static bool read_end(void *arg)
{
	(void)arg;
	return true;
}

static const struct parser_events events = { read_start, read_stanza, read_end };

ON_SHARD static void feed(const char *text, size_t len)
{
	size_t used;

	REQUIRE(parser_feed(parser, text, len, &used) == PARSER_OK);
}

static void begin_here(void *unused UNUSED)
{
	shard_check(NULL);
	pool = parser_pool_new(20000);
	parser = parser_new(pool, &limits, &events, NULL);
	feed(HEADER, sizeof(HEADER) - 1);
}

static void end_here(void *unused UNUSED)
{
	shard_check(NULL);
	parser_free(parser);
	parser_pool_free(pool);
}

static void begin_reading(const struct micro *m UNUSED)
{
	char *body = xmalloc(LARGE_BODY_BYTES + 1);

	for (unsigned i = 0; i < LARGE_BODY_BYTES; i++)
		body[i] = BODY[i % (sizeof(BODY) - 1)];
	body[LARGE_BODY_BYTES] = 0;
	large = xprintf("<message to='juliet@capulet.example/balcony' type='chat' id='ktx72v49'>"
			"<body>%s</body></message>",
		body);
	free(body);
	on_shard(0, begin_here, NULL);
}

static void end_reading(const struct micro *m UNUSED)
{
	on_shard(0, end_here, NULL);
	free(large);
}

static void chat_here(void *n)
{
	shard_check(NULL);
	for (unsigned i = 0; i < *(unsigned *)n; i++)
		feed(CHAT, sizeof(CHAT) - 1);
}

static void large_here(void *n)
{
	size_t len = strlen(large);

	shard_check(NULL);
	for (unsigned i = 0; i < *(unsigned *)n; i++)
		feed(large, len);
}

static void login_here(void *n)
{
	static const char auth[] =
		"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>"
		"biwsbj1yb21lbyxyPWZ5a28rZDJsYmJGZ09OUnY5cWt4ZGF3TA==</auth>";
	static const char response[] =
		"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>Yz1iaXdzLHI9ZnlrbytkMmxiYkZnT05"
		"Sdjlxa3hkYXdMM3JmY05IWUpZMVpWdldWczdqLHA9djBYOHYzQnoyVDBDSkdiSlF5RjBYK0hJNFRzPQ=="
		"</response>";
	static const char bind[] =
		"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
		"<resource>orchard</resource></bind></iq>";

	shard_check(NULL);
	for (unsigned i = 0; i < *(unsigned *)n; i++) {
		parser_reset(parser);
		feed(HEADER, sizeof(HEADER) - 1);
		feed(auth, sizeof(auth) - 1);
		feed(response, sizeof(response) - 1);
		parser_reset(parser);
		feed(HEADER, sizeof(HEADER) - 1);
		feed(bind, sizeof(bind) - 1);
		feed("<presence/>", sizeof("<presence/>") - 1);
	}
}

static void read_chat(const struct micro *m UNUSED, unsigned n)
{
	on_shard(0, chat_here, &n);
}

static void read_large(const struct micro *m UNUSED, unsigned n)
{
	on_shard(0, large_here, &n);
}

static void read_login(const struct micro *m UNUSED, unsigned n)
{
	on_shard(0, login_here, &n);
}

/* ---- writing ---- */

static struct stanza *forwarded, *request, *built;

static struct stanza *make_answer(void)
{
	static const char *const features[] = { NS_DISCO_INFO, NS_PING, NS_VERSION };
	struct builder b;

	build_iq_result(&b, request);
	build_open(&b, "query", NS_DISCO_INFO);
	build_open(&b, "identity", NULL);
	build_attr(&b, "category", "server");
	build_attr(&b, "type", "im");
	build_close(&b);
	for (unsigned i = 0; i < ARRAY_LEN(features); i++) {
		build_open(&b, "feature", NULL);
		build_attr(&b, "var", features[i]);
		build_close(&b);
	}
	build_close(&b);
	return build_end(&b);
}

static struct stanza *of_text(const char *text)
{
	struct stanza *s;
	struct jid *from;

	REQUIRE(parse_stanza(text, strlen(text), &limits, &s) == PARSER_OK);
	REQUIRE(jid_make("romeo", "montague.example", "orchard", &s->arena, &from) == JID_OK);
	stanza_set_from(s, from);
	stanza_seal(s);
	return s;
}

static void begin_writing(const struct micro *m UNUSED)
{
	forwarded = of_text(CHAT);
	request = of_text("<iq type='get' id='d1' to='montague.example'>"
			  "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
	built = make_answer();
}

static void end_writing(const struct micro *m UNUSED)
{
	stanza_unref(forwarded);
	stanza_unref(request);
	stanza_unref(built);
}

static void write_of(const struct stanza *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct buf *b = stanza_write(s);

		micro_keep(b);
		buf_unref(b);
	}
}

static void write_forwarded(const struct micro *m UNUSED, unsigned n)
{
	write_of(forwarded, n);
}

static void write_built(const struct micro *m UNUSED, unsigned n)
{
	write_of(built, n);
}

static void build(const struct micro *m UNUSED, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct stanza *s = make_answer();

		micro_keep(s);
		stanza_unref(s);
	}
}

/* ---- addresses ---- */

static void parse_jids(const char *text, unsigned n)
{
	size_t len = strlen(text);

	for (unsigned i = 0; i < n; i++) {
		struct arena a;
		char first[512];
		struct jid *j;

		arena_init(&a, first, sizeof(first));
		REQUIRE(jid_parse(text, len, &a, &j) == JID_OK);
		micro_keep(j);
		arena_fini(&a);
	}
}

static void jid_plain(const struct micro *m UNUSED, unsigned n)
{
	parse_jids("juliet@capulet.example/balcony", n);
}

static void jid_mixed(const struct micro *m UNUSED, unsigned n)
{
	parse_jids("Juliet@Capulet.Example/Balcony", n);
}

static void jid_unicode(const struct micro *m UNUSED, unsigned n)
{
	parse_jids("Jürgen@bücher.example/Büro 3", n);
}

const struct micro micros_xml[] = { { "parser: a chat message", 0, begin_reading, read_chat,
					    end_reading },
	{ "parser: a message of 20 KB", 0, begin_reading, read_large, end_reading },
	{ "parser: a login's pieces", 0, begin_reading, read_login, end_reading },
	{ "serialiser: a forwarded message", 0, begin_writing, write_forwarded, end_writing },
	{ "serialiser: a built result", 0, begin_writing, write_built, end_writing },
	{ "builder: that result", 0, begin_writing, build, end_writing },
	{ "jid: lower-case ASCII", 0, NULL, jid_plain, NULL },
	{ "jid: mixed-case ASCII", 0, NULL, jid_mixed, NULL },
	{ "jid: Unicode", 0, NULL, jid_unicode, NULL }, { 0 } };
