/* router/s2s_table.c - the links of each shard, found by their pair of domains. */
#include "router/s2s_inside.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/shard.h"

#define LINKS_MAX 5000 /* of one shard: a sender may name any domain */
#define REMEMBERED_MAX 500 /* idle ones of one shard, for who asks why they failed */

static struct s2s_table tables[SHARDS_MAX];

uint32_t s2s_pair_hash(const char *ours, const char *theirs)
{
	return jid_hash_domain(ours, strlen(ours)) * 31 + jid_hash_domain(theirs, strlen(theirs));
}

struct shard *s2s_home_of(uint32_t hash, unsigned index)
{
	return shard_at((hash + index) % shards_count());
}

struct shard *s2s_home(const char *ours, const char *theirs)
{
	return s2s_home_of(s2s_pair_hash(ours, theirs), 0);
}

struct s2s_table *s2s_table_own(void)
{
	struct s2s_table *h = &tables[shard_index(shard_self())];

	if (!h->begun) {
		for (unsigned i = 0; i < S2S_BUCKETS; i++)
			CDS_INIT_LIST_HEAD(&h->buckets[i]);
		CDS_INIT_LIST_HEAD(&h->idle);
		s2s_queue_init(&h->put_by);
		h->begun = true;
	}
	return h;
}

struct s2s_link *s2s_table_find(
	struct s2s_table *h, uint32_t hash, unsigned index, const char *ours, const char *theirs)
{
	struct s2s_link *l;

	cds_list_for_each_entry (l, &h->buckets[hash % S2S_BUCKETS], in_bucket) {
		if (l->hash == hash && l->index == index && !strcmp(l->theirs, theirs) &&
			!strcmp(l->ours, ours))
			return l;
	}
	return NULL;
}

/* Nothing goes on with it: it is there to be asked about, until others take its place. */
static bool is_idle(const struct s2s_link *l)
{
	return l->state == S2S_IDLE && !l->out && !l->incoming.v && !l->fenced;
}

/* Something is about to be done with it, and s2s_table_settle() follows: it does not go meanwhile.
 */
void s2s_table_hold(struct s2s_table *h, struct s2s_link *l)
{
	if (cds_list_empty(&l->by_use))
		return;
	cds_list_del_init(&l->by_use);
	h->n_idle--;
}

void s2s_table_forget(struct s2s_table *h, struct s2s_link *l)
{
	s2s_table_hold(h, l);
	cds_list_del(&l->in_bucket);
	timer_cancel(&l->timer);
	s2s_trace_fini(&l->trace);
	h->n--;
	free((char *)l->ours);
	free((char *)l->theirs);
	free(l->told);
	free(l->why);
	free(l);
}

/* If it is idle, it may go from now on. */
void s2s_table_settle(struct s2s_link *l)
{
	struct s2s_table *h = s2s_table_own();

	s2s_table_hold(h, l);
	if (!is_idle(l))
		return;
	cds_list_add_tail(&l->by_use, &h->idle);
	h->n_idle++;
	while (h->n_idle > REMEMBERED_MAX && !h->touring)
		s2s_table_forget(h, cds_list_first_entry(&h->idle, struct s2s_link, by_use));
}

ON_SHARD static struct s2s_link *link_new(
	struct s2s_table *h, uint32_t hash, unsigned index, const char *ours, const char *theirs)
{
	struct s2s_link *l = xcalloc(1, sizeof(*l));

	l->hash = hash;
	l->index = index;
	l->ours = xstrdup(ours);
	l->theirs = xstrdup(theirs);
	l->since_ms = clock_wall_ms();
	timer_init(&l->timer, s2s_link_time_is_up);
	s2s_queue_init(&l->queue);
	s2s_queue_init(&l->back);
	s2s_queue_init(&l->returned);
	s2s_queue_init(&l->held);
	CDS_INIT_LIST_HEAD(&l->by_use);
	cds_list_add(&l->in_bucket, &h->buckets[hash % S2S_BUCKETS]);
	h->n++;
	return l;
}

/* Held. NULL: there are too many. */
struct s2s_link *s2s_table_have(uint32_t hash, unsigned index, const char *ours, const char *theirs)
{
	struct s2s_table *h = s2s_table_own();
	struct s2s_link *l = s2s_table_find(h, hash, index, ours, theirs);

	if (l)
		s2s_table_hold(h, l);
	else if (h->n - h->n_idle < LINKS_MAX)
		l = link_new(h, hash, index, ours, theirs);
	return l;
}

static void tour_run(struct msg *m)
{
	struct s2s_tour *t = container_of(m, struct s2s_tour, errand.msg);
	struct s2s_link *l, *next;
	struct s2s_table *h;

	shard_check(NULL);
	h = s2s_table_own();
	h->touring = true;
	for (unsigned i = 0; i < S2S_BUCKETS; i++)
		cds_list_for_each_entry_safe (l, next, &h->buckets[i], in_bucket)
			t->fn(l, t);
	h->touring = false;
	errand_tell(&t->errand);
}

void s2s_tour(struct s2s_tour *t)
{
	for (unsigned i = 0; i < shards_count(); i++)
		errand_wait(&t->errand, shard_at(i), tour_run);
}
