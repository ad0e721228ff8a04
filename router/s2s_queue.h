/* router/s2s_queue.h - stanzas that wait for a link of the s2s manager (router/s2s.h), in order.
 * For the link's own shard. */
#pragma once

#include <urcu/list.h>

#include "core/attr.h"
#include "xml/stanza.h"

struct s2s_queue {
	struct cds_list_head list; /* of struct s2s_waiting */
	unsigned n;
	uint64_t bytes; /* of memory, about */
};
struct s2s_waiting {
	struct cds_list_head node;
	struct stanza *stanza; /* one reference */
	uint64_t since_ms; /* shard_now_ms() */
	bool again; /* given back once */
};

void s2s_queue_start(void); /* main: its metric */
void s2s_queue_init(struct s2s_queue *q);
/* Does not take s. */
ON_SHARD void s2s_queue_add(struct s2s_queue *q, struct stanza *s, bool again);
/* The first leaves, for s2s_waiting_free(); NULL: there is none. */
struct s2s_waiting *s2s_queue_take(struct s2s_queue *q);
void s2s_waiting_free(struct s2s_waiting *w);
/* All of it, to a queue that has not been initialised; from is empty then. */
void s2s_queue_move(struct s2s_queue *from, struct s2s_queue *to);
