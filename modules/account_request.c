/* modules/account_request.c - there and back. */
#include "modules/account_request.h"

#include <errno.h>
#include <stdlib.h>

#include "router/deliver.h"
#include "router/directory.h"

void account_request_answer(struct account_request *r, struct stanza *s)
{
	const struct session_entry *e = directory_find_full(r->stanza->from);
	struct builder b;

	if (!s) {
		build_iq_result(&b, r->stanza);
		s = build_end(&b);
	}
	if (e)
		deliver_to(e->id, s);
	stanza_unref(s);
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
	struct builder b;
	char room[2048];
	int error;

	job_check();
	arena_init(&r->arena, room, sizeof(room));
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

int account_request_submit(const struct iq *iq, int (*run)(struct account_request *r))
{
	struct account_request *r;

	if (!jid_equal_bare(iq->from, iq->to) || !jid_is_full(iq->from))
		return ERR_FORBIDDEN;
	r = xcalloc(1, sizeof(*r));
	r->job.work = request_work;
	r->job.done = request_done;
	r->mi = iq->arg;
	r->host = host_ref(iq->host);
	r->bare = jid_bare(iq->to, NULL);
	r->stanza = stanza_ref(iq->stanza);
	r->conf = module_conf_hold(iq->arg);
	r->run = run;
	if (account_work(r->bare, &r->job) == 0)
		return IQ_LATER;
	request_done(&r->job);
	return ERR_RESOURCE_CONSTRAINT;
}
