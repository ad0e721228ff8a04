/* cmd/linnetd_stored.c - commands about what accounts keep on the server: private XML and
 * vCards. */

#include "cmd/linnetd.h"
#include "core/job.h"
#include "modules/private.h"
#include "modules/vcard.h"
#include "modules/vcard_store.h"
#include "router/host.h"

static void add_private(const struct private_item *item, void *list)
{
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:I, s:o}", "element", item->element, "namespace", item->ns,
			"bytes", (json_int_t)item->bytes, "changed", time_value(item->changed)));
}

static int list_private(struct host *h, const struct jid *account, json_t *rows)
{
	job_check();
	return private_each(h->name, jid_local(account), add_private, rows);
}

static void run_private(const json_t *args, struct command_answer *answer)
{
	job_check();
	command_list_of("private", list_private, args, answer);
}

static int64_t delete_private(struct host *h, const struct jid *account, const json_t *args)
{
	job_check();
	return private_delete(h->name, jid_local(account), command_text(args, "element"),
		command_text(args, "namespace"));
}

static void run_private_delete(const json_t *args, struct command_answer *answer)
{
	job_check();
	if (!command_text(args, "element") != !command_text(args, "namespace"))
		command_fail(answer, "--element and --namespace go together");
	else
		command_number_of("private", "deleted", delete_private, args, answer);
}

static void run_vcard(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1], hash[VCARD_HASH_TEXT];
	struct host *h = account_of_module("vcard", args, user, answer);
	AUTO(free_ptr) char *xml = NULL;
	int wanted, result;

	job_check();
	if (!h)
		return;
	result = vcard_find_text(h->name, user, &xml);
	if (result >= 0)
		result = vcard_find_hash(h->name, user, hash);
	wanted = result >= 0 ? vcard_is_wanted(h->name, user) : result;
	if (wanted < 0)
		command_fail_db(answer, wanted);
	else if (!xml)
		command_fail(answer, "%s@%s has no vCard", user, h->name);
	else
		answer->result = json_pack(
			"{s:s, s:s, s:b}", "vcard", xml, "photo", hash, "registered", wanted);
	host_unref(h);
}

static int64_t delete_vcard(struct host *h, const struct jid *account, const json_t *args UNUSED)
{
	job_check();
	return vcard_remove(h, account);
}

static void run_vcard_delete(const json_t *args, struct command_answer *answer)
{
	job_check();
	command_number_of("vcard", "deleted", delete_vcard, args, answer);
}

static const struct command_arg account_args[] = { ACCOUNT_ARGS, { 0 } };
static const struct command_arg private_delete_args[] = { ACCOUNT_ARGS,
	{ "element", ARG_STRING, .optional = true, .option = true,
		.help = "Only the element of this name and --namespace." },
	{ "namespace", ARG_STRING, .optional = true, .option = true,
		.help = "The element's namespace." },
	{ 0 } };

static const struct command commands[] = {
	{ "private", "stored", "List the private XML that an account's clients keep here.",
		account_args, run_private,
		(const char *const[]){ "element", "namespace", "bytes", "changed", NULL } },
	{ "private-delete", "stored", "Delete an account's private XML, all of it or one element.",
		private_delete_args, run_private_delete },
	{ "vcard", "stored",
		"Show an account's vCard, its picture's SHA-1, and whether it has registered to be "
		"found in the directory.",
		account_args, run_vcard },
	{ "vcard-delete", "stored", "Delete an account's vCard.", account_args, run_vcard_delete },
};

void commands_add_stored(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
