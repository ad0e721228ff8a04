/* What core/fsm.h promises, row by row of Erlang's gen_fsm manual: the machine is a door. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "core/fsm.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "tests/support/on_shard.h"

enum { LOCKED, CLOSED, OPEN };
enum {
	PUSH, /* closed: opens; open: closes after 10 ms without another event */
	LOCK, /* closed: locks; payload: the code */
	CODE, /* locked: unlocks with the same code */
	HOLD, /* open: stays so, without a timeout */
	REST, /* hibernates */
	NOWHERE, /* goes to a state that is not there */
	BREAK, /* stops with an error */
	PUSH_INSIDE, /* sends itself a PUSH by direct call, from within the handler */
	STOP_INSIDE, /* stops itself by direct call, from within the handler */
	AFTER, /* fsm_send_event_after(10 ms, PUSH) */
	START, /* fsm_start_timer(10 ms, RING) */
	RING,
	/* sync */
	ASK, /* answers with the state's name */
	ASK_LATER, /* answers with the next event */
	ASK_AND_STOP,
	/* all-state */
	REPORT, /* answers with the journal; not in any state's own function */
	NOTE,
};

struct door {
	int before; /* the machine need not come first */
	struct fsm fsm;
	char code[16];
	char journal[128];
	struct caller kept;
	uint32_t ref;
};

static sem_t ended, rested, rung;
static char last_reason[64];

static struct door *door_of(struct fsm *f)
{
	return caa_container_of(f, struct door, fsm);
}

static void note(struct fsm *f, const char *what)
{
	char *journal = door_of(f)->journal;

	strncat(journal, what, sizeof(door_of(f)->journal) - strlen(journal) - 1);
}

static struct next locked(struct fsm *f, struct term *event)
{
	if (event->kind == CODE && strcmp(event->data, door_of(f)->code) == 0)
		return fsm_next(CLOSED);
	note(f, event->kind == TERM_TIMEOUT ? "T" : "!");
	return fsm_same();
}

/* What every state but locked does the same way. */
static struct next anywhere(struct fsm *f, struct term *event)
{
	struct door *d = door_of(f);
	struct term push = TERM(PUSH);

	shard_check(NULL);
	switch (event->kind) {
	case TERM_TIMEOUT:
		note(f, "T");
		return fsm_same();
	case REST:
		return fsm_same_hibernate();
	case NOWHERE:
		return fsm_next(99);
	case BREAK:
		return fsm_stopped("hinge");
	case PUSH_INSIDE:
		note(f, "(");
		cr_expect(fsm_event_now(f, &push));
		note(f, ")");
		return fsm_same();
	case STOP_INSIDE:
		fsm_stop_now(f, STOP_SHUTDOWN);
		note(f, "still here");
		return fsm_next(OPEN);
	case AFTER:
		d->ref = fsm_send_event_after(f, 10, TERM(PUSH));
		return fsm_same();
	case START:
		d->ref = fsm_start_timer(f, 10, TERM_OF(RING, xstrdup("bell"), free));
		return fsm_same();
	case RING:
		cr_expect_eq(event->ref, d->ref, "{timeout, Ref, Msg}");
		note(f, event->data);
		sem_post(&rung);
		return fsm_same();
	case NOTE:
		note(f, event->data);
		return fsm_same();
	default:
		if (d->kept.asked.v) {
			call_reply(d->kept, TERM_OF(0, xstrdup("at last"), free));
			return fsm_same();
		}
		note(f, "?");
		return fsm_same();
	}
}

static struct next closed(struct fsm *f, struct term *event)
{
	if (event->kind == PUSH) {
		note(f, "o");
		return fsm_next_ms(OPEN, 10);
	}
	if (event->kind == LOCK) {
		strcpy(door_of(f)->code, event->data);
		return fsm_next(LOCKED);
	}
	return anywhere(f, event);
}

static struct next opened(struct fsm *f, struct term *event)
{
	if (event->kind == PUSH)
		return fsm_same_ms(10);
	if (event->kind == HOLD)
		return fsm_same();
	if (event->kind == TERM_TIMEOUT) {
		note(f, "c");
		sem_post(&rung);
		return fsm_next(CLOSED);
	}
	return anywhere(f, event);
}

static struct next any_sync(struct fsm *f, struct term *event, struct caller from)
{
	switch (event->kind) {
	case ASK:
		call_reply(from, TERM_OF(0, xstrdup(fsm_state_name(f)), free));
		return fsm_same();
	case REPORT:
		call_reply(from, TERM_OF(0, xstrdup(door_of(f)->journal), free));
		return fsm_same();
	case ASK_LATER:
		door_of(f)->kept = from;
		return fsm_same();
	case ASK_AND_STOP:
		call_reply(from, TERM_OF(0, xstrdup("bye"), free));
		return fsm_stopped(STOP_NORMAL);
	default:
		return fsm_stopped(STOP_NORMAL);
	}
}

static struct next door_event(struct fsm *f, struct term *event)
{
	note(f, "a");
	return event->kind == LOCK ? fsm_next(LOCKED) : fsm_same();
}

static struct next door_info(struct fsm *f, struct term *info UNUSED)
{
	note(f, "i");
	return fsm_same();
}

static void door_hibernate(struct fsm *f)
{
	note(f, "H");
	sem_post(&rested);
}

static void door_terminate(struct fsm *f UNUSED, const char *reason)
{
	strcpy(last_reason, reason);
}

static void door_ended(struct actor_id id UNUSED, const char *reason, void *arg UNUSED)
{
	cr_expect_str_eq(reason, last_reason);
	sem_post(&ended);
}

static struct next door_init(struct fsm *f UNUSED, void *arg)
{
	return arg ? *(struct next *)arg : fsm_next(CLOSED);
}

static const struct fsm_state states[] = {
	[LOCKED] = { "locked", locked, any_sync },
	[CLOSED] = { "closed", closed, any_sync },
	[OPEN] = { "open", opened, NULL },
};
static const struct fsm_class door_class = {
	FSM_CLASS("door", 1, struct door),
	FSM_STATES(states),
	.init = door_init,
	.event = door_event,
	.sync_event = any_sync,
	.info = door_info,
	.hibernate = door_hibernate,
	.terminate = door_terminate,
};

static struct door *door;
static struct actor_id door_id;
static struct actor_id id; /* of the machine the test is about: the door unless it says so */
static struct start_result start_result;
static struct next first;

static void start_door(void *arg)
{
	shard_check(NULL);
	free(door);
	door = xcalloc(1, sizeof(*door));
	start_result = fsm_start(&door->fsm, &door_class, arg,
		&(struct start){ .name = "door", .ended = door_ended });
	id = door_id = start_result.id;
}

static void stop_door(void *arg UNUSED)
{
	shard_check(NULL);
	if (actor_find(door_id))
		fsm_stop_now(&door->fsm, STOP_NORMAL);
}

static void begin(void)
{
	sem_init(&ended, 0, 0);
	sem_init(&rested, 0, 0);
	sem_init(&rung, 0, 0);
	rcu_thread_begin();
	cr_assert_eq(shards_start(2), 0);
	on_shard(1, start_door, NULL);
	cr_assert_eq(start_result.outcome, STARTED);
}

static void end(void)
{
	on_shard(1, stop_door, NULL);
	shards_stop();
	free(door);
	rcu_thread_end();
}

TestSuite(fsm, .init = begin, .fini = end, .timeout = 60);

static struct term text(int kind, const char *words)
{
	return TERM_OF(kind, xstrdup(words), free);
}

/* All-state, so it can be asked whatever the state; a message, so it ends a timeout. */
static void expect_all(int kind, const char *want)
{
	struct term reply;

	cr_assert_eq(
		fsm_sync_send_all_state_event_wait(id, TERM(kind), 30000, &reply), CALL_REPLIED);
	cr_expect_str_eq(reply.data, want);
	term_drop(&reply);
}

static void expect_state(const char *name)
{
	expect_all(ASK, name);
}

static void expect_journal(const char *journal)
{
	expect_all(REPORT, journal);
}

/* --- send_event, send_all_state_event, handle_info --- */

Test(fsm, an_event_goes_to_the_function_of_the_state)
{
	fsm_send_event(id, text(LOCK, "1234"));
	expect_state("locked");
	fsm_send_event(id, TERM(PUSH));
	fsm_send_event(id, text(CODE, "4321"));
	expect_journal("!!");
	fsm_send_event(id, text(CODE, "1234"));
	expect_state("closed");
}

Test(fsm, an_all_state_event_goes_to_one_function)
{
	fsm_send_all_state_event(id, text(NOTE, "x"));
	expect_journal("a");
	fsm_send_all_state_event(id, text(LOCK, "x"));
	expect_state("locked");
	fsm_send_all_state_event(id, TERM(NOTE));
	expect_journal("aaa");
}

Test(fsm, other_messages_go_to_info)
{
	fsm_info(id, text(7, "x"));
	expect_journal("i");
	expect_state("closed");
}

/* --- sync_send_event, sync_send_all_state_event, reply --- */

Test(fsm, a_sync_event_is_answered_by_the_state)
{
	struct term reply;

	cr_expect_eq(fsm_sync_send_event_wait(id, TERM(ASK), CALL_MS, &reply), CALL_REPLIED);
	cr_expect_str_eq(reply.data, "closed");
	term_drop(&reply);
	cr_expect_eq(fsm_sync_send_event_wait(id, TERM(ASK_LATER), 20, &reply), CALL_TIMEOUT);
	cr_expect_eq(
		fsm_sync_send_event_wait(id, TERM(ASK_AND_STOP), CALL_MS, &reply), CALL_REPLIED);
	cr_expect_str_eq(reply.data, "bye");
	term_drop(&reply);
	cr_assert(await(&ended));
	cr_expect_eq(fsm_sync_send_event_wait(id, TERM(ASK), CALL_MS, &reply), CALL_NOPROC);
}

static char late_reply[32];
static sem_t told;

static void late(struct actor *asker UNUSED, struct call_answer *a, void *arg UNUSED)
{
	strcpy(late_reply, a->outcome == CALL_REPLIED ? a->reply.data : "no reply");
	sem_post(&told);
}

static void ask_for_later(void *arg)
{
	shard_check(NULL);
	if (arg)
		fsm_sync_send_all_state_event(NULL, id, TERM(ASK_LATER), CALL_FOREVER, late, NULL);
	else
		fsm_sync_send_event(NULL, id, TERM(ASK_LATER), CALL_FOREVER, late, NULL);
}

Test(fsm, an_answer_may_wait_for_another_event)
{
	sem_init(&told, 0, 0);
	on_shard(0, ask_for_later, NULL);
	fsm_send_event(id, TERM(HOLD));
	cr_assert(await(&told));
	cr_expect_str_eq(late_reply, "at last");
	on_shard(0, ask_for_later, &told);
	fsm_send_event(id, TERM(HOLD));
	cr_assert(await(&told));
	cr_expect_str_eq(late_reply, "at last");
	on_shard(0, ask_for_later, NULL);
	fsm_stop(id, STOP_NORMAL);
	cr_assert(await(&told));
	cr_expect_str_eq(late_reply, "no reply");
}

Test(fsm, a_sync_event_without_a_handler_ends_it)
{
	struct term reply;

	fsm_send_event(id, TERM(PUSH));
	fsm_send_event(id, TERM(HOLD));
	cr_expect_eq(fsm_sync_send_event_wait(id, TERM(ASK), CALL_MS, &reply), CALL_DOWN);
	cr_assert(await(&ended));
	cr_expect_str_eq(last_reason, STOP_NO_HANDLER);
}

/* --- Timeout in the return value --- */

Test(fsm, a_timeout_comes_to_the_state_that_asked)
{
	fsm_send_event(id, TERM(PUSH));
	cr_assert(await(&rung));
	expect_state("closed");
	expect_journal("oc");
}

static void push_then_hold(void *arg)
{
	fsm_send_event(id, TERM(PUSH));
	if (arg)
		fsm_info(id, TERM(7));
	else
		fsm_send_event(id, TERM(HOLD));
}

Test(fsm, any_message_ends_the_timeout)
{
	on_shard(1, push_then_hold, NULL);
	nap_on_shard(1, 50);
	expect_state("open");
	on_shard(1, push_then_hold, &id);
	nap_on_shard(1, 50);
	expect_journal("oi");
}

static void start_another(void *arg)
{
	static struct door another;

	shard_check(NULL);
	if (actor_find(another.fsm.gen.actor.id))
		fsm_stop_now(&another.fsm, STOP_NORMAL);
	another = (struct door){ 0 };
	start_result = fsm_start(&another.fsm, &door_class, arg, NULL);
	id = start_result.id;
}

Test(fsm, init_says_where_it_begins_and_how_long_it_waits)
{
	first = fsm_next_ms(LOCKED, 0);
	on_shard(0, start_another, &first);
	expect_state("locked");
	expect_journal("T");
	first = fsm_next_hibernate(OPEN);
	on_shard(0, start_another, &first);
	expect_state("open");
	expect_journal("H");
	first = fsm_ignore();
	on_shard(0, start_another, &first);
	cr_expect_eq(start_result.outcome, START_IGNORED);
	first = fsm_stopped("no frame");
	on_shard(0, start_another, &first);
	cr_expect_eq(start_result.outcome, START_FAILED);
	cr_expect_str_eq(start_result.reason, "no frame");
	first = fsm_next(99);
	on_shard(0, start_another, &first);
	cr_expect_eq(start_result.outcome, START_FAILED);
	cr_expect_str_eq(start_result.reason, STOP_BAD_RETURN);
}

/* --- hibernate --- */

Test(fsm, it_hibernates_when_nothing_more_is_waiting)
{
	fsm_send_event(id, TERM(REST));
	cr_assert(await(&rested));
	expect_journal("H");
}

/* --- direct dispatch --- */

static unsigned payloads_dropped;

static void drop_payload(void *data UNUSED)
{
	payloads_dropped++;
}

static void push_directly(void *arg UNUSED)
{
	struct term event = TERM_OF(PUSH, &payloads_dropped, drop_payload);

	shard_check(NULL);
	cr_expect(fsm_event_now(&door->fsm, &event));
	cr_expect_eq(fsm_state(&door->fsm), OPEN, "done when it returns");
	cr_expect_eq(event.data, &payloads_dropped, "not taken: still the caller's");
	cr_expect_eq(payloads_dropped, 0);
	event = TERM(7);
	cr_expect(fsm_info_now(&door->fsm, &event));
	event = TERM(BREAK);
	cr_expect_not(fsm_event_now(&door->fsm, &event), "gone when it returns");
}

Test(fsm, on_its_own_shard_an_event_is_a_function_call)
{
	on_shard(1, push_directly, NULL);
	cr_expect_str_eq(door->journal, "oi");
	cr_expect_str_eq(last_reason, "hinge");
}

static void push_inside(void *arg UNUSED)
{
	struct term event = TERM(PUSH_INSIDE);

	shard_check(NULL);
	cr_expect(fsm_event_now(&door->fsm, &event));
	cr_expect_eq(fsm_state(&door->fsm), CLOSED, "the inner one has not come yet");
}

Test(fsm, an_event_from_within_a_handler_waits_for_its_end)
{
	on_shard(1, push_inside, NULL);
	expect_state("open");
	expect_journal("()o");
}

static void stop_directly(void *arg)
{
	struct term event = TERM(STOP_INSIDE);

	shard_check(NULL);
	if (arg)
		cr_expect_not(fsm_event_now(&door->fsm, &event));
	else
		fsm_stop_now(&door->fsm, STOP_NORMAL);
	fsm_stop_now(&door->fsm, STOP_NORMAL); /* twice is harmless while the object is there */
	cr_expect_not(fsm_event_now(&door->fsm, &event), "it has ended");
}

Test(fsm, it_may_be_stopped_from_within_a_handler_or_outside)
{
	on_shard(1, stop_directly, &id);
	cr_expect_str_eq(last_reason, "shutdown");
	cr_expect_str_eq(door->journal, "still here");
	cr_expect_eq(actor_whereis("door").v, 0);
	on_shard(1, start_door, NULL);
	on_shard(1, stop_directly, NULL);
	cr_expect_str_eq(last_reason, "normal");
}

/* --- send_event_after, start_timer, cancel_timer --- */

Test(fsm, an_event_after_some_time_comes_to_the_state_of_then)
{
	fsm_send_event(id, TERM(AFTER));
	nap_on_shard(1, 50);
	expect_journal("oc");
}

Test(fsm, a_timer_brings_its_reference)
{
	fsm_send_event(id, TERM(START));
	cr_assert(await(&rung));
	expect_journal("bell");
}

static void start_and_cancel(void *arg UNUSED)
{
	uint32_t after, timer;

	shard_check(NULL);
	after = fsm_send_event_after(&door->fsm, 10, TERM_OF(PUSH, door, drop_payload));
	timer = fsm_start_timer(&door->fsm, 500, TERM_OF(RING, door, drop_payload));
	cr_expect_neq(after, timer);
	cr_expect_eq(fsm_cancel_timer(&door->fsm, timer), 500);
	cr_expect_eq(fsm_cancel_timer(&door->fsm, after), 10);
	cr_expect_eq(payloads_dropped, 2);
	cr_expect_eq(fsm_cancel_timer(&door->fsm, after), -1);
	cr_expect_eq(fsm_cancel_timer(&door->fsm, 0), -1);
	fsm_start_timer(&door->fsm, 100000, TERM_OF(RING, door, drop_payload));
}

Test(fsm, a_cancelled_timer_brings_nothing)
{
	on_shard(1, start_and_cancel, NULL);
	nap_on_shard(1, 50);
	expect_journal("");
	fsm_stop(id, STOP_NORMAL);
	cr_assert(await(&ended));
	on_shard(1, start_door, NULL); /* the one it left has been dropped with it */
	cr_expect_eq(payloads_dropped, 3);
}

/* It has fired, but its machine had not yet begun: not delivered, so it can still be taken back. */
static void start_later(void *arg UNUSED)
{
	static struct door another;
	static struct next later = { .kind = NEXT_LATER };

	shard_check(NULL);
	free(door);
	door = &another;
	id = fsm_start(&another.fsm, &door_class, &later, NULL).id;
	fsm_send_event_after(&door->fsm, 5, TERM_OF(NOTE, "late", NULL));
	door->ref = fsm_send_event_after(&door->fsm, 5, TERM_OF(NOTE, "never", NULL));
}

static void finish_start(void *arg UNUSED)
{
	shard_check(NULL);
	cr_expect_str_eq(door->journal, "");
	cr_expect_eq(fsm_cancel_timer(&door->fsm, door->ref), 0);
	cr_expect_eq(fsm_cancel_timer(&door->fsm, door->ref), -1);
	fsm_started(&door->fsm, fsm_next(CLOSED));
}

Test(fsm, a_timer_that_fired_but_was_not_delivered_can_be_cancelled)
{
	fsm_stop(id, STOP_NORMAL);
	cr_assert(await(&ended));
	on_shard(1, start_later, NULL);
	nap_on_shard(1, 50);
	on_shard(1, finish_start, NULL);
	nap_on_shard(1, 10);
	expect_journal("late");
	expect_state("closed");
	door = NULL;
}

/* --- stopping
 * ------------------------------------------------------------------------------------------------
 */

Test(fsm, a_state_that_is_not_there_ends_it)
{
	fsm_send_event(id, TERM(NOWHERE));
	cr_assert(await(&ended));
	cr_expect_str_eq(last_reason, STOP_BAD_RETURN);
}

static struct door *spawned;

static void drop_door(struct fsm *f)
{
	spawned = door_of(f);
	free(spawned);
	sem_post(&rung);
}

static const struct fsm_class owned_class = {
	FSM_CLASS("owned", 1, struct door),
	FSM_STATES(states),
	.drop = drop_door,
	.terminate = door_terminate,
};

static void start_owned(void *arg UNUSED)
{
	struct door *d = xcalloc(1, sizeof(*d));

	shard_check(NULL);
	id = fsm_start(&d->fsm, &owned_class, NULL, NULL).id;
	cr_expect_eq(fsm_state(&d->fsm), LOCKED, "without an init: the first state");
	fsm_stop_now(&d->fsm, STOP_NORMAL);
}

Test(fsm, drop_frees_it_last)
{
	on_shard(0, start_owned, NULL);
	cr_assert(await(&rung));
	cr_expect_not_null(spawned);
}

struct light { /* spawned objects begin with the machine */
	struct fsm fsm;
	char name[8];
};
static struct next on(struct fsm *f UNUSED, struct term *event UNUSED)
{
	return fsm_next(0);
}
static const struct fsm_state light_states[] = { { "on", on, NULL } };
static const struct fsm_class light_class = {
	FSM_CLASS("light", 1, struct light),
	FSM_STATES(light_states),
};

Test(fsm, it_may_be_spawned_on_any_shard)
{
	struct start_result r =
		fsm_spawn_wait(shard_at(0), &light_class, NULL, &(struct start){ .name = "light" });
	struct term reply;

	cr_expect_eq(r.outcome, STARTED);
	cr_expect_eq(actor_shard(r.id), shard_at(0));
	fsm_send_event(r.id, TERM(0));
	fsm_stop(r.id, STOP_NORMAL);
	cr_expect_eq(fsm_sync_send_event_wait(r.id, TERM(0), CALL_MS, &reply), CALL_NOPROC);
	fsm_spawn(shard_at(0), &light_class, NULL, NULL);
}

/* --- enter_loop
 * ------------------------------------------------------------------------------------------------
 */

static const struct actor_class plain_class = { .name = "plain" };

static void adopt(void *arg UNUSED)
{
	static struct door adopted;

	shard_check(NULL);
	actor_begin(&adopted.fsm.gen.actor, &plain_class);
	id = adopted.fsm.gen.actor.id;
	fsm_enter_loop(&adopted.fsm, &door_class, NULL, fsm_next_ms(OPEN, 0));
}

Test(fsm, an_actor_that_lives_becomes_a_machine)
{
	on_shard(0, adopt, NULL);
	expect_state("closed"); /* it began open, with a timeout of 0 */
	expect_journal("c");
}

/* --- code_change
 * --------------------------------------------------------------------------------------------------
 */

enum { NEW_CLOSED, NEW_LOCKED };
static const struct fsm_state new_states[] = {
	[NEW_CLOSED] = { "closed", anywhere, any_sync },
	[NEW_LOCKED] = { "locked", locked, any_sync },
};

static int new_code_change(
	struct fsm *f, unsigned old_version, bool down, void *extra, unsigned *state)
{
	cr_expect_eq(old_version, 1);
	cr_expect_not(down);
	note(f, extra);
	if (*state >= ARRAY_LEN(new_states))
		*state = strcmp(extra, "slam") == 0 ? NEW_LOCKED : 99;
	return strcmp(extra, "refuse") == 0 ? -EPROTO : 0;
}

static const struct fsm_class new_class = {
	FSM_CLASS("door", 2, struct door),
	FSM_STATES(new_states),
	.sync_event = any_sync,
	.terminate = door_terminate,
	.code_change = new_code_change,
};

static int upgrade(const char *extra)
{
	int err = -1;

	cr_expect_eq(fsm_upgrade_wait(id, &new_class, (void *)extra, CALL_MS, &err), CALL_REPLIED);
	return err;
}

Test(fsm, a_new_class_finds_the_state_by_its_name)
{
	cr_expect_eq(upgrade("refuse"), -EPROTO);
	expect_state("closed");
	cr_expect_eq(upgrade(" keep"), 0);
	expect_state("closed");
	expect_journal("refuse keep");
}

Test(fsm, a_new_class_may_choose_the_state)
{
	fsm_send_event(id, TERM(PUSH));
	fsm_send_event(id, TERM(HOLD));
	cr_expect_eq(upgrade("x"), -EINVAL, "there is no such state in it");
	expect_state("open");
	cr_expect_eq(upgrade("slam"), 0);
	expect_state("locked");
}

static int old_code_change(
	struct fsm *f, unsigned old_version, bool down, void *extra UNUSED, unsigned *state)
{
	cr_expect_eq(old_version, 2);
	cr_expect(down, "{down,Vsn}");
	note(f, " back");
	*state = OPEN;
	return 0;
}

static const struct fsm_class old_class = {
	FSM_CLASS("door", 1, struct door),
	FSM_STATES(states),
	.sync_event = any_sync,
	.terminate = door_terminate,
	.code_change = old_code_change,
};

Test(fsm, it_goes_back_to_an_older_class)
{
	int err = -1;

	cr_expect_eq(upgrade(" keep"), 0);
	cr_expect_eq(fsm_upgrade_wait(id, &old_class, NULL, CALL_MS, &err), CALL_REPLIED);
	cr_expect_eq(err, 0);
	expect_state("open");
	expect_journal(" keep back");
	cr_expect_eq(fsm_upgrade_wait(id, &door_class, NULL, CALL_MS, &err), CALL_REPLIED);
	cr_expect_eq(err, 0, "of the same version, so nothing has to change");
	expect_state("open");
	cr_expect_eq(fsm_upgrade_wait(id, &new_class, " keep", CALL_MS, &err), CALL_REPLIED);
	cr_expect_eq(err, -EINVAL, "there is no open in it");
}

static const struct fsm_class stubborn_class = {
	FSM_CLASS("door", 3, struct door),
	FSM_STATES(states),
	.sync_event = any_sync,
};

Test(fsm, another_version_without_code_change_is_refused)
{
	int err = -1;

	cr_expect_eq(fsm_upgrade_wait(id, &stubborn_class, NULL, CALL_MS, &err), CALL_REPLIED);
	cr_expect_eq(err, -ENOTSUP);
	fsm_send_event(id, TERM(PUSH));
	expect_journal("o");
}
