/* core/db.c - one writer thread that gathers writes into commits, and a reading connection for each
 * thread that asks. What is particular to a database is in its driver. */
#include "core/db.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/db_driver.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "core/thread.h"

#define BATCH_WORKS 512 /* one commit holds at most so many */
#define BATCH_US 20000 /* and takes no further work after this time */
#define DRIVERS_MAX 8

struct db_tx {
	struct db *db;
	struct db_conn *conn;
	bool writing;
};

/* One thread's reading connection. */
struct reader {
	struct db *db;
	struct db_conn *conn;
	struct reader *next, **at; /* in db->readers, under db->lock */
};

struct db {
	/* Constant after db_open(). */
	const struct db_driver *driver;
	struct db_conf conf; /* driver and path owned */
	pthread_key_t reader_key;
	pthread_t writer;
	int bell; /* rung for the writer by whoever finds the intake empty */
	/* Any thread. */
	struct intake intake;
	_Atomic unsigned waiting; /* handed in and not answered */
	_Atomic bool closing;
	pthread_mutex_t lock;
	struct reader *readers;
	/* The writer alone. */
	struct db_conn *conn;
	struct intake_item *pending, **pending_end; /* taken in and not yet run */
};

static struct db *main_db;
static const struct db_driver *drivers[DRIVERS_MAX] = { &db_sqlite };
static __thread const struct db *writing_for; /* on the writer thread */

static struct metric commits =
	METRIC_COUNTER("db_commits_total", "Commits of the database's writer");
static struct metric commit_works =
	METRIC_SPREAD("db_commit_works", "Writes gathered into one commit");
static struct metric commit_time =
	METRIC_TIME("db_commit_seconds", "Time for a commit to become durable");
static struct metric write_time =
	METRIC_TIME("db_write_seconds", "Time from asking for a write until it was durable");
static struct metric read_time = METRIC_TIME("db_read_seconds", "Time a read took");
static struct metric queue_length = METRIC_GAUGE("db_queue", "Writes that wait or run");
static struct metric refused =
	METRIC_COUNTER("db_refused_total", "Writes refused because too many waited");

static const char *const synchronous_words[] = { "full", "normal", "off", NULL };
const struct conf_item db_items[] = {
	{ "driver", CONF_STRING, FIELD(struct db_conf, driver, const char *), .preset = "sqlite",
		.needs_restart = true, .help = "The kind of database." },
	{ "path", CONF_PATH, FIELD(struct db_conf, path, const char *), .preset = "linnet.db",
		.needs_restart = true,
		.help = "SQLite's file; its write-ahead log lies beside it. The folder must "
			"exist." },
	{ "synchronous", CONF_ENUM, FIELD(struct db_conf, synchronous, int), .preset = "full",
		.words = synchronous_words, .needs_restart = true,
		.help = "full: what was answered survives a power failure. normal: it survives a "
			"crash of the server, but a power failure may undo the last seconds. off: "
			"for "
			"tests." },
	{ "cache_size", CONF_SIZE, FIELD(struct db_conf, cache_bytes, int64_t), .preset = "2 MB",
		.min = 65536, .max = INT64_C(1) << 40, .needs_restart = true,
		.help = "Memory for pages of the database in the writing thread; each reading "
			"thread "
			"has a quarter of it." },
	{ "max_size", CONF_SIZE, FIELD(struct db_conf, max_bytes, int64_t), .preset = "0",
		.max = INT64_C(1) << 43, .needs_restart = true,
		.help = "The database grows no larger than this; further writes fail. 0: no limit "
			"but "
			"the disk's." },
	{ "max_queue", CONF_INT, FIELD(struct db_conf, max_queue, int64_t), .preset = "8192",
		.unit = "writes", .min = 16, .max = 1 << 20, .needs_restart = true,
		.help = "Writes that may wait; further ones are refused with a request to try "
			"again "
			"later." },
	{ 0 }
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- failures -------------------------------------------------------------------------------- */

/* By kind, so that a flood of one does not hide another. */
static struct failure_kind {
	int error; /* 0: any other */
	struct metric count;
	struct log_seldom seldom;
} failure_kinds[] = {
	{ -ENOSPC,
		METRIC_COUNTER_OF("db_errors_total", "kind=\"full\"", "Failures of the database") },
	{ -EBUSY,
		METRIC_COUNTER_OF("db_errors_total", "kind=\"busy\"", "Failures of the database") },
	{ -EIO, METRIC_COUNTER_OF("db_errors_total", "kind=\"io\"", "Failures of the database") },
	{ 0, METRIC_COUNTER_OF("db_errors_total", "kind=\"other\"", "Failures of the database") },
};

static void failed(struct db_conn *c, const char *what, int error)
{
	struct failure_kind *k = failure_kinds;
	uint32_t left_out;

	if (error == -EEXIST || error == -ENOENT)
		return; /* an answer, not a failure */
	while (k->error && k->error != error)
		k++;
	metric_add(&k->count, 1);
	if (log_seldom(&k->seldom, &left_out))
		log_error("db", "failed", L_STR("statement", what),
			L_STR("cause", c->driver->error(c)),
			L_STR("error", strerrordesc_np(-error)), L_INT("left_out", left_out));
}

/* --- values ---------------------------------------------------------------------------------- */

struct db_value db_text(const char *text)
{
	return text ? db_text_n(text, strlen(text)) : db_null();
}

static const struct db_value *value_at(const struct db_row *r, unsigned col)
{
	REQUIRE(col < r->n);
	return &r->at[col];
}

int64_t db_row_int(const struct db_row *r, unsigned col)
{
	const struct db_value *v = value_at(r, col);

	switch (v->type) {
	case DB_INT:
		return v->number;
	case DB_DOUBLE:
		return v->real >= -0x1p63 && v->real < 0x1p63 ? (int64_t)v->real : 0;
	case DB_TEXT:
		return strtoll(v->bytes, NULL, 10);
	default:
		return 0;
	}
}

double db_row_double(const struct db_row *r, unsigned col)
{
	const struct db_value *v = value_at(r, col);

	switch (v->type) {
	case DB_INT:
		return (double)v->number;
	case DB_DOUBLE:
		return v->real;
	case DB_TEXT:
		return strtod(v->bytes, NULL);
	default:
		return 0;
	}
}

const char *db_row_text(const struct db_row *r, unsigned col)
{
	const struct db_value *v = value_at(r, col);

	return v->type == DB_TEXT ? v->bytes : "";
}

const void *db_row_blob(const struct db_row *r, unsigned col, size_t *out_len)
{
	const struct db_value *v = value_at(r, col);
	bool has_bytes = v->type == DB_BLOB || v->type == DB_TEXT;

	*out_len = has_bytes ? v->len : 0;
	return has_bytes ? v->bytes : "";
}

bool db_row_is_null(const struct db_row *r, unsigned col)
{
	return value_at(r, col)->type == DB_NULL;
}

/* --- statements ------------------------------------------------------------------------------ */

static unsigned index_of(struct db_stmt *s)
{
	static _Atomic unsigned next = DB_STMT_FIRST;
	unsigned index = atomic_load_explicit(&s->index, memory_order_relaxed);
	unsigned fresh;

	if (likely(index))
		return index;
	fresh = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
	if (atomic_compare_exchange_strong(&s->index, &index, fresh))
		return fresh;
	return index; /* another thread was first */
}

static void write_marks(FILE *out, const char *columns, const char **comma)
{
	const char *p = columns;

	while (*(p += strspn(p, ", "))) {
		fprintf(out, "%s?", *comma);
		*comma = ", ";
		p += strcspn(p, ", ");
	}
}

char *db_insert_sql(const struct db_stmt *s)
{
	const char *comma = "";
	char *sql = NULL;
	size_t len;
	FILE *out = open_memstream(&sql, &len);

	REQUIRE(out);
	fprintf(out, "INSERT INTO %s (%s%s%s) VALUES (", s->table, s->keys, *s->values ? ", " : "",
		s->values);
	write_marks(out, s->keys, &comma);
	write_marks(out, s->values, &comma);
	fputc(')', out);
	REQUIRE(fclose(out) == 0);
	return sql;
}

/* A row function's own failure is not the database's. */
struct rows {
	db_row_fn *fn;
	void *arg;
	int answer;
};

static int hand_on(const struct db_row *r, void *arg)
{
	struct rows *rows = arg;

	return rows->answer = rows->fn(r, rows->arg);
}

static int query(struct db_conn *c, struct db_stmt *s, struct db_params params, db_row_fn *fn,
	void *arg, int64_t *changed)
{
	struct rows taker = { .fn = fn, .arg = arg };
	int rows, error;

	error = c->driver->query(
		c, s, index_of(s), params, fn ? hand_on : NULL, &taker, &rows, changed);
	if (error) {
		failed(c, s->name, error);
		return error;
	}
	return taker.answer < 0 ? taker.answer : rows;
}

static int control(struct db_conn *c, enum db_control what, const char *name)
{
	int error = c->driver->control(c, what);

	if (error)
		failed(c, name, error);
	return error;
}

/* --- reading --------------------------------------------------------------------------------- */

static void reader_unlink(struct reader *r)
{
	*r->at = r->next;
	if (r->next)
		r->next->at = r->at;
}

/* Its thread ends. */
static void reader_end(void *arg)
{
	struct reader *r = arg;

	pthread_mutex_lock(&r->db->lock);
	reader_unlink(r);
	pthread_mutex_unlock(&r->db->lock);
	r->conn->driver->close(r->conn);
	free(r);
}

static int reader_begin(struct db *db, struct reader **out)
{
	static struct log_seldom seldom;
	struct reader *r = xcalloc(1, sizeof(*r));
	const char *cause = NULL;
	uint32_t left_out;
	int error = db->driver->open(&db->conf, DB_READER, &r->conn, &cause);

	if (error) {
		if (log_seldom(&seldom, &left_out))
			log_error("db", "cannot open for reading", L_STR("path", db->conf.path),
				L_STR("cause", cause), L_INT("left_out", left_out));
		free(r);
		return error;
	}
	r->db = db;
	pthread_mutex_lock(&db->lock);
	r->next = db->readers;
	r->at = &db->readers;
	if (r->next)
		r->next->at = &r->next;
	db->readers = r;
	pthread_mutex_unlock(&db->lock);
	pthread_setspecific(db->reader_key, r);
	*out = r;
	return 0;
}

static int reading_conn(struct db *db, struct db_conn **out)
{
	struct reader *r = pthread_getspecific(db->reader_key);
	int error = 0;

	REQUIRE(writing_for != db); /* db_select() is for the writer's functions */
	if (!r)
		error = reader_begin(db, &r);
	if (!error)
		*out = r->conn;
	return error;
}

int db_read(struct db *db, struct db_stmt *s, struct db_params params, db_row_fn *fn, void *arg)
{
	uint64_t began_us = now_us();
	struct db_conn *c = NULL;
	int64_t changed;
	bool rcu_reading;
	int rows;

	job_check();
	rcu_reading = rcu_offline();
	rows = reading_conn(db, &c);
	if (!rows)
		rows = query(c, s, params, fn, arg, &changed);
	rcu_online(rcu_reading);
	metric_time(&read_time, now_us() - began_us);
	return rows;
}

static int view(struct db *db, int (*fn)(struct db_tx *tx, void *arg), void *arg)
{
	struct db_tx tx = { .db = db };
	int result = reading_conn(db, &tx.conn);

	if (!result)
		result = control(tx.conn, DB_BEGIN_READ, "begin");
	if (result)
		return result;
	result = fn(&tx, arg);
	control(tx.conn, DB_ROLLBACK, "end of view"); /* nothing was written */
	return result;
}

int db_view(struct db *db, int (*fn)(struct db_tx *tx, void *arg), void *arg)
{
	bool rcu_reading;
	int result;

	job_check();
	rcu_reading = rcu_offline();
	result = view(db, fn, arg);
	rcu_online(rcu_reading);
	return result;
}

int db_select(
	struct db_tx *tx, struct db_stmt *s, struct db_params params, db_row_fn *fn, void *arg)
{
	int64_t changed;

	return query(tx->conn, s, params, fn, arg, &changed);
}

/* --- the writer ------------------------------------------------------------------------------ */

int db_run(struct db_tx *tx, struct db_stmt *s, struct db_params params)
{
	int64_t changed = 0;
	int error;

	REQUIRE(tx->writing);
	error = query(tx->conn, s, params, NULL, NULL, &changed);
	if (error < 0)
		return error;
	return changed < INT32_MAX ? (int)changed : INT32_MAX;
}

int64_t db_last_id(struct db_tx *tx)
{
	return tx->conn->driver->last_id(tx->conn);
}

static void done_at_home(struct msg *m)
{
	struct db_work *w = container_of(m, struct db_work, msg);

	shard_check(w->home);
	w->done(w);
}

static void answer(struct db *db, struct db_work *w, int result)
{
	w->result = result;
	metric_time(&write_time, now_us() - w->asked_us);
	metric_add(&queue_length, -1);
	atomic_fetch_sub_explicit(&db->waiting, 1, memory_order_relaxed);
	if (w->home) {
		w->msg.run = done_at_home;
		shard_post(w->home, &w->msg);
	} else {
		w->done(w);
	}
}

static int commit(struct db *db, unsigned works)
{
	uint64_t began_us = now_us();
	int error = control(db->conn, DB_COMMIT, "commit");

	if (error)
		return error;
	metric_add(&commits, 1);
	metric_spread(&commit_works, works);
	metric_time(&commit_time, now_us() - began_us);
	return 0;
}

static void roll_back(struct db *db)
{
	if (db->driver->in_transaction(db->conn))
		control(db->conn, DB_ROLLBACK, "rollback");
}

/* Each of a batch's works is undone by itself. Returns false when the whole transaction is lost:
 * then what the works before have written is lost too, and they have to run again. */
static bool run_among_others(struct db *db, struct db_work *w)
{
	struct db_tx tx = { .db = db, .conn = db->conn, .writing = true };

	if (control(db->conn, DB_SAVE, "savepoint") < 0)
		return false;
	w->result = w->run(&tx, w);
	if (!db->driver->in_transaction(db->conn))
		return false;
	return control(db->conn, w->result < 0 ? DB_SAVE_UNDO : DB_SAVE_KEEP, "savepoint") == 0;
}

static void run_alone(struct db *db, struct db_work *w)
{
	struct db_tx tx = { .db = db, .conn = db->conn, .writing = true };
	int result = control(db->conn, DB_BEGIN_WRITE, "begin");

	if (!result) {
		int error = 0;

		result = w->run(&tx, w);
		if (result >= 0)
			error = db->driver->in_transaction(db->conn) ? commit(db, 1) : -EIO;
		if (error)
			result = error;
	}
	roll_back(db); /* unless committed */
	answer(db, w, result);
}

struct batch {
	unsigned n;
	struct db_work *works[BATCH_WORKS];
};

static struct db_work *pop_pending(struct db *db)
{
	struct intake_item *i = db->pending;

	db->pending = i->next;
	if (!db->pending)
		db->pending_end = &db->pending;
	return container_of(i, struct db_work, item);
}

/* Runs what is pending, up to the bounds, in one transaction. False: it is lost. */
static bool fill_batch(struct db *db, struct batch *b)
{
	uint64_t began_us = now_us();

	while (db->pending && b->n < BATCH_WORKS && now_us() - began_us < BATCH_US) {
		struct db_work *w = pop_pending(db);

		b->works[b->n++] = w;
		if (!run_among_others(db, w))
			return false;
	}
	return true;
}

static void run_batch(struct db *db)
{
	struct batch b = { 0 };
	int error = control(db->conn, DB_BEGIN_WRITE, "begin");

	if (error) {
		while (db->pending)
			answer(db, pop_pending(db), error);
		return;
	}
	if (fill_batch(db, &b) && commit(db, b.n) == 0) {
		for (unsigned i = 0; i < b.n; i++)
			answer(db, b.works[i], b.works[i]->result);
		return;
	}
	roll_back(db);
	for (unsigned i = 0; i < b.n; i++) /* so that only those fail that must */
		run_alone(db, b.works[i]);
}

static void take_in(struct db *db)
{
	*db->pending_end = intake_take(&db->intake);
	while (*db->pending_end)
		db->pending_end = &(*db->pending_end)->next;
}

static void *writer_main(void *arg)
{
	struct db *db = arg;
	uint64_t rings;

	writing_for = db;
	for (;;) {
		take_in(db);
		if (db->pending && !db->pending->next)
			run_alone(db, pop_pending(db));
		else if (db->pending)
			run_batch(db);
		else if (atomic_load_explicit(&db->closing, memory_order_acquire))
			return NULL;
		else
			while (read(db->bell, &rings, sizeof(rings)) < 0 && errno == EINTR)
				;
	}
}

static void ring(struct db *db)
{
	uint64_t one = 1;

	if (write(db->bell, &one, sizeof(one)) < 0) {
		/* The counter is full, so it rings already. */
	}
}

int db_write_later(struct db *db, struct db_work *w)
{
	REQUIRE(!atomic_load_explicit(&db->closing, memory_order_relaxed));
	if (atomic_fetch_add_explicit(&db->waiting, 1, memory_order_relaxed) >=
		db->conf.max_queue) {
		atomic_fetch_sub_explicit(&db->waiting, 1, memory_order_relaxed);
		metric_add(&refused, 1);
		return -EAGAIN;
	}
	metric_add(&queue_length, 1);
	w->home = shard_self();
	w->asked_us = now_us();
	if (intake_push(&db->intake, &w->item))
		ring(db);
	return 0;
}

unsigned db_waiting(const struct db *db)
{
	return atomic_load_explicit(&db->waiting, memory_order_relaxed);
}

/* A write whose asker waits. */
struct waited {
	struct db_work work;
	int (*fn)(struct db_tx *tx, void *arg);
	void *arg;
	sem_t done;
};

static int waited_run(struct db_tx *tx, struct db_work *w)
{
	struct waited *waited = container_of(w, struct waited, work);

	return waited->fn(tx, waited->arg);
}

static void waited_done(struct db_work *w)
{
	sem_post(&container_of(w, struct waited, work)->done);
}

int db_write(struct db *db, int (*fn)(struct db_tx *tx, void *arg), void *arg)
{
	struct waited w = {
		.work = { .run = waited_run, .done = waited_done }, .fn = fn, .arg = arg
	};
	bool rcu_reading;
	int error;

	job_check();
	REQUIRE(writing_for != db);
	sem_init(&w.done, 0, 0);
	rcu_reading = rcu_offline();
	error = db_write_later(db, &w.work);
	if (!error)
		while (sem_wait(&w.done) < 0)
			;
	rcu_online(rcu_reading);
	sem_destroy(&w.done);
	return error ? error : w.work.result;
}

/* --- opening and closing --------------------------------------------------------------------- */

void db_driver_add(const struct db_driver *d)
{
	unsigned i = 0;

	while (i < DRIVERS_MAX && drivers[i])
		i++;
	REQUIRE(i < DRIVERS_MAX);
	drivers[i] = d;
}

static const struct db_driver *driver_find(const char *name)
{
	for (unsigned i = 0; i < DRIVERS_MAX && drivers[i]; i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	return NULL;
}

static void register_metrics(void)
{
	struct metric *all[] = { &commits, &commit_works, &commit_time, &write_time, &read_time,
		&queue_length, &refused };

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		metric_register(all[i]);
	for (unsigned i = 0; i < ARRAY_LEN(failure_kinds); i++)
		metric_register(&failure_kinds[i].count);
}

static void db_free(struct db *db)
{
	if (db->conn)
		db->driver->close(db->conn);
	if (db->bell >= 0)
		close(db->bell);
	pthread_key_delete(db->reader_key);
	pthread_mutex_destroy(&db->lock);
	free((char *)db->conf.path);
	free(db);
}

static struct db *db_new(const struct db_conf *conf, const struct db_driver *driver)
{
	struct db *db = xcalloc(1, sizeof(*db));

	db->driver = driver;
	db->conf = *conf;
	db->conf.driver = driver->name;
	db->conf.path = conf->path ? xstrdup(conf->path) : NULL;
	db->pending_end = &db->pending;
	db->bell = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_init(&db->lock, NULL);
	REQUIRE(pthread_key_create(&db->reader_key, reader_end) == 0);
	return db;
}

int db_open(const struct db_conf *conf, struct db **out)
{
	const struct db_driver *driver = driver_find(conf->driver);
	const char *cause = "no such driver";
	struct db *db;
	int error;

	if (!driver) {
		log_error(
			"db", "cannot open", L_STR("driver", conf->driver), L_STR("cause", cause));
		return -EINVAL;
	}
	register_metrics();
	db = db_new(conf, driver);
	error = db->bell < 0 ? -EMFILE : driver->open(&db->conf, DB_WRITER, &db->conn, &cause);
	if (!error) {
		cause = "cannot start its thread";
		error = thread_start(&db->writer, "db writer", writer_main, db);
	}
	if (error) {
		log_error("db", "cannot open", L_STR("path", conf->path), L_STR("cause", cause));
		db_free(db);
		return error;
	}
	*out = db;
	return 0;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	atomic_store_explicit(&db->closing, true, memory_order_release);
	ring(db);
	pthread_join(db->writer, NULL);
	while (db->readers) {
		struct reader *r = db->readers;

		reader_unlink(r);
		db->driver->close(r->conn);
		free(r);
	}
	db_free(db);
}

struct db *db_main(void)
{
	return main_db;
}

void db_main_set(struct db *db)
{
	main_db = db;
}

/* --- migrations ------------------------------------------------------------------------------ */

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
