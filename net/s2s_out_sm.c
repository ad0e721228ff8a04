/* net/s2s_out_sm.c - stream management of a stream to another server: XEP-0198. What it was sent is
 * kept until it has said <a/>. When the connection is lost the stream looks for another one and
 * resumes, with all that was not acknowledged; what was in the old one and cannot be resumed may or
 * may not have arrived, and comes back to its senders. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/metric.h"
#include "net/s2s_out_stream.h"
#include "net/sm_element.h"
#include "net/unacked.h"
#include "router/message.h"
#include "router/s2s_conf.h"
#include "xml/builder.h"

#define ASK_EVERY 32u /* stanzas: then an <r/> follows at once */
#define ASK_AFTER_MS 500 /* otherwise, after the first that was not asked for */
#define ANSWER_MS 60000 /* for an <a/> */
#define LAST_ANSWER_MS 1000 /* before the stream is closed */
#define RESUME_MS_MAX 300000 /* how long another connection is looked for */
#define RETRY_FIRST_MS 1000
#define RETRY_MS_MAX 30000

static struct metric resumed_metric =
	METRIC_COUNTER("s2s_resumed_total", "Streams to other servers that were resumed.");
static struct metric lost_metric = METRIC_COUNTER("s2s_unacknowledged_total",
	"Stanzas of which nobody knows whether another server has got them.");

enum sm_phase {
	SM_ENABLING, /* <enable/> has been sent; stanzas wait for the answer, as a connection that
		      * is lost before it cannot be resumed */
	SM_ON,
	SM_AWAY, /* without a connection */
};

struct s2s_sm {
	struct s2s_out *o;
	struct unacked out;
	uint32_t written; /* the first so many of out have been in a connection */
	char *id; /* owned: what it is resumed by; NULL: it cannot be */
	struct spool_record *kept; /* owned: for the next process; NULL: not for that */
	uint32_t *numbers; /* owned: a process before has sent the first n_found of out as these */
	uint32_t n_found;
	uint64_t max_ms; /* how long it can be */
	uint64_t away_ms; /* shard_now_ms() when the connection was lost */
	unsigned retries; /* in vain */
	uint32_t since_asked; /* stanzas since our last <r/> */
	uint8_t phase; /* enum sm_phase */
	bool asked; /* our <r/> is not answered yet */
	bool left_out; /* their last word was an <a/> that did not cover all they were sent */
	bool closes; /* as soon as it is, and all that came is stored */
	bool stopped; /* nothing more is read */
	struct acks acks; /* of what comes */
	uint32_t uncounted; /* stanzas in acks that were of a stream before */
	uint32_t r_number; /* handled when the peer's <r/> came */
	bool r_waits; /* it is not answered yet */
	bool resumes; /* as soon as all that came is stored: the peer would send it again */
	struct timer timer; /* connected: to ask, or for the answer; away: to look again */
};

/* --- asking -------------------------------------------------------------------------------- */

ON_SHARD static void send_bare(struct s2s_out *o, const char *text)
{
	conn_write(&o->stream.conn, buf_of(text, strlen(text)), NULL);
}

ON_SHARD static void ask(struct s2s_sm *sm, uint64_t answer_ms)
{
	sm->asked = true;
	sm->since_asked = 0;
	send_bare(sm->o, "<r xmlns='urn:xmpp:sm:3'/>");
	timer_set(&sm->timer, answer_ms);
}

/* h as the peer counts. */
ON_SHARD static uint32_t handled(const struct s2s_sm *sm)
{
	uint32_t h = acks_covered(&sm->acks) - sm->uncounted;

	return (int32_t)h < 0 ? 0 : h;
}

ON_SHARD static void say_handled(struct s2s_sm *sm)
{
	char text[64];

	sm->r_waits = false;
	snprintf(text, sizeof(text), "<a xmlns='urn:xmpp:sm:3' h='%" PRIu32 "'/>", handled(sm));
	send_bare(sm->o, text);
}

void s2s_out_sm_tell(struct s2s_out *o)
{
	if (o->sm && o->sm->phase == SM_ON && o->bidi)
		say_handled(o->sm);
}

/* §4: at once, unless something is still being stored. */
ON_SHARD static void asked_by_peer(struct s2s_sm *sm)
{
	sm->left_out = false;
	sm->r_number = sm->acks.handled;
	sm->r_waits = true;
	if (!sm->acks.n_open)
		say_handled(sm);
}

/* Not for each stanza. */
ON_SHARD static void ask_in_time(struct s2s_sm *sm)
{
	if (sm->asked || sm->phase != SM_ON)
		return;
	if (sm->since_asked >= ASK_EVERY)
		ask(sm, ANSWER_MS);
	else if (!timer_armed(&sm->timer))
		timer_set(&sm->timer, ASK_AFTER_MS);
}

ON_SHARD static void take(struct s2s_sm *sm, uint32_t h)
{
	while (sm->out.acked != h) {
		struct stanza *s = unacked_take(&sm->out).stanza;

		message_taken(s);
		stanza_unref(s);
		sm->written -= sm->written > 0;
	}
	unacked_rest(&sm->out);
}

ON_SHARD static void go_on_closing(struct s2s_sm *sm)
{
	struct s2s_out *o = sm->o;

	if (!sm->closes || sm->out.n)
		return;
	if (!sm->acks.n_open) {
		s2s_out_close_stream(o);
	} else if (!sm->stopped) {
		sm->stopped = true;
		stream_wait(&o->stream);
		timer_set(&sm->timer, LAST_ANSWER_MS);
	}
}

ON_SHARD static void acknowledged(struct s2s_sm *sm, const struct elem *a)
{
	struct s2s_out *o = sm->o;
	uint32_t h;

	if (!sm_read_h(a, &h) || !unacked_covers(&sm->out, h)) {
		s2s_out_say(o, "it acknowledges what it was not sent");
		stream_error(&o->stream, STREAM_UNDEFINED_CONDITION, NULL);
		return;
	}
	take(sm, h);
	timer_cancel(&sm->timer);
	sm->left_out = sm->written != 0;
	sm->asked = false;
	sm->since_asked = sm->out.n;
	if (sm->out.n)
		ask_in_time(sm);
	else
		go_on_closing(sm);
}

/* --- without a connection ------------------------------------------------------------------ */

/* The first n of those that are kept were in a connection that is gone for good. */
ON_SHARD static void give_up_written(struct s2s_sm *sm)
{
	uint32_t n = sm->written;

	metric_add(&lost_metric, n);
	sm->written = 0;
	while (n--) {
		struct stanza *s = unacked_take(&sm->out).stanza;

		s2s_bounce(s, ERR_REMOTE_SERVER_TIMEOUT,
			"The connection to that server was lost; it may have arrived.");
		stanza_unref(s);
	}
}

/* What has never been in a connection goes by the next one. */
ON_SHARD static void give_back_rest(struct s2s_sm *sm)
{
	struct s2s_link *l = sm->o->link;

	while (sm->out.n) {
		struct stanza *s = unacked_take(&sm->out).stanza;

		if (l)
			s2s_link_unsent(l, s);
		else
			s2s_route(s);
		stanza_unref(s);
	}
}

/* It cannot be resumed any more. */
static void forget_id(struct s2s_sm *sm)
{
	free(sm->id);
	sm->id = NULL;
	spool_free(sm->kept);
	sm->kept = NULL;
}

/* Nothing is kept any more. */
static void sm_free(struct s2s_sm *sm)
{
	acks_fini(&sm->acks);
	free(sm->out.at);
	forget_id(sm);
	free(sm->numbers);
	free(sm);
}

void s2s_out_sm_end(struct s2s_out *o, bool arrived)
{
	struct s2s_sm *sm = o->sm;

	if (!sm)
		return;
	o->sm = NULL;
	timer_cancel(&sm->timer);
	if (arrived && !sm->left_out)
		take(sm, sm->out.acked + sm->written);
	give_up_written(sm);
	give_back_rest(sm);
	sm_free(sm);
}

void s2s_out_sm_unsent(struct s2s_out *o)
{
	o->sm->written--;
}

bool s2s_out_sm_lost(struct s2s_out *o)
{
	struct s2s_sm *sm = o->sm;

	if (!sm || !sm->id || !o->link || sm->phase != SM_ON)
		return false;
	s2s_out_say(o, "will be resumed with %u stanzas", (unsigned)sm->out.n);
	timer_cancel(&sm->timer);
	sm->phase = SM_AWAY;
	sm->away_ms = shard_now_ms();
	sm->retries = 0;
	sm->asked = sm->r_waits = false;
	return true;
}

bool s2s_out_sm_is_away(const struct s2s_out *o)
{
	return o->sm && o->sm->phase == SM_AWAY;
}

bool s2s_out_sm_retries(struct s2s_out *o)
{
	struct s2s_sm *sm = o->sm;
	uint64_t ms;

	if (!s2s_out_sm_is_away(o) || shard_now_ms() - sm->away_ms >= sm->max_ms)
		return false;
	ms = (uint64_t)RETRY_FIRST_MS << (sm->retries < 10 ? sm->retries++ : 10);
	timer_set(&sm->timer, ms < RETRY_MS_MAX ? ms : RETRY_MS_MAX);
	return true;
}

static void timer_fired(struct timer *t)
{
	struct s2s_sm *sm = container_of(t, struct s2s_sm, timer);
	struct s2s_out *o = sm->o;

	shard_check(NULL);
	if (sm->phase == SM_AWAY) {
		s2s_out_look_up(o);
	} else if (sm->phase == SM_ENABLING) {
		s2s_out_say(o, "no answer to <enable/> in time");
		s2s_out_cut(o);
	} else if (sm->closes) {
		s2s_out_close_stream(o);
	} else if (!sm->asked) {
		ask(sm, ANSWER_MS);
	} else {
		s2s_out_say(o, "no acknowledgement in time");
		s2s_out_cut(o);
	}
}

/* --- enabling and resuming ----------------------------------------------------------------- */

ON_SHARD static void say_enable(struct s2s_sm *sm)
{
	forget_id(sm);
	sm->phase = SM_ENABLING;
	sm->out.acked = 0;
	sm->left_out = false;
	sm->uncounted = sm->acks.handled;
	send_bare(sm->o, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
	timer_set(&sm->timer, ANSWER_MS);
}

ON_SHARD static void say_resume(struct s2s_sm *sm);

static void covered(struct acks *a)
{
	struct s2s_sm *sm = container_of(a, struct s2s_sm, acks);

	shard_check(NULL);
	s2s_spool_handled(sm->kept, handled(sm));
	if (sm->phase == SM_ON && sm->r_waits && (int32_t)(acks_covered(a) - sm->r_number) >= 0)
		say_handled(sm);
	if (a->n_open)
		return;
	if (sm->resumes && sm->o->fsm.gen.state == S2S_OUT_WAIT_FOR_RESUME)
		say_resume(sm);
	else
		go_on_closing(sm);
}

ON_SHARD static struct s2s_sm *sm_new(struct s2s_out *o)
{
	struct s2s_sm *sm = xcalloc(1, sizeof(*sm));

	metric_register(&resumed_metric);
	metric_register(&lost_metric);
	o->sm = sm;
	sm->o = o;
	sm->acks.covered = covered;
	sm->acks.session = o->fsm.gen.actor.id;
	timer_init(&sm->timer, timer_fired);
	return sm;
}

void s2s_out_sm_enable(struct s2s_out *o)
{
	say_enable(sm_new(o));
}

static int by_number(const void *left, const void *right)
{
	const struct s2s_found_message *a = *(struct s2s_found_message *const *)left;
	const struct s2s_found_message *b = *(struct s2s_found_message *const *)right;

	return a->number == b->number ? 0 : (int32_t)(a->number - b->number) < 0 ? -1 : 1;
}

void s2s_out_sm_restore(struct s2s_out *o, struct s2s_found_stream *f, struct s2s_found *found)
{
	struct s2s_found_message **sent = xcalloc(found->n + 1, sizeof(struct s2s_found_message *));
	struct s2s_sm *sm = sm_new(o);

	for (uint32_t i = 0; i < found->n; i++)
		if (found->at[i].stanza && found->at[i].stream == f->no)
			sent[sm->n_found++] = &found->at[i];
	if (sm->n_found)
		qsort(sent, sm->n_found, sizeof(struct s2s_found_message *), by_number);
	sm->numbers = xcalloc(sm->n_found + 1, sizeof(*sm->numbers));
	for (uint32_t i = 0; i < sm->n_found; i++) {
		sm->numbers[i] = sent[i]->number;
		unacked_add(&sm->out, sent[i]->stanza, NULL, DELIVER_SURE);
		stanza_unref(sent[i]->stanza);
		sent[i]->stanza = NULL;
	}
	free(sent);
	sm->kept = f->record;
	f->record = NULL;
	sm->id = xstrdup(f->what.id);
	sm->max_ms = f->what.max_ms;
	sm->acks.handled = f->handled;
	sm->phase = SM_AWAY;
	sm->away_ms = shard_now_ms();
	s2s_out_say(o, "a process before has left it with %u stanzas", (unsigned)sm->out.n);
}

void s2s_out_sm_begin(struct s2s_out *o)
{
	struct s2s_sm *sm = o->sm;

	if (s2s_out_sm_is_away(o) && !o->lookup && !o->dial && !timer_armed(&sm->timer))
		timer_set(&sm->timer, 0);
}

ON_SHARD static void say_resume(struct s2s_sm *sm)
{
	struct builder b;

	sm->resumes = false;
	build_begin(&b, "resume", NS_SM);
	build_attr(&b, "previd", sm->id);
	build_attr_int(&b, "h", handled(sm));
	stream_send_element(&sm->o->stream, &b);
	s2s_out_say(sm->o, "asks to resume the stream before");
}

void s2s_out_sm_resume(struct s2s_out *o)
{
	if (o->sm->acks.n_open)
		o->sm->resumes = true;
	else
		say_resume(o->sm);
}

ON_SHARD static void write_all(struct s2s_sm *sm)
{
	for (uint32_t i = 0; i < sm->out.n; i++) {
		struct stanza *s = unacked_at(&sm->out, i)->stanza;

		s2s_spool_sent(s, sm->kept, sm->out.acked + 1 + i);
		conn_write(&sm->o->stream.conn, stanza_wire(s), s);
	}
	sm->written = sm->out.n;
	sm->since_asked = sm->out.n;
	if (sm->out.n && sm->o->offers & OFFERS_SM)
		ask_in_time(sm);
}

/* The connection has all of it, and tells what became of that. */
ON_SHARD static void go_on_without(struct s2s_sm *sm)
{
	write_all(sm);
	sm->o->sm = NULL;
	timer_cancel(&sm->timer);
	while (sm->out.n)
		stanza_unref(unacked_take(&sm->out).stanza);
	sm_free(sm);
}

/* What the peer has of what a stream before was sent. What a process before has sent has numbers of
 * its own, as not all of that is here. False: it has never been sent so many. */
ON_SHARD static bool take_before(struct s2s_sm *sm, uint32_t h)
{
	uint32_t n = 0;

	if (!sm->numbers && !unacked_covers(&sm->out, h))
		return false;
	if (!sm->numbers) {
		take(sm, h);
		return true;
	}
	while (n < sm->n_found && (int32_t)(sm->numbers[n] - h) <= 0)
		n++;
	take(sm, sm->out.acked + n);
	sm->out.acked = h;
	return true;
}

/* From now on all numbers are this process's. */
static void forget_numbers(struct s2s_sm *sm)
{
	free(sm->numbers);
	sm->numbers = NULL;
	sm->n_found = 0;
}

/* §5: what h does not cover goes again. */
bool s2s_out_sm_resumed(struct s2s_out *o, const struct elem *resumed)
{
	struct s2s_sm *sm = o->sm;
	uint32_t h;

	if (!sm_read_h(resumed, &h) || !take_before(sm, h))
		return false;
	metric_add(&resumed_metric, 1);
	forget_numbers(sm);
	s2s_out_say(o, "resumed; %u stanzas go again", (unsigned)sm->out.n);
	sm->phase = SM_ON;
	sm->left_out = false;
	write_all(sm);
	return true;
}

/* It knows nothing of the stream before, but perhaps how far that came. */
void s2s_out_sm_not_resumed(struct s2s_out *o, const struct elem *failed)
{
	struct s2s_sm *sm = o->sm;
	uint32_t h;

	if (failed && sm_read_h(failed, &h) && take_before(sm, h))
		sm->written = 0;
	forget_numbers(sm);
	s2s_out_say(o, "it cannot be resumed");
	give_up_written(sm);
	if (o->offers & OFFERS_SM) {
		say_enable(sm);
		return;
	}
	go_on_without(sm);
}

ON_SHARD static void read_resumption(struct s2s_sm *sm, const struct elem *e)
{
	const char *id = elem_attr(e, "id"), *resume = elem_attr(e, "resume");
	const char *max = elem_attr(e, "max");

	if (!id || !resume || (strcmp(resume, "true") && strcmp(resume, "1")))
		return;
	sm->id = xstrdup(id);
	sm->max_ms = max ? strtoull(max, NULL, 10) * 1000 : RESUME_MS_MAX;
	if (!sm->max_ms || sm->max_ms > RESUME_MS_MAX)
		sm->max_ms = RESUME_MS_MAX;
	sm->kept = s2s_spool_stream(&(struct s2s_stream_id){
		sm->o->ours, sm->o->theirs, sm->o->link ? sm->o->link->index : 0, id, sm->max_ms });
	s2s_out_say(sm->o, "can be resumed for %u s", (unsigned)(sm->max_ms / 1000));
}

ON_SHARD static void enabled(struct s2s_sm *sm, const struct elem *e)
{
	if (sm->phase != SM_ENABLING)
		return;
	timer_cancel(&sm->timer);
	sm->phase = SM_ON;
	read_resumption(sm, e);
	write_all(sm);
}

/* It goes on without. */
ON_SHARD static void not_enabled(struct s2s_sm *sm)
{
	if (sm->phase != SM_ENABLING)
		return;
	go_on_without(sm);
}

void s2s_out_sm_element(struct s2s_out *o, const struct elem *e)
{
	struct s2s_sm *sm = o->sm;

	if (!sm)
		return;
	if (elem_is(e, "a", NS_SM))
		acknowledged(sm, e);
	else if (elem_is(e, "r", NS_SM))
		asked_by_peer(sm);
	else if (elem_is(e, "enabled", NS_SM))
		enabled(sm, e);
	else if (elem_is(e, "failed", NS_SM))
		not_enabled(sm);
}

/* --- sending ------------------------------------------------------------------------------- */

void s2s_out_sm_send(struct s2s_out *o, struct stanza *s)
{
	struct s2s_sm *sm = o->sm;

	unacked_add(&sm->out, s, NULL, DELIVER_SURE);
	if (sm->phase != SM_ON)
		return;
	s2s_spool_sent(s, sm->kept, unacked_sent(&sm->out));
	conn_write(&o->stream.conn, stanza_wire(s), s);
	sm->written++;
	sm->since_asked++;
	ask_in_time(sm);
}

bool s2s_out_sm_closes(struct s2s_out *o)
{
	struct s2s_sm *sm = o->sm;

	if (!sm || !(sm->out.n || sm->acks.n_open) || sm->phase == SM_AWAY ||
		stream_closing(&o->stream))
		return false;
	sm->closes = true;
	if (!sm->out.n)
		go_on_closing(sm);
	else if (sm->asked)
		timer_set(&sm->timer, LAST_ANSWER_MS);
	else
		ask(sm, LAST_ANSWER_MS);
	return true;
}

void s2s_out_sm_handled(struct s2s_out *o)
{
	if (o->sm)
		s2s_spool_handled(o->sm->kept, handled(o->sm));
}

struct acks *s2s_out_sm_acks(const struct s2s_out *o)
{
	return o->sm ? &o->sm->acks : NULL;
}

bool s2s_out_sm_is_on(const struct s2s_out *o)
{
	return o->sm && o->sm->phase == SM_ON;
}

unsigned s2s_out_sm_unacked(const struct s2s_out *o)
{
	return o->sm ? o->sm->out.n : 0;
}

uint64_t s2s_out_sm_held_bytes(const struct s2s_out *o)
{
	const struct s2s_sm *sm = o->sm;

	if (!sm)
		return 0;
	return sm->phase == SM_ON ? sm->out.held / 4 : sm->out.held;
}
