/* router/s2s_queue.c - a list, its length and its weight. */
#include "router/s2s_queue.h"

#include <stdlib.h>

#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"

static struct metric queued_metric = METRIC_GAUGE(
	"s2s_stanzas_waiting", "Stanzas that wait for a stream to another server to open.");

void s2s_queue_start(void)
{
	metric_register(&queued_metric);
}

void s2s_queue_init(struct s2s_queue *q)
{
	*q = (struct s2s_queue){ 0 };
	CDS_INIT_LIST_HEAD(&q->list);
}

void s2s_queue_add(struct s2s_queue *q, struct stanza *s, bool again)
{
	struct s2s_waiting *w = xmalloc(sizeof(*w));

	w->stanza = stanza_ref(s);
	w->since_ms = shard_now_ms();
	w->again = again;
	cds_list_add_tail(&w->node, &q->list);
	q->n++;
	q->bytes += stanza_held_bytes(s);
	metric_add(&queued_metric, 1);
}

struct s2s_waiting *s2s_queue_take(struct s2s_queue *q)
{
	struct s2s_waiting *w;

	if (!q->n)
		return NULL;
	w = cds_list_first_entry(&q->list, struct s2s_waiting, node);
	cds_list_del(&w->node);
	q->n--;
	q->bytes -= stanza_held_bytes(w->stanza);
	metric_add(&queued_metric, -1);
	return w;
}

void s2s_waiting_free(struct s2s_waiting *w)
{
	stanza_unref(w->stanza);
	free(w);
}

void s2s_queue_move(struct s2s_queue *from, struct s2s_queue *to)
{
	s2s_queue_init(to);
	cds_list_splice(&from->list, &to->list);
	to->n = from->n;
	to->bytes = from->bytes;
	s2s_queue_init(from);
}
