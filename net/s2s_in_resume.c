/* net/s2s_in_resume.c - a new connection of another server goes on where an old one ended: XEP-0198
 * §5. In three steps, since both streams may live on different shards and either may end at any
 * time:
 *
 *   newcomer    asks the old stream, and waits
 *   old stream  if it is the same server's: lets go of the connection it may still have, waits
 * until all that it handled is done with (else the peer would send it again), answers newcomer
 * tells its peer, gives its connection to the old stream, and is gone old stream  sends what is
 * left unacknowledged, and goes on
 */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/metric.h"
#include "net/s2s_in_sm.h"
#include "net/sm_resume.h"
#include "xml/builder.h"

#define RESUMES(result_)                                                    \
	METRIC_COUNTER_OF("s2s_in_resumes_total", "result=\"" result_ "\"", \
		"Streams of other servers that asked to go on with an old one.")
static struct metric resumed_metric = RESUMES("ok"), failed_metric = RESUMES("failed");

__attribute__((constructor)) static void register_metrics(void)
{
	metric_register(&resumed_metric);
	metric_register(&failed_metric);
}

/* Goes back and forth; whoever opens it owns it. */
struct s2s_in_resume {
	struct letter letter;
	struct actor_id old, newcomer;
	struct s2s_pairs pairs; /* owned: what the newcomer's peer may send for */
	uint8_t id[SM_ID_BYTES];
	uint32_t h; /* the peer's */
	int error; /* enum stanza_error; 0: granted */
	bool too_high, has_handled;
	uint32_t handled; /* ours; with too_high: what it was sent */
	struct sm_connection connection; /* once it is under way */
};

static void resume_free(struct s2s_in_resume *r)
{
	s2s_pairs_fini(&r->pairs);
	free(r);
}

ON_SHARD static void send_to(struct s2s_in_resume *r, struct actor_id to,
	void (*open)(struct actor *a, struct letter *l))
{
	r->letter.to = to;
	r->letter.open = open;
	letter_post(&r->letter);
}

/* --- the old stream, third step: the connection is here ------------------------------------ */

/* False: it cannot be watched, and the stream goes on waiting. */
ON_SHARD static bool take_connection(struct s2s_in *c, struct s2s_in_resume *r)
{
	if (!sm_connection_arrive(&r->connection, &c->stream, s2s_in_stream_calls(), c->ours,
		    &c->listener, &c->options))
		return false;
	c->address = r->connection.origin.address;
	c->port = r->connection.origin.port;
	return true;
}

static void connection_open(struct actor *a, struct letter *l)
{
	struct s2s_in_resume *r = container_of(l, struct s2s_in_resume, letter);
	struct s2s_in *c;

	shard_check(NULL);
	c = s2s_in_of_actor(a);
	if (!c || c->over || !s2s_in_sm_waits(c) || !actor_id_equal(c->sm->newcomer, r->newcomer)) {
		sm_connection_end(&r->connection);
		resume_free(r);
		return;
	}
	c->sm->newcomer = ACTOR_NONE;
	if (take_connection(c, r)) {
		metric_add(&resumed_metric, 1);
		s2s_in_sm_attached(c, r->h);
		s2s_in_lend(c); /* the peer's choice among its streams */
		s2s_in_log(c, LOG_LEVEL_INFO, "resumed", L_INT("sent_again", c->sm->out.n),
			L_INT("handled", c->sm->acks.handled));
		for (uint32_t i = 0; i < r->pairs.n; i++)
			s2s_in_add_pair(c, r->pairs.at[i].theirs, r->pairs.at[i].ours);
		stream_go_on(&c->stream);
	}
	resume_free(r);
}

/* --- the newcomer, second step: it was answered -------------------------------------------- */

ON_SHARD static void tell_granted(struct s2s_in *c, const struct s2s_in_resume *r)
{
	char id[SM_ID_TEXT];
	struct builder b;

	sm_id_write(r->id, id);
	build_begin(&b, "resumed", NS_SM);
	build_attr(&b, "previd", id);
	build_attr_int(&b, "h", r->handled);
	stream_send_element(&c->stream, &b);
}

ON_SHARD static void give_connection(struct s2s_in *c, struct s2s_in_resume *r)
{
	s2s_in_leave(c);
	r->connection.origin = (struct session_origin){ c->address, c->port, s2s_in_is_secure(c) };
	if (!sm_connection_leave(&r->connection, &c->stream, &c->listener, &c->options)) {
		resume_free(r); /* it has just been lost */
		return;
	}
	fsm_stop_now(&c->fsm, STOP_NORMAL);
	send_to(r, r->old, connection_open);
}

static void answer_open(struct actor *a, struct letter *l)
{
	struct s2s_in_resume *r = container_of(l, struct s2s_in_resume, letter);
	struct s2s_in *c;

	shard_check(NULL);
	c = s2s_in_of_actor(a);
	if (!c || stream_closing(&c->stream)) {
		resume_free(r); /* the old stream goes on waiting */
		return;
	}
	if (!r->error && !r->too_high) {
		tell_granted(c, r);
		give_connection(c, r);
		return;
	}
	metric_add(&failed_metric, 1);
	if (r->too_high) {
		s2s_in_sm_too_high(c, r->h, r->handled);
	} else {
		s2s_in_sm_failed(c, r->error, r->has_handled ? &r->handled : NULL);
		stream_go_on(&c->stream);
	}
	resume_free(r);
}

ON_SHARD static void answer(struct s2s_in_resume *r, int error)
{
	r->error = error;
	send_to(r, r->newcomer, answer_open);
}

/* --- the old stream, first step: it is asked ----------------------------------------------- */

ON_SHARD static void grant(struct s2s_in_sm *sm, struct s2s_in_resume *r)
{
	r->handled = sm->acks.handled;
	sm->newcomer = r->newcomer;
	if (timer_left_ms(&sm->timer) < SM_GRANTED_MS)
		timer_set(&sm->timer, SM_GRANTED_MS);
	answer(r, 0);
}

void s2s_in_resume_covered(struct s2s_in_sm *sm)
{
	struct s2s_in_resume *r = sm->resume;

	sm->resume = NULL;
	grant(sm, r);
}

void s2s_in_resume_refused(struct s2s_in_sm *sm)
{
	struct s2s_in_resume *r = sm->resume;

	sm->resume = NULL;
	if (r)
		answer(r, ERR_ITEM_NOT_FOUND);
}

/* §5: a connection that is still there belongs to nobody. */
ON_SHARD static void end_old_connection(struct s2s_in *c)
{
	if (c->sm->waits)
		return;
	stream_farewell(&c->stream, STREAM_CONFLICT, "The stream was resumed elsewhere.");
	s2s_in_sm_detach(c);
}

/* Whether this is a stream that the newcomer's peer may have: it speaks for the domain that it
 * was made for. */
static bool is_for(const struct s2s_in *c, const struct s2s_in_resume *r)
{
	const struct s2s_in_sm *sm = c->sm;

	return s2s_in_sm_stays(c) && c->pairs.n && !memcmp(sm->id, r->id, SM_ID_BYTES) &&
		s2s_pairs_sends(&r->pairs, sm->for_domain);
}

static void question_open(struct actor *a, struct letter *l)
{
	struct s2s_in_resume *r = container_of(l, struct s2s_in_resume, letter);
	struct s2s_in *c;

	shard_check(NULL);
	c = s2s_in_of_actor(a);
	if (!c || !is_for(c, r)) {
		answer(r, ERR_ITEM_NOT_FOUND);
		return;
	}
	if (!unacked_covers(&c->sm->out, r->h)) {
		r->too_high = true;
		r->handled = unacked_sent(&c->sm->out);
		answer(r, 0);
		return;
	}
	end_old_connection(c);
	s2s_in_resume_refused(c->sm); /* the later one counts */
	if (c->sm->acks.n_open)
		c->sm->resume = r;
	else
		grant(c->sm, r);
}

/* --- the newcomer, first step -------------------------------------------------------------- */

/* One that is over: §5's MAY. */
static void look_among_over(struct s2s_in_resume *r, const struct sm_place *p)
{
	for (uint32_t i = 0; i < r->pairs.n && !r->has_handled; i++) {
		const char *theirs = r->pairs.at[i].theirs;

		r->has_handled = p->bare_hash == jid_hash_domain(theirs, strlen(theirs));
	}
	r->handled = p->handled;
}

ON_SHARD static int read_resume(struct s2s_in_resume *r, const struct elem *resume)
{
	struct sm_place p;
	int error = sm_read_resume(resume, r->id, &r->h, &p);

	if (error)
		return error;
	if (!p.session.v) {
		look_among_over(r, &p);
		return ERR_ITEM_NOT_FOUND;
	}
	r->old = p.session;
	return 0;
}

struct next s2s_in_resume(struct s2s_in *c, const struct elem *resume)
{
	struct s2s_in_resume *r = xcalloc(1, sizeof(*r));
	int error;

	r->newcomer = c->fsm.gen.actor.id;
	for (uint32_t i = 0; i < c->pairs.n; i++)
		s2s_pairs_add(&r->pairs, c->pairs.at[i].theirs, c->pairs.at[i].ours);
	error = read_resume(r, resume);
	stream_wait(&c->stream);
	if (error)
		answer(r, error);
	else
		send_to(r, r->old, question_open);
	return fsm_same();
}
