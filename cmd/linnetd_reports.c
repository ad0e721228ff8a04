/* cmd/linnetd_reports.c - commands about reports of spam and abuse (modules/report.h). */
#include <string.h>

#include "cmd/linnetd.h"
#include "core/db.h"
#include "core/job.h"
#include "modules/registry.h"
#include "modules/report.h"
#include "router/host.h"
#include "router/route.h"

#define REPORTS_LISTED 100 /* at once, unless --max asks for another number */
#define REPORTS_LISTED_MAX 10000

static void look_for_module(struct host *h, void *found)
{
	*(bool *)found |= registry_find(h, "report") != NULL;
}

static bool module_runs(struct command_answer *answer)
{
	bool found = false;

	route_each_host(look_for_module, &found);
	if (!found)
		command_fail(answer, "mod_report runs on no host");
	return found;
}

static void answer_rows(struct command_answer *answer, int rows, int64_t id)
{
	if (rows < 0)
		command_fail_db(answer, rows);
	else if (!rows)
		command_fail(answer, "there is no report %lld", (long long)id);
}

/* "spam" for "urn:xmpp:reporting:spam". */
static const char *short_reason(const char *reason)
{
	static const char prefix[] = "urn:xmpp:reporting:";

	return strncmp(reason, prefix, sizeof(prefix) - 1) ? reason : reason + sizeof(prefix) - 1;
}

static void add_report(const struct report *r, void *list)
{
	json_array_append_new(list,
		json_pack("{s:I, s:o, s:s, s:s, s:s, s:s}", "id", (json_int_t)r->id, "at",
			time_value(r->at), "reporter", r->reporter, "reported", r->reported,
			"reason", short_reason(r->reason), "text", r->text));
}

/* The bare JID of the argument, in text; false: the answer says why not. */
static bool bare_of_args(const json_t *args, char text[JID_TEXT_MAX], struct command_answer *answer)
{
	const char *given = command_text(args, "reported");
	struct jid *jid;
	int error = jid_parse(given, strlen(given), NULL, &jid);

	if (error) {
		command_fail(answer, "'%s' is not a JID: %s", given, jid_error_text(error));
		return false;
	}
	jid_write_bare(jid, text);
	jid_free(jid);
	return true;
}

static void run_reports(const json_t *args, struct command_answer *answer)
{
	int64_t max = command_int(args, "max", REPORTS_LISTED);
	struct report_query q = { .before = command_int(args, "before", 0) };
	char reported[JID_TEXT_MAX];
	struct host *h = NULL;
	int rows;

	job_check();
	if (max < 1 || max > REPORTS_LISTED_MAX) {
		command_fail(answer, "--max goes from 1 to %d", REPORTS_LISTED_MAX);
		return;
	}
	if (!module_runs(answer))
		return;
	if (command_text(args, "reported")) {
		if (!bare_of_args(args, reported, answer))
			return;
		q.reported = reported;
	}
	if (command_text(args, "host")) {
		h = host_of_args(args, answer);
		if (!h)
			return;
		q.host = h->name;
	}
	q.max = (unsigned)max;
	answer->result = json_array();
	rows = report_each(&q, add_report, answer->result);
	if (rows < 0)
		answer_rows(answer, rows, 0);
	host_unref(h);
}

static void show_report(const struct report *r, void *arg)
{
	struct command_answer *answer = arg;

	answer->result = json_pack("{s:I, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b}", "id",
		(json_int_t)r->id, "at", time_value(r->at), "host", r->host, "reporter",
		r->reporter, "reported", r->reported, "reason", r->reason, "text", r->text, "lang",
		r->lang, "stanzas", r->stanza_ids, "to_origin", r->to_origin, "to_third_party",
		r->to_third_party);
}

static void run_report(const json_t *args, struct command_answer *answer)
{
	int64_t id = command_int(args, "id", 0);

	job_check();
	if (module_runs(answer))
		answer_rows(answer, report_find(id, show_report, answer), id);
}

static void run_report_delete(const json_t *args, struct command_answer *answer)
{
	int64_t id = command_int(args, "id", 0);

	job_check();
	if (!module_runs(answer))
		return;
	answer_rows(answer, report_delete(id), id);
	if (!answer->error)
		answer->result = json_pack("{s:I}", "deleted", (json_int_t)id);
}

static const struct command_arg reports_args[] = {
	{ "host", ARG_HOST, .optional = true, .help = "Only reports of users of this host." },
	{ "reported", ARG_JID, .optional = true, .option = true,
		.help = "Only reports of this address, whatever its resource." },
	{ "before", ARG_INT, .optional = true, .option = true,
		.help = "Only reports with a lower id: the last one of the list before." },
	{ "max", ARG_INT, .optional = true, .option = true, .help = "List at most so many (100)." },
	{ 0 }
};
static const struct command_arg report_args[] = {
	{ "id", ARG_INT, .help = "The report's id, as linnetctl reports lists it." }, { 0 }
};

static const struct command commands[] = {
	{ "reports", "reports", "List reports of spam and abuse, the newest first.", reports_args,
		run_reports,
		(const char *const[]){
			"id", "at", "reporter", "reported", "reason", "text", NULL } },
	{ "report", "reports",
		"Show a report whole: the stanzas it names and where its maker lets it be "
		"forwarded.",
		report_args, run_report },
	{ "report-delete", "reports", "Delete a report.", report_args, run_report_delete },
};

void commands_add_reports(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
