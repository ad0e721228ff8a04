/* net/sm_spool.c - records of sessions: a fixed part that is changed in place, and texts behind it
 * that never change; a state that is written anew when it differs; stanzas as they go out; a list
 * of those that came. */
#include "net/sm_spool.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/record.h"
#include "router/acks.h"
#include "router/message.h"
#include "xml/parser.h"

/* Kinds of records; the message log's is 16. */
enum { SPOOL_SESSION = 32, SPOOL_STATE, SPOOL_STANZA, SPOOL_DONE };
#define VERSION 1u

struct sm_kept {
	uint32_t version;
	_Atomic uint32_t gap; /* a stanza found no room */
	_Atomic uint32_t handled; /* of the client's stanzas */
	_Atomic uint32_t acked; /* of ours */
	_Atomic uint64_t left_at_ms; /* wall clock; 0: it is connected */
	uint64_t max_ms;
	uint8_t id[SM_ID_BYTES];
	char identity[]; /* a core/record.h record */
};

struct kept_stanza {
	uint32_t number;
	uint8_t copies, log_flags;
	uint16_t unused;
	uint64_t log_id;
	uint64_t ack_session;
	uint32_t ack_number, ack_check;
	char wire[];
};

static struct sm_kept *kept(const struct spool_record *r)
{
	return (struct sm_kept *)r->bytes;
}

static const struct kept_stanza *stanza_of(const struct spool_record *r)
{
	return (const struct kept_stanza *)r->bytes;
}

ON_SHARD static void no_room(struct sm_spool *k)
{
	static struct log_seldom seldom;
	uint32_t left_out;

	if (k->session)
		atomic_store_explicit(&kept(k->session)->gap, 1, memory_order_relaxed);
	if (log_seldom(&seldom, &left_out))
		log_error("sm", "no room in the spool: sessions would not survive a crash",
			L_INT("left_out", left_out));
}

static struct buf *identity(const struct session *ss, const char *user)
{
	struct record r;

	record_begin(&r, "session", VERSION);
	record_text(&r, ss->host->name);
	record_text(&r, user);
	record_text(&r, jid_resource(ss->jid));
	record_number(&r, ss->since_ms);
	record_number(&r, ss->user_agent);
	record_bytes(&r, ss->address.bytes, sizeof(ss->address.bytes));
	record_number(&r, ss->port);
	record_number(&r, ss->tls);
	return record_end(&r);
}

void sm_spool_begin(struct sm_spool *k, const struct session *ss, const char *user,
	const uint8_t id[SM_ID_BYTES], uint64_t max_ms)
{
	struct buf *who = identity(ss, user);

	k->key = sm_key(id);
	k->session = spool_alloc(SPOOL_SESSION, k->key, sizeof(struct sm_kept) + who->len);
	if (k->session) {
		struct sm_kept *at = kept(k->session);

		memset(at, 0, sizeof(*at));
		at->version = VERSION;
		at->max_ms = max_ms;
		memcpy(at->id, id, SM_ID_BYTES);
		memcpy(at->identity, who->data, who->len);
		spool_publish(k->session);
		sm_spool_state(k, ss);
	} else {
		no_room(k);
	}
	buf_unref(who);
}

void sm_spool_handled(struct sm_spool *k, uint32_t h)
{
	if (k->session)
		atomic_store_explicit(&kept(k->session)->handled, h, memory_order_release);
}

void sm_spool_acked(struct sm_spool *k, uint32_t h)
{
	if (k->session)
		atomic_store_explicit(&kept(k->session)->acked, h, memory_order_release);
}

void sm_spool_connected(struct sm_spool *k)
{
	if (k->session)
		atomic_store_explicit(&kept(k->session)->left_at_ms, 0, memory_order_relaxed);
}

void sm_spool_left(struct sm_spool *k)
{
	if (k->session)
		atomic_store_explicit(
			&kept(k->session)->left_at_ms, clock_wall_ms(), memory_order_relaxed);
}

void sm_spool_state(struct sm_spool *k, const struct session *ss)
{
	struct spool_record *now;
	struct record r;
	struct buf *b;

	if (!k->session)
		return;
	record_begin(&r, "state", VERSION);
	session_save(ss, &r);
	b = record_end(&r);
	if (!b ||
		(k->state && k->state->len == b->len &&
			!memcmp(k->state->bytes, b->data, b->len))) {
		buf_unref(b);
		return;
	}
	now = spool_alloc(SPOOL_STATE, k->key, b->len);
	if (now) {
		memcpy(now->bytes, b->data, b->len);
		spool_publish(now); /* for a moment there are two: both are true */
		spool_free(k->state);
		k->state = now;
	} else {
		no_room(k);
	}
	buf_unref(b);
}

struct spool_record *sm_spool_stanza(
	struct sm_spool *k, uint32_t number, struct stanza *s, enum deliver_copies copies)
{
	struct spool_record *r = NULL;
	struct kept_stanza *at;
	struct buf *wire;

	if (!k->session)
		return NULL;
	wire = stanza_wire(s);
	r = spool_alloc(SPOOL_STANZA, k->key, sizeof(*at) + wire->len);
	if (r) {
		at = (struct kept_stanza *)r->bytes;
		*at = (struct kept_stanza){
			.number = number,
			.copies = (uint8_t)copies,
			.log_flags = s->log_flags,
			.log_id = s->log_id,
			.ack_session = s->ack_session,
			.ack_number = s->ack_number,
			.ack_check = s->ack_check,
		};
		memcpy(at->wire, wire->data, wire->len);
		spool_publish(r);
	} else {
		no_room(k);
	}
	buf_unref(wire);
	return r;
}

void sm_spool_end(struct sm_spool *k)
{
	spool_free(k->session);
	spool_free(k->state);
	spool_free(k->done);
	k->session = k->state = k->done = NULL;
}

/* --- finding -------------------------------------------------------------------------------- */

static bool read_identity(struct sm_found *f)
{
	const struct sm_kept *at = kept(f->record);
	struct record_reader in;
	size_t len;

	if (f->record->len < sizeof(*at) || at->version != VERSION ||
		sm_key(at->id) != f->record->key ||
		record_open(&in, at->identity, f->record->len - sizeof(*at)) ||
		in.version != VERSION)
		return false;
	f->host = record_read_text(&in);
	f->user = record_read_text(&in);
	f->resource = record_read_text(&in);
	f->since_ms = record_read_number(&in);
	f->user_agent = record_read_number(&in);
	f->address = record_read_bytes(&in, &len);
	f->port = (uint16_t)record_read_number_to(&in, UINT16_MAX);
	f->tls = record_read_number_to(&in, 1);
	return record_is_read(&in) && f->host && f->user && f->resource && len == 16;
}

/* One that was connected when the server ended has all its time from now on. */
static uint64_t time_left(const struct sm_kept *at)
{
	uint64_t left_at_ms = atomic_load(&at->left_at_ms), now_ms = clock_wall_ms();
	uint64_t gone_ms = left_at_ms && now_ms > left_at_ms ? now_ms - left_at_ms : 0;

	return gone_ms < at->max_ms ? at->max_ms - gone_ms : 0;
}

static void find_session(struct spool_record *r, void *arg)
{
	struct sm_finds *all = arg;
	struct sm_found f = { .key = r->key, .record = r, .whole = true };
	struct sm_kept *at = kept(r);

	if (!read_identity(&f)) {
		log_error("sm", "a session in the spool is damaged");
		spool_free(r);
		return;
	}
	f.id = at->id;
	f.max_ms = at->max_ms;
	f.left_ms = time_left(at);
	f.handled = atomic_load(&at->handled);
	f.acked = atomic_load(&at->acked);
	f.whole = !atomic_load(&at->gap);
	if (all->n == all->room) {
		all->room = all->room ? all->room * 2 : 64;
		all->at = xrealloc(all->at, all->room * sizeof(*all->at));
	}
	all->at[all->n++] = f;
}

static int by_key(const void *left, const void *right)
{
	const struct sm_found *a = left, *b = right;

	return a->key < b->key ? -1 : a->key > b->key;
}

/* Of several with one key, which only a damaged file has, one stays. */
static void leave_out_doubled(struct sm_finds *all)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < all->n; i++) {
		if (n && all->at[n - 1].key == all->at[i].key)
			spool_free(all->at[i].record);
		else
			all->at[n++] = all->at[i];
	}
	all->n = n;
}

static struct sm_found *found_of(struct sm_finds *all, uint64_t key)
{
	const struct sm_found wanted = { .key = key };

	return all->n ? bsearch(&wanted, all->at, all->n, sizeof(*all->at), by_key) : NULL;
}

static void find_state(struct spool_record *r, void *arg)
{
	struct sm_found *f = found_of(arg, r->key);

	if (!f || f->state_record)
		spool_free(r);
	else
		f->state_record = r;
}

static void add_stanza(
	struct sm_found_stanza **to, uint32_t *n, uint32_t *room, struct spool_record *r)
{
	const struct kept_stanza *at = stanza_of(r);

	if (*n == *room) {
		*room = *room ? *room * 2 : 8;
		*to = xrealloc(*to, *room * sizeof(**to));
	}
	(*to)[(*n)++] = (struct sm_found_stanza){ r, at->number,
		at->copies == DELIVER_SURE ? DELIVER_SURE : DELIVER_COPY };
}

static void find_stanza(struct spool_record *r, void *arg)
{
	struct sm_found *f = found_of(arg, r->key);
	const struct kept_stanza *at = stanza_of(r);

	if (!f || r->len < sizeof(*at))
		acks_recover_free(r);
	else if ((int32_t)(at->number - f->acked) > 0)
		add_stanza(&f->stanzas, &f->n, &f->room, r);
	else if (at->log_flags & MESSAGE_LOG_WAITS)
		add_stanza(&f->received, &f->n_received, &f->received_room, r);
	else
		acks_recover_free(r);
}

static int by_number(const void *left, const void *right)
{
	const struct sm_found_stanza *a = left, *b = right;

	return a->number == b->number ? 0 : (int32_t)(a->number - b->number) < 0 ? -1 : 1;
}

static void put_in_order(struct sm_found *f)
{
	if (f->n)
		qsort(f->stanzas, f->n, sizeof(*f->stanzas), by_number);
	for (uint32_t i = 0; i < f->n; i++)
		f->whole = f->whole && f->stanzas[i].number == f->acked + 1 + i;
}

void sm_spool_find(struct sm_finds *out)
{
	*out = (struct sm_finds){ 0 };
	spool_each(SPOOL_SESSION, find_session, out);
	if (out->n)
		qsort(out->at, out->n, sizeof(*out->at), by_key);
	leave_out_doubled(out);
	spool_each(SPOOL_STATE, find_state, out);
	spool_each(SPOOL_STANZA, find_stanza, out);
	for (uint32_t i = 0; i < out->n; i++)
		put_in_order(&out->at[i]);
}

void sm_found_keep_done(struct sm_found *f)
{
	uint32_t n = acks_recovered_above(f->key, f->handled, NULL);

	if (!n)
		return;
	f->done_record = n > SPOOL_RECORD_MAX / sizeof(struct ack_skip)
		? NULL
		: spool_alloc(SPOOL_DONE, f->key, n * sizeof(struct ack_skip));
	if (f->done_record) {
		acks_recovered_above(f->key, f->handled, (struct ack_skip *)f->done_record->bytes);
		spool_publish(f->done_record);
	} else {
		log_error("sm",
			"no room in the spool: after another crash, messages may come twice",
			L_INT("messages", n));
	}
}

void sm_spool_free_finds(struct sm_finds *f)
{
	for (uint32_t i = 0; i < f->n; i++) {
		free(f->at[i].stanzas);
		free(f->at[i].received);
	}
	free(f->at);
	*f = (struct sm_finds){ 0 };
}

bool sm_found_state(const struct sm_found *f, struct record_reader *out)
{
	return f->state_record && !record_open(out, f->state_record->bytes, f->state_record->len) &&
		out->version == VERSION;
}

struct stanza *sm_found_stanza(const struct sm_found_stanza *f)
{
	const struct kept_stanza *at = stanza_of(f->record);
	struct stanza *s = parse_wire(at->wire, f->record->len - sizeof(*at));

	if (!s)
		return NULL;
	s->log_flags = at->log_flags;
	s->log_id = at->log_id;
	return s;
}

static void note_message(struct spool_record *r, void *arg UNUSED)
{
	const struct kept_stanza *at = stanza_of(r);

	if (r->len < sizeof(*at))
		return;
	if (at->log_id)
		acks_recover_message(at->log_id);
	if (at->ack_session)
		acks_recover_handled(at->ack_session, at->ack_number, at->ack_check);
}

static void note_done(struct spool_record *r, void *arg UNUSED)
{
	const struct ack_skip *at = (const struct ack_skip *)r->bytes;

	for (size_t i = 0; i < r->len / sizeof(*at); i++)
		acks_recover_handled(r->key, at[i].number, at[i].check);
	acks_recover_free(r);
}

void sm_spool_note_messages(void)
{
	acks_recover_begin();
	spool_each(SPOOL_STANZA, note_message, NULL);
	spool_each(SPOOL_DONE, note_done, NULL);
}
