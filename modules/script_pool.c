/* modules/script_pool.c - lines to processes, lent to one asking thread at a time. */
#include "modules/script_pool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/intensity.h"
#include "core/supervisor.h"
#include "modules/module_children.h"

/* More restarts than this, by the supervisor or for wrong answers, and the pool rests. */
#define RESTARTS 10
#define WITHIN_S 60
#define REST_MS 5000
#define SHUTDOWN_MS 1000
#define LOOK_MS 100 /* while waiting for a line: is there still somebody who would make one? */
#define ASK_MS 60000

struct script;

/* To a process: our end of the socket pair. Lent out, or in pool->idle. */
struct line {
	struct line *next;
	struct script *script;
	int fd;
};
struct script {
	struct script_pool *pool;
	char id[16];
};

struct script_pool {
	/* Constant. */
	struct host *host; /* counted */
	char *name; /* owned: of the supervisor, in the tree and registered */
	char *registered; /* owned */
	char *command; /* owned, cut into argv */
	char **argv; /* owned */
	unsigned n;
	struct script scripts[SCRIPTS_MAX];
	struct child_spec specs[SCRIPTS_MAX];
	struct supervisor_plan plan;
	/* Under lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a line has come, the start is through, or it ends */
	struct line *idle;
	bool starting, ending;
	bool started; /* if it is not up now, its processes have ended too often */
	uint64_t rests_until_ms;
	struct intensity intensity; /* of those that we end */
};

static struct metric restarts_metric = METRIC_COUNTER("auth_script_restarts_total",
	"Scripts that were ended because they did not answer, or wrongly");

/* --- lines ----------------------------------------------------------------------------------- */

static void line_free(struct line *l)
{
	close(l->fd);
	free(l);
}

/* On the supervisor's shard: a process has begun. */
static void talk(int fd, void *arg)
{
	struct script *s = arg;
	struct script_pool *p = s->pool;
	struct line *l = xcalloc(1, sizeof(*l));

	l->script = s;
	l->fd = fd;
	pthread_mutex_lock(&p->lock);
	l->next = p->idle;
	p->idle = l;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void give_back(struct script_pool *p, struct line *l)
{
	pthread_mutex_lock(&p->lock);
	l->next = p->idle;
	p->idle = l;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

/* Under the lock. */
static void drop_idle(struct script_pool *p)
{
	struct line *l;

	while ((l = p->idle)) {
		p->idle = l->next;
		line_free(l);
	}
}

/* --- the pool -------------------------------------------------------------------------------- */

/* At spaces: there is no shell. */
static char **cut(char *command)
{
	char **argv = xcalloc(strlen(command) / 2 + 2, sizeof(*argv)), *rest = NULL;
	unsigned n = 0;

	for (char *word = strtok_r(command, " \t", &rest); word;
		word = strtok_r(NULL, " \t", &rest))
		argv[n++] = word;
	return argv;
}

static void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t a;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(c, &a);
	pthread_condattr_destroy(&a);
}

struct script_pool *script_pool_new(
	struct host *h, const char *name, const char *command, unsigned n)
{
	static _Atomic unsigned count; /* a reload has two side by side */
	struct script_pool *p = xcalloc(1, sizeof(*p));

	REQUIRE(n > 0 && n <= SCRIPTS_MAX);
	p->host = host_ref(h);
	p->name = xprintf("%s.%u", name, atomic_fetch_add(&count, 1) + 1);
	p->registered = xprintf("%s of %s", p->name, h->name);
	p->command = xstrdup(command);
	p->argv = cut(p->command);
	p->n = n;
	for (unsigned i = 0; i < n; i++) {
		p->scripts[i].pool = p;
		snprintf(p->scripts[i].id, sizeof(p->scripts[i].id), "script%u", i + 1);
		p->specs[i] = (struct child_spec){
			.id = p->scripts[i].id,
			.shutdown_ms = SHUTDOWN_MS,
			PROCESS_CHILD(
				(const char *const *)p->argv, .talk = talk, .arg = &p->scripts[i]),
		};
	}
	p->plan = (struct supervisor_plan){
		.strategy = ONE_FOR_ONE,
		.max_restarts = RESTARTS,
		.within_s = WITHIN_S,
		.children = p->specs,
		.n_children = n,
	};
	pthread_mutex_init(&p->lock, NULL);
	cond_init(&p->changed);
	intensity_init(&p->intensity, RESTARTS, WITHIN_S * 1000);
	metric_register(&restarts_metric);
	return p;
}

void script_pool_free(struct script_pool *p)
{
	if (!p)
		return;
	drop_idle(p);
	intensity_fini(&p->intensity);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	host_unref(p->host);
	free(p->argv);
	free(p->command);
	free(p->registered);
	free(p->name);
	free(p);
}

/* --- starting and ending them ---------------------------------------------------------------- */

static struct actor_id host_supervisor(struct script_pool *p)
{
	AUTO(free_ptr) char *name = module_processes_name(p->host->name);

	return actor_whereis(name);
}

static bool is_up(struct script_pool *p)
{
	return actor_whereis(p->registered).v != ACTOR_NONE.v;
}

static enum supervisor_outcome tell(struct actor_id supervisor,
	const struct supervisor_request *request, char why[CHILD_REASON_MAX * 2])
{
	struct supervisor_answer *a = supervisor_ask_wait(supervisor, request, ASK_MS);
	enum supervisor_outcome outcome = a->outcome;

	snprintf(why, CHILD_REASON_MAX * 2, "%s",
		*a->why ? a->why : supervisor_outcome_name(outcome));
	free(a);
	return outcome;
}

/* The pool's supervisor, below the host's: not started again by that one, as a program that cannot
 * run is no reason to take the host's modules down. */
static bool start(struct script_pool *p)
{
	const struct child_spec spec = {
		.id = p->name,
		.restart = CHILD_TEMPORARY,
		SUPERVISOR_CHILD(&p->plan, .name = p->registered),
	};
	char why[CHILD_REASON_MAX * 2] = "the host has no processes yet";
	struct actor_id above = host_supervisor(p);
	bool started = false;

	if (above.v != ACTOR_NONE.v) {
		/* One that has ended before stays known. */
		tell(above, &(struct supervisor_request){ .kind = DELETE_CHILD, .id = p->name },
			why);
		started =
			tell(above,
				&(struct supervisor_request){ .kind = START_CHILD, .spec = &spec },
				why) == SUPERVISOR_OK;
	}
	if (!started)
		log_error("auth", "scripts cannot be started", L_STR("host", p->host->name),
			L_STR("program", p->argv[0]), L_STR("why", why));
	return started;
}

static void stop(struct script_pool *p)
{
	static const enum supervisor_request_kind steps[] = { TERMINATE_CHILD, DELETE_CHILD };
	struct actor_id above = host_supervisor(p);
	char why[CHILD_REASON_MAX * 2];

	for (unsigned i = 0; above.v != ACTOR_NONE.v && i < ARRAY_LEN(steps); i++)
		tell(above, &(struct supervisor_request){ .kind = steps[i], .id = p->name }, why);
}

void script_pool_end(struct script_pool *p)
{
	bool reading = rcu_offline();

	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_broadcast(&p->changed);
	while (p->starting)
		pthread_cond_wait(&p->changed, &p->lock);
	pthread_mutex_unlock(&p->lock);
	rcu_online(reading);
	stop(p);
	pthread_mutex_lock(&p->lock);
	drop_idle(p);
	pthread_mutex_unlock(&p->lock);
}

/* Another process in the place of one that does not do as it should. */
static void replace(struct script_pool *p, struct script *s)
{
	static const enum supervisor_request_kind steps[] = { TERMINATE_CHILD, RESTART_CHILD };
	char why[CHILD_REASON_MAX * 2];
	bool allowed;

	metric_add(&restarts_metric, 1);
	pthread_mutex_lock(&p->lock);
	allowed = intensity_allows(&p->intensity, clock_ms());
	if (!allowed)
		p->rests_until_ms = clock_ms() + REST_MS;
	pthread_mutex_unlock(&p->lock);
	if (!allowed) {
		log_error("auth", "scripts fail too often and rest for a while",
			L_STR("host", p->host->name), L_STR("program", p->argv[0]));
		stop(p);
		return;
	}
	for (unsigned i = 0; i < ARRAY_LEN(steps) && is_up(p); i++)
		tell(actor_whereis(p->registered),
			&(struct supervisor_request){ .kind = steps[i], .id = s->id }, why);
}

/* --- asking ---------------------------------------------------------------------------------- */

static struct timespec moment(uint64_t at_ms)
{
	return (struct timespec){ .tv_sec = (time_t)(at_ms / 1000),
		.tv_nsec = (long)(at_ms % 1000) * 1000000 };
}

/* Under the lock, which it leaves: starts the processes when there are none. Nobody else does
 * meanwhile. */
static void start_once(struct script_pool *p)
{
	bool started;

	p->starting = true;
	drop_idle(p); /* to those of before */
	pthread_mutex_unlock(&p->lock);
	started = start(p);
	pthread_mutex_lock(&p->lock);
	if (!started)
		p->rests_until_ms = clock_ms() + REST_MS;
	p->started = started;
	p->starting = false;
	pthread_cond_broadcast(&p->changed);
}

/* Nobody has asked on it: 0 when nothing is to be read there, 1 when the process has ended, -EPROTO
 * when it says what it should not. */
#define LINE_ENDED 1
static int look_over(const struct line *l)
{
	char byte;
	ssize_t got = recv(l->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (got > 0)
		return -EPROTO;
	return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : LINE_ENDED;
}

/* 0, or a negative errno. */
static int borrow(struct script_pool *p, uint64_t until_ms, struct line **out)
{
	int error = 0;

	*out = NULL;
	pthread_mutex_lock(&p->lock);
	while (!*out && !error) {
		uint64_t now_ms = clock_ms();
		struct timespec look =
			moment(now_ms + LOOK_MS < until_ms ? now_ms + LOOK_MS : until_ms);

		if (p->ending) {
			error = -ECANCELED;
		} else if (p->idle) {
			*out = p->idle;
			p->idle = p->idle->next;
		} else if (now_ms >= until_ms) {
			error = -ETIMEDOUT;
		} else if (!p->starting && !is_up(p)) {
			if (p->started)
				p->rests_until_ms = now_ms + REST_MS;
			p->started = false;
			if (now_ms < p->rests_until_ms)
				error = -EAGAIN;
			else
				start_once(p);
		} else {
			pthread_cond_timedwait(&p->changed, &p->lock, &look);
		}
	}
	pthread_mutex_unlock(&p->lock);
	return error;
}

/* 0 when it may go on, or a negative errno. */
static int await(const struct line *l, short events, uint64_t until_ms)
{
	struct pollfd look = { .fd = l->fd, .events = events };
	uint64_t now_ms = clock_ms();
	int ready;

	if (now_ms >= until_ms)
		return -ETIMEDOUT;
	ready = poll(
		&look, 1, (int)(until_ms - now_ms < INT32_MAX ? until_ms - now_ms : INT32_MAX));
	return ready || errno == EINTR ? 0 : -ETIMEDOUT;
}

static bool is_passing(ssize_t result)
{
	return result < 0 && (errno == EAGAIN || errno == EINTR);
}

static int write_all(const struct line *l, const struct script_question *q, uint64_t until_ms)
{
	const char *at = q->bytes, *end = at + q->n_bytes;
	int error = 0;

	while (at < end && !error) {
		ssize_t sent = send(l->fd, at, (size_t)(end - at), MSG_NOSIGNAL);

		if (sent >= 0)
			at += sent;
		else
			error = is_passing(sent) ? await(l, POLLOUT, until_ms) : -EPIPE;
	}
	return error;
}

static int read_all(const struct line *l, const struct script_question *q, uint64_t until_ms)
{
	char *at = q->answer, *end = at + q->n_answer;
	int error = 0;

	while (at < end && !error) {
		ssize_t got = recv(l->fd, at, (size_t)(end - at), 0);

		if (got > 0)
			at += got;
		else
			error = is_passing(got) ? await(l, POLLIN, until_ms) : -EPIPE;
	}
	if (!error && !q->check(q->answer))
		error = -EPROTO;
	return error;
}

static int converse(const struct line *l, const struct script_question *q, uint64_t until_ms)
{
	int error = look_over(l);

	if (!error)
		error = write_all(l, q, until_ms);
	if (!error)
		error = read_all(l, q, until_ms);
	return error;
}

/* The line is one that nobody can use any more. */
ON_JOB static void put_away(struct script_pool *p, struct line *l, int error)
{
	struct script *s = l->script;

	line_free(l);
	if (error == LINE_ENDED || error == -EPIPE) /* its supervisor starts it again */
		return;
	log_warning("auth", "a script does not answer as it should", L_STR("host", p->host->name),
		L_STR("program", p->argv[0]), L_STR("why", strerror(-error)));
	replace(p, s);
}

/* When one ends over a question, another one is asked, once: the same question may end them all. */
int script_pool_ask(struct script_pool *p, const struct script_question *q)
{
	uint64_t until_ms = clock_ms() + q->timeout_ms;
	bool reading = rcu_offline();
	unsigned ended = 0;
	int error;

	job_check();
	do {
		struct line *l;

		error = borrow(p, until_ms, &l);
		if (error)
			break;
		error = converse(l, q, until_ms);
		if (!error)
			give_back(p, l);
		else
			put_away(p, l, error);
		ended += error == -EPIPE;
	} while (error == LINE_ENDED || (error == -EPIPE && ended < 2));
	rcu_online(reading);
	return error;
}
