/* cmd/linnetd_accounts.c - commands about accounts: the operator's side of router/auth.h. */
#include <errno.h>
#include <string.h>

#include "cmd/linnetd.h"
#include "core/command.h"
#include "core/job.h"
#include "core/rcu.h"
#include "router/auth.h"
#include "router/host.h"
#include "router/route.h"
#include "xml/jid.h"

#define ACCOUNTS_LISTED 1000 /* at once, unless --max asks for another number */
#define ACCOUNTS_LISTED_MAX 100000

/* The host, counted, or NULL and the answer says why. */
struct host *host_of_args(const json_t *args, struct command_answer *answer)
{
	const char *given = command_text(args, "host");
	char domain[JID_PART_MAX + 1];
	struct host *h = NULL;

	if (jid_prep_domain(given, strlen(given), domain) >= 0)
		h = route_host(domain);
	if (!h)
		command_fail(answer, "%s is not a host of this server", given);
	return h ? host_ref(h) : NULL;
}

/* NULL: the answer says why not. */
struct host *account_of_args(const json_t *args, char *user, struct command_answer *answer)
{
	const char *given = command_text(args, "user");
	struct host *h = host_of_args(args, answer);

	if (!h || jid_prep_local(given, strlen(given), user) > 0)
		return h;
	command_fail(answer, "'%s' cannot be the name of an account", given);
	host_unref(h);
	return NULL;
}

static const char *outcome_text(int outcome)
{
	switch (outcome) {
	case AUTH_NO_SUCH_USER:
		return "there is no such account";
	case AUTH_EXISTS:
		return "the account exists already";
	case AUTH_WRONG:
		return "the password is wrong";
	case AUTH_READ_ONLY:
		return "the accounts of this host cannot be changed here";
	case -ENOSYS:
		return "this host has no accounts: no authentication module runs on it";
	case -EINVAL:
		return "the password holds characters that none may hold";
	default:
		return strerror(-outcome);
	}
}

/* What was done to user@host, or why not. Drops h. */
static void answer_account(struct command_answer *answer, int outcome, struct host *h,
	const char *user, const char *done)
{
	if (outcome)
		command_fail(answer, "%s@%s: %s", user, h->name, outcome_text(outcome));
	else
		answer->result = json_pack(
			"{s:o, s:b}", "account", json_sprintf("%s@%s", user, h->name), done, 1);
	host_unref(h);
}

static void run_register(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_args(args, user, answer);
	int outcome;

	job_check();
	if (!h)
		return;
	outcome = auth_create(h, user, command_text(args, "password"));
	if (outcome == AUTH_EXISTS && command_flag(args, "if-absent"))
		answer_account(answer, 0, h, user, "existed");
	else
		answer_account(answer, outcome, h, user, "created");
}

static void run_unregister(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_args(args, user, answer);

	job_check();
	if (h)
		answer_account(answer, auth_remove(h, user), h, user, "removed");
}

static void run_unregister_with(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_args(args, user, answer);

	job_check();
	if (h)
		answer_account(answer, auth_remove_with(h, user, command_text(args, "password")), h,
			user, "removed");
}

static void run_change_password(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_args(args, user, answer);

	job_check();
	if (h)
		answer_account(answer, auth_set_password(h, user, command_text(args, "password")),
			h, user, "changed");
}

/* Where accounts come from: each source of a host, in the order of auth_method. */
static void add_source(const struct auth_source_row *row, void *list)
{
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:i, s:i, s:i, s:I}", "source", row->name, "state",
			!row->here                      ? "missing"
				: row->silent_ms > 1000 ? "silent"
							: "up",
			"threads", (int)row->threads, "running", (int)row->running, "waiting",
			(int)row->waiting, "silent_ms", (json_int_t)row->silent_ms));
}

static void run_sources(const json_t *args, struct command_answer *answer)
{
	struct host *h = host_of_args(args, answer);

	job_check();
	if (!h)
		return;
	answer->result = json_array();
	auth_sources_each(h, NULL, add_source, answer->result);
	host_unref(h);
}

/* The first that says yes has the account; one before it that does not answer might. */
struct owner {
	json_t *list;
	bool known;
};

static void add_answer(const struct auth_source_row *row, void *arg)
{
	struct owner *o = arg;
	const char *says = row->knows < 0 ? strerror(-row->knows) : row->knows ? "no" : "yes";

	json_array_append_new(o->list,
		json_pack("{s:s, s:s, s:b}", "source", row->name, "knows", says, "account",
			!o->known && row->knows == 0));
	o->known |= row->knows <= 0;
}

static void run_account_sources(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_args(args, user, answer);
	struct owner o = { 0 };

	job_check();
	if (!h)
		return;
	answer->result = o.list = json_array();
	auth_sources_each(h, user, add_answer, &o);
	host_unref(h);
}

static void run_forget_answers(const json_t *args, struct command_answer *answer)
{
	struct host *h = host_of_args(args, answer);

	if (!h)
		return;
	auth_forget_answers(h);
	answer->result = json_pack("{s:s, s:b}", "host", h->name, "cleared", 1);
	host_unref(h);
}

static void add_account(const char *user, void *list)
{
	json_array_append_new(list, json_pack("{s:s}", "user", user));
}

static void run_accounts(const json_t *args, struct command_answer *answer)
{
	int64_t max = command_int(args, "max", ACCOUNTS_LISTED);
	const char *after = command_text(args, "after");
	struct host *h;
	int outcome;

	job_check();
	if (max < 1 || max > ACCOUNTS_LISTED_MAX) {
		command_fail(answer, "--max goes from 1 to %d", ACCOUNTS_LISTED_MAX);
		return;
	}
	h = host_of_args(args, answer);
	if (!h)
		return;
	answer->result = json_array();
	outcome = auth_list(h, after ? after : "", (unsigned)max, add_account, answer->result);
	if (outcome)
		command_fail(answer, "%s: %s", h->name, outcome_text(outcome));
	host_unref(h);
}

#define USER_ARG                                                                    \
	{                                                                           \
		"user", ARG_STRING, .help = "The part of the address before the @." \
	}
#define HOST_ARG                                                   \
	{                                                          \
		"host", ARG_HOST, .help = "A host of this server." \
	}
#define PASSWORD_ARG                                                                       \
	{                                                                                  \
		"password", ARG_SECRET,                                                    \
			.help = "Asked for when left out; - reads it from standard input." \
	}

static const struct command_arg register_args[] = { USER_ARG, HOST_ARG, PASSWORD_ARG,
	{ "if-absent", ARG_FLAG, .help = "Leave an account that exists as it is, without error." },
	{ 0 } };
static const struct command_arg account_args[] = { USER_ARG, HOST_ARG, { 0 } };
static const struct command_arg sources_args[] = { HOST_ARG, { 0 } };
static const struct command_arg password_args[] = { USER_ARG, HOST_ARG, PASSWORD_ARG, { 0 } };
static const struct command_arg accounts_args[] = { HOST_ARG,
	{ "after", ARG_STRING, .optional = true, .option = true,
		.help = "Begin behind this name: the last one of the list before." },
	{ "max", ARG_INT, .optional = true, .option = true,
		.help = "List at most so many (1000)." },
	{ 0 } };

static const struct command commands[] = {
	{ "register", "accounts", "Make an account.", register_args, run_register },
	{ "unregister", "accounts", "Remove an account and all that is stored for it.",
		account_args, run_unregister },
	{ "unregister-with-password", "accounts", "Remove an account if this is its password.",
		password_args, run_unregister_with },
	{ "change-password", "accounts", "Give an account another password.", password_args,
		run_change_password },
	{ "auth-sources", "accounts", "Show where a host's accounts come from, in order.",
		sources_args, run_sources },
	{ "account-sources", "accounts",
		"Ask each source of a host's accounts whether it knows one, and show whose it is.",
		account_args, run_account_sources },
	{ "auth-cache-clear", "accounts",
		"Forget what other systems have said about a host's accounts and passwords.",
		sources_args, run_forget_answers },
	{ "accounts", "accounts", "List the accounts of a host, in order.", accounts_args,
		run_accounts },
};

void commands_add_accounts(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
