/* router/auth_request.c - asking for accounts from a shard. Steps at sources that answer at once
 * are taken by jobs, those at slow ones are calls; in between a request is on the shard that asked.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"
#include "router/auth_walk.h"
#include "xml/jid.h"

/* Lanes share the job pool. A password check burns milliseconds of a core, so few run at once, and
 * a flood of them leaves the pool to the rest. */
#define FIND_LANES 16
#define FIND_QUEUE 8192
#define CHECK_LANES 2
#define CHECK_QUEUE 1024

static struct carrier *finders, *checkers;
static struct metric refused =
	METRIC_COUNTER("auth_refused_total", "Logins refused because too many were being checked");
static struct metric check_time =
	METRIC_TIME("auth_check_seconds", "Time a password check took on its thread");

static void forget_password(struct auth_request *r)
{
	if (r->password)
		wipe(r->password, strlen(r->password));
	free(r->password);
	r->password = NULL;
}

static void forget_walk(struct auth_request *r)
{
	if (r->walk)
		auth_walk_fini(r->walk);
	free(r->walk);
	r->walk = NULL;
}

static void request_end(struct auth_request *r)
{
	if (r->walk) {
		r->result = r->walk->result;
		r->account = r->walk->account;
	}
	forget_password(r);
	forget_walk(r);
	r->done(r);
}

/* A client that is not known has no tokens. It is looked for whatever came of the account: it takes
 * as long for names that are none. */
ON_JOB static void find_agent(struct auth_request *r)
{
	struct auth_walk *w = r->walk;
	char id[USER_AGENT_ID + 1];
	int known;

	strcpy(id, r->agent.id);
	known = user_agent_find(r->host, r->user, id, &r->agent);
	if (!w->result && known < 0 && known != -ENOSYS)
		w->result = known;
	w->agent_asked = true;
}

static void request_work(struct job *j)
{
	struct auth_request *r = container_of(j, struct auth_request, job);
	struct auth_walk *w = r->walk;
	uint64_t began_us = clock_us();

	job_check();
	if (r->ask == AUTH_ASK_UPGRADE) {
		r->result = auth_set_verifier(r->host, r->user, &r->account, r->hash, &r->verifier);
		return;
	}
	while (auth_walk_on(w) && !auth_walk_must_call(w))
		auth_walk_step(w, r->password);
	if (w->done && r->ask == AUTH_ASK_TOKEN)
		find_agent(r);
	if (r->ask == AUTH_ASK_CHECK)
		metric_time(&check_time, clock_us() - began_us);
}

static int submit_job(struct auth_request *r)
{
	struct carrier *c = r->ask == AUTH_ASK_CHECK ? checkers : finders;
	uint64_t account = jid_hash_domain(r->user, strlen(r->user)) ^ r->host->hash;

	REQUIRE(c); /* auth_start() */
	return carrier_submit(c, account, &r->job);
}

static void request_go_on(struct auth_request *r);

static void call_answered(struct auth_call *c)
{
	struct auth_request *r = c->asker;

	if (r) {
		if (c->home) {
			shard_check(c->home);
			timer_cancel(&r->walk->deadline);
		}
		r->walk->call = NULL;
		auth_walk_told(r->walk, c->result, &c->account);
		auth_call_free(c);
		request_go_on(r);
	} else {
		auth_call_free(c);
	}
}

static void call_is_late(struct timer *t)
{
	struct auth_walk *w = container_of(t, struct auth_walk, deadline);
	struct auth_request *r = w->call->asker;

	shard_check(NULL);
	w->call->asker = NULL;
	auth_call_unwanted(w->call);
	w->call = NULL;
	auth_walk_told(w, -ETIMEDOUT, NULL);
	request_go_on(r);
}

/* Takes the next step: a call, or a job. 0, or it is too much. */
static int request_step(struct auth_request *r)
{
	struct auth_walk *w = r->walk;
	struct auth_call *c;

	if (!auth_walk_on(w) || !auth_walk_must_call(w))
		return submit_job(r);
	c = auth_source_ask(w->source, w->deed, r->host, r->user, r->password, call_answered, r);
	if (c && shard_self()) { /* else the answer may have come */
		shard_check(NULL);
		w->call = c;
		timer_set(&w->deadline, auth_source_part(w->source)->conf.timeout_ms);
	}
	return c ? 0 : -EAGAIN;
}

static void request_go_on(struct auth_request *r)
{
	struct auth_walk *w = r->walk;

	while (w && (auth_walk_on(w) || (r->ask == AUTH_ASK_TOKEN && !w->agent_asked))) {
		if (request_step(r) == 0)
			return;
		if (w->done) { /* the client cannot be looked for */
			w->agent_asked = true;
			w->result = -EAGAIN;
		} else {
			auth_walk_told(w, -EAGAIN, NULL);
		}
	}
	request_end(r);
}

static void request_done(struct job *j)
{
	request_go_on(container_of(j, struct auth_request, job));
}

void auth_request_init(struct auth_request *r, enum auth_ask ask, struct host *h, const char *user,
	const char *password, void (*done)(struct auth_request *r))
{
	*r = (struct auth_request){
		.ask = ask,
		.host = host_ref(h),
		.user = xstrdup(user),
		.password = password ? xstrdup(password) : NULL,
		.done = done,
		.job = { .work = request_work, .done = request_done },
	};
	REQUIRE((ask == AUTH_ASK_CHECK) == (password != NULL));
}

void auth_request_fini(struct auth_request *r)
{
	forget_password(r);
	forget_walk(r);
	wipe(&r->account, sizeof(r->account));
	wipe(&r->agent, sizeof(r->agent));
	wipe(&r->verifier, sizeof(r->verifier));
	free(r->user);
	r->user = NULL;
	host_unref(r->host);
	r->host = NULL;
}

static void begin_walk(struct auth_request *r)
{
	static const enum auth_purpose purposes[] = {
		[AUTH_ASK_FIND] = TO_LOG_IN_BY_VERIFIER,
		[AUTH_ASK_CHECK] = TO_LOG_IN_BY_PASSWORD,
		[AUTH_ASK_TOKEN] = TO_LOG_IN_BY_TOKEN,
	};

	r->walk = xmalloc(sizeof(*r->walk));
	auth_walk_begin(r->walk, purposes[r->ask], r->host, r->user);
	timer_init(&r->walk->deadline, call_is_late);
}

int auth_ask(struct auth_request *r)
{
	int error;

	if (r->ask != AUTH_ASK_UPGRADE)
		begin_walk(r);
	error = r->walk ? request_step(r) : submit_job(r);
	if (!error)
		return 0;
	forget_walk(r);
	metric_add(&refused, 1);
	return -EAGAIN;
}

void auth_requests_start(void)
{
	metric_register(&refused);
	metric_register(&check_time);
	finders = carrier_new(CARRIER_LANES, FIND_LANES, FIND_QUEUE, "accounts");
	checkers = carrier_new(CARRIER_LANES, CHECK_LANES, CHECK_QUEUE, "passwords");
}

void auth_requests_stop(void)
{
	carrier_free(finders);
	carrier_free(checkers);
	finders = checkers = NULL;
}
