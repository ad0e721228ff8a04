/* bench/bench_measure.c - the clock and the books of a run. */
#include <stdio.h>

#include "bench/bench_scenario.h"

#define MEETING_STEP_NS 5000000
#define REST_STEP_NS 250000000ull
#define REST_PERCENT 3 /* of a core: what servers use without any work */
#define REST_PATIENCE_NS 60000000000ull

void bench_phase(struct bench *b, enum phase phase)
{
	atomic_store(&b->share->phase, phase);
}

bool bench_meet(struct bench *b)
{
	unsigned want = ++b->meetings * b->board->processes;

	atomic_fetch_add(&b->board->met, 1);
	while (atomic_load(&b->board->met) < want && !atomic_load(&b->board->give_up))
		loop_run(&b->loop, now_ns() + MEETING_STEP_NS);
	return !atomic_load(&b->board->give_up);
}

void bench_operation(struct bench *b, uint64_t began_ns)
{
	uint64_t now = now_ns(), us = now > began_ns ? (now - began_ns) / 1000 : 0;

	hist_add(&b->share->latency, us);
	if (us > b->longest_us)
		b->longest_us = us;
	atomic_store_explicit(&b->share->operations, b->share->latency.n, memory_order_relaxed);
	if (b->left && --b->left == 0)
		b->loop.stop = true;
}

/* Processes take turns, so that the operations of all are evenly spaced. */
void bench_pace(struct bench *b, struct pace *p, void (*due)(void *, uint64_t), void *arg)
{
	double turn = (double)(b->share - b->board->shares) / b->board->processes;

	pace_begin(p, b->options->rate, now_ns() + (uint64_t)(turn * 1e9 / b->options->rate), due,
		arg);
	loop_pace(&b->loop, p);
}

void bench_pace_end(struct bench *b)
{
	struct pace *p = b->loop.pace;

	if (!p)
		return;
	loop_pace(&b->loop, NULL);
	pace_end(p);
	report_hist(&b->report, "send_late", &p->late);
}

bool bench_measure(struct bench *b, const char *operation, const char *latency)
{
	struct hist *all = &b->share->latency, before, measured;
	struct usage from, to;

	if (!bench_meet(b))
		return false;
	bench_phase(b, PHASE_WARMUP);
	loop_run(&b->loop, now_ns() + (uint64_t)(b->options->warmup * 1e9));
	before = *all;
	b->longest_us = 0;
	b->left = b->options->messages;
	bench_phase(b, PHASE_MEASURE);
	usage_now(b, &from);
	loop_run(&b->loop, now_ns() + (uint64_t)(b->options->seconds * 1e9));
	usage_now(b, &to);
	usage_report(b, &from, &to, all->n - before.n, operation);
	bench_phase(b, PHASE_DRAIN);
	b->left = 0;
	if (b->options->server.n && b->share == b->board->shares) /* one process is enough */
		report_same(&b->report, "server_memory",
			(double)processes_memory(&b->options->server), "bytes");
	measured = *all;
	hist_since(&measured, &before);
	measured.max_us = b->longest_us;
	report_hist(&b->report, latency, &measured);
	return true;
}

void usage_now(const struct bench *b, struct usage *u)
{
	u->at_ns = now_ns();
	u->server_us = processes_cpu_us(&b->options->server);
	u->own_us = own_cpu_us();
	u->wait_us = own_wait_us();
}

void usage_at_rest(struct bench *b, struct usage *out)
{
	uint64_t until = now_ns() + REST_PATIENCE_NS;
	struct usage now;

	usage_now(b, &now);
	do {
		*out = now;
		loop_run(&b->loop, now_ns() + REST_STEP_NS);
		usage_now(b, &now);
	} while (now.server_us - out->server_us > REST_STEP_NS / 1000 * REST_PERCENT / 100 &&
		now.at_ns < until);
}

void usage_report(struct bench *b, const struct usage *from, const struct usage *to,
	uint64_t operations, const char *name)
{
	struct window w = { .processes = 1, .has_server = b->options->server.n > 0 };
	double seconds;

	snprintf(w.name, sizeof(w.name), "%s", name);
	seconds = (double)(to->at_ns - from->at_ns) / 1e9;
	w.operations = operations;
	w.wall_ns = to->at_ns - from->at_ns;
	w.server_us = to->server_us - from->server_us;
	w.own_us = to->own_us - from->own_us;
	w.per_second = (double)operations / seconds;
	w.busiest = (double)w.own_us / 1e6 / seconds;
	w.neediest = w.busiest + (double)(to->wait_us - from->wait_us) / 1e6 / seconds;
	report_window(&b->report, &w);
}
