/* net/conn.h - one connected socket: bytes in, bytes out, through TLS or plain, at its owner's
 * pace. Part of a stream. Everything here is for the owning shard alone and nothing blocks. Output
 * is gathered and written once at the end of the turn; what waits for a reader that does not read
 * is bounded. Input is not read while its owner is busy, while the shaper's bucket is empty or
 * while the shards it feeds are behind: the backlog stays in the kernel. However a connection ends,
 * lost() is called once, from the top of the shard's loop, and the owner frees it then or later. */
#pragma once

#include <sys/socket.h>

#include "core/attr.h"
#include "core/buf.h"
#include "core/conf.h"
#include "core/record.h"
#include "core/shard.h"
#include "core/timer.h"
#include "net/tls.h"
#include "router/access.h"
#include "xml/stanza.h"

struct conn;
enum conn_loss {
	CONN_PEER_CLOSED, /* end of file, reset */
	CONN_FAILED, /* TLS or the socket failed */
	CONN_OVERFLOW, /* the peer does not read: output over its bound */
	CONN_CLOSED_BY_US, /* after conn_close(), all written or its time over */
};
const char *conn_loss_text(enum conn_loss why);

struct conn_events {
	/* Returns how many bytes it took. Those it left are kept and offered again by
	 * conn_resume(); nothing is read until then. */
	size_t (*bytes)(struct conn *c, const char *bytes, size_t len);
	void (*secured)(struct conn *c); /* the TLS handshake is done */
	/* A stanza given with conn_write() that the peer cannot have got whole. Before lost(). */
	void (*unsent)(struct conn *c, struct stanza *s);
	void (*lost)(struct conn *c, enum conn_loss why);
	/* A stanza given with conn_write() that the system has taken whole. Does nothing to c; may
	 * be NULL. */
	void (*sent)(struct conn *c, struct stanza *s);
};

struct out_piece; /* private */

struct conn {
	/* What bytes on their way touch stands together, first of all what both directions do: of a
	 * great many connections none is in a cache when its turn comes. */
	struct watch watch;
	struct turn_end at_turn_end;
	uint8_t state, doom; /* private */
	uint8_t paused; /* bits, private */
	bool wants_write; /* EPOLLOUT is on */
	uint32_t out_first, out_count, out_room;
	struct out_piece *out; /* owned ring; NULL when nothing waits */
	uint64_t out_held; /* bytes of memory that what waits keeps from being freed */
	uint64_t out_max_held; /* beyond it the connection is lost; 0: no bound */
	struct tls *tls; /* owned; NULL: plain */
	uint32_t out_offset; /* bytes of the first one already written */
	uint32_t kept_bytes;
	uint64_t heard_ms; /* shard_now_ms() at the last byte received */
	uint64_t in_bytes, sent_bytes; /* totals */
	const struct conn_events *events;
	const void *soon; /* what bytes() looks at first, fetched while they come; may be NULL */
	struct shaper_rate rate;
	int64_t tokens; /* bytes it may read now; may go below zero */
	uint64_t tokens_at_ms;
	char *kept; /* owned: input its owner could not take yet */
	struct timer timer; /* end of a rest, or of a close */
};

/* Takes fd (non-blocking). 0, or a negative errno and fd is closed. */
ON_SHARD int conn_begin(struct conn *c, int fd, const struct conn_events *events);
/* One whose connection is gone already. */
ON_SHARD void conn_begin_ended(struct conn *c, const struct conn_events *events);
/* Frees what it holds and closes the socket; no events any more. */
ON_SHARD void conn_end(struct conn *c);

/* Takes the reference of b; s is kept with it, to be given back by unsent(), or NULL. Once the
 * connection closes, b is dropped. */
ON_SHARD void conn_write(struct conn *c, struct buf *b, struct stanza *s);
/* Writes what waits, then ends: half-closes, lets the peer finish for a moment, lost(). */
ON_SHARD void conn_close(struct conn *c);
/* What waits goes back by unsent() and is forgotten, but for what has begun to leave: so that last
 * words need not wait behind it. */
ON_SHARD void conn_drop_output(struct conn *c);
ON_SHARD bool conn_closing(const struct conn *c);

/* Writes what waits as plain text and begins a handshake: secured() follows. -EAGAIN when the
 * socket did not take all plain output at once, -ENOENT when there is no certificate. */
ON_SHARD int conn_start_tls(struct conn *c, struct tls_store *store, const char *host,
	enum tls_entry entry, const struct tls_offer *offer);
/* The same where we are the client. */
ON_SHARD int conn_connect_tls(struct conn *c, struct tls_store *store, const struct tls_target *to);
ON_SHARD bool conn_open(const struct conn *c); /* bytes come and go: no handshake, no end */

/* The owner is busy: nothing is read until conn_resume(), which first offers what was kept.
 * conn_resume() is not called from within bytes(). */
ON_SHARD void conn_pause(struct conn *c);
ON_SHARD void conn_resume(struct conn *c);
/* Reads nothing for so long. */
ON_SHARD void conn_rest(struct conn *c, uint64_t ms);
ON_SHARD void conn_set_shaper(struct conn *c, struct shaper_rate rate);
/* Another rate in its middle: what was read too much already is waited for at the new one. */
ON_SHARD void conn_change_shaper(struct conn *c, struct shaper_rate rate);
/* To another shard: an open connection leaves its owner, with all that waits in it, and arrives at
 * another, who has it paused. In between it is nobody's: conn_end() frees it. Not from within a
 * callback. Arriving: 0, or a negative errno and it is ended. */
ON_SHARD void conn_leave(struct conn *c, struct conn *out);
ON_SHARD int conn_arrive(struct conn *c, const struct conn *from, const struct conn_events *events);
/* Writes what the socket takes at once: before conn_end(), when nobody waits for the rest. */
ON_SHARD void conn_flush(struct conn *c);
/* Gives back buffers that an idle connection does not need. */
ON_SHARD void conn_hibernate(struct conn *c);
ON_SHARD uint64_t conn_held_bytes(const struct conn *c); /* memory that waits in it, about */

/* --- to another process: frozen, held, saved there; loaded here, and let go --- */

/* Nothing is read any more, whatever its owner does; output goes on. */
ON_SHARD void conn_freeze(struct conn *c);
ON_SHARD void conn_thaw(struct conn *c);
/* A frozen one is not written to either, its peer's end is not noticed, and what is written to it
 * waits without a bound. Plain ones only. */
ON_SHARD void conn_hold(struct conn *c);
/* Ends all of that: it goes on where it stood. Also for one that was loaded. */
ON_SHARD void conn_let_go(struct conn *c);
/* A held one: what it has to read and to write. */
ON_SHARD void conn_save(const struct conn *c, struct record *r);
/* As conn_begin(), but held, and as the other one stood; takes fd. False: that cannot be read. */
ON_SHARD bool conn_load(
	struct conn *c, int fd, const struct conn_events *events, struct record_reader *r);
/* What has been written to a held one beyond the first so many pieces. */
ON_SHARD uint32_t conn_pieces(const struct conn *c);
ON_SHARD void conn_each_piece(const struct conn *c, uint32_t from,
	void (*fn)(void *arg, struct buf *b, struct stanza *s), void *arg);
