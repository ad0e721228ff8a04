/* bench/micro_archive.c - a large archive beside many small ones: whether reading a page, trimming
 * and what a login asks cost the same whatever there is. The table of messages is filled once for
 * each size, on a disk that nobody waits for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/micro.h"
#include "core/db.h"
#include "core/job.h"
#include "core/mem.h"
#include "modules/message_archive.h"

#define PAGE 50
#define FILL 5000 /* messages of one write */
#define CONTACTS 200 /* with whom most are exchanged */
#define RARE 60 /* messages exchanged with the rare one */
#define STEP_US 1000000

static const char body[] = "<message to='juliet@capulet.example' from='romeo@montague.example/o'"
			   " type='chat' id='m1'><body>Wherefore art thou Romeo?</body></message>";

static struct db *db;
static char *path; /* owned */
static unsigned filled; /* messages in the large archive; 0: there is no database */
static int64_t large; /* its account */
static struct jid *contacts[CONTACTS], *rare, *nobody;
static uint64_t seed = 1;

static struct jid *jid(const char *text)
{
	struct jid *j;

	REQUIRE(jid_parse(text, strlen(text), NULL, &j) == JID_OK);
	return j;
}

static void close_db(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };

	if (!filled)
		return;
	db_close(db);
	for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
		AUTO(free_ptr) char *file = xprintf("%s%s", path, ends[i]);

		unlink(file);
	}
	free(path);
	filled = 0;
}

static void name_people(void)
{
	if (rare)
		return;
	for (unsigned i = 0; i < CONTACTS; i++) {
		AUTO(free_ptr) char *text = xprintf("contact%u@montague.example/o", i);

		contacts[i] = jid(text);
	}
	rare = jid("rare@montague.example/o");
	nobody = jid("nobody@montague.example");
	atexit(close_db);
}

/* ---- Filling */

struct filling {
	int64_t first; /* account */
	unsigned accounts;
	unsigned from, to; /* messages */
	unsigned of; /* all there will be */
};

static uint64_t id_of(unsigned message)
{
	return message_first_id((int64_t)(message + 1) * STEP_US);
}

static int put_some(struct db_tx *tx, void *arg)
{
	const struct filling *f = arg;
	int result = 0;

	for (unsigned i = f->from; i < f->to && result >= 0; i++) {
		const struct jid *peer = i % (f->of / RARE ? f->of / RARE : 1)
			? contacts[micro_random(&seed) % CONTACTS]
			: rare;
		struct message_row row = { .id = id_of(i) + (f->accounts > 1),
			.body = body,
			.body_len = sizeof(body) - 1 };

		row.entries[1] = (struct message_entry){ f->first + i % f->accounts,
			message_peer(peer), message_resource(peer), 0 };
		result = message_db_put(tx, &row);
	}
	return result;
}

ON_JOB static void fill(struct filling f)
{
	f.of = f.to;
	for (unsigned done = 0; done < f.of; done += FILL) {
		f.from = done;
		f.to = done + FILL < f.of ? done + FILL : f.of;
		REQUIRE(db_write(db, put_some, &f) >= 0);
	}
}

/* One archive of m->size, and a tenth as many accounts with ten messages each. */
static void begin_archive(const struct micro *m)
{
	struct db_conf conf = { .driver = "sqlite",
		.synchronous = DB_SYNC_OFF,
		.cache_bytes = 8 << 20,
		.max_queue = 10000 };

	job_check();
	if (filled == m->size)
		return;
	close_db();
	name_people();
	path = xprintf("%s/linnet-micro-archive-%d.db", micro_folder, (int)getpid());
	conf.path = path;
	REQUIRE(db_open(&conf, &db) == 0 && message_db_open(db) == 0);
	filled = m->size;
	REQUIRE(message_db_account(db, "h", "large", &large) == 0);
	fill((struct filling){ .first = large, .accounts = 1, .to = m->size });
	fill((struct filling){ .first = large + 1, .accounts = m->size / 10, .to = m->size });
}

/* ---- Reading */

static int look_at(const struct message_found *m, void *arg UNUSED)
{
	micro_keep(m->body);
	return 0;
}

static void read_page(const struct message_range *range, unsigned wanted)
{
	job_check();
	REQUIRE(message_archive_find(db, range, PAGE, look_at, NULL) == (int)wanted);
}

static void last_page(const struct micro *m UNUSED, unsigned n)
{
	struct message_range range = { large, 0, INT64_MAX, NULL, true };

	job_check();
	while (n--)
		read_page(&range, PAGE);
}

static void middle_page(const struct micro *m, unsigned n)
{
	job_check();
	while (n--) {
		unsigned from = micro_random(&seed) % (m->size - PAGE);
		struct message_range range = { large, id_of(from), INT64_MAX, NULL, false };

		read_page(&range, PAGE);
	}
}

static void rare_page(const struct micro *m UNUSED, unsigned n)
{
	struct message_range range = { large, 0, INT64_MAX, rare, true };

	job_check();
	while (n--)
		read_page(&range, PAGE);
}

static void no_page(const struct micro *m UNUSED, unsigned n)
{
	struct message_range range = { large, 0, INT64_MAX, nobody, true };

	job_check();
	while (n--)
		read_page(&range, 0);
}

static void single_ones(const struct micro *m, unsigned n)
{
	job_check();
	while (n--)
		for (unsigned i = 0; i < PAGE; i++)
			REQUIRE(message_archive_get(db, large, id_of(micro_random(&seed) % m->size),
					look_at, NULL) == 1);
}

static void small_page(const struct micro *m, unsigned n)
{
	job_check();
	while (n--) {
		struct message_range range = { large + 1 + micro_random(&seed) % (m->size / 10), 0,
			INT64_MAX, NULL, true };

		read_page(&range, 10);
	}
}

/* What a session asks of the log before it is handed what waits: nothing does. */
static void logins(const struct micro *m, unsigned n)
{
	job_check();
	while (n--) {
		int64_t no;

		REQUIRE(message_db_account(db, "h", "large", &no) == 0);
		REQUIRE(message_db_waiting(db, large + micro_random(&seed) % (m->size / 10),
				MESSAGE_OFFERED, 0, PAGE, look_at, NULL) == 0);
	}
}

/* ---- Writing */

static int trim(struct db_tx *tx, void *account)
{
	return message_archive_trim(tx, *(int64_t *)account, INT64_MAX, 1);
}

/* The oldest message of some small archive, which may have no more. */
static void trims(const struct micro *m, unsigned n)
{
	job_check();
	while (n--) {
		int64_t account = large + 1 + micro_random(&seed) % (m->size / 10);

		REQUIRE(db_write(db, trim, &account) >= 0);
	}
}

const struct micro micros_archive[] = { { "archive of 10,000: the last page", 10000, begin_archive,
						last_page },
	{ "archive of 10,000: a page from some time on", 10000, begin_archive, middle_page },
	{ "archive of 10,000: the last page with a rare contact", 10000, begin_archive, rare_page },
	{ "archive of 10,000: a page with nobody", 10000, begin_archive, no_page },
	{ "archive of 10,000: 50 by their ids", 10000, begin_archive, single_ones },
	{ "archive of 10,000: one of 1,000 small ones", 10000, begin_archive, small_page },
	{ "archive of 10,000: what a login asks", 10000, begin_archive, logins },
	{ "archive of 10,000: the oldest one goes", 10000, begin_archive, trims, .flow = true },
	{ "archive of 1,000,000: the last page", 1000000, begin_archive, last_page },
	{ "archive of 1,000,000: a page from some time on", 1000000, begin_archive, middle_page },
	{ "archive of 1,000,000: the last page with a rare contact", 1000000, begin_archive,
		rare_page },
	{ "archive of 1,000,000: a page with nobody", 1000000, begin_archive, no_page },
	{ "archive of 1,000,000: 50 by their ids", 1000000, begin_archive, single_ones },
	{ "archive of 1,000,000: one of 100,000 small ones", 1000000, begin_archive, small_page },
	{ "archive of 1,000,000: what a login asks", 1000000, begin_archive, logins },
	{ "archive of 1,000,000: the oldest one goes", 1000000, begin_archive, trims,
		.flow = true },
	{ 0 } };
