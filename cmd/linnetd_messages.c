/* cmd/linnetd_messages.c - commands about what accounts' archives hold and what waits for them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cmd/linnetd.h"
#include "core/job.h"
#include "core/mem.h"
#include "modules/datetime.h"
#include "modules/mam.h"
#include "modules/offline.h"
#include "router/host.h"

/* ---- What waits */

static int64_t count_offline(struct host *h, const struct jid *account, const json_t *args UNUSED)
{
	job_check();
	return offline_count(h->name, jid_local(account));
}

static void run_offline_count(const json_t *args, struct command_answer *answer)
{
	job_check();
	command_number_of("offline", "messages", count_offline, args, answer);
}

static void add_offline(const struct offline_item *item, void *list)
{
	json_array_append_new(list,
		json_pack("{s:o, s:s, s:I}", "time", time_value(item->at_us / 1000000), "from",
			item->from, "bytes", (json_int_t)item->bytes));
}

static int list_offline(struct host *h, const struct jid *account, json_t *rows)
{
	job_check();
	return offline_each(h->name, jid_local(account), add_offline, rows);
}

static void run_offline_list(const json_t *args, struct command_answer *answer)
{
	job_check();
	command_list_of("offline", list_offline, args, answer);
}

static int64_t purge_offline(struct host *h, const struct jid *account, const json_t *args UNUSED)
{
	job_check();
	return offline_purge(h->name, jid_local(account));
}

static void run_offline_purge(const json_t *args, struct command_answer *answer)
{
	job_check();
	command_number_of("offline", "deleted", purge_offline, args, answer);
}

/* ---- Archives */

static void run_archive_count(const json_t *args, struct command_answer *answer)
{
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_module("mam", args, user, answer);
	struct mam_summary sum;
	int result;

	job_check();
	if (!h)
		return;
	result = mam_summary(h->name, user, &sum);
	command_number(answer, "messages", result < 0 ? result : sum.messages);
	if (result == 0 && sum.messages) {
		json_object_set_new(answer->result, "first", time_value(sum.first_us / 1000000));
		json_object_set_new(answer->result, "last", time_value(sum.last_us / 1000000));
	}
	host_unref(h);
}

static void run_archive_purge(const json_t *args, struct command_answer *answer)
{
	const char *before = command_text(args, "before");
	int64_t before_us = INT64_MAX >> 8;
	char user[JID_PART_MAX + 1];
	struct host *h;

	job_check();
	if (before && !datetime_read(before, &before_us)) {
		command_fail(answer, "%s is no moment such as 2026-01-31T00:00:00Z", before);
		return;
	}
	h = account_of_module("mam", args, user, answer);
	if (!h)
		return;
	command_number(answer, "deleted", mam_purge(h->name, user, before_us));
	host_unref(h);
}

/* A new file: messages are nobody else's, and nothing is written over. */
static FILE *open_export(const char *path, struct command_answer *answer)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (!out)
		command_fail(answer, "%s: %s", path, strerrordesc_np(errno));
	if (!out && fd >= 0)
		close(fd);
	return out;
}

static void run_archive_export(const json_t *args, struct command_answer *answer)
{
	const char *path = command_text(args, "file");
	char user[JID_PART_MAX + 1];
	struct host *h = account_of_module("mam", args, user, answer);
	FILE *out = h ? open_export(path, answer) : NULL;
	int64_t n = 0;

	job_check();
	if (out) {
		n = mam_export(h->name, user, out);
		if (fclose(out) != 0 && n >= 0)
			n = -errno;
		if (n < 0) {
			command_fail(answer, "%s: %s", path, strerrordesc_np((int)-n));
			unlink(path);
		} else {
			command_number(answer, "messages", n);
		}
	}
	host_unref(h);
}

static const struct command_arg account_args[] = { ACCOUNT_ARGS, { 0 } };
static const struct command_arg purge_args[] = { ACCOUNT_ARGS,
	{ "before", ARG_STRING, .optional = true, .option = true,
		.help = "Only messages that came before that moment, as in "
			"2026-01-31T00:00:00Z." },
	{ 0 } };
static const struct command_arg export_args[] = { ACCOUNT_ARGS,
	{ "file", ARG_FILE, .help = "A file that is not there yet; nobody else may read it." },
	{ 0 } };

static const struct command commands[] = {
	{ "offline-count", "messages", "Count the messages that wait for an account.", account_args,
		run_offline_count },
	{ "offline-list", "messages", "List the messages that wait for an account.", account_args,
		run_offline_list, (const char *const[]){ "time", "from", "bytes", NULL } },
	{ "offline-purge", "messages",
		"Delete what waits for an account. Its archive keeps what is in there.",
		account_args, run_offline_purge },
	{ "archive-count", "messages", "Count the messages in an account's archive.", account_args,
		run_archive_count },
	{ "archive-purge", "messages",
		"Delete messages from an account's archive. What waits for the account goes on "
		"waiting.",
		purge_args, run_archive_purge },
	{ "archive-export", "messages",
		"Write an account's archive into a file, in the format of XEP-0227.", export_args,
		run_archive_export },
};

void commands_add_messages(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
