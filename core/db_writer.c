/* core/db_writer.c - one thread that gathers the writes that wait into one commit. */
#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/db_inside.h"
#include "core/job.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"

#define BATCH_WORKS 512 /* one commit holds at most so many */
#define BATCH_US 20000 /* and takes no further work after this time */

static __thread const struct db *writing_for; /* on the writer thread */

static struct metric commits =
	METRIC_COUNTER("db_commits_total", "Commits of the database's writer");
static struct metric commit_works =
	METRIC_SPREAD("db_commit_works", "Writes gathered into one commit");
static struct metric commit_time =
	METRIC_TIME("db_commit_seconds", "Time for a commit to become durable");
static struct metric write_time =
	METRIC_TIME("db_write_seconds", "Time from asking for a write until it was durable");
static struct metric queue_length = METRIC_GAUGE("db_queue", "Writes that wait or run");
static struct metric refused =
	METRIC_COUNTER("db_refused_total", "Writes refused because too many waited");

void db_writer_register(void)
{
	struct metric *all[] = { &commits, &commit_works, &commit_time, &write_time, &queue_length,
		&refused };

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		metric_register(all[i]);
}

bool db_is_writer_of(const struct db *db)
{
	return writing_for == db;
}

int db_run(struct db_tx *tx, struct db_stmt *s, struct db_params params)
{
	int64_t changed = 0;
	int error;

	REQUIRE(tx->writing);
	error = db_query(tx->conn, s, params, NULL, NULL, &changed);
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
	metric_time(&write_time, clock_us() - w->asked_us);
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
	uint64_t began_us = clock_us();
	int error = db_control(db->conn, DB_COMMIT, "commit");

	if (error)
		return error;
	metric_add(&commits, 1);
	metric_spread(&commit_works, works);
	metric_time(&commit_time, clock_us() - began_us);
	return 0;
}

static void roll_back(struct db *db)
{
	if (db->driver->in_transaction(db->conn))
		db_control(db->conn, DB_ROLLBACK, "rollback");
}

/* Each of a batch's works is undone by itself. Returns false when the whole transaction is lost:
 * then what the works before have written is lost too, and they have to run again. */
static bool run_among_others(struct db *db, struct db_work *w)
{
	struct db_tx tx = { .db = db, .conn = db->conn, .writing = true };

	if (db_control(db->conn, DB_SAVE, "savepoint") < 0)
		return false;
	w->result = w->run(&tx, w);
	if (!db->driver->in_transaction(db->conn))
		return false;
	return db_control(db->conn, w->result < 0 ? DB_SAVE_UNDO : DB_SAVE_KEEP, "savepoint") == 0;
}

static void run_alone(struct db *db, struct db_work *w)
{
	struct db_tx tx = { .db = db, .conn = db->conn, .writing = true };
	int result = db_control(db->conn, DB_BEGIN_WRITE, "begin");

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
	uint64_t began_us = clock_us();

	while (db->pending && b->n < BATCH_WORKS && clock_us() - began_us < BATCH_US) {
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
	int error = db_control(db->conn, DB_BEGIN_WRITE, "begin");

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

void *db_writer_main(void *arg)
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

void db_writer_ring(struct db *db)
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
	w->asked_us = clock_us();
	if (intake_push(&db->intake, &w->item))
		db_writer_ring(db);
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
	REQUIRE(!db_is_writer_of(db));
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

unsigned db_max_queue(const struct db *db)
{
	return (unsigned)db->conf.max_queue;
}
