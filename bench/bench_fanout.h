/* bench/bench_fanout.h - one sends, many receive: contacts, occupants, subscribers. Each fan has K
 * numbers on the way, and sends the next when one has reached everybody. Each receiver is to get
 * every number once and in order. */
#pragma once

#include "bench/bench_scenario.h"

struct fan {
	struct client *from;
	unsigned n; /* receivers */
	void (*send)(struct fan *f, uint64_t number);
	/* Private. */
	uint64_t sent; /* numbers given out */
	uint64_t *next; /* owned: by receiver, the number it is to get */
	struct fan_way { /* owned: by number modulo inflight */
		uint64_t at_ns;
		unsigned left;
	} * way;
	unsigned on_the_way;
};
struct fanout {
	struct fan *fans; /* owned */
	unsigned n;
	/* Private. */
	struct hist last; /* until the last receiver has it */
	uint64_t bad;
	bool over;
};

void fanout_init(struct fanout *fo, unsigned n);
void fanout_fini(struct fanout *fo);
void fanout_fan(struct fanout *fo, unsigned i, struct client *from, unsigned receivers,
	void (*send)(struct fan *f, uint64_t number));
/* What this receiver, of index r, got. c and text are for complaints. */
void fanout_got(struct fanout *fo, struct fan *f, unsigned r, uint64_t number, struct client *c,
	const char *text);
/* Something came that does not belong here, or a connection went. */
void fanout_wrong(struct fanout *fo, struct client *c, const char *what, const char *text);
/* Sends the first ones. */
void fanout_begin(struct fanout *fo);
/* Begins, warms up, measures, waits for the rest, reports: deliveries, and what was sent by its
 * name. All fans have equally many receivers. */
bool fanout_run(struct fanout *fo, struct bench *b, const char *name);
