/* cmd/linnetd_clients.c - commands about the clients of accounts and their tokens
 * (modules/clients.h). */
#include <string.h>
#include <time.h>

#include "cmd/linnetd.h"
#include "core/job.h"
#include "modules/clients.h"

static json_t *text_value(const char *text)
{
	return *text ? json_string(text) : json_null();
}

/* When the last of its tokens expires. */
static json_t *token_value(const struct user_agent *ua)
{
	const struct token *fresh = &ua->tokens[TOKEN_FRESH], *current = &ua->tokens[TOKEN_CURRENT];
	int64_t last = fresh->expires > current->expires ? fresh->expires : current->expires;

	return last > (int64_t)time(NULL) ? time_value(last) : json_null();
}

static void add_client(const struct client_access *ca, void *list)
{
	const struct user_agent *ua = &ca->agent;

	json_array_append_new(list,
		json_pack("{s:s, s:o, s:o, s:b, s:b, s:o, s:o, s:o}", "id", ca->ref, "software",
			text_value(ua->software), "device", text_value(ua->device), "connected",
			ca->connected, "password", (ua->ways & USER_AGENT_PASSWORD) != 0, "token",
			token_value(ua), "first_seen", time_value(ua->first_seen), "last_seen",
			time_value(ua->last_seen)));
}

static int list_clients(struct host *h, const struct jid *account, json_t *rows)
{
	job_check();
	return clients_each(h, jid_local(account), add_client, rows);
}

static void run_clients(const json_t *args, struct command_answer *answer)
{
	job_check();
	command_list_of(NULL, list_clients, args, answer);
}

static void run_client_revoke(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_args(args, user, answer);
	int result;

	job_check();
	if (!h)
		return;
	result = clients_revoke(h, user, command_text(args, "id"), CLIENTS_EVEN_SO);
	if (result < 0)
		command_fail_db(answer, result);
	else if (result == CLIENT_UNKNOWN)
		command_fail(answer, "%s@%s has no such client", user, h->name);
	else if (result == CLIENT_HAS_PASSWORD)
		command_fail(answer,
			"this client has given no id, so only kick ends its session "
			"and only change-password keeps it out");
	else
		answer->result = json_pack("{s:b}", "revoked", 1);
	host_unref(h);
}

static void run_tokens_revoke(const json_t *args, struct command_answer *answer)
{
	const char *given = command_text(args, "user");
	char user[JID_PART_MAX + 1];
	struct host *h = host_of_args(args, answer);
	int result;

	job_check();
	if (!h)
		return;
	if (given && jid_prep_local(given, strlen(given), user) <= 0) {
		command_fail(answer, "'%s' cannot be the name of an account", given);
		host_unref(h);
		return;
	}
	result = user_agents_revoke_tokens(h, given ? user : NULL, command_text(args, "software"));
	command_number(answer, "clients", result);
	host_unref(h);
}

static const struct command_arg clients_args[] = { ACCOUNT_ARGS, { 0 } };
static const struct command_arg revoke_args[] = { ACCOUNT_ARGS,
	{ "id", ARG_STRING, .help = "The client's id in the list that `clients` gives." }, { 0 } };
static const struct command_arg tokens_args[] = { { "host", ARG_HOST,
							  .help = "A host of this server." },
	{ "user", ARG_STRING, .optional = true, .option = true,
		.help = "Of this account alone: the part of its address before the @." },
	{ "software", ARG_STRING, .optional = true, .option = true,
		.help = "Of clients alone that call themselves this." },
	{ 0 } };

static const struct command commands[] = {
	{ "clients", "accounts",
		"List the clients that have access to an account: connected, by password, by a "
		"token and until when.",
		clients_args, run_clients,
		(const char *const[]){ "id", "software", "device", "connected", "password", "token",
			"first_seen", "last_seen", NULL } },
	{ "client-revoke", "accounts",
		"Forget a client of an account with its tokens, and end its sessions. One that "
		"knows the password can come back by it.",
		revoke_args, run_client_revoke },
	{ "tokens-revoke", "accounts",
		"Let no token serve any more: of a host, an account, or a software. Sessions go "
		"on; passwords are not touched.",
		tokens_args, run_tokens_revoke },
};

void commands_add_clients(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
