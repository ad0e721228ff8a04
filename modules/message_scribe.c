/* modules/message_scribe.c - what a shard gives the database to write: one write at a time, and in
 * it all that has come since the last one, so that the busier it is the more messages share a
 * commit. What cannot be written now stays and is tried again; meanwhile nothing new is accepted.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "modules/message_inside.h"

#define BATCH_MAX 2000 /* messages of one write */
#define RETRY_MS 1000

/* One shard's. */
struct scribe {
	uint64_t last_id;
	struct message_keeping *first, **last; /* all that is not durable, in order */
	unsigned writing; /* so many of the first are under way; 0: none */
	unsigned batch; /* how many may be: fewer after a failure, to find out whose it is */
	uint64_t accepted, settled; /* counts of message_write() and of done() */
	int failing; /* negative errno of the last write; 0: it went well */
	struct db_work work;
	struct turn_end turn_end;
	struct timer retry;
	struct waiter *waiters;
};
/* A thread that waits until the first `settled` are durable. */
struct waiter {
	struct errand errand;
	struct waiter *next;
	uint64_t settled;
	bool ending; /* and then the scribe goes */
};

/* What a shard has begun and ended, for whoever would wait for it: equal, when nothing is under
 * way.
 */
static struct progress {
	_Atomic uint64_t begun, ended;
} __attribute__((aligned(64))) progress[SHARDS_MAX];

static struct db *_Atomic db;
static _Atomic uint64_t floor_id;
static _Thread_local struct scribe *mine;

static struct metric stored_metric =
	METRIC_COUNTER("messages_stored_total", "Messages written into the message log.");
static struct metric lost_metric = METRIC_COUNTER("messages_not_stored_total",
	"Messages that could not be written into the message log for what they are.");
static struct metric writes_metric =
	METRIC_SPREAD("message_log_batch", "Messages written into the message log at once.");
static struct metric failed_metric = METRIC_COUNTER("message_log_failed_total",
	"Writes into the message log that failed and were tried again.");

/* ---- Progress */

void message_begun(void)
{
	struct progress *p = &progress[shard_index(shard_self())];

	atomic_store_explicit(&p->begun, atomic_load_explicit(&p->begun, memory_order_relaxed) + 1,
		memory_order_relaxed);
}

void message_ended(void)
{
	struct progress *p = &progress[shard_index(shard_self())];

	atomic_store_explicit(&p->ended, atomic_load_explicit(&p->ended, memory_order_relaxed) + 1,
		memory_order_release);
}

static bool anything_under_way(unsigned shard)
{
	uint64_t ended = atomic_load_explicit(&progress[shard].ended, memory_order_acquire);

	return atomic_load_explicit(&progress[shard].begun, memory_order_relaxed) != ended;
}

/* ---- Writing */

static int write_one(struct db_tx *tx, struct message_row *row)
{
	if (row->body)
		return message_db_put(tx, row);
	return message_db_received(tx, row->entries[1].account, row->id);
}

static int run(struct db_tx *tx, struct db_work *w)
{
	struct scribe *s = container_of(w, struct scribe, work);
	struct message_keeping *k = s->first;
	int result = 0;

	for (unsigned left = s->writing; left && result >= 0; left--) {
		result = write_one(tx, &k->row);
		if (left > 1) /* the shard may be adding behind the last one */
			k = k->next;
	}
	return result;
}

ON_SHARD static void begin_write(struct scribe *s);

/* It will never go in: a constraint, its size. Not the disk, not the database's state. */
static bool is_its_own_fault(int error)
{
	return error == -EINVAL || error == -E2BIG || error == -EEXIST || error == -ENOENT;
}

ON_SHARD static void settle(struct scribe *s, int error)
{
	for (; s->writing; s->writing--) {
		struct message_keeping *k = s->first;

		s->first = k->next;
		if (!s->first)
			s->last = &s->first;
		s->settled++;
		message_ended();
		k->done(k, error);
	}
}

/* What cannot be written is in the spool still. */
ON_SHARD static void scribe_end(struct scribe *s)
{
	while (s->first) {
		s->writing = 1;
		settle(s, s->failing);
	}
	timer_cancel(&s->retry);
	shard_not_at_turn_end(&s->turn_end);
	mine = NULL;
	free(s);
}

/* Nobody waits for a database that is away. */
ON_SHARD static void tell_waiters(struct scribe *s)
{
	bool ending = false;

	for (struct waiter **at = &s->waiters, *w; (w = *at);) {
		if (w->settled > s->settled && (!s->failing || (w->ending && s->writing))) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		ending |= w->ending;
		if (w->ending)
			scribe_end(s);
		errand_tell(&w->errand);
		if (ending)
			return;
	}
}

/* What somebody has already is tried again; the others' senders are not kept waiting. */
ON_SHARD static void refuse_those_that_may(struct scribe *s, int error)
{
	struct message_keeping *refused = NULL, **last = &refused, *k;
	struct message_keeping **at = &s->first;

	while ((k = *at)) {
		if (!k->refusable) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		*last = k;
		last = &k->next;
		s->settled++;
	}
	s->last = at;
	*last = NULL;
	while ((k = refused)) {
		refused = k->next;
		message_ended();
		k->done(k, error);
	}
}

ON_SHARD static void note_failure(struct scribe *s, int error)
{
	static struct log_seldom seldom;
	uint32_t left_out;

	metric_add(&failed_metric, 1);
	if (log_seldom(&seldom, &left_out))
		log_error("messages", "cannot be stored", L_STR("why", strerror(-error)),
			L_INT("left_out", left_out));
	s->failing = error;
	if (s->writing == 1 && is_its_own_fault(error)) {
		metric_add(&lost_metric, 1);
		s->failing = 0;
		settle(s, error);
		return;
	}
	s->writing = 0;
	s->batch = 1;
	if (is_its_own_fault(error))
		return;
	timer_set(&s->retry, RETRY_MS);
	refuse_those_that_may(s, error);
}

static void written(struct db_work *w)
{
	struct scribe *s = container_of(w, struct scribe, work);

	shard_check(NULL);
	if (w->result < 0) {
		note_failure(s, w->result);
	} else {
		metric_add(&stored_metric, s->writing);
		metric_spread(&writes_metric, s->writing);
		s->failing = 0;
		s->batch = s->batch * 2 < BATCH_MAX ? s->batch * 2 : BATCH_MAX;
		settle(s, 0);
	}
	if (!timer_armed(&s->retry))
		begin_write(s);
	tell_waiters(s);
}

ON_SHARD static void begin_write(struct scribe *s)
{
	unsigned n = 0;

	if (s->writing || !s->first)
		return;
	for (struct message_keeping *k = s->first; k && n < s->batch; k = k->next)
		n++;
	s->writing = n;
	s->work.run = run;
	s->work.done = written;
	if (db_write_later(atomic_load_explicit(&db, memory_order_relaxed), &s->work) == 0)
		return;
	s->writing = 0;
	timer_set(&s->retry, RETRY_MS / 20); /* too much waits there */
}

static void turn_ended(struct turn_end *t)
{
	struct scribe *s = container_of(t, struct scribe, turn_end);

	shard_check(NULL);
	if (!timer_armed(&s->retry))
		begin_write(s);
}

static void retry(struct timer *t)
{
	struct scribe *s = container_of(t, struct scribe, retry);

	shard_check(NULL);
	if (!s->first)
		s->failing = 0; /* the next message will show */
	begin_write(s);
}

ON_SHARD static struct scribe *scribe(void)
{
	if (!mine) {
		mine = xcalloc(1, sizeof(*mine));
		mine->last = &mine->first;
		mine->batch = BATCH_MAX;
		turn_end_init(&mine->turn_end, turn_ended);
		timer_init(&mine->retry, retry);
	}
	return mine;
}

void message_write(struct message_keeping *k)
{
	struct scribe *s = scribe();

	k->next = NULL;
	*s->last = k;
	s->last = &k->next;
	s->accepted++;
	message_begun();
	shard_at_turn_end(&s->turn_end);
}

int message_writing_fails(void)
{
	return scribe()->failing;
}

/* ---- Ids */

void message_id_floor(uint64_t id)
{
	atomic_store(&floor_id, id);
}

static uint64_t wall_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t message_new_id(void)
{
	struct scribe *s = scribe();
	uint64_t id = wall_us() << MESSAGE_ID_SHIFT | shard_index(shard_self());
	uint64_t floor = atomic_load_explicit(&floor_id, memory_order_relaxed);

	if (s->last_id < floor) /* the clock may have been set back since then */
		s->last_id =
			(floor | 0xff) - 0xff + shard_index(shard_self()) + (1 << MESSAGE_ID_SHIFT);
	if (id <= s->last_id)
		id = s->last_id + (1 << MESSAGE_ID_SHIFT);
	s->last_id = id;
	return id;
}

/* ---- Waiting for all of it */

static void wait_here(struct msg *m)
{
	struct waiter *w = container_of(m, struct waiter, errand.msg);
	struct scribe *s;

	shard_check(NULL);
	s = scribe();
	w->settled = s->accepted;
	w->next = s->waiters;
	s->waiters = w;
	tell_waiters(s);
}

static void wait_for_scribe(unsigned shard, bool ending)
{
	struct waiter w = { .ending = ending };

	errand_wait(&w.errand, shard_at(shard), wait_here);
}

/* A shard that has nothing under way is not woken. */
void message_log_settle(void)
{
	for (unsigned i = 0; i < shards_count(); i++)
		if (anything_under_way(i))
			wait_for_scribe(i, false);
}

void message_scribes_start(struct db *into)
{
	struct metric *all[] = { &stored_metric, &lost_metric, &writes_metric, &failed_metric };

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		metric_register(all[i]);
	atomic_store(&db, into);
}

void message_scribes_stop(void)
{
	for (unsigned i = 0; i < shards_count(); i++)
		wait_for_scribe(i, true);
	atomic_store(&db, NULL);
}
