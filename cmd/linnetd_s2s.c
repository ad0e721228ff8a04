/* cmd/linnetd_s2s.c - the command about links to other servers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/linnetd.h"
#include "core/command.h"
#include "core/mem.h"
#include "core/shard.h"
#include "net/s2s_in.h"
#include "router/s2s.h"
#include "router/s2s_link.h"
#include "xml/jid.h"

#define TIME_TEXT_MAX 32

/* Rows of an answer, about one domain or all. */
struct rows {
	json_t *list; /* owned */
	const char *theirs; /* NULL: all */
	const struct s2s_link *link;
};

static json_t *time_or_null(uint64_t ms, bool to_the_millisecond)
{
	char text[TIME_TEXT_MAX], out[TIME_TEXT_MAX + 8];
	time_t s = (time_t)(ms / 1000);
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&s, &tm));
	if (to_the_millisecond)
		snprintf(out, sizeof(out), "%s.%03uZ", text, (unsigned)(ms % 1000));
	else
		snprintf(out, sizeof(out), "%sZ", text);
	return json_string(out);
}

static const char *state_of(const struct s2s_link *l)
{
	static const char *const names[] = { "idle", "opening", "established", "retrying" };

	return l->on_incoming ? "established" : names[l->state];
}

static void add_link(const struct s2s_link *l, void *arg)
{
	struct rows *r = arg;
	AUTO(free_ptr) char *way = l->on_incoming ? xstrdup("their stream, both ways") : NULL;

	shard_check(NULL);
	if (l->state == S2S_IDLE && !l->out && !l->on_incoming)
		return;
	if (!way)
		way = l->out ? s2s_describe(l) : NULL;
	json_array_append_new(r->list,
		json_pack("{s:s, s:s, s:i, s:s, s:s?, s:i, s:I, s:i, s:o, s:s?}", "from", l->ours,
			"to", l->theirs, "index", (int)l->index, "state", state_of(l), "way", way,
			"waiting", (int)l->queue.n, "sent", (json_int_t)l->sent, "unacknowledged",
			(int)s2s_unacked(l), "since", time_or_null(l->since_ms, false), "why",
			l->state == S2S_RETRYING ? l->why : NULL));
}

static void add_line(unsigned attempt, const struct s2s_trace_line *line, void *arg)
{
	struct rows *r = arg;

	json_array_append_new(r->list,
		json_pack("{s:s, s:i, s:o, s:s}", "from", r->link->ours, "attempt", (int)attempt,
			"at", time_or_null(line->at_ms, true), "what", line->text));
}

static void add_trace(const struct s2s_link *l, void *arg)
{
	struct rows *r = arg;

	if (strcmp(l->theirs, r->theirs))
		return;
	r->link = l;
	s2s_trace_each(&l->trace, add_line, r);
}

static void add_incoming(const struct s2s_in_info *info, void *arg)
{
	struct rows *r = arg;
	char connection[24], address[CONF_ADDRESS_TEXT_MAX];

	shard_check(NULL);
	snprintf(connection, sizeof(connection), "s%" PRIx64, info->id.v);
	conf_address_write(info->address, address);
	json_array_append_new(r->list,
		json_pack("{s:s, s:s?, s:s?, s:s, s:s, s:b, s:b, s:b, s:i, s:I, s:I}", "connection",
			connection, "from", info->theirs, "to", info->ours, "address", address,
			"state", info->state, "tls", info->tls, "certified", info->certified,
			"both_ways", info->bidi, "pairs", (int)info->pairs, "received",
			(json_int_t)info->received, "silent_s",
			(json_int_t)(info->silent_ms / 1000)));
}

static void explain(const char *domain, struct command_answer *answer)
{
	struct rows r = { .list = json_array(), .theirs = domain };

	s2s_each(add_trace, &r);
	if (json_array_size(r.list)) {
		answer->result = r.list;
		return;
	}
	json_decref(r.list);
	command_fail(answer,
		"nothing was tried to reach %s lately; linnetctl dns-explain %s looks it up",
		domain, domain);
}

static void run_s2s(const json_t *args, struct command_answer *answer)
{
	const char *action = command_text(args, "action"), *given = command_text(args, "domain");
	char domain[JID_PART_MAX + 1];

	if (given && jid_prep_domain(given, strlen(given), domain) <= 0) {
		command_fail(answer, "'%s' is not a domain", given);
	} else if (!strcmp(action, "list") && !given) {
		struct rows r = { .list = json_array() };

		s2s_each(add_link, &r);
		answer->result = r.list;
	} else if (!strcmp(action, "incoming") && !given) {
		struct rows r = { .list = json_array() };

		s2s_in_each(add_incoming, &r);
		answer->result = r.list;
	} else if (!strcmp(action, "explain") && given) {
		explain(domain, answer);
	} else if (!strcmp(action, "close")) {
		answer->result =
			json_pack("{s:i}", "closed", (int)s2s_close(given ? domain : NULL));
	} else {
		command_fail(answer,
			"expected list, incoming, explain DOMAIN, or close with a domain or "
			"without");
	}
}

static const char *const words[] = { "list", "incoming", "explain", "close", NULL };
static const struct command_arg s2s_args[] = {
	{ "action", ARG_STRING, .words = words,
		.help = "list: all links to other servers. incoming: the streams that other "
			"servers opened. explain: what was looked up, tried and "
			"refused in the last attempts to reach one. close: end the links to one, "
			"or to all; what waits for them comes back to its senders." },
	{ "domain", ARG_STRING, .optional = true, .help = "Whose server." }, { 0 }
};
static const struct command s2s_command = { "s2s", "federation",
	"Show or close the links to other servers, or tell why one cannot be reached.", s2s_args,
	run_s2s };

void commands_add_s2s(void)
{
	command_add(&s2s_command);
}
