/* router/auth.c - what all account backends share: checking what is asked, asking from shards, and
 * hiding from strangers which accounts there are. */
#include "router/auth.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/db.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "xml/jid.h"

/* Lanes share the job pool. A password check burns milliseconds of a core, so few run at once, and
 * a flood of them leaves the pool to the rest. */
#define FIND_LANES 16
#define FIND_QUEUE 8192
#define CHECK_LANES 2
#define CHECK_QUEUE 1024
#define SECRET_BYTES 32
#define FAKE_SALT_BYTES 16

HOOK(account_removed);

static struct carrier *finders, *checkers;
static uint8_t secret[SECRET_BYTES]; /* constant after auth_start() */
static struct metric refused =
	METRIC_COUNTER("auth_refused_total", "Logins refused because too many were being checked");
static struct metric check_time =
	METRIC_TIME("auth_check_seconds", "Time a password check took on its thread");

/* --- the host's backend ---------------------------------------------------------------------- */

/* Backends are static objects: good beyond the read section. */
static const struct auth_backend *backend_of(struct host *h)
{
	return rcu_get(h->auth);
}

static bool is_name(const char *user)
{
	return *user && strnlen(user, JID_PART_MAX + 1) <= JID_PART_MAX;
}

int auth_find(struct host *h, const char *user, struct auth_account *out)
{
	const struct auth_backend *b = backend_of(h);

	job_check();
	if (!b || !b->find)
		return -ENOSYS;
	memset(out, 0, sizeof(*out));
	return is_name(user) ? b->find(h->auth_arg, h, user, out) : AUTH_NO_SUCH_USER;
}

/* Against what find() tells; for a stranger against what he is shown, so that both take as long. */
static ON_JOB int check_verifiers(struct host *h, const char *user, const char *password)
{
	static const enum scram_hash order[] = { SCRAM_SHA_256, SCRAM_SHA_512, SCRAM_SHA_1 };
	struct auth_account account;
	int found = auth_find(h, user, &account);
	unsigned i = 0;
	bool right;

	if (found < 0)
		return found;
	if (found)
		auth_fake_verifier(h, user, order[0], &account.scram[order[0]]);
	while (i < ARRAY_LEN(order) && !account.scram[order[i]].iterations)
		i++;
	right = i < ARRAY_LEN(order) && scram_check(order[i], password, &account.scram[order[i]]);
	wipe(&account.scram, sizeof(account.scram));
	if (found)
		return found;
	if (!right)
		return AUTH_WRONG;
	return account.disabled ? AUTH_DISABLED : 0;
}

int auth_check(struct host *h, const char *user, const char *password)
{
	const struct auth_backend *b = backend_of(h);
	char prepared[PASSWORD_MAX + 1];
	int result;

	job_check();
	if (!b)
		return -ENOSYS;
	if (!is_name(user) || password_prepare(password, prepared))
		return AUTH_WRONG;
	if (b->check)
		result = b->check(h->auth_arg, h, user, prepared);
	else
		result = check_verifiers(h, user, prepared);
	wipe(prepared, sizeof(prepared));
	return result;
}

typedef int password_fn(void *arg, struct host *h, const char *user, const char *password);

static int with_password(struct host *h, password_fn *fn, const char *user, const char *password)
{
	char prepared[PASSWORD_MAX + 1];
	int result;

	if (!fn)
		return AUTH_READ_ONLY;
	if (!is_name(user) || password_prepare(password, prepared))
		return -EINVAL;
	result = fn(h->auth_arg, h, user, prepared);
	wipe(prepared, sizeof(prepared));
	return result;
}

int auth_create(struct host *h, const char *user, const char *password)
{
	const struct auth_backend *b = backend_of(h);

	job_check();
	return b ? with_password(h, b->create, user, password) : -ENOSYS;
}

/* Who has a token may have it by the old password, so no token outlives that: they go before it
 * changes, and those that were given meanwhile after it. */
int auth_set_password(struct host *h, const char *user, const char *password)
{
	const struct auth_backend *b = backend_of(h);
	int result;

	job_check();
	if (!b)
		return -ENOSYS;
	result = is_name(user) ? user_agents_disown(h, user) : 0;
	if (!result)
		result = with_password(h, b->set_password, user, password);
	if (!result)
		user_agents_disown(h, user);
	return result;
}

int auth_set_verifier(struct host *h, const char *user, const struct auth_account *was,
	enum scram_hash hash, const struct scram_verifier *v)
{
	const struct auth_backend *b = backend_of(h);

	job_check();
	if (!b)
		return -ENOSYS;
	if (!b->set_verifier)
		return AUTH_READ_ONLY;
	return b->set_verifier(h->auth_arg, h, user, was, hash, v);
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

int auth_remove(struct host *h, const char *user)
{
	const struct auth_backend *b = backend_of(h);
	struct jid *jid;
	int result;

	job_check();
	if (!b)
		return -ENOSYS;
	if (!b->remove)
		return AUTH_READ_ONLY;
	if (!is_name(user) || jid_make(user, h->name, NULL, NULL, &jid))
		return AUTH_NO_SUCH_USER;
	result = user_agents_remove(h, user);
	if (result == 0)
		result = b->remove(h->auth_arg, h, user);
	if (result == 0) {
		hook_run(h->hooks, &account_removed_hook, jid);
		wait_for_writes();
	}
	jid_free(jid);
	return result;
}

int auth_list(struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	const struct auth_backend *b = backend_of(h);

	job_check();
	return b && b->list ? b->list(h->auth_arg, h, after, max, fn, fn_arg) : -ENOSYS;
}

int auth_list_disabled(struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	const struct auth_backend *b = backend_of(h);

	job_check();
	return b && b->list_disabled ? b->list_disabled(h->auth_arg, h, after, max, fn, fn_arg)
				     : -ENOSYS;
}

int auth_count(struct host *h, uint64_t *out)
{
	const struct auth_backend *b = backend_of(h);

	job_check();
	return b && b->count ? b->count(h->auth_arg, h, out) : -ENOSYS;
}

static int set_disabled(struct host *h, const char *user, bool disabled)
{
	const struct auth_backend *b = backend_of(h);

	if (!b)
		return -ENOSYS;
	if (!b->set_disabled)
		return AUTH_READ_ONLY;
	return is_name(user) ? b->set_disabled(h->auth_arg, h, user, disabled) : AUTH_NO_SUCH_USER;
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

/* --- asking from a shard --------------------------------------------------------------------- */

static void forget_password(struct auth_request *r)
{
	if (r->password)
		wipe(r->password, strlen(r->password));
	free(r->password);
	r->password = NULL;
}

ON_JOB static void check_password(struct auth_request *r)
{
	uint64_t began_us = clock_us();

	r->result = auth_check(r->host, r->user, r->password);
	metric_time(&check_time, clock_us() - began_us);
	forget_password(r);
}

/* An account, and one of its clients; one that is not known has no tokens. Both are looked for
 * whatever comes of the first: it takes as long for names that are none. */
ON_JOB static int find_both(struct auth_request *r)
{
	char id[USER_AGENT_ID + 1];
	int found = auth_find(r->host, r->user, &r->account), known;

	strcpy(id, r->agent.id);
	known = user_agent_find(r->host, r->user, id, &r->agent);
	if (found || known >= 0 || known == -ENOSYS)
		return found;
	return known;
}

static void request_work(struct job *j)
{
	struct auth_request *r = container_of(j, struct auth_request, job);

	job_check();
	switch (r->ask) {
	case AUTH_ASK_FIND:
		r->result = auth_find(r->host, r->user, &r->account);
		break;
	case AUTH_ASK_CHECK:
		check_password(r);
		break;
	case AUTH_ASK_TOKEN:
		r->result = find_both(r);
		break;
	case AUTH_ASK_UPGRADE:
		r->result = auth_set_verifier(r->host, r->user, &r->account, r->hash, &r->verifier);
		break;
	}
}

static void request_done(struct job *j)
{
	struct auth_request *r = container_of(j, struct auth_request, job);

	r->done(r);
}

void auth_request_init(struct auth_request *r, enum auth_ask ask, struct host *h, const char *user,
	const char *password, void (*done)(struct auth_request *r))
{
	*r = (struct auth_request){
		.ask = ask,
		.host = host_ref(h),
		.user = xstrdup(user),
		.password = password ? xstrdup(password) : NULL,
		.done = done,
		.job = { .work = request_work, .done = request_done },
	};
	REQUIRE((ask == AUTH_ASK_CHECK) == (password != NULL));
}

void auth_request_fini(struct auth_request *r)
{
	forget_password(r);
	wipe(&r->account, sizeof(r->account));
	wipe(&r->agent, sizeof(r->agent));
	wipe(&r->verifier, sizeof(r->verifier));
	free(r->user);
	r->user = NULL;
	host_unref(r->host);
	r->host = NULL;
}

int auth_ask(struct auth_request *r)
{
	struct carrier *c = r->ask == AUTH_ASK_CHECK ? checkers : finders;
	uint64_t account = jid_hash_domain(r->user, strlen(r->user)) ^ r->host->hash;

	REQUIRE(c); /* auth_start() */
	if (carrier_submit(c, account, &r->job) == 0)
		return 0;
	metric_add(&refused, 1);
	return -EAGAIN;
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
	metric_register(&refused);
	metric_register(&check_time);
	finders = carrier_new(CARRIER_LANES, FIND_LANES, FIND_QUEUE, "accounts");
	checkers = carrier_new(CARRIER_LANES, CHECK_LANES, CHECK_QUEUE, "passwords");
	return 0;
}

void auth_stop(void)
{
	if (!finders)
		return;
	carrier_free(finders);
	carrier_free(checkers);
	finders = checkers = NULL;
	wipe(secret, sizeof(secret));
}
