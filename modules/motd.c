/* modules/motd.c - one row a host, and one for each account that has had it. */
#include "modules/motd.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <urcu/list.h>

#include "core/clock.h"
#include "core/db.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "modules/erase.h"
#include "router/deliver.h"
#include "xml/builder.h"

#define WAITING_MAX 1024 /* visits at once; more see it when they come again */

static const struct db_migration motd_migrations[] = {
	{ "announce", 1,
		"CREATE TABLE motd (host KEYTEXT NOT NULL, id BIGINT NOT NULL, subject TEXT,"
		" body TEXT NOT NULL, lang TEXT, PRIMARY KEY (host));"
		"CREATE TABLE motd_seen (host KEYTEXT NOT NULL, name KEYTEXT NOT NULL,"
		" id BIGINT NOT NULL, PRIMARY KEY (host, name));" },
	{ 0 }
};
static struct db_stmt find_stmt =
	DB_STMT("motd_find", "SELECT id, subject, body, lang FROM motd WHERE host = ?");
static struct db_stmt set_stmt = DB_UPSERT("motd_set", "motd", "host", "id, subject, body, lang");
static struct db_stmt delete_stmt = DB_STMT("motd_delete", "DELETE FROM motd WHERE host = ?");
static struct db_stmt seen_stmt =
	DB_STMT("motd_seen", "SELECT id FROM motd_seen WHERE host = ? AND name = ?");
static struct db_stmt note_stmt = DB_UPSERT("motd_note", "motd_seen", "host, name", "id");
static struct db_stmt forget_all_stmt =
	DB_STMT("motd_forget_all", "DELETE FROM motd_seen WHERE host = ?");

static struct db_stmt forget_stmt =
	DB_STMT("motd_forget", "DELETE FROM motd_seen WHERE host = ? AND name = ?");

static struct metric shown_metric =
	METRIC_COUNTER("motd_shown_total", "Messages of the day sent to people who came.");

/* The present one, as shards see it; immutable. Counted: visits keep it. */
struct motd {
	_Atomic uint32_t refs;
	struct rcu_head rcu;
	int64_t id; /* ms since 1970 when it was set */
	struct notice notice; /* owned */
};
struct motd_board {
	struct cds_list_head at;
	struct host *host; /* counted */
	RCU_PTR(struct motd) motd; /* NULL: none; replaced under boards.lock */
	struct carrier *carrier; /* owned */
};
static struct {
	pthread_mutex_t lock; /* held while the database and the boards change together */
	struct cds_list_head list;
} boards = { .lock = PTHREAD_MUTEX_INITIALIZER, .list = CDS_LIST_HEAD_INIT(boards.list) };

static char *copy(const char *text)
{
	return text && *text ? xstrdup(text) : NULL;
}

static struct motd *motd_ref(struct motd *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

static void motd_unref(struct motd *m)
{
	if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
		return;
	free((char *)m->notice.subject);
	free((char *)m->notice.body);
	free((char *)m->notice.lang);
	free(m);
}

static void motd_unref_later(struct rcu_head *head)
{
	motd_unref(container_of(head, struct motd, rcu));
}

static struct motd *motd_new(int64_t id, const struct notice *n)
{
	struct motd *m = xcalloc(1, sizeof(*m));

	atomic_init(&m->refs, 1);
	m->id = id;
	m->notice.subject = copy(n->subject);
	m->notice.body = xstrdup(n->body);
	m->notice.lang = copy(n->lang);
	return m;
}

static int take_motd(const struct db_row *row, void *arg)
{
	const struct notice n = { .subject = db_row_text(row, 1),
		.body = db_row_text(row, 2),
		.lang = db_row_text(row, 3) };

	*(struct motd **)arg = motd_new(db_row_int(row, 0), &n);
	return 1;
}

/* *out NULL: there is none. 0 or a negative errno. */
ON_JOB static int read_motd(struct host *h, struct motd **out)
{
	int rows;

	*out = NULL;
	rows = db_read(db_main(), &find_stmt, DB_PARAMS(db_text(h->name)), take_motd, out);
	return rows < 0 ? rows : 0;
}

/* Under boards.lock; m NULL: none any more. */
static void publish(struct host *h, struct motd *m)
{
	struct motd_board *b;

	cds_list_for_each_entry (b, &boards.list, at) {
		struct motd *old;

		if (b->host != h)
			continue;
		old = rcu_swap(b->motd, m ? motd_ref(m) : NULL);
		if (old)
			rcu_later(&old->rcu, motd_unref_later);
	}
}

/* Others may wait for the database with it. */
static void lock_boards(void)
{
	bool reading = rcu_offline();

	pthread_mutex_lock(&boards.lock);
	rcu_online(reading);
}

int motd_open(struct host *h, struct motd_board **out)
{
	struct motd_board *b;
	struct motd *m;
	int error;

	if (!db_main()) {
		log_error("announce", "needs a database", L_STR("host", h->name));
		return -ENODEV;
	}
	metric_register(&shown_metric);
	error = db_migrate(db_main(), motd_migrations);
	if (error)
		return error;
	lock_boards();
	error = read_motd(h, &m);
	if (!error) {
		b = xcalloc(1, sizeof(*b));
		b->host = host_ref(h);
		rcu_set(b->motd, m);
		b->carrier = carrier_new(CARRIER_LANES, 4, WAITING_MAX, "motd");
		cds_list_add(&b->at, &boards.list);
		*out = b;
	}
	pthread_mutex_unlock(&boards.lock);
	return error;
}

void motd_close(struct motd_board *b)
{
	if (!b)
		return;
	lock_boards();
	cds_list_del(&b->at);
	pthread_mutex_unlock(&boards.lock);
	carrier_free(b->carrier);
	motd_unref(rcu_get(b->motd));
	host_unref(b->host);
	free(b);
}

/* ---- Telling it */

struct visit {
	struct job job;
	struct host *host; /* counted */
	struct jid *jid; /* owned; full */
	struct actor_id session;
	struct motd *motd; /* counted */
	bool tell;
};

static void visit_free(struct visit *v)
{
	motd_unref(v->motd);
	jid_free(v->jid);
	host_unref(v->host);
	free(v);
}

static int note_visit(struct db_tx *tx, void *arg)
{
	const struct visit *v = arg;

	return db_run(tx, &note_stmt,
		DB_PARAMS(db_text(v->host->name), db_text(jid_local(v->jid)), db_int(v->motd->id)));
}

static void visit_work(struct job *j)
{
	struct visit *v = container_of(j, struct visit, job);
	int64_t seen = 0;

	job_check();
	if (db_read(db_main(), &seen_stmt,
		    DB_PARAMS(db_text(v->host->name), db_text(jid_local(v->jid))), db_take_int,
		    &seen) < 0)
		return;
	v->tell = seen != v->motd->id && db_write(db_main(), note_visit, v) >= 0;
}

static void visit_done(struct job *j)
{
	struct visit *v = container_of(j, struct visit, job);
	char to[JID_TEXT_MAX];
	struct stanza *s;

	shard_check(NULL);
	if (v->tell) {
		jid_write(v->jid, to);
		s = notice_message(&v->motd->notice, v->host->name, to, NOTICE_NOW);
		deliver(v->session, s, DELIVER_COPY);
		stanza_unref(s);
		metric_add(&shown_metric, 1);
	}
	visit_free(v);
}

void motd_tell(struct motd_board *b, const struct session *ss)
{
	struct motd *m = rcu_get(b->motd);
	struct visit *v;

	if (!m)
		return;
	v = xcalloc(1, sizeof(*v));
	v->job.work = visit_work;
	v->job.done = visit_done;
	v->host = host_ref(b->host);
	v->jid = jid_dup(ss->jid, NULL);
	v->session = ss->id;
	v->motd = motd_ref(m);
	if (carrier_submit(b->carrier, ss->jid->bare_hash, &v->job))
		visit_free(v);
}

/* ---- Changing it */

struct motd_change {
	const char *host;
	const struct motd *motd; /* NULL: none any more */
};

static int change(struct db_tx *tx, void *arg)
{
	const struct motd_change *c = arg;
	struct db_value host = db_text(c->host);

	if (!c->motd) {
		int gone = db_run(tx, &delete_stmt, DB_PARAMS(host));
		int forgotten = gone < 0 ? gone : db_run(tx, &forget_all_stmt, DB_PARAMS(host));

		return forgotten < 0 ? forgotten : gone;
	}
	return db_run(tx, &set_stmt,
		DB_PARAMS(host, db_int(c->motd->id), db_text(c->motd->notice.subject),
			db_text(c->motd->notice.body), db_text(c->motd->notice.lang)));
}

/* Takes m. Rows changed, or a negative errno. */
ON_JOB static int replace(struct host *h, struct motd *m)
{
	struct motd_change c = { h->name, m };
	int changed;

	lock_boards();
	changed = db_write(db_main(), change, &c);
	if (changed >= 0)
		publish(h, m);
	motd_unref(m);
	pthread_mutex_unlock(&boards.lock);
	return changed;
}

int64_t motd_number(void)
{
	return (int64_t)clock_wall_ms();
}

int motd_set(struct host *h, const struct notice *n, int64_t id)
{
	int changed;

	if (!n->body || !*n->body)
		return -EINVAL;
	if (strlen(n->body) + (n->subject ? strlen(n->subject) : 0) > NOTICE_BYTES_MAX)
		return -EMSGSIZE;
	changed = replace(h, motd_new(id, n));
	return changed < 0 ? changed : 0;
}

int motd_delete(struct host *h)
{
	int changed = replace(h, NULL);

	return changed < 0 ? changed : changed == 0;
}

struct notes {
	const char *host;
	const char *const *addresses;
	unsigned n;
	int64_t id;
};

static int note_all(struct db_tx *tx, void *arg)
{
	const struct notes *notes = arg;
	int result = 0;

	for (unsigned i = 0; i < notes->n && result >= 0; i++) {
		const char *address = notes->addresses[i];

		result = db_run(tx, &note_stmt,
			DB_PARAMS(db_text(notes->host), db_text_n(address, strcspn(address, "@")),
				db_int(notes->id)));
	}
	return result;
}

void motd_note(struct host *h, const char *const *addresses, unsigned n, int64_t id)
{
	struct notes notes = { h->name, addresses, n, id };

	if (db_write(db_main(), note_all, &notes) < 0)
		log_warning("announce", "who has had the message of the day is not stored",
			L_STR("host", h->name));
}

char *motd_text(struct host *h, char **out_subject)
{
	struct motd *m;
	char *body = NULL;

	*out_subject = NULL;
	if (read_motd(h, &m) || !m)
		return NULL;
	*out_subject = copy(m->notice.subject);
	body = xstrdup(m->notice.body);
	motd_unref(m);
	return body;
}

void motd_forget(const struct jid *account)
{
	static struct db_stmt *const stmts[] = { &forget_stmt, NULL };

	erase_account(account, stmts, "announce");
}
