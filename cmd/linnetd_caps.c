/* cmd/linnetd_caps.c - commands about what clients say that they can (modules/caps.h). */
#include <string.h>

#include "cmd/linnetd.h"
#include "core/db.h"
#include "core/job.h"
#include "modules/caps.h"
#include "modules/registry.h"
#include "router/route.h"

/* False: the answer says why. */
static bool runs_for(const struct jid *jid, struct command_answer *answer)
{
	struct host *h = route_host(jid_domain(jid));

	if (!h)
		command_fail(answer, "%s is not a host of this server", jid_domain(jid));
	else if (!registry_find(h, "caps"))
		command_fail(answer, "mod_caps does not run on %s", h->name);
	else
		return true;
	return false;
}

static void list_features(const struct jid *jid, const char *given, struct command_answer *answer)
{
	const struct caps_features *f = caps_features(jid);

	if (!f) {
		command_fail(answer, "%s: nothing is known of this client", given);
		return;
	}
	answer->result = json_array();
	for (uint32_t i = 0; i < f->n; i++)
		json_array_append_new(answer->result, json_pack("{s:s}", "feature", f->at[i]));
}

static void run_caps(const json_t *args, struct command_answer *answer)
{
	const char *given = command_text(args, "jid");
	struct jid *jid;
	int error = jid_parse(given, strlen(given), NULL, &jid);

	if (error) {
		command_fail(answer, "'%s' is not a JID: %s", given, jid_error_text(error));
		return;
	}
	if (runs_for(jid, answer))
		list_features(jid, given, answer);
	jid_free(jid);
}

static void look_for_module(struct host *h, void *found)
{
	*(bool *)found |= registry_find(h, "caps") != NULL;
}

static void run_caps_clear(const json_t *args UNUSED, struct command_answer *answer)
{
	bool found = false;

	job_check();
	route_each_host(look_for_module, &found);
	if (!found) {
		command_fail(answer, "mod_caps runs on no host");
		return;
	}
	command_number(answer, "cleared", caps_cache_clear());
}

static const struct command_arg caps_args[] = {
	{ "jid", ARG_JID, .help = "The client's full JID." }, { 0 }
};

static const struct command commands[] = {
	{ "caps", "sessions", "List the features that a connected client says it has.", caps_args,
		run_caps, (const char *const[]){ "feature", NULL } },
	{ "caps-clear", "sessions",
		"Forget what clients' capability hashes stand for: those that log in are asked "
		"anew.",
		NULL, run_caps_clear },
};

void commands_add_caps(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
