/* modules/message_db.c - the message log's SQL. */
#include "modules/message_db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct db_migration migrations[] = {
	{ "messages", 1,
		"CREATE TABLE message_account (no AUTOID, host KEYTEXT NOT NULL,"
		" name KEYTEXT NOT NULL);"
		"CREATE UNIQUE INDEX message_account_name ON message_account (host, name);"
		"CREATE TABLE message_body (id OWNID, entries BIGINT NOT NULL, body BLOB NOT NULL);"
		"CREATE TABLE message_entry (account BIGINT NOT NULL, id BIGINT NOT NULL,"
		" peer BIGINT NOT NULL, resource BIGINT NOT NULL, hidden BIGINT NOT NULL,"
		" flags BIGINT NOT NULL, PRIMARY KEY (account, id)) CLUSTERED;"
		"CREATE INDEX message_entry_peer ON message_entry (account, peer, id, resource);"
		"CREATE TABLE message_waiting (account BIGINT NOT NULL, id BIGINT NOT NULL,"
		" state BIGINT NOT NULL, PRIMARY KEY (account, id)) CLUSTERED;" },
	{ 0 }
};

static struct db_stmt account_find = DB_STMT(
	"message_account_find", "SELECT no FROM message_account WHERE host = ? AND name = ?");
static struct db_stmt account_add =
	DB_STMT("message_account_add", "INSERT INTO message_account (host, name) VALUES (?, ?)");
static struct db_stmt account_remove =
	DB_STMT("message_account_remove", "DELETE FROM message_account WHERE no = ?");
static struct db_stmt body_add = DB_STMT(
	"message_body_add", "INSERT INTO message_body (id, entries, body) VALUES (?, ?, ?)");
static struct db_stmt body_last = DB_STMT("message_body_last", "SELECT MAX(id) FROM message_body");
static struct db_stmt body_count =
	DB_STMT("message_body_count", "UPDATE message_body SET entries = entries + ? WHERE id = ?");
static struct db_stmt body_remove =
	DB_STMT("message_body_remove", "DELETE FROM message_body WHERE id = ? AND entries <= 0");
static struct db_stmt entry_add = DB_STMT("message_entry_add",
	"INSERT INTO message_entry (account, id, peer, resource, hidden, flags)"
	" VALUES (?, ?, ?, ?, ?, ?)");
static struct db_stmt entry_remove =
	DB_STMT("message_entry_remove", "DELETE FROM message_entry WHERE account = ? AND id = ?");
static struct db_stmt entry_remove_hidden = DB_STMT("message_entry_remove_hidden",
	"DELETE FROM message_entry WHERE account = ? AND id = ? AND hidden = 1");
static struct db_stmt entry_before = DB_STMT("message_entry_before",
	"SELECT id FROM message_entry WHERE account = ? AND id < ? ORDER BY id LIMIT ?");
static struct db_stmt waiting_set =
	DB_UPSERT("message_waiting_set", "message_waiting", "account, id", "state");
static struct db_stmt waiting_remove = DB_STMT(
	"message_waiting_remove", "DELETE FROM message_waiting WHERE account = ? AND id = ?");
static struct db_stmt waiting_list = DB_STMT("message_waiting_list",
	"SELECT w.id, e.flags + e.hidden * 2, b.body FROM message_waiting w"
	" JOIN message_entry e ON e.account = w.account AND e.id = w.id"
	" JOIN message_body b ON b.id = w.id"
	" WHERE w.account = ? AND w.id > ? AND w.state <> 2 AND w.state <= ?"
	" ORDER BY w.id LIMIT ?");
static struct db_stmt waiting_count =
	DB_STMT("message_waiting_count", "SELECT COUNT(*) FROM message_waiting WHERE account = ?");
static struct db_stmt waiting_take = DB_STMT("message_waiting_take",
	"UPDATE message_waiting SET state = 2 WHERE account = ? AND id > ? AND id <= ?"
	" AND state <> 2 AND state <= ?");
static struct db_stmt waiting_let_go_all = DB_STMT(
	"message_waiting_let_go_all", "UPDATE message_waiting SET state = 1 WHERE state = 2");

bool message_id_read(const char *text, uint64_t *out)
{
	char *end;

	if (!text || *text < '0' || *text > '9' || strlen(text) > MESSAGE_ID_TEXT_MAX)
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return !errno && !*end && *out <= INT64_MAX;
}

/* FNV-1a: a name that somebody chooses to meet another one finds only what is its account's own. */
static uint64_t hash_text(uint64_t hash, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
	return hash;
}
#define HASH_BEGIN 14695981039346656037u

uint64_t message_peer(const struct jid *j)
{
	uint64_t hash = hash_text(HASH_BEGIN, jid_local(j), strlen(jid_local(j)));

	hash = hash_text(hash, "@", 1);
	return hash_text(hash, jid_domain(j), strlen(jid_domain(j))) & INT64_MAX;
}

uint32_t message_resource(const struct jid *j)
{
	const char *resource = jid_resource(j);
	uint64_t hash;

	if (!resource || !*resource)
		return 0;
	hash = hash_text(HASH_BEGIN, resource, strlen(resource));
	return (uint32_t)(hash ^ hash >> 32) | 1;
}

int message_db_open(struct db *db)
{
	return db_migrate(db, migrations);
}

/* --- accounts --- */

struct naming {
	const char *host, *name;
	int64_t no;
};

static int find_account(struct db_tx *tx, struct naming *n)
{
	return db_select(tx, &account_find, DB_PARAMS(db_text(n->host), db_text(n->name)),
		db_take_int, &n->no);
}

static int add_account(struct db_tx *tx, void *arg)
{
	struct naming *n = arg;
	int found = find_account(tx, n); /* somebody else may have been faster */

	if (found)
		return found;
	found = db_run(tx, &account_add, DB_PARAMS(db_text(n->host), db_text(n->name)));
	n->no = db_last_id(tx);
	return found;
}

int message_db_account(struct db *db, const char *host, const char *name, int64_t *out)
{
	struct naming n = { .host = host, .name = name };
	int found = db_read(
		db, &account_find, DB_PARAMS(db_text(host), db_text(name)), db_take_int, &n.no);

	if (!found)
		found = db_write(db, add_account, &n);
	if (found < 0)
		return found;
	*out = n.no;
	return 0;
}

int message_db_last_id(struct db *db, uint64_t *out)
{
	int64_t last = 0;
	int error = db_read(db, &body_last, DB_NO_PARAMS, db_take_int, &last);

	*out = (uint64_t)last;
	return error < 0 ? error : 0;
}

/* --- putting --- */

/* 1: it is new, 0: it was there. */
static int put_entry(struct db_tx *tx, uint64_t id, const struct message_entry *e)
{
	int added = db_run(tx, &entry_add,
		DB_PARAMS(db_int(e->account), db_int((int64_t)id), db_int((int64_t)e->peer),
			db_int(e->resource), db_int(e->flags & MESSAGE_HIDDEN ? 1 : 0),
			db_int(e->flags & ~(uint32_t)(MESSAGE_HIDDEN | MESSAGE_WAITING))));

	if (added == -EEXIST)
		added = 0;
	if (added >= 0 && e->flags & MESSAGE_WAITING) {
		int waits = db_run(tx, &waiting_set,
			DB_PARAMS(db_int(e->account), db_int((int64_t)id), db_int(MESSAGE_FREE)));

		if (waits < 0)
			return waits;
	}
	return added;
}

static int look_whether_full(struct db_tx *tx, struct message_row *row)
{
	const struct message_entry *e = &row->entries[1];
	int64_t waiting = 0;
	int error;

	row->full = false;
	if (!(e->flags & MESSAGE_WAITING) || !row->max_waiting)
		return 0;
	error = db_select(tx, &waiting_count, DB_PARAMS(db_int(e->account)), db_take_int, &waiting);
	row->full = waiting >= row->max_waiting;
	return error;
}

int message_db_put(struct db_tx *tx, struct message_row *row)
{
	int entries = 0, added = look_whether_full(tx, row);

	if (added < 0 || row->full)
		return added;
	for (unsigned i = 0; i < 2; i++) {
		if (!row->entries[i].account)
			continue;
		added = put_entry(tx, row->id, &row->entries[i]);
		if (added < 0)
			return added;
		entries += added;
	}
	if (!entries)
		return 0;
	added = db_run(tx, &body_add,
		DB_PARAMS(db_int((int64_t)row->id), db_int(entries),
			db_blob(row->body, row->body_len)));
	if (added == -EEXIST)
		added = db_run(
			tx, &body_count, DB_PARAMS(db_int(entries), db_int((int64_t)row->id)));
	return added;
}

/* --- removing --- */

static int drop_body(struct db_tx *tx, uint64_t id, int entries)
{
	int n;

	if (entries <= 0)
		return entries;
	n = db_run(tx, &body_count, DB_PARAMS(db_int(-entries), db_int((int64_t)id)));
	return n < 0 ? n : db_run(tx, &body_remove, DB_PARAMS(db_int((int64_t)id)));
}

int message_db_received(struct db_tx *tx, int64_t account, uint64_t id)
{
	struct db_params which = DB_PARAMS(db_int(account), db_int((int64_t)id));
	int n = db_run(tx, &waiting_remove, which);

	return n < 0 ? n : drop_body(tx, id, db_run(tx, &entry_remove_hidden, which));
}

int message_db_remove(struct db_tx *tx, int64_t account, uint64_t id)
{
	struct db_params which = DB_PARAMS(db_int(account), db_int((int64_t)id));
	int n = db_run(tx, &waiting_remove, which);

	return n < 0 ? n : drop_body(tx, id, db_run(tx, &entry_remove, which));
}

#define REMOVE_MAX 500u
struct removing {
	unsigned n;
	uint64_t ids[REMOVE_MAX];
};

static int take_id(const struct db_row *row, void *arg)
{
	struct removing *r = arg;

	r->ids[r->n++] = (uint64_t)db_row_int(row, 0);
	return r->n == REMOVE_MAX;
}

int message_db_remove_before(struct db_tx *tx, int64_t account, uint64_t id, unsigned max)
{
	struct removing r = { 0 };
	int n = db_select(tx, &entry_before,
		DB_PARAMS(db_int(account), db_int((int64_t)id),
			db_int(max < REMOVE_MAX ? max : REMOVE_MAX)),
		take_id, &r);

	for (unsigned i = 0; i < r.n && n >= 0; i++)
		n = message_db_remove(tx, account, r.ids[i]);
	return n < 0 ? n : (int)r.n;
}

int message_db_remove_account(struct db_tx *tx, const char *host, const char *name, unsigned max)
{
	struct naming n = { .host = host, .name = name };
	int found = find_account(tx, &n), removed;

	if (found <= 0)
		return found;
	removed = message_db_remove_before(tx, n.no, INT64_MAX, max);
	if (!removed)
		removed = db_run(tx, &account_remove, DB_PARAMS(db_int(n.no)));
	return removed;
}

/* --- what waits --- */

struct waiting {
	message_found_fn *fn;
	void *arg;
};

static int take_waiting(const struct db_row *row, void *arg)
{
	struct waiting *w = arg;
	struct message_found m = {
		.id = (uint64_t)db_row_int(row, 0),
		.flags = (uint32_t)db_row_int(row, 1),
	};

	m.body = db_row_blob(row, 2, &m.body_len);
	return w->fn(&m, w->arg);
}

int message_db_waiting(struct db *db, int64_t account, enum message_wait up_to, uint64_t above,
	unsigned max, message_found_fn *fn, void *arg)
{
	struct waiting w = { fn, arg };

	return db_read(db, &waiting_list,
		DB_PARAMS(db_int(account), db_int((int64_t)above), db_int(up_to), db_int(max)),
		take_waiting, &w);
}

int64_t message_db_count_waiting(struct db *db, int64_t account)
{
	int64_t n = 0;
	int error = db_read(db, &waiting_count, DB_PARAMS(db_int(account)), db_take_int, &n);

	return error < 0 ? error : n;
}

int message_db_take(
	struct db_tx *tx, int64_t account, enum message_wait up_to, uint64_t above, uint64_t last)
{
	return db_run(tx, &waiting_take,
		DB_PARAMS(db_int(account), db_int((int64_t)above), db_int((int64_t)last),
			db_int(up_to)));
}

int message_db_let_go_all(struct db_tx *tx)
{
	return db_run(tx, &waiting_let_go_all, DB_NO_PARAMS);
}
