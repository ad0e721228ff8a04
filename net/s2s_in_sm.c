/* net/s2s_in_sm.c - acknowledgements both ways, and the time without a connection. */
#include "net/s2s_in_sm.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/metric.h"
#include "net/acceptor.h"
#include "net/sm_element.h"
#include "router/message.h"
#include "router/s2s_conf.h"
#include "router/s2s_link.h"
#include "xml/builder.h"

#define WAITING_MAX 1000u /* streams of one shard that wait to be resumed; then the oldest ends */
#define WAITING_OF_ONE_MAX 4u /* of them, from one domain */
#define BOTH_WAYS_MS 60000u /* one with something for the peer waits no longer */

static struct metric waiting_metric = METRIC_GAUGE("s2s_in_waiting",
	"Streams of other servers that have lost their connection and may resume.");
static struct metric late_metric = METRIC_COUNTER(
	"s2s_in_not_resumed_total", "Of them, those that did not come back in time.");

__attribute__((constructor)) static void register_metrics(void)
{
	metric_register(&waiting_metric);
	metric_register(&late_metric);
}

/* --- asking, and being asked --------------------------------------------------------------- */

static const struct sm_conf *conf_of(const struct s2s_in *c)
{
	static const struct sm_conf none = {
		.max_ack_queue = 1000, .max_ack_bytes = 1 << 20, .ack_timeout_ms = 60000
	};
	const struct host_conf *conf = s2s_in_conf(c->ours);

	return conf ? &conf->sm : &none;
}

void s2s_in_sm_ask(struct s2s_in *c)
{
	struct s2s_in_sm *sm = c->sm;

	if (sm->asked || !sm->out.n)
		return;
	sm->asked = true;
	sm->since_asked = 0;
	sm_send_request(&c->stream);
	timer_set(&sm->timer, (uint64_t)conf_of(c)->ack_timeout_ms);
}

ON_SHARD static void ask_in_time(struct s2s_in *c)
{
	struct s2s_in_sm *sm = c->sm;

	if (sm->asked)
		return;
	if (sm->since_asked >= SM_ASK_EVERY)
		s2s_in_sm_ask(c);
	else if (!timer_armed(&sm->timer))
		timer_set(&sm->timer, SM_ASK_AFTER_MS);
}

ON_SHARD static void ask_anew(struct s2s_in *c)
{
	struct s2s_in_sm *sm = c->sm;

	timer_cancel(&sm->timer);
	sm->asked = false;
	sm->since_asked = sm->out.n;
	if (sm->out.n)
		ask_in_time(c);
}

void s2s_in_sm_tell(struct s2s_in *c)
{
	if (!c->sm || c->sm->waits)
		return;
	c->sm->r_waits = false;
	sm_send_answer(&c->stream, acks_covered(&c->sm->acks));
}

/* §4: answered at once, unless something it asks about is still being stored: then as soon as that
 * is. */
ON_SHARD static void asked_by_peer(struct s2s_in *c)
{
	struct s2s_in_sm *sm = c->sm;

	sm->r_number = sm->acks.handled;
	sm->r_waits = true;
	if (s2s_in_sm_is_covered(c))
		s2s_in_sm_tell(c);
}

static void covered(struct acks *a)
{
	struct s2s_in_sm *sm = container_of(a, struct s2s_in_sm, acks);

	shard_check(NULL);
	if (sm->r_waits && (int32_t)(acks_covered(a) - sm->r_number) >= 0)
		s2s_in_sm_tell(sm->c);
	if (a->n_open)
		return;
	if (sm->resume)
		s2s_in_resume_covered(sm);
	else
		s2s_in_go_on_ending(sm->c);
}

/* §6. */
void s2s_in_sm_too_high(struct s2s_in *c, uint32_t h, uint32_t sent)
{
	s2s_in_leave(c);
	sm_send_too_high(&c->stream, h, sent);
}

ON_SHARD static void take_ack(struct s2s_in_sm *sm, uint32_t h)
{
	while (sm->out.acked != h) {
		struct stanza *s = unacked_take(&sm->out).stanza;

		message_taken(s);
		stanza_unref(s);
	}
	unacked_rest(&sm->out);
}

ON_SHARD static struct next acknowledged(struct s2s_in *c, const struct elem *a)
{
	struct s2s_in_sm *sm = c->sm;
	uint32_t h;

	if (!sm_read_h(a, &h))
		return s2s_in_fail(
			c, STREAM_POLICY_VIOLATION, "An acknowledgement needs a number h.");
	if (!unacked_covers(&sm->out, h)) {
		s2s_in_sm_too_high(c, h, unacked_sent(&sm->out));
		return fsm_same();
	}
	take_ack(sm, h);
	ask_anew(c);
	s2s_in_go_on_ending(c);
	return fsm_same();
}

/* --- sending ------------------------------------------------------------------------------- */

void s2s_in_sm_send(struct s2s_in *c, struct stanza *s)
{
	struct s2s_in_sm *sm = c->sm;

	if (sm->out.held >= (uint64_t)s2s_conf()->queue_bytes) {
		s2s_bounce(s, ERR_RESOURCE_CONSTRAINT, "Too much waits for that server.");
		return;
	}
	unacked_add(&sm->out, s, NULL, DELIVER_SURE);
	if (sm->waits) {
		sm->unsent++;
		if (timer_left_ms(&sm->timer) > BOTH_WAYS_MS)
			timer_set(&sm->timer, BOTH_WAYS_MS);
		return;
	}
	conn_write(&c->stream.conn, stanza_wire(s), NULL);
	sm->since_asked++;
	ask_in_time(c);
}

/* --- the time without a connection --------------------------------------------------------- */

ON_SHARD static struct cds_list_head *waiting_streams(unsigned **n)
{
	static _Thread_local struct cds_list_head list;
	static _Thread_local unsigned length;

	if (!list.next)
		CDS_INIT_LIST_HEAD(&list);
	*n = &length;
	return &list;
}

ON_SHARD static void end_waiting(struct s2s_in_sm *sm)
{
	unsigned *n;

	if (!sm->waits)
		return;
	waiting_streams(&n);
	--*n;
	cds_list_del(&sm->of_waiting);
	sm->waits = false;
	metric_add(&waiting_metric, -1);
}

/* The oldest of that domain when it has too many, or of all. */
ON_SHARD static void make_room(const char *theirs)
{
	unsigned *n, of_one = 0;
	struct cds_list_head *list = waiting_streams(&n);
	struct s2s_in_sm *sm, *oldest = NULL;

	cds_list_for_each_entry (sm, list, of_waiting) {
		if (sm->c->over || strcmp(sm->for_domain, theirs))
			continue;
		if (!of_one++)
			oldest = sm;
	}
	if (of_one < WAITING_OF_ONE_MAX)
		oldest = *n < WAITING_MAX
			? NULL
			: cds_list_entry(list->next, struct s2s_in_sm, of_waiting);
	if (oldest)
		s2s_in_fail(oldest->c, STREAM_RESOURCE_CONSTRAINT, NULL);
}

void s2s_in_sm_detach(struct s2s_in *c)
{
	struct s2s_in_sm *sm = c->sm;
	unsigned *n;

	if (sm->waits)
		return;
	make_room(sm->for_domain);
	sm->asked = sm->r_waits = false;
	timer_cancel(&c->timer);
	conn_drop_output(&c->stream.conn); /* what was sent before <enable/> joins the rest */
	stream_end(&c->stream);
	s2s_in_release(c);
	cds_list_add_tail(&sm->of_waiting, waiting_streams(&n));
	++*n;
	sm->waits = true;
	metric_add(&waiting_metric, 1);
	timer_set(&sm->timer, sm->out.n && sm->max_ms > BOTH_WAYS_MS ? BOTH_WAYS_MS : sm->max_ms);
	fsm_event_now(&c->fsm, &(struct term){ .kind = S2S_IN_LOST });
}

bool s2s_in_sm_lost(struct s2s_in *c)
{
	if (!s2s_in_sm_stays(c))
		return false;
	s2s_in_sm_detach(c);
	return true;
}

void s2s_in_sm_attached(struct s2s_in *c, uint32_t h)
{
	struct s2s_in_sm *sm = c->sm;

	end_waiting(sm);
	timer_cancel(&sm->timer);
	take_ack(sm, h);
	sm->unsent = 0;
	for (uint32_t i = 0; i < sm->out.n; i++)
		conn_write(&c->stream.conn, stanza_wire(unacked_at(&sm->out, i)->stanza), NULL);
	ask_anew(c);
	fsm_event_now(&c->fsm, &(struct term){ .kind = S2S_IN_RESUMED });
}

static void timer_fired(struct timer *t)
{
	struct s2s_in_sm *sm = container_of(t, struct s2s_in_sm, timer);
	struct s2s_in *c = sm->c;

	shard_check(NULL);
	if (sm->waits) {
		if (!c->over)
			metric_add(&late_metric, 1);
		s2s_in_leave(c);
		fsm_stop_now(&c->fsm, STOP_NORMAL);
	} else if (stream_closing(&c->stream)) {
		return;
	} else if (sm->asked) {
		s2s_in_log(c, LOG_LEVEL_INFO, "no acknowledgement in time");
		if (!s2s_in_sm_lost(c))
			s2s_in_fail(
				c, STREAM_CONNECTION_TIMEOUT, "No acknowledgement came in time.");
	} else {
		s2s_in_sm_ask(c);
	}
}

/* --- its end ------------------------------------------------------------------------------- */

static bool is_between(const struct stanza *s, const char *ours, const char *theirs)
{
	return !strcmp(jid_domain(s->from), ours) && !strcmp(jid_domain(s->to), theirs);
}

/* To the router. Takes s. */
ON_SHARD static void give_back(struct s2s_in *c, struct stanza *s)
{
	s2s_give_back(s, c->fsm.gen.actor.id);
	stanza_unref(s);
}

ON_SHARD static void give_up_sent(struct s2s_in_sm *sm)
{
	while (sm->out.n > sm->unsent) {
		struct stanza *s = unacked_take(&sm->out).stanza;

		s2s_bounce(s, ERR_REMOTE_SERVER_TIMEOUT,
			"The connection to that server was lost; it may have arrived.");
		stanza_unref(s);
	}
}

void s2s_in_sm_over(struct s2s_in *c)
{
	struct s2s_in_sm *sm = c->sm;

	if (!sm)
		return;
	s2s_in_resume_refused(sm);
	if (sm->max_ms)
		sm_place_end(sm->id, acks_covered(&sm->acks));
	sm->max_ms = 0;
	timer_cancel(&sm->timer);
	if (sm->waits) /* not at once: somebody may be going through the shard's streams */
		timer_set(&sm->timer, 0);
	if (!c->ending || c->end_condition != STREAM_CONDITIONS)
		give_up_sent(sm);
	while (sm->out.n)
		give_back(c, unacked_take(&sm->out).stanza);
	sm->unsent = 0;
}

void s2s_in_sm_replaced(struct s2s_in *c, const char *ours, const char *theirs)
{
	struct s2s_in_sm *sm = c->sm;
	uint32_t n = sm ? sm->unsent : 0;
	struct stanza **all;

	if (!n)
		return;
	all = xmalloc(n * sizeof(*all));
	for (uint32_t i = n; i--;)
		all[i] = unacked_take_back(&sm->out).stanza;
	sm->unsent = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (is_between(all[i], ours, theirs)) {
			give_back(c, all[i]);
			continue;
		}
		unacked_add(&sm->out, all[i], NULL, DELIVER_SURE);
		sm->unsent++;
		stanza_unref(all[i]);
	}
	free(all);
}

void s2s_in_sm_free(struct s2s_in *c)
{
	struct s2s_in_sm *sm = c->sm;

	if (!sm)
		return;
	c->sm = NULL;
	timer_cancel(&sm->timer);
	end_waiting(sm);
	free(sm->for_domain);
	free(sm->out.at);
	acks_fini(&sm->acks);
	free(sm);
}

uint64_t s2s_in_sm_held_bytes(const struct s2s_in *c)
{
	return c->sm ? c->sm->out.held : 0;
}

/* --- its beginning ------------------------------------------------------------------------- */

void s2s_in_sm_failed(struct s2s_in *c, int error, const uint32_t *h)
{
	struct builder b;

	build_begin(&b, "failed", NS_SM);
	if (h)
		build_attr_int(&b, "h", *h);
	build_open(&b, stanza_error_name(error), NS_STANZAS);
	build_close(&b);
	stream_send_element(&c->stream, &b);
}

ON_SHARD static void enable(struct s2s_in *c, const struct elem *e)
{
	struct s2s_in_sm *sm = xcalloc(1, sizeof(*sm));
	struct builder b;
	char id[SM_ID_TEXT];

	c->sm = sm;
	sm->c = c;
	sm->acks.covered = covered;
	sm->acks.session = c->fsm.gen.actor.id;
	sm->for_domain = xstrdup(c->pairs.at[0].theirs);
	timer_init(&sm->timer, timer_fired);
	sm->max_ms = sm_time_to_wait(conf_of(c), e);
	build_begin(&b, "enabled", NS_SM);
	if (sm->max_ms) {
		sm_id_make(sm->id);
		sm_place_add(sm->id, sm->acks.session,
			jid_hash_domain(sm->for_domain, strlen(sm->for_domain)));
		sm_id_write(sm->id, id);
		build_attr(&b, "id", id);
		build_attr(&b, "resume", "true");
		build_attr_int(&b, "max", (int64_t)(sm->max_ms / 1000));
	}
	stream_send_element(&c->stream, &b);
	s2s_in_go_both_ways(c);
}

struct next s2s_in_sm_element(struct s2s_in *c, const struct stanza *s)
{
	const char *name = s->root->name;

	if (c->sm && !strcmp(name, "r"))
		asked_by_peer(c);
	else if (c->sm && !strcmp(name, "a"))
		return acknowledged(c, s->root);
	else if (!c->sm && c->pairs.n && !strcmp(name, "enable"))
		enable(c, s->root);
	else if (!c->sm && c->pairs.n && !strcmp(name, "resume"))
		return s2s_in_resume(c, s->root);
	else
		s2s_in_sm_failed(c, ERR_UNEXPECTED_REQUEST, NULL);
	return fsm_same();
}
