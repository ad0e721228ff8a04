/* modules/rsm.h - which page of a long answer is asked for: XEP-0059 (Result Set Management). Any
 * thread. */
#pragma once

#include "core/arena.h"
#include "xml/builder.h"

struct rsm {
	int64_t max; /* items; negative: not said. 0: only their number is wanted (§2.7) */
	const char *after; /* the page behind that item; NULL: not said */
	const char *before; /* the page that ends before it; "": the last page; NULL: not said */
};
/* The <set/> of a request; NULL: there is none. 0, or an enum stanza_error. Texts are in a. */
int rsm_read(const struct elem *set, struct arena *a, struct rsm *out);

struct rsm_page {
	const char *first, *last; /* items of the page; NULL: it has none */
	int64_t index; /* of the first; negative: not told */
	int64_t count; /* of all pages' items; negative: not told */
};
void rsm_build(struct builder *b, const struct rsm_page *page);
