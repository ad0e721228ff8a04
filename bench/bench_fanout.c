/* bench/bench_fanout.c - the closed loop of those who send to many. */
#include "bench/bench_fanout.h"

#include <stdio.h>
#include <stdlib.h>

#define DRAIN_NS 10000000000ull

void fanout_init(struct fanout *fo, unsigned n)
{
	*fo = (struct fanout){ .n = n, .fans = calloc(n, sizeof(*fo->fans)) };
}

void fanout_fini(struct fanout *fo)
{
	for (unsigned i = 0; i < fo->n; i++) {
		free(fo->fans[i].next);
		free(fo->fans[i].way);
	}
	free(fo->fans);
}

void fanout_fan(struct fanout *fo, unsigned i, struct client *from, unsigned receivers,
	void (*send)(struct fan *f, uint64_t number))
{
	fo->fans[i] = (struct fan){ .from = from,
		.n = receivers,
		.send = send,
		.next = calloc(receivers, sizeof(uint64_t)),
		.way = calloc(from->loop->options->inflight, sizeof(struct fan_way)) };
}

void fanout_wrong(struct fanout *fo, struct client *c, const char *what, const char *text)
{
	bench_complain_of(c, what, text);
	fo->bad++;
}

static struct fan_way *way_of(struct fan *f, uint64_t number)
{
	return &f->way[number % f->from->loop->options->inflight];
}

static void send_next(struct fan *f)
{
	*way_of(f, f->sent) = (struct fan_way){ now_ns(), f->n };
	f->on_the_way++;
	f->send(f, f->sent++);
}

/* One receiver has this number, or never will: the numbers go on. */
static void settle(struct fanout *fo, struct fan *f, uint64_t number)
{
	struct fan_way *way = way_of(f, number);

	if (--way->left)
		return;
	if (atomic_load(&bench_of(f->from)->share->phase) == PHASE_MEASURE)
		hist_add(&fo->last, (now_ns() - way->at_ns) / 1000);
	f->on_the_way--;
	if (!fo->over)
		send_next(f);
}

void fanout_got(struct fanout *fo, struct fan *f, unsigned r, uint64_t number, struct client *c,
	const char *text)
{
	if (number < f->next[r] || number >= f->sent) {
		fanout_wrong(fo, c, "doubled or late", text);
		return;
	}
	while (f->next[r] < number) {
		fanout_wrong(fo, c, "lost or early", text);
		settle(fo, f, f->next[r]++);
	}
	bench_operation(bench_of(c), way_of(f, number)->at_ns);
	f->next[r]++;
	settle(fo, f, number);
}

static unsigned on_the_way(const struct fanout *fo)
{
	unsigned n = 0;

	for (unsigned i = 0; i < fo->n; i++)
		n += fo->fans[i].on_the_way;
	return n;
}

/* Waits for what is on the way, and a little longer for what comes twice; how much never came. */
static uint64_t drain(struct fanout *fo, struct bench *b)
{
	uint64_t until = now_ns() + DRAIN_NS, lost = 0;

	fo->over = true;
	while (on_the_way(fo) && now_ns() < until)
		loop_run(&b->loop, now_ns() + 50000000);
	loop_run(&b->loop, now_ns() + 200000000);
	for (unsigned i = 0; i < fo->n; i++)
		for (unsigned r = 0; r < fo->fans[i].n; r++)
			lost += fo->fans[i].sent - fo->fans[i].next[r];
	return lost;
}

/* What was sent in the time in which so much was delivered. */
static void report_sent(struct bench *b, const char *name, unsigned receivers)
{
	struct window w = b->report.windows[b->report.n_windows - 1];

	snprintf(w.name, sizeof(w.name), "%s", name);
	w.operations /= receivers;
	w.per_second /= receivers;
	report_window(&b->report, &w);
}

void fanout_begin(struct fanout *fo)
{
	for (unsigned i = 0; i < fo->n; i++)
		for (unsigned k = 0; k < fo->fans[i].from->loop->options->inflight; k++)
			send_next(&fo->fans[i]);
}

bool fanout_run(struct fanout *fo, struct bench *b, const char *name)
{
	uint64_t lost;

	fanout_begin(fo);
	if (!bench_measure(b, "delivery", "latency"))
		return false;
	report_sent(b, name, fo->fans->n);
	report_hist(&b->report, "latency_last", &fo->last);
	lost = drain(fo, b);
	report_add(&b->report, "lost", (double)lost, "");
	report_add(&b->report, "wrong", (double)fo->bad, "");
	if (lost || fo->bad)
		fprintf(stderr, "linnet-bench: %s: something was lost, doubled or out of order\n",
			b->options->scenario);
	return !lost && !fo->bad;
}
