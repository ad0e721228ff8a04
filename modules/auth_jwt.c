/* modules/auth_jwt.c - accounts of whoever brings a token that the operator's own login service has
 * signed: ejabberd_auth_jwt. The token stands where the password does (PLAIN). Who exists is who
 * has come with one: their names are kept, so that there is somebody to keep messages for. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/db.h"
#include "modules/jwt.h"
#include "modules/module.h"

struct jwt_conf {
	const char *key;
	const char *jid_field;
	const char *issuer, *audience; /* NULL: any */
	int64_t leeway_ms;
};
static const struct conf_item jwt_items[] = {
	{ "jwt_key", CONF_PATH, FIELD(struct jwt_conf, key, const char *), .required = true,
		.example = "login-service.jwks",
		.help = "A file with the keys that sign tokens: a JWK or a JWK Set (RFC 7517), "
			"public ones or secrets. It is read again when it has changed." },
	{ "jwt_jid_field", CONF_STRING, FIELD(struct jwt_conf, jid_field, const char *),
		.preset = "jid",
		.help = "The claim that says whose token it is: an address, or the part before "
			"its @." },
	{ "jwt_issuer", CONF_STRING, FIELD(struct jwt_conf, issuer, const char *),
		.example = "\"https://login.example.org\"",
		.help = "What the claim `iss` must be; without it, whatever it is." },
	{ "jwt_audience", CONF_STRING, FIELD(struct jwt_conf, audience, const char *),
		.example = "xmpp",
		.help = "What the claim `aud` must be, or hold; without it, whatever it is." },
	{ "jwt_leeway", CONF_TIME, FIELD(struct jwt_conf, leeway_ms, int64_t), .preset = "30 s",
		.max = 3600000,
		.help = "How far the login service's clock may be from this one's." },
	{ 0 }
};

static const struct db_migration migrations[] = {
	{ "auth_jwt", 1,
		"CREATE TABLE jwt_accounts (host KEYTEXT NOT NULL, name KEYTEXT NOT NULL,"
		" since BIGINT NOT NULL, PRIMARY KEY (host, name));" },
	{ 0 }
};
static struct db_stmt find_stmt =
	DB_STMT("jwt_find", "SELECT since FROM jwt_accounts WHERE host = ? AND name = ?");
static struct db_stmt set_stmt = DB_UPSERT("jwt_set", "jwt_accounts", "host, name", "since");
static struct db_stmt delete_stmt =
	DB_STMT("jwt_delete", "DELETE FROM jwt_accounts WHERE host = ? AND name = ?");
static struct db_stmt list_stmt = DB_STMT("jwt_list",
	"SELECT name FROM jwt_accounts WHERE host = ? AND name > ? ORDER BY name LIMIT ?");
static struct db_stmt count_stmt =
	DB_STMT("jwt_count", "SELECT COUNT(*) FROM jwt_accounts WHERE host = ?");

struct jwt_source {
	struct jwt_conf conf; /* its strings are in the arena */
	struct arena arena;
	RCU_PTR(struct jwt_keys) keys; /* owned */
	pthread_mutex_t reading; /* the file */
};

/* --- accounts that have come ----------------------------------------------------------------- */

static int take_nothing(const struct db_row *row UNUSED, void *arg UNUSED)
{
	return 1;
}

ON_JOB static int jwt_exists(void *arg UNUSED, struct host *h, const char *user)
{
	int rows = db_read(db_main(), &find_stmt, DB_PARAMS(db_text(h->name), db_text(user)),
		take_nothing, NULL);

	if (rows < 0)
		return rows;
	return rows ? 0 : AUTH_NO_SUCH_USER;
}

ON_JOB static int jwt_find(void *arg, struct host *h, const char *user, struct auth_account *out)
{
	*out = (struct auth_account){ 0 };
	return jwt_exists(arg, h, user);
}

struct change {
	const char *host, *user;
};

static int run_add(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;

	return db_run(tx, &set_stmt,
		DB_PARAMS(db_text(c->host), db_text(c->user),
			db_int((int64_t)(clock_wall_ms() / 1000))));
}

static int run_remove(struct db_tx *tx, void *arg)
{
	const struct change *c = arg;

	return db_run(tx, &delete_stmt, DB_PARAMS(db_text(c->host), db_text(c->user)));
}

/* Whoever comes for the first time. */
ON_JOB static int remember(struct host *h, const char *user)
{
	struct change c = { h->name, user };
	int result = jwt_exists(NULL, h, user);

	if (result == AUTH_NO_SUCH_USER)
		result = db_write(db_main(), run_add, &c);
	return result < 0 ? result : 0;
}

ON_JOB static int jwt_remove(void *arg UNUSED, struct host *h, const char *user)
{
	struct change c = { h->name, user };
	int rows = db_write(db_main(), run_remove, &c);

	if (rows < 0)
		return rows;
	return rows ? 0 : AUTH_NO_SUCH_USER;
}

struct listing {
	void (*fn)(const char *user, void *arg);
	void *arg;
};

static int take_name(const struct db_row *row, void *arg)
{
	const struct listing *l = arg;

	l->fn(db_row_text(row, 0), l->arg);
	return 0;
}

ON_JOB static int jwt_list(void *arg UNUSED, struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	struct listing l = { fn, fn_arg };
	int rows = db_read(db_main(), &list_stmt,
		DB_PARAMS(db_text(h->name), db_text(after), db_int(max)), take_name, &l);

	return rows < 0 ? rows : 0;
}

static int take_count(const struct db_row *row, void *arg)
{
	*(uint64_t *)arg = (uint64_t)db_row_int(row, 0);
	return 1;
}

ON_JOB static int jwt_count(void *arg UNUSED, struct host *h, uint64_t *out)
{
	int rows = db_read(db_main(), &count_stmt, DB_PARAMS(db_text(h->name)), take_count, out);

	return rows < 0 ? rows : 0;
}

/* --- tokens ---------------------------------------------------------------------------------- */

static bool is_text(const json_t *claim, const char *text)
{
	return json_is_string(claim) && !strcmp(json_string_value(claim), text);
}

/* RFC 7519 §4.1.3: one, or several. */
static bool is_for(const json_t *audience, const char *text)
{
	const json_t *one;
	size_t i;

	json_array_foreach (audience, i, one)
		if (is_text(one, text))
			return true;
	return is_text(audience, text);
}

/* An address, or its first part. */
static bool names(const json_t *claim, const struct host *h, const char *user)
{
	const char *text = json_string_value(claim);
	struct jid *jid;
	bool same;

	if (!text)
		return false;
	if (strchr(text, '@') ? jid_parse(text, strlen(text), NULL, &jid) != JID_OK
			      : jid_make(text, h->name, NULL, NULL, &jid) != JID_OK)
		return false;
	same = jid_is_bare(jid) && !strcmp(jid_local(jid), user) &&
		!strcmp(jid_domain(jid), h->name);
	jid_free(jid);
	return same;
}

static const char *why_not(
	const struct jwt_source *s, const json_t *claims, const struct host *h, const char *user)
{
	if (s->conf.issuer && !is_text(json_object_get(claims, "iss"), s->conf.issuer))
		return "another issuer";
	if (s->conf.audience && !is_for(json_object_get(claims, "aud"), s->conf.audience))
		return "for another audience";
	if (!names(json_object_get(claims, s->conf.jid_field), h, user))
		return "somebody else's";
	return NULL;
}

/* Login services change their keys, and then their file. Whether there are others now. */
ON_JOB static bool read_again(struct jwt_source *s)
{
	bool offline = rcu_offline(), others = false;
	struct jwt_keys *keys;
	char *why;

	pthread_mutex_lock(&s->reading);
	rcu_online(offline);
	if (jwt_keys_outdated(rcu_get(s->keys), s->conf.key)) {
		others = !jwt_keys_load(s->conf.key, &keys, &why);
		if (others) {
			jwt_keys_free_later(rcu_swap(s->keys, keys));
		} else {
			log_warning("auth", "keys for tokens stay as they were", L_STR("why", why));
			free(why);
		}
	}
	pthread_mutex_unlock(&s->reading);
	return others;
}

static enum jwt_verdict check_token(struct jwt_source *s, const char *token, json_t **claims)
{
	return jwt_check(rcu_get(s->keys), token, (int64_t)(clock_wall_ms() / 1000),
		s->conf.leeway_ms / 1000, claims);
}

/* What is no token may be the password of another source. */
ON_JOB static int jwt_check_password(
	void *arg, struct host *h, const char *user, const char *password)
{
	struct jwt_source *s = arg;
	const char *why;
	json_t *claims;
	enum jwt_verdict verdict = check_token(s, password, &claims);

	if (verdict == JWT_NO_TOKEN)
		return AUTH_REFUSED;
	if ((verdict == JWT_UNKNOWN_KEY || verdict == JWT_BAD_SIGNATURE) && read_again(s))
		verdict = check_token(s, password, &claims);
	why = verdict == JWT_VALID ? why_not(s, claims, h, user) : jwt_verdict_text(verdict);
	json_decref(claims);
	if (!why)
		return remember(h, user);
	log_info("auth", "a token is refused", L_STR("host", h->name), L_STR("user", user),
		L_STR("why", why));
	return AUTH_REFUSED;
}

/* --- its life -------------------------------------------------------------------------------- */

static const struct auth_backend backend = {
	.name = "jwt",
	.method = AUTH_BY_JWT,
	.raw_passwords = true,
	.find = jwt_find,
	.exists = jwt_exists,
	.check = jwt_check_password,
	.remove = jwt_remove,
	.list = jwt_list,
	.count = jwt_count,
};

static void source_free(void *arg)
{
	struct jwt_source *s = arg;

	jwt_keys_free(rcu_get(s->keys));
	pthread_mutex_destroy(&s->reading);
	arena_fini(&s->arena);
	free(s);
}

static int source_add(struct module_instance *mi)
{
	const struct auth_source_conf how = { .sasl = SASL_PLAIN | SASL_OAUTHBEARER,
		.free = source_free };
	const struct jwt_conf *conf = module_conf(mi);
	struct jwt_keys *keys;
	struct jwt_source *s;
	char *why;
	int error = jwt_keys_load(conf->key, &keys, &why);

	if (error) {
		log_error("auth", "no keys for tokens", L_STR("host", mi->host->name),
			L_STR("why", why));
		free(why);
		return error;
	}
	s = xcalloc(1, sizeof(*s));
	arena_init(&s->arena, NULL, 0);
	conf_copy(jwt_items, conf, &s->conf, &s->arena);
	rcu_set(s->keys, keys);
	pthread_mutex_init(&s->reading, NULL);
	mi->data = s;
	auth_source_add(mi->host, &backend, s, &how);
	return 0;
}

static int auth_jwt_start(struct module_instance *mi)
{
	int error;

	job_check();
	if (!db_main()) {
		log_error(
			"auth", "names of accounts need a database", L_STR("host", mi->host->name));
		return -ENODEV;
	}
	error = db_migrate(db_main(), migrations);
	return error ? error : source_add(mi);
}

/* With keys that cannot be read, those that are there stay. */
static void auth_jwt_reload(struct module_instance *mi, const void *old UNUSED)
{
	struct jwt_source *was = mi->data;

	if (!source_add(mi))
		auth_source_remove(mi->host, &backend, was);
}

static void auth_jwt_stop(struct module_instance *mi)
{
	auth_source_remove(mi->host, &backend, mi->data);
}

const struct module module_auth_jwt = {
	.abi = LINNET_MODULE_ABI,
	.name = "auth_jwt",
	.help = "Accounts of whoever has a token (JSON Web Token, RFC 7519) of a login service: "
		"for "
		"hosts whose auth_method has `jwt`. Clients give it by "
		"OAUTHBEARER, or as the password.",
	.conf = jwt_items,
	.conf_size = sizeof(struct jwt_conf),
	.start = auth_jwt_start,
	.reload = auth_jwt_reload,
	.stop = auth_jwt_stop,
};
LINNET_MODULE(module_auth_jwt);
