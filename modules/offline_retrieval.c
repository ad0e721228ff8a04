/* modules/offline_retrieval.c - clients that look at what waits for their account before they take
 * it, as with POP3: XEP-0013 (Flexible Offline Message Retrieval). A message's node is its id in
 * the log, with zeros before it so that nodes sort as messages do. As soon as a client has asked,
 * what waits is handed to nobody (offline.c), and it goes only when the client says so. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/spool.h"
#include "modules/datetime.h"
#include "modules/disco.h"
#include "modules/message_archive.h"
#include "modules/offline_inside.h"
#include "router/directory.h"
#include "xml/form.h"
#include "xml/parser.h"

#define PAGE 100 /* messages looked at, sent or removed at once */
#define NODE_BYTES 24

static struct metric requests_metric =
	METRIC_COUNTER("offline_requests_total", "Requests to look at what waits for an account.");

static void write_node(uint64_t id, char out[NODE_BYTES])
{
	snprintf(out, NODE_BYTES, "%019" PRIu64, id);
}

ON_JOB static int find_account(struct account_request *r, int64_t *no)
{
	struct account *account;

	if (account_hold(r->host, r->bare, &account))
		return ERR_INTERNAL_SERVER_ERROR;
	*no = message_account(account);
	account_drop(account);
	if (!*no)
		return ERR_INTERNAL_SERVER_ERROR;
	message_log_settle();
	return 0;
}

/* ---- What waits, page by page */

struct walk {
	struct account_request *request;
	uint64_t last;
	/* Of the page. */
	unsigned n;
	struct stanza *at[PAGE];
	uint64_t ids[PAGE];
};

static const struct parser_limits body_limits = { SPOOL_RECORD_MAX, PARSER_DEPTH, UINT16_MAX };

static int take_waiting(const struct message_found *m, void *arg)
{
	struct walk *w = arg;
	struct stanza *s;

	w->last = m->id;
	if (parse_stanza(m->body, m->body_len, &body_limits, &s)) {
		log_error(
			"offline", "a stored message cannot be read", L_INT("id", (int64_t)m->id));
		return 0;
	}
	w->ids[w->n] = m->id;
	w->at[w->n++] = s;
	return 0;
}

static void drop_page(struct walk *w)
{
	while (w->n)
		stanza_unref(w->at[--w->n]);
}

/* The next page; how many rows there were, or a negative errno. */
ON_JOB static int next_page(struct walk *w, int64_t account)
{
	uint64_t oldest = offline_oldest_id(w->request->conf);

	drop_page(w);
	if (w->last + 1 < oldest)
		w->last = oldest - 1;
	return message_db_waiting(
		db_main(), account, MESSAGE_OFFERED, w->last, PAGE, take_waiting, w);
}

/* §2.4: with its node, and the time when it came. */
static struct stanza *with_node(struct stanza *s, const struct host *h, uint64_t id)
{
	char stamp[DATETIME_MAX], node[NODE_BYTES];
	struct builder b;

	datetime_write(message_time_us(id), stamp);
	write_node(id, node);
	build_more(&b, s);
	build_open(&b, "delay", NS_DELAY);
	build_attr(&b, "from", h->name);
	build_attr(&b, "stamp", stamp);
	build_close(&b);
	build_open(&b, "offline", NS_OFFLINE);
	build_open(&b, "item", NULL);
	build_attr(&b, "node", node);
	build_close(&b);
	build_close(&b);
	stanza_seal(s);
	return s;
}

/* ---- How many, and their headers: §2.2, §2.3 */

ON_JOB static int answer_number(struct account_request *r)
{
	static const struct form_row number = { "number_of_messages", FORM_TEXT_SINGLE };
	char text[NODE_BYTES];
	struct builder b;
	int64_t account, n;
	int error = find_account(r, &account);

	if (error)
		return error;
	n = message_db_count_waiting(db_main(), account);
	if (n < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	snprintf(text, sizeof(text), "%" PRId64, n);
	build_iq_result(&b, r->stanza);
	build_open(&b, "query", NS_DISCO_INFO);
	build_attr(&b, "node", NS_OFFLINE);
	disco_identity(&b, "automation", "message-list", NULL);
	disco_feature(&b, NS_OFFLINE);
	form_open(&b, "result", NS_OFFLINE);
	form_result(&b, NULL, &number, text);
	build_close(&b);
	build_close(&b);
	account_request_answer(r, build_end(&b));
	return 0;
}

static void build_header(struct builder *b, const char *own, const struct stanza *s, uint64_t id)
{
	char from[JID_TEXT_MAX], node[NODE_BYTES];

	write_node(id, node);
	jid_write(s->from, from);
	disco_item(b, own, node, from);
}

ON_JOB static int answer_headers(struct account_request *r)
{
	struct walk *w;
	char own[JID_TEXT_MAX];
	int64_t account;
	struct builder b;
	int n, error = find_account(r, &account);

	if (error)
		return error;
	w = xcalloc(1, sizeof(*w));
	w->request = r;
	jid_write_bare(r->stanza->from, own);
	build_iq_result(&b, r->stanza);
	build_open(&b, "query", NS_DISCO_ITEMS);
	build_attr(&b, "node", NS_OFFLINE);
	while ((n = next_page(w, account)) > 0)
		for (unsigned i = 0; i < w->n; i++)
			if (w->at[i]->from)
				build_header(&b, own, w->at[i], w->ids[i]);
	drop_page(w);
	free(w);
	build_close(&b);
	if (n < 0) {
		build_drop(&b);
		return ERR_INTERNAL_SERVER_ERROR;
	}
	account_request_answer(r, build_end(&b));
	return 0;
}

/* ---- Taking them: §2.4, §2.6 */

ON_JOB static int answer_fetch(struct account_request *r)
{
	struct walk *w;
	int64_t account;
	int n, error = find_account(r, &account);

	if (error)
		return error;
	w = xcalloc(1, sizeof(*w));
	w->request = r;
	while ((n = next_page(w, account)) > 0) {
		for (unsigned i = 0; i < w->n; i++)
			with_node(w->at[i], r->host, w->ids[i]);
		account_request_send(r, w->at, w->n);
		w->n = 0; /* they are sent */
	}
	free(w);
	if (n < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	account_request_answer(r, NULL);
	return 0;
}

/* Nodes of a request's items, all with that action. */
struct nodes {
	int64_t account;
	unsigned n;
	uint64_t at[PAGE];
};

ON_JOB static int read_nodes(
	const struct account_request *r, const char *action, struct nodes *nodes)
{
	elem_each_child (r->payload, item) {
		const char *what = elem_attr(item, "action"), *node = elem_attr(item, "node");
		uint64_t any;

		if (!elem_is(item, "item", NS_OFFLINE) || !what || strcmp(what, action) || !node)
			return ERR_BAD_REQUEST;
		if (nodes->n == PAGE)
			return ERR_POLICY_VIOLATION;
		if (!message_id_read(node, &nodes->at[nodes->n]) ||
			message_archive_waiting(db_main(), nodes->account, nodes->at[nodes->n],
				nodes->at[nodes->n], &any, 1) <= 0)
			return ERR_ITEM_NOT_FOUND;
		nodes->n++;
	}
	return nodes->n ? 0 : ERR_BAD_REQUEST;
}

ON_JOB static int answer_view(struct account_request *r)
{
	struct nodes nodes = { 0 };
	struct walk *w;
	int error = find_account(r, &nodes.account);

	if (!error)
		error = read_nodes(r, "view", &nodes);
	if (error)
		return error;
	w = xcalloc(1, sizeof(*w));
	w->request = r;
	for (unsigned i = 0; i < nodes.n && !error; i++) {
		unsigned had = w->n;

		if (message_db_waiting(db_main(), nodes.account, MESSAGE_OFFERED, nodes.at[i] - 1,
			    1, take_waiting, w) < 0)
			error = ERR_INTERNAL_SERVER_ERROR;
		else if (w->n == had || w->ids[had] != nodes.at[i])
			error = ERR_ITEM_NOT_FOUND;
		else
			with_node(w->at[had], r->host, nodes.at[i]);
	}
	if (error)
		drop_page(w);
	else
		account_request_send(r, w->at, w->n);
	account_request_answer(r, NULL);
	free(w);
	return error;
}

/* ---- Removing them: §2.5, §2.7 */

static int run_removal(struct db_tx *tx, void *arg)
{
	const struct nodes *nodes = arg;
	int n = 0;

	for (unsigned i = 0; i < nodes->n && n >= 0; i++)
		n = message_db_received(tx, nodes->account, nodes->at[i]);
	return n;
}

ON_JOB static int answer_removal(struct account_request *r)
{
	struct nodes nodes = { 0 };
	int error = find_account(r, &nodes.account);

	if (!error)
		error = read_nodes(r, "remove", &nodes);
	if (error)
		return error;
	if (db_write(db_main(), run_removal, &nodes) < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	account_request_answer(r, NULL);
	return 0;
}

static int run_purge(struct db_tx *tx, void *account)
{
	return message_archive_give_up(tx, *(int64_t *)account, INT64_MAX, PAGE);
}

ON_JOB static int answer_purge(struct account_request *r)
{
	int64_t account;
	int n, error = find_account(r, &account);

	if (error)
		return error;
	do
		n = db_write(db_main(), run_purge, &account);
	while (n == PAGE);
	if (n < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	account_request_answer(r, NULL);
	return 0;
}

/* ---- Requests */

static account_request_fn *function_of(const struct iq *iq)
{
	const struct elem *first = elem_first(iq->payload);

	if (!elem_is(iq->payload, "offline", NS_OFFLINE) || !first)
		return NULL;
	if (elem_is(first, "item", NS_OFFLINE))
		return iq->set ? answer_removal : answer_view;
	if (elem_next(first))
		return NULL;
	if (elem_is(first, "fetch", NS_OFFLINE))
		return iq->set ? NULL : answer_fetch;
	return elem_is(first, "purge", NS_OFFLINE) && iq->set ? answer_purge : NULL;
}

int offline_iq(const struct iq *iq, struct builder *answer UNUSED)
{
	const struct session_entry *e = directory_find_full(iq->from);
	account_request_fn *run = function_of(iq);

	shard_check(NULL);
	metric_add(&requests_metric, 1);
	if (e && run && jid_equal_bare(iq->from, iq->to))
		session_reads((struct session *)e->session, SESSION_READS_OFFLINE);
	return run ? account_request_iq(iq, run) : ERR_BAD_REQUEST;
}

/* The node that a request of service discovery is about; NULL: it is none. */
static const char *node_of(const struct stanza *s, const struct elem **query)
{
	*query = s->kind == STANZA_IQ && s->type == IQ_GET ? stanza_iq_child(s) : NULL;
	if (!*query || ((*query)->ns != NS_DISCO_INFO && (*query)->ns != NS_DISCO_ITEMS))
		return NULL;
	return elem_attr(*query, "node");
}

/* For an account of this server; without an address, for the own one. */
static bool is_for_account(const struct jid *to)
{
	return !to || (to->local_len && jid_is_bare(to) && route_host(jid_domain(to)));
}

/* §2.2, §2.3: requests of service discovery that are about the account's messages. */
enum hook_next offline_asked(void *subject, void *arg)
{
	const struct session_packet *p = subject;
	struct stanza *s = p->stanza;
	const struct elem *query;
	const char *node = node_of(s, &query);
	int error = ERR_FORBIDDEN;

	shard_check(NULL);
	if (likely(!node) || strcmp(node, NS_OFFLINE) != 0 || !is_for_account(s->to))
		return HOOK_GO_ON;
	if (!s->to)
		stanza_set_to(s, jid_bare(p->session->jid, &s->arena));
	stanza_seal(s);
	metric_add(&requests_metric, 1);
	if (jid_equal_bare(s->to, p->session->jid)) {
		session_reads(p->session, SESSION_READS_OFFLINE);
		error = account_request(arg, p->session->id, s, query,
			query->ns == NS_DISCO_INFO ? answer_number : answer_headers);
	}
	if (error)
		route_error(s, error, NULL);
	return HOOK_STOP;
}
