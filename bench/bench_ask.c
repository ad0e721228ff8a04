/* bench/bench_ask.c - one question at a time; the client's other stanzas meanwhile are dropped. */
#include "bench/bench_ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_NS 15000000000ull
#define DISCO_INFO "<query xmlns='http://jabber.org/protocol/disco#info'/>"
#define DISCO_ITEMS "<query xmlns='http://jabber.org/protocol/disco#items'/>"

static char *answer; /* owned: the last one */

static void ask_ready(struct client *c)
{
	(void)c;
}

static void ask_stanza(struct client *c, const char *text)
{
	if (strncmp(text, "<iq", 3) || !attr_is(text, "id", "ask"))
		return;
	answer = strdup(text);
	c->loop->stop = true;
}

static void ask_closed(struct client *c, const char *why)
{
	bench_complain(c, why ? why : "closed");
	c->loop->stop = true;
}

static const struct client_events ask_events = { ask_ready, ask_stanza, ask_closed };

const char *ask(struct client *c, const char *type, const char *to, const char *payload)
{
	const struct client_events *before = c->events;

	free(answer);
	answer = NULL;
	if (c->step != STEP_READY)
		return "";
	c->events = &ask_events;
	client_sendf(c, "<iq type='%s' id='ask'%s%s%s>%s</iq>", type, to ? " to='" : "",
		to ? to : "", to ? "'" : "", payload);
	loop_run(c->loop, now_ns() + PATIENCE_NS);
	c->events = before;
	return answer ? answer : "";
}

bool answer_is_result(const char *text)
{
	return *text && attr_is(text, "type", "result");
}

/* An element of this name with all these attributes is in text. */
static bool has_tag(const char *text, const char *tag, const char *name1, const char *value1,
	const char *name2, const char *value2)
{
	for (text = strstr(text, tag); text; text = strstr(text + 1, tag))
		if (attr_is(text, name1, value1) && (!name2 || attr_is(text, name2, value2)))
			return true;
	return false;
}

static const char *ask_info(struct client *c, const char *to)
{
	char own[300];

	bare_jid(c, own, sizeof(own));
	return ask(c, "get", to ? to : own, DISCO_INFO);
}

bool ask_has_feature(struct client *c, const char *to, const char *feature)
{
	return has_tag(ask_info(c, to), "<feature ", "var", feature, NULL, NULL);
}

bool ask_has_identity(struct client *c, const char *to, const char *category, const char *type)
{
	return has_tag(ask_info(c, to), "<identity ", "category", category, "type", type);
}

bool ask_for_service(
	struct client *c, const char *category, const char *feature, char *out, size_t room)
{
	char *items = strdup(ask(c, "get", c->loop->options->domain, DISCO_ITEMS));
	bool found = false;
	const char *jid;
	size_t len;

	for (const char *at = strstr(items, "<item "); at && !found;
		at = strstr(at + 1, "<item ")) {
		const char *info;

		if (!attr_of(at, "jid", &jid, &len) || len >= room || memchr(jid, '@', len))
			continue;
		snprintf(out, room, "%.*s", (int)len, jid);
		info = ask_info(c, out);
		found = has_tag(info, "<identity ", "category", category, NULL, NULL) &&
			has_tag(info, "<feature ", "var", feature, NULL, NULL);
	}
	free(items);
	return found;
}

bool stream_offers(const struct client *c, const char *ns)
{
	return c->loop->features && strstr(c->loop->features, ns);
}

void bare_jid(const struct client *c, char *out, size_t room)
{
	const struct options *o = c->loop->options;

	snprintf(out, room, "%s%u@%s", o->user_prefix, o->first_user + c->number, o->domain);
}

int64_t user_of(const struct client *c, const char *address, size_t len)
{
	const struct options *o = c->loop->options;
	size_t prefix = strlen(o->user_prefix);
	char *end;
	uint64_t number;

	if (len <= prefix || strncmp(address, o->user_prefix, prefix))
		return -1;
	number = strtoull(address + prefix, &end, 10);
	if (*end != '@' || number < o->first_user || number >= o->first_user + o->users)
		return -1;
	return (int64_t)(number - o->first_user);
}
