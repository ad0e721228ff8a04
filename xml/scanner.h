/* xml/scanner.h - finds where a stream's pieces end, without understanding them. Part of the
 * parser. A piece is the XML declaration, the root's start tag, one whole first-level element, or
 * the root's end tag. What XML allows but XMPP does not ends here (RFC 6120 §11.1), and so does
 * what is too big, too deep or not UTF-8; libxml2 judges the rest when a piece is complete. Where
 * bytes are not well-formed the scanner may find an end that is none: libxml2 then finds the fault
 * before it. Bytes are looked at once, however they are cut. */
#pragma once

#include "core/attr.h"
#include "xml/parser.h"

enum piece {
	PIECE_NONE,
	PIECE_DECLARATION,
	PIECE_ROOT_START,
	PIECE_ROOT_EMPTY,
	PIECE_ROOT_END,
	PIECE_ELEMENT
};

struct scanner { /* all zero: before a document */
	uint32_t passed; /* bytes of the piece at hand in earlier walks */
	uint32_t inner_from; /* of an element: where its children begin; 0: it is an empty one */
	uint32_t inner_to; /* where its end tag begins */
	uint16_t depth; /* elements open in the piece */
	uint16_t attrs; /* of the tag at hand */
	uint8_t state; /* private; 0: between pieces */
	uint8_t matched; /* bytes of "[CDATA[" seen */
	uint8_t utf8_need; /* bytes that the character at hand lacks */
	uint8_t utf8_low, utf8_high; /* what its next one may be */
	char quote;
	bool begun; /* a byte of the document has come */
	bool root_open; /* set and reset by the parser, as are the roots' pieces read */
	bool ended;
};

struct walk { /* over the bytes of one feed */
	const char *bytes;
	size_t len;
	size_t begin; /* where the piece at hand begins, or goes on from earlier feeds */
	size_t at; /* first byte not looked at */
};

/* Walks on from w->at to the end of a piece or of the bytes. 0 or an enum parser_error. With
 * PIECE_NONE the bytes from begin to at, if any, are the first part of a piece. */
int scanner_walk(struct scanner *s, const struct parser_limits *limits, struct walk *w,
	enum piece *out_piece);
/* XML 1.0 §2.8, of a whole PIECE_DECLARATION; RFC 6120 §11.5, §11.6. 0 or an enum parser_error. */
int scanner_check_declaration(const char *bytes, size_t len);
static inline bool is_xml_blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}
