/* router/auth_source.c - calls to backends, where they run, and what they cost others. */
#include "router/auth_source.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "core/thread.h"
#include "router/auth_cache.h"
#include "router/host_conf.h"

#define MAX_WAITING 1000
#define TIMEOUT_MS 10000
/* A source that has left all calls unanswered for so long gets no more from threads that would
 * wait for it: the job threads are everybody's. */
#define SILENT_MS 3000
#define STOP_GRACE_MS 1000 /* beyond the time-out, for calls under way when a source goes */

/* A thread of a source's. */
struct worker {
	struct auth_source *source;
	pthread_t thread;
	bool ended; /* under the source's lock */
	bool joined; /* auth_source_remove()'s */
};

struct auth_source {
	/* Constant. */
	struct auth_source_part part;
	struct worker *workers; /* owned: conf.threads of them */
	/* Under sources_lock: others of the same method, which were there before. */
	struct auth_source *below;
	_Atomic uint32_t refs;
	/* Under lock. */
	pthread_mutex_t lock;
	pthread_cond_t work; /* something waits, or it ends */
	pthread_cond_t told; /* an answer for auth_source_do() */
	pthread_cond_t gone; /* a thread has ended */
	struct auth_call *first, *last;
	unsigned waiting, running, resting;
	unsigned threads; /* that have not ended */
	unsigned begun; /* workers */
	uint64_t silent_since_ms; /* good while any wait or run */
	bool ending;
	bool left; /* auth_source_remove() has not waited for all threads: they drop it themselves
		    */
};

static pthread_mutex_t sources_lock = PTHREAD_MUTEX_INITIALIZER;

/* --- metrics --------------------------------------------------------------------------------- */

#define OF_EACH_SOURCE(n, h, k, u)                                                    \
	{                                                                             \
		METRIC_OF(n, "internal", h, k, u), METRIC_OF(n, "external", h, k, u), \
			METRIC_OF(n, "ldap", h, k, u), METRIC_OF(n, "sql", h, k, u),  \
			METRIC_OF(n, "pam", h, k, u), METRIC_OF(n, "jwt", h, k, u),   \
	}
#define METRIC_OF(n, s, h, k, u)                                                    \
	{                                                                           \
		.name = (n), .label = "source=\"" s "\"", .help = (h), .kind = (k), \
		.per_unit = (u)                                                     \
	}
static struct metric asked[AUTH_SOURCES] = OF_EACH_SOURCE(
	"auth_source_asked_total", "Questions to sources of accounts", METRIC_KIND_COUNTER, 0);
static struct metric failed[AUTH_SOURCES] = OF_EACH_SOURCE("auth_source_failed_total",
	"Passwords that sources of accounts refused", METRIC_KIND_COUNTER, 0);
static struct metric away[AUTH_SOURCES] = OF_EACH_SOURCE("auth_source_away_total",
	"Questions that sources of accounts did not answer", METRIC_KIND_COUNTER, 0);
static struct metric took[AUTH_SOURCES] = OF_EACH_SOURCE("auth_source_seconds",
	"How long sources of accounts took to answer", METRIC_KIND_HISTOGRAM, 1000000);

static void count(const struct auth_source *s, enum auth_deed deed, int result, uint64_t us)
{
	enum auth_method m = s->part.backend->method;

	metric_add(&asked[m], 1);
	metric_time(&took[m], us);
	metric_add(&away[m], result < 0);
	metric_add(&failed[m], deed == AUTH_DO_CHECK && result > 0);
}

/* --- the backend's functions ----------------------------------------------------------------- */

ON_JOB static int do_find(const struct auth_source_part *p, struct host *h, const char *user,
	struct auth_account *out)
{
	if (!p->backend->find)
		return -ENOSYS;
	*out = (struct auth_account){ 0 };
	return p->backend->find(p->arg, h, user, out);
}

ON_JOB static int do_exists(const struct auth_source_part *p, struct host *h, const char *user,
	struct auth_account *out)
{
	*out = (struct auth_account){ 0 };
	if (p->backend->exists)
		return p->backend->exists(p->arg, h, user);
	return do_find(p, h, user, out);
}

/* Against what find() tells; for a stranger against what he is shown, so that both take as long. */
ON_JOB static int check_verifiers(
	const struct auth_source_part *p, struct host *h, const char *user, const char *password)
{
	static const enum scram_hash order[] = { SCRAM_SHA_256, SCRAM_SHA_512, SCRAM_SHA_1 };
	struct auth_account account;
	int found = do_find(p, h, user, &account);
	unsigned i = 0;
	bool right;

	if (found < 0)
		return found;
	if (found)
		auth_fake_verifier(h, user, order[0], &account.scram[order[0]]);
	while (i < ARRAY_LEN(order) && !account.scram[order[i]].iterations)
		i++;
	right = i < ARRAY_LEN(order) && scram_check(order[i], password, &account.scram[order[i]]);
	wipe(&account.scram, sizeof(account.scram));
	if (found)
		return found;
	if (!right)
		return AUTH_WRONG;
	return account.disabled ? AUTH_DISABLED : 0;
}

ON_JOB static int do_check(
	const struct auth_source_part *p, struct host *h, const char *user, const char *password)
{
	char prepared[PASSWORD_MAX + 1];
	int result;

	if (p->backend->raw_passwords)
		return p->backend->check(p->arg, h, user, password);
	if (password_prepare(password, prepared))
		return AUTH_REFUSED;
	if (p->backend->check)
		result = p->backend->check(p->arg, h, user, prepared);
	else
		result = check_verifiers(p, h, user, prepared);
	wipe(prepared, sizeof(prepared));
	return result;
}

typedef int password_fn(void *arg, struct host *h, const char *user, const char *password);

ON_JOB static int with_password(const struct auth_source_part *p, password_fn *fn, struct host *h,
	const char *user, const char *password)
{
	char prepared[PASSWORD_MAX + 1];
	int result;

	if (!fn)
		return AUTH_READ_ONLY;
	if (password_prepare(password, prepared))
		return -EINVAL;
	result = fn(p->arg, h, user, prepared);
	wipe(prepared, sizeof(prepared));
	return result;
}

ON_JOB static int do_remove(
	const struct auth_source_part *p, struct host *h, const char *user, const char *password)
{
	if (password && p->backend->remove_with)
		return p->backend->remove_with(p->arg, h, user, password);
	return p->backend->remove ? p->backend->remove(p->arg, h, user) : AUTH_READ_ONLY;
}

ON_JOB static int do_deed(const struct auth_source *s, enum auth_deed deed, struct host *h,
	const char *user, const char *password, struct auth_account *out)
{
	const struct auth_source_part *p = &s->part;
	uint64_t began_us = clock_us();
	int result = -ENOSYS;

	switch (deed) {
	case AUTH_DO_FIND:
		result = do_find(p, h, user, out);
		break;
	case AUTH_DO_EXISTS:
		result = do_exists(p, h, user, out);
		break;
	case AUTH_DO_CHECK:
		result = do_check(p, h, user, password);
		break;
	case AUTH_DO_CREATE:
		result = with_password(p, p->backend->create, h, user, password);
		break;
	case AUTH_DO_SET_PASSWORD:
		result = with_password(p, p->backend->set_password, h, user, password);
		break;
	case AUTH_DO_REMOVE:
		result = do_remove(p, h, user, password);
		break;
	}
	out->source = p->backend->method;
	out->takes_verifiers = p->backend->set_verifier != NULL;
	count(s, deed, result, clock_us() - began_us);
	if (deed == AUTH_DO_CHECK && result == 0 && auth_source_is_slow(s) && p->conf.remember_ms)
		auth_cache_remember(h, p->backend->method, user, password);
	return result;
}

/* --- coming and going ------------------------------------------------------------------------ */

const struct auth_source_part *auth_source_part(const struct auth_source *s)
{
	return &s->part;
}

bool auth_source_is_slow(const struct auth_source *s)
{
	return s->part.conf.threads > 0;
}

static struct auth_source *source_ref(struct auth_source *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

struct auth_source *auth_source_hold(struct host *h, enum auth_method m)
{
	struct auth_source *s = rcu_get(h->auth[m]);

	/* The host's own reference goes only after a grace period. */
	return s ? source_ref(s) : NULL;
}

void auth_source_drop(struct auth_source *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (s->part.conf.free)
		s->part.conf.free(s->part.arg);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->told);
	pthread_cond_destroy(&s->gone);
	pthread_mutex_destroy(&s->lock);
	free(s->workers);
	free(s);
}

void auth_sources_forget(struct host *h)
{
	for (int m = 0; m < AUTH_SOURCES; m++) {
		struct auth_source *s = rcu_get(h->auth[m]), *below;

		for (; s; s = below) {
			below = s->below;
			auth_source_drop(s);
		}
	}
}

static void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t a;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(c, &a);
	pthread_condattr_destroy(&a);
}

static uint32_t mechanisms_of(const struct auth_backend *b)
{
	return b->check ? SASL_PLAIN : SASL_PLAIN | SASL_SCRAM_ALL;
}

void auth_source_add(struct host *h, const struct auth_backend *b, void *arg,
	const struct auth_source_conf *conf)
{
	struct auth_source *s = xcalloc(1, sizeof(*s));

	s->part = (struct auth_source_part){ .backend = b, .arg = arg };
	if (conf)
		s->part.conf = *conf;
	if (!s->part.conf.max_waiting)
		s->part.conf.max_waiting = MAX_WAITING;
	if (!s->part.conf.timeout_ms)
		s->part.conf.timeout_ms = TIMEOUT_MS;
	if (!s->part.conf.sasl)
		s->part.conf.sasl = mechanisms_of(b);
	if (s->part.conf.threads)
		s->workers = xcalloc(s->part.conf.threads, sizeof(*s->workers));
	atomic_init(&s->refs, 1);
	pthread_mutex_init(&s->lock, NULL);
	cond_init(&s->work);
	cond_init(&s->told);
	cond_init(&s->gone);
	metric_register(&asked[b->method]);
	metric_register(&failed[b->method]);
	metric_register(&away[b->method]);
	metric_register(&took[b->method]);
	pthread_mutex_lock(&sources_lock);
	s->below = rcu_get(h->auth[b->method]);
	rcu_set(h->auth[b->method], s);
	pthread_mutex_unlock(&sources_lock);
}

/* Takes it out of those of its method; NULL: it is none of them. */
static struct auth_source *withdraw(struct host *h, const struct auth_backend *b, void *arg)
{
	struct auth_source *above = NULL, *s;

	pthread_mutex_lock(&sources_lock);
	s = rcu_get(h->auth[b->method]);
	while (s && (s->part.backend != b || s->part.arg != arg)) {
		above = s;
		s = s->below;
	}
	if (s && above)
		above->below = s->below;
	else if (s)
		rcu_set(h->auth[b->method], s->below);
	pthread_mutex_unlock(&sources_lock);
	return s;
}

static struct timespec moment(uint64_t in_ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += (time_t)(in_ms / 1000);
	at.tv_nsec += (long)(in_ms % 1000) * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	return at;
}

/* --- its threads ----------------------------------------------------------------------------- */

static void call_home(struct msg *m)
{
	struct auth_call *c = container_of(m, struct auth_call, msg);

	c->done(c);
}

/* Whoever waits for it is told, or does the freeing if it has given up. */
static void answer_waiting(struct auth_source *s, struct auth_call *c)
{
	bool given_up;

	pthread_mutex_lock(&s->lock);
	given_up = !c->waited_for;
	c->answered = true;
	pthread_cond_broadcast(&s->told);
	pthread_mutex_unlock(&s->lock);
	if (given_up)
		auth_call_free(c);
}

static void answer(struct auth_source *s, struct auth_call *c)
{
	if (!c->done) {
		answer_waiting(s, c);
	} else if (c->home) {
		c->msg.run = call_home;
		shard_post(c->home, &c->msg);
	} else {
		c->done(c);
	}
}

/* Under the lock. */
static struct auth_call *next_call(struct auth_source *s)
{
	struct auth_call *c = s->first;

	s->first = c->next;
	s->waiting--;
	return c;
}

static void run_call(struct auth_source *s, struct auth_call *c)
{
	job_check();
	if (atomic_load_explicit(&c->unwanted, memory_order_relaxed))
		c->result = -ETIMEDOUT;
	else
		c->result = do_deed(s, c->deed, c->host, c->user, c->password, &c->account);
	if (c->password)
		wipe(c->password, strlen(c->password));
}

static void *source_main(void *arg)
{
	struct worker *w = arg;
	struct auth_source *s = w->source;
	bool left;

	rcu_thread_begin();
	pthread_mutex_lock(&s->lock);
	while (!s->ending) {
		struct auth_call *c;
		bool reading;

		if (!s->first) {
			reading = rcu_offline();
			s->resting++;
			pthread_cond_wait(&s->work, &s->lock);
			s->resting--;
			rcu_online(reading);
			continue;
		}
		c = next_call(s);
		s->running++;
		pthread_mutex_unlock(&s->lock);
		run_call(s, c);
		rcu_quiescent();
		pthread_mutex_lock(&s->lock);
		s->running--;
		s->silent_since_ms = clock_ms();
		pthread_mutex_unlock(&s->lock);
		answer(s, c);
		pthread_mutex_lock(&s->lock);
	}
	left = s->left;
	if (!left) /* auth_source_remove() has one more, and waits */
		atomic_fetch_sub_explicit(&s->refs, 1, memory_order_release);
	s->threads--;
	w->ended = true;
	pthread_cond_broadcast(&s->gone);
	pthread_mutex_unlock(&s->lock);
	if (left)
		auth_source_drop(s);
	rcu_thread_end();
	return NULL;
}

/* Under the lock: one more thread, if it is of use. False: there is none to run anything. */
static bool enough_threads(struct auth_source *s)
{
	struct worker *w;
	char name[16];
	int error;

	if (s->resting > s->waiting || s->begun == s->part.conf.threads)
		return true;
	w = &s->workers[s->begun];
	snprintf(name, sizeof(name), "auth_%s", s->part.backend->name);
	source_ref(s);
	w->source = s;
	error = thread_start(&w->thread, name, source_main, w);
	if (error) {
		atomic_fetch_sub_explicit(&s->refs, 1, memory_order_relaxed);
		log_error("auth", "no thread for a source of accounts",
			L_STR("source", s->part.backend->name), L_STR("why", strerror(-error)));
		return s->threads > 0;
	}
	s->begun++;
	s->threads++;
	return true;
}

/* What waits is told that nobody will look at it. */
static void cancel_waiting(struct auth_source *s)
{
	struct auth_call *c;

	pthread_mutex_lock(&s->lock);
	while (s->first) {
		c = next_call(s);
		pthread_mutex_unlock(&s->lock);
		c->result = -ECANCELED;
		answer(s, c);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
}

void auth_source_remove(struct host *h, const struct auth_backend *b, void *arg)
{
	struct auth_source *s = withdraw(h, b, arg);
	struct timespec until;
	bool reading;
	int late = 0;

	if (!s)
		return;
	rcu_wait();
	until = moment(s->part.conf.timeout_ms + STOP_GRACE_MS);
	reading = rcu_offline();
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	cancel_waiting(s);
	pthread_mutex_lock(&s->lock);
	while (s->threads && !late)
		late = pthread_cond_timedwait(&s->gone, &s->lock, &until);
	if (s->threads)
		log_warning("auth", "a source of accounts hangs and is left to itself",
			L_STR("host", h->name), L_STR("source", b->name),
			L_INT("threads", s->threads));
	s->left = s->threads > 0;
	for (unsigned i = 0; i < s->begun; i++)
		s->workers[i].joined = s->workers[i].ended;
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->begun; i++)
		if (s->workers[i].joined)
			pthread_join(s->workers[i].thread, NULL);
		else
			pthread_detach(s->workers[i].thread);
	rcu_online(reading);
	auth_source_drop(s);
}

/* --- calls ----------------------------------------------------------------------------------- */

static uint64_t silent_ms(const struct auth_source *s)
{
	return s->waiting + s->running ? clock_ms() - s->silent_since_ms : 0;
}

static struct auth_call *call_new(struct auth_source *s, enum auth_deed deed, struct host *h,
	const char *user, const char *password)
{
	struct auth_call *c = xcalloc(1, sizeof(*c));

	c->deed = deed;
	c->source = source_ref(s);
	c->host = host_ref(h);
	c->user = xstrdup(user);
	c->password = password ? xstrdup(password) : NULL;
	return c;
}

void auth_call_free(struct auth_call *c)
{
	if (c->password)
		wipe(c->password, strlen(c->password));
	free(c->password);
	free(c->user);
	wipe(&c->account, sizeof(c->account));
	host_unref(c->host);
	auth_source_drop(c->source);
	free(c);
}

/* Under the lock. */
static bool take_call(struct auth_source *s, struct auth_call *c)
{
	if (s->ending || s->waiting >= s->part.conf.max_waiting)
		return false;
	if (!s->waiting && !s->running)
		s->silent_since_ms = clock_ms();
	if (!enough_threads(s))
		return false;
	c->next = NULL;
	if (s->first)
		s->last->next = c;
	else
		s->first = c;
	s->last = c;
	s->waiting++;
	pthread_cond_signal(&s->work);
	return true;
}

struct auth_call *auth_source_ask(struct auth_source *s, enum auth_deed deed, struct host *h,
	const char *user, const char *password, void (*done)(struct auth_call *c), void *asker)
{
	struct auth_call *c = call_new(s, deed, h, user, password);
	bool taken;

	c->done = done;
	c->asker = asker;
	c->home = shard_self();
	pthread_mutex_lock(&s->lock);
	taken = take_call(s, c);
	pthread_mutex_unlock(&s->lock);
	if (taken)
		return c;
	auth_call_free(c);
	metric_add(&away[s->part.backend->method], 1);
	return NULL;
}

void auth_call_unwanted(struct auth_call *c)
{
	metric_add(&away[c->source->part.backend->method], 1);
	atomic_store_explicit(&c->unwanted, true, memory_order_relaxed);
}

/* Under the lock. True: it has been answered. */
static bool await_answer(struct auth_source *s, struct auth_call *c)
{
	struct timespec until = moment(s->part.conf.timeout_ms);
	int late = 0;

	while (!c->answered && !late && silent_ms(s) < SILENT_MS) {
		struct timespec look = moment(SILENT_MS / 4);
		bool sooner = look.tv_sec < until.tv_sec ||
			(look.tv_sec == until.tv_sec && look.tv_nsec < until.tv_nsec);

		late = pthread_cond_timedwait(&s->told, &s->lock, sooner ? &look : &until);
		if (sooner)
			late = 0;
	}
	return c->answered;
}

ON_JOB static int call_and_wait(
	struct auth_source *s, struct auth_call *c, struct auth_account *out)
{
	bool reading = rcu_offline(), taken, answered = false;
	int result;

	c->waited_for = true;
	pthread_mutex_lock(&s->lock);
	taken = silent_ms(s) < SILENT_MS && take_call(s, c);
	if (taken)
		answered = await_answer(s, c);
	if (taken && !answered) {
		c->waited_for = false; /* its thread frees it */
		auth_call_unwanted(c);
	}
	pthread_mutex_unlock(&s->lock);
	rcu_online(reading);
	if (!taken)
		metric_add(&away[s->part.backend->method], 1);
	if (taken && !answered)
		return -ETIMEDOUT;
	result = taken ? c->result : -EAGAIN;
	*out = c->account;
	auth_call_free(c);
	return result;
}

int auth_source_do(struct auth_source *s, enum auth_deed deed, struct host *h, const char *user,
	const char *password, struct auth_account *out)
{
	struct auth_account found = { 0 };
	int result;

	job_check();
	if (auth_source_is_slow(s))
		result = call_and_wait(s, call_new(s, deed, h, user, password), &found);
	else
		result = do_deed(s, deed, h, user, password, &found);
	if (out)
		*out = found;
	wipe(&found, sizeof(found));
	return result;
}

void auth_source_state(struct auth_source *s, struct auth_source_state *out)
{
	pthread_mutex_lock(&s->lock);
	*out = (struct auth_source_state){ s->threads, s->running, s->waiting, silent_ms(s) };
	pthread_mutex_unlock(&s->lock);
}

/* --- what can be offered --------------------------------------------------------------------- */

uint32_t auth_mechanisms(struct host *h, const struct host_conf *conf, uint32_t of)
{
	const uint32_t by_password = SASL_PLAIN | SASL_OAUTHBEARER;
	uint32_t any = 0, all = SASL_SCRAM_ALL, others = ~(SASL_SCRAM_ALL | by_password);
	bool known = false;

	for (unsigned i = 0; i < conf->n_sources; i++) {
		const struct auth_source *s = rcu_get(h->auth[conf->sources[i]]);
		uint32_t sasl = s ? s->part.conf.sasl : 0;

		known |= s != NULL;
		any |= sasl;
		if (s && (sasl & SASL_SCRAM_ALL || !conf->scram_beside_plain))
			all &= sasl;
	}
	return known ? of & (others | (any & by_password) | (any & all)) : of;
}
