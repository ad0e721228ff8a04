/* Many threads log, count, write to and read from one database at once, while the log is reopened
 * and metrics are read. Every line must be there or be counted as lost, every count must add up,
 * every acknowledged write must be there, and ThreadSanitizer must find nothing. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/db.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"

#define THREADS 6
#define ROUNDS 600
#define SHARDS 2
#define SHARD_WRITES 1500

static struct db *db;
static _Atomic bool over;
static _Atomic int64_t acknowledged;
static struct metric rounds = METRIC_COUNTER("stress_rounds_total", "Rounds");
static struct metric sizes = METRIC_SPREAD("stress_sizes", "Sizes");

static const struct db_migration tables[] = {
	{ "stress", 1, "CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY, body TEXT);" }, { 0 }
};
static struct db_stmt thing_add =
	DB_STMT("thing_add", "INSERT INTO things (id, body) VALUES (?, ?)");
static struct db_stmt thing_has = DB_STMT("thing_has", "SELECT count(*) FROM things WHERE id = ?");
static struct db_stmt thing_count = DB_STMT("thing_count", "SELECT count(*) FROM things");

static int take_int(const struct db_row *r, void *arg)
{
	*(int64_t *)arg = db_row_int(r, 0);
	return 0;
}

static int add_thing(struct db_tx *tx, void *id)
{
	int changed = db_run(tx, &thing_add, DB_PARAMS(db_int((intptr_t)id), db_text("body")));

	return changed < 0 ? changed : 0;
}

/* Every fifth write fails, in the middle of others'. */
static int add_and_fail(struct db_tx *tx, void *id)
{
	add_thing(tx, id);
	return -ECANCELED;
}

static ON_JOB void write_one(int64_t id)
{
	bool fails = id % 5 == 0;
	int64_t found = -1;
	int result = db_write(db, fails ? add_and_fail : add_thing, (void *)(intptr_t)id);

	if (result == -EAGAIN)
		return;
	REQUIRE(result == (fails ? -ECANCELED : 0));
	REQUIRE(db_read(db, &thing_has, DB_PARAMS(db_int(id)), take_int, &found) == 1);
	REQUIRE(found == !fails);
	acknowledged += !fails;
}

static void *work(void *arg)
{
	job_check();
	for (int64_t i = 0; i < ROUNDS; i++) {
		int64_t id = ((intptr_t)arg + 1) * 1000000 + i;

		log_info("stress", "round", L_INT("id", id), L_STR("text", "a \"b\"\n"));
		metric_add(&rounds, 1);
		metric_spread(&sizes, (uint64_t)i);
		write_one(id);
		log_follow(i % 2 ? "a@b" : NULL);
		log_follow_matches("a@b", NULL, NULL);
	}
	return NULL;
}

static void *look_on(void *arg)
{
	(void)arg;
	while (!over) {
		free(metric_text());
		REQUIRE(log_reopen() == 0);
		log_flush();
	}
	return NULL;
}

/* --- shards write without waiting ------------------------------------------------------------- */

struct shard_writer {
	struct msg msg;
	struct db_work work;
	int64_t id;
	unsigned left;
	sem_t done;
};

static void shard_next(struct shard_writer *w);

static int shard_run(struct db_tx *tx, struct db_work *work)
{
	return add_thing(tx, (void *)(intptr_t)container_of(work, struct shard_writer, work)->id);
}

static void shard_done(struct db_work *work)
{
	struct shard_writer *w = container_of(work, struct shard_writer, work);

	REQUIRE(work->result == 0);
	acknowledged++;
	w->id++;
	w->left--;
	shard_next(w);
}

static void shard_next(struct shard_writer *w)
{
	if (!w->left)
		sem_post(&w->done);
	else
		REQUIRE(db_write_later(db, &w->work) == 0);
}

static void shard_begin(struct msg *m)
{
	shard_next(container_of(m, struct shard_writer, msg));
}

static void run_all(void)
{
	struct shard_writer writers[SHARDS];
	pthread_t threads[THREADS], onlooker;

	REQUIRE(pthread_create(&onlooker, NULL, look_on, NULL) == 0);
	for (unsigned i = 0; i < SHARDS; i++) {
		writers[i] = (struct shard_writer){ .msg.run = shard_begin,
			.work = { .run = shard_run, .done = shard_done },
			.id = (i + 100) * 1000000,
			.left = SHARD_WRITES };
		sem_init(&writers[i].done, 0, 0);
		shard_post(shard_at(i), &writers[i].msg);
	}
	for (intptr_t i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < SHARDS; i++)
		while (sem_wait(&writers[i].done) < 0)
			;
	over = true;
	pthread_join(onlooker, NULL);
}

static unsigned lines_of(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned lines = 0;
	int c;

	REQUIRE(f);
	while ((c = fgetc(f)) != EOF)
		lines += c == '\n';
	fclose(f);
	return lines;
}

int main(void)
{
	char folder[] = "/tmp/linnet-stress-XXXXXX", db_path[64], log_path[64];
	struct db_conf conf = { .driver = "sqlite",
		.path = db_path,
		.synchronous = DB_SYNC_OFF,
		.cache_bytes = 1 << 20,
		.max_queue = 100 };
	int64_t n = 0;

	job_check();
	REQUIRE(mkdtemp(folder));
	snprintf(db_path, sizeof(db_path), "%s/db", folder);
	snprintf(log_path, sizeof(log_path), "%s/log", folder);
	log_level = LOG_LEVEL_INFO;
	REQUIRE(log_open(log_path, LOG_FORMAT_JSON) == 0);
	REQUIRE(shards_start(SHARDS) ==
		0); /* it outlives the database's writer, which posts to it */
	REQUIRE(db_open(&conf, &db) == 0 && db_migrate(db, tables) == 0);
	run_all();
	REQUIRE(db_read(db, &thing_count, DB_NO_PARAMS, take_int, &n) == 1);
	REQUIRE(n == acknowledged);
	REQUIRE(metric_value(&rounds) == THREADS * ROUNDS);
	REQUIRE(metric_value(&sizes) == THREADS * ROUNDS);
	db_close(db);
	shards_stop();
	log_close();
	REQUIRE(lines_of(log_path) >= THREADS * ROUNDS);
	unlink(db_path);
	unlink(log_path);
	rmdir(folder);
	return 0;
}
