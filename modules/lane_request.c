/* modules/lane_request.c - into the lane, and back to the session's shard. */
#include "modules/lane_request.h"

#include <stdlib.h>

#include "router/account.h"
#include "router/deliver.h"

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

void lane_request_send(
	struct lane_request *r, struct stanza **at, unsigned n, struct stanza *answer)
{
	struct sending *s = xmalloc(sizeof(*s) + (n + 1) * sizeof(s->at[0]));

	s->msg.run = sending_run;
	s->session = r->session;
	s->n = n;
	for (unsigned i = 0; i < n; i++)
		s->at[i] = at[i];
	if (answer)
		s->at[s->n++] = answer;
	shard_post(actor_shard(r->session), &s->msg);
}

static void request_done(struct job *j)
{
	struct lane_request *r = container_of(j, struct lane_request, job);

	module_conf_drop(r->conf);
	host_unref(r->host);
	stanza_unref(r->stanza);
	free(r);
}

static void request_work(struct job *j)
{
	struct lane_request *r = container_of(j, struct lane_request, job);
	char first[4096];
	struct builder b;
	int error;

	job_check();
	arena_init(&r->arena, first, sizeof(first));
	error = r->run(r);
	arena_fini(&r->arena);
	if (!error)
		return;
	build_error(&b, r->stanza, error, NULL);
	lane_request_send(r, NULL, 0, build_end(&b));
}

/* What its client has sent to others is in the log now. */
static void submit_late(struct message_after *after)
{
	struct lane_request *r = container_of(after, struct lane_request, after);

	shard_check(NULL);
	if (account_work(r->stanza->from, &r->job) == 0)
		return;
	route_error(r->stanza, ERR_RESOURCE_CONSTRAINT, NULL);
	request_done(&r->job);
}

int lane_request(struct module_instance *mi, struct actor_id session, struct stanza *s,
	const struct elem *payload, lane_request_fn *run)
{
	struct lane_request *r = xcalloc(1, sizeof(*r));

	r->host = host_ref(mi->host);
	r->conf = module_conf_hold(mi);
	r->stanza = stanza_ref(s);
	r->payload = payload;
	r->session = session;
	r->run = run;
	r->job.work = request_work;
	r->job.done = request_done;
	r->after.run = submit_late;
	if (message_log_after_sent(r->stanza->from, &r->after) ||
		account_work(s->from, &r->job) == 0)
		return 0;
	request_done(&r->job);
	return ERR_RESOURCE_CONSTRAINT;
}
