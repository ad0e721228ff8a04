/* core/timer.c - a wheel that never moves a timer: each level is a ring of slots eight times as
 * coarse as the one below, and a timer waits in the finest level that reaches its due time, rounded
 * up. So it fires at most a 64th of its delay late, never early, and a timer that is cancelled
 * before it is due (nearly all are) has cost two list operations however many others there are.
 *
 *   level    0      1      2     3     4      5      6     7      8      9
 *   slot     1 ms   8 ms   64    512   4 s    33 s   4 m   35 m   5 h    37 h
 *   reaches  0.5 s  4 s    33 s  4 m   35 m   5 h    37 h  12 d   99 d   2 y
 *
 * A delay beyond the last level waits in its farthest slot and is then placed again. */
#include "core/timer.h"

#include <stdlib.h>

#include "core/mem.h"
#include "core/stall.h"

#define LEVELS 10u
#define LEVEL_SHIFT 3u /* each level is 2^3 times as coarse as the one below */
#define SLOTS 512u
#define WORDS (SLOTS / 64)

struct level {
	uint64_t occupied[WORDS]; /* a bit set for every slot that may hold timers */
	struct cds_list_head slots[SLOTS];
};

struct wheel {
	uint64_t now_ms;
	uint64_t look_ms; /* nothing in the levels is due before; UINT64_MAX: nothing */
	size_t armed; /* timers in the levels and in ready */
	struct cds_list_head ready; /* due already: for the next wheel_fire() */
	struct level levels[LEVELS];
};

struct wheel *wheel_new(uint64_t now_ms)
{
	struct wheel *w = xcalloc(1, sizeof(*w));

	w->now_ms = now_ms;
	w->look_ms = UINT64_MAX;
	CDS_INIT_LIST_HEAD(&w->ready);
	for (unsigned l = 0; l < LEVELS; l++) {
		for (unsigned i = 0; i < SLOTS; i++)
			CDS_INIT_LIST_HEAD(&w->levels[l].slots[i]);
	}
	return w;
}

void wheel_free(struct wheel *w)
{
	free(w);
}

void timer_init(struct timer *t, void (*fire)(struct timer *t))
{
	CDS_INIT_LIST_HEAD(&t->node);
	t->due_ms = 0;
	t->fire = fire;
}

bool timer_armed(const struct timer *t)
{
	return t->node.next != &t->node;
}

/* The number of the slot, counted from the wheel's beginning, whose time is the first not before
 * ms: slot k of level l is looked at when the time is k << shift. */
static uint64_t slot_after(uint64_t ms, unsigned level)
{
	unsigned shift = level * LEVEL_SHIFT;

	return (ms >> shift) + ((ms & (((uint64_t)1 << shift) - 1)) != 0);
}

static uint64_t slot_now(const struct wheel *w, unsigned level)
{
	return w->now_ms >> (level * LEVEL_SHIFT);
}

static void place(struct wheel *w, struct timer *t)
{
	unsigned level = 0;
	uint64_t slot, at_ms;

	if (t->due_ms <= w->now_ms) {
		cds_list_add_tail(&t->node, &w->ready);
		return;
	}
	while ((slot = slot_after(t->due_ms, level)) - slot_now(w, level) >= SLOTS) {
		if (level == LEVELS - 1) {
			slot = slot_now(w, level) + SLOTS - 1;
			break;
		}
		level++;
	}
	cds_list_add_tail(&t->node, &w->levels[level].slots[slot % SLOTS]);
	w->levels[level].occupied[slot % SLOTS / 64] |= (uint64_t)1 << slot % 64;
	at_ms = slot << (level * LEVEL_SHIFT);
	if (at_ms < w->look_ms)
		w->look_ms = at_ms;
}

void wheel_set(struct wheel *w, struct timer *t, uint64_t delay_ms)
{
	wheel_cancel(w, t);
	t->due_ms = delay_ms < UINT64_MAX / 2 - w->now_ms ? w->now_ms + delay_ms : UINT64_MAX / 2;
	w->armed++;
	place(w, t);
}

void wheel_cancel(struct wheel *w, struct timer *t)
{
	if (!timer_armed(t))
		return;
	cds_list_del_init(&t->node); /* its slot's bit stays: looking there once is cheaper */
	w->armed--;
}

/* The first slot from `from` on that may hold timers, among the next n; from + n if none does. */
static uint64_t occupied_from(const struct level *l, uint64_t from, uint64_t n)
{
	uint64_t end = from + n;

	while (from < end) {
		uint64_t bits = l->occupied[from % SLOTS / 64] >> from % 64;

		if (bits) {
			from += (unsigned)__builtin_ctzll(bits);
			return from < end ? from : end;
		}
		from += 64 - from % 64;
	}
	return end;
}

/* Takes what one slot holds: what is due joins the end of due, the rest (only ever on the last
 * level) finds its place anew. */
static void empty_slot(struct wheel *w, struct level *l, uint64_t slot, struct cds_list_head *due)
{
	CDS_LIST_HEAD(timers);

	cds_list_splice(&l->slots[slot % SLOTS], &timers);
	CDS_INIT_LIST_HEAD(&l->slots[slot % SLOTS]);
	l->occupied[slot % SLOTS / 64] &= ~((uint64_t)1 << slot % 64);
	while (!cds_list_empty(&timers)) {
		struct timer *t = cds_list_first_entry(&timers, struct timer, node);

		cds_list_del(&t->node);
		if (t->due_ms <= w->now_ms)
			cds_list_add_tail(&t->node, due);
		else
			place(w, t);
	}
}

/* Level by level, all slots whose time has come. */
static void collect(struct wheel *w, uint64_t now_ms, struct cds_list_head *due)
{
	uint64_t from[LEVELS];

	for (unsigned i = 0; i < LEVELS; i++)
		from[i] = slot_now(w, i) + 1;
	w->now_ms = now_ms;
	for (unsigned i = 0; i < LEVELS && from[i] <= slot_now(w, i); i++) {
		uint64_t end = slot_now(w, i) + 1;
		uint64_t first = end - from[i] > SLOTS ? end - SLOTS : from[i];

		while ((first = occupied_from(&w->levels[i], first, end - first)) < end)
			empty_slot(w, &w->levels[i], first++, due);
	}
}

static uint64_t next_look(const struct wheel *w)
{
	uint64_t look_ms = UINT64_MAX;

	if (!w->armed)
		return look_ms;
	for (unsigned i = 0; i < LEVELS; i++) {
		uint64_t from = slot_now(w, i) + 1;
		uint64_t slot = occupied_from(&w->levels[i], from, SLOTS - 1);

		if (slot < from + SLOTS - 1 && slot << (i * LEVEL_SHIFT) < look_ms)
			look_ms = slot << (i * LEVEL_SHIFT);
	}
	return look_ms;
}

void wheel_tick(struct wheel *w, uint64_t now_ms)
{
	if (now_ms < w->look_ms) {
		if (now_ms > w->now_ms)
			w->now_ms = now_ms;
		return;
	}
	collect(w, now_ms, &w->ready);
	w->look_ms = next_look(w);
}

unsigned wheel_fire(struct wheel *w)
{
	CDS_LIST_HEAD(due);
	unsigned fired = 0;

	/* Timers armed by a fire() wait for the next round, even with no delay: so this ends. */
	cds_list_splice(&w->ready, &due);
	CDS_INIT_LIST_HEAD(&w->ready);
	while (!cds_list_empty(&due)) {
		struct timer *t = cds_list_first_entry(&due, struct timer, node);
		void (*fire)(struct timer * t) = t->fire;

		cds_list_del_init(&t->node);
		w->armed--;
		fire(t);
		fired++;
		stall_ran("timer", (void *)fire);
	}
	return fired;
}

unsigned wheel_advance(struct wheel *w, uint64_t now_ms)
{
	wheel_tick(w, now_ms);
	return wheel_fire(w);
}

uint64_t wheel_next_ms(const struct wheel *w)
{
	if (w->ready.next != &w->ready)
		return 0;
	return w->armed ? w->look_ms - w->now_ms : UINT64_MAX;
}
