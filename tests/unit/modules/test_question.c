/* Questions that wait for an answer: whose answer counts, on which shard, how long, and how many
 * there may be. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "modules/question.h"
#include "tests/support/moved_clock.h"
#include "xml/builder.h"

#define WAIT_MS 60000

static void begin(void)
{
	rcu_thread_begin();
	cr_assert_eq(shards_start(2), 0);
}

static void end(void)
{
	shards_stop();
	rcu_thread_end();
}
TestSuite(question, .init = begin, .fini = end, .timeout = 60);

/* What became of one. */
struct asked {
	struct question question;
	struct jid *whom;
	bool refused;
	_Atomic int answered, timed_out, dropped;
	unsigned shard; /* where it was told */
};

static void done(struct question *q, struct stanza *answer)
{
	struct asked *a = container_of(q, struct asked, question);

	a->shard = shard_index(shard_self());
	atomic_fetch_add(answer ? &a->answered : &a->timed_out, 1);
}

static void drop(struct question *q)
{
	atomic_fetch_add(&container_of(q, struct asked, question)->dropped, 1);
}

static void ask_here(void *arg)
{
	struct asked *a = arg;

	a->question.done = done;
	a->question.drop = drop;
	a->refused = !question_begin(&a->question, a->whom, WAIT_MS);
}

static struct jid *jid(const char *text)
{
	struct jid *j;

	cr_assert_eq(jid_parse(text, strlen(text), NULL, &j), JID_OK);
	return j;
}

struct telling {
	const char *from, *id;
	enum hook_next next;
};

static void tell_here(void *arg)
{
	struct telling *t = arg;
	struct stanza *s;
	struct builder b;

	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", "result");
	build_attr(&b, "id", t->id);
	build_attr(&b, "from", t->from);
	build_attr(&b, "to", "localhost");
	s = build_end(&b);
	t->next = question_answered(s, NULL);
	stanza_unref(s);
}

static enum hook_next tell(unsigned shard, const char *from, const char *id)
{
	struct telling t = { from, id, HOOK_GO_ON };

	on_shard(shard, tell_here, &t);
	settle();
	return t.next;
}

Test(question, answered_once_on_the_shard_that_asked)
{
	for (unsigned shard = 0; shard < 2; shard++) {
		struct asked a = { .whom = jid("bot.example") };

		on_shard(0, ask_here, &a);
		cr_expect_eq(tell(shard, "bot.example", a.question.id), HOOK_STOP);
		cr_expect_eq(a.answered, 1);
		cr_expect_eq(a.shard, 0);
		cr_expect_eq(tell(shard, "bot.example", a.question.id), HOOK_STOP, "gone by now");
		clock_move(WAIT_MS * 2);
		cr_expect_eq(a.answered, 1);
		cr_expect_eq(a.timed_out, 0);
		jid_free(a.whom);
	}
}

Test(question, only_by_whom_was_asked)
{
	static const char *const others[] = { "other.example", "a@bot.example", "bot.example/x" };
	struct asked a = { .whom = jid("bot.example") };

	on_shard(0, ask_here, &a);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		tell(0, others[i], a.question.id);
	cr_expect_eq(a.answered, 0);
	clock_move(WAIT_MS + 1000);
	cr_expect_eq(a.answered, 0);
	cr_expect_eq(a.timed_out, 1);
	jid_free(a.whom);
}

Test(question, other_ids_are_other_peoples)
{
	static const char *const ids[] = { "", "ask", "ask-", "ask-0", "ask-0-", "ask-0-123",
		"ask-2-0123456789abcdef", "ask-ffffffff-0123456789abcdef",
		"ask-0-0123456789abcdefg", "ask-0-0123456789ABCDEF", " ask-0-0123456789abcdef",
		"ask--1-0123456789abcdef", "ask-0x0-0123456789abcdef" };

	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		cr_expect_eq(tell(0, "bot.example", ids[i]), HOOK_GO_ON, "%s", ids[i]);
	cr_expect_eq(tell(0, "bot.example", "ask-0-0123456789abcdef"), HOOK_STOP, "of its form");
	cr_expect_eq(tell(0, "bot.example", "ask-1-0123456789abcdef"), HOOK_STOP);
}

static struct asked many[QUESTIONS_MAX + 1];

static void ask_many(void *arg)
{
	struct jid *whom = arg;

	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		many[i].whom = whom;
		ask_here(&many[i]);
	}
}

Test(question, bounded_and_let_go_with_the_shard)
{
	struct jid *whom = jid("bot.example");
	struct asked one = { .whom = whom };

	on_shard(0, ask_many, whom);
	for (size_t i = 0; i < QUESTIONS_MAX; i++)
		cr_assert_not(many[i].refused, "%zu", i);
	cr_expect(many[QUESTIONS_MAX].refused);
	on_shard(1, ask_here, &one);
	cr_expect_not(one.refused, "each shard for itself");
	tell(0, "bot.example", many[7].question.id);
	cr_expect_eq(many[7].answered, 1);
	on_shard(0, ask_here, &many[7]);
	cr_expect_not(many[7].refused, "there is room again");
	shards_stop();
	for (size_t i = 0; i < QUESTIONS_MAX; i++)
		cr_expect_eq(many[i].dropped, 1, "%zu", i);
	cr_expect_eq(one.dropped, 1);
	cr_expect_eq(many[QUESTIONS_MAX].dropped, 0);
	jid_free(whom);
	cr_assert_eq(shards_start(2), 0);
}
