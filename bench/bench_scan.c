/* bench/bench_scan.c - one pass over the bytes, tag by tag. */
#include "bench/bench_scan.h"

#include <string.h>

void scan_restart(struct scan *s)
{
	*s = (struct scan){ 0 };
}

/* The offset behind `end`, or 0: not there yet. */
static size_t behind(const char *bytes, size_t at, size_t len, const char *end)
{
	const char *found = memmem(bytes + at, len - at, end, strlen(end));

	return found ? (size_t)(found - bytes) + strlen(end) : 0;
}

/* The offset behind the tag that begins at `at`; a '>' within quotes does not end it. */
static size_t behind_tag(const char *bytes, size_t at, size_t len)
{
	char quote = 0;

	for (size_t i = at + 1; i < len; i++) {
		char c = bytes[i];

		if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '\'')
			quote = c;
		else if (c == '>')
			return i + 1;
	}
	return 0;
}

static size_t behind_markup(const char *bytes, size_t at, size_t len)
{
	if (len - at < 2)
		return 0;
	if (bytes[at + 1] == '?')
		return behind(bytes, at, len, "?>");
	if (bytes[at + 1] != '!')
		return behind_tag(bytes, at, len);
	if (len - at < 9)
		return 0;
	if (!memcmp(bytes + at, "<![CDATA[", 9))
		return behind(bytes, at, len, "]]>");
	return behind(bytes, at, len, !memcmp(bytes + at, "<!--", 4) ? "-->" : ">");
}

enum tag { TAG_OPEN, TAG_CLOSE, TAG_EMPTY, TAG_NONE };

static enum tag kind_of(const char *bytes, size_t at, size_t end)
{
	if (bytes[at + 1] == '?' || bytes[at + 1] == '!')
		return TAG_NONE;
	if (bytes[at + 1] == '/')
		return TAG_CLOSE;
	return bytes[end - 2] == '/' ? TAG_EMPTY : TAG_OPEN;
}

enum scan_what scan_next(struct scan *s, const char *bytes, size_t len, size_t *from, size_t *to)
{
	for (;;) {
		const char *lt = memchr(bytes + s->at, '<', len - s->at);
		size_t at = lt ? (size_t)(lt - bytes) : len, end;
		enum tag tag;

		s->at = at;
		if (s->depth <= 1) /* what lies between the stream's children is space */
			s->start = at;
		end = lt ? behind_markup(bytes, at, len) : 0;
		if (!end)
			return SCAN_MORE;
		s->at = end;
		tag = kind_of(bytes, at, end);
		s->depth += tag == TAG_OPEN ? 1 : tag == TAG_CLOSE ? -1 : 0;
		*from = s->start;
		*to = end;
		if (s->depth == 1 && tag == TAG_OPEN)
			return SCAN_OPEN;
		if (s->depth == 1 && (tag == TAG_CLOSE || tag == TAG_EMPTY)) {
			s->start = end;
			return SCAN_STANZA;
		}
		if (s->depth <= 0 && tag == TAG_CLOSE)
			return SCAN_CLOSE;
	}
}

size_t scan_keep(struct scan *s)
{
	size_t done = s->start;

	s->at -= done;
	s->start = 0;
	return done;
}
