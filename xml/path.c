/* xml/path.c - the guide's `xml` module, over stanza and builder. */
#include "xml/path.h"

#include <string.h>

#include "xml/builder.h"

static const char *into_arena(struct buf *b, struct arena *a)
{
	const char *text = arena_text(a, b ? b->data : "", b ? b->len : 0);

	buf_unref(b);
	return text;
}

const char *xml_element_to_string(const struct elem *e, struct arena *a)
{
	struct buf *out = NULL;

	elem_wire(e, "", &out);
	return into_arena(out, a);
}

const char *xml_crypt(const char *text, struct arena *a)
{
	struct buf *out = NULL;

	xml_escape(text, strlen(text), &out);
	return into_arena(out, a);
}

static const struct elem *as_elem(const struct node *n)
{
	return n->kind == NODE_ELEM ? container_of(n, const struct elem, node) : NULL;
}

const struct elem **xml_remove_cdata(const struct node *list, struct arena *a)
{
	const struct elem **elems;
	size_t count = 0;

	for (const struct node *n = list; n; n = n->next)
		count += n->kind == NODE_ELEM;
	elems = arena_alloc(a, (count + 1) * sizeof(const struct elem *));
	count = 0;
	for (const struct node *n = list; n; n = n->next)
		if (as_elem(n))
			elems[count++] = as_elem(n);
	elems[count] = NULL;
	return elems;
}

const char *xml_get_cdata(const struct node *list, struct arena *a)
{
	const struct elem around = { .first = (struct node *)list }; /* only read */

	return elem_text(&around, a);
}

const char *xml_get_tag_cdata(const struct elem *e, struct arena *a)
{
	return elem_text(e, a);
}

const char *xml_get_attr(const char *name, const struct attr *attrs)
{
	const struct elem around = { .attrs = (struct attr *)attrs };

	return strcmp(name, "xml:lang") ? elem_attr(&around, name)
					: elem_attr_ns(&around, NAME_LANG, NS_XML);
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

const char *xml_get_attr_s(const char *name, const struct attr *attrs)
{
	return or_empty(xml_get_attr(name, attrs));
}

const char *xml_get_tag_attr(const char *name, const struct elem *e)
{
	if (!strcmp(name, NAME_XMLNS))
		return *e->ns ? e->ns : NULL;
	return xml_get_attr(name, e->attrs);
}

const char *xml_get_tag_attr_s(const char *name, const struct elem *e)
{
	return or_empty(xml_get_tag_attr(name, e));
}

const struct elem *xml_get_subtag(const struct elem *e, const char *name)
{
	return elem_child(e, name, NULL);
}

struct xml_found xml_get_path_s(const struct elem *e, const struct xml_step *path, struct arena *a)
{
	for (; e && path->kind == XML_PATH_ELEM; path++)
		e = xml_get_subtag(e, path->name);
	if (!e)
		return (struct xml_found){ NULL, "" };
	switch (path->kind) {
	case XML_PATH_ATTR:
		return (struct xml_found){ NULL, xml_get_tag_attr_s(path->name, e) };
	case XML_PATH_CDATA:
		return (struct xml_found){ NULL, elem_text(e, a) };
	default:
		return (struct xml_found){ e, "" };
	}
}
