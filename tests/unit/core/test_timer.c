/* What core/timer.h promises: never early, late by at most a 64th, cancelled is cancelled. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/timer.h"

#define START 1234567u

struct alarm {
	struct timer timer;
	uint64_t fired_ms;
	unsigned fired;
	unsigned place; /* it was the place'th to fire in this test */
};

static struct wheel *w;
static uint64_t now;
static unsigned rung;

static void ring(struct timer *t)
{
	struct alarm *a = caa_container_of(t, struct alarm, timer);

	a->fired++;
	a->fired_ms = now;
	a->place = ++rung;
}

static unsigned advance_to(uint64_t ms)
{
	now = ms;
	return wheel_advance(w, ms);
}

static void begin(void)
{
	now = START;
	w = wheel_new(now);
}

static void end(void)
{
	wheel_free(w);
}

TestSuite(timer, .init = begin, .fini = end, .timeout = 60);

static const uint64_t delays[] = { 1, 2, 7, 8, 63, 64, 65, 500, 511, 512, 513, 1000, 4095, 4096,
	5000, 30000, 32767, 32768, 60000, 262143, 262144, 300000, 3600000, 86400000, 604800000,
	2592000000, 31536000000, 63072000000 };

/* Sleeps as a shard does, from one wheel_next_ms() to the next. */
static void sleep_until_fired(struct alarm *a, unsigned *looks)
{
	for (*looks = 0; !a->fired && *looks < 100; ++*looks) {
		uint64_t left = wheel_next_ms(w);

		cr_assert_neq(left, UINT64_MAX);
		advance_to(now + left);
	}
}

Test(timer, fires_never_early_and_a_64th_late_at_most)
{
	for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
		struct alarm a = { 0 };
		uint64_t set_ms = now;
		unsigned looks;

		timer_init(&a.timer, ring);
		wheel_set(w, &a.timer, delays[i]);
		cr_expect(timer_armed(&a.timer));
		sleep_until_fired(&a, &looks);
		cr_expect_eq(a.fired, 1, "%lu ms", delays[i]);
		cr_expect_geq(a.fired_ms, set_ms + delays[i], "%lu ms: early", delays[i]);
		cr_expect_leq(
			a.fired_ms, set_ms + delays[i] + delays[i] / 64, "%lu ms: late", delays[i]);
		cr_expect_not(timer_armed(&a.timer));
		cr_expect_eq(wheel_next_ms(w), UINT64_MAX);
	}
}

Test(timer, is_exact_below_half_a_second)
{
	for (uint64_t delay = 1; delay < 512; delay++) {
		struct alarm a = { 0 };

		timer_init(&a.timer, ring);
		wheel_set(w, &a.timer, delay);
		cr_expect_eq(wheel_next_ms(w), delay);
		cr_expect_eq(advance_to(now + delay - 1), 0);
		cr_expect_eq(advance_to(now + 1), 1);
	}
}

Test(timer, a_delay_beyond_the_last_level_is_placed_again)
{
	const uint64_t years_ms = 10 * 31536000000u;
	struct alarm a = { 0 }, forever = { 0 };
	unsigned looks;

	timer_init(&a.timer, ring);
	timer_init(&forever.timer, ring);
	wheel_set(w, &a.timer, years_ms);
	wheel_set(w, &forever.timer, UINT64_MAX);
	sleep_until_fired(&a, &looks);
	cr_expect_eq(a.fired, 1);
	cr_expect_geq(a.fired_ms, START + years_ms);
	cr_expect_eq(forever.fired, 0);
	cr_expect_lt(looks, 20);
	wheel_cancel(w, &forever.timer);
}

Test(timer, a_long_sleep_fires_all_that_was_due_meanwhile)
{
	struct alarm alarms[ARRAY_LEN(delays)] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
		timer_init(&alarms[i].timer, ring);
		wheel_set(w, &alarms[i].timer, delays[i]);
	}
	cr_expect_eq(advance_to(START + 70000000000), ARRAY_LEN(delays));
	for (size_t i = 0; i < ARRAY_LEN(delays); i++)
		cr_expect_eq(alarms[i].fired, 1, "%lu ms", delays[i]);
}

Test(timer, setting_again_moves_it)
{
	struct alarm a = { 0 };

	timer_init(&a.timer, ring);
	wheel_set(w, &a.timer, 10);
	wheel_set(w, &a.timer, 100);
	cr_expect_eq(advance_to(START + 99), 0);
	cr_expect_eq(advance_to(START + 100), 1);
	wheel_set(w, &a.timer, 100);
	wheel_set(w, &a.timer, 10);
	cr_expect_eq(advance_to(START + 110), 1);
	cr_expect_eq(advance_to(START + 300), 0);
	cr_expect_eq(a.fired, 2);
}

Test(timer, a_cancelled_one_is_silent)
{
	struct alarm a = { 0 };

	timer_init(&a.timer, ring);
	wheel_cancel(w, &a.timer);
	wheel_set(w, &a.timer, 10);
	wheel_cancel(w, &a.timer);
	wheel_cancel(w, &a.timer);
	cr_expect_not(timer_armed(&a.timer));
	cr_expect_eq(wheel_next_ms(w), UINT64_MAX);
	cr_expect_eq(advance_to(START + 1000), 0);
}

Test(timer, one_that_is_due_fires_when_told_and_not_before)
{
	struct alarm a = { 0 }, b = { 0 };

	timer_init(&a.timer, ring);
	timer_init(&b.timer, ring);
	wheel_set(w, &a.timer, 10);
	wheel_set(w, &b.timer, 10);
	wheel_tick(w, START + 10);
	cr_expect_eq(a.fired, 0);
	cr_expect_eq(wheel_next_ms(w), 0);
	wheel_cancel(w, &a.timer);
	cr_expect_eq(wheel_fire(w), 1);
	cr_expect_eq(a.fired, 0);
	wheel_set(w, &a.timer, 10); /* counts from the tick */
	cr_expect_eq(a.timer.due_ms, START + 20);
	wheel_cancel(w, &a.timer);
}

static struct alarm victim;

static void cancel_victim(struct timer *t)
{
	ring(t);
	wheel_cancel(w, &victim.timer);
}

Test(timer, one_that_is_due_already_can_still_be_cancelled)
{
	struct alarm killer = { 0 };

	timer_init(&killer.timer, cancel_victim);
	timer_init(&victim.timer, ring);
	wheel_set(w, &killer.timer, 10);
	wheel_set(w, &victim.timer, 10);
	cr_expect_eq(advance_to(START + 20), 1);
	cr_expect_eq(killer.fired, 1);
	cr_expect_eq(victim.fired, 0);
}

static void arm_again(struct timer *t)
{
	ring(t);
	cr_expect_not(timer_armed(t));
	wheel_set(w, t, caa_container_of(t, struct alarm, timer)->fired == 2 ? 5 : 0);
}

Test(timer, one_armed_by_its_own_fire_waits_for_the_next_advance)
{
	struct alarm a = { 0 };

	timer_init(&a.timer, arm_again);
	wheel_set(w, &a.timer, 0);
	cr_expect_eq(wheel_next_ms(w), 0);
	cr_expect_eq(advance_to(START), 1);
	cr_expect_eq(advance_to(START), 1, "no delay: next time, at the same time");
	cr_expect_eq(advance_to(START + 4), 0);
	cr_expect_eq(advance_to(START + 5), 1);
	wheel_cancel(w, &a.timer);
}

static void free_alarm(struct timer *t)
{
	free(caa_container_of(t, struct alarm, timer));
}

Test(timer, fire_may_free_it)
{
	for (int i = 0; i < 3; i++) {
		struct alarm *a = calloc(1, sizeof(*a));

		timer_init(&a->timer, free_alarm);
		wheel_set(w, &a->timer, 3);
	}
	cr_expect_eq(advance_to(START + 3), 3);
}

Test(timer, equal_ones_fire_in_the_order_set)
{
	struct alarm alarms[3] = { 0 };

	for (int i = 0; i < 3; i++) {
		timer_init(&alarms[i].timer, ring);
		wheel_set(w, &alarms[i].timer, 40);
	}
	cr_expect_eq(advance_to(START + 40), 3);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(alarms[i].place, i + 1);
}

/* Random sets, cancels and jumps against a plain array. */
#define MANY 3000
Test(timer, agrees_with_a_plain_model)
{
	static struct alarm alarms[MANY];
	static uint64_t due[MANY]; /* 0: not armed */
	static uint64_t delay[MANY];

	srandom(20261121);
	for (int i = 0; i < MANY; i++)
		timer_init(&alarms[i].timer, ring);
	for (int round = 0; round < 4000; round++) {
		for (int k = 0; k < 10; k++) {
			int i = (int)(random() % MANY);

			if (random() % 3) {
				delay[i] = (uint64_t)random() % ((uint64_t)1 << random() % 24);
				wheel_set(w, &alarms[i].timer, delay[i]);
				due[i] = now + delay[i];
			} else {
				wheel_cancel(w, &alarms[i].timer);
				due[i] = 0;
			}
			alarms[i].fired = 0;
		}
		advance_to(now + (uint64_t)random() % ((uint64_t)1 << random() % 14));
		for (int i = 0; i < MANY; i++) {
			uint64_t latest = due[i] + delay[i] / 64;

			if (!due[i]) {
				cr_assert_eq(
					alarms[i].fired, 0, "%d: cancelled or fired before", i);
			} else if (alarms[i].fired) {
				cr_assert_geq(now, due[i], "%d: early", i);
				cr_assert_eq(alarms[i].fired, 1);
				due[i] = alarms[i].fired = 0;
			} else {
				cr_assert_lt(now, latest + 1, "%d: late", i);
			}
		}
	}
}

Test(timer, a_million_are_fine)
{
	const unsigned million = 1000000;
	struct alarm *alarms = calloc(million, sizeof(*alarms));
	unsigned fired = 0;

	srandom(7);
	for (unsigned i = 0; i < million; i++) {
		timer_init(&alarms[i].timer, ring);
		wheel_set(w, &alarms[i].timer, (uint64_t)random() % 300000);
	}
	for (unsigned i = 0; i < million; i += 2)
		wheel_cancel(w, &alarms[i].timer);
	while (wheel_next_ms(w) != UINT64_MAX)
		fired += advance_to(now + wheel_next_ms(w));
	cr_expect_eq(fired, million / 2);
	free(alarms);
}
