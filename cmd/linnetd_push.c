/* cmd/linnetd_push.c - commands about the app servers that accounts have notified (modules/push.h).
 */

#include "cmd/linnetd.h"
#include "core/job.h"
#include "core/mem.h"
#include "modules/push.h"

static void add_entry(const struct push_entry *e, void *list)
{
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:s, s:o}", "service", e->service, "node", e->node,
			"resource", e->resource, "since", time_value(e->since)));
}

static void run_push(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_module("push", args, user, answer);
	int result;

	job_check();
	if (!h)
		return;
	answer->result = json_array();
	result = push_each(h->name, user, add_entry, answer->result);
	if (result < 0)
		command_fail_db(answer, result);
	host_unref(h);
}

static void run_push_remove(const json_t *args, struct command_answer *answer)
{
	const char *service = command_text(args, "service"), *node = command_text(args, "node");
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_module("push", args, user, answer);
	struct jid *account;
	int result;

	job_check();
	if (!h)
		return;
	REQUIRE(jid_make(user, h->name, NULL, NULL, &account) == JID_OK);
	result = push_remove(h, account, service, node);
	jid_free(account);
	if (result < 0)
		command_fail_db(answer, result);
	else
		answer->result = json_pack("{s:i}", "removed", result);
	host_unref(h);
}

static const struct command_arg list_args[] = { ACCOUNT_ARGS, { 0 } };
static const struct command_arg remove_args[] = { ACCOUNT_ARGS,
	{ "service", ARG_STRING, .optional = true, .option = true,
		.help = "Only those of the app server with this address." },
	{ "node", ARG_STRING, .optional = true, .option = true,
		.help = "Only this node of --service." },
	{ 0 } };

static const struct command commands[] = {
	{ "push", "stored", "List the app servers that an account's clients are woken by.",
		list_args, run_push,
		(const char *const[]){ "service", "node", "resource", "since", NULL } },
	{ "push-remove", "stored", "Send no more notifications to an account's app servers.",
		remove_args, run_push_remove },
};

void commands_add_push(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
