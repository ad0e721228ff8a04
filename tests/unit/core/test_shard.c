/* What core/shard.h promises: a turn's order, mail between shards, watches, the end. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/log.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "core/timer.h"
#include "tests/support/on_shard.h"

TestSuite(shard, .timeout = 60);

Test(shard, starts_names_and_stops_its_threads)
{
	cr_assert_eq(shards_start(3), 0);
	cr_expect_eq(shards_count(), 3);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(shard_index(shard_at(i)), i);
	cr_expect_null(shard_self());
	shards_stop();
	cr_expect_eq(shards_count(), 0);
	cr_assert_eq(shards_start(1), 0, "and again");
	shards_stop();
}

static void where(void *arg)
{
	char name[16];

	shard_check(arg);
	cr_expect_eq(shard_self(), arg);
	pthread_getname_np(pthread_self(), name, sizeof(name));
	cr_expect_str_eq(name, shard_index(arg) ? "shard1" : "shard0");
	cr_expect_eq((uintptr_t)shard_scratch() % 8, 0);
	memset(shard_scratch(), 1, SHARD_SCRATCH);
	cr_expect_gt(shard_now_ms(), 0);
}

Test(shard, runs_what_is_posted_on_its_own_thread)
{
	shards_start(2);
	for (unsigned i = 0; i < 2; i++)
		on_shard(i, where, shard_at(i));
	shards_stop();
}

/* --- messages between shards --- */

struct ball {
	struct msg msg;
	unsigned hops;
	sem_t *caught;
};

static void hop(struct msg *m)
{
	struct ball *b = caa_container_of(m, struct ball, msg);

	shard_check(NULL);
	if (b->hops-- == 0)
		sem_post(b->caught);
	else
		shard_post(shard_at((shard_index(shard_self()) + 1) % shards_count()), m);
}

/* One shard: to itself, without a bell. Several: each hop wakes a sleeping shard. */
static void throw_around(unsigned n)
{
	struct ball b = { .msg.run = hop, .hops = 1000 };
	sem_t caught;

	sem_init(&caught, 0, 0);
	b.caught = &caught;
	shards_start(n);
	shard_post(shard_at(0), &b.msg);
	cr_expect(await(&caught), "lost between %u shards", n);
	shards_stop();
}

Test(shard, mail_to_itself_and_to_others_arrives)
{
	throw_around(1);
	throw_around(3);
}

/* --- stopping --- */

static _Atomic unsigned freed;

static void bounce_then_free(struct msg *m)
{
	struct ball *b = caa_container_of(m, struct ball, msg);

	shard_check(NULL);
	if (b->hops-- > 0) {
		shard_post(shard_at((shard_index(shard_self()) + 1) % shards_count()), m);
		return;
	}
	atomic_fetch_add(&freed, 1);
	free(b);
}

Test(shard, mail_that_flies_during_the_stop_still_runs)
{
	shards_start(3);
	for (unsigned i = 0; i < 300; i++) {
		struct ball *b = calloc(1, sizeof(*b));

		b->msg.run = bounce_then_free;
		b->hops = i;
		shard_post(shard_at(i % 3), &b->msg);
	}
	shards_stop();
	cr_expect_eq(freed, 300);
}

/* --- watches --- */

struct eye {
	struct watch watch;
	struct eye *blinds; /* unwatched when this one is ready */
	unsigned seen;
	sem_t *done;
};

static void eye_ready(struct watch *w, uint32_t events)
{
	struct eye *e = caa_container_of(w, struct eye, watch);

	shard_check(NULL);
	cr_expect(events & EPOLLIN);
	e->seen++;
	if (e->blinds)
		shard_unwatch(&e->blinds->watch);
	shard_unwatch(w);
	sem_post(e->done);
}

static void eye_open(struct eye *e, sem_t *done)
{
	*e = (struct eye){ .watch = { eventfd(1, EFD_NONBLOCK), EPOLLIN, eye_ready },
		.done = done };
}

static void watch_both(void *arg)
{
	struct eye *eyes = arg;

	shard_check(NULL);
	cr_expect_eq(shard_watch(&eyes[0].watch), 0);
	cr_expect_eq(shard_watch(&eyes[1].watch), 0);
	cr_expect_eq(shard_watch(&eyes[1].watch), -EEXIST);
}

Test(shard, a_watch_taken_back_in_the_same_batch_is_not_called)
{
	struct eye eyes[2];
	sem_t done;

	sem_init(&done, 0, 0);
	shards_start(1);
	eye_open(&eyes[0], &done);
	eye_open(&eyes[1], &done);
	eyes[0].blinds = &eyes[1];
	eyes[1].blinds = &eyes[0];
	on_shard(0, watch_both, eyes); /* both are readable in the next batch */
	cr_expect(await(&done));
	shards_stop();
	cr_expect_eq(eyes[0].seen + eyes[1].seen, 1);
	close(eyes[0].watch.fd);
	close(eyes[1].watch.fd);
}

static void still_ready(struct watch *w, uint32_t events UNUSED)
{
	struct eye *e = caa_container_of(w, struct eye, watch);

	shard_check(NULL);
	if (++e->seen == 3) { /* level-triggered: nobody reads it, so it stays ready */
		w->events = 0;
		cr_expect_eq(shard_rewatch(w), 0);
		sem_post(e->done);
	}
	cr_expect_leq(e->seen, 3, "nothing is asked for any more");
}

static void watch_one(void *arg)
{
	shard_check(NULL);
	cr_expect_eq(shard_watch(arg), 0);
}

static void unwatch_one(void *arg)
{
	shard_check(NULL);
	shard_unwatch(arg);
}

Test(shard, watches_are_level_triggered_and_can_be_changed)
{
	struct eye e;
	sem_t done;

	sem_init(&done, 0, 0);
	shards_start(1);
	eye_open(&e, &done);
	e.watch.ready = still_ready;
	on_shard(0, watch_one, &e.watch);
	cr_expect(await(&done));
	on_shard(0, unwatch_one, &e.watch);
	shards_stop();
	cr_expect_eq(e.seen, 3);
	close(e.watch.fd);
}

static void watch_bad(void *arg UNUSED)
{
	struct watch w = { -1, EPOLLIN, eye_ready };

	shard_check(NULL);
	cr_expect_eq(shard_watch(&w), -EBADF);
}

Test(shard, a_bad_descriptor_is_an_error)
{
	shards_start(1);
	on_shard(0, watch_bad, NULL);
	shards_stop();
}

/* --- a turn's order --- */

static char journal[64];
static struct timer timer;
static struct turn_end at_end, again, withdrawn, endless;
static struct msg mail;
static sem_t written;

static void write_down(char c)
{
	journal[strlen(journal)] = c;
}

static void mail_run(struct msg *m UNUSED)
{
	shard_check(NULL);
	write_down('m');
	shard_at_turn_end(&at_end);
	shard_at_turn_end(&at_end); /* once, however often asked */
	shard_at_turn_end(&withdrawn);
	shard_not_at_turn_end(&withdrawn);
	shard_not_at_turn_end(&withdrawn);
	timer_set(&timer, 0);
}

static void timer_fire(struct timer *t UNUSED)
{
	write_down('t');
}

static void at_end_run(struct turn_end *t UNUSED)
{
	shard_check(NULL);
	write_down('e');
	shard_at_turn_end(&again);
}

static void again_run(struct turn_end *t UNUSED)
{
	write_down('a');
	sem_post(&written);
}

static void withdrawn_run(struct turn_end *t UNUSED)
{
	write_down('w');
}

static void begin_turn(void *arg UNUSED)
{
	shard_check(NULL);
	timer_init(&timer, timer_fire);
	turn_end_init(&at_end, at_end_run);
	turn_end_init(&again, again_run);
	turn_end_init(&withdrawn, withdrawn_run);
	mail.run = mail_run;
	shard_post(shard_self(), &mail); /* from here on everything is in one turn */
}

Test(shard, a_turn_is_mail_then_timers_then_its_end)
{
	sem_init(&written, 0, 0);
	shards_start(1);
	on_shard(0, begin_turn, NULL);
	cr_expect(await(&written));
	shards_stop();
	cr_expect_str_eq(journal, "mtea");
}

static unsigned ran_endless;

static void endless_run(struct turn_end *t)
{
	shard_check(NULL);
	if (++ran_endless < 1000)
		shard_at_turn_end(t);
}

static void begin_endless(void *arg UNUSED)
{
	shard_check(NULL);
	turn_end_init(&endless, endless_run);
	shard_at_turn_end(&endless);
}

static void count_turns(void *arg)
{
	*(unsigned *)arg = ran_endless;
}

Test(shard, an_end_of_turn_that_asks_for_more_does_not_hold_the_shard)
{
	unsigned n = 0;

	shards_start(1);
	on_shard(0, begin_endless, NULL);
	while (n < 1000) /* each look is a message that had its turn in between */
		on_shard(0, count_turns, &n);
	shards_stop();
	cr_expect_eq(ran_endless, 1000);
}

/* --- timers --- */

static void set_timer(void *arg)
{
	struct timer *t = arg;

	shard_check(NULL);
	timer_set(t, 1000);
	cr_expect_eq(timer_left_ms(t), 1000);
	timer_set(t, 30);
	cr_expect_eq(timer_left_ms(t), 30);
	timer_cancel(t);
	cr_expect_eq(timer_left_ms(t), 0);
	timer_set(t, 30);
}

static void post_fire(struct timer *t UNUSED)
{
	sem_post(&written);
}

Test(shard, a_sleeping_shard_wakes_for_its_timer)
{
	sem_init(&written, 0, 0);
	timer_init(&timer, post_fire);
	shards_start(1);
	on_shard(0, set_timer, &timer);
	cr_expect(await(&written));
	shards_stop();
}

static uint64_t set_at_ms, fired_at_ms;

static void note_time(struct timer *t UNUSED)
{
	shard_check(NULL);
	fired_at_ms = shard_now_ms();
	sem_post(&written);
}

static void set_after_sleep(void *arg UNUSED)
{
	shard_check(NULL);
	timer_init(&timer, note_time);
	set_at_ms = shard_now_ms();
	timer_set(&timer, 20);
	cr_expect_eq(timer_left_ms(&timer), 20);
}

/* The delay counts from the turn that sets it, not from the one before the shard slept. */
Test(shard, a_timer_set_by_what_woke_the_shard_is_not_early)
{
	struct timespec pause = { .tv_nsec = 60000000 };

	sem_init(&written, 0, 0);
	shards_start(1);
	on_shard(0, count_turns, &(unsigned){ 0 });
	nanosleep(&pause, NULL);
	on_shard(0, set_after_sleep, NULL);
	cr_assert(await(&written));
	cr_expect_geq(fired_at_ms, set_at_ms + 20);
	shards_stop();
}

/* --- RCU --- */

Test(shard, sleeping_or_turning_it_holds_up_no_grace_period)
{
	shards_start(2);
	rcu_thread_begin();
	rcu_wait(); /* hangs when a sleeping shard counts as a reader */
	on_shard(0, count_turns, &(unsigned){ 0 });
	rcu_wait();
	rcu_thread_end();
	shards_stop();
}

/* --- checks --- */

Test(shard, off_a_shard_the_check_aborts, .signal = SIGABRT)
{
	shard_check(NULL);
}

static void check_other(void *arg)
{
	shard_check(arg);
}

Test(shard, on_another_shard_the_check_aborts, .signal = SIGABRT)
{
	shards_start(2);
	on_shard(0, check_other, shard_at(1));
}

/* --- slow handlers --- */

static void dawdle(void *arg UNUSED)
{
	struct timespec pause = { .tv_nsec = 60000000 };

	nanosleep(&pause, NULL);
}

struct reading {
	const char *name;
	int64_t value;
};

static void read_metric(const struct metric *m, void *arg)
{
	struct reading *r = arg;

	if (strcmp(m->name, r->name) == 0)
		r->value = metric_value(m);
}

static int64_t reading_of(const char *name)
{
	struct reading r = { .name = name };

	metric_each(read_metric, &r);
	return r.value;
}

Test(shard, a_slow_handler_is_counted)
{
	shards_start(1);
	on_shard(0, count_turns, &(unsigned){ 0 });
	on_shard(0, dawdle, NULL);
	shards_stop();
	cr_expect_eq(reading_of("shard_slow_turns_total"), 1);
}

static void nothing(void *arg UNUSED)
{
}

/* What woke it once wakes it once: with nothing to do no turn follows. */
Test(shard, sleeps_when_there_is_nothing_to_do)
{
	enum { POSTS = 200 };

	shards_start(1);
	for (unsigned i = 0; i < POSTS; i++)
		on_shard(0, nothing, NULL);
	dawdle(NULL); /* long enough for thousands of turns */
	cr_expect_leq(reading_of("shard_turns_total"), 2 * POSTS + 10);
	shards_stop();
}
