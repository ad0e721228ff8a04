/* The driver of the embedded database as core/db_driver.h asks for it: one connection at a time,
 * without the threads and queues that core/db.c puts before it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/db_driver.h"
#include "core/mem.h"

static char folder[] = "/tmp/linnet-sqlite-XXXXXX", path[64];
static struct db_conf conf = { .driver = "sqlite", .path = path, .cache_bytes = 1 << 20 };
static struct db_conn *writer, *reader;

static struct db_conn *open_as(enum db_role role)
{
	const char *error = NULL;
	struct db_conn *c = NULL;

	cr_assert_eq(db_sqlite.open(&conf, role, &c, &error), 0, "%s", error);
	return c;
}

static void begin(void)
{
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/db", folder);
	writer = open_as(DB_WRITER);
	reader = open_as(DB_READER);
	cr_assert_eq(db_sqlite.script(writer,
			     "CREATE TABLE t (k KEYTEXT NOT NULL PRIMARY KEY, v BIGINT NOT NULL);"
			     "CREATE TABLE c (id AUTOID, t KEYTEXT REFERENCES t (k));"),
		0);
}

/* With conf as it is now. */
static void open_writer_again(void)
{
	db_sqlite.close(writer);
	writer = open_as(DB_WRITER);
}

static void end(void)
{
	db_sqlite.close(reader);
	db_sqlite.close(writer);
	cr_expect_eq(unlink(path), 0);
	cr_expect_eq(rmdir(folder), 0, "the last one to close has left one file");
}

TestSuite(db_sqlite, .init = begin, .fini = end);

static struct db_stmt put = DB_UPSERT("put", "t", "k", "v");
static struct db_stmt keep = DB_UPSERT("keep", "c", "id", "");
static struct db_stmt add = DB_STMT("add", "INSERT INTO t (k, v) VALUES (?, ?)");
static struct db_stmt refer = DB_STMT("refer", "INSERT INTO c (t) VALUES (?)");
static struct db_stmt sum = DB_STMT("sum", "SELECT coalesce(sum(v), 0) FROM t");
static struct db_stmt all = DB_STMT("all", "SELECT v FROM t ORDER BY v");
static struct db_stmt erase = DB_STMT("erase", "DELETE FROM t");
static struct db_stmt wrong = DB_STMT("wrong", "SELECT no_such FROM nowhere");
enum { PUT = DB_STMT_FIRST, KEEP, ADD, REFER, SUM, ALL, ERASE, WRONG, PRAGMA };

static int rows;
static int64_t changed;

static int take_int(const struct db_row *r, void *arg)
{
	*(int64_t *)arg = db_row_int(r, 0);
	return 0;
}

/* Rows changed, or a negative errno. */
static int run(struct db_conn *c, struct db_stmt *s, unsigned index, struct db_params params)
{
	int error = db_sqlite.query(c, s, index, params, NULL, NULL, &rows, &changed);

	return error ? error : (int)changed;
}

static int add_pair(struct db_conn *c, const char *k, int64_t v)
{
	return run(c, &add, ADD, DB_PARAMS(db_text(k), db_int(v)));
}

static int64_t sum_seen(struct db_conn *c)
{
	int64_t n = -1;

	cr_assert_eq(db_sqlite.query(c, &sum, SUM, DB_NO_PARAMS, take_int, &n, &rows, &changed), 0);
	cr_expect_eq(rows, 1);
	cr_expect_eq(changed, 0, "reading changes nothing");
	return n;
}

/* --- opening --------------------------------------------------------------------------------- */

static int take_value(const struct db_row *r, void *arg)
{
	if (r->at[0].type == DB_INT)
		snprintf(arg, 16, "%d", (int)db_row_int(r, 0));
	else
		snprintf(arg, 16, "%s", db_row_text(r, 0));
	return 0;
}

static const struct {
	int synchronous;
	enum db_role role;
	const char *pragma, *value;
} pragmas[] = {
	{ DB_SYNC_FULL, DB_WRITER, "PRAGMA synchronous", "2" },
	{ DB_SYNC_NORMAL, DB_WRITER, "PRAGMA synchronous", "1" },
	{ DB_SYNC_OFF, DB_WRITER, "PRAGMA synchronous", "0" },
	{ DB_SYNC_FULL, DB_WRITER, "PRAGMA journal_mode", "wal" },
	{ DB_SYNC_FULL, DB_WRITER, "PRAGMA foreign_keys", "1" },
	{ DB_SYNC_FULL, DB_WRITER, "PRAGMA query_only", "0" },
	{ DB_SYNC_FULL, DB_READER, "PRAGMA query_only", "1" },
	{ DB_SYNC_FULL, DB_WRITER, "PRAGMA trusted_schema", "0" },
	{ DB_SYNC_FULL, DB_WRITER, "PRAGMA cache_size", "-1024" },
	{ DB_SYNC_FULL, DB_READER, "PRAGMA cache_size", "-256" },
};

Test(db_sqlite, settings_reach_the_connection)
{
	for (size_t i = 0; i < ARRAY_LEN(pragmas); i++) {
		struct db_stmt ask = DB_STMT("pragma", pragmas[i].pragma);
		char value[16] = "";
		struct db_conn *c;

		conf.synchronous = pragmas[i].synchronous;
		open_writer_again();
		c = pragmas[i].role == DB_WRITER ? writer : open_as(DB_READER);
		cr_expect_eq(db_sqlite.query(c, &ask, PRAGMA, DB_NO_PARAMS, take_value, value,
				     &rows, &changed),
			0);
		cr_expect_str_eq(value, pragmas[i].value, "%s", pragmas[i].pragma);
		if (c != writer)
			db_sqlite.close(c);
	}
}

/* Accounts are in it. */
Test(db_sqlite, all_its_files_are_private)
{
	static const char *const endings[] = { "", "-wal", "-shm" };

	cr_expect_eq(add_pair(writer, "a", 1), 1);
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		AUTO(free_ptr) char *name = xprintf("%s%s", path, endings[i]);
		struct stat st;

		cr_assert_eq(stat(name, &st), 0, "%s", name);
		cr_expect_eq(st.st_mode & 0777, 0600, "%s", name);
	}
}

Test(db_sqlite, a_reader_makes_no_file_and_says_why)
{
	struct db_conf nowhere = conf;
	const char *error = NULL;
	struct db_conn *c = NULL;

	nowhere.path = "/nonexistent/folder/db";
	cr_expect_eq(db_sqlite.open(&nowhere, DB_WRITER, &c, &error), -ENOENT);
	cr_expect_str_eq(error, "No such file or directory");
	cr_expect_eq(db_sqlite.open(&nowhere, DB_READER, &c, &error), -EIO);
	cr_expect_str_eq(error, "unable to open database file");
	cr_expect_null(c);
}

/* --- failures, each as core/db.h names it ---------------------------------------------------- */

Test(db_sqlite, failures_have_their_errno)
{
	struct db_params nothing = DB_PARAMS(db_text("n"), db_null());

	cr_expect_eq(add_pair(writer, "a", 1), 1);
	cr_expect_eq(add_pair(writer, "a", 2), -EEXIST);
	cr_expect(strstr(db_sqlite.error(writer), "UNIQUE"), "%s", db_sqlite.error(writer));
	cr_expect_eq(run(writer, &refer, REFER, DB_PARAMS(db_text("nobody"))), -ENOENT);
	cr_expect_eq(run(writer, &add, ADD, nothing), -EINVAL, "NOT NULL");
	cr_expect_eq(run(writer, &wrong, WRONG, DB_NO_PARAMS), -EINVAL);
	cr_expect(strstr(db_sqlite.error(writer), "nowhere"), "%s", db_sqlite.error(writer));
	cr_expect_eq(add_pair(reader, "b", 1), -EROFS, "a reader does not write");
	cr_expect_eq(db_sqlite.script(writer, "CREATE TABLE t (x BIGINT);"), -EINVAL);
	cr_expect_eq(sum_seen(writer), 1, "and the connection goes on");
}

/* What was read is no longer what is there: known at once, not after a wait. */
Test(db_sqlite, who_has_read_an_old_state_cannot_write)
{
	sqlite3 *tool;

	cr_assert_eq(db_sqlite.control(writer, DB_BEGIN_READ), 0);
	cr_expect_eq(sum_seen(writer), 0);
	cr_assert_eq(sqlite3_open(path, &tool), SQLITE_OK);
	cr_expect_eq(
		sqlite3_exec(tool, "INSERT INTO t VALUES ('a', 1)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(tool);
	cr_expect_eq(add_pair(writer, "b", 1), -EBUSY);
	cr_expect_eq(db_sqlite.control(writer, DB_ROLLBACK), 0);
	cr_expect_eq(add_pair(writer, "b", 1), 1);
}

Test(db_sqlite, a_file_has_one_server)
{
	const char *error = NULL;
	struct db_conn *other = NULL;

	cr_expect_eq(db_sqlite.open(&conf, DB_WRITER, &other, &error), -EBUSY);
	cr_expect_str_eq(error, "another server uses it");
	open_writer_again();
	cr_expect_eq(add_pair(writer, "a", 1), 1, "it is free once closed");
}

Test(db_sqlite, a_file_has_its_quota)
{
	struct db_stmt blob = DB_STMT("blob", "INSERT INTO t (k, v) VALUES (?, ?)");
	AUTO(free_ptr) char *big = xcalloc(1, 1 << 20);

	conf.max_bytes = 256 << 10;
	open_writer_again();
	cr_expect_eq(
		run(writer, &blob, ADD, DB_PARAMS(db_text("b"), db_blob(big, 1 << 20))), -ENOSPC);
	cr_expect_not(db_sqlite.in_transaction(writer));
	cr_expect_eq(add_pair(writer, "a", 1), 1, "what fits is taken");
}

/* --- transactions ---------------------------------------------------------------------------- */

Test(db_sqlite, a_transaction_is_seen_when_it_is_kept)
{
	cr_expect_not(db_sqlite.in_transaction(writer));
	cr_assert_eq(db_sqlite.control(writer, DB_BEGIN_WRITE), 0);
	cr_expect(db_sqlite.in_transaction(writer));
	cr_expect_eq(add_pair(writer, "a", 1), 1);
	cr_expect_eq(sum_seen(reader), 0);
	cr_expect_eq(db_sqlite.control(writer, DB_COMMIT), 0);
	cr_expect_not(db_sqlite.in_transaction(writer));
	cr_expect_eq(sum_seen(reader), 1);
	cr_assert_eq(db_sqlite.control(writer, DB_BEGIN_WRITE), 0);
	cr_expect_eq(add_pair(writer, "b", 2), 1);
	cr_expect_eq(db_sqlite.control(writer, DB_ROLLBACK), 0);
	cr_expect_eq(sum_seen(writer), 1);
}

Test(db_sqlite, a_savepoint_undoes_what_came_after_it)
{
	cr_assert_eq(db_sqlite.control(writer, DB_BEGIN_WRITE), 0);
	cr_expect_eq(add_pair(writer, "a", 1), 1);
	cr_expect_eq(db_sqlite.control(writer, DB_SAVE), 0);
	cr_expect_eq(add_pair(writer, "b", 10), 1);
	cr_expect_eq(db_sqlite.control(writer, DB_SAVE_UNDO), 0);
	cr_expect_eq(sum_seen(writer), 1);
	cr_expect_eq(db_sqlite.control(writer, DB_SAVE_UNDO), -EINVAL, "it is forgotten");
	cr_expect_eq(db_sqlite.control(writer, DB_SAVE), 0);
	cr_expect_eq(add_pair(writer, "c", 100), 1);
	cr_expect_eq(db_sqlite.control(writer, DB_SAVE_KEEP), 0);
	cr_expect_eq(db_sqlite.control(writer, DB_SAVE_KEEP), -EINVAL);
	cr_expect_eq(db_sqlite.control(writer, DB_COMMIT), 0);
	cr_expect_eq(sum_seen(reader), 101);
}

Test(db_sqlite, a_view_stays_what_it_was)
{
	cr_assert_eq(db_sqlite.control(reader, DB_BEGIN_READ), 0);
	cr_expect_eq(sum_seen(reader), 0);
	cr_expect_eq(add_pair(writer, "a", 1), 1);
	cr_expect_eq(sum_seen(reader), 0);
	cr_expect_eq(db_sqlite.control(reader, DB_COMMIT), 0);
	cr_expect_eq(sum_seen(reader), 1);
}

/* --- statements ------------------------------------------------------------------------------ */

Test(db_sqlite, an_upsert_inserts_or_updates)
{
	cr_expect_eq(run(writer, &put, PUT, DB_PARAMS(db_text("a"), db_int(1))), 1);
	cr_expect_eq(run(writer, &put, PUT, DB_PARAMS(db_text("a"), db_int(5))), 1);
	cr_expect_eq(sum_seen(writer), 5);
	cr_expect_eq(run(writer, &keep, KEEP, DB_PARAMS(db_int(7))), 1);
	cr_expect_eq(run(writer, &keep, KEEP, DB_PARAMS(db_int(7))), 0, "keys alone: it is there");
}

/* AUTOID never gives a number again, not even that of a row that is gone. */
Test(db_sqlite, counted_keys_are_never_given_twice)
{
	int64_t first;

	cr_expect_eq(add_pair(writer, "a", 1), 1);
	cr_expect_eq(run(writer, &refer, REFER, DB_PARAMS(db_text("a"))), 1);
	first = db_sqlite.last_id(writer);
	cr_expect_eq(db_sqlite.script(writer, "DELETE FROM c;"), 0);
	cr_expect_eq(run(writer, &refer, REFER, DB_PARAMS(db_text("a"))), 1);
	cr_expect_eq(db_sqlite.last_id(writer), first + 1);
}

static void add_three(void)
{
	cr_assert_eq(add_pair(writer, "a", 1), 1);
	cr_assert_eq(add_pair(writer, "b", 2), 1);
	cr_assert_eq(add_pair(writer, "c", 3), 1);
}

static int enough_at_two(const struct db_row *r, void *arg)
{
	++*(int *)arg;
	return db_row_int(r, 0) == 2;
}

Test(db_sqlite, a_row_function_has_enough)
{
	int seen = 0;

	add_three();
	cr_expect_eq(db_sqlite.query(reader, &all, ALL, DB_NO_PARAMS, enough_at_two, &seen, &rows,
			     &changed),
		0);
	cr_expect_eq(seen, 2);
	cr_expect_eq(rows, 2);
	seen = 0;
	db_sqlite.query(reader, &all, ALL, DB_NO_PARAMS, enough_at_two, &seen, &rows, &changed);
	cr_expect_eq(seen, 2, "it begins anew the next time");
}

static int ask_within(const struct db_row *r, void *arg)
{
	int64_t *total = arg, last = 0;
	int inner_rows;
	int64_t inner_changed;

	cr_expect_eq(db_sqlite.query(reader, &all, ALL, DB_NO_PARAMS, take_int, &last, &inner_rows,
			     &inner_changed),
		0);
	cr_expect_eq(inner_rows, 3);
	*total += 10 * db_row_int(r, 0) + last;
	return 0;
}

Test(db_sqlite, a_row_function_asks_the_same_again)
{
	int64_t total = 0;

	add_three();
	cr_expect_eq(db_sqlite.query(
			     reader, &all, ALL, DB_NO_PARAMS, ask_within, &total, &rows, &changed),
		0);
	cr_expect_eq(rows, 3);
	cr_expect_eq(total, 10 * (1 + 2 + 3) + 3 * 3);
}

Test(db_sqlite, changed_rows_are_counted)
{
	add_three();
	cr_expect_eq(run(writer, &erase, ERASE, DB_NO_PARAMS), 3);
	cr_expect_eq(run(writer, &erase, ERASE, DB_NO_PARAMS), 0);
	cr_expect_eq(sum_seen(writer), 0);
}

/* Statements have numbers of the whole program; a connection makes room for those it meets. */
Test(db_sqlite, a_statement_may_have_any_number)
{
	cr_expect_eq(run(writer, &add, 500, DB_PARAMS(db_text("a"), db_int(1))), 1);
	cr_expect_eq(run(writer, &add, 17, DB_PARAMS(db_text("b"), db_int(1))), 1);
	cr_expect_eq(sum_seen(writer), 2);
}

static int check_values(const struct db_row *r, void *arg UNUSED)
{
	size_t len;

	cr_expect_eq(r->n, 4);
	cr_expect_eq(r->at[0].type, DB_TEXT);
	cr_expect_str_eq(db_row_text(r, 0), "");
	cr_expect_eq(r->at[1].type, DB_BLOB, "an empty one is not NULL");
	db_row_blob(r, 1, &len);
	cr_expect_eq(len, 0);
	cr_expect_eq(r->at[2].type, DB_NULL);
	cr_expect_eq(r->at[3].type, DB_DOUBLE);
	return 0;
}

Test(db_sqlite, values_keep_their_type)
{
	struct db_stmt echo = DB_STMT("echo", "SELECT ?, ?, ?, ?");

	cr_expect_eq(db_sqlite.query(reader, &echo, PRAGMA,
			     DB_PARAMS(db_text(""), db_blob("", 0), db_null(), db_double(-0.25)),
			     check_values, NULL, &rows, &changed),
		0);
	cr_expect_eq(rows, 1);
}
