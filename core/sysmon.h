/* core/sysmon.h - the system monitor: looks once a second at what a server runs out of, and says so
 * before it does.
 * What it looks at is a table of probes that whoever puts the server together hands over. A queue
 * that is too long, descriptors that run short: a line when it begins, one a minute while it lasts,
 * one when it is well again, a gauge all the time. Memory it acts on: from 90 % of memory_limit on
 * new logins are refused until it is below 80 %, and beyond the limit those who hold the most are
 * closed until it is below 95 %. Shard turns and statements that take too long are told of where
 * they end: core/stall.h, core/db.h. */
#pragma once

#include <stdatomic.h>

#include "core/attr.h"

struct heart;

/* --- what is looked at --- */

enum sysmon_measure {
	SYSMON_QUEUE, /* too long from queue_warning on, or from half its bound if that is less */
	SYSMON_SHARE, /* short from 90 % of its bound on */
};
struct sysmon_round; /* private */
struct sysmon_probe {
	const char *name; /* "mailbox": in the log, the metrics and the state */
	enum sysmon_measure measure;
	void (*read)(struct sysmon_round *r); /* calls sysmon_tell() for each it knows */
};
/* Of the probe that is being read; name as long as it likes, bound 0: none. */
void sysmon_tell(struct sysmon_round *r, const char *name, int64_t value, int64_t bound);

struct sysmon_plan {
	const struct sysmon_probe *probes; /* up to SYSMON_PROBES_MAX */
	unsigned n_probes;
	/* Closes what holds the most memory until so many bytes are free. False: it is still about
	 * the last ones. Does not block. NULL: there is nothing to close. */
	bool (*shed)(uint64_t bytes);
};
#define SYSMON_PROBES_MAX 16

/* The thread, a child of a supervisor with a heartbeat (core/child.h). plan: a struct sysmon_plan,
 * constant. One at a time. */
const char *sysmon_run(struct heart *h, void *plan);
#define SYSMON_HEARTBEAT_MS 10000

/* --- what is set and asked: any thread --- */

struct sysmon_limits {
	int64_t memory_bytes; /* memory_limit; 0: none */
	int64_t queue_warning; /* messages; 0: no warnings */
};
void sysmon_set(const struct sysmon_limits *limits); /* from the next look on */

extern _Atomic bool sysmon_short; /* relaxed */
/* Nobody may log in who has not yet, and nothing is done that takes memory without need. */
static inline bool sysmon_memory_short(void)
{
	return unlikely(atomic_load_explicit(&sysmon_short, memory_order_relaxed));
}
/* "well", or what is not: "memory: new logins are refused; mailbox: shard 0 has 20000 of 10000".
 * The caller frees. */
char *sysmon_state(void);
int64_t sysmon_memory_limit(void); /* the setting, in bytes; 0: none */

/* --- decisions, without side effects --- */

/* From which value on it is too much; 0: never. */
int64_t sysmon_threshold(enum sysmon_measure measure, int64_t bound, int64_t queue_warning);

/* Over its threshold it is raised, and well again only from an eighth below it. */
enum sysmon_change { SYSMON_SAME, SYSMON_RAISED, SYSMON_WELL };
enum sysmon_change sysmon_judge(bool *raised, int64_t value, int64_t threshold);

enum sysmon_memory { MEMORY_WELL, MEMORY_SHORT, MEMORY_OVER };
/* The state after this one; *out_shed: bytes that must go, 0 unless MEMORY_OVER. */
enum sysmon_memory sysmon_memory_next(
	enum sysmon_memory now, int64_t used, int64_t limit, uint64_t *out_shed);
