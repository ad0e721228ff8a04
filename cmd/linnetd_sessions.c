/* cmd/linnetd_sessions.c - commands about who is connected. */
#include <string.h>
#include <time.h>

#include "cmd/linnetd.h"
#include "core/command.h"
#include "core/lang.h"
#include "net/c2s.h"
#include "router/acks.h"
#include "router/directory.h"
#include "router/user_agent.h"
#include "xml/jid.h"

#define SESSIONS_LISTED 1000 /* unless --max asks for another number */
#define SESSIONS_LISTED_MAX 1000000

json_t *time_value(int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm parts;
	char text[32];

	gmtime_r(&t, &parts);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
	return json_string(text);
}

static json_t *address_value(const struct conf_prefix *address)
{
	char text[CONF_ADDRESS_TEXT_MAX];

	conf_address_write(address, text);
	return json_string(text);
}

/* XEP-0198. */
static const char *management_of(const struct session *ss)
{
	const struct acks *a = rcu_get(ss->acks);

	if (!a)
		return "off";
	return atomic_load_explicit(&a->state, memory_order_relaxed) == ACKS_WAITING ? "waiting"
										     : "on";
}

static json_t *describe(const struct session_entry *entry)
{
	const struct session *ss = entry->session;
	const struct session_origin origin = session_origin(ss);
	char jid[JID_TEXT_MAX];

	jid_write(ss->jid, jid);
	return json_pack("{s:s, s:o, s:i, s:b, s:o, s:o, s:i, s:s}", "jid", jid, "address",
		address_value(&origin.address), "port", origin.port, "tls", origin.tls, "since",
		time_value((int64_t)(ss->since_ms / 1000)), "priority",
		entry->available ? json_integer(entry->priority) : json_null(), "shard",
		(int)shard_index(actor_shard(entry->id)), "stream_management", management_of(ss));
}

struct listing {
	const char *host; /* NULL: all */
	int64_t left;
	json_t *list;
};

static void add_sessions(const struct sessions *s, void *arg)
{
	struct listing *l = arg;

	for (unsigned i = 0; i < s->n && l->left > 0; i++) {
		if (l->host && strcmp(l->host, jid_domain(s->at[i].session->jid)))
			continue;
		json_array_append_new(l->list, describe(&s->at[i]));
		l->left--;
	}
}

static void run_connected(const json_t *args, struct command_answer *answer)
{
	struct listing l = { .left = command_int(args, "max", SESSIONS_LISTED) };
	struct host *h = NULL;

	if (l.left < 1 || l.left > SESSIONS_LISTED_MAX) {
		command_fail(answer, "--max goes from 1 to %d", SESSIONS_LISTED_MAX);
		return;
	}
	if (command_text(args, "host")) {
		h = host_of_args(args, answer);
		if (!h)
			return;
		l.host = h->name;
	}
	l.list = json_array();
	directory_each(add_sessions, &l);
	answer->result = l.list;
	host_unref(h);
}

/* One session, or all of a bare JID. Counts those asked to end. */
unsigned kick_sessions(const struct jid *whom, enum stream_condition why, const char *text)
{
	const struct sessions *all = directory_find(whom);
	unsigned kicked = 0;

	for (unsigned i = 0; all && i < all->n; i++) {
		if (jid_is_full(whom) && !jid_equal(whom, all->at[i].session->jid))
			continue;
		c2s_kick(all->at[i].id, why, text);
		kicked++;
	}
	return kicked;
}

/* account_removed_hook: whoever is logged in with it has no account any more. */
enum hook_next end_removed_sessions(void *subject, void *arg UNUSED)
{
	kick_sessions(subject, STREAM_NOT_AUTHORIZED, TR("The account was removed."));
	return HOOK_GO_ON;
}

/* user_agent_revoked_hook: a client that has no access any more. */
enum hook_next end_revoked_sessions(void *subject, void *arg UNUSED)
{
	const struct user_agent_revoked *r = subject;
	const struct sessions *all = directory_find(r->account);

	for (unsigned i = 0; all && i < all->n; i++)
		if (all->at[i].session->user_agent == r->user_agent)
			c2s_kick(all->at[i].id, STREAM_NOT_AUTHORIZED, "Access was revoked.");
	return HOOK_GO_ON;
}

static void run_kick(const json_t *args, struct command_answer *answer)
{
	const char *given = command_text(args, "jid");
	struct jid *whom;
	int error = jid_parse(given, strlen(given), NULL, &whom);

	if (error) {
		command_fail(answer, "'%s' is not a JID: %s", given, jid_error_text(error));
		return;
	}
	answer->result = json_pack("{s:i}", "kicked",
		(int)kick_sessions(whom, STREAM_POLICY_VIOLATION, command_text(args, "reason")));
	jid_free(whom);
}

static const struct command_arg connected_args[] = {
	{ "host", ARG_HOST, .optional = true, .help = "Only sessions of this host." },
	{ "max", ARG_INT, .optional = true, .option = true,
		.help = "List at most so many (1000)." },
	{ 0 }
};

static const struct command_arg kick_args[] = {
	{ "jid", ARG_JID, .help = "A full JID, or a bare one for all its sessions." },
	{ "reason", ARG_STRING, .optional = true, .option = true,
		.help = "A text for the client." },
	{ 0 }
};

static const struct command commands[] = {
	{ "kick", "sessions", "End sessions with a stream error (policy-violation).", kick_args,
		run_kick },
	{ "connected", "sessions", "List the sessions; priority is - before initial presence.",
		connected_args, run_connected,
		(const char *const[]){
			"jid", "address", "port", "tls", "since", "priority", "shard", NULL } },
};

void commands_add_sessions(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
