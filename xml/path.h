/* xml/path.h - the functions of ejabberd's module `xml`, on trees as they are here.
 * For code that was written against the guide: same names behind the prefix xml_, same results.
 * They look at local names only and take the namespace for the attribute "xmlns", as a tree
 * without namespaces does, and xml:lang for the attribute "xml:lang". New code that cares about
 * namespaces uses elem_child() and its neighbours. `parse_element` of the guide's module
 * `xml_stream` is xml/parser.h's. Any thread. Texts come from the tree or from the arena a. */
#pragma once

#include "core/attr.h"
#include "xml/stanza.h"

/* The bytes of e as a document of its own. */
const char *xml_element_to_string(const struct elem *e, struct arena *a);
/* text with XML's special characters encoded. */
const char *xml_crypt(const char *text, struct arena *a);
/* The elements of a list of nodes, without its texts; NULL ends it. */
const struct elem **xml_remove_cdata(const struct node *list, struct arena *a);

enum xml_step_kind { XML_PATH_END, XML_PATH_ELEM, XML_PATH_ATTR, XML_PATH_CDATA };
struct xml_step {
	enum xml_step_kind kind;
	const char *name; /* of ELEM and ATTR */
};
#define XML_ELEM(step_name)              \
	{                                \
		XML_PATH_ELEM, step_name \
	}
#define XML_ATTR(step_name)              \
	{                                \
		XML_PATH_ATTR, step_name \
	}
#define XML_CDATA                    \
	{                            \
		XML_PATH_CDATA, NULL \
	}
struct xml_found {
	const struct elem *elem; /* where the path ends at an element, else NULL */
	const char *text; /* attribute or cdata; "" when missing or an element */
};
/* Walks the steps, the last of which has the kind XML_PATH_END. No step: e itself. */
struct xml_found xml_get_path_s(const struct elem *e, const struct xml_step *path, struct arena *a);

const char *xml_get_cdata(const struct node *list, struct arena *a); /* "" for none */
const char *xml_get_tag_cdata(const struct elem *e, struct arena *a);
const char *xml_get_attr(const char *name, const struct attr *attrs); /* NULL when missing */
const char *xml_get_attr_s(const char *name, const struct attr *attrs); /* "" when missing */
const char *xml_get_tag_attr(const char *name, const struct elem *e);
const char *xml_get_tag_attr_s(const char *name, const struct elem *e);
const struct elem *xml_get_subtag(const struct elem *e, const char *name); /* NULL when missing */
