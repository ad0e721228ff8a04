/* modules/privacy_store.c - privacy lists in the database: a row for each list and each rule. */
#include "modules/privacy_store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "router/contacts.h"

static const struct db_migration migrations[] = {
	{ "privacy", 1,
		"CREATE TABLE privacy_lists (id AUTOID, host KEYTEXT NOT NULL,"
		" name KEYTEXT NOT NULL, list KEYTEXT NOT NULL, number BIGINT NOT NULL,"
		" standard BIGINT NOT NULL);"
		"CREATE UNIQUE INDEX privacy_lists_name ON privacy_lists (host, name, list);"
		"CREATE TABLE privacy_rules (list BIGINT NOT NULL, position BIGINT NOT NULL,"
		" about BIGINT NOT NULL, value KEYTEXT NOT NULL, deny BIGINT NOT NULL,"
		" kinds BIGINT NOT NULL, PRIMARY KEY (list, position));"
		"CREATE INDEX privacy_rules_value ON privacy_rules (list, value);" },
	{ 0 }
};

#define OF_ACCOUNT " WHERE host = ? AND name = ?"
#define LISTS "(SELECT id FROM privacy_lists" OF_ACCOUNT ")"
#define ACCOUNT(o) db_text((o)->host), db_text((o)->name)

static struct db_stmt lists_stmt = DB_STMT("privacy_lists",
	"SELECT id, list, standard, number FROM privacy_lists" OF_ACCOUNT " ORDER BY id");
static struct db_stmt rules_stmt = DB_STMT("privacy_rules",
	"SELECT position, about, value, deny, kinds FROM privacy_rules WHERE list = ?"
	" ORDER BY position");
static struct db_stmt numbers_stmt = DB_STMT(
	"privacy_numbers", "SELECT number FROM privacy_lists" OF_ACCOUNT " ORDER BY number");
static struct db_stmt count_lists_stmt =
	DB_STMT("privacy_count_lists", "SELECT COUNT(*) FROM privacy_lists" OF_ACCOUNT);
static struct db_stmt count_rules_stmt =
	DB_STMT("privacy_count_rules", "SELECT COUNT(*) FROM privacy_rules WHERE list IN " LISTS);
static struct db_stmt standard_stmt =
	DB_STMT("privacy_standard", "SELECT id FROM privacy_lists" OF_ACCOUNT " AND standard = 1");
static struct db_stmt by_name_stmt =
	DB_STMT("privacy_by_name", "SELECT id FROM privacy_lists" OF_ACCOUNT " AND list = ?");
static struct db_stmt add_list_stmt = DB_STMT("privacy_add_list",
	"INSERT INTO privacy_lists (host, name, list, standard, number)"
	" VALUES (?, ?, ?, ?, ?)");
static struct db_stmt set_standard_stmt = DB_STMT("privacy_set_standard",
	"UPDATE privacy_lists SET standard = CASE WHEN id = ? THEN 1 ELSE 0 END"
	"" OF_ACCOUNT);
static struct db_stmt delete_list_stmt =
	DB_STMT("privacy_delete_list", "DELETE FROM privacy_lists WHERE id = ?");
static struct db_stmt clear_stmt =
	DB_STMT("privacy_clear", "DELETE FROM privacy_rules WHERE list = ?");
static struct db_stmt first_stmt =
	DB_STMT("privacy_first", "SELECT MIN(position) FROM privacy_rules WHERE list = ?");
static struct db_stmt add_rule_stmt = DB_STMT("privacy_add_rule",
	"INSERT INTO privacy_rules (list, position, about, value, deny, kinds)"
	" VALUES (?, ?, ?, ?, ?, ?)");
#define IS_BLOCK " AND about = 1 AND deny = 1 AND kinds = 0"
static struct db_stmt is_blocked_stmt = DB_STMT(
	"privacy_is_blocked", "SELECT 1 FROM privacy_rules WHERE list = ? AND value = ?" IS_BLOCK);
static struct db_stmt unblock_stmt = DB_STMT(
	"privacy_unblock", "DELETE FROM privacy_rules WHERE list = ? AND value = ?" IS_BLOCK);
static struct db_stmt unblock_all_stmt =
	DB_STMT("privacy_unblock_all", "DELETE FROM privacy_rules WHERE list = ?" IS_BLOCK);
static struct db_stmt erase_rules_stmt =
	DB_STMT("privacy_erase_rules", "DELETE FROM privacy_rules WHERE list IN " LISTS);
static struct db_stmt erase_lists_stmt =
	DB_STMT("privacy_erase_lists", "DELETE FROM privacy_lists" OF_ACCOUNT);
struct db_stmt *const privacy_erase_stmts[] = { &erase_rules_stmt, &erase_lists_stmt, NULL };

_Static_assert(PRIVACY_JID == 1, "what the statements call a block");

int privacy_store_start(void)
{
	job_check();
	if (!db_main()) {
		log_error("privacy", "needs a database");
		return -ENODEV;
	}
	return db_migrate(db_main(), migrations);
}

/* ---- Loading */

static int take_list(const struct db_row *row, void *arg)
{
	privacy_add_list(arg, db_row_int(row, 0), (uint8_t)db_row_int(row, 3), db_row_text(row, 1),
		db_row_int(row, 2));
	return 0;
}

/* What an earlier version wrote and this one cannot read is left out, and said. */
static void read_value(const char *value, struct privacy_rule *r, struct arena *a)
{
	struct jid *jid;

	if (r->about == PRIVACY_GROUP)
		r->group = value;
	else if (r->about == PRIVACY_SUBSCRIPTION)
		r->subscription = (unsigned)strtoul(value, NULL, 10);
	else if (r->about == PRIVACY_JID && jid_parse(value, strlen(value), a, &jid) == JID_OK)
		r->jid = jid;
}

static int take_rule(const struct db_row *row, void *arg)
{
	struct privacy *p = arg;
	struct privacy_rule r = { .order = db_row_int(row, 0),
		.about = (enum privacy_about)db_row_int(row, 1),
		.deny = db_row_int(row, 3),
		.kinds = (unsigned)db_row_int(row, 4) };
	char room[512];
	struct arena a;

	arena_init(&a, room, sizeof(room));
	read_value(db_row_text(row, 2), &r, &a);
	if (r.about == PRIVACY_JID && !r.jid)
		log_error("privacy", "a stored address cannot be read",
			L_STR("value", db_row_text(row, 2)));
	else
		privacy_add_rule(p, &r);
	arena_fini(&a);
	return 0;
}

struct loading {
	struct host *host;
	const struct jid *bare;
	struct privacy *into, *lists;
};

static int load_rules(struct db_tx *tx, struct privacy *into, const struct privacy_list *l,
	const struct privacy *from)
{
	privacy_add_list(into, l->id, l->number, l->name, from->standard == l);
	return db_select(tx, &rules_stmt, DB_PARAMS(db_int(l->id)), take_rule, into);
}

static int load(struct db_tx *tx, void *arg)
{
	struct loading *l = arg;
	int result = db_select(tx, &lists_stmt,
		DB_PARAMS(db_text(l->host->name), db_text(jid_local(l->bare))), take_list,
		l->lists);

	privacy_end(l->lists);
	for (unsigned i = 0; i < l->lists->n && result >= 0; i++)
		result = load_rules(tx, l->into, &l->lists->lists[i], l->lists);
	return result;
}

int privacy_store_load(
	void *arg UNUSED, struct host *h, const struct jid *bare, struct account_part **out)
{
	struct loading l = {
		.host = h, .bare = bare, .into = privacy_new(), .lists = privacy_new()
	};
	int result;

	job_check();
	result = db_view(db_main(), load, &l);
	privacy_end(l.into);
	l.lists->part.free(&l.lists->part);
	if (result >= 0 && l.into->n) {
		*out = &l.into->part;
		return 0;
	}
	l.into->part.free(&l.into->part); /* an account without lists keeps nothing */
	return result < 0 ? result : 0;
}

/* ---- Changing */

/* Its number, or 0 when there is none, or a negative errno. */
static int64_t number(struct db_tx *tx, struct db_stmt *s, struct db_params params)
{
	int64_t n = 0;
	int result = db_select(tx, s, params, db_take_int, &n);

	return result < 0 ? result : n;
}

static int64_t list_named(struct db_tx *tx, const struct privacy_owner *o, const char *list)
{
	return number(tx, &by_name_stmt, DB_PARAMS(ACCOUNT(o), db_text(list)));
}

/* The lowest that is free: rows come in order. */
static int take_used(const struct db_row *row, void *arg)
{
	int64_t *free_number = arg;

	if (db_row_int(row, 0) != *free_number)
		return 1;
	++*free_number;
	return 0;
}

/* Its id, or a negative errno. */
static int64_t add_list(
	struct db_tx *tx, const struct privacy_owner *o, const char *list, bool standard)
{
	int64_t free_number = 1;
	int result = db_select(tx, &numbers_stmt, DB_PARAMS(ACCOUNT(o)), take_used, &free_number);

	if (result >= 0 && free_number > PRIVACY_LISTS_MAX)
		result = -EDQUOT;
	if (result >= 0)
		result = db_run(tx, &add_list_stmt,
			DB_PARAMS(
				ACCOUNT(o), db_text(list), db_int(standard), db_int(free_number)));
	return result < 0 ? result : db_last_id(tx);
}

static int64_t standard_of(struct db_tx *tx, const struct privacy_owner *o)
{
	return number(tx, &standard_stmt, DB_PARAMS(ACCOUNT(o)));
}

/* Under a name that no list of the client's has. */
static int64_t add_blocklist(struct db_tx *tx, const struct privacy_owner *o)
{
	char name[40] = "Blocked";
	int64_t found;

	for (int i = 2; (found = list_named(tx, o, name)) > 0; i++)
		snprintf(name, sizeof(name), "Blocked %d", i);
	return found < 0 ? found : add_list(tx, o, name, true);
}

static int add_rule(struct db_tx *tx, int64_t list, const struct privacy_rule *r)
{
	char text[JID_TEXT_MAX] = "";
	const char *value = r->group ? r->group : text;

	if (r->jid)
		jid_write(r->jid, text);
	else if (r->about == PRIVACY_SUBSCRIPTION)
		snprintf(text, sizeof(text), "%u", r->subscription);
	return db_run(tx, &add_rule_stmt,
		DB_PARAMS(db_int(list), db_int(r->order), db_int(r->about), db_text(value),
			db_int(r->deny), db_int(r->kinds)));
}

int privacy_store_check(struct db_tx *tx, const struct privacy_owner *o)
{
	struct db_params account = DB_PARAMS(ACCOUNT(o));
	int64_t lists = number(tx, &count_lists_stmt, account);
	int64_t rules = number(tx, &count_rules_stmt, account);

	if (lists < 0 || rules < 0)
		return (int)(lists < 0 ? lists : rules);
	return lists > o->max_lists || rules > o->max_rules ? -EDQUOT : 0;
}

int privacy_store_block(struct db_tx *tx, const struct privacy_owner *o, const struct jid *whom)
{
	struct privacy_rule r = { .about = PRIVACY_JID, .deny = true, .jid = whom };
	int64_t list = standard_of(tx, o), found;
	char text[JID_TEXT_MAX];

	if (!list)
		list = add_blocklist(tx, o);
	if (list < 0)
		return (int)list;
	jid_write(whom, text);
	found = number(tx, &is_blocked_stmt, DB_PARAMS(db_int(list), db_text(text)));
	if (found)
		return found < 0 ? (int)found : 0;
	r.order = number(tx, &first_stmt, DB_PARAMS(db_int(list)));
	r.order = (r.order < 0 ? r.order : 0) - 1;
	return add_rule(tx, list, &r);
}

int privacy_store_unblock(struct db_tx *tx, const struct privacy_owner *o, const struct jid *whom)
{
	int64_t list = standard_of(tx, o);
	char text[JID_TEXT_MAX];
	int result;

	if (list <= 0)
		return (int)list;
	if (!whom)
		result = db_run(tx, &unblock_all_stmt, DB_PARAMS(db_int(list)));
	else {
		jid_write(whom, text);
		result = db_run(tx, &unblock_stmt, DB_PARAMS(db_int(list), db_text(text)));
	}
	return result < 0 ? result : 0;
}

int privacy_store_set(struct db_tx *tx, const struct privacy_owner *o, const char *list,
	const struct privacy_rule *rules, unsigned n)
{
	int64_t id = list_named(tx, o, list);
	int result;

	if (!id)
		id = add_list(tx, o, list, false);
	if (id < 0)
		return (int)id;
	result = db_run(tx, &clear_stmt, DB_PARAMS(db_int(id)));
	for (unsigned i = 0; i < n && result >= 0; i++)
		result = add_rule(tx, id, &rules[i]);
	return result < 0 ? result : 0;
}

int privacy_store_delete(struct db_tx *tx, const struct privacy_owner *o UNUSED, int64_t list)
{
	int result = db_run(tx, &clear_stmt, DB_PARAMS(db_int(list)));

	if (result >= 0)
		result = db_run(tx, &delete_list_stmt, DB_PARAMS(db_int(list)));
	return result < 0 ? result : 0;
}

int privacy_store_standard(struct db_tx *tx, const struct privacy_owner *o, int64_t list)
{
	int result = db_run(tx, &set_standard_stmt, DB_PARAMS(db_int(list), ACCOUNT(o)));

	return result < 0 ? result : 0;
}
