/* modules/message_absent.c - messages for accounts that are not there: judged in the account's
 * lane, and written with a row that says they wait. message_waiting.c hands them out. */
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

static struct metric kept_metric =
	METRIC_COUNTER("messages_kept_total", "Messages kept for accounts that were not there.");
static struct metric full_metric = METRIC_COUNTER("messages_refused_total",
	"Messages for absent accounts refused because too many waited already.");

/* ---- Who has messages under way on this shard */

/* An account, while messages for it are. */
struct behind {
	struct cds_list_head node;
	struct jid *bare; /* owned */
	unsigned n; /* messages, and handing */
	unsigned loading; /* of those, such as only wait for the account's data */
	struct message_handing handing; /* no account: none is under way */
	uint64_t next_id; /* from there another one after that; 0: none */
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

/* ---- Somebody has come meanwhile */

/* It waits since somebody is there, who may have looked before. */
ON_SHARD static void hand_on(struct behind *b, uint64_t id);

static void handed_on(struct message_handing *h)
{
	struct behind *b = container_of(h, struct behind, handing);
	uint64_t next = b->next_id;

	shard_check(NULL);
	b->handing.account = NULL;
	b->next_id = 0;
	if (next)
		hand_on(b, next);
	behind_end(b);
}

ON_SHARD static void hand_on(struct behind *b, uint64_t id)
{
	if (b->handing.account) {
		b->next_id = b->next_id && b->next_id < id ? b->next_id : id;
		return;
	}
	b->handing.account = b->bare;
	b->handing.from_id = id;
	b->handing.done = handed_on;
	b->n++;
	message_hand_on(&b->handing);
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
		if (message_somebody(a->stanza->to).v)
			hand_on(a->behind, a->stanza->log_id);
		else
			hook_run(a->host->hooks, &message_kept_hook,
				&(struct message_kept){ a->account, a->stanza });
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
