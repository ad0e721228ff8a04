/* What core/call.h promises of a request's way there and back: each payload is dropped exactly once
 * wherever it ends, the middleman leaves nothing behind, tokens may be kept and used again. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "core/server.h"
#include "tests/support/on_shard.h"

enum { REPLY, KEEP, NEVER, ANSWER_KEPT, STOP };

/* Payloads are counted: made, and dropped at their end. */
static _Atomic int alive;
static sem_t told;

static void drop_counted(void *data)
{
	atomic_fetch_sub(&alive, 1);
	free(data);
}

static struct term counted(int kind)
{
	atomic_fetch_add(&alive, 1);
	return TERM_OF(kind, xmalloc(1), drop_counted);
}

struct desk {
	struct server server;
	struct caller kept[8];
	unsigned n;
};

static struct next desk_call(struct server *s, struct term *request, struct caller from)
{
	struct desk *d = container_of(s, struct desk, server);

	shard_check(NULL);
	switch (request->kind) {
	case REPLY:
		call_reply(from, counted(REPLY));
		break;
	case KEEP:
		d->kept[d->n++] = from;
		break;
	case STOP:
		return server_stopped(STOP_NORMAL);
	default:
		break;
	}
	return server_wait();
}

/* Answers all it has kept, each of them twice. */
static struct next desk_cast(struct server *s, struct term *request)
{
	struct desk *d = container_of(s, struct desk, server);

	if (request->kind == ANSWER_KEPT)
		for (unsigned i = 0; i < 2 * d->n; i++)
			call_reply(d->kept[i / 2], counted(REPLY));
	return server_wait();
}

static const struct server_class desk_class = {
	SERVER_CLASS("desk", 1, struct desk),
	.call = desk_call,
	.cast = desk_cast,
};

static struct actor_id desk; /* on shard 1 */

static void begin(void)
{
	rcu_thread_begin();
	sem_init(&told, 0, 0);
	cr_assert_eq(shards_start(2), 0);
	desk = server_spawn_wait(shard_at(1), &desk_class, NULL, &(struct start){ .name = "desk" })
		       .id;
}

static void end(void)
{
	server_stop(desk, STOP_NORMAL);
	shards_stop();
	cr_expect_eq(alive, 0, "every payload has come to its end once");
	rcu_thread_end();
}

TestSuite(call, .init = begin, .fini = end, .timeout = 60);

static void nothing(void *arg UNUSED)
{
}

/* What was posted before has run, and what that has posted. */
static void settle(void)
{
	for (int i = 0; i < 6; i++)
		on_shard((unsigned)i % 2, nothing, NULL);
}

/* --- where payloads end ---------------------------------------------------------------------- */

struct asking {
	struct actor_id to;
	struct term request;
	uint64_t ms;
	bool takes;
	/* what came */
	enum call_outcome outcome;
	unsigned times;
	bool within; /* told before the call had returned */
	bool returned;
	struct shard *on;
	void *taken;
};

static void answered(struct actor *asker, struct call_answer *a, void *arg)
{
	struct asking *q = arg;

	cr_expect_null(asker);
	q->outcome = a->outcome;
	q->times++;
	q->within = !q->returned;
	q->on = shard_self();
	if (q->takes)
		q->taken = term_take(&a->reply);
	sem_post(&told);
}

static void ask(void *arg)
{
	struct asking *q = arg;

	shard_check(NULL);
	call_begin(NULL, q->to, MAIL_CALL, q->request, q->ms, answered, q);
	q->returned = true;
}

static struct asking asked(unsigned shard, struct actor_id to, int kind, uint64_t ms, bool takes)
{
	struct asking q = { .to = to, .request = counted(kind), .ms = ms, .takes = takes };

	on_shard(shard, ask, &q);
	cr_assert(await(&told));
	settle();
	cr_expect_eq(q.times, 1);
	cr_expect_not(q.within, "never from within the call");
	cr_expect_eq(q.on, shard_at(shard), "on the caller's shard");
	return q;
}

Test(call, a_reply_is_dropped_unless_it_is_taken)
{
	for (unsigned shard = 0; shard < 2; shard++) {
		struct asking q = asked(shard, desk, REPLY, CALL_FOREVER, false);

		cr_expect_eq(q.outcome, CALL_REPLIED);
		cr_expect_eq(alive, 0);
		q = asked(shard, desk, REPLY, 30000, true);
		cr_expect_eq(q.outcome, CALL_REPLIED);
		cr_expect_eq(alive, 1, "it is the caller's now");
		drop_counted(q.taken);
	}
}

Test(call, a_request_to_nobody_is_dropped)
{
	for (unsigned shard = 0; shard < 2; shard++) {
		cr_expect_eq(asked(shard, ACTOR_NONE, REPLY, 30000, false).outcome, CALL_NOPROC);
		cr_expect_eq(alive, 0);
	}
	cr_expect_eq(asked(0, desk, STOP, 30000, false).outcome, CALL_DOWN);
	cr_expect_eq(asked(0, desk, REPLY, 30000, false).outcome, CALL_NOPROC);
	cr_expect_eq(alive, 0);
}

/* call/3: "late answers ... will then be discarded when they arrive to a terminated process". */
Test(call, an_answer_after_the_deadline_is_dropped)
{
	for (unsigned shard = 0; shard < 2; shard++) {
		struct asking q = asked(shard, desk, KEEP, 5, false);

		cr_expect_eq(q.outcome, CALL_TIMEOUT);
		server_cast(desk, TERM(ANSWER_KEPT));
		settle();
		cr_expect_eq(q.times, 1, "nobody is told again");
		cr_expect_eq(alive, 0);
	}
}

static void ask_without_time(void *arg)
{
	struct asking *q = arg;

	shard_check(NULL);
	call_begin(NULL, q->to, MAIL_CALL, q->request, 0, answered, q);
	q->returned = true;
}

/* Due at once, but timers run when the turn's mail has been read: told all the same, once. */
Test(call, no_time_at_all_is_a_deadline_too)
{
	struct asking q = { .to = desk, .request = counted(NEVER) };

	on_shard(0, ask_without_time, &q);
	cr_assert(await(&told));
	settle();
	cr_expect_eq(q.outcome, CALL_TIMEOUT);
	cr_expect_eq(q.times, 1);
	cr_expect_not(q.within);
}

Test(call, middlemen_go_when_they_are_done)
{
	unsigned before[2];

	settle();
	before[0] = actor_count(0);
	before[1] = actor_count(1);
	for (unsigned i = 0; i < 50; i++) {
		asked(i % 2, desk, REPLY, 30000, false);
		asked(i % 2, ACTOR_NONE, REPLY, 30000, false);
	}
	for (unsigned i = 0; i < 4; i++)
		asked(i % 2, desk, KEEP, 1, false);
	server_cast(desk, TERM(ANSWER_KEPT));
	settle();
	cr_expect_eq(actor_count(0), before[0]);
	cr_expect_eq(actor_count(1), before[1]);
}

/* --- tokens ---------------------------------------------------------------------------------- */

static struct caller token;

static struct next token_call(
	struct server *s UNUSED, struct term *request UNUSED, struct caller from)
{
	token = from;
	sem_post(&told);
	return server_wait();
}

static const struct server_class token_class = {
	SERVER_CLASS("token", 1, struct server),
	.call = token_call,
};

static void reply_here(void *arg)
{
	shard_check(NULL);
	call_reply(*(struct caller *)arg, counted(REPLY));
}

/* reply/2: from any thread, and from a shard that is neither the caller's nor the server's. */
Test(call, a_token_is_good_once_anywhere)
{
	struct actor_id id = server_spawn_wait(shard_at(1), &token_class, NULL, NULL).id;

	for (unsigned where = 0; where < 3; where++) {
		struct asking q = { .to = id, .request = counted(0), .ms = CALL_FOREVER };
		struct caller copy;

		on_shard(0, ask, &q);
		cr_assert(await(&told));
		copy = token;
		if (where < 2)
			on_shard(where, reply_here, &copy);
		else
			call_reply(copy, counted(REPLY));
		cr_assert(await(&told));
		cr_expect_eq(q.outcome, CALL_REPLIED);
		on_shard(0, reply_here, &copy);
		on_shard(1, reply_here, &token);
		call_reply(copy, counted(REPLY));
		settle();
		cr_expect_eq(q.times, 1, "later uses do nothing");
		cr_expect_eq(alive, 0, "but drop what they were given");
	}
	server_stop(id, STOP_NORMAL);
}

Test(call, a_token_of_nobody_does_nothing)
{
	struct caller nobody = { ACTOR_NONE };

	call_reply(nobody, counted(REPLY));
	on_shard(0, reply_here, &nobody);
	on_shard(1, reply_here, &nobody);
	settle();
	cr_expect_eq(alive, 0);
}

/* A token names what lies unanswered, never another actor that has the number by chance. */
static void reply_to_desk(void *arg UNUSED)
{
	shard_check(NULL);
	call_reply((struct caller){ desk }, counted(REPLY));
}

Test(call, an_actor_that_is_no_request_takes_no_answer)
{
	on_shard(1, reply_to_desk, NULL);
	settle();
	cr_expect_eq(alive, 0);
	cr_expect_eq(asked(0, desk, REPLY, 30000, false).outcome, CALL_REPLIED, "it lives on");
}

/* --- waiting --------------------------------------------------------------------------------- */

Test(call, a_thread_waits_and_drops_what_it_gets)
{
	struct term reply = { 0 };

	cr_expect_eq(call_wait(desk, MAIL_CALL, counted(REPLY), CALL_MS, &reply), CALL_REPLIED);
	cr_expect_eq(alive, 1);
	term_drop(&reply);
	cr_expect_eq(call_wait(desk, MAIL_CALL, counted(KEEP), 5, &reply), CALL_TIMEOUT);
	cr_expect_null(reply.data);
	cr_expect_eq(call_wait(desk, MAIL_CALL, counted(STOP), CALL_MS, &reply), CALL_DOWN);
	cr_expect_eq(call_wait(desk, MAIL_CALL, counted(REPLY), CALL_MS, &reply), CALL_NOPROC);
	cr_expect_eq(
		call_wait(ACTOR_NONE, MAIL_CALL, counted(REPLY), CALL_MS, &reply), CALL_NOPROC);
}

static void wait_here(void *arg UNUSED)
{
	struct term reply;

	shard_check(NULL);
	call_wait(desk, MAIL_CALL, TERM(REPLY), CALL_MS, &reply);
}

Test(call, a_shard_never_waits, .signal = SIGABRT)
{
	on_shard(0, wait_here, NULL);
}

/* --- to many --------------------------------------------------------------------------------- */

static _Atomic unsigned copies;

static struct term copy_counted(const struct term *t)
{
	atomic_fetch_add(&copies, 1);
	return counted(t->kind);
}

static struct call_target targets[3] = { { .name = "desk" }, { .name = "unknown" },
	{ .name = "desk" } };

Test(call, each_of_many_gets_a_request_of_its_own)
{
	struct call_answers *a = multi_call_wait(targets, 3, counted(REPLY), copy_counted, CALL_MS);

	cr_expect_eq(copies, 3);
	cr_expect_eq(a->n, 3);
	cr_expect_eq(a->n_bad, 1);
	cr_expect_eq(a->at[0].outcome, CALL_REPLIED);
	cr_expect_eq(a->at[1].outcome, CALL_NOPROC, "in the order of the targets");
	cr_expect_eq(a->at[2].outcome, CALL_REPLIED);
	cr_expect_eq(alive, 2, "the replies");
	drop_counted(term_take(&a->at[0].reply));
	call_answers_free(a); /* drops what was not taken */
	cr_expect_eq(alive, 0);
}

/* multi_call/4: those that did not reply in time are bad; what they say then is discarded. */
Test(call, of_many_those_that_are_late_are_bad)
{
	struct call_answers *a = multi_call_wait(targets, 3, counted(KEEP), copy_counted, 5);

	cr_expect_eq(a->n_bad, 3);
	cr_expect_eq(a->at[0].outcome, CALL_TIMEOUT);
	cr_expect_eq(a->at[1].outcome, CALL_NOPROC);
	cr_expect_eq(a->at[2].outcome, CALL_TIMEOUT);
	call_answers_free(a);
	server_cast(desk, TERM(ANSWER_KEPT));
	settle();
	cr_expect_eq(alive, 0);
}

Test(call, nobody_at_all_is_an_answer_without_entries)
{
	struct call_answers *a = multi_call_wait(NULL, 0, counted(REPLY), copy_counted, CALL_MS);

	cr_expect_eq(a->n, 0);
	cr_expect_eq(a->n_bad, 0);
	cr_expect_eq(copies, 0);
	call_answers_free(a);
}

struct many_asker {
	struct actor actor;
	struct actor *told; /* who was */
	bool gone_first;
};

static void many_answered(struct actor *asker, struct call_answers *a, void *arg)
{
	struct many_asker *m = arg;

	m->told = asker;
	cr_expect_eq(a->n, 3);
	call_answers_free(a);
	sem_post(&told);
}

static void ask_many(void *arg)
{
	static const struct actor_class plain_class = { .name = "plain" };
	struct many_asker *m = arg;

	shard_check(NULL);
	actor_begin(&m->actor, &plain_class);
	multi_call_begin(&m->actor, targets, 3, counted(REPLY), copy_counted, CALL_FOREVER,
		many_answered, m);
	if (m->gone_first)
		actor_end(&m->actor);
}

Test(call, who_asked_many_may_have_gone_before_they_answer)
{
	struct many_asker stays = { 0 }, goes = { .gone_first = true };

	on_shard(0, ask_many, &stays);
	cr_assert(await(&told));
	cr_expect_eq(stays.told, &stays.actor);
	goes.told = &goes.actor;
	on_shard(0, ask_many, &goes);
	cr_assert(await(&told));
	cr_expect_null(goes.told);
	cr_expect_eq(alive, 0);
}

Test(call, casts_to_many_go_to_those_that_are_there)
{
	multi_cast(targets, 3, counted(NEVER), copy_counted);
	settle();
	cr_expect_eq(copies, 2, "nothing is made for who is not there");
	cr_expect_eq(alive, 0);
}

Test(call, what_cannot_be_copied_is_not_sent_to_many, .signal = SIGABRT)
{
	multi_cast(targets, 3, counted(NEVER), NULL);
}
