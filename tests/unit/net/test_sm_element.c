/* What elements of XEP-0198 say: XEP-0198 §3, §4, §5. */
#include <criterion/criterion.h>
#include <string.h>

#include "net/sm_element.h"
#include "xml/parser.h"

static struct stanza *parse(const char *text)
{
	const struct parser_limits limits = { 4096, PARSER_DEPTH, PARSER_ATTRS };
	struct stanza *s;

	cr_assert_eq(parse_element(text, strlen(text), &limits, &s), PARSER_OK);
	return s;
}

Test(sm_element, h_is_an_unsigned_int) /* §4, schema */
{
	static const struct {
		const char *text;
		bool good;
		uint32_t h;
	} rows[] = {
		{ "<a h='0'/>", true, 0 },
		{ "<a h='17'/>", true, 17 },
		{ "<a h='4294967295'/>", true, UINT32_MAX },
		{ "<a h='4294967296'/>", false, 0 },
		{ "<a h='99999999999999999999999'/>", false, 0 },
		{ "<a h='-1'/>", false, 0 },
		{ "<a h=' 1'/>", false, 0 },
		{ "<a h='1x'/>", false, 0 },
		{ "<a h=''/>", false, 0 },
		{ "<a/>", false, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct stanza *s = parse(rows[i].text);
		uint32_t h = 0;

		cr_expect_eq(sm_read_h(s->root, &h), rows[i].good, "%s", rows[i].text);
		if (rows[i].good)
			cr_expect_eq(h, rows[i].h, "%s", rows[i].text);
		stanza_unref(s);
	}
}

Test(sm_element, how_long_a_state_waits) /* §5 */
{
	static const struct sm_conf some = { .resume_timeout_ms = 60000,
		.max_resume_timeout_ms = 120000 };
	static const struct sm_conf none = { .max_resume_timeout_ms = 120000 };
	static const struct {
		const struct sm_conf *conf;
		const char *text;
		uint64_t ms;
	} rows[] = {
		{ &some, "<enable/>", 0 },
		{ &some, "<enable resume='false'/>", 0 },
		{ &some, "<enable resume='true'/>", 60000 },
		{ &some, "<enable resume='1'/>", 60000 },
		{ &some, "<enable resume='true' max='10'/>", 10000 },
		{ &some, "<enable resume='true' max='0'/>", 0 },
		{ &some, "<enable resume='true' max='1000'/>", 120000 },
		{ &some, "<enable resume='true' max='99999999999999999999'/>", 120000 },
		{ &some, "<enable resume='true' max='soon'/>", 60000 },
		{ &none, "<enable resume='true' max='10'/>", 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct stanza *s = parse(rows[i].text);

		cr_expect_eq(
			sm_time_to_wait(rows[i].conf, s->root), rows[i].ms, "%s", rows[i].text);
		stanza_unref(s);
	}
}
