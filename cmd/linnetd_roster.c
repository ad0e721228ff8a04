/* cmd/linnetd_roster.c - commands about rosters, with ejabberd's names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/linnetd.h"
#include "core/job.h"
#include "core/mem.h"
#include "modules/roster.h"
#include "router/auth.h"
#include "router/host.h"
#include "router/subscription.h"
#include "xml/builder.h"

/* The account, which must exist; NULL: the answer says why not. */
static struct host *existing_account(const json_t *args, char *user, struct command_answer *answer)
{
	struct host *h = account_of_args(args, user, answer);
	struct auth_account found;
	int error;

	job_check();
	if (!h)
		return NULL;
	error = auth_find(h, user, &found);
	if (!error)
		return h;
	if (error > 0)
		command_fail(answer, "there is no account %s@%s", user, h->name);
	else
		command_fail(
			answer, "the account cannot be looked up: %s", strerrordesc_np(-error));
	host_unref(h);
	return NULL;
}

static void answer_result(struct command_answer *answer, const struct host *h, int result)
{
	if (result == -ENOSYS)
		command_fail(answer, "mod_roster does not run on %s", h->name);
	else if (result < 0)
		command_fail_db(answer, result);
	else if (result > 0)
		command_fail(answer, "refused: %s", stanza_error_name(result));
}

static struct jid *contact_of_args(const json_t *args, struct command_answer *answer)
{
	const char *text = command_text(args, "contact");
	struct jid *contact, *bare;

	if (jid_parse(text, strlen(text), NULL, &contact)) {
		command_fail(answer, "%s is no address", text);
		return NULL;
	}
	bare = jid_bare(contact, NULL);
	jid_free(contact);
	return bare;
}

/* ---- get-roster */

static void add_entry(const struct roster_entry *e, void *list)
{
	json_t *groups = json_array();
	char contact[JID_TEXT_MAX];

	jid_write(e->contact, contact);
	for (unsigned i = 0; i < e->n_groups; i++)
		json_array_append_new(groups, json_string(e->groups[i]));
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:s, s:s, s:o}", "contact", contact, "name",
			e->name ? e->name : "", "subscription", subscription_name(e->bits),
			"pending",
			e->bits & CONTACT_PENDING_OUT && e->bits & CONTACT_PENDING_IN ? "both"
				: e->bits & CONTACT_PENDING_OUT                       ? "out"
				: e->bits & CONTACT_PENDING_IN                        ? "in"
				: e->bits & CONTACT_APPROVED                          ? "approved"
										      : "",
			"groups", groups));
}

static void run_get_roster(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = existing_account(args, user, answer);

	job_check();
	if (!h)
		return;
	answer->result = json_array();
	answer_result(answer, h, roster_list(h, user, add_entry, answer->result));
	host_unref(h);
}

/* ---- add-rosteritem */

#define GROUPS_MAX 50

/* "a;b" in place, as ejabberd has it. */
static unsigned split_groups(char *text, const char *groups[GROUPS_MAX])
{
	unsigned n = 0;
	char *at = text, *group;

	while (n < GROUPS_MAX && (group = strsep(&at, ";")))
		if (*group)
			groups[n++] = group;
	return n;
}

static bool bits_of_args(const json_t *args, struct command_answer *answer, unsigned *out)
{
	const char *subs = command_text(args, "subscription");

	if (!subs)
		subs = "none";
	for (*out = 0; *out <= CONTACT_BOTH; ++*out)
		if (strcmp(subs, subscription_name(*out)) == 0)
			return true;
	command_fail(answer, "a subscription is none, to, from or both");
	return false;
}

static void run_add_item(const json_t *args, struct command_answer *answer)
{
	const char *joined = command_text(args, "groups"), *groups[GROUPS_MAX];
	struct roster_entry e = { .name = command_text(args, "name"), .groups = groups };
	AUTO(free_ptr) char *copy = xstrdup(joined ? joined : "");
	char user[JID_PART_MAX + 1];
	struct jid *contact;
	struct host *h;

	job_check();
	if (!bits_of_args(args, answer, &e.bits))
		return;
	contact = contact_of_args(args, answer);
	if (!contact)
		return;
	h = existing_account(args, user, answer);
	if (h) {
		e.contact = contact;
		e.n_groups = split_groups(copy, groups);
		answer_result(answer, h, roster_put(h, user, &e));
		host_unref(h);
	}
	jid_free(contact);
}

/* ---- delete-rosteritem, push-roster */

static void run_delete_item(const json_t *args, struct command_answer *answer)
{
	struct jid *contact = contact_of_args(args, answer);
	char user[JID_PART_MAX + 1];
	struct host *h = contact ? existing_account(args, user, answer) : NULL;

	job_check();
	if (h) {
		answer_result(answer, h, roster_remove(h, user, contact));
		host_unref(h);
	}
	jid_free(contact);
}

static void run_push(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = existing_account(args, user, answer);

	job_check();
	if (!h)
		return;
	answer_result(answer, h, roster_repeat(h, user));
	host_unref(h);
}

static const struct command_arg account_args[] = { ACCOUNT_ARGS, { 0 } };
static const struct command_arg contact_args[] = { ACCOUNT_ARGS,
	{ "contact", ARG_JID, .help = "The contact's address." }, { 0 } };
static const char *const subscriptions[] = { "none", "to", "from", "both", NULL };
static const struct command_arg add_args[] = { ACCOUNT_ARGS,
	{ "contact", ARG_JID, .help = "The contact's address." },
	{ "name", ARG_STRING, .optional = true, .option = true, .help = "What to call it." },
	{ "groups", ARG_STRING, .optional = true, .option = true,
		.help = "Its groups, with semicolons between." },
	{ "subscription", ARG_STRING, .optional = true, .option = true, .words = subscriptions,
		.help = "none, to, from or both. The contact's own roster stays as it is." },
	{ 0 } };

static const struct command commands[] = {
	{ "get-roster", "rosters", "List an account's contacts, and who waits for its answer.",
		account_args, run_get_roster,
		(const char *const[]){
			"contact", "name", "subscription", "pending", "groups", NULL } },
	{ "add-rosteritem", "rosters", "Add a contact to an account's roster, or change it.",
		add_args, run_add_item },
	{ "delete-rosteritem", "rosters",
		"Remove a contact as the account's client would: subscriptions end on both sides.",
		contact_args, run_delete_item },
	{ "push-roster", "rosters", "Send an account's roster anew to its connected clients.",
		account_args, run_push },
};

void commands_add_rosters(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
