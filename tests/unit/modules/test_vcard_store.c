/* tests/unit/modules/test_vcard_store.c - what a vCard says, and who is found by it. XEP-0054,
 * XEP-0055, XEP-0153. */
#include "core/mem.h"
#include "core/rcu.h"
#include "modules/vcard_store.h"
#include "tests/support/asking.h"
#include "tests/support/database.h"

#define HOST "shakespeare.lit"

static void begin(void)
{
	rcu_thread_begin();
	database_begin();
	cr_assert_eq(vcard_migrate(), 0);
}

static void end(void)
{
	database_end();
	rcu_thread_end();
}
TestSuite(vcard_store, .init = begin, .fini = end);

static struct stanza *card(const char *inside)
{
	AUTO(free_ptr) char *text = xprintf("<vCard xmlns='vcard-temp'>%s</vCard>", inside);

	return parse_unsealed(text);
}

static void store(const char *name, const char *inside)
{
	struct stanza *s = card(inside);

	cr_assert_eq(vcard_store(HOST, name, s->root, "", NULL), 0);
	stanza_unref(s);
}

/* ---- Reading */

static const struct {
	const char *section, *inside;
	enum vcard_field field;
	const char *value; /* NULL: none */
} said[] = {
	{ "0054 §3.1", "<FN>Peter</FN>", VCARD_FN, "Peter" },
	{ "0054 §3.1", "<N><FAMILY>Saint-Andre</FAMILY><GIVEN>Peter</GIVEN><MIDDLE/></N>",
		VCARD_LAST, "Saint-Andre" },
	{ "0054 §3.1", "<N><FAMILY>Saint-Andre</FAMILY><GIVEN>Peter</GIVEN><MIDDLE/></N>",
		VCARD_FIRST, "Peter" },
	{ "0054 §3.1", "<N><FAMILY>Saint-Andre</FAMILY><GIVEN>Peter</GIVEN><MIDDLE/></N>",
		VCARD_MIDDLE, NULL },
	{ "0054 §3.1", "<NICKNAME>stpeter</NICKNAME>", VCARD_NICK, "stpeter" },
	{ "0054 §3.1", "<BDAY>1966-08-06</BDAY>", VCARD_BDAY, "1966-08-06" },
	{ "0054 §3.1", "<ORG><ORGNAME>XSF</ORGNAME><ORGUNIT/></ORG>", VCARD_ORGNAME, "XSF" },
	{ "0054 §3.1", "<ORG><ORGNAME>XSF</ORGNAME><ORGUNIT>x</ORGUNIT></ORG>", VCARD_ORGUNIT,
		"x" },
	{ "0054 §3.1", "<ADR><WORK/><LOCALITY/></ADR><ADR><HOME/><LOCALITY>Denver</LOCALITY></ADR>",
		VCARD_LOCALITY, "Denver" },
	{ "0054 §3.1", "<ADR><CTRY>USA</CTRY></ADR>", VCARD_CTRY, "USA" },
	{ "0054 §6", "<ADR><COUNTRY>USA</COUNTRY></ADR>", VCARD_CTRY, NULL },
	{ "0054 §6", "<EMAIL><INTERNET/><USERID>a@b</USERID></EMAIL>", VCARD_EMAIL, "a@b" },
	{ "0054 §6", "<EMAIL>a@b</EMAIL>", VCARD_EMAIL, NULL },
	{ "0054 §6", "<fn>Peter</fn>", VCARD_FN, NULL },
	{ "0054 §6", "<FN xmlns='other'>Peter</FN>", VCARD_FN, NULL },
};

Test(vcard_store, what_a_card_says)
{
	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		struct stanza *s = card(said[i].inside);
		struct vcard_person p;
		struct arena a;

		arena_init(&a, NULL, 0);
		vcard_read(s->root, &a, &p);
		if (said[i].value)
			cr_expect_str_eq(p.field[said[i].field], said[i].value, "%s: %s",
				said[i].section, said[i].inside);
		else
			cr_expect_null(p.field[said[i].field], "%s", said[i].inside);
		arena_fini(&a);
		stanza_unref(s);
	}
}

#define PICTURE "iVBORw0KGgo="
#define PICTURE_HASH "4caece539b039b16e16206ea2478f8c5ffb2ca05" /* of its eight bytes */
static const struct {
	const char *section, *inside;
	size_t bytes;
	const char *hash;
} photos[] = {
	{ "0153 §2.1", "<PHOTO><TYPE>image/png</TYPE><BINVAL>" PICTURE "</BINVAL></PHOTO>", 8,
		PICTURE_HASH },
	{ "0153 §3.6 white space", "<PHOTO><BINVAL>\n  iVBO\r\n\tRw0K \n Ggo=\n</BINVAL></PHOTO>",
		8, PICTURE_HASH },
	{ "0153 §3.3 no image", "<PHOTO><BINVAL/></PHOTO>", 0, "" },
	{ "0153 §3.3 no image", "<FN>x</FN>", 0, "" },
	{ "0153 §3.5 not in itself", "<PHOTO>" PICTURE "</PHOTO>", 0, "" },
	{ "0153 §3.5 no address", "<PHOTO><EXTVAL>http://x/</EXTVAL></PHOTO>", 0, "" },
	{ "0153 §3.6 no base64", "<PHOTO><BINVAL>iVBORw0KGg</BINVAL></PHOTO>", 0, "" },
	{ "0153 §3.6 no base64", "<PHOTO><BINVAL>iVB*Rw0KGgo=</BINVAL></PHOTO>", 0, "" },
	{ "0153 §3.6 no base64", "<PHOTO><BINVAL> \n </BINVAL></PHOTO>", 0, "" },
};

Test(vcard_store, picture)
{
	for (size_t i = 0; i < ARRAY_LEN(photos); i++) {
		struct stanza *s = card(photos[i].inside);
		char hash[VCARD_HASH_TEXT];
		struct arena a;

		arena_init(&a, NULL, 0);
		cr_expect_eq(vcard_photo(s->root, &a, hash), photos[i].bytes, "%s: %s",
			photos[i].section, photos[i].inside);
		cr_expect_str_eq(hash, photos[i].hash, "%s: %s", photos[i].section, hash);
		arena_fini(&a);
		stanza_unref(s);
	}
}

Test(vcard_store, hash_before_and_after)
{
	struct stanza *s = card("<FN>x</FN>");
	char was[VCARD_HASH_TEXT], now[VCARD_HASH_TEXT];

	cr_expect_eq(vcard_store(HOST, "romeo", s->root, "abc", was), 0);
	cr_expect_str_eq(was, "");
	cr_expect_eq(vcard_store(HOST, "romeo", s->root, "def", was), 0);
	cr_expect_str_eq(was, "abc");
	cr_expect_eq(vcard_find_hash(HOST, "romeo", now), 1);
	cr_expect_str_eq(now, "def");
	cr_expect_eq(vcard_find_hash(HOST, "juliet", now), 0);
	cr_expect_str_eq(now, "");
	cr_expect_eq(vcard_delete(HOST, "romeo"), 1);
	cr_expect_eq(vcard_delete(HOST, "romeo"), 0);
	cr_expect_eq(vcard_find_hash(HOST, "romeo", now), 0);
	cr_expect_str_eq(now, "");
	stanza_unref(s);
}

/* ---- Searching */

static void note(const struct vcard_found *found, void *arg)
{
	strcat(strcat(arg, found->user), " ");
}

/* "juliet tybalt ", and "..." where there may be more. */
static const char *search(const struct vcard_query *q, char *text)
{
	bool more;
	int n;

	*text = '\0';
	n = vcard_search(HOST, q, note, text, &more);
	cr_assert_geq(n, 0);
	return more ? strcat(text, "...") : text;
}

#define MAX 10
static const struct {
	const char *why;
	struct vcard_query query;
	const char *found;
} searches[] = {
	{ "one field", { .field[VCARD_LAST] = "Capulet", .max = MAX }, "juliet tybalt " },
	{ "beginning", { .field[VCARD_LAST] = "cap*", .max = MAX }, "juliet tybalt " },
	{ "beginning, the whole value too", { .field[VCARD_LAST] = "capulet*", .max = MAX },
		"juliet tybalt " },
	{ "in order of the value, those who said yes first",
		{ .field[VCARD_FIRST] = "*", .field[VCARD_FN] = "f*", .max = MAX },
		"romeo nurse juliet " },
	{ "all must fit",
		{ .field[VCARD_LAST] = "capulet", .field[VCARD_FIRST] = "t*", .max = MAX },
		"tybalt " },
	{ "all must fit", { .field[VCARD_LAST] = "capulet", .field[VCARD_FIRST] = "x", .max = MAX },
		"" },
	{ "by user", { .field[VCARD_USER] = "ROM*", .max = MAX }, "romeo " },
	{ "those who did not say no", { .field[VCARD_CTRY] = "italy", .max = MAX },
		"romeo juliet nurse tybalt " },
	{ "those who said yes", { .field[VCARD_CTRY] = "italy", .only_wanted = true, .max = MAX },
		"romeo " },
	{ "no more than", { .field[VCARD_CTRY] = "italy", .max = 2 }, "romeo juliet ..." },
	{ "exactly as many", { .field[VCARD_CTRY] = "italy", .max = 4 },
		"romeo juliet nurse tybalt " },
	{ "no condition", { .max = MAX }, "" },
	{ "a condition of nothing", { .field[VCARD_FN] = " ", .max = MAX }, "" },
	{ "everybody", { .everybody = true, .max = MAX }, "romeo juliet nurse tybalt " },
	{ "% and _ stand for themselves", { .field[VCARD_LAST] = "%", .max = MAX }, "" },
	{ "% and _ stand for themselves", { .field[VCARD_LAST] = "c_pulet", .max = MAX }, "" },
	{ "* within stands for itself", { .field[VCARD_LAST] = "c*t", .max = MAX }, "" },
};

Test(vcard_store, searches)
{
	struct stanza *far;
	char text[256];

	store("juliet",
		"<FN>Fair Juliet</FN><N><FAMILY>Capulet</FAMILY><GIVEN>Juliet</GIVEN></N>"
		"<ADR><CTRY>Italy</CTRY></ADR>");
	store("tybalt",
		"<N><FAMILY>CAPULET</FAMILY><GIVEN>Tybalt</GIVEN></N>"
		"<ADR><CTRY>ITALY</CTRY></ADR>");
	store("nurse", "<FN>Fair Angelica</FN><ADR><CTRY>Italy</CTRY></ADR>");
	store("romeo",
		"<FN>fond Romeo</FN><N><FAMILY>Montague</FAMILY></N>"
		"<ADR><CTRY>Italy</CTRY></ADR>");
	store("paris",
		"<FN>Fair Paris</FN><CLASS><CONFIDENTIAL/></CLASS>"
		"<ADR><CTRY>Italy</CTRY></ADR>");
	far = card("<FN>Fair Far</FN>");
	cr_assert_eq(vcard_store("elsewhere.lit", "far", far->root, "", NULL), 0);
	stanza_unref(far);
	cr_assert_eq(vcard_set_wanted(HOST, "romeo", 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(searches); i++) {
		const char *found = search(&searches[i].query, text);

		cr_expect_str_eq(found, searches[i].found, "%s: %s", searches[i].why, found);
	}
}

Test(vcard_store, wanted_is_above_class_and_outlives_the_card)
{
	const struct vcard_query q = {
		.field[VCARD_USER] = "romeo", .only_wanted = true, .max = MAX
	};
	const struct vcard_query any = { .field[VCARD_USER] = "romeo", .max = MAX };
	char text[256];

	cr_expect_eq(vcard_is_wanted(HOST, "romeo"), 0);
	cr_expect_str_eq(search(&any, text), "");
	cr_assert_eq(vcard_set_wanted(HOST, "romeo", 1), 0);
	cr_expect_str_eq(search(&q, text), "romeo ", "without a vCard");
	store("romeo", "<CLASS><PRIVATE/></CLASS>");
	cr_expect_str_eq(search(&q, text), "romeo ");
	cr_expect_eq(vcard_is_wanted(HOST, "romeo"), 1);
	cr_assert_eq(vcard_set_wanted(HOST, "romeo", 0), 0);
	cr_expect_str_eq(search(&any, text), "");
	store("romeo", "<CLASS><PUBLIC/></CLASS>");
	cr_expect_str_eq(search(&q, text), "romeo ");
	store("romeo", "");
	cr_expect_str_eq(search(&q, text), "");
	cr_expect_str_eq(search(&any, text), "romeo ");
}

Test(vcard_store, long_values_are_cut)
{
	char inside[1200], text[256], begins[300];

	memset(begins, 'x', 260);
	strcpy(begins + 260, "*");
	strcpy(inside, "<FN>");
	memset(inside + 4, 'x', 1000);
	strcpy(inside + 1004, "</FN>");
	store("romeo", inside);
	cr_expect_str_eq(
		search(&(struct vcard_query){ .field[VCARD_FN] = "xxx*", .max = MAX }, text),
		"romeo ");
	cr_expect_str_eq(
		search(&(struct vcard_query){ .field[VCARD_FN] = begins, .max = MAX }, text),
		"romeo ");
}

Test(vcard_store, a_search_looks_at_no_more_than_so_many)
{
	char name[16], text[256];

	for (int i = 0; i < VCARD_SCAN_MAX + 10; i++) {
		snprintf(name, sizeof(name), "u%06d", i);
		store(name,
			i == VCARD_SCAN_MAX + 5 ? "<FN>John</FN><BDAY>1</BDAY>"
						: "<FN>John</FN><BDAY>2</BDAY>");
	}
	cr_expect_str_eq(search(&(struct vcard_query){ .field[VCARD_FN] = "john",
					.field[VCARD_BDAY] = "1",
					.max = MAX },
				 text),
		"u005005 ", "the field that fewer have is looked at first");
	cr_expect_str_eq(search(&(struct vcard_query){ .field[VCARD_FN] = "john",
					.field[VCARD_BDAY] = "2",
					.field[VCARD_NICK] = "x",
					.max = MAX },
				 text),
		"");
	cr_expect_str_eq(search(&(struct vcard_query){ .field[VCARD_FN] = "john",
					.field[VCARD_USER] = "u*",
					.max = 1 },
				 text),
		"u000000 ...");
}
