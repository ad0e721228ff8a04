/* xml/tree.c - the SAX side of the parser. */
#include "xml/tree.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "xml/builder.h"
#include "xml/parser.h"

static void fail(struct tree *t, int error)
{
	if (!t->error)
		t->error = error;
}

/* A shared name, or a copy in this stanza's arena: it outlives the dictionary. */
static const char *own_name(struct tree *t, const xmlChar *key)
{
	struct tree_name *n = &t->names[((uintptr_t)key ^ (uintptr_t)key >> 8) % TREE_NAMES];

	if (n->key != key) {
		n->key = key;
		n->len = (uint32_t)strlen((const char *)key);
		n->known = name_known((const char *)key, n->len);
		n->serial = 0;
	}
	if (n->known)
		return n->known;
	if (n->serial != t->serial) {
		n->copy = arena_text(&t->stanza->arena, (const char *)key, n->len);
		n->serial = t->serial;
	}
	return n->copy;
}

static const char *own_ns(struct tree *t, const xmlChar *uri)
{
	const char *ns = uri ? own_name(t, uri) : "";

	return ns == t->content_ns ? NS_CLIENT : ns;
}

static void append(struct elem *parent, struct node *n)
{
	if (parent->last)
		parent->last->next = n;
	else
		parent->first = n;
	parent->last = n;
}

static void end_text(struct tree *t)
{
	struct text *text;

	if (!t->text_len)
		return;
	text = arena_alloc(&t->stanza->arena, sizeof(*text));
	text->node.next = NULL;
	text->node.kind = NODE_TEXT;
	text->len = (uint32_t)t->text_len;
	text->data = arena_text(&t->stanza->arena, t->text, t->text_len);
	append(t->at, &text->node);
	t->text_len = 0;
}

/* A prefix (NULL: the default namespace) that some element inside the root declares. */
static bool declared_inside(const struct tree *t, const xmlChar *prefix)
{
	for (int i = t->xml->nsNr - 2; i >= t->root_ns_count; i -= 2)
		if (t->xml->nsTab[i] == prefix)
			return true;
	return false;
}

static bool declares_default(int count, const xmlChar **namespaces)
{
	for (int i = 0; i < count; i++)
		if (!namespaces[2 * i])
			return true;
	return false;
}

/* The start tag of e, below the root, means the same wherever the root's namespace is the default
 * one around it, in a client's stream and in a server's. */
static bool is_portable(struct tree *t, const struct elem *e, const xmlChar *prefix,
	const xmlChar *uri, int ns_count, const xmlChar **namespaces, int attr_count,
	const xmlChar **attrs)
{
	for (int i = 0; i < attr_count; i++) {
		const xmlChar *p = attrs[5 * i + 1];

		if (p && p != t->xml->str_xml && !declared_inside(t, p))
			return false;
	}
	if (prefix)
		return declared_inside(t, prefix);
	if (uri != t->root_uri && !declared_inside(t, NULL))
		return false;
	/* The content namespace by its name, where it would have to change with the stream. */
	if (ns_count && e->ns == NS_CLIENT && declares_default(ns_count, namespaces))
		return e->parent->ns != NS_CLIENT && own_name(t, uri) == NS_CLIENT;
	return true;
}

static void add_attrs(struct tree *t, struct elem *e, int count, const xmlChar **attrs)
{
	struct attr **link = &e->attrs;

	for (; count > 0; count--, attrs += 5) {
		struct attr *a = arena_alloc(&t->stanza->arena, sizeof(*a));

		a->next = NULL;
		a->name = own_name(t, attrs[0]);
		a->ns = attrs[2] ? own_name(t, attrs[2]) : NULL;
		a->value_len = (uint32_t)(attrs[4] - attrs[3]);
		a->value = arena_text(&t->stanza->arena, (const char *)attrs[3], a->value_len);
		*link = a;
		link = &a->next;
	}
}

/* Notes what a stream's start tag declares, for the streams to come. */
static void note_declared(struct tree *t, const xmlChar *name, const xmlChar *prefix, int count,
	const xmlChar **namespaces)
{
	if (prefix) {
		buf_append(&t->qname, prefix, strlen((const char *)prefix));
		buf_append_char(&t->qname, ':');
	}
	buf_append(&t->qname, name, strlen((const char *)name));
	buf_append(&t->declared, "<s", 2);
	for (int i = 0; i < count; i++) {
		const char *p = (const char *)namespaces[2 * i];
		const char *uri = (const char *)namespaces[2 * i + 1];

		buf_append(&t->declared, " xmlns", 6);
		if (p) {
			buf_append_char(&t->declared, ':');
			buf_append(&t->declared, p, strlen(p));
		}
		buf_append(&t->declared, "='", 2);
		xml_escape(uri, strlen(uri), &t->declared);
		buf_append_char(&t->declared, '\'');
	}
	buf_append_char(&t->declared, '>');
}

static void on_start(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
	int ns_count, const xmlChar **namespaces, int attr_count, int defaulted UNUSED,
	const xmlChar **attrs)
{
	struct tree *t = arg;
	struct elem *e;

	if (t->silent || t->error)
		return;
	e = arena_alloc(&t->stanza->arena, sizeof(*e));
	e->node.next = NULL;
	e->node.kind = NODE_ELEM;
	e->name = own_name(t, name);
	e->ns = own_ns(t, uri);
	e->attrs = NULL;
	e->first = e->last = NULL;
	e->parent = t->at;
	add_attrs(t, e, attr_count, attrs);
	if (t->at) {
		end_text(t);
		append(t->at, &e->node);
		if (t->portable)
			t->portable = is_portable(
				t, e, prefix, uri, ns_count, namespaces, attr_count, attrs);
	} else if (!t->stanza->root) {
		t->stanza->root = e;
		t->root_uri = uri;
		t->root_ns_count = t->xml->nsNr;
		if (t->declared)
			note_declared(t, name, prefix, ns_count, namespaces);
	} else { /* a second one: the scanner and libxml2 do not agree */
		fail(t, PARSER_NOT_WELL_FORMED);
		return;
	}
	t->at = e;
}

static void on_end(void *arg, const xmlChar *name UNUSED, const xmlChar *prefix UNUSED,
	const xmlChar *uri UNUSED)
{
	struct tree *t = arg;

	if (t->silent || t->error || !t->at)
		return;
	end_text(t);
	t->at = t->at->parent;
}

static void on_text(void *arg, const xmlChar *text, int len)
{
	struct tree *t = arg;

	if (t->silent || t->error || !t->at || !len)
		return;
	if (t->text_cap - t->text_len < (size_t)len) {
		t->text_cap = 2 * t->text_cap + (size_t)len;
		t->text = xrealloc(t->text, t->text_cap);
	}
	memcpy(t->text + t->text_len, text, (size_t)len);
	t->text_len += (size_t)len;
}

/* The scanner lets none of these through, except for references. */
static void on_reference(void *arg, const xmlChar *name UNUSED)
{
	fail(arg, PARSER_RESTRICTED);
}

static void on_comment(void *arg, const xmlChar *text UNUSED)
{
	fail(arg, PARSER_RESTRICTED);
}

static void on_instruction(void *arg, const xmlChar *target UNUSED, const xmlChar *data UNUSED)
{
	fail(arg, PARSER_RESTRICTED);
}

static void on_subset(void *arg, const xmlChar *name UNUSED, const xmlChar *external UNUSED,
	const xmlChar *system UNUSED)
{
	fail(arg, PARSER_RESTRICTED);
}

static xmlEntityPtr on_entity(void *arg, const xmlChar *name UNUSED)
{
	fail(arg, PARSER_RESTRICTED); /* the five never come here */
	return NULL;
}

static void on_error(void *arg, xmlErrorPtr error)
{
	struct tree *t = arg;

	if (error->level < XML_ERR_ERROR) /* for instance a namespace that is not a URI: allowed */
		return;
	switch (error->code) {
	case XML_NS_ERR_UNDEFINED_NAMESPACE:
		fail(t, PARSER_BAD_PREFIX);
		break;
	case XML_ERR_UNDECLARED_ENTITY:
	case XML_WAR_UNDECLARED_ENTITY:
		fail(t, PARSER_RESTRICTED);
		break;
	default:
		fail(t, PARSER_NOT_WELL_FORMED);
	}
}

xmlSAXHandler tree_events = {
	.initialized = XML_SAX2_MAGIC,
	.startElementNs = on_start,
	.endElementNs = on_end,
	.characters = on_text,
	.ignorableWhitespace = on_text, /* the same function: libxml2 then asks no further */
	.cdataBlock = on_text,
	.reference = on_reference,
	.comment = on_comment,
	.processingInstruction = on_instruction,
	.internalSubset = on_subset,
	.getEntity = on_entity,
	.serror = on_error,
};

void tree_begin(struct tree *t, size_t len)
{
	t->error = PARSER_OK;
	t->stanza = stanza_new(len);
	t->at = NULL;
	t->portable = true;
	t->text_len = 0;
	t->serial++;
	if (!t->serial) /* wrapped: no old copy may look like ours */
		tree_forget_names(t);
}

struct stanza *tree_take(struct tree *t)
{
	struct stanza *s = t->stanza;

	t->stanza = NULL;
	return s;
}

void tree_trim(struct tree *t, size_t keep)
{
	if (t->text_cap <= keep)
		return;
	free(t->text);
	t->text = NULL;
	t->text_cap = 0;
}

void tree_forget_names(struct tree *t)
{
	memset(t->names, 0, sizeof(t->names));
	t->serial = 1;
}

void tree_fini(struct tree *t)
{
	stanza_unref(t->stanza);
	buf_unref(t->declared);
	buf_unref(t->qname);
	free(t->text);
}
