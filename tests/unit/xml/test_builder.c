/* The builder: what it writes is XML whatever it was given, and reads back as what it built.
 * XML 1.0 §2.2 (characters), §2.4, §3.3.3; Namespaces in XML; RFC 6120 §8.3 (errors). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "xml/builder.h"
#include "xml/parser.h"

static const struct parser_limits limits = { 10 << 20, 1000, PARSER_ATTRS };

static struct stanza *of(const char *text)
{
	struct stanza *s = NULL;

	cr_assert_eq(parse_stanza(text, strlen(text), &limits, &s), PARSER_OK, "%s", text);
	return s;
}

static void expect_tree(
	const struct elem *e, const char *outer_ns, const char *want, const char *section)
{
	struct buf *b = NULL;

	elem_wire(e, outer_ns, &b);
	buf_append_char(&b, 0);
	cr_expect_str_eq(b->data, want, "§%s", section);
	buf_unref(b);
}

static void expect_wire(struct stanza *s, const char *want)
{
	struct buf *b = stanza_wire(s);

	cr_expect_eq(b->len, strlen(want));
	cr_expect_arr_eq(b->data, want, b->len < strlen(want) ? b->len : strlen(want), "got %.*s",
		(int)b->len, b->data);
	buf_unref(b);
	stanza_unref(s);
}

Test(builder, builds_a_stanza)
{
	struct builder b;
	struct stanza *s;
	struct jid *to;

	cr_assert_eq(jid_parse("a@b/c", 5, NULL, &to), JID_OK);
	build_begin(&b, "message", NS_CLIENT);
	build_attr(&b, "type", "chat");
	build_attr(&b, "id", NULL);
	build_attr_jid(&b, "to", to);
	build_attr_jid(&b, "from", NULL);
	build_attr_ns(&b, "lang", NS_XML, "en");
	build_text(&b, "body", "hi");
	build_text(&b, "subject", NULL);
	build_open(&b, "x", "urn:x");
	build_attr_int(&b, "n", INT64_MIN);
	build_open(&b, "y", NULL);
	build_close(&b);
	build_int(&b, "z", -5);
	build_open(&b, "w", NS_CLIENT);
	build_close(&b);
	build_close(&b);
	s = build_end(&b);
	jid_free(to);
	cr_expect(s->sealed);
	cr_expect_eq(s->kind, STANZA_MESSAGE);
	cr_expect_eq(s->type, MSG_CHAT);
	cr_expect_str_eq(jid_resource(s->to), "c");
	cr_expect_eq(elem_first(s->root)->name, NAME_BODY, "a known name is shared");
	expect_wire(s,
		"<message type='chat' to='a@b/c' xml:lang='en'><body>hi</body><subject/>"
		"<x xmlns='urn:x' n='-9223372036854775808'><y/><z>-5</z><w xmlns='jabber:client'/>"
		"</x></message>");
}

/* Children that came keep their bytes, spelling and all. */
static const struct {
	const char *given, *plain, *more, *less;
} mores[] = {
	{ "<message xmlns='jabber:client'><body >a</body ></message>",
		"<message><body >a</body ></message>",
		"<message><body >a</body ><x xmlns='urn:x'><y/></x><z/></message>", "<message/>" },
	{ "<message xmlns='jabber:client'/>", "<message/>",
		"<message><x xmlns='urn:x'><y/></x><z/></message>", NULL },
	{ "<message xmlns='jabber:client'>text</message>", "<message>text</message>",
		"<message>text<x xmlns='urn:x'><y/></x><z/></message>", NULL },
	{ "<p:message xmlns:p='jabber:client'><p:body>a</p:body><p:b/></p:message>",
		"<message><body>a</body><b/></message>",
		"<message><body>a</body><b/><x xmlns='urn:x'><y/></x><z/></message>",
		"<message><b/></message>" },
};

Test(builder, goes_on_with_a_stanza_that_came)
{
	for (size_t i = 0; i < ARRAY_LEN(mores); i++) {
		struct stanza *s = of(mores[i].given);
		struct builder b;

		stanza_seal(s);
		expect_wire(s, mores[i].plain);
		s = of(mores[i].given);
		for (int twice = 0; twice < 2; twice++) {
			build_more(&b, s);
			build_open(&b, twice ? "z" : "x", twice ? NULL : "urn:x");
			if (!twice)
				build_text(&b, "y", NULL);
			build_close(&b);
		}
		stanza_seal(s);
		expect_wire(s, mores[i].more);
	}
}

Test(builder, what_came_may_be_dropped)
{
	for (size_t i = 0; i < ARRAY_LEN(mores); i++) {
		struct stanza *s = of(mores[i].given);
		struct builder b;

		if (!mores[i].less) {
			stanza_unref(s);
			continue;
		}
		stanza_drop_child(s, elem_first(s->root));
		stanza_seal(s);
		expect_wire(s, mores[i].less);
		s = of(mores[i].given);
		build_more(&b, s);
		build_text(&b, "z", NULL);
		stanza_drop_child(s, elem_child(s->root, "z", NULL));
		stanza_seal(s);
		expect_wire(s,
			mores[i].given[1] == 'p' ? mores[i].plain
						 : "<message><body>a</body></message>");
	}
}

Test(builder, an_attribute_is_set_once)
{
	struct builder b;

	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", "get");
	build_attr_ns(&b, "type", "urn:x", "other");
	build_attr(&b, "type", "set");
	expect_wire(build_end(&b), "<iq type='set' xmlns:n1='urn:x' n1:type='other'/>");
}

Test(builder, may_change_its_mind)
{
	struct builder b;

	build_begin(&b, "iq", NS_CLIENT);
	build_open(&b, "x", "y");
	build_drop(&b);
	cr_expect_null(b.stanza);
}

static const struct {
	const char *section, *given, *text, *value;
} escapes[] = {
	{ "2.4", "a<b>&c", "a&lt;b&gt;&amp;c", "a&lt;b&gt;&amp;c" },
	{ "2.4", "]]>", "]]&gt;", "]]&gt;" },
	{ "3.3.3", "'\"\t\n", "'\"\t\n", "&apos;&quot;&#9;&#10;" },
	{ "2.11", "a\r\nb\r", "a&#13;\nb&#13;", "a&#13;&#10;b&#13;" },
	{ "2.2",
		"a\x01\x02\x1f"
		"b\x0b\x0c",
		"ab", "ab" },
	{ "2.2", "\x7f\xc3\xa9\xf0\x9f\x98\x80", "\x7f\xc3\xa9\xf0\x9f\x98\x80",
		"\x7f\xc3\xa9\xf0\x9f\x98\x80" },
	{ "2.2",
		"a\xef\xbf\xbe\xef\xbf\xbf"
		"b\xef\xbf\xbd",
		"ab\xef\xbf\xbd", "ab\xef\xbf\xbd" },
	{ "3629 3",
		"a\xff"
		"b\xc3",
		"ab", "ab" },
	{ "3629 3", "\xc0\xaf\xe0\x80\xaf\xed\xa0\x80\xf4\x90\x80\x80x", "x", "x" },
	{ "3629 3", "\xf0\x9f\x98", "", "" },
	{ "2.2", "\x01", "", "" },
	{ "", "", "", "" },
};

Test(builder, leaves_nothing_in_that_xml_does_not_allow)
{
	for (size_t i = 0; i < ARRAY_LEN(escapes); i++) {
		struct builder b;
		struct buf *out = buf_new(0);
		char want[200];
		struct stanza *s, *back;

		build_begin(&b, "a", "u");
		build_attr(&b, "v", escapes[i].given);
		build_cdata(&b, escapes[i].given, strlen(escapes[i].given));
		s = build_end(&b);
		snprintf(want, sizeof(want),
			*escapes[i].text ? "<a xmlns='u' v='%s'>%s</a>" : "<a xmlns='u' v='%s'/>",
			escapes[i].value, escapes[i].text);
		expect_tree(s->root, "", want, escapes[i].section);
		back = of(want);
		cr_expect_str_eq(elem_attr(back->root, "v"), elem_attr(s->root, "v"), "§%s",
			escapes[i].section);
		cr_expect_str_eq(elem_text(back->root, NULL), elem_text(s->root, NULL), "§%s",
			escapes[i].section);
		stanza_unref(back);
		stanza_unref(s);

		xml_escape(escapes[i].given, strlen(escapes[i].given), &out);
		buf_append_char(&out, 0);
		cr_expect_str_eq(out->data, escapes[i].value, "§%s", escapes[i].section);
		buf_unref(out);
	}
}

Test(builder, a_nul_is_no_character)
{
	struct buf *out = NULL;

	xml_escape("a\0b", 3, &out);
	cr_expect_eq(out->len, 2);
	buf_unref(out);
}

Test(builder, texts_in_a_row_are_one)
{
	struct builder b;

	build_begin(&b, "a", "u");
	build_cdata(&b, "x", 1);
	build_cdata(&b, "", 0);
	build_cdata(&b, "\x01", 1);
	build_cdata(&b, "y", 1);
	struct stanza *s = build_end(&b);
	cr_expect_str_eq(elem_text(s->root, NULL), "xy"); /* one piece: needs no arena */
	stanza_unref(s);
}

static const struct {
	const char *section, *text, *outer, *want;
} namespaces[] = {
	{ "ns 6.2", "<a/>", "jabber:client", "<a/>" },
	{ "ns 6.2", "<a/>", "", "<a xmlns='jabber:client'/>" },
	{ "ns 6.2", "<a xmlns=''/>", "", "<a/>" },
	{ "ns 6.2", "<a xmlns=''/>", "jabber:client", "<a xmlns=''/>" },
	{ "ns 6.2", "<a xmlns='u'><b/><c xmlns=''><d/></c><e xmlns='v'><f xmlns='u'/></e></a>", "u",
		"<a><b/><c xmlns=''><d/></c><e xmlns='v'><f xmlns='u'/></e></a>" },
	{ "ns 6.1", "<p:a xmlns:p='u'><p:b/><c xmlns='v'/></p:a>", "",
		"<a xmlns='u'><b/><c xmlns='v'/></a>" },
	{ "ns 6.1", "<a xmlns='u' xmlns:p='v' xmlns:q='w' p:x='1' q:y='2' z='3'/>", "u",
		"<a xmlns:n1='v' n1:x='1' xmlns:n2='w' n2:y='2' z='3'/>" },
	{ "ns 3", "<a xmlns='u' xml:lang='x' xml:space='preserve'/>", "u",
		"<a xml:lang='x' xml:space='preserve'/>" },
	{ "ns 3", "<a xmlns='u&amp;&apos;v'/>", "", "<a xmlns='u&amp;&apos;v'/>" },
	{ "1.0 3", "<a xmlns='u'>1<b>2<c/>3</b><d/>4</a>", "",
		"<a xmlns='u'>1<b>2<c/>3</b><d/>4</a>" },
};

Test(builder, declares_a_namespace_where_it_changes)
{
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
		struct stanza *s = of(namespaces[i].text);

		expect_tree(
			s->root, namespaces[i].outer, namespaces[i].want, namespaces[i].section);
		stanza_unref(s);
	}
}

/* build_copy() is exact: the copy is written as the original is. */
Test(builder, copies_trees)
{
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
		struct stanza *s = of(namespaces[i].text), *copy;
		struct builder b;

		build_begin(&b, "top", "t");
		build_copy(&b, s->root);
		build_open(&b, "last", NULL);
		build_close(&b);
		copy = build_end(&b);
		expect_tree(elem_first(copy->root), namespaces[i].outer, namespaces[i].want,
			namespaces[i].section);
		cr_expect(elem_is(elem_next(elem_first(copy->root)), "last", "t"));
		stanza_unref(s); /* the copy keeps nothing of it */
		expect_tree(elem_first(copy->root), namespaces[i].outer, namespaces[i].want,
			namespaces[i].section);
		stanza_unref(copy);
	}
}

Test(builder, writes_deep_trees_without_recursion)
{
	enum { DEPTH = 200000 };
	struct builder b;
	struct buf *out = NULL;
	struct stanza *s;

	build_begin(&b, "a", "u");
	for (int i = 0; i < DEPTH; i++)
		build_open(&b, "b", NULL);
	for (int i = 0; i < DEPTH; i++)
		build_close(&b);
	s = build_end(&b);
	elem_wire(s->root, "u", &out);
	cr_expect_eq(out->len, 3 + 4 + 3 * (DEPTH - 1) + 4 * (DEPTH - 1) + 4);
	buf_unref(out);
	stanza_unref(s);
}

Test(builder, appends_to_what_is_there)
{
	struct stanza *s = of("<a xmlns='u'/>");
	struct buf *out = buf_of("x", 1);

	elem_wire(s->root, "u", &out);
	elem_wire(s->root, "", &out);
	xml_escape("<", 1, &out);
	buf_append_char(&out, 0);
	cr_expect_str_eq(out->data, "x<a/><a xmlns='u'/>&lt;");
	buf_unref(out);
	stanza_unref(s);
}

Test(builder, answers_a_request)
{
	struct stanza *request = of("<iq type='get' id='a&amp;1' from='a@b/c' to='d'><ping "
				    "xmlns='urn:xmpp:ping'/></iq>");
	struct builder b;

	build_iq_result(&b, request);
	expect_wire(build_end(&b), "<iq type='result' id='a&amp;1' to='a@b/c' from='d'/>");
	stanza_unref(request);
	request = of("<iq type='get'/>");
	build_iq_result(&b, request);
	build_open(&b, "query", NS_VERSION);
	build_text(&b, "name", "Linnet");
	build_close(&b);
	expect_wire(build_end(&b),
		"<iq type='result'><query "
		"xmlns='jabber:iq:version'><name>Linnet</name></query></iq>");
	stanza_unref(request);
}

/* RFC 6120 §8.3.1, §8.3.2. */
Test(builder, answers_with_an_error)
{
	struct stanza *s = of("<message id='1' from='a@b/c' to='d@e' "
			      "type='chat'>x<body>hi</body><x xmlns='u'/></message>");
	struct builder b;

	build_error(&b, s, ERR_SERVICE_UNAVAILABLE, NULL);
	expect_wire(build_end(&b),
		"<message type='error' id='1' to='a@b/c' from='d@e'><body>hi</body><x xmlns='u'/>"
		"<error type='cancel'><service-unavailable "
		"xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
		"</error></message>");
	build_error(&b, s, ERR_JID_MALFORMED, "no <such>");
	expect_wire(build_end(&b),
		"<message type='error' id='1' to='a@b/c' from='d@e'><body>hi</body><x xmlns='u'/>"
		"<error type='modify'><jid-malformed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
		"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>no "
		"&lt;such&gt;</text>"
		"</error></message>");
	stanza_unref(s);
	/* An address that is none goes into no answer. */
	s = of("<iq type='get' to='a@b@c'/>");
	build_error(&b, s, ERR_JID_MALFORMED, NULL);
	expect_wire(build_end(&b),
		"<iq type='error'><error type='modify'><jid-malformed "
		"xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
	stanza_unref(s);
}

Test(builder, an_error_about_a_big_stanza_is_small)
{
	char text[20000];
	struct stanza *s, *error;
	struct builder b;
	struct buf *wire;

	snprintf(text, sizeof(text), "<message from='a' id='1'><body>%015000d</body></message>", 0);
	s = of(text);
	for (int ours = 0; ours < 2; ours++) {
		build_error(&b, s, ERR_CONFLICT, NULL);
		error = build_end(&b);
		wire = stanza_wire(error);
		cr_expect_lt(wire->len, 300);
		buf_unref(wire);
		stanza_unref(error);
		s->bytes = 0; /* as if we had built it ourselves */
	}
	stanza_unref(s);
}

static const struct {
	int cond;
	const char *name, *type;
} conditions[] = {
	/* RFC 6120 §8.3.3.1 to .22 */
	{ ERR_BAD_REQUEST, "bad-request", "modify" },
	{ ERR_CONFLICT, "conflict", "cancel" },
	{ ERR_FEATURE_NOT_IMPLEMENTED, "feature-not-implemented", "cancel" },
	{ ERR_FORBIDDEN, "forbidden", "auth" },
	{ ERR_GONE, "gone", "cancel" },
	{ ERR_INTERNAL_SERVER_ERROR, "internal-server-error", "cancel" },
	{ ERR_ITEM_NOT_FOUND, "item-not-found", "cancel" },
	{ ERR_JID_MALFORMED, "jid-malformed", "modify" },
	{ ERR_NOT_ACCEPTABLE, "not-acceptable", "modify" },
	{ ERR_NOT_ALLOWED, "not-allowed", "cancel" },
	{ ERR_NOT_AUTHORIZED, "not-authorized", "auth" },
	{ ERR_POLICY_VIOLATION, "policy-violation", "modify" },
	{ ERR_RECIPIENT_UNAVAILABLE, "recipient-unavailable", "wait" },
	{ ERR_REDIRECT, "redirect", "modify" },
	{ ERR_REGISTRATION_REQUIRED, "registration-required", "auth" },
	{ ERR_REMOTE_SERVER_NOT_FOUND, "remote-server-not-found", "cancel" },
	{ ERR_REMOTE_SERVER_TIMEOUT, "remote-server-timeout", "wait" },
	{ ERR_RESOURCE_CONSTRAINT, "resource-constraint", "wait" },
	{ ERR_SERVICE_UNAVAILABLE, "service-unavailable", "cancel" },
	{ ERR_SUBSCRIPTION_REQUIRED, "subscription-required", "auth" },
	{ ERR_UNDEFINED_CONDITION, "undefined-condition", "cancel" },
	{ ERR_UNEXPECTED_REQUEST, "unexpected-request", "wait" },
};

Test(builder, knows_every_condition)
{
	cr_assert_eq(ARRAY_LEN(conditions), ERR_COUNT - 1);
	for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
		cr_expect_str_eq(stanza_error_name(conditions[i].cond), conditions[i].name);
		cr_expect_str_eq(stanza_error_type(conditions[i].cond), conditions[i].type);
	}
}
