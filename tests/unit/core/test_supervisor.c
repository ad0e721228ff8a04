/* What core/supervisor.h promises, row by row of Erlang's supervisor manual (2001) and of the
 * chapter on supervisors (2008); where they differ the later one stands. */
#include "core/supervisor.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "core/log.h"
#include "tests/support/moved_clock.h"
#include "tests/support/puppets.h"

static struct strings a, b, c, d;
static char ended_reason[64];
static sem_t sup_ended;

static void begin(void)
{
	a = (struct strings){ .name = "a" };
	b = (struct strings){ .name = "b" };
	c = (struct strings){ .name = "c" };
	d = (struct strings){ .name = "d" };
	sem_init(&sup_ended, 0, 0);
	rcu_thread_begin();
	cr_assert_eq(shards_start(2), 0);
}

static void end(void)
{
	shards_stop();
	rcu_thread_end();
}

/* Long beside what a busy machine takes for anything: only the tests let it pass. */
enum { WITHIN_S = 1000, START_MS = 200000, SHUTDOWN_MS = 100000 };

TestSuite(supervisor, .init = begin, .fini = end, .timeout = 60);

/* On two shards, so that what they say comes by mail. */
static const struct child_spec abc[] = {
	{ .id = "a", .shutdown_ms = 5000, PUPPET_CHILD(&a) },
	{ .id = "b", .shutdown_ms = 5000, PUPPET_CHILD(&b, .shard = 1) },
	{ .id = "c", .shutdown_ms = 5000, PUPPET_CHILD(&c) },
};

static void note_end(struct actor_id id UNUSED, const char *reason, void *arg UNUSED)
{
	snprintf(ended_reason, sizeof(ended_reason), "%s", reason);
	sem_post(&sup_ended);
}

static struct start_result start(const struct supervisor_plan *plan)
{
	return supervisor_spawn_wait(
		shard_at(0), plan, &(struct start){ .name = "sup", .ended = note_end });
}

static struct actor_id started(const struct supervisor_plan *plan)
{
	struct start_result r = start(plan);

	cr_assert_eq(r.outcome, STARTED, "%s", log_text(r.reason));
	return r.id;
}

static void expect_journal(const char *want, const char *what)
{
	AUTO(free_ptr) char *got = journal_take();

	cr_expect_str_eq(got, want, "%s: \"%s\"", what, got);
}

static void stop(struct actor_id sup)
{
	gen_stop_id(sup, STOP_SHUTDOWN);
	cr_assert(await(&sup_ended));
}

static void end_child(struct actor_id sup, const char *id, const char *reason)
{
	gen_stop_id(row_of(sup, id).actor, reason);
	calm();
}

static struct supervisor_plan plan_of(
	enum supervisor_strategy strategy, const struct child_spec *specs, unsigned n)
{
	return (struct supervisor_plan){ .strategy = strategy,
		.max_restarts = 3,
		.within_s = WITHIN_S,
		.children = specs,
		.n_children = n };
}

/* --- start_link --- */

Test(supervisor, children_start_from_left_to_right_and_stop_in_reverse)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, abc, 3);
	struct actor_id sup = started(&plan);

	expect_journal("+a +b +c", "start_link returns when all have been started");
	cr_expect(actor_id_equal(actor_whereis("sup"), sup), "registered locally");
	stop(sup);
	expect_journal("-c -b -a", "terminates in reversed start order, from right to left");
	cr_expect_str_eq(ended_reason, STOP_SHUTDOWN);
	cr_expect_eq(actor_whereis("sup").v, 0);
}

Test(supervisor, a_name_that_is_taken_says_whose_it_is)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, abc, 3);
	struct actor_id sup = started(&plan);
	struct start_result r = start(&plan);

	cr_expect_eq(r.outcome, START_ALREADY, "{error,{already_started,Pid}}");
	cr_expect(actor_id_equal(r.id, sup));
	expect_journal("+a +b +c", "and starts nothing");
	stop(sup);
}

Test(supervisor, a_child_that_does_not_start_ends_those_before_it)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, abc, 3);
	struct start_result r;

	c.fails = 1;
	r = start(&plan);
	cr_expect_eq(r.outcome, START_FAILED);
	cr_expect_str_eq(r.reason, STOP_SHUTDOWN, "{error,shutdown}");
	expect_journal("+a +b !c -b -a", "terminates all started child processes");
	cr_expect_eq(actor_whereis("sup").v, 0);
	r = start(&plan);
	cr_expect_eq(r.outcome, STARTED);
	stop(r.id);
}

Test(supervisor, a_child_that_is_ignored_is_kept_and_no_error)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, abc, 3);
	struct actor_id sup;

	b.ignores = true;
	sup = started(&plan);
	expect_journal("+a +c", "ignore");
	cr_expect_eq(row_of(sup, "b").state, CHILD_DOWN, "the specification is kept");
	cr_expect_eq(row_of(sup, "b").actor.v, 0, "undefined");
	stop(sup);
}

static int init_ignores(struct supervisor_plan *out UNUSED, void *arg UNUSED)
{
	return SUPERVISOR_IGNORE;
}

static int init_fails(struct supervisor_plan *out UNUSED, void *arg UNUSED)
{
	return -ENOENT;
}

static int init_fills_in(struct supervisor_plan *out, void *arg)
{
	out->children = arg;
	out->n_children = 2;
	return 0;
}

Test(supervisor, init_says_what_is_to_be_done)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, abc, 3);
	struct actor_id sup;

	plan.init = init_ignores;
	cr_expect_eq(start(&plan).outcome, START_IGNORED, "ignore");
	plan.init = init_fails;
	cr_expect_eq(start(&plan).outcome, START_FAILED, "{error,Term}");
	expect_journal("", "no child has been started");
	plan.init = init_fills_in;
	plan.arg = (void *)abc;
	plan.n_children = 0;
	sup = started(&plan);
	expect_journal("+a +b", "Args is passed to init");
	stop(sup);
}

static const struct child_spec twice[] = {
	{ .id = "a", PUPPET_CHILD(&a) },
	{ .id = "a", PUPPET_CHILD(&b) },
};

Test(supervisor, a_bad_plan_is_refused)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, twice, 2);

	cr_expect_eq(start(&plan).outcome, START_FAILED, "two of one id");
	plan = plan_of(SIMPLE_ONE_FOR_ONE, abc, 3);
	cr_expect_eq(start(&plan).outcome, START_FAILED, "one specification only");
	plan = plan_of((enum supervisor_strategy)9, abc, 3);
	cr_expect_eq(start(&plan).outcome, START_FAILED, "no such strategy");
	plan = plan_of(ONE_FOR_ONE, abc, 3);
	plan.max_restarts = 1000000000;
	cr_expect_eq(start(&plan).outcome, START_FAILED);
	expect_journal("", "no child has been started");
}

Test(supervisor, without_children_it_lives_too)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ALL, NULL, 0);
	struct actor_id sup = started(&plan);

	cr_expect(lives(sup));
	stop(sup);
}

/* --- restart strategies --- */

static const struct {
	const char *sentence;
	enum supervisor_strategy strategy;
	enum child_restart restart; /* of all children */
	const char *ends, *reason, *want;
} endings[] = {
	{ "one_for_one: only that child process is affected", ONE_FOR_ONE, CHILD_PERMANENT, "b",
		"crash", "-b +b" },
	{ "one_for_all: all others are terminated, then all are restarted", ONE_FOR_ALL,
		CHILD_PERMANENT, "b", "crash", "-b -c -a +a +b +c" },
	{ "one_for_all, the first", ONE_FOR_ALL, CHILD_PERMANENT, "a", "crash",
		"-a -c -b +a +b +c" },
	{ "rest_for_one: those after it in start order are terminated, then it and they start",
		REST_FOR_ONE, CHILD_PERMANENT, "b", "crash", "-b -c +b +c" },
	{ "rest_for_one, the first", REST_FOR_ONE, CHILD_PERMANENT, "a", "crash",
		"-a -c -b +a +b +c" },
	{ "rest_for_one, the last", REST_FOR_ONE, CHILD_PERMANENT, "c", "crash", "-c +c" },
	{ "permanent: always restarted, after normal", ONE_FOR_ONE, CHILD_PERMANENT, "b",
		STOP_NORMAL, "-b +b" },
	{ "permanent: always restarted, after shutdown", ONE_FOR_ONE, CHILD_PERMANENT, "b",
		STOP_SHUTDOWN, "-b +b" },
	{ "transient: not after normal", ONE_FOR_ONE, CHILD_TRANSIENT, "b", STOP_NORMAL, "-b" },
	{ "transient: after another reason than normal", ONE_FOR_ONE, CHILD_TRANSIENT, "b", "crash",
		"-b +b" },
	{ "transient: shutdown is another reason than normal", ONE_FOR_ONE, CHILD_TRANSIENT, "b",
		STOP_SHUTDOWN, "-b +b" },
	{ "transient, normal: the others are not affected", ONE_FOR_ALL, CHILD_TRANSIENT, "b",
		STOP_NORMAL, "-b" },
	{ "transient, terminated with the others: restarted", ONE_FOR_ALL, CHILD_TRANSIENT, "b",
		"crash", "-b -c -a +a +b +c" },
	{ "temporary: never restarted", ONE_FOR_ONE, CHILD_TEMPORARY, "b", "crash", "-b" },
	{ "temporary: never restarted, and nobody with it", ONE_FOR_ALL, CHILD_TEMPORARY, "b",
		"crash", "-b" },
	{ "temporary: after normal neither", REST_FOR_ONE, CHILD_TEMPORARY, "b", STOP_NORMAL,
		"-b" },
};

Test(supervisor, strategies_and_restart_types)
{
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		struct child_spec specs[3] = { abc[0], abc[1], abc[2] };
		struct supervisor_plan plan = plan_of(endings[i].strategy, specs, 3);
		struct actor_id sup;

		for (unsigned n = 0; n < 3; n++)
			specs[n].restart = endings[i].restart;
		sup = started(&plan);
		free(journal_take());
		end_child(sup, endings[i].ends, endings[i].reason);
		expect_journal(endings[i].want, endings[i].sentence);
		cr_expect_neq(row_of(sup, "b").id[0], 0, "the specification is kept");
		stop(sup);
		free(journal_take());
	}
}

Test(supervisor, a_temporary_sibling_is_not_restarted_with_the_others)
{
	struct child_spec specs[3] = { abc[0], abc[1], abc[2] };
	struct supervisor_plan plan = plan_of(ONE_FOR_ALL, specs, 3);
	struct actor_id sup;

	specs[0].restart = CHILD_TEMPORARY;
	sup = started(&plan);
	free(journal_take());
	end_child(sup, "b", "crash");
	expect_journal("-b -c -a +b +c", "a temporary child process is never restarted");
	cr_expect_eq(row_of(sup, "a").state, CHILD_DOWN);
	cr_expect_eq(row_of(sup, "b").restarts, 1);
	cr_expect_eq(row_of(sup, "c").restarts, 1);
	stop(sup);
}

Test(supervisor, a_transient_one_that_is_through_stays_down_with_the_others)
{
	struct child_spec specs[3] = { abc[0], abc[1], abc[2] };
	struct supervisor_plan plan = plan_of(ONE_FOR_ALL, specs, 3);
	struct actor_id sup;

	specs[0].restart = CHILD_TRANSIENT;
	sup = started(&plan);
	end_child(sup, "a", STOP_NORMAL);
	free(journal_take());
	end_child(sup, "b", "crash");
	expect_journal("-b -c +b +c", "restarted only if it terminates abnormally");
	stop(sup);
}

Test(supervisor, one_that_was_terminated_may_later_be_restarted_by_the_supervisor)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ALL, abc, 3);
	struct actor_id sup = started(&plan);

	cr_expect_eq(outcome_of(ask_id(sup, TERMINATE_CHILD, "a")), SUPERVISOR_OK);
	free(journal_take());
	end_child(sup, "b", "crash");
	expect_journal("-b -c +a +b +c", "with the others");
	stop(sup);
}

Test(supervisor, several_that_end_at_once_are_all_looked_after)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, abc, 3);
	struct actor_id sup = started(&plan);

	gen_stop_id(row_of(sup, "a").actor, "crash");
	gen_stop_id(row_of(sup, "b").actor, "crash");
	gen_stop_id(row_of(sup, "c").actor, "crash");
	calm();
	cr_expect_eq(row_of(sup, "a").state, CHILD_UP);
	cr_expect_eq(row_of(sup, "b").state, CHILD_UP);
	cr_expect_eq(row_of(sup, "c").state, CHILD_UP);
	cr_expect_eq(row_of(sup, "b").restarts, 1);
	cr_expect_str_eq(row_of(sup, "b").reason, "");
	stop(sup);
}

Test(supervisor, one_that_ends_while_all_are_being_stopped_is_no_second_failure)
{
	struct child_spec specs[3] = { abc[0], abc[1], abc[2] };
	struct supervisor_plan plan = plan_of(ONE_FOR_ALL, specs, 3);
	struct actor_id sup, first, second;

	specs[1].actor.shard = 0;
	specs[2].actor.shard = 1; /* the supervisor waits for c while it hears of b */
	sup = started(&plan);
	first = row_of(sup, "a").actor;
	second = row_of(sup, "b").actor;
	gen_stop_id(first, "crash");
	gen_stop_id(second, "crash");
	calm();
	cr_expect_eq(row_of(sup, "c").restarts, 1);
	cr_expect_eq(row_of(sup, "b").state, CHILD_UP);
	stop(sup);
}

/* --- maximum restart frequency --- */

static void crash_times(struct actor_id sup, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		end_child(sup, "b", "crash");
}

Test(supervisor, more_than_max_restarts_within_max_seconds_end_all_and_itself)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, abc, 3);
	struct actor_id sup = started(&plan);

	crash_times(sup, 3);
	cr_expect(lives(sup), "MaxR is allowed");
	free(journal_take());
	end_child(sup, "b", "crash");
	cr_assert(await(&sup_ended));
	expect_journal("-b -c -a", "terminates all child processes and then itself");
	cr_expect_str_eq(ended_reason, STOP_INTENSITY);
	cr_expect_not(lives(sup));
}

Test(supervisor, restarts_longer_ago_than_max_seconds_do_not_count)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, abc, 3);
	struct actor_id sup = started(&plan);

	crash_times(sup, 3);
	clock_move(WITHIN_S * 1000 + 1);
	crash_times(sup, 3);
	cr_expect(lives(sup), "six, but not within MaxT");
	clock_move(WITHIN_S * 900);
	end_child(sup, "b", "crash");
	cr_assert(await(&sup_ended), "the fourth within MaxT");
}

Test(supervisor, a_restart_that_fails_is_tried_again_and_counts)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, abc, 3);
	struct actor_id sup = started(&plan);

	b.fails = 2;
	free(journal_take());
	end_child(sup, "b", "crash");
	expect_journal("-b !b !b +b", "restarted as often as is allowed");
	cr_expect_eq(row_of(sup, "b").restarts, 3);
	end_child(sup, "b", "crash");
	cr_assert(await(&sup_ended), "that was one too many");
}

Test(supervisor, a_child_that_never_starts_again_ends_the_supervisor)
{
	struct supervisor_plan plan = plan_of(ONE_FOR_ALL, abc, 3);
	struct actor_id sup = started(&plan);

	b.fails = -1;
	free(journal_take());
	end_child(sup, "c", "crash");
	cr_assert(await(&sup_ended));
	expect_journal("-c -b -a +a !b -a +a !b -a +a !b -a", "three restarts, each of all");
}

static const struct child_spec inner_specs[] = {
	{ .id = "c", .shutdown_ms = 5000, PUPPET_CHILD(&c) },
	{ .id = "d", .shutdown_ms = 5000, PUPPET_CHILD(&d, .shard = 1) },
};
static const struct supervisor_plan inner = {
	.strategy = ONE_FOR_ONE,
	.max_restarts = 1,
	.within_s = WITHIN_S,
	SUPERVISOR_CHILDREN(inner_specs),
};
static const struct child_spec outer_specs[] = {
	{ .id = "a", .shutdown_ms = 5000, PUPPET_CHILD(&a) },
	{ .id = "inner", SUPERVISOR_CHILD(&inner, .shard = 1) },
};
static const struct supervisor_plan outer = {
	.strategy = ONE_FOR_ONE,
	.max_restarts = 1,
	.within_s = WITHIN_S,
	SUPERVISOR_CHILDREN(outer_specs),
};

static void end_inner(struct actor_id sup)
{
	struct actor_id in = row_of(sup, "inner").actor;

	end_child(in, "d", "crash");
	end_child(in, "d", "crash");
	calm();
}

Test(supervisor, the_next_higher_level_restarts_a_supervisor_or_terminates_itself)
{
	struct actor_id sup = started(&outer);
	struct actor_id in = row_of(sup, "inner").actor;

	expect_journal("+a +c +d", "a supervisor's start is through when its children's is");
	end_inner(sup);
	expect_journal("-d +d -d -c +c +d", "restarts it");
	cr_expect_not(actor_id_equal(in, row_of(sup, "inner").actor));
	cr_expect_str_eq(row_of(row_of(sup, "inner").actor, "c").id, "c");
	end_inner(sup);
	cr_assert(await(&sup_ended));
	expect_journal("-d +d -d -c -a", "or terminates itself");
}

Test(supervisor, a_supervisor_is_stopped_with_its_children_in_reverse)
{
	struct actor_id sup = started(&outer);

	free(journal_take());
	stop(sup);
	expect_journal("-d -c -a", "from right to left, depth first");
}

Test(supervisor, a_killed_supervisor_takes_its_children_with_it)
{
	struct actor_id sup = started(&outer);

	free(journal_take());
	gen_stop_id(sup, STOP_KILLED);
	cr_assert(await(&sup_ended));
	calm();
	cr_expect_str_eq(ended_reason, STOP_KILLED);
	for (unsigned s = 0; s < shards_count(); s++)
		cr_expect_eq(actor_count(s), 0, "nobody is left on shard %u", s);
}

Test(supervisor, what_was_added_or_deleted_is_lost_when_the_supervisor_is_restarted)
{
	struct actor_id sup = started(&outer);
	struct actor_id in = row_of(sup, "inner").actor;
	const struct child_spec more = { .id = "b", .shutdown_ms = 5000, PUPPET_CHILD(&b) };

	cr_expect_eq(outcome_of(ask_start(in, &more, NULL)), SUPERVISOR_OK);
	cr_expect_eq(outcome_of(ask_id(in, TERMINATE_CHILD, "c")), SUPERVISOR_OK);
	cr_expect_eq(outcome_of(ask_id(in, DELETE_CHILD, "c")), SUPERVISOR_OK);
	end_inner(sup);
	in = row_of(sup, "inner").actor;
	cr_expect_str_eq(row_of(in, "b").id, "", "dynamically added: lost");
	cr_expect_eq(row_of(in, "c").state, CHILD_UP, "the deletion of a static one is lost too");
	stop(sup);
}

/* --- start_child, terminate_child, delete_child, restart_child --- */

static struct actor_id two(void)
{
	static struct supervisor_plan plan;

	plan = plan_of(ONE_FOR_ONE, abc, 2);
	return started(&plan);
}

Test(supervisor, start_child)
{
	struct actor_id sup = two();
	struct supervisor_answer *r = ask_start(sup, &abc[2], NULL);

	cr_expect_eq(r->outcome, SUPERVISOR_OK, "{ok,Child}");
	cr_expect_eq(r->child.state, CHILD_UP);
	cr_expect_neq(r->child.actor.v, 0);
	cr_expect(actor_id_equal(r->child.actor, row_of(sup, "c").actor));
	free(r);
	expect_journal("+a +b +c", "the child is started");
	end_child(sup, "c", "crash");
	expect_journal("-c +c", "added ones behave in the same manner as the others");
	r = ask_start(sup, &abc[2], NULL);
	cr_expect_eq(r->outcome, SUPERVISOR_ALREADY_STARTED, "{error,{already_started,Child}}");
	cr_expect(actor_id_equal(r->child.actor, row_of(sup, "c").actor));
	free(r);
	cr_expect_eq(outcome_of(ask_id(sup, TERMINATE_CHILD, "c")), SUPERVISOR_OK);
	cr_expect_eq(outcome_of(ask_start(sup, &abc[2], NULL)), SUPERVISOR_ALREADY_PRESENT,
		"{error,already_present}");
	stop(sup);
	expect_journal("-c -b -a", "the discarded specification started nothing");
}

Test(supervisor, start_child_that_is_ignored_keeps_the_specification)
{
	struct actor_id sup = two();
	struct supervisor_answer *r;

	c.ignores = true;
	r = ask_start(sup, &abc[2], NULL);
	cr_expect_eq(r->outcome, SUPERVISOR_OK, "{ok,undefined}");
	cr_expect_eq(r->child.actor.v, 0);
	cr_expect_eq(r->child.state, CHILD_DOWN);
	free(r);
	cr_expect_str_eq(row_of(sup, "c").id, "c");
	stop(sup);
}

Test(supervisor, start_child_that_fails_discards_the_specification)
{
	struct actor_id sup = two();
	struct supervisor_answer *r;

	c.fails = 1;
	r = ask_start(sup, &abc[2], NULL);
	cr_expect_eq(r->outcome, SUPERVISOR_START_FAILED, "{error,Error}");
	cr_expect_str_eq(r->why, "broken strings", "information about the error");
	free(r);
	cr_expect_str_eq(row_of(sup, "c").id, "");
	cr_expect(lives(sup), "and that is all");
	stop(sup);
}

Test(supervisor, start_child_with_a_bad_specification)
{
	struct actor_id sup = two();
	const struct child_spec no_start = { .id = "e" };
	struct supervisor_answer *r = ask_start(sup, &no_start, NULL);

	cr_expect_eq(r->outcome, SUPERVISOR_BAD_SPEC);
	cr_expect_str_eq(r->why, "e: no start");
	free(r);
	cr_expect_eq(outcome_of(ask_start(sup, NULL, NULL)), SUPERVISOR_BAD_SPEC);
	stop(sup);
}

Test(supervisor, terminate_child)
{
	struct actor_id sup = two();
	struct child_row row;

	free(journal_take());
	cr_expect_eq(outcome_of(ask_id(sup, TERMINATE_CHILD, "a")), SUPERVISOR_OK);
	expect_journal("-a", "the process is terminated when the answer comes");
	row = row_of(sup, "a");
	cr_expect_str_eq(row.id, "a", "the specification is kept");
	cr_expect_eq(row.state, CHILD_DOWN);
	calm();
	expect_journal("", "and not restarted, permanent as it is");
	cr_expect_eq(
		outcome_of(ask_id(sup, TERMINATE_CHILD, "a")), SUPERVISOR_OK, "if there is one");
	cr_expect_eq(outcome_of(ask_id(sup, TERMINATE_CHILD, "x")), SUPERVISOR_NOT_FOUND);
	stop(sup);
}

Test(supervisor, delete_child)
{
	struct actor_id sup = two();

	cr_expect_eq(outcome_of(ask_id(sup, DELETE_CHILD, "a")), SUPERVISOR_RUNNING);
	cr_expect_eq(outcome_of(ask_id(sup, DELETE_CHILD, "x")), SUPERVISOR_NOT_FOUND);
	cr_expect_eq(outcome_of(ask_id(sup, TERMINATE_CHILD, "a")), SUPERVISOR_OK);
	cr_expect_eq(outcome_of(ask_id(sup, DELETE_CHILD, "a")), SUPERVISOR_OK);
	cr_expect_eq(outcome_of(ask_id(sup, DELETE_CHILD, "a")), SUPERVISOR_NOT_FOUND);
	cr_expect_eq(outcome_of(ask_id(sup, RESTART_CHILD, "a")), SUPERVISOR_NOT_FOUND);
	stop(sup);
}

Test(supervisor, restart_child)
{
	struct actor_id sup = two();
	struct supervisor_answer *r;

	cr_expect_eq(outcome_of(ask_id(sup, RESTART_CHILD, "a")), SUPERVISOR_RUNNING);
	cr_expect_eq(outcome_of(ask_id(sup, RESTART_CHILD, "x")), SUPERVISOR_NOT_FOUND);
	cr_expect_eq(outcome_of(ask_id(sup, TERMINATE_CHILD, "a")), SUPERVISOR_OK);
	free(journal_take());
	a.fails = 1;
	r = ask_id(sup, RESTART_CHILD, "a");
	cr_expect_eq(r->outcome, SUPERVISOR_START_FAILED, "{error,Error}");
	cr_expect_str_eq(r->why, "broken strings");
	free(r);
	cr_expect_eq(row_of(sup, "a").state, CHILD_DOWN, "and the specification stays");
	a.ignores = true;
	r = ask_id(sup, RESTART_CHILD, "a");
	cr_expect_eq(r->outcome, SUPERVISOR_OK, "{ok,undefined}");
	cr_expect_eq(r->child.state, CHILD_DOWN);
	free(r);
	a.ignores = false;
	r = ask_id(sup, RESTART_CHILD, "a");
	cr_expect_eq(r->outcome, SUPERVISOR_OK, "{ok,Child}");
	cr_expect(actor_id_equal(r->child.actor, row_of(sup, "a").actor));
	free(r);
	expect_journal("!a +a", "started again");
	stop(sup);
}

static const char *const some_modules[] = { "puppet", NULL };

static const struct {
	const char *sentence;
	enum supervisor_strategy strategy;
	enum supervisor_request_kind kind;
	const char *id, *want;
} with_rest[] = {
	{ "one_for_one: nobody with it", ONE_FOR_ONE, STOP_WITH_REST, "b", "-b" },
	{ "one_for_one: nobody with it", ONE_FOR_ONE, RESTART_WITH_REST, "b", "-b +b" },
	{ "rest_for_one: those after it, last first", REST_FOR_ONE, STOP_WITH_REST, "b", "-c -b" },
	{ "rest_for_one: and then first first", REST_FOR_ONE, RESTART_WITH_REST, "b",
		"-c -b +b +c" },
	{ "rest_for_one, the last", REST_FOR_ONE, RESTART_WITH_REST, "c", "-c +c" },
	{ "one_for_all: all", ONE_FOR_ALL, STOP_WITH_REST, "b", "-c -b -a" },
	{ "one_for_all: all", ONE_FOR_ALL, RESTART_WITH_REST, "b", "-c -b -a +a +b +c" },
};

Test(supervisor, an_operator_stops_and_starts_one_with_those_that_depend_on_it)
{
	for (size_t i = 0; i < ARRAY_LEN(with_rest); i++) {
		struct supervisor_plan plan = plan_of(with_rest[i].strategy, abc, 3);
		struct actor_id sup = started(&plan);
		const char *id = with_rest[i].id;

		free(journal_take());
		cr_expect_eq(outcome_of(ask_id(sup, START_WITH_REST, id)), SUPERVISOR_RUNNING);
		cr_expect_eq(outcome_of(ask_id(sup, with_rest[i].kind, id)), SUPERVISOR_OK);
		expect_journal(with_rest[i].want, with_rest[i].sentence);
		if (with_rest[i].kind == STOP_WITH_REST) {
			cr_expect_eq(row_of(sup, id).state, CHILD_DOWN);
			cr_expect_eq(outcome_of(ask_id(sup, START_WITH_REST, id)), SUPERVISOR_OK);
		}
		for (unsigned n = 0; n < 3; n++)
			cr_expect_eq(row_of(sup, abc[n].id).state, CHILD_UP, "%s",
				with_rest[i].sentence);
		cr_expect_eq(row_of(sup, id).restarts, 0, "it was asked to");
		cr_expect_eq(outcome_of(ask_id(sup, with_rest[i].kind, "x")), SUPERVISOR_NOT_FOUND);
		stop(sup);
		free(journal_take());
	}
}

Test(supervisor, when_one_of_the_rest_does_not_start_those_after_it_stay_down)
{
	struct supervisor_plan plan = plan_of(REST_FOR_ONE, abc, 3);
	struct actor_id sup = started(&plan);
	struct supervisor_answer *r;

	free(journal_take());
	b.fails = 1;
	r = ask_id(sup, RESTART_WITH_REST, "a");
	expect_journal("-c -b -a +a !b", "it says which and why");
	cr_expect_eq(r->outcome, SUPERVISOR_START_FAILED);
	cr_expect_str_eq(r->why, "b: broken strings");
	cr_expect_eq(r->child.state, CHILD_UP, "a is there");
	free(r);
	calm();
	cr_expect_eq(row_of(sup, "c").state, CHILD_DOWN, "and is not started by itself");
	cr_expect_eq(outcome_of(ask_id(sup, START_WITH_REST, "b")), SUPERVISOR_OK);
	expect_journal("+b +c", "an operator does");
	stop(sup);
}

Test(supervisor, which_children)
{
	struct child_spec specs[2] = { abc[0], abc[1] };
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, specs, 2);
	struct supervisor_answer *r;
	struct actor_id sup;

	specs[0].modules = some_modules;
	sup = started(&plan);
	cr_expect_eq(outcome_of(ask_start(sup, &outer_specs[1], NULL)), SUPERVISOR_OK);
	cr_expect_eq(outcome_of(ask_id(sup, TERMINATE_CHILD, "b")), SUPERVISOR_OK);
	r = ask_id(sup, WHICH_CHILDREN, NULL);
	cr_assert_eq(r->n, 3);
	cr_expect_str_eq(r->rows[0].id, "a", "Id, as in the specification");
	cr_expect_neq(r->rows[0].actor.v, 0, "Child, the process");
	cr_expect_eq(r->rows[1].actor.v, 0, "or undefined");
	cr_expect_eq(r->rows[0].type, CHILD_WORKER, "Type");
	cr_expect_eq(r->rows[2].type, CHILD_SUPERVISOR);
	cr_expect_eq(r->rows[0].modules, some_modules, "Modules");
	cr_expect_null(r->rows[1].modules, "dynamic");
	free(r);
	stop(sup);
}

Test(supervisor, requests_to_nobody)
{
	struct actor_id sup = two();

	stop(sup);
	cr_expect_eq(outcome_of(ask_id(sup, TERMINATE_CHILD, "a")), SUPERVISOR_GONE);
	cr_expect_eq(outcome_of(ask_start(sup, &abc[0], NULL)), SUPERVISOR_GONE);
}

/* --- simple_one_for_one --- */

static const struct child_spec call_spec[] = {
	{ .id = "call", .shutdown_ms = 5000, PUPPET_CHILD(&a) },
};

static struct actor_id simple(enum child_restart restart)
{
	static struct child_spec spec;
	static struct supervisor_plan plan;

	spec = call_spec[0];
	spec.restart = restart;
	plan = plan_of(SIMPLE_ONE_FOR_ONE, &spec, 1);
	return started(&plan);
}

Test(supervisor, simple_one_for_one_starts_nothing_by_itself)
{
	struct actor_id sup = simple(CHILD_PERMANENT);

	expect_journal("", "all children are added dynamically");
	cr_expect_eq(outcome_of(ask_start(sup, NULL, NULL)), SUPERVISOR_OK);
	cr_expect_eq(outcome_of(ask_start(sup, NULL, &b)), SUPERVISOR_OK);
	cr_expect_eq(outcome_of(ask_start(sup, NULL, &c)), SUPERVISOR_OK);
	expect_journal("+a +b +c", "the same start function, each with its own arguments");
	end_child(sup, "call#2", "crash");
	expect_journal("-b +b", "restarted with its own, and only it");
	stop(sup);
	expect_journal("-c -b -a", "stopped in reversed start order");
}

Test(supervisor, simple_one_for_one_refuses_what_needs_an_id)
{
	struct actor_id sup = simple(CHILD_PERMANENT);

	cr_expect_eq(outcome_of(ask_start(sup, NULL, NULL)), SUPERVISOR_OK);
	cr_expect_eq(
		outcome_of(ask_id(sup, TERMINATE_CHILD, "call#1")), SUPERVISOR_SIMPLE_ONE_FOR_ONE);
	cr_expect_eq(
		outcome_of(ask_id(sup, DELETE_CHILD, "call#1")), SUPERVISOR_SIMPLE_ONE_FOR_ONE);
	cr_expect_eq(
		outcome_of(ask_id(sup, RESTART_CHILD, "call#1")), SUPERVISOR_SIMPLE_ONE_FOR_ONE);
	cr_expect_eq(outcome_of(ask_id(sup, RESTART_WITH_REST, "call#1")),
		SUPERVISOR_SIMPLE_ONE_FOR_ONE);
	cr_expect_eq(row_of(sup, "call#1").state, CHILD_UP);
	stop(sup);
}

Test(supervisor, simple_one_for_one_forgets_who_is_not_restarted)
{
	struct actor_id sup = simple(CHILD_TEMPORARY);

	cr_expect_eq(outcome_of(ask_start(sup, NULL, NULL)), SUPERVISOR_OK);
	end_child(sup, "call#1", "crash");
	cr_expect_str_eq(row_of(sup, "call#1").id, "");
	a.ignores = true;
	cr_expect_eq(outcome_of(ask_start(sup, NULL, NULL)), SUPERVISOR_OK, "{ok,undefined}");
	cr_expect_str_eq(row_of(sup, "call#2").id, "");
	a.fails = 1;
	cr_expect_eq(outcome_of(ask_start(sup, NULL, NULL)), SUPERVISOR_START_FAILED);
	cr_expect_str_eq(row_of(sup, "call#3").id, "");
	stop(sup);
}

static _Atomic unsigned dropped;

static void count_drop(void *extra UNUSED)
{
	dropped++;
}

static enum supervisor_outcome start_dropped(struct actor_id sup, struct strings *strings)
{
	return outcome_of(supervisor_ask_wait(sup,
		&(struct supervisor_request){
			.kind = START_CHILD, .extra = TERM_OF(0, strings, count_drop) },
		ASK_MS));
}

Test(supervisor, extra_arguments_are_dropped_with_the_child)
{
	struct actor_id sup = simple(CHILD_TRANSIENT);

	dropped = 0;
	start_dropped(sup, &a);
	start_dropped(sup, &b);
	c.fails = 1;
	start_dropped(sup, &c);
	cr_expect_eq(dropped, 1, "a start that failed");
	end_child(sup, "call#1", "crash");
	cr_expect_eq(dropped, 1, "a restart needs them");
	end_child(sup, "call#1", STOP_NORMAL);
	cr_expect_eq(dropped, 2);
	stop(sup);
	cr_expect_eq(dropped, 3);
	start_dropped(sup, &a);
	cr_expect_eq(dropped, 4, "nobody to give them to");
}

/* --- shutdown --- */

static _Atomic bool held, let_go;

static struct next holding_init(struct server *s UNUSED, void *arg)
{
	return arg ? server_later() : server_wait();
}

/* Holds its shard for as long as the test wants. */
static void holding_terminate(struct server *s UNUSED, const char *reason UNUSED)
{
	held = true;
	while (!let_go)
		sched_yield();
}

static const struct server_class holding_class = {
	SERVER_CLASS("holding", 1, struct server),
	.init = holding_init,
	.terminate = holding_terminate,
};

static _Atomic unsigned abandoned, shards_lost;

static void count_abandoned(const char *id UNUSED, bool shard_lost)
{
	abandoned++;
	shards_lost += shard_lost;
}

/* Like clock_move(), but does not wait for a shard that is held. */
static void clock_move_on_shard_0(int64_t ms)
{
	atomic_fetch_add(&clock_ahead_ms, ms);
	for (unsigned i = 0; i < 20; i++)
		on_shard(0, puppets_pass, NULL);
}

Test(supervisor, an_actor_whose_shard_stands_still_is_abandoned_and_reported)
{
	const struct child_spec specs[] = {
		{ .id = "a", .shutdown_ms = 5000, PUPPET_CHILD(&a) },
		{ .id = "h",
			.shutdown_ms = SHUTDOWN_MS,
			ACTOR_CHILD(&holding_class.gen, .shard = 1) },
	};
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, specs, 2);
	struct actor_id sup = started(&plan);

	abandoned = shards_lost = 0;
	held = let_go = false;
	child_on_abandoned(count_abandoned);
	gen_stop_id(sup, STOP_SHUTDOWN);
	while (!held)
		sched_yield();
	expect_journal("+a", "h is being waited for");
	clock_move_on_shard_0(PAST(SHUTDOWN_MS));
	cr_expect_eq(abandoned, 0, "killed, and given time to die");
	clock_move_on_shard_0(PAST(CHILD_KILL_MS));
	cr_expect_eq(abandoned, 1);
	cr_expect_eq(shards_lost, 1, "the server has to be restarted");
	cr_assert(await(&sup_ended), "the tree goes on");
	expect_journal("-a", "the tree goes on");
	let_go = true;
	calm();
}

/* Never through. */
static const struct child_spec slow_specs[] = {
	{ .id = "b", .shutdown_ms = 5000, PUPPET_CHILD(&b) },
	{ .id = "h",
		.start_ms = 1000,
		.shutdown_ms = 1000,
		ACTOR_CHILD(&holding_class.gen, .shard = 1, .arg = &b) },
};
static const struct supervisor_plan slow_plan = {
	.strategy = ONE_FOR_ONE,
	.max_restarts = 1,
	.within_s = WITHIN_S,
	SUPERVISOR_CHILDREN(slow_specs),
};

static struct start_result late_start;

static void note_start(const struct start_result *r, void *arg UNUSED)
{
	late_start = *r;
}

Test(supervisor, a_start_that_does_not_come_to_an_end_fails)
{
	supervisor_spawn(
		shard_at(0), &slow_plan, &(struct start){ .name = "sup", .started = note_start });
	calm();
	expect_journal("+b", "h is under way");
	clock_move(PAST(START_MS));
	calm();
	expect_journal("-b", "it has taken too long");
	cr_expect_eq(late_start.outcome, START_FAILED);
	cr_expect_eq(actor_whereis("sup").v, 0);
}

Test(supervisor, a_supervisor_is_stopped_while_it_starts)
{
	supervisor_spawn(
		shard_at(0), &slow_plan, &(struct start){ .name = "sup", .started = note_start });
	calm();
	gen_stop_id(actor_whereis("sup"), STOP_SHUTDOWN);
	calm();
	expect_journal("+b", "the start under way is waited for");
	clock_move(PAST(START_MS));
	calm();
	expect_journal("-b", "and nothing is started after it");
	cr_expect_eq(late_start.outcome, START_FAILED);
	cr_expect_str_eq(late_start.reason, STOP_SHUTDOWN);
}

Test(supervisor, a_supervisor_that_starts_too_long_takes_what_it_has_with_it)
{
	const struct child_spec specs[] = {
		abc[0],
		{ .id = "slow", .start_ms = START_MS / 2, SUPERVISOR_CHILD(&slow_plan) },
	};
	struct supervisor_plan plan = plan_of(ONE_FOR_ONE, specs, 2);

	supervisor_spawn(shard_at(0), &plan, &(struct start){ .started = note_start });
	calm();
	expect_journal("+a +b", "slow is under way");
	clock_move(PAST(START_MS / 2));
	calm();
	expect_journal("-b -a", "those before it are stopped");
	cr_expect_eq(late_start.outcome, START_FAILED);
	clock_move(PAST(
		START_MS / 2)); /* h, whose init nobody can break off, has the rest of its time */
	calm();
	for (unsigned s = 0; s < shards_count(); s++)
		cr_expect_eq(actor_count(s), 0, "nobody is left on shard %u", s);
}

/* --- check_childspecs --- */

static const char *const no_modules[] = { NULL };
static const char *const no_argv[] = { NULL };

static const struct {
	const char *what;
	struct child_spec spec;
	int want;
} specs_to_check[] = {
	{ "an actor", { .id = "a", PUPPET_CHILD(&a) }, 0 },
	{ "a supervisor", { .id = "a", SUPERVISOR_CHILD(&inner) }, 0 },
	{ "brutal_kill", { .id = "a", .shutdown_ms = CHILD_BRUTAL_KILL, PUPPET_CHILD(&a) }, 0 },
	{ "infinity", { .id = "a", .shutdown_ms = CHILD_INFINITY, PUPPET_CHILD(&a) }, 0 },
	{ "modules", { .id = "a", .modules = some_modules, PUPPET_CHILD(&a) }, 0 },
	{ "no id", { PUPPET_CHILD(&a) }, -EINVAL },
	{ "an empty id", { .id = "", PUPPET_CHILD(&a) }, -EINVAL },
	{ "an id that would be a path", { .id = "a/b", PUPPET_CHILD(&a) }, -EINVAL },
	{ "an id that is too long",
		{ .id = "0123456789012345678901234567890123456789012345678901234567890123",
			PUPPET_CHILD(&a) },
		-EINVAL },
	{ "Restart", { .id = "a", .restart = (enum child_restart)3, PUPPET_CHILD(&a) }, -EINVAL },
	{ "Shutdown", { .id = "a", .shutdown_ms = -3, PUPPET_CHILD(&a) }, -EINVAL },
	{ "Type", { .id = "a", .type = (enum child_type)2, PUPPET_CHILD(&a) }, -EINVAL },
	{ "Modules", { .id = "a", .modules = no_modules, PUPPET_CHILD(&a) }, -EINVAL },
	{ "StartFunc", { .id = "a" }, -EINVAL },
	{ "no class", { .id = "a", ACTOR_CHILD(NULL) }, -EINVAL },
	{ "no thread", { .id = "a", THREAD_CHILD(NULL) }, -EINVAL },
	{ "no program", { .id = "a", PROCESS_CHILD(NULL) }, -EINVAL },
	{ "an empty program", { .id = "a", PROCESS_CHILD(no_argv) }, -EINVAL },
	{ "a supervisor that is none", { .id = "a", .type = CHILD_SUPERVISOR, PUPPET_CHILD(&a) },
		-EINVAL },
	{ "a worker that is a supervisor", { .id = "a", ACTOR_CHILD(&supervisor_class) }, -EINVAL },
};

Test(supervisor, check_childspecs)
{
	char why[CHILD_REASON_MAX * 2];

	for (size_t i = 0; i < ARRAY_LEN(specs_to_check); i++) {
		why[0] = 0;
		cr_expect_eq(child_specs_check(&specs_to_check[i].spec, 1, why),
			specs_to_check[i].want, "%s: %s", specs_to_check[i].what, why);
		cr_expect_eq(why[0] != 0, specs_to_check[i].want != 0, "%s: \"%s\"",
			specs_to_check[i].what, why);
	}
	cr_expect_eq(child_specs_check(abc, 3, NULL), 0);
	cr_expect_eq(child_specs_check(twice, 2, why), -EINVAL);
	cr_expect_str_eq(why, "a: its id is there twice");
}

/* --- asking from a shard, and the tree --- */

struct asked {
	struct actor_id sup;
	sem_t told;
	enum supervisor_outcome outcome;
};

static void asked_told(struct actor *asker UNUSED, const struct supervisor_answer *r, void *arg)
{
	struct asked *asked = arg;

	asked->outcome = r->outcome;
	sem_post(&asked->told);
}

static void ask_from_shard(void *arg)
{
	struct asked *asked = arg;

	shard_check(NULL);
	supervisor_ask(NULL, asked->sup,
		&(struct supervisor_request){ .kind = DELETE_CHILD, .id = "a" }, ASK_MS, asked_told,
		asked);
}

Test(supervisor, a_shard_names_the_function_that_takes_the_answer)
{
	struct asked asked = { .sup = two() };

	sem_init(&asked.told, 0, 0);
	on_shard(1, ask_from_shard, &asked);
	cr_assert(await(&asked.told));
	cr_expect_eq(asked.outcome, SUPERVISOR_RUNNING);
	stop(asked.sup);
	on_shard(1, ask_from_shard, &asked);
	cr_assert(await(&asked.told));
	cr_expect_eq(asked.outcome, SUPERVISOR_GONE);
}

static void start_slow_from_shard(void *arg)
{
	struct asked *asked = arg;

	shard_check(NULL);
	supervisor_ask(NULL, asked->sup,
		&(struct supervisor_request){ .kind = START_CHILD, .spec = &slow_specs[1] }, ASK_MS,
		asked_told, asked);
	supervisor_ask(NULL, asked->sup,
		&(struct supervisor_request){ .kind = TERMINATE_CHILD, .id = "a" }, ASK_MS,
		asked_told, asked);
}

Test(supervisor, who_waits_for_an_answer_is_told_when_the_supervisor_ends)
{
	struct asked asked = { .sup = two() };

	sem_init(&asked.told, 0, 0);
	on_shard(1, start_slow_from_shard, &asked);
	calm();
	cr_expect_eq(row_of(asked.sup, "h").state, CHILD_STARTING, "rows are told meanwhile");
	cr_expect_eq(row_of(asked.sup, "a").state, CHILD_UP, "one thing at a time");
	gen_stop_id(asked.sup, STOP_SHUTDOWN);
	calm();
	gen_stop_id(asked.sup, STOP_KILLED);
	cr_assert(await(&asked.told), "the request under way");
	cr_assert(await(&asked.told), "and the one that waits its turn");
	cr_expect_eq(asked.outcome, SUPERVISOR_GONE);
	clock_move(PAST(START_MS));
}

static void note_row(const char *path, unsigned depth, const struct child_row *row, void *arg)
{
	char *text = arg;

	sprintf(text + strlen(text), "%u %s %s %s\n", depth, path, child_kind_name(row->kind),
		child_state_name(row->state));
}

Test(supervisor, the_tree_can_be_walked_and_a_path_be_worked_on)
{
	struct actor_id sup = started(&outer);
	char text[256] = "";
	struct supervisor_answer *r;

	cr_expect_eq(outcome_of(supervisor_ask_path(sup, TERMINATE_CHILD, "inner/c", ASK_MS)),
		SUPERVISOR_OK);
	supervisor_walk(sup, note_row, text);
	cr_expect_str_eq(
		text, "0 a actor up\n0 inner actor up\n1 inner/c actor down\n1 inner/d actor up\n");
	r = supervisor_ask_path(sup, RESTART_CHILD, "inner/c", ASK_MS);
	cr_expect_eq(r->outcome, SUPERVISOR_OK);
	cr_expect_eq(r->child.state, CHILD_UP);
	free(r);
	cr_expect_eq(outcome_of(supervisor_ask_path(sup, DELETE_CHILD, "x/c", ASK_MS)),
		SUPERVISOR_NOT_FOUND);
	cr_expect_eq(outcome_of(supervisor_ask_path(sup, DELETE_CHILD, "a/c", ASK_MS)),
		SUPERVISOR_NOT_FOUND);
	cr_expect_eq(outcome_of(supervisor_ask_path(sup, TERMINATE_CHILD, "inner", ASK_MS)),
		SUPERVISOR_OK);
	text[0] = 0;
	supervisor_walk(sup, note_row, text);
	cr_expect_str_eq(text, "0 a actor up\n0 inner actor down\n");
	stop(sup);
	text[0] = 0;
	supervisor_walk(sup, note_row, text);
	cr_expect_str_eq(text, "");
}

Test(supervisor, a_row_tells_how_long_and_how_often)
{
	struct actor_id sup = two();
	struct child_row row;

	clock_move(3600000);
	row = row_of(sup, "a");
	cr_expect_geq(row.for_ms, 3600000);
	cr_expect_eq(row.restarts, 0);
	end_child(sup, "a", "crash");
	row = row_of(sup, "a");
	cr_expect_lt(row.for_ms, 3600000);
	cr_expect_eq(row.restarts, 1);
	stop(sup);
}
