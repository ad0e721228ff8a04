/* modules/report.c - users tell the server's operators of spam and abuse as they block it:
 * XEP-0377 (Spam reporting). The block is mod_blocking's; here reports are kept, for so long and so
 * many, and told to whom the settings name. */
#include "modules/report.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"
#include "core/db.h"
#include "core/lang.h"
#include "modules/disco.h"
#include "modules/erase.h"
#include "modules/module.h"
#include "modules/recent.h"
#include "modules/registry.h"
#include "xml/conf_jid.h"
#include "xml/fold.h"

#define TEXT_BYTES_MAX 2000 /* kept of what a user says; the rest is cut */
#define REASON_BYTES_MAX 200
#define STANZA_IDS_MAX 20
#define STANZA_ID_BYTES_MAX 400 /* of one line; a longer one is left out */
#define REPORTERS_MAX 65536 /* remembered at once */
#define DAY_MS (24 * 3600000ULL)

struct report_conf {
	struct conf_list forward_to; /* of const char *, JIDs */
	int64_t max_reports;
	int64_t max_age; /* ms */
	int64_t max_per_day;
};
static const struct conf_item forward_item[] = {
	{ "jid", CONF_JID, 0, .check = conf_check_jid, .help = "An address." }, { 0 }
};
static const struct conf_item report_items[] = {
	{ "forward_to", CONF_LIST, FIELD(struct report_conf, forward_to, struct conf_list),
		.item = forward_item, .item_size = sizeof(const char *),
		.help = "Who is sent each report as a message." },
	{ "max_reports", CONF_INT, FIELD(struct report_conf, max_reports, int64_t),
		.preset = "10000", .min = 1, .max = 10000000, .unit = "reports",
		.help = "So many are kept for a host; the oldest go." },
	{ "max_age", CONF_TIME, FIELD(struct report_conf, max_age, int64_t), .preset = "180 days",
		.min = 3600000, .max = INT64_MAX, .help = "How long a report is kept." },
	{ "max_per_day", CONF_INT, FIELD(struct report_conf, max_per_day, int64_t), .preset = "50",
		.min = 1, .max = 100000, .unit = "reports",
		.help = "So many of one account are taken within 24 hours; further ones only "
			"block." },
	{ 0 }
};

static const struct db_migration report_migrations[] = {
	{ "report", 1,
		"CREATE TABLE reports (id AUTOID, host KEYTEXT NOT NULL, at BIGINT NOT NULL,"
		" reporter KEYTEXT NOT NULL, reported KEYTEXT NOT NULL, reported_bare KEYTEXT NOT"
		" NULL, reason TEXT NOT NULL, said TEXT NOT NULL, lang TEXT NOT NULL,"
		" stanza_ids TEXT NOT NULL, to_origin BIGINT NOT NULL, to_third BIGINT NOT NULL);"
		"CREATE INDEX reports_host ON reports (host, id);"
		"CREATE INDEX reports_reporter ON reports (host, reporter);"
		"CREATE INDEX reports_reported ON reports (reported_bare, id);" },
	{ 0 }
};
static struct db_stmt add_stmt = DB_STMT("report_add",
	"INSERT INTO reports (host, at, reporter, reported, reported_bare, reason, said, lang,"
	" stanza_ids, to_origin, to_third) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
static struct db_stmt count_stmt =
	DB_STMT("report_count", "SELECT COUNT(*) FROM reports WHERE host = ?");
/* Ids and times rise together. */
static struct db_stmt oldest_stmt =
	DB_STMT("report_oldest", "SELECT id, at FROM reports WHERE host = ? ORDER BY id LIMIT ?");
static struct db_stmt delete_stmt = DB_STMT("report_delete", "DELETE FROM reports WHERE id = ?");
#define COLUMNS                                                                                 \
	"id, at, host, reporter, reported, reason, said, lang, stanza_ids, to_origin, to_third" \
	" FROM reports"
static struct db_stmt find_stmt = DB_STMT("report_find", "SELECT " COLUMNS " WHERE id = ?");
static struct db_stmt list_stmt =
	DB_STMT("report_list", "SELECT " COLUMNS " WHERE id < ? ORDER BY id DESC LIMIT ?");
static struct db_stmt list_host_stmt = DB_STMT("report_list_host",
	"SELECT " COLUMNS " WHERE id < ? AND host = ? ORDER BY id DESC LIMIT ?");
static struct db_stmt list_reported_stmt = DB_STMT("report_list_reported",
	"SELECT " COLUMNS " WHERE id < ? AND reported_bare = ? ORDER BY id DESC LIMIT ?");
static struct db_stmt list_both_stmt = DB_STMT("report_list_both",
	"SELECT " COLUMNS
	" WHERE id < ? AND host = ? AND reported_bare = ? ORDER BY id DESC LIMIT ?");
static struct db_stmt forget_stmt = DB_STMT(
	"report_forget", "UPDATE reports SET reporter = '' WHERE host = ? AND reporter = ?");

static struct metric taken_metric =
	METRIC_COUNTER("reports_total", "Reports of spam and abuse that were kept.");
static struct metric refused_metric = METRIC_COUNTER("reports_refused_total",
	"Reports of spam and abuse not kept: of one account too many a day, or the database "
	"failed.");

/* ---- Keeping */

struct taking {
	struct db_work work;
	char *host, *reporter, *reported, *reported_bare; /* owned, as all texts */
	char *reason, *said, *lang, *stanza_ids;
	bool to_origin, to_third;
	int64_t max_reports, max_age_s;
};

static void taking_free(struct taking *t)
{
	free(t->host);
	free(t->reporter);
	free(t->reported);
	free(t->reported_bare);
	free(t->reason);
	free(t->said);
	free(t->lang);
	free(t->stanza_ids);
	free(t);
}

#define OLDEST_AT_ONCE 8 /* more than one write adds, so that a lower limit is reached, too */
struct oldest {
	struct {
		int64_t id, at;
	} of[OLDEST_AT_ONCE];
	unsigned n;
};

static int take_oldest(const struct db_row *row, void *arg)
{
	struct oldest *o = arg;

	o->of[o->n].id = db_row_int(row, 0);
	o->of[o->n].at = db_row_int(row, 1);
	return ++o->n == OLDEST_AT_ONCE;
}

/* The oldest, as far as they are too old or there are too many. */
static int prune(struct db_tx *tx, const struct taking *t, int64_t now)
{
	struct oldest oldest = { .n = 0 };
	int64_t count = 0;
	int result = db_select(tx, &count_stmt, DB_PARAMS(db_text(t->host)), db_take_int, &count);

	if (result >= 0)
		result = db_select(tx, &oldest_stmt,
			DB_PARAMS(db_text(t->host), db_int(OLDEST_AT_ONCE)), take_oldest, &oldest);
	for (unsigned i = 0; i < oldest.n && result >= 0; i++) {
		if (count <= t->max_reports && oldest.of[i].at >= now - t->max_age_s)
			break;
		result = db_run(tx, &delete_stmt, DB_PARAMS(db_int(oldest.of[i].id)));
		count--;
	}
	return result < 0 ? result : 0;
}

static int run_taking(struct db_tx *tx, struct db_work *w)
{
	const struct taking *t = container_of(w, struct taking, work);
	int64_t now = (int64_t)time(NULL);
	int result = db_run(tx, &add_stmt,
		DB_PARAMS(db_text(t->host), db_int(now), db_text(t->reporter), db_text(t->reported),
			db_text(t->reported_bare), db_text(t->reason), db_text(t->said),
			db_text(t->lang), db_text(t->stanza_ids), db_int(t->to_origin),
			db_int(t->to_third)));

	return result < 0 ? result : prune(tx, t, now);
}

static void taking_done(struct db_work *w)
{
	struct taking *t = container_of(w, struct taking, work);

	metric_add(w->result < 0 ? &refused_metric : &taken_metric, 1);
	taking_free(t);
}

/* ---- What came */

static char *cut(const char *text, size_t max)
{
	return text ? xstrndup(text, text_cut(text, strlen(text), max)) : xstrdup("");
}

/* §4: the text in the user's language; of several, the first. */
static const struct elem *text_of(const struct elem *report)
{
	return elem_child(report, "text", NS_REPORTING);
}

/* §6: a line for each <stanza-id/>. */
static char *stanza_ids_of(const struct elem *report)
{
	char *all = xstrdup("");
	unsigned n = 0;

	elem_each_child (report, e) {
		const char *by = elem_attr(e, "by"), *id = elem_attr(e, "id");
		char *longer;

		if (!elem_is(e, "stanza-id", NS_SID) || !by || !id || n == STANZA_IDS_MAX)
			continue;
		if (strlen(by) + strlen(id) >= STANZA_ID_BYTES_MAX || strpbrk(by, "\r\n") ||
			strpbrk(id, "\r\n"))
			continue;
		longer = xprintf("%s%s%s %s", all, n++ ? "\n" : "", by, id);
		free(all);
		all = longer;
	}
	return all;
}

static struct taking *taking_new(const struct report_conf *conf, const struct host *h,
	const struct jid *reporter, const struct jid *reported, const struct elem *report)
{
	const struct elem *text = text_of(report);
	struct taking *t = xcalloc(1, sizeof(*t));
	char jid[JID_TEXT_MAX], first[512];
	struct arena a;

	arena_init(&a, first, sizeof(first));
	t->work.run = run_taking;
	t->work.done = taking_done;
	t->host = xstrdup(h->name);
	t->reporter = xstrdup(jid_local(reporter));
	jid_write(reported, jid);
	t->reported = xstrdup(jid);
	jid_write_bare(reported, jid);
	t->reported_bare = xstrdup(jid);
	t->reason = cut(elem_attr(report, "reason"), REASON_BYTES_MAX);
	t->said = cut(text ? elem_text(text, &a) : NULL, TEXT_BYTES_MAX);
	t->lang = cut(text ? elem_attr_ns(text, "lang", NS_XML) : NULL, 35);
	t->stanza_ids = stanza_ids_of(report);
	t->to_origin = elem_child(report, "report-origin", NS_REPORTING);
	t->to_third = elem_child(report, "third-party", NS_REPORTING);
	t->max_reports = conf->max_reports;
	t->max_age_s = conf->max_age / 1000;
	arena_fini(&a);
	return t;
}

static const char *reason_text(const char *reason)
{
	if (strcmp(reason, "urn:xmpp:reporting:spam") == 0)
		return TR("spam");
	if (strcmp(reason, "urn:xmpp:reporting:abuse") == 0)
		return TR("abuse");
	return reason;
}

static void build_news(struct builder *b, const struct taking *t, const char *lang)
{
	AUTO(free_ptr)
	char *head = xprintf(tr(lang, "%s@%s has reported %s: %s"), t->reporter, t->host,
		t->reported, tr(lang, reason_text(t->reason)));

	build_open(b, "body", NULL);
	build_cdata(b, head, strlen(head));
	if (*t->said) {
		build_cdata(b, "\n", 1);
		build_cdata(b, t->said, strlen(t->said));
	}
	build_close(b);
}

static void forward(const struct report_conf *conf, struct host *h, const struct taking *t,
	const struct elem *report)
{
	const char *const *to = conf->forward_to.at;

	for (size_t i = 0; i < conf->forward_to.n; i++) {
		struct builder b;

		build_begin(&b, "message", NS_CLIENT);
		build_attr(&b, "from", h->name);
		build_attr(&b, "to", to[i]);
		build_news(&b, t, host_lang(h));
		build_copy(&b, report);
		route_post(build_end(&b));
	}
}

void report_take(struct host *h, const struct jid *reporter, const struct jid *reported,
	const struct elem *report)
{
	struct module_instance *mi = registry_find(h, "report");
	const struct report_conf *conf;
	struct taking *t;

	if (!mi || !elem_is(report, "report", NS_REPORTING) || !elem_attr(report, "reason"))
		return; /* §4: a reason MUST be there */
	conf = module_conf(mi);
	if (!recent_take(mi->data, recent_key_of_account(reporter), clock_ms(), DAY_MS,
		    (unsigned)conf->max_per_day)) {
		metric_add(&refused_metric, 1);
		return;
	}
	t = taking_new(conf, h, reporter, reported, report);
	log_info("report", "taken", L_STR("reported", t->reported), L_STR("reason", t->reason));
	forward(conf, h, t, report);
	if (db_write_later(db_main(), &t->work) == 0)
		return;
	t->work.result = -EAGAIN;
	taking_done(&t->work);
}

/* ---- For operators */

struct listing {
	void (*fn)(const struct report *r, void *arg);
	void *arg;
};

static int take_report(const struct db_row *row, void *arg)
{
	const struct listing *l = arg;
	const char *user = db_row_text(row, 3), *host = db_row_text(row, 2);
	AUTO(free_ptr) char *reporter = *user ? xprintf("%s@%s", user, host) : xstrdup("");
	struct report r = { .id = db_row_int(row, 0),
		.at = db_row_int(row, 1),
		.host = host,
		.reporter = reporter,
		.reported = db_row_text(row, 4),
		.reason = db_row_text(row, 5),
		.text = db_row_text(row, 6),
		.lang = db_row_text(row, 7),
		.stanza_ids = db_row_text(row, 8),
		.to_origin = db_row_int(row, 9),
		.to_third_party = db_row_int(row, 10) };

	l->fn(&r, l->arg);
	return 0;
}

int report_each(
	const struct report_query *q, void (*fn)(const struct report *r, void *arg), void *arg)
{
	struct db_value before = db_int(q->before ? q->before : INT64_MAX);
	struct db_value host = db_text(q->host), reported = db_text(q->reported);
	struct db_value max = db_int(q->max);
	struct listing l = { .fn = fn, .arg = arg };

	if (q->host && q->reported)
		return db_read(db_main(), &list_both_stmt, DB_PARAMS(before, host, reported, max),
			take_report, &l);
	if (q->host)
		return db_read(
			db_main(), &list_host_stmt, DB_PARAMS(before, host, max), take_report, &l);
	if (q->reported)
		return db_read(db_main(), &list_reported_stmt, DB_PARAMS(before, reported, max),
			take_report, &l);
	return db_read(db_main(), &list_stmt, DB_PARAMS(before, max), take_report, &l);
}

int report_find(int64_t id, void (*fn)(const struct report *r, void *arg), void *arg)
{
	struct listing l = { .fn = fn, .arg = arg };

	return db_read(db_main(), &find_stmt, DB_PARAMS(db_int(id)), take_report, &l);
}

static int run_delete(struct db_tx *tx, void *arg)
{
	return db_run(tx, &delete_stmt, DB_PARAMS(db_int(*(int64_t *)arg)));
}

int report_delete(int64_t id)
{
	return db_write(db_main(), run_delete, &id);
}

/* ---- Life */

/* The report stays, who made it does not. */
static enum hook_next report_removed(void *subject, void *arg UNUSED)
{
	static struct db_stmt *const stmts[] = { &forget_stmt, NULL };

	erase_account(subject, stmts, "report");
	return HOOK_GO_ON;
}

static int report_start(struct module_instance *mi)
{
	int result;

	job_check();
	metric_register(&taken_metric);
	metric_register(&refused_metric);
	if (!db_main()) {
		log_error("report", "needs a database", L_STR("host", mi->host->name));
		return -ENODEV;
	}
	result = db_migrate(db_main(), report_migrations);
	if (!result)
		mi->data = recent_new(REPORTERS_MAX);
	return result;
}

/* §3: the feature says that reports may come with blocks, which somebody has to take. */
static enum hook_next report_offered(void *subject, void *arg)
{
	const struct disco_offer *offer = subject;
	const struct module_instance *mi = arg;

	return strcmp(offer->feature, NS_REPORTING) || iq_registered(mi->host, IQ_SM, NS_BLOCKING)
		? HOOK_GO_ON
		: HOOK_STOP;
}

static void report_stop(struct module_instance *mi)
{
	recent_free(mi->data);
}

const struct module module_report = {
	.abi = LINNET_MODULE_ABI,
	.name = "report",
	.help = "Takes reports of spam and abuse that come with blocks (mod_blocking), keeps them "
		"for linnetctl reports, and sends them on to operators.",
	.xeps = (const char *const[]){ "XEP-0377 0.4.1", NULL },
	.features = (const char *const[]){ NS_REPORTING, NULL },
	.account_features = (const char *const[]){ NS_REPORTING, NULL },
	.conf = report_items,
	.conf_size = sizeof(struct report_conf),
	.hooks = (const struct hook_row[]){ { &account_removed_hook, 50, report_removed },
		{ &disco_offer_hook, 50, report_offered }, { 0 } },
	.start = report_start,
	.stop = report_stop,
};
LINNET_MODULE(module_report);
