/* tests/unit/core/test_pattern.c - globs and regular expressions of access rules. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/pattern.h"

static const struct {
	const char *glob, *text;
	bool want;
} globs[] = {
	{ "", "", true },
	{ "", "a", false },
	{ "abc", "abc", true },
	{ "abc", "abcd", false },
	{ "abc", "xabc", false },
	{ "*", "", true },
	{ "*", "anything", true },
	{ "a*", "a", true },
	{ "a*", "abc", true },
	{ "a*", "ba", false },
	{ "*.example.org", "chat.example.org", true },
	{ "*.example.org", "example.org", false },
	{ "a*b*c", "a1b2b3c", true },
	{ "a*b*c", "a1b2b3", false },
	{ "?", "a", true },
	{ "?", "ä", true },
	{ "?", "", false },
	{ "a?c", "abc", true },
	{ "user[0-9]", "user7", true },
	{ "user[0-9]", "user77", false },
	{ "user[!0-9]", "userx", true },
	{ "user[!0-9]", "user7", false },
	{ "[]a]", "]", true },
	{ "[a-]", "-", true },
	{ "\\*", "*", true },
	{ "\\*", "a", false },
	{ "a.c", "abc", false },
	{ "(a)+$", "(a)+$", true },
};

static const struct {
	const char *regexp, *text;
	bool want;
} regexps[] = {
	{ "", "anything", true },
	{ "", "", true },
	{ "b", "abc", true },
	{ "^b", "abc", false },
	{ "c$", "abc", true },
	{ "^abc$", "abc", true },
	{ "^$", "", true },
	{ "^$", "a", false },
	{ "^a.c$", "axc", true },
	{ "^a.c$", "aöc", true },
	{ "^ab*$", "a", true },
	{ "^ab*$", "abbb", true },
	{ "^ab+$", "a", false },
	{ "^ab?c$", "ac", true },
	{ "^(admin|root)$", "root", true },
	{ "^(admin|root)$", "roots", false },
	{ "^admin|root$", "adminx", true },
	{ "^(a|b|c|)d$", "d", true },
	{ "^(?:ab)+$", "ababab", true },
	{ "^(ab)+$", "aba", false },
	{ "^a{3}$", "aaa", true },
	{ "^a{3}$", "aaaa", false },
	{ "^a{2,}$", "aaaa", true },
	{ "^a{2,}$", "a", false },
	{ "^a{1,3}$", "aaa", true },
	{ "^a{1,3}$", "aaaa", false },
	{ "^a{0}b$", "b", true },
	{ "^(ab){2}c$", "ababc", true },
	{ "^(a|b){2,3}$", "bab", true },
	{ "^\\d+$", "2026", true },
	{ "^\\d+$", "20x6", false },
	{ "^\\D+$", "abc", true },
	{ "^\\w+$", "a_1", true },
	{ "^\\s$", " ", true },
	{ "^[[:digit:]a]+$", "1a2", true },
	{ "^[^a-c]+$", "xyz", true },
	{ "^[^a-c]+$", "xbz", false },
	{ "^[\\d_]+$", "1_2", true },
	{ "^[а-я]+$", "привет", true },
	{ "\\.", "a.b", true },
	{ "\\.", "ab", false },
	{ "^(a*)*$", "aaaa", true },
	{ "^(a*)*b$", "aaaa", false },
	{ "a**", "b", true },
	{ "^a+?$", "aaa", true },
};

static const struct {
	const char *regexp, *why;
} wrong[] = {
	{ "(", "a ) to the (" },
	{ ")", "a ( to the )" },
	{ "[a", "a ] to the [" },
	{ "[", "a ] to the [" },
	{ "[b-a]", "a range from the smaller to the greater character" },
	{ "[[:nope:]]", "a class such as [:alpha:] or [:digit:]" },
	{ "*a", "something to repeat before *, +, ? or {" },
	{ "a{2,1}", "{n}, {n,} or {n,m}" },
	{ "a{x}", "{n}, {n,} or {n,m}" },
	{ "a{999}", "at most 256 repetitions" },
	{ "(a{250}){250}", "a smaller pattern" },
	{ "\\1", "a special character, d, w or s after the backslash" },
	{ "\\", "a special character, d, w or s after the backslash" },
	{ "(?=a)", "something to repeat before *, +, ? or {" },
};

static bool matches(int (*compile)(const char *, struct arena *, struct pattern **, const char **),
	const char *pattern, const char *text)
{
	struct pattern *p = NULL;
	const char *why = "";
	struct arena a;
	bool got;

	arena_init(&a, NULL, 0);
	cr_assert_eq(compile(pattern, &a, &p, &why), 0, "%s: %s", pattern, why);
	got = pattern_matches(p, text);
	arena_fini(&a);
	return got;
}

Test(pattern, globs)
{
	for (size_t i = 0; i < ARRAY_LEN(globs); i++)
		cr_expect_eq(matches(pattern_glob, globs[i].glob, globs[i].text), globs[i].want,
			"%s on %s", globs[i].glob, globs[i].text);
}

Test(pattern, regexps)
{
	for (size_t i = 0; i < ARRAY_LEN(regexps); i++)
		cr_expect_eq(matches(pattern_regexp, regexps[i].regexp, regexps[i].text),
			regexps[i].want, "%s on %s", regexps[i].regexp, regexps[i].text);
}

Test(pattern, mistakes)
{
	struct arena a;

	arena_init(&a, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct pattern *p = NULL;
		const char *why = "nothing";

		cr_expect_eq(pattern_regexp(wrong[i].regexp, &a, &p, &why), PATTERN_BAD, "%s",
			wrong[i].regexp);
		cr_expect_str_eq(why, wrong[i].why, "%s", wrong[i].regexp);
	}
	arena_fini(&a);
}

/* Room that runs out anywhere in a pattern ends the reading there. */
Test(pattern, too_long)
{
	static const char *const pieces[] = { "a", "\\*", "?", "*", "[a-z]", "[[:alpha:]]", "\\d" };

	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		for (unsigned n = 100; n < 700; n++) {
			size_t len = strlen(pieces[i]);
			AUTO(free_ptr) char *text = xcalloc(n * len + 1, 1); /* to the byte */
			struct pattern *p;
			struct arena a;
			const char *why;

			for (unsigned k = 0; k < n; k++)
				memcpy(text + k * len, pieces[i], len);
			arena_init(&a, NULL, 0);
			cr_expect(pattern_glob(text, &a, &p, &why) == 0 || *why);
			cr_expect(pattern_regexp(text, &a, &p, &why) == 0 || *why);
			arena_fini(&a);
		}
	}
}

Test(pattern, a_set_that_is_full_where_a_class_stands)
{
	for (unsigned n = 100; n < 140; n++) {
		AUTO(free_ptr) char *text = xcalloc(n + 16, 1);
		struct pattern *p;
		struct arena a;
		const char *why = "";

		text[0] = '[';
		memset(text + 1, 'n', n);
		strcpy(text + 1 + n, "[:alpha:]]");
		arena_init(&a, NULL, 0);
		if (pattern_glob(text, &a, &p, &why))
			cr_expect_str_eq(why, "a pattern with smaller sets");
		else
			cr_expect_lt(n, 127);
		arena_fini(&a);
	}
}

/* Patterns that take others forever: done in text times pattern. */
Test(pattern, no_backtracking)
{
	AUTO(free_ptr) char *text = xmalloc(1001);

	memset(text, 'a', 1000);
	text[1000] = 0;
	cr_expect_not(matches(pattern_regexp, "^(a*a*a*a*a*a*a*a*)*b$", text));
	cr_expect_not(matches(pattern_regexp, "^(a|a|a|aa)*$b", text));
	cr_expect(matches(pattern_regexp, "(a?){100}a{100}$", text));
	cr_expect_not(matches(pattern_glob, "*a*a*a*a*a*a*a*b", text));
}
