/* core/call.c - a request's way there and back.
 * Two objects: a struct waiting stays with the caller, holds the deadline and takes the answer; a
 * struct call travels to the server as the request, lies there unanswered and travels back as the
 * answer. Each is named by an actor's id where it lies, so whichever comes too late finds nobody.
 */
#include "core/call.h"

#include <stdlib.h>

#include "core/errand.h"
#include "core/mem.h"
#include "core/timer.h"

struct waiting {
	struct actor actor;
	struct timer deadline;
	struct actor_id asker; /* ACTOR_NONE: none was given */
	call_fn *fn;
	void *arg;
};

struct call {
	struct mail mail; /* its term: the request, then the answer */
	struct actor asked; /* while it lies unanswered: the token's actor */
	struct actor_id waiting;
	enum call_outcome outcome;
};

static const struct actor_class waiting_class = { .name = "waiting" };
static const struct actor_class asked_class = { .name = "asked" };

/* --- the caller's side --- */

/* Frees w. */
static void waiting_end(struct waiting *w, struct call_answer *a)
{
	struct actor_id asker = w->asker;
	call_fn *fn = w->fn;
	void *arg = w->arg;

	shard_check(NULL);
	timer_cancel(&w->deadline);
	actor_end(&w->actor);
	free(w);
	fn(asker.v ? actor_find(asker) : NULL, a, arg);
	term_drop(&a->reply);
}

static void deadline_over(struct timer *t)
{
	struct call_answer a = { .outcome = CALL_TIMEOUT };

	waiting_end(caa_container_of(t, struct waiting, deadline), &a);
}

/* The call has come back; a is the waiting one, or NULL when it no longer waits. */
static void answer_open(struct actor *a, struct letter *l)
{
	struct call *c = caa_container_of(l, struct call, mail.letter);
	struct call_answer answer = { c->outcome, c->mail.term };

	free(c);
	if (a)
		waiting_end(caa_container_of(a, struct waiting, actor), &answer);
	else
		term_drop(&answer.reply);
}

void call_begin(struct actor *asker, struct actor_id to, enum mail_kind kind, struct term request,
	uint64_t deadline_ms, call_fn *fn, void *arg)
{
	struct waiting *w = xmalloc(sizeof(*w));
	struct call *c = xmalloc(sizeof(*c));

	actor_begin(&w->actor, &waiting_class);
	timer_init(&w->deadline, deadline_over);
	if (deadline_ms != CALL_FOREVER)
		timer_set(&w->deadline, deadline_ms);
	w->asker = asker ? asker->id : ACTOR_NONE;
	w->fn = fn;
	w->arg = arg;
	c->waiting = w->actor.id;
	c->asked.id = ACTOR_NONE;
	c->mail.kind = kind;
	c->mail.term = request;
	c->mail.letter.to = to;
	c->mail.letter.open = mail_open;
	letter_post(&c->mail.letter);
}

/* --- the server's side --- */

static struct call *call_of(struct mail *m)
{
	REQUIRE(mail_is_call(m));
	return caa_container_of(m, struct call, mail);
}

struct caller call_keep(struct mail *m, struct cds_list_head *list)
{
	struct call *c = call_of(m);

	actor_begin(&c->asked, &asked_class);
	cds_list_add_tail(&m->node, list);
	return (struct caller){ c->asked.id };
}

/* Sends c back with what it carries now. */
static void send_back(struct call *c, enum call_outcome outcome, struct term answer)
{
	shard_check(NULL);
	if (c->asked.id.v) {
		cds_list_del(&c->mail.node);
		actor_end(&c->asked);
	}
	c->outcome = outcome;
	c->mail.term = answer;
	c->mail.letter.to = c->waiting;
	c->mail.letter.open = answer_open;
	letter_post(&c->mail.letter);
}

void call_refuse(struct mail *m, int outcome)
{
	send_back(call_of(m), (enum call_outcome)outcome, TERM(0));
}

/* a: of a struct call, or NULL when it has been answered. Takes answer. */
static void reply_to(struct actor *a, struct term answer)
{
	if (a && a->class == &asked_class)
		send_back(caa_container_of(a, struct call, asked), CALL_REPLIED, answer);
	else
		term_drop(&answer);
}

struct reply_letter {
	struct letter letter;
	struct term answer;
};

static void reply_open(struct actor *a, struct letter *l)
{
	struct reply_letter *r = caa_container_of(l, struct reply_letter, letter);
	struct term answer = r->answer;

	free(r);
	reply_to(a, answer);
}

void call_reply(struct caller to, struct term answer)
{
	struct reply_letter *r;

	if (shard_self() && actor_shard(to.asked) == shard_self()) {
		shard_check(NULL);
		reply_to(actor_find(to.asked), answer);
		return;
	}
	r = xmalloc(sizeof(*r));
	r->letter.to = to.asked;
	r->letter.open = reply_open;
	r->answer = answer;
	letter_post(&r->letter);
}

/* --- waiting --- */

struct call_errand {
	struct errand errand;
	struct actor_id to;
	enum mail_kind kind;
	struct term request;
	uint64_t deadline_ms;
	struct call_answer answer;
};

static void call_errand_told(struct actor *asker UNUSED, struct call_answer *a, void *arg)
{
	struct call_errand *e = arg;

	e->answer = *a;
	term_take(&a->reply);
	errand_tell(&e->errand);
}

static void call_errand_run(struct msg *m)
{
	struct call_errand *e = caa_container_of(m, struct call_errand, errand.msg);

	shard_check(NULL);
	call_begin(NULL, e->to, e->kind, e->request, e->deadline_ms, call_errand_told, e);
}

enum call_outcome call_wait(struct actor_id to, enum mail_kind kind, struct term request,
	uint64_t deadline_ms, struct term *reply)
{
	struct call_errand e = {
		.to = to,
		.kind = kind,
		.request = request,
		.deadline_ms = deadline_ms,
	};

	errand_wait(&e.errand, to.v ? actor_shard(to) : shard_at(0), call_errand_run);
	*reply = e.answer.reply;
	return e.answer.outcome;
}

/* --- to many --- */

struct multi {
	struct actor_id asker;
	unsigned left; /* not yet answered */
	multi_call_fn *fn;
	void *arg;
	struct call_answers *answers; /* owned until fn is called */
};
struct multi_part { /* one target's */
	struct multi *multi;
	unsigned i;
};

void call_answers_free(struct call_answers *a)
{
	for (unsigned i = 0; a && i < a->n; i++)
		term_drop(&a->at[i].reply);
	free(a);
}

static struct actor_id target_id(const struct call_target *t)
{
	return t->id.v || !t->name ? t->id : actor_whereis(t->name);
}

static struct term next_copy(const struct term *t, term_copy *copy)
{
	REQUIRE(copy || !t->drop);
	return copy ? copy(t) : *t;
}

static void multi_end(struct multi *m)
{
	shard_check(NULL);
	m->fn(m->asker.v ? actor_find(m->asker) : NULL, m->answers, m->arg);
	free(m);
}

static void multi_part_told(struct actor *asker UNUSED, struct call_answer *a, void *arg)
{
	struct multi_part *part = arg;
	struct multi *m = part->multi;

	m->answers->at[part->i] = *a;
	m->answers->n_bad += a->outcome != CALL_REPLIED;
	term_take(&a->reply);
	free(part);
	if (--m->left == 0)
		multi_end(m);
}

static struct multi *multi_new(struct actor_id asker, unsigned n, multi_call_fn *fn, void *arg)
{
	struct multi *m = xmalloc(sizeof(*m));

	*m = (struct multi){ .asker = asker, .left = n, .fn = fn, .arg = arg };
	m->answers = xcalloc(1, sizeof(*m->answers) + n * sizeof(m->answers->at[0]));
	m->answers->n = n;
	return m;
}

/* Nobody is to be asked: told by a message all the same, never from within the call. */
struct nothing {
	struct msg msg;
	struct multi *multi;
};

static void nothing_run(struct msg *msg)
{
	struct nothing *nothing = caa_container_of(msg, struct nothing, msg);

	multi_end(nothing->multi);
	free(nothing);
}

static void tell_nothing(struct multi *m)
{
	struct nothing *nothing = xmalloc(sizeof(*nothing));

	nothing->msg.run = nothing_run;
	nothing->multi = m;
	shard_post(shard_self(), &nothing->msg);
}

void multi_call_begin(struct actor *asker, const struct call_target *targets, unsigned n,
	struct term request, term_copy *copy, uint64_t deadline_ms, multi_call_fn *fn, void *arg)
{
	struct multi *m = multi_new(asker ? asker->id : ACTOR_NONE, n, fn, arg);

	for (unsigned i = 0; i < n; i++) {
		struct multi_part *part = xmalloc(sizeof(*part));

		*part = (struct multi_part){ m, i };
		call_begin(NULL, target_id(&targets[i]), MAIL_CALL, next_copy(&request, copy),
			deadline_ms, multi_part_told, part);
	}
	term_drop(&request);
	if (n == 0)
		tell_nothing(m);
}

struct multi_errand {
	struct errand errand;
	const struct call_target *targets;
	unsigned n;
	struct term request;
	term_copy *copy;
	uint64_t deadline_ms;
	struct call_answers *answers;
};

static void multi_errand_told(struct actor *asker UNUSED, struct call_answers *a, void *arg)
{
	struct multi_errand *e = arg;

	e->answers = a;
	errand_tell(&e->errand);
}

static void multi_errand_run(struct msg *m)
{
	struct multi_errand *e = caa_container_of(m, struct multi_errand, errand.msg);

	shard_check(NULL);
	multi_call_begin(
		NULL, e->targets, e->n, e->request, e->copy, e->deadline_ms, multi_errand_told, e);
}

struct call_answers *multi_call_wait(const struct call_target *targets, unsigned n,
	struct term request, term_copy *copy, uint64_t deadline_ms)
{
	struct multi_errand e = {
		.targets = targets,
		.n = n,
		.request = request,
		.copy = copy,
		.deadline_ms = deadline_ms,
	};

	errand_wait(&e.errand, shard_at(0), multi_errand_run);
	return e.answers;
}

void multi_cast(const struct call_target *targets, unsigned n, struct term request, term_copy *copy)
{
	for (unsigned i = 0; i < n; i++) {
		struct actor_id id = target_id(&targets[i]);

		if (id.v)
			mail_send(id, MAIL_CAST, next_copy(&request, copy));
	}
	term_drop(&request);
}
