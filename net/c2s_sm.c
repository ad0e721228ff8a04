/* net/c2s_sm.c - stream management: acknowledgements, and the time without a connection. How a new
 * connection comes to an old session is net/c2s_resume.c. */
#include "net/c2s_sm.h"
#include "net/c2s_csi.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/metric.h"
#include "net/acceptor.h"
#include "net/c2s_resume.h"
#include "net/sm_element.h"
#include "router/directory.h"
#include "router/message.h"
#include "router/route.h"
#include "xml/builder.h"

static struct metric enabled_metric =
	METRIC_GAUGE("sm_sessions", "Sessions with stream management.");
static struct metric waiting_metric =
	METRIC_GAUGE("sm_waiting", "Sessions that wait for their client to come back.");
static struct metric late_metric =
	METRIC_COUNTER("sm_timed_out_total", "Sessions whose client did not come back in time.");
static struct metric given_up_metric = METRIC_COUNTER(
	"sm_unacknowledged_total", "Stanzas that were not acknowledged when their session ended.");

/* --- asking, and being asked --------------------------------------------------------------- */

ON_SHARD static void ask(struct sm *sm)
{
	sm->asked = true;
	sm->since_asked = 0;
	sm_send_request(&sm->c->stream);
	timer_set(&sm->timer, (uint64_t)sm->c->conf->sm.ack_timeout_ms);
}

/* Not for each stanza: a client's answer costs it more than the stanza did. */
ON_SHARD static void ask_in_time(struct sm *sm)
{
	if (sm->asked)
		return;
	if (sm->since_asked >= SM_ASK_EVERY)
		ask(sm);
	else if (!timer_armed(&sm->timer))
		timer_set(&sm->timer, SM_ASK_AFTER_MS);
}

void c2s_sm_ask_anew(struct sm *sm)
{
	timer_cancel(&sm->timer);
	sm->asked = false;
	sm->since_asked = sm->out.n;
	if (sm->out.n)
		ask_in_time(sm);
}

ON_SHARD static void answer(struct sm *sm)
{
	sm->r_waits = false;
	sm_send_answer(&sm->c->stream, acks_covered(&sm->acks));
}

/* §4: <r/> is answered at once with what is covered, unless something it asks about is still being
 * stored: then as soon as that is. */
ON_SHARD static void asked_by_client(struct sm *sm)
{
	sm->r_number = sm->acks.handled;
	sm->r_waits = true;
	if (acks_covered(&sm->acks) == sm->acks.handled)
		answer(sm);
}

/* h is kept, and what was there to know it from may go. */
ON_SHARD static void release(struct sm *sm)
{
	acks_release(&sm->acks);
	if (!sm->acks.n_skip)
		sm_spool_done_counted(&sm->spool);
}

static void covered(struct acks *a)
{
	struct sm *sm = container_of(a, struct sm, acks);

	shard_check(NULL);
	if (sm->r_waits && (int32_t)(acks_covered(a) - sm->r_number) >= 0)
		answer(sm);
	sm_spool_handled(&sm->spool, acks_covered(a));
	release(sm);
	if (sm->resume && !a->n_open && sm->c->open)
		c2s_resume_covered(sm);
}

/* §6. */
void c2s_sm_too_high(struct c2s *c, uint32_t h, uint32_t sent)
{
	c2s_leave(c, NULL);
	sm_send_too_high(&c->stream, h, sent);
}

ON_SHARD static struct next acknowledged(struct c2s *c, struct sm *sm, const struct elem *a)
{
	uint32_t h;

	if (!sm_read_h(a, &h))
		return c2s_fail(c, STREAM_POLICY_VIOLATION, "An acknowledgement needs a number h.");
	if (!unacked_covers(&sm->out, h)) {
		c2s_sm_too_high(c, h, unacked_sent(&sm->out));
		return fsm_same();
	}
	c2s_sm_take_ack(c, h);
	c2s_sm_ask_anew(sm);
	return fsm_same();
}

void c2s_sm_take_ack(struct c2s *c, uint32_t h)
{
	struct sm *sm = c2s_sm(c);

	sm_spool_acked(&sm->spool, h);
	while (sm->out.acked != h) {
		struct unacked_stanza u = unacked_take(&sm->out);

		message_received(&c->session, u.stanza, u.kept);
		stanza_unref(u.stanza);
	}
	unacked_rest(&sm->out);
}

void c2s_sm_handled(struct c2s *c, bool may_change_state)
{
	struct sm *sm = c2s_sm(c);

	if (!sm || c->left)
		return;
	sm_spool_handled(&sm->spool, acks_covered(&sm->acks));
	release(sm);
	if (may_change_state)
		sm_spool_state(&sm->spool, &c->session);
}

/* --- sending ------------------------------------------------------------------------------- */

ON_SHARD static bool is_full(const struct c2s *c, const struct sm *sm)
{
	return sm->out.n >= (uint64_t)c->conf->sm.max_ack_queue ||
		sm->out.held >= (uint64_t)c->conf->sm.max_ack_bytes;
}

/* Then it is the session's, and in nobody else's hands. One that finds no room in the spool stays
 * in the message log's, too. */
ON_SHARD static void keep(struct sm *sm, struct stanza *s, enum deliver_copies copies)
{
	struct spool_record *r = sm_spool_stanza(&sm->spool, unacked_sent(&sm->out) + 1, s, copies);

	unacked_add(&sm->out, s, r, copies);
	message_taken(s);
}

/* One that waits in the message log until it is received is handed out anew after a crash, while it
 * is in the queue still, or has been acknowledged and that was not written. */
ON_SHARD static bool is_doubled(const struct sm *sm, const struct stanza *s)
{
	if (likely(!sm->restored || !(s->log_flags & MESSAGE_LOG_WAITS)))
		return false;
	for (uint32_t i = 0; i < sm->out.n; i++)
		if (unacked_at(&sm->out, i)->stanza->log_id == s->log_id)
			return true;
	for (uint32_t i = 0; i < sm->n_received; i++)
		if (sm->received[i] == s->log_id)
			return true;
	return false;
}

bool c2s_sm_send(struct c2s *c, struct sm *sm, struct stanza *s, enum deliver_copies copies)
{
	if (c->left)
		return false;
	if (is_doubled(sm, s))
		return true;
	if (is_full(c, sm)) {
		c2s_log(c, LOG_LEVEL_INFO, "too many unacknowledged stanzas",
			L_INT("stanzas", sm->out.n), L_INT("bytes", sm->out.held));
		c2s_fail(c, STREAM_RESOURCE_CONSTRAINT,
			"There are too many unacknowledged stanzas.");
		return false;
	}
	keep(sm, s, copies);
	if (c2s_sm_waits(c)) {
		hook_run(c->session.host->hooks, &session_away_hook,
			&(struct session_away){ &c->session, s });
		return true;
	}
	conn_write(&c->stream.conn, stanza_wire(s), NULL);
	sm->since_asked++;
	ask_in_time(sm);
	return true;
}

/* --- the time without a connection --------------------------------------------------------- */

void c2s_sm_set_state(struct sm *sm, enum acks_state state)
{
	metric_add(&waiting_metric, state == ACKS_WAITING ? 1 : -1);
	atomic_store_explicit(&sm->acks.state, state, memory_order_relaxed);
}

/* What the client may not have. */
ON_SHARD static void tell_away(struct c2s *c, const struct sm *sm)
{
	struct session_away subject = { .session = &c->session };

	for (uint32_t i = sm->out.n; i--;) {
		subject.stanza = unacked_at(&sm->out, i)->stanza;
		if (hook_run(c->session.host->hooks, &session_away_hook, &subject) == HOOK_STOP)
			return;
	}
}

void c2s_sm_detach(struct c2s *c)
{
	struct sm *sm = c2s_sm(c);

	sm->asked = sm->r_waits = false;
	timer_cancel(&c->timer);
	conn_drop_output(&c->stream.conn); /* what was sent before <enable/> joins the rest */
	stream_end(&c->stream);
	c2s_release(c);
	c2s_sm_set_state(sm, ACKS_WAITING);
	if (!hook_empty(c->session.host->hooks, &session_away_hook))
		tell_away(c, sm);
	c2s_csi_active(c); /* XEP-0352 §5.1: and so it is when it is resumed */
	sm_spool_state(&sm->spool, &c->session);
	sm_spool_left(&sm->spool);
	timer_set(&sm->timer, sm->max_ms);
	fsm_event_now(&c->fsm, &(struct term){ .kind = C2S_LOST });
}

bool c2s_sm_lost(struct c2s *c)
{
	if (!c2s_sm_stays(c))
		return false;
	c2s_sm_detach(c);
	return true;
}

ON_SHARD static void time_is_up(struct c2s *c)
{
	if (c->left) {
		fsm_stop_now(&c->fsm, STOP_NORMAL);
		return;
	}
	metric_add(&late_metric, 1);
	c2s_log(c, LOG_LEVEL_INFO, "session was not resumed in time");
	c2s_leave(c, NULL);
	fsm_stop_now(&c->fsm, STOP_NORMAL);
}

/* Not at once: somebody may be delivering to it, or going through the shard's streams. */
void c2s_sm_end(struct c2s *c)
{
	timer_set(&c2s_sm(c)->timer, 0);
}

/* An <r/> was not answered for long. */
ON_SHARD static void not_answered(struct c2s *c)
{
	c2s_log(c, LOG_LEVEL_INFO, "no acknowledgement in time");
	if (!c2s_sm_lost(c))
		c2s_fail(c, STREAM_CONNECTION_TIMEOUT, "No acknowledgement came in time.");
}

static void timer_fired(struct timer *t)
{
	struct sm *sm = container_of(t, struct sm, timer);

	shard_check(NULL);
	if (c2s_sm_waits(sm->c))
		time_is_up(sm->c);
	else if (stream_closing(&sm->c->stream))
		return;
	else if (sm->asked)
		not_answered(sm->c);
	else if (sm->out.n)
		ask(sm);
}

/* --- its end ------------------------------------------------------------------------------- */

ON_SHARD static bool resends(const struct c2s *c)
{
	switch (c->conf->sm.resend) {
	case SM_RESEND_YES:
		return true;
	case SM_RESEND_IF_OFFLINE:
		return !directory_find(c->session.jid);
	default:
		return false;
	}
}

/* §4: as what is sent to an unavailable resource. Presence and answers are of no use to others. */
ON_SHARD static void give_up(const struct c2s *c, struct unacked_stanza u)
{
	if (u.copies == DELIVER_SURE && u.stanza->kind == STANZA_MESSAGE && !resends(c))
		route_error(u.stanza, ERR_RECIPIENT_UNAVAILABLE, NULL);
	else
		deliver_failed(u.stanza, u.copies);
	spool_free(u.kept);
	stanza_unref(u.stanza);
}

/* What is in the spool stays there, for the next server. */
ON_SHARD static void forget_rest(struct sm *sm)
{
	while (sm->out.n)
		stanza_unref(unacked_take(&sm->out).stanza);
}

void c2s_sm_park(struct c2s *c)
{
	struct sm *sm = c2s_sm(c);

	if (c->left)
		return;
	sm->parked = true;
	sm_spool_state(&sm->spool, &c->session);
	if (!c2s_sm_waits(c))
		sm_spool_left(&sm->spool);
	c2s_leave(c, NULL);
}

void c2s_sm_left(struct c2s *c)
{
	struct sm *sm = c2s_sm(c);

	if (!sm)
		return;
	timer_cancel(&sm->timer);
	c2s_resume_refused(sm);
	if (sm->parked) {
		sm_place_remove(sm->id);
		forget_rest(sm);
		return;
	}
	if (sm->max_ms)
		sm_place_end(sm->id, sm->acks.handled);
	acks_release_all(&sm->acks);
	metric_add(&given_up_metric, sm->out.n);
	while (sm->out.n)
		give_up(c, unacked_take(&sm->out));
	sm_spool_end(&sm->spool);
}

uint64_t c2s_sm_held_bytes(const struct c2s *c)
{
	const struct sm *sm = c2s_sm(c);

	return sm ? sm->out.held : 0;
}

void c2s_sm_free(struct c2s *c)
{
	struct sm *sm = c2s_sm(c);

	if (!sm)
		return;
	metric_add(&enabled_metric, -1);
	if (c2s_sm_waits(c))
		metric_add(&waiting_metric, -1);
	free(sm->out.at);
	free(sm->received);
	acks_fini(&sm->acks);
	free(sm);
}

/* --- its beginning ------------------------------------------------------------------------- */

int c2s_sm_enable(struct c2s *c, const struct elem *enable)
{
	struct sm *sm;

	if (!c->bound || c->left || c2s_sm(c))
		return ERR_UNEXPECTED_REQUEST;
	sm = c2s_sm_new(c, sm_time_to_wait(&c->conf->sm, enable));
	if (sm->max_ms) {
		sm_id_make(sm->id);
		sm->acks.key = sm_key(sm->id);
		sm_place_add(sm->id, c->session.id, c->session.jid->bare_hash);
		sm_spool_begin(&sm->spool, &c->session, c->user, sm->id, sm->max_ms);
	}
	return 0;
}

struct sm *c2s_sm_new(struct c2s *c, uint64_t max_ms)
{
	struct sm *sm = xcalloc(1, sizeof(*sm));

	sm->c = c;
	sm->acks.covered = covered;
	sm->acks.session = c->session.id;
	sm->max_ms = max_ms;
	timer_init(&sm->timer, timer_fired);
	rcu_set(c->session.acks, &sm->acks);
	metric_register(&waiting_metric);
	metric_add(&enabled_metric, 1);
	return sm;
}

void c2s_sm_enabled(const struct c2s *c, struct builder *b)
{
	const struct sm *sm = c2s_sm(c);
	char id[SM_ID_TEXT];

	build_open(b, "enabled", NS_SM);
	if (sm->max_ms) {
		sm_id_write(sm->id, id);
		build_attr(b, "id", id);
		build_attr(b, "resume", "true");
		build_attr_int(b, "max", (int64_t)(sm->max_ms / 1000));
		build_attr(b, "location", sm->c->conf->sm.location); /* NULL: none */
	}
	build_close(b);
}

void c2s_sm_failed(struct builder *b, int error)
{
	build_open(b, "failed", NS_SM);
	build_open(b, stanza_error_name(error), NS_STANZAS);
	build_close(b);
	build_close(b);
}

/* The first child of what is built is the element. */
void c2s_sm_send_built(struct c2s *c, struct builder *b)
{
	struct stanza *s = build_end(b);
	struct buf *wire = buf_new(256);

	elem_wire(elem_first(s->root), NS_CLIENT, &wire);
	stanza_unref(s);
	conn_write(&c->stream.conn, wire, NULL);
}

ON_SHARD static void fail(struct c2s *c, int error)
{
	struct builder b;

	build_begin(&b, "sm", NS_SM);
	c2s_sm_failed(&b, error);
	c2s_sm_send_built(c, &b);
}

ON_SHARD static struct next enable(struct c2s *c, const struct elem *e)
{
	bool again = c2s_sm(c) != NULL;
	int error = c2s_sm_enable(c, e);
	struct builder b;

	if (error) {
		fail(c, error);
		/* §3: at most one attempt. */
		return again ? c2s_fail(c, STREAM_POLICY_VIOLATION,
				       "Stream management is enabled already.")
			     : fsm_same();
	}
	build_begin(&b, "sm", NS_SM);
	c2s_sm_enabled(c, &b);
	c2s_sm_send_built(c, &b);
	return fsm_same();
}

struct next c2s_sm_element(struct c2s *c, const struct stanza *s)
{
	struct sm *sm = c2s_sm(c);
	const char *name = s->root->name;

	if (!strcmp(name, "enable"))
		return enable(c, s->root);
	if (sm && !strcmp(name, "r")) {
		asked_by_client(sm);
		return fsm_same();
	}
	if (sm && !strcmp(name, "a"))
		return acknowledged(c, sm, s->root);
	fail(c, ERR_UNEXPECTED_REQUEST);
	return fsm_same();
}

static void resume_answered(struct c2s *c, const struct sm_answer *a)
{
	struct builder b;

	shard_check(NULL);
	build_begin(&b, "sm", NS_SM);
	c2s_sm_resumed(&b, a);
	c2s_sm_send_built(c, &b);
}

struct next c2s_sm_early(struct c2s *c, const struct stanza *s)
{
	if (!strcmp(s->root->name, "resume"))
		c2s_sm_resume(c, s->root, resume_answered);
	else
		fail(c, ERR_UNEXPECTED_REQUEST); /* §3: bind first */
	return fsm_same();
}
