/* router/s2s_spool.c - one record for each message, as it goes out, and one for each stream. */
#include "router/s2s_spool.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/spool.h"
#include "router/acks.h"
#include "router/message.h"
#include "xml/parser.h"

/* Kinds of records; the message log's is 16, those of sessions begin at 32. */
enum { SPOOL_S2S = 48, SPOOL_S2S_STREAM };
#define VERSION 1u

struct kept {
	_Atomic uint32_t state; /* first: message_spool_mark() */
	uint16_t version;
	uint8_t log_flags;
	uint8_t unused;
	uint64_t order; /* of one shard's, also beyond the process */
	uint64_t log_id;
	uint64_t ack_session; /* router/acks.h: whose stanza it was */
	uint32_t ack_number, ack_check;
	_Atomic uint64_t sent; /* by which stream, and behind that as which of its stanzas; or 0 */
	char wire[];
};

/* Its key says which one it is: never 0. */
struct kept_stream {
	uint32_t version;
	_Atomic uint32_t handled; /* of the peer's stanzas */
	uint64_t max_ms;
	uint32_t index;
	uint32_t unused;
	char texts[]; /* ours, theirs and id, each with a NUL */
};

struct records {
	struct spool_record **at; /* owned */
	uint32_t n, room;
};
static struct records found, found_streams;
static _Atomic uint64_t last_found; /* the highest order */
static _Atomic uint32_t last_stream;

static struct metric restored_metric = METRIC_COUNTER("s2s_restored_total",
	"Messages for other servers found in the spool at the start of the server.");

__attribute__((constructor)) static void register_metrics(void)
{
	metric_register(&restored_metric);
}

static uint64_t next_order(void)
{
	static _Thread_local uint64_t last;
	uint64_t floor = atomic_load_explicit(&last_found, memory_order_relaxed);

	last = last < floor ? floor + 1 : last + 1;
	return last;
}

bool s2s_spool_keep(struct stanza *s)
{
	struct spool_record *r;
	struct kept *at;
	struct buf *wire;

	if (!spool_is_open() || atomic_load_explicit(&s->log_record, memory_order_relaxed))
		return true;
	wire = stanza_wire(s);
	r = spool_alloc(SPOOL_S2S, 0, sizeof(*at) + wire->len);
	if (r) {
		at = (struct kept *)r->bytes;
		atomic_init(&at->state, MESSAGE_SPOOL_WRITTEN);
		at->version = VERSION;
		at->log_flags = s->log_flags;
		at->unused = 0;
		at->order = next_order();
		at->log_id = s->log_id;
		at->ack_session = s->ack_session;
		at->ack_number = s->ack_number;
		at->ack_check = s->ack_check;
		atomic_init(&at->sent, 0);
		memcpy(at->wire, wire->data, wire->len);
		spool_publish(r);
		ack_keep(ack_here(), r);
		atomic_store_explicit(&s->log_record, r, memory_order_release);
	}
	buf_unref(wire);
	return r != NULL;
}

/* --- streams ------------------------------------------------------------------------------- */

struct spool_record *s2s_spool_stream(const struct s2s_stream_id *id)
{
	size_t ours = strlen(id->ours) + 1, theirs = strlen(id->theirs) + 1;
	size_t last = strlen(id->id) + 1;
	uint32_t no = atomic_fetch_add(&last_stream, 1) + 1;
	struct spool_record *r;
	struct kept_stream *k;

	if (!spool_is_open() || !no)
		return NULL;
	r = spool_alloc(SPOOL_S2S_STREAM, no, sizeof(*k) + ours + theirs + last);
	if (!r)
		return NULL;
	k = (struct kept_stream *)r->bytes;
	k->version = VERSION;
	atomic_init(&k->handled, 0);
	k->max_ms = id->max_ms;
	k->index = id->index;
	k->unused = 0;
	memcpy(k->texts, id->ours, ours);
	memcpy(k->texts + ours, id->theirs, theirs);
	memcpy(k->texts + ours + theirs, id->id, last);
	spool_publish(r);
	return r;
}

void s2s_spool_handled(struct spool_record *stream, uint32_t h)
{
	if (stream)
		atomic_store_explicit(
			&((struct kept_stream *)stream->bytes)->handled, h, memory_order_release);
}

void s2s_spool_sent(struct stanza *s, struct spool_record *stream, uint32_t number)
{
	struct spool_record *r = atomic_load_explicit(&s->log_record, memory_order_relaxed);
	uint64_t sent = stream ? stream->key << 32 | number : 0;

	if (r)
		atomic_store_explicit(&((struct kept *)r->bytes)->sent, sent, memory_order_release);
}

/* --- finding ------------------------------------------------------------------------------- */

static struct kept *kept(const struct spool_record *r)
{
	return (struct kept *)r->bytes;
}

static void add(struct records *all, struct spool_record *r)
{
	if (all->n == all->room) {
		all->room = all->room ? all->room * 2 : 256;
		all->at = xrealloc(all->at, all->room * sizeof(*all->at));
	}
	all->at[all->n++] = r;
}

static void find_one(struct spool_record *r, void *arg UNUSED)
{
	const struct kept *at = kept(r);

	if (r->len < sizeof(*at) || at->version != VERSION) {
		log_error("s2s", "a message in the spool is damaged");
		spool_free(r);
		return;
	}
	acks_recover_handled(at->ack_session, at->ack_number, at->ack_check);
	if (at->order > atomic_load(&last_found))
		atomic_store(&last_found, at->order);
	add(&found, r);
}

/* The next of its texts; NULL: there is none. */
static const char *next_text(const char **at, const char *end)
{
	const char *text = *at, *nul = text ? memchr(text, 0, (size_t)(end - text)) : NULL;

	*at = nul ? nul + 1 : NULL;
	return nul ? text : NULL;
}

static bool read_stream(struct spool_record *r, struct s2s_found_stream *out)
{
	const struct kept_stream *k = (const struct kept_stream *)r->bytes;
	const char *at = k->texts, *end = r->bytes + r->len;

	if (r->len < sizeof(*k) || k->version != VERSION || !r->key || r->key > UINT32_MAX)
		return false;
	*out = (struct s2s_found_stream){
		.what = { .index = k->index, .max_ms = k->max_ms },
		.record = r,
		.no = (uint32_t)r->key,
		.handled = atomic_load(&k->handled),
	};
	out->what.ours = next_text(&at, end);
	out->what.theirs = next_text(&at, end);
	out->what.id = next_text(&at, end);
	return out->what.id;
}

static void find_stream(struct spool_record *r, void *arg UNUSED)
{
	struct s2s_found_stream read;

	if (!read_stream(r, &read)) {
		log_error("s2s", "a stream in the spool is damaged");
		spool_free(r);
		return;
	}
	if (read.no > atomic_load(&last_stream))
		atomic_store(&last_stream, read.no);
	add(&found_streams, r);
}

void s2s_spool_find(void)
{
	spool_each(SPOOL_S2S, find_one, NULL);
	spool_each(SPOOL_S2S_STREAM, find_stream, NULL);
}

/* NULL: there is nothing left to be done for it. */
static struct stanza *stanza_of(struct spool_record *r)
{
	struct kept *at = kept(r);
	struct stanza *s;

	if (atomic_load(&at->state) & MESSAGE_SPOOL_TAKEN)
		return NULL;
	s = parse_wire(at->wire, r->len - sizeof(*at));
	if (!s || s->kind != STANZA_MESSAGE || !s->from || !s->to) {
		log_error("s2s", "a message in the spool is damaged");
		stanza_unref(s);
		return NULL;
	}
	/* Its sender's session knows by now that it was handled. */
	atomic_store(&at->state, MESSAGE_SPOOL_WRITTEN | MESSAGE_SPOOL_COVERED);
	s->log_id = at->log_id;
	s->log_flags = (at->log_flags & MESSAGE_LOG_SENDER) | MESSAGE_COPIED;
	atomic_store(&s->log_record, r);
	return s;
}

static int by_order(const void *left, const void *right)
{
	const struct s2s_found_message *a = left, *b = right;

	return a->order < b->order ? -1 : a->order > b->order;
}

static void take_streams(struct s2s_found *out)
{
	out->streams = xcalloc(found_streams.n + 1, sizeof(*out->streams));
	for (uint32_t i = 0; i < found_streams.n; i++)
		read_stream(found_streams.at[i], &out->streams[out->n_streams++]);
	free(found_streams.at);
	memset(&found_streams, 0, sizeof(found_streams));
}

void s2s_found_free(struct s2s_found *f)
{
	for (uint32_t i = 0; i < f->n; i++)
		stanza_unref(f->at[i].stanza);
	for (uint32_t i = 0; i < f->n_streams; i++)
		spool_free(f->streams[i].record);
	free(f->at);
	free(f->streams);
	*f = (struct s2s_found){ 0 };
}

void s2s_spool_take(struct s2s_found *out)
{
	*out = (struct s2s_found){ .at = xcalloc(found.n + 1, sizeof(*out->at)) };
	for (uint32_t i = 0; i < found.n; i++) {
		const struct kept *k = kept(found.at[i]);
		uint64_t sent = atomic_load(&k->sent);
		struct stanza *s = stanza_of(found.at[i]);

		if (s)
			out->at[out->n++] = (struct s2s_found_message){ k->order, s,
				(uint32_t)(sent >> 32), (uint32_t)sent };
		else
			spool_free(found.at[i]);
	}
	take_streams(out);
	qsort(out->at, out->n, sizeof(*out->at), by_order);
	metric_add(&restored_metric, out->n);
	if (out->n)
		log_info("s2s", "messages for other servers go on", L_INT("messages", out->n));
	free(found.at);
	memset(&found, 0, sizeof(found));
}

bool s2s_spool_passes(struct stanza *s)
{
	struct message_passing passing = { .stanza = s, .verdict = ROUTE_FORWARD };

	if (hook_run(message_hooks(), &message_hook, &passing) == HOOK_GO_ON)
		return true;
	message_taken(s);
	return false;
}
