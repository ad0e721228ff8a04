/* net/conn.c - sockets on a shard. */
#include "net/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/metric.h"
#include "net/wire.h"
#include "xml/parser.h"

/* DOOMED: over at the end of the turn, for the reason in c->doom. */
enum { OPEN, HANDSHAKE, CLOSING, LINGERING, DOOMED, LOST };
enum { PAUSED_BUSY = 1, PAUSED_REST = 2, PAUSED_FROZEN = 4, PAUSED_HELD = 8 };

#define PIECES 64 /* of one writev */
#define ROOM_FIRST 4u /* of the ring of pieces */
#define WRITE_BUDGET (256 * 1024) /* bytes one connection may write in one turn */
#define CLOSE_MS 3000 /* for a peer to take what is left */
#define NO_WIRE (-1) /* the descriptor of one that has none any more */
#define LINGER_MS 1000 /* for a peer to close its side, so that it sees our last words */

static struct metric in_metric = METRIC_COUNTER("received_bytes_total", "Bytes read, decrypted.");
static struct metric out_metric = METRIC_COUNTER("sent_bytes_total", "Bytes written, before TLS.");
static struct metric overflow_metric = METRIC_COUNTER(
	"connections_overflown_total", "Connections ended because nobody read them.");

const char *conn_loss_text(enum conn_loss why)
{
	static const char *const texts[] = {
		[CONN_PEER_CLOSED] = "closed by peer",
		[CONN_FAILED] = "failed",
		[CONN_OVERFLOW] = "peer does not read",
		[CONN_CLOSED_BY_US] = "closed",
	};

	return texts[why];
}

static uint32_t wanted_events(const struct conn *c)
{
	return (c->paused && c->state < CLOSING ? 0 : EPOLLIN) | (c->wants_write ? EPOLLOUT : 0);
}

ON_SHARD static void update_watch(struct conn *c)
{
	uint32_t events = wanted_events(c);

	if (c->state == LOST || c->paused & PAUSED_HELD || events == c->watch.events)
		return;
	c->watch.events = events;
	wire_rewatch(&c->watch);
}

ON_SHARD static void set_wants_write(struct conn *c, bool wants)
{
	if (c->wants_write == wants)
		return;
	c->wants_write = wants;
	update_watch(c);
}

/* --- out --------------------------------------------------------------------------------- */

struct out_piece {
	struct buf *buf;
	struct stanza *stanza; /* NULL: nobody asks what became of it */
};

/* A short stanza is small on the wire and many times that in memory. What several connections wait
 * with counts for each of them. */
static uint64_t piece_held(struct out_piece piece)
{
	return sizeof(piece) + sizeof(*piece.buf) + piece.buf->cap +
		(piece.stanza ? stanza_held_bytes(piece.stanza) : 0);
}

static void out_push(struct conn *c, struct buf *b, struct stanza *s)
{
	struct out_piece piece = { b, s ? stanza_ref(s) : NULL };

	if (c->out_count == c->out_room) {
		uint32_t room = c->out_room ? c->out_room * 2 : ROOM_FIRST;
		struct out_piece *ring = xmalloc(room * sizeof(*ring));

		for (uint32_t i = 0; i < c->out_count; i++)
			ring[i] = c->out[(c->out_first + i) % c->out_room];
		free(c->out);
		c->out = ring;
		c->out_first = 0;
		c->out_room = room;
	}
	c->out[(c->out_first + c->out_count++) % c->out_room] = piece;
	c->out_held += piece_held(piece);
}

/* The first piece leaves the ring. */
static struct out_piece out_shift(struct conn *c)
{
	struct out_piece piece = c->out[c->out_first];

	c->out_first = (c->out_first + 1) % c->out_room;
	c->out_count--;
	c->out_offset = 0;
	c->out_held -= piece_held(piece);
	return piece;
}

static void piece_drop(struct out_piece piece)
{
	buf_unref(piece.buf);
	stanza_unref(piece.stanza);
}

static void out_consume(struct conn *c, size_t bytes)
{
	c->sent_bytes += bytes;
	metric_add(&out_metric, (int64_t)bytes);
	while (c->out_count) {
		size_t left = c->out[c->out_first].buf->len - c->out_offset;
		struct out_piece piece;

		if (bytes < left) {
			c->out_offset += (uint32_t)bytes;
			return;
		}
		bytes -= left;
		piece = out_shift(c);
		if (piece.stanza && c->events->sent)
			c->events->sent(c, piece.stanza);
		piece_drop(piece);
	}
}

static unsigned out_pieces(const struct conn *c, struct iovec *pieces)
{
	unsigned n = c->out_count < PIECES ? c->out_count : PIECES;
	uint32_t skip = c->out_offset;

	for (unsigned i = 0; i < n; i++) {
		struct buf *b = c->out[(c->out_first + i) % c->out_room].buf;

		pieces[i] = (struct iovec){ b->data + skip, b->len - skip };
		skip = 0;
	}
	return n;
}

/* The last words of a connection leave in one packet with its end. */
static int plain_write(
	const struct conn *c, const struct iovec *pieces, unsigned n, size_t *written)
{
	int more = c->state == CLOSING ? MSG_MORE : 0;
	ssize_t got = wire_send_pieces(c->watch.fd, pieces, n, more);

	*written = got > 0 ? (size_t)got : 0;
	if (got >= 0)
		return 0;
	return errno == EAGAIN || errno == EINTR ? TLS_WANT_WRITE : TLS_CLOSED;
}

/* 0: all written or the rest waits for the socket; else an enum tls_outcome that ends it. */
ON_SHARD static int flush(struct conn *c)
{
	size_t budget = WRITE_BUDGET;
	int rc = 0;

	while (c->out_count && budget && !rc) {
		struct iovec pieces[PIECES];
		unsigned n = out_pieces(c, pieces);
		size_t written = 0;

		rc = c->tls ? tls_write(c->tls, pieces, n, &written)
			    : plain_write(c, pieces, n, &written);
		out_consume(c, written);
		budget = written < budget ? budget - written : 0;
	}
	if (rc && rc != TLS_WANT_WRITE && rc != TLS_WANT_READ)
		return rc;
	/* The next one costs less out of a cache than this one would when it has left them. */
	if (c->out_room == ROOM_FIRST)
		conn_hibernate(c);
	set_wants_write(c, c->out_count != 0);
	return 0;
}

/* What was never written goes back to its owner. */
ON_SHARD static void give_back(struct conn *c)
{
	while (c->out_count) {
		struct out_piece piece = out_shift(c);

		if (piece.stanza)
			c->events->unsent(c, piece.stanza);
		piece_drop(piece);
	}
}

/* How many pieces have begun to leave: their rest must follow, or the stream would break. */
static uint32_t out_begun(const struct conn *c)
{
	size_t begun = c->out_offset + (c->tls ? tls_begun_bytes(c->tls) : 0), covered = 0;
	uint32_t n = 0;

	while (n < c->out_count && covered < begun)
		covered += c->out[(c->out_first + n++) % c->out_room].buf->len;
	return n;
}

void conn_drop_output(struct conn *c)
{
	uint32_t first = c->out_first, count = c->out_count, room = c->out_room;
	uint32_t begun = out_begun(c);
	struct out_piece *ring = c->out;

	if (c->state == LOST || begun == count)
		return;
	c->out = NULL;
	c->out_first = c->out_count = c->out_room = 0;
	c->out_held = 0;
	for (uint32_t i = 0; i < begun; i++) {
		struct out_piece piece = ring[(first + i) % room];

		out_push(c, piece.buf, piece.stanza);
		stanza_unref(piece.stanza); /* the ring has taken one of its own */
	}
	for (uint32_t i = begun; i < count; i++) {
		struct out_piece piece = ring[(first + i) % room];

		if (piece.stanza)
			c->events->unsent(c, piece.stanza);
		piece_drop(piece);
	}
	free(ring);
}

uint64_t conn_held_bytes(const struct conn *c)
{
	return c->out_held + c->kept_bytes;
}

ON_SHARD static void lose(struct conn *c, enum conn_loss why)
{
	if (c->state == LOST)
		return;
	c->state = LOST;
	if (why == CONN_OVERFLOW)
		metric_add(&overflow_metric, 1);
	timer_cancel(&c->timer);
	shard_not_at_turn_end(&c->at_turn_end);
	if (!(c->paused & PAUSED_HELD))
		wire_unwatch(&c->watch);
	give_back(c);
	c->events->lost(c, why); /* may free c */
}

/* All is written: say so to the peer and give it a moment to have read it. What it still says is
 * not listened to, so TLS is not needed for that. */
ON_SHARD static void begin_linger(struct conn *c)
{
	c->state = LINGERING;
	if (c->tls)
		tls_shutdown(c->tls);
	tls_free(c->tls);
	c->tls = NULL;
	wire_shutdown(c->watch.fd);
	timer_set(&c->timer, LINGER_MS);
	update_watch(c);
}

ON_SHARD static void write_out(struct conn *c)
{
	if (c->state == DOOMED) {
		lose(c, c->doom);
		return;
	}
	if (c->state == HANDSHAKE || c->paused & PAUSED_HELD)
		return;
	if (flush(c)) {
		lose(c, c->state == CLOSING ? CONN_CLOSED_BY_US : CONN_FAILED);
		return;
	}
	if (c->state == CLOSING && !c->out_count)
		begin_linger(c);
}

ON_SHARD static void doom(struct conn *c, enum conn_loss why)
{
	c->state = DOOMED;
	c->doom = (uint8_t)why;
	shard_at_turn_end(&c->at_turn_end);
}

static void turn_ends(struct turn_end *t)
{
	shard_check(NULL);
	write_out(container_of(t, struct conn, at_turn_end));
}

void conn_write(struct conn *c, struct buf *b, struct stanza *s)
{
	if (c->state > HANDSHAKE || !b->len) {
		buf_unref(b);
		return;
	}
	out_push(c, b, s);
	if (c->out_max_held && c->out_held > c->out_max_held && !(c->paused & PAUSED_HELD))
		doom(c, CONN_OVERFLOW);
	else
		shard_at_turn_end(&c->at_turn_end);
}

void conn_close(struct conn *c)
{
	if (c->state > HANDSHAKE)
		return;
	free(c->kept);
	c->kept = NULL;
	c->kept_bytes = 0;
	if (c->state == HANDSHAKE) { /* not finished, so there is nobody to say goodbye to */
		doom(c, CONN_CLOSED_BY_US);
		return;
	}
	c->state = CLOSING;
	if (c->tls)
		tls_ending(c->tls);
	timer_set(&c->timer, CLOSE_MS);
	shard_at_turn_end(&c->at_turn_end);
}

bool conn_closing(const struct conn *c)
{
	return c->state > HANDSHAKE;
}

/* --- in ---------------------------------------------------------------------------------- */

static void keep(struct conn *c, const char *bytes, size_t len)
{
	char *fresh = len ? xmemdup(bytes, len) : NULL;

	free(c->kept);
	c->kept = fresh;
	c->kept_bytes = (uint32_t)len;
}

/* The bucket after so much time; what does not fit, or cannot be counted, runs over. */
static int64_t refilled(const struct conn *c, uint64_t passed_ms)
{
	int64_t tokens;

	if (__builtin_mul_overflow(passed_ms, c->rate.bytes_per_s, &tokens) ||
		__builtin_add_overflow(c->tokens, tokens / 1000, &tokens) ||
		tokens > c->rate.burst_bytes)
		return c->rate.burst_bytes;
	return tokens;
}

/* Refills the bucket for the time gone by and takes what was read; rests when it is overdrawn. */
ON_SHARD static void shape(struct conn *c, size_t bytes)
{
	uint64_t now = shard_now_ms();

	if (!c->rate.bytes_per_s)
		return;
	c->tokens = refilled(c, now - c->tokens_at_ms) - (int64_t)bytes;
	c->tokens_at_ms = now;
	if (c->tokens < 0)
		conn_rest(c, (uint64_t)(-c->tokens * 1000 / c->rate.bytes_per_s) + 1);
}

ON_SHARD static void offer(struct conn *c, const char *bytes, size_t len)
{
	size_t took = c->events->bytes(c, bytes, len);

	if (took < len && c->state <= HANDSHAKE) {
		keep(c, bytes + took, len - took);
		conn_pause(c);
	}
}

/* 0, or what ends the connection; *got bytes lie in the scratch area. */
ON_SHARD static int read_some(struct conn *c, char *room, size_t *got)
{
	ssize_t n;

	if (c->tls)
		return tls_read(c->tls, room, SHARD_SCRATCH, got);
	n = wire_recv(c->watch.fd, room, SHARD_SCRATCH);
	*got = n > 0 ? (size_t)n : 0;
	if (n > 0)
		return 0;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : TLS_CLOSED;
}

ON_SHARD static void conn_readable(struct conn *c)
{
	char *room = shard_scratch();
	size_t got = 0;
	int rc;

	object_soon((uintptr_t)c->soon, 2);
	rc = read_some(c, room, &got);
	if (got && c->state <= HANDSHAKE) {
		c->heard_ms = shard_now_ms();
		c->in_bytes += got;
		metric_add(&in_metric, (int64_t)got);
		shape(c, got);
		offer(c, room, got);
	}
	if (rc == TLS_WANT_WRITE)
		set_wants_write(c, true);
	else if (rc == TLS_CLOSED)
		lose(c, c->state >= CLOSING ? CONN_CLOSED_BY_US : CONN_PEER_CLOSED);
	else if (rc == TLS_FAILED)
		lose(c, c->state >= CLOSING ? CONN_CLOSED_BY_US : CONN_FAILED);
}

ON_SHARD static void go_on_handshake(struct conn *c)
{
	int rc = tls_handshake(c->tls);

	if (rc == TLS_WANT_READ || rc == TLS_WANT_WRITE) {
		set_wants_write(c, rc == TLS_WANT_WRITE);
	} else if (rc) {
		lose(c, rc == TLS_CLOSED ? CONN_PEER_CLOSED : CONN_FAILED);
	} else {
		c->state = OPEN;
		set_wants_write(c, false);
		shard_at_turn_end(&c->at_turn_end); /* for what was written meanwhile */
		c->events->secured(c);
	}
}

static void conn_ready(struct watch *w, uint32_t events)
{
	struct conn *c = container_of(w, struct conn, watch);

	shard_check(NULL);
	if (c->state == HANDSHAKE) {
		go_on_handshake(c);
		return;
	}
	if (events & EPOLLOUT)
		shard_at_turn_end(&c->at_turn_end);
	if (events & EPOLLIN && c->paused && c->state < CLOSING)
		update_watch(c); /* only now that there are bytes: most pauses end before */
	else if (events & EPOLLIN)
		conn_readable(c);
	else if (events & (EPOLLERR | EPOLLHUP))
		lose(c, c->state >= CLOSING ? CONN_CLOSED_BY_US : CONN_PEER_CLOSED);
}

void conn_pause(struct conn *c)
{
	c->paused |= PAUSED_BUSY;
}

/* Offers what was kept, unless another reason to wait has come. */
ON_SHARD static void offer_kept(struct conn *c)
{
	char *kept = c->kept;
	uint32_t kept_bytes = c->kept_bytes;

	if (c->paused & (PAUSED_BUSY | PAUSED_FROZEN))
		return;
	c->kept = NULL;
	c->kept_bytes = 0;
	if (kept && c->state == OPEN)
		offer(c, kept, kept_bytes);
	free(kept);
	update_watch(c);
}

void conn_resume(struct conn *c)
{
	c->paused &= (uint8_t)~PAUSED_BUSY;
	offer_kept(c);
}

void conn_rest(struct conn *c, uint64_t ms)
{
	if (c->state > HANDSHAKE)
		return;
	c->paused |= PAUSED_REST;
	if (!timer_armed(&c->timer) || timer_left_ms(&c->timer) < ms)
		timer_set(&c->timer, ms);
}

static void time_is_up(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);

	shard_check(NULL);
	if (c->state >= CLOSING) {
		lose(c, CONN_CLOSED_BY_US);
		return;
	}
	c->paused &= (uint8_t)~PAUSED_REST;
	update_watch(c);
}

void conn_set_shaper(struct conn *c, struct shaper_rate rate)
{
	c->rate = rate;
	c->tokens = rate.burst_bytes;
	c->tokens_at_ms = shard_now_ms();
}

void conn_change_shaper(struct conn *c, struct shaper_rate rate)
{
	int64_t debt;

	if (c->rate.bytes_per_s == rate.bytes_per_s && c->rate.burst_bytes == rate.burst_bytes)
		return;
	debt = c->rate.bytes_per_s ? -refilled(c, shard_now_ms() - c->tokens_at_ms) : 0;
	conn_set_shaper(c, rate);
	if (debt <= 0)
		return;
	c->tokens = rate.bytes_per_s ? -debt : 0;
	if (c->paused & PAUSED_REST && c->state <= HANDSHAKE)
		timer_set(&c->timer,
			rate.bytes_per_s ? (uint64_t)(debt * 1000 / rate.bytes_per_s) + 1 : 1);
}

/* --- life -------------------------------------------------------------------------------- */

ON_SHARD static void init(struct conn *c, int fd, const struct conn_events *events)
{
	memset(c, 0, sizeof(*c));
	c->events = events;
	c->heard_ms = shard_now_ms();
	c->watch = (struct watch){ .fd = fd, .events = EPOLLIN, .ready = conn_ready };
	turn_end_init(&c->at_turn_end, turn_ends);
	timer_init(&c->timer, time_is_up);
}

int conn_begin(struct conn *c, int fd, const struct conn_events *events)
{
	int rc;

	init(c, fd, events);
	rc = wire_watch(&c->watch);
	if (rc)
		wire_close(fd);
	return rc;
}

void conn_begin_ended(struct conn *c, const struct conn_events *events)
{
	init(c, NO_WIRE, events);
	c->state = LOST;
}

/* Its owner's shard has nothing to do with it any more. */
ON_SHARD static void let_go(struct conn *c)
{
	timer_cancel(&c->timer);
	shard_not_at_turn_end(&c->at_turn_end);
	if (c->state != LOST && !(c->paused & PAUSED_HELD))
		wire_unwatch(&c->watch);
	c->state = LOST;
}

void conn_end(struct conn *c)
{
	let_go(c);
	tls_free(c->tls);
	c->tls = NULL;
	if (c->watch.fd != NO_WIRE)
		wire_close(c->watch.fd);
	c->watch.fd = NO_WIRE;
	while (c->out_count)
		piece_drop(out_shift(c));
	free(c->out);
	free(c->kept);
	c->out = NULL;
	c->kept = NULL;
}

void conn_leave(struct conn *c, struct conn *out)
{
	REQUIRE(c->state == OPEN && c->paused & PAUSED_BUSY);
	let_go(c);
	*out = *c;
	turn_end_init(&out->at_turn_end, turn_ends);
	timer_init(&out->timer, time_is_up);
	c->watch.fd = NO_WIRE;
	c->tls = NULL;
	c->out = NULL;
	c->out_count = c->out_room = 0;
	c->out_held = 0;
	c->kept = NULL;
}

int conn_arrive(struct conn *c, const struct conn *from, const struct conn_events *events)
{
	int rc;

	*c = *from;
	turn_end_init(&c->at_turn_end, turn_ends);
	timer_init(&c->timer, time_is_up);
	c->events = events;
	c->paused = PAUSED_BUSY;
	c->watch.events = (c->wants_write ? EPOLLOUT : 0);
	rc = wire_watch(&c->watch);
	if (rc) {
		conn_end(c);
		return rc;
	}
	c->state = OPEN;
	if (c->out_count)
		shard_at_turn_end(&c->at_turn_end);
	return 0;
}

void conn_flush(struct conn *c)
{
	if (c->state == OPEN || c->state == CLOSING)
		flush(c);
}

ON_SHARD static int may_start_tls(struct conn *c)
{
	if (c->state != OPEN)
		return -EPIPE;
	return flush(c) || c->out_count ? -EAGAIN : 0;
}

int conn_start_tls(struct conn *c, struct tls_store *store, const char *host, enum tls_entry entry,
	const struct tls_offer *offer)
{
	int rc = may_start_tls(c);

	if (rc)
		return rc;
	c->tls = tls_new(store, c->watch.fd, host, entry, offer);
	if (!c->tls)
		return -ENOENT;
	c->state = HANDSHAKE;
	return 0;
}

int conn_connect_tls(struct conn *c, struct tls_store *store, const struct tls_target *to)
{
	int rc = may_start_tls(c);

	if (rc)
		return rc;
	c->tls = tls_connect(store, c->watch.fd, to);
	if (!c->tls)
		return -ENOENT;
	c->state = HANDSHAKE;
	set_wants_write(c, true); /* it is for us to begin */
	return 0;
}

bool conn_open(const struct conn *c)
{
	return c->state == OPEN;
}

void conn_hibernate(struct conn *c)
{
	if (c->out_count)
		return;
	free(c->out);
	c->out = NULL;
	c->out_room = 0;
	c->out_first = 0;
}

/* --- to another process ------------------------------------------------------------------ */

void conn_freeze(struct conn *c)
{
	c->paused |= PAUSED_FROZEN;
}

void conn_thaw(struct conn *c)
{
	c->paused &= (uint8_t)~PAUSED_FROZEN;
	offer_kept(c);
	update_watch(c);
}

void conn_hold(struct conn *c)
{
	REQUIRE(c->paused & PAUSED_FROZEN && !c->tls && c->state == OPEN);
	c->paused |= PAUSED_HELD;
	wire_unwatch(&c->watch);
}

void conn_let_go(struct conn *c)
{
	if (c->paused & PAUSED_HELD && c->state != LOST) {
		c->paused &= (uint8_t)~PAUSED_HELD;
		c->watch.events = wanted_events(c);
		if (wire_watch(&c->watch)) {
			c->paused |= PAUSED_HELD; /* not watched */
			doom(c, CONN_FAILED);
		}
		if (c->out_count)
			shard_at_turn_end(&c->at_turn_end);
	}
	shape(c, 0); /* what was read too much elsewhere is waited for here */
	conn_thaw(c);
}

uint32_t conn_pieces(const struct conn *c)
{
	return c->out_count;
}

void conn_each_piece(const struct conn *c, uint32_t from,
	void (*fn)(void *arg, struct buf *b, struct stanza *s), void *arg)
{
	for (uint32_t i = from; i < c->out_count; i++) {
		struct out_piece piece = c->out[(c->out_first + i) % c->out_room];

		fn(arg, piece.buf, piece.stanza);
	}
}

static void save_piece(void *record, struct buf *b, struct stanza *s)
{
	record_number(record, s != NULL);
	record_bytes(record, b->data, b->len);
}

void conn_save(const struct conn *c, struct record *r)
{
	record_number(r, c->heard_ms); /* the clock is the machine's */
	record_number(r, c->in_bytes);
	record_number(r, c->sent_bytes);
	record_number(r, (uint64_t)c->rate.bytes_per_s);
	record_number(r, (uint64_t)c->rate.burst_bytes);
	record_number(r, (uint64_t)c->tokens);
	record_number(r, c->tokens_at_ms);
	record_bytes(r, c->kept ? c->kept : "", c->kept_bytes);
	record_number(r, c->out_count);
	record_number(r, c->out_offset);
	conn_each_piece(c, 0, save_piece, r);
}

/* One that a stanza was given with is read back from its bytes, so that it can be given back. */
ON_SHARD static bool load_piece(struct conn *c, struct record_reader *r)
{
	bool given = record_read_number_to(r, 1);
	struct stanza *s = NULL;
	const char *bytes;
	size_t len;

	bytes = record_read_bytes(r, &len);
	if (!bytes || !len)
		return false;
	if (given && !(s = parse_wire(bytes, len)))
		return false;
	out_push(c, buf_of(bytes, len), s);
	stanza_unref(s);
	return true;
}

ON_SHARD static bool load_pieces(struct conn *c, struct record_reader *r)
{
	uint64_t n = record_read_number_to(r, UINT32_MAX);
	uint64_t offset = record_read_number_to(r, UINT32_MAX);

	while (n--)
		if (!load_piece(c, r))
			return false;
	if (offset && (!c->out_count || offset >= c->out[c->out_first].buf->len))
		return false;
	c->out_offset = (uint32_t)offset;
	return true;
}

bool conn_load(struct conn *c, int fd, const struct conn_events *events, struct record_reader *r)
{
	const char *kept;
	size_t len;

	init(c, fd, events);
	c->paused = PAUSED_FROZEN | PAUSED_HELD;
	c->heard_ms = record_read_number(r);
	c->in_bytes = record_read_number(r);
	c->sent_bytes = record_read_number(r);
	c->rate.bytes_per_s = (int64_t)record_read_number_to(r, INT64_MAX);
	c->rate.burst_bytes = (int64_t)record_read_number_to(r, INT64_MAX);
	c->tokens = (int64_t)record_read_number(r);
	c->tokens_at_ms = record_read_number(r);
	kept = record_read_bytes(r, &len);
	if (!kept || len > UINT32_MAX || !load_pieces(c, r))
		return false;
	keep(c, kept, len);
	return true;
}
