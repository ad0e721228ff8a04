/* modules/rsm.c - XEP-0059's <set/>. */
#include "modules/rsm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool read_max(const char *text, int64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoll(text, &end, 10);
	return !errno && !*end;
}

int rsm_read(const struct elem *set, struct arena *a, struct rsm *out)
{
	const char *max = set ? elem_child_text(set, "max", NS_RSM, a) : NULL;

	*out = (struct rsm){ .max = -1 };
	if (!set)
		return 0;
	if (max && !read_max(max, &out->max))
		return ERR_BAD_REQUEST;
	if (elem_child(set, "index", NS_RSM))
		return ERR_FEATURE_NOT_IMPLEMENTED; /* §2.6 */
	out->after = elem_child_text(set, "after", NS_RSM, a);
	out->before = elem_child_text(set, "before", NS_RSM, a);
	return 0;
}

static void build_first(struct builder *b, const struct rsm_page *page)
{
	build_open(b, "first", NULL);
	if (page->index >= 0)
		build_attr_int(b, "index", page->index);
	build_cdata(b, page->first, strlen(page->first));
	build_close(b);
}

void rsm_build(struct builder *b, const struct rsm_page *page)
{
	build_open(b, "set", NS_RSM);
	if (page->first) {
		build_first(b, page);
		build_text(b, "last", page->last);
	}
	if (page->count >= 0)
		build_int(b, "count", page->count);
	build_close(b);
}
