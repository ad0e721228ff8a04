/* modules/message_sweep.c - nobody finds what is too old any more, so there is no hurry: one thread
 * goes round all accounts, and
 * deletes in small writes, each followed by a rest as long as it took, so that whoever waits for
 * the database's writer comes in between. */
#include "modules/message_sweep.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/job.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/thread.h"
#include "modules/message_archive.h"
#include "router/host.h"

#define ROUND_MS 60000 /* from the end of one round to the next */
#define DELETE_AT_ONCE 100
#define LOOK_AT_ONCE 100 /* accounts looked at between rests */
#define REST_MS 5 /* at least */
#define REST_TIMES 9 /* of the time that looking took */

static struct metric expired_metric = METRIC_COUNTER("messages_expired_total",
	"Messages deleted from archives and from what waits for their age or their number.");
static struct metric rounds_metric = METRIC_COUNTER(
	"message_sweeps_total", "Rounds through all accounts for messages that have expired.");

struct swept {
	struct swept *next;
	const struct host *host;
	message_limits_fn *fn;
	void *arg;
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static struct swept *hosts;
static bool ending;
static pthread_t sweeper;

__attribute__((constructor)) static void init_changed(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&changed, &attr);
	pthread_condattr_destroy(&attr);
}

/* False: the sweeper is to end. */
static bool rest(uint64_t ms)
{
	uint64_t until = clock_ms() + ms;
	struct timespec at = { (time_t)(until / 1000), (long)(until % 1000) * 1000000 };
	bool reading = rcu_offline(), go_on;

	pthread_mutex_lock(&lock);
	while (!ending && clock_ms() < until)
		pthread_cond_timedwait(&changed, &lock, &at);
	go_on = !ending;
	pthread_mutex_unlock(&lock);
	rcu_online(reading);
	return go_on;
}

/* Of an account's host. False: it has none (now). Functions are called under the lock, so that who
 * takes one back waits for it. */
static bool limits_of(const char *host, struct message_limits *out)
{
	bool found = false;

	*out = (struct message_limits){ 0 };
	pthread_mutex_lock(&lock);
	for (struct swept *s = hosts; s; s = s->next)
		if (strcmp(s->host->name, host) == 0) {
			s->fn(s->arg, out);
			found = true;
		}
	pthread_mutex_unlock(&lock);
	return found && (out->archive_below || out->archive_max || out->waiting_below);
}

struct cut {
	int64_t account;
	uint64_t below;
};

static int cut_archive(struct db_tx *tx, void *arg)
{
	const struct cut *c = arg;

	return message_archive_trim(tx, c->account, c->below, DELETE_AT_ONCE);
}

static int cut_waiting(struct db_tx *tx, void *arg)
{
	const struct cut *c = arg;

	return message_archive_give_up(tx, c->account, c->below - 1, DELETE_AT_ONCE);
}

/* Write by write. False: the sweeper is to end. */
ON_JOB static bool cut(struct cut *c, int (*run)(struct db_tx *tx, void *arg))
{
	uint64_t began;
	int n;

	do {
		began = clock_ms();
		n = db_write(db_main(), run, c);
		if (n > 0)
			metric_add(&expired_metric, n);
		if (!rest(clock_ms() - began + REST_MS))
			return false;
	} while (n == DELETE_AT_ONCE);
	return true;
}

/* It looks first, so that who has nothing to lose costs no write. */
ON_JOB static bool sweep_archive(int64_t account, const struct message_limits *limits)
{
	struct cut c = { .account = account, .below = limits->archive_below };
	uint64_t nth = 0, oldest, newest;

	if (limits->archive_max)
		message_archive_nth(db_main(), account, limits->archive_max, &nth);
	if (nth > c.below)
		c.below = nth;
	if (!c.below || message_archive_ends(db_main(), account, 0, &oldest, &newest) <= 0 ||
		oldest >= c.below)
		return true;
	return cut(&c, cut_archive);
}

ON_JOB static bool sweep_waiting(int64_t account, const struct message_limits *limits)
{
	struct cut c = { .account = account, .below = limits->waiting_below };
	uint64_t any;

	if (!c.below || message_archive_waiting(db_main(), account, 0, c.below - 1, &any, 1) <= 0)
		return true;
	return cut(&c, cut_waiting);
}

ON_JOB static bool sweep_account(const struct message_owner *o)
{
	struct message_limits limits;

	if (!limits_of(o->host, &limits))
		return true;
	return sweep_waiting(o->no, &limits) && sweep_archive(o->no, &limits);
}

static bool any_limits(void)
{
	struct message_limits limits = { 0 };

	pthread_mutex_lock(&lock);
	for (struct swept *s = hosts; s; s = s->next)
		s->fn(s->arg, &limits);
	pthread_mutex_unlock(&lock);
	return limits.archive_below || limits.archive_max || limits.waiting_below;
}

ON_JOB static bool sweep_all(void)
{
	struct message_owner *o = xcalloc(1, sizeof(*o));
	uint64_t began = clock_ms();
	bool go_on = true;

	for (unsigned n = 1; go_on && message_archive_next(db_main(), o->no, o) > 0; n++) {
		go_on = sweep_account(o);
		if (n % LOOK_AT_ONCE || !go_on)
			continue;
		go_on = rest((clock_ms() - began) * REST_TIMES + REST_MS);
		began = clock_ms();
	}
	free(o);
	metric_add(&rounds_metric, 1);
	return go_on;
}

static void *sweep(void *unused UNUSED)
{
	bool go_on;

	rcu_thread_begin();
	job_check();
	do
		go_on = !any_limits() || sweep_all();
	while (go_on && rest(ROUND_MS));
	rcu_thread_end();
	return NULL;
}

void message_sweep_use(const struct host *h, message_limits_fn *fn, void *arg)
{
	struct swept *s = xcalloc(1, sizeof(*s));
	bool first;

	metric_register(&expired_metric);
	metric_register(&rounds_metric);
	s->host = h;
	s->fn = fn;
	s->arg = arg;
	pthread_mutex_lock(&lock);
	first = !hosts;
	s->next = hosts;
	hosts = s;
	pthread_mutex_unlock(&lock);
	if (first)
		REQUIRE(thread_start(&sweeper, "messages", sweep, NULL) == 0);
}

void message_sweep_unuse(const struct host *h, message_limits_fn *fn, void *arg)
{
	struct swept **at = &hosts, *s;
	bool last, reading;

	pthread_mutex_lock(&lock);
	while ((*at)->host != h || (*at)->fn != fn || (*at)->arg != arg)
		at = &(*at)->next;
	s = *at;
	*at = s->next;
	last = ending = !hosts;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	free(s);
	if (!last)
		return;
	reading = rcu_offline();
	pthread_join(sweeper, NULL);
	rcu_online(reading);
	ending = false;
}
