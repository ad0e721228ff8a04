/* modules/push.c - clients that are not connected are woken by an app server, which is told that
 * something waits for them: XEP-0357 (Push Notifications). Which app servers an account has is a
 * part of its snapshot (router/account.h). */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "core/db.h"
#include "modules/erase.h"
#include "modules/message_log.h"
#include "modules/push_inside.h"
#include "router/session.h"
#include "xml/form.h"

#define NODE_MAX 1023 /* bytes */
#define OPTIONS_MAX 4096

static const char *const notify_words[] = { "messages", "all", NULL };
static const struct conf_item push_items[] = {
	{ "include_body", CONF_BOOL, FIELD(struct push_conf, include_body, bool), .preset = "false",
		.help = "Tell app servers, who are strangers, what messages say." },
	{ "include_sender", CONF_BOOL, FIELD(struct push_conf, include_sender, bool),
		.preset = "false", .help = "Tell app servers who sends messages." },
	{ "notify_on", CONF_ENUM, FIELD(struct push_conf, notify_on, int), .preset = "all",
		.words = notify_words,
		.help = "What clients are woken for: messages (those with a text, also an "
			"encrypted one) or all that are kept for them, such as calls." },
	{ "max_services", CONF_INT, FIELD(struct push_conf, max_services, int64_t), .preset = "20",
		.min = 1, .max = 1000, .unit = "nodes",
		.help = "One account may have so many nodes of app servers." },
	{ "max_rate", CONF_INT, FIELD(struct push_conf, max_rate, int64_t), .preset = "30",
		.min = 1, .max = 6000, .unit = "a minute",
		.help = "So many notifications go to one node in a minute; what is more is counted "
			"in the next one's message-count." },
	{ "max_failures", CONF_INT, FIELD(struct push_conf, max_failures, int64_t), .preset = "10",
		.min = 1, .max = 1000, .unit = "in a row",
		.help = "So often a node may fail for a reason that can pass, as that its server "
			"cannot be reached, before it is given up. One that refuses is given up at "
			"once." },
	{ 0 }
};

static const struct db_migration push_migrations[] = {
	{ "push", 1,
		"CREATE TABLE push_services (host KEYTEXT NOT NULL, name KEYTEXT NOT NULL,"
		" service KEYTEXT NOT NULL, node KEYTEXT NOT NULL, resource TEXT NOT NULL,"
		" since BIGINT NOT NULL, options TEXT NOT NULL,"
		" PRIMARY KEY (host, name, service, node));" },
	{ 0 }
};
static struct db_stmt list_stmt = DB_STMT("push_list",
	"SELECT service, node, resource, since, options FROM push_services"
	" WHERE host = ? AND name = ? ORDER BY service, node");
static struct db_stmt count_stmt =
	DB_STMT("push_count", "SELECT COUNT(*) FROM push_services WHERE host = ? AND name = ?");
static struct db_stmt set_stmt = DB_UPSERT(
	"push_set", "push_services", "host, name, service, node", "resource, since, options");
static struct db_stmt delete_stmt = DB_STMT("push_delete",
	"DELETE FROM push_services WHERE host = ? AND name = ? AND service = ? AND node = ?");
static struct db_stmt delete_service_stmt = DB_STMT("push_delete_service",
	"DELETE FROM push_services WHERE host = ? AND name = ? AND service = ?");
static struct db_stmt erase_stmt =
	DB_STMT("push_erase", "DELETE FROM push_services WHERE host = ? AND name = ?");

/* ---- The account's part */

struct push_services *push_services_ref(const struct push_services *p)
{
	struct push_services *writable = (struct push_services *)p;

	atomic_fetch_add_explicit(&writable->refs, 1, memory_order_relaxed);
	return writable;
}

void push_services_unref(struct push_services *p)
{
	if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	arena_fini(&p->arena);
	free(p->at);
	free(p);
}

static void part_free(struct account_part *part)
{
	push_services_unref(container_of(part, struct push_services, part));
}

static const char *text_in(struct arena *a, const char *text)
{
	return arena_text(a, text, strlen(text));
}

static int take_service(const struct db_row *row, void *arg)
{
	struct push_services *p = arg;
	const char *service = db_row_text(row, 0);
	struct jid *jid;

	if (jid_parse(service, strlen(service), &p->arena, &jid))
		return 0;
	p->at = xrealloc(p->at, (p->n + 1) * sizeof(p->at[0]));
	p->at[p->n++] = (struct push_service){ .jid = jid,
		.node = text_in(&p->arena, db_row_text(row, 1)),
		.resource = text_in(&p->arena, db_row_text(row, 2)),
		.options = text_in(&p->arena, db_row_text(row, 4)) };
	return 0;
}

static int load(void *arg UNUSED, struct host *h, const struct jid *bare, struct account_part **out)
{
	struct push_services *p = xcalloc(1, sizeof(*p));
	int result;

	job_check();
	atomic_init(&p->part.refs, 1);
	atomic_init(&p->refs, 1);
	p->part.free = part_free;
	arena_init(&p->arena, NULL, 0);
	result = db_read(db_main(), &list_stmt,
		DB_PARAMS(db_text(h->name), db_text(jid_local(bare))), take_service, p);
	if (result > 0)
		*out = &p->part;
	else
		push_services_unref(p); /* an account without keeps nothing */
	return result < 0 ? result : 0;
}

struct account_kind push_kind = { .name = "push", .load = load };

/* ---- Requests: §5, §6 */

struct change {
	struct account_request *request;
	const char *service, *node; /* node NULL: all of the service */
	struct buf *options; /* owned; NULL: none */
};

static int store(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;
	const struct account_request *r = c->request;
	const struct push_conf *conf = r->conf;
	struct db_value host = db_text(r->host->name), name = db_text(jid_local(r->bare));
	struct db_value options =
		c->options ? db_text_n(c->options->data, c->options->len) : db_text("");
	int64_t n = 0;
	int result = db_run(tx, &set_stmt,
		DB_PARAMS(host, name, db_text(c->service), db_text(c->node),
			db_text(jid_resource(r->stanza->from)), db_int((int64_t)time(NULL)),
			options));

	if (result >= 0)
		result = db_select(tx, &count_stmt, DB_PARAMS(host, name), db_take_int, &n);
	if (result < 0)
		return result;
	return n > conf->max_services ? -EDQUOT : 0;
}

/* Its form, as the publish request will have it: §7. 0 or an enum stanza_error. */
static int read_options(struct change *c, const struct elem *e)
{
	const struct elem *form = form_in(e);

	if (!form)
		return 0;
	elem_wire(form, "", &c->options);
	return c->options->len > OPTIONS_MAX ? ERR_NOT_ACCEPTABLE : 0;
}

ON_JOB static int enable(struct account_request *r, struct change *c, const struct elem *e)
{
	int error = read_options(c, e);

	if (!error)
		error = db_write(db_main(), store, c);
	if (!error)
		error = account_changed(r->host, r->bare, &push_kind);
	buf_unref(c->options);
	return error;
}

struct removal {
	const char *host, *name, *service, *node;
};

static int remove_rows(struct db_tx *tx, void *arg)
{
	const struct removal *d = arg;
	struct db_value host = db_text(d->host), name = db_text(d->name);

	if (!d->service)
		return db_run(tx, &erase_stmt, DB_PARAMS(host, name));
	if (!d->node)
		return db_run(tx, &delete_service_stmt, DB_PARAMS(host, name, db_text(d->service)));
	return db_run(
		tx, &delete_stmt, DB_PARAMS(host, name, db_text(d->service), db_text(d->node)));
}

int push_withdraw(struct host *h, const struct jid *bare, const char *service, const char *node)
{
	struct removal d = { h->name, jid_local(bare), service, node };
	int n = db_write(db_main(), remove_rows, &d);
	int result = n > 0 ? account_changed(h, bare, &push_kind) : 0;

	return result < 0 ? result : n;
}

ON_JOB static int run(struct account_request *r)
{
	const struct elem *e = r->payload;
	const char *service = elem_attr(e, "jid"), *node = elem_attr(e, "node");
	struct change c = { .request = r };
	struct jid *jid;
	int result;

	if (!service)
		return ERR_BAD_REQUEST;
	if (jid_parse(service, strlen(service), &r->arena, &jid))
		return ERR_JID_MALFORMED;
	if (node && strlen(node) > NODE_MAX)
		return ERR_NOT_ACCEPTABLE;
	c.service = jid_text(jid, &r->arena);
	if (elem_is(e, "enable", NS_PUSH)) {
		c.node = node ? node : "";
		result = enable(r, &c, e);
	} else {
		result = push_withdraw(r->host, r->bare, c.service, node);
	}
	if (result < 0 || (result > 0 && elem_is(e, "enable", NS_PUSH)))
		return result;
	account_request_answer(r, NULL);
	return 0;
}

static int push_iq(const struct iq *iq, struct builder *answer UNUSED)
{
	shard_check(NULL);
	if (!elem_is(iq->payload, "enable", NS_PUSH) && !elem_is(iq->payload, "disable", NS_PUSH))
		return ERR_BAD_REQUEST;
	return account_request_iq(iq, run);
}

/* ---- For operators */

struct listing {
	void (*fn)(const struct push_entry *e, void *arg);
	void *arg;
};

static int take_listed(const struct db_row *row, void *arg)
{
	const struct listing *l = arg;
	struct push_entry e = { .service = db_row_text(row, 0),
		.node = db_row_text(row, 1),
		.resource = db_row_text(row, 2),
		.since = db_row_int(row, 3) };

	l->fn(&e, l->arg);
	return 0;
}

int push_each(const char *host, const char *name, void (*fn)(const struct push_entry *e, void *arg),
	void *arg)
{
	struct listing l = { fn, arg };

	return db_read(
		db_main(), &list_stmt, DB_PARAMS(db_text(host), db_text(name)), take_listed, &l);
}

struct order {
	struct job job;
	struct host *host;
	const struct jid *bare;
	const char *service, *node;
	int result;
	sem_t done;
};

static void order_work(struct job *j)
{
	struct order *o = container_of(j, struct order, job);

	job_check();
	o->result = push_withdraw(o->host, o->bare, o->service, o->node);
}

static void order_done(struct job *j)
{
	sem_post(&container_of(j, struct order, job)->done);
}

int push_remove(struct host *h, const struct jid *bare, const char *service, const char *node)
{
	struct order o = { .host = h, .bare = bare, .service = service, .node = node };
	bool reading;

	o.job.work = order_work;
	o.job.done = order_done;
	sem_init(&o.done, 0, 0);
	if (account_work(bare, &o.job))
		return -EAGAIN;
	reading = rcu_offline();
	while (sem_wait(&o.done) < 0)
		;
	rcu_online(reading);
	sem_destroy(&o.done);
	return o.result;
}

/* ---- Life */

static enum hook_next push_removed(void *subject, void *arg UNUSED)
{
	static struct db_stmt *const stmts[] = { &erase_stmt, NULL };

	erase_account(subject, stmts, "push");
	return HOOK_GO_ON;
}

static int push_start(struct module_instance *mi)
{
	int result;

	job_check();
	if (!db_main()) {
		log_error("push", "needs a database", L_STR("host", mi->host->name));
		return -ENODEV;
	}
	result = db_migrate(db_main(), push_migrations);
	if (result)
		return result;
	mi->data = push_sender_new();
	account_kind_add(mi->host, &push_kind, mi);
	return 0;
}

static void push_stop(struct module_instance *mi)
{
	account_kind_remove(mi->host, &push_kind, mi);
	push_sender_unref(mi->data);
}

const struct module module_push = {
	.abi = LINNET_MODULE_ABI,
	.name = "push",
	.help = "Wakes clients that are not connected: the app servers they name are told when "
		"messages wait for them.",
	.xeps = (const char *const[]){ "XEP-0357 0.4.1", NULL },
	.account_features = (const char *const[]){ NS_PUSH, NULL },
	.features = (const char *const[]){ NS_PUSH, NULL },
	.conf = push_items,
	.conf_size = sizeof(struct push_conf),
	.iq =
		(const struct iq_row[]){
			{ IQ_FOR_SET, IQ_SM, NS_PUSH, IQ_NO_QUEUE, push_iq, .lane = true }, { 0 } },
	.hooks = (const struct hook_row[]){ { &message_kept_hook, 50, push_kept },
		{ &session_away_hook, 50, push_away }, { &host_answer_hook, 50, push_answered },
		{ &account_removed_hook, 50, push_removed }, { 0 } },
	.start = push_start,
	.stop = push_stop,
};
LINNET_MODULE(module_push);
