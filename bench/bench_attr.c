/* bench/bench_attr.c - from one attribute to the next. */
#include "bench/bench_attr.h"

#include <stdlib.h>
#include <string.h>

bool attr_of(const char *text, const char *name, const char **value, size_t *len)
{
	size_t name_len = strlen(name);

	while (*text && *text != '>' && *text != ' ')
		text++;
	while (*text == ' ') {
		const char *equals, *end;
		bool found;

		while (*text == ' ')
			text++;
		equals = strchr(text, '=');
		if (*text == '>' || *text == '/' || !equals ||
			(equals[1] != '\'' && equals[1] != '"'))
			return false;
		end = strchr(equals + 2, equals[1]);
		if (!end)
			return false;
		found = (size_t)(equals - text) == name_len && !memcmp(text, name, name_len);
		if (found) {
			*value = equals + 2;
			*len = (size_t)(end - equals - 2);
			return true;
		}
		text = end + 1;
	}
	return false;
}

bool attr_is(const char *text, const char *name, const char *value)
{
	const char *at;
	size_t len;

	return attr_of(text, name, &at, &len) && len == strlen(value) && !memcmp(at, value, len);
}

int64_t attr_number(const char *text, const char *name)
{
	const char *at;
	size_t len;

	return attr_of(text, name, &at, &len) && len ? strtoll(at, NULL, 10) : -1;
}
