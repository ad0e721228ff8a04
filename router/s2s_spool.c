/* router/s2s_spool.c - one record for each message, as it goes out. */
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

#define SPOOL_S2S 48 /* kind of record; the message log's is 16, those of sessions begin at 32 */
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
	char wire[];
};

static struct {
	struct spool_record **at; /* owned */
	uint32_t n, room;
} found;
static _Atomic uint64_t last_found; /* the highest order */

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
		memcpy(at->wire, wire->data, wire->len);
		spool_publish(r);
		ack_keep(ack_here(), r);
		atomic_store_explicit(&s->log_record, r, memory_order_release);
	}
	buf_unref(wire);
	return r != NULL;
}

/* --- finding ------------------------------------------------------------------------------- */

static const struct kept *kept(const struct spool_record *r)
{
	return (const struct kept *)r->bytes;
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
	if (found.n == found.room) {
		found.room = found.room ? found.room * 2 : 256;
		found.at = xrealloc(found.at, found.room * sizeof(*found.at));
	}
	found.at[found.n++] = r;
}

void s2s_spool_find(void)
{
	spool_each(SPOOL_S2S, find_one, NULL);
}

/* NULL: there is nothing left to be done for it. */
static struct stanza *stanza_of(struct spool_record *r)
{
	struct kept *at = (struct kept *)r->bytes;
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

void s2s_spool_take(struct s2s_found *out)
{
	*out = (struct s2s_found){ .at = xcalloc(found.n + 1, sizeof(*out->at)) };
	for (uint32_t i = 0; i < found.n; i++) {
		uint64_t order = kept(found.at[i])->order;
		struct stanza *s = stanza_of(found.at[i]);

		if (s)
			out->at[out->n++] = (struct s2s_found_message){ order, s };
		else
			spool_free(found.at[i]);
	}
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
