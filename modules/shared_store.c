/* modules/shared_store.c - shared groups in the database: one row for each, and one for each
 * member. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/db.h"
#include "core/mem.h"
#include "modules/erase.h"
#include "modules/roster_inside.h"
#include "modules/shared_inside.h"

static const struct db_migration migrations[] = {
	{ "shared_roster", 1,
		"CREATE TABLE shared_groups (host KEYTEXT NOT NULL, id KEYTEXT NOT NULL,"
		" label TEXT NOT NULL, description TEXT NOT NULL, who BIGINT NOT NULL,"
		" displays TEXT NOT NULL, PRIMARY KEY (host, id));"
		"CREATE TABLE shared_members (host KEYTEXT NOT NULL, id KEYTEXT NOT NULL,"
		" name KEYTEXT NOT NULL, PRIMARY KEY (host, id, name));" },
	{ 0 }
};
static struct db_stmt groups_stmt = DB_STMT("shared_groups",
	"SELECT id, label, description, who, displays FROM shared_groups WHERE host = ?");
static struct db_stmt members_stmt =
	DB_STMT("shared_members", "SELECT id, name FROM shared_members WHERE host = ? ORDER BY id");
static struct db_stmt put_stmt =
	DB_UPSERT("shared_put", "shared_groups", "host, id", "label, description, who, displays");
static struct db_stmt delete_stmt =
	DB_STMT("shared_delete", "DELETE FROM shared_groups WHERE host = ? AND id = ?");
static struct db_stmt delete_members_stmt =
	DB_STMT("shared_delete_members", "DELETE FROM shared_members WHERE host = ? AND id = ?");
static struct db_stmt find_stmt = DB_STMT(
	"shared_find", "SELECT name FROM shared_members WHERE host = ? AND id = ? AND name = ?");
static struct db_stmt add_stmt =
	DB_STMT("shared_add", "INSERT INTO shared_members (host, id, name) VALUES (?, ?, ?)");
static struct db_stmt remove_stmt = DB_STMT(
	"shared_remove", "DELETE FROM shared_members WHERE host = ? AND id = ? AND name = ?");
static struct db_stmt forget_stmt =
	DB_STMT("shared_forget", "DELETE FROM shared_members WHERE host = ? AND name = ?");

int shared_store_start(void)
{
	return db_migrate(db_main(), migrations);
}

/* ---- Loading, before anybody else sees the groups */

static int take_group(const struct db_row *row, void *arg)
{
	struct shared_host *sh = arg;
	struct shared_group *g;
	const char *const *displays;
	struct arena a;
	unsigned n;

	if (shared_find(sh, db_row_text(row, 0))) {
		log_warning("shared_roster", "the settings have a group of the same name",
			L_STR("host", sh->host->name), L_STR("group", db_row_text(row, 0)));
		return 0;
	}
	g = shared_group_make(db_row_text(row, 0), db_row_text(row, 1));
	shared_group_describe(g, db_row_text(row, 2));
	g->who = (enum shared_who)db_row_int(row, 3);
	arena_init(&a, NULL, 0);
	n = roster_groups_split(&a, db_row_text(row, 4), &displays);
	for (unsigned i = 0; i < n; i++)
		shared_group_show(g, displays[i]);
	arena_fini(&a);
	shared_add(sh, g);
	return 0;
}

/* Rows come group by group; their sets are made when the database is done. */
struct filling {
	struct shared_group *group;
	struct contact_set_builder *members;
};
struct members {
	struct shared_host *sh;
	struct filling *at;
	unsigned n;
};

static struct filling *filling_of(struct members *m, const char *id)
{
	struct shared_group *g;

	if (m->n && strcmp(m->at[m->n - 1].group->id, id) == 0)
		return &m->at[m->n - 1];
	g = shared_find(m->sh, id);
	if (!g || g->fixed)
		return NULL;
	m->at = xrealloc(m->at, (m->n + 1) * sizeof(*m->at));
	m->at[m->n] = (struct filling){ g, contact_set_begin() };
	return &m->at[m->n++];
}

static int take_member(const struct db_row *row, void *arg)
{
	struct members *m = arg;
	struct filling *f = filling_of(m, db_row_text(row, 0));
	struct jid *member;

	if (!f || jid_make(db_row_text(row, 1), m->sh->host->name, NULL, NULL, &member))
		return 0;
	contact_set_add(f->members, member, CONTACT_SHARED, NULL, 0);
	jid_free(member);
	return 0;
}

int shared_store_load(struct shared_host *sh)
{
	struct db_params host = DB_PARAMS(db_text(sh->host->name));
	struct members m = { .sh = sh };
	int result = db_read(db_main(), &groups_stmt, host, take_group, sh);

	if (result >= 0)
		result = db_read(db_main(), &members_stmt, host, take_member, &m);
	for (unsigned i = 0; i < m.n; i++) {
		contact_set_unref(m.at[i].group->listed);
		m.at[i].group->listed = contact_set_end(m.at[i].members);
	}
	free(m.at);
	return result < 0 ? result : 0;
}

/* ---- Changing */

struct change {
	const char *host, *id;
	const struct shared_group *group;
	const char *displays, *name;
};

static int run_put(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;

	return db_run(tx, &put_stmt,
		DB_PARAMS(db_text(c->host), db_text(c->id), db_text(c->group->label),
			db_text(c->group->description), db_int(c->group->who),
			db_text(c->displays)));
}

ON_JOB static int write_change(int (*run)(struct db_tx *tx, void *arg), struct change *c)
{
	int result = db_write(db_main(), run, c);

	return result < 0 ? result : 0;
}

int shared_store_put(struct shared_host *sh, const struct shared_group *g)
{
	struct change c = { .host = sh->host->name, .id = g->id, .group = g };
	struct arena a;
	int result;

	arena_init(&a, NULL, 0);
	c.displays = roster_groups_join(&a, (const char *const *)g->displays, g->n_displays);
	result = write_change(run_put, &c);
	arena_fini(&a);
	return result;
}

static int run_delete(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;
	struct db_params group = DB_PARAMS(db_text(c->host), db_text(c->id));
	int result = db_run(tx, &delete_members_stmt, group);

	return result < 0 ? result : db_run(tx, &delete_stmt, group);
}

int shared_store_delete(struct shared_host *sh, const char *id)
{
	return write_change(run_delete, &(struct change){ .host = sh->host->name, .id = id });
}

static int take_any(const struct db_row *row UNUSED, void *arg UNUSED)
{
	return 1;
}

static int run_add(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;
	struct db_params member = DB_PARAMS(db_text(c->host), db_text(c->id), db_text(c->name));
	int result = db_select(tx, &find_stmt, member, take_any, NULL);

	return result ? result : db_run(tx, &add_stmt, member);
}

int shared_store_add(struct shared_host *sh, const char *id, const struct jid *member)
{
	return write_change(run_add,
		&(struct change){ .host = sh->host->name, .id = id, .name = jid_local(member) });
}

static int run_remove(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;

	return db_run(
		tx, &remove_stmt, DB_PARAMS(db_text(c->host), db_text(c->id), db_text(c->name)));
}

int shared_store_remove(struct shared_host *sh, const char *id, const struct jid *member)
{
	return write_change(run_remove,
		&(struct change){ .host = sh->host->name, .id = id, .name = jid_local(member) });
}

void shared_store_forget(const struct jid *account)
{
	static struct db_stmt *const stmts[] = { &forget_stmt, NULL };

	erase_account(account, stmts, "shared_roster");
}
