/* tests/unit/xml/test_fold.c - NFKC_Casefold of UAX #31 §5.1, and spaces. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/attr.h"
#include "xml/fold.h"

static const struct {
	const char *why, *text, *folded;
} rows[] = {
	{ "plain", "juliet", "juliet" },
	{ "case", "JuLiet", "juliet" },
	{ "case that grows",
		"Stra\xc3\x9f"
		"e",
		"strasse" },
	{ "case of Greek, final sigma too", "\xce\x9f\xce\x94\xce\x9f\xce\xa3",
		"\xce\xbf\xce\xb4\xce\xbf\xcf\x83" },
	{ "case of Greek, final sigma too", "\xce\xbf\xce\xb4\xce\xbf\xcf\x82",
		"\xce\xbf\xce\xb4\xce\xbf\xcf\x83" },
	{ "composed or not", "Rene\xcc\x81", "ren\xc3\xa9" },
	{ "composed or not", "REN\xc3\x89", "ren\xc3\xa9" },
	{ "width", "\xef\xbc\xaa\xef\xbd\x95", "ju" },
	{ "ligatures", "\xef\xac\x81sh", "fish" },
	{ "soft hyphen", "ju\xc2\xadliet", "juliet" },
	{ "Cyrillic", "\xd0\x9e\xd0\xbb\xd1\x8c\xd0\xb3\xd0\xb0",
		"\xd0\xbe\xd0\xbb\xd1\x8c\xd0\xb3\xd0\xb0" },
	{ "beyond the BMP", "\xf0\x9f\x8c\xb9 Rose", "\xf0\x9f\x8c\xb9 rose" },
	{ "spaces", " \t de  la\n\xe3\x80\x80Vega \r\n", "de la vega" },
	{ "nothing but spaces", " \n ", "" },
	{ "nothing", "", "" },
	{ "not UTF-8", "a\xff", "" },
};

Test(fold, people_take_them_for_the_same)
{
	char folded[256], again[256];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = text_fold(rows[i].text, strlen(rows[i].text), folded, 255);

		cr_expect_str_eq(folded, rows[i].folded, "%s: '%s'", rows[i].why, folded);
		cr_expect_eq(n, strlen(rows[i].folded), "%s", rows[i].why);
		text_fold(folded, n, again, 255);
		cr_expect_str_eq(again, folded, "%s: folding again changes nothing", rows[i].why);
	}
}

Test(fold, cut_between_characters)
{
	char folded[8], text[3 * FOLD_READS_MAX];

	cr_expect_eq(text_fold("\xc3\x89\xc3\x89\xc3\x89", 6, folded, 5), 4);
	cr_expect_str_eq(folded, "\xc3\xa9\xc3\xa9");
	for (size_t i = 0; i < sizeof(text); i += 3)
		memcpy(text + i, "\xef\xb7\xba", 3); /* U+FDFA, 18 characters when folded */
	cr_expect_eq(
		text_fold(text, sizeof(text), folded, 7), 0, "what grows too much is left out");
	memset(text, 'X', sizeof(text));
	cr_expect_eq(text_fold(text, sizeof(text), folded, 7), 7);
	cr_expect_str_eq(folded, "xxxxxxx");
	cr_expect_eq(text_cut("a\xc3\xa9", 3, 2), 1);
	cr_expect_eq(text_cut("a\xc3\xa9", 3, 3), 3);
}
