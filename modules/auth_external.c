/* modules/auth_external.c - accounts that a program of the operator's knows: ejabberd's external
 * authentication script. A question is two bytes of length (big-endian) and so many bytes of text:
 *   auth:USER:SERVER:PASSWORD        isuser:USER:SERVER          setpass:USER:SERVER:PASSWORD
 *   tryregister:USER:SERVER:PASSWORD removeuser:USER:SERVER      removeuser3:USER:SERVER:PASSWORD
 * An answer is four bytes: the length 2, and 1 for yes or 0 for no. Colons in a password are its
 * own, as it comes last. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "modules/module.h"
#include "modules/script_pool.h"

#define QUESTION_MAX 65535

struct external_conf {
	const char *program;
	int64_t pool_size;
	int64_t timeout_ms;
	int64_t cache_ms;
};

/* Of an instance, and of calls that hang when it is gone. */
struct external {
	struct script_pool *pool; /* owned */
	uint64_t timeout_ms;
};

/* --- the protocol ---------------------------------------------------------------------------- */

static bool is_answer(const void *answer)
{
	const uint8_t *a = answer;

	return a[0] == 0 && a[1] == 2 && a[2] == 0 && a[3] <= 1;
}

/* 1 for yes, 0 for no, or a negative errno. password: NULL for questions without. */
ON_JOB static int ask(const struct external *x, const char *what, const char *user,
	const struct host *h, const char *password)
{
	size_t len = strlen(what) + strlen(user) + strlen(h->name) + 3 +
		(password ? strlen(password) : 0);
	uint8_t answer[4];
	char *question;
	int error;

	if (len > QUESTION_MAX)
		return 0;
	question = xmalloc(2 + len + 1);
	len = (size_t)sprintf(question + 2, "%s:%s:%s%s%s", what, user, h->name,
		password ? ":" : "", password ? password : "");
	question[0] = (char)(len >> 8);
	question[1] = (char)len;
	error = script_pool_ask(x->pool,
		&(struct script_question){ .bytes = question,
			.n_bytes = 2 + len,
			.answer = answer,
			.n_answer = sizeof(answer),
			.check = is_answer,
			.timeout_ms = x->timeout_ms });
	wipe(question, 2 + len);
	free(question);
	return error ? error : answer[3];
}

/* --- the backend ----------------------------------------------------------------------------- */

static int outcome(int yes, int no)
{
	return yes < 0 ? yes : yes ? 0 : no;
}

static int external_find(
	void *arg, struct host *h, const char *user, struct auth_account *out UNUSED)
{
	job_check();
	return outcome(ask(arg, "isuser", user, h, NULL), AUTH_NO_SUCH_USER);
}

static int external_check(void *arg, struct host *h, const char *user, const char *password)
{
	job_check();
	return outcome(ask(arg, "auth", user, h, password), AUTH_REFUSED);
}

/* It does not say why it will not. */
static int external_create(void *arg, struct host *h, const char *user, const char *password)
{
	job_check();
	return outcome(ask(arg, "tryregister", user, h, password), AUTH_READ_ONLY);
}

static int external_set_password(void *arg, struct host *h, const char *user, const char *password)
{
	job_check();
	return outcome(ask(arg, "setpass", user, h, password), AUTH_READ_ONLY);
}

static int external_remove(void *arg, struct host *h, const char *user)
{
	job_check();
	return outcome(ask(arg, "removeuser", user, h, NULL), AUTH_READ_ONLY);
}

static int external_remove_with(void *arg, struct host *h, const char *user, const char *password)
{
	job_check();
	return outcome(ask(arg, "removeuser3", user, h, password), AUTH_WRONG);
}

static const struct auth_backend external = {
	.name = "external",
	.method = AUTH_BY_EXTERNAL,
	.raw_passwords = true,
	.find = external_find,
	.check = external_check,
	.create = external_create,
	.set_password = external_set_password,
	.remove = external_remove,
	.remove_with = external_remove_with,
};

/* --- the module ------------------------------------------------------------------------------ */

static const char *check_program(const void *value, struct arena *a)
{
	const char *command = *(const char *const *)value;
	const char *path = arena_text(a, command, strcspn(command, " \t"));

	if (!*path)
		return "a program, and its arguments behind it";
	if (strchr(path, '/') && access(path, X_OK))
		return "a program that can be run, and its arguments behind it";
	return NULL;
}

static const struct conf_item external_items[] = {
	{ "extauth_program", CONF_STRING, FIELD(struct external_conf, program, const char *),
		.required = true, .check = check_program, .applies = CONF_AT_MODULE_START,
		.example = "accounts.py --table /etc/accounts",
		.help = "The program, with its path or to be found in PATH, and its arguments with "
			"spaces between." },
	{ "extauth_pool_size", CONF_INT, FIELD(struct external_conf, pool_size, int64_t),
		.preset = "4", .min = 1, .max = SCRIPTS_MAX, .unit = "processes",
		.applies = CONF_AT_MODULE_START,
		.help = "How many of it run for a host: so many questions are answered at once." },
	{ "extauth_timeout", CONF_TIME, FIELD(struct external_conf, timeout_ms, int64_t),
		.preset = "10 s", .min = 100, .max = 600000, .applies = CONF_AT_MODULE_START,
		.help = "How long a question may take. A process that has not answered by then is "
			"ended, and another one started." },
	{ "extauth_cache", CONF_TIME, FIELD(struct external_conf, cache_ms, int64_t), .preset = "0",
		.max = 86400000, .applies = CONF_AT_MODULE_START,
		.help = "How long a password that was right is not asked for again; only its hash "
			"is kept, in memory. 0: it is asked for at each login." },
	{ 0 }
};

static void external_free(void *arg)
{
	struct external *x = arg;

	script_pool_free(x->pool);
	free(x);
}

static int external_start(struct module_instance *mi)
{
	const struct external_conf *conf = module_conf_hold(mi);
	struct external *x = xcalloc(1, sizeof(*x));

	x->pool = script_pool_new(
		mi->host, "auth_external", conf->program, (unsigned)conf->pool_size);
	x->timeout_ms = (uint64_t)conf->timeout_ms;
	mi->data = x;
	auth_source_add(mi->host, &external, x,
		&(struct auth_source_conf){ .threads = (unsigned)conf->pool_size,
			.timeout_ms = (uint64_t)conf->timeout_ms,
			.remember_ms = (uint64_t)conf->cache_ms,
			.free = external_free });
	module_conf_drop(conf);
	return 0;
}

static void external_stop(struct module_instance *mi)
{
	struct external *x = mi->data;

	script_pool_end(x->pool);
	auth_source_remove(mi->host, &external, x);
}

const struct module module_auth_external = {
	.abi = LINNET_MODULE_ABI,
	.name = "auth_external",
	.help = "Accounts that a program of yours knows: ejabberd's external authentication, byte "
		"for byte. For `external` in auth_method.",
	.conf = external_items,
	.conf_size = sizeof(struct external_conf),
	.start = external_start,
	.stop = external_stop,
};
LINNET_MODULE(module_auth_external);
