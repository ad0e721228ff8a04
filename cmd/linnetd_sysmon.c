/* cmd/linnetd_sysmon.c - what the system monitor (core/sysmon.h) looks at in this server. */
#include <stdio.h>

#include "cmd/linnetd_server.h"
#include "core/clock.h"
#include "core/db.h"
#include "core/job.h"
#include "core/log.h"
#include "core/metric.h"
#include "core/shard.h"
#include "core/stall.h"
#include "core/sysmon.h"
#include "net/c2s.h"
#include "net/dns.h"

static void read_mailboxes(struct sysmon_round *r)
{
	char name[24];

	for (unsigned i = 0; i < shards_count(); i++) {
		snprintf(name, sizeof(name), "shard %u", i);
		sysmon_tell(r, name, shard_waiting(shard_at(i)), 0);
	}
}

static void tell_carrier(const char *name, unsigned waiting, unsigned max_queue, void *round)
{
	sysmon_tell(round, name, waiting, max_queue);
}

static void read_jobs(struct sysmon_round *r)
{
	carriers_each(tell_carrier, r);
}

static void read_writes(struct sysmon_round *r)
{
	const struct db *db = db_main();

	if (db)
		sysmon_tell(r, "main", db_waiting(db), db_max_queue(db));
}

static void read_log(struct sysmon_round *r)
{
	sysmon_tell(r, "lines", log_waiting(), 0);
}

static void read_dns(struct sysmon_round *r)
{
	sysmon_tell(r, "questions", dns_waiting(), DNS_WAITING_MAX);
}

/* Where the kernel only lists the open files, a great many take their time: then it is asked less
 * often, for a hundredth of the time at most. */
static void read_files(struct sysmon_round *r)
{
	static int64_t open_files;
	static uint64_t look_us;
	uint64_t began_us = clock_us();

	if (began_us >= look_us) {
		open_files = process_open_files();
		look_us = began_us + 100 * (clock_us() - began_us);
	}
	sysmon_tell(r, "open files", open_files, process_max_files());
}

static const struct sysmon_probe probes[] = {
	{ "mailbox", SYSMON_QUEUE, read_mailboxes },
	{ "jobs", SYSMON_QUEUE, read_jobs }, /* the lanes and one_queue handlers among them */
	{ "database writes", SYSMON_QUEUE, read_writes },
	{ "log", SYSMON_QUEUE, read_log },
	{ "dns", SYSMON_QUEUE, read_dns },
	{ "file descriptors", SYSMON_SHARE, read_files },
};

const struct sysmon_plan server_sysmon = {
	.probes = probes,
	.n_probes = ARRAY_LEN(probes),
	.shed = c2s_shed,
};

void server_set_limits(const struct settings *s)
{
	sysmon_set(&(struct sysmon_limits){ s->server.memory_limit, s->server.queue_warning });
	atomic_store_explicit(
		&stall_ms, (uint32_t)s->server.shard_turn_warning_ms, memory_order_relaxed);
	db_slow_warning(s->database.slow_warning_ms);
}
