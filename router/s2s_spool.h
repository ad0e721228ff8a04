/* router/s2s_spool.h - messages for other servers in the spool (core/spool.h). Each that the s2s
 * manager takes is a record there, until the other server has it: as far as can be known, that is
 * acknowledged, or, without XEP-0198, in the hands of the system; or until the answer has reached
 * its sender that it cannot be sent. The next process finds what was left, in order, however this
 * one ends. The record goes with the stanza (log_record) and is done with by message_taken(), but
 * not before its sender's h covers it: router/acks.h. */
#pragma once

#include "core/attr.h"
#include "core/spool.h"
#include "xml/stanza.h"

/* s is a message. Nothing when it has a record, or there is no spool. False: there is no room. */
ON_SHARD bool s2s_spool_keep(struct stanza *s);

/* --- streams of ours that can be resumed (XEP-0198), so that what one was sent goes by it again,
 * as far as it has not arrived; on their links' shards --- */

struct s2s_stream_id {
	const char *ours, *theirs; /* the link's */
	unsigned index;
	const char *id; /* what it is resumed by */
	uint64_t max_ms; /* how long it can be */
};
/* NULL: there is no room, and it cannot be resumed by another process. The caller frees it. */
ON_SHARD struct spool_record *s2s_spool_stream(const struct s2s_stream_id *id);
/* How many stanzas of the peer's were handled, for the one that goes both ways. NULL is fine. */
ON_SHARD void s2s_spool_handled(struct spool_record *stream, uint32_t h);
/* Before it is given to the system: the stream's stanza with that number. NULL: none that can be
 * resumed. */
ON_SHARD void s2s_spool_sent(struct stanza *s, struct spool_record *stream, uint32_t number);

/* --- what a process before has left --- */

struct s2s_found_message {
	uint64_t order;
	struct stanza *stanza; /* sealed, one reference; with its record. NULL: it has been taken */
	uint32_t stream, number; /* 0: it was sent by none that is there */
};
struct s2s_found_stream {
	struct s2s_stream_id what; /* in record */
	struct spool_record *record; /* its taker's; NULL: it has been taken */
	uint32_t no, handled;
};
struct s2s_found {
	struct s2s_found_message *at; /* owned; in the order in which they were sent */
	uint32_t n;
	struct s2s_found_stream *streams; /* owned */
	uint32_t n_streams;
};
/* Looks through the spool, and tells router/acks.h of whose they are. When it has been opened,
 * before anything is added. */
void s2s_spool_find(void);
/* All that was found; at the second time nothing. After sessions are there again. */
void s2s_spool_take(struct s2s_found *out);
void s2s_found_free(struct s2s_found *f); /* what nobody took, too */
/* One of these passes the message log, which may not know it yet. False: it is refused, and that is
 * its end. */
ON_SHARD bool s2s_spool_passes(struct stanza *s);
