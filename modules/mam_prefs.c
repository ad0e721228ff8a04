/* modules/mam_prefs.c - what an account wants archived: XEP-0441. A row for accounts that have
 * chosen; in memory a part of the account's snapshot, with the rules in the order of their hashes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "modules/erase.h"
#include "modules/mam_inside.h"
#include "router/contacts.h"

#define RULES_MAX 1000 /* of one account, in both lists */

static const struct db_migration migrations[] = {
	{ "archive_prefs", 1,
		"CREATE TABLE archive_prefs (host KEYTEXT NOT NULL, name KEYTEXT NOT NULL,"
		" otherwise BIGINT NOT NULL, always TEXT NOT NULL, never TEXT NOT NULL,"
		" PRIMARY KEY (host, name));" },
	{ 0 }
};
/* Addresses have a line each: none holds a line's end. */
static struct db_stmt find_stmt = DB_STMT("archive_prefs_find",
	"SELECT otherwise, always, never FROM archive_prefs WHERE host = ? AND name = ?");
static struct db_stmt set_stmt =
	DB_UPSERT("archive_prefs_set", "archive_prefs", "host, name", "otherwise, always, never");
static struct db_stmt erase_stmt =
	DB_STMT("archive_prefs_erase", "DELETE FROM archive_prefs WHERE host = ? AND name = ?");

int mam_prefs_open(void)
{
	return db_migrate(db_main(), migrations);
}

void mam_prefs_forget(const struct jid *account)
{
	static struct db_stmt *const stmts[] = { &erase_stmt, NULL };

	erase_account(account, stmts, "archive preferences");
}

/* ---- In memory */

struct rule {
	struct jid *jid; /* owned; a bare one stands for all its resources */
	bool always;
};
struct prefs {
	struct account_part part;
	enum mam_default otherwise;
	unsigned n;
	struct rule rules[]; /* by bare_hash */
};

static void prefs_free(struct account_part *part)
{
	struct prefs *p = container_of(part, struct prefs, part);

	for (unsigned i = 0; i < p->n; i++)
		jid_free(p->rules[i].jid);
	free(p);
}

static int compare_rules(const void *a, const void *b)
{
	uint32_t x = ((const struct rule *)a)->jid->bare_hash;
	uint32_t y = ((const struct rule *)b)->jid->bare_hash;

	return x < y ? -1 : x > y;
}

static void add_rules(struct prefs *p, const char *text, bool always)
{
	while (*text && p->n < RULES_MAX) {
		size_t len = strcspn(text, "\n");
		struct jid *j;

		if (jid_parse(text, len, NULL, &j) == JID_OK)
			p->rules[p->n++] = (struct rule){ j, always };
		text += len + (text[len] != '\0');
	}
}

static int take_prefs(const struct db_row *row, void *arg)
{
	struct prefs *p = xcalloc(1, sizeof(*p) + RULES_MAX * sizeof(p->rules[0]));
	struct prefs **out = arg;

	atomic_init(&p->part.refs, 1);
	p->part.free = prefs_free;
	p->otherwise = (enum mam_default)db_row_int(row, 0);
	add_rules(p, db_row_text(row, 1), true);
	add_rules(p, db_row_text(row, 2), false);
	p = xrealloc(p, sizeof(*p) + p->n * sizeof(p->rules[0]));
	qsort(p->rules, p->n, sizeof(p->rules[0]), compare_rules);
	*out = p;
	return 1;
}

static int prefs_load(
	void *arg UNUSED, struct host *h, const struct jid *bare, struct account_part **out)
{
	struct prefs *p = NULL;
	int rows;

	job_check();
	rows = db_read(db_main(), &find_stmt, DB_PARAMS(db_text(h->name), db_text(jid_local(bare))),
		take_prefs, &p);
	if (rows < 0)
		return rows;
	*out = p ? &p->part : NULL;
	return 0;
}

static struct account_kind prefs_kind = { .name = "archive preferences", .load = prefs_load };

void mam_prefs_use(struct module_instance *mi)
{
	account_kind_add(mi->host, &prefs_kind, mi);
}

void mam_prefs_unuse(struct module_instance *mi)
{
	account_kind_remove(mi->host, &prefs_kind, mi);
}

/* ---- Asking */

/* §2.2.1: the rule of that very address, or of all its resources; "always" counts before "never".
 */
static const struct rule *rule_for(const struct prefs *p, const struct jid *peer)
{
	const struct rule *best = NULL;
	unsigned from = 0, to = p->n;

	while (from < to) {
		unsigned middle = (from + to) / 2;

		if (p->rules[middle].jid->bare_hash < peer->bare_hash)
			from = middle + 1;
		else
			to = middle;
	}
	for (; from < p->n && p->rules[from].jid->bare_hash == peer->bare_hash; from++) {
		const struct rule *r = &p->rules[from];
		bool full = jid_is_full(r->jid);

		if (full ? !jid_equal(r->jid, peer) : !jid_equal_bare(r->jid, peer))
			continue;
		if (!best || (full && !jid_is_full(best->jid)) ||
			(full == jid_is_full(best->jid) && r->always))
			best = r;
	}
	return best;
}

bool mam_prefs_want(const struct account *a, const struct jid *peer, enum mam_default otherwise)
{
	const struct prefs *p = account_part(a, &prefs_kind);
	const struct rule *rule = p ? rule_for(p, peer) : NULL;

	if (rule)
		return rule->always;
	if (p)
		otherwise = p->otherwise;
	return otherwise == MAM_ROSTER ? contact_state(a, peer) & CONTACT_LISTED
				       : otherwise == MAM_ALWAYS;
}

/* ---- Requests */

static void build_list(struct builder *b, const struct prefs *p, const char *name, bool always)
{
	char text[JID_TEXT_MAX];

	build_open(b, name, NULL);
	for (unsigned i = 0; p && i < p->n; i++) {
		if (p->rules[i].always != always)
			continue;
		jid_write(p->rules[i].jid, text);
		build_text(b, "jid", text);
	}
	build_close(b);
}

ON_JOB static int answer_prefs(struct account_request *r)
{
	const struct mam_conf *conf = r->conf;
	struct account_part *part = NULL;
	const struct prefs *p;
	struct builder b;

	if (prefs_load(NULL, r->host, r->bare, &part))
		return ERR_INTERNAL_SERVER_ERROR;
	p = part ? container_of(part, struct prefs, part) : NULL;
	build_iq_result(&b, r->stanza);
	build_open(&b, "prefs", NS_MAM);
	build_attr(&b, "default",
		mam_defaults[p ? p->otherwise : (enum mam_default)conf->default_archive]);
	build_list(&b, p, "always", true);
	build_list(&b, p, "never", false);
	build_close(&b);
	if (part)
		prefs_free(part);
	account_request_answer(r, build_end(&b));
	return 0;
}

int mam_prefs_get(struct account_request *r)
{
	return answer_prefs(r);
}

struct choice {
	const struct account_request *request;
	int otherwise;
	struct buf *lists[2]; /* owned: never, always */
	unsigned n;
};

static int read_list(struct choice *c, const struct elem *list, bool always)
{
	char text[JID_TEXT_MAX];
	struct arena *a = (struct arena *)&c->request->arena;

	if (!list)
		return 0; /* §2.1.2, §2.1.3: empty */
	elem_each_child (list, item) {
		const char *given = elem_text(item, a);
		struct jid *j;
		size_t len;

		if (!elem_is(item, "jid", NS_MAM))
			return ERR_BAD_REQUEST;
		if (jid_parse(given, strlen(given), a, &j) != JID_OK)
			return ERR_JID_MALFORMED;
		if (++c->n > RULES_MAX)
			return ERR_POLICY_VIOLATION;
		len = jid_write(j, text);
		text[len++] = '\n';
		if (!c->lists[always])
			c->lists[always] = buf_new(256);
		buf_append(&c->lists[always], text, len);
	}
	return 0;
}

static int read_default(const struct elem *prefs, int *out)
{
	const char *word = elem_attr(prefs, "default");

	for (int i = 0; word && mam_defaults[i]; i++)
		if (strcmp(word, mam_defaults[i]) == 0) {
			*out = i;
			return 0;
		}
	return ERR_BAD_REQUEST;
}

static struct db_value list_value(const struct buf *b)
{
	return b ? db_text_n(b->data, b->len) : db_text("");
}

static int store_choice(struct db_tx *tx, void *arg)
{
	const struct choice *c = arg;

	return db_run(tx, &set_stmt,
		DB_PARAMS(db_text(c->request->host->name),
			db_text(jid_local(c->request->stanza->from)), db_int(c->otherwise),
			list_value(c->lists[1]), list_value(c->lists[0])));
}

ON_JOB static int set_prefs(struct choice *c)
{
	const struct account_request *r = c->request;
	int error = read_default(r->payload, &c->otherwise);

	if (!error)
		error = read_list(c, elem_child(r->payload, "always", NS_MAM), true);
	if (!error)
		error = read_list(c, elem_child(r->payload, "never", NS_MAM), false);
	if (error)
		return error;
	if (db_write(db_main(), store_choice, c) < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	return account_changed(r->host, r->bare, &prefs_kind) ? ERR_INTERNAL_SERVER_ERROR : 0;
}

int mam_prefs_set(struct account_request *r)
{
	struct choice c = { .request = r };
	int error = set_prefs(&c);

	buf_unref(c.lists[0]);
	buf_unref(c.lists[1]);
	return error ? error : answer_prefs(r);
}
