/* core/handover.h - how a server gives what it has to the one that takes its place: records
 * (core/record.h), some with a descriptor, over a socket pair; and the list of those who have
 * something to give.
 *
 * Who has state that is to outlive this process adds a part, under a name and with a version:
 *
 *   static void save(struct handover *to)           the old server: nobody reads from a socket
 *   {
 *           record_begin(&r, "limits", 1);
 *           ...
 *           handover_give(to, &r, -1);
 *   }
 *   static int load(struct handover_item *i)        the new one: nobody is served yet
 *   {
 *           n = record_read_number_to(&i->in, 1000);
 *           ...
 *           return record_is_read(&i->in) ? 0 : -EBADMSG;
 *   }
 *   static const struct handover_part part = { "limits", 1, 1, save, load };
 *   handover_add(&part);                            at its start, in both
 *
 * The new server first tells which versions of which parts it knows. If the old one has a part that
 * the new one does not know, or in a version that it does not know, nothing is given. What load()
 * has made must be of no effect outside the process until the server serves. */
#pragma once

#include "core/attr.h"
#include "core/record.h"

#define HANDOVER_PARTS_MAX 64
#define HANDOVER_VERSION 1u /* of what the two servers say to each other besides parts */
#define HANDOVER_REFUSED "refused" /* what the new server says instead of anything else: why */

struct handover; /* the channel, with the error that broke it */
struct handover_item {
	struct record_reader in; /* opened: its name and version tell what it is */
	int fd; /* owned; -1: none */
	char *bytes; /* owned; private */
};
struct handover_part {
	const char *name; /* of its records */
	unsigned version; /* of what save() writes; load() knows no newer one */
	unsigned oldest; /* that load() knows */
	void (*save)(struct handover *to); /* NULL: its records come from elsewhere */
	int (*load)(struct handover_item *i); /* 0, or a negative errno: no record of that part */
};
void handover_add(const struct handover_part *p); /* once each; main */

/* Takes fd. Deadlines are clock_ms(); 0: the peer's end alone ends a wait. */
struct handover *handover_new(int fd);
void handover_free(struct handover *h); /* NULL is fine; closes */
void handover_until(struct handover *h, uint64_t deadline_ms);
int handover_fd(const struct handover *h); /* readable: something comes */

/* All of these block and are for one thread at a time, not a shard. 0 or a negative errno, which
 * stays: -EPIPE when the peer is gone, -ETIMEDOUT, -EMSGSIZE, -EBADMSG. */
int handover_give(struct handover *h, struct record *r, int fd); /* ends r; fd stays the caller's */
int handover_say(struct handover *h, const char *name, const char *text); /* a record of one text */
int handover_take(struct handover *h, struct handover_item *out);
int handover_error(const struct handover *h);
void handover_item_fini(struct handover_item *i);

/* The new server: what it knows; and one record of a part. load's result, or -ENOTSUP. */
int handover_hello(struct handover *h);
int handover_load(struct handover_item *i);
/* The old server. NULL: all that it has is known; else why not, which the caller frees. Reads i. */
char *handover_missing(struct handover_item *i);
int handover_save(struct handover *h); /* all parts */
