/* cmd/linnetd_announce.c - the command that speaks to everybody. */
#include <errno.h>
#include <string.h>

#include "cmd/linnetd.h"
#include "core/job.h"
#include "core/mem.h"
#include "modules/announce.h"
#include "router/host.h"

static const char *const words[] = { [ANNOUNCE_ONLINE] = "online",
	[ANNOUNCE_ALL] = "all",
	[ANNOUNCE_MOTD] = "motd",
	[ANNOUNCE_MOTD_UPDATE] = "motd-update",
	[ANNOUNCE_MOTD_DELETE] = "motd-delete",
	NULL };

static const char *failure_text(int error)
{
	switch (error) {
	case -EINVAL:
		return "what shall be said?";
	case -EMSGSIZE:
		return "that is too long";
	case -EAGAIN:
		return "too many announcements are being sent; see linnetctl announcements";
	case -ENODEV:
		return "mod_announce does not run there";
	default:
		return strerrordesc_np(-error);
	}
}

static void run_announce(const json_t *args, struct command_answer *answer)
{
	const struct notice notice = { .subject = command_text(args, "subject"),
		.body = command_text(args, "text") };
	const char *given = command_text(args, "what");
	struct host *h = NULL;
	unsigned id = 0;
	int what = 0, result;

	job_check();
	while (words[what] && strcmp(words[what], given))
		what++;
	if (!words[what]) {
		command_fail(answer,
			"expected online, all, motd, motd-update or motd-delete, found '%s'",
			given);
		return;
	}
	if (command_text(args, "host")) {
		h = host_of_args(args, answer);
		if (!h)
			return;
	}
	result = announce(h, (enum announcement)what, &notice, &id);
	if (result < 0)
		command_fail(answer, "%s", failure_text(result));
	else if (what == ANNOUNCE_MOTD_DELETE)
		answer->result = json_pack("{s:b}", "deleted", result == 0);
	else
		answer->result =
			json_pack("{s:o}", "announcement", id ? json_integer(id) : json_null());
	host_unref(h);
}

static void describe(const struct campaign_state *s, void *list)
{
	json_array_append_new(list,
		json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:o}", "announcement", (int)s->id, "to",
			s->to == CAMPAIGN_ALL ? "all" : "online", "host",
			s->host ? s->host : "(all)", "state", s->state, "sent", (json_int_t)s->sent,
			"total", (json_int_t)s->total, "begun", time_value(s->begun_s)));
}

static void run_announcements(const json_t *args UNUSED, struct command_answer *answer)
{
	answer->result = json_array();
	campaign_each(describe, answer->result);
}

static void run_announce_cancel(const json_t *args, struct command_answer *answer)
{
	int64_t id = command_int(args, "announcement", 0);

	if (id < 1 || id > UINT32_MAX || !campaign_cancel((unsigned)id))
		command_fail(answer, "no announcement of that number is being sent");
}

static void add_motd(struct host *h, void *list)
{
	AUTO(free_ptr) char *subject = NULL, *text = NULL;

	job_check();
	text = motd_text(h, &subject);
	if (text)
		json_array_append_new(list,
			json_pack("{s:s, s:s?, s:s}", "host", h->name, "subject", subject, "text",
				text));
}

static void run_motd(const json_t *args UNUSED, struct command_answer *answer)
{
	job_check();
	answer->result = json_array();
	announce_each_host(add_motd, answer->result);
}

static const struct command_arg announce_args[] = {
	{ "what", ARG_STRING, .words = words,
		.help = "online: to everybody who is connected; all: to every account; motd: a "
			"message of the day, for those who are connected and, once, for each who "
			"comes; motd-update: only for those who come; motd-delete: no longer." },
	{ "text", ARG_STRING, .optional = true, .help = "What to say; not with motd-delete." },
	{ "subject", ARG_STRING, .optional = true, .option = true,
		.help = "The message's subject." },
	{ "host", ARG_HOST, .optional = true, .option = true,
		.help = "Only on this host; left out: on all that run mod_announce." },
	{ 0 }
};
static const struct command_arg cancel_args[] = {
	{ "announcement", ARG_INT, .help = "Its number, as linnetctl announcements tells." }, { 0 }
};

static const struct command commands[] = {
	{ "announce", "announcements",
		"Say something to everybody; see announcements for how far it is.", announce_args,
		run_announce },
	{ "announcements", "announcements",
		"List the announcements being sent and the last ones, with how many have been "
		"written to.",
		NULL, run_announcements,
		(const char *const[]){
			"announcement", "to", "host", "state", "sent", "total", "begun", NULL } },
	{ "motd", "announcements", "Show the messages of the day.", NULL, run_motd,
		(const char *const[]){ "host", "subject", "text", NULL } },
	{ "announce-cancel", "announcements", "Stop sending an announcement.", cancel_args,
		run_announce_cancel },
};

void commands_add_announce(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
