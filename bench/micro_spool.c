/* bench/micro_spool.c - records that outlive the process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/micro.h"
#include "core/mem.h"
#include "core/shard.h"
#include "core/spool.h"
#include "tests/support/on_shard.h"

#define RECORD_BYTES 300u
#define SPOOL_BYTES (UINT64_C(1) << 30)

static char *path; /* owned */
static struct spool_record **kept; /* owned */

static void begin_spool(const struct micro *m)
{
	path = xprintf("%s/linnet-micro-%d.spool", micro_folder, (int)getpid());
	REQUIRE(!spool_open(path, SPOOL_BYTES, shards_count()));
	kept = xcalloc(m->size, sizeof(*kept));
}

static void free_kept(void *n)
{
	shard_check(NULL);
	for (unsigned i = 0; i < *(unsigned *)n; i++)
		spool_free(kept[i]);
}

static void end_spool(const struct micro *m)
{
	unsigned n = m->size;

	on_shard(0, free_kept, &n);
	free(kept);
	spool_close();
	unlink(path);
	free(path);
}

struct run {
	unsigned n, ring;
};

/* Each takes the place of one made so many before, as stanzas that are acknowledged do. */
static void make_records(void *arg)
{
	static char body[RECORD_BYTES];
	static unsigned next;
	const struct run *run = arg;

	shard_check(NULL);
	for (unsigned i = 0; i < run->n; i++) {
		unsigned at = next++ % run->ring;

		spool_free(kept[at]);
		kept[at] = spool_alloc(1, i, RECORD_BYTES);
		REQUIRE(kept[at]);
		memcpy(kept[at]->bytes, body, RECORD_BYTES);
		spool_publish(kept[at]);
	}
}

static void run_spool(const struct micro *m, unsigned n)
{
	struct run run = { n, m->size };

	on_shard(0, make_records, &run);
}

const struct micro micros_spool[] = { { "spool: a record of 300 bytes, 100 there", 100, begin_spool,
					      run_spool, end_spool },
	{ "spool: a record of 300 bytes, 10 k there", 10000, begin_spool, run_spool, end_spool },
	{ 0 } };
