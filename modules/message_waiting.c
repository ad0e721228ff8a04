/* modules/message_waiting.c - what waits for an account, handed to a session of it: in the order in
 * which it came, page by page as the client takes it, in the account's lane. Readers are of the
 * session's shard, and one session has one at a time: who comes for more meanwhile is behind it. */
#include <stdlib.h>
#include <string.h>
#include <urcu/list.h>

#include "core/log.h"
#include "modules/datetime.h"
#include "modules/message_inside.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "xml/parser.h"

#define PAGE 200 /* messages handed out at once */
#define PAGE_BYTES (256u << 10) /* as they are stored; a page that has more ends there */
#define WAIT_MIN_MS 5 /* until the next page, when the client has not read this one */
#define WAIT_MAX_MS 1000

static struct metric handed_metric =
	METRIC_COUNTER("messages_handed_total", "Kept messages handed to a session.");

struct reader {
	struct cds_list_head node; /* of those of this shard, while it is its session's */
	struct reader *next; /* behind it */
	struct job job;
	struct host *host; /* counted */
	struct jid *bare; /* owned */
	struct actor_id session;
	bool holds; /* what comes for the session, from the second page on only messages */
	struct message_handing *handings; /* who waits for its end */
	enum message_wait up_to;
	uint64_t last; /* id of the last one handed out; only later ones are */
	int64_t account; /* 0: not known yet */
	/* The next page comes when the client has taken this one. */
	bool more;
	struct timer timer;
	unsigned wait_ms;
	unsigned n;
	struct stanza *at[PAGE]; /* one reference each */
};

/* ---- A page, on a job thread */

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

/* XEP-0359 §3: of a message that is in no archive there is no id; whoever sent it did not know. */
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
	size_t bytes;
	uint64_t last;
};

static int take_waiting(const struct message_found *m, void *arg)
{
	struct page *p = arg;
	struct reader *r = p->reader;
	struct stanza *s;

	p->last = m->id;
	if (parse_stanza(m->body, m->body_len, &body_limits, &s)) {
		log_error(
			"messages", "a stored message cannot be read", L_INT("id", (int64_t)m->id));
		return 0;
	}
	if (m->flags & MESSAGE_HIDDEN)
		drop_id(s, r->bare);
	add_delay(s, r->host, m->id);
	s->log_id = m->id;
	s->log_flags = MESSAGE_LOG_PUT | MESSAGE_LOG_WAITS;
	stanza_seal(s);
	r->at[r->n++] = s;
	p->bytes += m->body_len;
	return p->bytes > PAGE_BYTES;
}

static int take_page(struct db_tx *tx, void *arg)
{
	const struct page *p = arg;

	return message_db_take(tx, p->reader->account, p->reader->up_to, p->reader->last, p->last);
}

ON_JOB static void drop_page(struct reader *r)
{
	while (r->n)
		stanza_unref(r->at[--r->n]);
}

/* What cannot be read now waits for the next one to come. */
ON_JOB static void read_page(struct reader *r)
{
	struct page page = { r, 0, r->last };
	int n = message_db_waiting(
		db_main(), r->account, r->up_to, r->last, PAGE, take_waiting, &page);

	if (n > 0 && db_write(db_main(), take_page, &page) < 0)
		n = -1;
	if (n < 0)
		drop_page(r);
	r->more = n == PAGE || (n > 0 && page.bytes > PAGE_BYTES);
	r->last = page.last;
}

static void reader_work(struct job *j)
{
	struct reader *r = container_of(j, struct reader, job);
	struct account *a;

	job_check();
	r->more = false;
	if (!r->account && account_hold(r->host, r->bare, &a) == 0) {
		r->account = message_account(a);
		account_drop(a);
	}
	if (r->account)
		read_page(r);
}

/* ---- Readers of this shard */

ON_SHARD static struct cds_list_head *readers(void)
{
	static _Thread_local struct cds_list_head list;

	if (!list.next)
		CDS_INIT_LIST_HEAD(&list);
	return &list;
}

ON_SHARD static struct reader *reader_of(struct actor_id session)
{
	struct reader *r;

	cds_list_for_each_entry (r, readers(), node)
		if (actor_id_equal(r->session, session))
			return r;
	return NULL;
}

/* It may be sent messages: RFC 6121 §8.5.2.1.1. */
static bool is_ready(const struct session_entry *e)
{
	return e->available && e->priority >= 0;
}

ON_SHARD static bool is_there(const struct jid *bare, struct actor_id session)
{
	const struct sessions *all = directory_find(bare);

	for (unsigned i = 0; all && i < all->n; i++)
		if (actor_id_equal(all->at[i].id, session))
			return is_ready(&all->at[i]);
	return false;
}

static void answer(struct msg *m)
{
	struct message_handing *h = container_of(m, struct message_handing, back);

	shard_check(NULL);
	h->done(h);
}

ON_SHARD static void tell_handed(struct message_handing *h)
{
	struct message_handing *next;

	for (; h; h = next) {
		next = h->next;
		h->back.run = answer;
		shard_post(h->home, &h->back);
	}
}

ON_SHARD static void reader_begin(struct reader *r);

ON_SHARD static void reader_end(struct reader *r)
{
	struct reader *next = r->next;

	cds_list_del(&r->node);
	if (r->holds && !(next && next->holds))
		session_let_go(r->session);
	tell_handed(r->handings);
	host_unref(r->host);
	jid_free(r->bare);
	free(r);
	if (next)
		reader_begin(next);
}

ON_SHARD static void reader_begin(struct reader *r)
{
	cds_list_add(&r->node, readers());
	if (account_work(r->bare, &r->job))
		reader_end(r); /* what waits, waits for the next one */
}

/* The client has not taken the page yet. */
ON_SHARD static bool is_unread(const struct reader *r)
{
	struct actor *a = actor_find(r->session);

	return a && a->class->recipient->held_bytes &&
		a->class->recipient->held_bytes(a) > PAGE_BYTES;
}

static void look_whether_taken(struct timer *t)
{
	struct reader *r = container_of(t, struct reader, timer);

	shard_check(NULL);
	if (!is_there(r->bare, r->session)) {
		reader_end(r); /* what waits, waits for the next one */
	} else if (is_unread(r)) {
		r->wait_ms = r->wait_ms * 2 < WAIT_MAX_MS ? r->wait_ms * 2 : WAIT_MAX_MS;
		timer_set(&r->timer, r->wait_ms);
	} else if (account_work(r->bare, &r->job)) {
		reader_end(r);
	}
}

static void reader_done(struct job *j)
{
	struct reader *r = container_of(j, struct reader, job);

	shard_check(NULL);
	for (unsigned i = 0; i < r->n; i++) {
		deliver(r->session, r->at[i], DELIVER_SURE);
		stanza_unref(r->at[i]);
	}
	metric_add(&handed_metric, r->n);
	r->n = 0;
	if (!r->more) {
		reader_end(r);
		return;
	}
	if (r->holds)
		session_hold_only_messages(r->session);
	r->wait_ms = WAIT_MIN_MS;
	timer_set(&r->timer, r->wait_ms);
}

ON_SHARD static struct reader *reader_new(const struct session *ss)
{
	struct reader *r = xcalloc(1, sizeof(*r));

	metric_register(&handed_metric);
	r->host = host_ref(ss->host);
	r->bare = jid_bare(ss->jid, NULL);
	r->session = ss->id;
	r->last = UINT64_MAX;
	timer_init(&r->timer, look_whether_taken);
	r->job.work = reader_work;
	r->job.done = reader_done;
	return r;
}

/* Its reader hands out what is above that id, or the one behind it does. */
ON_SHARD static void have_read(const struct session *ss, enum message_wait up_to, uint64_t last,
	bool holds, struct message_handing *h)
{
	struct reader *now = reader_of(ss->id), *r = now ? now->next : NULL;

	if (!r)
		r = reader_new(ss);
	if (up_to > r->up_to)
		r->up_to = up_to;
	if (last < r->last)
		r->last = last;
	r->holds |= holds;
	if (h) {
		h->next = r->handings;
		r->handings = h;
	}
	if (now)
		now->next = r;
	else
		reader_begin(r);
}

void message_log_catch_up(struct session *ss, uint64_t oldest)
{
	session_hold(ss);
	have_read(ss,
		session_is_reading(ss, SESSION_READS_ARCHIVE) ? MESSAGE_FREE : MESSAGE_OFFERED,
		oldest ? oldest - 1 : 0, true, NULL);
}

/* ---- Asked for on other shards */

/* The best of those who may get messages now: RFC 6121 §8.5.2.1.1. */
struct actor_id message_somebody(const struct jid *bare)
{
	const struct sessions *all = directory_find(bare);
	const struct session_entry *best = NULL;

	for (unsigned i = 0; all && i < all->n; i++)
		if (is_ready(&all->at[i]) && (!best || all->at[i].priority > best->priority))
			best = &all->at[i];
	return best ? best->id : ACTOR_NONE;
}

/* That one has gone meanwhile: it is not in the directory any more. */
static void ask_again(struct msg *m)
{
	shard_check(NULL);
	message_hand_on(container_of(m, struct message_handing, back));
}

static void asked(struct actor *a, struct letter *l)
{
	struct message_handing *h = container_of(l, struct message_handing, letter);
	const struct session *ss = a ? a->class->recipient->session(a) : NULL;

	shard_check(NULL);
	if (ss && is_there(ss->jid, ss->id)) {
		have_read(ss, MESSAGE_FREE, h->from_id - 1, false, h);
		return;
	}
	h->back.run = ask_again;
	shard_post(h->home, &h->back);
}

void message_hand_on(struct message_handing *h)
{
	struct actor_id to = message_somebody(h->account);

	h->home = shard_self();
	if (!to.v) {
		h->done(h);
		return;
	}
	h->letter.to = to;
	h->letter.open = asked;
	letter_post(&h->letter);
}
