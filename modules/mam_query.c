/* modules/mam_query.c - requests to an archive: XEP-0313 §4 (queries), §5 (metadata), with the
 * pages of XEP-0059; mam_wanted.c reads what is asked for. A page is read in the key's order and no
 * further than it goes; how many there are in all is told where that is known without counting, and
 * counted for who asks for nothing else (XEP-0059 §2.7). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/spool.h"
#include "modules/datetime.h"
#include "modules/mam_inside.h"
#include "modules/mam_wanted.h"
#include "router/message.h"
#include "xml/parser.h"

#define PAGE_BYTES (1u << 20) /* of messages; a page that has more ends */

static struct metric sent_metric =
	METRIC_COUNTER("archive_messages_sent_total", "Archived messages sent to clients.");

struct query {
	struct account_request *request;
	struct mam_wanted wanted;
	const char *queryid; /* NULL: none */
	/* The page. */
	struct stanza **at; /* room for wanted.max */
	uint64_t *at_ids;
	unsigned n;
	size_t bytes;
	bool more; /* and there are further ones */
	uint64_t seen; /* id of the last row looked at */
};

/* ---- Whose */

ON_JOB static int find_archive(struct host *h, const struct jid *bare, int64_t *no)
{
	struct account *account;

	if (account_hold(h, bare, &account))
		return ERR_INTERNAL_SERVER_ERROR;
	*no = message_account(account);
	account_drop(account);
	return *no ? 0 : ERR_INTERNAL_SERVER_ERROR;
}

/* ---- The page */

/* Names that meet are told apart here. */
static bool is_with(const struct query *q, const struct stanza *s, uint32_t flags)
{
	const struct jid *with = q->wanted.range.with;
	const struct jid *peer = flags & MESSAGE_OUTGOING ? s->to : s->from;

	if (!with)
		return true;
	if (!peer)
		return false;
	return jid_is_full(with) ? jid_equal(with, peer) : jid_equal_bare(with, peer);
}

/* §3.5: what the other side's archive calls it, is for the other side. */
static void drop_others_id(struct stanza *s)
{
	const struct elem *next;

	for (const struct elem *e = elem_first(s->root); e; e = next) {
		const char *by = elem_is(e, "stanza-id", NS_SID) ? elem_attr(e, "by") : NULL;
		struct jid *who;

		next = elem_next(e);
		if (by && s->to && jid_parse(by, strlen(by), &s->arena, &who) == JID_OK &&
			jid_is_bare(who) && jid_equal_bare(who, s->to))
			stanza_drop_child(s, e);
	}
}

void mam_build_result(
	struct builder *b, const char *queryid, const struct message_found *m, struct stanza *s)
{
	char stamp[DATETIME_MAX];

	if (m->flags & MESSAGE_OUTGOING)
		drop_others_id(s);
	datetime_write(message_time_us(m->id), stamp);
	build_open(b, "result", NS_MAM);
	build_attr(b, "queryid", queryid);
	build_attr_int(b, "id", (int64_t)m->id);
	build_open(b, "forwarded", NS_FORWARD);
	build_open(b, "delay", NS_DELAY);
	build_attr(b, "stamp", stamp);
	build_close(b);
	build_copy(b, s->root);
	build_close(b);
	build_close(b);
}

static struct stanza *build_message(
	const struct query *q, const struct message_found *m, struct stanza *s)
{
	const struct stanza *request = q->request->stanza;
	struct builder b;

	build_begin(&b, "message", NS_CLIENT);
	build_attr_jid(&b, "from", request->to);
	build_attr_jid(&b, "to", request->from);
	mam_build_result(&b, q->queryid, m, s);
	return build_end(&b);
}

static const struct parser_limits body_limits = { SPOOL_RECORD_MAX, PARSER_DEPTH, UINT16_MAX };

/* One of the page, or the first one behind it. */
static int take_message(const struct message_found *m, void *arg)
{
	struct query *q = arg;
	struct stanza *s;

	q->seen = m->id;
	if (parse_stanza(m->body, m->body_len, &body_limits, &s)) {
		log_error(
			"archive", "a stored message cannot be read", L_INT("id", (int64_t)m->id));
		return 0;
	}
	if (is_with(q, s, m->flags)) {
		q->more = q->n == q->wanted.max || q->bytes > PAGE_BYTES;
		if (!q->more) {
			q->at_ids[q->n] = m->id;
			q->at[q->n++] = build_message(q, m, s);
			q->bytes += m->body_len;
		}
	}
	stanza_unref(s);
	return q->more;
}

/* Where names meet it takes several reads. */
ON_JOB static int read_range(struct query *q)
{
	struct message_range range = q->wanted.range;

	for (;;) {
		unsigned wanted = q->wanted.max - q->n + 1;
		int rows;

		if (range.first > range.last)
			return 0;
		rows = message_archive_find(db_main(), &range, wanted, take_message, q);
		if (rows < 0)
			return rows;
		if (q->more || (unsigned)rows < wanted)
			return 0;
		if (range.backwards)
			range.last = q->seen - 1;
		else
			range.first = q->seen + 1;
	}
}

ON_JOB static int read_each_id(struct query *q)
{
	for (unsigned i = 0; i < q->wanted.n_ids && !q->more; i++) {
		uint64_t id =
			q->wanted.ids[q->wanted.range.backwards ? q->wanted.n_ids - 1 - i : i];
		int found;

		if (id < q->wanted.range.first || id > q->wanted.range.last)
			continue;
		found = message_archive_get(
			db_main(), q->wanted.range.account, id, take_message, q);
		if (found < 0)
			return found;
	}
	return 0;
}

static void turn_around(struct query *q)
{
	for (unsigned i = 0, j = q->n - 1; q->n && i < j; i++, j--) {
		struct stanza *s = q->at[i];
		uint64_t id = q->at_ids[i];

		q->at[i] = q->at[j];
		q->at[j] = s;
		q->at_ids[i] = q->at_ids[j];
		q->at_ids[j] = id;
	}
}

/* In order of time; the session that gets them has received those that wait. */
ON_JOB static int note_waiting(struct query *q)
{
	uint64_t *waiting;
	int n, at = 0;

	if (!q->n)
		return 0;
	waiting = arena_alloc(&q->request->arena, q->n * sizeof(*waiting));
	n = message_archive_waiting(db_main(), q->wanted.range.account, q->at_ids[0],
		q->at_ids[q->n - 1], waiting, q->n);
	for (unsigned i = 0; i < q->n && at < n; i++) {
		while (at < n && waiting[at] < q->at_ids[i])
			at++;
		if (at < n && waiting[at] == q->at_ids[i]) {
			q->at[i]->log_id = q->at_ids[i];
			q->at[i]->log_flags = MESSAGE_LOG_PUT | MESSAGE_LOG_WAITS;
		}
	}
	return n;
}

ON_JOB static int read_page(struct query *q)
{
	struct arena *a = &q->request->arena;
	int error;

	q->at = arena_alloc(a, (q->wanted.max + 1) * sizeof(struct stanza *));
	q->at_ids = arena_alloc(a, (q->wanted.max + 1) * sizeof(*q->at_ids));
	error = q->wanted.by_ids ? read_each_id(q) : read_range(q);
	if (error < 0)
		return error;
	if (q->wanted.range.backwards)
		turn_around(q);
	error = note_waiting(q);
	return error < 0 ? error : 0;
}

/* ---- The answer */

static struct stanza *build_fin(const struct query *q, const struct rsm_page *page, bool complete)
{
	struct builder b;

	build_iq_result(&b, q->request->stanza);
	build_open(&b, "fin", NS_MAM);
	if (complete)
		build_attr(&b, "complete", "true");
	rsm_build(&b, page);
	build_close(&b);
	return build_end(&b);
}

/* XEP-0059 §2.7: no page is asked for, only how many there are. */
ON_JOB static int answer_count(struct query *q)
{
	struct rsm_page page = { .index = -1 };
	uint64_t first = q->wanted.range.first, last = q->wanted.range.last;

	if (q->wanted.by_ids)
		for (unsigned i = 0; i < q->wanted.n_ids; i++)
			page.count += q->wanted.ids[i] >= first && q->wanted.ids[i] <= last;
	else if (first <= last)
		page.count = message_archive_count(db_main(), &q->wanted.range);
	if (page.count < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	account_request_answer(q->request, build_fin(q, &page, page.count == 0));
	return 0;
}

ON_JOB static int answer_page(struct query *q)
{
	char first[MESSAGE_ID_TEXT_MAX + 1], last[MESSAGE_ID_TEXT_MAX + 1];
	struct rsm_page page = { .index = -1, .count = -1 };
	bool whole;

	if (read_page(q) < 0) {
		while (q->n)
			stanza_unref(q->at[--q->n]);
		return ERR_INTERNAL_SERVER_ERROR;
	}
	whole = !q->more && !q->wanted.rsm.after &&
		!(q->wanted.rsm.before && *q->wanted.rsm.before);
	if (whole)
		page.count = q->n;
	if (q->n) {
		snprintf(first, sizeof(first), "%" PRIu64, q->at_ids[0]);
		snprintf(last, sizeof(last), "%" PRIu64, q->at_ids[q->n - 1]);
		page.first = first;
		page.last = last;
		page.index = whole ? 0 : -1;
	}
	metric_add(&sent_metric, q->n);
	if (elem_child(q->request->payload, "flip-page", NS_MAM))
		turn_around(q);
	account_request_send(q->request, q->at, q->n);
	account_request_answer(q->request, build_fin(q, &page, !q->more));
	return 0;
}

int mam_query_set(struct account_request *r)
{
	struct query q = { .request = r, .queryid = elem_attr(r->payload, "queryid") };
	int64_t account;
	int error = find_archive(r->host, r->bare, &account);

	if (error)
		return error;
	if (elem_attr(r->payload, "node"))
		return ERR_ITEM_NOT_FOUND; /* an account's archive has none */
	message_log_settle();
	error = mam_wanted_read(r, account, &q.wanted);
	if (error)
		return error;
	return q.wanted.max ? answer_page(&q) : answer_count(&q);
}

/* ---- Instead of being handed what waits: §6.1.1 */

static int run_offer(struct db_tx *tx, void *account)
{
	return message_archive_offer(tx, *(int64_t *)account);
}

/* What waits now can be paged through by who has asked. */
ON_JOB static int offer(int64_t account)
{
	uint64_t any;
	int waiting = message_archive_waiting(db_main(), account, 0, INT64_MAX, &any, 1);

	return waiting > 0 ? db_write(db_main(), run_offer, &account) : waiting;
}

int mam_query_instead(struct account_request *r)
{
	int64_t account;
	int error = find_archive(r->host, r->bare, &account);

	if (error)
		return error;
	message_log_settle();
	return offer(account) < 0 ? ERR_INTERNAL_SERVER_ERROR : mam_query_set(r);
}

/* ---- What can be asked for: §4.1.5 */

int mam_query_get(struct account_request *r)
{
	struct builder b;

	build_iq_result(&b, r->stanza);
	build_open(&b, "query", NS_MAM);
	mam_wanted_build_form(&b);
	build_close(&b);
	account_request_answer(r, build_end(&b));
	return 0;
}

/* ---- The archive as a whole: §5 */

static void build_end_of(struct builder *b, const char *name, uint64_t id)
{
	char stamp[DATETIME_MAX];

	datetime_write(message_time_us(id), stamp);
	build_open(b, name, NULL);
	build_attr_int(b, "id", (int64_t)id);
	build_attr(b, "timestamp", stamp);
	build_close(b);
}

/* Adds the ends of the archive, if it has any. A negative errno: it cannot be read. */
ON_JOB static int build_ends(struct builder *b, int64_t account, const struct mam_conf *conf)
{
	uint64_t first, last;
	int found;

	message_log_settle();
	found = message_archive_ends(db_main(), account, mam_oldest_id(conf), &first, &last);
	if (found > 0) {
		build_end_of(b, "start", first);
		build_end_of(b, "end", last);
	}
	return found;
}

int mam_metadata_get(struct account_request *r)
{
	int64_t account;
	struct builder b;
	int error = find_archive(r->host, r->bare, &account);

	if (error)
		return error;
	build_iq_result(&b, r->stanza);
	build_open(&b, "metadata", NS_MAM);
	if (build_ends(&b, account, r->conf) < 0) {
		build_drop(&b);
		return ERR_INTERNAL_SERVER_ERROR;
	}
	build_close(&b);
	account_request_answer(r, build_end(&b));
	return 0;
}

struct stanza *mam_begin(struct host *h, const struct jid *bare, const struct mam_conf *conf)
{
	struct builder b;
	int64_t no;

	job_check();
	if (find_archive(h, bare, &no))
		return NULL;
	build_begin(&b, "metadata", NS_MAM);
	if (build_ends(&b, no, conf) < 0 || offer(no) < 0) {
		build_drop(&b);
		return NULL;
	}
	return build_end(&b);
}
