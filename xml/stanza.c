/* xml/stanza.c - the tree that travels: its head, its walking, its wire form. */
#include "xml/stanza.h"

#include <stdlib.h>
#include <string.h>

#include "core/lang.h"
#include "core/mem.h"
#include "xml/builder.h"

/* One allocation for the typical stanza: the tree of a chat message is about four times its text.
 * A big one would waste most of that; its arena grows as it is filled. */
#define BYTES_MIN 512u
#define BYTES_MAX 8192u

struct stanza *stanza_new(size_t expect_bytes)
{
	size_t bytes = sizeof(struct stanza) +
		(expect_bytes < BYTES_MAX / 4 ? expect_bytes * 4 : BYTES_MAX);
	struct stanza *s;

	if (bytes < BYTES_MIN)
		bytes = BYTES_MIN;
	bytes = (bytes + 255) & ~(size_t)255;
	s = xmalloc(bytes);
	memset(s, 0, sizeof(*s));
	atomic_init(&s->refs, 1);
	atomic_init(&s->wire, NULL);
	s->block_bytes = (uint32_t)bytes;
	arena_init(&s->arena, s + 1, bytes - sizeof(*s));
	return s;
}

size_t stanza_held_bytes(const struct stanza *s)
{
	return s->block_bytes + s->arena.taken_bytes;
}

struct stanza *stanza_ref(struct stanza *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void stanza_unref(struct stanza *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	buf_unref(atomic_load_explicit(&s->wire, memory_order_relaxed));
	stanza_unref(s->body);
	arena_fini(&s->arena);
	free(s);
}

/* The kind, and with it the meaning of type=. Known names are shared, so == compares them. */
static enum stanza_kind kind_of(const struct elem *root)
{
	if (root->ns != NS_CLIENT)
		return STANZA_OTHER;
	if (root->name == NAME_MESSAGE)
		return STANZA_MESSAGE;
	if (root->name == NAME_PRESENCE)
		return STANZA_PRESENCE;
	if (root->name == NAME_IQ)
		return STANZA_IQ;
	return STANZA_OTHER;
}

struct type_name {
	const char *name;
	enum stanza_type type;
};
static const struct type_name message_types[] = {
	{ "chat", MSG_CHAT }, { "groupchat", MSG_GROUPCHAT }, { "normal", MSG_NORMAL },
	{ "headline", MSG_HEADLINE }, { "error", MSG_ERROR }, { NULL, MSG_NORMAL }, /* §5.2.2 */
};
static const struct type_name presence_types[] = {
	{ "unavailable", PRES_UNAVAILABLE },
	{ "subscribe", PRES_SUBSCRIBE },
	{ "subscribed", PRES_SUBSCRIBED },
	{ "unsubscribe", PRES_UNSUBSCRIBE },
	{ "unsubscribed", PRES_UNSUBSCRIBED },
	{ "probe", PRES_PROBE },
	{ "error", PRES_ERROR },
	{ NULL, TYPE_BAD },
};
static const struct type_name iq_types[] = {
	{ "get", IQ_GET },
	{ "set", IQ_SET },
	{ "result", IQ_RESULT },
	{ "error", IQ_ERROR },
	{ NULL, TYPE_BAD },
};

static enum stanza_type type_of(enum stanza_kind kind, const char *type)
{
	static const struct type_name *const names[] = { message_types, presence_types, iq_types };
	static const enum stanza_type missing[] = { MSG_NORMAL, PRES_AVAILABLE, TYPE_BAD };
	const struct type_name *n;

	if (kind == STANZA_OTHER)
		return TYPE_NONE;
	if (!type)
		return missing[kind];
	for (n = names[kind]; n->name; n++)
		if (!strcmp(n->name, type))
			break;
	return n->type;
}

int stanza_read_head(struct stanza *s)
{
	const struct attr *to = NULL, *from = NULL;
	const char *type = NULL;
	struct jid *jid;

	REQUIRE(!s->sealed);
	s->faults = STANZA_OK;
	s->to = s->from = NULL;
	s->id = s->lang = NULL;
	for (const struct attr *a = s->root->attrs; a; a = a->next) {
		if (a->ns) {
			if (a->ns == NS_XML && a->name == NAME_LANG)
				s->lang = a->value;
		} else if (a->name == NAME_TO) {
			to = a;
		} else if (a->name == NAME_FROM) {
			from = a;
		} else if (a->name == NAME_ID) {
			s->id = a->value;
		} else if (a->name == NAME_TYPE) {
			type = a->value;
		}
	}
	s->kind = kind_of(s->root);
	s->type = type_of(s->kind, type);
	if (from) {
		if (jid_parse(from->value, from->value_len, &s->arena, &jid) == JID_OK)
			s->from = jid;
		else
			s->faults |= STANZA_BAD_FROM;
	}
	if (to) {
		if (jid_parse(to->value, to->value_len, &s->arena, &jid) == JID_OK)
			s->to = jid;
		else
			s->faults |= STANZA_BAD_TO;
	}
	return s->faults;
}

/* Sets or adds an attribute of the root; name and ns are shared names. */
static void set_root_attr(struct stanza *s, const char *name, const char *ns, const char *value)
{
	struct attr **link = &s->root->attrs;

	while (*link && ((*link)->name != name || (*link)->ns != ns))
		link = &(*link)->next;
	if (!*link) {
		*link = arena_zalloc(&s->arena, sizeof(struct attr));
		(*link)->name = name;
		(*link)->ns = ns;
	}
	(*link)->value = value;
	(*link)->value_len = (uint32_t)strlen(value);
}

void stanza_set_from(struct stanza *s, const struct jid *j)
{
	REQUIRE(!s->sealed);
	s->from = jid_dup(j, &s->arena);
	set_root_attr(s, NAME_FROM, NULL, jid_text(j, &s->arena));
}

void stanza_set_to(struct stanza *s, const struct jid *j)
{
	REQUIRE(!s->sealed);
	s->to = jid_dup(j, &s->arena);
	set_root_attr(s, NAME_TO, NULL, jid_text(j, &s->arena));
}

void stanza_set_lang(struct stanza *s, const char *lang)
{
	REQUIRE(!s->sealed);
	if (s->lang)
		return;
	s->lang = arena_strdup(&s->arena, lang);
	set_root_attr(s, NAME_LANG, NS_XML, s->lang);
}

void stanza_drop_child(struct stanza *s, const struct elem *child)
{
	struct node **link = &s->root->first, *before = NULL;

	REQUIRE(!s->sealed);
	for (; *link != &child->node; link = &(*link)->next)
		before = *link;
	*link = child->node.next;
	if (s->root->last == &child->node)
		s->root->last = before;
	s->raw = NULL; /* it is in there */
	s->more = false;
}

void stanza_seal(struct stanza *s)
{
	REQUIRE(s->root && !s->sealed);
	s->sealed = true;
}

const char *stanza_lang(const struct stanza *s)
{
	return lang_pick(s->lang, s->lang_else);
}

/* The start tag's attributes but for `to`, as they are; what they point to lives in from. */
static void copy_attrs(struct stanza *s, const struct elem *from)
{
	struct attr **link = &s->root->attrs;

	for (const struct attr *a = from->attrs; a; a = a->next) {
		if (a->name == NAME_TO && !a->ns)
			continue;
		*link = arena_alloc(&s->arena, sizeof(*a));
		**link = *a;
		(*link)->next = NULL;
		link = &(*link)->next;
	}
}

struct stanza *stanza_readdressed(struct stanza *s, const struct jid *to)
{
	struct stanza *body = s->body ? s->body : s, *copy = stanza_new(0);

	REQUIRE(s->sealed);
	copy->body = stanza_ref(body);
	copy->kind = s->kind;
	copy->type = s->type;
	copy->from = s->from;
	copy->id = s->id;
	copy->lang = s->lang;
	copy->root = arena_alloc(&copy->arena, sizeof(*copy->root));
	*copy->root = *body->root;
	copy->root->attrs = NULL;
	copy_attrs(copy, body->root);
	stanza_set_to(copy, to);
	stanza_seal(copy);
	return copy;
}

struct buf *stanza_wire(struct stanza *s)
{
	struct buf *wire, *other = NULL;

	REQUIRE(s->sealed);
	wire = atomic_load_explicit(&s->wire, memory_order_acquire);
	if (wire)
		return buf_ref(wire);
	wire = stanza_write(s);
	/* Two shards may come here at once; the later one throws its bytes away. */
	if (!atomic_compare_exchange_strong_explicit(
		    &s->wire, &other, wire, memory_order_acq_rel, memory_order_acquire)) {
		buf_unref(wire);
		wire = other;
	}
	return buf_ref(wire);
}

/* Both NULL-tolerant on the wanted side; pointers first, since most names are shared. */
static bool matches(const char *have, const char *want)
{
	return !want || have == want || !strcmp(have, want);
}

bool elem_is(const struct elem *e, const char *name, const char *ns)
{
	return e && matches(e->name, name) && matches(e->ns, ns);
}

static const struct elem *elem_from(const struct node *n)
{
	while (n && n->kind != NODE_ELEM)
		n = n->next;
	return n ? container_of(n, const struct elem, node) : NULL;
}

const struct elem *elem_first(const struct elem *e)
{
	return elem_from(e->first);
}

const struct elem *elem_next(const struct elem *e)
{
	return elem_from(e->node.next);
}

const struct elem *elem_child(const struct elem *e, const char *name, const char *ns)
{
	elem_each_child (e, child)
		if (elem_is(child, name, ns))
			return child;
	return NULL;
}

const char *elem_attr(const struct elem *e, const char *name)
{
	return elem_attr_ns(e, name, NULL);
}

const char *elem_attr_ns(const struct elem *e, const char *name, const char *ns)
{
	for (const struct attr *a = e->attrs; a; a = a->next)
		if (matches(a->name, name) && (ns ? a->ns && matches(a->ns, ns) : !a->ns))
			return a->value;
	return NULL;
}

const char *elem_text(const struct elem *e, struct arena *a)
{
	const struct text *only = NULL;
	size_t len = 0, pieces = 0;
	char *joined, *at;

	for (const struct node *n = e->first; n; n = n->next) {
		if (n->kind != NODE_TEXT)
			continue;
		only = container_of(n, const struct text, node);
		len += only->len;
		pieces++;
	}
	if (pieces < 2)
		return pieces ? only->data : "";
	joined = at = arena_alloc(a, len + 1);
	for (const struct node *n = e->first; n; n = n->next) {
		if (n->kind != NODE_TEXT)
			continue;
		only = container_of(n, const struct text, node);
		memcpy(at, only->data, only->len);
		at += only->len;
	}
	*at = 0;
	return joined;
}

const char *elem_child_text(const struct elem *e, const char *name, const char *ns, struct arena *a)
{
	const struct elem *child = elem_child(e, name, ns);

	return child ? elem_text(child, a) : NULL;
}

const struct elem *stanza_iq_child(const struct stanza *s)
{
	const struct elem *child = elem_first(s->root);

	return child && !elem_next(child) ? child : NULL;
}
