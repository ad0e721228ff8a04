/* core/db.h - storage behind one narrow SQL interface; drivers (core/db_driver.h) know databases.
 *   static struct db_stmt find = DB_STMT("account_find",
 *           "SELECT created FROM accounts WHERE host = ? AND name = ?");
 *   n = db_read(db, &find, DB_PARAMS(db_text(host), db_text(user)), take_row, &account);
 * Reads run in the calling thread on a connection of its own. Writes of all threads are gathered
 * by one writer thread into few commits: a write is answered only when the commit that holds it is
 * on the disk, and one that fails takes nobody else's with it.
 *
 * The calls that block (db_read, db_view, db_write) are for threads that may; they take the calling
 * thread offline for RCU, so nothing read under RCU is kept across them, and the functions they
 * call read nothing under RCU either. db_write_later() does not block and is for shards too.
 *
 * SQL is written once for all databases: parameters are `?` in order; types are KEYTEXT (text in a
 * key), TEXT, BIGINT, DOUBLE PRECISION, BLOB, `id AUTOID` for a key the database counts up and
 * `id OWNID` for a whole number that the writer gives; `CREATE TABLE (...) CLUSTERED` asks that
 * rows lie in the order of their PRIMARY KEY, where that has to be said; "insert or update" is a
 * DB_UPSERT; LIMIT ? is fine; nothing else beyond SQL-92.
 *
 * Failures are negative errno: -ENOSPC the disk or the quota is full, -EBUSY locked by someone
 * else, -EIO, -EEXIST a key that must be unique is there, -ENOENT what a row refers to is not,
 * -EINVAL a mistake in the SQL, -EAGAIN too many writes wait. All but -EEXIST and -ENOENT are
 * logged (seldom) and counted. */
#pragma once

#include "core/attr.h"
#include "core/conf.h"
#include "core/intake.h"
#include "core/mailbox.h"

struct shard;

/* The setting `database`. */
enum db_synchronous { DB_SYNC_FULL, DB_SYNC_NORMAL, DB_SYNC_OFF };
struct db_conf {
	const char *driver; /* "sqlite" */
	const char *path; /* SQLite: the file */
	int synchronous; /* enum db_synchronous */
	int64_t cache_bytes; /* of the writer; each reader has a quarter of it */
	int64_t max_bytes; /* of the file; 0: what the disk holds */
	int64_t max_queue; /* writes that may wait */
	int64_t slow_warning_ms; /* a statement that takes longer is logged; 0: none is */
	/* Not a setting: somebody else's, which is only read from. There is no writer, so nothing
	 * but db_read() and db_view() may be called, and the file must be there. */
	bool read_only;
};
extern const struct conf_item db_items[];

struct db;
/* 0 or a negative errno, with the cause logged. main; conf is copied. */
int db_open(const struct db_conf *conf, struct db **out);
/* Commits what waits, then closes. Nobody may be in a call. NULL is fine. main. */
void db_close(struct db *db);
/* slow_warning, of all databases; db_open() sets it too. Any thread. */
void db_slow_warning(int64_t ms);
/* The server's database: set by main before modules start, NULL without one. Any thread. */
struct db *db_main(void);
void db_main_set(struct db *db);

/* --- values ---------------------------------------------------------------------------------- */

enum db_type { DB_NULL, DB_INT, DB_DOUBLE, DB_TEXT, DB_BLOB };
struct db_value {
	enum db_type type;
	uint32_t len; /* bytes of DB_TEXT (without a NUL) and DB_BLOB */
	union {
		int64_t number;
		double real;
		const void *bytes; /* the caller's during the call */
	};
};
static inline struct db_value db_null(void)
{
	return (struct db_value){ .type = DB_NULL };
}
static inline struct db_value db_int(int64_t n)
{
	return (struct db_value){ .type = DB_INT, .number = n };
}
static inline struct db_value db_double(double d)
{
	return (struct db_value){ .type = DB_DOUBLE, .real = d };
}
static inline struct db_value db_blob(const void *bytes, size_t len)
{
	return (struct db_value){ .type = DB_BLOB, .len = (uint32_t)len, .bytes = bytes };
}
struct db_value db_text(const char *text); /* NULL: db_null() */
static inline struct db_value db_text_n(const char *text, size_t len)
{
	return (struct db_value){ .type = DB_TEXT, .len = (uint32_t)len, .bytes = text };
}

struct db_params {
	const struct db_value *at;
	unsigned n;
};
#define DB_PARAMS(...)                                                 \
	((struct db_params){ (const struct db_value[]){ __VA_ARGS__ }, \
		sizeof((const struct db_value[]){ __VA_ARGS__ }) / sizeof(struct db_value) })
#define DB_NO_PARAMS ((struct db_params){ NULL, 0 })

/* A row during its db_row_fn; columns count from 0. What is of another type is converted, or is 0,
 * "" or empty. */
#define DB_COLUMNS_MAX 32
struct db_row {
	const struct db_value *at; /* DB_TEXT has a NUL after it */
	unsigned n;
};
int64_t db_row_int(const struct db_row *r, unsigned col);
double db_row_double(const struct db_row *r, unsigned col);
const char *db_row_text(const struct db_row *r, unsigned col);
const void *db_row_blob(const struct db_row *r, unsigned col, size_t *out_len); /* TEXT too */
bool db_row_is_null(const struct db_row *r, unsigned col);
/* 0: go on with the next row; positive: enough; negative errno: the call fails with it. */
typedef int db_row_fn(const struct db_row *r, void *arg);
/* Takes the first column of the first row; arg: an int64_t, left alone when there is no row. */
db_row_fn db_take_int;

/* A static object: each connection prepares it when it first needs it. */
struct db_stmt {
	const char *name; /* for logs */
	const char *sql; /* NULL: an upsert */
	const char *table, *keys, *values; /* columns with commas between */
	_Atomic unsigned index; /* private */
};
#define DB_STMT(n, s)                   \
	{                               \
		.name = (n), .sql = (s) \
	}
/* Inserts a row, or sets `values` of the row with those `keys`, which are unique together. Its
 * parameters: the keys, then the values. */
#define DB_UPSERT(n, t, k, v)                                         \
	{                                                             \
		.name = (n), .table = (t), .keys = (k), .values = (v) \
	}

/* --- reading --------------------------------------------------------------------------------- */

/* How many rows fn saw, or a negative errno. */
ON_JOB int db_read(
	struct db *db, struct db_stmt *s, struct db_params params, db_row_fn *fn, void *arg);

/* A transaction, during the function it was handed to. */
struct db_tx;
/* Several reads of one moment: returns what fn returns, or a negative errno. */
ON_JOB int db_view(struct db *db, int (*fn)(struct db_tx *tx, void *arg), void *arg);
int db_select(struct db_tx *tx, struct db_stmt *s, struct db_params params, db_row_fn *fn,
	void *arg); /* as db_read */

/* --- writing --------------------------------------------------------------------------------- */

/* In a write: rows changed, or a negative errno. */
int db_run(struct db_tx *tx, struct db_stmt *s, struct db_params params);
int64_t db_last_id(struct db_tx *tx); /* the AUTOID of the last row this write inserted */

/* Runs fn on the writer thread. What it returns comes back once its changes are durable: 0 or
 * positive keeps them, a negative errno undoes them. fn may run more than once, when a commit
 * failed for another's sake: it leaves no traces but in the transaction and in what it overwrites.
 * It does not call db_read() or db_write(), takes no long time, and has the caller's stack to
 * itself. */
ON_JOB int db_write(struct db *db, int (*fn)(struct db_tx *tx, void *arg), void *arg);

/* The same without waiting. Part of its owner's object. */
struct db_work {
	/* The owner's. */
	int (*run)(struct db_tx *tx, struct db_work *w); /* as fn above, on the writer thread */
	void (*done)(
		struct db_work *w); /* once; owns w from then on: on the shard that asked, or on
				     * the writer thread when no shard did (then: be quick) */
	int result; /* for done(): what run returned, or a negative errno */
	/* Private. */
	struct shard *home;
	struct msg msg;
	struct intake_item item;
	uint64_t asked_us;
};
/* 0, or -EAGAIN and w is still the caller's. Writes of one thread are run in the order asked. */
ANY_THREAD int db_write_later(struct db *db, struct db_work *w) MUST_USE;
ANY_THREAD unsigned db_waiting(const struct db *db); /* writes that wait, about */
ANY_THREAD unsigned db_max_queue(const struct db *db); /* how many may */

/* --- migrations ------------------------------------------------------------------------------ */

/* A module's tables, step by step. Versions count from 1; a step that was released never changes.
 */
struct db_migration {
	const char *module;
	unsigned version;
	const char *sql; /* statements, each ended by `;` */
};
/* Runs the steps the database has not seen, each in a transaction of its own. Ends with a NULL
 * module; each module's in order. -ENOTSUP: the database has seen steps that this program does not
 * know, which is logged. Any thread that may block. */
ON_JOB int db_migrate(struct db *db, const struct db_migration *steps);
