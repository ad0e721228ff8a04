/* bench/bench_step.c - one step at a time. */
#include "bench/bench_step.h"

#include <stdio.h>

#define PATIENCE_NS 60000000000ull /* without anybody being done */

static struct {
	void (*begin)(struct client *c);
	unsigned next, every, under_way, done;
	bool beginning, failed;
	const struct client_events *events; /* of those who log in */
} step;

static void begin_next(struct bench *b)
{
	if (step.beginning) /* begin() was done at once: the loop below goes on */
		return;
	step.beginning = true;
	while (step.next < b->options->users && step.under_way < b->options->parallel) {
		struct client *c = &b->clients[step.next];

		step.next += step.every;
		step.under_way++;
		step.begin(c);
	}
	step.beginning = false;
	if (!step.under_way)
		b->loop.stop = true;
}

void step_done(struct bench *b)
{
	step.under_way--;
	step.done++;
	begin_next(b);
}

void step_fail(struct bench *b)
{
	step.failed = true;
	b->loop.stop = true;
}

bool step_run(struct bench *b, unsigned first, unsigned every, void (*begin)(struct client *c))
{
	unsigned before = 0;
	uint64_t until = now_ns() + PATIENCE_NS;

	step.begin = begin;
	step.next = first;
	step.every = every;
	step.under_way = step.done = 0;
	step.failed = false;
	begin_next(b);
	while (step.under_way && !step.failed && now_ns() < until) {
		loop_run(&b->loop, until);
		if (step.done > before)
			until = now_ns() + PATIENCE_NS;
		before = step.done;
	}
	if (step.under_way && !step.failed)
		fprintf(stderr, "linnet-bench: %s: no answer from the server, %u of them done\n",
			b->options->scenario, step.done);
	return !step.under_way && !step.failed;
}

static void begin_login(struct client *c)
{
	c->events = step.events;
	client_start(c, GOAL_SESSION);
}

/* For the live view. */
static void count_sessions(struct bench *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->options->users; i++)
		n += b->clients[i].step == STEP_READY;
	atomic_store(&b->share->sessions, n);
}

bool step_login(struct bench *b, unsigned first, unsigned every, const struct client_events *events)
{
	bool good;

	step.events = b->then = events; /* bench_settle() gives them back */
	good = step_run(b, first, every, begin_login);
	count_sessions(b);
	return good;
}

bool step_login_one(struct bench *b, unsigned number, const struct client_events *events)
{
	return step_login(b, number, b->options->users, events);
}

/* --- tally ------------------------------------------------------------------------------- */

void tally_begin(struct tally *t, const struct bench *b)
{
	usage_now(b, &t->from);
}

void tally_end(struct tally *t, const struct bench *b, uint64_t operations)
{
	struct usage now;

	usage_now(b, &now);
	tally_until(t, &now, operations);
}

void tally_until(struct tally *t, const struct usage *to, uint64_t operations)
{
	t->server_us += to->server_us - t->from.server_us;
	t->own_us += to->own_us - t->from.own_us;
	t->wait_us += to->wait_us - t->from.wait_us;
	t->ns += to->at_ns - t->from.at_ns;
	t->n += operations;
}

void tally_report(const struct tally *t, struct bench *b, const char *operation)
{
	double seconds = t->ns ? (double)t->ns / 1e9 : 1;
	struct window w = { .processes = 1,
		.has_server = b->options->server.n > 0,
		.operations = t->n,
		.wall_ns = t->ns,
		.server_us = t->server_us,
		.own_us = t->own_us,
		.per_second = (double)t->n / seconds,
		.busiest = (double)t->own_us / 1e6 / seconds,
		.neediest = (double)(t->own_us + t->wait_us) / 1e6 / seconds };

	snprintf(w.name, sizeof(w.name), "%s", operation);
	report_window(&b->report, &w);
}
