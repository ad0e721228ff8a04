/* tests/unit/modules/test_rsm.c - XEP-0059. */
#include "modules/rsm.h"

#include "core/mem.h"
#include "tests/support/asking.h"

static const struct {
	const char *section, *inside;
	int error;
	int64_t max;
	const char *after, *before; /* "-": not there */
} rows[] = {
	{ "2.2", "<max>10</max>", 0, 10, "-", "-" },
	{ "2.2", "", 0, -1, "-", "-" },
	{ "2.2", "<max>9223372036854775807</max>", 0, INT64_MAX, "-", "-" },
	{ "2.2", "<max>99999999999999999999</max>", ERR_BAD_REQUEST, 0, "-", "-" },
	{ "2.2", "<max>-1</max>", ERR_BAD_REQUEST, 0, "-", "-" },
	{ "2.2", "<max>ten</max>", ERR_BAD_REQUEST, 0, "-", "-" },
	{ "2.2", "<max>1 </max>", ERR_BAD_REQUEST, 0, "-", "-" },
	{ "2.2", "<max/>", ERR_BAD_REQUEST, 0, "-", "-" },
	{ "2.2", "<max>10</max><after>stpeter@jabber.org</after>", 0, 10, "stpeter@jabber.org",
		"-" },
	{ "2.3", "<before>x</before>", 0, -1, "-", "x" },
	{ "2.5", "<max>10</max><before/>", 0, 10, "-", "" },
	{ "2.6", "<max>10</max><index>371</index>", ERR_FEATURE_NOT_IMPLEMENTED, 0, "-", "-" },
	{ "2.7", "<max>0</max>", 0, 0, "-", "-" },
	{ "2.2", "<max xmlns='other'>x</max>", 0, -1, "-", "-" },
};

static void same(const char *section, const char *is, const char *wanted)
{
	if (strcmp(wanted, "-") == 0)
		cr_expect_null(is, "§%s", section);
	else
		cr_expect(is && strcmp(is, wanted) == 0, "§%s: %s", section, is ? is : "NULL");
}

Test(rsm, read)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(free_ptr)
		char *text = xprintf("<set xmlns='%s'>%s</set>", NS_RSM, rows[i].inside);
		struct stanza *s = parse_unsealed(text);
		struct arena a;
		struct rsm rsm;

		arena_init(&a, NULL, 0);
		cr_expect_eq(rsm_read(s->root, &a, &rsm), rows[i].error, "§%s: %s", rows[i].section,
			text);
		if (!rows[i].error) {
			cr_expect_eq(rsm.max, rows[i].max, "§%s: %s", rows[i].section, text);
			same(rows[i].section, rsm.after, rows[i].after);
			same(rows[i].section, rsm.before, rows[i].before);
		}
		arena_fini(&a);
		stanza_unref(s);
	}
}

Test(rsm, none_is_the_first_page)
{
	struct rsm rsm;

	cr_assert_eq(rsm_read(NULL, NULL, &rsm), 0);
	cr_expect(rsm.max < 0 && !rsm.after && !rsm.before);
}

Test(rsm, built)
{
	static const struct {
		const char *section;
		struct rsm_page page;
		const char *text;
	} pages[] = {
		{ "2.1", { "a", "b", 0, 800 },
			"<first index='0'>a</first><last>b</last><count>800</count>" },
		{ "2.2", { "a", "a", -1, -1 }, "<first>a</first><last>a</last>" },
		{ "2.1", { NULL, NULL, -1, 0 }, "<count>0</count>" },
		{ "2.7", { NULL, NULL, -1, 800 }, "<count>800</count>" },
	};

	for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
		AUTO(free_ptr)
		char *wanted = xprintf("<set xmlns='%s'>%s</set>", NS_RSM, pages[i].text);
		struct builder b;
		struct buf *wire = NULL;

		build_begin(&b, "iq", NS_CLIENT);
		rsm_build(&b, &pages[i].page);
		elem_wire(elem_first(b.stanza->root), NS_CLIENT, &wire);
		cr_expect(wire->len == strlen(wanted) && !memcmp(wire->data, wanted, wire->len),
			"§%s: %.*s", pages[i].section, (int)wire->len, wire->data);
		buf_unref(wire);
		build_drop(&b);
	}
}
