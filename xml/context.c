/* xml/context.c - which context reads what, and what a context may keep. */
#include "xml/context.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "xml/builder.h"
#include "xml/tree.h"

#define CONTEXTS_MAX 8u /* per pool: more dialects at once than this prime anew each time */
#define KEEP_BYTES 65536u /* what a context keeps of its buffers after a big element */
#define NAME_BYTES_AVERAGE 64u /* bounds a dictionary's bytes by its number of names */
#define PRIMED_BYTES_MAX (1ul << 30) /* libxml2 counts lines and bytes: begin anew in time */

/* A libxml2 parser somewhere in a document: behind a start tag of its dialect. */
struct context {
	xmlParserCtxtPtr xml; /* owned; NULL until needed */
	struct dialect *dialect; /* primed with; NULL: must be primed. Counted */
	uint64_t used; /* pool->clock at the last use */
	struct tree tree;
};

struct parser_pool {
	unsigned dictionary_max;
	uint64_t clock;
	unsigned next_dialect;
	struct dialect *dialects[CONTEXTS_MAX]; /* the latest; counted */
	struct context *contexts[CONTEXTS_MAX]; /* owned; NULL where none was needed yet */
	struct context *header; /* owned; for streams' start tags */
};

void dialect_unref(struct dialect *d)
{
	if (d && !--d->refs)
		free(d);
}

struct dialect *dialect_ref(struct dialect *d)
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
	tree_forget_names(&c->tree);
}

static void context_free(struct context *c)
{
	if (!c)
		return;
	context_clear(c);
	tree_fini(&c->tree);
	free(c);
}

/* At the beginning of a document. */
static void context_rewind(struct context *c)
{
	dialect_unref(c->dialect);
	c->dialect = NULL;
	if (!c->xml) {
		c->xml = xmlCreatePushParserCtxt(&tree_events, &c->tree, NULL, 0, NULL);
		REQUIRE(c->xml);
		c->tree.xml = c->xml;
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
	c->tree.silent = true;
	c->tree.error = PARSER_OK;
	xmlParseChunk(c->xml, d->header, (int)d->header_len, 0);
	c->tree.silent = false;
	REQUIRE(!c->tree.error && c->xml->nameNr == 1); /* we wrote it */
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

static void context_unprime(struct context *c)
{
	dialect_unref(c->dialect);
	c->dialect = NULL;
}

/* What is bounded over a context's life: names, their bytes, buffers that one big element left. */
static void context_tidy(struct context *c, const struct parser_pool *pool, size_t len)
{
	size_t names_max = pool->dictionary_max;

	if ((size_t)xmlDictSize(c->xml->dict) > names_max ||
		xmlDictGetUsage(c->xml->dict) > names_max * NAME_BYTES_AVERAGE)
		context_clear(c);
	else if (len > KEEP_BYTES || c->xml->input->consumed > PRIMED_BYTES_MAX)
		context_unprime(c);
	tree_trim(&c->tree, KEEP_BYTES);
}

/* Feeds one whole piece, of which so many elements stay open; 0 or an enum parser_error. */
static int context_parse(struct context *c, const char *bytes, size_t len, int stay_open)
{
	tree_begin(&c->tree, len);
	xmlParseChunk(c->xml, bytes, (int)len, 0);
	if (c->tree.error)
		return c->tree.error;
	/* Taken to the last byte, and standing where the scanner stands: no disagreement. */
	if (c->xml->wellFormed && c->xml->nsWellFormed && c->tree.stanza->root &&
		c->xml->nameNr == stay_open && c->xml->input->cur == c->xml->input->end)
		return PARSER_OK;
	return PARSER_NOT_WELL_FORMED;
}

/* What unprefixed children of the root will have. */
static const char *default_ns(const struct context *c)
{
	const char *ns = "";

	for (int i = 0; i < c->xml->nsNr; i += 2)
		if (!c->xml->nsTab[i])
			ns = (const char *)c->xml->nsTab[i + 1];
	return ns;
}

int context_read_root(struct parser_pool *pool, const char *bytes, size_t len, int stays_open,
	struct stanza **out, struct dialect **out_dialect)
{
	struct context *c = pool->header;
	struct tree *t = &c->tree;
	int error;

	context_rewind(c);
	t->declared = buf_new(128);
	t->qname = buf_new(32);
	error = context_parse(c, bytes, len, stays_open);
	if (error) {
		stanza_unref(tree_take(t));
	} else {
		*out = tree_take(t);
		*out_dialect = dialect_of(pool, t->declared, t->qname, default_ns(c));
	}
	buf_unref(t->declared);
	buf_unref(t->qname);
	t->declared = t->qname = NULL;
	context_tidy(c, pool, len);
	return error;
}

int context_read_element(struct parser_pool *pool, struct dialect *d, const char *bytes, size_t len,
	struct stanza **out, bool *out_portable)
{
	struct context *c = context_for(pool, d);
	struct stanza *s;
	int error;

	c->tree.content_ns = d->content_ns;
	error = context_parse(c, bytes, len, 1);
	s = tree_take(&c->tree);
	if (error) {
		stanza_unref(s);
		context_unprime(c); /* stands somewhere in a broken element */
	} else {
		*out = s;
		*out_portable = c->tree.portable;
	}
	context_tidy(c, pool, len);
	return error;
}

struct dialect *dialect_plain(struct parser_pool *pool, const char *ns)
{
	struct buf *header = buf_new(64), *end = buf_new(0);
	struct dialect *d;

	buf_append(&header, "<s xmlns='", 10);
	xml_escape(ns, strlen(ns), &header);
	buf_append(&header, "'>", 2);
	d = dialect_of(pool, header, end, ns);
	buf_unref(header);
	buf_unref(end);
	return d;
}

struct parser_pool *contexts_new(unsigned dictionary_max)
{
	static pthread_once_t library_ready = PTHREAD_ONCE_INIT;
	struct parser_pool *pool = xcalloc(1, sizeof(*pool));

	pthread_once(&library_ready, xmlInitParser);
	pool->dictionary_max = dictionary_max;
	pool->header = context_new();
	return pool;
}

void contexts_free(struct parser_pool *pool)
{
	if (!pool)
		return;
	for (unsigned i = 0; i < CONTEXTS_MAX; i++) {
		context_free(pool->contexts[i]);
		dialect_unref(pool->dialects[i]);
	}
	context_free(pool->header);
	free(pool);
}
