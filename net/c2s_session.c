/* net/c2s_session.c - binding a resource, and the established session: the client's stanzas are
 * checked, stamped, sealed and handed to the router. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/lang.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/c2s_csi.h"
#include "net/c2s_sm.h"
#include "router/access.h"
#include "router/account.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/route.h"

#define BIND_ATTEMPTS_MAX 10
#define FIRST_LOOK_MS 1000 /* after that the session_idle hook says when it wants to be asked */

/* --- binding: RFC 6120 §7 ------------------------------------------------------------------ */

void c2s_random_resource(char out[17])
{
	uint64_t r;

	REQUIRE(getrandom(&r, sizeof(r), 0) == sizeof(r));
	sprintf(out, "%016" PRIx64, r);
}

ON_SHARD static int set_jid(struct c2s *c, const char *resource)
{
	struct jid *jid;
	char any[17];

	session_set_jid(&c->session, NULL);
	if (!resource || !*resource) {
		c2s_random_resource(any);
		resource = any;
	}
	/* The local part was prepared at login, so what fails is the resource. */
	if (jid_make(c->user, c->session.host->name, resource, NULL, &jid))
		return ERR_BAD_REQUEST;
	session_set_jid(&c->session, jid);
	return 0;
}

/* ejabberd's name for it among the shaper_rules wins over the option. */
ON_SHARD static unsigned sessions_allowed(const struct c2s *c)
{
	const struct access_subject who = { c->session.jid, &c->session.address };
	int64_t n = access_number_for(
		"max_user_sessions", c->session.host->name, &who, c->conf->max_sessions);

	return n < UINT_MAX ? (unsigned)n : UINT_MAX;
}

/* The same installation of a client, by its own word, that has not noticed its old connection's
 * end. XEP-0386 §3.2 */
ON_SHARD static bool held_by_itself(const struct c2s *c)
{
	const struct session_entry *e = directory_find_full(c->session.jid);

	return e && c->session.user_agent && e->session->user_agent == c->session.user_agent;
}

/* The resource is in use: RFC 6120 §7.7.2.2. */
ON_SHARD static int resolve_conflict(struct c2s *c)
{
	struct actor_id holder;
	int error;

	switch (held_by_itself(c) ? CONFLICT_CLOSE_OLD : c->conf->resource_conflict) {
	case CONFLICT_CLOSE_OLD:
		holder = directory_replace(&c->session);
		if (holder.v)
			c2s_kick(holder, STREAM_CONFLICT, TR("Replaced by new connection"));
		return 0;
	case CONFLICT_SET_RESOURCE:
		error = set_jid(c, NULL);
		if (error)
			return error;
		return directory_enter(&c->session, sessions_allowed(c), &holder)
			? ERR_RESOURCE_CONSTRAINT
			: 0;
	default:
		return ERR_CONFLICT;
	}
}

ON_SHARD static void session_opened(struct c2s *c)
{
	c->open = true;
	c2s_log(c, LOG_LEVEL_INFO, "session opened");
	hook_run(c->session.host->hooks, &session_opened_hook, &c->session);
}

static void account_ready(struct actor_id session, int error)
{
	struct actor *a;
	struct c2s *c;

	shard_check(NULL);
	a = actor_find(session);
	c = a ? container_of(a, struct c2s, fsm.gen.actor) : NULL;
	if (!c || c->left || stream_closing(&c->stream))
		return;
	if (error) {
		c2s_fail(c, STREAM_INTERNAL_SERVER_ERROR, "The account's data cannot be read.");
		return;
	}
	session_opened(c);
	stream_go_on(&c->stream);
}

/* The session is in the directory; its client is told so at once, and read on when what the server
 * has stored about the account is there. */
ON_SHARD static int await_account(struct c2s *c)
{
	int waiting = account_need(&c->session, account_ready);

	if (!waiting)
		session_opened(c);
	else if (waiting > 0)
		stream_wait(&c->stream);
	else
		c2s_fail(c, STREAM_RESOURCE_CONSTRAINT, "Too many logins at once.");
	return 0;
}

ON_SHARD static int bind_resource(struct c2s *c, const char *resource)
{
	struct actor_id holder;
	int error = set_jid(c, resource);

	if (error)
		return error;
	switch (directory_enter(&c->session, sessions_allowed(c), &holder)) {
	case DIRECTORY_TAKEN:
		error = resolve_conflict(c);
		break;
	case DIRECTORY_FULL:
		error = ERR_RESOURCE_CONSTRAINT; /* §7.6.2.1 */
		break;
	}
	if (error)
		return error;
	c->bound = true;
	c->follow_version = 0; /* it may be the JID that is followed */
	c2s_watch_idle(c);
	return await_account(c);
}

struct next c2s_bind(struct c2s *c, const char *resource, c2s_bound_fn *then)
{
	int error = bind_resource(c, resource);
	struct next next = then(c, error);

	if (!error)
		c2s_login_end(c);
	return next;
}

void c2s_watch_idle(struct c2s *c)
{
	c->idle_heard_ms = 0;
	timer_set(&c->timer, FIRST_LOOK_MS);
}

ON_SHARD static void send_and_end(struct c2s *c, struct builder *b)
{
	struct stanza *s = build_end(b);
	struct sm *sm = c2s_sm(c);

	if (sm)
		c2s_sm_send(c, sm, s, DELIVER_COPY);
	else
		stream_send_stanza(&c->stream, s);
	stanza_unref(s);
}

ON_SHARD static void refuse(struct c2s *c, const struct stanza *s, int error)
{
	struct builder b;

	build_error(&b, s, error, NULL);
	send_and_end(c, &b);
}

/* A resource that cannot be had. RFC 6120 §7.7.3: 5 to 10 times, then the stream ends. */
ON_SHARD static struct next refuse_bind(struct c2s *c, const struct stanza *s, int error)
{
	struct builder b;

	if (error == ERR_CONFLICT) /* another one may do: §7.7.2.2 */
		build_error_as(&b, s, "modify", error, NULL);
	else
		build_error(&b, s, error, NULL);
	send_and_end(c, &b);
	if (++c->login->bind_attempts == BIND_ATTEMPTS_MAX)
		c2s_fail(c, STREAM_POLICY_VIOLATION, "Too many refused resources.");
	return fsm_same();
}

/* The request's answer. */
ON_SHARD static struct next request_bound(struct c2s *c, int error)
{
	struct stanza *s = c->login->request;
	struct next next = fsm_next(WAIT_FOR_SESSION);
	char full[JID_TEXT_MAX];
	struct builder b;

	c->login->request = NULL;
	if (error) {
		next = refuse_bind(c, s, error);
	} else {
		jid_write(c->session.jid, full);
		build_iq_result(&b, s);
		build_open(&b, "bind", NS_BIND);
		build_text(&b, "jid", full);
		build_close(&b);
		send_and_end(c, &b);
	}
	stanza_unref(s);
	return next;
}

ON_SHARD static struct next bind_request(struct c2s *c, struct stanza *s, const struct elem *bind)
{
	if (s->type != IQ_SET)
		return refuse_bind(c, s, ERR_BAD_REQUEST);
	c->login->request = stanza_ref(s);
	return c2s_bind(c, elem_child_text(bind, "resource", NS_BIND, &s->arena), request_bound);
}

struct next wait_for_bind(struct fsm *f, struct term *e)
{
	struct c2s *c = c2s_of(f);
	struct stanza *s = e->data;
	const struct elem *bind;
	struct next next;

	if (e->kind != C2S_STANZA)
		return c2s_fail(c, STREAM_BAD_FORMAT, NULL);
	bind = s->type == IQ_GET || s->type == IQ_SET ? stanza_iq_child(s) : NULL;
	if (bind && elem_is(bind, "bind", NS_BIND))
		next = bind_request(c, s, bind);
	else if (elem_is(s->root, NULL, NS_SM))
		next = c2s_sm_early(c, s);
	else /* RFC 6120 §7.1: nothing else before a resource is bound */
		next = c2s_fail(c, STREAM_NOT_AUTHORIZED, "Bind a resource first.");
	stanza_unref(s);
	return next;
}

/* --- the session --------------------------------------------------------------------------- */

/* RFC 6120 §8.1.2.1: a client speaks for itself only. */
static bool from_is_own(const struct c2s *c, const struct stanza *s)
{
	return !s->from || jid_equal(s->from, c->session.jid) ||
		(jid_is_bare(s->from) && jid_equal_bare(s->from, c->session.jid));
}

static bool is_subscription(const struct stanza *s)
{
	return s->type == PRES_SUBSCRIBE || s->type == PRES_SUBSCRIBED ||
		s->type == PRES_UNSUBSCRIBE || s->type == PRES_UNSUBSCRIBED;
}

/* Subscriptions are the account's (RFC 6121 §3.1.2), everything else the resource's. */
static void stamp_from(const struct c2s *c, struct stanza *s)
{
	if (s->kind == STANZA_PRESENCE && is_subscription(s))
		stanza_set_from(s, jid_bare(c->session.jid, &s->arena));
	else
		stanza_set_from(s, c->session.jid);
}

/* To the server, or to nobody in particular. */
static bool is_session_request(const struct c2s *c, const struct stanza *s)
{
	const struct elem *child = s->type == IQ_SET ? stanza_iq_child(s) : NULL;

	return child && elem_is(child, "session", NS_SESSION) &&
		(!s->to ||
			(jid_is_domain(s->to) &&
				!strcmp(jid_domain(s->to), c->session.host->name)));
}

/* RFC 3921 §3, which RFC 6121 made a no-op. */
ON_SHARD static void answer_session(struct c2s *c, const struct stanza *s)
{
	struct builder b;

	build_iq_result(&b, s);
	send_and_end(c, &b);
}

ON_SHARD static void bad_stanza(struct c2s *c, struct stanza *s, int error)
{
	/* An answer goes to who asked: the stanza's to is not an address, so it is left out. */
	stanza_seal(s);
	if (s->type != MSG_ERROR && s->type != PRES_ERROR && s->type != IQ_ERROR &&
		s->type != IQ_RESULT)
		refuse(c, s, error);
}

/* Its receiver's addresses come from memory while its wire form is made, which it will need. */
static void prepare_message(struct stanza *s)
{
	directory_soon(s->to, DIRECTORY_ACCOUNT);
	buf_unref(stanza_wire(s));
	directory_soon(s->to, DIRECTORY_SESSION);
}

/* From here on nobody changes it: house-style's step 4. Takes s. */
ON_SHARD static void c2s_stanza(struct c2s *c, struct stanza *s)
{
	struct session_packet packet = { &c->session, s };

	if (hook_run(c->session.host->hooks, &user_send_hook, &packet) == HOOK_STOP) {
		stanza_unref(s);
		return;
	}
	if (s->kind == STANZA_PRESENCE) {
		session_presence_out(&c->session, s);
		return;
	}
	if (!s->to) /* RFC 6120 §10.3: for the account itself */
		stanza_set_to(s, jid_bare(c->session.jid, &s->arena));
	stanza_seal(s);
	if (s->kind == STANZA_MESSAGE)
		prepare_message(s);
	route(s);
}

/* Takes s. */
ON_SHARD static struct next other_element(struct c2s *c, struct stanza *s)
{
	struct next next;

	if (elem_is(s->root, NULL, NS_SM))
		next = c2s_sm_element(c, s);
	else if (elem_is(s->root, NULL, NS_CSI))
		next = c2s_csi_element(c, s);
	else /* RFC 6120 §4.9.3.24 */
		next = c2s_fail(c, STREAM_UNSUPPORTED_STANZA_TYPE, NULL);
	stanza_unref(s);
	return next;
}

struct next session_established(struct fsm *f, struct term *e)
{
	struct c2s *c = c2s_of(f);
	struct next next = fsm_next(SESSION_ESTABLISHED);
	struct stanza *s = e->data;
	bool may_change_state;
	int error;

	if (e->kind == C2S_LOST)
		return fsm_next(WAIT_FOR_RESUME);
	if (e->kind != C2S_STANZA)
		return c2s_fail(c, STREAM_BAD_FORMAT, NULL);
	if (s->kind == STANZA_OTHER)
		return other_element(c, s);
	may_change_state = s->kind != STANZA_MESSAGE;
	if (s->faults & STANZA_BAD_FROM || !from_is_own(c, s)) { /* §4.9.3.9 */
		stanza_unref(s);
		return c2s_fail(c, STREAM_INVALID_FROM, NULL);
	}
	if (c2s_sm(c) && !acks_begin_stanza(&c->session, s)) {
		stanza_unref(s);
		return next;
	}
	stamp_from(c, s);
	error = route_unfit(s);
	if (error) {
		bad_stanza(c, s, error);
		stanza_unref(s);
	} else if (is_session_request(c, s)) {
		answer_session(c, s);
		stanza_unref(s);
	} else {
		c2s_stanza(c, s);
	}
	acks_end_stanza();
	c2s_sm_handled(c, may_change_state);
	return next;
}

/* Between bind and the first stanza: a client that knows RFC 3921 asks for a session, any other
 * goes straight on. */
struct next wait_for_session(struct fsm *f, struct term *e)
{
	return session_established(f, e);
}

/* The client is gone and may come back: XEP-0198 §5. */
struct next wait_for_resume(struct fsm *f, struct term *e)
{
	if (e->kind != C2S_RESUMED)
		return fsm_same();
	c2s_watch_idle(c2s_of(f));
	return fsm_next(SESSION_ESTABLISHED);
}
