/* cmd/linnetd_push.c - commands about the app servers that accounts have notified (modules/push.h).
 */

#include "cmd/linnetd.h"
#include "core/job.h"
#include "modules/push.h"

static void add_entry(const struct push_entry *e, void *list)
{
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:s, s:o}", "service", e->service, "node", e->node,
			"resource", e->resource, "since", time_value(e->since)));
}

static int list_entries(struct host *h, const struct jid *account, json_t *rows)
{
	job_check();
	return push_each(h->name, jid_local(account), add_entry, rows);
}

static void run_push(const json_t *args, struct command_answer *answer)
{
	job_check();
	command_list_of("push", list_entries, args, answer);
}

static int64_t remove_entries(struct host *h, const struct jid *account, const json_t *args)
{
	job_check();
	return push_remove(h, account, command_text(args, "service"), command_text(args, "node"));
}

static void run_push_remove(const json_t *args, struct command_answer *answer)
{
	job_check();
	command_number_of("push", "removed", remove_entries, args, answer);
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
