/* modules/last.c - how long ago an account was last there, and how long the server has been up.
 * XEP-0012 (Last Activity).
 * Written when an account's last session ends, with the status that its last unavailable presence
 * gave; the shards only hand the write over. Read on the job threads. */
#include "modules/last.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"
#include "core/db.h"
#include "modules/module.h"
#include "modules/permit.h"
#include "modules/registry.h"
#include "router/account.h"
#include "router/directory.h"
#include "router/session.h"

#define STATUS_BYTES_MAX 512 /* kept; a longer one is cut */

static const struct db_migration last_migrations[] = {
	{ "last", 1,
		"CREATE TABLE last_activity (host KEYTEXT NOT NULL, name KEYTEXT NOT NULL,"
		" at BIGINT NOT NULL, status TEXT, PRIMARY KEY (host, name));" },
	{ 0 }
};
static struct db_stmt find_stmt =
	DB_STMT("last_find", "SELECT at, status FROM last_activity WHERE host = ? AND name = ?");
static struct db_stmt set_stmt = DB_UPSERT("last_set", "last_activity", "host, name", "at, status");
static struct db_stmt touch_stmt = DB_STMT(
	"last_touch", "UPDATE last_activity SET at = ? WHERE host = ? AND name = ? AND at >= ?");
static struct db_stmt forget_stmt =
	DB_STMT("last_forget", "DELETE FROM last_activity WHERE host = ? AND name = ?");

static struct metric lost_metric = METRIC_COUNTER("last_activity_lost_total",
	"Times of last activity that were not stored: too many writes waited, or one failed.");

/* ---- Writing */

/* One change of the table on its way to the writer; frees itself. */
struct last_work {
	struct db_work work;
	int64_t at, since; /* seconds since 1970: now, and when the session began */
	char *status; /* owned; NULL: none */
	char *host; /* of the account; in the same piece of memory as name */
	char *name;
};

static void last_done(struct db_work *w)
{
	struct last_work *l = container_of(w, struct last_work, work);

	if (w->result < 0)
		metric_add(&lost_metric, 1);
	free(l->status);
	free(l->host);
	free(l->name);
	free(l);
}

static void last_submit(const struct jid *account, int (*run)(struct db_tx *, struct db_work *),
	int64_t since, char *status)
{
	static struct log_seldom seldom;
	struct last_work *l = xcalloc(1, sizeof(*l));
	uint32_t left_out;

	l->work.run = run;
	l->work.done = last_done;
	l->at = (int64_t)time(NULL);
	l->since = since;
	l->status = status;
	l->host = xstrdup(jid_domain(account));
	l->name = xstrdup(jid_local(account));
	if (db_write_later(db_main(), &l->work) == 0)
		return;
	if (log_seldom(&seldom, &left_out))
		log_warning("last", "too many writes wait: last activity is lost",
			L_INT("left_out", left_out));
	l->work.result = -EAGAIN;
	last_done(&l->work);
}

static int run_set(struct db_tx *tx, struct db_work *w)
{
	struct last_work *l = container_of(w, struct last_work, work);

	return db_run(tx, &set_stmt,
		DB_PARAMS(db_text(l->host), db_text(l->name), db_int(l->at), db_text(l->status)));
}

/* The end of a session: a status from within it stays, an older one goes. */
static int run_touch(struct db_tx *tx, struct db_work *w)
{
	struct last_work *l = container_of(w, struct last_work, work);
	int changed = db_run(tx, &touch_stmt,
		DB_PARAMS(db_int(l->at), db_text(l->host), db_text(l->name), db_int(l->since)));

	return changed ? changed : run_set(tx, w);
}

static int run_forget(struct db_tx *tx, struct db_work *w)
{
	struct last_work *l = container_of(w, struct last_work, work);

	return db_run(tx, &forget_stmt, DB_PARAMS(db_text(l->host), db_text(l->name)));
}

static char *status_of(const struct stanza *presence)
{
	char first[1024], *status = NULL;
	const char *text;
	struct arena a;
	size_t len;

	arena_init(&a, first, sizeof(first));
	text = elem_child_text(presence->root, "status", NS_CLIENT, &a);
	if (text && *text) {
		len = strlen(text);
		if (len > STATUS_BYTES_MAX)
			for (len = STATUS_BYTES_MAX; ((unsigned char)text[len] & 0xc0) == 0x80;
				len--)
				; /* not between the bytes of one character */
		status = xstrndup(text, len);
	}
	arena_fini(&a);
	return status;
}

static bool somebody_available(const struct jid *account)
{
	const struct sessions *all = directory_find(account);

	for (unsigned i = 0; all && i < all->n; i++)
		if (all->at[i].available)
			return true;
	return false;
}

/* A status comes with unavailable presence, before the session ends. */
static enum hook_next last_presence(void *subject, void *arg UNUSED)
{
	const struct session_presence *p = subject;
	char *status;

	if (p->stanza->type != PRES_UNAVAILABLE || somebody_available(p->session->jid))
		return HOOK_GO_ON;
	status = status_of(p->stanza);
	if (status)
		last_submit(p->session->jid, run_set, 0, status);
	return HOOK_GO_ON;
}

static enum hook_next last_closed(void *subject, void *arg UNUSED)
{
	const struct session *ss = subject;

	if (!directory_find(ss->jid))
		last_submit(ss->jid, run_touch, (int64_t)(ss->since_ms / 1000), NULL);
	return HOOK_GO_ON;
}

static enum hook_next last_removed(void *subject, void *arg UNUSED)
{
	last_submit(subject, run_forget, 0, NULL);
	return HOOK_GO_ON;
}

/* ---- Answering */

static void build_last(struct builder *answer, int64_t seconds, const char *status)
{
	build_open(answer, "query", NS_LAST);
	build_attr_int(answer, "seconds", seconds > 0 ? seconds : 0);
	if (status)
		build_cdata(answer, status, strlen(status));
	build_close(answer);
}

struct last_found {
	struct builder *answer;
	int64_t now;
};

static int take_row(const struct db_row *row, void *arg)
{
	struct last_found *f = arg;

	build_last(f->answer, f->now - db_row_int(row, 0),
		db_row_is_null(row, 1) ? NULL : db_row_text(row, 1));
	return 1;
}

/* §3: seconds since the account was last there, 0 while it is. */
static int last_of_account(const struct iq *iq, struct builder *answer)
{
	struct last_found found = { .answer = answer, .now = (int64_t)time(NULL) };
	const struct sessions *all;
	int rows;

	job_check();
	if (!presence_permitted(iq->host, iq->from, iq->to))
		return ERR_FORBIDDEN;
	all = directory_find(iq->to);
	if (all && all->n) {
		build_last(answer, 0, NULL);
		return 0;
	}
	rows = db_read(db_main(), &find_stmt,
		DB_PARAMS(db_text(iq->host->name), db_text(jid_local(iq->to))), take_row, &found);
	if (rows < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	return rows ? 0 : ERR_ITEM_NOT_FOUND;
}

int last_seen(struct host *h, const char *user, int64_t *out_s)
{
	int rows;

	if (!registry_find(h, "last"))
		return -ENODEV;
	rows = db_read(db_main(), &find_stmt, DB_PARAMS(db_text(h->name), db_text(user)),
		db_take_int, out_s);
	return rows < 0 ? rows : rows == 0;
}

/* §4: a client is not asked on behalf of who may not see its presence. */
static enum hook_next last_visit(void *subject, void *arg UNUSED)
{
	struct account_visit *v = subject;
	const struct stanza *s = v->stanza;

	if (s->kind != STANZA_IQ || s->type != IQ_GET || !jid_is_full(s->to) ||
		!elem_is(stanza_iq_child(s), "query", NS_LAST) ||
		presence_permitted(v->host, s->from, s->to))
		return HOOK_GO_ON;
	v->error = ERR_FORBIDDEN;
	return HOOK_STOP;
}

static uint64_t started_ms;

/* When the program starts, not when a reload adds the module. */
__attribute__((constructor)) static void note_start(void)
{
	started_ms = clock_ms();
}

/* §5: the server's uptime. */
static int last_of_server(const struct iq *iq UNUSED, struct builder *answer)
{
	build_last(answer, (int64_t)((clock_ms() - started_ms) / 1000), NULL);
	return 0;
}

static int last_start(struct module_instance *mi)
{
	job_check();
	metric_register(&lost_metric);
	if (db_main())
		return db_migrate(db_main(), last_migrations);
	log_error("last", "needs a database", L_STR("host", mi->host->name));
	return -ENODEV;
}

const struct module module_last = {
	.abi = LINNET_MODULE_ABI,
	.name = "last",
	.help = "Tells how long the server has been up, and when an account was last there to "
		"those who "
		"may see its presence.",
	.xeps = (const char *const[]){ "XEP-0012 2.0", NULL },
	.features = (const char *const[]){ NS_LAST, NULL },
	.account_features = (const char *const[]){ NS_LAST, NULL },
	.iq = (const struct iq_row[]){ { IQ_FOR_GET, IQ_LOCAL, NS_LAST, IQ_NO_QUEUE,
					       last_of_server },
		{ IQ_FOR_GET, IQ_SM, NS_LAST, IQ_QUEUES, last_of_account, .blocks = true }, { 0 } },
	.hooks = (const struct hook_row[]){ { &account_visit_hook, 60, last_visit },
		{ &session_presence_hook, 50, last_presence },
		{ &session_closed_hook, 50, last_closed },
		{ &account_removed_hook, 50, last_removed }, { 0 } },
	.start = last_start,
};
LINNET_MODULE(module_last);
