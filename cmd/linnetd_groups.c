/* cmd/linnetd_groups.c - commands about shared roster groups, with ejabberd's names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/linnetd.h"
#include "core/job.h"
#include "core/mem.h"
#include "modules/shared_roster.h"
#include "router/auth.h"
#include "router/host.h"

#define DISPLAYS_MAX 100

static const char *const who_words[] = { "members", "all", "online", NULL };

static void answer_result(
	struct command_answer *answer, const struct host *h, const char *group, int result)
{
	if (result == -ENOSYS)
		command_fail(answer, "mod_shared_roster does not run on %s", h->name);
	else if (result == -ENOENT)
		command_fail(answer, "%s: no such group, or nothing of it to take away", group);
	else if (result == -EPERM)
		command_fail(answer, "%s comes from the settings file, change it there", group);
	else if (result == -EDQUOT)
		command_fail(answer, "there are too many groups already");
	else if (result)
		command_fail_db(answer, result);
}

/* ---- Looking */

static void add_group(const struct shared_group_info *g, void *list)
{
	json_t *displays = json_array();

	for (unsigned i = 0; i < g->n_displays; i++)
		json_array_append_new(displays, json_string(g->displays[i]));
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:s, s:i, s:o, s:s, s:s}", "group", g->id, "label", g->label,
			"who", who_words[g->who], "accounts", (int)g->n_members, "displays",
			displays, "from", g->fixed ? "settings" : "linnetctl", "description",
			g->description));
}

static void run_list(const json_t *args, struct command_answer *answer)
{
	struct host *h = host_of_args(args, answer);

	job_check();
	if (!h)
		return;
	answer->result = json_array();
	answer_result(answer, h, "", shared_groups_each(h, add_group, answer->result));
	host_unref(h);
}

static void add_member(const struct jid *member, void *list)
{
	char text[JID_TEXT_MAX];

	jid_write(member, text);
	json_array_append_new(list, json_pack("{s:s}", "member", text));
}

static void run_members(const json_t *args, struct command_answer *answer)
{
	const char *group = command_text(args, "group");
	struct host *h = host_of_args(args, answer);

	job_check();
	if (!h)
		return;
	answer->result = json_array();
	answer_result(answer, h, group, shared_members_each(h, group, add_member, answer->result));
	host_unref(h);
}

/* ---- Groups */

static bool who_of_args(const json_t *args, struct command_answer *answer, enum shared_who *out)
{
	const char *who = command_text(args, "who");

	*out = SHARED_LISTED;
	for (int i = 0; who && who_words[i]; i++) {
		if (strcmp(who, who_words[i]))
			continue;
		*out = (enum shared_who)i;
		return true;
	}
	if (who)
		command_fail(answer, "who is in it: members, all or online");
	return !who;
}

static void run_create(const json_t *args, struct command_answer *answer)
{
	const char *displays[DISPLAYS_MAX], *joined = command_text(args, "displays"), *one;
	AUTO(free_ptr) char *copy = xstrdup(joined ? joined : "");
	struct shared_group_info g = { .id = command_text(args, "group"),
		.label = command_text(args, "label"),
		.description = command_text(args, "description"),
		.displays = displays };
	char *at = copy;
	struct host *h;

	job_check();
	if (!who_of_args(args, answer, &g.who))
		return;
	while (g.n_displays < DISPLAYS_MAX && (one = strsep(&at, ";")))
		if (*one)
			displays[g.n_displays++] = one;
	h = host_of_args(args, answer);
	if (!h)
		return;
	answer_result(answer, h, g.id, shared_group_put(h, &g));
	host_unref(h);
}

static void run_delete(const json_t *args, struct command_answer *answer)
{
	const char *group = command_text(args, "group");
	struct host *h = host_of_args(args, answer);

	job_check();
	if (!h)
		return;
	answer_result(answer, h, group, shared_group_delete(h, group));
	host_unref(h);
}

ON_JOB static void display(const json_t *args, struct command_answer *answer, bool on)
{
	const char *group = command_text(args, "group");
	struct host *h = host_of_args(args, answer);

	if (!h)
		return;
	answer_result(answer, h, group,
		shared_group_display(h, group, command_text(args, "displayed"), on));
	host_unref(h);
}

static void run_display(const json_t *args, struct command_answer *answer)
{
	job_check();
	display(args, answer, true);
}

static void run_hide(const json_t *args, struct command_answer *answer)
{
	job_check();
	display(args, answer, false);
}

/* ---- Members */

typedef int member_fn(struct host *h, const char *id, const struct jid *account);

ON_JOB static void change_member(const json_t *args, struct command_answer *answer, member_fn *fn)
{
	const char *group = command_text(args, "group");
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_args(args, user, answer);
	struct jid *account;

	if (!h)
		return;
	if (jid_make(user, h->name, NULL, NULL, &account) == JID_OK) {
		answer_result(answer, h, group, fn(h, group, account));
		jid_free(account);
	}
	host_unref(h);
}

static void run_add(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_args(args, user, answer);
	struct auth_account found;

	job_check();
	if (!h)
		return;
	if (auth_find(h, user, &found))
		command_fail(answer, "there is no account %s@%s", user, h->name);
	else
		change_member(args, answer, shared_member_add);
	host_unref(h);
}

static void run_remove(const json_t *args, struct command_answer *answer)
{
	job_check();
	change_member(args, answer, shared_member_remove);
}

#define GROUP_ARG                                                \
	{                                                        \
		"group", ARG_STRING, .help = "The group's name." \
	}
#define HOST_ARG                                                   \
	{                                                          \
		"host", ARG_HOST, .help = "A host of this server." \
	}
#define USER_ARG                                                                    \
	{                                                                           \
		"user", ARG_STRING, .help = "The part of the address before the @." \
	}
static const struct command_arg host_args[] = { HOST_ARG, { 0 } };
static const struct command_arg group_args[] = { GROUP_ARG, HOST_ARG, { 0 } };
static const struct command_arg create_args[] = { GROUP_ARG, HOST_ARG,
	{ "label", ARG_STRING, .optional = true, .option = true,
		.help = "What rosters call it; without one, its name." },
	{ "description", ARG_STRING, .optional = true, .option = true, .help = "For operators." },
	{ "who", ARG_STRING, .optional = true, .option = true, .words = who_words,
		.help = "members (those added), all accounts of the host, or those online." },
	{ "displays", ARG_STRING, .optional = true, .option = true,
		.help = "Groups that its members see, with semicolons between; without any, its "
			"own." },
	{ 0 } };
static const struct command_arg display_args[] = { GROUP_ARG, HOST_ARG,
	{ "displayed", ARG_STRING, .help = "The name of the group that is seen." }, { 0 } };
static const struct command_arg member_args[] = { USER_ARG, HOST_ARG, GROUP_ARG, { 0 } };

static const struct command commands[] = {
	{ "srg-list", "groups", "List the shared roster groups of a host.", host_args, run_list,
		(const char *const[]){ "group", "label", "who", "accounts", "displays", "from",
			"description", NULL } },
	{ "srg-create", "groups", "Make a shared roster group, or change one.", create_args,
		run_create },
	{ "srg-delete", "groups", "Remove a shared roster group.", group_args, run_delete },
	{ "srg-get-members", "groups", "List the members of a shared roster group.", group_args,
		run_members, (const char *const[]){ "member", NULL } },
	{ "srg-user-add", "groups", "Put an account into a shared roster group.", member_args,
		run_add },
	{ "srg-user-del", "groups", "Take an account out of a shared roster group.", member_args,
		run_remove },
	{ "srg-add-displayed", "groups", "Let a group's members see another group.", display_args,
		run_display },
	{ "srg-del-displayed", "groups", "Let a group's members no longer see another group.",
		display_args, run_hide },
};

void commands_add_groups(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
