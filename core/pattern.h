/* core/pattern.h - globs and regular expressions over short names, for access rules.
 * Compiled once into an arena, matched without allocation, lock or backtracking: the time is
 * bounded by the length of the text times the size of the pattern, whatever either holds. Text and
 * patterns are UTF-8 and compared character by character, without regard to locale. */
#pragma once

#include "core/arena.h"
#include "core/attr.h"

struct pattern;

/* Globs cover the whole text: * any characters, ? one, [a-z] one of these, [!a-z] none of these, a
 * backslash takes the special meaning from the next.
 * Regular expressions are found anywhere in the text: | ( ) [ ] . ^ $ * + ? {m,n}, \d \w \s and
 * their opposites, [:alpha:] and the like in []; the extended ones of POSIX without references.
 * 0 and *out, or PATTERN_BAD and *why: what was expected, static text. */
#define PATTERN_BAD 1
int pattern_glob(const char *text, struct arena *a, struct pattern **out, const char **why);
int pattern_regexp(const char *text, struct arena *a, struct pattern **out, const char **why);
ANY_THREAD bool pattern_matches(const struct pattern *p, const char *text);
