/* xml/parser.h - from a peer's bytes to stanzas: libxml2's push parser behind a scanner of our own.
 * One parser per stream and direction, on that stream's shard. It reports the stream's start tag,
 * each complete first-level element as an unsealed stanza, and the end tag, in order, from within
 * parser_feed(). No DTD, no entities beyond the five, no comments, no processing instructions
 * (RFC 6120 §11.1).
 *
 * The scanner finds where first-level elements begin and end, counts what the limits bound, checks
 * UTF-8, and hands libxml2 one whole element at a time. So a stop is exact to the byte, an
 * unfinished element costs its bytes and nothing more, and between elements libxml2 holds nothing
 * of the stream. Its contexts therefore belong to the parser_pool, not to streams: a few of them,
 * each primed with the namespaces that stream headers declare, serve all streams of a shard. Their
 * dictionaries are replaced when they have grown past their bound.
 *
 * Elements in the stream's content namespace (its default namespace, where that is jabber:client,
 * jabber:server or jabber:component:accept) get NS_CLIENT, whichever it is: a stanza is the same
 * stanza on every kind of stream (RFC 6120 §4.8.3). */
#pragma once

#include "core/attr.h"
#include "xml/stanza.h"

struct parser;
struct parser_pool; /* one per thread: contexts with their dictionaries */

struct parser_limits {
	uint32_t stanza_bytes; /* max_stanza_size; also bounds the start tag */
	uint16_t depth; /* elements below each other, the stream's own not counted */
	uint16_t attrs; /* of one element, declarations of namespaces included */
};
#define PARSER_DEPTH 64
#define PARSER_ATTRS 64

enum parser_error { /* RFC 6120 §4.9.3 names in brackets */
	PARSER_OK,
	PARSER_NOT_WELL_FORMED, /* [not-well-formed], also invalid UTF-8 */
	PARSER_RESTRICTED, /* [restricted-xml] DTD, entity, comment, PI */
	PARSER_BAD_PREFIX, /* [bad-namespace-prefix] undeclared */
	PARSER_TOO_BIG, /* [policy-violation] stanza_bytes, depth or attrs */
	PARSER_BAD_ENCODING, /* [unsupported-encoding] declared other than UTF-8 */
	PARSER_TEXT_OUTSIDE, /* [bad-format] text between stanzas */
	PARSER_STOPPED, /* a callback asked for it */
};

/* Calls made from within parser_feed(). Returning false stops the feed at once: whatever follows
 * in the buffer is not parsed (parser_feed() says how far it came). */
struct parser_events {
	/* head->root is <stream:stream> with its attributes (to, from, version, xml:lang), its head
	 * read. The parser keeps it until it hibernates or the stream ends: take a reference to
	 * keep it longer. default_ns is the default namespace declared there, "" for none. */
	bool (*stream_start)(void *arg, const struct stanza *head, const char *default_ns);
	/* Takes s; head read: to, from may be bad. A message, presence or iq without xml:lang has
	 * got the stream's (RFC 6120 §8.1.5). */
	bool (*stanza)(void *arg, struct stanza *s);
	bool (*stream_end)(void *arg);
};

ON_SHARD struct parser_pool *parser_pool_new(
	unsigned dictionary_max); /* names before it is replaced */
ON_SHARD void parser_pool_free(struct parser_pool *p); /* after all its parsers */

ON_SHARD struct parser *parser_new(struct parser_pool *pool, const struct parser_limits *limits,
	const struct parser_events *events,
	void *arg); /* events stay the caller's, limits are copied */
ON_SHARD void parser_free(struct parser *p); /* not from within a callback; NULL is fine */
/* Begins a new document: after STARTTLS and after SASL. May be called from within a callback: what
 * follows in the same feed(), or in the next if the callback stops it, is the new one's. */
ON_SHARD void parser_reset(struct parser *p);
ON_SHARD void parser_set_limits(struct parser *p, const struct parser_limits *limits);
/* Returns PARSER_OK when all was taken, PARSER_STOPPED when a callback stopped it with *used bytes
 * taken (feeding may go on there), another error otherwise (the parser is then good for
 * parser_reset and parser_free only). */
ON_SHARD int parser_feed(struct parser *p, const char *bytes, size_t len, size_t *used);
ON_SHARD bool parser_between_stanzas(const struct parser *p);
/* What another parser goes on from, behind the stream's start tag: what that declared, and the
 * bytes of an unfinished element. The first is text, for the caller to free; NULL: there is no open
 * stream, or it is broken. The second stays the parser's. */
ON_SHARD char *parser_save(const struct parser *p, const char **held, size_t *held_len);
/* The same in a new parser: no call is made of what was read already. 0, or an enum parser_error
 * (the parser is then good for parser_free() only). An element that is too big for the limits is
 * found when its next byte comes. */
ON_SHARD int parser_load(struct parser *p, const char *head, const char *held, size_t held_len);
ON_SHARD size_t parser_held_bytes(const struct parser *p); /* memory it holds, about */

/* One element from a whole text, with an XML declaration before it or not: the guide's
 * xml_stream:parse_element. Any thread; contexts of the thread's own, kept for its next call. 0 and
 * an unsealed stanza with its head read (to, from may be bad), or an enum parser_error. No
 * namespace is declared around it: unprefixed elements without xmlns have the namespace "". */
ANY_THREAD int parse_element(
	const char *text, size_t len, const struct parser_limits *limits, struct stanza **out);
/* The same for one stanza as it stands in a stream of jabber:client: what stanza_wire() wrote. */
ANY_THREAD int parse_stanza(
	const char *text, size_t len, const struct parser_limits *limits, struct stanza **out);
/* A sealed stanza from its own wire form, of another process of ours; NULL: it is none. */
ANY_THREAD struct stanza *parse_wire(const char *text, size_t len);
const char *parser_error_text(int error);
