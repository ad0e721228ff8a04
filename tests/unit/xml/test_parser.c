/* The parser: what it reports, what it refuses, and that neither depends on how bytes arrive.
 * RFC 6120 §4 (streams), §11 (XML), §13.12 (limits); XML 1.0; Namespaces in XML. */
#include <criterion/criterion.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "xml/builder.h"
#include "xml/parser.h"

#define HEADER                                                                                  \
	"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' " \
	"to='example.com' version='1.0'>"
#define SERVER_HEADER                                                                           \
	"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' " \
	"xmlns:db='jabber:server:dialback'>"

/* What the events said, one line each: S start, E element, raw element, X end. */
struct seen {
	struct buf *lines;
	struct parser *parser;
	char stop_at; /* the letter of the event that returns false, or 0 */
	bool reset; /* and resets the parser before */
	unsigned elements;
	struct stanza *last;
};

static bool note(struct seen *seen, char letter, const char *text, size_t len)
{
	buf_append_char(&seen->lines, letter);
	buf_append_char(&seen->lines, ' ');
	buf_append(&seen->lines, text, len);
	buf_append_char(&seen->lines, '\n');
	if (seen->stop_at == letter && seen->reset)
		parser_reset(seen->parser);
	return seen->stop_at != letter;
}

static bool on_start(void *arg, const struct stanza *head, const char *default_ns)
{
	char text[256];

	snprintf(text, sizeof(text), "%s {%s} default %s to %s lang %s", head->root->name,
		head->root->ns, default_ns, head->to ? jid_domain(head->to) : "-",
		head->lang ? head->lang : "-");
	return note(arg, 'S', text, strlen(text));
}

static bool on_stanza(void *arg, struct stanza *s)
{
	struct seen *seen = arg;
	struct buf *wire;
	bool go_on;

	stanza_seal(s);
	wire = stanza_wire(s);
	go_on = note(seen, s->raw ? 'R' : 'E', wire->data, wire->len);
	buf_unref(wire);
	seen->elements++;
	stanza_unref(seen->last);
	seen->last = s;
	return go_on && seen->stop_at != 'E';
}

static bool on_end(void *arg)
{
	return note(arg, 'X', "", 0);
}

static const struct parser_events events = { on_start, on_stanza, on_end };
static const struct parser_limits usual = { 65536, PARSER_DEPTH, PARSER_ATTRS };

static struct parser_pool *pool;
static struct parser *parser;
static struct seen seen;

static void begin(void)
{
	pool = parser_pool_new(1000);
	memset(&seen, 0, sizeof(seen));
	seen.lines = buf_new(256);
	seen.parser = parser = parser_new(pool, &usual, &events, &seen);
}

static void end(void)
{
	parser_free(parser);
	parser_pool_free(pool);
	buf_unref(seen.lines);
	stanza_unref(seen.last);
}

TestSuite(parser, .init = begin, .fini = end);

static void again(void)
{
	parser_reset(parser);
	seen.lines->len = 0;
	seen.elements = 0;
}

static const char *lines(void)
{
	buf_append_char(&seen.lines, 0);
	seen.lines->len--;
	return seen.lines->data;
}

static int feed(const char *text)
{
	size_t used = 0, len = strlen(text);
	int error = parser_feed(parser, text, len, &used);

	if (error == PARSER_OK)
		cr_assert_eq(used, len);
	return error;
}

/* Each chunk in memory of its own, so that a sanitizer sees a read behind its end. */
static int feed_in_chunks(const char *text, size_t chunk)
{
	size_t len = strlen(text), n, used;
	int error = PARSER_OK;

	for (size_t at = 0; at < len && !error; at += n) {
		char *copy;

		n = len - at < chunk ? len - at : chunk;
		copy = xmemdup(text + at, n);
		error = parser_feed(parser, copy, n, &used);
		free(copy);
	}
	return error;
}

/* The document in every way it may arrive: whole, byte by byte, cut once at every place. */
static void expect(const char *document, int error, const char *want, const char *section)
{
	size_t len = strlen(document), used;

	again();
	cr_expect_eq(feed(document), error, "§%s %s", section, document);
	cr_expect_str_eq(lines(), want, "§%s\n%s", section, document);
	for (size_t chunk = 1; chunk < 4; chunk++) {
		again();
		cr_expect_eq(feed_in_chunks(document, chunk), error, "§%s %s by %zu", section,
			document, chunk);
		cr_expect_str_eq(lines(), want, "§%s %s by %zu", section, document, chunk);
	}
	for (size_t cut = 1; cut < len; cut++) {
		int got;

		again();
		got = parser_feed(parser, document, cut, &used);
		if (!got)
			got = parser_feed(parser, document + cut, len - cut, &used);
		cr_expect_eq(got, error, "§%s %s cut at %zu", section, document, cut);
		cr_expect_str_eq(lines(), want, "§%s %s cut at %zu", section, document, cut);
	}
}

#define STARTED                                                                                  \
	"S stream {http://etherx.jabber.org/streams} default jabber:client to example.com lang " \
	"-\n"
#define SERVER_STARTED \
	"S stream {http://etherx.jabber.org/streams} default jabber:server to - lang -\n"

static const struct {
	const char *section, *document, *want;
} good[] = {
	{ "6120 4.2", HEADER, STARTED },
	{ "6120 4.2", "<?xml version='1.0'?>" HEADER, STARTED },
	{ "6120 11.6", "<?xml version='1.0' encoding='utf-8' standalone='yes' ?>\r\n " HEADER,
		STARTED },
	{ "1.0 2.8", "<?xml version = \"1.1\" encoding=\"UTF-8\"?>" HEADER, STARTED },
	{ "6120 4.4", HEADER "</stream:stream>", STARTED "X \n" },
	{ "6120 4.4", HEADER "</stream:stream \n>\n", STARTED "X \n" },
	{ "6120 4.6.1", HEADER " \n\t \r\n<presence/> \n ", STARTED "R <presence/>\n" },
	{ "6120 4.7.4",
		"<stream:stream xmlns='jabber:client' "
		"xmlns:stream='http://etherx.jabber.org/streams' "
		"xml:lang='de'><presence/><iq type='get' xml:lang='en'/>"
		"<a xmlns='urn:xmpp:sm:3'/>",
		"S stream {http://etherx.jabber.org/streams} default jabber:client to - lang de\n"
		"R <presence xml:lang='de'/>\nR <iq type='get' xml:lang='en'/>\n"
		"R <a xmlns='urn:xmpp:sm:3'/>\n" },
	{ "6120 4.8.2",
		"<stream xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client'>"
		"<c:message><c:body>x</c:body></c:message><message "
		"xmlns='jabber:client'><body/></message>",
		"S stream {http://etherx.jabber.org/streams} default "
		"http://etherx.jabber.org/streams to - "
		"lang -\nE <message><body>x</body></message>\nR <message><body/></message>\n" },
	{ "6120 4.8.3", "<s:stream xmlns:s='http://etherx.jabber.org/streams'/>",
		"S stream {http://etherx.jabber.org/streams} default  to - lang -\nX \n" },
	/* content */
	{ "1.0 2.4",
		HEADER
		"<message><body>a&lt;b&amp;&#x26;&#233;&gt;&quot;&apos;]]&gt;</body></message>",
		STARTED
		"R "
		"<message><body>a&lt;b&amp;&#x26;&#233;&gt;&quot;&apos;]]&gt;</body></message>\n" },
	{ "1.0 2.7", HEADER "<message><body><![CDATA[<a>]] ]>]]]></body><![CDATA[]]></message>",
		STARTED "R <message><body><![CDATA[<a>]] ]>]]]></body><![CDATA[]]></message>\n" },
	{ "1.0 2.4", HEADER "<message a='>' b=\"'/>'\" c='/'><body d='>'/></message>",
		STARTED
		"R <message a='&gt;' b='&apos;/&gt;&apos;' c='/'><body d='>'/></message>\n" },
	{ "1.0 3.3.3", HEADER "<message a='x\n\ty&#10;z'/>",
		STARTED "R <message a='x  y&#10;z'/>\n" },
	{ "1.0 2.11", HEADER "<iq><a>x\r\ny</a></iq >", STARTED "R <iq><a>x\r\ny</a></iq>\n" },
	{ "1.0 2.2", HEADER "<iq>\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbd</iq>",
		STARTED "R <iq>\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbd</iq>\n" },
	{ "6120 4.8.5",
		HEADER
		"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AA==</auth>",
		STARTED "R <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
			"mechanism='PLAIN'>AA==</auth>\n" },
	/* when the children's bytes may stand elsewhere (R) and when not (E) */
	{ "ns 6.2", HEADER "<message><x xmlns='a'><y/><z xmlns=''/></x></message>",
		STARTED "R <message><x xmlns='a'><y/><z xmlns=''/></x></message>\n" },
	{ "ns 6.1", HEADER "<message><x xmlns:p='a'><p:y p:z='1' xml:lang='en'/></x></message>",
		STARTED "R <message><x xmlns:p='a'><p:y p:z='1' xml:lang='en'/></x></message>\n" },
	{ "ns 6.1", HEADER "<message><stream:error/></message>",
		STARTED
		"E <message><error xmlns='http://etherx.jabber.org/streams'/></message>\n" },
	{ "ns 6.1", HEADER "<message xmlns:p='a'><p:y/></message>",
		STARTED "E <message><y xmlns='a'/></message>\n" },
	{ "ns 6.1", HEADER "<message xmlns:p='a'><y p:b='c'/></message>",
		STARTED "E <message><y xmlns:n1='a' n1:b='c'/></message>\n" },
	{ "ns 6.1", HEADER "<message xmlns:p='a'><y xmlns:p='b'><p:z/></y><p:w/></message>",
		STARTED "E <message><y><z xmlns='b'/></y><w xmlns='a'/></message>\n" },
	{ "ns 6.2", HEADER "<message xmlns='jabber:client' to='a'><body/></message>",
		STARTED "R <message to='a'><body/></message>\n" },
	{ "ns 6.2", HEADER "<message><body xmlns='jabber:client'/></message>",
		STARTED "E <message><body/></message>\n" },
	{ "0297 3",
		HEADER "<message><f xmlns='urn:xmpp:forward:0'><message "
		       "xmlns='jabber:client'/></f></message>",
		STARTED "R <message><f xmlns='urn:xmpp:forward:0'><message "
			"xmlns='jabber:client'/></f></message>\n" },
	{ "ns 6.2", HEADER "<x:message xmlns:x='jabber:client' xmlns='a'><b/></x:message>",
		STARTED "E <message><b xmlns='a'/></message>\n" },
	{ "ns 6.2", HEADER "<query xmlns='a'><b/></query>",
		STARTED "R <query xmlns='a'><b/></query>\n" },
	{ "ns 6.1", HEADER "<message xmlns:p='a' p:q='r'/>",
		STARTED "R <message xmlns:n1='a' n1:q='r'/>\n" },
	/* servers' streams */
	{ "6120 4.8.3", SERVER_HEADER "<message from='a' to='b'><body>x</body></message>",
		SERVER_STARTED "R <message from='a' to='b'><body>x</body></message>\n" },
	{ "0220 2.1", SERVER_HEADER "<db:result from='a' to='b'>k</db:result>",
		SERVER_STARTED
		"R <result xmlns='jabber:server:dialback' from='a' to='b'>k</result>\n" },
	{ "0297 3",
		SERVER_HEADER "<message><f xmlns='u'><message "
			      "xmlns='jabber:client'><body/></message></f></message>",
		SERVER_STARTED "R <message><f xmlns='u'><message "
			       "xmlns='jabber:client'><body/></message></f></message>\n" },
	{ "0297 3",
		SERVER_HEADER
		"<message><f xmlns='u'><message xmlns='jabber:server'/></f></message>",
		SERVER_STARTED
		"E <message><f xmlns='u'><message xmlns='jabber:client'/></f></message>\n" },
	{ "6120 4.8.3", SERVER_HEADER "<message xmlns='jabber:client'><body/></message>",
		SERVER_STARTED "R <message><body/></message>\n" },
};

Test(parser, reports_what_comes_however_it_is_cut)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		expect(good[i].document, PARSER_OK, good[i].want, good[i].section);
}

static const struct {
	const char *section, *document;
	int error;
	const char *want;
} bad[] = {
	/* RFC 6120 §11.1 */
	{ "11.1", HEADER "<presence/><!-- x -->", PARSER_RESTRICTED, STARTED "R <presence/>\n" },
	{ "11.1", HEADER "<iq><!-- x --></iq>", PARSER_RESTRICTED, STARTED },
	{ "11.1", "<!-- x -->" HEADER, PARSER_RESTRICTED, "" },
	{ "11.1", HEADER "<?pi x?>", PARSER_RESTRICTED, STARTED },
	{ "11.1", HEADER "<iq><?pi x?></iq>", PARSER_RESTRICTED, STARTED },
	{ "11.1", "<?pi x?>" HEADER, PARSER_RESTRICTED, "" },
	{ "11.1", "<?xml-stylesheet href='a'?>" HEADER, PARSER_RESTRICTED, "" },
	{ "11.1", " <?xml version='1.0'?>" HEADER, PARSER_RESTRICTED, "" },
	{ "11.1", HEADER "<?xml version='1.0'?>", PARSER_RESTRICTED, STARTED },
	{ "11.1", "<!DOCTYPE a [<!ENTITY b 'c'>]>" HEADER, PARSER_RESTRICTED, "" },
	{ "11.1", "<?xml version='1.0'?><!DOCTYPE a SYSTEM 'file:///etc/passwd'>" HEADER,
		PARSER_RESTRICTED, "" },
	{ "11.1", HEADER "<!DOCTYPE a>", PARSER_RESTRICTED, STARTED },
	{ "11.1", HEADER "<iq><a>&foo;</a></iq>", PARSER_RESTRICTED, STARTED },
	{ "11.1", HEADER "<iq a='&foo;'/>", PARSER_RESTRICTED, STARTED },
	{ "11.1", "<a b='&foo;'>", PARSER_RESTRICTED, "" },
	{ "11.1", HEADER "<iq><!ENTITY a 'b'></iq>", PARSER_RESTRICTED, STARTED },
	/* §11.3 */
	{ "11.3", HEADER "<iq><a></iq></a>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq></message>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq a='b' a='c'/>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq a=b/>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq a='<'/>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq a/>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq / >", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq a='b' <", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq><iq></iq>", PARSER_OK, STARTED }, /* not complete yet */
	{ "11.3", HEADER "<iq>a & b</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq>&#0;</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq>&#xd800;</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq>a]]>b</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq>\x01</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq a='\x01'/>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq><![CDATA[\x01]]></iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<iq><![CDAT[x]]></iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<>", PARSER_OK, STARTED },
	{ "11.3", HEADER "<></>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "<1a/>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "</stream>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "</stream:strea>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "</stream:streams>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", HEADER "</stream:stream x>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "11.3", "</stream:stream>", PARSER_NOT_WELL_FORMED, "" },
	{ "11.3", HEADER "</stream:stream><iq/>", PARSER_NOT_WELL_FORMED, STARTED "X \n" },
	{ "11.3", "x" HEADER, PARSER_NOT_WELL_FORMED, "" },
	{ "11.3", "<![CDATA[x]]>" HEADER, PARSER_NOT_WELL_FORMED, "" },
	{ "11.3", "<?xml version='1.0'>", PARSER_OK, "" },
	{ "11.3", "<?xml version='2.0'?>" HEADER, PARSER_NOT_WELL_FORMED, "" },
	{ "11.3", "<?xml encoding='UTF-8'?>" HEADER, PARSER_NOT_WELL_FORMED, "" },
	{ "11.3", "<?xml version='1.0' standalone='maybe'?>" HEADER, PARSER_NOT_WELL_FORMED, "" },
	{ "11.3", "<?xml version='1.0' foo='bar'?>" HEADER, PARSER_NOT_WELL_FORMED, "" },
	{ "11.3", "<?xml version='1.0'encoding='UTF-8'?>" HEADER, PARSER_NOT_WELL_FORMED, "" },
	/* namespaces: §4.9.3.2 */
	{ "4.9.3.2", HEADER "<p:iq/>", PARSER_BAD_PREFIX, STARTED },
	{ "4.9.3.2", HEADER "<iq p:a='b'/>", PARSER_BAD_PREFIX, STARTED },
	{ "4.9.3.2", HEADER "<iq><a xmlns:p='q'/><p:b/></iq>", PARSER_BAD_PREFIX, STARTED },
	{ "4.9.3.2", "<stream:stream xmlns='jabber:client'>", PARSER_BAD_PREFIX, "" },
	{ "ns 5", HEADER "<iq xmlns:p=''/>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "ns 3", HEADER "<iq xmlns:xmlns='a'/>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "ns 3", HEADER "<iq xmlns:xml='a'/>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "ns 6.3", HEADER "<iq xmlns:p='a' xmlns:q='a' p:b='' q:b=''/>", PARSER_NOT_WELL_FORMED,
		STARTED },
	{ "ns 4", HEADER "<a:b:c xmlns:a='x'/>", PARSER_NOT_WELL_FORMED, STARTED },
	/* §11.6 and §4.9.3.22 */
	{ "11.6", "<?xml version='1.0' encoding='ISO-8859-1'?>" HEADER, PARSER_BAD_ENCODING, "" },
	{ "11.6", "<?xml version='1.0' encoding='UTF-16'?>" HEADER, PARSER_BAD_ENCODING, "" },
	{ "11.6", "\xff\xfe<", PARSER_BAD_ENCODING, "" },
	{ "11.6", "\xfe\xff", PARSER_BAD_ENCODING, "" },
	{ "11.6", "\xef\xbb\xbf" HEADER, PARSER_NOT_WELL_FORMED, "" },
	/* RFC 3629 §3 */
	{ "3629 3", HEADER "<iq>\xc3</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "3629 3", HEADER "<iq>\x80</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "3629 3", HEADER "<iq>\xc0\x80</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "3629 3", HEADER "<iq>\xc1\x81</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "3629 3", HEADER "<iq>\xe0\x81\x81</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "3629 3", HEADER "<iq>\xed\xa0\x80</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "3629 3", HEADER "<iq>\xf0\x80\x80\x80</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "3629 3", HEADER "<iq>\xf4\x90\x80\x80</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "3629 3", HEADER "<iq>\xf8\x88\x80\x80\x80</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "3629 3", HEADER "<iq a='\xc1\x81'/>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "3629 3", HEADER "<iq><\xc1\x81/></iq>", PARSER_NOT_WELL_FORMED, STARTED },
	{ "1.0 2.2", HEADER "<iq>\xef\xbf\xbe</iq>", PARSER_NOT_WELL_FORMED, STARTED },
	/* §4.9.3.1: not allowed between stanzas */
	{ "4.9.3.1", HEADER "x", PARSER_TEXT_OUTSIDE, STARTED },
	{ "4.9.3.1", HEADER "<iq/>x<iq/>", PARSER_TEXT_OUTSIDE, STARTED "R <iq/>\n" },
	{ "4.9.3.1", HEADER "&#32;", PARSER_TEXT_OUTSIDE, STARTED },
	{ "4.9.3.1", HEADER "<![CDATA[x]]>", PARSER_TEXT_OUTSIDE, STARTED },
};

Test(parser, refuses_what_the_rules_refuse)
{
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		expect(bad[i].document, bad[i].error, bad[i].want, bad[i].section);
}

/* A stream that has failed stays so, and its neighbours on the same contexts do not notice. */
Test(parser, an_error_is_final_and_private)
{
	struct seen other = { .lines = buf_new(64) };
	struct parser *neighbour = parser_new(pool, &usual, &events, &other);
	size_t used;

	cr_expect_eq(feed(HEADER), PARSER_OK);
	cr_expect_eq(parser_feed(neighbour, HEADER, strlen(HEADER), &used), PARSER_OK);
	cr_expect_eq(parser_feed(neighbour, "<message><bo", 12, &used), PARSER_OK);
	cr_expect_eq(feed("<iq><a></iq></a>"), PARSER_NOT_WELL_FORMED);
	cr_expect_eq(feed("<iq/>"), PARSER_NOT_WELL_FORMED);
	cr_expect_eq(seen.elements, 0);
	cr_expect_eq(parser_feed(neighbour, "dy/></message>", 14, &used), PARSER_OK);
	cr_expect_eq(other.elements, 1);
	parser_free(neighbour);
	buf_unref(other.lines);
	stanza_unref(other.last);
	again();
	cr_expect_eq(feed(HEADER "<iq/>"), PARSER_OK);
	cr_expect_eq(seen.elements, 1);
}

/* RFC 6120 §13.12: each in the middle of an element that never ends. */
Test(parser, bounds_what_one_element_may_cost)
{
	static const struct parser_limits tight = { 2000, 4, 5 };
	char big[4000], text[5000];

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = 0;
	parser_set_limits(parser, &tight);
	static const char *const prefixes[] = { "<iq a='", "<iq>", "<iq><![CDATA[", "<", "<iq ",
		"<iq><a></", "</" };
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		again();
		cr_expect_eq(feed(HEADER), PARSER_OK);
		snprintf(text, sizeof(text), "%s%s", prefixes[i], big);
		cr_expect_eq(feed(text), PARSER_TOO_BIG, "%s", prefixes[i]);
		cr_expect_lt(parser_held_bytes(parser), 2000);
		again();
		cr_expect_eq(feed(HEADER), PARSER_OK);
		cr_expect_eq(feed_in_chunks(text, 7), PARSER_TOO_BIG, "%s", prefixes[i]);
	}
	again(); /* before the stream as well */
	snprintf(text, sizeof(text), "<stream a='%s", big);
	cr_expect_eq(feed(text), PARSER_TOO_BIG);
	again();
	snprintf(text, sizeof(text), "<?xml %s", big);
	cr_expect_eq(feed(text), PARSER_TOO_BIG);
	again(); /* complete, but a byte over; and exactly as big as allowed */
	cr_expect_eq(feed(HEADER), PARSER_OK);
	snprintf(text, sizeof(text), "<iq>%.*s</iq>", 2000 - 9, big);
	cr_expect_eq(feed(text), PARSER_OK);
	snprintf(text, sizeof(text), "<iq>%.*s</iq>", 2000 - 8, big);
	cr_expect_eq(feed(text), PARSER_TOO_BIG);
	cr_expect_eq(seen.elements, 1);
	again(); /* many elements, each small */
	cr_expect_eq(feed(HEADER), PARSER_OK);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(feed("<iq>12345678</iq>"), PARSER_OK);
}

Test(parser, bounds_depth_and_attributes)
{
	static const struct parser_limits tight = { 2000, 4, 5 };
	static const struct {
		const char *document;
		int error;
	} rows[] = {
		{ HEADER "<a><b><c><d/></c></b></a>", PARSER_OK },
		{ HEADER "<a><b><c><d></d><d/></c></b></a><a><b><c><d/></c></b></a>", PARSER_OK },
		{ HEADER "<a><b><c><d><e/>", PARSER_TOO_BIG },
		{ HEADER "<a><b><c><d><e", PARSER_TOO_BIG },
		{ HEADER "<a b='' c='' d='' e='' f=''/><a b='' c='' d='' e='' f=''/>", PARSER_OK },
		{ HEADER "<a b='' c='' d='' e='' f='' g='", PARSER_TOO_BIG },
		{ HEADER "<a xmlns='1' xmlns:a='2' xmlns:b='3' xmlns:c='4' d='' e=''/>",
			PARSER_TOO_BIG },
	};

	parser_set_limits(parser, &tight);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		again();
		cr_expect_eq(feed(rows[i].document), rows[i].error, "%s", rows[i].document);
		again();
		cr_expect_eq(feed_in_chunks(rows[i].document, 1), rows[i].error);
	}
}

/* Elements cost no more than in proportion to their bytes. */
Test(parser, a_tree_is_bounded_by_its_bytes)
{
	static const char *const units[] = { "<a/>", "<b:c xmlns:b='d'/>", "x<a/>", "&lt;",
		"<a b='c'/>", "<![CDATA[]]>", "<qwertzuiop/>" };
	static const struct parser_limits roomy = { 100000, 64, 64 };

	parser_set_limits(parser, &roomy);
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		struct buf *b = buf_new(0);

		again();
		buf_append(&b, HEADER "<iq>", strlen(HEADER "<iq>"));
		while (b->len + strlen(units[i]) < 90000)
			buf_append(&b, units[i], strlen(units[i]));
		buf_append(&b, "</iq>", 6);
		cr_assert_eq(feed(b->data), PARSER_OK, "%s", units[i]);
		cr_expect_lt(seen.last->arena.taken_bytes, 25 * 90000, "%s: %u", units[i],
			seen.last->arena.taken_bytes);
		buf_unref(b);
	}
}

/* Ten thousand reference pieces are one text, in linear time and memory. */
Test(parser, neighbouring_texts_are_one)
{
	cr_assert_eq(feed(HEADER "<iq>a&amp;b<![CDATA[c]]>&#100;<e/>f</iq>"), PARSER_OK);
	const struct node *n = seen.last->root->first;
	cr_assert_eq(n->kind, NODE_TEXT);
	cr_expect_str_eq(container_of(n, const struct text, node)->data, "a&bcd");
	cr_expect_eq(container_of(n, const struct text, node)->len, 5);
	cr_assert_eq(n->next->kind, NODE_ELEM);
	cr_assert_eq(n->next->next->kind, NODE_TEXT);
	cr_expect_null(n->next->next->next);
}

/* RFC 6120 §5.4.3.3: what follows <starttls/> is not for the plain stream. */
Test(parser, a_stop_is_exact_to_the_byte)
{
	const char *document =
		HEADER "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\x16\x03\x01<iq/>";
	size_t len = strlen(document), want = (size_t)(strchr(document, 0x16) - document), used;

	seen.stop_at = 'E';
	for (size_t cut = 0; cut <= want - 1; cut++) {
		again();
		cr_assert_eq(parser_feed(parser, document, cut, &used), PARSER_OK);
		cr_assert_eq(used, cut);
		cr_expect_eq(parser_feed(parser, document + cut, len - cut, &used), PARSER_STOPPED);
		cr_expect_eq(cut + used, want);
		cr_expect_eq(seen.elements, 1);
		cr_expect(parser_between_stanzas(parser));
	}
	/* Stopped is not failed: feeding may go on behind it. */
	cr_expect_eq(feed("<iq/>"), PARSER_STOPPED);
	cr_expect_eq(seen.elements, 2);
}

Test(parser, stops_at_the_start_tag_and_at_the_end)
{
	const char *document = HEADER "<iq/></stream:stream>trailing";
	size_t used;

	seen.stop_at = 'S';
	cr_expect_eq(parser_feed(parser, document, strlen(document), &used), PARSER_STOPPED);
	cr_expect_eq(used, strlen(HEADER));
	seen.stop_at = 'X';
	cr_expect_eq(parser_feed(parser, document + used, strlen(document) - used, &used),
		PARSER_STOPPED);
	cr_expect_eq(used, strlen("<iq/></stream:stream>"));
}

/* RFC 6120 §6.3.2: after <success/> comes a new document. */
Test(parser, is_reset_from_within_a_callback)
{
	const char *document = HEADER "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
	size_t used;

	seen.stop_at = 'R';
	seen.reset = true;
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(
			parser_feed(parser, document, strlen(document), &used), PARSER_STOPPED);
		cr_expect_eq(used, strlen(document));
	}
	seen.stop_at = 0;
	cr_expect_eq(feed("<?xml version='1.0'?>" SERVER_HEADER "<iq/>"), PARSER_OK);
	cr_expect_eq(seen.elements, 4);
}

Test(parser, holds_little_between_stanzas)
{
	cr_expect_eq(feed(HEADER "<iq/>"), PARSER_OK);
	cr_expect(parser_between_stanzas(parser));
	cr_expect_lt(parser_held_bytes(parser), 300, "%zu", parser_held_bytes(parser));
	cr_expect_eq(feed(" \n"), PARSER_OK);
	cr_expect(parser_between_stanzas(parser));
	cr_expect_eq(feed("<i"), PARSER_OK);
	cr_expect_not(parser_between_stanzas(parser));
	cr_expect_eq(feed("q><stream:x/></iq>"), PARSER_OK);
	cr_expect_lt(parser_held_bytes(parser), 300, "%zu", parser_held_bytes(parser));
	cr_expect_eq(feed("</stream:stream>"), PARSER_OK);
	cr_expect_str_eq(lines(),
		STARTED "R <iq/>\nE <iq><x xmlns='http://etherx.jabber.org/streams'/></iq>\nX \n");
}

Test(parser, whitespace_costs_nothing)
{
	char blanks[1000];

	memset(blanks, ' ', sizeof(blanks) - 1);
	blanks[sizeof(blanks) - 1] = 0;
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(feed(blanks), PARSER_OK);
	cr_assert_eq(feed(HEADER), PARSER_OK);
	size_t before = parser_held_bytes(parser);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(feed(blanks), PARSER_OK);
	cr_expect_eq(parser_held_bytes(parser), before);
	cr_expect_eq(feed("<iq/>"), PARSER_OK);
}

/* A sealed stanza points into nothing that its parser owns. */
Test(parser, a_stanza_outlives_its_parser)
{
	struct parser_pool *short_lived = parser_pool_new(10);
	struct seen own = { .lines = buf_new(64) };
	struct parser *p = parser_new(short_lived, &usual, &events, &own);
	const char *document =
		HEADER "<iq id='7'><qwertz xmlns='urn:example:a' asdf='1'>yxcv</qwertz></iq>";
	const struct elem *child;
	size_t used;

	cr_assert_eq(parser_feed(p, document, strlen(document), &used), PARSER_OK);
	parser_free(p);
	parser_pool_free(short_lived);
	child = stanza_iq_child(own.last);
	cr_expect(elem_is(child, "qwertz", "urn:example:a"));
	cr_expect_str_eq(elem_attr(child, "asdf"), "1");
	cr_expect_str_eq(elem_text(child, NULL), "yxcv");
	stanza_unref(own.last);
	buf_unref(own.lines);
}

/* Names that peers make up do not pile up, in good stanzas, bad ones, and stream headers. */
Test(parser, dictionaries_are_bounded)
{
	char text[2000];
	size_t after_warming = 0;
	unsigned n = 0;

	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 500; i++, n++) {
			again();
			snprintf(text, sizeof(text),
				"<s%u:t xmlns:s%u='urn:%u' xmlns='jabber:client'><iq><e%u "
				"xmlns='u:%u' a%u='x'/>"
				"<f%0*u/></iq>%s",
				n, n, n, n, n, n, 400, n, n % 3 ? "" : "<x></y>");
			cr_assert_eq(feed(text), n % 3 ? PARSER_OK : PARSER_NOT_WELL_FORMED);
		}
#if !defined(__SANITIZE_ADDRESS__)
		struct mallinfo2 info = mallinfo2();

		if (round == 9)
			after_warming = info.uordblks;
		if (round > 9)
			cr_assert_lt(
				info.uordblks, after_warming + 4 * 1024 * 1024, "round %d", round);
#endif
	}
	(void)after_warming;
}

Test(parser, many_dialects_at_once)
{
	enum { N = 20 };
	struct parser *ps[N];
	struct seen all[N];
	char text[200];
	size_t used;

	for (int i = 0; i < N; i++) {
		all[i] = (struct seen){ .lines = buf_new(64) };
		ps[i] = parser_new(pool, &usual, &events, &all[i]);
		snprintf(text, sizeof(text), "<p%d:a xmlns:p%d='urn:%d' xmlns='jabber:client'>", i,
			i, i);
		cr_assert_eq(parser_feed(ps[i], text, strlen(text), &used), PARSER_OK);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < N; i++) {
			snprintf(text, sizeof(text), "<p%d:b/>", i);
			cr_assert_eq(parser_feed(ps[i], text, strlen(text), &used), PARSER_OK);
			snprintf(text, sizeof(text), "urn:%d", i);
			cr_expect_str_eq(all[i].last->root->ns, text);
		}
	for (int i = 0; i < N; i++) {
		snprintf(text, sizeof(text), "</p%d:a>", i);
		cr_assert_eq(parser_feed(ps[i], text, strlen(text), &used), PARSER_OK);
		parser_free(ps[i]);
		buf_unref(all[i].lines);
		stanza_unref(all[i].last);
	}
}

static int parsed(const char *text, struct stanza **out)
{
	*out = NULL;
	return parse_element(text, strlen(text), &usual, out);
}

/* The guide, §7: parse_element. */
Test(parse_element, takes_one_element)
{
	static const char *const texts[] = { "<a b='c'>d<e/></a>", " <a b='c'>d<e/></a>\n",
		"<?xml version='1.0' encoding='UTF-8'?>\n<a b='c'>d<e/></a>" };
	struct stanza *s;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		cr_assert_eq(parsed(texts[i], &s), PARSER_OK, "%s", texts[i]);
		cr_expect(elem_is(s->root, "a", ""));
		cr_expect_str_eq(elem_attr(s->root, "b"), "c");
		cr_expect_not_null(elem_child(s->root, "e", ""));
		cr_expect_not(s->sealed);
		stanza_unref(s);
	}
	cr_assert_eq(parsed("<message xmlns='jabber:client' to='a@b'/>", &s), PARSER_OK);
	cr_expect_eq(s->kind, STANZA_MESSAGE);
	cr_expect_not_null(s->to);
	stanza_unref(s);
}

Test(parse_element, refuses_the_rest)
{
	static const struct {
		const char *text;
		int error;
	} rows[] = { { "", PARSER_NOT_WELL_FORMED }, { " ", PARSER_NOT_WELL_FORMED },
		{ "<a>", PARSER_NOT_WELL_FORMED }, { "<a/><b/>", PARSER_NOT_WELL_FORMED },
		{ "<a/>x", PARSER_NOT_WELL_FORMED }, { "x<a/>", PARSER_NOT_WELL_FORMED },
		{ "</s>", PARSER_NOT_WELL_FORMED }, { "</>", PARSER_NOT_WELL_FORMED },
		{ "<a></b>", PARSER_NOT_WELL_FORMED }, { "<p:a/>", PARSER_BAD_PREFIX },
		{ "<!-- --><a/>", PARSER_RESTRICTED }, { "<a>&b;</a>", PARSER_RESTRICTED },
		{ "<!DOCTYPE a><a/>", PARSER_RESTRICTED },
		{ "<?xml version='1.0' encoding='latin1'?><a/>", PARSER_BAD_ENCODING } };
	struct stanza *s;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cr_expect_eq(parsed(rows[i].text, &s), rows[i].error, "%s", rows[i].text);
		cr_expect_null(s);
	}
	cr_expect_eq(parse_element("<a>12345678</a>", 15, &(struct parser_limits){ 10, 1, 1 }, &s),
		PARSER_TOO_BIG);
}

/* The bytes of stanza_wire() come back as the stanza they were. */
Test(parse_stanza, reads_what_was_written)
{
	const char *text = "<message to='a@b' id='1'><body>hi</body><x xmlns='u:v'/></message>";
	struct stanza *s;
	struct buf *wire;

	cr_assert_eq(parse_stanza(text, strlen(text), &usual, &s), PARSER_OK);
	cr_expect_eq(s->kind, STANZA_MESSAGE);
	cr_expect_not_null(elem_child(s->root, "body", NS_CLIENT));
	stanza_seal(s);
	wire = stanza_wire(s);
	cr_expect_eq(wire->len, strlen(text));
	cr_expect_eq(memcmp(wire->data, text, wire->len), 0);
	buf_unref(wire);
	stanza_unref(s);
}

/* --- from one process to another --- */

/* What is reported of the header and the text behind it when another parser, of another pool, goes
 * on from byte `at`. */
static void go_over(const char *header, const char *text, size_t at)
{
	struct parser_pool *other = parser_pool_new(1000);
	struct parser *next = parser_new(other, &usual, &events, &seen);
	const char *held;
	size_t held_len, used;
	char *head;

	again();
	cr_assert_eq(parser_feed(parser, header, strlen(header), &used), PARSER_OK);
	cr_assert_eq(parser_feed(parser, text, at, &used), PARSER_OK);
	head = parser_save(parser, &held, &held_len);
	cr_assert_not_null(head);
	cr_expect_eq(parser_load(next, head, held, held_len), PARSER_OK, "%s", head);
	free(head);
	parser_feed(next, text + at, strlen(text + at), &used);
	parser_free(next);
	parser_pool_free(other);
}

Test(parser, another_one_goes_on_at_any_byte)
{
	static const char *const headers[] = { HEADER,
		"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' "
		"xmlns:a='http://a.example/?x=1&amp;y=&apos;' xml:lang='d&apos;e' version='1.0'>" };
	static const char *const texts[] = {
		"<message to='j@example.com' id='\xc3\xa9'><body>a&amp;\xc3\xa9</body>"
		"<x xmlns='q'><![CDATA[]]]]></x></message> <iq type='get' id='1'/>",
		"<message to='j@example.com'><a:b xmlns:a='c'/></message></stream:stream>"
	};

	for (size_t h = 0; h < ARRAY_LEN(headers); h++) {
		const char *text = texts[h == 0];
		size_t used;
		char *want;

		again();
		parser_feed(parser, headers[h], strlen(headers[h]), &used);
		parser_feed(parser, text, strlen(text), &used);
		want = xstrdup(lines());
		for (size_t at = 0; at < strlen(text); at++) {
			if (parser_between_stanzas(parser) && at && text[at] == 0)
				break;
			go_over(headers[h], text, at);
			cr_expect_str_eq(lines(), want, "from byte %zu", at);
		}
		free(want);
	}
}

Test(parser, what_is_no_open_stream_is_not_saved)
{
	const char *held;
	size_t len, used;

	cr_expect_null(parser_save(parser, &held, &len), "nothing has come");
	parser_feed(parser, "<stream:str", 11, &used);
	cr_expect_null(parser_save(parser, &held, &len));
	again();
	parser_feed(parser, HEADER "<a></b>", strlen(HEADER "<a></b>"), &used);
	cr_expect_null(parser_save(parser, &held, &len), "broken");
}

Test(parser, what_cannot_be_loaded)
{
	static const struct {
		const char *head, *held;
	} rows[] = { { "", "" }, { "<s", "" }, { "<s/>", "" }, { "text", "" }, { "<s>", "<a/>" },
		{ "<s>", "</s>" }, { "<s>", "\xff" }, { "<s><a>", "" } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct parser *p = parser_new(pool, &usual, &events, &seen);

		cr_expect_neq(parser_load(p, rows[i].head, rows[i].held, strlen(rows[i].held)),
			PARSER_OK, "%s%s", rows[i].head, rows[i].held);
		parser_free(p);
	}
	cr_expect_str_eq(lines(), "", "nobody is called");
}

/* The bound on a stanza may have become a smaller one: that is found, but by its next byte. */
Test(parser, another_one_keeps_its_own_limits)
{
	const struct parser_limits small = { 100, PARSER_DEPTH, PARSER_ATTRS };
	struct parser *p = parser_new(pool, &small, &events, &seen);
	char held[300] = "<message><body>";
	size_t used;

	memset(held + 15, 'x', sizeof(held) - 15);
	cr_expect_eq(parser_load(p, "<s xmlns='jabber:client'>", held, sizeof(held)), PARSER_OK);
	cr_expect_eq(parser_feed(p, "x", 1, &used), PARSER_TOO_BIG);
	parser_free(p);
}
