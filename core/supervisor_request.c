/* core/supervisor_request.c - what a supervisor can be asked for, from the asker to the answer. */
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/supervisor_inside.h"

const char *supervisor_outcome_name(enum supervisor_outcome outcome)
{
	static const char *const names[] = {
		[SUPERVISOR_OK] = "ok",
		[SUPERVISOR_ALREADY_PRESENT] = "already present",
		[SUPERVISOR_ALREADY_STARTED] = "already started",
		[SUPERVISOR_RUNNING] = "running",
		[SUPERVISOR_NOT_FOUND] = "not found",
		[SUPERVISOR_SIMPLE_ONE_FOR_ONE] = "simple_one_for_one",
		[SUPERVISOR_BAD_SPEC] = "bad specification",
		[SUPERVISOR_START_FAILED] = "start failed",
		[SUPERVISOR_GONE] = "no supervisor",
	};

	return names[outcome];
}

/* --- the request --- */

/* An id that is too long is nobody's. */
static void set_id(struct request *r, const char *id)
{
	if (id && strlen(id) < sizeof(r->id))
		snprintf(r->id, sizeof(r->id), "%s", id);
}

static void set_spec(struct request *r, const struct child_spec *spec)
{
	if (child_specs_check(spec, 1, r->why) < 0)
		return;
	r->spec = *spec;
	set_id(r, spec->id);
	r->spec.id = r->id;
}

static struct request *request_new(const struct supervisor_request *asked)
{
	struct request *r = xcalloc(1, sizeof(*r));

	r->kind = asked->kind;
	r->extra = asked->extra;
	if (asked->spec)
		set_spec(r, asked->spec);
	else
		set_id(r, asked->id);
	return r;
}

void request_free(struct request *r)
{
	if (!r)
		return;
	term_drop(&r->extra);
	free(r);
}

static void request_drop(void *r)
{
	request_free(r);
}

/* --- the answer --- */

/* c: may be NULL. why: "" for nothing. */
static void answer(
	struct request *r, enum supervisor_outcome outcome, const struct child *c, const char *why)
{
	struct supervisor_answer *a = xcalloc(1, sizeof(*a));

	shard_check(NULL);
	a->outcome = outcome;
	if (c)
		child_tell(c, &a->child);
	snprintf(a->why, sizeof(a->why), "%s", why);
	call_reply(r->from, TERM_OF((int)outcome, a, free));
	request_free(r);
}

static void answer_which(struct supervisor *s, struct caller from)
{
	struct supervisor_answer *a = xcalloc(1, sizeof(*a) + s->n_children * sizeof(a->rows[0]));
	struct child *c;

	shard_check(NULL);
	cds_list_for_each_entry (c, &s->children, node)
		child_tell(c, &a->rows[a->n++]);
	call_reply(from, TERM_OF(SUPERVISOR_OK, a, free));
}

/* The request whose move is through; NULL when the supervisor ends: then its caller hears that. */
static struct request *asked(struct supervisor *s)
{
	struct request *r = s->asked;

	s->asked = NULL;
	if (!s->ending)
		return r;
	request_free(r);
	return NULL;
}

/* --- what is to be done --- */

static void added(struct supervisor *s, struct child *failed)
{
	struct request *r = asked(s);
	struct child *c = s->subject;

	shard_check(NULL);
	if (!r)
		return;
	if (failed)
		answer(r, SUPERVISOR_START_FAILED, NULL, c->reason);
	else
		answer(r, SUPERVISOR_OK, c, "");
	if (failed || (c->ignored && s->plan.strategy == SIMPLE_ONE_FOR_ONE))
		supervisor_remove(s, c);
}

/* Starts c for r, and goes on with done(). */
static void begin_start(struct supervisor *s, struct request *r, struct child *c,
	void (*done)(struct supervisor *s, struct child *failed))
{
	shard_check(NULL);
	s->asked = r;
	s->subject = c;
	move_start(s, c, c, START_ALL, done);
}

static void add(struct supervisor *s, struct request *r, const struct child_spec *spec)
{
	struct child *c;

	shard_check(NULL);
	c = supervisor_add(s, spec);
	c->has_extra = r->extra.data;
	c->extra = r->extra;
	r->extra = TERM(0);
	begin_start(s, r, c, added);
}

static void start_child(struct supervisor *s, struct request *r)
{
	struct child *c;

	shard_check(NULL);
	if (s->plan.strategy == SIMPLE_ONE_FOR_ONE) {
		add(s, r, &s->plan.children[0]);
		return;
	}
	if (!r->spec.id) {
		answer(r, SUPERVISOR_BAD_SPEC, NULL, r->why[0] ? r->why : "none");
		return;
	}
	c = supervisor_find(s, r->id);
	if (c)
		answer(r,
			c->state == CHILD_DOWN ? SUPERVISOR_ALREADY_PRESENT
					       : SUPERVISOR_ALREADY_STARTED,
			c, "");
	else
		add(s, r, &r->spec);
}

static void terminated(struct supervisor *s, struct child *failed UNUSED)
{
	struct request *r = asked(s);

	shard_check(NULL);
	if (r)
		answer(r, SUPERVISOR_OK, s->subject, "");
}

static void terminate_child(struct supervisor *s, struct request *r, struct child *c)
{
	shard_check(NULL);
	s->asked = r;
	s->subject = c;
	move_range(s, c, c, START_NONE, terminated);
}

static void delete_child(struct supervisor *s, struct request *r, struct child *c)
{
	shard_check(NULL);
	if (c->state != CHILD_DOWN) {
		answer(r, SUPERVISOR_RUNNING, c, "");
		return;
	}
	answer(r, SUPERVISOR_OK, c, "");
	supervisor_remove(s, c);
}

static void restarted(struct supervisor *s, struct child *failed)
{
	struct request *r = asked(s);

	shard_check(NULL);
	if (r)
		answer(r, failed ? SUPERVISOR_START_FAILED : SUPERVISOR_OK, s->subject,
			failed ? failed->reason : "");
}

static void restart_child(struct supervisor *s, struct request *r, struct child *c)
{
	shard_check(NULL);
	if (c->state != CHILD_DOWN)
		answer(r, SUPERVISOR_RUNNING, c, "");
	else
		begin_start(s, r, c, restarted);
}

static void rest_started(struct supervisor *s, struct child *failed)
{
	struct request *r = asked(s);
	char why[CHILD_REASON_MAX * 2] = "";

	shard_check(NULL);
	if (!r)
		return;
	if (failed)
		snprintf(why, sizeof(why), "%s: %s", failed->id, failed->reason);
	answer(r, failed ? SUPERVISOR_START_FAILED : SUPERVISOR_OK, s->subject, why);
}

static void with_rest(struct supervisor *s, struct request *r, struct child *c)
{
	struct child *first, *last;

	shard_check(NULL);
	if (r->kind == START_WITH_REST && c->state != CHILD_DOWN) {
		answer(r, SUPERVISOR_RUNNING, c, "");
		return;
	}
	s->asked = r;
	s->subject = c;
	supervisor_affected(s, c, &first, &last);
	if (r->kind == STOP_WITH_REST)
		move_range(s, first, last, START_NONE, terminated);
	else
		move_range(s, first, last, START_ALL, rest_started);
}

void request_begin(struct supervisor *s, struct request *r)
{
	struct child *c;

	if (r->kind == START_CHILD) {
		start_child(s, r);
		return;
	}
	if (s->plan.strategy == SIMPLE_ONE_FOR_ONE) {
		answer(r, SUPERVISOR_SIMPLE_ONE_FOR_ONE, NULL, "");
		return;
	}
	c = supervisor_find(s, r->id);
	if (!c)
		answer(r, SUPERVISOR_NOT_FOUND, NULL, "");
	else if (r->kind == TERMINATE_CHILD)
		terminate_child(s, r, c);
	else if (r->kind == DELETE_CHILD)
		delete_child(s, r, c);
	else if (r->kind == RESTART_CHILD)
		restart_child(s, r, c);
	else
		with_rest(s, r, c);
}

void request_take(struct supervisor *s, struct term *t, struct caller from)
{
	struct request *r = t->data;

	if (r->kind == WHICH_CHILDREN) {
		answer_which(s, from);
		return;
	}
	term_take(t);
	r->from = from;
	cds_list_add_tail(&r->node, &s->requests);
}

/* --- the asker's side --- */

static struct term request_term(const struct supervisor_request *request)
{
	return TERM_OF((int)request->kind, request_new(request), request_drop);
}

struct asking {
	supervisor_fn *fn;
	void *arg;
};

static void told(struct actor *asker, struct call_answer *a, void *arg)
{
	static const struct supervisor_answer gone = { .outcome = SUPERVISOR_GONE };
	struct asking *asking = arg;

	asking->fn(asker, a->outcome == CALL_REPLIED ? a->reply.data : &gone, asking->arg);
	free(asking);
}

void supervisor_ask(struct actor *asker, struct actor_id supervisor,
	const struct supervisor_request *request, uint64_t deadline_ms, supervisor_fn *fn,
	void *arg)
{
	struct asking *asking = xmalloc(sizeof(*asking));

	*asking = (struct asking){ fn, arg };
	call_begin(asker, supervisor, MAIL_CALL, request_term(request), deadline_ms, told, asking);
}

struct supervisor_answer *supervisor_ask_wait(
	struct actor_id supervisor, const struct supervisor_request *request, uint64_t deadline_ms)
{
	struct supervisor_answer *a;
	struct term reply = TERM(0);

	if (call_wait(supervisor, MAIL_CALL, request_term(request), deadline_ms, &reply) ==
		CALL_REPLIED)
		return term_take(&reply);
	a = xcalloc(1, sizeof(*a));
	a->outcome = SUPERVISOR_GONE;
	return a;
}
