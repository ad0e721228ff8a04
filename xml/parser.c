/* xml/parser.c - scanner, contexts, and the tree between them; see the header for the idea.
 *
 *   parser_feed   walks the scanner from element to element and makes the calls
 *   scan          finds the end of an element: a machine over bytes that remembers where it stands
 *   context_parse gives one whole element to libxml2 and takes a tree
 *   dialect       what a stream header declared; contexts primed with it serve all such streams */
#include "xml/parser.h"

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "xml/builder.h"

#define CONTEXTS_MAX 8u /* per pool: more dialects at once than this prime anew each time */
#define NAME_SLOTS 256u /* names a context finds by pointer */
#define KEEP_BYTES 65536u /* what a context keeps of its buffers after a big element */
#define NAME_BYTES_AVERAGE 64u /* bounds a dictionary's bytes by its number of names */
#define PRIMED_BYTES_MAX (1ul << 30) /* libxml2 counts lines and bytes: begin anew in time */

/* ---- dialects ---- */

/* What the start tag of a stream declared, shared by all streams of a pool that declared the same.
 */
struct dialect {
	unsigned refs; /* owning thread only */
	const char *default_ns; /* shared or in text; "" for none */
	const char *content_ns; /* the namespace that becomes NS_CLIENT, a shared name, or NULL */
	uint32_t header_len;
	uint32_t end_len;
	const char *end; /* the root's name as its end tag has it */
	char header[]; /* <s xmlns=...> for priming; then end, then default_ns */
};

/* A libxml2 parser somewhere in a document: behind a start tag of its dialect. */
struct context {
	xmlParserCtxtPtr xml; /* owned; NULL until needed */
	struct dialect *dialect; /* primed with; NULL: must be primed. Counted */
	uint64_t used; /* pool->clock at the last use */
	bool silent; /* being primed: events are not for anyone */
	int error; /* the first one of this element, enum parser_error */

	struct stanza *stanza; /* being built; owned */
	struct elem *at; /* open; NULL before the root's start and after its end */
	const char *content_ns;
	const xmlChar *root_uri; /* libxml2's pointer of the root's namespace */
	int root_ns_count; /* entries of xml->nsTab that are declared outside of the children */
	bool portable; /* the children's bytes mean the same in any other stream */
	struct buf *declared; /* of a stream header: what its dialect's header will be */
	struct buf *qname;

	char *text; /* of the open text; owned */
	size_t text_len, text_cap;

	/* libxml2 gives names as pointers into its dictionary, one for each: what we made of them.
	 */
	uint32_t serial; /* of the stanza being built: older copies are not its own */
	struct name {
		const xmlChar *key;
		const char *known; /* shared name, or NULL */
		const char *copy; /* in the arena of the stanza serial */
		uint32_t serial;
		uint32_t len;
	} names[NAME_SLOTS];
};

struct parser_pool {
	unsigned dictionary_max;
	uint64_t clock;
	unsigned next_dialect;
	struct dialect *dialects[CONTEXTS_MAX]; /* the latest; counted */
	struct context *contexts[CONTEXTS_MAX]; /* owned; NULL where none was needed yet */
	struct context *header; /* owned; for streams' start tags */
};

static void dialect_unref(struct dialect *d)
{
	if (d && !--d->refs)
		free(d);
}

static struct dialect *dialect_ref(struct dialect *d)
{
	d->refs++;
	return d;
}

static const char *content_namespace(const char *ns)
{
	const char *known = name_known(ns, (unsigned)strlen(ns));

	return known == NS_CLIENT || known == NS_SERVER || known == NS_COMPONENT ? known : NULL;
}

static struct dialect *dialect_new(
	const struct buf *header, const struct buf *end, const char *default_ns)
{
	size_t ns_len = strlen(default_ns);
	struct dialect *d = xmalloc(sizeof(*d) + header->len + end->len + ns_len + 1);
	char *at = d->header;

	d->refs = 1;
	d->header_len = header->len;
	d->end_len = end->len;
	at = mempcpy(at, header->data, header->len);
	d->end = at;
	at = mempcpy(at, end->data, end->len);
	memcpy(at, default_ns, ns_len + 1);
	d->content_ns = content_namespace(default_ns);
	d->default_ns = name_known(default_ns, (unsigned)ns_len);
	if (!d->default_ns)
		d->default_ns = at;
	return d;
}

/* The pool's own or a new one; a new reference. */
static struct dialect *dialect_of(struct parser_pool *pool, const struct buf *header,
	const struct buf *end, const char *default_ns)
{
	struct dialect *d;

	for (unsigned i = 0; i < CONTEXTS_MAX; i++) {
		d = pool->dialects[i];
		if (d && d->header_len == header->len && d->end_len == end->len &&
			!memcmp(d->header, header->data, header->len) &&
			!memcmp(d->end, end->data, end->len))
			return dialect_ref(d);
	}
	d = dialect_new(header, end, default_ns);
	dialect_unref(pool->dialects[pool->next_dialect]);
	pool->dialects[pool->next_dialect] = dialect_ref(d);
	pool->next_dialect = (pool->next_dialect + 1) % CONTEXTS_MAX;
	return d;
}

/* ---- the tree: libxml2's events ---- */

static void fail(struct context *c, int error)
{
	if (!c->error)
		c->error = error;
}

/* A shared name, or a copy in this stanza's arena: it outlives the dictionary. */
static const char *own_name(struct context *c, const xmlChar *key)
{
	struct name *n = &c->names[((uintptr_t)key ^ (uintptr_t)key >> 8) % NAME_SLOTS];

	if (n->key != key) {
		n->key = key;
		n->len = (uint32_t)strlen((const char *)key);
		n->known = name_known((const char *)key, n->len);
		n->serial = 0;
	}
	if (n->known)
		return n->known;
	if (n->serial != c->serial) {
		n->copy = arena_text(&c->stanza->arena, (const char *)key, n->len);
		n->serial = c->serial;
	}
	return n->copy;
}

static const char *own_ns(struct context *c, const xmlChar *uri)
{
	const char *ns = uri ? own_name(c, uri) : "";

	return ns == c->content_ns ? NS_CLIENT : ns;
}

static void append(struct elem *parent, struct node *n)
{
	if (parent->last)
		parent->last->next = n;
	else
		parent->first = n;
	parent->last = n;
}

static void end_text(struct context *c)
{
	struct text *t;

	if (!c->text_len)
		return;
	t = arena_alloc(&c->stanza->arena, sizeof(*t));
	t->node.next = NULL;
	t->node.kind = NODE_TEXT;
	t->len = (uint32_t)c->text_len;
	t->data = arena_text(&c->stanza->arena, c->text, c->text_len);
	append(c->at, &t->node);
	c->text_len = 0;
}

/* A prefix (NULL: the default namespace) that some element inside the root declares. */
static bool declared_inside(const struct context *c, const xmlChar *prefix)
{
	for (int i = c->xml->nsNr - 2; i >= c->root_ns_count; i -= 2)
		if (c->xml->nsTab[i] == prefix)
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
static bool is_portable(struct context *c, const struct elem *e, const xmlChar *prefix,
	const xmlChar *uri, int ns_count, const xmlChar **namespaces, int attr_count,
	const xmlChar **attrs)
{
	for (int i = 0; i < attr_count; i++) {
		const xmlChar *p = attrs[5 * i + 1];

		if (p && p != c->xml->str_xml && !declared_inside(c, p))
			return false;
	}
	if (prefix)
		return declared_inside(c, prefix);
	if (uri != c->root_uri && !declared_inside(c, NULL))
		return false;
	/* The content namespace by its name, where it would have to change with the stream. */
	if (ns_count && e->ns == NS_CLIENT && declares_default(ns_count, namespaces))
		return e->parent->ns != NS_CLIENT && own_name(c, uri) == NS_CLIENT;
	return true;
}

static void add_attrs(struct context *c, struct elem *e, int count, const xmlChar **attrs)
{
	struct attr **link = &e->attrs;

	for (; count > 0; count--, attrs += 5) {
		struct attr *a = arena_alloc(&c->stanza->arena, sizeof(*a));

		a->next = NULL;
		a->name = own_name(c, attrs[0]);
		a->ns = attrs[2] ? own_name(c, attrs[2]) : NULL;
		a->value_len = (uint32_t)(attrs[4] - attrs[3]);
		a->value = arena_text(&c->stanza->arena, (const char *)attrs[3], a->value_len);
		*link = a;
		link = &a->next;
	}
}

/* Notes what a stream's start tag declares, for the streams to come. */
static void note_declared(struct context *c, const xmlChar *name, const xmlChar *prefix, int count,
	const xmlChar **namespaces)
{
	if (prefix) {
		buf_append(&c->qname, prefix, strlen((const char *)prefix));
		buf_append_char(&c->qname, ':');
	}
	buf_append(&c->qname, name, strlen((const char *)name));
	buf_append(&c->declared, "<s", 2);
	for (int i = 0; i < count; i++) {
		const char *p = (const char *)namespaces[2 * i];
		const char *uri = (const char *)namespaces[2 * i + 1];

		buf_append(&c->declared, " xmlns", 6);
		if (p) {
			buf_append_char(&c->declared, ':');
			buf_append(&c->declared, p, strlen(p));
		}
		buf_append(&c->declared, "='", 2);
		xml_escape(uri, strlen(uri), &c->declared);
		buf_append_char(&c->declared, '\'');
	}
	buf_append_char(&c->declared, '>');
}

static void on_start(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
	int ns_count, const xmlChar **namespaces, int attr_count, int defaulted UNUSED,
	const xmlChar **attrs)
{
	struct context *c = arg;
	struct elem *e;

	if (c->silent || c->error)
		return;
	e = arena_alloc(&c->stanza->arena, sizeof(*e));
	e->node.next = NULL;
	e->node.kind = NODE_ELEM;
	e->name = own_name(c, name);
	e->ns = own_ns(c, uri);
	e->attrs = NULL;
	e->first = e->last = NULL;
	e->parent = c->at;
	add_attrs(c, e, attr_count, attrs);
	if (c->at) {
		end_text(c);
		append(c->at, &e->node);
		if (c->portable)
			c->portable = is_portable(
				c, e, prefix, uri, ns_count, namespaces, attr_count, attrs);
	} else if (!c->stanza->root) {
		c->stanza->root = e;
		c->root_uri = uri;
		c->root_ns_count = c->xml->nsNr;
		if (c->declared)
			note_declared(c, name, prefix, ns_count, namespaces);
	} else { /* a second one: the scanner and libxml2 do not agree */
		fail(c, PARSER_NOT_WELL_FORMED);
		return;
	}
	c->at = e;
}

static void on_end(void *arg, const xmlChar *name UNUSED, const xmlChar *prefix UNUSED,
	const xmlChar *uri UNUSED)
{
	struct context *c = arg;

	if (c->silent || c->error || !c->at)
		return;
	end_text(c);
	c->at = c->at->parent;
}

static void on_text(void *arg, const xmlChar *text, int len)
{
	struct context *c = arg;

	if (c->silent || c->error || !c->at || !len)
		return;
	if (c->text_cap - c->text_len < (size_t)len) {
		c->text_cap = 2 * c->text_cap + (size_t)len;
		c->text = xrealloc(c->text, c->text_cap);
	}
	memcpy(c->text + c->text_len, text, (size_t)len);
	c->text_len += (size_t)len;
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
	struct context *c = arg;

	if (error->level < XML_ERR_ERROR) /* for instance a namespace that is not a URI: allowed */
		return;
	switch (error->code) {
	case XML_NS_ERR_UNDEFINED_NAMESPACE:
		fail(c, PARSER_BAD_PREFIX);
		break;
	case XML_ERR_UNDECLARED_ENTITY:
	case XML_WAR_UNDECLARED_ENTITY:
		fail(c, PARSER_RESTRICTED);
		break;
	default:
		fail(c, PARSER_NOT_WELL_FORMED);
	}
}

/* ---- contexts ---- */

static xmlSAXHandler sax = {
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

static struct context *context_new(void)
{
	return xcalloc(1, sizeof(struct context));
}

/* Back to nothing: the next use begins with a new dictionary. */
static void context_clear(struct context *c)
{
	if (c->xml)
		xmlFreeParserCtxt(c->xml);
	c->xml = NULL;
	dialect_unref(c->dialect);
	c->dialect = NULL;
	memset(c->names, 0, sizeof(c->names));
}

static void context_free(struct context *c)
{
	if (!c)
		return;
	context_clear(c);
	stanza_unref(c->stanza);
	buf_unref(c->declared);
	buf_unref(c->qname);
	free(c->text);
	free(c);
}

/* At the beginning of a document. */
static void context_rewind(struct context *c)
{
	dialect_unref(c->dialect);
	c->dialect = NULL;
	if (!c->xml) {
		c->xml = xmlCreatePushParserCtxt(&sax, c, NULL, 0, NULL);
		REQUIRE(c->xml);
		/* HUGE: the bounds are ours. NOENT: or else &amp; in a value arrives as &#38; */
		xmlCtxtUseOptions(c->xml, XML_PARSE_NONET | XML_PARSE_HUGE | XML_PARSE_NOENT);
	}
	/* Also right after the creation: it then takes its input for UTF-8 without looking. */
	REQUIRE(xmlCtxtResetPush(c->xml, NULL, 0, NULL, NULL) == 0);
	c->xml->nsNr = 0; /* which 2.9's reset forgets */
	c->xml->progressive = 0;
	c->xml->nsWellFormed = 1;
}

static void context_prime(struct context *c, struct dialect *d)
{
	context_rewind(c);
	c->silent = true;
	c->error = PARSER_OK;
	xmlParseChunk(c->xml, d->header, (int)d->header_len, 0);
	c->silent = false;
	REQUIRE(!c->error && c->xml->nameNr == 1); /* we wrote it */
	c->dialect = dialect_ref(d);
}

/* One that is primed with the dialect, or else the one that rested longest, primed. */
static struct context *context_for(struct parser_pool *pool, struct dialect *d)
{
	struct context **best = &pool->contexts[0];

	for (unsigned i = 0; i < CONTEXTS_MAX; i++) {
		struct context **c = &pool->contexts[i];

		if (*c && (*c)->dialect == d) {
			best = c;
			break;
		}
		if (*best && (!*c || (*c)->used < (*best)->used))
			best = c;
	}
	if (!*best)
		*best = context_new();
	(*best)->used = ++pool->clock;
	if ((*best)->dialect != d)
		context_prime(*best, d);
	return *best;
}

/* What is bounded over a context's life: names, their bytes, buffers that one big element left. */
static void context_tidy(struct context *c, const struct parser_pool *pool, size_t len)
{
	size_t names_max = pool->dictionary_max;

	if ((size_t)xmlDictSize(c->xml->dict) > names_max ||
		xmlDictGetUsage(c->xml->dict) > names_max * NAME_BYTES_AVERAGE) {
		context_clear(c);
	} else if (len > KEEP_BYTES || c->xml->input->consumed > PRIMED_BYTES_MAX) {
		dialect_unref(c->dialect);
		c->dialect = NULL;
	}
	if (c->text_cap > KEEP_BYTES) {
		free(c->text);
		c->text = NULL;
		c->text_cap = 0;
	}
}

/* Feeds one whole piece; c->stanza has its tree afterwards. open: elements that stay open. */
static int context_parse(struct context *c, const char *bytes, size_t len, int open)
{
	c->error = PARSER_OK;
	c->stanza = stanza_new(len);
	c->at = NULL;
	c->portable = true;
	c->text_len = 0;
	c->serial++;
	if (!c->serial) { /* wrapped: no old copy may look like ours */
		memset(c->names, 0, sizeof(c->names));
		c->serial = 1;
	}
	xmlParseChunk(c->xml, bytes, (int)len, 0);
	/* Taken to the last byte, and standing where the scanner stands: no disagreement. */
	if (!c->error &&
		(!c->xml->wellFormed || !c->xml->nsWellFormed || !c->stanza->root ||
			c->xml->nameNr != open || c->xml->input->cur != c->xml->input->end))
		c->error = PARSER_NOT_WELL_FORMED;
	return c->error;
}

static struct stanza *take_stanza(struct context *c)
{
	struct stanza *s = c->stanza;

	c->stanza = NULL;
	return s;
}

/* ---- the scanner ---- */

enum scan_state {
	OUTSIDE, /* between elements; before the root and after it */
	OPENED, /* behind '<' */
	DECLARATION, /* behind "<?" */
	DECLARATION_END, /* behind '?' there */
	START_TAG,
	START_TAG_SLASH, /* behind '/' there */
	VALUE, /* of an attribute, up to the quote it began with */
	END_TAG,
	TEXT,
	BANG, /* behind "<!": only a CDATA section may follow */
	CDATA,
	CDATA_BRACKET, /* behind ']' there */
	CDATA_BRACKETS, /* behind "]]" or more */
};

/* What the scanner came upon. */
enum found { NOTHING, XML_DECLARATION, ROOT_START, ROOT_EMPTY, ROOT_END, ELEMENT };

struct utf8 {
	uint8_t need; /* bytes that the character lacks */
	uint8_t low, high; /* what the next one may be */
};

struct parser {
	struct parser_pool *pool;
	const struct parser_events *events; /* the caller's */
	void *arg;
	struct dialect *dialect; /* counted; NULL before the start tag */
	struct stanza *head; /* counted; NULL before the start tag and in hibernation */
	char *lang; /* owned; the stream's, or NULL */
	struct parser_limits limits;

	/* The unfinished piece: an element of the first level, the root's start tag or end tag. */
	char *held; /* owned; its bytes from earlier feeds */
	uint32_t held_len, held_cap;
	uint32_t inner_from; /* behind its start tag; 0: not there yet */
	uint32_t inner_to; /* where the last tag begins */
	uint16_t depth; /* elements open in it */
	uint16_t attrs; /* of the tag at hand */
	struct utf8 utf8;
	uint8_t state; /* enum scan_state */
	uint8_t matched; /* bytes of "[CDATA[" seen */
	char quote;
	uint8_t error; /* enum parser_error; nothing is taken any more */
	bool begun; /* a byte of the document has come */
	bool root_open;
	bool ended;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Strict: no overlong forms, no surrogates, nothing above U+10FFFF. RFC 3629 §4. */
static bool utf8_lead(struct utf8 *u, unsigned char c)
{
	u->low = 0x80;
	u->high = 0xbf;
	if (c >= 0xc2 && c <= 0xdf) {
		u->need = 1;
	} else if (c >= 0xe0 && c <= 0xef) {
		u->need = 2;
		if (c == 0xe0)
			u->low = 0xa0;
		else if (c == 0xed)
			u->high = 0x9f;
	} else if (c >= 0xf0 && c <= 0xf4) {
		u->need = 3;
		if (c == 0xf0)
			u->low = 0x90;
		else if (c == 0xf4)
			u->high = 0x8f;
	} else {
		return false;
	}
	return true;
}

static bool utf8_check(struct utf8 *u, const char *bytes, size_t len)
{
	const unsigned char *b = (const unsigned char *)bytes;
	uint64_t eight;

	for (size_t i = 0; i < len; i++) {
		if (likely(!u->need)) {
			while (i + 8 <= len) {
				memcpy(&eight, b + i, 8);
				if (eight & 0x8080808080808080u)
					break;
				i += 8;
			}
			if (i < len && b[i] >= 0x80 && !utf8_lead(u, b[i]))
				return false;
		} else {
			if (b[i] < u->low || b[i] > u->high)
				return false;
			u->low = 0x80;
			u->high = 0xbf;
			u->need--;
		}
	}
	return true;
}

/* A walk over one feed's bytes. */
struct walk {
	const char *bytes;
	size_t len;
	size_t begin; /* where the piece begins, or goes on from what is held */
	size_t at;
};

static uint32_t piece_offset(const struct parser *p, const struct walk *w)
{
	return p->held_len + (uint32_t)(w->at - w->begin);
}

static int scan_outside(struct parser *p, struct walk *w)
{
	while (w->at < w->len && is_blank(w->bytes[w->at])) {
		w->at++;
		p->begun = true;
	}
	w->begin = w->at;
	if (w->at == w->len)
		return PARSER_OK;
	if (w->bytes[w->at] == '<' && !p->ended) {
		w->at++;
		p->state = OPENED;
		p->depth = 0;
		p->inner_from = p->inner_to = 0;
		return PARSER_OK;
	}
	/* UTF-16 with its mark; RFC 6120 §11.6 */
	if (!p->begun && ((unsigned char)w->bytes[w->at] >= 0xfe || !w->bytes[w->at]))
		return PARSER_BAD_ENCODING;
	return p->root_open ? PARSER_TEXT_OUTSIDE : PARSER_NOT_WELL_FORMED;
}

static int scan_opened(struct parser *p, struct walk *w)
{
	p->inner_to = piece_offset(p, w) - 1;
	switch (w->bytes[w->at++]) {
	case '/':
		p->state = END_TAG;
		return PARSER_OK;
	case '!':
		p->state = BANG;
		p->matched = 0;
		return PARSER_OK;
	case '?':
		p->state = DECLARATION;
		return p->begun ? PARSER_RESTRICTED : PARSER_OK;
	default:
		p->state = START_TAG;
		p->attrs = 0;
		w->at--;
		return p->root_open && p->depth >= p->limits.depth ? PARSER_TOO_BIG : PARSER_OK;
	}
}

static enum found start_tag_done(struct parser *p, struct walk *w, bool empty)
{
	p->state = p->root_open && (p->depth || !empty) ? TEXT : OUTSIDE;
	if (!p->root_open)
		return empty ? ROOT_EMPTY : ROOT_START;
	if (empty)
		return p->depth ? NOTHING : ELEMENT;
	if (!p->depth++)
		p->inner_from = piece_offset(p, w);
	return NOTHING;
}

static enum found end_tag_done(struct parser *p)
{
	if (p->depth && --p->depth) {
		p->state = TEXT;
		return NOTHING;
	}
	p->state = OUTSIDE;
	return p->inner_from ? ELEMENT : ROOT_END;
}

/* In a tag: what ends a run of bytes that mean nothing to the scanner. */
static const bool tag_marks[256] = {
	['>'] = true, ['/'] = true, ['"'] = true, ['\''] = true, ['<'] = true
};

static enum found scan_start_tag(struct parser *p, struct walk *w, int *error)
{
	char c;

	while (w->at < w->len && !tag_marks[(unsigned char)w->bytes[w->at]])
		w->at++;
	if (w->at == w->len)
		return NOTHING;
	c = w->bytes[w->at++];
	if (c == '>')
		return start_tag_done(p, w, false);
	if (c == '/') {
		p->state = START_TAG_SLASH;
		return NOTHING;
	}
	if (c == '<') {
		*error = PARSER_NOT_WELL_FORMED;
		return NOTHING;
	}
	p->state = VALUE;
	p->quote = c;
	if (++p->attrs > p->limits.attrs)
		*error = PARSER_TOO_BIG;
	return NOTHING;
}

/* Goes to behind the next c; false when it is not in this feed. */
static bool skip_past(struct walk *w, char c)
{
	const char *hit = memchr(w->bytes + w->at, c, w->len - w->at);

	w->at = hit ? (size_t)(hit - w->bytes) + 1 : w->len;
	return hit;
}

static int scan_bang(struct parser *p, struct walk *w)
{
	static const char wanted[] = "[CDATA[";

	if (w->bytes[w->at++] != wanted[p->matched])
		return p->matched ? PARSER_NOT_WELL_FORMED : PARSER_RESTRICTED;
	if (!wanted[++p->matched])
		p->state = CDATA;
	if (p->depth)
		return PARSER_OK;
	return p->root_open ? PARSER_TEXT_OUTSIDE : PARSER_NOT_WELL_FORMED;
}

/* Goes on until a piece is complete, the bytes end, or *error is set. */
static enum found scan(struct parser *p, struct walk *w, int *error)
{
	enum found found = NOTHING;

	while (w->at < w->len && !found && !*error) {
		switch ((enum scan_state)p->state) {
		case OUTSIDE:
			*error = scan_outside(p, w);
			break;
		case OPENED:
			*error = scan_opened(p, w);
			p->begun = true;
			break;
		case DECLARATION:
			if (skip_past(w, '?'))
				p->state = DECLARATION_END;
			break;
		case DECLARATION_END:
			if (w->bytes[w->at] == '>')
				found = XML_DECLARATION;
			p->state = found ? OUTSIDE : DECLARATION;
			w->at += found != NOTHING;
			break;
		case START_TAG:
			found = scan_start_tag(p, w, error);
			break;
		case START_TAG_SLASH:
			if (w->bytes[w->at++] == '>')
				found = start_tag_done(p, w, true);
			else
				*error = PARSER_NOT_WELL_FORMED;
			break;
		case VALUE:
			if (skip_past(w, p->quote))
				p->state = START_TAG;
			break;
		case END_TAG:
			if (skip_past(w, '>'))
				found = end_tag_done(p);
			break;
		case TEXT:
			if (skip_past(w, '<'))
				p->state = OPENED;
			break;
		case BANG:
			*error = scan_bang(p, w);
			break;
		case CDATA:
			if (skip_past(w, ']'))
				p->state = CDATA_BRACKET;
			break;
		case CDATA_BRACKET:
			p->state = w->bytes[w->at++] == ']' ? CDATA_BRACKETS : CDATA;
			break;
		case CDATA_BRACKETS:
			if (w->bytes[w->at] != ']')
				p->state = w->bytes[w->at] == '>' ? TEXT : CDATA;
			w->at++;
			break;
		}
	}
	return found;
}

/* ---- the XML declaration: XML 1.0 §2.8 ---- */

/* name = 'value' at *at, with blanks before it. */
static bool pseudo_attr(
	const char **at, const char *end, const char *name, const char **value, size_t *len)
{
	const char *c = *at;
	size_t name_len = strlen(name);
	char quote;

	if (c == end || !is_blank(*c))
		return false;
	while (c < end && is_blank(*c))
		c++;
	if ((size_t)(end - c) <= name_len || memcmp(c, name, name_len) != 0)
		return false;
	for (c += name_len; c < end && is_blank(*c); c++)
		;
	if (c == end || *c++ != '=')
		return false;
	while (c < end && is_blank(*c))
		c++;
	if (c == end || (*c != '\'' && *c != '"'))
		return false;
	quote = *c++;
	*value = c;
	while (c < end && *c != quote)
		c++;
	if (c == end)
		return false;
	*len = (size_t)(c - *value);
	*at = c + 1;
	return true;
}

static bool is_version_1(const char *value, size_t len)
{
	if (len < 3 || memcmp(value, "1.", 2) != 0)
		return false;
	for (size_t i = 2; i < len; i++)
		if (value[i] < '0' || value[i] > '9')
			return false;
	return true;
}

static int check_declaration(const char *bytes, size_t len)
{
	const char *at = bytes + 5, *end = bytes + len - 2, *value;
	size_t value_len;

	if (len < 8 || memcmp(bytes, "<?xml", 5) != 0 || !is_blank(bytes[5]))
		return PARSER_RESTRICTED; /* some other processing instruction */
	if (!pseudo_attr(&at, end, "version", &value, &value_len) ||
		!is_version_1(value, value_len))
		return PARSER_NOT_WELL_FORMED;
	if (pseudo_attr(&at, end, "encoding", &value, &value_len) &&
		(value_len != 5 || strncasecmp(value, "UTF-8", 5) != 0))
		return PARSER_BAD_ENCODING;
	if (pseudo_attr(&at, end, "standalone", &value, &value_len) &&
		!(value_len == 3 && !memcmp(value, "yes", 3)) &&
		!(value_len == 2 && !memcmp(value, "no", 2)))
		return PARSER_NOT_WELL_FORMED;
	while (at < end && is_blank(*at))
		at++;
	return at == end ? PARSER_OK : PARSER_NOT_WELL_FORMED;
}

/* ---- pieces ---- */

/* The head, and the dialect from what it declared. */
static int read_root(struct parser *p, const char *bytes, size_t len, int open)
{
	struct context *c = p->pool->header;
	const char *ns = "";

	context_rewind(c);
	c->content_ns = NULL;
	c->declared = buf_new(128);
	c->qname = buf_new(32);
	if (!context_parse(c, bytes, len, open)) {
		for (int i = 0; open && i < c->xml->nsNr; i += 2)
			if (!c->xml->nsTab[i])
				ns = (const char *)c->xml->nsTab[i + 1];
		p->dialect = dialect_of(p->pool, c->declared, c->qname, ns);
		p->head = take_stanza(c);
		stanza_read_head(p->head);
		p->head->bytes = (uint32_t)len;
		stanza_seal(p->head);
		p->lang = p->head->lang ? xstrdup(p->head->lang) : NULL;
	}
	stanza_unref(take_stanza(c));
	buf_unref(c->declared);
	buf_unref(c->qname);
	c->declared = c->qname = NULL;
	context_tidy(c, p->pool, len);
	return c->error;
}

static int read_element(struct parser *p, const char *bytes, size_t len, struct stanza **out)
{
	struct context *c = context_for(p->pool, p->dialect);
	struct stanza *s;
	int error;

	c->content_ns = p->dialect->content_ns;
	error = context_parse(c, bytes, len, 1);
	context_tidy(c, p->pool, len);
	s = take_stanza(c);
	if (error) {
		stanza_unref(s);
		dialect_unref(c->dialect);
		c->dialect = NULL; /* stands somewhere in a broken element */
		return error;
	}
	s->bytes = (uint32_t)len;
	if (c->portable) {
		s->raw_len = p->inner_from ? p->inner_to - p->inner_from : 0;
		s->raw = s->raw_len ? arena_text(&s->arena, bytes + p->inner_from, s->raw_len) : "";
	}
	stanza_read_head(s);
	if (p->lang && s->kind != STANZA_OTHER)
		stanza_set_lang(s, p->lang);
	*out = s;
	return PARSER_OK;
}

/* </name> as the start tag had it; blanks may follow the name. */
static bool ends_root(const struct parser *p, const char *bytes, size_t len)
{
	const struct dialect *d = p->dialect;

	if (len < d->end_len + 3u || memcmp(bytes + 2, d->end, d->end_len) != 0)
		return false;
	for (size_t i = d->end_len + 2; i < len - 1; i++)
		if (!is_blank(bytes[i]))
			return false;
	return d->end_len > 0;
}

static void drop_held(struct parser *p)
{
	free(p->held);
	p->held = NULL;
	p->held_len = p->held_cap = 0;
}

static void hold(struct parser *p, const char *bytes, size_t len)
{
	if (p->held_cap - p->held_len < len) {
		uint32_t cap = p->held_cap ? p->held_cap * 2 : 256;

		if (cap < p->held_len + len)
			cap = p->held_len + (uint32_t)len;
		p->held = xrealloc(p->held, cap);
		p->held_cap = cap;
	}
	memcpy(p->held + p->held_len, bytes, len);
	p->held_len += (uint32_t)len;
}

/* What a callback is called with; made before, so that the callback may reset the parser. */
struct outcome {
	enum found found;
	struct stanza *stanza; /* a reference for the callback's time, or given away with it */
};

static int read_piece(
	struct parser *p, enum found found, const char *bytes, size_t len, struct outcome *out)
{
	int error = PARSER_OK;

	out->found = found;
	out->stanza = NULL;
	switch (found) {
	case XML_DECLARATION:
		return check_declaration(bytes, len);
	case ROOT_START:
	case ROOT_EMPTY:
		error = read_root(p, bytes, len, found == ROOT_START);
		if (error)
			return error;
		p->root_open = true;
		out->stanza = stanza_ref(p->head);
		return PARSER_OK;
	case ELEMENT:
		return read_element(p, bytes, len, &out->stanza);
	case ROOT_END:
		if (!p->root_open || !ends_root(p, bytes, len))
			return PARSER_NOT_WELL_FORMED;
		return PARSER_OK;
	case NOTHING:
		break;
	}
	return error;
}

static bool report_end(struct parser *p)
{
	p->root_open = false;
	p->ended = true;
	stanza_unref(p->head);
	p->head = NULL;
	return p->events->stream_end(p->arg);
}

/* False when the callback asked to stop. */
static bool report(struct parser *p, const struct outcome *o)
{
	bool go_on = true;

	switch (o->found) {
	case ROOT_START:
	case ROOT_EMPTY:
		go_on = p->events->stream_start(p->arg, o->stanza, p->dialect->default_ns);
		stanza_unref(o->stanza);
		if (go_on && o->found == ROOT_EMPTY)
			go_on = report_end(p);
		return go_on;
	case ELEMENT:
		return p->events->stanza(p->arg, o->stanza);
	case ROOT_END:
		return report_end(p);
	default:
		return true;
	}
}

/* Adds what the walk passed to the piece; bounds it and checks its UTF-8. */
static int check_passed(struct parser *p, const struct walk *w)
{
	if (p->held_len + (w->at - w->begin) > p->limits.stanza_bytes)
		return PARSER_TOO_BIG;
	if (!utf8_check(&p->utf8, w->bytes + w->begin, w->at - w->begin))
		return PARSER_NOT_WELL_FORMED;
	return PARSER_OK;
}

static int feed(struct parser *p, const char *bytes, size_t len, size_t *used)
{
	struct walk w = { .bytes = bytes, .len = len };

	*used = 0;
	if (p->error)
		return p->error;
	while (w.at < len) {
		struct outcome outcome;
		enum found found;
		int error = PARSER_OK, bad;

		w.begin = w.at;
		found = scan(p, &w, &error);
		bad = check_passed(p, &w);
		if (!error)
			error = bad;
		if (!error && found) {
			if (p->held_len) {
				hold(p, w.bytes + w.begin, w.at - w.begin);
				error = read_piece(p, found, p->held, p->held_len, &outcome);
			} else {
				error = read_piece(
					p, found, w.bytes + w.begin, w.at - w.begin, &outcome);
			}
			drop_held(p);
		}
		if (error) {
			drop_held(p);
			p->error = (uint8_t)error;
			return error;
		}
		*used = w.at;
		if (found && !report(p, &outcome))
			return PARSER_STOPPED;
		if (!found && w.at > w.begin)
			hold(p, w.bytes + w.begin, w.at - w.begin);
	}
	return PARSER_OK;
}

/* ---- public ---- */

static pthread_once_t library_ready = PTHREAD_ONCE_INIT;

static struct parser_pool *pool_new(unsigned dictionary_max)
{
	struct parser_pool *p = xcalloc(1, sizeof(*p));

	pthread_once(&library_ready, xmlInitParser);
	p->dictionary_max = dictionary_max;
	p->header = context_new();
	return p;
}

static void pool_free(struct parser_pool *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < CONTEXTS_MAX; i++) {
		context_free(p->contexts[i]);
		dialect_unref(p->dialects[i]);
	}
	context_free(p->header);
	free(p);
}

struct parser_pool *parser_pool_new(unsigned dictionary_max)
{
	return pool_new(dictionary_max);
}

void parser_pool_free(struct parser_pool *p)
{
	pool_free(p);
}

struct parser *parser_new(struct parser_pool *pool, const struct parser_limits *limits,
	const struct parser_events *events, void *arg)
{
	struct parser *p = xcalloc(1, sizeof(*p));

	p->pool = pool;
	p->events = events;
	p->arg = arg;
	parser_set_limits(p, limits);
	return p;
}

static void forget(struct parser *p)
{
	drop_held(p);
	dialect_unref(p->dialect);
	stanza_unref(p->head);
	free(p->lang);
}

void parser_free(struct parser *p)
{
	if (!p)
		return;
	forget(p);
	free(p);
}

void parser_reset(struct parser *p)
{
	forget(p);
	*p = (struct parser){
		.pool = p->pool, .events = p->events, .arg = p->arg, .limits = p->limits
	};
}

void parser_set_limits(struct parser *p, const struct parser_limits *limits)
{
	REQUIRE(limits->stanza_bytes <= INT32_MAX); /* what libxml2 takes at once */
	p->limits = *limits;
}

int parser_feed(struct parser *p, const char *bytes, size_t len, size_t *used)
{
	return feed(p, bytes, len, used);
}

bool parser_between_stanzas(const struct parser *p)
{
	return p->state == OUTSIDE;
}

bool parser_hibernate(struct parser *p)
{
	if (!parser_between_stanzas(p))
		return false;
	stanza_unref(p->head);
	p->head = NULL;
	return true;
}

size_t parser_held_bytes(const struct parser *p)
{
	return sizeof(*p) + p->held_cap + (p->lang ? strlen(p->lang) + 1 : 0) +
		(p->head ? sizeof(*p->head) + p->head->arena.taken_bytes : 0);
}

/* ---- whole texts ---- */

static pthread_key_t own_pool_key;
static pthread_once_t own_pool_ready = PTHREAD_ONCE_INIT;

static void free_own_pool(void *pool)
{
	pool_free(pool);
}

static void make_own_pool_key(void)
{
	REQUIRE(pthread_key_create(&own_pool_key, free_own_pool) == 0);
}

/* This thread's, freed when it ends. */
static struct parser_pool *own_pool(void)
{
	struct parser_pool *pool;

	pthread_once(&own_pool_ready, make_own_pool_key);
	pool = pthread_getspecific(own_pool_key);
	if (!pool) {
		pool = pool_new(4096);
		REQUIRE(pthread_setspecific(own_pool_key, pool) == 0);
	}
	return pool;
}

/* Takes the first element and stops there. */
static bool take_only(void *arg, struct stanza *s)
{
	*(struct stanza **)arg = s;
	return false;
}

static bool no_stream_end(void *arg UNUSED)
{
	return false;
}

static int parse_within(const char *default_ns, const char *text, size_t len,
	const struct parser_limits *limits, struct stanza **out)
{
	static const struct parser_events events = { .stanza = take_only,
		.stream_end = no_stream_end };
	struct stanza *s = NULL;
	struct parser p = { .pool = own_pool(),
		.events = &events,
		.arg = &s,
		.limits = *limits,
		.root_open = true };
	struct buf *header = buf_new(64), *end = buf_new(0);
	size_t used = 0;
	int error;

	buf_append(&header, "<s xmlns='", 10);
	xml_escape(default_ns, strlen(default_ns), &header);
	buf_append(&header, "'>", 2);
	p.dialect = dialect_of(p.pool, header, end, default_ns);
	buf_unref(header);
	buf_unref(end);
	error = feed(&p, text, len, &used);
	while (s && used < len && is_blank(text[used]))
		used++;
	if (!s || used < len) /* none, or something behind it */
		error = error == PARSER_OK || error == PARSER_STOPPED ||
				error == PARSER_TEXT_OUTSIDE
			? PARSER_NOT_WELL_FORMED
			: error;
	else
		error = PARSER_OK;
	forget(&p);
	if (error)
		stanza_unref(s);
	else
		*out = s;
	return error;
}

int parse_element(
	const char *text, size_t len, const struct parser_limits *limits, struct stanza **out)
{
	return parse_within("", text, len, limits, out);
}

int parse_stanza(
	const char *text, size_t len, const struct parser_limits *limits, struct stanza **out)
{
	return parse_within(NS_CLIENT, text, len, limits, out);
}

const char *parser_error_text(int error)
{
	static const char *const texts[] = { [PARSER_OK] = "no error",
		[PARSER_NOT_WELL_FORMED] = "not well-formed XML",
		[PARSER_RESTRICTED] = "a DTD, an entity, a comment or a processing instruction",
		[PARSER_BAD_PREFIX] = "a namespace prefix that is not declared",
		[PARSER_TOO_BIG] =
			"an element that is too big, too deep or has too many attributes",
		[PARSER_BAD_ENCODING] = "an encoding other than UTF-8",
		[PARSER_TEXT_OUTSIDE] = "text between stanzas",
		[PARSER_STOPPED] = "stopped" };

	return error >= 0 && error < (int)ARRAY_LEN(texts) ? texts[error] : "an unknown error";
}
