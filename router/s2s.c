/* router/s2s.c - the table of links, one part of it on each shard, and what becomes of a stanza. */
#include "router/s2s.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/errand.h"
#include "core/lang.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"
#include "router/access.h"
#include "router/deliver.h"
#include "router/route.h"
#include "router/s2s_conf.h"
#include "router/s2s_link.h"
#include "router/s2s_spool.h"
#include "xml/builder.h"

#define BUCKETS 256 /* of one shard */
#define LINKS_MAX 5000 /* of one shard: a sender may name any domain */
#define REMEMBERED_MAX 500 /* idle ones of one shard, for who asks why they failed */
#define RETRY_FIRST_MS 1000

/* The links of one shard, which alone looks at them. */
static struct home {
	struct cds_list_head buckets[BUCKETS];
	struct cds_list_head idle; /* by use */
	unsigned n, n_idle;
	struct s2s_queue put_by; /* while it is not open */
	bool begun;
	bool open; /* its links carry what comes */
	bool touring; /* tour_run() walks through it: none goes */
} homes[SHARDS_MAX];

static const char too_much[] = TR("Too much waits for that server.");
static const char shutting_down[] = TR("The server is shutting down.");

static const struct s2s_opener *opener;
static _Atomic bool stopping; /* or paused */
static _Atomic bool stopped; /* for what is not in the spool that is the end */

/* Links that came now would be nobody's to end. */
static bool is_stopping(void)
{
	return atomic_load_explicit(&stopping, memory_order_relaxed);
}

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
	opener = o;
	for (unsigned i = 0; i < ARRAY_LEN(opened_metrics); i++)
		metric_register(&opened_metrics[i]);
	metric_register(&sent_metric);
	s2s_queue_start();
	metric_register(&bounced_metric);
	metric_register(&up_metric);
}

/* --- policy -------------------------------------------------------------------------------- */

struct host *s2s_host(const char *ours)
{
	struct host *h = route_host(ours);

	for (const char *dot = ours; !h && (dot = strchr(dot, '.'));)
		h = route_host(++dot);
	return h ? h : route_host(route_own_name());
}

bool s2s_allowed(const char *ours, const char *theirs)
{
	struct access_subject who = { 0 };
	struct host *h = s2s_host(ours);
	struct jid *jid = NULL;
	bool allowed;

	if (!h || jid_make(NULL, theirs, NULL, NULL, &jid))
		return false;
	who.jid = jid;
	allowed = access_allowed(rcu_get(h->conf)->s2s_access, h->name, &who);
	jid_free(jid);
	return allowed;
}

/* --- errors -------------------------------------------------------------------------------- */

ON_SHARD static struct home *own_home(void);

static bool is_in_spool(const struct stanza *s)
{
	return atomic_load_explicit(&s->log_record, memory_order_relaxed) != NULL;
}

/* For s2s_start(). What is in the spool has room there, and comes to the next process otherwise. */
ON_SHARD static bool put_by(struct stanza *s)
{
	const struct s2s_conf *conf = s2s_conf();
	struct s2s_queue *q = &own_home()->put_by;

	if (!is_in_spool(s) &&
		(atomic_load_explicit(&stopped, memory_order_relaxed) ||
			q->n >= conf->queue_stanzas || (int64_t)q->bytes >= conf->queue_bytes))
		return false;
	s2s_queue_add(q, s, false);
	return true;
}

void s2s_bounce(struct stanza *s, int error, const char *why)
{
	if (is_stopping() && put_by(s))
		return;
	metric_add(&bounced_metric, 1);
	route_error_instead(s, error, why);
}

ON_SHARD static void bounce_all(struct s2s_queue *q, int error, const char *why)
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

/* --- the table ----------------------------------------------------------------------------- */

static uint32_t pair_hash(const char *ours, const char *theirs)
{
	return jid_hash_domain(ours, strlen(ours)) * 31 + jid_hash_domain(theirs, strlen(theirs));
}

static struct shard *home_of(uint32_t hash, unsigned index)
{
	return shard_at((hash + index) % shards_count());
}

struct shard *s2s_home(const char *ours, const char *theirs)
{
	return home_of(pair_hash(ours, theirs), 0);
}

ON_SHARD static struct home *own_home(void)
{
	struct home *h = &homes[shard_index(shard_self())];

	if (!h->begun) {
		for (unsigned i = 0; i < BUCKETS; i++)
			CDS_INIT_LIST_HEAD(&h->buckets[i]);
		CDS_INIT_LIST_HEAD(&h->idle);
		s2s_queue_init(&h->put_by);
		h->begun = true;
	}
	return h;
}

ON_SHARD static struct s2s_link *find(
	struct home *h, uint32_t hash, unsigned index, const char *ours, const char *theirs)
{
	struct s2s_link *l;

	cds_list_for_each_entry (l, &h->buckets[hash % BUCKETS], in_bucket) {
		if (l->hash == hash && l->index == index && !strcmp(l->theirs, theirs) &&
			!strcmp(l->ours, ours))
			return l;
	}
	return NULL;
}

/* Nothing goes on with it: it is there to be asked about, until others take its place. */
static bool is_idle(const struct s2s_link *l)
{
	return l->state == S2S_IDLE && !l->out && !l->incoming.v && !l->fenced;
}

/* Something is about to be done with it, and settle() follows: it does not go meanwhile. */
ON_SHARD static void hold(struct home *h, struct s2s_link *l)
{
	if (cds_list_empty(&l->by_use))
		return;
	cds_list_del_init(&l->by_use);
	h->n_idle--;
}

ON_SHARD static void forget(struct home *h, struct s2s_link *l)
{
	hold(h, l);
	cds_list_del(&l->in_bucket);
	timer_cancel(&l->timer);
	s2s_trace_fini(&l->trace);
	h->n--;
	free((char *)l->ours);
	free((char *)l->theirs);
	free(l->told);
	free(l->why);
	free(l);
}

/* If it is idle, it may go from now on. */
ON_SHARD static void settle(struct s2s_link *l)
{
	struct home *h = own_home();

	hold(h, l);
	if (!is_idle(l))
		return;
	cds_list_add_tail(&l->by_use, &h->idle);
	h->n_idle++;
	while (h->n_idle > REMEMBERED_MAX && !h->touring)
		forget(h, cds_list_first_entry(&h->idle, struct s2s_link, by_use));
}

static void time_is_up(struct timer *t);

ON_SHARD static struct s2s_link *link_new(
	struct home *h, uint32_t hash, unsigned index, const char *ours, const char *theirs)
{
	struct s2s_link *l = xcalloc(1, sizeof(*l));

	l->hash = hash;
	l->index = index;
	l->ours = xstrdup(ours);
	l->theirs = xstrdup(theirs);
	l->since_ms = clock_wall_ms();
	timer_init(&l->timer, time_is_up);
	s2s_queue_init(&l->queue);
	s2s_queue_init(&l->back);
	s2s_queue_init(&l->returned);
	s2s_queue_init(&l->held);
	CDS_INIT_LIST_HEAD(&l->by_use);
	cds_list_add(&l->in_bucket, &h->buckets[hash % BUCKETS]);
	h->n++;
	return l;
}

/* Held. NULL: there are too many. */
ON_SHARD static struct s2s_link *find_or_make(
	uint32_t hash, unsigned index, const char *ours, const char *theirs)
{
	struct home *h = own_home();
	struct s2s_link *l = find(h, hash, index, ours, theirs);

	if (l)
		hold(h, l);
	else if (h->n - h->n_idle < LINKS_MAX)
		l = link_new(h, hash, index, ours, theirs);
	return l;
}

/* --- a link's course ----------------------------------------------------------------------- */

ON_SHARD static void enter(struct s2s_link *l, enum s2s_link_state state)
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
	enter(l, S2S_OPENING);
	timer_set(&l->timer, (uint64_t)s2s_conf()->queue_ms);
	l->handed = l->handed_again = 0;
	s2s_trace_begin(&l->trace);
	l->out = opener->open(l);
}

struct to_incoming {
	struct letter letter;
	struct stanza *stanza; /* one reference */
};

ON_SHARD static void route_again(struct stanza *s, struct actor_id refused_by);

static void incoming_open(struct actor *a, struct letter *l)
{
	struct to_incoming *t = container_of(l, struct to_incoming, letter);
	const struct recipient *r = a ? a->class->recipient : NULL;

	shard_check(NULL);
	if (!r || !r->receive(a, t->stanza, DELIVER_SURE))
		route_again(t->stanza, t->letter.to);
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

ON_SHARD static void turn_to_incoming(struct s2s_link *l)
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
	opener->send(l->out, s);
}

ON_SHARD static bool is_queue_full(const struct s2s_queue *q)
{
	const struct s2s_conf *conf = s2s_conf();

	return q->n >= conf->queue_stanzas || (int64_t)q->bytes >= conf->queue_bytes;
}

ON_SHARD static void enqueue(struct s2s_link *l, struct stanza *s)
{
	s2s_queue_add(&l->queue, s, false);
	if (l->state == S2S_IDLE)
		open_link(l);
	else if (opener->wanted)
		opener->wanted(l->out);
}

/* Its server does not read as fast as it is written to. */
static bool is_full(const struct s2s_link *l)
{
	return opener->held_bytes && (int64_t)opener->held_bytes(l->out) >= s2s_conf()->queue_bytes;
}

enum taking { TAKE_ANEW, TAKE_ACCEPTED }; /* it was taken on before */

ON_SHARD static void send_by(struct s2s_link *l, struct stanza *s, enum taking taking)
{
	if (l->on_incoming)
		send_to_incoming(l, s);
	else if (l->state == S2S_UP && !is_full(l))
		send_out(l, s);
	else if (l->state == S2S_UP)
		s2s_bounce(s, ERR_RESOURCE_CONSTRAINT, too_much);
	else if (l->state == S2S_RETRYING)
		s2s_bounce(s, l->error, l->told);
	else if (!s2s_allowed(l->ours, l->theirs))
		s2s_bounce(s, ERR_NOT_ALLOWED, "This server does not speak with that one.");
	else if (taking == TAKE_ANEW && is_queue_full(&l->queue))
		s2s_bounce(s, ERR_RESOURCE_CONSTRAINT, too_much);
	else
		enqueue(l, s);
}

void s2s_link_up(struct s2s_link *l)
{
	struct s2s_waiting *w;

	enter(l, S2S_UP);
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
	bounce_all(&second, error ? error : ERR_REMOTE_SERVER_TIMEOUT, why);
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
	enter(l, S2S_RETRYING);
	timer_set(&l->timer, ms);
	bounce_all(&l->queue, error, told);
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
		turn_to_incoming(l);
	if (error) {
		if (!was_up)
			metric_add(&opened_metrics[1], 1);
		fail(l, error, told, why);
		return;
	}
	enter(l, S2S_IDLE);
	if (l->queue.n)
		open_link(l);
	else
		settle(l);
}

/* The way out lives on by itself. */
ON_SHARD static void let_out_go(struct s2s_link *l)
{
	void *out = l->out;

	l->out = NULL;
	enter(l, S2S_IDLE);
	if (out)
		opener->close(out);
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
	bounce_all(&late, ERR_REMOTE_SERVER_TIMEOUT, "That server does not answer.");
}

static void time_is_up(struct timer *t)
{
	struct s2s_link *l = container_of(t, struct s2s_link, timer);

	shard_check(NULL);
	if (l->state == S2S_RETRYING) {
		enter(l, S2S_IDLE);
		settle(l);
	} else if (l->state == S2S_OPENING) {
		timer_set(&l->timer, (uint64_t)s2s_conf()->queue_ms);
		bounce_late(l);
	}
}

struct s2s_link *s2s_link_wanted(const char *ours, const char *theirs)
{
	struct s2s_link *l;

	if (!opener || is_stopping())
		return NULL;
	l = find_or_make(pair_hash(ours, theirs), 0, ours, theirs);
	if (!l)
		return NULL;
	if (!l->out)
		open_link(l);
	settle(l);
	return l;
}

/* --- a stanza's way ------------------------------------------------------------------------ */

struct arrival {
	struct msg msg;
	struct stanza *stanza; /* one reference */
	unsigned index;
	struct actor_id refused_by; /* ACTOR_NONE: nobody has */
};

static unsigned index_of(const struct stanza *s)
{
	uint64_t n = (uint64_t)s2s_conf()->max_connections;

	return n == 1 ? 0 : (unsigned)((s->from->bare_hash * 31ull + s->to->bare_hash) % n);
}

/* A letter to an incoming stream that carries no more, behind all stanzas that it was sent: when it
 * comes back, so have those that were refused, or could not be sent. */
struct fence {
	struct letter letter;
	struct shard *home;
	uint32_t hash;
	unsigned index;
	const char *theirs;
	char ours[]; /* NUL, theirs, NUL */
};

ON_SHARD static void go_on_in_order(struct s2s_link *l)
{
	struct s2s_queue all[2];
	struct s2s_waiting *w;

	l->fenced = false;
	s2s_queue_move(&l->returned, &all[0]);
	s2s_queue_move(&l->held, &all[1]);
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		while ((w = s2s_queue_take(&all[i]))) {
			send_by(l, w->stanza, TAKE_ACCEPTED);
			s2s_waiting_free(w);
		}
	}
}

static void fence_back(struct msg *m)
{
	struct fence *f = container_of(m, struct fence, letter.msg);
	struct s2s_link *l;

	shard_check(NULL);
	l = find(own_home(), f->hash, f->index, f->ours, f->theirs);
	if (l && l->fenced) {
		hold(own_home(), l);
		go_on_in_order(l);
		settle(l);
	}
	free(f);
}

static void fence_open(struct actor *a, struct letter *letter)
{
	struct fence *f = container_of(letter, struct fence, letter);
	const struct recipient *r = a ? a->class->recipient : NULL;

	shard_check(NULL);
	if (r && r->replaced)
		r->replaced(a, f->ours, f->theirs);
	letter->msg.run = fence_back;
	if (f->home == shard_self())
		letter->msg.run(&letter->msg);
	else
		shard_post(f->home, &letter->msg);
}

/* Nothing more goes to its incoming stream. While a link is fenced none is sent anything. */
ON_SHARD static void leave_incoming(struct s2s_link *l)
{
	size_t ours_len = strlen(l->ours) + 1, theirs_len = strlen(l->theirs) + 1;
	struct fence *f;

	if (!l->on_incoming || l->fenced)
		return;
	f = xmalloc(sizeof(*f) + ours_len + theirs_len);
	f->letter.to = l->incoming;
	f->letter.open = fence_open;
	f->home = shard_self();
	f->hash = l->hash;
	f->index = l->index;
	memcpy(f->ours, l->ours, ours_len);
	f->theirs = memcpy(f->ours + ours_len, l->theirs, theirs_len);
	l->fenced = true;
	letter_post(&f->letter);
}

/* Behind the fence, in order. */
ON_SHARD static void wait_for_fence(struct s2s_link *l, struct stanza *s, bool returned)
{
	if (returned)
		s2s_queue_add(&l->returned, s, true);
	else if (is_queue_full(&l->held))
		s2s_bounce(s, ERR_RESOURCE_CONSTRAINT, too_much);
	else
		s2s_queue_add(&l->held, s, false);
}

/* An incoming stream that is gone, or about to be, carries nothing any more. */
ON_SHARD static void incoming_is_gone(struct s2s_link *l, struct actor_id gone)
{
	if (!actor_id_equal(l->incoming, gone))
		return;
	leave_incoming(l);
	l->incoming = ACTOR_NONE;
	l->on_incoming = false;
}

ON_SHARD static void arrive(struct stanza *s, uint32_t hash, unsigned index,
	struct actor_id refused_by, enum taking taking)
{
	struct s2s_link *l;

	if (!own_home()->open && put_by(s))
		return;
	if (is_stopping()) {
		s2s_bounce(s, ERR_REMOTE_SERVER_TIMEOUT, shutting_down);
		return;
	}
	l = find_or_make(hash, index, jid_domain(s->from), jid_domain(s->to));
	if (!l) {
		s2s_bounce(s, ERR_RESOURCE_CONSTRAINT, "There are too many connections.");
		return;
	}
	if (refused_by.v)
		incoming_is_gone(l, refused_by);
	if (l->fenced)
		wait_for_fence(l, s, refused_by.v != 0);
	else
		send_by(l, s, taking);
	settle(l);
}

static void arrival_run(struct msg *m)
{
	struct arrival *a = container_of(m, struct arrival, msg);
	struct stanza *s = a->stanza;

	shard_check(NULL);
	arrive(s, pair_hash(jid_domain(s->from), jid_domain(s->to)), a->index, a->refused_by,
		TAKE_ANEW);
	stanza_unref(s);
	free(a);
}

ON_SHARD static void route_again(struct stanza *s, struct actor_id refused_by)
{
	uint32_t hash = pair_hash(jid_domain(s->from), jid_domain(s->to));
	unsigned index = index_of(s);
	struct shard *home = home_of(hash, index);
	struct arrival *a;

	if (home == shard_self()) {
		arrive(s, hash, index, refused_by, TAKE_ANEW);
		return;
	}
	a = xmalloc(sizeof(*a));
	a->msg.run = arrival_run;
	a->stanza = stanza_ref(s);
	a->index = index;
	a->refused_by = refused_by;
	deliver_hops_to(home);
	shard_post(home, &a->msg);
}

bool s2s_accept(struct stanza *s)
{
	if (s->kind != STANZA_MESSAGE || !opener || !route_has(jid_domain(s->from)) ||
		s2s_spool_keep(s))
		return true;
	s2s_bounce(s, ERR_RESOURCE_CONSTRAINT, "Messages cannot be stored just now.");
	return false;
}

void s2s_route(struct stanza *s)
{
	if (!opener)
		s2s_bounce(s, ERR_REMOTE_SERVER_NOT_FOUND, NULL);
	else if (route_has(jid_domain(s->from))) /* we speak for nobody else */
		route_again(s, ACTOR_NONE);
	else
		log_debug("s2s", "a stanza between two other servers",
			L_STR("from", jid_domain(s->from)), L_STR("to", jid_domain(s->to)));
}

void s2s_give_back(struct stanza *s, struct actor_id by)
{
	route_again(s, by);
}

/* --- incoming streams that go both ways ---------------------------------------------------- */

struct incoming {
	struct msg msg;
	struct actor_id link;
	unsigned index;
	bool adds;
	const char *theirs;
	char ours[]; /* NUL, theirs, NUL */
};

/* A stream of our own that is established carries on; what waits for one to be goes at once. */
ON_SHARD static void add_incoming(struct s2s_link *l, struct actor_id link)
{
	if (!actor_id_equal(l->incoming, link))
		leave_incoming(l);
	l->incoming = link;
	if (l->state == S2S_UP)
		return;
	if (l->state == S2S_RETRYING)
		enter(l, S2S_IDLE);
	turn_to_incoming(l);
}

static void incoming_run(struct msg *m)
{
	struct incoming *i = container_of(m, struct incoming, msg);
	uint32_t hash = pair_hash(i->ours, i->theirs);
	struct s2s_link *l;

	shard_check(NULL);
	l = i->adds && !is_stopping() ? find_or_make(hash, i->index, i->ours, i->theirs)
				      : find(own_home(), hash, i->index, i->ours, i->theirs);
	if (l && i->adds)
		add_incoming(l, i->link);
	else if (l)
		incoming_is_gone(l, i->link);
	if (l)
		settle(l);
	free(i);
}

static void post_incoming(const char *ours, const char *theirs, struct actor_id link, bool adds)
{
	size_t ours_len = strlen(ours) + 1, theirs_len = strlen(theirs) + 1;
	uint32_t hash = pair_hash(ours, theirs);

	for (unsigned index = 0; index < (uint64_t)s2s_conf()->max_connections; index++) {
		struct incoming *i = xmalloc(sizeof(*i) + ours_len + theirs_len);

		i->msg.run = incoming_run;
		i->link = link;
		i->index = index;
		i->adds = adds;
		memcpy(i->ours, ours, ours_len);
		i->theirs = memcpy(i->ours + ours_len, theirs, theirs_len);
		if (home_of(hash, index) == shard_self())
			i->msg.run(&i->msg); /* what is routed next finds it done */
		else
			shard_post(home_of(hash, index), &i->msg);
	}
}

void s2s_link_add(const char *ours, const char *theirs, struct actor_id link)
{
	REQUIRE(link.v);
	post_incoming(ours, theirs, link, true);
}

void s2s_link_remove(const char *ours, const char *theirs, struct actor_id link)
{
	post_incoming(ours, theirs, link, false);
}

/* --- for the operator, the start and the end ----------------------------------------------- */

/* Something to do with every link of every shard, one shard after the other. */
struct tour {
	struct errand errand;
	void (*fn)(struct s2s_link *l, struct tour *t);
	void (*look)(const struct s2s_link *l, void *arg);
	void *arg;
	const char *theirs;
	unsigned n;
};

static void tour_run(struct msg *m)
{
	struct tour *t = container_of(m, struct tour, errand.msg);
	struct s2s_link *l, *next;
	struct home *h;

	shard_check(NULL);
	h = own_home();
	h->touring = true;
	for (unsigned i = 0; i < BUCKETS; i++)
		cds_list_for_each_entry_safe (l, next, &h->buckets[i], in_bucket)
			t->fn(l, t);
	h->touring = false;
	errand_tell(&t->errand);
}

static void tour(struct tour *t)
{
	for (unsigned i = 0; i < shards_count(); i++)
		errand_wait(&t->errand, shard_at(i), tour_run);
}

static void show(struct s2s_link *l, struct tour *t)
{
	t->look(l, t->arg);
}

void s2s_each(void (*fn)(const struct s2s_link *l, void *arg), void *arg)
{
	tour(&(struct tour){ .fn = show, .look = fn, .arg = arg });
}

char *s2s_describe(const struct s2s_link *l)
{
	return opener->describe ? opener->describe(l->out) : xstrdup("");
}

unsigned s2s_unacked(const struct s2s_link *l)
{
	return l->out && opener->unacked ? opener->unacked(l->out) : 0;
}

/* Its queue gets an error, its way out ends by itself. */
ON_SHARD static void end_link(struct s2s_link *l, int error, const char *why)
{
	let_out_go(l);
	bounce_all(&l->queue, error, why);
	bounce_all(&l->returned, error, why);
	bounce_all(&l->held, error, why);
}

static void close_one(struct s2s_link *l, struct tour *t)
{
	shard_check(NULL);
	if ((t->theirs && strcmp(l->theirs, t->theirs)) || (!l->out && l->state == S2S_IDLE))
		return;
	t->n++;
	end_link(l, ERR_REMOTE_SERVER_TIMEOUT, "The connection to that server was closed.");
	settle(l);
}

unsigned s2s_close(const char *theirs)
{
	struct tour t = { .fn = close_one, .theirs = theirs };

	tour(&t);
	return t.n;
}

static void recheck_one(struct s2s_link *l, struct tour *t UNUSED)
{
	shard_check(NULL);
	if (l->state == S2S_RETRYING || !s2s_allowed(l->ours, l->theirs))
		end_link(l, ERR_NOT_ALLOWED, "This server does not speak with that one.");
	settle(l);
}

void s2s_recheck(void)
{
	tour(&(struct tour){ .fn = recheck_one });
}

int64_t s2s_count(void)
{
	return metric_value(&up_metric);
}

/* --- the start and the end ----------------------------------------------------------------- */

/* Something to do with what each shard has, one after the other. */
struct visit {
	struct errand errand;
	void (*fn)(struct home *h, const struct visit *v);
	struct s2s_found *found;
};

static void visit_run(struct msg *m)
{
	struct visit *v = container_of(m, struct visit, errand.msg);

	shard_check(NULL);
	v->fn(own_home(), v);
	errand_tell(&v->errand);
}

static void visit(struct visit *v)
{
	for (unsigned i = 0; i < shards_count(); i++)
		errand_wait(&v->errand, shard_at(i), visit_run);
}

static bool is_at_home(const struct stanza *s)
{
	uint32_t hash = pair_hash(jid_domain(s->from), jid_domain(s->to));

	return home_of(hash, index_of(s)) == shard_self();
}

static void pass_found(struct home *h UNUSED, const struct visit *v)
{
	shard_check(NULL);
	for (uint32_t i = 0; i < v->found->n; i++) {
		struct s2s_found_message *m = &v->found->at[i];

		if (!m->stanza || !is_at_home(m->stanza) || s2s_spool_passes(m->stanza))
			continue;
		stanza_unref(m->stanza);
		m->stanza = NULL;
	}
}

/* Their peers may have what was sent by them. */
static void restore_streams(struct home *h UNUSED, const struct visit *v)
{
	shard_check(NULL);
	for (uint32_t i = 0; opener->restore && i < v->found->n_streams; i++) {
		struct s2s_found_stream *f = &v->found->streams[i];
		uint32_t hash = pair_hash(f->what.ours, f->what.theirs);
		struct s2s_link *l;

		if (home_of(hash, f->what.index) != shard_self() ||
			!s2s_allowed(f->what.ours, f->what.theirs))
			continue;
		l = find_or_make(hash, f->what.index, f->what.ours, f->what.theirs);
		if (l && !l->out) {
			enter(l, S2S_UP);
			l->out = opener->restore(l, f, v->found);
		}
		if (l)
			settle(l);
	}
}

static void put_found_by(struct home *h, const struct visit *v)
{
	shard_check(NULL);
	for (uint32_t i = 0; i < v->found->n; i++) {
		struct stanza *s = v->found->at[i].stanza;

		if (s && is_at_home(s))
			s2s_queue_add(&h->put_by, s, false);
	}
}

void s2s_restore(void)
{
	struct s2s_found found;

	s2s_spool_take(&found);
	visit(&(struct visit){ .fn = pass_found, .found = &found });
	visit(&(struct visit){ .fn = restore_streams, .found = &found });
	visit(&(struct visit){ .fn = put_found_by, .found = &found });
	s2s_found_free(&found);
}

static void open_home(struct home *h, const struct visit *v UNUSED)
{
	struct s2s_queue all;
	struct s2s_waiting *w;

	shard_check(NULL);
	h->open = true;
	s2s_queue_move(&h->put_by, &all);
	while ((w = s2s_queue_take(&all))) {
		struct stanza *s = w->stanza;
		uint32_t hash = pair_hash(jid_domain(s->from), jid_domain(s->to));

		if (home_of(hash, index_of(s)) == shard_self())
			arrive(s, hash, index_of(s), ACTOR_NONE, TAKE_ACCEPTED);
		else
			route_again(s, ACTOR_NONE);
		s2s_waiting_free(w);
	}
}

static void begin_one(struct s2s_link *l, struct tour *t UNUSED)
{
	shard_check(NULL);
	if (l->out && opener->wanted)
		opener->wanted(l->out);
}

void s2s_start(void)
{
	atomic_store(&stopped, false);
	atomic_store(&stopping, false);
	tour(&(struct tour){ .fn = begin_one });
	visit(&(struct visit){ .fn = open_home });
}

static void stop_one(struct s2s_link *l, struct tour *t UNUSED)
{
	shard_check(NULL);
	end_link(l, ERR_REMOTE_SERVER_TIMEOUT, shutting_down);
	forget(own_home(), l);
}

static void close_home(struct home *h, const struct visit *v UNUSED)
{
	shard_check(NULL);
	h->open = false;
}

void s2s_pause(void)
{
	atomic_store(&stopping, true);
	visit(&(struct visit){ .fn = close_home });
	tour(&(struct tour){ .fn = stop_one });
}

/* What is in the spool stays here, too: links may carry again in this process. */
static void tell_rest(struct home *h, const struct visit *v UNUSED)
{
	shard_check(NULL);
	bounce_all(&h->put_by, ERR_REMOTE_SERVER_TIMEOUT, shutting_down);
}

void s2s_stop(void)
{
	atomic_store(&stopped, true);
	s2s_pause();
	visit(&(struct visit){ .fn = tell_rest });
}
