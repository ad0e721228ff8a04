/* modules/auth_sql.c - accounts in somebody else's table: an organisation's, asked by queries of
 * the operator's and never written to. Passwords are there as SCRAM verifiers, as hashes of
 * crypt(3), or as they are. */
#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/db.h"
#include "modules/module.h"
#include "modules/sql_text.h"

enum sql_format { PASSWORD_CRYPT, PASSWORD_SCRAM, PASSWORD_PLAIN };
struct sql_conf {
	struct db_conf database;
	const char *password_query, *exists_query, *list_query, *count_query;
	int format; /* enum sql_format */
	int hash; /* enum scram_hash */
	int64_t pool_size;
	int64_t timeout_ms;
};

/* Of an instance, and of calls that hang when it is gone. */
struct sql {
	struct db *db; /* owned */
	struct arena arena; /* holds the queries */
	struct sql_text password, exists, list, count;
	bool lists, counts;
	enum sql_format format;
	enum scram_hash hash;
	/* Under lock: some hash of the table, to be as slow over strangers. */
	pthread_mutex_t lock;
	char sample[CRYPT_OUTPUT_SIZE];
};

/* What a row says of the password. */
struct secret {
	char *text; /* owned, wiped; NULL: the first column is NULL */
	struct scram_verifier verifier; /* .iterations 0: none */
	enum scram_hash hash; /* of it */
};

/* --- one account's row ----------------------------------------------------------------------- */

static void secret_fini(struct secret *s)
{
	if (s->text)
		wipe(s->text, strlen(s->text));
	free(s->text);
	wipe(s, sizeof(*s));
}

struct taker {
	const struct sql *sql;
	struct secret *secret; /* NULL: whether there is one */
};

static struct scram_part column(const struct db_row *r, unsigned col)
{
	struct scram_part part;

	part.text = db_row_blob(r, col, &part.len);
	return part;
}

/* As ejabberd's table has it: stored key, server key, salt, rounds. */
static void read_columns(struct secret *s, const struct db_row *r)
{
	int64_t iterations = db_row_int(r, 3);

	if (!iterations)
		iterations = strtol(db_row_text(r, 3), NULL, 10);
	scram_read_parts(
		s->hash, column(r, 0), column(r, 1), column(r, 2), iterations, &s->verifier);
}

static int take_secret(const struct db_row *r, void *arg)
{
	const struct taker *t = arg;
	struct secret *s = t->secret;
	const char *text;
	size_t len;

	if (!s || !r->n || db_row_is_null(r, 0))
		return 1;
	text = db_row_blob(r, 0, &len);
	s->text = xstrndup(text, len);
	if (t->sql->format == PASSWORD_SCRAM && !scram_read(s->text, &s->hash, &s->verifier) &&
		r->n >= 4)
		read_columns(s, r);
	return 1;
}

/* 0, AUTH_NO_SUCH_USER or a negative errno. */
ON_JOB static int look(struct sql *x, struct sql_text *query, const struct host *h,
	const char *user, struct secret *out)
{
	struct db_value values[SQL_TEXT_MARKS];
	const struct sql_text_values v = { .user = user, .host = h->name };
	struct taker t = { x, out };
	int rows;

	if (out)
		*out = (struct secret){ .hash = x->hash };
	rows = db_read(x->db, &query->stmt, sql_text_fill(query, &v, values), take_secret, &t);
	return rows < 0 ? rows : rows ? 0 : AUTH_NO_SUCH_USER;
}

/* --- comparing passwords --------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	size_t len = strlen(a);

	return strlen(b) == len && CRYPTO_memcmp(a, b, len) == 0;
}

/* Some systems write in front which kind it is: "{CRYPT}$6$...", "{BLF-CRYPT}$2y$...". */
static const char *bare_hash(const char *hash)
{
	const char *end = *hash == '{' ? strchr(hash, '}') : NULL;

	if (end && end - hash >= 6 && strncasecmp(end - 5, "CRYPT", 5) == 0)
		return end + 1;
	return hash;
}

/* What is no hash, as that of a locked account, fits nothing. */
static bool crypt_fits(const char *password, const char *hash)
{
	struct crypt_data *data = xcalloc(1, sizeof(*data));
	const char *made = crypt_rn(password, hash, data, sizeof(*data));
	bool fits = made && *made != '*' && same_text(made, hash);

	wipe(data, sizeof(*data));
	free(data);
	return fits;
}

static bool check_crypt(struct sql *x, const struct secret *s, const char *password)
{
	char sample[CRYPT_OUTPUT_SIZE];
	const char *hash = s ? bare_hash(s->text) : sample;

	pthread_mutex_lock(&x->lock);
	if (s && *hash == '$')
		snprintf(x->sample, sizeof(x->sample), "%s", hash);
	memcpy(sample, x->sample, sizeof(sample));
	pthread_mutex_unlock(&x->lock);
	return *hash && crypt_fits(password, hash) && s;
}

static ON_JOB bool check_scram(const struct secret *s, const struct host *h, const char *user,
	const char *password, enum scram_hash hash)
{
	char prepared[PASSWORD_MAX + 1];
	struct scram_verifier fake;
	const struct scram_verifier *v = s && s->verifier.iterations ? &s->verifier : &fake;
	bool right;

	if (password_prepare(password, prepared))
		return false;
	auth_fake_verifier((struct host *)h, user, hash, &fake);
	right = scram_check(s ? s->hash : hash, prepared, v) && v != &fake;
	wipe(prepared, sizeof(prepared));
	return right;
}

static bool check_plain(const struct secret *s, const char *password)
{
	char prepared[PASSWORD_MAX + 1], there[PASSWORD_MAX + 1];
	bool right;

	if (!s)
		return false;
	if (password_prepare(password, prepared) || password_prepare(s->text, there))
		return *s->text && same_text(s->text, password);
	right = same_text(there, prepared);
	wipe(prepared, sizeof(prepared));
	wipe(there, sizeof(there));
	return right;
}

static int sql_check(void *arg, struct host *h, const char *user, const char *password)
{
	struct sql *x = arg;
	const struct secret *known;
	struct secret s;
	bool right = false;
	int found;

	job_check();
	found = look(x, &x->password, h, user, &s);
	if (found < 0)
		return found;
	known = found || !s.text ? NULL : &s;
	switch (x->format) {
	case PASSWORD_CRYPT:
		right = check_crypt(x, known, password);
		break;
	case PASSWORD_SCRAM:
		right = check_scram(known, h, user, password, x->hash);
		break;
	case PASSWORD_PLAIN:
		right = check_plain(known, password);
		break;
	}
	secret_fini(&s);
	return found ? found : right ? 0 : AUTH_WRONG;
}

/* --- finding --------------------------------------------------------------------------------- */

/* Made for this login, with the salt that a stranger would see: it is the same each time. */
ON_JOB static int derive(struct host *h, const char *user, struct secret *s)
{
	char prepared[PASSWORD_MAX + 1];
	int error;

	if (!s->text || password_prepare(s->text, prepared))
		return 0;
	auth_fake_verifier(h, user, s->hash, &s->verifier);
	error = scram_derive(s->hash, prepared, &s->verifier);
	wipe(prepared, sizeof(prepared));
	return error;
}

static int sql_find(void *arg, struct host *h, const char *user, struct auth_account *out)
{
	struct sql *x = arg;
	struct secret s;
	int result;

	job_check();
	result = look(x, &x->password, h, user, &s);
	if (!result && x->format == PASSWORD_PLAIN)
		result = derive(h, user, &s);
	if (!result)
		out->scram[s.hash] = s.verifier;
	secret_fini(&s);
	return result;
}

static int sql_exists(void *arg, struct host *h, const char *user)
{
	struct sql *x = arg;

	job_check();
	return look(x, &x->exists, h, user, NULL);
}

/* --- listing --------------------------------------------------------------------------------- */

struct lister {
	void (*fn)(const char *user, void *fn_arg);
	void *fn_arg;
	unsigned told;
	char last[JID_PART_MAX + 1]; /* of all rows */
};

/* Names that are no part of an address are left out. */
static int take_name(const struct db_row *r, void *arg)
{
	struct lister *l = arg;
	const char *name = db_row_text(r, 0);
	char prepared[JID_PART_MAX + 1];

	snprintf(l->last, sizeof(l->last), "%s", name);
	if (jid_prep_local(name, strlen(name), prepared) > 0 && !strcmp(prepared, name)) {
		l->fn(name, l->fn_arg);
		l->told++;
	}
	return 0;
}

static int sql_list(void *arg, struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	struct sql *x = arg;
	struct lister l = { .fn = fn, .fn_arg = fn_arg };
	struct db_value at[SQL_TEXT_MARKS];
	int rows;

	job_check();
	if (!x->lists)
		return -ENOSYS;
	snprintf(l.last, sizeof(l.last), "%s", after);
	do {
		AUTO(free_ptr) char *behind = xstrdup(l.last);
		const struct sql_text_values v = { .host = h->name, .after = behind, .max = max };

		rows = db_read(
			x->db, &x->list.stmt, sql_text_fill(&x->list, &v, at), take_name, &l);
		if (rows > 0 && !strcmp(behind, l.last))
			rows = 0; /* a query that does not go on behind it */
	} while (rows > 0 && l.told == 0);
	return rows < 0 ? rows : 0;
}

static int take_count(const struct db_row *r, void *arg)
{
	*(uint64_t *)arg = (uint64_t)db_row_int(r, 0);
	return 1;
}

static int sql_count(void *arg, struct host *h, uint64_t *out)
{
	struct sql *x = arg;
	const struct sql_text_values v = { .host = h->name };
	struct db_value at[SQL_TEXT_MARKS];
	int rows;

	job_check();
	if (!x->counts)
		return -ENOSYS;
	rows = db_read(x->db, &x->count.stmt, sql_text_fill(&x->count, &v, at), take_count, out);
	return rows < 0 ? rows : 0;
}

static const struct auth_backend sql = {
	.name = "sql",
	.method = AUTH_BY_SQL,
	.raw_passwords = true,
	.find = sql_find,
	.exists = sql_exists,
	.check = sql_check,
	.list = sql_list,
	.count = sql_count,
};

/* --- the module ------------------------------------------------------------------------------ */

#define USER_MARKS "ud"
#define LIST_MARKS "dan"
#define COUNT_MARKS "d"

static const char *check_query(const void *value, const char *allowed, struct arena *a)
{
	struct sql_text q;

	return sql_text_read(*(const char *const *)value, allowed, a, &q);
}

static const char *check_user_query(const void *value, struct arena *a)
{
	return check_query(value, USER_MARKS, a);
}

static const char *check_list_query(const void *value, struct arena *a)
{
	return check_query(value, LIST_MARKS, a);
}

static const char *check_count_query(const void *value, struct arena *a)
{
	return check_query(value, COUNT_MARKS, a);
}

static const struct conf_item database_items[] = {
	{ "driver", CONF_STRING, FIELD(struct db_conf, driver, const char *), .preset = "sqlite",
		.help = "The kind of database." },
	{ "path", CONF_PATH, FIELD(struct db_conf, path, const char *),
		.help = "SQLite's file, which must be there. It is opened for reading alone." },
	{ 0 }
};
static const char *const format_words[] = { "crypt", "scram", "plain", NULL };
static const char *const hash_words[] = { "sha|SCRAM-SHA-1", "sha256|SCRAM-SHA-256",
	"sha512|SCRAM-SHA-512", NULL }; /* in the order of enum scram_hash */
static const struct conf_item sql_items[] = {
	{ "database", CONF_GROUP, FIELD(struct sql_conf, database, struct db_conf),
		.rows = database_items, .short_for = "path", .required = true,
		.applies = CONF_AT_MODULE_START, .example = "/srv/members/members.db",
		.help = "Where the table is." },
	{ "password_query", CONF_STRING, FIELD(struct sql_conf, password_query, const char *),
		.required = true, .check = check_user_query, .applies = CONF_AT_MODULE_START,
		.example = "SELECT password FROM members WHERE login = %u AND active = 1",
		.help = "The query whose first row has the password of the user `%u` of the host "
			"`%d`, without quotes around these. Of SCRAM verifiers in four columns: "
			"stored key, server key and salt in base64, then the rounds." },
	{ "exists_query", CONF_STRING, FIELD(struct sql_conf, exists_query, const char *),
		.check = check_user_query, .applies = CONF_AT_MODULE_START,
		.example = "SELECT 1 FROM members WHERE login = %u",
		.help = "A query that has a row when there is such a user. Without it, "
			"password_query." },
	{ "list_query", CONF_STRING, FIELD(struct sql_conf, list_query, const char *),
		.check = check_list_query, .applies = CONF_AT_MODULE_START,
		.example = "SELECT login FROM members WHERE login > %a ORDER BY login LIMIT %n",
		.help = "The names behind `%a`, in order, at most `%n` of them, for the list of "
			"accounts and for groups of all of them. Without it, these have none from "
			"here." },
	{ "count_query", CONF_STRING, FIELD(struct sql_conf, count_query, const char *),
		.check = check_count_query, .applies = CONF_AT_MODULE_START,
		.example = "SELECT count(*) FROM members", .help = "How many there are." },
	{ "password_format", CONF_ENUM, FIELD(struct sql_conf, format, int), .preset = "crypt",
		.words = format_words, .applies = CONF_AT_MODULE_START,
		.help = "How passwords are kept there: `crypt`, hashes as of crypt(3), such as "
			"`$2b$...`, `$6$...` or `$y$...`; `scram`, verifiers; `plain`, as they "
			"are. Only with the last two can clients use SCRAM." },
	{ "auth_scram_hash", CONF_ENUM, FIELD(struct sql_conf, hash, int), .preset = "sha",
		.words = hash_words, .applies = CONF_AT_MODULE_START,
		.help = "Of `scram`, the hash of verifiers in columns; with it and `plain`, the "
			"one that is offered." },
	{ "pool_size", CONF_INT, FIELD(struct sql_conf, pool_size, int64_t), .preset = "2",
		.min = 1, .max = 64, .unit = "threads", .applies = CONF_AT_MODULE_START,
		.help = "So many questions of a host are answered at once." },
	{ "timeout", CONF_TIME, FIELD(struct sql_conf, timeout_ms, int64_t), .preset = "10 s",
		.min = 100, .max = 600000, .applies = CONF_AT_MODULE_START,
		.help = "How long one may take." },
	{ 0 }
};

static void sql_free(void *arg)
{
	struct sql *x = arg;

	db_close(x->db);
	pthread_mutex_destroy(&x->lock);
	arena_fini(&x->arena);
	wipe(x->sample, sizeof(x->sample));
	free(x);
}

/* They were checked when the settings were read. */
static bool take_query(struct sql *x, const char *text, const char *allowed, struct sql_text *out)
{
	if (text)
		REQUIRE(!sql_text_read(text, allowed, &x->arena, out));
	return text != NULL;
}

static struct sql *sql_new(const struct sql_conf *conf)
{
	struct sql *x = xcalloc(1, sizeof(*x));

	arena_init(&x->arena, NULL, 0);
	pthread_mutex_init(&x->lock, NULL);
	take_query(x, conf->password_query, USER_MARKS, &x->password);
	take_query(x, conf->exists_query ? conf->exists_query : conf->password_query, USER_MARKS,
		&x->exists);
	x->lists = take_query(x, conf->list_query, LIST_MARKS, &x->list);
	x->counts = take_query(x, conf->count_query, COUNT_MARKS, &x->count);
	x->format = (enum sql_format)conf->format;
	x->hash = (enum scram_hash)conf->hash;
	return x;
}

static uint32_t mechanisms(const struct sql_conf *conf)
{
	static const uint32_t scram[SCRAM_HASHES] = {
		[SCRAM_SHA_1] = SASL_SCRAM_SHA_1 | SASL_SCRAM_SHA_1_PLUS,
		[SCRAM_SHA_256] = SASL_SCRAM_SHA_256 | SASL_SCRAM_SHA_256_PLUS,
		[SCRAM_SHA_512] = SASL_SCRAM_SHA_512 | SASL_SCRAM_SHA_512_PLUS,
	};

	return conf->format == PASSWORD_CRYPT ? SASL_PLAIN : SASL_PLAIN | scram[conf->hash];
}

static int open_database(const struct sql_conf *conf, struct sql *x)
{
	struct db_conf database = conf->database;

	database.read_only = true;
	database.cache_bytes = 1 << 20;
	return db_open(&database, &x->db);
}

static int sql_start(struct module_instance *mi)
{
	const struct sql_conf *conf = module_conf_hold(mi);
	struct sql *x = sql_new(conf);
	int error = open_database(conf, x);

	if (error) {
		sql_free(x);
	} else {
		mi->data = x;
		auth_source_add(mi->host, &sql, x,
			&(struct auth_source_conf){ .threads = (unsigned)conf->pool_size,
				.timeout_ms = (uint64_t)conf->timeout_ms,
				.sasl = mechanisms(conf),
				.free = sql_free });
	}
	module_conf_drop(conf);
	return error;
}

static void sql_stop(struct module_instance *mi)
{
	auth_source_remove(mi->host, &sql, mi->data);
}

static const char *sql_check_conf(const void *conf, struct arena *a UNUSED)
{
	const struct sql_conf *c = conf;

	return c->database.path ? NULL : "database: path is missing";
}

const struct module module_auth_sql = {
	.abi = LINNET_MODULE_ABI,
	.name = "auth_sql",
	.help = "Accounts in a table that somebody else keeps, asked by your queries and never "
		"written to. For `sql` in auth_method.",
	.conf = sql_items,
	.conf_size = sizeof(struct sql_conf),
	.start = sql_start,
	.stop = sql_stop,
	.check = sql_check_conf,
};
LINNET_MODULE(module_auth_sql);
