/* net/unacked.h - the stanzas that a client under stream management was sent, or is to be sent when
 * it is back, and has not acknowledged: XEP-0198 §4. Numbered from 1 on, modulo 2^32. Part of a
 * stream, its shard's only. */
#pragma once

#include "core/attr.h"
#include "core/spool.h"
#include "router/deliver.h"
#include "xml/stanza.h"

struct unacked_stanza {
	struct stanza *stanza; /* one reference */
	struct spool_record *kept; /* owned; NULL: it would not survive a crash */
	enum deliver_copies copies;
};

struct unacked {
	struct unacked_stanza *at; /* owned ring */
	uint32_t first, n, room;
	uint32_t acked; /* the number of the last acknowledged one */
	uint64_t held; /* memory that they keep from being freed, about */
};

/* Keeps a reference; takes kept. Its number is unacked_sent() then. */
ON_SHARD void unacked_add(
	struct unacked *u, struct stanza *s, struct spool_record *kept, enum deliver_copies copies);
static inline uint32_t unacked_sent(const struct unacked *u)
{
	return u->acked + u->n;
}
/* All up to that number are the client's now. False: there were never so many; nothing changes. */
ON_SHARD bool unacked_covers(const struct unacked *u, uint32_t h);
/* The i-th of what is left, from 0 to n - 1. */
static inline const struct unacked_stanza *unacked_at(const struct unacked *u, uint32_t i)
{
	return &u->at[(u->first + i) & (u->room - 1)];
}
/* The oldest leaves, with what it owns; there is one. */
ON_SHARD struct unacked_stanza unacked_take(struct unacked *u);
/* The newest leaves in the same way, and its number with it; there is one. */
ON_SHARD struct unacked_stanza unacked_take_back(struct unacked *u);
ON_SHARD void unacked_rest(struct unacked *u); /* an empty one gives back its memory */
