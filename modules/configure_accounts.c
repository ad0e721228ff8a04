/* modules/configure_accounts.c - accounts made, closed, opened, changed, removed and looked at:
 * XEP-0133 §4.1-4.10. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/command.h"
#include "core/job.h"
#include "modules/configure.h"
#include "modules/last.h"
#include "modules/module.h"
#include "modules/roster.h"
#include "router/account.h"
#include "router/contacts.h"
#include "router/directory.h"

#define ADDRESSES_MAX 1000 /* in one request */

/* ---- What was filled in */

/* An account of this host. NULL: a->problem says why not. */
static const struct jid *read_account(struct adhoc *a, const char *text, bool full_too)
{
	struct jid *jid;

	if (jid_parse(text, strlen(text), a->arena, &jid) || !jid->local_len ||
		(!full_too && jid_is_full(jid))) {
		a->problem = TR("This is not the address of an account.");
		return NULL;
	}
	if (strcmp(jid_domain(jid), a->host->name) != 0) {
		a->problem = TR("The account is not of this host.");
		return NULL;
	}
	return jid;
}

struct accounts {
	const struct jid **at;
	unsigned n;
};

/* 0 or ADHOC_WRONG. */
static int read_accounts(struct adhoc *a, bool full_too, struct accounts *out)
{
	const char *const *values = form_values(a->form, "accountjids", a->arena, &out->n);

	if (out->n > ADDRESSES_MAX) {
		a->problem = TR("These are too many addresses at once.");
		return ADHOC_WRONG;
	}
	out->at = arena_alloc(a->arena, (out->n + 1) * sizeof(*out->at));
	for (unsigned i = 0; i < out->n; i++) {
		out->at[i] = read_account(a, values[i], full_too);
		if (!out->at[i])
			return ADHOC_WRONG;
	}
	return 0;
}

/* Each of them, until one fails; those before it have been done (as the note of a client that asks
 * again will show). */
ON_JOB static int for_each_account(
	struct adhoc *a, bool full_too, int (*fn)(struct adhoc *a, const struct jid *account))
{
	struct accounts accounts;
	int result = read_accounts(a, full_too, &accounts);

	for (unsigned i = 0; i < accounts.n && !result; i++)
		result = fn(a, accounts.at[i]);
	return result;
}

/* ---- Commands that do something */

static const char *arg_text(const struct adhoc *a, const char *var)
{
	const char *text = form_text(a->form, var, a->arena);

	return text ? text : "";
}

/* §4.1 */
static int add_user(struct adhoc *a)
{
	const struct jid *account = read_account(a, arg_text(a, "accountjid"), false);
	const char *password = arg_text(a, "password");

	job_check();
	if (!account)
		return ADHOC_WRONG;
	if (strcmp(password, arg_text(a, "password-verify")) != 0) {
		a->problem = TR("The two passwords are not the same.");
		return ADHOC_WRONG;
	}
	return configure_outcome(a, auth_create(a->host, jid_local(account), password));
}

/* §4.2 */
static int delete_one(struct adhoc *a, const struct jid *account)
{
	job_check();
	return configure_outcome(a, auth_remove(a->host, jid_local(account)));
}

static int delete_user(struct adhoc *a)
{
	job_check();
	return for_each_account(a, false, delete_one);
}

/* Ends one session, or all of an account, by the operator's own command; false: it had none. */
static bool end_sessions(const struct jid *whom, const char *reason)
{
	const struct command *kick = command_find("kick");
	char text[JID_TEXT_MAX];
	struct command_answer answer = { 0 };
	json_t *args;
	bool ended;

	if (!kick)
		return false;
	jid_write(whom, text);
	args = json_pack("{s:s, s:s}", "jid", text, "reason", reason);
	kick->run(args, &answer);
	ended = json_integer_value(json_object_get(answer.result, "kicked")) > 0;
	json_decref(args);
	json_decref(answer.result);
	free(answer.error);
	return ended;
}

/* §4.3 */
static int disable_one(struct adhoc *a, const struct jid *account)
{
	int result;

	job_check();
	result = configure_outcome(a, auth_disable(a->host, jid_local(account)));
	if (!result)
		end_sessions(account, TR("The account was disabled."));
	return result;
}

static int disable_user(struct adhoc *a)
{
	job_check();
	return for_each_account(a, false, disable_one);
}

/* §4.4 */
static int reenable_one(struct adhoc *a, const struct jid *account)
{
	job_check();
	return configure_outcome(a, auth_enable(a->host, jid_local(account)));
}

static int reenable_user(struct adhoc *a)
{
	job_check();
	return for_each_account(a, false, reenable_one);
}

/* §4.5 */
static int end_one(struct adhoc *a, const struct jid *whom)
{
	if (end_sessions(whom, TR("An administrator has ended the session.")))
		return 0;
	a->problem = TR("There is no such session.");
	return ERR_ITEM_NOT_FOUND;
}

static int end_user_session(struct adhoc *a)
{
	job_check();
	return for_each_account(a, true, end_one);
}

/* §4.7 */
static int change_user_password(struct adhoc *a)
{
	const struct jid *account = read_account(a, arg_text(a, "accountjid"), false);

	job_check();
	if (!account)
		return ADHOC_WRONG;
	return configure_outcome(
		a, auth_set_password(a->host, jid_local(account), arg_text(a, "password")));
}

/* ---- Commands that tell something */

#define ADDRESS_FIELD(n, t)                                                               \
	{                                                                                 \
		.var = (n), .type = (t), .label = TR("Account address"), .required = true \
	}
#define TOLD(n, l)                                                \
	{                                                         \
		.var = (n), .type = FORM_TEXT_MULTI, .label = (l) \
	}

ON_JOB static int exists(struct adhoc *a, const struct jid *account)
{
	struct auth_account found;

	return configure_outcome(a, auth_find(a->host, jid_local(account), &found));
}

/* Whom the answer is about. */
static void tell_accounts(struct adhoc *a, const struct accounts *accounts)
{
	static const struct form_row row = { "accountjids", FORM_JID_MULTI,
		TR("Account addresses") };
	char text[JID_TEXT_MAX];

	form_field(a->answer, a->lang, &row);
	for (unsigned i = 0; i < accounts->n; i++) {
		jid_write(accounts->at[i], text);
		form_value(a->answer, text);
	}
	build_close(a->answer);
}

static void tell_contact(const struct roster_entry *e, void *arg)
{
	struct builder *b = arg;

	build_open(b, "item", NULL);
	build_attr_jid(b, "jid", e->contact);
	build_attr(b, "name", e->name);
	build_attr(b, "subscription", subscription_name(e->bits));
	if (e->bits & CONTACT_PENDING_OUT)
		build_attr(b, "ask", "subscribe");
	for (unsigned i = 0; i < e->n_groups; i++)
		build_text(b, "group", e->groups[i]);
	build_close(b);
}

ON_JOB static int tell_roster(struct adhoc *a, const struct jid *account)
{
	int error;

	build_open(a->answer, "query", NS_ROSTER);
	error = roster_list(a->host, jid_local(account), tell_contact, a->answer);
	build_close(a->answer);
	if (error == -ENOSYS)
		return ERR_FEATURE_NOT_IMPLEMENTED;
	return error ? ERR_INTERNAL_SERVER_ERROR : 0;
}

/* §4.8: one after the other, in the order asked. */
static int get_user_roster(struct adhoc *a)
{
	struct accounts accounts;
	int result = read_accounts(a, false, &accounts);

	job_check();
	for (unsigned i = 0; i < accounts.n && !result; i++)
		result = exists(a, accounts.at[i]);
	if (result)
		return result;
	form_open(a->answer, "result", NS_ADMIN);
	tell_accounts(a, &accounts);
	for (unsigned i = 0; i < accounts.n && !result; i++)
		result = tell_roster(a, accounts.at[i]);
	build_close(a->answer);
	return result;
}

/* XEP-0082 */
static void write_time(int64_t seconds, char out[32])
{
	time_t t = (time_t)seconds;
	struct tm parts;

	gmtime_r(&t, &parts);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

/* §4.9: its last login, which while it is here is the newest of its sessions'. */
ON_JOB static void last_login(struct adhoc *a, const struct jid *account, char out[32])
{
	const struct sessions *all = directory_find(account);
	int64_t at = 0;

	for (unsigned i = 0; all && i < all->n; i++)
		if ((int64_t)(all->at[i].session->since_ms / 1000) > at)
			at = (int64_t)(all->at[i].session->since_ms / 1000);
	if (at || !last_seen(a->host, jid_local(account), &at))
		write_time(at, out);
	else
		out[0] = '\0';
}

static int get_user_lastlogin(struct adhoc *a)
{
	static const struct form_row told = TOLD("lastlogin", TR("Last login"));
	struct accounts accounts;
	char at[32];
	int result = read_accounts(a, false, &accounts);

	job_check();
	for (unsigned i = 0; i < accounts.n && !result; i++)
		result = exists(a, accounts.at[i]);
	if (result)
		return result;
	form_open(a->answer, "result", NS_ADMIN);
	tell_accounts(a, &accounts);
	form_field(a->answer, a->lang, &told);
	for (unsigned i = 0; i < accounts.n; i++) {
		last_login(a, accounts.at[i], at);
		form_value(a->answer, at);
	}
	build_close(a->answer);
	build_close(a->answer);
	return ADHOC_DONE;
}

ON_JOB static void tell_roster_size(struct adhoc *a, const struct jid *account)
{
	static const struct form_row told = {
		.var = "rostersize", .type = FORM_TEXT_SINGLE, .label = TR("Contacts")
	};
	struct account *snapshot;
	char text[16];

	if (account_hold(a->host, account, &snapshot))
		return;
	snprintf(text, sizeof(text), "%u", contacts_count(snapshot));
	account_drop(snapshot);
	form_result(a->answer, a->lang, &told, text);
}

/* §4.10 */
static int user_stats(struct adhoc *a)
{
	static const struct form_row addresses = TOLD("ipaddresses", TR("IP addresses")),
				     resources = TOLD("onlineresources", TR("Online resources"));
	const struct jid *account = read_account(a, arg_text(a, "accountjid"), false);
	const struct sessions *all;
	char text[CONF_ADDRESS_TEXT_MAX];
	int result;

	job_check();
	result = account ? exists(a, account) : ADHOC_WRONG;
	if (result)
		return result;
	form_open(a->answer, "result", NS_ADMIN);
	tell_roster_size(a, account);
	all = directory_find(account);
	form_field(a->answer, a->lang, &addresses);
	for (unsigned i = 0; all && i < all->n; i++) {
		conf_address_write(&all->at[i].session->address, text);
		form_value(a->answer, text);
	}
	build_close(a->answer);
	form_field(a->answer, a->lang, &resources);
	for (unsigned i = 0; all && i < all->n; i++)
		form_value(a->answer, jid_resource(all->at[i].session->jid));
	build_close(a->answer);
	build_close(a->answer);
	return ADHOC_DONE;
}

/* ---- The table */

static const struct form_row one_account[] = { ADDRESS_FIELD("accountjid", FORM_JID_SINGLE),
	{ 0 } };
static const struct form_row some_accounts[] = {
	{ "accountjids", FORM_JID_MULTI, TR("Account addresses"), .required = true }, { 0 }
};
static const struct form_row new_account[] = { ADDRESS_FIELD("accountjid", FORM_JID_SINGLE),
	{ "password", FORM_TEXT_PRIVATE, TR("Password"), .required = true },
	{ "password-verify", FORM_TEXT_PRIVATE, TR("Password again"), .required = true }, { 0 } };
static const struct form_row new_password[] = { ADDRESS_FIELD("accountjid", FORM_JID_SINGLE),
	{ "password", FORM_TEXT_PRIVATE, TR("Password"), .required = true }, { 0 } };

#define COMMAND(n, title, rows, fn)                                                              \
	{                                                                                        \
		.node = ADMIN_NODE(n), .name = (title), .form_type = NS_ADMIN, .fields = (rows), \
		.run = (fn)                                                                      \
	}
static const struct adhoc_command commands[] = {
	COMMAND("add-user", TR("Add an account"), new_account, add_user),
	COMMAND("delete-user", TR("Delete accounts"), some_accounts, delete_user),
	COMMAND("disable-user", TR("Disable accounts"), some_accounts, disable_user),
	COMMAND("reenable-user", TR("Re-enable accounts"), some_accounts, reenable_user),
	COMMAND("end-user-session", TR("End sessions"), some_accounts, end_user_session),
	COMMAND("change-user-password", TR("Change an account's password"), new_password,
		change_user_password),
	COMMAND("get-user-roster", TR("Contacts of accounts"), some_accounts, get_user_roster),
	COMMAND("get-user-lastlogin", TR("Last login of accounts"), some_accounts,
		get_user_lastlogin),
	COMMAND("user-stats", TR("Statistics of an account"), one_account, user_stats),
};
const struct adhoc_commands account_commands = { commands, ARRAY_LEN(commands) };
