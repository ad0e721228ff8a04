/* cmd/linnetd_accounts.c - commands about accounts: the operator's side of router/auth.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/linnetd.h"
#include "core/command.h"
#include "core/job.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "router/auth.h"
#include "router/host.h"
#include "router/route.h"
#include "xml/jid.h"

#define ACCOUNTS_LISTED 1000 /* at once, unless --max asks for another number */
#define ACCOUNTS_LISTED_MAX 100000

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

/* --- accounts from elsewhere --- */

#define IMPORTED_AT_ONCE 200 /* one commit */
#define IMPORT_LINE_MAX 8192 /* bytes */

/* A file of lines "user:password", read bit by bit. */
struct import_run {
	struct host *host;
	FILE *file;
	unsigned line; /* the last that was read */
	unsigned imported, existed, refused;
	unsigned first_refused; /* its line; 0: none */
	struct auth_import list[IMPORTED_AT_ONCE];
	char *texts[IMPORTED_AT_ONCE]; /* owned: what list points to */
	unsigned lines[IMPORTED_AT_ONCE];
	unsigned n;
};

static void refuse(struct import_run *run, unsigned line)
{
	run->refused++;
	if (!run->first_refused || line < run->first_refused)
		run->first_refused = line;
}

/* "user:password", or a verifier in place of the password. */
static void take_line(struct import_run *run, char *line)
{
	struct auth_import *im = &run->list[run->n];
	char *password = strchr(line, ':'), user[JID_PART_MAX + 1];
	enum scram_hash hash;
	struct scram_verifier v;

	if (!password) {
		refuse(run, run->line);
		return;
	}
	*password++ = 0;
	if (jid_prep_local(line, strlen(line), user) <= 0) {
		refuse(run, run->line);
		return;
	}
	*im = (struct auth_import){ 0 };
	run->texts[run->n] = xmalloc(strlen(user) + strlen(password) + 2);
	im->user = strcpy(run->texts[run->n], user);
	password = strcpy(run->texts[run->n] + strlen(user) + 1, password);
	if (scram_read(password, &hash, &v))
		im->account.scram[hash] = v;
	else
		im->password = password;
	run->lines[run->n++] = run->line;
}

ON_JOB static int import_batch(struct import_run *run)
{
	int error = run->n ? auth_import(run->host, run->list, run->n) : 0;

	for (unsigned i = 0; i < run->n; i++) {
		if (!error && run->list[i].result == 0)
			run->imported++;
		else if (!error && run->list[i].result == AUTH_EXISTS)
			run->existed++;
		else if (!error)
			refuse(run, run->lines[i]);
		wipe(&run->list[i].account, sizeof(run->list[i].account));
		wipe(run->texts[i],
			strlen(run->texts[i]) + 1 +
				(run->list[i].password ? strlen(run->list[i].password) : 0));
		free(run->texts[i]);
	}
	run->n = 0;
	return error;
}

ON_JOB static int import_all(struct import_run *run)
{
	char line[IMPORT_LINE_MAX];
	int error = 0;

	while (!error && fgets(line, sizeof(line), run->file)) {
		size_t len = strcspn(line, "\r\n");

		run->line++;
		if (!line[len] && !feof(run->file)) { /* too long: the rest is skipped */
			int c;

			do
				c = getc(run->file);
			while (c != '\n' && c != EOF);
			refuse(run, run->line);
			continue;
		}
		line[len] = 0;
		if (len && *line != '#')
			take_line(run, line);
		if (run->n == IMPORTED_AT_ONCE)
			error = import_batch(run);
	}
	wipe(line, sizeof(line));
	return error ? error : import_batch(run);
}

static void run_import(const json_t *args, struct command_answer *answer)
{
	const char *path = command_text(args, "file");
	struct import_run *run;
	int error;

	job_check();
	run = xcalloc(1, sizeof(*run));
	run->host = host_of_args(args, answer);
	run->file = run->host ? fopen(path, "re") : NULL;
	if (run->host && !run->file)
		command_fail(answer, "%s: %s", path, strerror(errno));
	if (run->file) {
		error = import_all(run);
		if (error)
			command_fail(answer, "%s: %s; %u accounts were imported before line %u",
				run->host->name, outcome_text(error), run->imported, run->line);
		else
			answer->result = json_pack("{s:i, s:i, s:i, s:i}", "imported",
				(int)run->imported, "existed", (int)run->existed, "refused",
				(int)run->refused, "first_refused_line", (int)run->first_refused);
		fclose(run->file);
	}
	host_unref(run->host);
	free(run);
}

static void run_unregister(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_args(args, user, answer);

	job_check();
	if (h)
		answer_account(answer, auth_remove(h, user), h, user, "removed");
}

static void run_forget(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_args(args, user, answer);
	int outcome;

	job_check();
	if (!h)
		return;
	outcome = auth_forget(h, user);
	if (outcome == AUTH_EXISTS)
		command_fail(answer, "%s@%s: this account can be removed, with unregister", user,
			h->name);
	answer_account(answer, outcome, h, user, "forgotten");
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
static const struct command_arg import_args[] = { HOST_ARG,
	{ "file", ARG_FILE,
		.help = "A line each; in place of a password may stand a verifier, as "
			"SCRAM-SHA-256$4096:salt$stored:server (RFC 5803)." },
	{ 0 } };
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
	{ "account-forget", "accounts",
		"Remove all that is stored here for an account of another system, or for one that "
		"is gone there.",
		account_args, run_forget },
	{ "change-password", "accounts", "Give an account another password.", password_args,
		run_change_password },
	{ "accounts-import", "accounts",
		"Make accounts of the lines user:password of a file on the server's machine.",
		import_args, run_import },
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
