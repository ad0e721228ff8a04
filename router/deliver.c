/* router/deliver.c - call the receiver here, or hop with an id and one reference. */
#include "router/deliver.h"

#include <stdlib.h>

#include "core/mem.h"
#include "core/metric.h"
#include "router/route.h"
#include "xml/builder.h"

struct delivery {
	struct letter letter;
	struct stanza *stanza; /* one reference */
	enum deliver_copies copies;
};

/* Letters waiting at a shard beyond which its senders' sockets rest. */
#define CONGESTED 8192

static _Thread_local bool congested;
static struct metric hops_metric =
	METRIC_COUNTER("deliveries_hopped_total", "Stanzas handed to a session on another shard.");
static struct metric local_metric =
	METRIC_COUNTER("deliveries_local_total", "Stanzas handed to a session on the same shard.");

void deliver_to_several(struct stanza *s, unsigned n)
{
	atomic_store_explicit(&s->others, n - 1, memory_order_relaxed);
}

/* Each receiver that fails takes one away; false for the last. */
static bool others_have_it(struct stanza *s)
{
	uint32_t others = atomic_load_explicit(&s->others, memory_order_relaxed);

	while (others &&
		!atomic_compare_exchange_weak_explicit(&s->others, &others, others - 1,
			memory_order_relaxed, memory_order_relaxed))
		;
	return others > 0;
}

void deliver_failed(struct stanza *s, enum deliver_copies copies)
{
	if (copies == DELIVER_COPY || others_have_it(s))
		return;
	if (s->kind == STANZA_MESSAGE)
		route(stanza_ref(s)); /* the directory knows better by now */
	else if (s->type == IQ_GET || s->type == IQ_SET)
		route_error(s, ERR_SERVICE_UNAVAILABLE, NULL);
}

ON_SHARD static void hand_over(struct actor *a, struct stanza *s, enum deliver_copies copies)
{
	const struct recipient *r = a ? a->class->recipient : NULL;

	if (!r || !r->receive(a, s, copies))
		deliver_failed(s, copies);
}

static void delivery_open(struct actor *a, struct letter *l)
{
	struct delivery *d = container_of(l, struct delivery, letter);

	shard_check(NULL);
	hand_over(a, d->stanza, d->copies);
	stanza_unref(d->stanza);
	free(d);
}

static void hop(struct actor_id to, struct stanza *s, enum deliver_copies copies)
{
	struct delivery *d = xmalloc(sizeof(*d));

	REQUIRE(s->sealed);
	d->letter.to = to;
	d->letter.open = delivery_open;
	d->stanza = stanza_ref(s);
	d->copies = copies;
	letter_post(&d->letter);
}

void deliver(struct actor_id to, struct stanza *s, enum deliver_copies copies)
{
	struct shard *there = actor_shard(to);

	if (there != shard_self()) {
		metric_add(&hops_metric, 1);
		if (there)
			deliver_hops_to(there);
		hop(to, s, copies);
		return;
	}
	metric_add(&local_metric, 1);
	hand_over(actor_find(to), s, copies);
}

void deliver_to(struct actor_id to, struct stanza *s)
{
	hop(to, s, DELIVER_COPY);
}

void deliver_hops_to(const struct shard *there)
{
	if (shard_waiting(there) > CONGESTED)
		congested = true;
}

bool deliver_congested(void)
{
	bool was = congested;

	congested = false;
	return was;
}
