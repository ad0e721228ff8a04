/* Sessions that a process before has left in the spool, whatever their records hold: they wait and
 * end, and nothing of them is left. The input is a list of records: one byte for the kind, eight
 * for the key, two for the length, and the bytes. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/job.h"
#include "core/mem.h"
#include "core/spool.h"
#include "net/c2s.h"
#include "net/c2s_sm.h"
#include "router/account.h"
#include "router/directory.h"
#include "router/route.h"
#include "tests/support/on_shard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BYTES (8u << 20)
#define KIND_FIRST 32u /* of net/sm_spool.c */
#define KINDS 4u
#define HEAD 11u
#define ID_AT 32u /* in a session's record */
#define TURNS 10000

static struct host *host;
static char path[64];

static void remove_file(void)
{
	unlink(path);
}

static void begin(void)
{
	struct host_conf *conf = host_conf_new();

	job_check();
	rcu_thread_begin();
	log_level = LOG_LEVEL_NONE;
	snprintf(path, sizeof(path), "/dev/shm/linnet-fuzz-restored-%d", (int)getpid());
	atexit(remove_file);
	remove_file();
	REQUIRE(spool_open(path, MAX_BYTES, 1) == 0);
	directory_init();
	REQUIRE(jobs_start(1) == 0 && auth_start(NULL) == 0 && shards_start(1) == 0);
	accounts_start();
	conf->max_sessions = 10;
	conf->sm = (struct sm_conf){ .max_ack_queue = 3, .max_ack_bytes = 1 << 20 };
	conf->language = "en";
	host = host_new("localhost", conf);
	REQUIRE(route_register_host(host) == 0);
}

struct input {
	const uint8_t *at, *end;
};

static uint8_t ids[1000][SM_ID_BYTES];
static uint32_t n_ids;

static void note_id(const struct spool_record *r)
{
	if (spool_kind(r) == KIND_FIRST && r->len >= ID_AT + SM_ID_BYTES && n_ids < ARRAY_LEN(ids))
		memcpy(ids[n_ids++], r->bytes + ID_AT, SM_ID_BYTES);
}

static void add_records(void *arg)
{
	struct input *in = arg;

	shard_check(NULL);
	while (in->end - in->at >= HEAD) {
		size_t len = in->at[9] | (size_t)in->at[10] << 8,
		       left = (size_t)(in->end - in->at) - HEAD;
		struct spool_record *r;
		uint64_t key;

		memcpy(&key, in->at + 1, sizeof(key));
		len = len < left ? len : left;
		r = spool_alloc(KIND_FIRST + in->at[0] % KINDS, key, len);
		if (r) {
			memcpy(r->bytes, in->at + HEAD, len);
			spool_publish(r);
			note_id(r);
		}
		in->at += HEAD + len;
	}
}

static void pass_by(void *arg UNUSED)
{
}

static bool nobody_is_left(void)
{
	return c2s_count() == 0 && directory_count() == 0;
}

/* Timers and job threads have a part in it. */
static void end_all(void)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	c2s_kick_all(STREAM_POLICY_VIOLATION);
	on_shard(0, pass_by, NULL);
	for (unsigned turn = 0; !nobody_is_left() && turn < TURNS; turn++) {
		nanosleep(&moment, NULL);
		on_shard(0, pass_by, NULL);
	}
	REQUIRE(nobody_is_left());
}

/* Another process would not remember that they are over. */
static void forget_ids(void)
{
	while (n_ids)
		sm_place_remove(ids[--n_ids]);
}

static void count(struct spool_record *r UNUSED, void *n)
{
	++*(unsigned *)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned left = 0;

	if (!host)
		begin();
	on_shard(0, add_records, &in);
	sm_spool_note_messages();
	c2s_sm_restore();
	end_all();
	forget_ids();
	for (unsigned kind = KIND_FIRST; kind < KIND_FIRST + KINDS; kind++)
		spool_each(kind, count, &left);
	REQUIRE(!left);
	rcu_quiescent();
	return 0;
}
