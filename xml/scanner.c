/* xml/scanner.c - a machine over bytes that remembers where it stands. */
#include "xml/scanner.h"

#include <string.h>
#include <strings.h>

enum scan_state {
	OUTSIDE, /* between elements; before the root and after it */
	OPENED, /* behind '<' */
	DECLARATION, /* behind "<?" */
	DECLARATION_END, /* behind '?' there */
	START_TAG,
	START_TAG_SLASH, /* behind '/' there */
	VALUE, /* of an attribute, up to the quote it began with */
	END_TAG,
	TEXT,
	BANG, /* behind "<!": only a CDATA section may follow */
	CDATA,
	CDATA_BRACKET, /* behind ']' there */
	CDATA_BRACKETS, /* behind "]]" or more */
};

/* Strict: no overlong forms, no surrogates, nothing above U+10FFFF. RFC 3629 §4. */
static bool utf8_lead(struct scanner *s, unsigned char c)
{
	s->utf8_low = 0x80;
	s->utf8_high = 0xbf;
	if (c >= 0xc2 && c <= 0xdf) {
		s->utf8_need = 1;
	} else if (c >= 0xe0 && c <= 0xef) {
		s->utf8_need = 2;
		if (c == 0xe0)
			s->utf8_low = 0xa0;
		else if (c == 0xed)
			s->utf8_high = 0x9f;
	} else if (c >= 0xf0 && c <= 0xf4) {
		s->utf8_need = 3;
		if (c == 0xf0)
			s->utf8_low = 0x90;
		else if (c == 0xf4)
			s->utf8_high = 0x8f;
	} else {
		return false;
	}
	return true;
}

static bool utf8_check(struct scanner *s, const char *bytes, size_t len)
{
	const unsigned char *b = (const unsigned char *)bytes;
	uint64_t eight;

	for (size_t i = 0; i < len; i++) {
		if (likely(!s->utf8_need)) {
			while (i + 8 <= len) {
				memcpy(&eight, b + i, 8);
				if (eight & 0x8080808080808080u)
					break;
				i += 8;
			}
			if (i < len && b[i] >= 0x80 && !utf8_lead(s, b[i]))
				return false;
		} else {
			if (b[i] < s->utf8_low || b[i] > s->utf8_high)
				return false;
			s->utf8_low = 0x80;
			s->utf8_high = 0xbf;
			s->utf8_need--;
		}
	}
	return true;
}

static uint32_t piece_offset(const struct scanner *s, const struct walk *w)
{
	return s->passed + (uint32_t)(w->at - w->begin);
}

static int scan_outside(struct scanner *s, struct walk *w)
{
	while (w->at < w->len && is_xml_blank(w->bytes[w->at])) {
		w->at++;
		s->begun = true;
	}
	w->begin = w->at;
	if (w->at == w->len)
		return PARSER_OK;
	if (w->bytes[w->at] == '<' && !s->ended) {
		w->at++;
		s->state = OPENED;
		s->depth = 0;
		s->inner_from = s->inner_to = 0;
		return PARSER_OK;
	}
	/* UTF-16 with its mark; RFC 6120 §11.6 */
	if (!s->begun && ((unsigned char)w->bytes[w->at] >= 0xfe || !w->bytes[w->at]))
		return PARSER_BAD_ENCODING;
	return s->root_open ? PARSER_TEXT_OUTSIDE : PARSER_NOT_WELL_FORMED;
}

static int scan_opened(struct scanner *s, const struct parser_limits *limits, struct walk *w)
{
	s->inner_to = piece_offset(s, w) - 1;
	switch (w->bytes[w->at++]) {
	case '/':
		s->state = END_TAG;
		return PARSER_OK;
	case '!':
		s->state = BANG;
		s->matched = 0;
		return PARSER_OK;
	case '?':
		s->state = DECLARATION;
		return s->begun ? PARSER_RESTRICTED : PARSER_OK;
	default:
		s->state = START_TAG;
		s->attrs = 0;
		w->at--;
		return s->root_open && s->depth >= limits->depth ? PARSER_TOO_BIG : PARSER_OK;
	}
}

static enum piece start_tag_done(struct scanner *s, struct walk *w, bool empty)
{
	s->state = s->root_open && (s->depth || !empty) ? TEXT : OUTSIDE;
	if (!s->root_open)
		return empty ? PIECE_ROOT_EMPTY : PIECE_ROOT_START;
	if (empty)
		return s->depth ? PIECE_NONE : PIECE_ELEMENT;
	if (!s->depth++)
		s->inner_from = piece_offset(s, w);
	return PIECE_NONE;
}

static enum piece end_tag_done(struct scanner *s)
{
	if (s->depth && --s->depth) {
		s->state = TEXT;
		return PIECE_NONE;
	}
	s->state = OUTSIDE;
	return s->inner_from ? PIECE_ELEMENT : PIECE_ROOT_END;
}

/* In a tag: what ends a run of bytes that mean nothing to the scanner. */
static const bool tag_marks[256] = {
	['>'] = true, ['/'] = true, ['"'] = true, ['\''] = true, ['<'] = true
};

static enum piece scan_start_tag(
	struct scanner *s, const struct parser_limits *limits, struct walk *w, int *error)
{
	char c;

	while (w->at < w->len && !tag_marks[(unsigned char)w->bytes[w->at]])
		w->at++;
	if (w->at == w->len)
		return PIECE_NONE;
	c = w->bytes[w->at++];
	if (c == '>')
		return start_tag_done(s, w, false);
	if (c == '/') {
		s->state = START_TAG_SLASH;
		return PIECE_NONE;
	}
	if (c == '<') {
		*error = PARSER_NOT_WELL_FORMED;
		return PIECE_NONE;
	}
	s->state = VALUE;
	s->quote = c;
	if (++s->attrs > limits->attrs)
		*error = PARSER_TOO_BIG;
	return PIECE_NONE;
}

/* Goes to behind the next c; false when it is not in this feed. */
static bool skip_past(struct walk *w, char c)
{
	const char *hit = memchr(w->bytes + w->at, c, w->len - w->at);

	w->at = hit ? (size_t)(hit - w->bytes) + 1 : w->len;
	return hit;
}

static int scan_bang(struct scanner *s, struct walk *w)
{
	static const char wanted[] = "[CDATA[";

	if (w->bytes[w->at++] != wanted[s->matched])
		return s->matched ? PARSER_NOT_WELL_FORMED : PARSER_RESTRICTED;
	if (!wanted[++s->matched])
		s->state = CDATA;
	if (s->depth)
		return PARSER_OK;
	return s->root_open ? PARSER_TEXT_OUTSIDE : PARSER_NOT_WELL_FORMED;
}

/* Goes on until a piece is complete, the bytes end, or *error is set. */
static enum piece scan(
	struct scanner *s, const struct parser_limits *limits, struct walk *w, int *error)
{
	enum piece piece = PIECE_NONE;

	while (w->at < w->len && !piece && !*error) {
		switch ((enum scan_state)s->state) {
		case OUTSIDE:
			*error = scan_outside(s, w);
			break;
		case OPENED:
			*error = scan_opened(s, limits, w);
			s->begun = true;
			break;
		case DECLARATION:
			if (skip_past(w, '?'))
				s->state = DECLARATION_END;
			break;
		case DECLARATION_END:
			if (w->bytes[w->at] == '>')
				piece = PIECE_DECLARATION;
			s->state = piece ? OUTSIDE : DECLARATION;
			w->at += piece != PIECE_NONE;
			break;
		case START_TAG:
			piece = scan_start_tag(s, limits, w, error);
			break;
		case START_TAG_SLASH:
			if (w->bytes[w->at++] == '>')
				piece = start_tag_done(s, w, true);
			else
				*error = PARSER_NOT_WELL_FORMED;
			break;
		case VALUE:
			if (skip_past(w, s->quote))
				s->state = START_TAG;
			break;
		case END_TAG:
			if (skip_past(w, '>'))
				piece = end_tag_done(s);
			break;
		case TEXT:
			if (skip_past(w, '<'))
				s->state = OPENED;
			break;
		case BANG:
			*error = scan_bang(s, w);
			break;
		case CDATA:
			if (skip_past(w, ']'))
				s->state = CDATA_BRACKET;
			break;
		case CDATA_BRACKET:
			s->state = w->bytes[w->at++] == ']' ? CDATA_BRACKETS : CDATA;
			break;
		case CDATA_BRACKETS:
			if (w->bytes[w->at] != ']')
				s->state = w->bytes[w->at] == '>' ? TEXT : CDATA;
			w->at++;
			break;
		}
	}
	return piece;
}

int scanner_walk(struct scanner *s, const struct parser_limits *limits, struct walk *w,
	enum piece *out_piece)
{
	int error = PARSER_OK;
	size_t len;

	w->begin = w->at;
	*out_piece = scan(s, limits, w, &error);
	len = w->at - w->begin;
	if (error)
		return error;
	if (s->passed + len > limits->stanza_bytes)
		return PARSER_TOO_BIG;
	if (!utf8_check(s, w->bytes + w->begin, len))
		return PARSER_NOT_WELL_FORMED;
	s->passed = *out_piece ? 0 : s->passed + (uint32_t)len;
	return PARSER_OK;
}

/* ---- the XML declaration: XML 1.0 §2.8 ---- */

/* name = 'value' at *at, with blanks before it. */
static bool pseudo_attr(
	const char **at, const char *end, const char *name, const char **value, size_t *len)
{
	const char *c = *at;
	size_t name_len = strlen(name);
	char quote;

	if (c == end || !is_xml_blank(*c))
		return false;
	while (c < end && is_xml_blank(*c))
		c++;
	if ((size_t)(end - c) <= name_len || memcmp(c, name, name_len) != 0)
		return false;
	for (c += name_len; c < end && is_xml_blank(*c); c++)
		;
	if (c == end || *c++ != '=')
		return false;
	while (c < end && is_xml_blank(*c))
		c++;
	if (c == end || (*c != '\'' && *c != '"'))
		return false;
	quote = *c++;
	*value = c;
	while (c < end && *c != quote)
		c++;
	if (c == end)
		return false;
	*len = (size_t)(c - *value);
	*at = c + 1;
	return true;
}

static bool is_version_1(const char *value, size_t len)
{
	if (len < 3 || memcmp(value, "1.", 2) != 0)
		return false;
	for (size_t i = 2; i < len; i++)
		if (value[i] < '0' || value[i] > '9')
			return false;
	return true;
}

int scanner_check_declaration(const char *bytes, size_t len)
{
	const char *at = bytes + 5, *end = bytes + len - 2, *value;
	size_t value_len;

	if (len < 8 || memcmp(bytes, "<?xml", 5) != 0 || !is_xml_blank(bytes[5]))
		return PARSER_RESTRICTED; /* some other processing instruction */
	if (!pseudo_attr(&at, end, "version", &value, &value_len) ||
		!is_version_1(value, value_len))
		return PARSER_NOT_WELL_FORMED;
	if (pseudo_attr(&at, end, "encoding", &value, &value_len) &&
		(value_len != 5 || strncasecmp(value, "UTF-8", 5) != 0))
		return PARSER_BAD_ENCODING;
	if (pseudo_attr(&at, end, "standalone", &value, &value_len) &&
		!(value_len == 3 && !memcmp(value, "yes", 3)) &&
		!(value_len == 2 && !memcmp(value, "no", 2)))
		return PARSER_NOT_WELL_FORMED;
	while (at < end && is_xml_blank(*at))
		at++;
	return at == end ? PARSER_OK : PARSER_NOT_WELL_FORMED;
}
