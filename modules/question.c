/* modules/question.c - questions that wait, a table of them on each shard. */
#include "modules/question.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/mem.h"
#include "core/shard.h"

#define ID_FORMAT "ask-%x-%016" PRIx64
#define BUCKETS 256

struct table {
	unsigned n;
	struct cds_list_head waiting[BUCKETS];
};

static pthread_key_t table_key;
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

/* The shard's thread is ending. */
static void table_free(void *arg)
{
	struct table *t = arg;
	struct question *q, *next;

	for (unsigned i = 0; i < BUCKETS; i++) {
		cds_list_for_each_entry_safe (q, next, &t->waiting[i], node) {
			jid_free(q->whom);
			q->drop(q);
		}
	}
	free(t);
}

static void make_key(void)
{
	REQUIRE(!pthread_key_create(&table_key, table_free));
}

ON_SHARD static struct table *shard_table(void)
{
	struct table *t;

	pthread_once(&table_once, make_key);
	t = pthread_getspecific(table_key);
	if (!t) {
		t = xcalloc(1, sizeof(*t));
		for (unsigned i = 0; i < BUCKETS; i++)
			CDS_INIT_LIST_HEAD(&t->waiting[i]);
		pthread_setspecific(table_key, t);
	}
	return t;
}

ON_SHARD static void finish(struct question *q, struct stanza *answer)
{
	timer_cancel(&q->timer);
	cds_list_del(&q->node);
	shard_table()->n--;
	jid_free(q->whom);
	q->done(q, answer);
}

static void timer_fired(struct timer *t)
{
	shard_check(NULL);
	finish(container_of(t, struct question, timer), NULL);
}

bool question_begin(struct question *q, const struct jid *whom, uint64_t ms)
{
	struct table *t = shard_table();

	if (t->n >= QUESTIONS_MAX)
		return false;
	REQUIRE(getrandom(&q->key, sizeof(q->key), 0) == sizeof(q->key));
	snprintf(q->id, sizeof(q->id), ID_FORMAT, shard_index(shard_self()), q->key);
	q->whom = jid_dup(whom, NULL);
	timer_init(&q->timer, timer_fired);
	timer_set(&q->timer, ms);
	cds_list_add(&q->node, &t->waiting[q->key % BUCKETS]);
	t->n++;
	return true;
}

ON_SHARD static void answer_here(uint64_t key, struct stanza *s)
{
	struct question *q;

	cds_list_for_each_entry (q, &shard_table()->waiting[key % BUCKETS], node) {
		if (q->key != key || !jid_equal(q->whom, s->from))
			continue;
		finish(q, s);
		return;
	}
}

struct hop {
	struct msg msg;
	uint64_t key;
	struct stanza *stanza; /* one reference */
};

static void hop_run(struct msg *m)
{
	struct hop *h = container_of(m, struct hop, msg);

	shard_check(NULL);
	answer_here(h->key, h->stanza);
	stanza_unref(h->stanza);
	free(h);
}

enum hook_next question_answered(void *subject, void *arg UNUSED)
{
	struct stanza *s = subject;
	char again[QUESTION_ID_MAX];
	struct hop *h;
	unsigned shard;
	uint64_t key;

	shard_check(NULL);
	if (!s->id || sscanf(s->id, "ask-%x-%" SCNx64, &shard, &key) != 2 ||
		shard >= shards_count())
		return HOOK_GO_ON;
	snprintf(again, sizeof(again), ID_FORMAT, shard, key);
	if (strcmp(again, s->id) != 0)
		return HOOK_GO_ON;
	if (shard_at(shard) == shard_self()) {
		answer_here(key, s);
		return HOOK_STOP;
	}
	h = xcalloc(1, sizeof(*h));
	h->msg.run = hop_run;
	h->key = key;
	h->stanza = stanza_ref(s);
	shard_post(shard_at(shard), &h->msg);
	return HOOK_STOP;
}
