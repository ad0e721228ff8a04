/* Many hand in, one takes all at once: oldest first, nothing lost, and the first one rings. */
#include "core/intake.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "core/mem.h"

struct thing {
	struct intake_item item;
	unsigned from, number;
};

static struct thing *thing_of(struct intake_item *i)
{
	return container_of(i, struct thing, item);
}

Test(intake, gives_everything_oldest_first)
{
	struct intake in = { NULL };
	struct thing things[5];
	struct intake_item *i;
	unsigned n = 0;

	cr_expect_null(intake_take(&in), "nothing was handed in");
	for (unsigned k = 0; k < 5; k++) {
		things[k].number = k;
		cr_expect_eq(intake_push(&in, &things[k].item), k == 0,
			"whoever comes first wakes the taker");
	}
	for (i = intake_take(&in); i; i = i->next)
		cr_expect_eq(thing_of(i)->number, n++);
	cr_expect_eq(n, 5);
	cr_expect_null(intake_take(&in));
	cr_expect(intake_push(&in, &things[2].item), "empty again, and the same may come back");
	cr_expect_eq(intake_take(&in), &things[2].item);
}

enum { THREADS = 4, EACH = 20000 };
static struct intake shared;
static _Atomic unsigned rings;

static void *hand_in(void *arg)
{
	struct thing *things = arg;

	for (unsigned k = 0; k < EACH; k++)
		if (intake_push(&shared, &things[k].item))
			atomic_fetch_add(&rings, 1);
	return NULL;
}

Test(intake, loses_nothing_and_keeps_each_ones_order, .timeout = 60)
{
	struct thing *things = xcalloc(THREADS * EACH, sizeof(*things));
	unsigned next[THREADS] = { 0 }, taken = 0, batches = 0;
	pthread_t threads[THREADS];

	for (unsigned t = 0; t < THREADS; t++) {
		for (unsigned k = 0; k < EACH; k++)
			things[t * EACH + k] = (struct thing){ .from = t, .number = k };
		cr_assert_eq(pthread_create(&threads[t], NULL, hand_in, things + t * EACH), 0);
	}
	while (taken < THREADS * EACH) {
		struct intake_item *i = intake_take(&shared), *after;

		batches += i != NULL;
		if (!i)
			sched_yield();
		for (; i; i = after) {
			after = i->next;
			cr_assert_eq(thing_of(i)->number, next[thing_of(i)->from]++);
			taken++;
		}
	}
	for (unsigned t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	cr_expect_eq(rings, batches, "one ring for each batch: no wake-up is lost, none is idle");
	free(things);
}
