/* modules/mam_sweep.c - what is too old or too much goes from the archives. Nobody finds what is
 * too old any more (mam_oldest_id()), so there is no hurry: one thread goes round all accounts, and
 * deletes in small writes, each followed by a rest as long as it took, so that whoever waits for
 * the database's writer comes in between. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/thread.h"
#include "modules/mam_inside.h"

#define ROUND_MS 60000 /* from the end of one round to the next */
#define DELETE_AT_ONCE 100
#define LOOK_AT_ONCE 100 /* accounts looked at between rests */
#define REST_MS 5 /* at least */
#define REST_TIMES 9 /* of the time that looking took */

static struct metric expired_metric = METRIC_COUNTER("archive_messages_expired_total",
	"Archived messages deleted for their age or their number.");
static struct metric rounds_metric =
	METRIC_COUNTER("archive_sweeps_total", "Rounds through all archives for what has expired.");

struct swept {
	struct swept *next;
	struct module_instance *mi;
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

/* The limits of an account's host; NULL: it has no archives (now). Counted. */
static const struct mam_conf *limits_of(const char *host)
{
	const struct mam_conf *conf = NULL;

	pthread_mutex_lock(&lock);
	for (struct swept *s = hosts; s && !conf; s = s->next)
		if (strcmp(s->mi->host->name, host) == 0)
			conf = module_conf_hold(s->mi);
	pthread_mutex_unlock(&lock);
	return conf;
}

struct cut {
	int64_t account;
	uint64_t below;
};

static int run_cut(struct db_tx *tx, void *arg)
{
	const struct cut *c = arg;

	return message_archive_trim(tx, c->account, c->below, DELETE_AT_ONCE);
}

/* What lies below the id. False: the sweeper is to end. */
ON_JOB static bool cut_below(struct cut *c)
{
	uint64_t began, oldest, newest;
	int n;

	if (!c->below || message_archive_ends(db_main(), c->account, 0, &oldest, &newest) <= 0 ||
		oldest >= c->below)
		return true;
	do {
		began = clock_ms();
		n = db_write(db_main(), run_cut, c);
		if (n > 0)
			metric_add(&expired_metric, n);
		if (!rest(clock_ms() - began + REST_MS))
			return false;
	} while (n == DELETE_AT_ONCE);
	return true;
}

ON_JOB static bool sweep_account(const struct message_owner *o)
{
	const struct mam_conf *conf = limits_of(o->host);
	struct cut c = { .account = o->no };
	uint64_t nth = 0;
	bool go_on = true;

	if (!conf)
		return true;
	c.below = mam_oldest_id(conf);
	if (conf->max_messages)
		message_archive_nth(db_main(), o->no, conf->max_messages, &nth);
	if (nth > c.below)
		c.below = nth;
	go_on = cut_below(&c);
	module_conf_drop(conf);
	return go_on;
}

static bool any_limits(void)
{
	bool any = false;

	pthread_mutex_lock(&lock);
	for (struct swept *s = hosts; s && !any; s = s->next) {
		const struct mam_conf *conf = module_conf_hold(s->mi);

		any = conf->max_messages || conf->expire_after < INT64_MAX;
		module_conf_drop(conf);
	}
	pthread_mutex_unlock(&lock);
	return any;
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

void mam_sweep_use(struct module_instance *mi)
{
	struct swept *s = xcalloc(1, sizeof(*s));
	bool first;

	metric_register(&expired_metric);
	metric_register(&rounds_metric);
	s->mi = mi;
	pthread_mutex_lock(&lock);
	first = !hosts;
	s->next = hosts;
	hosts = s;
	pthread_mutex_unlock(&lock);
	if (first)
		REQUIRE(thread_start(&sweeper, "archive", sweep, NULL) == 0);
}

void mam_sweep_unuse(struct module_instance *mi)
{
	struct swept **at = &hosts, *s;
	bool last;

	pthread_mutex_lock(&lock);
	while ((*at)->mi != mi)
		at = &(*at)->next;
	s = *at;
	*at = s->next;
	last = ending = !hosts;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	free(s);
	if (!last)
		return;
	pthread_join(sweeper, NULL);
	ending = false;
}
