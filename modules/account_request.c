/* modules/account_request.c - into the lane, and back to the session's shard. */
#include "modules/account_request.h"

#include <errno.h>
#include <stdlib.h>

#include "router/deliver.h"
#include "router/directory.h"

struct sending {
	struct msg msg;
	struct actor_id session;
	unsigned n;
	struct stanza *at[];
};

static void sending_run(struct msg *m)
{
	struct sending *s = container_of(m, struct sending, msg);

	shard_check(NULL);
	for (unsigned i = 0; i < s->n; i++) {
		deliver(s->session, s->at[i], DELIVER_COPY);
		stanza_unref(s->at[i]);
	}
	free(s);
}

void account_request_send(struct account_request *r, struct stanza **at, unsigned n)
{
	struct sending *s = xmalloc(sizeof(*s) + n * sizeof(s->at[0]));

	job_check();
	s->msg.run = sending_run;
	s->session = r->session;
	s->n = n;
	for (unsigned i = 0; i < n; i++)
		s->at[i] = at[i];
	shard_post(actor_shard(r->session), &s->msg);
}

void account_request_answer(struct account_request *r, struct stanza *s)
{
	struct builder b;

	if (!s) {
		build_iq_result(&b, r->stanza);
		s = build_end(&b);
	}
	account_request_send(r, &s, 1);
}

static int error_of(int result)
{
	if (result >= 0)
		return result;
	return result == -EDQUOT ? ERR_RESOURCE_CONSTRAINT : ERR_INTERNAL_SERVER_ERROR;
}

static void request_work(struct job *j)
{
	struct account_request *r = container_of(j, struct account_request, job);
	char first[4096];
	struct builder b;
	int error;

	job_check();
	arena_init(&r->arena, first, sizeof(first));
	error = error_of(r->run(r));
	arena_fini(&r->arena);
	if (!error)
		return;
	build_error(&b, r->stanza, error, NULL);
	account_request_answer(r, build_end(&b));
}

static void request_done(struct job *j)
{
	struct account_request *r = container_of(j, struct account_request, job);

	module_conf_drop(r->conf);
	host_unref(r->host);
	jid_free(r->bare);
	stanza_unref(r->stanza);
	free(r);
}

/* What its client has sent to others is in the log now. */
static void submit_late(struct message_after *after)
{
	struct account_request *r = container_of(after, struct account_request, after);

	shard_check(NULL);
	if (account_work(r->bare, &r->job) == 0)
		return;
	route_error(r->stanza, ERR_RESOURCE_CONSTRAINT, NULL);
	request_done(&r->job);
}

int account_request(struct module_instance *mi, struct actor_id session, struct stanza *s,
	const struct elem *payload, account_request_fn *run)
{
	struct account_request *r = xcalloc(1, sizeof(*r));

	shard_check(NULL);
	r->mi = mi;
	r->conf = module_conf_hold(mi);
	r->host = host_ref(mi->host);
	r->bare = jid_bare(s->from, NULL);
	r->stanza = stanza_ref(s);
	r->payload = payload;
	r->session = session;
	r->run = run;
	r->job.work = request_work;
	r->job.done = request_done;
	r->after.run = submit_late;
	if (message_log_after_sent(r->bare, &r->after) || account_work(r->bare, &r->job) == 0)
		return 0;
	request_done(&r->job);
	return ERR_RESOURCE_CONSTRAINT;
}

int account_request_iq(const struct iq *iq, account_request_fn *run)
{
	const struct session_entry *e = directory_find_full(iq->from);
	int error;

	shard_check(NULL);
	if (!e || !jid_equal_bare(iq->from, iq->to))
		return ERR_FORBIDDEN;
	error = account_request(iq->arg, e->id, iq->stanza, iq->payload, run);
	return error ? error : IQ_LATER;
}
