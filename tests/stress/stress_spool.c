/* A process that makes, changes and frees records on several shards is killed at random moments,
 * again and again. What the next one finds must be exactly what was published and not freed: every
 * record whole, none twice. What each record is about stands in memory that both processes share:
 * written before the spool is told what may have happened, and after it what has. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "core/spool.h"
#include "core/timer.h"

#define KILLS 60
#define SHARDS 3u
#define KEYS 6000u /* of each shard */
#define AT_ONCE 40 /* of one turn */
#define MAX_BYTES (64u << 20)
#define KIND 5

enum { ABSENT, COMING, THERE, GOING };
struct life {
	_Atomic uint32_t stage;
	uint32_t len;
	uint32_t number; /* of its content: the same key comes again with another */
};
static struct life (*lives)[KEYS]; /* shared */
static char path[64];

/* --- contents ------------------------------------------------------------------------------ */

static uint32_t random32(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*seed >> 33);
}

/* Mostly small, some in rows of pages. */
static uint32_t some_len(uint64_t *seed)
{
	switch (random32(seed) % 50) {
	case 0:
		return 8 + random32(seed) % 150000;
	case 1:
	case 2:
	case 3:
		return 8 + random32(seed) % 20000;
	default:
		return 8 + random32(seed) % 800;
	}
}

static void content_write(struct spool_record *r, uint32_t number)
{
	memcpy(r->bytes, &number, 4);
	memset(r->bytes + 4, (int)(number & 0xff), r->len - 4);
}

static void content_check(const struct spool_record *r, const struct life *l)
{
	uint32_t number;

	memcpy(&number, r->bytes, 4);
	REQUIRE(r->len == l->len && number == l->number);
	for (uint32_t i = 4; i < r->len; i++)
		REQUIRE((unsigned char)r->bytes[i] == (number & 0xff));
}

/* --- the process that is killed ------------------------------------------------------------ */

static struct spool_record *records[SHARDS][KEYS]; /* each shard's own row */
static struct worker {
	struct timer timer;
	uint64_t seed;
} workers[SHARDS];

ON_SHARD static void work_on(unsigned shard, uint32_t key, uint64_t *seed)
{
	struct life *l = &lives[shard][key];
	struct spool_record **r = &records[shard][key];

	if (*r) {
		atomic_store(&l->stage, GOING);
		spool_free(*r);
		*r = NULL;
		atomic_store(&l->stage, ABSENT);
		return;
	}
	l->len = some_len(seed);
	l->number++;
	*r = spool_alloc(KIND, (uint64_t)shard << 32 | key, l->len);
	if (!*r)
		return;
	content_write(*r, l->number);
	if (random32(seed) % 20 == 0) { /* never published */
		spool_free(*r);
		*r = NULL;
		return;
	}
	atomic_store(&l->stage, COMING);
	spool_publish(*r);
	atomic_store(&l->stage, THERE);
}

static void work(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, timer);
	unsigned shard = shard_index(shard_self());

	shard_check(NULL);
	for (unsigned i = 0; i < AT_ONCE; i++)
		work_on(shard, random32(&w->seed) % KEYS, &w->seed);
	timer_set(t, 1);
}

static void begin_work(struct msg *m)
{
	struct worker *w = &workers[shard_index(shard_self())];

	shard_check(NULL);
	timer_init(&w->timer, work);
	timer_set(&w->timer, 1);
	free(m);
}

/* Whoever made them before, each row is now its shard's to free: some lie in another's pages. */
static void adopt(struct spool_record *r, void *arg UNUSED)
{
	records[r->key >> 32][(uint32_t)r->key] = r;
}

static NO_RETURN void live(unsigned round)
{
	REQUIRE(!spool_open(path, MAX_BYTES, SHARDS));
	spool_each(KIND, adopt, NULL);
	REQUIRE(!shards_start(SHARDS));
	for (unsigned i = 0; i < SHARDS; i++) {
		struct msg *m = xcalloc(1, sizeof(*m));

		workers[i].seed = round * SHARDS + i;
		m->run = begin_work;
		shard_post(shard_at(i), m);
	}
	for (;;)
		pause();
}

/* --- the one that looks -------------------------------------------------------------------- */

static uint32_t seen[SHARDS][KEYS];
static unsigned total;

static void look_at(struct spool_record *r, void *arg UNUSED)
{
	uint32_t shard = (uint32_t)(r->key >> 32), key = (uint32_t)r->key;

	REQUIRE(shard < SHARDS && key < KEYS);
	REQUIRE(!seen[shard][key]++);
	REQUIRE(atomic_load(&lives[shard][key].stage) != ABSENT);
	content_check(r, &lives[shard][key]);
	total++;
}

static void look(void)
{
	memset(seen, 0, sizeof(seen));
	total = 0;
	/* Any number of heaps: the next server may have other shards. */
	REQUIRE(!spool_open(path, MAX_BYTES, 1));
	spool_each(KIND, look_at, NULL);
	spool_close();
	for (unsigned s = 0; s < SHARDS; s++) {
		for (unsigned k = 0; k < KEYS; k++) {
			struct life *l = &lives[s][k];

			REQUIRE(seen[s][k] || atomic_load(&l->stage) != THERE);
			atomic_store(&l->stage, seen[s][k] ? THERE : ABSENT);
		}
	}
}

static void one_round(unsigned round, uint64_t *seed)
{
	struct timespec until = { .tv_nsec = 1000000L * (5 + random32(seed) % 60) };
	pid_t child = fork();
	int status;

	REQUIRE(child >= 0);
	if (!child)
		live(round);
	nanosleep(&until, NULL); /* any moment is as good as any other */
	REQUIRE(!kill(child, SIGKILL) && waitpid(child, &status, 0) == child);
	REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	look();
}

int main(void)
{
	uint64_t seed = (uint64_t)time(NULL);
	unsigned most = 0;

	lives = mmap(NULL, SHARDS * sizeof(*lives), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(lives != MAP_FAILED);
	snprintf(path, sizeof(path), "/tmp/linnet-stress-spool-%d", (int)getpid());
	for (unsigned i = 0; i < KILLS; i++) {
		one_round(i, &seed);
		most = total > most ? total : most;
	}
	unlink(path);
	printf("%d kills, up to %u records found\n", KILLS, most);
	REQUIRE(most > 0);
	return 0;
}
