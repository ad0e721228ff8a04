/* modules/adhoc.c - requests for commands, their sessions, and how they are found: XEP-0050. */
#include "modules/adhoc.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <urcu/list.h>

#include "core/clock.h"
#include "modules/disco.h"
#include "modules/module.h"

HOOK(adhoc);

#define SESSIONS_MAX 1000 /* of one host */
#define ID_ROOM 17

struct adhoc_conf {
	bool report_commands_node;
	int64_t session_timeout; /* ms */
	int64_t max_sessions;
};
static const struct conf_item adhoc_items[] = {
	{ "report_commands_node", CONF_BOOL, FIELD(struct adhoc_conf, report_commands_node, bool),
		.preset = "false",
		.help = "List the commands as an item of the server (disco#items), too." },
	{ "session_timeout", CONF_TIME, FIELD(struct adhoc_conf, session_timeout, int64_t),
		.preset = "10 min", .min = 1000, .max = 86400000,
		.help = "A command with a form is forgotten when nothing was sent in for so "
			"long." },
	{ "max_sessions", CONF_INT, FIELD(struct adhoc_conf, max_sessions, int64_t), .preset = "10",
		.min = 1, .max = SESSIONS_MAX, .unit = "commands",
		.help = "Commands that one client may have begun at once." },
	{ 0 }
};

static struct metric run_metric =
	METRIC_COUNTER("adhoc_commands_total", "Ad-hoc commands completed.");
static struct metric refused_metric = METRIC_COUNTER(
	"adhoc_refused_total", "Requests for ad-hoc commands that were refused, for any reason.");

/* ---- Sessions: of commands that wait for a form */

struct session_row {
	struct cds_list_head at; /* in order of the end */
	char id[ID_ROOM];
	struct jid *owner; /* full; owned */
	const struct adhoc_command *command;
	const char *lang;
	unsigned stage;
	void *data; /* owned, by free */
	void (*free)(void *data);
	uint64_t until_ms;
};
/* Of one host; looked at by job threads only, so a lock does. */
struct session_table {
	pthread_mutex_t lock;
	struct cds_list_head rows;
	unsigned n;
};

static void row_free(struct session_row *r)
{
	if (r->data && r->free)
		r->free(r->data);
	jid_free(r->owner);
	free(r);
}

static void unlink_row(struct session_table *t, struct session_row *r)
{
	cds_list_del(&r->at);
	t->n--;
}

static void drop_expired(struct session_table *t)
{
	struct session_row *r, *next;

	cds_list_for_each_entry_safe (r, next, &t->rows, at) {
		if (r->until_ms > clock_ms())
			continue;
		unlink_row(t, r);
		row_free(r);
	}
}

/* Taken out, so that nobody else goes on with it meanwhile; NULL: there is none any more. */
static struct session_row *sessions_take(
	struct session_table *t, const char *id, const struct jid *owner)
{
	struct session_row *r, *found = NULL;

	pthread_mutex_lock(&t->lock);
	drop_expired(t);
	cds_list_for_each_entry (r, &t->rows, at)
		if (strcmp(r->id, id) == 0 && jid_equal(r->owner, owner)) {
			found = r;
			unlink_row(t, r);
			break;
		}
	pthread_mutex_unlock(&t->lock);
	return found;
}

/* Takes r. false: there are too many. */
static bool sessions_put(struct session_table *t, struct session_row *r, int64_t max)
{
	struct session_row *other;
	int64_t own = 0;

	pthread_mutex_lock(&t->lock);
	drop_expired(t);
	cds_list_for_each_entry (other, &t->rows, at)
		own += jid_equal(other->owner, r->owner);
	if (own < max && t->n < SESSIONS_MAX) {
		cds_list_add_tail(&r->at, &t->rows);
		t->n++;
		r = NULL;
	}
	pthread_mutex_unlock(&t->lock);
	if (r)
		row_free(r);
	return !r;
}

static struct session_row *row_new(const struct iq *iq, const struct adhoc_command *command)
{
	const char *lang = elem_attr_ns(iq->payload, "lang", NS_XML);
	struct session_row *r = xcalloc(1, sizeof(*r));
	uint64_t id;

	REQUIRE(getrandom(&id, sizeof(id), 0) == sizeof(id));
	snprintf(r->id, sizeof(r->id), "%016" PRIx64, id);
	r->owner = jid_dup(iq->from, NULL);
	r->command = command;
	r->lang = lang_pick(lang, stanza_lang(iq->stanza));
	return r;
}

/* ---- Which commands there are */

struct adhoc_search {
	struct host *host;
	const struct jid *from;
	const char *node; /* NULL: all that are allowed */
	void (*listed)(const struct adhoc_command *c, void *arg); /* with node NULL */
	void *listed_arg;
	/* What was found of that node. */
	const struct adhoc_command *command;
	bool allowed;
	void *arg;
};

void adhoc_offer(struct adhoc_search *s, const struct adhoc_command *commands, unsigned n,
	bool allowed, void *arg)
{
	for (unsigned i = 0; i < n; i++) {
		if (!s->node && allowed)
			s->listed(&commands[i], s->listed_arg);
		if (!s->node || s->command || strcmp(s->node, commands[i].node) != 0)
			continue;
		s->command = &commands[i];
		s->allowed = allowed;
		s->arg = arg;
	}
}

struct host *adhoc_search_host(const struct adhoc_search *s)
{
	return s->host;
}

const struct jid *adhoc_search_from(const struct adhoc_search *s)
{
	return s->from;
}

static struct adhoc_search search(struct host *h, const struct jid *from, const char *node)
{
	struct adhoc_search s = { .host = h, .from = from, .node = node };

	hook_run(h->hooks, &adhoc_hook, &s);
	return s;
}

/* ---- One step */

void adhoc_ways(struct adhoc *a, unsigned ways)
{
	static const char *const names[] = {
		[ADHOC_PREV] = "prev", [ADHOC_NEXT] = "next", [ADHOC_COMPLETE] = "complete"
	};
	static const enum adhoc_action order[] = { ADHOC_PREV, ADHOC_NEXT, ADHOC_COMPLETE };
	const char *last = NULL;

	build_open(a->answer, "actions", NULL);
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (ways & 1u << order[i]) {
			last = names[order[i]];
			build_text(a->answer, last, NULL);
		}
	build_attr(a->answer, "execute", last);
	build_close(a->answer);
}

void adhoc_note(struct adhoc *a, const char *type, const char *text)
{
	build_open(a->answer, "note", NULL);
	build_attr(a->answer, "type", type);
	build_cdata(a->answer, text, strlen(text));
	build_close(a->answer);
}

/* A table's form: the command's first. */
static void send_first_form(struct adhoc *a)
{
	const struct adhoc_command *c = a->command;

	adhoc_ways(a, 1u << ADHOC_COMPLETE);
	form_open_titled(a->answer, "form", c->form_type, a->lang, c->name, c->instructions);
	for (const struct form_row *row = c->fields; row->var; row++) {
		const char *preset = c->preset ? c->preset(a, row) : NULL;

		form_field(a->answer, a->lang, row);
		if (preset && (row->type == FORM_TEXT_MULTI || row->type == FORM_JID_MULTI))
			form_lines(a->answer, preset);
		else if (preset)
			form_value(a->answer, preset);
		build_close(a->answer);
	}
	build_close(a->answer);
}

static int step(struct adhoc *a)
{
	const struct adhoc_command *c = a->command;
	bool first = !a->form && c->fields && a->stage == 0;
	const struct form_row *missing;

	if (first) {
		send_first_form(a);
		return ADHOC_MORE;
	}
	if (a->stage == 0 && c->fields) {
		missing = form_missing(a->form, c->fields, a->arena);
		if (missing) {
			a->problem = missing->label;
			return ADHOC_WRONG;
		}
	}
	return c->run(a);
}

/* ---- Requests */

/* §4.4: with the condition of this protocol, if there is one. Of the request, only what clients
 * know it by: the form may hold a password. */
static int refuse(const struct iq *iq, int cond, const char *specific, const char *text)
{
	struct builder b;

	build_answer(&b, iq->stanza, "error");
	build_open(&b, "command", NS_COMMANDS);
	build_attr(&b, "node", elem_attr(iq->payload, "node"));
	build_attr(&b, "sessionid", elem_attr(iq->payload, "sessionid"));
	build_close(&b);
	build_error_open(&b, iq->stanza, cond, text);
	if (specific) {
		build_open(&b, specific, NS_COMMANDS);
		build_close(&b);
	}
	build_close(&b);
	metric_add(&refused_metric, 1);
	route_post(build_end(&b));
	return IQ_LATER;
}

#define ADHOC_CANCEL 4 /* beside enum adhoc_action */

/* -1: nobody knows this word. */
static int read_action(const struct elem *command)
{
	static const char *const words[] = { [ADHOC_EXECUTE] = "execute",
		[ADHOC_NEXT] = "next",
		[ADHOC_PREV] = "prev",
		[ADHOC_COMPLETE] = "complete",
		[ADHOC_CANCEL] = "cancel" };
	const char *given = elem_attr(command, "action");

	if (!given)
		return ADHOC_EXECUTE;
	for (int i = 0; i < (int)ARRAY_LEN(words); i++)
		if (strcmp(words[i], given) == 0)
			return i;
	return -1;
}

static void begin_command(struct builder *answer, const struct session_row *r)
{
	build_open(answer, "command", NS_COMMANDS);
	build_attr(answer, "node", r->command->node);
	build_attr(answer, "sessionid", r->id);
	build_attr_ns(answer, "lang", NS_XML, r->lang);
}

static void end_command(struct builder *answer, const char *status)
{
	build_attr(answer, "status", status);
	build_close(answer);
}

static int keep(const struct iq *iq, struct session_table *t, struct session_row *r)
{
	const struct adhoc_conf *conf = iq_conf(iq);

	r->until_ms = clock_ms() + (uint64_t)conf->session_timeout;
	return sessions_put(t, r, conf->max_sessions) ? 0 : ERR_RESOURCE_CONSTRAINT;
}

/* One step of the command that r stands for, which it takes. */
static int go_on(const struct iq *iq, struct builder *answer, struct session_row *r,
	enum adhoc_action action, void *arg)
{
	struct module_instance *mi = iq->arg;
	struct session_table *t = mi->data;
	char first[2048];
	struct arena arena;
	struct adhoc a = { .iq = iq,
		.host = iq->host,
		.command = r->command,
		.arg = arg,
		.lang = r->lang,
		.arena = &arena,
		.action = action,
		.form = form_in(iq->payload),
		.answer = answer,
		.stage = r->stage,
		.data = r->data,
		.free = r->free };
	int result;

	arena_init(&arena, first, sizeof(first));
	begin_command(answer, r);
	result = step(&a);
	r->stage = a.stage;
	r->data = a.data;
	r->free = a.free;
	if (result == ADHOC_MORE) {
		end_command(answer, "executing");
		result = keep(iq, t, r);
		if (result)
			result = refuse(iq, result, NULL, NULL);
	} else if (result == ADHOC_WRONG) { /* to be filled in again */
		result = keep(iq, t, r);
		result = refuse(iq, result ? result : ERR_BAD_REQUEST,
			result ? NULL : "bad-payload", a.problem);
	} else {
		row_free(r);
		if (result > 0) {
			result = refuse(iq, result, NULL, a.problem);
		} else {
			end_command(answer, "completed");
			metric_add(&run_metric, 1);
		}
	}
	arena_fini(&arena);
	return result;
}

static bool may_be_id(const char *id)
{
	return strlen(id) == ID_ROOM - 1 && strspn(id, "0123456789abcdef") == ID_ROOM - 1;
}

/* Of a command that has begun. Takes r. */
static int answer_session(const struct iq *iq, struct builder *answer, struct session_row *r,
	int action, const struct adhoc_search *s)
{
	struct module_instance *mi = iq->arg;

	if (s->command != r->command) {
		keep(iq, mi->data, r);
		return refuse(iq, ERR_BAD_REQUEST, "bad-sessionid", NULL);
	}
	if (action == ADHOC_CANCEL) { /* §3.5 */
		begin_command(answer, r);
		end_command(answer, "canceled");
		row_free(r);
		return 0;
	}
	if (action == ADHOC_PREV && r->stage == 0) {
		keep(iq, mi->data, r);
		return refuse(iq, ERR_BAD_REQUEST, "bad-action", NULL);
	}
	return go_on(iq, answer, r, (enum adhoc_action)action, s->arg);
}

static int adhoc_set(const struct iq *iq, struct builder *answer)
{
	const char *node = elem_attr(iq->payload, "node");
	const char *id = elem_attr(iq->payload, "sessionid");
	int action = read_action(iq->payload);
	struct module_instance *mi = iq->arg;
	struct session_row *r = NULL;
	struct adhoc_search s;

	job_check();
	if (!elem_is(iq->payload, "command", NS_COMMANDS) || !node)
		return refuse(iq, ERR_BAD_REQUEST, NULL, NULL);
	s = search(iq->host, iq->from, node);
	if (!s.command)
		return refuse(iq, ERR_ITEM_NOT_FOUND, NULL, NULL);
	if (!s.allowed)
		return refuse(iq, ERR_FORBIDDEN, NULL, NULL);
	if (action < 0)
		return refuse(iq, ERR_BAD_REQUEST, "malformed-action", NULL);
	if (!id) {
		if (action != ADHOC_EXECUTE)
			return refuse(iq, ERR_BAD_REQUEST, "bad-action", NULL);
		return go_on(iq, answer, row_new(iq, s.command), ADHOC_EXECUTE, s.arg);
	}
	if (!may_be_id(id))
		return refuse(iq, ERR_BAD_REQUEST, "bad-sessionid", NULL);
	r = sessions_take(mi->data, id, iq->from);
	if (!r)
		return refuse(iq, ERR_NOT_ALLOWED, "session-expired", NULL);
	return answer_session(iq, answer, r, action, &s);
}

/* ---- How they are found: §3.1, §3.2 */

struct item_list {
	struct builder *answer;
	const char *host, *lang;
};

static void list_command(const struct adhoc_command *c, void *arg)
{
	struct item_list *l = arg;

	disco_item(l->answer, l->host, c->node, tr(l->lang, c->name));
}

static enum hook_next add_items(void *subject, void *arg)
{
	const struct adhoc_conf *conf = module_conf(arg);
	struct disco_query *q = subject;
	const char *lang = stanza_lang(q->iq->stanza);
	struct item_list l = { q->answer, q->iq->host->name, lang };
	struct adhoc_search s = {
		.host = q->iq->host, .from = q->iq->from, .listed = list_command, .listed_arg = &l
	};

	if (q->scope != IQ_LOCAL)
		return HOOK_GO_ON;
	if (!q->node && conf->report_commands_node)
		disco_item(q->answer, q->iq->host->name, NS_COMMANDS, tr(lang, "Commands"));
	if (!q->node || strcmp(q->node, NS_COMMANDS) != 0)
		return HOOK_GO_ON;
	q->known = true;
	hook_run(s.host->hooks, &adhoc_hook, &s);
	return HOOK_GO_ON;
}

static enum hook_next add_info(void *subject, void *arg UNUSED)
{
	struct disco_query *q = subject;
	const char *lang = stanza_lang(q->iq->stanza);
	struct adhoc_search s;

	if (q->scope != IQ_LOCAL || !q->node)
		return HOOK_GO_ON;
	if (strcmp(q->node, NS_COMMANDS) == 0) {
		q->known = true;
		if (q->part == DISCO_IDENTITIES)
			disco_identity(
				q->answer, "automation", "command-list", tr(lang, "Commands"));
		return HOOK_GO_ON;
	}
	s = search(q->iq->host, q->iq->from, q->node);
	if (!s.command || !s.allowed)
		return HOOK_GO_ON;
	q->known = true;
	if (q->part == DISCO_IDENTITIES)
		disco_identity(q->answer, "automation", "command-node", tr(lang, s.command->name));
	if (q->part == DISCO_FEATURES) {
		disco_feature(q->answer, NS_COMMANDS);
		disco_feature(q->answer, NS_DATA);
	}
	return HOOK_GO_ON;
}

static int adhoc_start(struct module_instance *mi)
{
	struct session_table *t = xcalloc(1, sizeof(*t));

	metric_register(&run_metric);
	metric_register(&refused_metric);
	pthread_mutex_init(&t->lock, NULL);
	CDS_INIT_LIST_HEAD(&t->rows);
	mi->data = t;
	return 0;
}

static void adhoc_stop(struct module_instance *mi)
{
	struct session_table *t = mi->data;
	struct session_row *r, *next;

	cds_list_for_each_entry_safe (r, next, &t->rows, at)
		row_free(r);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

const struct module module_adhoc = {
	.abi = LINNET_MODULE_ABI,
	.name = "adhoc",
	.help = "Commands that people run from their clients; other modules bring them.",
	.xeps = (const char *const[]){ "XEP-0050 1.3.0", "XEP-0004 2.13.1", "XEP-0068 1.3.0",
		NULL },
	.features = (const char *const[]){ NS_COMMANDS, NULL },
	.conf = adhoc_items,
	.conf_size = sizeof(struct adhoc_conf),
	.iq = (const struct iq_row[]){ { IQ_FOR_SET, IQ_LOCAL, NS_COMMANDS, IQ_QUEUES, adhoc_set,
					       .blocks = true },
		{ 0 } },
	.hooks = (const struct hook_row[]){ { &disco_items_hook, 50, add_items },
		{ &disco_info_hook, 50, add_info }, { 0 } },
	.start = adhoc_start,
	.stop = adhoc_stop,
};
LINNET_MODULE(module_adhoc);
