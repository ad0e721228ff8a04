/* core/db_sqlite.c - the embedded database: one file with a write-ahead log beside it.
 * Files are not mapped into memory: with a mapping, a bad disk ends the process by SIGBUS. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/db_driver.h"
#include "core/keep.h"
#include "core/mem.h"

#define PAGE_BYTES 4096
#define BUSY_MS 5000 /* waiting for another process to let go of the file */
#define WAL_KEPT_BYTES (64 << 20) /* a longer log is cut after a checkpoint */
/* The log is written into the file when it is so long: pages that every commit changes, such as the
 * ends of tables and of busy accounts, are then written there once for many commits. */
#define CHECKPOINT_PAGES 8192

struct sqlite_conn {
	struct db_conn conn;
	sqlite3 *sql;
	sqlite3_stmt **stmts; /* by index of struct db_stmt; NULL: not prepared yet */
	unsigned n;
	int own; /* the writer's: the file, marked as ours; closed last, see fcntl(2) on locks */
};

static struct sqlite_conn *sqlite_of(struct db_conn *c)
{
	return container_of(c, struct sqlite_conn, conn);
}

static int errno_of(int extended)
{
	switch (extended) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		return -EEXIST;
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		return -ENOENT;
	}
	switch (extended & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_IOERR:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_CANTOPEN:
	case SQLITE_PROTOCOL:
		return -EIO;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EROFS;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_TOOBIG:
		return -E2BIG;
	default: /* SQLITE_ERROR, SQLITE_CONSTRAINT_NOTNULL, SQLITE_MISUSE ... */
		return -EINVAL;
	}
}

static int sqlite_failure(struct sqlite_conn *c)
{
	int error = errno_of(sqlite3_extended_errcode(c->sql));

	return error ? error : -EIO;
}

/* --- opening and closing --------------------------------------------------------------------- */

/* Before the library's first use. The counting of memory would be a lock all connections share. */
static void configure_library(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* The mark of a file that was closed and may be opened again by this process: the monitor's copy of
 * the descriptor holds it, too, so closing ours would not lift it. Opening and closing for writing
 * is one thread's at a time. */
static struct {
	char name[KEEP_NAME_MAX];
	int fd;
} left = { .fd = -1 };

static int take_left(const char *name)
{
	return left.fd >= 0 && !strcmp(left.name, name) ? steal_fd(&left.fd) : -1;
}

static void mark_name(const struct stat *st, char *out)
{
	snprintf(
		out, KEEP_NAME_MAX, "sqlite %jx:%jx", (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);
}

static void leave_file(int *fd)
{
	struct stat st;

	if (*fd < 0 || !keep_is_served() || fstat(*fd, &st) < 0) {
		fd_close(fd);
		return;
	}
	fd_close(&left.fd);
	mark_name(&st, left.name);
	left.fd = steal_fd(fd);
}

/* Makes the file: accounts are in it, so others do not read it, and the files beside it get the
 * same mode. Marks it as ours: a second server would not see what the first one keeps in memory.
 * SQLite's own locks are of another kind, so its tools may read the file meanwhile. The mark goes
 * from server to server with the monitor's copy of the descriptor: to the one after a crash, and to
 * the one that takes this one's place in an upgrade. */
static int own_file(const char *path, int *out_fd, const char **error)
{
	AUTO(fd_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char name[KEEP_NAME_MAX];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		*error = strerrordesc_np(errno);
		return -errno;
	}
	mark_name(&st, name);
	*out_fd = take_left(name);
	if (*out_fd < 0)
		*out_fd = keep_take(name);
	if (*out_fd >= 0)
		return 0;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		*error = errno == EWOULDBLOCK ? "another server uses it" : strerrordesc_np(errno);
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	}
	keep_put(name, fd);
	*out_fd = steal_fd(&fd);
	return 0;
}

static int set_pragmas(struct sqlite_conn *c, const struct db_conf *conf, enum db_role role)
{
	static const char *const synchronous[] = { "FULL", "NORMAL", "OFF" };
	int64_t cache = role == DB_WRITER ? conf->cache_bytes : conf->cache_bytes / 4;
	char sql[512];

	snprintf(sql, sizeof(sql),
		"PRAGMA synchronous = %s; PRAGMA foreign_keys = ON; PRAGMA cache_size = -%lld;"
		"PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;"
		"PRAGMA journal_size_limit = %d; PRAGMA query_only = %s;",
		synchronous[conf->synchronous], (long long)(cache / 1024 ? cache / 1024 : 1),
		WAL_KEPT_BYTES, role == DB_READER ? "ON" : "OFF");
	if (sqlite3_exec(c->sql, sql, NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_failure(c);
	if (role == DB_READER)
		return 0;
	snprintf(sql, sizeof(sql),
		"PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = %d; PRAGMA max_page_count "
		"= %lld;",
		CHECKPOINT_PAGES,
		conf->max_bytes ? (long long)(conf->max_bytes / PAGE_BYTES) : 4294967294LL);
	return sqlite3_exec(c->sql, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : sqlite_failure(c);
}

static void sqlite_close_conn(struct db_conn *conn)
{
	struct sqlite_conn *c = sqlite_of(conn);

	for (unsigned i = 0; i < c->n; i++)
		sqlite3_finalize(c->stmts[i]);
	free(c->stmts);
	/* The last one to close writes the log into the file and removes it. */
	REQUIRE(sqlite3_close(c->sql) == SQLITE_OK);
	leave_file(&c->own);
	free(c);
}

static int sqlite_open_conn(
	const struct db_conf *conf, enum db_role role, struct db_conn **out, const char **error)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct sqlite_conn *c;
	int own = -1, failure = role == DB_WRITER ? own_file(conf->path, &own, error) : 0;

	if (failure)
		return failure;
	pthread_once(&once, configure_library);
	c = xcalloc(1, sizeof(*c));
	c->own = own;
	c->conn.driver = &db_sqlite;
	if (sqlite3_open_v2(conf->path, &c->sql,
		    (conf->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) |
			    SQLITE_OPEN_NOMUTEX,
		    NULL) != SQLITE_OK) {
		failure = c->sql ? sqlite_failure(c) : -ENOMEM;
	} else {
		sqlite3_extended_result_codes(c->sql, 1);
		sqlite3_busy_timeout(c->sql, BUSY_MS);
		failure = set_pragmas(c, conf, role);
	}
	if (failure) {
		*error = sqlite3_errstr(sqlite3_extended_errcode(c->sql));
		sqlite_close_conn(&c->conn);
		return failure;
	}
	*out = &c->conn;
	return 0;
}

/* --- statements ------------------------------------------------------------------------------ */

/* "a, b" as "a = excluded.a, b = excluded.b". */
static void write_assignments(FILE *out, const char *columns)
{
	const char *p = columns, *comma = "";

	while (*(p += strspn(p, ", "))) {
		int len = (int)strcspn(p, ", ");

		fprintf(out, "%s%.*s = excluded.%.*s", comma, len, p, len, p);
		comma = ", ";
		p += len;
	}
}

static char *upsert_sql(const struct db_stmt *s)
{
	AUTO(free_ptr) char *insert = db_insert_sql(s);
	char *sql = NULL;
	size_t len;
	FILE *out = open_memstream(&sql, &len);

	REQUIRE(out);
	fprintf(out, "%s ON CONFLICT (%s) DO ", insert, s->keys);
	if (*s->values) {
		fputs("UPDATE SET ", out);
		write_assignments(out, s->values);
	} else {
		fputs("NOTHING", out);
	}
	REQUIRE(fclose(out) == 0);
	return sql;
}

static int prepare(struct sqlite_conn *c, struct db_stmt *s, sqlite3_stmt **out)
{
	AUTO(free_ptr) char *built = s->sql ? NULL : upsert_sql(s);
	const char *sql = s->sql ? s->sql : built;

	if (sqlite3_prepare_v3(c->sql, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK)
		return sqlite_failure(c);
	return 0;
}

/* The connection's own prepared statement, or one for this time only when a row function of the
 * same statement asks again: then *out_once. */
static int statement(struct sqlite_conn *c, struct db_stmt *s, unsigned index, sqlite3_stmt **out,
	bool *out_once)
{
	*out_once = false;
	if (index >= c->n) {
		unsigned n = index + 16;

		c->stmts = xrealloc(c->stmts, n * sizeof(sqlite3_stmt *));
		memset(c->stmts + c->n, 0, (n - c->n) * sizeof(sqlite3_stmt *));
		c->n = n;
	}
	if (!c->stmts[index]) {
		int error = prepare(c, s, &c->stmts[index]);

		if (error)
			return error;
	}
	*out = c->stmts[index];
	if (!sqlite3_stmt_busy(*out))
		return 0;
	*out_once = true;
	return prepare(c, s, out);
}

static int bind_one(sqlite3_stmt *stmt, int at, const struct db_value *v)
{
	switch (v->type) {
	case DB_INT:
		return sqlite3_bind_int64(stmt, at, v->number);
	case DB_DOUBLE:
		return sqlite3_bind_double(stmt, at, v->real);
	case DB_TEXT:
		return sqlite3_bind_text64(stmt, at, v->bytes, v->len, SQLITE_STATIC, SQLITE_UTF8);
	case DB_BLOB: /* an empty one is not NULL */
		return v->len ? sqlite3_bind_blob64(stmt, at, v->bytes, v->len, SQLITE_STATIC)
			      : sqlite3_bind_zeroblob(stmt, at, 0);
	case DB_NULL:
		break;
	}
	return sqlite3_bind_null(stmt, at);
}

static int bind(struct sqlite_conn *c, sqlite3_stmt *stmt, struct db_params params)
{
	if (sqlite3_bind_parameter_count(stmt) != (int)params.n)
		return -EINVAL;
	for (unsigned i = 0; i < params.n; i++)
		if (bind_one(stmt, (int)i + 1, &params.at[i]) != SQLITE_OK)
			return sqlite_failure(c);
	return 0;
}

static struct db_value column(sqlite3_stmt *stmt, int col)
{
	const void *bytes;

	switch (sqlite3_column_type(stmt, col)) {
	case SQLITE_INTEGER:
		return db_int(sqlite3_column_int64(stmt, col));
	case SQLITE_FLOAT:
		return db_double(sqlite3_column_double(stmt, col));
	case SQLITE_TEXT:
		bytes = sqlite3_column_text(stmt, col);
		REQUIRE(bytes); /* out of memory */
		return db_text_n(bytes, (size_t)sqlite3_column_bytes(stmt, col));
	case SQLITE_BLOB:
		bytes = sqlite3_column_blob(stmt, col);
		return db_blob(bytes ? bytes : "", (size_t)sqlite3_column_bytes(stmt, col));
	default:
		return db_null();
	}
}

static int hand_row(sqlite3_stmt *stmt, db_row_fn *fn, void *arg)
{
	struct db_value values[DB_COLUMNS_MAX];
	struct db_row row = { .at = values, .n = (unsigned)sqlite3_column_count(stmt) };

	if (row.n > DB_COLUMNS_MAX) /* somebody else's table */
		row.n = DB_COLUMNS_MAX;
	for (unsigned i = 0; i < row.n; i++)
		values[i] = column(stmt, (int)i);
	return fn(&row, arg);
}

static int step_all(struct sqlite_conn *c, sqlite3_stmt *stmt, db_row_fn *fn, void *arg, int *rows)
{
	int step;

	while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
		++*rows;
		if (fn && hand_row(stmt, fn, arg) != 0)
			return 0;
	}
	return step == SQLITE_DONE ? 0 : sqlite_failure(c);
}

static int sqlite_query(struct db_conn *conn, struct db_stmt *s, unsigned index,
	struct db_params params, db_row_fn *fn, void *arg, int *rows, int64_t *changed)
{
	struct sqlite_conn *c = sqlite_of(conn);
	sqlite3_stmt *stmt = NULL;
	bool once;
	int error = statement(c, s, index, &stmt, &once);

	*rows = 0;
	*changed = 0;
	if (error)
		return error;
	error = bind(c, stmt, params);
	if (!error)
		error = step_all(c, stmt, fn, arg, rows);
	if (!error && !sqlite3_stmt_readonly(stmt))
		*changed = sqlite3_changes64(c->sql);
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt); /* the caller's bytes go */
	if (once)
		sqlite3_finalize(stmt);
	return error;
}

static int sqlite_control(struct db_conn *conn, enum db_control what)
{
	static struct db_stmt steps[] = {
		[DB_BEGIN_READ] = DB_STMT("begin", "BEGIN"),
		[DB_BEGIN_WRITE] = DB_STMT("begin", "BEGIN IMMEDIATE"),
		[DB_COMMIT] = DB_STMT("commit", "COMMIT"),
		[DB_ROLLBACK] = DB_STMT("rollback", "ROLLBACK"),
		[DB_SAVE] = DB_STMT("save", "SAVEPOINT work"),
		[DB_SAVE_KEEP] = DB_STMT("keep", "RELEASE work"),
		[DB_SAVE_UNDO] = DB_STMT("undo", "ROLLBACK TO work"),
	};
	int64_t changed;
	int rows, error;

	_Static_assert(ARRAY_LEN(steps) <= DB_STMT_FIRST, "room for the driver's own statements");
	error = sqlite_query(conn, &steps[what], what, DB_NO_PARAMS, NULL, NULL, &rows, &changed);
	if (!error && what == DB_SAVE_UNDO)
		error = sqlite_control(conn, DB_SAVE_KEEP); /* ROLLBACK TO leaves it standing */
	return error;
}

static bool sqlite_in_transaction(struct db_conn *conn)
{
	return !sqlite3_get_autocommit(sqlite_of(conn)->sql);
}

/* The dialect's words as SQLite's; it takes the other types as they are. */
static char *translate(const char *sql)
{
	static const struct {
		const char *word, *here;
	} words[] = {
		{ "AUTOID", "INTEGER PRIMARY KEY AUTOINCREMENT" },
		{ "OWNID", "INTEGER PRIMARY KEY" },
		{ "CLUSTERED", "WITHOUT ROWID" },
	};
	char *text = NULL;
	size_t len, i;
	FILE *out = open_memstream(&text, &len);

	REQUIRE(out);
	while (*sql) {
		for (i = 0; i < ARRAY_LEN(words); i++)
			if (!strncmp(sql, words[i].word, strlen(words[i].word)))
				break;
		if (i < ARRAY_LEN(words)) {
			fputs(words[i].here, out);
			sql += strlen(words[i].word);
		} else {
			fputc(*sql++, out);
		}
	}
	REQUIRE(fclose(out) == 0);
	return text;
}

static int sqlite_script(struct db_conn *conn, const char *sql)
{
	struct sqlite_conn *c = sqlite_of(conn);
	AUTO(free_ptr) char *text = translate(sql);

	return sqlite3_exec(c->sql, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : sqlite_failure(c);
}

static int64_t sqlite_last_id(struct db_conn *conn)
{
	return sqlite3_last_insert_rowid(sqlite_of(conn)->sql);
}

static const char *sqlite_error(struct db_conn *conn)
{
	return sqlite3_errmsg(sqlite_of(conn)->sql);
}

const struct db_driver db_sqlite = {
	.name = "sqlite",
	.open = sqlite_open_conn,
	.close = sqlite_close_conn,
	.query = sqlite_query,
	.control = sqlite_control,
	.in_transaction = sqlite_in_transaction,
	.script = sqlite_script,
	.last_id = sqlite_last_id,
	.error = sqlite_error,
};
