/* core/db_driver.h - what core/db asks of a database: one connection, used by one thread at a
 * time. Everything about threads, queues and grouping is db.c's. */
#pragma once

#include "core/attr.h"
#include "core/db.h"

enum db_role { DB_READER, DB_WRITER };
enum db_control {
	DB_BEGIN_READ,
	DB_BEGIN_WRITE,
	DB_COMMIT,
	DB_ROLLBACK,
	DB_SAVE, /* a savepoint in a write transaction; they do not nest */
	DB_SAVE_KEEP, /* forgets it, keeping the changes since */
	DB_SAVE_UNDO, /* forgets it, undoing them */
};

struct db_driver;
struct db_conn { /* first member of the driver's own */
	const struct db_driver *driver;
};
/* Functions return 0 or a negative errno as core/db.h lists them. */
struct db_driver {
	const char *name;
	/* The writer is opened first and closed last. On failure *error is set (static or heap text
	 * of the driver's choice, never freed by the caller). */
	int (*open)(const struct db_conf *conf, enum db_role role, struct db_conn **out,
		const char **error);
	void (*close)(struct db_conn *c);
	/* Runs a statement. fn may be NULL, is told no more rows once it returned other than 0, and
	 * may run another statement, the same one too, on this connection. *rows: how many it saw;
	 * *changed: rows written. index: the statement's, from DB_STMT_FIRST on. */
	int (*query)(struct db_conn *c, struct db_stmt *s, unsigned index, struct db_params params,
		db_row_fn *fn, void *arg, int *rows, int64_t *changed);
	int (*control)(struct db_conn *c, enum db_control what);
	bool (*in_transaction)(struct db_conn *c); /* some failures end it */
	int (*script)(struct db_conn *c, const char *sql); /* several statements */
	int64_t (*last_id)(struct db_conn *c);
	const char *(*error)(struct db_conn *c); /* of the last failure, for the log */
};
extern const struct db_driver db_sqlite;
#define DB_STMT_FIRST 16 /* smaller ones are for statements of the driver's own */

/* Makes a driver known to db_open(). Modules, before the database is opened. */
void db_driver_add(const struct db_driver *d);
/* For drivers: "INSERT INTO t (k, v) VALUES (?, ?)" of an upsert; the caller frees. */
char *db_insert_sql(const struct db_stmt *s);
