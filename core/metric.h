/* core/metric.h - counters, gauges and histograms, each with a name, a help text and labels.
 *   static struct metric stanzas = METRIC_COUNTER("stanzas_total", "Stanzas received");
 *   metric_add(&stanzas, 1);
 * Counting is a plain add in the running thread's own cache line; reading adds the lines up.
 * Any thread. A metric is a static object that registers itself when first used or by
 * metric_register(); two objects of one name, label and kind count together. */
#pragma once

#include "core/attr.h"

enum metric_kind { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_HISTOGRAM };
struct metric {
	const char *name; /* without the "linnet_" that every exported name gets */
	const char *help;
	enum metric_kind kind;
	const char *label; /* "kind=\"message\"" or NULL: one object per label value */
	int64_t (*read)(void); /* asked instead of counted; NULL otherwise */
	uint32_t per_unit; /* counted per exported unit: 1000000 shows µs as s; 0: 1 */
	_Atomic int slot; /* 0: not registered yet; private */
	struct metric *next; /* private */
};
#define METRIC_COUNTER(n, h)                                          \
	{                                                             \
		.name = (n), .help = (h), .kind = METRIC_KIND_COUNTER \
	}
#define METRIC_COUNTER_OF(n, l, h)                                                  \
	{                                                                           \
		.name = (n), .label = (l), .help = (h), .kind = METRIC_KIND_COUNTER \
	}
#define METRIC_GAUGE(n, h)                                          \
	{                                                           \
		.name = (n), .help = (h), .kind = METRIC_KIND_GAUGE \
	}
#define METRIC_GAUGE_READ(n, h, fn)                                               \
	{                                                                         \
		.name = (n), .help = (h), .kind = METRIC_KIND_GAUGE, .read = (fn) \
	}
/* Histogram of microseconds in powers of two, exported as seconds: end the name with _seconds. */
#define METRIC_TIME(n, h)                                                                    \
	{                                                                                    \
		.name = (n), .help = (h), .kind = METRIC_KIND_HISTOGRAM, .per_unit = 1000000 \
	}
/* Histogram of plain numbers (sizes, lengths) in powers of two. */
#define METRIC_SPREAD(n, h)                                             \
	{                                                               \
		.name = (n), .help = (h), .kind = METRIC_KIND_HISTOGRAM \
	}

void metric_register(struct metric *m); /* so that it shows at zero; idempotent */
void metric_add(struct metric *m, int64_t by); /* counter, gauge (by may be negative) */
void metric_time(struct metric *m, uint64_t us); /* METRIC_TIME */
void metric_spread(struct metric *m, uint64_t n); /* METRIC_SPREAD */
int64_t metric_value(const struct metric *m); /* a histogram's count */
/* How many of a histogram's were in each bucket: up to 1, 2, 4 ... and, in the last, beyond. */
#define METRIC_BUCKETS 28
void metric_buckets(const struct metric *m, int64_t out[METRIC_BUCKETS]);

/* Calls fn for each registered metric, in order of name and label. */
void metric_each(void (*fn)(const struct metric *m, void *arg), void *arg);
/* The whole registry as OpenMetrics text; the caller frees. */
char *metric_text(void);
/* Registers what the process itself tells: memory, CPU time, open files, threads, uptime, and
 * jemalloc's statistics where it is linked. Idempotent. */
void metric_process_init(void);
/* Two of them for whoever acts on them. Linux before 6.2 takes some 0.4 µs for each open file. */
int64_t process_open_files(void);
int64_t process_max_files(void);
