/* bench/bench_ping.c - each user asks the server, K requests on the way (XEP-0199). Answers may
 * come in any order, but one each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_scenario.h"

struct asker {
	uint64_t *sent_ns; /* owned: by number of the request; 0: nothing asked */
};
static struct {
	struct hist latency;
	uint64_t answers, limit, bad;
	unsigned on_the_way;
	bool over;
} ping;

static void ask(struct client *c, unsigned slot)
{
	struct asker *a = c->data;

	a->sent_ns[slot] = now_ns();
	ping.on_the_way++;
	/* A relay only echoes: what goes out has to be what should come back. */
	client_sendf(c, "<iq type='%s' id='%u' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>",
		c->loop->options->relay ? "result" : "get", slot, c->loop->options->domain);
}

static void wrong(struct client *c, const char *text)
{
	bench_complain(c, text);
	ping.bad++;
}

static void ping_ready(struct client *c)
{
	(void)c;
}

static void ping_stanza(struct client *c, const char *text)
{
	struct asker *a = c->data;
	int64_t slot;

	if (strncmp(text, "<iq", 3))
		return;
	slot = attr_number(text, "id");
	if (slot < 0 || slot >= c->loop->options->inflight || !a || !a->sent_ns[slot] ||
		!attr_is(text, "type", "result")) {
		wrong(c, text);
		return;
	}
	hist_add(&ping.latency, (now_ns() - a->sent_ns[slot]) / 1000);
	a->sent_ns[slot] = 0;
	ping.on_the_way--;
	ping.answers++;
	if (!ping.over)
		ask(c, (unsigned)slot);
	if ((ping.over && !ping.on_the_way) || (ping.limit && ping.answers >= ping.limit))
		c->loop->stop = true;
}

static void ping_closed(struct client *c, const char *why)
{
	wrong(c, why ? why : "closed");
}

static const struct client_events ping_events = { ping_ready, ping_stanza, ping_closed };

static bool ping_run(struct bench *b)
{
	const struct options *o = b->options;
	struct asker *askers;
	struct usage from;

	if (!bench_start_all(b, GOAL_SESSION, &ping_events))
		return false;
	askers = calloc(o->users, sizeof(*askers));
	for (unsigned i = 0; i < o->users; i++) {
		askers[i].sent_ns = calloc(o->inflight, sizeof(*askers[i].sent_ns));
		b->clients[i].data = &askers[i];
		for (unsigned k = 0; k < o->inflight; k++)
			ask(&b->clients[i], k);
	}
	loop_run(&b->loop, now_ns() + (uint64_t)(o->warmup * 1e9));
	hist_clear(&ping.latency);
	ping.answers = 0;
	ping.limit = o->messages;
	usage_now(b, &from);
	loop_run(&b->loop, now_ns() + (uint64_t)(o->seconds * 1e9));
	usage_report(b, &from, ping.answers, "ping");
	report_hist(&b->report, "latency", &ping.latency);
	ping.over = true;
	ping.limit = 0;
	if (ping.on_the_way)
		loop_run(&b->loop, now_ns() + 10000000000ull);
	report_add(&b->report, "unanswered", ping.on_the_way, "");
	report_add(&b->report, "wrong", (double)ping.bad, "");
	bench_close_all(b);
	for (unsigned i = 0; i < o->users; i++)
		free(askers[i].sent_ns);
	free(askers);
	return !ping.on_the_way && !ping.bad;
}

const struct scenario scenario_ping = { "ping", "each user pings the server, K requests on the way",
	ping_run };
