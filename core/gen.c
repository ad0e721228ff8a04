/* core/gen.c - one life of a server or state machine, from its start to its end. */
#include "core/gen.h"

#include <stdlib.h>

#include "core/errand.h"
#include "core/log.h"
#include "core/mem.h"

enum gen_phase { STARTING, LIVE, ENDING };

/* Who wants to know, and whose the memory is. */
struct origin {
	struct start how; /* its name is not used */
	struct spawn_errand *waits; /* gen_spawn_wait(): told the outcome; NULL */
	bool spawned; /* gen_spawn(): the memory is ours */
};

struct gen_more {
	struct origin origin;
	char *name; /* owned; NULL: not registered */
	struct cds_list_head held; /* struct mail that came before the start was through */
	struct cds_list_head unanswered; /* struct mail: calls kept */
	struct cds_list_head timers; /* struct gen_timer */
	uint32_t last_ref;
};

struct gen_timer {
	struct timer timer;
	struct cds_list_head node;
	struct gen *gen;
	struct term event;
	uint32_t ref;
	bool fired; /* before the start was through: its event waits for that */
};

bool stop_is_error(const char *reason)
{
	return strcmp(reason, STOP_NORMAL) != 0 && strcmp(reason, STOP_SHUTDOWN) != 0 &&
		strcmp(reason, STOP_KILLED) != 0;
}

/* The server or fsm that a letter has found, or NULL: nobody, or an actor of another kind. */
static struct gen *gen_of(struct actor *a)
{
	return a && a->class->behaviour ? caa_container_of(a, struct gen, actor) : NULL;
}

static const struct gen_class *class_of(const struct gen *g)
{
	return caa_container_of(g->actor.class, struct gen_class, actor);
}

static const struct behaviour *behaviour_of(const struct gen *g)
{
	return g->actor.class->behaviour;
}

static struct gen_more *more(struct gen *g)
{
	if (!g->more) {
		g->more = xcalloc(1, sizeof(*g->more));
		CDS_INIT_LIST_HEAD(&g->more->held);
		CDS_INIT_LIST_HEAD(&g->more->unanswered);
		CDS_INIT_LIST_HEAD(&g->more->timers);
	}
	return g->more;
}

/* --- tracing: after Erlang's sys --- */

static const char *const mail_names[] = {
	[MAIL_CAST] = "cast",
	[MAIL_CAST_ANY] = "cast any",
	[MAIL_CALL] = "call",
	[MAIL_CALL_ANY] = "call any",
	[MAIL_INFO] = "info",
	[MAIL_TIMEOUT] = "timeout",
};

static void trace_mail(const struct gen *g, enum mail_kind kind, const struct term *t)
{
	if (unlikely(g->traced))
		log_trace(g->actor.class->name, mail_names[kind], L_INT("actor", g->actor.id.v),
			L_STR("state", behaviour_of(g)->state_name(g)), L_INT("kind", t->kind));
}

static void trace_next(const struct gen *g, const struct next *n)
{
	static const char *const names[] = {
		[NEXT_WAIT] = "waits",
		[NEXT_WAIT_MS] = "waits until a timeout",
		[NEXT_HIBERNATE] = "hibernates",
		[NEXT_STOP] = "stops",
	};

	if (unlikely(g->traced))
		log_trace(g->actor.class->name, names[n->kind], L_INT("actor", g->actor.id.v),
			L_STR("state", behaviour_of(g)->state_name(g)),
			L_STR("reason", n->kind == NEXT_STOP ? n->reason : ""),
			L_INT("ms", n->kind == NEXT_WAIT_MS ? n->ms : 0));
}

/* --- the end --- */

static void refuse(struct mail *m, enum call_outcome outcome)
{
	shard_check(NULL);
	term_drop(&m->term);
	if (mail_is_call(m))
		call_refuse(m, outcome);
	else
		free(m);
}

static void timer_free(struct gen_timer *t)
{
	shard_check(NULL);
	timer_cancel(&t->timer);
	cds_list_del(&t->node);
	term_drop(&t->event);
	free(t);
}

/* Gives back what start() and the running have taken; terminate() has been called, if it is to be.
 * The object may be gone afterwards. */
static void release(struct gen *g, const char *reason)
{
	struct actor_id id = g->actor.id;
	struct gen_more *m = g->more;
	struct mail *mail, *next_mail;
	struct gen_timer *t, *next_timer;

	shard_check(NULL);
	timer_cancel(&g->idle);
	g->more = NULL;
	actor_end(&g->actor);
	if (m) {
		cds_list_for_each_entry_safe (t, next_timer, &m->timers, node)
			timer_free(t);
		cds_list_for_each_entry_safe (mail, next_mail, &m->unanswered, node)
			call_refuse(mail, CALL_DOWN);
		cds_list_for_each_entry_safe (mail, next_mail, &m->held, node)
			refuse(mail, CALL_NOPROC);
		if (m->name)
			actor_unregister(m->name, id);
	}
	if (!behaviour_of(g)->drop(g) && m && m->origin.spawned)
		free(g);
	if (m && reason && m->origin.how.ended)
		m->origin.how.ended(id, reason, m->origin.how.arg);
	if (m)
		free(m->name);
	free(m);
}

static void report(const struct gen *g, const char *reason)
{
	if (stop_is_error(reason))
		log_error(g->actor.class->name, "ended", L_STR("reason", reason),
			L_STR("state", behaviour_of(g)->state_name(g)),
			L_STR("name", g->more && g->more->name ? g->more->name : ""),
			L_INT("actor", g->actor.id.v));
}

static void end(struct gen *g, const char *reason)
{
	g->phase = ENDING;
	behaviour_of(g)->terminate(g, reason);
	report(g, reason);
	release(g, reason);
}

/* --- what a handler's return asks for --- */

static void idle_over(struct timer *t);

/* Goes to the state that n names; false when there is no such state. */
static bool move(struct gen *g, const struct next *n)
{
	if (!n->to_state)
		return true;
	if (!behaviour_of(g)->has_state(g, n->to_state - 1))
		return false;
	g->state = n->to_state - 1;
	return true;
}

/* Returns whether g lives on. */
static bool settle(struct gen *g, struct next n)
{
	shard_check(NULL);
	if (!move(g, &n) || n.kind > NEXT_STOP)
		n = (struct next){ .kind = NEXT_STOP, .reason = STOP_BAD_RETURN };
	if (unlikely(g->stop_reason))
		n = (struct next){ .kind = NEXT_STOP, .reason = g->stop_reason };
	trace_next(g, &n);
	switch (n.kind) {
	case NEXT_WAIT_MS:
		timer_set(&g->idle, n.ms);
		return true;
	case NEXT_HIBERNATE:
		/* Due at once, but timers run when the turn's mail has been read: any cancels it.
		 */
		g->hibernating = true;
		timer_set(&g->idle, 0);
		return true;
	case NEXT_STOP:
		end(g, n.reason);
		return false;
	default:
		return true;
	}
}

/* Calls the class's handler; t: as gen_now(). Returns whether g lives on. */
static bool handle(struct gen *g, enum mail_kind kind, struct term *t, struct caller from)
{
	struct next n;

	shard_check(NULL);
	timer_cancel(&g->idle); /* anything that comes, comes before the timeout */
	g->hibernating = false;
	trace_mail(g, kind, t);
	g->running = true;
	n = behaviour_of(g)->handle(g, kind, t, from);
	g->running = false;
	return settle(g, n);
}

static const struct caller nobody;

static void idle_over(struct timer *t)
{
	struct gen *g = caa_container_of(t, struct gen, idle);
	struct term timeout = TERM(TERM_TIMEOUT);

	if (g->hibernating) {
		g->hibernating = false;
		behaviour_of(g)->hibernate(g);
	} else {
		handle(g, MAIL_TIMEOUT, &timeout, nobody);
	}
}

static struct start_result start_fails(
	struct gen *g, enum start_outcome outcome, const char *reason);

/* Between handlers. */
static void stop(struct gen *g, const char *reason)
{
	if (g->phase == STARTING)
		start_fails(g, START_FAILED, reason);
	else
		end(g, reason);
}

/* Asked from outside. Returns whether g lives on. */
static bool stop_asked(struct gen *g, const char *reason)
{
	bool later;

	if (behaviour_of(g)->stops_later) {
		g->running = true;
		later = behaviour_of(g)->stops_later(g, reason);
		g->running = false;
		if (later && !g->stop_reason)
			return true;
	}
	stop(g, g->stop_reason ? g->stop_reason : reason);
	return false;
}

/* --- mail --- */

struct upgrade {
	const struct gen_class *now;
	void *extra;
};

/* The request of a call is handled from the stack: an answer may send the call away at once. */
static bool deliver_call(struct gen *g, struct mail *m)
{
	struct term request = m->term;
	struct caller from;
	const struct upgrade *up;
	bool alive = true;

	shard_check(NULL);
	m->term = TERM(0);
	from = call_keep(m, &more(g)->unanswered);
	if (m->kind == MAIL_UPGRADE) {
		up = request.data;
		call_reply(from, TERM(gen_upgrade(g, up->now, up->extra)));
	} else {
		alive = handle(g, m->kind, &request, from);
	}
	term_drop(&request);
	return alive;
}

/* Takes m. Returns whether g lives on. */
static bool deliver(struct gen *g, struct mail *m)
{
	enum mail_kind kind = m->kind;
	struct term t = m->term;
	bool alive = true;

	shard_check(NULL);
	if (mail_is_call(m))
		return deliver_call(g, m);
	free(m);
	if (kind == MAIL_TRACE) {
		g->traced = t.kind;
	} else if (kind == MAIL_STOP) {
		alive = stop_asked(g, t.data);
	} else {
		alive = handle(g, kind, &t, nobody);
	}
	term_drop(&t);
	return alive;
}

void mail_open(struct actor *a, struct letter *l)
{
	struct mail *m = caa_container_of(l, struct mail, letter);
	struct gen *g = gen_of(a);

	if (!g)
		refuse(m, CALL_NOPROC);
	else if (g->phase == STARTING && m->kind != MAIL_STOP)
		cds_list_add_tail(&m->node, &more(g)->held);
	else
		deliver(g, m);
}

void mail_send(struct actor_id to, enum mail_kind kind, struct term t)
{
	struct mail *m = xmalloc(sizeof(*m));

	m->kind = kind;
	m->term = t;
	m->letter.to = to;
	m->letter.open = mail_open;
	letter_post(&m->letter);
}

bool gen_now(struct gen *g, enum mail_kind kind, struct term *t)
{
	shard_check(NULL);
	if (likely(g->phase == LIVE && !g->running))
		return handle(g, kind, t, nobody);
	if (g->phase == ENDING)
		return false;
	mail_send(g->actor.id, kind, *t);
	term_take(t);
	return true;
}

void gen_stop(struct gen *g, const char *reason)
{
	if (g->phase == ENDING)
		return;
	if (g->running)
		g->stop_reason = reason;
	else
		stop(g, reason);
}

void gen_stop_id(struct actor_id id, const char *reason)
{
	mail_send(id, MAIL_STOP, TERM_OF(0, (void *)reason, NULL));
}

void gen_trace(struct actor_id id, bool on)
{
	mail_send(id, MAIL_TRACE, TERM(on));
}

/* --- start --- */

struct spawn_errand {
	struct errand errand;
	const struct gen_class *class;
	void *arg;
	const struct start *how;
	struct start_result result;
};

static struct start_result tell(
	const struct origin *o, enum start_outcome outcome, struct actor_id id, const char *reason)
{
	struct start_result r = { outcome, id, reason };

	if (o->how.started)
		o->how.started(&r, o->how.arg);
	if (o->waits) {
		o->waits->result = r;
		errand_tell(&o->waits->errand);
	}
	return r;
}

static struct origin origin_of(const struct gen *g)
{
	return g->more ? g->more->origin : (struct origin){ 0 };
}

static struct start_result start_fails(
	struct gen *g, enum start_outcome outcome, const char *reason)
{
	struct origin o = origin_of(g);

	shard_check(NULL);
	release(g, NULL);
	return tell(&o, outcome, ACTOR_NONE, reason);
}

static void init_too_late(struct timer *t)
{
	start_fails(caa_container_of(t, struct gen, idle), START_TIMED_OUT, NULL);
}

/* What came before the start was through; g may end with each. */
static void deliver_held(struct gen *g)
{
	struct gen_timer *t;
	struct mail *m;
	bool alive = true;

	shard_check(NULL);
	if (!g->more)
		return;
	cds_list_for_each_entry (t, &g->more->timers, node) {
		if (t->fired)
			timer_set(&t->timer, 0);
	}
	while (alive && !cds_list_empty(&g->more->held)) {
		m = cds_list_first_entry(&g->more->held, struct mail, node);
		cds_list_del(&m->node);
		alive = deliver(g, m);
	}
}

static struct start_result init_takes_longer(struct gen *g)
{
	uint64_t ms = origin_of(g).how.init_ms;

	shard_check(NULL);
	timer_init(&g->idle, init_too_late);
	if (ms)
		timer_set(&g->idle, ms);
	return (struct start_result){ START_UNDER_WAY, g->actor.id, NULL };
}

/* What init has returned, at once or later. */
static struct start_result start_settles(struct gen *g, struct next n)
{
	struct start_result r;
	struct origin o;

	shard_check(NULL);
	if (g->stop_reason)
		return start_fails(g, START_FAILED, g->stop_reason);
	if (n.kind == NEXT_IGNORE)
		return start_fails(g, START_IGNORED, NULL);
	if (n.kind == NEXT_STOP)
		return start_fails(g, START_FAILED, n.reason);
	if (n.kind == NEXT_LATER)
		return init_takes_longer(g);
	if (!move(g, &n))
		return start_fails(g, START_FAILED, STOP_BAD_RETURN);
	timer_cancel(&g->idle);
	timer_init(&g->idle, idle_over);
	g->phase = LIVE;
	o = origin_of(g);
	r = tell(&o, STARTED, g->actor.id, NULL);
	if (actor_find(r.id) && settle(g, n)) /* whoever was told may have stopped it */
		deliver_held(g);
	return r;
}

static void gen_init(struct gen *g, const struct gen_class *class)
{
	g->actor.class = &class->actor;
	timer_init(&g->idle, idle_over);
	g->more = NULL;
	g->stop_reason = NULL;
	g->state = 0;
	g->phase = STARTING;
	g->running = false;
	g->hibernating = false;
	g->traced = false;
}

/* Gives g its name. Returns the actor that has it already, or ACTOR_NONE. */
static struct actor_id take_name(struct gen *g, const char *name)
{
	struct actor_id holder = ACTOR_NONE;

	while (actor_register(name, g->actor.id) == ACTOR_NAME_TAKEN) {
		holder = actor_whereis(name);
		if (holder.v) /* else it has just been given back */
			return holder;
	}
	more(g)->name = xstrdup(name);
	return ACTOR_NONE;
}

static bool is_told(const struct origin *o)
{
	return o->how.init_ms || o->how.started || o->how.ended || o->waits || o->spawned;
}

static struct start_result start(
	struct gen *g, const struct gen_class *class, void *arg, const struct origin *o)
{
	struct actor_id holder;
	struct next n;

	shard_check(NULL);
	gen_init(g, class);
	actor_begin(&g->actor, &class->actor);
	g->traced = o->how.trace;
	if (is_told(o))
		more(g)->origin = *o;
	if (o->how.name && (holder = take_name(g, o->how.name)).v) {
		release(g, NULL);
		return tell(o, START_ALREADY, holder, NULL);
	}
	g->running = true;
	n = behaviour_of(g)->init(g, arg);
	g->running = false;
	return start_settles(g, n);
}

struct start_result gen_start(
	struct gen *g, const struct gen_class *class, void *arg, const struct start *how)
{
	struct origin o = { .how = how ? *how : (struct start){ 0 } };

	return start(g, class, arg, &o);
}

void gen_started(struct gen *g, struct next n)
{
	REQUIRE(g->phase == STARTING && !g->running && n.kind != NEXT_LATER);
	start_settles(g, n);
}

void gen_enter(struct gen *g, const struct gen_class *class, const char *name, struct next n)
{
	REQUIRE(actor_find(g->actor.id) == &g->actor);
	REQUIRE(!name || actor_id_equal(actor_whereis(name), g->actor.id));
	gen_init(g, class);
	if (name)
		more(g)->name = xstrdup(name);
	g->phase = LIVE;
	settle(g, n);
}

/* --- spawning: an object made on the shard it is for --- */

static void spawn(const struct gen_class *class, void *arg, const struct origin *o)
{
	shard_check(NULL);
	REQUIRE(class->bytes >= sizeof(struct gen));
	start(xcalloc(1, class->bytes), class, arg, o);
}

struct spawn {
	struct msg msg;
	const struct gen_class *class;
	void *arg;
	struct origin origin;
	char *name; /* owned; may be NULL */
};

static void spawn_run(struct msg *m)
{
	struct spawn *s = caa_container_of(m, struct spawn, msg);

	s->origin.how.name = s->name;
	spawn(s->class, s->arg, &s->origin);
	free(s->name);
	free(s);
}

void gen_spawn(struct shard *on, const struct gen_class *class, void *arg, const struct start *how)
{
	struct spawn *s = xcalloc(1, sizeof(*s));

	s->msg.run = spawn_run;
	s->class = class;
	s->arg = arg;
	s->origin.spawned = true;
	if (how)
		s->origin.how = *how;
	if (how && how->name)
		s->name = xstrdup(how->name);
	shard_post(on, &s->msg);
}

static void spawn_errand_run(struct msg *m)
{
	struct spawn_errand *e = caa_container_of(m, struct spawn_errand, errand.msg);
	struct origin o = { .waits = e, .spawned = true };

	if (e->how)
		o.how = *e->how;
	spawn(e->class, e->arg, &o); /* e is gone when its thread has been told */
}

struct start_result gen_spawn_wait(
	struct shard *on, const struct gen_class *class, void *arg, const struct start *how)
{
	struct spawn_errand e = { .class = class, .arg = arg, .how = how };

	errand_wait(&e.errand, on, spawn_errand_run);
	return e.result;
}

/* --- timers of its own --- */

static void timer_over(struct timer *timer)
{
	struct gen_timer *t = caa_container_of(timer, struct gen_timer, timer);
	struct gen *g = t->gen;
	struct term event = t->event;

	if (g->phase == STARTING) {
		t->fired = true;
		return;
	}
	t->event = TERM(0);
	timer_free(t);
	handle(g, MAIL_CAST, &event, nobody);
	term_drop(&event);
}

uint32_t gen_timer_start(struct gen *g, uint64_t ms, struct term event, enum gen_timer_kind kind)
{
	struct gen_timer *t = xmalloc(sizeof(*t));
	uint32_t ref = ++more(g)->last_ref;

	if (ref == 0)
		ref = ++g->more->last_ref;
	if (kind == GEN_TIMER_WITH_REF)
		event.ref = ref;
	*t = (struct gen_timer){ .gen = g, .event = event, .ref = ref };
	timer_init(&t->timer, timer_over);
	timer_set(&t->timer, ms);
	cds_list_add_tail(&t->node, &g->more->timers);
	return ref;
}

int64_t gen_timer_cancel(struct gen *g, uint32_t ref)
{
	struct gen_timer *t;
	int64_t left_ms;

	if (!g->more)
		return -1;
	cds_list_for_each_entry (t, &g->more->timers, node) {
		if (t->ref == ref) {
			left_ms = (int64_t)timer_left_ms(&t->timer);
			timer_free(t);
			return left_ms;
		}
	}
	return -1;
}

/* --- changing the class --- */

int gen_upgrade(struct gen *g, const struct gen_class *now, void *extra)
{
	int err;

	REQUIRE(now->actor.behaviour == behaviour_of(g));
	err = behaviour_of(g)->code_change(g, now, class_of(g)->version, extra);
	if (err)
		return err;
	log_info(now->actor.name, "changed its class", L_INT("actor", g->actor.id.v),
		L_INT("from", class_of(g)->version), L_INT("to", now->version));
	g->actor.class = &now->actor;
	return 0;
}

enum call_outcome gen_upgrade_wait(struct actor_id id, const struct gen_class *now, void *extra,
	uint64_t deadline_ms, int *out_err)
{
	struct upgrade *up = xmalloc(sizeof(*up));
	enum call_outcome outcome;
	struct term reply;

	*up = (struct upgrade){ now, extra };
	outcome = call_wait(id, MAIL_UPGRADE, TERM_OF(0, up, free), deadline_ms, &reply);
	if (outcome == CALL_REPLIED)
		*out_err = reply.kind;
	return outcome;
}
