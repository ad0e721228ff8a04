/* Stanzas: what their heads say, stamping, walking, the wire form. RFC 6120 §8, RFC 6121 §4.7,
 * §5.2. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "xml/builder.h"
#include "xml/parser.h"

static const struct parser_limits limits = { 65536, PARSER_DEPTH, PARSER_ATTRS };

static struct stanza *of(const char *text)
{
	struct stanza *s = NULL;

	cr_assert_eq(parse_stanza(text, strlen(text), &limits, &s), PARSER_OK, "%s", text);
	return s;
}

static bool wire_is(struct stanza *s, const char *want)
{
	struct buf *b;
	bool same;

	if (!s->sealed)
		stanza_seal(s);
	b = stanza_wire(s);
	same = b->len == strlen(want) && !memcmp(b->data, want, b->len);
	if (!same)
		cr_log_error("got  %.*s\nwant %s", (int)b->len, b->data, want);
	buf_unref(b);
	return same;
}

static const struct {
	const char *section, *text;
	enum stanza_kind kind;
	enum stanza_type type;
} kinds[] = {
	{ "6121 5.2.2", "<message/>", STANZA_MESSAGE, MSG_NORMAL },
	{ "6121 5.2.2", "<message type='normal'/>", STANZA_MESSAGE, MSG_NORMAL },
	{ "6121 5.2.2", "<message type='chat'/>", STANZA_MESSAGE, MSG_CHAT },
	{ "6121 5.2.2", "<message type='groupchat'/>", STANZA_MESSAGE, MSG_GROUPCHAT },
	{ "6121 5.2.2", "<message type='headline'/>", STANZA_MESSAGE, MSG_HEADLINE },
	{ "6121 5.2.2", "<message type='error'/>", STANZA_MESSAGE, MSG_ERROR },
	{ "6121 5.2.2", "<message type='surprise'/>", STANZA_MESSAGE, MSG_NORMAL },
	{ "6121 4.7.1", "<presence/>", STANZA_PRESENCE, PRES_AVAILABLE },
	{ "6121 4.7.1", "<presence type='unavailable'/>", STANZA_PRESENCE, PRES_UNAVAILABLE },
	{ "6121 4.7.1", "<presence type='subscribe'/>", STANZA_PRESENCE, PRES_SUBSCRIBE },
	{ "6121 4.7.1", "<presence type='subscribed'/>", STANZA_PRESENCE, PRES_SUBSCRIBED },
	{ "6121 4.7.1", "<presence type='unsubscribe'/>", STANZA_PRESENCE, PRES_UNSUBSCRIBE },
	{ "6121 4.7.1", "<presence type='unsubscribed'/>", STANZA_PRESENCE, PRES_UNSUBSCRIBED },
	{ "6121 4.7.1", "<presence type='probe'/>", STANZA_PRESENCE, PRES_PROBE },
	{ "6121 4.7.1", "<presence type='error'/>", STANZA_PRESENCE, PRES_ERROR },
	{ "6121 4.7.1", "<presence type='available'/>", STANZA_PRESENCE, TYPE_BAD },
	{ "6120 8.2.3", "<iq type='get'/>", STANZA_IQ, IQ_GET },
	{ "6120 8.2.3", "<iq type='set'/>", STANZA_IQ, IQ_SET },
	{ "6120 8.2.3", "<iq type='result'/>", STANZA_IQ, IQ_RESULT },
	{ "6120 8.2.3", "<iq type='error'/>", STANZA_IQ, IQ_ERROR },
	{ "6120 8.2.3", "<iq/>", STANZA_IQ, TYPE_BAD },
	{ "6120 8.2.3", "<iq type='GET'/>", STANZA_IQ, TYPE_BAD },
	{ "6120 8", "<message xmlns='urn:other' type='chat'/>", STANZA_OTHER, TYPE_NONE },
	{ "6120 8", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", STANZA_OTHER,
		TYPE_NONE },
	{ "6120 8", "<messages/>", STANZA_OTHER, TYPE_NONE },
};

Test(stanza, tells_kind_and_type)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct stanza *s = of(kinds[i].text);

		cr_expect_eq(s->kind, kinds[i].kind, "§%s %s", kinds[i].section, kinds[i].text);
		cr_expect_eq(s->type, kinds[i].type, "§%s %s", kinds[i].section, kinds[i].text);
		stanza_unref(s);
	}
}

Test(stanza, reads_its_head)
{
	struct stanza *s = of(
		"<iq type='get' id='7' to='A@b/c' from='d' xml:lang='de' x:id='8' xmlns:x='u'/>");

	cr_expect_str_eq(s->id, "7");
	cr_expect_str_eq(s->lang, "de");
	cr_expect_str_eq(jid_local(s->to), "a");
	cr_expect_str_eq(jid_domain(s->from), "d");
	cr_expect_eq(stanza_read_head(s), STANZA_OK);
	stanza_unref(s);
	s = of("<iq type='get' to='a@b@c' from='d'/>");
	cr_expect_null(s->to);
	cr_expect_not_null(s->from);
	cr_expect_null(s->id);
	cr_expect_null(s->lang);
	cr_expect_eq(stanza_read_head(s), STANZA_BAD_TO);
	stanza_unref(s);
	s = of("<iq type='get' from=''/>");
	cr_expect_eq(stanza_read_head(s), STANZA_BAD_FROM);
	cr_expect_null(s->from);
	stanza_unref(s);
	s = of("<iq type='get' to='@' from='@'/>");
	cr_expect_eq(s->faults, STANZA_BAD_TO | STANZA_BAD_FROM, "one hides no other");
	stanza_unref(s);
}

/* RFC 6120 §8.1.2.1: the server stamps, whatever the client claimed. */
Test(stanza, is_stamped)
{
	struct stanza *s = of("<message to='a@b' from='evil@b'><body>x</body></message>");
	struct jid *from, *to;

	cr_assert_eq(jid_parse("me@b/home", 9, NULL, &from), JID_OK);
	cr_assert_eq(jid_parse("o'neil@b", 8, NULL, &to), JID_BAD_LOCAL);
	cr_assert_eq(jid_parse("you@b/d'or", 10, NULL, &to), JID_OK);
	stanza_set_from(s, from);
	stanza_set_to(s, to);
	stanza_set_lang(s, "en");
	stanza_set_lang(s, "de");
	cr_expect(jid_equal(s->from, from));
	jid_free(from);
	jid_free(to);
	cr_expect_str_eq(elem_attr(s->root, "from"), "me@b/home");
	cr_expect_str_eq(s->lang, "en");
	cr_expect(wire_is(s,
		"<message to='you@b/d&apos;or' from='me@b/home' xml:lang='en'>"
		"<body>x</body></message>"));
	stanza_unref(s);

	s = of("<presence/>");
	cr_assert_eq(jid_parse("me@b", 4, &s->arena, &from), JID_OK);
	stanza_set_from(s, from);
	cr_expect(wire_is(s, "<presence from='me@b'/>"));
	stanza_unref(s);
}

Test(stanza, keeps_one_wire_form)
{
	struct stanza *s = of("<message><body>x</body></message>");
	struct buf *a, *b;

	stanza_seal(s);
	a = stanza_wire(s);
	b = stanza_wire(s);
	cr_expect_eq(a, b);
	cr_expect_eq(atomic_load(&a->refs), 3);
	cr_expect_eq(a->len, a->cap); /* sized right at once */
	stanza_unref(s);
	cr_expect_eq(memcmp(a->data, "<message><body>x</body></message>", a->len), 0);
	buf_unref(a);
	buf_unref(b);
}

static void *make_wire(void *arg)
{
	return stanza_wire(arg);
}

Test(stanza, many_threads_get_the_same_wire_form)
{
	for (int round = 0; round < 50; round++) {
		struct stanza *s = of("<message><body xmlns='jabber:client'>x</body></message>");
		pthread_t threads[4];
		void *bufs[4];

		stanza_seal(s);
		for (int i = 0; i < 4; i++)
			cr_assert_eq(pthread_create(&threads[i], NULL, make_wire, s), 0);
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], &bufs[i]);
		for (int i = 0; i < 4; i++) {
			cr_expect_eq(bufs[i], bufs[0]);
			buf_unref(bufs[i]);
		}
		stanza_unref(s);
	}
}

Test(stanza, is_counted)
{
	struct stanza *s = stanza_ref(of("<iq/>"));

	stanza_unref(s);
	cr_expect_str_eq(s->root->name, "iq");
	stanza_unref(s);
	stanza_unref(NULL);
}

Test(stanza, typical_ones_are_one_allocation)
{
	struct stanza *s =
		of("<message to='juliet@example.com/balcony' from='romeo@example.net/orchard' "
		   "type='chat' id='ktx72v49' xml:lang='en'><body>Art thou not Romeo, and a "
		   "Montague?</body><thread>e0ffe42b28561960c6b12b944a092794b9683a38</thread>"
		   "<active xmlns='http://jabber.org/protocol/chatstates'/></message>");

	stanza_set_from(s, s->from);
	cr_expect_eq(s->arena.taken_bytes, 0);
	stanza_unref(s);
}

Test(elem, is_walked)
{
	struct stanza *s = of("<iq>a<x xmlns='u:1' k='v' p:k='w' xmlns:p='u:p'>b<y/>c</x> <x "
			      "xmlns='u:2'/>d<z/></iq>");
	const struct elem *x = elem_first(s->root);
	unsigned children = 0;

	cr_assert(elem_is(x, "x", "u:1"));
	cr_expect(elem_is(x, NULL, NULL));
	cr_expect_not(elem_is(x, "x", "u:2"));
	cr_expect_not(elem_is(x, "y", "u:1"));
	cr_expect_not(elem_is(NULL, NULL, NULL));
	cr_expect_eq(elem_child(s->root, "x", NULL), x);
	cr_expect(elem_is(elem_child(s->root, "x", "u:2"), "x", "u:2"));
	cr_expect(elem_is(elem_child(s->root, NULL, NS_CLIENT), "z", NULL));
	cr_expect_null(elem_child(s->root, "y", NULL));
	cr_expect_str_eq(elem_attr(x, "k"), "v");
	cr_expect_str_eq(elem_attr_ns(x, "k", "u:p"), "w");
	cr_expect_null(elem_attr(x, "l"));
	cr_expect_null(elem_attr_ns(x, "k", "u:q"));
	cr_expect_str_eq(elem_text(x, &s->arena), "bc");
	cr_expect_str_eq(elem_text(s->root, &s->arena), "a d");
	cr_expect_str_eq(elem_text(elem_first(x), &s->arena), "");
	cr_expect_str_eq(elem_child_text(s->root, "x", "u:1", &s->arena), "bc");
	cr_expect_null(elem_child_text(s->root, "y", NULL, &s->arena));
	elem_each_child (s->root, child)
		children++;
	cr_expect_eq(children, 3);
	cr_expect_null(stanza_iq_child(s));
	stanza_unref(s);
}

/* RFC 6120 §8.2.3: exactly one child. */
Test(stanza, an_iq_has_one_payload)
{
	static const struct {
		const char *text;
		bool has;
	} rows[] = { { "<iq><a/></iq>", true }, { "<iq> <a/> </iq>", true }, { "<iq/>", false },
		{ "<iq>a</iq>", false }, { "<iq><a/><b/></iq>", false } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct stanza *s = of(rows[i].text);

		cr_expect_eq(stanza_iq_child(s) != NULL, rows[i].has, "%s", rows[i].text);
		stanza_unref(s);
	}
}

/* One stanza told to many: another `to`, the same children. */
static const struct {
	const char *text, *wire;
} readdressed[] = {
	{ "<presence from='a@b/c'/>", "<presence from='a@b/c' to='x@y'/>" },
	{ "<presence from='a@b/c' to='d@e'><show>away</show><x xmlns='q'><z/></x></presence>",
		"<presence from='a@b/c' to='x@y'><show>away</show><x "
		"xmlns='q'><z/></x></presence>" },
	{ "<presence id='1&gt;' from='a@b/c'>&gt;</presence>",
		"<presence id='1&gt;' from='a@b/c' to='x@y'>&gt;</presence>" },
};

Test(stanza, is_readdressed)
{
	struct jid *to;

	cr_assert_eq(jid_parse("x@y", 3, NULL, &to), JID_OK);
	for (size_t i = 0; i < ARRAY_LEN(readdressed); i++) {
		struct stanza *s = of(readdressed[i].text), *copy, *again;
		struct buf *out = NULL;
		struct builder b;

		stanza_seal(s);
		copy = stanza_readdressed(s, to);
		stanza_unref(s);
		cr_expect(wire_is(copy, readdressed[i].wire));
		cr_expect(jid_equal(copy->to, to) && copy->kind == STANZA_PRESENCE);
		elem_wire(copy->root, NS_CLIENT, &out);
		cr_expect_eq(out->len, strlen(readdressed[i].wire));
		buf_unref(out);
		build_begin(&b, "all", NS_CLIENT);
		build_copy(&b, copy->root);
		cr_expect_eq(b.at, b.stanza->root, "it climbed as far as it went down");
		build_drop(&b);
		again = stanza_readdressed(copy, copy->from);
		cr_expect_eq(again->body, copy->body);
		stanza_unref(copy);
		cr_expect(jid_equal(again->to, again->from));
		stanza_unref(again);
	}
	jid_free(to);
}
