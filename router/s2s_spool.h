/* router/s2s_spool.h - messages for other servers in the spool (core/spool.h). Each that the s2s
 * manager takes is a record there, until the other server has it: as far as can be known, that is
 * acknowledged, or, without XEP-0198, in the hands of the system; or until the answer has reached
 * its sender that it cannot be sent. The next process finds what was left, in order, however this
 * one ends. The record goes with the stanza (log_record) and is done with by message_taken(), but
 * not before its sender's h covers it: router/acks.h. */
#pragma once

#include "core/attr.h"
#include "xml/stanza.h"

/* s is a message. Nothing when it has a record, or there is no spool. False: there is no room. */
ON_SHARD bool s2s_spool_keep(struct stanza *s);

/* --- what a process before has left --- */

struct s2s_found_message {
	uint64_t order;
	struct stanza *stanza; /* sealed, one reference; with its record */
};
struct s2s_found {
	struct s2s_found_message *at; /* owned; in the order in which they were sent */
	uint32_t n;
};
/* Looks through the spool, and tells router/acks.h of whose they are. When it has been opened,
 * before anything is added. */
void s2s_spool_find(void);
/* All that was found; at the second time nothing. After sessions are there again. */
void s2s_spool_take(struct s2s_found *out);
/* One of these passes the message log, which may not know it yet. False: it is refused, and that is
 * its end. */
ON_SHARD bool s2s_spool_passes(struct stanza *s);
