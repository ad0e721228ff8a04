/* net/sm_spool.h - what of a session that can be resumed outlives the server's process
 * (core/spool.h): who it is, with its counters; its state (presence and what else session_save()
 * knows); each stanza that its client has not acknowledged; and after a crash, which of its
 * client's were handled beyond what is counted (router/acks.h). On the session's shard, but for
 * what is said otherwise. Everything here does without: what finds no room is not there after a
 * crash, and such a session cannot be resumed then. */
#pragma once

#include "core/attr.h"
#include "core/spool.h"
#include "net/sm_places.h"
#include "router/deliver.h"
#include "router/session.h"

struct sm_kept; /* in the spool */

struct sm_spool {
	uint64_t key; /* of all its records */
	struct spool_record *session; /* NULL: none */
	struct spool_record *state; /* NULL: none */
	struct spool_record *done; /* NULL: none */
};

static inline uint64_t sm_key(const uint8_t id[SM_ID_BYTES])
{
	uint64_t key;

	__builtin_memcpy(&key, id, sizeof(key));
	return key;
}

/* A record for a session that can be resumed, from <enable/> on; without room in the spool it does
 * without, and does not outlive the process. */
ON_SHARD void sm_spool_begin(struct sm_spool *k, const struct session *ss, const char *user,
	const uint8_t id[SM_ID_BYTES], uint64_t max_ms);
ON_SHARD void sm_spool_handled(struct sm_spool *k, uint32_t h); /* what its client may be told */
ON_SHARD void sm_spool_acked(struct sm_spool *k, uint32_t h); /* before their records go */
ON_SHARD void sm_spool_connected(struct sm_spool *k);
ON_SHARD void sm_spool_left(struct sm_spool *k); /* the client, now */
/* Presence and the like may have changed. */
ON_SHARD void sm_spool_state(struct sm_spool *k, const struct session *ss);
/* NULL: there is no room. */
ON_SHARD struct spool_record *sm_spool_stanza(
	struct sm_spool *k, uint32_t number, struct stanza *s, enum deliver_copies copies);
/* What was handled beyond is counted now, or will not come again. */
ON_SHARD static inline void sm_spool_done_counted(struct sm_spool *k)
{
	if (unlikely(k->done)) {
		spool_free(k->done);
		k->done = NULL;
	}
}
/* The session is over; its stanzas' records are their owner's to free. */
ON_SHARD void sm_spool_end(struct sm_spool *k);

/* --- what a process before has left --- */

struct sm_found_stanza {
	struct spool_record *record;
	uint32_t number;
	enum deliver_copies copies;
};
/* One session; good until sm_spool_free_found(). */
struct sm_found {
	uint64_t key;
	struct spool_record *record, *state_record;
	struct spool_record
		*done_record; /* NULL: nothing beyond handled; by sm_found_keep_done() */
	const char *user, *host, *resource; /* in the spool */
	const uint8_t *id;
	uint64_t max_ms, left_ms; /* what is left of max_ms */
	uint64_t since_ms, user_agent;
	const char *address; /* 16 bytes */
	uint16_t port;
	bool tls;
	uint32_t handled, acked;
	bool whole; /* no stanza is missing */
	struct sm_found_stanza *stanzas; /* owned; by number, those above acked */
	uint32_t n, room;
	/* Acknowledged, but the message log may not know yet that they were received. */
	struct sm_found_stanza *received; /* owned */
	uint32_t n_received, received_room;
};
struct sm_finds {
	struct sm_found *at; /* owned */
	uint32_t n, room;
};
/* Not on a shard, while there are no sessions. What belongs to none is freed. */
void sm_spool_find(struct sm_finds *out);
void sm_spool_free_finds(struct sm_finds *f);
/* What acks_recovered_above() knows of it is its own from now on. Before any record of others goes,
 * so for all of them first. */
ON_SHARD void sm_found_keep_done(struct sm_found *f);
/* A reader of its state. False: there is none. */
bool sm_found_state(const struct sm_found *f, struct record_reader *out);
/* Sealed, one reference; NULL: it is damaged. */
struct stanza *sm_found_stanza(const struct sm_found_stanza *s);

/* For each stanza there, which message it is and from which client's stanza it was made: before
 * anything of either is used. main. */
void sm_spool_note_messages(void);
