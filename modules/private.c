/* modules/private.c - XML that clients keep on the server for their own account: settings,
 * bookmarks. XEP-0049 (Private XML Storage).
 * One row for each element, named by its namespace and name; a set is one write, which is undone
 * when the account would have more than it may. */
#include "modules/private.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "core/db.h"
#include "modules/erase.h"
#include "modules/module.h"
#include "xml/parser.h"

#define KEY_BYTES_MAX 255 /* of a namespace, and of an element's name */

struct private_conf {
	int64_t max_items;
	int64_t max_bytes;
};
static const struct conf_item private_items[] = {
	{ "max_items", CONF_INT, FIELD(struct private_conf, max_items, int64_t), .preset = "100",
		.min = 1, .max = 100000, .unit = "elements",
		.help = "So many elements one account may keep." },
	{ "max_bytes", CONF_SIZE, FIELD(struct private_conf, max_bytes, int64_t), .preset = "1 MB",
		.min = 1024, .max = 1 << 30,
		.help = "So many bytes of XML one account may keep in all." },
	{ 0 }
};

static const struct db_migration private_migrations[] = {
	{ "private", 1,
		"CREATE TABLE private_data (host KEYTEXT NOT NULL, name KEYTEXT NOT NULL,"
		" ns KEYTEXT NOT NULL, element KEYTEXT NOT NULL, changed BIGINT NOT NULL,"
		" bytes BIGINT NOT NULL, xml TEXT NOT NULL,"
		" PRIMARY KEY (host, name, ns, element));" },
	{ 0 }
};
static struct db_stmt find_stmt = DB_STMT("private_find",
	"SELECT xml FROM private_data WHERE host = ? AND name = ? AND ns = ? AND element = ?");
static struct db_stmt list_stmt = DB_STMT("private_list",
	"SELECT element, ns, bytes, changed FROM private_data WHERE host = ? AND name = ?"
	" ORDER BY ns, element");
static struct db_stmt sum_stmt = DB_STMT(
	"private_sum", "SELECT COUNT(*), SUM(bytes) FROM private_data WHERE host = ? AND name = ?");
static struct db_stmt set_stmt =
	DB_UPSERT("private_set", "private_data", "host, name, ns, element", "changed, bytes, xml");
static struct db_stmt delete_stmt = DB_STMT("private_delete",
	"DELETE FROM private_data WHERE host = ? AND name = ? AND ns = ? AND element = ?");
static struct db_stmt erase_stmt =
	DB_STMT("private_erase", "DELETE FROM private_data WHERE host = ? AND name = ?");

static struct metric stored_metric = METRIC_COUNTER(
	"private_stored_total", "Elements of private XML that accounts have stored or taken away.");
static struct metric refused_metric = METRIC_COUNTER("private_refused_total",
	"Requests to store private XML that were refused: too many elements or bytes.");

/* ---- Storing */

struct private_change {
	const struct iq *iq;
	const struct private_conf *conf;
};

static int take_sum(const struct db_row *row, void *arg)
{
	int64_t *sum = arg;

	sum[0] = db_row_int(row, 0);
	sum[1] = db_row_int(row, 1);
	return 0;
}

/* An element that holds nothing reads the same when it is not there, so it is not kept. */
static int store_element(struct db_tx *tx, const struct iq *iq, const struct elem *e)
{
	struct db_value host = db_text(iq->host->name), name = db_text(jid_local(iq->from));
	struct buf *xml = NULL;
	int result;

	if (!e->attrs && !e->first)
		return db_run(
			tx, &delete_stmt, DB_PARAMS(host, name, db_text(e->ns), db_text(e->name)));
	elem_wire(e, "", &xml);
	result = db_run(tx, &set_stmt,
		DB_PARAMS(host, name, db_text(e->ns), db_text(e->name), db_int((int64_t)time(NULL)),
			db_int(xml->len), db_text_n(xml->data, xml->len)));
	buf_unref(xml);
	return result;
}

static int store(struct db_tx *tx, void *arg)
{
	const struct private_change *c = arg;
	int64_t sum[2] = { 0 };
	int result;

	elem_each_child (c->iq->payload, e) {
		result = store_element(tx, c->iq, e);
		if (result < 0)
			return result;
	}
	result = db_select(tx, &sum_stmt,
		DB_PARAMS(db_text(c->iq->host->name), db_text(jid_local(c->iq->from))), take_sum,
		sum);
	if (result < 0)
		return result;
	return sum[0] > c->conf->max_items || sum[1] > c->conf->max_bytes ? -EDQUOT : 0;
}

/* ---- Reading */

struct private_found {
	struct builder *answer;
	bool broken; /* what is stored does not parse */
};

static int take_element(const struct db_row *row, void *arg)
{
	struct parser_limits limits = { .depth = PARSER_DEPTH, .attrs = PARSER_ATTRS };
	struct private_found *f = arg;
	struct stanza *s;
	size_t len;
	const char *xml = db_row_blob(row, 0, &len);

	limits.stanza_bytes = (uint32_t)len;
	f->broken = parse_element(xml, len, &limits, &s) != PARSER_OK;
	if (f->broken)
		return 1;
	build_copy(f->answer, s->root);
	stanza_unref(s);
	return 1;
}

/* What is not stored is answered as it was asked for. */
ON_JOB static int read_element(
	const struct iq *iq, const struct elem *asked, struct builder *answer)
{
	struct private_found f = { .answer = answer };
	int rows = db_read(db_main(), &find_stmt,
		DB_PARAMS(db_text(iq->host->name), db_text(jid_local(iq->from)), db_text(asked->ns),
			db_text(asked->name)),
		take_element, &f);

	if (rows < 0 || f.broken)
		return ERR_INTERNAL_SERVER_ERROR;
	if (rows == 0) {
		build_open(answer, asked->name, asked->ns);
		build_close(answer);
	}
	return 0;
}

/* ---- Requests */

/* §2.3: at least one element, each with a namespace of its own; one namespace in a get. Of no more
 * elements than can be there. */
static bool acceptable(const struct iq *iq)
{
	const struct private_conf *conf = iq_conf(iq);
	const struct elem *first = elem_first(iq->payload);
	int64_t n = 0;

	elem_each_child (iq->payload, e) {
		if (++n > conf->max_items)
			return false;
		if (!*e->ns || strcmp(e->ns, NS_PRIVATE) == 0)
			return false;
		if (strlen(e->ns) > KEY_BYTES_MAX || strlen(e->name) > KEY_BYTES_MAX)
			return false;
		if (!iq->set && strcmp(e->ns, first->ns) != 0)
			return false;
	}
	return first;
}

ON_JOB static int private_set(const struct iq *iq)
{
	struct private_change change = { .iq = iq, .conf = iq_conf(iq) };
	int result = db_write(db_main(), store, &change);

	if (result == -EDQUOT) {
		metric_add(&refused_metric, 1);
		return ERR_RESOURCE_CONSTRAINT;
	}
	if (result < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	elem_each_child (iq->payload, e)
		metric_add(&stored_metric, 1);
	return 0;
}

ON_JOB static int private_get(const struct iq *iq, struct builder *answer)
{
	int result = 0;

	build_open(answer, "query", NS_PRIVATE);
	elem_each_child (iq->payload, e) {
		result = read_element(iq, e, answer);
		if (result)
			break;
	}
	build_close(answer);
	return result;
}

static int private_iq(const struct iq *iq, struct builder *answer)
{
	job_check();
	if (!elem_is(iq->payload, "query", NS_PRIVATE))
		return ERR_BAD_REQUEST;
	if (!jid_equal_bare(iq->from, iq->to))
		return ERR_FORBIDDEN; /* §2.3 */
	if (!acceptable(iq))
		return ERR_NOT_ACCEPTABLE;
	return iq->set ? private_set(iq) : private_get(iq, answer);
}

/* ---- For operators */

struct private_listing {
	void (*fn)(const struct private_item *item, void *arg);
	void *arg;
};

static int take_listed(const struct db_row *row, void *arg)
{
	const struct private_listing *l = arg;
	struct private_item item = { .element = db_row_text(row, 0),
		.ns = db_row_text(row, 1),
		.bytes = db_row_int(row, 2),
		.changed = db_row_int(row, 3) };

	l->fn(&item, l->arg);
	return 0;
}

int private_each(const char *host, const char *name,
	void (*fn)(const struct private_item *item, void *arg), void *arg)
{
	struct private_listing l = { .fn = fn, .arg = arg };

	return db_read(
		db_main(), &list_stmt, DB_PARAMS(db_text(host), db_text(name)), take_listed, &l);
}

struct private_deletion {
	const char *host, *name, *element, *ns;
};

static int run_deletion(struct db_tx *tx, void *arg)
{
	const struct private_deletion *d = arg;

	if (!d->element)
		return db_run(tx, &erase_stmt, DB_PARAMS(db_text(d->host), db_text(d->name)));
	return db_run(tx, &delete_stmt,
		DB_PARAMS(db_text(d->host), db_text(d->name), db_text(d->ns), db_text(d->element)));
}

int private_delete(const char *host, const char *name, const char *element, const char *ns)
{
	struct private_deletion d = { .host = host, .name = name, .element = element, .ns = ns };

	return db_write(db_main(), run_deletion, &d);
}

/* ---- Life */

static enum hook_next private_removed(void *subject, void *arg UNUSED)
{
	static struct db_stmt *const stmts[] = { &erase_stmt, NULL };

	erase_account(subject, stmts, "private");
	return HOOK_GO_ON;
}

static int private_start(struct module_instance *mi)
{
	job_check();
	metric_register(&stored_metric);
	metric_register(&refused_metric);
	if (db_main())
		return db_migrate(db_main(), private_migrations);
	log_error("private", "needs a database", L_STR("host", mi->host->name));
	return -ENODEV;
}

const struct module module_private = {
	.abi = LINNET_MODULE_ABI,
	.name = "private",
	.help = "Keeps XML for the clients of an account, such as settings and bookmarks, which "
		"nobody else can read.",
	.xeps = (const char *const[]){ "XEP-0049 1.2", NULL },
	.features = (const char *const[]){ NS_PRIVATE, NULL },
	.account_features = (const char *const[]){ NS_PRIVATE, NULL },
	.conf = private_items,
	.conf_size = sizeof(struct private_conf),
	.iq = (const struct iq_row[]){ { IQ_FOR_BOTH, IQ_SM, NS_PRIVATE, IQ_QUEUES, private_iq,
					       .blocks = true },
		{ 0 } },
	.hooks = (const struct hook_row[]){ { &account_removed_hook, 50, private_removed }, { 0 } },
	.start = private_start,
};
LINNET_MODULE(module_private);
