/* modules/roster_store.c - rosters in the database: one row for each contact, and one for each
 * account that has any, with the version. A removed contact's row stays as a mark for clients that
 * come back with an older version, ROSTER_TOMBSTONES_MAX of them; after that they get the roster
 * whole. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/db.h"
#include "modules/roster_inside.h"

static const struct db_migration migrations[] = {
	{ "roster", 1,
		"CREATE TABLE roster_accounts (host KEYTEXT NOT NULL, name KEYTEXT NOT NULL,"
		" version BIGINT NOT NULL, base BIGINT NOT NULL, PRIMARY KEY (host, name));"
		"CREATE TABLE roster_contacts (host KEYTEXT NOT NULL, name KEYTEXT NOT NULL,"
		" contact KEYTEXT NOT NULL, bits BIGINT NOT NULL, changed BIGINT NOT NULL,"
		" title TEXT, in_groups TEXT NOT NULL, request TEXT,"
		" PRIMARY KEY (host, name, contact));" },
	{ 0 }
};
static struct db_stmt version_stmt = DB_STMT(
	"roster_version", "SELECT version, base FROM roster_accounts WHERE host = ? AND name = ?");
static struct db_stmt set_version_stmt =
	DB_UPSERT("roster_set_version", "roster_accounts", "host, name", "version, base");
static struct db_stmt forget_version_stmt =
	DB_STMT("roster_forget_version", "DELETE FROM roster_accounts WHERE host = ? AND name = ?");

#define COLUMNS "contact, bits, changed, title, in_groups, request"
static struct db_stmt find_stmt = DB_STMT("roster_find",
	"SELECT " COLUMNS " FROM roster_contacts WHERE host = ? AND name = ? AND contact = ?");
static struct db_stmt each_stmt = DB_STMT("roster_each",
	"SELECT " COLUMNS " FROM roster_contacts WHERE host = ? AND name = ? AND bits > 0");
static struct db_stmt changes_stmt = DB_STMT("roster_changes",
	"SELECT " COLUMNS
	" FROM roster_contacts WHERE host = ? AND name = ? AND changed > ? ORDER BY changed");
static struct db_stmt set_stmt = DB_UPSERT("roster_set", "roster_contacts", "host, name, contact",
	"bits, changed, title, in_groups, request");
static struct db_stmt delete_stmt = DB_STMT(
	"roster_delete", "DELETE FROM roster_contacts WHERE host = ? AND name = ? AND contact = ?");
static struct db_stmt count_removed_stmt = DB_STMT("roster_count_removed",
	"SELECT COUNT(*) FROM roster_contacts WHERE host = ? AND name = ? AND bits = 0");
static struct db_stmt sweep_stmt = DB_STMT("roster_sweep",
	"DELETE FROM roster_contacts WHERE host = ? AND name = ? AND bits = 0 AND changed <= ?");
static struct db_stmt count_requests_stmt = DB_STMT("roster_count_requests",
	"SELECT COUNT(*) FROM roster_contacts WHERE host = ? AND name = ? AND bits = ?");
static struct db_stmt erase_stmt =
	DB_STMT("roster_erase", "DELETE FROM roster_contacts WHERE host = ? AND name = ?");

#define ACCOUNT(r) db_text((r)->host->name), db_text(jid_local((r)->account))

int roster_store_start(void)
{
	return db_migrate(db_main(), migrations);
}

/* ---- Reading */

static int take_version(const struct db_row *row, void *arg)
{
	struct roster *r = arg;

	r->version = db_row_int(row, 0);
	r->base = db_row_int(row, 1);
	return 1;
}

int roster_open(struct roster *r)
{
	int rows;

	r->version = r->base = 0;
	rows = db_read(db_main(), &version_stmt, DB_PARAMS(ACCOUNT(r)), take_version, r);
	return rows < 0 ? rows : 0;
}

struct reading {
	struct arena *arena;
	roster_item_fn *fn;
	void *arg;
};

static const char *text_or_null(const struct db_row *row, unsigned col, struct arena *a)
{
	return db_row_is_null(row, col) ? NULL : arena_strdup(a, db_row_text(row, col));
}

static int take_item(const struct db_row *row, void *arg)
{
	const struct reading *reading = arg;
	const char *jid = db_row_text(row, 0);
	struct roster_item item = { .bits = (unsigned)db_row_int(row, 1),
		.changed = db_row_int(row, 2) };
	struct jid *parsed;

	if (jid_parse(jid, strlen(jid), reading->arena, &parsed))
		return 0; /* nobody could have it */
	item.jid = parsed;
	item.name = text_or_null(row, 3, reading->arena);
	item.n_groups = roster_groups_split(reading->arena, db_row_text(row, 4), &item.groups);
	item.request = text_or_null(row, 5, reading->arena);
	return reading->fn(&item, reading->arg);
}

static int keep_item(const struct roster_item *item, void *arg)
{
	*(struct roster_item *)arg = *item;
	return 1;
}

int roster_find(struct roster *r, const struct jid *contact, struct roster_item *out)
{
	struct reading reading = { .arena = &r->arena, .fn = keep_item, .arg = out };
	int rows;

	*out = (struct roster_item){ .jid = contact };
	rows = db_read(db_main(), &find_stmt,
		DB_PARAMS(ACCOUNT(r), db_text(jid_text(contact, &r->arena))), take_item, &reading);
	return rows;
}

/* Each item in an arena of its own: a roster may be long. */
struct each {
	roster_item_fn *fn;
	void *arg;
};

static int take_each(const struct db_row *row, void *arg)
{
	const struct each *each = arg;
	struct arena arena;
	struct reading reading = { .arena = &arena, .fn = each->fn, .arg = each->arg };
	char first[1024];
	int result;

	arena_init(&arena, first, sizeof(first));
	result = take_item(row, &reading);
	arena_fini(&arena);
	return result;
}

int roster_each_item(struct roster *r, roster_item_fn *fn, void *arg)
{
	struct each each = { .fn = fn, .arg = arg };

	return db_read(db_main(), &each_stmt, DB_PARAMS(ACCOUNT(r)), take_each, &each);
}

struct keeping {
	struct arena *arena;
	struct roster_item_list *list;
};

static int keep_in_list(const struct roster_item *item, void *arg)
{
	const struct keeping *k = arg;
	struct roster_item_list *l = k->list;

	if (l->n == l->room) {
		struct roster_item *more =
			arena_alloc(k->arena, (l->room * 2 + 16) * sizeof(*more));

		if (l->n)
			memcpy(more, l->at, l->n * sizeof(*more));
		l->at = more;
		l->room = l->room * 2 + 16;
	}
	l->at[l->n++] = *item;
	return 0;
}

/* Items that are kept lie in the roster's arena. */
ON_JOB static int list_rows(struct roster *r, struct db_stmt *stmt, struct db_params params,
	struct roster_item_list *out)
{
	struct keeping keeping = { &r->arena, out };
	struct reading reading = { .arena = &r->arena, .fn = keep_in_list, .arg = &keeping };

	*out = (struct roster_item_list){ 0 };
	return db_read(db_main(), stmt, params, take_item, &reading);
}

int roster_list_items(struct roster *r, struct roster_item_list *out)
{
	return list_rows(r, &each_stmt, DB_PARAMS(ACCOUNT(r)), out);
}

int roster_list_changes(struct roster *r, int64_t after, struct roster_item_list *out)
{
	return list_rows(r, &changes_stmt, DB_PARAMS(ACCOUNT(r), db_int(after)), out);
}

int roster_count_requests(struct roster *r, int64_t *out)
{
	int rows = db_read(db_main(), &count_requests_stmt,
		DB_PARAMS(ACCOUNT(r), db_int(CONTACT_PENDING_IN)), db_take_int, out);

	return rows < 0 ? rows : 0;
}

/* ---- Writing */

struct saving {
	const struct roster *r;
	const struct roster_item *item;
	enum roster_change how;
	int64_t version, base;
	const char *contact, *groups;
};

/* Marks of removed contacts are few; else all go, and who knows an older version starts anew. */
static int bound_removed(struct db_tx *tx, struct saving *s)
{
	int64_t n = 0;
	int result = db_select(tx, &count_removed_stmt, DB_PARAMS(ACCOUNT(s->r)), db_take_int, &n);

	if (result < 0 || n < ROSTER_TOMBSTONES_MAX)
		return result;
	s->base = s->version;
	return db_run(tx, &sweep_stmt, DB_PARAMS(ACCOUNT(s->r), db_int(s->version)));
}

/* Nobody has seen it, and nothing is left of it. */
static bool is_nothing(const struct roster_item *item)
{
	return !item->bits && !item->changed;
}

static int save(struct db_tx *tx, void *arg)
{
	struct saving *s = arg;
	const struct roster_item *i = s->item;
	int result;

	if (is_nothing(i))
		return db_run(tx, &delete_stmt, DB_PARAMS(ACCOUNT(s->r), db_text(s->contact)));
	result = db_run(tx, &set_stmt,
		DB_PARAMS(ACCOUNT(s->r), db_text(s->contact), db_int(i->bits), db_int(i->changed),
			db_text(i->name), db_text(s->groups), db_text(i->request)));
	if (result < 0 || s->how == ROSTER_UNSEEN)
		return result;
	s->base = s->r->base ? s->r->base : s->version - 1;
	if (!i->bits) {
		result = bound_removed(tx, s);
		if (result < 0)
			return result;
	}
	return db_run(tx, &set_version_stmt,
		DB_PARAMS(ACCOUNT(s->r), db_int(s->version), db_int(s->base)));
}

/* Versions begin with the time, so that an account that is made anew has none of its old ones. */
static int64_t next_version(const struct roster *r)
{
	return r->version ? r->version + 1 : (int64_t)clock_wall_ms();
}

/* The change stands whether it can be read back or not, which is logged there. */
ON_JOB static void follow(struct roster *r)
{
	account_changed(r->host, r->account, &contacts_kind);
}

int roster_save(struct roster *r, struct roster_item *item, enum roster_change how)
{
	struct roster_item changed = *item;
	struct saving s = { .r = r, .item = &changed, .how = how, .base = r->base };
	int result;

	s.version = how == ROSTER_SEEN ? next_version(r) : r->version;
	if (how == ROSTER_SEEN)
		changed.changed = s.version;
	s.contact = jid_text(item->jid, &r->arena);
	s.groups = roster_groups_join(&r->arena, item->groups, item->n_groups);
	result = db_write(db_main(), save, &s);
	if (result < 0)
		return result;
	*item = changed;
	r->version = s.version;
	r->base = s.base;
	follow(r);
	return 0;
}

static int erase(struct db_tx *tx, void *arg)
{
	const struct roster *r = arg;
	int result = db_run(tx, &erase_stmt, DB_PARAMS(ACCOUNT(r)));

	return result < 0 ? result : db_run(tx, &forget_version_stmt, DB_PARAMS(ACCOUNT(r)));
}

int roster_erase(struct roster *r)
{
	int result = db_write(db_main(), erase, r);

	r->version = r->base = 0;
	if (result >= 0)
		follow(r);
	return result;
}
