/* xml/parser.c - from piece to piece: scanner finds them, context reads them, this file holds what
 * is unfinished and makes the calls. */
#include "xml/parser.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/lang.h"
#include "core/mem.h"
#include "xml/builder.h"
#include "xml/context.h"
#include "xml/scanner.h"

struct parser {
	struct parser_pool *pool;
	const struct parser_events *events; /* the caller's */
	void *arg;
	struct dialect *dialect; /* counted; NULL before the start tag */
	char *lang; /* owned; the stream's, or NULL */
	char *held; /* owned; the bytes of an unfinished piece from earlier feeds */
	uint32_t held_len, held_cap;
	struct parser_limits limits;
	struct scanner scanner;
	uint8_t error; /* enum parser_error; nothing is taken any more */
};

/* ---- pieces ---- */

/* The stream's head, and the dialect from what it declared. */
static int read_root(
	struct parser *p, const char *bytes, size_t len, int stays_open, struct stanza **out)
{
	struct stanza *head;
	int error = context_read_root(p->pool, bytes, len, stays_open, &head, &p->dialect);

	if (error)
		return error;
	stanza_read_head(head);
	head->bytes = (uint32_t)len;
	stanza_seal(head);
	p->lang = head->lang ? xstrdup(head->lang) : NULL;
	p->scanner.root_open = true;
	*out = head;
	return PARSER_OK;
}

static int read_element(struct parser *p, const char *bytes, size_t len, struct stanza **out)
{
	uint32_t from = p->scanner.inner_from, to = p->scanner.inner_to;
	struct stanza *s;
	bool portable;
	int error = context_read_element(p->pool, p->dialect, bytes, len, &s, &portable);

	if (error)
		return error;
	s->bytes = (uint32_t)len;
	if (portable) {
		s->raw_len = from ? to - from : 0;
		s->raw = s->raw_len ? arena_text(&s->arena, bytes + from, s->raw_len) : "";
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
		if (!is_xml_blank(bytes[i]))
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
	enum piece piece;
	struct stanza *stanza; /* a reference for the callback's time, or given away with it */
};

static int read_piece(
	struct parser *p, enum piece piece, const char *bytes, size_t len, struct outcome *out)
{
	int error = PARSER_OK;

	out->piece = piece;
	out->stanza = NULL;
	switch (piece) {
	case PIECE_DECLARATION:
		return scanner_check_declaration(bytes, len);
	case PIECE_ROOT_START:
	case PIECE_ROOT_EMPTY:
		return read_root(p, bytes, len, piece == PIECE_ROOT_START, &out->stanza);
	case PIECE_ELEMENT:
		return read_element(p, bytes, len, &out->stanza);
	case PIECE_ROOT_END:
		if (!p->scanner.root_open || !ends_root(p, bytes, len))
			return PARSER_NOT_WELL_FORMED;
		return PARSER_OK;
	case PIECE_NONE:
		break;
	}
	return error;
}

static bool report_end(struct parser *p)
{
	p->scanner.root_open = false;
	p->scanner.ended = true;
	return p->events->stream_end(p->arg);
}

/* False when the callback asked to stop. */
static bool report(struct parser *p, const struct outcome *o)
{
	bool go_on = true;

	switch (o->piece) {
	case PIECE_ROOT_START:
	case PIECE_ROOT_EMPTY:
		go_on = p->events->stream_start(p->arg, o->stanza, p->dialect->default_ns);
		stanza_unref(o->stanza);
		if (go_on && o->piece == PIECE_ROOT_EMPTY)
			go_on = report_end(p);
		return go_on;
	case PIECE_ELEMENT:
		return p->events->stanza(p->arg, o->stanza);
	case PIECE_ROOT_END:
		return report_end(p);
	default:
		return true;
	}
}

/* The whole piece that ends with this walk; 0 or an enum parser_error. */
static int take_piece(struct parser *p, enum piece piece, const struct walk *w, struct outcome *out)
{
	const char *bytes = w->bytes + w->begin;
	size_t len = w->at - w->begin;
	int error;

	if (!p->held_len)
		return read_piece(p, piece, bytes, len, out);
	hold(p, bytes, len);
	error = read_piece(p, piece, p->held, p->held_len, out);
	drop_held(p);
	return error;
}

static int feed(struct parser *p, const char *bytes, size_t len, size_t *used)
{
	struct walk w = { .bytes = bytes, .len = len };

	*used = 0;
	while (w.at < len && !p->error) {
		struct outcome outcome;
		enum piece piece;
		int error = scanner_walk(&p->scanner, &p->limits, &w, &piece);

		if (!error && piece)
			error = take_piece(p, piece, &w, &outcome);
		if (error) {
			drop_held(p);
			p->error = (uint8_t)error;
			break;
		}
		*used = w.at;
		if (piece && !report(p, &outcome))
			return PARSER_STOPPED;
		if (!piece && w.at > w.begin)
			hold(p, bytes + w.begin, w.at - w.begin);
	}
	return p->error;
}

/* ---- public ---- */

struct parser_pool *parser_pool_new(unsigned dictionary_max)
{
	return contexts_new(dictionary_max);
}

void parser_pool_free(struct parser_pool *p)
{
	contexts_free(p);
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
	return p->scanner.state == 0;
}

size_t parser_held_bytes(const struct parser *p)
{
	return sizeof(*p) + p->held_cap + (p->lang ? strlen(p->lang) + 1 : 0);
}

/* ---- from one process to another ---- */

/* The start tag again, as far as it matters from now on: <name with its namespaces, the language>.
 */
char *parser_save(const struct parser *p, const char **held, size_t *held_len)
{
	const struct dialect *d = p->dialect;
	struct buf *lang;
	char *head;

	if (!d || !p->scanner.root_open || p->error)
		return NULL;
	lang = buf_new(32);
	if (p->lang) {
		buf_append(&lang, " xml:lang='", 11);
		xml_escape(p->lang, strlen(p->lang), &lang);
		buf_append(&lang, "'", 1);
	}
	/* The dialect's header is <s ...> with the namespaces for its attributes. */
	head = xprintf("<%.*s%.*s%.*s>", (int)d->end_len, d->end, (int)d->header_len - 3,
		d->header + 2, (int)lang->len, lang->data);
	buf_unref(lang);
	*held = p->held_len ? p->held : "";
	*held_len = p->held_len;
	return head;
}

static bool loaded_head(void *arg, const struct stanza *head UNUSED, const char *ns UNUSED)
{
	*(bool *)arg = true;
	return true;
}

static bool loaded_stanza(void *arg UNUSED, struct stanza *s)
{
	stanza_unref(s);
	return false;
}

static bool loaded_end(void *arg UNUSED)
{
	return false;
}

int parser_load(struct parser *p, const char *head, const char *held, size_t held_len)
{
	static const struct parser_events quiet = { loaded_head, loaded_stanza, loaded_end };
	const struct parser_limits limits = p->limits;
	const struct parser_events *events = p->events;
	bool opened = false;
	void *arg = p->arg;
	size_t used;
	int error;

	p->events = &quiet;
	p->arg = &opened;
	p->limits.stanza_bytes = INT32_MAX;
	error = feed(p, head, strlen(head), &used);
	if (!error && (!opened || !parser_between_stanzas(p)))
		error = PARSER_NOT_WELL_FORMED;
	if (!error)
		error = feed(p, held, held_len, &used);
	p->events = events;
	p->arg = arg;
	p->limits = limits;
	return error;
}

/* ---- whole texts ---- */

static pthread_key_t own_pool_key;
static pthread_once_t own_pool_ready = PTHREAD_ONCE_INIT;

static void free_own_pool(void *pool)
{
	contexts_free(pool);
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
		pool = contexts_new(4096);
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
	struct parser p = { .pool = own_pool(), .events = &events, .arg = &s, .limits = *limits };
	size_t used = 0;
	int error;

	p.dialect = dialect_plain(p.pool, default_ns);
	p.scanner.root_open = true;
	error = feed(&p, text, len, &used);
	forget(&p);
	while (used < len && is_xml_blank(text[used]))
		used++;
	if (s && used == len) {
		*out = s;
		return PARSER_OK;
	}
	stanza_unref(s);
	/* Nothing, not all of it, or something behind it; what stops a stream is no error of a
	 * text. */
	return error == PARSER_OK || error == PARSER_STOPPED || error == PARSER_TEXT_OUTSIDE
		? PARSER_NOT_WELL_FORMED
		: error;
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

struct stanza *parse_wire(const char *text, size_t len)
{
	/* What a stamped address or language has added to one that was taken does not matter. */
	static const struct parser_limits limits = { INT32_MAX, UINT16_MAX, UINT16_MAX };
	struct stanza *s;

	if (parse_stanza(text, len, &limits, &s))
		return NULL;
	stanza_seal(s);
	return s;
}

const char *parser_error_text(int error)
{
	static const char *const texts[] = { [PARSER_OK] = "no error",
		[PARSER_NOT_WELL_FORMED] = TR("The XML is not well-formed."),
		[PARSER_RESTRICTED] =
			TR("A DTD, an entity, a comment or a processing instruction was sent."),
		[PARSER_BAD_PREFIX] = TR("A namespace prefix is not declared."),
		[PARSER_TOO_BIG] =
			TR("An element is too big, too deep or has too many attributes."),
		[PARSER_BAD_ENCODING] = TR("The encoding is not UTF-8."),
		[PARSER_TEXT_OUTSIDE] = TR("There is text between stanzas."),
		[PARSER_STOPPED] = "stopped" };

	return error >= 0 && error < (int)ARRAY_LEN(texts) ? texts[error] : "an unknown error";
}
