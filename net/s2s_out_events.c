/* net/s2s_out_events.c - what comes from the other server, and what becomes of the connection:
 * events of the machine, and once the stream is established its end. */
#include <stdlib.h>

#include "core/lang.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/s2s_out_stream.h"
#include "router/message.h"
#include "router/s2s.h"

static void opened(struct stream *st, const struct stanza *head, const char *default_ns)
{
	struct s2s_out *o = container_of(st, struct s2s_out, stream);
	struct s2s_out_opened data = { head, default_ns };

	shard_check(NULL);
	fsm_event_now(&o->fsm, &(struct term){ .kind = S2S_OUT_OPENED, .data = &data });
}

static void drop_stanza(void *s)
{
	stanza_unref(s);
}

static void stanza(struct stream *st, struct stanza *s)
{
	struct s2s_out *o = container_of(st, struct s2s_out, stream);
	struct term e = TERM_OF(S2S_OUT_STANZA, s, drop_stanza);

	shard_check(NULL);
	fsm_event_now(&o->fsm, &e);
	term_drop(&e);
}

static void secured(struct stream *st)
{
	struct s2s_out *o = container_of(st, struct s2s_out, stream);

	shard_check(NULL);
	fsm_event_now(&o->fsm, &TERM(S2S_OUT_SECURED));
}

/* The peer's last word. */
static void refused(struct stream *st, const struct stanza *error)
{
	struct s2s_out *o = container_of(st, struct s2s_out, stream);
	const char *text;
	struct arena a;

	shard_check(NULL);
	arena_init(&a, NULL, 0);
	text = elem_child_text(error->root, "text", NS_STREAMS, &a);
	o->peer_error = (uint8_t)(stream_condition_of(error) + 1);
	free(o->why);
	o->why = xprintf("That server ends the stream: %s%s%.200s",
		stream_condition_name(stream_condition_of(error)), text ? ", " : "",
		text ? text : "");
	arena_fini(&a);
	s2s_out_say(o, "%s", o->why);
}

/* What was not written goes back to the link, or to the senders. */
ON_SHARD static void give_all_back(struct s2s_out *o, bool arrived, int error)
{
	conn_drop_output(&o->stream.conn);
	o->settled = o->sm != NULL; /* also of one that has half left, and stays in conn */
	s2s_out_sm_end(o, arrived);
	s2s_out_leave_link(o, error, o->why, o->why);
}

struct next s2s_out_end(struct s2s_out *o, enum stream_condition c, const char *why)
{
	if (stream_closing(&o->stream))
		return fsm_same();
	log_info("s2s_out", "ended", L_STR("from", o->ours), L_STR("to", o->theirs),
		L_STR("condition", stream_condition_name(c)), L_STR("why", why));
	s2s_out_say(o, "%s (%s)", why, stream_condition_name(c));
	free(o->why);
	o->why = xstrdup(why);
	s2s_out_no_answers(o, S2S_REMOTE_FAILED, "the connection to its server was closed");
	s2s_out_sm_tell(o);
	conn_flush(&o->stream.conn);
	give_all_back(o, false, ERR_REMOTE_SERVER_TIMEOUT);
	stream_error(&o->stream, c, NULL);
	return fsm_same();
}

/* Whether it may be opened anew at once. */
static bool is_in_order(const struct s2s_out *o)
{
	return !o->peer_error || o->peer_error == STREAM_CONNECTION_TIMEOUT + 1 ||
		o->peer_error == STREAM_RESET + 1 || o->peer_error == STREAM_SYSTEM_SHUTDOWN + 1;
}

/* RFC 6120 §4.4: what it has not begun to get it does not get any more. */
static void ended(struct stream *st)
{
	struct s2s_out *o = container_of(st, struct s2s_out, stream);

	shard_check(NULL);
	if (s2s_out_is_established(o)) {
		s2s_out_say(o, "that server ends the stream");
		s2s_out_no_answers(o, S2S_REMOTE_FAILED, "its server ended the stream");
		give_all_back(o, !o->peer_error, is_in_order(o) ? 0 : ERR_REMOTE_SERVER_TIMEOUT);
		stream_close(st);
	} else if (!timer_armed(&o->reopen)) {
		AUTO(free_ptr) char *why = o->peer_error ? xstrdup(o->why) : NULL;

		s2s_out_fail_now(
			o, S2S_OUT_WITHOUT_A_WORD, why ? why : "That server ends the stream.");
	}
}

static void broken(struct stream *st, enum stream_condition condition, const char *text)
{
	static const char wrong[] = TR("That server does not speak XMPP as it should.");
	struct s2s_out *o = container_of(st, struct s2s_out, stream);

	shard_check(NULL);
	s2s_out_say(o, "what that server says is wrong: %s", text);
	if (!s2s_out_is_established(o))
		s2s_out_fail_now(o, condition, wrong);
	else if (o->sm)
		stream_error(st, condition, text); /* lost() follows, and it is resumed */
	else
		s2s_out_end(o, condition, wrong);
}

static void unsent(struct stream *st, struct stanza *s)
{
	struct s2s_out *o = container_of(st, struct s2s_out, stream);

	shard_check(NULL);
	if (o->settled)
		return;
	if (o->sm)
		s2s_out_sm_unsent(o);
	else if (o->link)
		s2s_link_unsent(o->link, s);
	else
		s2s_route(s);
}

/* With XEP-0198 it is the peer who says so. */
static void sent(struct stream *st, struct stanza *s)
{
	const struct s2s_out *o = container_of(st, struct s2s_out, stream);

	if (!o->sm && !o->settled)
		message_taken(s);
}

/* The connection of an established stream is gone. */
ON_SHARD static void gone(struct s2s_out *o)
{
	s2s_out_no_answers(o, S2S_REMOTE_FAILED, "the connection to its server was lost");
	if (!s2s_out_sm_lost(o)) {
		s2s_out_sm_end(o, false);
		s2s_out_leave_link(o, 0, NULL, NULL);
		fsm_stop_now(&o->fsm, STOP_NORMAL);
		return;
	}
	timer_cancel(&o->timer);
	stream_end(&o->stream);
	o->has_stream = false;
	s2s_out_end_dial(o);
	gen_now(&o->fsm.gen, MAIL_CAST_ANY, &TERM(S2S_OUT_AWAY));
	s2s_out_look_up(o);
}

void s2s_out_cut(struct s2s_out *o)
{
	stream_farewell(&o->stream, STREAM_CONNECTION_TIMEOUT, NULL);
	gone(o);
}

static void lost(struct stream *st, enum conn_loss why)
{
	struct s2s_out *o = container_of(st, struct s2s_out, stream);

	shard_check(NULL);
	s2s_out_say(o, "connection %s", conn_loss_text(why));
	if (o->link && !s2s_out_is_established(o)) {
		AUTO(free_ptr)
		char *text = xprintf("The connection to that server %s%s%s.",
			why == CONN_PEER_CLOSED ? "was closed by it" : "failed",
			st->conn.tls ? ": " : "", st->conn.tls ? tls_error(st->conn.tls) : "");

		if (!timer_armed(&o->reopen))
			s2s_out_fail_now(o, S2S_OUT_WITHOUT_A_WORD, text);
		return;
	}
	gone(o);
}

const struct stream_events s2s_out_events = {
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
