/* xml/context.h - libxml2 contexts that serve many streams. Part of the parser.
 * A dialect is what a stream's start tag declared. A context primed with it stands behind such a
 * start tag and takes one whole element after another, from whichever streams speak the dialect. */
#pragma once

#include "core/attr.h"
#include "xml/parser.h"
#include "xml/stanza.h"

struct dialect { /* shared by all streams of a pool that declared the same; owning thread only */
	unsigned refs;
	const char *default_ns; /* shared or in here; "" for none */
	const char *content_ns; /* shared name of what becomes NS_CLIENT, or NULL */
	uint32_t header_len;
	uint32_t end_len;
	const char *end; /* the root's name as its end tag has it; not NUL-terminated */
	char header[]; /* <s xmlns=...> for priming, then end, then default_ns */
};
struct dialect *dialect_ref(struct dialect *d);
void dialect_unref(struct dialect *d); /* NULL is fine */

struct parser_pool *contexts_new(unsigned dictionary_max);
void contexts_free(struct parser_pool *pool); /* NULL is fine */
/* Of a stream that declares this default namespace and nothing else; a new reference. */
struct dialect *dialect_plain(struct parser_pool *pool, const char *default_ns);

/* Both take one piece from its first byte to its last; 0 or an enum parser_error, and only with 0
 * a new reference in each out. The first reads a start tag that stays open, or an empty element
 * if stays_open is 0; the second an element, whose portable says that its children's bytes mean
 * the same in any other stream. */
int context_read_root(struct parser_pool *pool, const char *bytes, size_t len, int stays_open,
	struct stanza **out, struct dialect **out_dialect);
int context_read_element(struct parser_pool *pool, struct dialect *d, const char *bytes, size_t len,
	struct stanza **out, bool *out_portable);
