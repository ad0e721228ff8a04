/* tests/unit/modules/test_message_db.c - the message log's tables: bodies once, entries per
 * account, what waits; and archives in pages (XEP-0313, XEP-0059). */
#include <errno.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "modules/message_archive.h"
#include "modules/message_log.h"
#include "tests/support/database.h"

static int64_t romeo, juliet;

static void begin(void)
{
	rcu_thread_begin();
	database_begin();
	cr_assert_eq(message_db_open(db_main()), 0);
	cr_assert_eq(message_db_account(db_main(), "h", "romeo", &romeo), 0);
	cr_assert_eq(message_db_account(db_main(), "h", "juliet", &juliet), 0);
}

static void end(void)
{
	database_end();
	rcu_thread_end();
}
TestSuite(message_db, .init = begin, .fini = end);

static struct jid *jid(const char *text)
{
	struct jid *j;

	cr_assert_eq(jid_parse(text, strlen(text), NULL, &j), JID_OK);
	return j;
}

/* ---- Writes */

struct change {
	enum { PUT, RECEIVED, REMOVE, TAKE, LET_GO_ALL, OFFER, TRIM, REMOVE_ACCOUNT } what;
	struct message_row row;
	int64_t account;
	uint64_t above, id;
	unsigned max;
	enum message_wait up_to;
};

static int run(struct db_tx *tx, void *arg)
{
	struct change *c = arg;

	switch (c->what) {
	case PUT:
		return message_db_put(tx, &c->row);
	case RECEIVED:
		return message_db_received(tx, c->account, c->id);
	case REMOVE:
		return message_db_remove(tx, c->account, c->id);
	case TAKE:
		return message_db_take(tx, c->account, c->up_to, c->above, c->id);
	case LET_GO_ALL:
		return message_db_let_go_all(tx);
	case OFFER:
		return message_archive_offer(tx, c->account);
	case TRIM:
		return message_archive_trim(tx, c->account, c->id, c->max);
	case REMOVE_ACCOUNT:
		return message_db_remove_account(tx, "h", "romeo", c->max);
	}
	return -EINVAL;
}

static int change(struct change c)
{
	return db_write(db_main(), run, &c);
}

static int put_with(uint64_t id, int64_t from, const char *from_jid, int64_t to, const char *to_jid,
	uint32_t flags, int64_t max, bool *full)
{
	struct jid *sender = jid(from_jid), *receiver = jid(to_jid);
	AUTO(free_ptr) char *body = xprintf("%llu", (unsigned long long)id);
	struct change c = { PUT, .row = { .id = id, .body = body, .max_waiting = max } };
	int result;

	c.row.body_len = (uint32_t)strlen(body);
	c.row.entries[0] = (struct message_entry){ from, message_peer(receiver),
		message_resource(receiver), MESSAGE_OUTGOING };
	c.row.entries[1] =
		(struct message_entry){ to, message_peer(sender), message_resource(sender), flags };
	result = db_write(db_main(), run, &c);
	if (full)
		*full = c.row.full;
	jid_free(sender);
	jid_free(receiver);
	return result;
}

/* From romeo's resource to juliet. */
static void put(uint64_t id, uint32_t flags)
{
	cr_assert(put_with(id, romeo, "romeo@h/orchard", juliet, "juliet@h", flags, 0, NULL) >= 0);
}

/* ---- What there is, as text */

static char found[1000];

static int note(const struct message_found *m, void *arg UNUSED)
{
	size_t len = strlen(found);
	AUTO(free_ptr) char *id = xprintf("%llu", (unsigned long long)m->id);

	cr_expect(m->body_len == strlen(id) && !memcmp(m->body, id, m->body_len));
	snprintf(found + len, sizeof(found) - len, "%s%s%s%s", len ? " " : "", id,
		m->flags & MESSAGE_OUTGOING ? ">" : "", m->flags & MESSAGE_HIDDEN ? "h" : "");
	return 0;
}

static const char *page(
	int64_t account, uint64_t first, uint64_t last, const char *with, bool back, unsigned max)
{
	struct jid *j = with ? jid(with) : NULL;
	struct message_range range = { account, first, last, j, back };
	int n;

	*found = '\0';
	n = message_archive_find(db_main(), &range, max, note, NULL);
	cr_expect_geq(n, 0);
	if (max > 1000)
		cr_expect_eq(message_archive_count(db_main(), &range), n);
	jid_free(j);
	return found;
}

static const char *all(int64_t account)
{
	return page(account, 0, INT64_MAX, NULL, false, 100000);
}

static const char *waiting(int64_t account, enum message_wait up_to, uint64_t above, unsigned max)
{
	*found = '\0';
	cr_expect_geq(message_db_waiting(db_main(), account, up_to, above, max, note, NULL), 0);
	return found;
}

static int take_count(const struct db_row *row, void *arg)
{
	*(int64_t *)arg = db_row_int(row, 0);
	return 1;
}

static int64_t bodies(void)
{
	static struct db_stmt stmt = DB_STMT("test_bodies", "SELECT COUNT(*) FROM message_body");
	int64_t n = -1;

	cr_assert_eq(db_read(db_main(), &stmt, DB_NO_PARAMS, take_count, &n), 1);
	return n;
}

/* ---- Ids and names */

Test(message_db, ids_as_text)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = { { "0", true }, { "9223372036854775807", true },
		{ "9223372036854775808", false }, { "18446744073709551616", false }, { "", false },
		{ "-1", false }, { "+1", false }, { " 1", false }, { "1 ", false },
		{ "0x1", false }, { "28482-98726", false }, { "000000000000000000000001", false } };
	uint64_t id;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		cr_expect_eq(message_id_read(rows[i].text, &id), rows[i].ok, "%s", rows[i].text);
	cr_expect_not(message_id_read(NULL, &id));
	cr_expect_eq(message_time_us(message_first_id(1234567)), 1234567);
}

Test(message_db, an_account_keeps_its_number)
{
	int64_t again, other;

	cr_assert_eq(message_db_account(db_main(), "h", "romeo", &again), 0);
	cr_expect_eq(again, romeo);
	cr_assert_eq(message_db_account(db_main(), "other", "romeo", &other), 0);
	cr_expect_neq(other, romeo);
	cr_expect_eq(message_archive_account(db_main(), "h", "romeo", &again), 1);
	cr_expect_eq(message_archive_account(db_main(), "h", "nobody", &again), 0);
}

/* ---- Putting */

Test(message_db, a_message_is_stored_once_for_both)
{
	uint64_t last = 1;

	cr_assert_eq(message_db_last_id(db_main(), &last), 0);
	cr_expect_eq(last, 0);
	put(5, 0);
	cr_expect_str_eq(all(romeo), "5>");
	cr_expect_str_eq(all(juliet), "5");
	cr_expect_eq(bodies(), 1);
	cr_assert_eq(message_db_last_id(db_main(), &last), 0);
	cr_expect_eq(last, 5);
}

Test(message_db, putting_again_changes_nothing)
{
	put(5, MESSAGE_WAITING);
	put(5, MESSAGE_WAITING);
	cr_expect_str_eq(all(romeo), "5>");
	cr_expect_str_eq(waiting(juliet, MESSAGE_OFFERED, 0, 10), "5");
	cr_expect_eq(change((struct change){ REMOVE, .account = romeo, .id = 5 }) < 0, false);
	cr_expect_eq(bodies(), 1, "juliet's is left");
	change((struct change){ REMOVE, .account = juliet, .id = 5 });
	cr_expect_eq(bodies(), 0, "nobody's is");
}

Test(message_db, an_entry_may_come_later)
{
	cr_assert(put_with(5, romeo, "romeo@h/o", 0, "juliet@h", 0, 0, NULL) >= 0);
	cr_expect_str_eq(all(juliet), "");
	put(5, 0);
	cr_expect_str_eq(all(juliet), "5");
	change((struct change){ REMOVE, .account = romeo, .id = 5 });
	cr_expect_str_eq(all(juliet), "5");
	change((struct change){ REMOVE, .account = juliet, .id = 5 });
	cr_expect_eq(bodies(), 0);
}

Test(message_db, full)
{
	bool full;

	for (uint64_t id = 1; id <= 4; id++) {
		cr_assert(put_with(id, romeo, "romeo@h/o", juliet, "juliet@h", MESSAGE_WAITING, 3,
				  &full) >= 0);
		cr_expect_eq(full, id == 4);
	}
	cr_expect_str_eq(all(romeo), "1> 2> 3>");
	cr_expect_eq(message_db_count_waiting(db_main(), juliet), 3);
	cr_expect_eq(bodies(), 3);
}

/* ---- What waits */

Test(message_db, what_waits_is_handed_out_once)
{
	for (uint64_t id = 1; id <= 5; id++)
		put(id, MESSAGE_WAITING);
	cr_expect_str_eq(waiting(juliet, MESSAGE_OFFERED, 0, 3), "1 2 3");
	cr_expect_eq(change((struct change){
			     TAKE, .account = juliet, .id = 3, .up_to = MESSAGE_OFFERED }),
		3);
	cr_expect_str_eq(waiting(juliet, MESSAGE_OFFERED, 0, 9), "4 5");
	cr_expect_str_eq(waiting(juliet, MESSAGE_OFFERED, 4, 9), "5");
	cr_expect_str_eq(waiting(romeo, MESSAGE_OFFERED, 0, 9), "");
	change((struct change){ RECEIVED, .account = juliet, .id = 1 });
	cr_expect_str_eq(waiting(juliet, MESSAGE_OFFERED, 0, 9), "4 5", "2 and 3 are taken");
	change((struct change){ LET_GO_ALL });
	cr_expect_str_eq(waiting(juliet, MESSAGE_OFFERED, 0, 9), "2 3 4 5");
	cr_expect_str_eq(all(juliet), "1 2 3 4 5", "received or not");
}

Test(message_db, what_waits_from_before_is_left)
{
	for (uint64_t id = 1; id <= 5; id++)
		put(id, MESSAGE_WAITING);
	cr_expect_eq(change((struct change){
			     TAKE, .account = juliet, .above = 2, .id = 4, .up_to = MESSAGE_FREE }),
		2);
	cr_expect_str_eq(waiting(juliet, MESSAGE_FREE, 0, 9), "1 2 5");
}

Test(message_db, a_hidden_one_goes_when_it_was_received)
{
	cr_assert(put_with(5, 0, "mercutio@elsewhere", juliet, "juliet@h",
			  MESSAGE_WAITING | MESSAGE_HIDDEN, 0, NULL) >= 0);
	cr_expect_str_eq(all(juliet), "");
	cr_expect_eq(message_archive_has(db_main(), juliet, 5), 0);
	cr_expect_str_eq(waiting(juliet, MESSAGE_FREE, 0, 9), "5h");
	change((struct change){ RECEIVED, .account = juliet, .id = 5 });
	cr_expect_str_eq(waiting(juliet, MESSAGE_FREE, 0, 9), "");
	cr_expect_eq(bodies(), 0);
	change((struct change){ RECEIVED, .account = juliet, .id = 5 });
}

/* XEP-0313 §6.1.1 */
Test(message_db, what_is_offered_waits_for_others)
{
	uint64_t ids[9];

	put(1, MESSAGE_WAITING);
	put(2, MESSAGE_WAITING | MESSAGE_HIDDEN);
	cr_expect_eq(change((struct change){ OFFER, .account = juliet }), 1);
	put(3, MESSAGE_WAITING);
	cr_expect_str_eq(waiting(juliet, MESSAGE_FREE, 0, 9), "2h 3");
	cr_expect_str_eq(waiting(juliet, MESSAGE_OFFERED, 0, 9), "1 2h 3");
	cr_expect_eq(message_archive_waiting(db_main(), juliet, 1, 3, ids, 9), 3);
	cr_expect_eq(message_archive_waiting(db_main(), juliet, 2, 2, ids, 9), 1);
	cr_expect_eq(ids[0], 2);
	cr_expect_eq(
		change((struct change){ TAKE, .account = juliet, .id = 3, .up_to = MESSAGE_FREE }),
		2);
	cr_expect_str_eq(waiting(juliet, MESSAGE_OFFERED, 0, 9), "1");
}

/* ---- Pages */

static void fill(void)
{
	static const char *const from[] = { "romeo@h/orchard", "mercutio@x/a", "romeo@h/tomb",
		"mercutio@x/b", "romeo@h", "romeo@h/orchard" };

	for (unsigned i = 0; i < ARRAY_LEN(from); i++)
		cr_assert(put_with((i + 1) * 10, 0, from[i], juliet, "juliet@h", 0, 0, NULL) >= 0);
}

Test(message_db, pages)
{
	static const struct {
		const char *section;
		uint64_t first, last;
		const char *with;
		bool back;
		unsigned max;
		const char *ids;
	} rows[] = {
		{ "0313 4", 0, INT64_MAX, NULL, false, 100000, "10 20 30 40 50 60" },
		{ "0059 2.1", 0, INT64_MAX, NULL, false, 2, "10 20" },
		{ "0059 2.2", 21, INT64_MAX, NULL, false, 2, "30 40" },
		{ "0059 2.5", 0, INT64_MAX, NULL, true, 2, "60 50" },
		{ "0059 2.3", 0, 49, NULL, true, 2, "40 30" },
		{ "0313 4.1.3", 20, 40, NULL, false, 100000, "20 30 40" },
		{ "0313 4.1.1", 0, INT64_MAX, "romeo@h", false, 100000, "10 30 50 60" },
		{ "0313 4.1.1", 0, INT64_MAX, "romeo@h/orchard", false, 100000, "10 60" },
		{ "0313 4.1.1", 0, INT64_MAX, "romeo@h/orchard", true, 1, "60" },
		{ "0313 4.1.1", 11, 50, "mercutio@x", true, 100000, "40 20" },
		{ "0313 4.1.1", 0, INT64_MAX, "nobody@h", false, 100000, "" },
		{ "0313 4.1.3", 41, 40, NULL, false, 100000, "" },
	};

	fill();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		cr_expect_str_eq(page(juliet, rows[i].first, rows[i].last, rows[i].with,
					 rows[i].back, rows[i].max),
			rows[i].ids, "XEP-%s: %s", rows[i].section, found);
}

Test(message_db, single_ones_and_both_ends)
{
	uint64_t first, last;

	cr_expect_eq(message_archive_ends(db_main(), juliet, 0, &first, &last), 0);
	fill();
	cr_expect_eq(message_archive_ends(db_main(), juliet, 0, &first, &last), 1);
	cr_expect(first == 10 && last == 60);
	cr_expect_eq(message_archive_ends(db_main(), juliet, 15, &first, &last), 1);
	cr_expect(first == 20 && last == 60);
	cr_expect_eq(message_archive_ends(db_main(), juliet, 61, &first, &last), 0);
	cr_expect_eq(message_archive_has(db_main(), juliet, 30), 1);
	cr_expect_eq(message_archive_has(db_main(), juliet, 31), 0);
	cr_expect_eq(message_archive_has(db_main(), romeo, 30), 0);
	*found = '\0';
	cr_expect_eq(message_archive_get(db_main(), juliet, 30, note, NULL), 1);
	cr_expect_str_eq(found, "30");
	cr_expect_eq(message_archive_get(db_main(), romeo, 30, note, NULL), 0);
}

/* ---- Trimming */

Test(message_db, trimmed_by_number)
{
	uint64_t below;

	fill();
	cr_assert_eq(message_archive_nth(db_main(), juliet, 6, &below), 0);
	cr_expect_eq(below, 0);
	cr_assert_eq(message_archive_nth(db_main(), juliet, 2, &below), 0);
	cr_expect_eq(change((struct change){ TRIM, .account = juliet, .id = below, .max = 3 }), 3);
	cr_expect_str_eq(all(juliet), "40 50 60");
	cr_expect_eq(change((struct change){ TRIM, .account = juliet, .id = below, .max = 3 }), 1);
	cr_expect_str_eq(all(juliet), "50 60");
	cr_expect_eq(change((struct change){ TRIM, .account = juliet, .id = below, .max = 3 }), 0);
	cr_expect_eq(bodies(), 2);
}

Test(message_db, what_waits_outlives_the_archive)
{
	put(1, MESSAGE_WAITING);
	put(2, 0);
	cr_expect_eq(
		change((struct change){ TRIM, .account = juliet, .id = INT64_MAX, .max = 9 }), 2);
	cr_expect_str_eq(all(juliet), "");
	cr_expect_str_eq(all(romeo), "1> 2>");
	cr_expect_str_eq(waiting(juliet, MESSAGE_FREE, 0, 9), "1h");
	change((struct change){ RECEIVED, .account = juliet, .id = 1 });
	change((struct change){ TRIM, .account = romeo, .id = INT64_MAX, .max = 9 });
	cr_expect_eq(bodies(), 0);
}

Test(message_db, accounts_one_by_one)
{
	struct message_owner o = { 0 };

	cr_expect_eq(message_archive_next(db_main(), o.no, &o), 1);
	cr_expect(o.no == romeo && !strcmp(o.host, "h") && !strcmp(o.name, "romeo"));
	cr_expect_eq(message_archive_next(db_main(), o.no, &o), 1);
	cr_expect_eq(o.no, juliet);
	cr_expect_eq(message_archive_next(db_main(), o.no, &o), 0);
}

Test(message_db, removed_with_its_account)
{
	struct change c = { REMOVE_ACCOUNT, .max = 2 };
	int64_t no;
	int steps = 0;

	for (uint64_t id = 1; id <= 5; id++)
		put(id, MESSAGE_WAITING);
	while (db_write(db_main(), run, &c) > 0)
		cr_assert_lt(steps++, 10);
	cr_expect_str_eq(all(romeo), "");
	cr_expect_eq(message_archive_account(db_main(), "h", "romeo", &no), 0);
	cr_expect_str_eq(all(juliet), "1 2 3 4 5");
	cr_expect_eq(bodies(), 5);
}
