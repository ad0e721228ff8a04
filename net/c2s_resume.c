/* net/c2s_resume.c - a new connection comes to an old session: XEP-0198 §5. In three steps, since
 * both may live on different shards, and either may end at any time:
 *
 *   newcomer    asks the session, and waits
 *   session     if it is its client: lets go of the connection it may still have, waits until all
 *               that it handled may be acknowledged (else the client would send it again), answers
 *   newcomer    tells its client, gives its connection to the session, and is gone
 *   session     sends what is left unacknowledged, and goes on
 */
#include "net/c2s_resume.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/metric.h"
#include "net/sm_resume.h"
#include "xml/builder.h"

static struct metric resumed_metric =
	METRIC_COUNTER_OF("sm_resumes_total", "result=\"ok\"", "Sessions resumed, by result.");
static struct metric failed_metric =
	METRIC_COUNTER_OF("sm_resumes_total", "result=\"failed\"", "Sessions resumed, by result.");

/* Goes back and forth; whoever opens it owns it. */
struct sm_resume {
	struct letter letter;
	struct actor_id session, newcomer;
	sm_answered_fn *answered;
	struct jid *bare; /* owned: who asks */
	uint8_t id[SM_ID_BYTES];
	uint32_t h; /* the client's */
	uint32_t sent; /* with too_high */
	bool too_high; /* h is */
	struct sm_answer answer;
	struct sm_connection connection; /* once it is under way */
};

static void resume_free(struct sm_resume *r)
{
	jid_free(r->bare);
	free(r);
}

ON_SHARD static void send_back(
	struct sm_resume *r, void (*open)(struct actor *a, struct letter *l), struct actor_id to)
{
	r->letter.to = to;
	r->letter.open = open;
	letter_post(&r->letter);
}

/* --- the session, third step: the connection is here --------------------------------------- */

ON_SHARD static void take_origin(struct c2s *c, const struct sm_resume *r)
{
	struct acks *a = rcu_get(c->session.acks);
	struct session_origin *was, *now = xmemdup(&r->connection.origin, sizeof(*now));

	was = rcu_swap(a->origin, now);
	if (was)
		rcu_free_later(was);
}

ON_SHARD static void send_unacknowledged(struct c2s *c, struct sm *sm)
{
	for (uint32_t i = 0; i < sm->out.n; i++)
		conn_write(&c->stream.conn, stanza_wire(unacked_at(&sm->out, i)->stanza), NULL);
	c2s_sm_ask_anew(sm);
}

/* False: it cannot be watched. */
ON_SHARD static bool take_connection(struct c2s *c, struct sm_resume *r)
{
	if (!sm_connection_arrive(&r->connection, &c->stream, &c2s_stream_events,
		    c->session.host->name, &c->listener, &c->options))
		return false;
	c->follow_version = 0;
	take_origin(c, r);
	return true;
}

static void connection_open(struct actor *a, struct letter *l)
{
	struct sm_resume *r = container_of(l, struct sm_resume, letter);
	struct c2s *c;
	struct sm *sm;

	shard_check(NULL);
	c = a ? container_of(a, struct c2s, fsm.gen.actor) : NULL;
	sm = c ? c2s_sm(c) : NULL;
	if (!c || c->left || !c2s_sm_waits(c) || !actor_id_equal(sm->newcomer, r->newcomer)) {
		sm_connection_end(&r->connection);
		resume_free(r);
		return;
	}
	sm->newcomer = ACTOR_NONE;
	if (take_connection(c, r)) {
		c2s_sm_set_state(sm, ACKS_ON);
		sm_spool_connected(&sm->spool);
		c2s_sm_take_ack(c, r->h);
		send_unacknowledged(c, sm);
		metric_add(&resumed_metric, 1);
		c2s_log(c, LOG_LEVEL_INFO, "session resumed", L_INT("sent_again", sm->out.n),
			L_INT("handled", sm->acks.handled));
		fsm_event_now(&c->fsm, &(struct term){ .kind = C2S_RESUMED });
		stream_go_on(&c->stream);
	}
	resume_free(r);
}

/* --- the newcomer, second step: it was answered -------------------------------------------- */

ON_SHARD static void give_connection(struct c2s *c, struct sm_resume *r)
{
	struct session *ss = &c->session;

	if (!sm_connection_leave(&r->connection, &c->stream, &c->listener, &c->options)) {
		resume_free(r); /* it has just been lost */
		return;
	}
	r->connection.origin = (struct session_origin){ ss->address, ss->port, ss->tls };
	fsm_stop_now(&c->fsm, STOP_NORMAL);
	send_back(r, connection_open, r->session);
}

static void answer_open(struct actor *a, struct letter *l)
{
	struct sm_resume *r = container_of(l, struct sm_resume, letter);
	struct c2s *c;

	shard_check(NULL);
	c = a ? container_of(a, struct c2s, fsm.gen.actor) : NULL;
	if (!c || stream_closing(&c->stream)) {
		resume_free(r); /* the session goes on waiting */
		return;
	}
	if (r->too_high) {
		c2s_sm_too_high(c, r->h, r->sent);
		resume_free(r);
		return;
	}
	if (r->answer.error)
		metric_add(&failed_metric, 1);
	r->answered(c, &r->answer);
	if (r->answer.error) {
		resume_free(r);
		stream_go_on(&c->stream);
		return;
	}
	give_connection(c, r);
}

ON_SHARD static void answer(struct sm_resume *r)
{
	send_back(r, answer_open, r->newcomer);
}

ON_SHARD static void refuse(struct sm_resume *r, int error)
{
	r->answer.error = error;
	answer(r);
}

/* --- the session, first step: it is asked -------------------------------------------------- */

ON_SHARD static void grant(struct sm *sm, struct sm_resume *r)
{
	r->answer.has_h = true;
	r->answer.h = sm->acks.handled;
	sm->newcomer = r->newcomer;
	if (timer_left_ms(&sm->timer) < SM_GRANTED_MS)
		timer_set(&sm->timer, SM_GRANTED_MS);
	answer(r);
}

void c2s_resume_covered(struct sm *sm)
{
	struct sm_resume *r = sm->resume;

	sm->resume = NULL;
	grant(sm, r);
}

void c2s_resume_refused(struct sm *sm)
{
	struct sm_resume *r = sm->resume;

	sm->resume = NULL;
	if (r)
		refuse(r, ERR_ITEM_NOT_FOUND);
}

/* §5: a connection that is still there belongs to nobody. */
ON_SHARD static void end_old_connection(struct c2s *c)
{
	if (c2s_sm_waits(c))
		return;
	stream_farewell(&c->stream, STREAM_CONFLICT, "The session was resumed elsewhere.");
	c2s_sm_detach(c);
}

/* Whether this is a session that the asking stream may have. */
static bool is_for(const struct c2s *c, const struct sm_resume *r)
{
	const struct sm *sm = c2s_sm(c);

	return sm && sm->max_ms && !c->left && !memcmp(sm->id, r->id, SM_ID_BYTES) &&
		jid_equal_bare(c->session.jid, r->bare);
}

static void question_open(struct actor *a, struct letter *l)
{
	struct sm_resume *r = container_of(l, struct sm_resume, letter);
	struct c2s *c;
	struct sm *sm;

	shard_check(NULL);
	c = a && a->class == &c2s_class.gen.actor ? container_of(a, struct c2s, fsm.gen.actor)
						  : NULL;
	if (!c || !is_for(c, r)) { /* or it is another server's */
		refuse(r, ERR_ITEM_NOT_FOUND);
		return;
	}
	sm = c2s_sm(c);
	if (!unacked_covers(&sm->out, r->h)) {
		r->too_high = true;
		r->sent = unacked_sent(&sm->out);
		answer(r);
		return;
	}
	end_old_connection(c);
	c2s_resume_refused(sm); /* the later one counts */
	if (sm->acks.n_open || !c->open)
		sm->resume = r;
	else
		grant(sm, r);
}

/* --- the newcomer, first step -------------------------------------------------------------- */

/* Whether it is one that was over: §5's MAY. */
static void look_among_over(struct sm_resume *r, const struct sm_place *p)
{
	if (p->bare_hash != r->bare->bare_hash)
		return;
	r->answer.has_h = true;
	r->answer.h = p->handled;
}

ON_SHARD static int read_resume(struct sm_resume *r, const struct elem *resume)
{
	struct sm_place p;
	int error = sm_read_resume(resume, r->id, &r->h, &p);

	if (error)
		return error;
	if (!p.session.v) {
		look_among_over(r, &p);
		return ERR_ITEM_NOT_FOUND;
	}
	r->session = p.session;
	sm_id_write(r->id, r->answer.id);
	return 0;
}

void c2s_sm_resume(struct c2s *c, const struct elem *resume, sm_answered_fn *answered)
{
	struct sm_resume *r = xcalloc(1, sizeof(*r));
	int error;

	r->newcomer = c->session.id;
	r->answered = answered;
	REQUIRE(!jid_make(c->user, c->session.host->name, NULL, NULL, &r->bare));
	error = read_resume(r, resume);
	if (error == ERR_ITEM_NOT_FOUND && !c->conf->sm.resume_timeout_ms)
		error = ERR_FEATURE_NOT_IMPLEMENTED; /* §5: resumption is not supported */
	stream_wait(&c->stream);
	if (error)
		refuse(r, error);
	else
		send_back(r, question_open, r->session);
}

void c2s_sm_resumed(struct builder *b, const struct sm_answer *a)
{
	build_open(b, a->error ? "failed" : "resumed", NS_SM);
	if (a->has_h)
		build_attr_int(b, "h", a->h);
	if (a->error) {
		build_open(b, stanza_error_name(a->error), NS_STANZAS);
		build_close(b);
	} else {
		build_attr(b, "previd", a->id);
	}
	build_close(b);
}
