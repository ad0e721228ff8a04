/* net/c2s_shed.c - which streams are closed when memory is over its limit. Each shard weighs its
 * own; whoever is last puts them together and writes to the heaviest. Nothing is counted before. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/metric.h"
#include "net/c2s_csi.h"
#include "net/c2s_sm.h"
#include "net/crowd.h"

#define HEAVIEST 16u /* of a shard, in one go */
#define AGAIN_MS 60000 /* between lines that nobody is to be closed */

struct heavy {
	struct actor_id id;
	uint64_t bytes;
};

/* One shard's answer. */
struct weighed {
	struct msg msg;
	struct shedding *of;
	unsigned n;
	struct heavy at[HEAVIEST]; /* heaviest first */
};

struct shedding {
	_Atomic unsigned left; /* shards, then closings, that are not done yet */
	uint64_t bytes; /* to be freed */
	unsigned n_shards;
	struct weighed shards[];
};

struct closing {
	struct letter letter;
	struct shedding *of;
	uint64_t bytes;
};

static _Atomic bool under_way;
static struct metric shed_metric = METRIC_COUNTER(
	"c2s_shed_total", "Client streams closed because memory was over its limit.");

static void shedding_end(struct shedding *s)
{
	free(s);
	atomic_store_explicit(&under_way, false, memory_order_release);
}

/* One is done; true for the last. */
static bool done(struct shedding *s)
{
	return atomic_fetch_sub_explicit(&s->left, 1, memory_order_acq_rel) == 1;
}

static void closing_open(struct actor *a, struct letter *l)
{
	struct closing *closing = container_of(l, struct closing, letter);
	struct c2s *c = a ? container_of(a, struct c2s, fsm.gen.actor) : NULL;

	shard_check(NULL);
	if (c && !stream_closing(&c->stream)) {
		c2s_log(c, LOG_LEVEL_WARNING, "closed: memory is over its limit",
			L_INT("bytes", closing->bytes));
		metric_add(&shed_metric, 1);
		c2s_leave(c, NULL); /* so that what waits is not sent here again */
		conn_drop_output(&c->stream.conn);
		c2s_fail(c, STREAM_RESOURCE_CONSTRAINT, "The server is short of memory.");
	}
	if (done(closing->of))
		shedding_end(closing->of);
	free(closing);
}

static int by_weight(const void *left, const void *right)
{
	const struct heavy *a = left, *b = right;

	return a->bytes < b->bytes ? 1 : a->bytes > b->bytes ? -1 : 0;
}

/* Once a minute: it may last. One shard at a time is here. */
ON_SHARD static void log_nobody(void)
{
	static uint64_t again_ms;
	uint64_t now_ms = shard_now_ms();

	if (now_ms < again_ms)
		return;
	again_ms = now_ms + AGAIN_MS;
	log_warning("c2s", "memory is over its limit, but no client holds much of it");
}

ON_SHARD static void close_heaviest(struct shedding *s, const struct heavy *all, unsigned n)
{
	uint64_t freed = 0;

	atomic_store_explicit(&s->left, n + 1, memory_order_relaxed); /* one is this function */
	if (!n)
		log_nobody();
	for (unsigned i = 0; i < n; i++) {
		struct closing *c;

		if (freed >= s->bytes) { /* enough */
			done(s);
			continue;
		}
		freed += all[i].bytes;
		c = xcalloc(1, sizeof(*c));
		c->letter.to = all[i].id;
		c->letter.open = closing_open;
		c->of = s;
		c->bytes = all[i].bytes;
		letter_post(&c->letter);
	}
	if (done(s))
		shedding_end(s);
}

ON_SHARD static void all_weighed(struct shedding *s)
{
	struct heavy *all = xcalloc(s->n_shards * HEAVIEST, sizeof(*all));
	unsigned n = 0;

	for (unsigned i = 0; i < s->n_shards; i++) {
		memcpy(all + n, s->shards[i].at, s->shards[i].n * sizeof(*all));
		n += s->shards[i].n;
	}
	qsort(all, n, sizeof(*all), by_weight);
	close_heaviest(s, all, n);
	free(all);
}

/* Takes its place among the heaviest, if it has one. */
static void weigh(struct weighed *w, struct actor_id id, uint64_t bytes)
{
	unsigned at;

	if (bytes < C2S_SHED_MIN || (w->n == HEAVIEST && bytes <= w->at[w->n - 1].bytes))
		return;
	w->n += w->n < HEAVIEST;
	for (at = w->n - 1; at && w->at[at - 1].bytes < bytes; at--)
		w->at[at] = w->at[at - 1];
	w->at[at] = (struct heavy){ id, bytes };
}

static void weigh_run(struct msg *m)
{
	struct weighed *w = container_of(m, struct weighed, msg);
	struct c2s *c;

	shard_check(NULL);
	cds_list_for_each_entry (c, crowd_here(LISTEN_C2S), on_shard)
		if (!stream_closing(&c->stream))
			weigh(w, c->session.id,
				stream_held_bytes(&c->stream) + c2s_sm_held_bytes(c) +
					c2s_csi_held_bytes(c));
	if (done(w->of))
		all_weighed(w->of);
}

bool c2s_shed(uint64_t bytes)
{
	unsigned n = shards_count();
	struct shedding *s;

	metric_register(&shed_metric);
	if (atomic_exchange_explicit(&under_way, true, memory_order_acquire))
		return false;
	s = xcalloc(1, sizeof(*s) + n * sizeof(s->shards[0]));
	s->bytes = bytes;
	s->n_shards = n;
	atomic_store_explicit(&s->left, n, memory_order_relaxed);
	for (unsigned i = 0; i < n; i++) {
		s->shards[i].of = s;
		s->shards[i].msg.run = weigh_run;
		shard_post(shard_at(i), &s->shards[i].msg);
	}
	return true;
}
