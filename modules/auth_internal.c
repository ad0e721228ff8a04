/* modules/auth_internal.c - accounts in the server's own database, as SCRAM verifiers. Only those
 * that were imported with auth_password_format: plain have a password, until they log in. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "core/db.h"
#include "modules/module.h"

/* A verifier as bytes: iterations (4, big-endian), length of the salt (1), salt, both keys. */
#define PACKED_MAX (5 + SCRAM_SALT_MAX + 2 * SCRAM_KEY_MAX)
struct packed {
	uint8_t bytes[PACKED_MAX];
	size_t len; /* 0: none */
};

static const struct db_migration steps[] = {
	{ "auth_internal", 1,
		"CREATE TABLE accounts ("
		" host KEYTEXT NOT NULL, name KEYTEXT NOT NULL, created BIGINT NOT NULL,"
		" disabled BIGINT NOT NULL, scram_sha_1 BLOB, scram_sha_256 BLOB, scram_sha_512 "
		"BLOB,"
		" PRIMARY KEY (host, name));" },
	{ "auth_internal", 2, "ALTER TABLE accounts ADD COLUMN password TEXT;" },
	{ 0 },
};
static struct db_stmt account_find = DB_STMT("account_find",
	"SELECT disabled, scram_sha_1, scram_sha_256, scram_sha_512, password FROM accounts"
	" WHERE host = ? AND name = ?");
static struct db_stmt account_exists =
	DB_STMT("account_exists", "SELECT disabled FROM accounts WHERE host = ? AND name = ?");
static struct db_stmt account_import = DB_STMT("account_import",
	"INSERT INTO accounts (host, name, created, disabled, scram_sha_1, scram_sha_256,"
	" scram_sha_512, password) VALUES (?, ?, ?, 0, ?, ?, ?, ?)");
static struct db_stmt account_settle = DB_STMT("account_settle",
	"UPDATE accounts SET scram_sha_1 = ?, scram_sha_256 = ?, scram_sha_512 = ?, password = NULL"
	" WHERE host = ? AND name = ? AND password = ?");
static struct db_stmt account_add = DB_STMT("account_add",
	"INSERT INTO accounts (host, name, created, disabled, scram_sha_1, scram_sha_256,"
	" scram_sha_512) VALUES (?, ?, ?, 0, ?, ?, ?)");
static struct db_stmt account_set = DB_STMT("account_set",
	"UPDATE accounts SET scram_sha_1 = ?, scram_sha_256 = ?, scram_sha_512 = ?, password = NULL"
	" WHERE host = ? AND name = ?");
static struct db_stmt account_sha_1 =
	DB_STMT("account_sha_1", "UPDATE accounts SET scram_sha_1 = ? WHERE host = ? AND name = ?");
static struct db_stmt account_sha_256 = DB_STMT(
	"account_sha_256", "UPDATE accounts SET scram_sha_256 = ? WHERE host = ? AND name = ?");
static struct db_stmt account_sha_512 = DB_STMT(
	"account_sha_512", "UPDATE accounts SET scram_sha_512 = ? WHERE host = ? AND name = ?");
static struct db_stmt account_disable =
	DB_STMT("account_disable", "UPDATE accounts SET disabled = ? WHERE host = ? AND name = ?");
static struct db_stmt account_remove =
	DB_STMT("account_remove", "DELETE FROM accounts WHERE host = ? AND name = ?");
static struct db_stmt account_list = DB_STMT("account_list",
	"SELECT name FROM accounts WHERE host = ? AND name > ? ORDER BY name LIMIT ?");
static struct db_stmt account_list_disabled = DB_STMT("account_list_disabled",
	"SELECT name FROM accounts WHERE host = ? AND name > ? AND disabled <> 0"
	" ORDER BY name LIMIT ?");
static struct db_stmt account_count =
	DB_STMT("account_count", "SELECT count(*) FROM accounts WHERE host = ?");

/* --- verifiers as bytes ---------------------------------------------------------------------- */

static void pack(enum scram_hash hash, const struct scram_verifier *v, struct packed *out)
{
	size_t key = scram_key_bytes(hash);
	uint8_t *p = out->bytes;

	for (int shift = 24; shift >= 0; shift -= 8)
		*p++ = (uint8_t)(v->iterations >> shift);
	*p++ = v->salt_len;
	p = (uint8_t *)mempcpy(p, v->salt, v->salt_len);
	p = (uint8_t *)mempcpy(p, v->stored_key, key);
	p = (uint8_t *)mempcpy(p, v->server_key, key);
	out->len = (size_t)(p - out->bytes);
}

/* Bytes that are none leave the account without this hash. */
static void unpack(enum scram_hash hash, const uint8_t *p, size_t len, struct scram_verifier *v)
{
	size_t key = scram_key_bytes(hash);

	if (len < 5 || p[4] > SCRAM_SALT_MAX || len != 5 + p[4] + 2 * key)
		return;
	v->iterations = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	v->salt_len = p[4];
	memcpy(v->salt, p + 5, v->salt_len);
	memcpy(v->stored_key, p + 5 + v->salt_len, key);
	memcpy(v->server_key, p + 5 + v->salt_len + key, key);
}

/* --- reading --------------------------------------------------------------------------------- */

struct found {
	struct auth_account *account;
	char *password; /* owned; NULL: there are verifiers */
};

static int take_account(const struct db_row *r, void *arg)
{
	struct found *f = arg;

	f->account->disabled = db_row_int(r, 0) != 0;
	for (int hash = 0; hash < SCRAM_HASHES; hash++) {
		size_t len;
		const uint8_t *bytes = db_row_blob(r, 1 + (unsigned)hash, &len);

		unpack((enum scram_hash)hash, bytes, len, &f->account->scram[hash]);
	}
	if (!db_row_is_null(r, 4))
		f->password = xstrdup(db_row_text(r, 4));
	return 0;
}

static void found_fini(struct found *f)
{
	if (f->password)
		wipe(f->password, strlen(f->password));
	free(f->password);
}

ON_JOB static int settle(struct host *h, const char *user, const struct found *f);

/* Whoever asks for verifiers logs somebody in. */
static int internal_find(
	void *arg UNUSED, struct host *h, const char *user, struct auth_account *out)
{
	struct found f = { .account = out };
	int found;

	job_check();
	found = db_read(db_main(), &account_find, DB_PARAMS(db_text(h->name), db_text(user)),
		take_account, &f);
	if (found > 0 && f.password)
		found = settle(h, user, &f) ? -EIO : found;
	found_fini(&f);
	if (found < 0)
		return found;
	return found ? 0 : AUTH_NO_SUCH_USER;
}

static int internal_exists(void *arg UNUSED, struct host *h, const char *user)
{
	int found;

	job_check();
	found = db_read(
		db_main(), &account_exists, DB_PARAMS(db_text(h->name), db_text(user)), NULL, NULL);
	if (found < 0)
		return found;
	return found ? 0 : AUTH_NO_SUCH_USER;
}

struct names {
	void (*fn)(const char *user, void *arg);
	void *arg;
};

static int take_name(const struct db_row *r, void *arg)
{
	const struct names *names = arg;

	names->fn(db_row_text(r, 0), names->arg);
	return 0;
}

ON_JOB static int list(struct db_stmt *stmt, const struct host *h, const char *after, unsigned max,
	struct names *names)
{
	int rows = db_read(db_main(), stmt,
		DB_PARAMS(db_text(h->name), db_text(after), db_int(max)), take_name, names);

	return rows < 0 ? rows : 0;
}

static int internal_list(void *arg UNUSED, struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	job_check();
	return list(&account_list, h, after, max, &(struct names){ fn, fn_arg });
}

static int internal_list_disabled(void *arg UNUSED, struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	job_check();
	return list(&account_list_disabled, h, after, max, &(struct names){ fn, fn_arg });
}

static int take_count(const struct db_row *r, void *arg)
{
	*(uint64_t *)arg = (uint64_t)db_row_int(r, 0);
	return 0;
}

static int internal_count(void *arg UNUSED, struct host *h, uint64_t *out)
{
	int rows;

	job_check();
	rows = db_read(db_main(), &account_count, DB_PARAMS(db_text(h->name)), take_count, out);
	return rows < 0 ? rows : 0;
}

/* --- writing --------------------------------------------------------------------------------- */

struct change {
	const char *host, *user;
	const char *password; /* kept as it is; NULL: none */
	struct packed scram[SCRAM_HASHES];
	bool disabled;
};

static struct db_value packed_value(const struct change *c, enum scram_hash hash)
{
	const struct packed *p = &c->scram[hash];

	return p->len ? db_blob(p->bytes, p->len) : db_null();
}

static void pack_account(struct change *c, const struct auth_account *account)
{
	for (int hash = 0; hash < SCRAM_HASHES; hash++)
		if (account->scram[hash].iterations)
			pack((enum scram_hash)hash, &account->scram[hash], &c->scram[hash]);
}

/* Hashing is slow, so it is done before the writer is asked. */
static ON_JOB int make_verifiers(struct host *h, const char *password, struct auth_account *out)
{
	struct host_conf *conf = host_conf_hold(h);
	uint32_t iterations = (uint32_t)conf->scram_iterations;
	int error = 0;

	host_conf_drop(conf);
	for (int hash = 0; hash < SCRAM_HASHES && !error; hash++)
		error = scram_make((enum scram_hash)hash, password, iterations, &out->scram[hash]);
	return error;
}

static ON_JOB int pack_password(struct change *c, struct host *h, const char *password)
{
	struct auth_account made = { 0 };
	int error = make_verifiers(h, password, &made);

	pack_account(c, &made);
	wipe(&made, sizeof(made));
	return error;
}

static int run_add(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;

	return db_run(tx, &account_add,
		DB_PARAMS(db_text(c->host), db_text(c->user), db_int(time(NULL)),
			packed_value(c, SCRAM_SHA_1), packed_value(c, SCRAM_SHA_256),
			packed_value(c, SCRAM_SHA_512)));
}

static int run_set(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;

	return db_run(tx, &account_set,
		DB_PARAMS(packed_value(c, SCRAM_SHA_1), packed_value(c, SCRAM_SHA_256),
			packed_value(c, SCRAM_SHA_512), db_text(c->host), db_text(c->user)));
}

/* One more verifier for an account that is still what it was. */
struct upgrade {
	const char *host, *user;
	const struct auth_account *was;
	enum scram_hash hash;
	struct packed scram;
};

static bool same_verifier(
	enum scram_hash hash, const struct scram_verifier *a, const struct scram_verifier *b)
{
	return a->iterations == b->iterations &&
		!memcmp(a->stored_key, b->stored_key, scram_key_bytes(hash));
}

static int run_upgrade(struct db_tx *tx, void *arg)
{
	static struct db_stmt *const stmts[SCRAM_HASHES] = { &account_sha_1, &account_sha_256,
		&account_sha_512 };
	const struct upgrade *u = arg;
	struct auth_account is = { 0 };
	struct found f = { .account = &is };
	int found = db_select(
		tx, &account_find, DB_PARAMS(db_text(u->host), db_text(u->user)), take_account, &f);

	for (int hash = 0; found > 0 && hash < SCRAM_HASHES; hash++)
		if (!same_verifier((enum scram_hash)hash, &is.scram[hash], &u->was->scram[hash]))
			found = 0;
	found_fini(&f);
	wipe(&is, sizeof(is));
	if (found <= 0)
		return found;
	return db_run(tx, stmts[u->hash],
		DB_PARAMS(
			db_blob(u->scram.bytes, u->scram.len), db_text(u->host), db_text(u->user)));
}

static int run_disable(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;

	return db_run(tx, &account_disable,
		DB_PARAMS(db_int(c->disabled), db_text(c->host), db_text(c->user)));
}

static int run_remove(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;

	return db_run(tx, &account_remove, DB_PARAMS(db_text(c->host), db_text(c->user)));
}

/* --- accounts that were imported ------------------------------------------------------------- */

static int run_settle(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;

	return db_run(tx, &account_settle,
		DB_PARAMS(packed_value(c, SCRAM_SHA_1), packed_value(c, SCRAM_SHA_256),
			packed_value(c, SCRAM_SHA_512), db_text(c->host), db_text(c->user),
			db_text(c->password)));
}

/* Verifiers in the place of a password. If they cannot be written, the next login tries again. */
static int settle(struct host *h, const char *user, const struct found *f)
{
	struct change c = { .host = h->name, .user = user, .password = f->password };
	char prepared[PASSWORD_MAX + 1];
	int error;

	if (password_prepare(f->password, prepared))
		return 0; /* nobody can have it */
	error = make_verifiers(h, prepared, f->account);
	wipe(prepared, sizeof(prepared));
	if (error)
		return error;
	pack_account(&c, f->account);
	db_write(db_main(), run_settle, &c); /* if it fails, that has been logged */
	wipe(&c.scram, sizeof(c.scram));
	return 0;
}

struct import {
	struct auth_import *list;
	struct change *changes;
	unsigned n;
};

static int import_one(struct db_tx *tx, const struct change *c, int *result)
{
	int found = db_select(
		tx, &account_exists, DB_PARAMS(db_text(c->host), db_text(c->user)), NULL, NULL);

	if (found < 0)
		return found;
	*result = found ? AUTH_EXISTS : 0;
	if (found)
		return 0;
	return db_run(tx, &account_import,
		DB_PARAMS(db_text(c->host), db_text(c->user), db_int(time(NULL)),
			packed_value(c, SCRAM_SHA_1), packed_value(c, SCRAM_SHA_256),
			packed_value(c, SCRAM_SHA_512), db_text(c->password)));
}

static int run_import(struct db_tx *tx, void *arg)
{
	struct import *im = arg;
	int error = 0;

	for (unsigned i = 0; i < im->n && error >= 0; i++)
		if (im->list[i].result == 0 || im->list[i].result == AUTH_EXISTS)
			if (im->changes[i].user)
				error = import_one(tx, &im->changes[i], &im->list[i].result);
	return error;
}

/* 0, or -EINVAL: a password that none may have. */
ON_JOB static int make_change(
	struct host *h, const struct auth_import *im, bool as_it_is, struct change *c)
{
	char prepared[PASSWORD_MAX + 1];
	int error = 0;

	if (im->password) {
		error = password_prepare(im->password, prepared);
		if (!error && as_it_is)
			c->password = im->password;
		else if (!error)
			error = pack_password(c, h, prepared);
		wipe(prepared, sizeof(prepared));
	} else {
		pack_account(c, &im->account);
	}
	c->host = h->name;
	c->user = error ? NULL : im->user;
	return error;
}

static int internal_import(void *arg UNUSED, struct host *h, struct auth_import *list, unsigned n)
{
	struct import im = { list, xcalloc(n, sizeof(*im.changes)), n };
	struct host_conf *conf = host_conf_hold(h);
	bool as_it_is = conf->password_format == PASSWORD_AS_IT_IS;
	int result;

	job_check();
	host_conf_drop(conf);
	for (unsigned i = 0; i < n; i++)
		if (list[i].result == 0)
			list[i].result = make_change(h, &list[i], as_it_is, &im.changes[i]);
	result = db_write(db_main(), run_import, &im);
	wipe(im.changes, n * sizeof(*im.changes));
	free(im.changes);
	return result < 0 ? result : 0;
}

/* --- changing one ---------------------------------------------------------------------------- */

/* Of a write that changes the one row of an account. */
static int outcome(int changed)
{
	if (changed < 0)
		return changed;
	return changed ? 0 : AUTH_NO_SUCH_USER;
}

static int internal_create(void *arg UNUSED, struct host *h, const char *user, const char *password)
{
	struct change c = { .host = h->name, .user = user };
	int result;

	job_check();
	result = pack_password(&c, h, password);
	if (!result)
		result = db_write(db_main(), run_add, &c);
	wipe(&c.scram, sizeof(c.scram));
	return result == -EEXIST ? AUTH_EXISTS : outcome(result);
}

static int internal_set_password(
	void *arg UNUSED, struct host *h, const char *user, const char *password)
{
	struct change c = { .host = h->name, .user = user };
	int result;

	job_check();
	result = pack_password(&c, h, password);
	if (!result)
		result = db_write(db_main(), run_set, &c);
	wipe(&c.scram, sizeof(c.scram));
	return outcome(result);
}

static int internal_set_verifier(void *arg UNUSED, struct host *h, const char *user,
	const struct auth_account *was, enum scram_hash hash, const struct scram_verifier *v)
{
	struct upgrade u = { .host = h->name, .user = user, .was = was, .hash = hash };
	int changed;

	job_check();
	pack(hash, v, &u.scram);
	changed = db_write(db_main(), run_upgrade, &u);
	wipe(&u.scram, sizeof(u.scram));
	if (changed < 0)
		return changed;
	return changed ? 0 : AUTH_WRONG;
}

static int internal_set_disabled(void *arg UNUSED, struct host *h, const char *user, bool disabled)
{
	struct change c = { .host = h->name, .user = user, .disabled = disabled };

	job_check();
	return outcome(db_write(db_main(), run_disable, &c));
}

static int internal_remove(void *arg UNUSED, struct host *h, const char *user)
{
	struct change c = { .host = h->name, .user = user };

	job_check();
	return outcome(db_write(db_main(), run_remove, &c));
}

static const struct auth_backend internal = {
	.name = "internal",
	.method = AUTH_BY_INTERNAL,
	.find = internal_find,
	.exists = internal_exists,
	.import = internal_import,
	.create = internal_create,
	.set_password = internal_set_password,
	.remove = internal_remove,
	.list = internal_list,
	.list_disabled = internal_list_disabled,
	.count = internal_count,
	.set_disabled = internal_set_disabled,
	.set_verifier = internal_set_verifier,
};

static int auth_internal_start(struct module_instance *mi)
{
	int error;

	job_check();
	if (!db_main()) {
		log_error("auth", "accounts need a database", L_STR("host", mi->host->name));
		return -ENODEV;
	}
	error = db_migrate(db_main(), steps);
	if (!error)
		auth_source_add(mi->host, &internal, mi, NULL);
	return error;
}

static void auth_internal_stop(struct module_instance *mi)
{
	auth_source_remove(mi->host, &internal, mi);
}

const struct module module_auth_internal = {
	.abi = LINNET_MODULE_ABI,
	.name = "auth_internal",
	.help = "Accounts in the server's own database. Passwords are kept only as SCRAM "
		"verifiers.",
	.start = auth_internal_start,
	.stop = auth_internal_stop,
};
LINNET_MODULE(module_auth_internal);
