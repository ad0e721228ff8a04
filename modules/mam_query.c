/* modules/mam_query.c - requests to an archive: XEP-0313 §4 (queries), §5 (metadata), with the
 * pages of XEP-0059. A page is read in the key's order and no further than it goes; how many there
 * are in all is told where that is known without counting, and counted for who asks for nothing
 * else (XEP-0059 §2.7). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/spool.h"
#include "modules/datetime.h"
#include "modules/mam_inside.h"
#include "modules/rsm.h"
#include "router/message.h"
#include "xml/form.h"
#include "xml/parser.h"

#define PAGE_BYTES (1u << 20) /* of messages; a page that has more ends */
#define IDS_MAX 1000 /* of one query */

static struct metric sent_metric =
	METRIC_COUNTER("archive_messages_sent_total", "Archived messages sent to clients.");

struct query {
	struct account_request *request;
	struct message_range range;
	uint64_t oldest; /* what is below is not there any more */
	struct rsm rsm;
	const char *queryid; /* NULL: none */
	uint64_t *ids; /* of the field `ids`, in order, each once */
	unsigned n_ids;
	bool by_ids;
	/* The page. */
	struct stanza **at; /* room for max */
	uint64_t *at_ids;
	unsigned n, max;
	size_t bytes;
	bool more; /* and there are further ones */
	uint64_t seen; /* id of the last row looked at */
};

/* ---- The request */

/* §4.1.3: it must be there. */
ON_JOB static int known_id(const struct query *q, const char *text, uint64_t *out)
{
	int found;

	if (!message_id_read(text, out) || *out < q->oldest)
		return ERR_ITEM_NOT_FOUND;
	found = message_archive_has(db_main(), q->range.account, *out);
	if (found < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	return found ? 0 : ERR_ITEM_NOT_FOUND;
}

ON_JOB static int begin_behind(struct query *q, const char *text)
{
	uint64_t id;
	int error = known_id(q, text, &id);

	if (!error && id + 1 > q->range.first)
		q->range.first = id + 1;
	return error;
}

ON_JOB static int end_before(struct query *q, const char *text)
{
	uint64_t id;
	int error = known_id(q, text, &id);

	if (!error && id - 1 < q->range.last)
		q->range.last = id - 1;
	return error;
}

static int read_with(struct query *q, const char *text)
{
	struct jid *with;

	if (jid_parse(text, strlen(text), &q->request->arena, &with) != JID_OK)
		return ERR_JID_MALFORMED;
	q->range.with = with;
	return 0;
}

/* §4.1.2: stamps are told to the millisecond, and so they are compared. */
static int read_start(struct query *q, const char *text)
{
	int64_t us;

	if (!datetime_read(text, &us))
		return ERR_BAD_REQUEST;
	if (us > 0 && message_first_id((us + 999) / 1000 * 1000) > q->range.first)
		q->range.first = message_first_id((us + 999) / 1000 * 1000);
	return 0;
}

static int read_end(struct query *q, const char *text)
{
	uint64_t last;
	int64_t us;

	if (!datetime_read(text, &us))
		return ERR_BAD_REQUEST;
	last = us < 0 ? 0 : message_first_id((us / 1000 + 1) * 1000) - 1;
	if (last < q->range.last)
		q->range.last = last;
	return 0;
}

/* There is no groupchat in accounts' archives, whatever is asked for. */
static int read_groupchat(const char *text)
{
	static const char *const booleans[] = { "true", "false", "1", "0" };

	for (unsigned i = 0; i < ARRAY_LEN(booleans); i++)
		if (strcmp(text, booleans[i]) == 0)
			return 0;
	return ERR_BAD_REQUEST;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

ON_JOB static int read_ids(struct query *q, const struct elem *form)
{
	struct arena *a = &q->request->arena;
	unsigned n;
	const char *const *texts = form_values(form, "ids", a, &n);

	if (!form_find(form, "ids"))
		return 0;
	if (n > IDS_MAX)
		return ERR_POLICY_VIOLATION;
	q->by_ids = true;
	q->ids = arena_alloc(a, (n + 1) * sizeof(*q->ids));
	for (unsigned i = 0; i < n; i++) {
		int error = known_id(q, texts[i], &q->ids[i]);

		if (error)
			return error;
	}
	qsort(q->ids, n, sizeof(*q->ids), compare_ids);
	for (unsigned i = 0; i < n; i++)
		if (!q->n_ids || q->ids[q->n_ids - 1] != q->ids[i])
			q->ids[q->n_ids++] = q->ids[i];
	return 0;
}

static const struct form_row fields[] = { { "with", FORM_JID_SINGLE },
	{ "start", FORM_TEXT_SINGLE }, { "end", FORM_TEXT_SINGLE },
	{ "before-id", FORM_TEXT_SINGLE }, { "after-id", FORM_TEXT_SINGLE },
	{ "include-groupchat", FORM_BOOLEAN }, { 0 } };
static const struct form_row ids_field = { "ids", FORM_LIST_MULTI };

static bool is_known(const char *var)
{
	if (!var)
		return false;
	for (const struct form_row *f = fields; f->var; f++)
		if (strcmp(var, f->var) == 0)
			return true;
	return strcmp(var, ids_field.var) == 0 || strcmp(var, "FORM_TYPE") == 0;
}

ON_JOB static int read_field(struct query *q, const char *var, const char *text)
{
	if (!*text)
		return ERR_BAD_REQUEST;
	if (strcmp(var, "with") == 0)
		return read_with(q, text);
	if (strcmp(var, "start") == 0)
		return read_start(q, text);
	if (strcmp(var, "end") == 0)
		return read_end(q, text);
	if (strcmp(var, "before-id") == 0)
		return end_before(q, text);
	if (strcmp(var, "after-id") == 0)
		return begin_behind(q, text);
	return read_groupchat(text);
}

ON_JOB static int read_form(struct query *q, const struct elem *form)
{
	struct arena *a = &q->request->arena;
	const char *type = form_text(form, "FORM_TYPE", a);
	int error = 0;

	if (!type || strcmp(type, NS_MAM) != 0)
		return ERR_BAD_REQUEST;
	elem_each_child (form, field)
		if (elem_is(field, "field", NS_DATA) && !is_known(elem_attr(field, "var")))
			return ERR_FEATURE_NOT_IMPLEMENTED; /* §4.1.5 */
	for (const struct form_row *f = fields; f->var && !error; f++) {
		const char *text = form_text(form, f->var, a);

		if (text)
			error = read_field(q, f->var, text);
	}
	return error ? error : read_ids(q, form);
}

ON_JOB static int read_pages(struct query *q)
{
	const struct mam_conf *conf = q->request->conf;
	struct arena *a = &q->request->arena;
	int error = rsm_read(elem_child(q->request->payload, "set", NS_RSM), a, &q->rsm);

	if (error)
		return error;
	q->max = (unsigned)(q->rsm.max < 0            ? conf->default_page
			: q->rsm.max < conf->max_page ? q->rsm.max
						      : conf->max_page);
	q->range.backwards = q->rsm.before != NULL;
	if (q->rsm.after)
		error = begin_behind(q, q->rsm.after);
	if (!error && q->rsm.before && *q->rsm.before)
		error = end_before(q, q->rsm.before);
	return error;
}

ON_JOB static int find_archive(struct account_request *r, int64_t *no)
{
	struct account *account;

	if (account_hold(r->host, r->bare, &account))
		return ERR_INTERNAL_SERVER_ERROR;
	*no = message_account(account);
	account_drop(account);
	return *no ? 0 : ERR_INTERNAL_SERVER_ERROR;
}

/* ---- The page */

/* Names that meet are told apart here. */
static bool is_with(const struct query *q, const struct stanza *s, uint32_t flags)
{
	const struct jid *with = q->range.with;
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
		q->more = q->n == q->max || q->bytes > PAGE_BYTES;
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
	struct message_range range = q->range;

	for (;;) {
		unsigned wanted = q->max - q->n + 1;
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
	for (unsigned i = 0; i < q->n_ids && !q->more; i++) {
		uint64_t id = q->ids[q->range.backwards ? q->n_ids - 1 - i : i];
		int found;

		if (id < q->range.first || id > q->range.last)
			continue;
		found = message_archive_get(db_main(), q->range.account, id, take_message, q);
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
	n = message_archive_waiting(
		db_main(), q->range.account, q->at_ids[0], q->at_ids[q->n - 1], waiting, q->n);
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

	q->at = arena_alloc(a, (q->max + 1) * sizeof(struct stanza *));
	q->at_ids = arena_alloc(a, (q->max + 1) * sizeof(*q->at_ids));
	error = q->by_ids ? read_each_id(q) : read_range(q);
	if (error < 0)
		return error;
	if (q->range.backwards)
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
	uint64_t first = q->range.first, last = q->range.last;

	if (q->by_ids)
		for (unsigned i = 0; i < q->n_ids; i++)
			page.count += q->ids[i] >= first && q->ids[i] <= last;
	else if (first <= last)
		page.count = message_archive_count(db_main(), &q->range);
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
	whole = !q->more && !q->rsm.after && !(q->rsm.before && *q->rsm.before);
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
	const struct elem *form = form_in(r->payload);
	struct query q = { .request = r, .queryid = elem_attr(r->payload, "queryid") };
	int error = find_archive(r, &q.range.account);

	if (error)
		return error;
	if (elem_attr(r->payload, "node"))
		return ERR_ITEM_NOT_FOUND; /* an account's archive has none */
	message_log_settle();
	q.range.first = q.oldest = mam_oldest_id(r->conf);
	q.range.last = INT64_MAX;
	error = form ? read_form(&q, form) : 0;
	if (!error)
		error = read_pages(&q);
	if (error)
		return error;
	return q.max ? answer_page(&q) : answer_count(&q);
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
	int error = find_archive(r, &account);

	if (error)
		return error;
	message_log_settle();
	return offer(account) < 0 ? ERR_INTERNAL_SERVER_ERROR : mam_query_set(r);
}

/* ---- What can be asked for: §4.1.5 */

static void build_fields(struct builder *b)
{
	for (const struct form_row *f = fields; f->var; f++) {
		form_field(b, NULL, f);
		build_close(b);
	}
	form_field(b, NULL, &ids_field);
	build_open(b, "validate", "http://jabber.org/protocol/xdata-validate");
	build_attr(b, "datatype", "xs:string");
	build_text(b, "open", NULL);
	build_close(b);
	build_close(b);
}

int mam_query_get(struct account_request *r)
{
	struct builder b;

	build_iq_result(&b, r->stanza);
	build_open(&b, "query", NS_MAM);
	form_open(&b, "form", NS_MAM);
	build_fields(&b);
	build_close(&b);
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
	int error = find_archive(r, &account);

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
	struct account *account;
	struct builder b;
	int64_t no;

	job_check();
	if (account_hold(h, bare, &account))
		return NULL;
	no = message_account(account);
	account_drop(account);
	if (!no)
		return NULL;
	build_begin(&b, "metadata", NS_MAM);
	if (build_ends(&b, no, conf) < 0 || offer(no) < 0) {
		build_drop(&b);
		return NULL;
	}
	return build_end(&b);
}
