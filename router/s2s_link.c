/* router/s2s_link.c - a link: what becomes of it, and of the stanzas that it is given. */
#include "router/s2s_link.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/lang.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"
#include "router/deliver.h"
#include "router/route.h"
#include "router/s2s.h"
#include "router/s2s_conf.h"
#include "router/s2s_inside.h"
#include "xml/builder.h"

#define RETRY_FIRST_MS 1000

const struct s2s_opener *s2s_opener;
const char s2s_too_much[] = TR("Too much waits for that server.");

static struct metric sent_metric =
	METRIC_COUNTER("s2s_stanzas_sent_total", "Stanzas given to streams to other servers.");
static struct metric bounced_metric = METRIC_COUNTER(
	"s2s_stanzas_bounced_total", "Stanzas to other servers that could not be sent.");
static struct metric opened_metrics[] = {
	METRIC_COUNTER_OF("s2s_links_opened_total", "result=\"ok\"",
		"Attempts to open a stream to another server."),
	METRIC_COUNTER_OF("s2s_links_opened_total", "result=\"failed\"",
		"Attempts to open a stream to another server."),
};
static struct metric up_metric =
	METRIC_GAUGE("s2s_links", "Streams to other servers that are established.");

void s2s_set_opener(const struct s2s_opener *o)
{
	s2s_opener = o;
	for (unsigned i = 0; i < ARRAY_LEN(opened_metrics); i++)
		metric_register(&opened_metrics[i]);
	metric_register(&sent_metric);
	s2s_queue_start();
	metric_register(&bounced_metric);
	metric_register(&up_metric);
}

int64_t s2s_count(void)
{
	return metric_value(&up_metric);
}

/* --- errors -------------------------------------------------------------------------------- */
static bool is_in_spool(const struct stanza *s)
{
	return atomic_load_explicit(&s->log_record, memory_order_relaxed) != NULL;
}

/* For s2s_start(). What is in the spool has room there, and comes to the next process otherwise. */
bool s2s_put_by(struct stanza *s)
{
	const struct s2s_conf *conf = s2s_conf();
	struct s2s_queue *q = &s2s_table_own()->put_by;

	if (!is_in_spool(s) &&
		(atomic_load_explicit(&s2s_stopped, memory_order_relaxed) ||
			q->n >= conf->queue_stanzas || (int64_t)q->bytes >= conf->queue_bytes))
		return false;
	s2s_queue_add(q, s, false);
	return true;
}

void s2s_bounce(struct stanza *s, int error, const char *why)
{
	if (s2s_is_stopping() && s2s_put_by(s))
		return;
	metric_add(&bounced_metric, 1);
	route_error_instead(s, error, why);
}

void s2s_bounce_all(struct s2s_queue *q, int error, const char *why)
{
	struct s2s_queue all;
	struct s2s_waiting *w;

	/* What senders do about it may come to this link again. */
	s2s_queue_move(q, &all);
	while ((w = s2s_queue_take(&all))) {
		s2s_bounce(w->stanza, error, why);
		s2s_waiting_free(w);
	}
}

/* --- its course ---------------------------------------------------------------------------- */

void s2s_link_enter(struct s2s_link *l, enum s2s_link_state state)
{
	if (l->state == S2S_UP)
		metric_add(&up_metric, -1);
	if (state == S2S_UP)
		metric_add(&up_metric, 1);
	l->state = (uint8_t)state;
	l->since_ms = clock_wall_ms();
	timer_cancel(&l->timer);
}

ON_SHARD static void open_link(struct s2s_link *l)
{
	s2s_link_enter(l, S2S_OPENING);
	timer_set(&l->timer, (uint64_t)s2s_conf()->queue_ms);
	l->handed = l->handed_again = 0;
	s2s_trace_begin(&l->trace);
	l->out = s2s_opener->open(l);
}

struct to_incoming {
	struct letter letter;
	struct stanza *stanza; /* one reference */
};

static void incoming_open(struct actor *a, struct letter *l)
{
	struct to_incoming *t = container_of(l, struct to_incoming, letter);
	const struct recipient *r = a ? a->class->recipient : NULL;

	shard_check(NULL);
	if (!r || !r->receive(a, t->stanza, DELIVER_SURE))
		s2s_route_again(t->stanza, t->letter.to);
	stanza_unref(t->stanza);
	free(t);
}

/* Always as a letter: it is not called from within its own callbacks. */
ON_SHARD static void send_to_incoming(struct s2s_link *l, struct stanza *s)
{
	struct to_incoming *t = xmalloc(sizeof(*t));

	t->letter.to = l->incoming;
	t->letter.open = incoming_open;
	t->stanza = stanza_ref(s);
	l->sent++;
	metric_add(&sent_metric, 1);
	letter_post(&t->letter);
}

void s2s_link_turn_to_incoming(struct s2s_link *l)
{
	struct s2s_waiting *w;

	l->on_incoming = true;
	while ((w = s2s_queue_take(&l->queue))) {
		send_to_incoming(l, w->stanza);
		s2s_waiting_free(w);
	}
}

ON_SHARD static void send_out(struct s2s_link *l, struct stanza *s)
{
	l->handed++;
	l->sent++;
	metric_add(&sent_metric, 1);
	s2s_opener->send(l->out, s);
}

bool s2s_link_is_queue_full(const struct s2s_queue *q)
{
	const struct s2s_conf *conf = s2s_conf();

	return q->n >= conf->queue_stanzas || (int64_t)q->bytes >= conf->queue_bytes;
}

ON_SHARD static void enqueue(struct s2s_link *l, struct stanza *s)
{
	s2s_queue_add(&l->queue, s, false);
	if (l->state == S2S_IDLE)
		open_link(l);
	else if (s2s_opener->wanted)
		s2s_opener->wanted(l->out);
}

/* Its server does not read as fast as it is written to. */
static bool is_full(const struct s2s_link *l)
{
	return s2s_opener->held_bytes &&
		(int64_t)s2s_opener->held_bytes(l->out) >= s2s_conf()->queue_bytes;
}

void s2s_link_send(struct s2s_link *l, struct stanza *s, enum s2s_taking taking)
{
	if (l->on_incoming)
		send_to_incoming(l, s);
	else if (l->state == S2S_UP && !is_full(l))
		send_out(l, s);
	else if (l->state == S2S_UP)
		s2s_bounce(s, ERR_RESOURCE_CONSTRAINT, s2s_too_much);
	else if (l->state == S2S_RETRYING)
		s2s_bounce(s, l->error, l->told);
	else if (!s2s_allowed(l->ours, l->theirs))
		s2s_bounce(s, ERR_NOT_ALLOWED, "This server does not speak with that one.");
	else if (taking == TAKE_ANEW && s2s_link_is_queue_full(&l->queue))
		s2s_bounce(s, ERR_RESOURCE_CONSTRAINT, s2s_too_much);
	else
		enqueue(l, s);
}

void s2s_link_up(struct s2s_link *l)
{
	struct s2s_waiting *w;

	s2s_link_enter(l, S2S_UP);
	metric_add(&opened_metrics[0], 1);
	l->failures = 0;
	l->error = 0;
	while (!l->on_incoming && (w = s2s_queue_take(&l->queue))) {
		l->handed_again += w->again;
		send_out(l, w->stanza);
		s2s_waiting_free(w);
	}
}

void s2s_link_unsent(struct s2s_link *l, struct stanza *s)
{
	s2s_queue_add(&l->back, s, true);
}

/* What came back stands before all else; what has come back twice has failed. */
ON_SHARD static void take_back(struct s2s_link *l, int error, const char *why)
{
	uint64_t at = l->handed - l->back.n;
	struct s2s_queue second;

	s2s_queue_init(&second);
	while (l->back.n) {
		struct s2s_waiting *w = s2s_queue_take(&l->back);

		s2s_queue_add(at++ < l->handed_again ? &second : &l->queue, w->stanza, true);
		s2s_waiting_free(w);
	}
	s2s_bounce_all(&second, error ? error : ERR_REMOTE_SERVER_TIMEOUT, why);
}

static uint64_t retry_ms(const struct s2s_link *l)
{
	uint64_t max = (uint64_t)s2s_conf()->max_retry_ms;
	unsigned doublings = l->failures < 20 ? l->failures - 1 : 19;
	uint64_t ms = (uint64_t)RETRY_FIRST_MS << doublings;

	if (ms > max)
		ms = max;
	return ms - ms / 4 + clock_us() % (ms / 4 + 1); /* not all at once */
}

ON_SHARD static void fail(struct s2s_link *l, int error, const char *told, const char *why)
{
	uint64_t ms;

	l->failures++;
	l->error = error;
	free(l->told);
	l->told = xstrdup(told);
	free(l->why);
	l->why = xstrdup(why);
	ms = retry_ms(l);
	log_info("s2s", "no way to another server", L_STR("from", l->ours), L_STR("to", l->theirs),
		L_STR("why", why), L_INT("retry_ms", ms));
	s2s_trace_say(&l->trace, "not tried again for %.1f s, as: %s", (double)ms / 1000, why);
	s2s_link_enter(l, S2S_RETRYING);
	timer_set(&l->timer, ms);
	s2s_bounce_all(&l->queue, error, told);
}

/* Addresses and names of ours are nothing for senders. */
static const char *sentence_of(int error)
{
	switch (error) {
	case 0:
		return TR("The connection to that server was lost.");
	case ERR_REMOTE_SERVER_NOT_FOUND:
		return TR("That server cannot be found.");
	default:
		return TR("That server cannot be spoken with just now.");
	}
}

void s2s_link_down(struct s2s_link *l, int error, const char *told, const char *why)
{
	bool was_up = l->state == S2S_UP;

	if (!told)
		told = sentence_of(error);
	l->out = NULL;
	take_back(l, error, told);
	if (l->incoming.v)
		s2s_link_turn_to_incoming(l);
	if (error) {
		if (!was_up)
			metric_add(&opened_metrics[1], 1);
		fail(l, error, told, why);
		return;
	}
	s2s_link_enter(l, S2S_IDLE);
	if (l->queue.n)
		open_link(l);
	else
		s2s_table_settle(l);
}

/* The way out lives on by itself. */
void s2s_link_let_out_go(struct s2s_link *l)
{
	void *out = l->out;

	l->out = NULL;
	s2s_link_enter(l, S2S_IDLE);
	if (out)
		s2s_opener->close(out);
}

ON_SHARD static void bounce_late(struct s2s_link *l)
{
	uint64_t max_ms = (uint64_t)s2s_conf()->queue_ms, now = shard_now_ms();
	struct s2s_queue late;

	s2s_queue_init(&late);
	while (l->queue.n) {
		struct s2s_waiting *w =
			cds_list_first_entry(&l->queue.list, struct s2s_waiting, node);

		if (now - w->since_ms < max_ms) {
			timer_set(&l->timer, max_ms - (now - w->since_ms));
			break;
		}
		w = s2s_queue_take(&l->queue);
		s2s_queue_add(&late, w->stanza, true);
		s2s_waiting_free(w);
	}
	s2s_bounce_all(&late, ERR_REMOTE_SERVER_TIMEOUT, "That server does not answer.");
}

void s2s_link_time_is_up(struct timer *t)
{
	struct s2s_link *l = container_of(t, struct s2s_link, timer);

	shard_check(NULL);
	if (l->state == S2S_RETRYING) {
		s2s_link_enter(l, S2S_IDLE);
		s2s_table_settle(l);
	} else if (l->state == S2S_OPENING) {
		timer_set(&l->timer, (uint64_t)s2s_conf()->queue_ms);
		bounce_late(l);
	}
}

struct s2s_link *s2s_link_wanted(const char *ours, const char *theirs)
{
	struct s2s_link *l;

	if (!s2s_opener || s2s_is_stopping())
		return NULL;
	l = s2s_table_have(s2s_pair_hash(ours, theirs), 0, ours, theirs);
	if (!l)
		return NULL;
	if (!l->out)
		open_link(l);
	s2s_table_settle(l);
	return l;
}
