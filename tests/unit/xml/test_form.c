/* Data forms: XEP-0004 as they are built and read, XEP-0068's FORM_TYPE. */
#include <stdlib.h>

#include "core/mem.h"
#include "tests/support/asking.h"
#include "xml/form.h"

static const char *const colours[] = { "red", "green", NULL };
static const struct form_row rows[] = { { "name", FORM_TEXT_SINGLE, "Password", .required = true },
	{ "colour", FORM_LIST_SINGLE, NULL, .options = colours }, { 0 } };

Test(form, section_3_2_a_form_with_its_fields)
{
	struct builder b;
	struct stanza *s;
	char *text;

	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", "result");
	form_open_titled(&b, "form", "urn:example", "de", "Password", "Subject");
	form_field(&b, "de", &rows[0]);
	form_value(&b, "a & b");
	build_close(&b);
	form_field(&b, "de", &rows[1]);
	build_close(&b);
	form_result(&b, NULL, &(struct form_row){ "lines", FORM_TEXT_MULTI }, "one\n\ntwo");
	form_result(&b, NULL, &(struct form_row){ "none", FORM_BOOLEAN }, NULL);
	build_close(&b);
	s = build_end(&b);
	text = stanza_text(s);
	cr_expect_str_eq(text,
		"<iq type='result'><x xmlns='jabber:x:data' type='form'>"
		"<title>Passwort</title><instructions>Betreff</instructions>"
		"<field var='FORM_TYPE' type='hidden'><value>urn:example</value></field>"
		"<field var='name' type='text-single' label='Passwort'><required/>"
		"<value>a &amp; b</value></field>"
		"<field var='colour' type='list-single'>"
		"<option label='red'><value>red</value></option>"
		"<option label='green'><value>green</value></option></field>"
		"<field var='lines' type='text-multi'><value>one</value><value/>"
		"<value>two</value></field><field var='none' type='boolean'/></x></iq>");
	free(text);
	stanza_unref(s);
}

static struct stanza *submitted(const char *fields)
{
	AUTO(free_ptr)
	char *text = xprintf("<iq xmlns='jabber:client' type='set' id='1'><q xmlns='urn:q'>"
			     "<x xmlns='jabber:x:data' type='submit'>%s</x></q></iq>",
		fields);

	return parse_sealed(text);
}

Test(form, what_was_filled_in)
{
	struct stanza *s = submitted("<field var='a'><value>1</value><value>two</value></field>"
				     "<field var='b'/><field var='c'><value/></field>"
				     "<field var='t'><value>true</value></field>"
				     "<field var='f'><value>false</value></field>"
				     "<field><value>nobody's</value></field>"
				     "<other var='o'><value>x</value></other>"
				     "<field var='a'><value>later</value></field>");
	const struct elem *form = form_in(elem_first(s->root));
	struct arena a;
	const char *const *values;
	unsigned n;

	arena_init(&a, NULL, 0);
	cr_expect(form_is(form, "submit") && !form_is(form, "form") && !form_is(NULL, "form"));
	cr_expect_str_eq(form_text(form, "a", &a), "1");
	cr_expect_str_eq(form_joined(form, "a", &a), "1\ntwo");
	cr_expect_str_eq(form_text(form, "b", &a), "");
	cr_expect_str_eq(form_text(form, "c", &a), "");
	cr_expect_str_eq(form_joined(form, "b", &a), "");
	cr_expect_null(form_text(form, "o", &a));
	cr_expect_null(form_joined(form, "o", &a));
	values = form_values(form, "a", &a, &n);
	cr_expect(n == 2 && !values[2]);
	cr_expect_str_eq(values[1], "two");
	values = form_values(form, "nothing", &a, &n);
	cr_expect(n == 0 && !values[0]);
	cr_expect(form_flag(form, "a", false, &a) && form_flag(form, "t", false, &a));
	cr_expect_not(form_flag(form, "f", true, &a));
	cr_expect(form_flag(form, "nothing", true, &a));
	arena_fini(&a);
	stanza_unref(s);
}

Test(form, there_may_be_none)
{
	struct stanza *s = parse_sealed("<iq xmlns='jabber:client' type='set' id='1'><q xmlns='q'/>"
					"</iq>");
	struct arena a;

	arena_init(&a, NULL, 0);
	cr_expect_null(form_in(elem_first(s->root)));
	cr_expect_null(form_text(NULL, "a", &a));
	cr_expect_eq(form_missing(NULL, rows, &a), &rows[0]);
	arena_fini(&a);
	stanza_unref(s);
}

static const struct {
	const char *section, *fields;
	const struct form_row *missing;
} checks[] = {
	{ "§3.2 required", "", &rows[0] },
	{ "§3.2 required", "<field var='name'/>", &rows[0] },
	{ "§3.2 required", "<field var='name'><value/></field>", &rows[0] },
	{ "§3.2 required", "<field var='name'><value>x</value></field>", NULL },
	{ "§3.2 an option",
		"<field var='name'><value>x</value></field>"
		"<field var='colour'><value>red</value></field>",
		NULL },
	{ "§3.2 no option",
		"<field var='name'><value>x</value></field>"
		"<field var='colour'><value>blue</value></field>",
		&rows[1] },
};

Test(form, what_is_missing)
{
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		struct stanza *s = submitted(checks[i].fields);
		struct arena a;

		arena_init(&a, NULL, 0);
		cr_expect_eq(form_missing(form_in(elem_first(s->root)), rows, &a),
			checks[i].missing, "%s: %s", checks[i].section, checks[i].fields);
		arena_fini(&a);
		stanza_unref(s);
	}
}
