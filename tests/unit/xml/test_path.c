/* The guide's module `xml` (section 6): the results it documents. */
#include <criterion/criterion.h>
#include <string.h>

#include "xml/parser.h"
#include "xml/path.h"

static struct stanza *s;
static const struct elem *el;
static struct arena *a;

static void begin(void)
{
	static const struct parser_limits limits = { 65536, PARSER_DEPTH, PARSER_ATTRS };
	/* The guide's example (section 5), with a little more in it. */
	const char *text =
		"<message to='test@conference.example.org' type='groupchat' xml:lang='en'>\n"
		"<body>te<b/>st</body>\n<x xmlns='jabber:x:data' type='form'/></message>";

	cr_assert_eq(parse_element(text, strlen(text), &limits, &s), PARSER_OK);
	el = s->root;
	a = &s->arena;
}

static void end(void)
{
	stanza_unref(s);
}

TestSuite(path, .init = begin, .fini = end);

Test(path, element_to_string)
{
	cr_expect_str_eq(xml_element_to_string(el, a),
		"<message to='test@conference.example.org' type='groupchat' xml:lang='en'>\n"
		"<body>te<b/>st</body>\n<x xmlns='jabber:x:data' type='form'/></message>");
}

Test(path, crypt)
{
	cr_expect_str_eq(xml_crypt("a<b>&'\"c", a), "a&lt;b&gt;&amp;&apos;&quot;c");
	cr_expect_str_eq(xml_crypt("", a), "");
}

Test(path, remove_cdata)
{
	const struct elem **list = xml_remove_cdata(el->first, a);

	cr_expect_str_eq(list[0]->name, "body");
	cr_expect_str_eq(list[1]->name, "x");
	cr_expect_null(list[2]);
	cr_expect_null(xml_remove_cdata(NULL, a)[0]);
}

Test(path, get_path_s)
{
	static const struct {
		struct xml_step path[4];
		const char *elem, *text;
	} rows[] = {
		{ { { 0 } }, "message", "" },
		{ { XML_ELEM("body"), { 0 } }, "body", "" },
		{ { XML_ELEM("body"), XML_ELEM("b"), { 0 } }, "b", "" },
		{ { XML_ELEM("body"), XML_CDATA }, NULL, "test" },
		{ { XML_ATTR("type") }, NULL, "groupchat" },
		{ { XML_ELEM("x"), XML_ATTR("type") }, NULL, "form" },
		{ { XML_ELEM("x"), XML_ATTR("xmlns") }, NULL, "jabber:x:data" },
		{ { XML_ATTR("xml:lang") }, NULL, "en" },
		{ { XML_ATTR("none") }, NULL, "" },
		{ { XML_ELEM("none"), { 0 } }, NULL, "" },
		{ { XML_ELEM("none"), XML_ATTR("type") }, NULL, "" },
		{ { XML_ELEM("none"), XML_ELEM("body"), XML_CDATA }, NULL, "" },
		{ { XML_ELEM("x"), XML_CDATA }, NULL, "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct xml_found found = xml_get_path_s(el, rows[i].path, a);

		cr_expect_str_eq(found.text, rows[i].text, "row %zu", i);
		cr_expect_eq(found.elem != NULL, rows[i].elem != NULL, "row %zu", i);
		if (found.elem && rows[i].elem)
			cr_expect_str_eq(found.elem->name, rows[i].elem, "row %zu", i);
	}
}

Test(path, get_cdata)
{
	cr_expect_str_eq(xml_get_cdata(el->first, a), "\n\n");
	cr_expect_str_eq(xml_get_cdata(NULL, a), "");
	cr_expect_str_eq(xml_get_tag_cdata(xml_get_subtag(el, "body"), a), "test");
	cr_expect_str_eq(xml_get_tag_cdata(xml_get_subtag(el, "x"), a), "");
}

Test(path, get_attr)
{
	cr_expect_str_eq(xml_get_attr("type", el->attrs), "groupchat");
	cr_expect_null(xml_get_attr("from", el->attrs));
	cr_expect_str_eq(xml_get_attr_s("type", el->attrs), "groupchat");
	cr_expect_str_eq(xml_get_attr_s("from", el->attrs), "");
	cr_expect_null(xml_get_attr("type", NULL));
	cr_expect_str_eq(xml_get_tag_attr("type", el), "groupchat");
	cr_expect_null(xml_get_tag_attr("from", el));
	cr_expect_null(xml_get_tag_attr("xmlns", el));
	cr_expect_str_eq(xml_get_tag_attr_s("from", el), "");
	cr_expect_str_eq(xml_get_tag_attr_s("to", el), "test@conference.example.org");
}

Test(path, get_subtag)
{
	cr_expect_str_eq(xml_get_subtag(el, "body")->name, "body");
	cr_expect_null(xml_get_subtag(el, "b"));
}
