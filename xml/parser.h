/* xml/parser.h - from a peer's bytes to stanzas: libxml2's push parser under our limits.
 * One parser per stream and direction, on that stream's shard. It reports the stream's start tag,
 * each complete first-level element as an unsealed stanza, and the end tag, in order, from within
 * parser_feed(). No DTD, no entities beyond the five, no comments, no processing instructions.
 * Names are interned in a dictionary of the shard (parser_pool) that is replaced when it has grown
 * past its bound. Between stanzas an idle parser gives its libxml2 context back to the pool
 * (parser_hibernate()) and takes one again, primed with the stream's start tag, at the next byte. */
#pragma once

#include "core/attr.h"
#include "xml/stanza.h"

struct parser;
struct parser_pool; /* one per thread: dictionary and idle contexts */

struct parser_limits {
	uint32_t stanza_bytes;   /* max_stanza_size; also bounds the start tag */
	uint16_t depth;          /* elements below each other, the stream's own not counted */
	uint16_t attrs;          /* of one element, declarations of namespaces included */
};
#define PARSER_DEPTH 64
#define PARSER_ATTRS 64

enum parser_error { /* RFC 6120 §4.9.3 names in brackets */
	PARSER_OK,
	PARSER_NOT_WELL_FORMED,     /* [not-well-formed], also invalid UTF-8 */
	PARSER_RESTRICTED,          /* [restricted-xml] DTD, entity, comment, PI */
	PARSER_BAD_PREFIX,          /* [bad-namespace-prefix] undeclared */
	PARSER_TOO_BIG,             /* [policy-violation] stanza_bytes, depth or attrs */
	PARSER_BAD_ENCODING,        /* [unsupported-encoding] declared other than UTF-8 */
	PARSER_TEXT_OUTSIDE,        /* [bad-format] text between stanzas */
	PARSER_STOPPED,             /* a callback asked for it */
};

/* Calls made from within parser_feed(). Returning false stops the feed at once: whatever follows
 * in the buffer is not parsed (parser_feed() says how far it came). */
struct parser_events {
	/* head->root is <stream:stream> with its attributes (to, from, version, xml:lang).
	 * The parser keeps the stanza until the stream ends; the callback may read it. */
	bool (*stream_start)(void *arg, const struct stanza *head, const char *default_ns);
	bool (*stanza)(void *arg, struct stanza *s); /* takes s; head read: to, from may be bad */
	bool (*stream_end)(void *arg);
};

ON_SHARD struct parser_pool *parser_pool_new(unsigned dictionary_max); /* names before it is replaced */
ON_SHARD void parser_pool_free(struct parser_pool *p); /* after all its parsers */

ON_SHARD struct parser *parser_new(struct parser_pool *pool, const struct parser_limits *limits,
	const struct parser_events *events, void *arg);
ON_SHARD void parser_free(struct parser *p); /* not from within a callback; NULL is fine */
/* Begins a new document: after STARTTLS and after SASL. May be called from within a callback that
 * then returns false. */
ON_SHARD void parser_reset(struct parser *p);
ON_SHARD void parser_set_limits(struct parser *p, const struct parser_limits *limits);
/* Returns PARSER_OK when all was taken, PARSER_STOPPED when a callback stopped it with *used bytes
 * taken, another error otherwise (the parser is then good for parser_reset and parser_free only). */
ON_SHARD int parser_feed(struct parser *p, const char *bytes, size_t len, size_t *used);
ON_SHARD bool parser_hibernate(struct parser *p); /* false in the middle of a stanza */
ON_SHARD bool parser_between_stanzas(const struct parser *p);
ON_SHARD size_t parser_held_bytes(const struct parser *p); /* memory it holds, about */

/* One element from a whole text: the guide's xml_stream:parse_element. Any thread; its own
 * context. 0 and an unsealed stanza, or an enum parser_error. */
ANY_THREAD int parse_element(const char *text, size_t len, const struct parser_limits *limits,
	struct stanza **out);
const char *parser_error_text(int error);
