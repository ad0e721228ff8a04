/* The SQL interface over SQLite: what is acknowledged is there, and one failure is one's own. */
#include "core/db.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"

static char folder[] = "/tmp/linnet-db-XXXXXX";
static char path[64];
static struct db_conf conf = {
	.driver = "sqlite", .path = path, .cache_bytes = 1 << 20, .max_queue = 100
};
static struct db *db;

static const struct db_migration tables[] = {
	{ "test", 1,
		"CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY, body BLOB);"
		"CREATE TABLE parts (thing BIGINT NOT NULL REFERENCES things (id));"
		"CREATE TABLE late_parts (thing BIGINT NOT NULL REFERENCES things (id)"
		" DEFERRABLE INITIALLY DEFERRED);"
		"CREATE TABLE pairs (a KEYTEXT NOT NULL, b KEYTEXT NOT NULL, n BIGINT, note TEXT,"
		" PRIMARY KEY (a, b));"
		"CREATE TABLE counted (id AUTOID, note TEXT);"
		"CREATE TABLE bare (a KEYTEXT NOT NULL PRIMARY KEY);" },
	{ 0 },
};
static struct db_stmt thing_add =
	DB_STMT("thing_add", "INSERT INTO things (id, body) VALUES (?, ?)");
static struct db_stmt thing_count = DB_STMT("thing_count", "SELECT count(*) FROM things");
static struct db_stmt thing_has = DB_STMT("thing_has", "SELECT count(*) FROM things WHERE id = ?");
static struct db_stmt thing_ids = DB_STMT("thing_ids", "SELECT id FROM things ORDER BY id");
static struct db_stmt part_add = DB_STMT("part_add", "INSERT INTO parts (thing) VALUES (?)");
static struct db_stmt echo = DB_STMT("echo", "SELECT ?, ?, ?, ?, ?, ?");

static void open_db(void)
{
	cr_assert_eq(db_open(&conf, &db), 0);
	cr_assert_eq(db_migrate(db, tables), 0);
}

static void make_folder(void)
{
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/db", folder);
	atomic_store(&log_level, LOG_LEVEL_NONE);
}

static void setup(void)
{
	make_folder();
	open_db();
}

static void teardown(void)
{
	static const char *const endings[] = { "", "-wal", "-shm" };
	char name[80];

	db_close(db);
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		snprintf(name, sizeof(name), "%s%s", path, endings[i]);
		unlink(name);
	}
	rmdir(folder);
}

TestSuite(db, .init = setup, .fini = teardown);

static void reopen(void)
{
	db_close(db);
	open_db();
}

static int take_int(const struct db_row *r, void *arg)
{
	*(int64_t *)arg = db_row_int(r, 0);
	return 0;
}

static int64_t count_of(struct db_stmt *s, struct db_params params)
{
	int64_t n = -1;

	cr_assert_eq(db_read(db, s, params, take_int, &n), 1);
	return n;
}

static int64_t things(void)
{
	return count_of(&thing_count, DB_NO_PARAMS);
}

static bool has_thing(int64_t id)
{
	return count_of(&thing_has, DB_PARAMS(db_int(id))) == 1;
}

static int add_thing(struct db_tx *tx, void *id)
{
	return db_run(tx, &thing_add, DB_PARAMS(db_int((intptr_t)id), db_null()));
}

/* --- values ---------------------------------------------------------------------------------- */

static int check_echo(const struct db_row *r, void *arg)
{
	size_t len;

	(void)arg;
	cr_expect(db_row_is_null(r, 0));
	cr_expect_eq(db_row_int(r, 0), 0);
	cr_expect_str_eq(db_row_text(r, 0), "");
	cr_expect_eq(db_row_int(r, 1), INT64_MIN);
	cr_expect_eq(db_row_double(r, 2), 0.5);
	cr_expect_eq(db_row_int(r, 2), 0);
	cr_expect_str_eq(db_row_text(r, 3), "-12 it's \"text\"; DROP TABLE things");
	cr_expect_eq(db_row_int(r, 3), -12);
	cr_expect_eq(memcmp(db_row_blob(r, 4, &len), "a\0b", 3), 0);
	cr_expect_eq(len, 3);
	cr_expect_not(db_row_is_null(r, 5));
	db_row_blob(r, 5, &len);
	cr_expect_eq(len, 0);
	return 0;
}

Test(db, values_come_back_as_they_went)
{
	cr_expect_eq(db_read(db, &echo,
			     DB_PARAMS(db_text(NULL), db_int(INT64_MIN), db_double(0.5),
				     db_text("-12 it's \"text\"; DROP TABLE things"),
				     db_blob("a\0b", 3), db_blob("", 0)),
			     check_echo, NULL),
		1);
}

static int add_ten(struct db_tx *tx, void *arg)
{
	(void)arg;
	for (intptr_t i = 0; i < 10; i++)
		add_thing(tx, (void *)i);
	return 77;
}

struct stop {
	int at, answer, seen;
};

static int stop_at(const struct db_row *r, void *arg)
{
	struct stop *s = arg;

	s->seen++;
	return db_row_int(r, 0) == s->at ? s->answer : 0;
}

Test(db, row_function_ends_the_reading)
{
	struct stop enough = { .at = 3, .answer = 1 }, bad = { .at = 4, .answer = -EDOM };

	cr_assert_eq(db_write(db, add_ten, NULL), 77, "a positive result comes back");
	cr_expect_eq(db_read(db, &thing_ids, DB_NO_PARAMS, stop_at, &enough), 4);
	cr_expect_eq(enough.seen, 4);
	cr_expect_eq(db_read(db, &thing_ids, DB_NO_PARAMS, stop_at, &bad), -EDOM);
	cr_expect_eq(bad.seen, 5);
}

static void find_slow(const struct metric *m, void *arg)
{
	if (strcmp(m->name, "db_slow_total") == 0)
		*(int64_t *)arg = metric_value(m);
}

static int64_t slow_ones(void)
{
	int64_t n = -1;

	metric_each(find_slow, &n);
	return n;
}

static int take_its_time(const struct db_row *r UNUSED, void *ms)
{
	usleep(*(useconds_t *)ms * 1000);
	return 0;
}

/* The setting slow_warning: what takes longer is counted; 0: nothing is. */
Test(db, slow_statements_are_counted)
{
	useconds_t ms = 30;

	db_slow_warning(0);
	cr_assert_eq(db_read(db, &thing_count, DB_NO_PARAMS, take_its_time, &ms), 1);
	cr_expect_eq(slow_ones(), 0);
	db_slow_warning(3600000);
	cr_assert_eq(db_read(db, &thing_count, DB_NO_PARAMS, take_its_time, &ms), 1);
	cr_expect_eq(slow_ones(), 0);
	db_slow_warning(10);
	cr_assert_eq(db_read(db, &thing_count, DB_NO_PARAMS, take_its_time, &ms), 1);
	cr_expect_eq(slow_ones(), 1);
}

static int count_inner(const struct db_row *r, void *arg)
{
	struct stop all = { .at = -1 };

	(void)r;
	*(int *)arg += db_read(db, &thing_ids, DB_NO_PARAMS, stop_at, &all);
	return 0;
}

Test(db, row_function_may_ask_the_same_again)
{
	int inner = 0;

	db_write(db, add_ten, NULL);
	cr_expect_eq(db_read(db, &thing_ids, DB_NO_PARAMS, count_inner, &inner), 10);
	cr_expect_eq(inner, 100);
}

Test(db, mistake_in_sql_is_an_error)
{
	static struct db_stmt wrong = DB_STMT("wrong", "SELECT no_such FROM nowhere");

	cr_expect_eq(db_read(db, &wrong, DB_NO_PARAMS, NULL, NULL), -EINVAL);
	cr_expect_eq(things(), 0, "and the next call works");
}

/* --- upserts and keys ------------------------------------------------------------------------ */

static struct db_stmt pair_put = DB_UPSERT("pair_put", "pairs", "a, b", "n, note");
static struct db_stmt bare_put = DB_UPSERT("bare_put", "bare", "a", "");

static int put_pairs(struct db_tx *tx, void *arg)
{
	(void)arg;
	cr_expect_eq(db_run(tx, &pair_put,
			     DB_PARAMS(db_text("x"), db_text("y"), db_int(1), db_text("p"))),
		1);
	cr_expect_eq(db_run(tx, &pair_put,
			     DB_PARAMS(db_text("x"), db_text("z"), db_int(2), db_text("q"))),
		1);
	cr_expect_eq(
		db_run(tx, &pair_put, DB_PARAMS(db_text("x"), db_text("y"), db_int(3), db_null())),
		1);
	cr_expect_eq(db_run(tx, &bare_put, DB_PARAMS(db_text("x"))), 1);
	cr_expect_eq(db_run(tx, &bare_put, DB_PARAMS(db_text("x"))), 0);
	return 0;
}

Test(db, upsert_inserts_then_updates)
{
	static struct db_stmt n_of = DB_STMT("n_of", "SELECT n FROM pairs WHERE a = ? AND b = ?");
	static struct db_stmt with_note =
		DB_STMT("with_note", "SELECT count(*) FROM pairs WHERE note IS NOT NULL");

	cr_assert_eq(db_write(db, put_pairs, NULL), 0);
	cr_expect_eq(count_of(&n_of, DB_PARAMS(db_text("x"), db_text("y"))), 3);
	cr_expect_eq(count_of(&n_of, DB_PARAMS(db_text("x"), db_text("z"))), 2);
	cr_expect_eq(count_of(&with_note, DB_NO_PARAMS), 1);
}

static int add_counted(struct db_tx *tx, void *arg)
{
	static struct db_stmt counted_add =
		DB_STMT("counted_add", "INSERT INTO counted (note) VALUES (?)");

	cr_expect_eq(db_run(tx, &counted_add, DB_PARAMS(db_text("n"))), 1);
	*(int64_t *)arg = db_last_id(tx);
	return 0;
}

Test(db, autoid_counts_up)
{
	int64_t first = 0, second = 0;

	db_write(db, add_counted, &first);
	db_write(db, add_counted, &second);
	cr_expect_gt(first, 0);
	cr_expect_gt(second, first);
}

static int add_part(struct db_tx *tx, void *thing)
{
	return db_run(tx, &part_add, DB_PARAMS(db_int((intptr_t)thing)));
}

Test(db, constraints_are_answers)
{
	cr_expect_eq(db_write(db, add_thing, (void *)1), 1);
	cr_expect_eq(db_write(db, add_thing, (void *)1), -EEXIST);
	cr_expect_eq(db_write(db, add_part, (void *)1), 1);
	cr_expect_eq(db_write(db, add_part, (void *)2), -ENOENT);
}

/* --- group commit ---------------------------------------------------------------------------- */

/* Holds the writer until it is let go, so that what comes meanwhile waits. */
struct gate {
	struct db_work work;
	sem_t reached, open;
};

static int gate_run(struct db_tx *tx, struct db_work *w)
{
	struct gate *g = container_of(w, struct gate, work);

	(void)tx;
	sem_post(&g->reached);
	sem_wait(&g->open);
	return 0;
}

static void gate_done(struct db_work *w)
{
	(void)w;
}

static void gate_close(struct gate *g)
{
	*g = (struct gate){ .work = { .run = gate_run, .done = gate_done } };
	sem_init(&g->reached, 0, 0);
	sem_init(&g->open, 0, 0);
	cr_assert_eq(db_write_later(db, &g->work), 0);
	sem_wait(&g->reached);
}

/* A write asked for without waiting; fn's argument is its number. */
struct asked {
	struct db_work work;
	int (*fn)(struct db_tx *tx, void *id);
	intptr_t id;
	int result;
	sem_t *done;
};

static int asked_run(struct db_tx *tx, struct db_work *w)
{
	struct asked *a = container_of(w, struct asked, work);

	return a->fn(tx, (void *)a->id);
}

static void asked_done(struct db_work *w)
{
	struct asked *a = container_of(w, struct asked, work);

	a->result = w->result;
	sem_post(a->done);
}

static int ask(struct asked *a, int (*fn)(struct db_tx *, void *), intptr_t id, sem_t *done)
{
	*a = (struct asked){ .work = { .run = asked_run, .done = asked_done },
		.fn = fn,
		.id = id,
		.result = -EINPROGRESS,
		.done = done };
	return db_write_later(db, &a->work);
}

static void find_commits(const struct metric *m, void *arg)
{
	if (strcmp(m->name, "db_commits_total") == 0)
		*(int64_t *)arg = metric_value(m);
}

static int64_t commits(void)
{
	int64_t n = -1;

	metric_each(find_commits, &n);
	return n;
}

#define MANY 60
Test(db, many_writes_few_commits)
{
	static struct asked asked[MANY];
	struct gate gate;
	int64_t before;
	sem_t done;

	sem_init(&done, 0, 0);
	before = commits();
	gate_close(&gate);
	for (intptr_t i = 0; i < MANY; i++)
		cr_assert_eq(ask(&asked[i], add_thing, i, &done), 0);
	cr_expect_eq(db_waiting(db), MANY + 1);
	cr_expect_eq(things(), 0, "readers do not wait for the writer");
	sem_post(&gate.open);
	for (int i = 0; i < MANY; i++)
		sem_wait(&done);
	for (int i = 0; i < MANY; i++)
		cr_expect_eq(asked[i].result, 1);
	cr_expect_eq(things(), MANY);
	cr_expect_leq(commits() - before, 1 + MANY / 10, "%d commits", (int)(commits() - before));
}

static int add_two_and_fail(struct db_tx *tx, void *id)
{
	add_thing(tx, id);
	add_thing(tx, (void *)((intptr_t)id + 1));
	return -ECANCELED;
}

Test(db, a_failing_write_takes_nobody_down)
{
	static struct asked asked[5];
	struct gate gate;
	sem_t done;

	sem_init(&done, 0, 0);
	gate_close(&gate);
	ask(&asked[0], add_thing, 10, &done);
	ask(&asked[1], add_two_and_fail, 20, &done);
	ask(&asked[2], add_thing, 10, &done); /* the key is there */
	ask(&asked[3], add_thing, 30, &done);
	ask(&asked[4], add_thing, 20, &done); /* undone above, so free */
	sem_post(&gate.open);
	for (size_t i = 0; i < ARRAY_LEN(asked); i++)
		sem_wait(&done);
	cr_expect_eq(asked[0].result, 1);
	cr_expect_eq(asked[1].result, -ECANCELED);
	cr_expect_eq(asked[2].result, -EEXIST);
	cr_expect_eq(asked[3].result, 1);
	cr_expect_eq(asked[4].result, 1);
	reopen();
	cr_expect_eq(things(), 3);
	cr_expect(has_thing(10) && has_thing(20) && has_thing(30) && !has_thing(21));
}

static int add_late_part(struct db_tx *tx, void *thing)
{
	static struct db_stmt late_add =
		DB_STMT("late_add", "INSERT INTO late_parts (thing) VALUES (?)");

	return db_run(tx, &late_add, DB_PARAMS(db_int((intptr_t)thing)));
}

/* What is wrong with the second is found only when the batch is committed. */
Test(db, a_failing_commit_fails_only_for_its_cause)
{
	static struct asked asked[3];
	struct gate gate;
	sem_t done;

	sem_init(&done, 0, 0);
	gate_close(&gate);
	ask(&asked[0], add_thing, 10, &done);
	ask(&asked[1], add_late_part, 99, &done);
	ask(&asked[2], add_late_part, 10, &done);
	sem_post(&gate.open);
	for (size_t i = 0; i < ARRAY_LEN(asked); i++)
		sem_wait(&done);
	cr_expect_eq(asked[0].result, 1);
	cr_expect_eq(asked[1].result, -ENOENT);
	cr_expect_eq(asked[2].result, 1);
	cr_expect(has_thing(10));
}

Test(db, a_full_queue_refuses)
{
	static struct asked asked[101];
	struct gate gate;
	sem_t done;
	int n = 0;

	sem_init(&done, 0, 0);
	gate_close(&gate);
	while (n < 101 && ask(&asked[n], add_thing, n, &done) == 0)
		n++;
	cr_expect_eq(n, 99, "max_queue is 100 and one runs");
	cr_expect_eq(db_write(db, add_thing, (void *)1000), -EAGAIN);
	sem_post(&gate.open);
	for (int i = 0; i < n; i++)
		sem_wait(&done);
	cr_expect_eq(things(), 99);
	cr_expect_eq(db_write(db, add_thing, (void *)1000), 1);
}

struct writer {
	int64_t from;
	unsigned n, failures;
};

static void *write_many(void *arg)
{
	struct writer *w = arg;

	for (unsigned i = 0; i < w->n; i++) {
		if (db_write(db, add_thing, (void *)(intptr_t)(w->from + i)) != 1 ||
			!has_thing(w->from + i)) /* own writes are seen at once */
			w->failures++;
	}
	return NULL;
}

Test(db, threads_write_and_read)
{
	struct writer writers[6];
	pthread_t threads[6];

	for (int i = 0; i < 6; i++) {
		writers[i] = (struct writer){ .from = i * 1000, .n = 40 };
		cr_assert_eq(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
	}
	for (int i = 0; i < 6; i++) {
		pthread_join(threads[i], NULL);
		cr_expect_eq(writers[i].failures, 0);
	}
	cr_expect_eq(things(), 240);
}

static int view_twice(struct db_tx *tx, void *arg)
{
	struct writer other = { .from = 1, .n = 1 };
	int64_t before = -1, after = -1;
	pthread_t thread;

	(void)arg;
	db_select(tx, &thing_count, DB_NO_PARAMS, take_int, &before);
	pthread_create(&thread, NULL, write_many, &other);
	pthread_join(thread, NULL);
	cr_expect_eq(other.failures, 0);
	db_select(tx, &thing_count, DB_NO_PARAMS, take_int, &after);
	cr_expect_eq(before, 0);
	cr_expect_eq(after, 0);
	return 5;
}

Test(db, a_view_is_of_one_moment)
{
	cr_expect_eq(db_view(db, view_twice, NULL), 5);
	cr_expect_eq(things(), 1);
}

/* --- closing, crashing, filling up ----------------------------------------------------------- */

Test(db, close_commits_what_waits_and_leaves_one_file)
{
	static struct asked asked[MANY];
	char wal[80];
	struct stat st;
	sem_t done;

	sem_init(&done, 0, 0);
	for (intptr_t i = 0; i < MANY; i++)
		cr_assert_eq(ask(&asked[i], add_thing, i, &done), 0);
	db_close(db);
	for (intptr_t i = 0; i < MANY; i++)
		cr_expect_eq(asked[i].result, 1);
	snprintf(wal, sizeof(wal), "%s-wal", path);
	cr_expect_eq(stat(wal, &st), -1, "the log is in the file");
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
	open_db();
	cr_expect_eq(things(), MANY);
}

TestSuite(db_file, .init = make_folder, .fini = teardown);

/* Writes and tells of each write that was acknowledged, until it is killed. */
static void write_until_killed(int tell_fd)
{
	open_db();
	for (intptr_t i = 0;; i++)
		if (db_write(db, add_thing, (void *)i) != 1 ||
			write(tell_fd, &i, sizeof(i)) != sizeof(i))
			_exit(1);
}

Test(db_file, what_was_acknowledged_survives_a_kill)
{
	int64_t told = -1;
	int ends[2], status;
	pid_t child;

	cr_assert_eq(pipe(ends), 0);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0)
		write_until_killed(ends[1]);
	close(ends[1]);
	while (told < 50)
		cr_assert_eq(read(ends[0], &told, sizeof(told)), sizeof(told));
	kill(child, SIGKILL);
	while (read(ends[0], &told, sizeof(told)) == sizeof(told))
		; /* what it told before it died counts too */
	close(ends[0]);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFSIGNALED(status));
	open_db();
	for (int64_t i = 0; i <= told; i++)
		cr_assert(has_thing(i), "%d of %d", (int)i, (int)told);
}

static char big[300000];
static int add_big(struct db_tx *tx, void *id)
{
	int result = db_run(tx, &thing_add,
		DB_PARAMS(
			db_int((intptr_t)id), db_blob(big, (intptr_t)id % 2 ? sizeof(big) : 3000)));

	return result < 0 ? result : 0;
}

Test(db_file, a_full_disk_fails_loudly_and_acknowledges_nothing)
{
	struct db_conf wide = conf;
	AUTO(free_ptr) char *text = NULL;
	int64_t acknowledged = 0;
	int result;

	conf.max_bytes = 512 << 10;
	open_db();
	while ((result = db_write(db, add_big, (void *)(intptr_t)(2 * acknowledged))) == 0)
		cr_assert_lt(++acknowledged, 1000);
	cr_expect_eq(result, -ENOSPC);
	cr_expect_gt(acknowledged, 10);
	text = metric_text();
	cr_expect(strstr(text, "\nlinnet_db_errors_total{kind=\"full\"} 1\n"), "%s", text);
	cr_expect_eq(things(), acknowledged, "reading goes on");
	db_close(db);
	conf = wide;
	open_db();
	cr_expect_eq(things(), acknowledged);
	cr_expect_eq(db_write(db, add_big, (void *)1), 0, "with room it goes on");
}

/* One that does not fit is in the middle of a batch: the others are committed nevertheless. */
Test(db_file, one_too_large_for_the_disk_fails_alone)
{
	static struct asked asked[20];
	struct gate gate;
	sem_t done;

	conf.max_bytes = 256 << 10;
	open_db();
	sem_init(&done, 0, 0);
	gate_close(&gate);
	for (intptr_t i = 0; i < 20; i++)
		cr_assert_eq(ask(&asked[i], add_big, i == 10 ? 11 : 2 * i, &done), 0);
	sem_post(&gate.open);
	for (int i = 0; i < 20; i++)
		sem_wait(&done);
	for (int i = 0; i < 20; i++)
		cr_expect_eq(asked[i].result, i == 10 ? -ENOSPC : 0, "%d: %d", i, asked[i].result);
	reopen();
	cr_expect_eq(things(), 19);
}

Test(db_file, a_file_that_cannot_be_is_an_error)
{
	struct db_conf nowhere = conf, other = conf;

	nowhere.path = "/nonexistent/folder/db";
	cr_expect_eq(db_open(&nowhere, &db), -ENOENT);
	other.driver = "no_such";
	cr_expect_eq(db_open(&other, &db), -EINVAL);
	cr_expect_null(db);
}

Test(db_file, a_file_of_something_else_is_an_error)
{
	FILE *f = fopen(path, "we");

	for (int i = 0; i < 1000; i++)
		fputs("This is a letter to my aunt.\n", f);
	fclose(f);
	cr_expect_eq(db_open(&conf, &db), -EIO);
	cr_expect_null(db);
}

/* --- migrations ------------------------------------------------------------------------------ */

static const struct db_migration steps[] = {
	{ "a", 1, "CREATE TABLE a1 (x BIGINT); INSERT INTO a1 VALUES (1);" },
	{ "a", 2, "INSERT INTO a1 SELECT x + 1 FROM a1;" },
	{ "a", 3, "CREATE TABLE a3 (x BIGINT); INSERT INTO a3 SELECT max(x) FROM a1;" },
	{ "b", 1, "CREATE TABLE b1 (x BIGINT);" },
	{ 0 },
};

Test(db, migrations_run_once_in_order)
{
	static struct db_stmt sum = DB_STMT("a1_sum", "SELECT sum(x) FROM a1");
	static struct db_stmt last = DB_STMT("a3_last", "SELECT x FROM a3");
	struct db_migration first[] = { steps[0], { 0 } };

	cr_assert_eq(db_migrate(db, first), 0);
	cr_expect_eq(count_of(&sum, DB_NO_PARAMS), 1);
	cr_assert_eq(db_migrate(db, steps), 0);
	cr_expect_eq(count_of(&sum, DB_NO_PARAMS), 3);
	cr_expect_eq(count_of(&last, DB_NO_PARAMS), 2);
	reopen();
	cr_assert_eq(db_migrate(db, steps), 0);
	cr_expect_eq(count_of(&sum, DB_NO_PARAMS), 3);
}

Test(db, a_database_of_a_newer_program_is_refused)
{
	struct db_migration older[] = { steps[0], steps[1], { 0 } };

	cr_assert_eq(db_migrate(db, steps), 0);
	cr_expect_eq(db_migrate(db, older), -ENOTSUP);
}

Test(db, a_step_that_fails_leaves_nothing)
{
	static const struct db_migration bad[] = {
		{ "c", 1, "CREATE TABLE c1 (x BIGINT);" },
		{ "c", 2, "CREATE TABLE c2 (x BIGINT); INSERT INTO nowhere VALUES (1);" },
		{ "c", 3, "CREATE TABLE c3 (x BIGINT);" },
		{ 0 },
	};
	static struct db_stmt named = DB_STMT(
		"c_tables", "SELECT count(*) FROM sqlite_master WHERE name IN ('c1', 'c2', 'c3')");
	static struct db_stmt version =
		DB_STMT("c_version", "SELECT version FROM linnet_schema WHERE module = 'c'");

	cr_expect_eq(db_migrate(db, bad), -EINVAL);
	cr_expect_eq(count_of(&named, DB_NO_PARAMS), 1);
	cr_expect_eq(count_of(&version, DB_NO_PARAMS), 1);
}

/* --- shards ---------------------------------------------------------------------------------- */

/* A shard asks, goes on, and gets the answer on its own thread. */
struct from_shard {
	struct msg msg;
	struct asked asked;
	struct shard *answered_on;
	sem_t done;
};

static void shard_asked_done(struct db_work *w)
{
	struct from_shard *f =
		container_of(container_of(w, struct asked, work), struct from_shard, asked);

	f->answered_on = shard_self();
	f->asked.result = w->result;
	sem_post(&f->done);
}

static void shard_ask(struct msg *m)
{
	struct from_shard *f = container_of(m, struct from_shard, msg);

	f->asked.work.done = shard_asked_done;
	if (db_write_later(db, &f->asked.work) < 0)
		sem_post(&f->done);
}

Test(db, a_shard_gets_its_answer_at_home)
{
	struct from_shard asks[2];

	cr_assert_eq(shards_start(2), 0);
	for (unsigned i = 0; i < 2; i++) {
		asks[i] = (struct from_shard){ .msg.run = shard_ask,
			.asked = { .work.run = asked_run, .fn = add_thing, .id = i } };
		sem_init(&asks[i].done, 0, 0);
		shard_post(shard_at(i), &asks[i].msg);
	}
	for (unsigned i = 0; i < 2; i++) {
		sem_wait(&asks[i].done);
		cr_expect_eq(asks[i].asked.result, 1);
		cr_expect_eq(asks[i].answered_on, shard_at(i));
	}
	shards_stop();
	cr_expect_eq(things(), 2);
}
