/* router/user_agent.c - one row for each client of an account. */
#include "router/user_agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"

#define SWEPT 16 /* rows that are overdue, taken away whenever one is added */

static const struct db_migration steps[] = {
	{ "user_agents", 1,
		"CREATE TABLE user_agents (host KEYTEXT NOT NULL, name KEYTEXT NOT NULL,"
		" id KEYTEXT NOT NULL, software TEXT, device TEXT, first_seen BIGINT NOT NULL,"
		" last_seen BIGINT NOT NULL, ways BIGINT NOT NULL,"
		" fresh_hash BLOB, fresh_mechanism BIGINT NOT NULL, fresh_issued BIGINT NOT NULL,"
		" fresh_expires BIGINT NOT NULL, fresh_count BIGINT NOT NULL,"
		" current_hash BLOB, current_mechanism BIGINT NOT NULL,"
		" current_issued BIGINT NOT NULL, current_expires BIGINT NOT NULL,"
		" current_count BIGINT NOT NULL, PRIMARY KEY (host, name, id));"
		"CREATE INDEX user_agents_seen ON user_agents (host, last_seen);" },
	{ 0 },
};

#define COLUMNS                                                                                 \
	"id, software, device, first_seen, last_seen, ways,"                                    \
	" fresh_hash, fresh_mechanism, fresh_issued, fresh_expires, fresh_count, current_hash," \
	" current_mechanism, current_issued, current_expires, current_count"
enum { COL_ID, COL_SOFTWARE, COL_DEVICE, COL_FIRST, COL_LAST, COL_WAYS, COL_TOKENS };
enum { TOKEN_COLUMNS = 5 };

static struct db_stmt find_stmt = DB_STMT("user_agent_find",
	"SELECT " COLUMNS " FROM user_agents WHERE host = ? AND name = ? AND id = ?");
static struct db_stmt each_stmt = DB_STMT("user_agent_each",
	"SELECT " COLUMNS " FROM user_agents WHERE host = ? AND name = ? ORDER BY first_seen, id");
static struct db_stmt oldest_stmt = DB_STMT("user_agent_oldest",
	"SELECT id FROM user_agents WHERE host = ? AND name = ? ORDER BY last_seen DESC, id");
static struct db_stmt overdue_stmt = DB_STMT("user_agent_overdue",
	"SELECT name, id FROM user_agents WHERE host = ? AND last_seen < ?"
	" AND fresh_expires < ? AND current_expires < ? LIMIT ?");
static struct db_stmt set_stmt = DB_UPSERT("user_agent_set", "user_agents", "host, name, id",
	"software, device, first_seen, last_seen, ways,"
	" fresh_hash, fresh_mechanism, fresh_issued, fresh_expires, fresh_count,"
	" current_hash, current_mechanism, current_issued, current_expires, current_count");
static struct db_stmt revoke_stmt = DB_STMT(
	"user_agent_revoke", "DELETE FROM user_agents WHERE host = ? AND name = ? AND id = ?");
static struct db_stmt disown_stmt = DB_STMT("user_agent_disown",
	"UPDATE user_agents SET ways = 0, fresh_hash = NULL, fresh_expires = 0,"
	" current_hash = NULL, current_expires = 0 WHERE host = ? AND name = ?");
#define REVOKE_TOKENS                                                                       \
	"UPDATE user_agents SET fresh_hash = NULL, fresh_expires = 0, current_hash = NULL," \
	" current_expires = 0 WHERE (fresh_expires > 0 OR current_expires > 0) AND host = ?"
/* By whether a name and whether a software is given. */
static struct db_stmt revoke_tokens_stmts[2][2] = {
	{ DB_STMT("user_agent_revoke_tokens", REVOKE_TOKENS),
		DB_STMT("user_agent_revoke_tokens_of", REVOKE_TOKENS " AND software = ?") },
	{ DB_STMT("user_agent_revoke_tokens_user", REVOKE_TOKENS " AND name = ?"),
		DB_STMT("user_agent_revoke_tokens_user_of",
			REVOKE_TOKENS " AND name = ? AND software = ?") },
};
static struct db_stmt remove_stmt =
	DB_STMT("user_agent_remove", "DELETE FROM user_agents WHERE host = ? AND name = ?");

HOOK(user_agent_revoked);

static struct metric lost_metric = METRIC_COUNTER("user_agents_lost_total",
	"Logins that were not noted with their client: too many writes waited, or one failed.");

/* --- what clients say of themselves ---------------------------------------------------------- */

bool user_agent_read_id(const char *text, char out[USER_AGENT_ID + 1])
{
	unsigned i;

	for (i = 0; i < USER_AGENT_ID; i++) {
		char c = text[i];
		bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;

		if (c >= 'A' && c <= 'F')
			c = (char)(c | 0x20);
		if (hyphen ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		out[i] = c;
	}
	out[i] = 0;
	return !text[i];
}

void user_agent_text(const char *text, char out[USER_AGENT_TEXT + 1])
{
	size_t len = strnlen(text, USER_AGENT_TEXT + 1);

	if (len > USER_AGENT_TEXT)
		for (len = USER_AGENT_TEXT; ((unsigned char)text[len] & 0xc0) == 0x80; len--)
			; /* not between the bytes of one character */
	memcpy(out, text, len);
	out[len] = 0;
}

/* FNV-1a: ids are random already. */
uint64_t user_agent_key(const char *id)
{
	uint64_t key = 0xcbf29ce484222325u;

	if (!*id)
		return 0;
	for (; *id; id++)
		key = (key ^ (unsigned char)*id) * 0x100000001b3u;
	return key ? key : 1;
}

bool user_agent_has_token(const struct user_agent *ua, int64_t now)
{
	return ua->tokens[TOKEN_FRESH].expires > now || ua->tokens[TOKEN_CURRENT].expires > now;
}

bool user_agent_has_access(const struct user_agent *ua, int64_t now)
{
	return ua->ways & USER_AGENT_PASSWORD || user_agent_has_token(ua, now);
}

/* --- rows ------------------------------------------------------------------------------------ */

static void take_token(const struct db_row *r, unsigned col, struct token *t)
{
	size_t len;
	const void *hash = db_row_blob(r, col, &len);

	if (len != TOKEN_HASH)
		return;
	memcpy(t->hash, hash, TOKEN_HASH);
	t->mechanism = (uint8_t)db_row_int(r, col + 1);
	t->issued = db_row_int(r, col + 2);
	t->expires = db_row_int(r, col + 3);
	t->count = db_row_int(r, col + 4);
}

static int take_row(const struct db_row *r, void *arg)
{
	struct user_agent *ua = arg;

	memset(ua, 0, sizeof(*ua));
	if (!user_agent_read_id(db_row_text(r, COL_ID), ua->id))
		return -EIO;
	user_agent_text(db_row_text(r, COL_SOFTWARE), ua->software);
	user_agent_text(db_row_text(r, COL_DEVICE), ua->device);
	ua->first_seen = db_row_int(r, COL_FIRST);
	ua->last_seen = db_row_int(r, COL_LAST);
	ua->ways = (unsigned)db_row_int(r, COL_WAYS);
	for (unsigned slot = 0; slot < TOKEN_SLOTS; slot++)
		take_token(r, COL_TOKENS + TOKEN_COLUMNS * slot, &ua->tokens[slot]);
	return 0;
}

static struct db_value hash_value(const struct token *t)
{
	return t->expires ? db_blob(t->hash, TOKEN_HASH) : db_null();
}

static int store(struct db_tx *tx, const struct user_agent_visit *v, const struct user_agent *ua)
{
	const struct token *fresh = &ua->tokens[TOKEN_FRESH], *current = &ua->tokens[TOKEN_CURRENT];

	return db_run(tx, &set_stmt,
		DB_PARAMS(db_text(v->host->name), db_text(v->user), db_text(ua->id),
			db_text(ua->software), db_text(ua->device), db_int(ua->first_seen),
			db_int(ua->last_seen), db_int(ua->ways), hash_value(fresh),
			db_int(fresh->mechanism), db_int(fresh->issued), db_int(fresh->expires),
			db_int(fresh->count), hash_value(current), db_int(current->mechanism),
			db_int(current->issued), db_int(current->expires), db_int(current->count)));
}

/* --- a login --------------------------------------------------------------------------------- */

/* Keys of rows that are to go: a row cannot be deleted while it is being read. */
struct going {
	struct {
		char *name; /* NULL: the account's */
		char id[USER_AGENT_ID + 1];
	} at[SWEPT];
	unsigned n;
	int64_t skip; /* rows that stay */
};

static int take_old(const struct db_row *r, void *arg)
{
	struct going *g = arg;

	if (g->skip-- > 0)
		return 0;
	g->n += user_agent_read_id(db_row_text(r, 0), g->at[g->n].id);
	return g->n == SWEPT;
}

static int take_overdue(const struct db_row *r, void *arg)
{
	struct going *g = arg;

	if (!user_agent_read_id(db_row_text(r, 1), g->at[g->n].id))
		return 0;
	g->at[g->n++].name = xstrdup(db_row_text(r, 0));
	return g->n == SWEPT;
}

static int let_go(struct db_tx *tx, const struct user_agent_visit *v, struct going *g)
{
	int error = 0;

	for (unsigned i = 0; i < g->n; i++) {
		const char *name = g->at[i].name ? g->at[i].name : v->user;

		if (error >= 0)
			error = db_run(tx, &revoke_stmt,
				DB_PARAMS(db_text(v->host->name), db_text(name),
					db_text(g->at[i].id)));
		free(g->at[i].name);
	}
	return error < 0 ? error : 0;
}

/* For one more: the account's clients that were not seen for longest, and some of all accounts that
 * nobody asks for any more. */
static int make_room(struct db_tx *tx, const struct user_agent_visit *v)
{
	struct going old = { .skip = v->max - 1 }, overdue = { 0 };
	int error = db_select(tx, &oldest_stmt, DB_PARAMS(db_text(v->host->name), db_text(v->user)),
		take_old, &old);

	if (error >= 0)
		error = let_go(tx, v, &old);
	if (error >= 0)
		error = db_select(tx, &overdue_stmt,
			DB_PARAMS(db_text(v->host->name), db_int(v->now - v->lifetime_s),
				db_int(v->now), db_int(v->now), db_int(SWEPT)),
			take_overdue, &overdue);
	if (error >= 0)
		return let_go(tx, v, &overdue);
	for (unsigned i = 0; i < overdue.n; i++)
		free(overdue.at[i].name);
	return error;
}

/* XEP-0484 §3.5: the first use of a fresh token ends the one before. False: it is neither. */
static bool use_token(struct user_agent *ua, const struct user_agent_visit *v)
{
	struct token *fresh = &ua->tokens[TOKEN_FRESH], *current = &ua->tokens[TOKEN_CURRENT];

	if (fresh->expires && !memcmp(fresh->hash, v->used, TOKEN_HASH)) {
		*current = *fresh;
		fresh->expires = 0;
	} else if (!current->expires || memcmp(current->hash, v->used, TOKEN_HASH)) {
		return false;
	} else if (fresh->expires < current->expires) {
		fresh->expires = 0;
	}
	if (v->count > current->count)
		current->count = v->count;
	if (v->invalidate)
		current->expires = fresh->expires = 0;
	return true;
}

static void take_texts(struct user_agent *ua, const struct user_agent_visit *v)
{
	if (!v->lifetime_s) {
		ua->software[0] = ua->device[0] = 0;
		return;
	}
	if (v->agent.software[0])
		strcpy(ua->software, v->agent.software);
	if (v->agent.device[0])
		strcpy(ua->device, v->agent.device);
}

/* Who comes again and again is written down once a minute. */
static bool is_news(struct user_agent *was, const struct user_agent *is)
{
	int64_t since = is->last_seen - was->last_seen;

	was->last_seen = is->last_seen;
	return since >= USER_AGENT_SEEN_S || memcmp(was, is, sizeof(*was)) != 0;
}

static int run_visit(struct db_tx *tx, struct db_work *w)
{
	struct user_agent_visit *v = container_of(w, struct user_agent_visit, work);
	struct db_value host = db_text(v->host->name), user = db_text(v->user);
	struct user_agent ua = { .first_seen = v->now }, was;
	int found = db_select(
		tx, &find_stmt, DB_PARAMS(host, user, db_text(v->agent.id)), take_row, &ua);

	if (found < 0)
		return found;
	was = ua;
	if (v->by_token && (!found || !use_token(&ua, v)))
		return -ENOENT;
	if (!found) {
		if (!v->lifetime_s && !v->fresh.expires)
			return 0;
		strcpy(ua.id, v->agent.id);
		found = make_room(tx, v);
		if (found < 0)
			return found;
	}
	if (!v->by_token)
		ua.ways |= USER_AGENT_PASSWORD;
	if (v->fresh.expires)
		ua.tokens[TOKEN_FRESH] = v->fresh;
	ua.last_seen = v->now;
	take_texts(&ua, v);
	if (is_news(&was, &ua))
		found = store(tx, v, &ua);
	return found < 0 ? found : 0;
}

static void visit_done(struct db_work *w)
{
	struct user_agent_visit *v = container_of(w, struct user_agent_visit, work);

	v->result = w->result < 0 ? w->result : 0;
	if (v->result && v->result != -ENOENT)
		metric_add(&lost_metric, 1);
	if (v->done)
		v->done(v);
	user_agent_visit_free(v);
}

struct user_agent_visit *user_agent_visit_new(
	struct host *h, const char *user, const struct user_agent *agent)
{
	struct user_agent_visit *v = xcalloc(1, sizeof(*v));
	struct host_conf *conf = host_conf_hold(h);

	v->agent = *agent;
	v->host = host_ref(h);
	v->user = xstrdup(user);
	v->now = (int64_t)time(NULL);
	v->lifetime_s = conf->user_agent_lifetime_ms / 1000;
	v->max = conf->max_user_agents;
	v->work.run = run_visit;
	v->work.done = visit_done;
	host_conf_drop(conf);
	return v;
}

void user_agent_visit_free(struct user_agent_visit *v)
{
	host_unref(v->host);
	free(v->user);
	wipe(v, sizeof(*v));
	free(v);
}

int user_agent_note(struct user_agent_visit *v)
{
	static struct log_seldom seldom;
	uint32_t left_out;
	int error;

	if (!db_main())
		return -ENOSYS;
	error = db_write_later(db_main(), &v->work);
	if (!error)
		return 0;
	metric_add(&lost_metric, 1);
	if (log_seldom(&seldom, &left_out))
		log_warning("auth", "too many writes wait: clients are not noted",
			L_INT("left_out", left_out));
	return error;
}

/* --- asking ---------------------------------------------------------------------------------- */

int user_agent_find(struct host *h, const char *user, const char *id, struct user_agent *out)
{
	int found;

	job_check();
	if (!db_main())
		return -ENOSYS;
	found = db_read(db_main(), &find_stmt,
		DB_PARAMS(db_text(h->name), db_text(user), db_text(id)), take_row, out);
	if (found < 0)
		return found;
	return found ? 0 : USER_AGENT_UNKNOWN;
}

struct telling {
	void (*fn)(const struct user_agent *ua, void *arg);
	void *arg;
	int64_t now, lifetime_s;
};

static int tell(const struct db_row *r, void *arg)
{
	const struct telling *t = arg;
	struct user_agent ua;
	int error = take_row(r, &ua);

	if (error)
		return error;
	if (ua.last_seen >= t->now - t->lifetime_s || user_agent_has_token(&ua, t->now))
		t->fn(&ua, t->arg);
	wipe(&ua, sizeof(ua));
	return 0;
}

int user_agent_each(struct host *h, const char *user,
	void (*fn)(const struct user_agent *ua, void *arg), void *arg)
{
	struct host_conf *conf = host_conf_hold(h);
	struct telling t = { fn, arg, (int64_t)time(NULL), conf->user_agent_lifetime_ms / 1000 };
	int rows;

	job_check();
	host_conf_drop(conf);
	if (!db_main())
		return -ENOSYS;
	rows = db_read(db_main(), &each_stmt, DB_PARAMS(db_text(h->name), db_text(user)), tell, &t);
	return rows < 0 ? rows : 0;
}

/* --- taking away ----------------------------------------------------------------------------- */

struct change {
	struct db_stmt *stmt;
	struct db_value key[3];
	unsigned n;
};

static int run_change(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;

	return db_run(tx, c->stmt, (struct db_params){ c->key, c->n });
}

/* With the host and whichever of these there are. */
ON_JOB static int change(
	struct db_stmt *stmt, struct host *h, const char *first, const char *second)
{
	struct change c = { .stmt = stmt, .key = { db_text(h->name) }, .n = 1 };

	if (first)
		c.key[c.n++] = db_text(first);
	if (second)
		c.key[c.n++] = db_text(second);
	return db_main() ? db_write(db_main(), run_change, &c) : -ENOSYS;
}

static void tell_revoked(struct host *h, const char *user, const char *id)
{
	struct user_agent_revoked r = { .user_agent = user_agent_key(id) };
	struct jid *account;

	if (jid_make(user, h->name, NULL, NULL, &account))
		return;
	r.account = account;
	hook_run(h->hooks, &user_agent_revoked_hook, &r);
	jid_free(account);
}

int user_agent_revoke(struct host *h, const char *user, const char *id)
{
	int changed;

	job_check();
	changed = change(&revoke_stmt, h, user, id);
	if (changed < 0)
		return changed;
	tell_revoked(h, user, id);
	return changed ? 0 : USER_AGENT_UNKNOWN;
}

int user_agents_revoke_tokens(struct host *h, const char *user, const char *software)
{
	job_check();
	return change(&revoke_tokens_stmts[user != NULL][software != NULL], h,
		user ? user : software, user ? software : NULL);
}

/* All of an account's: nothing to do without a database. */
ON_JOB static int change_all(struct db_stmt *stmt, struct host *h, const char *user)
{
	int changed = change(stmt, h, user, NULL);

	return changed < 0 && changed != -ENOSYS ? changed : 0;
}

int user_agents_disown(struct host *h, const char *user)
{
	job_check();
	return change_all(&disown_stmt, h, user);
}

int user_agents_remove(struct host *h, const char *user)
{
	job_check();
	return change_all(&remove_stmt, h, user);
}

int user_agents_start(struct db *db)
{
	job_check();
	metric_register(&lost_metric);
	return db_migrate(db, steps);
}
