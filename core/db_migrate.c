/* core/db_migrate.c - each module's tables, brought from the version that is there to the newest.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/db_inside.h"
#include "core/log.h"

static struct db_stmt version_of =
	DB_STMT("schema_version", "SELECT version FROM linnet_schema WHERE module = ?");
static struct db_stmt version_set =
	DB_UPSERT("schema_version_set", "linnet_schema", "module", "version, applied");

static int make_schema_table(struct db_tx *tx, void *arg UNUSED)
{
	return tx->conn->driver->script(tx->conn,
		"CREATE TABLE IF NOT EXISTS linnet_schema (module KEYTEXT NOT NULL PRIMARY KEY,"
		" version BIGINT NOT NULL, applied BIGINT NOT NULL);");
}

static int take_version(const struct db_row *r, void *arg)
{
	*(int64_t *)arg = db_row_int(r, 0);
	return 0;
}

static int make_step(struct db_tx *tx, void *arg)
{
	const struct db_migration *step = arg;
	int result = tx->conn->driver->script(tx->conn, step->sql);

	if (result < 0)
		log_error("db", "cannot make tables", L_STR("module", step->module),
			L_INT("version", step->version),
			L_STR("cause", tx->conn->driver->error(tx->conn)));
	else
		result = db_run(tx, &version_set,
			DB_PARAMS(
				db_text(step->module), db_int(step->version), db_int(time(NULL))));
	return result < 0 ? result : 0;
}

/* All steps of one module; *after: the next module's first. */
static ON_JOB int migrate_module(
	struct db *db, const struct db_migration *first, const struct db_migration **after)
{
	const struct db_migration *step = first;
	int64_t have = 0, known = 0;
	int result =
		db_read(db, &version_of, DB_PARAMS(db_text(first->module)), take_version, &have);

	for (; step->module && strcmp(step->module, first->module) == 0; step++) {
		REQUIRE(step->version == known + 1);
		known = step->version;
	}
	*after = step;
	if (result >= 0 && have > known) {
		log_error("db", "the database was made by a newer version of this program",
			L_STR("module", first->module), L_INT("has", have), L_INT("knows", known));
		return -ENOTSUP;
	}
	for (step = first; result >= 0 && step < *after; step++)
		if (step->version > have)
			result = db_write(db, make_step, (void *)step);
	return result < 0 ? result : 0;
}

int db_migrate(struct db *db, const struct db_migration *steps)
{
	int error = db_write(db, make_schema_table, NULL);

	while (!error && steps->module)
		error = migrate_module(db, steps, &steps);
	return error;
}
