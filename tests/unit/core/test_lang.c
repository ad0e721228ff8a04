/* Which catalogue serves a language tag: RFC 4647 §3.4 (Lookup), and that they are there. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/lang.h"
#include "core/mem.h"

static const struct {
	const char *section, *wanted, *otherwise, *want;
} rows[] = {
	{ "RFC 4647 §3.4", "de", NULL, "de" },
	{ "RFC 4647 §3.4", "de-AT", NULL, "de" },
	{ "RFC 4647 §3.4", "de-DE-1996", NULL, "de" },
	{ "RFC 4647 §3.4: private use goes with its letter", "fr-x-private", NULL, "fr" },
	{ "RFC 4647 §3.4", "zh-CN", NULL, "zh-CN" },
	{ "RFC 4647 §3.4", "zh-CN-x-a-b", NULL, "zh-CN" },
	{ "RFC 5646 §2.1.1: in any case", "PT-br", NULL, "pt" },
	{ "one of the same language", "zh", NULL, "zh-CN" },
	{ "one of the same language", "zh-Hans-SG", NULL, "zh-CN" },
	{ "English needs no catalogue", "en-GB", "de", "en" },
	{ "the host's language", "tlh", "uk", "uk" },
	{ "the host's language", NULL, "uk", "uk" },
	{ "the host's language", "", "uk", "uk" },
	{ "the first wish counts", "ja", "uk", "ja" },
	{ "English in the end", "tlh", "qaa", "en" },
	{ "English in the end", NULL, NULL, "en" },
	{ "not the beginning of another word", "den", NULL, "en" },
	{ "no tag", "-", NULL, "en" },
	{ "no tag", "--", NULL, "en" },
	{ "no tag", "-de", NULL, "en" },
	{ "no tag", "x-de", NULL, "en" },
	{ "no tag", "i", NULL, "en" },
};

Test(lang, serves_by_tag)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		cr_expect_str_eq(lang_pick(rows[i].wanted, rows[i].otherwise), rows[i].want,
			"%s: %s", rows[i].section, rows[i].wanted ? rows[i].wanted : "none");
}

Test(lang, a_tag_of_any_length_is_looked_at)
{
	AUTO(free_ptr) char *tag = xprintf("de-%0200d", 1);

	cr_expect_str_eq(lang_pick(tag, NULL), "de");
	cr_expect_str_eq(lang_pick(tag + 3, NULL), "en");
}

Test(lang, says_it_in_that_language)
{
	const char *english = TR("No answer to a ping.");

	cr_expect_str_eq(tr("de-CH", english), "Keine Antwort auf einen Ping.");
	cr_expect_str_eq(tr("ja", english), "ping への応答がありません。");
	cr_expect_eq(tr("en", english), english);
	cr_expect_eq(tr("tlh", english), english);
	cr_expect_eq(tr(NULL, english), english);
	cr_expect_str_eq(tr("de", "nobody has translated this"), "nobody has translated this");
}

static void note(const char *tag, void *arg)
{
	unsigned *n = arg;

	cr_expect_str_eq(lang_pick(tag, NULL), tag);
	cr_expect_eq(lang_index(tag), *n);
	cr_expect_str_eq(lang_tag(*n), tag);
	if (*n)
		cr_expect_str_neq(
			tr(tag, "Too many failed logins."), "Too many failed logins.", "%s", tag);
	++*n;
}

Test(lang, there_are_twelve_beside_english)
{
	unsigned n = 0;

	lang_each(note, &n);
	cr_expect_geq(n, 13);
}
