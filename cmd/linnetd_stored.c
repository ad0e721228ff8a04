/* cmd/linnetd_stored.c - commands about what accounts keep on the server: private XML and
 * vCards. */
#include <errno.h>
#include <string.h>

#include "cmd/linnetd.h"
#include "core/db.h"
#include "core/job.h"
#include "modules/private.h"
#include "modules/registry.h"
#include "modules/vcard.h"
#include "modules/vcard_store.h"
#include "router/host.h"

struct host *account_of_module(
	const char *module, const json_t *args, char *user, struct command_answer *answer)
{
	struct host *h = account_of_args(args, user, answer);

	if (!h || registry_find(h, module))
		return h;
	command_fail(answer, "mod_%s does not run on %s", module, h->name);
	host_unref(h);
	return NULL;
}

void command_fail_db(struct command_answer *answer, int64_t error)
{
	command_fail(answer, "the database: %s",
		error == -ENOSYS ? "there is none" : strerrordesc_np((int)-error));
}

static void add_private(const struct private_item *item, void *list)
{
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:I, s:o}", "element", item->element, "namespace", item->ns,
			"bytes", (json_int_t)item->bytes, "changed", time_value(item->changed)));
}

static void run_private(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_module("private", args, user, answer);
	int result;

	job_check();
	if (!h)
		return;
	answer->result = json_array();
	result = private_each(h->name, user, add_private, answer->result);
	if (result < 0)
		command_fail_db(answer, result);
	host_unref(h);
}

static void run_private_delete(const json_t *args, struct command_answer *answer)
{
	const char *element = command_text(args, "element"), *ns = command_text(args, "namespace");
	char user[JID_PART_MAX + 1];
	struct host *h;
	int result;

	job_check();
	if (!element != !ns) {
		command_fail(answer, "--element and --namespace go together");
		return;
	}
	h = account_of_module("private", args, user, answer);
	if (!h)
		return;
	result = private_delete(h->name, user, element, ns);
	if (result < 0)
		command_fail_db(answer, result);
	else
		answer->result = json_pack("{s:i}", "deleted", result);
	host_unref(h);
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

static void run_vcard_delete(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_module("vcard", args, user, answer);
	struct jid *account;
	int result;

	job_check();
	if (!h)
		return;
	REQUIRE(jid_make(user, h->name, NULL, NULL, &account) == JID_OK);
	result = vcard_remove(h, account);
	jid_free(account);
	if (result < 0)
		command_fail_db(answer, result);
	else
		answer->result = json_pack("{s:i}", "deleted", result);
	host_unref(h);
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
