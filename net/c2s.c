/* net/c2s.c - a client stream's life: accepted, served by its states, ended; and what reaches it
 * from the router. */
#include "net/c2s.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/lang.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "net/acceptor.h"
#include "net/c2s_csi.h"
#include "net/c2s_sm.h"
#include "net/c2s_stream.h"
#include "net/crowd.h"
#include "net/limits.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/idle.h"
#include "router/message.h"
#include "router/privacy.h"
#include "router/route.h"

#define IDLE_MS 20000 /* without a byte: buffers go back */

static struct metric count_metric =
	METRIC_GAUGE_READ("c2s_streams", "Client streams, logged in or not.", c2s_count);
static struct metric received_metrics[] = {
	METRIC_COUNTER_OF(
		"c2s_stanzas_received_total", "kind=\"message\"", "Stanzas from clients."),
	METRIC_COUNTER_OF(
		"c2s_stanzas_received_total", "kind=\"presence\"", "Stanzas from clients."),
	METRIC_COUNTER_OF("c2s_stanzas_received_total", "kind=\"iq\"", "Stanzas from clients."),
};
static struct metric sent_metric =
	METRIC_COUNTER("c2s_stanzas_sent_total", "Stanzas given to client streams.");

int64_t c2s_count(void)
{
	return crowd_count(LISTEN_C2S);
}

bool c2s_is_secure(const struct c2s *c)
{
	return c->stream.conn.tls != NULL;
}

/* --- ending -------------------------------------------------------------------------------- */

void c2s_leave(struct c2s *c, const char *status)
{
	if (!c->bound || c->left)
		return;
	c->left = c->leaving = true;
	session_hold(&c->session);
	if (!c2s_sm_is_parked(c))
		session_unavailable(&c->session, status);
	directory_leave(&c->session);
	c->leaving = false;
	session_let_go(c->session.id); /* to whoever is there now */
	if (c->open)
		hook_run(c->session.host->hooks, &session_closed_hook, &c->session);
	c2s_csi_end(c);
	c2s_sm_left(c);
}

void c2s_release(struct c2s *c)
{
	if (!c->listener)
		return;
	accepted_release(c->listener, c->options, &c->session.address, c->limited);
	c->listener = NULL;
	c->options = NULL;
	c->limited = false;
}

struct next c2s_fail(struct c2s *c, enum stream_condition cond, const char *text)
{
	if (c2s_has_moved(c)) {
		fsm_stop_now(&c->fsm, STOP_NORMAL);
		return fsm_same();
	}
	c2s_log(c, LOG_LEVEL_DEBUG, "stream error", L_STR("condition", stream_condition_name(cond)),
		L_STR("text", text));
	if (cond == STREAM_SYSTEM_SHUTDOWN && c2s_sm_stays(c))
		c2s_sm_park(c);
	c2s_leave(c,
		cond == STREAM_CONFLICT ? tr(lang_tag(c->stream.lang), "Replaced by new connection")
					: NULL);
	if (c2s_sm_waits(c))
		c2s_sm_end(c);
	else
		stream_error(&c->stream, cond, text);
	return fsm_same();
}

static void c2s_free(struct rcu_head *head)
{
	struct c2s *c = container_of(head, struct c2s, rcu);

	c2s_sm_free(c);
	session_fini(&c->session);
	free(c);
}

/* The connection is gone: what is left of the stream goes too. */
static void c2s_terminate(struct fsm *f, const char *reason UNUSED)
{
	struct c2s *c = c2s_of(f);

	shard_check(NULL);
	c2s_leave(c, NULL);
	timer_cancel(&c->timer);
	crowd_leave(LISTEN_C2S, &c->on_shard);
	c2s_release(c);
	stream_end(&c->stream);
	c2s_moving_free(c);
	c2s_login_end(c);
	host_conf_drop(c->conf);
	free(c->user);
}

/* The directory's readers may still look at the session. */
static void c2s_drop(struct fsm *f)
{
	rcu_later(&c2s_of(f)->rcu, c2s_free);
}

static void lost(struct stream *st, enum conn_loss why)
{
	struct c2s *c = container_of(st, struct c2s, stream);

	shard_check(NULL);
	c2s_log(c, c->bound ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "connection ended",
		L_STR("why", conn_loss_text(why)),
		L_STR("tls", st->conn.tls && why == CONN_FAILED ? tls_error(st->conn.tls) : ""));
	if (!c2s_sm_lost(c))
		fsm_stop_now(&c->fsm, STOP_NORMAL);
}

static void unsent(struct stream *st, struct stanza *s)
{
	struct c2s *c = container_of(st, struct c2s, stream);

	shard_check(NULL);
	if (!c2s_sm_stays(c))
		c2s_leave(c, NULL); /* so that it is not sent here again */
	deliver_failed(s, DELIVER_SURE);
}

/* --- what comes from the client ------------------------------------------------------------ */

static void opened(struct stream *st, const struct stanza *head, const char *default_ns)
{
	struct c2s *c = container_of(st, struct c2s, stream);
	struct stream_opened data = { head, default_ns };

	shard_check(NULL);
	fsm_event_now(&c->fsm, &(struct term){ .kind = C2S_OPENED, .data = &data });
}

static void stanza(struct stream *st, struct stanza *s)
{
	struct c2s *c = container_of(st, struct c2s, stream);

	shard_check(NULL);
	if (s->kind < ARRAY_LEN(received_metrics))
		metric_add(&received_metrics[s->kind], 1);
	s->lang_else = lang_tag(c->stream.lang);
	if (s->to)
		directory_soon(s->to, DIRECTORY_BUCKET);
	c2s_log_stanza(c, "received", s);
	fsm_event_now(&c->fsm, &(struct term){ .kind = C2S_STANZA, .data = s });
	if (deliver_congested())
		conn_rest(&st->conn, 1);
}

static void broken(struct stream *st, enum stream_condition condition, const char *text)
{
	shard_check(NULL);
	c2s_fail(container_of(st, struct c2s, stream), condition, text);
}

/* RFC 6120 §4.4: the client ends its stream, so we end ours. */
static void ended(struct stream *st)
{
	struct c2s *c = container_of(st, struct c2s, stream);

	shard_check(NULL);
	c2s_leave(c, NULL);
	stream_close(st);
}

static void secured(struct stream *st)
{
	struct c2s *c = container_of(st, struct c2s, stream);
	struct tls_info info;

	shard_check(NULL);
	tls_info(st->conn.tls, &info);
	c2s_log(c, LOG_LEVEL_DEBUG, "encrypted", L_STR("version", info.version),
		L_STR("cipher", info.cipher));
	c->session.tls = true;
}

const struct stream_events c2s_stream_events = {
	.opened = opened,
	.stanza = stanza,
	.ended = ended,
	.broken = broken,
	.secured = secured,
	.unsent = unsent,
	.lost = lost,
};

/* --- what comes from the router ------------------------------------------------------------ */

bool c2s_send(struct c2s *c, struct stanza *s, enum deliver_copies copies)
{
	struct sm *sm = c2s_sm(c);

	if (unlikely(atomic_load_explicit(&c->session.active_list, memory_order_relaxed)) &&
		privacy_keeps_from(&c->session, s))
		return true;
	metric_add(&sent_metric, 1);
	c2s_log_stanza(c, "sent", s);
	if (sm)
		return c2s_sm_send(c, sm, s, copies);
	conn_write(&c->stream.conn, stanza_wire(s), copies == DELIVER_SURE ? s : NULL);
	message_taken(s);
	message_received(&c->session, s, NULL);
	return true;
}

/* A request of somebody who is not to know that the client is there. */
ON_SHARD static bool is_refused(const struct c2s *c, const struct stanza *s)
{
	return s->kind == STANZA_IQ && (s->type == IQ_GET || s->type == IQ_SET) &&
		!rcu_get(c->session.host->conf)->strangers_ask &&
		!session_takes_request(&c->session, s);
}

static bool receive(struct actor *a, struct stanza *s, enum deliver_copies copies)
{
	struct c2s *c = container_of(a, struct c2s, fsm.gen.actor);

	shard_check(NULL);
	if (s->kind == STANZA_PRESENCE && s->type == PRES_UNAVAILABLE && c->session.directed)
		session_heard_unavailable(&c->session, s->from);
	if (is_refused(c, s)) {
		route_error(s, ERR_SERVICE_UNAVAILABLE, NULL);
		return true;
	}
	if (unlikely(c->leaving)) { /* the router would send it here again and again */
		session_held(&c->session, s, copies);
		return true;
	}
	if (stream_closing(&c->stream) && !c2s_sm_stays(c)) {
		c2s_leave(c, NULL); /* before the router looks for another receiver */
		return false;
	}
	if (unlikely(sessions_holding) && session_held(&c->session, s, copies))
		return true;
	return (unlikely(c->csi) && c2s_csi_holds(c, s, copies)) || c2s_send(c, s, copies);
}

static struct session *session_of(struct actor *a)
{
	struct c2s *c = container_of(a, struct c2s, fsm.gen.actor);

	return c->bound && !c->left ? &c->session : NULL;
}

/* --- beginning ----------------------------------------------------------------------------- */

static const struct fsm_state states[] = {
	[WAIT_FOR_STREAM] = { "wait_for_stream", wait_for_stream },
	[WAIT_FOR_FEATURE_REQUEST] = { "wait_for_feature_request", wait_for_feature_request },
	[WAIT_FOR_SASL_RESPONSE] = { "wait_for_sasl_response", wait_for_sasl_response },
	[WAIT_FOR_AUTH] = { "wait_for_auth", wait_for_auth },
	[WAIT_FOR_BIND] = { "wait_for_bind", wait_for_bind },
	[WAIT_FOR_SESSION] = { "wait_for_session", wait_for_session },
	[SESSION_ESTABLISHED] = { "session_established", session_established },
	[WAIT_FOR_RESUME] = { "wait_for_resume", wait_for_resume },
};
static uint64_t held_bytes(struct actor *a)
{
	const struct c2s *c = container_of(a, struct c2s, fsm.gen.actor);

	shard_check(NULL);
	return stream_held_bytes(&c->stream) + c2s_sm_held_bytes(c);
}

static const struct recipient recipient = {
	.receive = receive,
	.session = session_of,
	.held_bytes = held_bytes,
};
const struct fsm_class c2s_class = {
	.gen = { .actor = { .name = "c2s", .behaviour = &fsm_behaviour, .recipient = &recipient },
		.version = 1,
		.bytes = sizeof(struct c2s) },
	FSM_STATES(states),
	.terminate = c2s_terminate,
	.code_change = c2s_load_state,
	.drop = c2s_drop,
};

/* router/idle.h: modules watch over silent streams. False: the stream is ending. */
ON_SHARD static bool ask_idle_hook(struct c2s *c, uint64_t silent_ms)
{
	bool heard = c->stream.conn.heard_ms != c->idle_heard_ms;
	struct idle idle = {
		.session = &c->session,
		.silent_ms = silent_ms,
		.pinged_ms = heard ? 0 : c->idle_pinged_ms,
		.again_ms = IDLE_NEVER,
	};

	if (!heard && silent_ms < c->idle_again_ms)
		return true;
	c->idle_heard_ms = c->stream.conn.heard_ms;
	hook_run(c->session.host->hooks, &session_idle_hook, &idle);
	c->idle_pinged_ms = (uint32_t)idle.pinged_ms;
	c->idle_again_ms = idle.again_ms < UINT32_MAX ? (uint32_t)idle.again_ms : UINT32_MAX;
	if (idle.dead)
		c2s_fail(c, STREAM_CONNECTION_TIMEOUT, "No answer to a ping.");
	return !idle.dead;
}

/* Before login: the negotiation took too long. After: is it idle? */
static void timer_fired(struct timer *t)
{
	struct c2s *c = container_of(t, struct c2s, timer);
	uint64_t silent_ms, again_ms = IDLE_MS;

	shard_check(NULL);
	if (stream_closing(&c->stream))
		return;
	if (!c->bound) {
		c2s_fail(c, STREAM_CONNECTION_TIMEOUT, "Login took too long.");
		return;
	}
	silent_ms = shard_now_ms() - c->stream.conn.heard_ms;
	if (!ask_idle_hook(c, silent_ms))
		return;
	if (silent_ms >= IDLE_MS) {
		stream_hibernate(&c->stream);
		again_ms = silent_ms + IDLE_MS;
	}
	if (c->idle_again_ms > silent_ms && c->idle_again_ms < again_ms)
		again_ms = c->idle_again_ms;
	timer_set(&c->timer, again_ms - silent_ms);
}

struct shaper_rate c2s_rate(const struct c2s *c, const char *shaper)
{
	const struct session_origin origin = session_origin(&c->session);
	struct access_subject who = { .address = &origin.address };
	const char *host = c->user ? c->session.host->name : "";
	struct shaper_rate rate;
	struct jid *jid = NULL;

	if (c->user && jid_make(c->user, host, NULL, NULL, &jid))
		return c->stream.conn.rate;
	who.jid = jid;
	rate = shaper_rate_for(shaper, host, &who);
	jid_free(jid);
	return rate;
}

ON_SHARD static void apply_first_shaper(struct c2s *c)
{
	if (c->options->conf.shaper)
		conn_set_shaper(&c->stream.conn, c2s_rate(c, c->options->conf.shaper));
}

/* As its listener says by now; where that is closed and the rules have lost what it said, as ever.
 */
void c2s_shape(struct c2s *c)
{
	const char *shaper;

	if (!c->listener)
		return;
	shaper = rcu_get(c->listener->options)->conf.shaper;
	if (!shaper)
		conn_change_shaper(&c->stream.conn, (struct shaper_rate){ 0 });
	else if (access_knows_shaper(shaper))
		conn_change_shaper(&c->stream.conn, c2s_rate(c, shaper));
}

static void shape(struct cds_list_head *stream, void *unused UNUSED)
{
	shard_check(NULL);
	c2s_shape(c2s_in_crowd(stream));
}

void c2s_shape_all(void)
{
	crowd_tell(LISTEN_C2S, shape, NULL, 0);
}

void c2s_begin(struct c2s *c)
{
	timer_init(&c->timer, timer_fired);
	crowd_join(LISTEN_C2S, &c->on_shard);
	metric_register(&count_metric);
	fsm_start(&c->fsm, &c2s_class, NULL, NULL);
	c->session.id = c->fsm.gen.actor.id;
}

void c2s_accepted(struct msg *m)
{
	struct accepted *a = container_of(m, struct accepted, msg);
	const struct parser_limits limits = listener_first_limits(&a->options->conf);
	struct c2s *c = xcalloc(1, sizeof(*c));

	shard_check(NULL);
	if (stream_begin(&c->stream, a->fd, STREAM_FROM_CLIENT, &limits, &c2s_stream_events)) {
		accepted_release(a->listener, a->options, &a->address, true);
		free(c);
		free(a);
		return;
	}
	c->listener = a->listener;
	c->options = a->options;
	c->login = xcalloc(1, sizeof(*c->login));
	c->limited = true;
	c->session.address = a->address;
	c->session.port = a->port;
	c->session.since_ms = clock_wall_ms();
	free(a);
	c2s_begin(c);
	c2s_log(c, LOG_LEVEL_DEBUG, "connected", L_INT("port", c->session.port));
	apply_first_shaper(c);
	timer_set(&c->timer, (uint64_t)c->options->conf.negotiation_timeout_ms);
	if (c->options->conf.tls &&
		conn_start_tls(
			&c->stream.conn, c->options->tls, NULL, TLS_DIRECT, &c->options->offer))
		c2s_fail(c, STREAM_INTERNAL_SERVER_ERROR, "There is no certificate.");
}

/* --- kicking ------------------------------------------------------------------------------- */

struct kick {
	struct letter letter;
	enum stream_condition condition;
	char *text; /* owned; may be NULL */
};

static void kick_open(struct actor *a, struct letter *l)
{
	struct kick *k = container_of(l, struct kick, letter);

	shard_check(NULL);
	if (a)
		c2s_fail(container_of(a, struct c2s, fsm.gen.actor), k->condition, k->text);
	free(k->text);
	free(k);
}

void c2s_kick(struct actor_id id, enum stream_condition c, const char *text)
{
	struct kick *k = xcalloc(1, sizeof(*k));

	k->letter.to = id;
	k->letter.open = kick_open;
	k->condition = c;
	k->text = text ? xstrdup(text) : NULL;
	letter_post(&k->letter);
}

/* Those to end: all, or the streams of one host. */
struct kick_many {
	enum stream_condition condition;
	const struct host *host; /* NULL: all. Compared, never followed */
};

static void kick_one(struct cds_list_head *stream, void *arg)
{
	struct c2s *c = c2s_in_crowd(stream);
	const struct kick_many *k = arg;

	shard_check(NULL);
	if (!k->host || c->session.host == k->host)
		c2s_fail(c, k->condition, NULL);
}

static void kick_many(const struct host *h, enum stream_condition condition)
{
	const struct kick_many k = { condition, h };

	crowd_tell(LISTEN_C2S, kick_one, &k, sizeof(k));
}

void c2s_kick_all(enum stream_condition c)
{
	kick_many(NULL, c);
}

void c2s_kick_host(const struct host *h, enum stream_condition c)
{
	kick_many(h, c);
}
