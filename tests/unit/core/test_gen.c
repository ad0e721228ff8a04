/* What servers and state machines have in common: what each handler may return and what follows,
 * how a life begins and ends, and what is told to whom. Rows name the place in Erlang's manuals of
 * gen_server and gen_fsm. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fsm.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/server.h"
#include "tests/support/on_shard.h"

/* --- a subject: server or machine, all of whose handlers do the same ------------------------- */

struct subject {
	union {
		struct gen gen;
		struct server server;
		struct fsm fsm;
	};
	char journal[64];
	bool done; /* the handler that a row is about has run */
};
enum { A, B }; /* states */

/* How a handler is reached. */
enum way { INIT, INIT_LATER, ENTER, CAST, CAST_ANY, CALL, CALL_ANY, INFO, TIMEOUT, AFTER, TIMER };
enum { DO, PREPARE, STRAY };

static struct {
	enum way way;
	struct next next; /* what the handler returns */
} row;

static struct subject *subject; /* the last one that began */
static char life[64]; /* what outlives it: 't'erminate, 'd'rop, 'e'nded, 's'tarted */
static char last_reason[64];
static enum start_outcome outcome;
static sem_t ended;

static void note(struct subject *s, const char *what)
{
	strncat(s->journal, what, sizeof(s->journal) - strlen(s->journal) - 1);
}

/* Shards write it one after the other. */
static void note_life(const char *what)
{
	strncat(life, what, sizeof(life) - strlen(life) - 1);
}

static struct subject *subject_of(struct gen *g)
{
	return container_of(g, struct subject, gen);
}

static struct next wait(void)
{
	return (struct next){ .kind = NEXT_WAIT };
}

static struct next handled(struct gen *g, struct term *t, const struct caller *from)
{
	struct subject *s = subject_of(g);
	bool timeout = t->kind == TERM_TIMEOUT;

	shard_check(NULL);
	if (from)
		call_reply(*from, TERM(DO));
	if (t->kind == PREPARE && row.way == TIMEOUT)
		return (struct next){ .kind = NEXT_WAIT_MS, .ms = 0 };
	if (t->kind == PREPARE) {
		gen_timer_start(
			g, 1, TERM(DO), row.way == TIMER ? GEN_TIMER_WITH_REF : GEN_TIMER_PLAIN);
		return wait();
	}
	if (!s->done && (t->kind == DO || (timeout && row.way == TIMEOUT))) {
		s->done = true;
		cr_expect_eq(t->ref != 0, row.way == TIMER);
		note(s, "x");
		return row.next;
	}
	note(s, timeout ? g->actor.class->behaviour == &server_behaviour ? "T" : "T:" : "?");
	if (timeout)
		note(s, g->actor.class->behaviour->state_name(g));
	return wait();
}

static struct next begun(struct gen *g, void *arg UNUSED)
{
	subject = subject_of(g);
	return row.way == INIT          ? row.next
		: row.way == INIT_LATER ? (struct next){ .kind = NEXT_LATER }
					: wait();
}

static void rested(struct gen *g)
{
	note(subject_of(g), "H");
}

static void terminated(struct gen *g, const char *reason)
{
	struct term late = TERM(STRAY);

	shard_check(NULL);
	cr_expect_not(gen_now(g, MAIL_CAST, &late), "nothing is handled any more");
	gen_stop(g, "twice"); /* it is ending already */
	note_life("t");
	strcpy(last_reason, reason);
}

static void dropped(struct gen *g)
{
	note_life("d");
	free(subject_of(g));
}

/* A server's functions. */
static struct next server_began(struct server *s, void *arg)
{
	return begun(&s->gen, arg);
}
static struct next server_called(struct server *s, struct term *t, struct caller from)
{
	return handled(&s->gen, t, &from);
}
static struct next server_told(struct server *s, struct term *t)
{
	return handled(&s->gen, t, NULL);
}
static void server_rests(struct server *s)
{
	rested(&s->gen);
}
static void server_ends(struct server *s, const char *reason)
{
	terminated(&s->gen, reason);
}
static void server_dropped(struct server *s)
{
	dropped(&s->gen);
}
static const struct server_class server_subject = {
	SERVER_CLASS("subject", 1, struct subject),
	.init = server_began,
	.call = server_called,
	.cast = server_told,
	.info = server_told,
	.hibernate = server_rests,
	.terminate = server_ends,
	.drop = server_dropped,
};

/* A machine's. */
static struct next fsm_began(struct fsm *f, void *arg)
{
	return begun(&f->gen, arg);
}
static struct next fsm_called(struct fsm *f, struct term *t, struct caller from)
{
	return handled(&f->gen, t, &from);
}
static struct next fsm_told(struct fsm *f, struct term *t)
{
	return handled(&f->gen, t, NULL);
}
static void fsm_rests(struct fsm *f)
{
	rested(&f->gen);
}
static void fsm_ends(struct fsm *f, const char *reason)
{
	terminated(&f->gen, reason);
}
static void fsm_dropped(struct fsm *f)
{
	dropped(&f->gen);
}
static const struct fsm_state states[] = {
	[A] = { "a", fsm_told, fsm_called },
	[B] = { "b", fsm_told, fsm_called },
};
static const struct fsm_class fsm_subject = {
	FSM_CLASS("subject", 1, struct subject),
	FSM_STATES(states),
	.init = fsm_began,
	.event = fsm_told,
	.sync_event = fsm_called,
	.info = fsm_told,
	.hibernate = fsm_rests,
	.terminate = fsm_ends,
	.drop = fsm_dropped,
};

static const struct gen_class *const kinds[] = { &server_subject.gen, &fsm_subject.gen };

static void was_started(const struct start_result *r, void *arg UNUSED)
{
	outcome = r->outcome;
	note_life("s");
}

static void has_ended(struct actor_id id UNUSED, const char *reason, void *arg UNUSED)
{
	cr_expect_str_eq(reason, last_reason);
	cr_expect_eq(actor_whereis("subject").v, 0, "the name can be taken again");
	note_life("e");
	sem_post(&ended);
}

static const struct start told = { .name = "subject", .started = was_started, .ended = has_ended };

static void begin(void)
{
	rcu_thread_begin();
	sem_init(&ended, 0, 0);
	atomic_store(&log_level, LOG_LEVEL_NONE);
	cr_assert_eq(shards_start(2), 0);
}

static void end(void)
{
	shards_stop();
	rcu_thread_end();
}

TestSuite(gen, .init = begin, .fini = end, .timeout = 60);

static void nothing(void *arg UNUSED)
{
}

/* What was posted to shard 1 before has been handled. */
static void fence(void)
{
	on_shard(1, nothing, NULL);
}

static struct actor_id spawn(const struct gen_class *class, const struct start *how)
{
	life[0] = 0;
	last_reason[0] = 0;
	gen_spawn(shard_at(1), class, NULL, how);
	fence();
	return actor_whereis("subject");
}

static void stop_subject(void)
{
	gen_stop_id(actor_whereis("subject"), STOP_NORMAL);
	cr_assert(await(&ended));
}

/* --- what each handler may return ------------------------------------------------------------ */

static const struct {
	const char *place;
	enum way way;
	bool server, fsm;
	const char *before; /* what it notes itself */
} ways[] = {
	{ "Module:init/1", INIT, true, true, "" },
	{ "Module:init/1, the end of it later", INIT_LATER, true, true, "" },
	{ "enter_loop/3..5", ENTER, true, true, "" },
	{ "handle_cast/2, StateName/2", CAST, true, true, "x" },
	{ "gen_fsm handle_event/3", CAST_ANY, false, true, "x" },
	{ "handle_call/3, StateName/3", CALL, true, true, "x" },
	{ "gen_fsm handle_sync_event/4", CALL_ANY, false, true, "x" },
	{ "handle_info/2,3", INFO, true, true, "x" },
	{ "a timeout", TIMEOUT, true, true, "x" },
	{ "gen_fsm send_event_after/2", AFTER, true, true, "x" },
	{ "gen_fsm start_timer/2", TIMER, true, true, "x" },
};

static const struct {
	const char *what;
	struct next next;
	const char *after; /* what comes of it */
	const char *fsm_after;
	const char *state; /* a machine's */
	const char *reason; /* it has ended; else NULL */
} returns[] = {
	{ "goes on", { .kind = NEXT_WAIT }, "", "", "a", NULL },
	{ "goes on in another state", { .kind = NEXT_WAIT, .to_state = B + 1 }, NULL, "", "b",
		NULL },
	{ "waits for a timeout", { .kind = NEXT_WAIT_MS, .ms = 5 }, "T", "T:a", "a", NULL },
	{ "waits for one in another state", { .kind = NEXT_WAIT_MS, .to_state = B + 1, .ms = 5 },
		NULL, "T:b", "b", NULL },
	{ "hibernates", { .kind = NEXT_HIBERNATE }, "H", "H", "a", NULL },
	{ "hibernates in another state", { .kind = NEXT_HIBERNATE, .to_state = B + 1 }, NULL, "H",
		"b", NULL },
	{ "stops", { .kind = NEXT_STOP, .reason = STOP_NORMAL }, "", "", NULL, STOP_NORMAL },
	{ "stops with an error", { .kind = NEXT_STOP, .reason = "broken" }, "", "", NULL,
		"broken" },
	{ "names a state that is not there", { .kind = NEXT_WAIT, .to_state = 9 + 1 }, "", "", NULL,
		STOP_BAD_RETURN },
};

static void finish_init(void *arg UNUSED)
{
	shard_check(NULL);
	gen_started(&subject->gen, row.next);
}

static const struct actor_class plain_class = { .name = "plain" };

/* arg: a struct gen_class. */
static void enter(void *arg)
{
	const struct gen_class *class = arg;

	shard_check(NULL);
	subject = xcalloc(1, sizeof(*subject));
	actor_begin(&subject->gen.actor, &plain_class);
	cr_expect_eq(actor_register("subject", subject->gen.actor.id), 0);
	gen_enter(&subject->gen, class, "subject", row.next);
}

static void reach(const struct gen_class *class)
{
	static const enum mail_kind mail[] = { [CAST] = MAIL_CAST,
		[CAST_ANY] = MAIL_CAST_ANY,
		[INFO] = MAIL_INFO,
		[CALL] = MAIL_CALL,
		[CALL_ANY] = MAIL_CALL_ANY };
	struct actor_id id = ACTOR_NONE;
	struct term reply;

	life[0] = 0;
	last_reason[0] = 0;
	if (row.way == ENTER)
		on_shard(1, enter, (void *)class);
	else
		id = spawn(class, &told);
	switch (row.way) {
	case INIT_LATER:
		on_shard(1, finish_init, NULL);
		break;
	case CALL:
	case CALL_ANY:
		cr_expect_eq(call_wait(id, mail[row.way], TERM(DO), 30000, &reply), CALL_REPLIED);
		break;
	case TIMEOUT:
	case AFTER:
	case TIMER:
		mail_send(id, MAIL_CAST, TERM(PREPARE));
		break;
	case CAST:
	case CAST_ANY:
	case INFO:
		mail_send(id, mail[row.way], TERM(DO));
		break;
	default:
		break;
	}
	nap_on_shard(1, 15); /* whatever is due comes, or would have */
}

/* A start that fails knows no terminate and no end; a life that ends has both, once. */
static void expect_end(size_t w, size_t r, const char *kind)
{
	bool failed_start = row.way == INIT || row.way == INIT_LATER;
	const char *want = row.way == ENTER ? "td" : failed_start ? "ds" : "stde";

	cr_expect_str_eq(life, want, "%s %s: %s %s", kind, ways[w].place, returns[r].what, life);
	if (!failed_start)
		cr_expect_str_eq(last_reason, returns[r].reason, "%s %s", kind, ways[w].place);
	else
		cr_expect_eq(outcome, START_FAILED);
	cr_expect_eq(actor_whereis("subject").v, 0);
}

static void expect_life(size_t w, size_t r, bool is_fsm)
{
	AUTO(free_ptr)
	char *want =
		xprintf("%s%s", ways[w].before, is_fsm ? returns[r].fsm_after : returns[r].after);

	cr_expect_str_eq(life, row.way == ENTER ? "" : "s", "%s: %s %s", ways[w].place,
		returns[r].what, life);
	cr_expect_str_eq(subject->journal, want, "%s %s: %s %s", is_fsm ? "fsm" : "server",
		ways[w].place, returns[r].what, subject->journal);
	if (is_fsm)
		cr_expect_str_eq(fsm_state_name(&subject->fsm), returns[r].state, "%s: %s",
			ways[w].place, returns[r].what);
	gen_stop_id(actor_whereis("subject"), STOP_NORMAL);
	fence();
}

Test(gen, every_handler_may_return_any_of_these)
{
	for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
		for (size_t r = 0; r < ARRAY_LEN(returns); r++) {
			for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
				if (k == 0 ? !ways[w].server || !returns[r].after : !ways[w].fsm)
					continue;
				row.way = ways[w].way;
				row.next = returns[r].next;
				reach(kinds[k]);
				if (returns[r].reason)
					expect_end(w, r, k ? "fsm" : "server");
				else
					expect_life(w, r, k == 1);
			}
		}
	}
}

/* --- a life's beginning ---------------------------------------------------------------------- */

static unsigned payloads;

static void drop_payload(void *data UNUSED)
{
	payloads++;
}

static enum call_outcome call_told;

static void told_of_call(struct actor *asker UNUSED, struct call_answer *a, void *arg UNUSED)
{
	call_told = a->outcome;
}

static void call_it(void *arg)
{
	shard_check(NULL);
	call_begin(NULL, *(struct actor_id *)arg, MAIL_CALL,
		TERM_OF(STRAY, &payloads, drop_payload), CALL_FOREVER, told_of_call, NULL);
}

Test(gen, what_came_during_a_start_that_fails_is_refused)
{
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct actor_id id;

		payloads = 0;
		call_told = CALL_REPLIED;
		row.way = INIT_LATER;
		row.next = (struct next){ .kind = NEXT_IGNORE };
		id = spawn(kinds[k], &told);
		mail_send(id, MAIL_CAST, TERM_OF(STRAY, &payloads, drop_payload));
		on_shard(0, call_it, &id);
		fence();
		cr_expect_eq(payloads, 0, "they wait");
		on_shard(1, finish_init, NULL);
		on_shard(0, nothing, NULL);
		cr_expect_eq(outcome, START_IGNORED);
		cr_expect_eq(payloads, 2);
		cr_expect_eq(call_told, CALL_NOPROC, "it has never been");
		cr_expect_str_eq(life, "ds");
	}
}

Test(gen, a_start_under_way_may_be_stopped)
{
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		row.way = INIT_LATER;
		gen_stop_id(spawn(kinds[k], &told), STOP_SHUTDOWN);
		fence();
		cr_expect_eq(outcome, START_FAILED);
		cr_expect_str_eq(life, "ds", "no terminate before there was an init");
		cr_expect_eq(actor_whereis("subject").v, 0);
	}
}

static struct next stop_in_init(struct server *s, void *arg UNUSED)
{
	struct term first = TERM(STRAY), second = TERM_OF(STRAY, &payloads, drop_payload);

	shard_check(NULL);
	subject = subject_of(&s->gen);
	cr_expect(gen_now(&s->gen, MAIL_CAST, &first), "it waits like all mail");
	cr_expect(gen_now(&s->gen, MAIL_CAST, &second));
	cr_expect_null(second.data, "so it was taken");
	cr_expect_str_eq(subject->journal, "");
	if (row.way == INIT)
		gen_stop(&s->gen, "changed its mind");
	return server_wait();
}

static const struct server_class self_stopping = {
	SERVER_CLASS("subject", 1, struct subject),
	.init = stop_in_init,
	.cast = server_told,
	.drop = server_dropped,
};

Test(gen, init_may_stop_itself_and_send_to_itself)
{
	struct start_result r;

	row.way = CAST;
	r = gen_spawn_wait(shard_at(1), &self_stopping.gen, NULL, NULL);
	cr_expect_eq(r.outcome, STARTED);
	fence();
	cr_expect_str_eq(subject->journal, "??", "handled when the start was through");
	cr_expect_eq(payloads, 1);
	gen_stop_id(r.id, STOP_NORMAL);
	fence();
	row.way = INIT;
	r = gen_spawn_wait(shard_at(1), &self_stopping.gen, NULL, NULL);
	cr_expect_eq(r.outcome, START_FAILED);
	cr_expect_str_eq(r.reason, "changed its mind");
	fence();
	cr_expect_eq(payloads, 2, "what it had sent itself is dropped");
}

Test(gen, a_start_that_was_through_in_time_has_no_deadline_any_more)
{
	struct start hurried = told;

	hurried.init_ms = 10;
	row.way = INIT_LATER;
	row.next = (struct next){ .kind = NEXT_WAIT };
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct actor_id id = spawn(kinds[k], &hurried);

		on_shard(1, finish_init, NULL);
		nap_on_shard(1, 30);
		cr_expect_str_eq(life, "s");
		cr_expect_str_eq(subject->journal, "", "nor a timeout instead");
		cr_expect(actor_id_equal(actor_whereis("subject"), id));
		stop_subject();
	}
}

/* Whoever is told of a start may end it on the spot. */
static struct next owned_init(struct server *s UNUSED, void *arg UNUSED)
{
	return server_wait_ms(1);
}

static const struct server_class owned_class = {
	SERVER_CLASS("owned", 1, struct subject),
	.init = owned_init,
	.info = server_told,
	.terminate = server_ends,
};
static struct subject owned;

static void stop_owned(const struct start_result *r UNUSED, void *arg UNUSED)
{
	shard_check(NULL);
	note_life("s");
	gen_stop(&owned.gen, STOP_NORMAL);
}

static void start_owned(void *arg)
{
	shard_check(NULL);
	*(struct start_result *)arg = gen_start(
		&owned.gen, &owned_class.gen, NULL, &(struct start){ .started = stop_owned });
}

Test(gen, a_start_may_be_stopped_by_who_is_told_of_it)
{
	struct start_result r;

	on_shard(1, start_owned, &r);
	nap_on_shard(1, 10);
	cr_expect_eq(r.outcome, STARTED);
	cr_expect_str_eq(life, "st");
	cr_expect_str_eq(owned.journal, "", "what init asked for does not come: %s", owned.journal);
}

/* {error,{already_started,Pid}}: whoever has the name keeps it, the other never was. */
Test(gen, a_taken_name_is_told_once)
{
	struct actor_id first;

	row.way = CAST;
	first = spawn(kinds[0], &told);
	cr_expect_str_eq(life, "s");
	spawn(kinds[1], &told);
	cr_expect_str_eq(life, "ds");
	cr_expect_eq(outcome, START_ALREADY);
	cr_expect(actor_id_equal(actor_whereis("subject"), first));
	life[0] = 0;
	stop_subject();
	cr_expect_str_eq(life, "tde");
}

static void enter_without_actor(void *arg UNUSED)
{
	static struct subject s;

	shard_check(NULL);
	gen_enter(&s.gen, kinds[0], NULL, server_wait());
}

Test(gen, enter_loop_of_what_is_no_actor_aborts, .signal = SIGABRT)
{
	on_shard(1, enter_without_actor, NULL);
}

static void start_twice(void *arg UNUSED)
{
	shard_check(NULL);
	gen_started(&subject->gen, server_wait());
}

Test(gen, a_start_that_is_through_cannot_end_again, .signal = SIGABRT)
{
	row.way = CAST;
	spawn(kinds[0], &told);
	on_shard(1, start_twice, NULL);
}

/* --- its time -------------------------------------------------------------------------------- */

static struct next clockwork(struct server *s, struct term *t);
static const struct server_class clockwork_class = {
	SERVER_CLASS("clockwork", 1, struct subject),
	.cast = clockwork,
	.info = clockwork,
};
enum { IDLE_AND_TIMER, TWO_DUE, FIRST, SECOND, REST_TWICE };
static uint32_t second_ref;

static struct next clockwork(struct server *s, struct term *t)
{
	struct subject *c = subject_of(&s->gen);

	shard_check(NULL);
	subject = c;
	switch (t->kind) {
	case IDLE_AND_TIMER:
		gen_timer_start(
			&s->gen, 2, TERM_OF(SECOND, &payloads, drop_payload), GEN_TIMER_PLAIN);
		return server_wait_ms(10);
	case TWO_DUE:
		gen_timer_start(&s->gen, 5, TERM(FIRST), GEN_TIMER_PLAIN);
		second_ref = gen_timer_start(
			&s->gen, 5, TERM_OF(SECOND, &payloads, drop_payload), GEN_TIMER_PLAIN);
		return server_wait();
	case FIRST:
		cr_expect_eq(gen_timer_cancel(&s->gen, second_ref), 0,
			"it has timed out, but has not been delivered");
		cr_expect_eq(gen_timer_cancel(&s->gen, second_ref), -1);
		note(c, "1");
		return server_wait();
	default:
		note(c, t->kind == TERM_TIMEOUT ? "T" : "2");
		return server_wait();
	}
}

Test(gen, a_timer_ends_the_idle_timeout_like_any_message)
{
	struct actor_id id = gen_spawn_wait(shard_at(1), &clockwork_class.gen, NULL, NULL).id;

	mail_send(id, MAIL_CAST, TERM(IDLE_AND_TIMER));
	nap_on_shard(1, 30);
	cr_expect_str_eq(subject->journal, "2");
	cr_expect_eq(payloads, 1, "not taken, so dropped");
	gen_stop_id(id, STOP_NORMAL);
}

/* cancel_timer/1: "there will be no false timer event after returning from this function". */
Test(gen, of_two_timers_due_at_once_the_first_may_cancel_the_second)
{
	struct actor_id id = gen_spawn_wait(shard_at(1), &clockwork_class.gen, NULL, NULL).id;

	mail_send(id, MAIL_CAST, TERM(TWO_DUE));
	nap_on_shard(1, 30);
	cr_expect_str_eq(subject->journal, "1");
	cr_expect_eq(payloads, 1);
	gen_stop_id(id, STOP_NORMAL);
}

Test(gen, it_hibernates_again_after_each_message_that_asks_for_it)
{
	row.way = CAST;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct actor_id id = spawn(kinds[k], &told);

		row.next = (struct next){ .kind = NEXT_HIBERNATE };
		mail_send(id, MAIL_CAST, TERM(DO));
		nap_on_shard(1, 5);
		subject->done = false;
		mail_send(id, MAIL_CAST, TERM(DO));
		nap_on_shard(1, 5);
		mail_send(id, MAIL_CAST, TERM(STRAY));
		nap_on_shard(1, 5);
		cr_expect_str_eq(subject->journal, "xHxH?", "%s", subject->journal);
		stop_subject();
	}
}

static void rest_then_wait(void *arg)
{
	struct actor_id id = *(struct actor_id *)arg;

	mail_send(id, MAIL_CAST, TERM(DO)); /* both in one batch */
	mail_send(id, MAIL_CAST, TERM(PREPARE));
}

Test(gen, a_message_that_comes_before_the_rest_takes_its_place)
{
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct actor_id id;

		row.way = TIMEOUT;
		row.next = (struct next){ .kind = NEXT_HIBERNATE };
		id = spawn(kinds[k], &told);
		on_shard(1, rest_then_wait, &id);
		nap_on_shard(1, 15);
		cr_expect_str_eq(subject->journal, k ? "xT:a" : "xT", "%s", subject->journal);
		stop_subject();
	}
}

/* --- its end --------------------------------------------------------------------------------- */

static void call_and_stop(void *arg)
{
	struct actor_id id = *(struct actor_id *)arg;

	shard_check(NULL);
	gen_stop_id(id, STOP_SHUTDOWN);
	call_begin(NULL, id, MAIL_CALL, TERM_OF(STRAY, &payloads, drop_payload), CALL_FOREVER,
		told_of_call, NULL);
	mail_send(id, MAIL_CAST, TERM_OF(STRAY, &payloads, drop_payload));
}

Test(gen, what_comes_after_the_order_to_stop_finds_nobody)
{
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct actor_id id;

		payloads = 0;
		row.way = CAST;
		id = spawn(kinds[k], &told);
		on_shard(0, call_and_stop, &id);
		fence();
		on_shard(0, nothing, NULL);
		cr_expect_eq(call_told, CALL_NOPROC);
		cr_expect_eq(payloads, 2);
		cr_expect_str_eq(life, "stde");
		cr_expect_str_eq(last_reason, "shutdown");
	}
}

/* --- what people are told: error_logger and sys --------------------------------------------- */

static char folder[] = "/tmp/linnet-gen-XXXXXX", path[64];

static void log_to_file(enum log_level level)
{
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/log", folder);
	atomic_store(&log_level, (int)level);
	cr_assert_eq(log_open(path, LOG_FORMAT_LOGFMT), 0);
}

/* What has been logged. The caller frees. */
static char *log_read(void)
{
	char *text = xcalloc(1, 65536);
	FILE *f;

	log_close();
	f = fopen(path, "re");
	cr_assert(f);
	cr_assert_lt(fread(text, 1, 65535, f), 65535);
	fclose(f);
	unlink(path);
	rmdir(folder);
	return text;
}

/* "For any other reason than normal or shutdown ... an error report is issued". */
Test(gen, only_an_error_is_reported)
{
	AUTO(free_ptr) char *text = NULL;

	log_to_file(LOG_LEVEL_ERROR);
	row.way = CAST;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		static const char *const reasons[] = { STOP_NORMAL, STOP_SHUTDOWN, "flood" };

		for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
			gen_stop_id(spawn(kinds[k], &told), reasons[i]);
			cr_assert(await(&ended));
			cr_expect_str_eq(last_reason, reasons[i]);
		}
	}
	text = log_read();
	cr_expect(strstr(text,
			  "level=error part=subject what=ended reason=flood state=\"\" "
			  "name=subject"),
		"%s", text);
	cr_expect(strstr(text, "what=ended reason=flood state=a name=subject"), "%s", text);
	cr_expect_null(strstr(text, "normal"), "%s", text);
	cr_expect_null(strstr(text, "shutdown"), "%s", text);
}

/* {debug,[trace]} and sys:trace/2: what it gets and what it does then, whatever the log level. */
Test(gen, a_trace_shows_what_it_gets_and_returns)
{
	static const char *const lines[] = {
		"level=trace part=subject what=waits actor=", /* init */
		"level=trace part=subject what=cast actor=",
		"level=trace part=subject what=\"waits until a timeout\" actor=",
		"state=b reason=\"\" ms=1",
		"what=timeout actor=",
		"what=info actor=",
		"what=call actor=",
		"what=\"call any\" actor=",
	};
	struct start traced = told;
	AUTO(free_ptr) char *text = NULL;
	const char *at;
	struct actor_id id;
	struct term reply;

	log_to_file(LOG_LEVEL_NONE);
	traced.trace = true;
	row.way = CAST;
	row.next = fsm_next_ms(B, 1);
	id = spawn(kinds[1], &traced);
	mail_send(id, MAIL_CAST, TERM(DO));
	nap_on_shard(1, 15);
	mail_send(id, MAIL_INFO, TERM(STRAY));
	call_wait(id, MAIL_CALL, TERM(STRAY), 30000, &reply);
	call_wait(id, MAIL_CALL_ANY, TERM(STRAY), 30000, &reply);
	gen_trace(id, false);
	mail_send(id, MAIL_CAST_ANY, TERM(STRAY));
	fence();
	gen_trace(id, true);
	stop_subject();
	at = text = log_read();
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		at = strstr(at, lines[i]);
		cr_assert(at, "%s is not in its place in:\n%s", lines[i], text);
	}
	cr_expect_null(strstr(text, "cast any"), "it was switched off then:\n%s", text);
}

/* --- another class --------------------------------------------------------------------------- */

static void upgrade_to_fsm(void *arg UNUSED)
{
	shard_check(NULL);
	gen_upgrade(&subject->gen, kinds[1], NULL);
}

Test(gen, a_server_does_not_become_a_machine, .signal = SIGABRT)
{
	row.way = CAST;
	spawn(kinds[0], &told);
	on_shard(1, upgrade_to_fsm, NULL);
}

Test(gen, an_upgrade_of_nobody_is_told_so)
{
	int err = 77;

	row.way = CAST;
	spawn(kinds[0], &told);
	cr_expect_eq(gen_upgrade_wait(actor_whereis("subject"), kinds[0], NULL, CALL_MS, &err),
		CALL_REPLIED);
	cr_expect_eq(err, 0, "the same version: nothing to do");
	stop_subject();
	err = 77;
	cr_expect_eq(gen_upgrade_wait(ACTOR_NONE, kinds[0], NULL, CALL_MS, &err), CALL_NOPROC);
	cr_expect_eq(err, 77);
}
