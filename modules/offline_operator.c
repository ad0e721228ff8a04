/* modules/offline_operator.c - what waits for accounts, as operators look at it and clear it away.
 */
#include <errno.h>

#include "core/spool.h"
#include "modules/message_archive.h"
#include "modules/offline.h"
#include "modules/offline_inside.h"
#include "xml/parser.h"

#define AT_ONCE 100 /* messages read or deleted */

/* Its number: 1, 0: it has none yet, or a negative errno. */
ON_JOB static int find(const char *host, const char *name, int64_t *account)
{
	message_log_settle();
	return message_archive_account(db_main(), host, name, account);
}

int64_t offline_count(const char *host, const char *name)
{
	int64_t account;
	int found = find(host, name, &account);

	return found > 0 ? message_db_count_waiting(db_main(), account) : found;
}

struct listing {
	void (*fn)(const struct offline_item *item, void *arg);
	void *arg;
	uint64_t last;
};

static const struct parser_limits body_limits = { SPOOL_RECORD_MAX, PARSER_DEPTH, UINT16_MAX };

static int list_one(const struct message_found *m, void *arg)
{
	struct offline_item item = { .at_us = message_time_us(m->id),
		.bytes = (int64_t)m->body_len };
	char from[JID_TEXT_MAX] = "";
	struct listing *l = arg;
	struct stanza *s;

	l->last = m->id;
	item.from = from;
	if (parse_stanza(m->body, m->body_len, &body_limits, &s) == 0) {
		if (s->from)
			jid_write(s->from, from);
		stanza_unref(s);
	}
	l->fn(&item, l->arg);
	return 0;
}

int offline_each(const char *host, const char *name,
	void (*fn)(const struct offline_item *item, void *arg), void *arg)
{
	struct listing l = { fn, arg, 0 };
	int64_t account;
	int n = find(host, name, &account);

	for (bool more = n > 0; more; more = n == AT_ONCE)
		n = message_db_waiting(
			db_main(), account, MESSAGE_OFFERED, l.last, AT_ONCE, list_one, &l);
	return n < 0 ? n : 0;
}

static int run_purge(struct db_tx *tx, void *account)
{
	return message_archive_give_up(tx, *(int64_t *)account, INT64_MAX, AT_ONCE);
}

int64_t offline_purge(const char *host, const char *name)
{
	int64_t account, deleted = 0;
	int n = find(host, name, &account);

	if (n <= 0)
		return n;
	do {
		n = db_write(db_main(), run_purge, &account);
		deleted += n > 0 ? n : 0;
	} while (n == AT_ONCE);
	return n < 0 ? n : deleted;
}
