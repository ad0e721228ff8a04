/* Globs and regular expressions against names as peers choose them. The input is a pattern, a NUL
 * and a text. Says of a match what must be so: a quoted text matches itself and nothing else, and
 * brackets or saying it twice change nothing. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/pattern.h"

typedef int compile(const char *text, struct arena *a, struct pattern **out, const char **why);

/* 1: matches, 0: does not, -1: is no pattern. */
static int ask(compile *fn, const char *pattern, const char *text)
{
	struct pattern *p;
	const char *why = NULL;
	struct arena a;
	int says = -1;

	arena_init(&a, NULL, 0);
	if (fn(pattern, &a, &p, &why))
		REQUIRE(why && *why);
	else
		says = pattern_matches(p, text);
	arena_fini(&a);
	return says;
}

/* Each character behind a backslash. */
static char *quoted(const char *text)
{
	char *out = xmalloc(2 * strlen(text) + 1), *at = out;

	for (; *text; text++) {
		if (!(*text & 0x80) && !(*text >= '0' && *text <= '9') &&
			!((*text | 32) >= 'a' && (*text | 32) <= 'z'))
			*at++ = '\\';
		*at++ = *text;
	}
	*at = 0;
	return out;
}

static void ask_in_brackets(const char *pattern, const char *text)
{
	AUTO(free_ptr) char *once = xprintf("(%s)", pattern);
	AUTO(free_ptr) char *twice = xprintf("(%s)|(%s)", pattern, pattern);
	int says = ask(pattern_regexp, pattern, text), brackets, both;

	if (says < 0)
		return;
	brackets = ask(pattern_regexp, once, text); /* may have become too long */
	both = ask(pattern_regexp, twice, text);
	REQUIRE(brackets < 0 || brackets == says);
	REQUIRE(both < 0 || both == says);
}

static void ask_for_itself(compile *fn, const char *text)
{
	AUTO(free_ptr) char *itself = quoted(text);
	AUTO(free_ptr) char *longer = xprintf("%sx", text);

	if (fn == pattern_glob) {
		REQUIRE(ask(fn, itself, text));
		REQUIRE(ask(fn, itself, longer) <= 0);
	} else if (*text) {
		AUTO(free_ptr) char *whole = xprintf("^%s$", itself);

		REQUIRE(ask(fn, whole, text));
		REQUIRE(ask(fn, whole, longer) <= 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(free_ptr) char *pattern = xstrndup((const char *)data, size);
	size_t len = strlen(pattern);
	AUTO(free_ptr) char *text = NULL;

	text = len < size ? xstrndup((const char *)data + len + 1, size - len - 1) : xstrdup("");
	ask(pattern_glob, pattern, text);
	ask_in_brackets(pattern, text);
	ask_for_itself(pattern_glob, text);
	ask_for_itself(pattern_regexp, text);
	return 0;
}
