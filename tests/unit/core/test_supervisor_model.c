/* A supervisor against the simplest thing that does what the manual says: thousands of random ends,
 * starts that fail or are ignored, requests and pauses; after each the two must have done the same
 * things in the same order. LINNET_SEED repeats a run. */
#include <criterion/criterion.h>

#include "core/supervisor.h"
#include "tests/support/moved_clock.h"
#include "tests/support/puppets.h"

enum { CHILDREN = 6, WORLDS = 300, STEPS = 60, MAX_S = 1000 };

static unsigned seed, n_ends;

static unsigned any(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static void begin(void)
{
	const char *given = getenv("LINNET_SEED");

	seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	fprintf(stderr, "LINNET_SEED=%u\n", seed);
	rcu_thread_begin();
	cr_assert_eq(shards_start(2), 0);
}

static void end(void)
{
	shards_stop();
	rcu_thread_end();
}

TestSuite(supervisor_model, .init = begin, .fini = end, .timeout = 110);

static struct strings strings[CHILDREN];
static const char *const names[CHILDREN] = { "a", "b", "c", "d", "e", "f" };

/* --- the reference: no mail, no waiting, one thing after the other --- */

struct model_child {
	struct strings strings; /* its own: counts down as the real ones do */
	unsigned who; /* in names[] */
	enum child_restart restart;
	bool up, through;
};
static struct model {
	enum supervisor_strategy strategy;
	unsigned max_restarts, restarts; /* within the window; the test moves on by whole windows */
	unsigned n;
	struct model_child at[CHILDREN];
	bool dead;
	char journal[4096];
} model;

static void model_note(char sign, const struct model_child *m)
{
	size_t len = strlen(model.journal);

	snprintf(model.journal + len, sizeof(model.journal) - len, "%s%c%s", len ? " " : "", sign,
		names[m->who]);
}

static bool model_start(struct model_child *m)
{
	m->through = false;
	if (m->strings.fails > 0)
		m->strings.fails--;
	else if (m->strings.fails == 0)
		goto starts;
	model_note('!', m);
	return false;
starts:
	if (m->strings.ignores)
		return true;
	model_note('+', m);
	m->up = true;
	return true;
}

static void model_stop(unsigned from)
{
	for (unsigned i = model.n; i-- > from;) {
		if (model.at[i].up)
			model_note('-', &model.at[i]);
		model.at[i].up = false;
	}
}

/* Returns who did not start, or -1. */
static int model_start_again(unsigned from)
{
	for (unsigned i = from; i < model.n; i++) {
		struct model_child *m = &model.at[i];
		bool due = m->restart == CHILD_PERMANENT ||
			(m->restart == CHILD_TRANSIENT && !m->through);

		if (due && !m->up && !model_start(m))
			return (int)i;
	}
	return -1;
}

static void model_restart(int who)
{
	while (who >= 0) {
		if (++model.restarts > model.max_restarts) {
			model_stop(0);
			model.dead = true;
			return;
		}
		if (model.strategy == ONE_FOR_ONE) {
			who = model_start(&model.at[who]) ? -1 : who;
		} else {
			unsigned from = model.strategy == ONE_FOR_ALL ? 0 : (unsigned)who;

			model_stop(from);
			who = model_start_again(from);
		}
	}
}

static void model_end(unsigned who, const char *reason)
{
	struct model_child *m = &model.at[who];

	model_note('-', m);
	m->up = false;
	m->through = strcmp(reason, STOP_NORMAL) == 0;
	if (m->restart == CHILD_PERMANENT || (m->restart == CHILD_TRANSIENT && !m->through))
		model_restart((int)who);
}

/* --- the two side by side --- */

static struct actor_id sup;
static struct child_spec specs[CHILDREN];
static char *story; /* what has been done in this world, for the message */

static void tell(const char *what, const char *who)
{
	char *longer = xprintf("%s; %s %s", story ? story : "", what, who);

	free(story);
	story = longer;
}

static void compare(void)
{
	AUTO(free_ptr) char *got = NULL;
	AUTO(free_ptr) struct supervisor_answer *a = NULL;

	calm_after(strlen(model.journal));
	got = journal_take();
	cr_assert_str_eq(got, model.journal, "%s: did %s, not %s", story, got, model.journal);
	model.journal[0] = 0;
	a = ask_id(sup, WHICH_CHILDREN, NULL);
	cr_assert_eq(a->outcome == SUPERVISOR_GONE, model.dead, "%s", story);
	if (model.dead)
		return;
	cr_assert_eq(a->n, model.n, "%s", story);
	for (unsigned i = 0; i < a->n; i++) {
		cr_assert_str_eq(a->rows[i].id, names[model.at[i].who], "%s", story);
		cr_assert_eq(a->rows[i].state, model.at[i].up ? CHILD_UP : CHILD_DOWN, "%s: %s",
			story, a->rows[i].id);
	}
}

static void world_begin(void)
{
	struct supervisor_plan plan = {
		.strategy = (enum supervisor_strategy)any(3),
		.max_restarts = any(12),
		.within_s = MAX_S,
		.children = specs,
		.n_children = 1 + any(CHILDREN),
	};

	free(story);
	story = xprintf("strategy %d, %u restarts", (int)plan.strategy, plan.max_restarts);
	model = (struct model){ .strategy = plan.strategy, .max_restarts = plan.max_restarts };
	for (unsigned i = 0; i < CHILDREN; i++) {
		strings[i] = (struct strings){ .name = names[i] };
		specs[i] = (struct child_spec){ .id = names[i],
			.restart = (enum child_restart)any(3),
			.shutdown_ms = any(2) ? CHILD_INFINITY : CHILD_BRUTAL_KILL,
			PUPPET_CHILD(&strings[i], .shard = any(2)) };
	}
	for (model.n = 0; model.n < plan.n_children; model.n++) {
		model.at[model.n] =
			(struct model_child){ .who = model.n, .restart = specs[model.n].restart };
		model_start(&model.at[model.n]);
	}
	sup = supervisor_spawn_wait(shard_at(any(2)), &plan, NULL).id;
	cr_assert_neq(sup.v, 0);
	compare();
}

static void world_end(void)
{
	if (!model.dead) {
		gen_stop_id(sup, STOP_SHUTDOWN);
		model_stop(0);
		model.dead = true;
		compare();
	}
	clock_move(MAX_S * 1000 + 1);
}

/* --- what may happen --- */

static void one_ends(unsigned i)
{
	static const char *const reasons[] = { STOP_NORMAL, STOP_SHUTDOWN, "crash", "crash" };
	const char *reason = reasons[any(4)];

	if (!model.at[i].up)
		return;
	n_ends++;
	tell(reason, names[model.at[i].who]);
	gen_stop_id(row_of(sup, names[model.at[i].who]).actor, reason);
	model_end(i, reason);
}

static void next_start_is_special(unsigned i)
{
	struct model_child *m = &model.at[i];

	m->strings.fails = any(4) ? (int)any(3) : -1;
	m->strings.ignores = any(3) == 0;
	strings[m->who].fails = m->strings.fails;
	strings[m->who].ignores = m->strings.ignores;
	tell("is special from now on:", names[m->who]);
}

static void expect_outcome(struct supervisor_answer *a, enum supervisor_outcome want)
{
	cr_assert_eq(outcome_of(a), want, "%s", story);
}

static void terminate_one(unsigned i)
{
	struct model_child *m = &model.at[i];

	tell("terminate", names[m->who]);
	expect_outcome(ask_id(sup, TERMINATE_CHILD, names[m->who]), SUPERVISOR_OK);
	if (m->up)
		model_note('-', m);
	m->up = false;
}

static void restart_one(unsigned i)
{
	struct model_child *m = &model.at[i];
	enum supervisor_outcome want = SUPERVISOR_RUNNING;

	tell("restart", names[m->who]);
	if (!m->up)
		want = model_start(m) ? SUPERVISOR_OK : SUPERVISOR_START_FAILED;
	expect_outcome(ask_id(sup, RESTART_CHILD, names[m->who]), want);
}

static void delete_one(unsigned i)
{
	struct model_child *m = &model.at[i];

	tell("delete", names[m->who]);
	expect_outcome(ask_id(sup, DELETE_CHILD, names[m->who]),
		m->up ? SUPERVISOR_RUNNING : SUPERVISOR_OK);
	if (!m->up && --model.n > i)
		memmove(m, m + 1, (model.n - i) * sizeof(*m));
}

static int model_index(unsigned who)
{
	for (unsigned i = 0; i < model.n; i++)
		if (model.at[i].who == who)
			return (int)i;
	return -1;
}

static void start_one(void)
{
	unsigned who = any(CHILDREN);
	int there = model_index(who);
	struct model_child *m = &model.at[model.n];
	enum supervisor_outcome want;

	tell("start", names[who]);
	if (there >= 0) {
		want = model.at[there].up ? SUPERVISOR_ALREADY_STARTED : SUPERVISOR_ALREADY_PRESENT;
	} else {
		*m = (struct model_child){ .who = who, .restart = specs[who].restart };
		m->strings.fails = strings[who].fails;
		m->strings.ignores = strings[who].ignores;
		want = model_start(m) ? SUPERVISOR_OK : SUPERVISOR_START_FAILED;
		model.n += want == SUPERVISOR_OK;
	}
	expect_outcome(ask_start(sup, &specs[who], NULL), want);
}

static void time_passes(void)
{
	tell("pause", "");
	clock_move(MAX_S * 1000 + 1);
	model.restarts = 0;
}

static void step(void)
{
	unsigned i = model.n ? any(model.n) : 0;
	unsigned what = any(model.n ? 16 : 2);

	if (what == 0)
		start_one();
	else if (what == 1)
		time_passes();
	else if (what < 4)
		next_start_is_special(i);
	else if (what == 4)
		terminate_one(i);
	else if (what == 5)
		restart_one(i);
	else if (what == 6)
		delete_one(i);
	else
		one_ends(i);
	compare();
}

Test(supervisor_model, does_what_the_reference_does)
{
	for (unsigned w = 0; w < WORLDS; w++) {
		world_begin();
		for (unsigned i = 0; i < STEPS && !model.dead; i++)
			step();
		world_end();
	}
	fprintf(stderr, "%u ends\n", n_ends);
	cr_expect_gt(n_ends, 2 * WORLDS, "hardly anything has happened");
}
