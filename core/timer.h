/* core/timer.h - timers by the million: a hierarchical wheel, one per shard.
 * Setting and cancelling cost a list operation. Never early; exact to the millisecond within half a
 * second, farther away late by a 64th of the delay at most. The timer is part of its owner's
 * object, so arming allocates nothing; a cancelled timer does not fire, even when it was already
 * due this turn. Owning shard only. */
#pragma once

#include <urcu/list.h>

#include "core/attr.h"

struct timer {
	struct cds_list_head node; /* the wheel's while armed */
	uint64_t due_ms; /* on the wheel's clock */
	void (*fire)(struct timer *t); /* disarmed before it is called; may arm again or free */
};
struct wheel;

/* Each shard has one; here for tests and whoever has a clock of its own. One thread at a time. */
struct wheel *wheel_new(uint64_t now_ms);
void wheel_free(struct wheel *w); /* timers still armed are forgotten, not fired */
void wheel_set(struct wheel *w, struct timer *t, uint64_t delay_ms); /* re-arms if armed */
void wheel_cancel(struct wheel *w, struct timer *t); /* unarmed is fine */
/* Sets the clock that delays count from; what has become due waits for wheel_fire(), and can still
 * be cancelled. */
void wheel_tick(struct wheel *w, uint64_t now_ms);
unsigned wheel_fire(struct wheel *w); /* returns how many fired */
unsigned wheel_advance(struct wheel *w, uint64_t now_ms); /* the two together */
/* Milliseconds until something may be due, UINT64_MAX for nothing armed. A lower bound. */
uint64_t wheel_next_ms(const struct wheel *w);

void timer_init(struct timer *t, void (*fire)(struct timer *t)); /* before the first use */
bool timer_armed(const struct timer *t);

/* The same on the running shard's wheel. */
ON_SHARD void timer_set(struct timer *t, uint64_t delay_ms);
ON_SHARD void timer_cancel(struct timer *t);
ON_SHARD uint64_t timer_left_ms(const struct timer *t); /* 0 when unarmed */
