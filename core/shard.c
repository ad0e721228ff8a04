/* core/shard.c - the event loop, from starting the threads to draining what they leave. */
#include "core/shard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/actor.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/stall.h"
#include "core/thread.h"
#include "core/timer.h"

#define EVENTS_MAX 256
#define AHEAD 3 /* events whose objects are being fetched while one is handled */
#define TURN_END_PASSES 8 /* what still asks after that many waits for the next turn */
#define SLEEP_MAX_MS 3600000 /* epoll_wait() counts in int */

struct shard {
	/* Constant after shards_start(). */
	unsigned index;
	int epoll_fd;
	pthread_t thread;
	struct mailbox *mailbox;
	struct wheel *wheel; /* owned; used by the shard alone, as everything below */
	struct msg stop; /* posted once by shards_stop() */
	struct watch bell;
	uint64_t now_ms;
	uint64_t turn_began_us; /* 0: has slept since the last one */
	struct cds_list_head turn_ends;
	uint64_t to_ring[(SHARDS_MAX + 63) / 64]; /* bit i: shard i has got mail this turn */
	bool stopping;
	int n_events, at_event; /* events[at_event..n_events) are still to be handled */
	struct epoll_event events[EVENTS_MAX];
	char scratch[SHARD_SCRATCH] __attribute__((aligned(64)));
};

static struct shard *shards[SHARDS_MAX]; /* written by main while no shard runs */
static unsigned n_shards;
static _Thread_local struct shard *self;

static struct metric turns = METRIC_COUNTER("shard_turns_total", "Turns of the shards' loops");
static struct metric messages =
	METRIC_COUNTER("shard_messages_total", "Messages the shards took from their mailboxes");
static struct metric events_taken =
	METRIC_COUNTER("shard_events_total", "Descriptor events the shards handled");
static struct metric timers_fired = METRIC_COUNTER("shard_timers_total", "Timers that fired");
static struct metric turn_lengths =
	METRIC_TIME("shard_turn_seconds", "Lengths of turns: what else is ready waits so long");

unsigned shards_count(void)
{
	return n_shards;
}

struct shard *shard_at(unsigned index)
{
	REQUIRE(index < n_shards);
	return shards[index];
}

unsigned shard_index(const struct shard *s)
{
	return s->index;
}

struct shard *shard_self(void)
{
	return self;
}

void shard_check(const struct shard *s)
{
	REQUIRE(self && (!s || s == self));
}

unsigned shard_waiting(const struct shard *s)
{
	return mailbox_waiting(s->mailbox);
}

unsigned shard_load(const struct shard *s)
{
	return actor_count(s->index);
}

uint64_t shard_now_ms(void)
{
	return self->now_ms;
}

char *shard_scratch(void)
{
	return self->scratch;
}

/* --- mail --- */

void shard_post(struct shard *s, struct msg *m)
{
	mailbox_post(s->mailbox, m);
	/* Others ring even when the box was not empty: who came first may ring at the end of a long
	 * turn only. Looking whether s sleeps costs a load. */
	if (!self)
		mailbox_ring(s->mailbox);
	else if (self != s)
		self->to_ring[s->index / 64] |= (uint64_t)1 << s->index % 64;
}

static void ring_bells(struct shard *s)
{
	for (unsigned i = 0; i < ARRAY_LEN(s->to_ring); i++) {
		while (s->to_ring[i]) {
			unsigned bit = (unsigned)__builtin_ctzll(s->to_ring[i]);

			s->to_ring[i] &= s->to_ring[i] - 1;
			mailbox_ring(shards[i * 64 + bit]->mailbox);
		}
	}
}

/* --- descriptors --- */

static int control(int op, struct watch *w)
{
	struct epoll_event ev = { .events = w->events, .data.ptr = w };

	return epoll_ctl(self->epoll_fd, op, w->fd, &ev) < 0 ? -errno : 0;
}

int shard_watch(struct watch *w)
{
	return control(EPOLL_CTL_ADD, w);
}

int shard_rewatch(struct watch *w)
{
	return control(EPOLL_CTL_MOD, w);
}

void shard_unwatch(struct watch *w)
{
	control(EPOLL_CTL_DEL, w);
	for (int i = self->at_event; i < self->n_events; i++) {
		if (self->events[i].data.ptr == w)
			self->events[i].data.ptr = NULL;
	}
}

/* The mailbox is looked into every turn; waking up is all the bell is for. */
static void bell_ready(struct watch *w UNUSED, uint32_t events UNUSED)
{
}

static void run_events(struct shard *s)
{
	for (int i = 0; i < AHEAD && i < s->n_events; i++)
		watch_soon(s->events[i].data.ptr);
	for (s->at_event = 0; s->at_event < s->n_events;) {
		struct epoll_event *ev = &s->events[s->at_event++];
		struct watch *w = ev->data.ptr;
		void (*ready)(struct watch * w, uint32_t events);

		if (s->at_event + AHEAD <= s->n_events)
			watch_soon(ev[AHEAD].data.ptr);
		if (!w) /* unwatched by a handler before it */
			continue;
		ready = w->ready;
		ready(w, ev->events);
		stall_ran("watch", (void *)ready);
	}
	if (s->n_events)
		metric_add(&events_taken, s->n_events);
}

/* --- timers --- */

void timer_set(struct timer *t, uint64_t delay_ms)
{
	wheel_set(self->wheel, t, delay_ms);
}

void timer_cancel(struct timer *t)
{
	wheel_cancel(self->wheel, t);
}

uint64_t timer_left_ms(const struct timer *t)
{
	return timer_armed(t) && t->due_ms > self->now_ms ? t->due_ms - self->now_ms : 0;
}

/* --- end of turn --- */

void turn_end_init(struct turn_end *t, void (*run)(struct turn_end *t))
{
	CDS_INIT_LIST_HEAD(&t->node);
	t->run = run;
}

void shard_at_turn_end(struct turn_end *t)
{
	if (cds_list_empty(&t->node))
		cds_list_add_tail(&t->node, &self->turn_ends);
}

void shard_not_at_turn_end(struct turn_end *t)
{
	cds_list_del_init(&t->node);
}

static void run_turn_ends(struct shard *s)
{
	for (unsigned pass = 0; pass < TURN_END_PASSES && !cds_list_empty(&s->turn_ends); pass++) {
		CDS_LIST_HEAD(asked);

		cds_list_splice(&s->turn_ends, &asked);
		CDS_INIT_LIST_HEAD(&s->turn_ends);
		while (!cds_list_empty(&asked)) {
			struct turn_end *t = cds_list_first_entry(&asked, struct turn_end, node);
			void (*run)(struct turn_end * t) = t->run;

			cds_list_del_init(&t->node);
			run(t);
			stall_ran("turn_end", (void *)run);
		}
	}
}

/* --- the loop --- */

static unsigned run_mail(struct shard *s)
{
	unsigned ran;

	shard_check(s);
	ran = mailbox_run(s->mailbox);
	if (ran)
		metric_add(&messages, ran);
	return ran;
}

static void run_timers(struct shard *s)
{
	unsigned fired = wheel_fire(s->wheel);

	if (fired)
		metric_add(&timers_fired, fired);
}

/* Busy, one turn ends where the next begins; otherwise where the shard looks how long to sleep. */
static void end_turn(struct shard *s, uint64_t now_us)
{
	if (s->turn_began_us) {
		metric_time(&turn_lengths, now_us - s->turn_began_us);
		stall_turn((now_us - s->turn_began_us) / 1000);
	}
	s->turn_began_us = 0;
}

/* How long nothing will be due, in whole milliseconds rounded up: so no timer is woken for early.
 */
static int idle_ms(struct shard *s)
{
	uint64_t left = wheel_next_ms(s->wheel), now_us = clock_us(), passed;

	end_turn(s, now_us);
	if (left == UINT64_MAX)
		return -1;
	passed = now_us / 1000 - s->now_ms;
	left = left > passed ? left - passed : 0;
	return left < SLEEP_MAX_MS ? (int)left : SLEEP_MAX_MS;
}

/* Fetches descriptor events; sleeps for them when there is nothing else to do. */
static void await_events(struct shard *s)
{
	int timeout_ms = 0;
	bool reading;

	shard_check(s);
	if (cds_list_empty(&s->turn_ends) && (timeout_ms = idle_ms(s)) != 0 &&
		mailbox_may_sleep(s->mailbox)) {
		reading = rcu_offline();
		s->n_events = epoll_wait(s->epoll_fd, s->events, EVENTS_MAX, timeout_ms);
		rcu_online(reading);
		mailbox_awake(s->mailbox);
	} else {
		rcu_quiescent();
		s->n_events = epoll_wait(s->epoll_fd, s->events, EVENTS_MAX, 0);
	}
	if (s->n_events < 0)
		s->n_events = 0; /* EINTR: a debugger, or a signal that could not be blocked */
}

/* Once a turn, before anything runs: whatever is set in this turn counts from here. */
static void read_clock(struct shard *s)
{
	uint64_t now_us = clock_us();

	end_turn(s, now_us);
	s->turn_began_us = now_us;
	s->now_ms = now_us / 1000;
	wheel_tick(s->wheel, s->now_ms);
}

static void turn(struct shard *s)
{
	await_events(s);
	read_clock(s);
	stall_begin();
	run_events(s);
	run_mail(s);
	run_timers(s);
	run_turn_ends(s);
	ring_bells(s);
	metric_add(&turns, 1);
}

static void stop_asked(struct msg *m)
{
	caa_container_of(m, struct shard, stop)->stopping = true;
}

static void *shard_main(void *arg)
{
	struct shard *s = arg;

	self = s;
	rcu_thread_begin();
	while (!s->stopping || mailbox_waiting(s->mailbox))
		turn(s);
	rcu_thread_end();
	return NULL; /* still as the shard, for what thread-specific data's destructors do */
}

/* --- start and stop --- */

static void shard_free(struct shard *s)
{
	if (!s)
		return;
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	wheel_free(s->wheel);
	mailbox_free(s->mailbox);
	free(s);
}

static int shard_new(unsigned index, struct shard **out)
{
	struct shard *s = aligned_alloc(64, sizeof(*s));
	struct epoll_event ev;
	int err;

	REQUIRE(s);
	memset(s, 0, offsetof(struct shard, events));
	s->index = index;
	s->now_ms = clock_us() / 1000;
	s->wheel = wheel_new(s->now_ms);
	s->mailbox = mailbox_new();
	mailbox_look_ahead(s->mailbox, letters_soon);
	s->stop.run = stop_asked;
	s->bell = (struct watch){ mailbox_bell_fd(s->mailbox), EPOLLIN | EPOLLET, bell_ready };
	CDS_INIT_LIST_HEAD(&s->turn_ends);
	ev = (struct epoll_event){ .events = s->bell.events, .data.ptr = &s->bell };
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0 || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->bell.fd, &ev) < 0) {
		err = -errno;
		shard_free(s);
		return err;
	}
	*out = s;
	return 0;
}

/* Runs, as the shard it was for, what came to a shard that had ended. Returns whether any did. */
static bool drain(struct shard *s)
{
	bool asked = !cds_list_empty(&s->turn_ends);
	unsigned ran;

	self = s;
	read_clock(s);
	ran = run_mail(s);
	run_turn_ends(s);
	self = NULL;
	return ran > 0 || asked;
}

static void join_and_free(unsigned started)
{
	bool reading = rcu_offline(), again = true;

	for (unsigned i = 0; i < started; i++)
		mailbox_post(shards[i]->mailbox, &shards[i]->stop);
	for (unsigned i = 0; i < started; i++) {
		mailbox_ring(shards[i]->mailbox);
		pthread_join(shards[i]->thread, NULL);
	}
	rcu_online(reading);
	rcu_thread_begin();
	while (again) {
		again = false;
		for (unsigned i = 0; i < started; i++)
			again |= drain(shards[i]);
	}
	rcu_thread_end();
	for (unsigned i = 0; i < n_shards; i++) {
		shard_free(shards[i]);
		shards[i] = NULL;
	}
	n_shards = 0;
}

int shards_start(unsigned n)
{
	unsigned started = 0;
	char name[16];
	int err = 0;

	REQUIRE(n > 0 && n <= SHARDS_MAX && n_shards == 0);
	metric_register(&turns);
	metric_register(&messages);
	metric_register(&events_taken);
	metric_register(&timers_fired);
	metric_register(&turn_lengths);
	stall_register();
	while (n_shards < n && !err) {
		err = shard_new(n_shards, &shards[n_shards]);
		n_shards += !err;
	}
	while (started < n && !err) {
		snprintf(name, sizeof(name), "shard%u", started);
		err = thread_start(&shards[started]->thread, name, shard_main, shards[started]);
		started += !err;
	}
	if (err)
		join_and_free(started);
	return err;
}

void shards_stop(void)
{
	REQUIRE(!self);
	join_and_free(n_shards);
}
