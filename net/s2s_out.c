/* net/s2s_out.c - the life of a stream to another server: found, connected, ended; and what comes
 * to it from its link. What comes from the other server is in s2s_out_events.c. */
#include "net/s2s_out.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/lang.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "net/s2s_out_stream.h"
#include "net/tls_peer.h"
#include "router/deliver.h"
#include "router/s2s_conf.h"

#define SILENCE_MS 60000 /* what the peer's kernel does not acknowledge for so long is lost */
#define LOOK_MS 5
#define WHY_MAX 300
#define LAST_WORDS_MS 2000 /* of the peer, when all that we had to say is said */

static struct tls_store *store; /* constant while streams may be opened */
static _Atomic int64_t count;

static int64_t read_count(void)
{
	return s2s_out_count();
}

static struct metric count_metric = METRIC_GAUGE_READ(
	"s2s_out_streams", "Streams to other servers, established or not.", read_count);

int64_t s2s_out_count(void)
{
	return atomic_load_explicit(&count, memory_order_relaxed);
}

void s2s_out_say(struct s2s_out *o, const char *format, ...)
{
	char text[2 * WHY_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (o->link)
		s2s_trace_say(&o->link->trace, "%s", text);
	log_debug("s2s_out", text, L_STR("from", o->ours), L_STR("to", o->theirs));
}

static void telling_step(struct telling *t, const char *line)
{
	shard_check(NULL);
	s2s_out_say(container_of(t, struct s2s_out, telling), "%s", line);
}

/* --- places -------------------------------------------------------------------------------- */

/* There is no way to them, or no more need of one. error 0: that is in order. */
void s2s_out_leave_link(struct s2s_out *o, int error, const char *told, const char *why)
{
	struct s2s_link *l = o->link;

	o->link = NULL;
	if (l)
		s2s_link_down(l, error, told, why);
}

/* What XEP-0220 §2.5 tells apart: it knows no such domain, was never reached, or has failed. */
ON_SHARD static void give_up_answers(struct s2s_out *o)
{
	if (o->peer_error == STREAM_HOST_UNKNOWN + 1)
		s2s_out_no_answers(
			o, S2S_ITEM_NOT_FOUND, "its server says that it has no such domain");
	else if (!o->why)
		s2s_out_no_answers(o, S2S_REMOTE_NOT_FOUND, "its server cannot be reached");
	else
		s2s_out_no_answers(o, S2S_REMOTE_TIMEOUT, "its server cannot be spoken with");
}

ON_SHARD static void give_up(struct s2s_out *o, int error, const char *told, const char *why)
{
	give_up_answers(o);
	s2s_out_sm_end(o, false);
	s2s_out_leave_link(o, error, told, why);
	fsm_stop_now(&o->fsm, STOP_NORMAL);
}

static void dialled(int fd, const struct place *place, void *arg)
{
	struct s2s_out *o = arg;
	struct s2s_out_connected c = { fd, place };

	shard_check(NULL);
	if (fd >= 0)
		fsm_event_now(&o->fsm, &(struct term){ .kind = S2S_OUT_CONNECTED, .data = &c });
	else
		fsm_event_now(&o->fsm, &TERM(S2S_OUT_NOWHERE));
}

void s2s_out_end_dial(struct s2s_out *o)
{
	dial_end(o->dial);
	o->dial = NULL;
	o->place = NULL;
}

/* True: another attempt follows. */
ON_SHARD static bool tries_again(struct s2s_out *o)
{
	if (!s2s_out_sm_retries(o))
		return false;
	s2s_out_end_dial(o);
	return true;
}

static void looked_up(const struct places *p, void *arg)
{
	struct s2s_out *o = arg;

	shard_check(NULL);
	o->lookup = NULL;
	if (p->outcome == PLACES_FOUND)
		o->dial = dial_start(p, &o->telling, dialled, o);
	else if (!tries_again(o))
		give_up(o,
			p->outcome == PLACES_NONE ? ERR_REMOTE_SERVER_NOT_FOUND
						  : ERR_REMOTE_SERVER_TIMEOUT,
			NULL, p->why);
}

void s2s_out_look_up(struct s2s_out *o)
{
	o->lookup = lookup_start(o->theirs, &o->telling, looked_up, o);
}

/* The stream that has failed goes, with its last words if the socket takes them. */
static void reopen(struct timer *t)
{
	struct s2s_out *o = container_of(t, struct s2s_out, reopen);

	shard_check(NULL);
	timer_cancel(&o->timer);
	if (o->has_stream) {
		conn_flush(&o->stream.conn);
		stream_end(&o->stream);
		o->has_stream = false;
	}
	dial_next(o->dial, o->why);
}

struct next s2s_out_fail(struct s2s_out *o, const char *format, ...)
{
	char why[WHY_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	free(o->why);
	o->why = xstrdup(why); /* dial tells it, too */
	if (o->has_stream)
		stream_close(&o->stream);
	timer_set(&o->reopen, 0);
	return fsm_next(S2S_OUT_REOPEN_SOCKET);
}

struct next s2s_out_refuse(struct s2s_out *o, enum stream_condition c, const char *why)
{
	stream_error(&o->stream, c, NULL);
	return s2s_out_fail(o, "%s", why);
}

void s2s_out_send_header(struct s2s_out *o)
{
	stream_send_header(&o->stream, o->ours, o->theirs, NULL);
}

int s2s_out_begin_tls(struct s2s_out *o)
{
	const struct place *p = o->place;
	struct tls_tlsa tlsa[DNS_RECORDS_MAX];
	struct tls_target to = {
		.domain = o->theirs,
		.ours = o->ours,
		.entry = p->direct_tls ? TLS_DIRECT : TLS_STARTTLS,
		.host = p->secure ? p->host : NULL,
		.tlsa = tlsa,
		.n_tlsa = p->tlsa ? p->tlsa->n : 0,
	};

	for (unsigned i = 0; i < to.n_tlsa; i++) {
		const struct dns_tlsa *from = &p->tlsa->at[i].tlsa;

		tlsa[i] = (struct tls_tlsa){ from->usage, from->selector, from->matching, from->len,
			from->data };
	}
	return stream_connect_tls(&o->stream, store, &to) ? 0 : -EPIPE;
}

/* The same outside of the machine's own functions. */
void s2s_out_fail_now(struct s2s_out *o, enum stream_condition c, const char *why)
{
	if (c < STREAM_CONDITIONS)
		s2s_out_refuse(o, c, why);
	else
		s2s_out_fail(o, "%s", why);
	gen_now(&o->fsm.gen, MAIL_CAST_ANY, &TERM(S2S_OUT_FAILED));
}

static struct next any_state(struct fsm *f UNUSED, struct term *e)
{
	return fsm_next(e->kind == S2S_OUT_FAILED ? S2S_OUT_REOPEN_SOCKET : S2S_OUT_OPEN_SOCKET);
}

/* --- connections --------------------------------------------------------------------------- */

/* A peer that has vanished is found out by the kernel. */
static void expect_answers(int fd)
{
	int on = 1;
	unsigned silence_ms = SILENCE_MS;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof(silence_ms));
}

/* Nothing is known of the peer at this place. */
static void begin_anew(struct s2s_out *o)
{
	o->versioned = o->secure = o->authenticated = o->tried_external = o->usable = false;
	o->calling_back = o->bidi = o->key_refused = false;
	s2s_pairs_fini(&o->pairs);
	o->offers = o->peer_error = 0;
	o->peer_max_bytes = o->peer_idle_ms = 0;
	free(o->peer_id);
	o->peer_id = NULL;
}

ON_SHARD static struct next connected(struct s2s_out *o, const struct s2s_out_connected *c)
{
	static const struct parser_limits limits = { S2S_OUT_STANZA_MAX, PARSER_DEPTH,
		PARSER_ATTRS };
	int rc;

	begin_anew(o);
	o->place = c->place;
	expect_answers(c->fd);
	rc = stream_begin(&o->stream, c->fd, STREAM_TO_SERVER, &limits, &s2s_out_events);
	if (rc)
		return s2s_out_fail(o, "no connection: %s", strerror(-rc));
	o->has_stream = true;
	timer_set(&o->timer, (uint64_t)s2s_conf()->negotiation_ms);
	if (!o->place->direct_tls)
		s2s_out_send_header(o);
	else if (s2s_out_begin_tls(o))
		return s2s_out_fail(o, TR("TLS cannot begin."));
	return fsm_next(S2S_OUT_WAIT_FOR_STREAM);
}

struct next s2s_out_open_socket(struct fsm *f, struct term *e)
{
	struct s2s_out *o = s2s_out_of(f);

	if (e->kind == S2S_OUT_CONNECTED)
		return connected(o, e->data);
	if (e->kind != S2S_OUT_NOWHERE)
		return fsm_same();
	if (tries_again(o))
		return fsm_next(S2S_OUT_WAIT_BEFORE_RETRY);
	/* XEP-0220 §2.1.1 */
	give_up(o, o->key_refused ? ERR_INTERNAL_SERVER_ERROR : ERR_REMOTE_SERVER_TIMEOUT, o->why,
		o->why ? o->why : dial_why(o->dial));
	return fsm_same();
}

struct next s2s_out_reopen_socket(struct fsm *f, struct term *e)
{
	return s2s_out_open_socket(f, e);
}

/* How long it may be silent: as they say, where they have less patience than we. */
static uint64_t idle_ms_of(const struct s2s_out *o)
{
	uint64_t ours = (uint64_t)s2s_conf()->idle_ms;

	return o->peer_idle_ms && o->peer_idle_ms < ours ? o->peer_idle_ms : ours;
}

struct next s2s_out_proven(struct s2s_out *o)
{
	if (o->bidi)
		s2s_pairs_add(&o->pairs, o->theirs, o->ours);
	if (s2s_out_sm_is_away(o) && o->offers & OFFERS_SM) {
		s2s_out_sm_resume(o);
		return fsm_next(S2S_OUT_WAIT_FOR_RESUME);
	}
	if (s2s_out_sm_is_away(o))
		s2s_out_sm_not_resumed(o, NULL);
	else if (o->offers & OFFERS_SM)
		s2s_out_sm_enable(o);
	return s2s_out_established(o);
}

struct next s2s_out_wait_for_resume(struct fsm *f, struct term *e)
{
	struct s2s_out *o = s2s_out_of(f);
	const struct stanza *s = e->data;

	if (e->kind != S2S_OUT_STANZA)
		return fsm_same();
	if (elem_is(s->root, "resumed", NS_SM) && !s2s_out_sm_resumed(o, s->root))
		return s2s_out_refuse(
			o, STREAM_UNDEFINED_CONDITION, "That server resumes what it was not sent.");
	if (elem_is(s->root, "failed", NS_SM))
		s2s_out_sm_not_resumed(o, s->root);
	else if (s->kind != STANZA_OTHER && o->bidi)
		return s2s_out_foreign(o, e);
	else if (!elem_is(s->root, "resumed", NS_SM))
		return fsm_same();
	return s2s_out_established(o);
}

struct next s2s_out_established(struct s2s_out *o)
{
	s2s_out_say(o, "established");
	log_info("s2s_out", "established", L_STR("from", o->ours), L_STR("to", o->theirs),
		L_STR("tls", o->secure ? "yes" : "no"),
		L_STR("by", o->calling_back ? "dialback" : "certificate"));
	o->used_ms = shard_now_ms();
	timer_set(&o->timer, idle_ms_of(o));
	s2s_out_ask(o);
	if (o->link && o->link->state != S2S_UP)
		s2s_link_up(o->link);
	return fsm_next(S2S_OUT_STREAM_ESTABLISHED);
}

struct next s2s_out_finish(struct s2s_out *o)
{
	s2s_out_say(o, "nothing more is needed of it");
	s2s_out_leave_link(o, 0, NULL, NULL);
	s2s_out_close_stream(o);
	return fsm_same();
}

/* RFC 6120 §4.4: the peer may still have something on its way. With XEP-0198 it is told what has
 * been got of that, and keeps the rest; without, all of it is taken. */
void s2s_out_close_stream(struct s2s_out *o)
{
	static const char end[] = "</stream:stream>";

	if (stream_closing(&o->stream) || o->said_end)
		return;
	s2s_out_sm_tell(o);
	if (!o->bidi || !s2s_out_is_established(o) || s2s_out_sm_is_on(o)) {
		stream_close(&o->stream);
		return;
	}
	conn_write(&o->stream.conn, buf_of(end, sizeof(end) - 1), NULL);
	o->stream.header_sent = false; /* so nothing follows */
	o->said_end = true;
	timer_set(&o->timer, LAST_WORDS_MS);
}

bool s2s_out_is_awaited(const struct s2s_out *o)
{
	return s2s_link_waits(o->link) || s2s_out_sm_is_away(o);
}

/* Somebody needs it before it is established. */
ON_SHARD static bool is_needed(const struct s2s_out *o)
{
	return o->waiting || o->asked || s2s_out_is_awaited(o);
}

ON_SHARD static void look_whether_idle(struct s2s_out *o)
{
	uint64_t idle_ms = idle_ms_of(o), silent_ms;

	silent_ms = shard_now_ms() - o->used_ms;
	if (silent_ms < idle_ms)
		timer_set(&o->timer, idle_ms - silent_ms);
	else
		s2s_out_finish(o);
}

static void time_is_up(struct timer *t)
{
	struct s2s_out *o = container_of(t, struct s2s_out, timer);

	shard_check(NULL);
	if (o->said_end)
		stream_close(&o->stream);
	if (!o->link || timer_armed(&o->reopen))
		return;
	if (s2s_out_is_established(o))
		look_whether_idle(o);
	else if (!is_needed(o))
		s2s_out_finish(o);
	else
		s2s_out_fail_now(o, STREAM_CONNECTION_TIMEOUT, "That server does not answer.");
}

static void no_answer_in_time(struct timer *t)
{
	struct s2s_out *o = container_of(t, struct s2s_out, answers);

	shard_check(NULL);
	s2s_out_no_answers(o, S2S_REMOTE_TIMEOUT, "its server does not answer");
}

/* --- what comes from its link -------------------------------------------------------------- */

static const struct fsm_class class;

ON_SHARD static struct s2s_out *out_new(struct s2s_link *l)
{
	struct s2s_out *o = xcalloc(1, sizeof(*o));

	o->link = l;
	o->ours = xstrdup(l->ours);
	o->theirs = xstrdup(l->theirs);
	o->telling.step = telling_step;
	timer_init(&o->timer, time_is_up);
	timer_init(&o->reopen, reopen);
	timer_init(&o->answers, no_answer_in_time);
	atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
	fsm_start(&o->fsm, &class, NULL, NULL);
	return o;
}

static void *open_out(struct s2s_link *l)
{
	struct s2s_out *o;

	shard_check(NULL);
	o = out_new(l);
	s2s_out_look_up(o);
	return o;
}

static void *restore_out(struct s2s_link *l, struct s2s_found_stream *f, struct s2s_found *found)
{
	struct s2s_out *o;

	shard_check(NULL);
	o = out_new(l);
	s2s_out_sm_restore(o, f, found);
	return o;
}

static void wanted(void *out)
{
	struct s2s_out *o = out;

	shard_check(NULL);
	s2s_out_sm_begin(o);
	fsm_event_now(&o->fsm, &TERM(S2S_OUT_WANTED));
}

static uint64_t held_bytes(void *out)
{
	const struct s2s_out *o = out;

	shard_check(NULL);
	return (o->has_stream ? conn_held_bytes(&o->stream.conn) : 0) + s2s_out_sm_held_bytes(o);
}

/* XEP-0478 §4: it would end the stream for what it does not take. */
ON_SHARD static bool is_too_large(const struct s2s_out *o, struct stanza *s)
{
	struct buf *wire;
	bool is;

	if (!o->peer_max_bytes)
		return false;
	wire = stanza_wire(s);
	is = wire->len > o->peer_max_bytes;
	buf_unref(wire);
	return is;
}

static void send_out(void *out, struct stanza *s)
{
	struct s2s_out *o = out;

	shard_check(NULL);
	if (is_too_large(o, s)) {
		s2s_bounce(s, ERR_POLICY_VIOLATION, "The other server takes no stanza so large.");
		return;
	}
	o->used_ms = shard_now_ms();
	if (o->sm)
		s2s_out_sm_send(o, s);
	else
		conn_write(&o->stream.conn, stanza_wire(s), s);
}

static void close_out(void *out)
{
	struct s2s_out *o = out;

	shard_check(NULL);
	s2s_out_say(o, "closed");
	o->link = NULL;
	if (!s2s_out_is_established(o))
		fsm_stop_now(&o->fsm, STOP_NORMAL);
	else if (!s2s_out_sm_closes(o))
		s2s_out_close_stream(o);
}

static unsigned unacked(void *out)
{
	shard_check(NULL);
	return s2s_out_sm_unacked(out);
}

static char *describe(void *out)
{
	struct s2s_out *o = out;
	const char *proof = o->authenticated ? ", certificate" : "";
	const char *both_ways = o->bidi ? ", both ways" : "";
	char at[PLACE_TEXT_MAX];

	shard_check(NULL);
	if (o->calling_back)
		proof = ", dialback";
	return xprintf("%s%s%s%s%s%s", fsm_state_name(&o->fsm), o->place ? ", " : "",
		o->place ? place_text(o->place, at) : "", o->secure ? ", TLS" : "", both_ways,
		proof);
}

static const struct s2s_opener opener = {
	.open = open_out,
	.restore = restore_out,
	.wanted = wanted,
	.held_bytes = held_bytes,
	.send = send_out,
	.close = close_out,
	.unacked = unacked,
	.describe = describe,
};

/* --- life ---------------------------------------------------------------------------------- */

static void terminate(struct fsm *f, const char *reason UNUSED)
{
	struct s2s_out *o = s2s_out_of(f);

	shard_check(NULL);
	timer_cancel(&o->timer);
	timer_cancel(&o->reopen);
	s2s_out_no_answers(o, S2S_REMOTE_FAILED, "the connection to its server was closed");
	lookup_cancel(o->lookup);
	if (o->has_stream)
		stream_end(&o->stream);
	s2s_out_end_dial(o);
	s2s_out_sm_end(o, false);
	s2s_out_leave_link(
		o, ERR_REMOTE_SERVER_TIMEOUT, NULL, "The connection to that server was closed.");
	atomic_fetch_sub_explicit(&count, 1, memory_order_relaxed);
}

static void drop(struct fsm *f)
{
	struct s2s_out *o = s2s_out_of(f);

	s2s_pairs_fini(&o->pairs);
	free((char *)o->ours);
	free((char *)o->theirs);
	free(o->peer_id);
	free(o->why);
	free(o);
}

static const struct fsm_state states[] = {
	[S2S_OUT_OPEN_SOCKET] = { "open_socket", s2s_out_open_socket },
	[S2S_OUT_WAIT_FOR_STREAM] = { "wait_for_stream", s2s_out_wait_for_stream },
	[S2S_OUT_WAIT_FOR_FEATURES] = { "wait_for_features", s2s_out_wait_for_features },
	[S2S_OUT_WAIT_FOR_STARTTLS_PROCEED] = { "wait_for_starttls_proceed",
		s2s_out_wait_for_starttls_proceed },
	[S2S_OUT_WAIT_FOR_AUTH_RESULT] = { "wait_for_auth_result", s2s_out_wait_for_auth_result },
	[S2S_OUT_WAIT_FOR_VALIDATION] = { "wait_for_validation", s2s_out_wait_for_validation },
	[S2S_OUT_STREAM_ESTABLISHED] = { "stream_established", s2s_out_stream_established },
	[S2S_OUT_REOPEN_SOCKET] = { "reopen_socket", s2s_out_reopen_socket },
	[S2S_OUT_WAIT_FOR_RESUME] = { "wait_for_resume", s2s_out_wait_for_resume },
	[S2S_OUT_WAIT_BEFORE_RETRY] = { "wait_before_retry", s2s_out_open_socket },
};
/* Nobody sends to it by name: what goes out comes from its link. */
static bool receive(struct actor *a UNUSED, struct stanza *s UNUSED, enum deliver_copies c UNUSED)
{
	return false;
}

static struct acks *acks_of(struct actor *a)
{
	shard_check(NULL);
	return s2s_out_sm_acks(container_of(a, struct s2s_out, fsm.gen.actor));
}

static const struct recipient recipient = { .receive = receive, .acks = acks_of };
static const struct fsm_class class = {
	.gen = { .actor = { .name = "s2s_out",
			 .behaviour = &fsm_behaviour,
			 .recipient = &recipient },
		.version = 1,
		.bytes = sizeof(struct s2s_out) },
	FSM_STATES(states),
	.event = any_state,
	.terminate = terminate,
	.drop = drop,
};

void s2s_out_start(struct tls_store *tls)
{
	store = tls;
	metric_register(&count_metric);
	s2s_set_opener(&opener);
}

void s2s_out_stop(unsigned max_ms)
{
	const struct timespec look = { .tv_nsec = LOOK_MS * 1000000L };

	for (unsigned waited = 0; s2s_out_count() > 0 && waited < max_ms; waited += LOOK_MS) {
		bool reading = rcu_offline();

		nanosleep(&look, NULL);
		rcu_online(reading);
	}
	if (s2s_out_count() > 0)
		log_warning("s2s_out", "streams were left behind", L_INT("n", s2s_out_count()));
}
