/* modules/auth_pam.c - accounts of the system that the server runs on, as PAM knows them: a service
 * file says by what modules. These run in our process and may take their time, so they do on
 * threads of the source's own. pam(3). */
#include <errno.h>
#include <security/pam_appl.h>
#include <stdlib.h>
#include <unistd.h>

#include "modules/module.h"

enum { USER_BY_NAME, USER_BY_JID };
struct pam_conf {
	const char *service;
	const char *folder; /* NULL: the system's */
	int user_info;
	int64_t threads;
	int64_t timeout_ms;
};

/* Of an instance, and of calls that hang when it is gone. */
struct pam {
	char *service, *folder; /* owned; folder may be NULL */
	int user_info;
};

/* --- one transaction ------------------------------------------------------------------------- */

struct talk {
	const char *user, *password; /* password NULL: none is known */
};

static void forget_answers(struct pam_response *answers, int n)
{
	for (int i = 0; i < n; i++) {
		if (answers[i].resp)
			wipe(answers[i].resp, strlen(answers[i].resp));
		free(answers[i].resp);
	}
	free(answers);
}

/* What is asked for in the dark is the password, what in the open the name. */
static int converse(int n, const struct pam_message **asked, struct pam_response **out, void *arg)
{
	const struct talk *talk = arg;
	struct pam_response *answers;

	if (n <= 0 || n > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	answers = xcalloc((size_t)n, sizeof(*answers));
	for (int i = 0; i < n; i++) {
		const char *answer = asked[i]->msg_style == PAM_PROMPT_ECHO_OFF ? talk->password
			: asked[i]->msg_style == PAM_PROMPT_ECHO_ON             ? talk->user
										: "";

		if (!answer) {
			forget_answers(answers, n);
			return PAM_CONV_ERR;
		}
		answers[i].resp = xstrdup(answer);
	}
	*out = answers;
	return PAM_SUCCESS;
}

/* We have limits of our own on guessing, and a wrong password holds up nobody else's. */
static void no_delay(int status UNUSED, unsigned microseconds UNUSED, void *arg UNUSED)
{
}

static int begin(const struct pam *x, const struct talk *talk, const struct pam_conv *conv,
	pam_handle_t **out)
{
	int status = x->folder ? pam_start_confdir(x->service, talk->user, conv, x->folder, out)
			       : pam_start(x->service, talk->user, conv, out);

	if (status == PAM_SUCCESS)
		pam_set_item(*out, PAM_FAIL_DELAY, (const void *)(uintptr_t)no_delay);
	return status;
}

/* PAM_SUCCESS or what came first. */
static int transact(const struct pam *x, const struct talk *talk, bool authenticate)
{
	const struct pam_conv conv = { .conv = converse, .appdata_ptr = (void *)talk };
	pam_handle_t *handle = NULL;
	int status = begin(x, talk, &conv, &handle);

	if (status != PAM_SUCCESS)
		return status;
	if (authenticate)
		status = pam_authenticate(handle, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	if (status == PAM_SUCCESS)
		status = pam_acct_mgmt(handle, PAM_SILENT);
	pam_end(handle, status);
	return status;
}

/* For those that say neither yes nor no. */
static int failure(const struct host *h, const struct pam *x, int status)
{
	static struct log_seldom seldom;
	uint32_t left_out;

	if (log_seldom(&seldom, &left_out))
		log_warning("auth", "PAM does not answer", L_STR("host", h->name),
			L_STR("service", x->service), L_STR("why", pam_strerror(NULL, status)),
			L_INT("left_out", left_out));
	return status == PAM_BUF_ERR ? -ENOMEM : -EIO;
}

static int run(const struct pam *x, const struct host *h, const char *user, const char *password)
{
	AUTO(free_ptr)
	char *name = x->user_info == USER_BY_JID ? xprintf("%s@%s", user, h->name) : xstrdup(user);
	const struct talk talk = { name, password };
	bool reading = rcu_offline();
	int status = transact(x, &talk, password != NULL);

	rcu_online(reading);
	return status;
}

/* --- the backend ----------------------------------------------------------------------------- */

/* Whether the account could be used at this moment, as its management says. */
static int pam_find(void *arg, struct host *h, const char *user, struct auth_account *out)
{
	int status;

	job_check();
	status = run(arg, h, user, NULL);
	switch (status) {
	case PAM_SUCCESS:
		return 0;
	case PAM_ACCT_EXPIRED:
	case PAM_NEW_AUTHTOK_REQD:
		out->disabled = true;
		return 0;
	case PAM_USER_UNKNOWN:
	case PAM_AUTH_ERR:
	case PAM_PERM_DENIED:
		return AUTH_NO_SUCH_USER;
	default:
		return failure(h, arg, status);
	}
}

static int pam_check(void *arg, struct host *h, const char *user, const char *password)
{
	int status;

	job_check();
	status = run(arg, h, user, password);
	switch (status) {
	case PAM_SUCCESS:
		return 0;
	case PAM_ACCT_EXPIRED: /* only who has shown the password learns of these */
	case PAM_NEW_AUTHTOK_REQD:
		return AUTH_DISABLED;
	case PAM_USER_UNKNOWN:
	case PAM_AUTH_ERR:
	case PAM_PERM_DENIED:
	case PAM_MAXTRIES:
	case PAM_CRED_INSUFFICIENT:
		return AUTH_REFUSED;
	default:
		return failure(h, arg, status);
	}
}

static const struct auth_backend pam = {
	.name = "pam",
	.method = AUTH_BY_PAM,
	.raw_passwords = true,
	.find = pam_find,
	.check = pam_check,
};

/* --- the module ------------------------------------------------------------------------------ */

static const char *check_service(const void *value, struct arena *a UNUSED)
{
	const char *service = *(const char *const *)value;

	return *service && !strchr(service, '/') ? NULL : "the name of a PAM service";
}

static const char *const info_words[] = { "username", "jid", NULL };
static const struct conf_item pam_items[] = {
	{ "pam_service", CONF_STRING, FIELD(struct pam_conf, service, const char *),
		.preset = "linnet", .check = check_service, .applies = CONF_AT_MODULE_START,
		.help = "The service: the name of a file in /etc/pam.d." },
	{ "pam_userinfotype", CONF_ENUM, FIELD(struct pam_conf, user_info, int),
		.preset = "username", .words = info_words, .applies = CONF_AT_MODULE_START,
		.help = "What PAM is told of the user: `username`, the part of the address before "
			"the @, or `jid`, all of it." },
	{ "pam_folder", CONF_PATH, FIELD(struct pam_conf, folder, const char *),
		.applies = CONF_AT_MODULE_START,
		.help = "A folder with service files in place of the system's." },
	{ "pam_threads", CONF_INT, FIELD(struct pam_conf, threads, int64_t), .preset = "4",
		.min = 1, .max = 64, .unit = "threads", .applies = CONF_AT_MODULE_START,
		.help = "So many users of a host are looked after at once." },
	{ "pam_timeout", CONF_TIME, FIELD(struct pam_conf, timeout_ms, int64_t), .preset = "20 s",
		.min = 100, .max = 600000, .applies = CONF_AT_MODULE_START,
		.help = "Logins are refused for now when PAM has not answered for so long; the "
			"thread is PAM's until it does." },
	{ 0 }
};

static void pam_free(void *arg)
{
	struct pam *x = arg;

	free(x->service);
	free(x->folder);
	free(x);
}

static int pam_module_start(struct module_instance *mi)
{
	const struct pam_conf *conf = module_conf_hold(mi);
	struct pam *x = xcalloc(1, sizeof(*x));

	x->service = xstrdup(conf->service);
	x->folder = conf->folder ? xstrdup(conf->folder) : NULL;
	x->user_info = conf->user_info;
	mi->data = x;
	auth_source_add(mi->host, &pam, x,
		&(struct auth_source_conf){ .threads = (unsigned)conf->threads,
			.timeout_ms = (uint64_t)conf->timeout_ms,
			.free = pam_free });
	module_conf_drop(conf);
	return 0;
}

static void pam_module_stop(struct module_instance *mi)
{
	auth_source_remove(mi->host, &pam, mi->data);
}

const struct module module_auth_pam = {
	.abi = LINNET_MODULE_ABI,
	.name = "auth_pam",
	.help = "Accounts of the system that the server runs on, as PAM knows them. For `pam` in "
		"auth_method.",
	.conf = pam_items,
	.conf_size = sizeof(struct pam_conf),
	.start = pam_module_start,
	.stop = pam_module_stop,
};
LINNET_MODULE(module_auth_pam);
