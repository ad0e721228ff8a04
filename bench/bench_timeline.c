/* bench/bench_timeline.c - differences between one look and the next. */
#include "bench/bench_timeline.h"

#include <stdlib.h>

/* To read a large process's PSS holds it up, so while latencies are measured it is done rarely. */
#define MEMORY_NS 10000000000ull

void timeline_init(struct timeline *t, uint64_t now)
{
	*t = (struct timeline){ .start_ns = now, .last_ns = now };
}

void timeline_fini(struct timeline *t)
{
	free(t->at);
	t->at = NULL;
	t->n = t->room = 0;
}

const struct sample *timeline_last(const struct timeline *t)
{
	return t->n ? &t->at[t->n - 1] : NULL;
}

static struct sample *next_sample(struct timeline *t)
{
	if (t->n == t->room) {
		t->room = t->room ? t->room * 2 : 64;
		t->at = realloc(t->at, t->room * sizeof(*t->at));
		if (!t->at)
			abort();
	}
	t->at[t->n] = (struct sample){ 0 };
	return &t->at[t->n++];
}

/* The slowest process's phase is the run's. */
static void look_at_board(struct sample *s, const struct board *board, struct hist *all)
{
	s->phase = PHASE_CLOSE;
	for (unsigned i = 0; i < board->processes; i++) {
		const struct share *share = &board->shares[i];
		enum phase phase = atomic_load(&share->phase);

		if (phase < s->phase)
			s->phase = phase;
		s->sessions += atomic_load(&share->sessions);
		hist_merge(all, &share->latency);
	}
}

static bool is_memory_due(const struct timeline *t, enum phase now_in, uint64_t now)
{
	const struct sample *last = t->n > 1 ? &t->at[t->n - 2] : NULL;

	return !last || last->phase != now_in || now_in <= PHASE_LOGIN ||
		now - t->memory_ns >= MEMORY_NS;
}

/* A process that has ended takes its time along. */
static double cores(uint64_t before_us, uint64_t now_us, double seconds)
{
	return now_us > before_us ? (double)(now_us - before_us) / 1e6 / seconds : 0;
}

void timeline_look(struct timeline *t, const struct board *board, const struct processes *server,
	const struct processes *own, uint64_t now)
{
	uint64_t server_us = processes_cpu_us(server), own_us = processes_cpu_us(own);
	double seconds = (double)(now - t->last_ns) / 1e9;
	struct sample *s = next_sample(t);
	struct hist all = { { 0 } }, latest;

	look_at_board(s, board, &all);
	latest = all;
	hist_since(&latest, &t->latency);
	s->at_s = (double)(now - t->start_ns) / 1e9;
	s->operations = latest.n;
	s->p50_us = hist_at(&latest, 0.5);
	s->p99_us = hist_at(&latest, 0.99);
	if (seconds > 0 && t->n > 1) {
		s->per_second = (double)latest.n / seconds;
		s->server_cores = cores(t->server_us, server_us, seconds);
		s->own_cores = cores(t->own_us, own_us, seconds);
	}
	if (server->n && is_memory_due(t, s->phase, now)) {
		s->memory = processes_memory(server);
		t->memory_ns = now;
	}
	t->last_ns = now;
	t->server_us = server_us;
	t->own_us = own_us;
	t->latency = all;
}
