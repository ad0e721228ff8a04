/* modules/message_archive.c - SQL of pages, and of what goes from archives. Each page is a range of
 * a key in its order: of (account, id), or of (account, peer, id, resource), so what it costs does
 * not depend on how much lies before or behind it. */
#include "modules/message_archive.h"

#include <string.h>

#include "modules/message_log.h"

#define ROW "SELECT e.id, e.flags, b.body"
#define FROM " FROM message_entry e CROSS JOIN message_body b WHERE e.account = ?"
#define SHOWN " AND e.hidden = 0"
#define BODY " AND b.id = e.id"
#define RANGE " AND e.id >= ? AND e.id <= ?"
/* Said so that only the key (account, peer, id, ...) serves: SQLite takes the other one for as
 * good. */
#define PEER_RANGE " AND (e.peer, e.id) >= (?, ?) AND (e.peer, e.id) <= (?, ?)"
#define RESOURCE " AND e.resource = ?"

enum whom { ANYBODY, WITH_BARE, WITH_FULL };
#define PAGES(name_, range_, forward_, backward_)                                             \
	{                                                                                     \
		DB_STMT(name_, ROW FROM range_ SHOWN BODY " ORDER BY " forward_ " LIMIT ?"),  \
			DB_STMT(name_ "_back",                                                \
				ROW FROM range_ SHOWN BODY " ORDER BY " backward_ " LIMIT ?") \
	}
static struct db_stmt find[3][2] = {
	[ANYBODY] = PAGES("message_archive_page", RANGE, "e.id", "e.id DESC"),
	[WITH_BARE] =
		PAGES("message_archive_with", PEER_RANGE, "e.peer, e.id", "e.peer DESC, e.id DESC"),
	[WITH_FULL] = PAGES("message_archive_with_full", PEER_RANGE RESOURCE, "e.peer, e.id",
		"e.peer DESC, e.id DESC"),
};

#define COUNT "SELECT COUNT(*) FROM message_entry e WHERE e.account = ?"
static struct db_stmt count[3] = {
	[ANYBODY] = DB_STMT("message_archive_count", COUNT RANGE SHOWN),
	[WITH_BARE] = DB_STMT("message_archive_count_with", COUNT PEER_RANGE SHOWN),
	[WITH_FULL] = DB_STMT("message_archive_count_with_full", COUNT PEER_RANGE RESOURCE SHOWN),
};

static struct db_stmt get_stmt =
	DB_STMT("message_archive_get", ROW FROM " AND e.id = ?" SHOWN BODY);
static struct db_stmt has_stmt = DB_STMT("message_archive_has",
	"SELECT id FROM message_entry WHERE account = ? AND id = ? AND hidden = 0");
static struct db_stmt first_stmt = DB_STMT("message_archive_first",
	"SELECT id FROM message_entry WHERE account = ? AND id >= ? AND hidden = 0"
	" ORDER BY id LIMIT 1");
static struct db_stmt last_stmt = DB_STMT("message_archive_last",
	"SELECT id FROM message_entry WHERE account = ? AND id >= ? AND hidden = 0"
	" ORDER BY id DESC LIMIT 1");
static struct db_stmt account_stmt = DB_STMT("message_archive_account",
	"SELECT no, host, name FROM message_account WHERE host = ? AND name = ?");
static struct db_stmt next_stmt = DB_STMT("message_archive_next",
	"SELECT no, host, name FROM message_account WHERE no > ? ORDER BY no LIMIT 1");
static struct db_stmt nth_stmt = DB_STMT("message_archive_nth",
	"SELECT id FROM message_entry WHERE account = ? AND hidden = 0"
	" ORDER BY id DESC LIMIT 1 OFFSET ?");
static struct db_stmt waiting_stmt = DB_STMT("message_archive_waiting",
	"SELECT id FROM message_waiting WHERE account = ? AND id >= ? AND id <= ?"
	" ORDER BY id LIMIT ?");
static struct db_stmt offer_stmt = DB_STMT("message_archive_offer",
	"UPDATE message_waiting SET state = 3 WHERE account = ? AND state = 1 AND EXISTS"
	" (SELECT 1 FROM message_entry e WHERE e.account = message_waiting.account"
	" AND e.id = message_waiting.id AND e.hidden = 0)");
static struct db_stmt before_stmt = DB_STMT("message_archive_before",
	"SELECT id FROM message_entry WHERE account = ? AND id < ? AND hidden = 0"
	" ORDER BY id LIMIT ?");
static struct db_stmt hide_stmt = DB_STMT("message_archive_hide",
	"UPDATE message_entry SET hidden = 1 WHERE account = ? AND id = ? AND EXISTS"
	" (SELECT 1 FROM message_waiting w WHERE w.account = message_entry.account"
	" AND w.id = message_entry.id)");

/* --- pages --- */

struct finding {
	message_found_fn *fn;
	void *arg;
};

static int take_found(const struct db_row *row, void *arg)
{
	const struct finding *f = arg;
	struct message_found m = {
		.id = (uint64_t)db_row_int(row, 0),
		.flags = (uint32_t)db_row_int(row, 1),
	};

	m.body = db_row_blob(row, 2, &m.body_len);
	return f->fn(&m, f->arg);
}

#define RANGE_PARAMS_MAX 7 /* with the LIMIT */

/* What the SQL asks for, in its order; returns how many. */
static unsigned range_params(const struct message_range *r, struct db_value *out, enum whom *whom)
{
	struct db_value first = db_int((int64_t)r->first), last = db_int((int64_t)r->last), peer;
	unsigned n = 0;

	*whom = !r->with ? ANYBODY : jid_is_full(r->with) ? WITH_FULL : WITH_BARE;
	out[n++] = db_int(r->account);
	if (*whom == ANYBODY) {
		out[n++] = first;
		out[n++] = last;
		return n;
	}
	peer = db_int((int64_t)message_peer(r->with));
	out[n++] = peer;
	out[n++] = first;
	out[n++] = peer;
	out[n++] = last;
	if (*whom == WITH_FULL)
		out[n++] = db_int(message_resource(r->with));
	return n;
}

int message_archive_find(struct db *db, const struct message_range *range, unsigned max,
	message_found_fn *fn, void *arg)
{
	struct finding f = { fn, arg };
	struct db_value values[RANGE_PARAMS_MAX];
	struct db_params params = { values, 0 };
	enum whom whom;

	params.n = range_params(range, values, &whom);
	values[params.n++] = db_int(max);
	return db_read(db, &find[whom][range->backwards], params, take_found, &f);
}

int message_archive_get(
	struct db *db, int64_t account, uint64_t id, message_found_fn *fn, void *arg)
{
	struct finding f = { fn, arg };

	return db_read(
		db, &get_stmt, DB_PARAMS(db_int(account), db_int((int64_t)id)), take_found, &f);
}

int message_archive_has(struct db *db, int64_t account, uint64_t id)
{
	return db_read(db, &has_stmt, DB_PARAMS(db_int(account), db_int((int64_t)id)), NULL, NULL);
}

int64_t message_archive_count(struct db *db, const struct message_range *range)
{
	struct db_value values[RANGE_PARAMS_MAX];
	struct db_params params = { values, 0 };
	int64_t n = 0;
	enum whom whom;
	int error;

	params.n = range_params(range, values, &whom);
	error = db_read(db, &count[whom], params, db_take_int, &n);
	return error < 0 ? error : n;
}

int message_archive_ends(
	struct db *db, int64_t account, uint64_t from, uint64_t *first, uint64_t *last)
{
	int64_t id = 0;
	int found = db_read(db, &first_stmt, DB_PARAMS(db_int(account), db_int((int64_t)from)),
		db_take_int, &id);

	*first = (uint64_t)id;
	if (found > 0)
		found = db_read(db, &last_stmt, DB_PARAMS(db_int(account), db_int((int64_t)from)),
			db_take_int, &id);
	*last = (uint64_t)id;
	return found;
}

int message_archive_account(struct db *db, const char *host, const char *name, int64_t *out)
{
	return db_read(
		db, &account_stmt, DB_PARAMS(db_text(host), db_text(name)), db_take_int, out);
}

/* --- what waits --- */

struct ids {
	uint64_t *at;
	unsigned n;
};

static int take_id(const struct db_row *row, void *arg)
{
	struct ids *ids = arg;

	ids->at[ids->n++] = (uint64_t)db_row_int(row, 0);
	return 0;
}

int message_archive_waiting(
	struct db *db, int64_t account, uint64_t first, uint64_t last, uint64_t *out, unsigned max)
{
	struct ids ids = { .at = out };

	return db_read(db, &waiting_stmt,
		DB_PARAMS(db_int(account), db_int((int64_t)first), db_int((int64_t)last),
			db_int(max)),
		take_id, &ids);
}

int message_archive_offer(struct db_tx *tx, int64_t account)
{
	return db_run(tx, &offer_stmt, DB_PARAMS(db_int(account)));
}

/* --- trimming --- */

static int take_owner(const struct db_row *row, void *arg)
{
	struct message_owner *o = arg;

	o->no = db_row_int(row, 0);
	snprintf(o->host, sizeof(o->host), "%s", db_row_text(row, 1));
	snprintf(o->name, sizeof(o->name), "%s", db_row_text(row, 2));
	return 1;
}

int message_archive_next(struct db *db, int64_t no, struct message_owner *out)
{
	return db_read(db, &next_stmt, DB_PARAMS(db_int(no)), take_owner, out);
}

int message_archive_nth(struct db *db, int64_t account, int64_t keep, uint64_t *out)
{
	int64_t id = 0;
	int found =
		db_read(db, &nth_stmt, DB_PARAMS(db_int(account), db_int(keep)), db_take_int, &id);

	*out = found > 0 ? (uint64_t)id + 1 : 0;
	return found < 0 ? found : 0;
}

#define TRIM_MAX 500u

/* What is done with each of the ids that s finds; returns how many, or a negative errno. */
static int each_found(struct db_tx *tx, struct db_stmt *s, struct db_params params, int64_t account,
	int (*fn)(struct db_tx *tx, int64_t account, uint64_t id))
{
	uint64_t at[TRIM_MAX];
	struct ids ids = { .at = at };
	int n = db_select(tx, s, params, take_id, &ids);

	for (unsigned i = 0; i < ids.n && n >= 0; i++)
		n = fn(tx, account, at[i]);
	return n < 0 ? n : (int)ids.n;
}

static int trim_one(struct db_tx *tx, int64_t account, uint64_t id)
{
	int hidden = db_run(tx, &hide_stmt, DB_PARAMS(db_int(account), db_int((int64_t)id)));

	return hidden ? hidden : message_db_remove(tx, account, id);
}

static struct db_value at_most(unsigned max)
{
	return db_int(max < TRIM_MAX ? max : TRIM_MAX);
}

int message_archive_trim(struct db_tx *tx, int64_t account, uint64_t below, unsigned max)
{
	return each_found(tx, &before_stmt,
		DB_PARAMS(db_int(account), db_int((int64_t)below), at_most(max)), account,
		trim_one);
}

int message_archive_give_up(struct db_tx *tx, int64_t account, uint64_t last, unsigned max)
{
	return each_found(tx, &waiting_stmt,
		DB_PARAMS(db_int(account), db_int(0), db_int((int64_t)last), at_most(max)), account,
		message_db_received);
}
