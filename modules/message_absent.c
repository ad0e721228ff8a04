/* modules/message_absent.c - messages for accounts that are not there: judged in the account's
 * lane, written with a row that says they wait, and handed out in that lane when somebody comes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/list.h>

#include "core/log.h"
#include "modules/datetime.h"
#include "modules/message_inside.h"
#include "router/acks.h"
#include "router/auth.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "xml/parser.h"

#define PAGE 200 /* messages handed out at once */
#define PAGE_BYTES (256u << 10) /* as they are stored; a page that has more ends there */
#define WAIT_MIN_MS 5 /* until the next page, when the client has not read this one */
#define WAIT_MAX_MS 1000

static struct metric kept_metric =
	METRIC_COUNTER("messages_kept_total", "Messages kept for accounts that were not there.");
static struct metric full_metric = METRIC_COUNTER("messages_refused_total",
	"Messages for absent accounts refused because too many waited already.");
static struct metric handed_metric =
	METRIC_COUNTER("messages_handed_total", "Kept messages handed to a session.");

/* ---- Who has messages under way on this shard */

/* An account, while messages for it are. */
struct behind {
	struct cds_list_head node;
	struct jid *bare; /* owned */
	unsigned n; /* messages, and whoever hands them out */
	unsigned loading; /* of those, such as only wait for the account's data */
};
#define BUCKETS 256u

ON_SHARD static struct cds_list_head *bucket_of(const struct jid *j)
{
	static _Thread_local struct cds_list_head buckets[BUCKETS];
	struct cds_list_head *b = &buckets[j->bare_hash % BUCKETS];

	if (!b->next)
		CDS_INIT_LIST_HEAD(b);
	return b;
}

ON_SHARD static struct behind *behind_of(const struct jid *j)
{
	struct behind *b;

	cds_list_for_each_entry (b, bucket_of(j), node)
		if (jid_equal_bare(b->bare, j))
			return b;
	return NULL;
}

ON_SHARD static struct behind *behind_begin(const struct jid *j)
{
	struct behind *b = behind_of(j);

	if (!b) {
		b = xcalloc(1, sizeof(*b));
		b->bare = jid_bare(j, NULL);
		cds_list_add(&b->node, bucket_of(j));
	}
	b->n++;
	return b;
}

ON_SHARD static void behind_end(struct behind *b)
{
	if (--b->n)
		return;
	cds_list_del(&b->node);
	jid_free(b->bare);
	free(b);
}

/* ---- What is under way, by who has sent it */

/* Of a message; part of what carries it. */
struct underway {
	struct cds_list_head node; /* of those of this shard, in the order begun */
	const struct jid *from; /* the message's */
	uint64_t number;
	struct message_after *after; /* who waits for it */
};
static _Thread_local struct {
	struct cds_list_head all;
	uint64_t number; /* of the last one */
} under_way;

ON_SHARD static void underway_begin(struct underway *u, const struct stanza *s)
{
	if (!under_way.all.next)
		CDS_INIT_LIST_HEAD(&under_way.all);
	u->from = s->from;
	u->number = ++under_way.number;
	cds_list_add_tail(&u->node, &under_way.all);
	message_begun();
}

/* Behind one of those that were begun before; false: all have ended. */
ON_SHARD static bool wait_for_underway(struct message_after *a)
{
	struct underway *u;

	if (!under_way.all.next)
		return false;
	cds_list_for_each_entry (u, &under_way.all, node) {
		if (u->number > a->number)
			return false;
		if (!u->from || !jid_equal_bare(u->from, a->from))
			continue;
		a->next = u->after;
		u->after = a;
		return true;
	}
	return false;
}

ON_SHARD static void underway_end(struct underway *u)
{
	cds_list_del(&u->node);
	message_ended();
	for (struct message_after *a = u->after, *next; a; a = next) {
		next = a->next;
		if (!wait_for_underway(a))
			a->run(a);
	}
}

bool message_log_after_sent(const struct jid *from, struct message_after *a)
{
	a->from = from;
	a->number = under_way.number;
	return wait_for_underway(a);
}

/* ---- */

bool message_is_behind(const struct jid *to)
{
	const struct behind *b = behind_of(to);

	return b && b->n > b->loading;
}

bool message_is_loading(const struct jid *to)
{
	const struct behind *b = behind_of(to);

	return b && b->loading;
}

/* ---- Handing out what waits */

/* From the account's lane to the session that gets it. */
struct handed {
	struct msg msg;
	struct actor_id session;
	unsigned n;
	bool last; /* and then what was held meanwhile */
	struct stanza *at[PAGE];
};

static void handed_run(struct msg *m)
{
	struct handed *h = container_of(m, struct handed, msg);

	shard_check(NULL);
	for (unsigned i = 0; i < h->n; i++) {
		deliver(h->session, h->at[i], DELIVER_SURE);
		stanza_unref(h->at[i]);
	}
	metric_add(&handed_metric, h->n);
	if (h->last)
		session_let_go(h->session);
	free(h);
}

struct reader {
	struct job job;
	struct host *host; /* counted */
	struct jid *bare; /* owned */
	struct actor_id session; /* none: whoever is there */
	struct behind *behind; /* ended when all is handed out; NULL: none */
	enum message_wait up_to;
	uint64_t last; /* id of the last one handed out; only later ones are */
	int64_t account;
	/* With a session: the next page comes when it has sent this one. */
	bool more;
	struct timer timer;
	unsigned wait_ms;
};

static const struct parser_limits body_limits = { SPOOL_RECORD_MAX, PARSER_DEPTH, UINT16_MAX };

/* XEP-0203 §4 */
static void add_delay(struct stanza *s, const struct host *h, uint64_t id)
{
	char stamp[DATETIME_MAX];
	struct builder b;

	datetime_write(message_time_us(id), stamp);
	build_more(&b, s);
	build_open(&b, "delay", NS_DELAY);
	build_attr(&b, "from", h->name);
	build_attr(&b, "stamp", stamp);
	build_close(&b);
}

/* XEP-0359 §5: of a message that is in no archive there is no id; whoever sent it did not know. */
static void drop_id(struct stanza *s, const struct jid *bare)
{
	const struct elem *next;
	char own[JID_TEXT_MAX];

	jid_write(bare, own);
	for (const struct elem *e = elem_first(s->root); e; e = next) {
		const char *by = elem_is(e, "stanza-id", NS_SID) ? elem_attr(e, "by") : NULL;

		next = elem_next(e);
		if (by && strcmp(by, own) == 0)
			stanza_drop_child(s, e);
	}
}

struct page {
	struct reader *reader;
	struct handed *handed;
	size_t bytes;
};

static int take_waiting(const struct message_found *m, void *arg)
{
	struct page *p = arg;
	struct stanza *s;

	p->reader->last = m->id;
	if (parse_stanza(m->body, m->body_len, &body_limits, &s)) {
		log_error(
			"messages", "a stored message cannot be read", L_INT("id", (int64_t)m->id));
		return 0;
	}
	if (m->flags & MESSAGE_HIDDEN)
		drop_id(s, p->reader->bare);
	add_delay(s, p->reader->host, m->id);
	s->log_id = m->id;
	s->log_flags = MESSAGE_LOG_PUT | MESSAGE_LOG_WAITS;
	stanza_seal(s);
	p->handed->at[p->handed->n++] = s;
	p->bytes += m->body_len;
	return p->bytes > PAGE_BYTES;
}

static int take_page(struct db_tx *tx, void *arg)
{
	struct reader *r = arg;

	return message_db_take(tx, r->account, r->up_to, r->last);
}

/* The best of those who may get messages now; none: ACTOR_NONE. RFC 6121 §8.5.2.1.1. */
static struct actor_id somebody(const struct jid *bare)
{
	const struct sessions *all = directory_find(bare);
	struct actor_id best = ACTOR_NONE;
	int priority = -1;

	for (unsigned i = 0; all && i < all->n; i++)
		if (all->at[i].available && all->at[i].priority > priority) {
			best = all->at[i].id;
			priority = all->at[i].priority;
		}
	return best;
}

/* Reads a page; the shard of the session gets it, empty or not. False: there is no more. */
ON_JOB static bool hand_out_page(struct reader *r, struct actor_id to)
{
	struct handed *h = xcalloc(1, sizeof(*h));
	struct page page = { r, h, 0 };
	int n = message_db_waiting(
		db_main(), r->account, r->up_to, r->last, PAGE, take_waiting, &page);
	struct shard *there = actor_shard(to);
	bool more = n == PAGE || page.bytes > PAGE_BYTES;

	if (n > 0)
		n = db_write(db_main(), take_page, r) < 0 ? 0 : n;
	h->msg.run = handed_run;
	h->session = to;
	h->last = n <= 0 || !more;
	if (n <= 0) /* cannot be read now: they wait for the next one to come */
		while (h->n)
			stanza_unref(h->at[--h->n]);
	if (there)
		shard_post(there, &h->msg);
	else
		free(h);
	return n > 0 && more && there;
}

static void reader_work(struct job *j)
{
	struct reader *r = container_of(j, struct reader, job);
	struct actor_id to = r->session;
	struct account *a;

	job_check();
	if (!to.v)
		to = somebody(r->bare);
	if (!to.v)
		return;
	if (!r->account && account_hold(r->host, r->bare, &a) == 0) {
		r->account = message_account(a);
		account_drop(a);
	}
	do
		r->more = hand_out_page(r, to);
	while (r->more && !r->session.v);
}

ON_SHARD static void reader_free(struct reader *r)
{
	if (r->behind)
		behind_end(r->behind);
	host_unref(r->host);
	jid_free(r->bare);
	free(r);
}

static void look_whether_sent(struct timer *t)
{
	struct reader *r = container_of(t, struct reader, timer);
	struct actor *a;

	shard_check(NULL);
	a = actor_find(r->session);
	if (a && a->class->recipient->held_bytes &&
		a->class->recipient->held_bytes(a) > PAGE_BYTES) {
		r->wait_ms = r->wait_ms * 2 < WAIT_MAX_MS ? r->wait_ms * 2 : WAIT_MAX_MS;
		timer_set(&r->timer, r->wait_ms);
	} else if (!a || account_work(r->bare, &r->job)) {
		session_let_go(r->session); /* what waits, waits for the next one */
		reader_free(r);
	}
}

static void reader_done(struct job *j)
{
	struct reader *r = container_of(j, struct reader, job);

	shard_check(NULL);
	if (!r->more) {
		reader_free(r);
		return;
	}
	r->wait_ms = WAIT_MIN_MS;
	timer_set(&r->timer, r->wait_ms);
}

static struct reader *reader_new(struct host *h, const struct jid *account)
{
	struct reader *r = xcalloc(1, sizeof(*r));

	r->host = host_ref(h);
	r->bare = jid_bare(account, NULL);
	timer_init(&r->timer, look_whether_sent);
	r->job.work = reader_work;
	r->job.done = reader_done;
	return r;
}

ON_SHARD static void hand_out(struct reader *r)
{
	struct actor_id session = r->session;

	if (account_work(r->bare, &r->job)) {
		if (session.v)
			session_let_go(session); /* what waits, waits for the next one */
		reader_free(r);
	}
}

void message_log_catch_up(struct session *ss, uint64_t oldest)
{
	struct reader *r = reader_new(ss->host, ss->jid);

	metric_register(&handed_metric);
	r->session = ss->id;
	r->last = oldest ? oldest - 1 : 0;
	r->up_to = session_is_reading(ss, SESSION_READS_ARCHIVE) ? MESSAGE_FREE : MESSAGE_OFFERED;
	session_hold(ss);
	hand_out(r);
}

/* It waits since somebody has come, who looked before. What waits from before is theirs to ask for.
 */
ON_SHARD static void hand_on(struct host *h, const struct stanza *s, struct behind *behind)
{
	struct reader *r = reader_new(h, s->to);

	r->up_to = MESSAGE_FREE;
	r->last = s->log_id - 1;
	r->behind = behind;
	hand_out(r);
}

HOOK(message_kept);

/* ---- A message for somebody who is not there */

struct absent {
	struct message_keeping keeping;
	struct underway underway;
	struct job job;
	struct host *host; /* counted */
	struct account *account; /* counted; NULL: it could not be had */
	struct stanza *stanza; /* one reference */
	struct buf *wire; /* NULL: not to be written */
	struct behind *behind;
	struct spool_record *record; /* of when somebody was there; NULL: none */
	struct spool_record *spooled; /* until it is written; NULL: its sender is not told */
	struct ack_ticket ticket; /* of its sender */
	int error; /* enum stanza_error; 0: it is kept; -1: dropped without a word */
};

ON_SHARD static void absent_free(struct absent *a)
{
	underway_end(&a->underway);
	message_spool_mark(a->record, MESSAGE_SPOOL_TAKEN);
	message_spool_mark(a->spooled, MESSAGE_SPOOL_WRITTEN);
	ack_complete(a->ticket);
	if (a->behind)
		behind_end(a->behind);
	buf_unref(a->wire);
	account_drop(a->account);
	host_unref(a->host);
	stanza_unref(a->stanza);
	free(a);
}

/* What the account's modules say of it: an enum stanza_error, -1 or 0. */
ON_JOB static int judge(struct absent *a, const struct account *account)
{
	struct message_question q = {
		.host = a->host,
		.account = account,
		.stanza = a->stanza,
		.peer = a->stanza->from,
	};
	unsigned worth = message_worth(a->stanza);
	uint32_t flags = 0;
	int refused = account_admits(a->host, account, a->stanza);

	if (refused)
		return refused;
	if (!message_account(account))
		return ERR_SERVICE_UNAVAILABLE;
	if (!(worth & MESSAGE_WORTH_ARCHIVE) ||
		hook_run(a->host->hooks, &archive_message_hook, &q) == HOOK_GO_ON)
		flags |= MESSAGE_HIDDEN;
	if (worth & MESSAGE_WORTH_KEEPING &&
		hook_run(a->host->hooks, &keep_message_hook, &q) == HOOK_STOP)
		flags |= MESSAGE_WAITING;
	a->keeping.row.max_waiting = q.max_waiting;
	message_fill_receiver(&a->keeping.row, message_account(account), a->stanza, flags);
	return flags == MESSAGE_HIDDEN ? ERR_SERVICE_UNAVAILABLE : 0;
}

ON_JOB static int judge_account(struct absent *a, const struct jid *bare)
{
	struct auth_account found;
	int error = auth_find(a->host, jid_local(bare), &found);

	if (!error)
		error = account_hold(a->host, bare, &a->account);
	if (error > 0)
		return ERR_SERVICE_UNAVAILABLE; /* RFC 6121 §8.5.1 */
	if (error)
		return ERR_RESOURCE_CONSTRAINT;
	return judge(a, a->account);
}

static void absent_work(struct job *j)
{
	struct absent *a = container_of(j, struct absent, job);
	struct jid *bare = jid_bare(a->stanza->to, NULL);

	job_check();
	a->error = judge_account(a, bare);
	jid_free(bare);
}

static void absent_written(struct message_keeping *k, int error)
{
	struct absent *a = container_of(k, struct absent, keeping);
	shard_check(NULL);
	if (error) {
		route_error(
			a->stanza, ERR_RESOURCE_CONSTRAINT, "Messages cannot be stored just now.");
	} else if (k->row.full) {
		metric_add(&full_metric, 1);
		route_error(a->stanza, ERR_SERVICE_UNAVAILABLE, NULL); /* XEP-0160 §2 */
	} else if (k->row.entries[1].flags & MESSAGE_WAITING) {
		metric_add(&kept_metric, 1);
		if (somebody(a->stanza->to).v) {
			hand_on(a->host, a->stanza, a->behind);
			a->behind = NULL;
		} else {
			hook_run(a->host->hooks, &message_kept_hook,
				&(struct message_kept){ a->account, a->stanza });
		}
	}
	absent_free(a);
}

/* What its sender will be told of must not be sent again when the process is killed before that.
 * False: there is no room. */
ON_SHARD static bool spool(struct absent *a)
{
	if (!a->ticket.session.v)
		return true;
	a->spooled = message_spool_row(&a->keeping.row, a->stanza, MESSAGE_SPOOL_TAKEN);
	if (a->spooled)
		ack_keep(a->ticket, a->spooled);
	return a->spooled != NULL;
}

static void absent_done(struct job *j)
{
	struct absent *a = container_of(j, struct absent, job);
	struct stanza *s = a->stanza;

	shard_check(NULL);
	if (!a->error && message_writing_fails())
		a->error = ERR_RESOURCE_CONSTRAINT;
	if (a->error) {
		if (a->error > 0)
			route_error(s, a->error, NULL);
		absent_free(a);
		return;
	}
	a->wire = stanza_wire(s);
	a->keeping.row.id = s->log_id;
	a->keeping.row.body = a->wire->data;
	a->keeping.row.body_len = a->wire->len;
	a->keeping.done = absent_written;
	a->keeping.refusable = true;
	if (!spool(a)) {
		route_error(s, ERR_RESOURCE_CONSTRAINT, NULL);
		absent_free(a);
		return;
	}
	message_write(&a->keeping);
}

/* Of a message that is routed once more: it goes with it when it is not stored yet after that. */
static _Thread_local struct ack_ticket *held_ticket;

ON_SHARD static struct ack_ticket take_ticket(void)
{
	struct ack_ticket taken = held_ticket ? *held_ticket : ack_begin();

	if (held_ticket)
		held_ticket->session = ACTOR_NONE;
	held_ticket = NULL;
	return taken;
}

void message_for_absent(struct host *h, struct stanza *s)
{
	struct absent *a = xcalloc(1, sizeof(*a));

	metric_register(&kept_metric);
	metric_register(&full_metric);
	underway_begin(&a->underway, s);
	a->host = host_ref(h);
	a->stanza = stanza_ref(s);
	if (!(s->log_flags & MESSAGE_LOG_PUT))
		message_fill_sender(&a->keeping.row, s); /* who may be gone before it is judged */
	a->behind = behind_begin(s->to);
	a->record = message_give_up_record(s);
	a->ticket = take_ticket();
	a->job.work = absent_work;
	a->job.done = absent_done;
	if (account_work(s->to, &a->job) == 0)
		return;
	route_error(s, ERR_RESOURCE_CONSTRAINT, NULL);
	absent_free(a);
}

/* ---- A message for somebody whose account is being loaded */

struct late {
	struct job job;
	struct underway underway;
	struct stanza *stanza; /* one reference */
	struct behind *behind;
	struct ack_ticket ticket; /* of its sender */
};

/* The account is loaded in its lane, and this is behind it. */
static void late_work(struct job *j UNUSED)
{
	job_check();
}

static void late_done(struct job *j)
{
	struct late *l = container_of(j, struct late, job);

	shard_check(NULL);
	l->behind->loading--;
	behind_end(l->behind);
	l->stanza->log_flags |= MESSAGE_LOG_LATE;
	held_ticket = &l->ticket;
	route(stanza_ref(l->stanza));
	held_ticket = NULL;
	ack_complete(l->ticket); /* it is in the spool; or the ticket has gone with it */
	underway_end(&l->underway);
	stanza_unref(l->stanza);
	free(l);
}

void message_when_loaded(struct stanza *s)
{
	struct late *l = xcalloc(1, sizeof(*l));

	underway_begin(&l->underway, s);
	l->job.work = late_work;
	l->job.done = late_done;
	l->stanza = stanza_ref(s);
	l->behind = behind_begin(s->to);
	l->behind->loading++;
	l->ticket = ack_begin();
	if (account_work(s->to, &l->job))
		late_done(&l->job); /* too much waits there: then nobody is loaded soon */
}
