/* What core/server.h promises, row by row of Erlang's gen_server manual. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "core/server.h"
#include "tests/support/on_shard.h"

/* A server that does as it is told: the kind of what it gets says what to do. */
enum {
	ECHO, /* answer with the payload */
	LATER, /* keep the token, answer when GO comes */
	GO,
	TWICE, /* answer twice */
	NEVER, /* do not answer */
	STOP_REPLY, /* answer, then stop */
	STOP_SILENT, /* stop without an answer */
	STOP_BADLY, /* with another reason than normal or shutdown */
	WAIT_10_MS, /* ask for a timeout */
	REST, /* hibernate */
	NOTE, /* write the letter down */
	BAD, /* an impossible return */
	FROM_THREAD, /* let another thread answer */
	STOP_INSIDE, /* gen_stop() from within the handler */
	READ, /* answer with the journal */
};

struct robot {
	struct server server;
	char journal[128];
	struct caller kept;
	int layout; /* changed by code_change */
};

static sem_t ended, rested, started, dropped;
static char last_reason[64];
static struct actor_id ended_id;
static struct start_result last_start;

static void note(struct robot *r, const char *what)
{
	strncat(r->journal, what, sizeof(r->journal) - strlen(r->journal) - 1);
}

static pthread_t answering;

static void *answer_from_thread(void *arg)
{
	struct caller *from = arg;

	call_reply(*from, TERM_OF(ECHO, xstrdup("from a thread"), free));
	call_reply(*from, TERM_OF(ECHO, xstrdup("again"), free));
	free(from);
	return NULL;
}

static struct next robot_call(struct server *s, struct term *request, struct caller from)
{
	struct robot *r = caa_container_of(s, struct robot, server);

	shard_check(NULL);
	switch (request->kind) {
	case ECHO:
		call_reply(from, TERM_OF(ECHO, term_take(request), free));
		return server_wait();
	case READ:
		call_reply(from, TERM_OF(READ, xstrdup(r->journal), free));
		return server_wait();
	case LATER:
		r->kept = from;
		return server_wait();
	case TWICE:
		call_reply(from, TERM_OF(1, xstrdup("once"), free));
		call_reply(from, TERM_OF(2, xstrdup("twice"), free));
		return server_wait();
	case STOP_REPLY:
		call_reply(from, TERM(ECHO));
		return server_stopped(STOP_NORMAL);
	case STOP_SILENT:
		return server_stopped(STOP_NORMAL);
	case STOP_INSIDE:
		gen_stop(&s->gen, STOP_SHUTDOWN);
		call_reply(from, TERM(ECHO)); /* the handler still comes to its end */
		return server_wait();
	case FROM_THREAD:
		pthread_create(&answering, NULL, answer_from_thread, xmemdup(&from, sizeof(from)));
		return server_wait();
	case BAD:
		return (struct next){ .kind = 77 };
	default:
		return server_wait();
	}
}

static struct next robot_cast(struct server *s, struct term *request)
{
	struct robot *r = caa_container_of(s, struct robot, server);

	switch (request->kind) {
	case GO:
		call_reply(r->kept, TERM(GO));
		return server_wait();
	case STOP_BADLY:
		return server_stopped("broken");
	case WAIT_10_MS:
		note(r, "w");
		return server_wait_ms(10);
	case REST:
		note(r, "r");
		return server_hibernate();
	case NOTE:
		note(r, request->data);
		return server_wait();
	default:
		return server_wait();
	}
}

static struct next robot_info(struct server *s, struct term *info)
{
	note(caa_container_of(s, struct robot, server), info->kind == TERM_TIMEOUT ? "T" : "i");
	return server_wait();
}

static void robot_hibernate(struct server *s)
{
	note(caa_container_of(s, struct robot, server), "H");
	sem_post(&rested);
}

static void robot_terminate(struct server *s, const char *reason)
{
	struct robot *r = caa_container_of(s, struct robot, server);

	call_reply(r->kept, TERM(77)); /* a last word to whoever it had promised one */
	strcpy(last_reason, reason);
}

static void robot_ended(struct actor_id id, const char *reason, void *arg UNUSED)
{
	cr_expect_str_eq(reason, last_reason);
	ended_id = id;
	sem_post(&ended);
}

static void robot_started(const struct start_result *r, void *arg UNUSED)
{
	last_start = *r;
	sem_post(&started);
}

static struct next robot_init(struct server *s, void *arg)
{
	struct robot *r = caa_container_of(s, struct robot, server);

	r->layout = 1;
	return arg ? *(struct next *)arg : server_wait();
}

static const struct server_class robot_class = {
	SERVER_CLASS("robot", 1, struct robot),
	.init = robot_init,
	.call = robot_call,
	.cast = robot_cast,
	.info = robot_info,
	.hibernate = robot_hibernate,
	.terminate = robot_terminate,
};

static struct actor_id robot;

static void begin(void)
{
	sem_init(&ended, 0, 0);
	sem_init(&rested, 0, 0);
	sem_init(&started, 0, 0);
	sem_init(&dropped, 0, 0);
	rcu_thread_begin();
	cr_assert_eq(shards_start(2), 0);
	robot = server_spawn_wait(shard_at(1), &robot_class, NULL,
		&(struct start){ .name = "robot", .ended = robot_ended })
			.id;
}

static void end(void)
{
	shards_stop();
	rcu_thread_end();
}

TestSuite(server, .init = begin, .fini = end, .timeout = 60);

static struct term text(int kind, const char *words)
{
	return TERM_OF(kind, xstrdup(words), free);
}

static enum call_outcome call(struct term request)
{
	struct term reply;
	enum call_outcome outcome = server_call_wait(robot, request, 30000, &reply);

	term_drop(&reply);
	return outcome;
}

static void expect_journal(const char *want)
{
	struct term reply;

	cr_assert_eq(server_call_wait(robot, TERM(READ), 30000, &reply), CALL_REPLIED);
	cr_expect_str_eq(reply.data, want);
	term_drop(&reply);
}

/* --- start/3,4 --- */

Test(server, a_name_is_registered_and_taken_once)
{
	struct start_result again = server_spawn_wait(
		shard_at(0), &robot_class, NULL, &(struct start){ .name = "robot" });

	cr_expect(actor_id_equal(actor_whereis("robot"), robot));
	cr_expect_eq(again.outcome, START_ALREADY, "{error,{already_started,Pid}}");
	cr_expect(actor_id_equal(again.id, robot));
	cr_expect_eq(server_spawn_wait(shard_at(0), &robot_class, NULL, NULL).outcome, STARTED);
}

static struct start_result start_with(struct next n, const struct start *how)
{
	return server_spawn_wait(shard_at(0), &robot_class, &n, how);
}

Test(server, init_says_how_the_start_ends)
{
	const struct start named = { .name = "second" };
	struct start_result r = start_with(server_ignore(), &named);

	cr_expect_eq(r.outcome, START_IGNORED);
	cr_expect_eq(actor_whereis("second").v, 0, "the name is free again");
	r = start_with(server_stopped("no disk"), &named);
	cr_expect_eq(r.outcome, START_FAILED);
	cr_expect_str_eq(r.reason, "no disk");
	cr_expect_eq(r.id.v, 0);
	cr_expect_eq(start_with(server_wait(), &named).outcome, STARTED);
	cr_expect_neq(actor_whereis("second").v, 0);
}

Test(server, init_may_ask_for_a_timeout_or_rest)
{
	robot = start_with(server_hibernate(), NULL).id;
	cr_assert(await(&rested));
	expect_journal("H");
	robot = start_with(server_wait_ms(0), NULL).id;
	expect_journal("T"); /* due before the next turn's mail */
}

static struct robot *slow_robot;

static struct next slow_init(struct server *s, void *arg UNUSED)
{
	slow_robot = caa_container_of(s, struct robot, server);
	return server_later();
}

static void finish_slow(void *arg)
{
	shard_check(NULL);
	server_started(&slow_robot->server, *(struct next *)arg);
}

static void drop_robot(struct server *s)
{
	free(caa_container_of(s, struct robot, server));
	sem_post(&dropped);
}

static const struct server_class slow_class = {
	SERVER_CLASS("slow", 1, struct robot),
	.init = slow_init,
	.call = robot_call,
	.cast = robot_cast,
	.terminate = robot_terminate,
	.drop = drop_robot,
};

static void fence(void *arg UNUSED)
{
}

Test(server, mail_waits_for_an_init_that_takes_longer)
{
	struct next ready = server_wait();

	server_spawn(shard_at(1), &slow_class, NULL,
		&(struct start){ .name = "slow", .started = robot_started, .init_ms = 30000 });
	on_shard(1, fence, NULL);
	robot = actor_whereis("slow");
	cr_assert_neq(robot.v, 0);
	server_cast(robot, text(NOTE, "a"));
	server_cast(robot, text(NOTE, "b"));
	on_shard(1, fence, NULL);
	cr_expect_str_eq(slow_robot->journal, "");
	on_shard(1, finish_slow, &ready);
	cr_assert(await(&started));
	cr_expect_eq(last_start.outcome, STARTED);
	cr_expect(actor_id_equal(last_start.id, robot));
	expect_journal("ab");
}

Test(server, an_init_that_takes_too_long_is_ended)
{
	struct start_result r = server_spawn_wait(
		shard_at(1), &slow_class, NULL, &(struct start){ .name = "slow", .init_ms = 20 });

	cr_expect_eq(r.outcome, START_TIMED_OUT, "{error,timeout}");
	cr_expect_eq(actor_whereis("slow").v, 0);
	cr_assert(await(&dropped));
}

Test(server, a_later_init_may_fail_and_what_waited_is_told)
{
	struct next failed = server_stopped("no luck");

	server_spawn(shard_at(1), &slow_class, NULL,
		&(struct start){ .name = "slow", .started = robot_started });
	on_shard(1, fence, NULL);
	server_cast(actor_whereis("slow"), text(NOTE, "freed, not handled"));
	on_shard(1, finish_slow, &failed);
	cr_assert(await(&started));
	cr_expect_eq(last_start.outcome, START_FAILED);
	cr_assert(await(&dropped));
}

static void start_embedded(void *arg)
{
	static struct robot mine;
	struct start_result *r = arg;

	shard_check(NULL);
	*r = server_start(
		&mine.server, &robot_class, NULL, &(struct start){ .started = robot_started });
	cr_expect_eq(last_start.id.v, r->id.v);
}

Test(server, it_may_live_in_its_owners_memory)
{
	struct start_result r;

	on_shard(0, start_embedded, &r);
	cr_expect_eq(r.outcome, STARTED);
	robot = r.id;
	cr_expect_eq(call(text(ECHO, "x")), CALL_REPLIED);
	server_stop(robot, STOP_NORMAL);
	cr_expect_eq(call(text(ECHO, "x")), CALL_NOPROC);
}

/* --- call/2,3 --- */

Test(server, a_call_is_answered)
{
	struct term reply;

	cr_expect_eq(server_call_wait(robot, text(ECHO, "hello"), CALL_MS, &reply), CALL_REPLIED);
	cr_expect_str_eq(reply.data, "hello");
	term_drop(&reply);
}

Test(server, a_call_has_a_deadline_and_the_late_answer_is_dropped)
{
	cr_expect_eq(
		server_call_wait(robot, text(LATER, "x"), 20, &(struct term){ 0 }), CALL_TIMEOUT);
	server_cast(robot, TERM(GO));
	expect_journal("");
}

Test(server, a_call_to_nobody_is_told_so)
{
	struct actor_id gone = robot;

	server_stop(robot, STOP_NORMAL);
	cr_assert(await(&ended));
	cr_expect_eq(call(text(ECHO, "x")), CALL_NOPROC);
	robot = ACTOR_NONE;
	cr_expect_eq(call(text(ECHO, "x")), CALL_NOPROC);
	cr_expect(actor_id_equal(ended_id, gone));
}

Test(server, callers_without_an_answer_are_told_when_it_ends)
{
	cr_expect_eq(call(text(STOP_SILENT, "x")), CALL_DOWN);
}

Test(server, it_may_answer_and_stop_in_one)
{
	cr_expect_eq(call(text(STOP_REPLY, "x")), CALL_REPLIED);
	cr_assert(await(&ended));
	cr_expect_str_eq(last_reason, "normal");
	cr_expect_eq(actor_whereis("robot").v, 0);
}

Test(server, stopping_from_within_a_handler_waits_for_its_end)
{
	cr_expect_eq(call(text(STOP_INSIDE, "x")), CALL_REPLIED);
	cr_assert(await(&ended));
	cr_expect_str_eq(last_reason, "shutdown");
}

struct asking {
	struct actor actor;
	struct actor_id to;
	struct term request;
	uint64_t ms;
	bool ends_first;
	/* what came */
	struct actor *asker;
	enum call_outcome outcome;
	char reply[32];
	sem_t told;
};
static const struct actor_class asking_class = { .name = "asking" };

static void told(struct actor *asker, struct call_answer *a, void *arg)
{
	struct asking *q = arg;

	q->asker = asker;
	q->outcome = a->outcome;
	strcpy(q->reply, a->reply.data ? a->reply.data : "");
	sem_post(&q->told);
}

static void ask(void *arg)
{
	struct asking *q = arg;

	shard_check(NULL);
	actor_begin(&q->actor, &asking_class);
	server_call(&q->actor, q->to, q->request, q->ms, told, q);
	cr_expect_eq((int)q->outcome, -1, "never from within the call");
	if (q->ends_first)
		actor_end(&q->actor);
}

static struct asking ask_from_shard(
	struct actor_id to, struct term request, uint64_t ms, bool ends_first)
{
	struct asking q = { .to = to, .request = request, .ms = ms, .ends_first = ends_first };

	q.outcome = (enum call_outcome) - 1;
	sem_init(&q.told, 0, 0);
	on_shard(0, ask, &q);
	cr_assert(await(&q.told));
	if (!ends_first)
		cr_expect_eq(q.asker, q.outcome == (enum call_outcome) - 1 ? NULL : &q.actor);
	return q;
}

Test(server, from_a_shard_a_function_takes_the_answer)
{
	struct asking q = ask_from_shard(robot, text(ECHO, "hello"), CALL_FOREVER, false);

	cr_expect_eq(q.outcome, CALL_REPLIED);
	cr_expect_str_eq(q.reply, "hello");
	cr_expect_eq(ask_from_shard(robot, TERM(NEVER), 10, false).outcome, CALL_TIMEOUT);
	cr_expect_eq(ask_from_shard(ACTOR_NONE, TERM(ECHO), 30000, false).outcome, CALL_NOPROC);
	cr_expect_eq(ask_from_shard(robot, TERM(STOP_SILENT), 30000, false).outcome, CALL_DOWN);
}

Test(server, an_asker_that_has_gone_is_told_as_nobody)
{
	struct asking q = ask_from_shard(robot, text(ECHO, "hello"), 30000, true);

	cr_expect_null(q.asker);
	cr_expect_str_eq(q.reply, "hello");
}

static void opened(struct actor *a, struct letter *l UNUSED)
{
	cr_expect_not_null(a);
	sem_post(&started);
}

static struct asking plain;

static void begin_plain(void *arg UNUSED)
{
	shard_check(NULL);
	actor_begin(&plain.actor, &asking_class);
}

Test(server, an_actor_of_another_kind_is_no_server)
{
	struct letter l = { .open = opened };

	on_shard(0, begin_plain, NULL);
	robot = plain.actor.id;
	cr_expect_eq(call(text(ECHO, "x")), CALL_NOPROC);
	server_cast(robot, text(NOTE, "dropped"));
	l.to = robot;
	letter_post(&l);
	cr_assert(await(&started));
}

/* --- reply/2 --- */

Test(server, an_answer_may_come_later)
{
	struct asking q = { .to = robot, .request = TERM(LATER), .ms = CALL_FOREVER };

	sem_init(&q.told, 0, 0);
	q.outcome = (enum call_outcome) - 1;
	on_shard(0, ask, &q);
	expect_journal(""); /* it goes on working */
	server_cast(robot, TERM(GO));
	cr_assert(await(&q.told));
	cr_expect_eq(q.outcome, CALL_REPLIED);
	server_cast(robot, TERM(GO)); /* the token is stale: nothing happens */
	expect_journal("");
}

Test(server, only_the_first_answer_counts)
{
	struct term reply;

	cr_expect_eq(server_call_wait(robot, TERM(TWICE), CALL_MS, &reply), CALL_REPLIED);
	cr_expect_str_eq(reply.data, "once");
	term_drop(&reply);
}

Test(server, another_thread_may_answer)
{
	struct term reply;

	cr_expect_eq(server_call_wait(robot, TERM(FROM_THREAD), CALL_MS, &reply), CALL_REPLIED);
	cr_expect_str_eq(reply.data, "from a thread");
	term_drop(&reply);
	pthread_join(answering, NULL);
}

Test(server, terminate_may_still_answer)
{
	struct asking q = { .to = robot, .request = TERM(LATER), .ms = CALL_FOREVER };

	sem_init(&q.told, 0, 0);
	q.outcome = (enum call_outcome) - 1;
	on_shard(0, ask, &q);
	server_stop(robot, STOP_SHUTDOWN);
	cr_assert(await(&q.told));
	cr_expect_eq(q.outcome, CALL_REPLIED);
}

/* --- cast/2, info, timeout, hibernate --- */

Test(server, casts_and_infos_come_in_order)
{
	server_cast(robot, text(NOTE, "1"));
	server_info(robot, TERM(5));
	server_cast(robot, text(NOTE, "2"));
	server_cast(ACTOR_NONE, text(NOTE, "ignored"));
	expect_journal("1i2");
}

static void cast_twice(void *arg)
{
	int first = *(int *)arg;

	server_cast(robot, TERM(first)); /* both in one batch: nothing is due in between */
	server_cast(robot, text(NOTE, "n"));
}

Test(server, a_timeout_comes_unless_anything_else_does)
{
	int first = WAIT_10_MS;

	on_shard(1, cast_twice, &first);
	nap_on_shard(1, 50); /* a false timeout would have come by now */
	expect_journal("wn");
	server_cast(robot, TERM(WAIT_10_MS));
	nap_on_shard(1, 50);
	expect_journal("wnwT");
}

Test(server, it_hibernates_when_its_mail_is_read)
{
	int first = REST;

	on_shard(1, cast_twice, &first);
	expect_journal("rn");
	server_cast(robot, TERM(REST));
	cr_assert(await(&rested));
	server_cast(robot, text(NOTE, "awake"));
	expect_journal("rnrHawake");
}

/* --- terminate, bad returns --- */

Test(server, other_reasons_are_errors)
{
	cr_expect_not(stop_is_error(STOP_NORMAL));
	cr_expect_not(stop_is_error(STOP_SHUTDOWN));
	cr_expect(stop_is_error("broken"));
	server_cast(robot, TERM(STOP_BADLY));
	cr_assert(await(&ended));
	cr_expect_str_eq(last_reason, "broken");
}

Test(server, a_bad_return_ends_it)
{
	cr_expect_eq(call(TERM(BAD)), CALL_DOWN);
	cr_assert(await(&ended));
	cr_expect_str_eq(last_reason, STOP_BAD_RETURN);
}

static const struct server_class mute_class = { SERVER_CLASS("mute", 3, struct robot) };

Test(server, without_a_handler_info_is_dropped_and_a_call_ends_it)
{
	robot = server_spawn_wait(shard_at(0), &mute_class, NULL, NULL).id;
	server_info(robot, text(5, "dropped"));
	cr_expect_eq(call(TERM(ECHO)), CALL_DOWN);
	cr_expect_eq(call(TERM(ECHO)), CALL_NOPROC);
}

/* --- multi_call, abcast --- */

static struct term copy_text(const struct term *t)
{
	return text(t->kind, t->data);
}

static void expect_answers(struct call_answers *a)
{
	cr_expect_eq(a->n, 4);
	cr_expect_eq(a->n_bad, 2);
	cr_expect_eq(a->at[0].outcome, CALL_REPLIED);
	cr_expect_str_eq(a->at[0].reply.data, "all");
	cr_expect_eq(a->at[1].outcome, CALL_NOPROC);
	cr_expect_eq(a->at[2].outcome, CALL_REPLIED);
	cr_expect_str_eq(a->at[2].reply.data, "all");
	cr_expect_eq(a->at[3].outcome, CALL_NOPROC);
	call_answers_free(a);
}

static struct call_target targets[4];
static sem_t multi_told;

static void many_told(struct actor *asker, struct call_answers *a, void *arg)
{
	cr_expect_null(asker);
	cr_expect_eq(arg, targets);
	expect_answers(a);
	sem_post(&multi_told);
}

static void none_told(struct actor *asker UNUSED, struct call_answers *a, void *arg UNUSED)
{
	cr_expect_eq(a->n, 0);
	call_answers_free(a);
	sem_post(&multi_told);
}

static void ask_many(void *arg UNUSED)
{
	shard_check(NULL);
	server_multi_call(
		NULL, targets, 4, text(ECHO, "all"), copy_text, CALL_FOREVER, many_told, targets);
	server_multi_call(
		NULL, NULL, 0, text(ECHO, "all"), copy_text, CALL_FOREVER, none_told, NULL);
}

Test(server, multi_call_gathers_replies_and_tells_the_bad)
{
	sem_init(&multi_told, 0, 0);
	targets[0] = (struct call_target){ .name = "robot" };
	targets[1] = (struct call_target){ .name = "unknown" };
	targets[2].id = server_spawn_wait(shard_at(0), &robot_class, NULL, NULL).id;
	expect_answers(server_multi_call_wait(targets, 4, text(ECHO, "all"), copy_text, 30000));
	on_shard(0, ask_many, NULL);
	cr_assert(await(&multi_told));
	cr_assert(await(&multi_told));
}

Test(server, multi_call_waits_no_longer_than_its_deadline)
{
	struct call_target slow[2] = { { .name = "robot" }, { .name = "unknown" } };
	struct call_answers *a = server_multi_call_wait(slow, 2, TERM(NEVER), NULL, 20);

	cr_expect_eq(a->n_bad, 2);
	cr_expect_eq(a->at[0].outcome, CALL_TIMEOUT);
	call_answers_free(a);
	call_answers_free(NULL);
}

Test(server, abcast_reaches_all_that_exist)
{
	struct actor_id other = server_spawn_wait(shard_at(0), &robot_class, NULL, NULL).id;
	struct call_target all[3] = { { .name = "robot" }, { .name = "unknown" }, { .id = other } };

	server_abcast(all, 3, text(NOTE, "hear"), copy_text);
	expect_journal("hear");
	robot = other;
	expect_journal("hear");
}

/* --- enter_loop --- */

static struct robot adopted;

static void adopt(void *arg UNUSED)
{
	shard_check(NULL);
	actor_begin(&adopted.server.gen.actor, &asking_class);
	robot = adopted.server.gen.actor.id;
	cr_expect_eq(actor_register("adopted", robot), 0);
	note(&adopted, "own ");
	server_enter_loop(&adopted.server, &robot_class, "adopted", server_wait_ms(0));
}

Test(server, an_actor_that_lives_becomes_a_server)
{
	struct actor_id id;

	on_shard(0, adopt, NULL);
	id = robot;
	cr_expect_eq(adopted.layout, 0, "init is not called");
	expect_journal("own T");
	cr_expect(actor_id_equal(adopted.server.gen.actor.id, id));
	cr_expect_eq(call(TERM(STOP_REPLY)), CALL_REPLIED);
	cr_expect_eq(call(TERM(ECHO)), CALL_NOPROC);
	cr_expect_eq(actor_whereis("adopted").v, 0);
}

static void adopt_wrongly(void *arg UNUSED)
{
	shard_check(NULL);
	actor_begin(&adopted.server.gen.actor, &asking_class);
	server_enter_loop(&adopted.server, &robot_class, "robot", server_wait());
}

Test(server, under_a_name_it_does_not_have_it_fails, .signal = SIGABRT)
{
	on_shard(0, adopt_wrongly, NULL);
}

/* --- code_change --- */

static int robot_code_change(struct server *s, unsigned old_version, bool down, void *extra)
{
	struct robot *r = caa_container_of(s, struct robot, server);

	if (extra)
		return -EPROTO;
	cr_expect_eq(old_version, down ? 2 : 1);
	r->layout = down ? 1 : 2;
	note(r, down ? "down" : "up");
	return 0;
}

static struct next robot_2_cast(struct server *s, struct term *request)
{
	note(caa_container_of(s, struct robot, server), "new ");
	return robot_cast(s, request);
}

static const struct server_class robot_2_class = {
	SERVER_CLASS("robot", 2, struct robot),
	.call = robot_call,
	.cast = robot_2_cast,
	.code_change = robot_code_change,
};
static const struct server_class robot_1_class = {
	SERVER_CLASS("robot", 1, struct robot),
	.call = robot_call,
	.cast = robot_cast,
	.code_change = robot_code_change,
};

static int upgrade(const struct server_class *now, void *extra)
{
	int err = -1;

	cr_expect_eq(server_upgrade_wait(robot, now, extra, CALL_MS, &err), CALL_REPLIED);
	return err;
}

Test(server, its_code_changes_under_it)
{
	cr_expect_eq(upgrade(&robot_2_class, "refuse"), -EPROTO, "then it stays as it was");
	server_cast(robot, text(NOTE, "a "));
	cr_expect_eq(upgrade(&robot_2_class, NULL), 0);
	server_cast(robot, text(NOTE, "b "));
	cr_expect_eq(upgrade(&robot_1_class, NULL), 0, "{down,Vsn}");
	server_cast(robot, text(NOTE, "c"));
	expect_journal("a upnew b downc");
	cr_expect_eq(upgrade(&mute_class, NULL), -ENOTSUP, "no code_change, another version");
}

/* --- debug: trace --- */

Test(server, tracing_changes_nothing)
{
	gen_trace(robot, true);
	server_cast(robot, text(NOTE, "a"));
	gen_trace(robot, false);
	expect_journal("a");
	gen_trace(ACTOR_NONE, true);
}
