/* core/db.c - a database: its settings, opening and closing, and a reading connection for each
 * thread that asks. Writes are db_writer.c's, statements db_stmt.c's; what is particular to a
 * database is in its driver. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/db_inside.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/thread.h"

#define DRIVERS_MAX 8

static struct db *main_db;
static const struct db_driver *drivers[DRIVERS_MAX] = { &db_sqlite };

static struct metric read_time = METRIC_TIME("db_read_seconds", "Time a read took");

static const char *const synchronous_words[] = { "full", "normal", "off", NULL };
const struct conf_item db_items[] = {
	{ "driver", CONF_STRING, FIELD(struct db_conf, driver, const char *), .preset = "sqlite",
		.applies = CONF_AT_RESTART, .help = "The kind of database." },
	{ "path", CONF_PATH, FIELD(struct db_conf, path, const char *), .preset = "linnet.db",
		.applies = CONF_AT_RESTART,
		.help = "SQLite's file; its write-ahead log lies beside it. The folder must "
			"exist." },
	{ "synchronous", CONF_ENUM, FIELD(struct db_conf, synchronous, int), .preset = "full",
		.words = synchronous_words, .applies = CONF_AT_RESTART,
		.help = "full: what was answered survives a power failure. normal: it survives a "
			"crash of the server, but a power failure may undo the last seconds. off: "
			"for "
			"tests." },
	{ "cache_size", CONF_SIZE, FIELD(struct db_conf, cache_bytes, int64_t), .preset = "8 MB",
		.min = 65536, .max = INT64_C(1) << 40, .applies = CONF_AT_RESTART,
		.help = "Memory for pages of the database in the writing thread; each reading "
			"thread "
			"has a quarter of it." },
	{ "max_size", CONF_SIZE, FIELD(struct db_conf, max_bytes, int64_t), .preset = "0",
		.max = INT64_C(1) << 43, .applies = CONF_AT_RESTART,
		.help = "The database grows no larger than this; further writes fail. 0: no limit "
			"but "
			"the disk's." },
	{ "max_queue", CONF_INT, FIELD(struct db_conf, max_queue, int64_t), .preset = "8192",
		.unit = "writes", .min = 16, .max = 1 << 20, .applies = CONF_AT_RESTART,
		.help = "Writes that may wait; further ones are refused with a request to try "
			"again "
			"later." },
	{ "slow_warning", CONF_TIME, FIELD(struct db_conf, slow_warning_ms, int64_t),
		.preset = "500 ms", .max = 3600000,
		.help = "A statement or a commit that takes longer is counted and named in the "
			"log. 0: none is." },
	{ 0 }
};

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

	REQUIRE(!db_is_writer_of(db)); /* db_select() is for the writer's functions */
	if (!r)
		error = reader_begin(db, &r);
	if (!error)
		*out = r->conn;
	return error;
}

int db_read(struct db *db, struct db_stmt *s, struct db_params params, db_row_fn *fn, void *arg)
{
	uint64_t began_us = clock_us();
	struct db_conn *c = NULL;
	int64_t changed;
	bool rcu_reading;
	int rows;

	job_check();
	rcu_reading = rcu_offline();
	rows = reading_conn(db, &c);
	if (!rows)
		rows = db_query(c, s, params, fn, arg, &changed);
	rcu_online(rcu_reading);
	metric_time(&read_time, clock_us() - began_us);
	return rows;
}

static int view(struct db *db, int (*fn)(struct db_tx *tx, void *arg), void *arg)
{
	struct db_tx tx = { .db = db };
	int result = reading_conn(db, &tx.conn);

	if (!result)
		result = db_control(tx.conn, DB_BEGIN_READ, "begin");
	if (result)
		return result;
	result = fn(&tx, arg);
	db_control(tx.conn, DB_ROLLBACK, "end of view"); /* nothing was written */
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

	return db_query(tx->conn, s, params, fn, arg, &changed);
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

static int start_writer(struct db *db, const char **cause)
{
	int error = db->driver->open(&db->conf, DB_WRITER, &db->conn, cause);

	if (!error) {
		*cause = "cannot start its thread";
		error = thread_start(&db->writer, "db writer", db_writer_main, db);
	}
	return error;
}

/* Whether it can be read from at all. */
static int try_reading(struct db *db, const char **cause)
{
	struct db_conn *c;
	int error = db->driver->open(&db->conf, DB_READER, &c, cause);

	if (!error)
		db->driver->close(c);
	return error;
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
	db_failures_register();
	if (!conf->read_only)
		db_slow_warning(conf->slow_warning_ms);
	db_writer_register();
	metric_register(&read_time);
	db = db_new(conf, driver);
	if (db->bell < 0)
		error = -EMFILE;
	else
		error = conf->read_only ? try_reading(db, &cause) : start_writer(db, &cause);
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
	if (db->conn) {
		atomic_store_explicit(&db->closing, true, memory_order_release);
		db_writer_ring(db);
		pthread_join(db->writer, NULL);
	}
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
