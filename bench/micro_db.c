/* bench/micro_db.c - writes that wait for the disk: the more that wait, the more share a commit. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/micro.h"
#include "core/db.h"
#include "core/job.h"
#include "core/mem.h"

static const struct db_migration tables[] = {
	{ "micro", 1, "CREATE TABLE things (id AUTOID, owner KEYTEXT NOT NULL, body TEXT);" }, { 0 }
};
static struct db_stmt thing_add =
	DB_STMT("thing_add", "INSERT INTO things (owner, body) VALUES (?, ?)");

static struct db *db;
static char *path; /* owned */

static int add_thing(struct db_tx *tx, void *unused UNUSED)
{
	static const char body[] = "<message from='romeo@montague.example/orchard' type='chat'>"
				   "<body>Wherefore art thou Romeo?</body></message>";
	int changed =
		db_run(tx, &thing_add, DB_PARAMS(db_text("juliet@capulet.example"), db_text(body)));

	return changed < 0 ? changed : 0;
}

static void remove_files(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };

	for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
		AUTO(free_ptr) char *file = xprintf("%s%s", path, ends[i]);

		unlink(file);
	}
}

static void begin_db(const struct micro *m UNUSED)
{
	struct db_conf conf = { .driver = "sqlite",
		.synchronous = DB_SYNC_FULL,
		.cache_bytes = 16 << 20,
		.max_queue = 10000 };

	job_check();
	path = xprintf("%s/linnet-micro-%d.db", micro_folder, (int)getpid());
	conf.path = path;
	REQUIRE(db_open(&conf, &db) == 0 && db_migrate(db, tables) == 0);
}

static void end_db(const struct micro *m UNUSED)
{
	db_close(db);
	remove_files();
	free(path);
}

static void *write_some(void *n)
{
	job_check();
	for (unsigned i = 0; i < *(unsigned *)n; i++)
		REQUIRE(db_write(db, add_thing, NULL) == 0);
	return NULL;
}

/* m->size threads, each of which waits for its write before the next. */
static void write_all(const struct micro *m, unsigned n)
{
	pthread_t *writers = xcalloc(m->size, sizeof(*writers));
	unsigned each = n / m->size ? n / m->size : 1;

	for (unsigned i = 0; i < m->size; i++)
		REQUIRE(!pthread_create(&writers[i], NULL, write_some, &each));
	for (unsigned i = 0; i < m->size; i++)
		pthread_join(writers[i], NULL);
	free(writers);
}

const struct micro micros_db[] = { { "database: a write on the disk, 1 waits", 1, begin_db,
					   write_all, end_db, .flow = true },
	{ "database: a write on the disk, 8 wait", 8, begin_db, write_all, end_db, .flow = true },
	{ "database: a write on the disk, 64 wait", 64, begin_db, write_all, end_db, .flow = true },
	{ 0 } };
