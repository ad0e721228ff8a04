/* router/local.c - what happens to a stanza whose domain is ours. */
#include "router/local.h"

#include <stdlib.h>

#include "core/job.h"
#include "core/mem.h"
#include "router/account.h"
#include "router/auth.h"
#include "router/deliver.h"
#include "router/iq.h"
#include "router/message.h"
#include "router/presence.h"
#include "router/subscription.h"

#define DELIVER(whom) ((struct local_decision){ .verdict = ROUTE_DELIVER, .to = (whom) })
#define BOUNCE(cond) ((struct local_decision){ .verdict = ROUTE_BOUNCE, .error = (cond) })
#define DISPATCH(where) ((struct local_decision){ .verdict = ROUTE_DISPATCH, .scope = (where) })
#define STORE ((struct local_decision){ .verdict = ROUTE_STORE, .error = ERR_SERVICE_UNAVAILABLE })
#define ACCOUNT ((struct local_decision){ .verdict = ROUTE_ACCOUNT })
#define DROP ((struct local_decision){ .verdict = ROUTE_DROP })

static bool is_request(const struct stanza *s)
{
	return s->type == IQ_GET || s->type == IQ_SET;
}

static bool has_available(const struct sessions *all, int least_priority)
{
	for (unsigned i = 0; all && i < all->n; i++)
		if (all->at[i].available && all->at[i].priority >= least_priority)
			return true;
	return false;
}

/* RFC 6120 §10.5.1, §10.5.2: to the server itself. */
static struct local_decision decide_domain(const struct stanza *s)
{
	if (s->kind == STANZA_IQ)
		return !is_request(s)        ? DROP
			: jid_is_full(s->to) ? BOUNCE(ERR_SERVICE_UNAVAILABLE)
					     : DISPATCH(IQ_LOCAL);
	if (s->kind == STANZA_MESSAGE)
		return s->type == MSG_ERROR ? DROP : BOUNCE(ERR_SERVICE_UNAVAILABLE);
	return DROP;
}

/* RFC 6121 §8.5.2.1.1 with resources to choose from, §8.5.2.2.1 without. */
static struct local_decision decide_message_bare(const struct stanza *s, const struct sessions *all)
{
	bool somebody = has_available(all, 0);

	switch (s->type) {
	case MSG_NORMAL:
	case MSG_CHAT:
		return somebody ? DELIVER(LOCAL_BEST) : STORE;
	case MSG_HEADLINE:
		return somebody ? DELIVER(LOCAL_NOT_NEGATIVE) : DROP;
	case MSG_GROUPCHAT:
		return BOUNCE(ERR_SERVICE_UNAVAILABLE);
	default:
		return DROP; /* errors */
	}
}

static struct local_decision decide_presence_bare(
	const struct stanza *s, const struct sessions *all)
{
	if (s->type == PRES_AVAILABLE || s->type == PRES_UNAVAILABLE || s->type == PRES_ERROR)
		return has_available(all, -128) ? DELIVER(LOCAL_AVAILABLE) : DROP;
	return stanza_is_subscription(s) || s->type == PRES_PROBE ? ACCOUNT : DROP;
}

static struct local_decision decide_bare(const struct stanza *s, const struct sessions *all)
{
	if (s->kind == STANZA_MESSAGE)
		return decide_message_bare(s, all);
	if (s->kind == STANZA_PRESENCE)
		return decide_presence_bare(s, all);
	return is_request(s) ? DISPATCH(IQ_SM) : DROP; /* §8.5.2.1.3 */
}

static bool is_plain_presence(const struct stanza *s)
{
	return s->type == PRES_AVAILABLE || s->type == PRES_UNAVAILABLE || s->type == PRES_ERROR;
}

/* RFC 6121 §8.5.3.2: the full JID matches nobody. */
static struct local_decision decide_full_absent(const struct stanza *s, const struct sessions *all)
{
	if (s->kind == STANZA_IQ)
		return is_request(s) ? BOUNCE(ERR_SERVICE_UNAVAILABLE) : DROP;
	if (s->kind == STANZA_PRESENCE) /* what is neither is ignored, also subscriptions */
		return s->type == PRES_SUBSCRIBE || s->type == PRES_PROBE ? ACCOUNT : DROP;
	if (s->type == MSG_CHAT)
		return decide_message_bare(s, all);
	return s->type == MSG_ERROR ? DROP : BOUNCE(ERR_SERVICE_UNAVAILABLE);
}

struct local_decision local_decide(
	const struct stanza *s, const struct sessions *all, const struct session_entry *one)
{
	if (!s->to->local_len)
		return decide_domain(s);
	if (jid_is_bare(s->to))
		return decide_bare(s, all);
	if (!one)
		return decide_full_absent(s, all);
	/* §8.5.3.1: subscriptions are always handled for the account. */
	if (s->kind == STANZA_PRESENCE && !is_plain_presence(s))
		return decide_presence_bare(s, all);
	return DELIVER(LOCAL_ONE);
}

bool local_chosen(const struct session_entry *e, enum local_to to, int best)
{
	int least = to == LOCAL_BEST ? best : to == LOCAL_NOT_NEGATIVE ? 0 : -128;

	return e->available && e->priority >= least;
}

int local_best(const struct sessions *all)
{
	int best = 0;

	for (unsigned i = 0; i < all->n; i++)
		if (all->at[i].available && all->at[i].priority > best)
			best = all->at[i].priority;
	return best;
}

ON_SHARD static void deliver_chosen(const struct sessions *all, enum local_to to, struct stanza *s)
{
	enum deliver_copies how = s->kind == STANZA_MESSAGE ? DELIVER_SURE : DELIVER_COPY;
	int best = local_best(all);
	unsigned n = 0;

	for (unsigned i = 0; i < all->n; i++)
		n += local_chosen(&all->at[i], to, best);
	if (n > 1)
		deliver_to_several(s, n);
	for (unsigned i = 0; i < all->n; i++)
		if (local_chosen(&all->at[i], to, best))
			deliver(all->at[i].id, s, how);
}

/* A request to an account nobody is connected to: does it exist, and would it have it? RFC 6121
 * §8.5.1. */
struct account_question {
	struct job job;
	struct host *host; /* counted */
	struct stanza *stanza; /* one reference */
	int error; /* enum stanza_error; 0: it may be answered; -1: dropped without a word */
};

static void question_free(struct account_question *q)
{
	host_unref(q->host);
	stanza_unref(q->stanza);
	free(q);
}

ON_JOB static int ask_for_account(struct host *h, struct stanza *s)
{
	const struct jid *bare = jid_bare(s->to, NULL);
	struct auth_account found;
	struct account *a;
	int error = auth_find(h, jid_local(s->to), &found);

	if (!error)
		error = account_hold(h, bare, &a);
	if (error > 0) {
		error = ERR_SERVICE_UNAVAILABLE;
	} else if (error) {
		error = ERR_INTERNAL_SERVER_ERROR;
	} else {
		error = account_admits(h, a, s);
		account_drop(a);
	}
	jid_free((struct jid *)bare);
	return error;
}

static void question_work(struct job *j)
{
	struct account_question *q = container_of(j, struct account_question, job);

	job_check();
	q->error = ask_for_account(q->host, q->stanza);
}

static void question_done(struct job *j)
{
	struct account_question *q = container_of(j, struct account_question, job);

	shard_check(NULL);
	if (q->error > 0)
		route_error(q->stanza, q->error, NULL);
	else if (!q->error && dispatch_iq(q->host, IQ_SM, q->stanza) == IQ_NO_HANDLER)
		route_error(q->stanza, ERR_SERVICE_UNAVAILABLE, NULL);
	question_free(q);
}

ON_SHARD static void dispatch_to_absent(struct host *h, struct stanza *s)
{
	struct account_question *q = xcalloc(1, sizeof(*q));

	q->job.work = question_work;
	q->job.done = question_done;
	q->host = host_ref(h);
	q->stanza = stanza_ref(s);
	if (account_work(s->to, &q->job)) {
		route_error(s, ERR_RESOURCE_CONSTRAINT, NULL);
		question_free(q);
	}
}

ON_SHARD static void dispatch(struct host *h, int scope, bool present, struct stanza *s)
{
	if (scope == IQ_SM && !present && !jid_equal_bare(s->from, s->to))
		dispatch_to_absent(h, s);
	else if (dispatch_iq(h, (enum iq_scope)scope, s) == IQ_NO_HANDLER)
		route_error(s, ERR_SERVICE_UNAVAILABLE, NULL);
}

/* A module takes it, in place of the router. True: *out is what has become of it. */
ON_SHARD static bool is_taken(struct host *h, struct stanza *s, const struct sessions *all,
	const struct session_entry *one, const struct local_decision *d, enum verdict *out)
{
	*out = ROUTE_DISPATCH;
	if (s->kind == STANZA_IQ && jid_is_bare(s->to) && !is_request(s) &&
		hook_run(h->hooks, &host_answer_hook, s) == HOOK_STOP)
		return true;
	if (s->kind != STANZA_MESSAGE)
		return false;
	if (!s->to->local_len && s->type != MSG_ERROR &&
		hook_run(h->hooks, &host_message_hook, s) == HOOK_STOP)
		return true;
	*out = ROUTE_STORE;
	return hook_run(message_hooks(), &message_hook,
		       &(struct message_passing){ h, s, all, d->verdict, d->to, one }) == HOOK_STOP;
}

ON_SHARD static enum verdict carry_out(struct host *h, struct stanza *s)
{
	const struct sessions *all = s->to->local_len ? directory_find(s->to) : NULL;
	const struct session_entry *one =
		all && jid_is_full(s->to) ? sessions_find(all, s->to) : NULL;
	struct local_decision d = local_decide(s, all, one);
	int refused = all ? account_admits(h, account_of(all->at[0].session), s) : 0;
	enum verdict taken;

	if (refused) {
		if (refused > 0)
			route_error(s, refused, NULL);
		return refused > 0 ? ROUTE_BOUNCE : ROUTE_DROP;
	}
	if (is_taken(h, s, all, one, &d, &taken))
		return taken;
	switch (d.verdict) {
	case ROUTE_DELIVER:
		if (d.to == LOCAL_ONE)
			deliver(one->id, s, DELIVER_SURE);
		else
			deliver_chosen(all, d.to, s);
		break;
	case ROUTE_DISPATCH:
		dispatch(h, d.scope, all != NULL, s);
		break;
	case ROUTE_ACCOUNT:
		presence_to_account(h, all, s);
		break;
	case ROUTE_STORE:
		if (hook_run(h->hooks, &offline_message_hook, s) == HOOK_STOP)
			break;
		d.verdict = ROUTE_BOUNCE;
		__attribute__((fallthrough)); /* nobody keeps it */
	case ROUTE_BOUNCE:
		route_error(s, d.error, NULL);
		break;
	default:
		break;
	}
	return d.verdict;
}

enum verdict local_route(struct host *h, struct stanza *s)
{
	enum verdict verdict = carry_out(h, s);

	if (s->type == MSG_ERROR && verdict != ROUTE_DELIVER)
		message_taken(s); /* nobody gets it, now or later */
	return verdict;
}
