/* modules/message_archive.h - reading and trimming accounts' archives in the message log's tables.
 * What only waits (MESSAGE_HIDDEN) is in none of these, but for trimming. */
#pragma once

#include "modules/message_db.h"

/* Which of an account's messages. */
struct message_range {
	int64_t account;
	uint64_t first, last; /* ids, both included */
	const struct jid *with; /* exchanged with it: a full JID, or any resource; NULL: anybody */
	bool backwards; /* from the last one */
};

/* How many rows fn saw, or a negative errno. Names may meet: fn looks at the stanza's addresses. At
 * most max rows. */
ON_JOB int message_archive_find(struct db *db, const struct message_range *range, unsigned max,
	message_found_fn *fn, void *arg);
/* One of them. 1, 0: it is not there, or a negative errno. */
ON_JOB int message_archive_get(
	struct db *db, int64_t account, uint64_t id, message_found_fn *fn, void *arg);
ON_JOB int message_archive_has(struct db *db, int64_t account, uint64_t id);
/* How many there are, which takes time in proportion; or a negative errno. */
ON_JOB int64_t message_archive_count(struct db *db, const struct message_range *range);
/* The first and the last id from `from` on. 0: there is none, 1, or a negative errno. */
ON_JOB int message_archive_ends(
	struct db *db, int64_t account, uint64_t from, uint64_t *first, uint64_t *last);

/* The account's number if it has one: 1, 0 or a negative errno. */
ON_JOB int message_archive_account(struct db *db, const char *host, const char *name, int64_t *out);

/* Of the account's messages between two ids, those that wait: at most max. How many, or a negative
 * errno. */
ON_JOB int message_archive_waiting(
	struct db *db, int64_t account, uint64_t first, uint64_t last, uint64_t *ids, unsigned max);
/* In a write: what waits and is in the archive is not handed to who reads the archive anyway. */
int message_archive_offer(struct db_tx *tx, int64_t account);

/* --- trimming */

/* One account after the other: the one behind `no`. 1, 0: there is none, or a negative errno. */
struct message_owner {
	int64_t no;
	char host[JID_PART_MAX + 1];
	char name[JID_PART_MAX + 1];
};
ON_JOB int message_archive_next(struct db *db, int64_t no, struct message_owner *out);
/* The id below which an archive is to go so that `keep` messages stay; 0: there are not more. Takes
 * time in proportion to keep. 0 or a negative errno. */
ON_JOB int message_archive_nth(struct db *db, int64_t account, int64_t keep, uint64_t *out);
/* In a write: at most max messages up to an id do not wait any more. How many, or a negative errno.
 */
int message_archive_give_up(struct db_tx *tx, int64_t account, uint64_t last, unsigned max);
/* In a write: at most max archived messages below an id go, those that wait stay as what waits.
 * How many, or a negative errno. */
int message_archive_trim(struct db_tx *tx, int64_t account, uint64_t below, unsigned max);
