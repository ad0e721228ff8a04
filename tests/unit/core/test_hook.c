/* What core/hook.h promises: order, stopping, sets of their own, changes during a run. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/hook.h"

static HOOK(first);
static HOOK(second);
static struct hook_set *set;
static char journal[64];

static enum hook_next note(void *subject, void *arg)
{
	(void)subject;
	strcat(journal, arg);
	return HOOK_GO_ON;
}

static enum hook_next stop(void *subject, void *arg)
{
	note(subject, arg);
	return HOOK_STOP;
}

static const char *run(struct hook *h)
{
	journal[0] = 0;
	hook_run(set, h, NULL);
	return journal;
}

static void begin(void)
{
	rcu_thread_begin();
	set = hook_set_new();
}

static void end(void)
{
	hook_set_free(set);
	rcu_thread_end();
	rcu_wait_later();
}

TestSuite(hook, .init = begin, .fini = end, .timeout = 60);

Test(hook, an_empty_chain_goes_on)
{
	cr_expect(hook_empty(set, &first_hook));
	cr_expect_eq(hook_run(set, &first_hook, NULL), HOOK_GO_ON);
}

Test(hook, lower_numbers_first_and_equal_ones_as_added)
{
	hook_add(set, &first_hook, 50, note, "c");
	hook_add(set, &first_hook, 10, note, "a");
	hook_add(set, &first_hook, 50, note, "d");
	hook_add(set, &first_hook, -5, note, "-");
	hook_add(set, &first_hook, 20, note, "b");
	hook_add(set, &first_hook, 99, note, "e");
	cr_expect_str_eq(run(&first_hook), "-abcde");
	cr_expect_not(hook_empty(set, &first_hook));
	cr_expect(hook_empty(set, &second_hook));
	cr_expect_str_eq(run(&second_hook), "");
}

Test(hook, a_function_may_end_the_chain)
{
	hook_add(set, &first_hook, 1, note, "a");
	hook_add(set, &first_hook, 2, stop, "b");
	hook_add(set, &first_hook, 3, note, "c");
	cr_expect_eq(hook_run(set, &first_hook, NULL), HOOK_STOP);
	cr_expect_str_eq(journal, "ab");
}

Test(hook, duplicates_are_told)
{
	static char a[] = "a", other[] = "x";

	cr_expect_eq(hook_add(set, &first_hook, 1, note, a), 0);
	cr_expect_eq(hook_add(set, &first_hook, 1, note, a), HOOK_DUPLICATE);
	cr_expect_eq(hook_add(set, &first_hook, 2, note, a), 0, "another number");
	cr_expect_eq(hook_add(set, &first_hook, 1, note, other), 0, "another argument");
	cr_expect_eq(hook_add(set, &first_hook, 1, stop, a), 0, "another function");
}

Test(hook, removing_takes_exactly_that_one)
{
	static char a[] = "a", b[] = "b";

	hook_add(set, &first_hook, 1, note, a);
	hook_add(set, &first_hook, 2, note, a);
	hook_add(set, &first_hook, 1, note, b);
	hook_remove(set, &first_hook, 1, note, a);
	cr_expect_str_eq(run(&first_hook), "ba");
	hook_remove(set, &first_hook, 7, note, a);
	hook_remove(set, &second_hook, 1, note, a);
	cr_expect_str_eq(run(&first_hook), "ba");
	hook_remove(set, &first_hook, 1, note, b);
	hook_remove(set, &first_hook, 2, note, a);
	cr_expect(hook_empty(set, &first_hook));
}

Test(hook, another_argument_takes_the_place_of_one)
{
	static char a[] = "a", b[] = "b", c[] = "c";

	hook_add(set, &first_hook, 1, note, a);
	hook_add(set, &first_hook, 1, note, b);
	cr_expect(hook_replace(set, &first_hook, 1, note, a, c));
	cr_expect_str_eq(run(&first_hook), "cb", "where the other stood");
	cr_expect_not(hook_replace(set, &first_hook, 1, note, a, c), "it is gone");
	cr_expect_not(hook_replace(set, &first_hook, 2, note, b, c), "another number");
	cr_expect_not(hook_replace(set, &second_hook, 1, note, b, c), "another hook");
	cr_expect_str_eq(run(&first_hook), "cb");
	hook_remove(set, &first_hook, 1, note, c);
	cr_expect_str_eq(run(&first_hook), "b");
}

Test(hook, sets_do_not_see_each_other)
{
	struct hook_set *other = hook_set_new();

	hook_add(other, &first_hook, 1, note, "x");
	cr_expect(hook_empty(set, &first_hook));
	cr_expect_not(hook_empty(other, &first_hook));
	hook_set_free(other);
	hook_set_free(NULL);
}

Test(hook, a_hundred_hooks_fit)
{
	static struct hook many[100];
	static int arg[100];

	for (int i = 0; i < 100; i++) {
		many[i].name = "many";
		hook_add(set, &many[i], i, note, memset(&arg[i], 0, sizeof(arg[i])));
	}
	for (int i = 0; i < 100; i++)
		cr_expect_not(hook_empty(set, &many[i]), "%d", i);
}

/* --- changes while the chain runs --- */

static enum hook_next remove_b(void *subject, void *arg)
{
	hook_remove(set, &first_hook, 2, note, subject);
	return note(subject, arg);
}

Test(hook, one_removed_during_the_run_is_not_called_any_more)
{
	static char b[] = "b";

	hook_add(set, &first_hook, 1, remove_b, "a");
	hook_add(set, &first_hook, 2, note, b);
	hook_add(set, &first_hook, 3, note, "c");
	hook_run(set, &first_hook, b);
	cr_expect_str_eq(journal, "ac");
}

/* Off the shards a function may block: the grace period ends in the middle of the run. */
static enum hook_next remove_itself_and_wait(void *subject, void *arg)
{
	hook_remove(set, &first_hook, 2, remove_itself_and_wait, arg);
	rcu_wait_later();
	return note(subject, arg);
}

Test(hook, the_run_survives_its_chain)
{
	hook_add(set, &first_hook, 1, note, "a");
	hook_add(set, &first_hook, 2, remove_itself_and_wait, "b");
	hook_add(set, &first_hook, 2, note, "c");
	hook_add(set, &first_hook, 3, note, "d");
	cr_expect_str_eq(run(&first_hook), "abcd");
	cr_expect_str_eq(run(&first_hook), "acd");
}

static enum hook_next add_more(void *subject, void *arg)
{
	hook_add(set, &first_hook, 0, note, "early");
	hook_add(set, &first_hook, 9, note, "z");
	return note(subject, arg);
}

Test(hook, one_added_during_the_run_is_called_when_its_place_is_still_to_come)
{
	hook_add(set, &first_hook, 1, add_more, "a");
	hook_add(set, &first_hook, 2, note, "b");
	cr_expect_str_eq(run(&first_hook), "abz");
}

static enum hook_next see_subject(void *subject, void *arg)
{
	*(int *)subject += *(int *)arg;
	return HOOK_GO_ON;
}

Test(hook, subject_and_argument_reach_the_function)
{
	int sum = 1, two = 2, three = 3;

	hook_add(set, &first_hook, 1, see_subject, &two);
	hook_add(set, &first_hook, 1, see_subject, &three);
	hook_run(set, &first_hook, &sum);
	cr_expect_eq(sum, 6);
}
