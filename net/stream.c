/* net/stream.c - the parser between a connection and its owner, and the bytes of a stream's frame.
 */
#include "net/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/lang.h"
#include "core/mem.h"
#include "router/route.h"
#include "xml/ns.h"

#define DICTIONARY_MAX 20000 /* names of one shard before its dictionary is replaced */

static const char *const conditions[STREAM_CONDITIONS] = {
	[STREAM_BAD_FORMAT] = "bad-format",
	[STREAM_BAD_NAMESPACE_PREFIX] = "bad-namespace-prefix",
	[STREAM_CONFLICT] = "conflict",
	[STREAM_CONNECTION_TIMEOUT] = "connection-timeout",
	[STREAM_HOST_GONE] = "host-gone",
	[STREAM_HOST_UNKNOWN] = "host-unknown",
	[STREAM_IMPROPER_ADDRESSING] = "improper-addressing",
	[STREAM_INTERNAL_SERVER_ERROR] = "internal-server-error",
	[STREAM_INVALID_FROM] = "invalid-from",
	[STREAM_INVALID_NAMESPACE] = "invalid-namespace",
	[STREAM_INVALID_XML] = "invalid-xml",
	[STREAM_NOT_AUTHORIZED] = "not-authorized",
	[STREAM_NOT_WELL_FORMED] = "not-well-formed",
	[STREAM_POLICY_VIOLATION] = "policy-violation",
	[STREAM_REMOTE_CONNECTION_FAILED] = "remote-connection-failed",
	[STREAM_RESET] = "reset",
	[STREAM_RESOURCE_CONSTRAINT] = "resource-constraint",
	[STREAM_RESTRICTED_XML] = "restricted-xml",
	[STREAM_SEE_OTHER_HOST] = "see-other-host",
	[STREAM_SYSTEM_SHUTDOWN] = "system-shutdown",
	[STREAM_UNDEFINED_CONDITION] = "undefined-condition",
	[STREAM_UNSUPPORTED_ENCODING] = "unsupported-encoding",
	[STREAM_UNSUPPORTED_FEATURE] = "unsupported-feature",
	[STREAM_UNSUPPORTED_STANZA_TYPE] = "unsupported-stanza-type",
	[STREAM_UNSUPPORTED_VERSION] = "unsupported-version",
};

const char *stream_condition_name(enum stream_condition c)
{
	return conditions[c];
}

enum stream_condition stream_condition_of(const struct stanza *error)
{
	elem_each_child (error->root, child)
		for (int c = 0; elem_is(child, NULL, NS_STREAMS) && c < STREAM_CONDITIONS; c++)
			if (!strcmp(child->name, conditions[c]))
				return (enum stream_condition)c;
	return STREAM_UNDEFINED_CONDITION;
}

/* What the frame of each kind of stream is like. */
static const struct frame {
	const char *default_ns;
	bool initiates, dialback, no_version;
} frames[] = {
	[STREAM_FROM_CLIENT] = { .default_ns = NS_CLIENT },
	[STREAM_FROM_SERVER] = { .default_ns = NS_SERVER, .dialback = true },
	[STREAM_TO_SERVER] = { .default_ns = NS_SERVER, .initiates = true, .dialback = true },
	[STREAM_FROM_COMPONENT] = { .default_ns = NS_COMPONENT, .no_version = true },
};

/* --- one parser pool a shard, freed with its thread ---------------------------------------- */

static pthread_key_t pool_key;
static pthread_once_t pool_once = PTHREAD_ONCE_INIT;

static void pool_free(void *pool)
{
	shard_check(NULL); /* whose thread is ending */
	parser_pool_free(pool);
}

static void make_pool_key(void)
{
	REQUIRE(!pthread_key_create(&pool_key, pool_free));
}

ON_SHARD static struct parser_pool *shard_pool(void)
{
	struct parser_pool *pool;

	pthread_once(&pool_once, make_pool_key);
	pool = pthread_getspecific(pool_key);
	if (!pool) {
		pool = parser_pool_new(DICTIONARY_MAX);
		pthread_setspecific(pool_key, pool);
	}
	return pool;
}

/* --- what comes in ------------------------------------------------------------------------- */

/* Whether the parser should go on behind the element whose callback just ran. */
ON_SHARD static bool go_on(const struct stream *st)
{
	return !st->waits && conn_open(&st->conn);
}

static bool parsed_start(void *arg, const struct stanza *head, const char *default_ns)
{
	struct stream *st = arg;

	shard_check(NULL);
	st->events->opened(st, head, default_ns);
	return go_on(st);
}

static bool parsed_stanza(void *arg, struct stanza *s)
{
	struct stream *st = arg;

	shard_check(NULL);
	if (elem_is(s->root, "error", NS_STREAM)) { /* its last word: RFC 6120 §4.9.1.1 */
		if (st->events->refused)
			st->events->refused(st, s);
		stanza_unref(s);
		st->events->ended(st);
	} else {
		st->events->stanza(st, s);
	}
	return go_on(st);
}

static bool parsed_end(void *arg)
{
	struct stream *st = arg;

	shard_check(NULL);
	st->events->ended(st);
	return false;
}

static const struct parser_events parser_calls = {
	.stream_start = parsed_start,
	.stanza = parsed_stanza,
	.stream_end = parsed_end,
};

static enum stream_condition condition_of(int parser_error)
{
	switch (parser_error) {
	case PARSER_RESTRICTED:
		return STREAM_RESTRICTED_XML;
	case PARSER_BAD_PREFIX:
		return STREAM_BAD_NAMESPACE_PREFIX;
	case PARSER_TOO_BIG:
		return STREAM_POLICY_VIOLATION;
	case PARSER_BAD_ENCODING:
		return STREAM_UNSUPPORTED_ENCODING;
	case PARSER_TEXT_OUTSIDE:
		return STREAM_BAD_FORMAT;
	default:
		return STREAM_NOT_WELL_FORMED;
	}
}

static size_t stream_bytes(struct conn *c, const char *bytes, size_t len)
{
	struct stream *st = container_of(c, struct stream, conn);
	size_t used = 0;

	shard_check(NULL);
	while (used < len && go_on(st)) {
		size_t step = 0;
		int rc = parser_feed(st->parser, bytes + used, len - used, &step);

		used += step;
		if (rc == PARSER_OK)
			break;
		if (rc != PARSER_STOPPED) {
			st->events->broken(st, condition_of(rc), parser_error_text(rc));
			return len;
		}
	}
	/* What lay behind <starttls/> or <proceed/> was not protected and is forgotten. */
	return conn_open(&st->conn) ? used : len;
}

static void stream_secured(struct conn *c)
{
	struct stream *st = container_of(c, struct stream, conn);

	shard_check(NULL);
	st->events->secured(st);
}

static void stream_unsent(struct conn *c, struct stanza *s)
{
	struct stream *st = container_of(c, struct stream, conn);

	shard_check(NULL);
	st->events->unsent(st, s);
}

static void stream_sent(struct conn *c, struct stanza *s)
{
	struct stream *st = container_of(c, struct stream, conn);

	shard_check(NULL);
	if (st->events->sent)
		st->events->sent(st, s);
}

static void stream_lost(struct conn *c, enum conn_loss why)
{
	struct stream *st = container_of(c, struct stream, conn);

	shard_check(NULL);
	st->events->lost(st, why);
}

static const struct conn_events conn_calls = {
	.bytes = stream_bytes,
	.secured = stream_secured,
	.unsent = stream_unsent,
	.sent = stream_sent,
	.lost = stream_lost,
};

ON_SHARD static void add_parser(struct stream *st, enum stream_kind kind,
	const struct parser_limits *limits, const struct stream_events *events)
{
	st->kind = (uint8_t)kind;
	st->events = events;
	st->parser = parser_new(shard_pool(), limits, &parser_calls, st);
	st->conn.soon = st->parser;
}

int stream_begin(struct stream *st, int fd, enum stream_kind kind,
	const struct parser_limits *limits, const struct stream_events *events)
{
	int rc = conn_begin(&st->conn, fd, &conn_calls);

	if (rc)
		return rc;
	add_parser(st, kind, limits, events);
	return 0;
}

void stream_begin_ended(struct stream *st, const struct stream_events *events)
{
	memset(st, 0, sizeof(*st));
	conn_begin_ended(&st->conn, &conn_calls);
	st->kind = STREAM_FROM_CLIENT;
	st->events = events;
}

void stream_end(struct stream *st)
{
	conn_end(&st->conn);
	parser_free(st->parser);
	st->parser = NULL;
	st->conn.soon = NULL;
}

/* --- what goes out ------------------------------------------------------------------------- */

static void append(struct buf **b, const char *text)
{
	buf_append(b, text, strlen(text));
}

static void append_attr(struct buf **b, const char *name, const char *value)
{
	if (!value)
		return;
	append(b, " ");
	append(b, name);
	append(b, "='");
	xml_escape(value, strlen(value), b);
	append(b, "'");
}

void stream_id_write(const struct stream *st, char out[STREAM_ID_TEXT])
{
	snprintf(out, STREAM_ID_TEXT, "%016" PRIx64, st->id);
}

ON_SHARD static void send_header(
	struct stream *st, const char *from, const char *to, const char *lang)
{
	const struct frame *frame = &frames[st->kind];
	struct buf *b = buf_new(320);
	char id[STREAM_ID_TEXT];

	append(&b, "<?xml version='1.0'?><stream:stream");
	append_attr(&b, "xmlns", frame->default_ns);
	append_attr(&b, "xmlns:stream", NS_STREAM);
	if (frame->dialback)
		append_attr(&b, "xmlns:db", NS_DIALBACK);
	if (!frame->initiates) {
		REQUIRE(getrandom(&st->id, sizeof(st->id), 0) == sizeof(st->id));
		stream_id_write(st, id);
		append_attr(&b, "id", id);
	}
	append_attr(&b, "from", from);
	append_attr(&b, "to", to);
	append_attr(&b, "version", frame->no_version ? NULL : "1.0");
	append_attr(&b, "xml:lang", lang ? lang : "en");
	append(&b, ">");
	st->header_sent = true;
	conn_write(&st->conn, b, NULL);
}

void stream_send_header(struct stream *st, const char *from, const char *to, const char *lang)
{
	st->name = from;
	st->lang = (uint8_t)lang_index(lang);
	send_header(st, from, to, lang);
}

/* The stream's own elements and dialback's carry a prefix of our header, as many peers expect to
 * the letter; builders write default namespaces, so their frame is written here. */
ON_SHARD static void send_framed(struct stream *st, const char *prefix, const struct stanza *s)
{
	const struct elem *root = s->root;
	struct buf *b = buf_new(512);

	append(&b, "<");
	append(&b, prefix);
	append(&b, root->name);
	for (const struct attr *a = root->attrs; a; a = a->next)
		append_attr(&b, a->name, a->value);
	append(&b, ">");
	for (const struct node *n = root->first; n; n = n->next) {
		if (n->kind == NODE_ELEM) {
			elem_wire(container_of(n, const struct elem, node), NS_CLIENT, &b);
		} else {
			const struct text *t = container_of(n, const struct text, node);

			xml_escape(t->data, t->len, &b);
		}
	}
	append(&b, "</");
	append(&b, prefix);
	append(&b, root->name);
	append(&b, ">");
	conn_write(&st->conn, b, NULL);
}

void stream_send_features(struct stream *st, struct builder *features)
{
	struct stanza *s = build_end(features);

	send_framed(st, "stream:", s);
	stanza_unref(s);
}

void stream_send_element(struct stream *st, struct builder *b)
{
	struct stanza *s = build_end(b);

	if (frames[st->kind].dialback && s->root->ns == NS_DIALBACK) {
		send_framed(st, "db:", s);
	} else {
		struct buf *wire = buf_new(256);

		elem_wire(s->root, NS_CLIENT, &wire);
		conn_write(&st->conn, wire, NULL);
	}
	stanza_unref(s);
}

void stream_send_stanza(struct stream *st, struct stanza *s)
{
	conn_write(&st->conn, stanza_wire(s), NULL);
}

/* --- its course ---------------------------------------------------------------------------- */

void stream_restart(struct stream *st)
{
	st->header_sent = false;
	parser_reset(st->parser);
}

void stream_start_tls(struct stream *st, struct tls_store *tls, const struct tls_offer *offer)
{
	struct builder b;

	build_begin(&b, "proceed", NS_TLS);
	stream_send_element(st, &b);
	stream_restart(st);
	if (conn_start_tls(&st->conn, tls, st->name, TLS_STARTTLS, offer))
		conn_close(&st->conn);
}

bool stream_connect_tls(struct stream *st, struct tls_store *tls, const struct tls_target *to)
{
	stream_restart(st);
	if (!conn_connect_tls(&st->conn, tls, to))
		return true;
	conn_close(&st->conn);
	return false;
}

void stream_wait(struct stream *st)
{
	st->waits++;
	conn_pause(&st->conn);
}

void stream_go_on(struct stream *st)
{
	REQUIRE(st->waits);
	if (--st->waits == 0)
		conn_resume(&st->conn);
}

void stream_close(struct stream *st)
{
	static const char end[] = "</stream:stream>";

	if (conn_closing(&st->conn))
		return;
	if (st->header_sent)
		conn_write(&st->conn, buf_of(end, sizeof(end) - 1), NULL);
	conn_close(&st->conn);
}

void stream_error(struct stream *st, enum stream_condition c, const char *text)
{
	stream_error_with(st, c, text, NULL, NULL);
}

void stream_error_with(struct stream *st, enum stream_condition c, const char *text,
	void (*add)(struct builder *b, const void *arg), const void *arg)
{
	struct builder b;
	struct stanza *s;

	if (conn_closing(&st->conn))
		return;
	if (!st->header_sent)
		send_header(st, st->name ? st->name : route_own_name(), NULL, NULL);
	build_begin(&b, "error", NS_STREAM);
	build_open(&b, conditions[c], NS_STREAMS);
	build_close(&b);
	if (text)
		build_said(&b, "text", NS_STREAMS, lang_tag(st->lang), text);
	if (add)
		add(&b, arg);
	s = build_end(&b);
	send_framed(st, "stream:", s);
	stanza_unref(s);
	stream_close(st);
}

void stream_farewell(struct stream *st, enum stream_condition c, const char *text)
{
	if (conn_closing(&st->conn))
		return;
	conn_drop_output(&st->conn);
	stream_error(st, c, text);
	conn_flush(&st->conn);
}

bool stream_closing(const struct stream *st)
{
	return conn_closing(&st->conn);
}

void stream_hibernate(struct stream *st)
{
	conn_hibernate(&st->conn);
}

uint64_t stream_held_bytes(const struct stream *st)
{
	return conn_held_bytes(&st->conn) + (st->parser ? parser_held_bytes(st->parser) : 0);
}

/* --- to another process -------------------------------------------------------------------- */

bool stream_save(const struct stream *st, struct record *r)
{
	const char *held;
	size_t held_len;
	AUTO(free_ptr) char *head = parser_save(st->parser, &held, &held_len);

	if (!head || !st->header_sent || st->waits)
		return false;
	record_number(r, st->id);
	record_text(r, lang_tag(st->lang));
	record_text(r, head);
	record_bytes(r, held, held_len);
	conn_save(&st->conn, r);
	return true;
}

bool stream_load(struct stream *st, int fd, const struct parser_limits *limits,
	const struct stream_events *events, const char *name, struct record_reader *r)
{
	uint64_t id = record_read_number(r);
	const char *lang = record_read_text(r), *head = record_read_text(r), *held;
	size_t held_len;
	bool good;

	held = record_read_bytes(r, &held_len);
	good = conn_load(&st->conn, fd, &conn_calls, r);
	add_parser(st, STREAM_FROM_CLIENT, limits, events);
	st->id = id;
	st->lang = (uint8_t)lang_index(lang);
	st->name = name;
	st->header_sent = true;
	return good && head && held && !parser_load(st->parser, head, held, held_len);
}

/* --- to another shard ---------------------------------------------------------------------- */

bool stream_leave(struct stream *st, struct stream_moving *out)
{
	const char *held;

	if (!conn_open(&st->conn) || !st->waits || !st->header_sent)
		return false;
	memset(out, 0, sizeof(*out));
	out->head = parser_save(st->parser, &held, &out->held_len);
	if (!out->head)
		return false;
	out->held = xmemdup(held, out->held_len);
	out->id = st->id;
	out->lang = st->lang;
	out->kind = st->kind;
	conn_leave(&st->conn, &out->conn);
	return true;
}

bool stream_arrive(struct stream *st, struct stream_moving *from,
	const struct parser_limits *limits, const struct stream_events *events, const char *name)
{
	bool good;

	memset(st, 0, sizeof(*st));
	if (conn_arrive(&st->conn, &from->conn, &conn_calls)) {
		free(from->head);
		free(from->held);
		return false;
	}
	add_parser(st, (enum stream_kind)from->kind, limits, events);
	st->id = from->id;
	st->lang = from->lang;
	st->name = name;
	st->header_sent = true;
	st->waits = 1;
	good = !parser_load(st->parser, from->head, from->held, from->held_len);
	free(from->head);
	free(from->held);
	if (!good)
		stream_end(st);
	return good;
}

void stream_moving_end(struct stream_moving *m)
{
	conn_end(&m->conn);
	free(m->head);
	free(m->held);
}
