/* What core/actor.h promises: an id means one actor, ever; letters; names. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#include "core/actor.h"
#include "tests/support/on_shard.h"

static const struct actor_class class = { "test" };

TestSuite(actor, .timeout = 60);

static void begin_find_end(void *arg UNUSED)
{
	struct actor a, b;
	struct actor_id first, second;

	shard_check(NULL);
	actor_begin(&a, &class);
	actor_begin(&b, &class);
	first = a.id;
	second = b.id;
	cr_expect_neq(first.v, 0);
	cr_expect_not(actor_id_equal(first, second));
	cr_expect_eq(actor_find(first), &a);
	cr_expect_eq(actor_find(second), &b);
	cr_expect_eq(actor_shard(first), shard_self());
	cr_expect_eq(shard_load(shard_self()), 2);
	actor_end(&a);
	cr_expect_null(actor_find(first));
	cr_expect_eq(actor_find(second), &b);
	actor_end(&b);
	cr_expect_eq(shard_load(shard_self()), 0);
}

Test(actor, an_id_answers_while_the_actor_lives)
{
	shards_start(2);
	on_shard(1, begin_find_end, NULL);
	cr_expect_null(actor_shard(ACTOR_NONE));
	shards_stop();
}

static void reuse(void *arg UNUSED)
{
	struct actor_id ids[1000];
	struct actor a;

	shard_check(NULL);
	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		actor_begin(&a, &class);
		ids[i] = a.id;
		actor_end(&a);
	}
	actor_begin(&a, &class);
	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		cr_expect_null(actor_find(ids[i]), "id %u", i);
		cr_expect_neq(ids[i].v, a.id.v);
	}
	actor_end(&a);
}

Test(actor, a_slot_used_again_does_not_answer_for_the_one_before)
{
	shards_start(1);
	on_shard(0, reuse, NULL);
	shards_stop();
}

/* More than one slab, ended in another order than begun. */
#define MANY 20000
static void crowd(void *arg UNUSED)
{
	struct actor *actors = calloc(MANY, sizeof(*actors));
	struct actor_id *ids = calloc(MANY, sizeof(*ids));

	shard_check(NULL);
	for (int i = 0; i < MANY; i++) {
		actor_begin(&actors[i], &class);
		ids[i] = actors[i].id;
	}
	for (int i = 0; i < MANY; i += 2)
		actor_end(&actors[i]);
	for (int i = 0; i < MANY; i++)
		cr_assert_eq(actor_find(ids[i]), i % 2 ? &actors[i] : NULL);
	for (int i = 0; i < MANY; i += 2)
		actor_begin(&actors[i], &class);
	for (int i = 0; i < MANY; i += 2)
		cr_assert_null(actor_find(ids[i]));
	cr_expect_eq(shard_load(shard_self()), MANY);
	for (int i = 0; i < MANY; i++)
		actor_end(&actors[i]);
	free(actors);
	free(ids);
}

Test(actor, many_live_side_by_side)
{
	shards_start(1);
	on_shard(0, crowd, NULL);
	shards_stop();
}

/* --- letters --- */

struct greeting {
	struct letter letter;
	int number;
	sem_t *opened;
};
static struct actor *found;
static int last_number, opened_on;

static void greeting_open(struct actor *a, struct letter *l)
{
	struct greeting *g = caa_container_of(l, struct greeting, letter);

	found = a;
	cr_expect_eq(g->number, last_number + 1, "in the order sent");
	last_number = g->number;
	opened_on = (int)shard_index(shard_self());
	if (g->opened)
		sem_post(g->opened);
	free(g);
}

static void send(struct actor_id to, int number, sem_t *opened)
{
	struct greeting *g = calloc(1, sizeof(*g));

	g->letter.to = to;
	g->letter.open = greeting_open;
	g->number = number;
	g->opened = opened;
	letter_post(&g->letter);
}

static struct actor pen_pal;

static void begin_pal(void *arg UNUSED)
{
	shard_check(NULL);
	actor_begin(&pen_pal, &class);
}

static void end_pal(void *arg UNUSED)
{
	shard_check(NULL);
	actor_end(&pen_pal);
}

Test(actor, letters_find_the_living_and_tell_of_the_gone)
{
	struct actor_id id;
	sem_t opened;

	sem_init(&opened, 0, 0);
	shards_start(2);
	on_shard(1, begin_pal, NULL);
	id = pen_pal.id;
	for (int i = 1; i <= 100; i++)
		send(id, i, &opened);
	for (int i = 1; i <= 100; i++)
		cr_assert(await(&opened));
	cr_expect_eq(found, &pen_pal);
	cr_expect_eq(opened_on, 1);

	on_shard(1, end_pal, NULL);
	send(id, 101, &opened);
	cr_assert(await(&opened));
	cr_expect_null(found);
	cr_expect_eq(opened_on, 1, "where it lived");

	send(ACTOR_NONE, 102, &opened);
	cr_assert(await(&opened));
	cr_expect_null(found);
	cr_expect_eq(opened_on, 0);
	shards_stop();
}

static void find_elsewhere(void *arg UNUSED)
{
	shard_check(NULL);
	actor_find(pen_pal.id);
}

Test(actor, looking_it_up_on_another_shard_aborts, .signal = SIGABRT)
{
	shards_start(2);
	on_shard(1, begin_pal, NULL);
	on_shard(0, find_elsewhere, NULL);
}

static void end_twice(void *arg UNUSED)
{
	struct actor a;

	shard_check(NULL);
	actor_begin(&a, &class);
	actor_end(&a);
	actor_end(&a);
}

Test(actor, ending_it_twice_aborts, .signal = SIGABRT)
{
	shards_start(1);
	on_shard(0, end_twice, NULL);
}

/* --- names: gen_server's {local, Name} --- */

Test(actor, a_name_is_held_by_one)
{
	struct actor_id a = { 1 << 8 }, b = { 2 << 8 };

	cr_expect_eq(actor_whereis("router").v, 0);
	cr_expect_eq(actor_register("router", a), 0);
	cr_expect_eq(actor_register("router", b), ACTOR_NAME_TAKEN);
	cr_expect_eq(actor_register("router", a), ACTOR_NAME_TAKEN);
	cr_expect_eq(actor_register("route", b), 0);
	cr_expect(actor_id_equal(actor_whereis("router"), a));
	actor_unregister("router", b);
	cr_expect(actor_id_equal(actor_whereis("router"), a), "only its holder gives it back");
	actor_unregister("router", a);
	cr_expect_eq(actor_whereis("router").v, 0);
	cr_expect_eq(actor_register("router", b), 0);
	actor_unregister("router", b);
	actor_unregister("route", b);
	actor_unregister("nobody", b);
}
