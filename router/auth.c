/* router/auth.c - what is asked of and done with the accounts of a host, whichever source they are
 * from, and what strangers are shown in their place. */
#include "router/auth.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "core/db.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "router/auth_cache.h"
#include "router/auth_walk.h"
#include "router/host_conf.h"
#include "xml/jid.h"

#define SECRET_BYTES 32
#define FAKE_SALT_BYTES 16

HOOK(account_removed);

static uint8_t secret[SECRET_BYTES]; /* constant after auth_start() */

/* --- one account ----------------------------------------------------------------------------- */

ON_JOB static int find(
	enum auth_purpose purpose, struct host *h, const char *user, struct auth_account *out)
{
	struct auth_walk w;
	int result;

	auth_walk_begin(&w, purpose, h, user);
	result = auth_walk_through(&w, NULL);
	*out = w.account;
	auth_walk_fini(&w);
	return result;
}

int auth_find(struct host *h, const char *user, struct auth_account *out)
{
	job_check();
	return find(TO_KNOW, h, user, out);
}

int auth_verifiers(struct host *h, const char *user, struct auth_account *out)
{
	job_check();
	return find(TO_LOG_IN_BY_VERIFIER, h, user, out);
}

int auth_check(struct host *h, const char *user, const char *password)
{
	struct auth_walk w;
	int result;

	job_check();
	auth_walk_begin(&w, TO_LOG_IN_BY_PASSWORD, h, user);
	result = auth_walk_through(&w, password);
	auth_walk_fini(&w);
	return result;
}

/* The source that an account belongs to, counted. 0, AUTH_NO_SUCH_USER or a negative errno. */
ON_JOB static int source_of(struct host *h, const char *user, struct auth_source **out)
{
	struct auth_account found;
	int result = auth_find(h, user, &found);

	*out = result ? NULL : auth_source_hold(h, found.source);
	wipe(&found, sizeof(found));
	return result || *out ? result : -ENOSYS;
}

/* A host's sources in order, counted. */
struct sources {
	struct auth_source *at[AUTH_SOURCES];
	unsigned n;
};

static void sources_hold(struct host *h, struct sources *out)
{
	struct host_conf *conf = host_conf_hold(h);

	out->n = 0;
	for (unsigned i = 0; i < conf->n_sources; i++) {
		struct auth_source *s = auth_source_hold(h, (enum auth_method)conf->sources[i]);

		if (s)
			out->at[out->n++] = s;
	}
	host_conf_drop(conf);
}

static void sources_drop(struct sources *all)
{
	for (unsigned i = 0; i < all->n; i++)
		auth_source_drop(all->at[i]);
}

ON_JOB static int do_in(struct auth_source *s, enum auth_deed deed, struct host *h,
	const char *user, const char *password)
{
	int result = auth_source_do(s, deed, h, user, password, NULL);

	auth_cache_forget(h, user);
	return result;
}

int auth_create(struct host *h, const char *user, const char *password)
{
	struct auth_account found;
	struct sources all;
	int result;

	job_check();
	if (!auth_is_name(user))
		return -EINVAL;
	result = auth_find(h, user, &found);
	wipe(&found, sizeof(found));
	if (result != AUTH_NO_SUCH_USER)
		return result ? result : AUTH_EXISTS;
	result = AUTH_READ_ONLY;
	sources_hold(h, &all);
	for (unsigned i = 0; i < all.n && result == AUTH_READ_ONLY; i++)
		if (auth_source_part(all.at[i])->backend->create)
			result = do_in(all.at[i], AUTH_DO_CREATE, h, user, password);
	sources_drop(&all);
	return result;
}

int auth_import(struct host *h, struct auth_import *list, unsigned n)
{
	struct sources all;
	int result = AUTH_READ_ONLY;

	job_check();
	for (unsigned i = 0; i < n; i++) {
		struct auth_account found;
		int known =
			auth_is_name(list[i].user) ? auth_find(h, list[i].user, &found) : -EINVAL;

		if (known < 0 && known != -EINVAL)
			return known;
		list[i].result = known == AUTH_NO_SUCH_USER ? 0 : known ? known : AUTH_EXISTS;
	}
	sources_hold(h, &all);
	for (unsigned i = 0; i < all.n && result == AUTH_READ_ONLY; i++) {
		const struct auth_source_part *p = auth_source_part(all.at[i]);

		if (p->backend->import)
			result = p->backend->import(p->arg, h, list, n);
	}
	sources_drop(&all);
	return result == AUTH_READ_ONLY ? -ENOSYS : result;
}

/* Who has a token may have it by the old password, so no token outlives that: they go before it
 * changes, and those that were given meanwhile after it. */
int auth_set_password(struct host *h, const char *user, const char *password)
{
	struct auth_source *s;
	int result;

	job_check();
	result = source_of(h, user, &s);
	if (!result && !auth_source_part(s)->backend->set_password)
		result = AUTH_READ_ONLY;
	if (!result)
		result = user_agents_disown(h, user);
	if (!result)
		result = do_in(s, AUTH_DO_SET_PASSWORD, h, user, password);
	if (!result)
		user_agents_disown(h, user);
	auth_source_drop(s);
	return result;
}

int auth_set_verifier(struct host *h, const char *user, const struct auth_account *was,
	enum scram_hash hash, const struct scram_verifier *v)
{
	struct auth_source *s = auth_source_hold(h, was->source);
	const struct auth_source_part *p = s ? auth_source_part(s) : NULL;
	int result;

	job_check();
	if (!p)
		return -ENOSYS;
	result = p->backend->set_verifier ? p->backend->set_verifier(p->arg, h, user, was, hash, v)
					  : AUTH_READ_ONLY;
	auth_source_drop(s);
	return result;
}

static int write_nothing(struct db_tx *tx UNUSED, void *arg UNUSED)
{
	return 0;
}

/* What the hook's functions asked the database to forget is forgotten. */
ON_JOB static void wait_for_writes(void)
{
	if (db_main())
		db_write(db_main(), write_nothing, NULL); /* if it fails, they have said so */
}

/* Whoever keeps something of it is told. */
ON_JOB static void tell_removed(struct host *h, struct jid *jid)
{
	hook_run(h->hooks, &account_removed_hook, jid);
	wait_for_writes();
}

/* password NULL: whatever it is. */
ON_JOB static int remove_account(struct host *h, const char *user, const char *password)
{
	struct auth_source *s = NULL;
	struct jid *jid;
	int result;

	if (!auth_is_name(user) || jid_make(user, h->name, NULL, NULL, &jid))
		return AUTH_NO_SUCH_USER;
	result = source_of(h, user, &s);
	if (!result && !auth_source_part(s)->backend->remove)
		result = AUTH_READ_ONLY;
	if (!result && password)
		result = auth_check(h, user, password);
	if (!result)
		result = user_agents_remove(h, user);
	if (!result)
		result = do_in(s, AUTH_DO_REMOVE, h, user, password);
	if (!result)
		tell_removed(h, jid);
	auth_source_drop(s);
	jid_free(jid);
	return result;
}

int auth_remove(struct host *h, const char *user)
{
	job_check();
	return remove_account(h, user, NULL);
}

int auth_remove_with(struct host *h, const char *user, const char *password)
{
	job_check();
	return remove_account(h, user, password);
}

int auth_forget(struct host *h, const char *user)
{
	struct auth_source *s = NULL;
	struct jid *jid;
	int result;

	job_check();
	if (!auth_is_name(user) || jid_make(user, h->name, NULL, NULL, &jid))
		return AUTH_NO_SUCH_USER;
	auth_cache_forget(h, user);
	result = source_of(h, user, &s);
	if (result == AUTH_NO_SUCH_USER)
		result = 0;
	else if (!result && auth_source_part(s)->backend->remove)
		result = AUTH_EXISTS;
	if (!result)
		result = user_agents_remove(h, user);
	if (!result)
		tell_removed(h, jid);
	auth_source_drop(s);
	jid_free(jid);
	return result;
}

/* --- all of them ----------------------------------------------------------------------------- */

/* The names that several lists have after one name, each list in order. */
struct names {
	char **at;
	size_t n, room;
};

static void add_name(const char *user, void *arg)
{
	struct names *all = arg;

	if (all->n == all->room) {
		all->room = all->room ? 2 * all->room : 64;
		all->at = xrealloc(all->at, all->room * sizeof(*all->at));
	}
	all->at[all->n++] = xstrdup(user);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The first max of them, each once; frees them. */
static void tell_names(
	struct names *all, unsigned max, void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	const char *last = NULL;

	if (all->n)
		qsort(all->at, all->n, sizeof(*all->at), by_name);
	for (size_t i = 0; i < all->n && max; i++) {
		if (last && strcmp(all->at[i], last) == 0)
			continue;
		last = all->at[i];
		fn(last, fn_arg);
		max--;
	}
	for (size_t i = 0; i < all->n; i++)
		free(all->at[i]);
	free(all->at);
}

typedef int list_fn(void *arg, struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg);

static list_fn *lister(const struct auth_source *s, bool disabled)
{
	const struct auth_backend *b = auth_source_part(s)->backend;

	return disabled ? b->list_disabled : b->list;
}

/* Of those sources that can tell; one of them alone is asked without detours. */
ON_JOB static int list_all(struct host *h, bool disabled, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	struct names names = { 0 };
	struct sources all;
	unsigned able = 0;
	int result = -ENOSYS;

	sources_hold(h, &all);
	for (unsigned i = 0; i < all.n; i++)
		able += lister(all.at[i], disabled) != NULL;
	for (unsigned i = 0; i < all.n && (result == 0 || result == -ENOSYS); i++) {
		list_fn *list = lister(all.at[i], disabled);
		void *arg = auth_source_part(all.at[i])->arg;
		int error = -ENOSYS;

		if (list)
			error = able == 1 ? list(arg, h, after, max, fn, fn_arg)
					  : list(arg, h, after, max, add_name, &names);
		if (error != -ENOSYS) /* not for this host, after all */
			result = error;
	}
	sources_drop(&all);
	tell_names(&names, result ? 0 : max, fn, fn_arg);
	return result;
}

int auth_list(struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	job_check();
	return list_all(h, false, after, max, fn, fn_arg);
}

int auth_list_disabled(struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	job_check();
	return list_all(h, true, after, max, fn, fn_arg);
}

int auth_count(struct host *h, uint64_t *out)
{
	struct sources all;
	uint64_t sum = 0;
	int result = -ENOSYS;

	job_check();
	sources_hold(h, &all);
	for (unsigned i = 0; i < all.n && (result == 0 || result == -ENOSYS); i++) {
		const struct auth_source_part *p = auth_source_part(all.at[i]);
		uint64_t n = 0;
		int error = p->backend->count ? p->backend->count(p->arg, h, &n) : -ENOSYS;

		if (error != -ENOSYS)
			result = error;
		sum += n;
	}
	sources_drop(&all);
	if (!result)
		*out = sum;
	return result;
}

ON_JOB static int set_disabled(struct host *h, const char *user, bool disabled)
{
	const struct auth_source_part *p;
	struct auth_source *s;
	int result = source_of(h, user, &s);

	if (result)
		return result;
	p = auth_source_part(s);
	result = p->backend->set_disabled ? p->backend->set_disabled(p->arg, h, user, disabled)
					  : AUTH_READ_ONLY;
	auth_source_drop(s);
	return result;
}

int auth_disable(struct host *h, const char *user)
{
	job_check();
	return set_disabled(h, user, true);
}

int auth_enable(struct host *h, const char *user)
{
	job_check();
	return set_disabled(h, user, false);
}

/* --- for operators --------------------------------------------------------------------------- */

void auth_sources_each(struct host *h, const char *user,
	void (*fn)(const struct auth_source_row *row, void *arg), void *arg)
{
	struct host_conf *conf = host_conf_hold(h);

	job_check();
	for (unsigned i = 0; i < conf->n_sources; i++) {
		enum auth_method m = (enum auth_method)conf->sources[i];
		struct auth_source *s = auth_source_hold(h, m);
		struct auth_source_row row = { .name = auth_method_name(m), .here = s != NULL };
		struct auth_source_state state = { 0 };

		if (s)
			auth_source_state(s, &state);
		if (user)
			row.knows = s ? auth_source_do(s, AUTH_DO_EXISTS, h, user, NULL, NULL)
				      : -ENOSYS;
		row.threads = state.threads;
		row.running = state.running;
		row.waiting = state.waiting;
		row.silent_ms = state.silent_ms;
		fn(&row, arg);
		auth_source_drop(s);
	}
	host_conf_drop(conf);
}

void auth_forget_answers(struct host *h)
{
	auth_cache_clear(h);
}

/* --- strangers ------------------------------------------------------------------------------- */

void auth_fake_verifier(
	struct host *h, const char *user, enum scram_hash hash, struct scram_verifier *out)
{
	AUTO(free_ptr) char *whom = xprintf("%d:%s@%s", (int)hash, user, h->name);
	struct host_conf *conf = host_conf_hold(h);
	uint8_t random[SCRAM_KEY_MAX];

	REQUIRE(scram_hmac(SCRAM_SHA_512, secret, sizeof(secret), whom, strlen(whom), random));
	*out = (struct scram_verifier){ .salt_len = FAKE_SALT_BYTES,
		.iterations = (uint32_t)conf->scram_iterations };
	host_conf_drop(conf);
	memcpy(out->salt, random, FAKE_SALT_BYTES);
	/* Half of the HMAC is left for keys, which nobody ever sees: no password is known for them.
	 */
	memcpy(out->stored_key, random + FAKE_SALT_BYTES, SCRAM_KEY_MAX - FAKE_SALT_BYTES);
	memcpy(out->server_key, out->stored_key, SCRAM_KEY_MAX);
}

void auth_pseudonym(const char *text, uint8_t out[AUTH_PSEUDONYM])
{
	AUTO(free_ptr) char *what = xprintf("pseudonym:%s", text);
	uint8_t random[SCRAM_KEY_MAX];

	REQUIRE(scram_hmac(SCRAM_SHA_512, secret, sizeof(secret), what, strlen(what), random));
	memcpy(out, random, AUTH_PSEUDONYM);
}

static const struct db_migration secret_steps[] = {
	{ "auth", 1,
		"CREATE TABLE secrets (name KEYTEXT NOT NULL PRIMARY KEY, bytes BLOB NOT NULL);" },
	{ 0 },
};
static struct db_stmt secret_find =
	DB_STMT("secret_find", "SELECT bytes FROM secrets WHERE name = ?");
static struct db_stmt secret_add =
	DB_STMT("secret_add", "INSERT INTO secrets (name, bytes) VALUES (?, ?)");

static int take_secret(const struct db_row *r, void *arg)
{
	size_t len;
	const void *bytes = db_row_blob(r, 0, &len);

	if (len != SECRET_BYTES)
		return -EIO;
	memcpy(arg, bytes, SECRET_BYTES);
	return 0;
}

/* arg: a fresh secret, replaced by the one that is there. */
static int keep_secret(struct db_tx *tx, void *arg)
{
	struct db_value name = db_text("fake_account");
	int found = db_select(tx, &secret_find, DB_PARAMS(name), take_secret, arg);

	if (found)
		return found;
	return db_run(tx, &secret_add, DB_PARAMS(name, db_blob(arg, SECRET_BYTES)));
}

int auth_start(struct db *db)
{
	int result;

	job_check();
	if (RAND_priv_bytes(secret, sizeof(secret)) != 1)
		return -EIO;
	result = db ? db_migrate(db, secret_steps) : 0;
	if (db && !result)
		result = db_write(db, keep_secret, secret);
	if (db && result >= 0)
		result = user_agents_start(db);
	if (result < 0)
		return result;
	auth_requests_start();
	return 0;
}

void auth_stop(void)
{
	auth_requests_stop();
	wipe(secret, sizeof(secret));
}
