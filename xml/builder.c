/* xml/builder.c - building trees and writing them; see the header for the rules. */
#include "xml/builder.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/lang.h"

/* A bounced stanza carries its payload back only up to here; the sender knows the id. */
#define ERROR_PAYLOAD_MAX 8192u

/* ---- characters ---- */

/* What a byte asks of a writer. Everything from 0x80 is checked as UTF-8 by char_len(). */
enum { PLAIN, ESCAPE_ALWAYS, ESCAPE_QUOTED, NEVER, MULTIBYTE };
static const uint8_t class_of[256] = {
	[0 ... 8] = NEVER,
	['\t'] = ESCAPE_QUOTED,
	['\n'] = ESCAPE_QUOTED,
	[11 ... 12] = NEVER,
	['\r'] = ESCAPE_ALWAYS,
	[14 ... 31] = NEVER,
	['&'] = ESCAPE_ALWAYS,
	['<'] = ESCAPE_ALWAYS,
	['>'] = ESCAPE_ALWAYS,
	['\''] = ESCAPE_QUOTED,
	['"'] = ESCAPE_QUOTED,
	[128 ... 255] = MULTIBYTE,
};

/* Bytes of the well-formed UTF-8 character at t that XML 1.0 §2.2 allows, or 0. */
static unsigned char_len(const unsigned char *t, size_t len)
{
	uint32_t c;

	if (t[0] < 0x80)
		return class_of[t[0]] != NEVER;
	if (t[0] >= 0xc2 && t[0] < 0xe0)
		return len >= 2 && (t[1] & 0xc0) == 0x80 ? 2 : 0;
	if (t[0] >= 0xe0 && t[0] < 0xf0) {
		if (len < 3 || (t[1] & 0xc0) != 0x80 || (t[2] & 0xc0) != 0x80)
			return 0;
		c = (t[0] & 15u) << 12 | (t[1] & 63u) << 6 | (t[2] & 63u);
		return c >= 0x800 && (c < 0xd800 || c > 0xdfff) && c < 0xfffe ? 3 : 0;
	}
	if (t[0] >= 0xf0 && t[0] < 0xf5) {
		if (len < 4 || (t[1] & 0xc0) != 0x80 || (t[2] & 0xc0) != 0x80 ||
			(t[3] & 0xc0) != 0x80)
			return 0;
		c = (t[0] & 7u) << 18 | (t[1] & 63u) << 12 | (t[2] & 63u) << 6 | (t[3] & 63u);
		return c >= 0x10000 && c <= 0x10ffff ? 4 : 0;
	}
	return 0;
}

/* How much of the text, from its start, XML allows. */
static size_t clean_len(const char *text, size_t len)
{
	const unsigned char *t = (const unsigned char *)text;
	size_t i = 0;

	while (i < len) {
		unsigned n = likely(class_of[t[i]] < NEVER) ? 1 : char_len(t + i, len - i);

		if (!n)
			break;
		i += n;
	}
	return i;
}

/* A copy in the arena without what XML does not allow. */
static const char *clean_copy(struct arena *a, const char *text, size_t len, uint32_t *out_len)
{
	size_t clean = clean_len(text, len), at = 0, n;
	char *copy;

	REQUIRE(len < UINT32_MAX);
	if (likely(clean == len)) {
		*out_len = (uint32_t)len;
		return arena_text(a, text, len);
	}
	copy = arena_alloc(a, len + 1);
	for (size_t i = 0; i < len; i += n) {
		n = clean_len(text + i, len - i);
		memcpy(copy + at, text + i, n);
		at += n;
		if (i + n < len)
			n++; /* leaves out one byte of what is not allowed */
	}
	copy[at] = 0;
	*out_len = (uint32_t)at;
	return copy;
}

/* ---- writing ---- */

/* Counts first, then writes: the same walk runs with at NULL to learn the size. */
struct sink {
	char *at;
	size_t count;
};

static inline void put(struct sink *s, const char *bytes, size_t len)
{
	s->count += len;
	if (s->at) {
		memcpy(s->at, bytes, len);
		s->at += len;
	}
}

static void put_str(struct sink *s, const char *text)
{
	put(s, text, strlen(text));
}

static void put_entity(struct sink *s, char c)
{
	switch (c) {
	case '&':
		put(s, "&amp;", 5);
		break;
	case '<':
		put(s, "&lt;", 4);
		break;
	case '>':
		put(s, "&gt;", 4);
		break;
	case '\'':
		put(s, "&apos;", 6);
		break;
	case '"':
		put(s, "&quot;", 6);
		break;
	case '\t':
		put(s, "&#9;", 4);
		break;
	case '\n':
		put(s, "&#10;", 5);
		break;
	default:
		put(s, "&#13;", 5);
	}
}

/* Escapes clean text. Up to which class: text keeps quotes and line ends, values do not, since a
 * reader would turn a line end in a value into a blank (XML 1.0 §3.3.3). */
static void put_escaped(struct sink *s, const char *text, size_t len, int up_to)
{
	const unsigned char *t = (const unsigned char *)text;
	size_t from = 0;

	for (size_t i = 0; i < len; i++) {
		int class = class_of[t[i]];

		if (likely(class == PLAIN || class > up_to))
			continue;
		put(s, text + from, i - from);
		put_entity(s, text[i]);
		from = i + 1;
	}
	put(s, text + from, len - from);
}

static void put_attr(struct sink *s, const struct attr *a, unsigned *prefixes)
{
	char prefix[16];

	put(s, " ", 1);
	if (a->ns == NS_XML || (a->ns && !strcmp(a->ns, NS_XML))) {
		put(s, "xml:", 4);
	} else if (a->ns) {
		snprintf(prefix, sizeof(prefix), "n%u", ++*prefixes);
		put(s, "xmlns:", 6);
		put_str(s, prefix);
		put(s, "='", 2);
		put_escaped(s, a->ns, strlen(a->ns), ESCAPE_QUOTED);
		put(s, "' ", 2);
		put_str(s, prefix);
		put(s, ":", 1);
	}
	put_str(s, a->name);
	put(s, "='", 2);
	put_escaped(s, a->value, a->value_len, ESCAPE_QUOTED);
	put(s, "'", 1);
}

/* <name xmlns='' attributes, without the '>'. */
static void put_start(struct sink *s, const struct elem *e, const char *outer_ns)
{
	unsigned prefixes = 0;

	put(s, "<", 1);
	put_str(s, e->name);
	if (e->ns != outer_ns && strcmp(e->ns, outer_ns) != 0) {
		put(s, " xmlns='", 8);
		put_escaped(s, e->ns, strlen(e->ns), ESCAPE_QUOTED);
		put(s, "'", 1);
	}
	for (const struct attr *a = e->attrs; a; a = a->next)
		put_attr(s, a, &prefixes);
}

static void put_end(struct sink *s, const struct elem *e)
{
	put(s, "</", 2);
	put_str(s, e->name);
	put(s, ">", 1);
}

/* What in is a child of, inside top; NULL for top. The children of a readdressed stanza name the
 * root that they came with. */
static const struct elem *above(const struct elem *in, const struct elem *top)
{
	if (in == top)
		return NULL;
	return in->parent->first == top->first ? top : in->parent;
}

/* Without recursion: trees of our own may be deep. Names are never prefixed, so an element's
 * default namespace outside is simply its parent's namespace. */
static void put_tree(struct sink *s, const struct elem *top, const char *outer_ns)
{
	const struct elem *in = NULL; /* whose children are being written */
	const struct node *n = &top->node;

	while (n) {
		if (n->kind == NODE_TEXT) {
			const struct text *t = container_of(n, const struct text, node);

			put_escaped(s, t->data, t->len, ESCAPE_ALWAYS);
		} else {
			const struct elem *e = container_of(n, const struct elem, node);

			put_start(s, e, in ? in->ns : outer_ns);
			if (e->first) {
				put(s, ">", 1);
				in = e;
				n = e->first;
				continue;
			}
			put(s, "/>", 2);
		}
		while (in && !n->next) {
			put_end(s, in);
			n = &in->node;
			in = above(in, top);
		}
		n = in ? n->next : NULL;
	}
}

/* Room for more bytes at the end of *out, which may move or be NULL; returns where they go. */
static char *reserve(struct buf **out, size_t more)
{
	struct buf *was = *out;

	if (!was || was->cap - was->len < more) {
		size_t len = was ? was->len : 0;
		size_t cap = len + more < 2 * len ? 2 * len : len + more;

		*out = buf_new(cap);
		if (was)
			memcpy((*out)->data, was->data, len);
		(*out)->len = (uint32_t)len;
		buf_unref(was);
	}
	(*out)->len += (uint32_t)more;
	return (*out)->data + (*out)->len - more;
}

void elem_wire(const struct elem *e, const char *outer_ns, struct buf **out)
{
	struct sink s = { 0 };

	put_tree(&s, e, outer_ns);
	s.at = reserve(out, s.count);
	put_tree(&s, e, outer_ns);
}

void xml_escape(const char *text, size_t len, struct buf **out)
{
	size_t clean;

	for (size_t i = 0; i < len; i += clean + 1) { /* one byte of what is not allowed goes */
		struct sink s = { 0 };

		clean = clean_len(text + i, len - i);
		put_escaped(&s, text + i, clean, ESCAPE_QUOTED);
		s.at = reserve(out, s.count);
		put_escaped(&s, text + i, clean, ESCAPE_QUOTED);
	}
}

/* The first of what build_more() has added. */
static const struct node *added_to(const struct stanza *st)
{
	if (!st->more)
		return NULL;
	return st->came_last ? st->came_last->next : st->root->first;
}

/* A new start tag around the children's bytes as they came, and what was added. */
static void put_raw(struct sink *s, const struct stanza *st)
{
	const struct node *added = added_to(st);

	put_start(s, st->root, NS_CLIENT);
	if (!st->raw_len && !added) {
		put(s, "/>", 2);
		return;
	}
	put(s, ">", 1);
	put(s, st->raw, st->raw_len);
	for (; added; added = added->next)
		if (added->kind == NODE_ELEM)
			put_tree(s, container_of(added, const struct elem, node), st->root->ns);
	put_end(s, st->root);
}

/* What is behind the start tag: such a tag holds no other '>'. */
static void put_body(struct sink *s, const struct elem *root, const struct buf *wire)
{
	const char *end = memchr(wire->data, '>', wire->len);
	size_t from = (size_t)(end - wire->data);

	if (end[-1] == '/')
		from--;
	put_start(s, root, NS_CLIENT);
	put(s, wire->data + from, wire->len - from);
}

/* The body's wire form is made once for all that share it. */
static struct buf *write_readdressed(const struct stanza *st)
{
	struct buf *body = stanza_wire(st->body), *out = NULL;
	struct sink s = { 0 };

	put_body(&s, st->root, body);
	s.at = reserve(&out, s.count);
	put_body(&s, st->root, body);
	buf_unref(body);
	return out;
}

struct buf *stanza_write(const struct stanza *st)
{
	struct buf *out = NULL;
	struct sink s = { 0 };

	if (st->body)
		return write_readdressed(st);
	if (!st->raw) {
		elem_wire(st->root, NS_CLIENT, &out);
		return out;
	}
	put_raw(&s, st);
	s.at = reserve(&out, s.count);
	put_raw(&s, st);
	return out;
}

/* ---- building ---- */

/* A shared name where there is one, else a copy that lives as long as the stanza. */
static const char *own_name(struct builder *b, const char *name)
{
	size_t len = strlen(name);
	const char *known = name_known(name, (unsigned)len);

	return known ? known : arena_text(&b->stanza->arena, name, len);
}

static bool same_ns(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static struct elem *new_elem(struct builder *b, const char *name, const char *ns)
{
	struct elem *e = arena_zalloc(&b->stanza->arena, sizeof(*e));

	e->node.kind = NODE_ELEM;
	e->name = name;
	e->ns = ns;
	return e;
}

static void append(struct elem *parent, struct node *n)
{
	if (parent->last)
		parent->last->next = n;
	else
		parent->first = n;
	parent->last = n;
}

void build_begin(struct builder *b, const char *name, const char *ns)
{
	b->stanza = stanza_new(200); /* an error, a result */
	b->at = new_elem(b, own_name(b, name), own_name(b, ns));
	b->stanza->root = b->at;
}

void build_more(struct builder *b, struct stanza *s)
{
	REQUIRE(!s->sealed);
	if (!s->more) {
		s->more = true;
		s->came_last = s->root->last;
	}
	b->stanza = s;
	b->at = s->root;
}

struct stanza *build_end(struct builder *b)
{
	struct stanza *s = b->stanza;

	REQUIRE(s && b->at == s->root);
	REQUIRE(stanza_read_head(s) == STANZA_OK);
	stanza_seal(s);
	b->stanza = NULL;
	b->at = NULL;
	return s;
}

void build_drop(struct builder *b)
{
	stanza_unref(b->stanza);
	b->stanza = NULL;
	b->at = NULL;
}

/* name and ns are the stanza's own already. An attribute that is there gets the new value. */
static void add_attr(
	struct builder *b, const char *name, const char *ns, const char *value, size_t len)
{
	struct attr **link = &b->at->attrs;

	while (*link && (strcmp((*link)->name, name) != 0 || !same_ns((*link)->ns, ns)))
		link = &(*link)->next;
	if (!*link)
		*link = arena_zalloc(&b->stanza->arena, sizeof(struct attr));
	(*link)->name = name;
	(*link)->ns = ns;
	(*link)->value = clean_copy(&b->stanza->arena, value, len, &(*link)->value_len);
}

void build_attr(struct builder *b, const char *name, const char *value)
{
	if (value)
		add_attr(b, own_name(b, name), NULL, value, strlen(value));
}

void build_attr_ns(struct builder *b, const char *name, const char *ns, const char *value)
{
	if (value)
		add_attr(b, own_name(b, name), ns ? own_name(b, ns) : NULL, value, strlen(value));
}

void build_attr_int(struct builder *b, const char *name, int64_t value)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%" PRId64, value);

	add_attr(b, own_name(b, name), NULL, text, (size_t)len);
}

void build_attr_jid(struct builder *b, const char *name, const struct jid *j)
{
	char text[JID_TEXT_MAX];

	if (j)
		add_attr(b, own_name(b, name), NULL, text, jid_write(j, text));
}

void build_open(struct builder *b, const char *name, const char *ns)
{
	struct elem *e = new_elem(
		b, own_name(b, name), !ns || ns == b->at->ns ? b->at->ns : own_name(b, ns));

	e->parent = b->at;
	append(b->at, &e->node);
	b->at = e;
}

void build_close(struct builder *b)
{
	REQUIRE(b->at->parent);
	b->at = b->at->parent;
}

void build_cdata(struct builder *b, const char *text, size_t len)
{
	struct arena *a = &b->stanza->arena;
	struct node *last = b->at->last;
	struct text *t;

	if (last && last->kind == NODE_TEXT) { /* neighbours are one text */
		struct text *whole = container_of(last, struct text, node);
		uint32_t more_len;
		const char *more = clean_copy(a, text, len, &more_len);
		char *data = arena_alloc(a, (size_t)whole->len + more_len + 1);

		memcpy(data, whole->data, whole->len);
		memcpy(data + whole->len, more, more_len + 1);
		whole->data = data;
		whole->len += more_len;
		return;
	}
	t = arena_zalloc(a, sizeof(*t));
	t->node.kind = NODE_TEXT;
	t->data = clean_copy(a, text, len, &t->len);
	if (t->len)
		append(b->at, &t->node);
}

void build_text(struct builder *b, const char *name, const char *text)
{
	build_open(b, name, NULL);
	if (text)
		build_cdata(b, text, strlen(text));
	build_close(b);
}

void build_said(
	struct builder *b, const char *name, const char *ns, const char *lang, const char *english)
{
	const char *text = tr(lang, english);

	build_open(b, name, ns);
	build_attr_ns(b, NAME_LANG, NS_XML, lang_pick(text == english ? NULL : lang, NULL));
	build_cdata(b, text, strlen(text));
	build_close(b);
}

void build_int(struct builder *b, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	build_text(b, name, text);
}

void build_open_copy(struct builder *b, const struct elem *e)
{
	build_open(b, e->name, e->ns);
	for (const struct attr *a = e->attrs; a; a = a->next)
		add_attr(b, own_name(b, a->name), a->ns ? own_name(b, a->ns) : NULL, a->value,
			a->value_len);
}

void build_copy(struct builder *b, const struct elem *e)
{
	const struct elem *in = NULL; /* whose children are being copied */
	const struct node *n = &e->node;

	while (n) {
		if (n->kind == NODE_TEXT) {
			const struct text *t = container_of(n, const struct text, node);

			build_cdata(b, t->data, t->len);
		} else {
			const struct elem *at = container_of(n, const struct elem, node);

			build_open_copy(b, at);
			if (at->first) {
				in = at;
				n = at->first;
				continue;
			}
			build_close(b);
		}
		while (in && !n->next) {
			build_close(b);
			n = &in->node;
			in = above(in, e);
		}
		n = in ? n->next : NULL;
	}
}

/* ---- answers ---- */

/* <name type= id= to=asker from=asked> around an answer to s. */
void build_answer(struct builder *b, const struct stanza *s, const char *type)
{
	build_begin(b, s->root->name, s->root->ns);
	build_attr(b, NAME_TYPE, type);
	build_attr(b, NAME_ID, s->id);
	build_attr_jid(b, NAME_TO, s->from);
	build_attr_jid(b, NAME_FROM, s->to);
}

void build_iq_result(struct builder *b, const struct stanza *request)
{
	build_answer(b, request, "result");
}

static const struct {
	const char *name, *type;
} errors[ERR_COUNT] = {
	/* RFC 6120 §8.3.3 */
	[ERR_BAD_REQUEST] = { "bad-request", "modify" },
	[ERR_CONFLICT] = { "conflict", "cancel" },
	[ERR_FEATURE_NOT_IMPLEMENTED] = { "feature-not-implemented", "cancel" },
	[ERR_FORBIDDEN] = { "forbidden", "auth" },
	[ERR_GONE] = { "gone", "cancel" },
	[ERR_INTERNAL_SERVER_ERROR] = { "internal-server-error", "cancel" },
	[ERR_ITEM_NOT_FOUND] = { "item-not-found", "cancel" },
	[ERR_JID_MALFORMED] = { "jid-malformed", "modify" },
	[ERR_NOT_ACCEPTABLE] = { "not-acceptable", "modify" },
	[ERR_NOT_ALLOWED] = { "not-allowed", "cancel" },
	[ERR_NOT_AUTHORIZED] = { "not-authorized", "auth" },
	[ERR_POLICY_VIOLATION] = { "policy-violation", "modify" },
	[ERR_RECIPIENT_UNAVAILABLE] = { "recipient-unavailable", "wait" },
	[ERR_REDIRECT] = { "redirect", "modify" },
	[ERR_REGISTRATION_REQUIRED] = { "registration-required", "auth" },
	[ERR_REMOTE_SERVER_NOT_FOUND] = { "remote-server-not-found", "cancel" },
	[ERR_REMOTE_SERVER_TIMEOUT] = { "remote-server-timeout", "wait" },
	[ERR_RESOURCE_CONSTRAINT] = { "resource-constraint", "wait" },
	[ERR_SERVICE_UNAVAILABLE] = { "service-unavailable", "cancel" },
	[ERR_SUBSCRIPTION_REQUIRED] = { "subscription-required", "auth" },
	[ERR_UNDEFINED_CONDITION] = { "undefined-condition", "cancel" },
	[ERR_UNEXPECTED_REQUEST] = { "unexpected-request", "wait" },
};

const char *stanza_error_name(int cond)
{
	REQUIRE(cond > 0 && cond < ERR_COUNT);
	return errors[cond].name;
}

const char *stanza_error_type(int cond)
{
	REQUIRE(cond > 0 && cond < ERR_COUNT);
	return errors[cond].type;
}

/* The sender's own payload, so that it recognises what failed (§8.3.1: MAY); not when it is big,
 * and without the ids of archives that are not the sender's (XEP-0313 §3.5). */
static void copy_payload(struct builder *b, const struct stanza *about)
{
	struct sink size = { .count = about->bytes };

	if (!size.count)
		put_tree(&size, about->root, NS_CLIENT);
	if (size.count > ERROR_PAYLOAD_MAX)
		return;
	elem_each_child (about->root, child)
		if (!elem_is(child, NAME_STANZA_ID, NS_SID))
			build_copy(b, child);
}

void build_error(struct builder *b, const struct stanza *about, int cond, const char *text)
{
	build_error_as(b, about, stanza_error_type(cond), cond, text);
}

/* Stays open. */
static void open_error(
	struct builder *b, const struct stanza *about, const char *type, int cond, const char *text)
{
	build_open(b, NAME_ERROR, NULL);
	build_attr(b, NAME_TYPE, type);
	build_open(b, stanza_error_name(cond), NS_STANZAS);
	build_close(b);
	if (text)
		build_said(b, NAME_TEXT, NS_STANZAS, stanza_lang(about), text);
}

void build_error_as(
	struct builder *b, const struct stanza *about, const char *type, int cond, const char *text)
{
	build_answer(b, about, "error");
	copy_payload(b, about);
	open_error(b, about, type, cond, text);
	build_close(b);
}

void build_error_open(struct builder *b, const struct stanza *about, int cond, const char *text)
{
	open_error(b, about, stanza_error_type(cond), cond, text);
}
