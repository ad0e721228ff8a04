/* xml/tree.h - libxml2's events become a stanza's tree. Part of the parser; xml/context drives it.
 * Names are shared ones or copies in the stanza's arena, so a finished tree points into nothing of
 * libxml2's. It also finds out whether the children's bytes mean the same in any other stream. */
#pragma once

#include <libxml/parser.h>

#include "xml/stanza.h"

#define TREE_NAMES 256u

struct tree {
	xmlParserCtxtPtr xml; /* whose events these are */
	bool silent; /* the context is being primed: events are for no one */
	int error; /* the first one of this piece, enum parser_error */
	struct stanza *stanza; /* being built; owned */
	struct elem *at; /* open; NULL before the root's start and after its end */
	const char *content_ns; /* shared name of what becomes NS_CLIENT, or NULL */
	bool portable; /* the children's bytes mean the same in any other stream */
	const xmlChar *root_uri; /* libxml2's pointer of the root's namespace */
	int root_ns_count; /* entries of xml->nsTab that are declared outside of the children */

	char *text; /* of the open text; owned */
	size_t text_len, text_cap;

	/* Of a stream's start tag, where wanted (not NULL): a start tag that declares the same, and
	 * the root's name as its end tag has it. */
	struct buf *declared, *qname;

	/* libxml2 gives names as pointers into its dictionary, one for each: what we made of them.
	 */
	uint32_t serial; /* of the stanza being built: older copies are not its own */
	struct tree_name {
		const xmlChar *key;
		const char *known; /* shared name, or NULL */
		const char *copy; /* in the arena of the stanza serial */
		uint32_t serial;
		uint32_t len;
	} names[TREE_NAMES];
};

extern xmlSAXHandler tree_events; /* with a struct tree as user data; never written */
void tree_begin(struct tree *t, size_t len); /* a new stanza from so many bytes */
struct stanza *tree_take(struct tree *t); /* what was built; the caller's */
void tree_trim(struct tree *t, size_t keep); /* gives buffers above keep bytes back */
void tree_forget_names(struct tree *t); /* their dictionary is about to go */
void tree_fini(struct tree *t);
