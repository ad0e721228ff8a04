/* net/s2s_in.c - the life of a stream from another server: accepted, served by its states, ended;
 * and what reaches it from the router where it goes both ways (XEP-0288). */
#include "net/s2s_in.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/lang.h"
#include "core/mem.h"
#include "core/metric.h"
#include "net/acceptor.h"
#include "net/crowd.h"
#include "net/limits.h"
#include "net/s2s_in_sm.h"
#include "net/tls_peer.h"
#include "router/access.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/message.h"
#include "router/route.h"
#include "router/s2s_conf.h"
#include "router/s2s_link.h"

#define IDLE_MS 20000 /* without a byte: buffers go back */
#define UNPROVEN_OUT_MAX 65536 /* bytes that wait for one that does not read our answers */
#define LENT_MS 1000 /* for the peer's first word, before what is for it goes this way */
#define ENDING_MS 2000 /* for each of the two things that a clean end waits for */

static struct metric count_metric =
	METRIC_GAUGE_READ("s2s_in_streams", "Streams from other servers.", s2s_in_count);
static struct metric sent_metric = METRIC_COUNTER("s2s_in_stanzas_sent_total",
	"Stanzas for other servers that went back over a stream of theirs.");
#define AUTHORISED(how_)                                                                         \
	METRIC_COUNTER_OF("s2s_in_authorised_total", "proof=\"" how_ "\"",                       \
		"Pairs of domains that streams from other servers were given, by how the other " \
		"server proved itself.")
static struct metric authorised_metrics[S2S_IN_PROOFS] = {
	[S2S_IN_BY_DIALBACK] = AUTHORISED("dialback"),
	[S2S_IN_BY_CERTIFICATE] = AUTHORISED("certificate"),
};

__attribute__((constructor)) static void register_metrics(void)
{
	metric_register(&count_metric);
	metric_register(&sent_metric);
	for (size_t i = 0; i < ARRAY_LEN(authorised_metrics); i++)
		metric_register(&authorised_metrics[i]);
}

int64_t s2s_in_count(void)
{
	return crowd_count(LISTEN_S2S_IN);
}

void s2s_in_log_write(const struct s2s_in *c, enum log_level level, const char *what,
	const struct log_field *fields, unsigned n)
{
	struct log_field all[S2S_IN_LOG_FIELDS_MAX + 4];
	char connection[24], address[CONF_ADDRESS_TEXT_MAX];
	unsigned ours = 0;

	REQUIRE(n <= S2S_IN_LOG_FIELDS_MAX);
	snprintf(connection, sizeof(connection), "s%" PRIx64, c->fsm.gen.actor.id.v);
	conf_address_write(&c->address, address);
	all[ours++] = L_STR("connection", connection);
	all[ours++] = L_STR("address", address);
	all[ours++] = L_STR("from", c->theirs);
	all[ours++] = L_STR("to", c->ours);
	memcpy(all + ours, fields, n * sizeof(*fields));
	log_write(level, "s2s_in", what, all, ours + n);
}

/* --- how fast it is read ------------------------------------------------------------------- */

ON_SHARD static struct shaper_rate rate_of(const struct s2s_in *c, const char *shaper)
{
	struct access_subject who = { .address = &c->address };
	struct shaper_rate rate;
	struct jid *jid = NULL;

	if (c->pairs.n && jid_make(NULL, c->pairs.at[0].theirs, NULL, NULL, &jid))
		return c->stream.conn.rate;
	who.jid = jid;
	rate = shaper_rate_for(shaper, jid ? c->pairs.at[0].ours : "", &who);
	jid_free(jid);
	return rate;
}

ON_SHARD static void apply_shaper(struct s2s_in *c)
{
	if (c->options->conf.shaper)
		conn_set_shaper(&c->stream.conn, rate_of(c, c->options->conf.shaper));
}

/* As its listener says by now. */
ON_SHARD static void shape(struct s2s_in *c)
{
	const char *shaper;

	if (!c->listener)
		return;
	shaper = rcu_get(c->listener->options)->conf.shaper;
	if (!shaper)
		conn_change_shaper(&c->stream.conn, (struct shaper_rate){ 0 });
	else if (access_knows_shaper(shaper))
		conn_change_shaper(&c->stream.conn, rate_of(c, shaper));
}

/* --- who it is ----------------------------------------------------------------------------- */

/* A stream that is silent for so long is looked at again after this. */
static uint64_t next_look_ms(uint64_t silent_ms)
{
	uint64_t next = silent_ms < IDLE_MS ? IDLE_MS : silent_ms + IDLE_MS;
	uint64_t end = (uint64_t)s2s_conf()->idle_ms;

	return (silent_ms < end && end < next ? end : next) - silent_ms;
}

void s2s_in_watch(struct s2s_in *c)
{
	apply_shaper(c);
	c->stream.conn.out_max_held = (uint64_t)s2s_conf()->queue_bytes;
	timer_set(&c->timer, next_look_ms(0));
}

ON_SHARD static void become_established(struct s2s_in *c)
{
	const struct parser_limits limits = listener_limits(&c->options->conf);

	if (c->limited)
		limits_end(&c->address);
	c->limited = false;
	parser_set_limits(c->stream.parser, &limits);
	s2s_in_watch(c);
}

void s2s_in_lend(struct s2s_in *c)
{
	for (uint32_t i = 0; c->lent && i < c->pairs.n; i++)
		s2s_link_add(c->pairs.at[i].ours, c->pairs.at[i].theirs, c->fsm.gen.actor.id);
}

bool s2s_in_add_pair(struct s2s_in *c, const char *theirs, const char *ours)
{
	if (!s2s_pairs_add(&c->pairs, theirs, ours))
		return false;
	if (c->lent)
		s2s_link_add(ours, theirs, c->fsm.gen.actor.id);
	return true;
}

void s2s_in_go_both_ways(struct s2s_in *c)
{
	if (!c->bidi || c->lent)
		return;
	c->lent = true;
	s2s_in_lend(c);
}

bool s2s_in_authorise(struct s2s_in *c, const char *theirs, const char *ours, enum s2s_in_proof how)
{
	if (!s2s_in_add_pair(c, theirs, ours))
		return false;
	metric_add(&authorised_metrics[how], 1);
	s2s_in_log(c, LOG_LEVEL_INFO, "may send", L_STR("sender", theirs), L_STR("target", ours),
		L_STR("by", how == S2S_IN_BY_DIALBACK ? "dialback" : "certificate"));
	if (c->pairs.n > 1)
		return true;
	become_established(c);
	if (c->bidi)
		timer_set(&c->timer, LENT_MS);
	return true;
}

/* --- ending -------------------------------------------------------------------------------- */

void s2s_in_leave(struct s2s_in *c)
{
	c->over = true;
	if (c->lent)
		for (uint32_t i = 0; i < c->pairs.n; i++)
			s2s_link_remove(
				c->pairs.at[i].ours, c->pairs.at[i].theirs, c->fsm.gen.actor.id);
	c->bidi = c->lent = false;
	s2s_in_sm_over(c);
}

void s2s_in_release(struct s2s_in *c)
{
	if (!c->listener)
		return;
	accepted_release(c->listener, c->options, &c->address, c->limited);
	c->listener = NULL;
	c->options = NULL;
	c->limited = false;
}

struct next s2s_in_fail(struct s2s_in *c, enum stream_condition cond, const char *text)
{
	s2s_in_log(c, LOG_LEVEL_DEBUG, "stream error",
		L_STR("condition", stream_condition_name(cond)), L_STR("text", text));
	if (!stream_closing(&c->stream))
		s2s_in_sm_tell(c);
	s2s_in_leave(c);
	stream_error(&c->stream, cond, text);
	return fsm_same();
}

/* --- a clean end --------------------------------------------------------------------------- */

ON_SHARD static void end_now(struct s2s_in *c)
{
	if (c->end_condition != STREAM_CONDITIONS) {
		s2s_in_fail(c, (enum stream_condition)c->end_condition, NULL);
		return;
	}
	if (!stream_closing(&c->stream))
		s2s_in_sm_tell(c);
	s2s_in_leave(c);
	stream_close(&c->stream);
}

ON_SHARD static void stop_reading(struct s2s_in *c)
{
	c->ending = S2S_IN_AWAITS_STORAGE;
	stream_wait(&c->stream);
	timer_set(&c->timer, ENDING_MS);
	if (s2s_in_sm_is_covered(c))
		end_now(c);
}

void s2s_in_go_on_ending(struct s2s_in *c)
{
	if (stream_closing(&c->stream))
		return;
	if (c->ending == S2S_IN_AWAITS_ACKS && !c->sm->out.n)
		stop_reading(c);
	else if (c->ending == S2S_IN_AWAITS_STORAGE && s2s_in_sm_is_covered(c))
		end_now(c);
}

/* Its time for that is over. */
ON_SHARD static void hurry_ending(struct s2s_in *c)
{
	if (c->ending == S2S_IN_AWAITS_ACKS)
		stop_reading(c);
	else
		end_now(c);
}

ON_SHARD static void begin_ending(struct s2s_in *c, enum stream_condition cond)
{
	if (c->ending || stream_closing(&c->stream))
		return;
	c->end_condition = (uint8_t)cond;
	if (cond == STREAM_CONDITIONS || !c->sm || !c->sm->out.n) {
		stop_reading(c);
		return;
	}
	c->ending = S2S_IN_AWAITS_ACKS;
	s2s_in_sm_ask(c);
	timer_set(&c->timer, ENDING_MS);
}

static void terminate(struct fsm *f, const char *reason UNUSED)
{
	struct s2s_in *c = s2s_in_of(f);

	shard_check(NULL);
	s2s_in_leave(c);
	timer_cancel(&c->timer);
	crowd_leave(LISTEN_S2S_IN, &c->on_shard);
	s2s_in_release(c);
	stream_end(&c->stream);
	s2s_in_sm_free(c);
	s2s_pairs_fini(&c->pairs);
	free(c->ours);
	free(c->theirs);
}

static void drop(struct fsm *f)
{
	free(s2s_in_of(f));
}

static void lost(struct stream *st, enum conn_loss why)
{
	struct s2s_in *c = container_of(st, struct s2s_in, stream);

	shard_check(NULL);
	s2s_in_log(c, c->pairs.n ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "connection ended",
		L_STR("why", conn_loss_text(why)),
		L_STR("tls", st->conn.tls && why == CONN_FAILED ? tls_error(st->conn.tls) : ""));
	if (!s2s_in_sm_lost(c))
		fsm_stop_now(&c->fsm, STOP_NORMAL);
}

/* Another way to the peer is found, or its sender is told. */
static void unsent(struct stream *st, struct stanza *s)
{
	struct s2s_in *c = container_of(st, struct s2s_in, stream);

	shard_check(NULL);
	if (s2s_in_sm_stays(c)) {
		s2s_route(s);
		return;
	}
	s2s_in_leave(c);
	s2s_give_back(s, c->fsm.gen.actor.id);
}

/* What the peer acknowledges is not told of by the connection. */
static void sent(struct stream *st UNUSED, struct stanza *s)
{
	message_taken(s);
}

/* --- what comes from the peer -------------------------------------------------------------- */

static void opened(struct stream *st, const struct stanza *head, const char *default_ns)
{
	struct s2s_in *c = container_of(st, struct s2s_in, stream);
	struct stream_opened data = { head, default_ns };

	shard_check(NULL);
	fsm_event_now(&c->fsm, &(struct term){ .kind = S2S_IN_OPENED, .data = &data });
}

static void stanza(struct stream *st, struct stanza *s)
{
	struct s2s_in *c = container_of(st, struct s2s_in, stream);

	shard_check(NULL);
	fsm_event_now(&c->fsm, &(struct term){ .kind = S2S_IN_STANZA, .data = s });
}

static void broken(struct stream *st, enum stream_condition condition, const char *text)
{
	shard_check(NULL);
	s2s_in_fail(container_of(st, struct s2s_in, stream), condition, text);
}

/* RFC 6120 §4.4: the peer ends its stream, so we end ours. */
static void ended(struct stream *st)
{
	shard_check(NULL);
	begin_ending(container_of(st, struct s2s_in, stream), STREAM_CONDITIONS);
}

static void refused(struct stream *st, const struct stanza *error)
{
	shard_check(NULL);
	s2s_in_log(container_of(st, struct s2s_in, stream), LOG_LEVEL_INFO,
		"the other server ended it",
		L_STR("condition", stream_condition_name(stream_condition_of(error))));
}

static void secured(struct stream *st)
{
	struct s2s_in *c = container_of(st, struct s2s_in, stream);
	struct tls_info info;

	shard_check(NULL);
	tls_info(st->conn.tls, &info);
	s2s_in_log(c, LOG_LEVEL_DEBUG, "encrypted", L_STR("version", info.version),
		L_STR("cipher", info.cipher),
		L_STR("certificate", tls_peer_name(tls_peer_check_chain(st->conn.tls))));
}

const struct stream_events *s2s_in_stream_calls(void)
{
	static const struct stream_events calls = {
		.opened = opened,
		.stanza = stanza,
		.ended = ended,
		.broken = broken,
		.secured = secured,
		.unsent = unsent,
		.sent = sent,
		.lost = lost,
		.refused = refused,
	};

	return &calls;
}

/* --- what comes from the router ------------------------------------------------------------ */

/* XEP-0478 §4: what it would not take is not sent. */
ON_SHARD static bool is_too_large(const struct s2s_in *c, struct stanza *s, const struct buf *wire)
{
	if (!c->peer_max_bytes || wire->len <= c->peer_max_bytes)
		return false;
	s2s_bounce(s, ERR_POLICY_VIOLATION, "The other server takes no stanza so large.");
	return true;
}

static bool receive(struct actor *a, struct stanza *s, enum deliver_copies copies UNUSED)
{
	struct s2s_in *c = container_of(a, struct s2s_in, fsm.gen.actor);
	struct buf *wire;

	shard_check(NULL);
	if (!c->bidi || (stream_closing(&c->stream) && !s2s_in_sm_stays(c))) {
		s2s_in_leave(c);
		return false;
	}
	wire = stanza_wire(s);
	if (is_too_large(c, s, wire)) {
		buf_unref(wire);
		return true;
	}
	metric_add(&sent_metric, 1);
	if (c->sm) {
		buf_unref(wire);
		s2s_in_sm_send(c, s);
		return true;
	}
	conn_write(&c->stream.conn, wire, s);
	return true;
}

static uint64_t held_bytes(struct actor *a)
{
	const struct s2s_in *c = container_of(a, struct s2s_in, fsm.gen.actor);

	shard_check(NULL);
	return stream_held_bytes(&c->stream) + s2s_in_sm_held_bytes(c);
}

/* One that has a connection carries on with what it was given. */
static void replaced(struct actor *a, const char *ours, const char *theirs)
{
	shard_check(NULL);
	s2s_in_sm_replaced(container_of(a, struct s2s_in, fsm.gen.actor), ours, theirs);
}

static struct acks *acks_of(struct actor *a)
{
	struct s2s_in *c = container_of(a, struct s2s_in, fsm.gen.actor);

	shard_check(NULL);
	return c->sm ? &c->sm->acks : NULL;
}

/* --- beginning ----------------------------------------------------------------------------- */

static const struct fsm_state states[] = {
	[S2S_IN_WAIT_FOR_STREAM] = { "wait_for_stream", s2s_in_wait_for_stream },
	[S2S_IN_WAIT_FOR_FEATURE_REQUEST] = { "wait_for_feature_request",
		s2s_in_wait_for_feature_request },
	[S2S_IN_STREAM_ESTABLISHED] = { "stream_established", s2s_in_stream_established },
	[S2S_IN_WAIT_FOR_RESUME] = { "wait_for_resume", s2s_in_wait_for_resume },
};
static const struct recipient recipient = {
	.receive = receive,
	.held_bytes = held_bytes,
	.acks = acks_of,
	.replaced = replaced,
};
static const struct fsm_class class = {
	.gen = { .actor = { .name = "s2s_in",
			 .behaviour = &fsm_behaviour,
			 .recipient = &recipient },
		.version = 1,
		.bytes = sizeof(struct s2s_in) },
	FSM_STATES(states),
	.terminate = terminate,
	.drop = drop,
};

struct s2s_in *s2s_in_of_actor(struct actor *a)
{
	return a && a->class == &class.gen.actor ? container_of(a, struct s2s_in, fsm.gen.actor)
						 : NULL;
}

/* Before there is a pair: the negotiation took too long, unless all that was wanted of us was to
 * say whether keys are ours. After: is it idle? */
static void timer_fired(struct timer *t)
{
	struct s2s_in *c = container_of(t, struct s2s_in, timer);
	uint64_t silent_ms;

	shard_check(NULL);
	if (stream_closing(&c->stream))
		return;
	if (c->ending) {
		hurry_ending(c);
		return;
	}
	if (!c->pairs.n) {
		if (c->helpful)
			stream_close(&c->stream);
		else
			s2s_in_fail(c, STREAM_CONNECTION_TIMEOUT, "Negotiation took too long.");
		return;
	}
	if (!c->stream.waits) /* for an answer to <resume/> */
		s2s_in_go_both_ways(c);
	silent_ms = shard_now_ms() - c->stream.conn.heard_ms;
	if (silent_ms >= (uint64_t)s2s_conf()->idle_ms && !c->bidi) { /* that one the peer ends */
		begin_ending(c, STREAM_CONDITIONS);
		return;
	}
	if (silent_ms >= IDLE_MS)
		stream_hibernate(&c->stream);
	timer_set(&c->timer, next_look_ms(silent_ms));
}

void s2s_in_accepted(struct msg *m)
{
	struct accepted *a = container_of(m, struct accepted, msg);
	const struct parser_limits limits = listener_first_limits(&a->options->conf);
	struct s2s_in *c = xcalloc(1, sizeof(*c));

	shard_check(NULL);
	if (stream_begin(&c->stream, a->fd, STREAM_FROM_SERVER, &limits, s2s_in_stream_calls())) {
		accepted_release(a->listener, a->options, &a->address, true);
		free(c);
		free(a);
		return;
	}
	c->listener = a->listener;
	c->options = a->options;
	c->address = a->address;
	c->port = a->port;
	c->limited = true;
	c->stream.conn.out_max_held = UNPROVEN_OUT_MAX;
	free(a);
	timer_init(&c->timer, timer_fired);
	crowd_join(LISTEN_S2S_IN, &c->on_shard);
	fsm_start(&c->fsm, &class, NULL, NULL);
	s2s_in_log(c, LOG_LEVEL_DEBUG, "connected", L_INT("port", c->port));
	apply_shaper(c);
	timer_set(&c->timer, (uint64_t)c->options->conf.negotiation_timeout_ms);
	if (c->options->conf.tls &&
		conn_start_tls(
			&c->stream.conn, c->options->tls, NULL, TLS_DIRECT, &tls_offer_to_servers))
		s2s_in_fail(c, STREAM_INTERNAL_SERVER_ERROR, "There is no certificate.");
}

/* --- all of them --------------------------------------------------------------------------- */

static struct s2s_in *in_crowd(struct cds_list_head *stream)
{
	return container_of(stream, struct s2s_in, on_shard);
}

static void kick(struct cds_list_head *stream, void *condition)
{
	struct s2s_in *c = in_crowd(stream);

	shard_check(NULL);
	if (s2s_in_sm_waits(c))
		s2s_in_leave(c);
	else
		begin_ending(c, *(enum stream_condition *)condition);
}

void s2s_in_kick_all(enum stream_condition c)
{
	crowd_tell(LISTEN_S2S_IN, kick, &c, sizeof(c));
}

struct forgotten {
	enum stream_condition condition;
	char ours[JID_PART_MAX + 1];
};

static void forget_domain(struct cds_list_head *stream, void *arg)
{
	struct s2s_in *c = in_crowd(stream);
	const struct forgotten *it = arg;

	shard_check(NULL);
	if (c->ours && !strcmp(c->ours, it->ours)) {
		s2s_in_fail(c, it->condition, NULL);
		return;
	}
	for (uint32_t i = 0; c->lent && i < c->pairs.n; i++)
		if (!strcmp(c->pairs.at[i].ours, it->ours))
			s2s_link_remove(
				c->pairs.at[i].ours, c->pairs.at[i].theirs, c->fsm.gen.actor.id);
	if (s2s_pairs_drop(&c->pairs, it->ours) && !c->pairs.n)
		s2s_in_fail(c, it->condition, NULL);
}

void s2s_in_kick_domain(const char *ours, enum stream_condition c)
{
	struct forgotten it = { .condition = c };

	REQUIRE(strlen(ours) < sizeof(it.ours));
	strcpy(it.ours, ours);
	crowd_tell(LISTEN_S2S_IN, forget_domain, &it, sizeof(it));
}

ON_SHARD static bool is_allowed(const struct s2s_in *c)
{
	for (uint32_t i = 0; i < c->pairs.n; i++)
		if (!s2s_allowed(c->pairs.at[i].ours, c->pairs.at[i].theirs))
			return false;
	return true;
}

static void recheck(struct cds_list_head *stream, void *unused UNUSED)
{
	struct s2s_in *c = in_crowd(stream);

	shard_check(NULL);
	shape(c);
	if (!is_allowed(c))
		s2s_in_fail(c, STREAM_POLICY_VIOLATION,
			"This server does not speak with that domain any more.");
}

void s2s_in_recheck(void)
{
	crowd_tell(LISTEN_S2S_IN, recheck, NULL, 0);
}

static void ask(struct cds_list_head *stream, void *unused UNUSED)
{
	struct s2s_in *c = in_crowd(stream);

	shard_check(NULL);
	if (c->sm && !c->sm->waits && !stream_closing(&c->stream))
		s2s_in_sm_ask(c);
}

void s2s_in_ask(void)
{
	crowd_tell(LISTEN_S2S_IN, ask, NULL, 0);
}

static void freeze(struct cds_list_head *stream, void *unused UNUSED)
{
	shard_check(NULL);
	conn_freeze(&in_crowd(stream)->stream.conn);
}

void s2s_in_freeze(void)
{
	crowd_tell(LISTEN_S2S_IN, freeze, NULL, 0);
}

static void thaw(struct cds_list_head *stream, void *unused UNUSED)
{
	shard_check(NULL);
	conn_thaw(&in_crowd(stream)->stream.conn);
}

void s2s_in_thaw(void)
{
	crowd_tell(LISTEN_S2S_IN, thaw, NULL, 0);
}

/* --- for people ---------------------------------------------------------------------------- */

struct look {
	void (*fn)(const struct s2s_in_info *info, void *arg);
	void *arg;
};

static void look_at(struct cds_list_head *stream, void *arg)
{
	const struct s2s_in *c = in_crowd(stream);
	const struct look *look = arg;
	struct s2s_in_info info;

	shard_check(NULL);
	info = (struct s2s_in_info){
		.id = c->fsm.gen.actor.id,
		.state = fsm_state_name(&c->fsm),
		.theirs = c->theirs,
		.ours = c->ours,
		.address = &c->address,
		.tls = s2s_in_is_secure(c),
		.bidi = c->bidi,
		.certified = c->theirs && s2s_in_is_certified(c, c->theirs),
		.pairs = c->pairs.n,
		.received = c->received,
		.unacked = c->sm ? c->sm->out.n : 0,
		.silent_ms = shard_now_ms() - c->stream.conn.heard_ms,
	};
	look->fn(&info, look->arg);
}

void s2s_in_each(void (*fn)(const struct s2s_in_info *info, void *arg), void *arg)
{
	struct look look = { fn, arg };

	crowd_visit(LISTEN_S2S_IN, look_at, &look);
}
