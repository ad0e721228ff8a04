/* core/metric.c - one block of counters per thread, written by that thread alone, and a total of
 * the threads that have ended. A block grows by cache-aligned chunks, so that a metric registered
 * late needs no stop of anyone. */
#include "core/metric.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define CHUNK_SLOTS 64u
#define CHUNKS 256u
#define BUCKETS ((unsigned)METRIC_BUCKETS) /* values up to 1, 2, 4 ... 2^26, and all beyond */
#define SLOT_SUM BUCKETS /* a histogram's slots: the buckets, then the sum */
#define HISTOGRAM_SLOTS (BUCKETS + 1)

struct chunk {
	/* Written by one thread: relaxed load, add, store. Read by any. */
	_Alignas(64) _Atomic int64_t at[CHUNK_SLOTS];
};
struct block {
	struct block *next, **at; /* in blocks, under registry */
	struct chunk *_Atomic chunks[CHUNKS];
};

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
/* Under registry. */
static struct metric *metrics; /* by name, then label */
static unsigned metrics_n;
static int slots_used = 1; /* slot 0 means unregistered */
static struct block *blocks;
static int64_t ended[CHUNKS * CHUNK_SLOTS]; /* what threads that are gone have counted */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t block_key;
static __thread struct block *mine;

static void block_fold(struct block *b)
{
	for (unsigned c = 0; c < CHUNKS; c++) {
		struct chunk *chunk = atomic_load_explicit(&b->chunks[c], memory_order_acquire);

		for (unsigned i = 0; chunk && i < CHUNK_SLOTS; i++)
			ended[c * CHUNK_SLOTS + i] +=
				atomic_load_explicit(&chunk->at[i], memory_order_relaxed);
		free(chunk);
	}
}

/* The thread ends. */
static void block_end(void *arg)
{
	struct block *b = arg;

	mine = NULL;
	pthread_mutex_lock(&registry);
	*b->at = b->next;
	if (b->next)
		b->next->at = b->at;
	block_fold(b);
	pthread_mutex_unlock(&registry);
	free(b);
}

static void key_make(void)
{
	REQUIRE(pthread_key_create(&block_key, block_end) == 0);
}

static struct block *block_begin(void)
{
	struct block *b = xcalloc(1, sizeof(*b));

	pthread_once(&once, key_make);
	pthread_mutex_lock(&registry);
	b->next = blocks;
	b->at = &blocks;
	if (blocks)
		blocks->at = &b->next;
	blocks = b;
	pthread_mutex_unlock(&registry);
	pthread_setspecific(block_key, b);
	mine = b;
	return b;
}

static struct chunk *chunk_begin(struct block *b, unsigned index)
{
	struct chunk *chunk = aligned_alloc(_Alignof(struct chunk), sizeof(*chunk));

	REQUIRE(chunk);
	memset(chunk, 0, sizeof(*chunk));
	atomic_store_explicit(&b->chunks[index], chunk, memory_order_release);
	return chunk;
}

static void count(unsigned slot, int64_t by)
{
	struct block *b = likely(mine) ? mine : block_begin();
	struct chunk *chunk =
		atomic_load_explicit(&b->chunks[slot / CHUNK_SLOTS], memory_order_relaxed);
	_Atomic int64_t *at;

	if (unlikely(!chunk))
		chunk = chunk_begin(b, slot / CHUNK_SLOTS);
	at = &chunk->at[slot % CHUNK_SLOTS];
	atomic_store_explicit(
		at, atomic_load_explicit(at, memory_order_relaxed) + by, memory_order_relaxed);
}

static int64_t counted(unsigned slot)
{
	int64_t sum = ended[slot];

	for (struct block *b = blocks; b; b = b->next) {
		struct chunk *chunk =
			atomic_load_explicit(&b->chunks[slot / CHUNK_SLOTS], memory_order_acquire);

		if (chunk)
			sum += atomic_load_explicit(
				&chunk->at[slot % CHUNK_SLOTS], memory_order_relaxed);
	}
	return sum;
}

/* Returns their sum. */
static int64_t counted_buckets(unsigned slot, int64_t buckets[BUCKETS])
{
	int64_t n = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		n += buckets[i] = counted(slot + i);
	return n;
}

static int order_of(const struct metric *a, const struct metric *b)
{
	int by_name = strcmp(a->name, b->name);

	return by_name ? by_name : strcmp(a->label ? a->label : "", b->label ? b->label : "");
}

void metric_register(struct metric *m)
{
	struct metric **at = &metrics;
	int order = -1;

	pthread_mutex_lock(&registry);
	if (!atomic_load_explicit(&m->slot, memory_order_relaxed)) {
		while (*at && (order = order_of(*at, m)) < 0)
			at = &(*at)->next;
		if (*at && order == 0) { /* the same metric, counted from another place */
			REQUIRE((*at)->kind == m->kind);
			atomic_store_explicit(&m->slot, (*at)->slot, memory_order_release);
		} else {
			int slots = m->kind == METRIC_KIND_HISTOGRAM ? (int)HISTOGRAM_SLOTS : 1;

			REQUIRE(slots_used + slots <= (int)ARRAY_LEN(ended));
			m->next = *at;
			*at = m;
			metrics_n++;
			atomic_store_explicit(&m->slot, slots_used, memory_order_release);
			slots_used += slots;
		}
	}
	pthread_mutex_unlock(&registry);
}

static unsigned slot_of(struct metric *m)
{
	int slot = atomic_load_explicit(&m->slot, memory_order_acquire);

	if (unlikely(!slot)) {
		metric_register(m);
		slot = atomic_load_explicit(&m->slot, memory_order_acquire);
	}
	return (unsigned)slot;
}

void metric_add(struct metric *m, int64_t by)
{
	count(slot_of(m), by);
}

void metric_spread(struct metric *m, uint64_t n)
{
	unsigned slot = slot_of(m);
	unsigned bucket = n <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(n - 1);

	count(slot + (bucket < BUCKETS ? bucket : BUCKETS - 1), 1);
	/* One wild value shall not spoil the sum. */
	count(slot + SLOT_SUM, n < UINT32_MAX ? (int64_t)n : UINT32_MAX);
}

void metric_time(struct metric *m, uint64_t us)
{
	metric_spread(m, us);
}

int64_t metric_value(const struct metric *m)
{
	unsigned slot = (unsigned)atomic_load_explicit(&m->slot, memory_order_acquire);
	int64_t buckets[BUCKETS];
	int64_t value = 0;

	if (m->read)
		return m->read();
	pthread_mutex_lock(&registry);
	if (slot && m->kind == METRIC_KIND_HISTOGRAM)
		value = counted_buckets(slot, buckets);
	else if (slot)
		value = counted(slot);
	pthread_mutex_unlock(&registry);
	return value;
}

void metric_buckets(const struct metric *m, int64_t out[METRIC_BUCKETS])
{
	unsigned slot = (unsigned)atomic_load_explicit(&m->slot, memory_order_acquire);

	REQUIRE(m->kind == METRIC_KIND_HISTOGRAM);
	pthread_mutex_lock(&registry);
	counted_buckets(slot, out);
	pthread_mutex_unlock(&registry);
}

void metric_each(void (*fn)(const struct metric *m, void *arg), void *arg)
{
	struct metric **all;
	unsigned n = 0;

	/* Taken first: fn() and read() run without the lock. */
	pthread_mutex_lock(&registry);
	all = xcalloc(metrics_n, sizeof(struct metric *));
	for (struct metric *m = metrics; m; m = m->next)
		all[n++] = m;
	pthread_mutex_unlock(&registry);
	for (unsigned i = 0; i < n; i++)
		fn(all[i], arg);
	free(all);
}

/* --- OpenMetrics text ------------------------------------------------------------------------ */

struct text {
	FILE *out;
	const struct metric *before; /* the one written last: families share HELP and TYPE */
};

/* A counter's family is its name without _total. */
static int family_len(const struct metric *m)
{
	size_t len = strlen(m->name);

	if (m->kind == METRIC_KIND_COUNTER && len > 6 && strcmp(m->name + len - 6, "_total") == 0)
		len -= 6;
	return (int)len;
}

static void write_head(FILE *out, const struct metric *m)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };

	fprintf(out, "# HELP linnet_%.*s ", family_len(m), m->name);
	for (const char *p = m->help; *p; p++) {
		if (*p == '\\' || *p == '"' || *p == '\n')
			fputc('\\', out);
		fputc(*p == '\n' ? 'n' : *p, out);
	}
	fprintf(out, "\n# TYPE linnet_%.*s %s\n", family_len(m), m->name, kinds[m->kind]);
}

static void write_number(FILE *out, const struct metric *m, int64_t n)
{
	if (m->per_unit)
		fprintf(out, " %.6f\n", (double)n / m->per_unit);
	else
		fprintf(out, " %" PRId64 "\n", n);
}

static void write_histogram(FILE *out, const struct metric *m)
{
	const char *label = m->label ? m->label : "", *comma = m->label ? "," : "";
	const char *open = m->label ? "{" : "", *close = m->label ? "}" : "";
	int64_t buckets[BUCKETS], sum, n = 0;

	pthread_mutex_lock(&registry);
	counted_buckets((unsigned)m->slot, buckets);
	sum = counted((unsigned)m->slot + SLOT_SUM);
	pthread_mutex_unlock(&registry);
	for (unsigned i = 0; i < BUCKETS - 1; i++) {
		n += buckets[i];
		fprintf(out, "linnet_%s_bucket{%s%sle=\"%.9g\"} %" PRId64 "\n", m->name, label,
			comma, (double)(1u << i) / (m->per_unit ? m->per_unit : 1), n);
	}
	n += buckets[BUCKETS - 1];
	fprintf(out, "linnet_%s_bucket{%s%sle=\"+Inf\"} %" PRId64 "\n", m->name, label, comma, n);
	fprintf(out, "linnet_%s_sum%s%s%s", m->name, open, label, close);
	write_number(out, m, sum);
	fprintf(out, "linnet_%s_count%s%s%s %" PRId64 "\n", m->name, open, label, close, n);
}

static void write_metric(const struct metric *m, void *arg)
{
	struct text *t = arg;

	if (!t->before || strcmp(t->before->name, m->name) != 0)
		write_head(t->out, m);
	t->before = m;
	if (m->kind == METRIC_KIND_HISTOGRAM) {
		write_histogram(t->out, m);
		return;
	}
	fprintf(t->out, "linnet_%.*s%s", family_len(m), m->name,
		m->kind == METRIC_KIND_COUNTER ? "_total" : "");
	if (m->label)
		fprintf(t->out, "{%s}", m->label);
	write_number(t->out, m, metric_value(m));
}

char *metric_text(void)
{
	char *text = NULL;
	size_t len = 0;
	struct text t = { .out = open_memstream(&text, &len) };

	REQUIRE(t.out);
	metric_each(write_metric, &t);
	fputs("# EOF\n", t.out);
	REQUIRE(fclose(t.out) == 0);
	return text;
}
