/* bench/bench_chat.c - users in pairs; of each, one writes and the other reads. Closed loop: K
 * messages on the way, and whenever one arrives the next is sent. Open loop: the pairs take turns
 * at the rate asked for. Every message has its number and the time it was sent or to be sent: one
 * lost, doubled or out of order is found, and the run has failed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_pairs.h"

#define DRAIN_NS 10000000000ull /* without anything arriving */

struct pair {
	struct client *from, *to;
	char *address; /* owned: whom messages go to */
	uint64_t sent, received; /* messages; their ids are numbered from 0 */
};
struct chat {
	struct pair *pairs; /* owned */
	unsigned n, turn; /* whose turn it is in an open loop */
	char *body; /* owned */
	uint64_t on_the_way;
	struct pace pace;
	bool over;
};
static struct chat chat;

/* The id is "NUMBER-TIME". */
static void send_one(struct pair *p, uint64_t when_ns)
{
	client_sendf(p->from, "<message to='%s' type='chat' id='%llu-%llu'><body>", p->address,
		(unsigned long long)p->sent++, (unsigned long long)when_ns);
	client_send(p->from, chat.body, strlen(chat.body));
	client_send(p->from, "</body></message>", 17);
	chat.on_the_way++;
}

static void send_due(void *arg, uint64_t when_ns)
{
	(void)arg;
	send_one(&chat.pairs[chat.turn++ % chat.n], when_ns);
}

static bool read_id(const char *text, uint64_t *number, uint64_t *when_ns)
{
	const char *id;
	char *end;
	size_t len;

	if (!attr_of(text, "id", &id, &len))
		return false;
	*number = strtoull(id, &end, 10);
	if (end == id || *end != '-')
		return false;
	*when_ns = strtoull(end + 1, NULL, 10);
	return *when_ns != 0;
}

static void on_message(struct client *c, struct pair *p, const char *text)
{
	uint64_t number, when_ns;

	if (c != p->to || attr_is(text, "type", "error") || !read_id(text, &number, &when_ns)) {
		pairs_wrong(c, "not what was sent", text);
		return;
	}
	if (number != p->received) {
		pairs_wrong(c, number < p->received ? "doubled or late" : "lost or early", text);
		if (number < p->received || number >= p->sent)
			return;
		chat.on_the_way -= number - p->received;
		p->received = number;
	}
	p->received++;
	chat.on_the_way--;
	bench_operation(bench_of(c), when_ns);
	if (!chat.over && !c->loop->pace)
		send_one(p, now_ns());
	else if (chat.over && !chat.on_the_way)
		c->loop->stop = true;
}

static void chat_ready(struct client *c)
{
	(void)c;
}

static void chat_stanza(struct client *c, const char *text)
{
	if (!strncmp(text, "<message", 8))
		on_message(c, c->data, text);
}

static void chat_closed(struct client *c, const char *why)
{
	pairs_wrong(c, "connection lost", why ? why : "");
}

static const struct client_events chat_events = { chat_ready, chat_stanza, chat_closed };

static void prepare(struct bench *b)
{
	const struct options *o = b->options;

	chat.n = o->users / 2;
	chat.pairs = calloc(chat.n, sizeof(*chat.pairs));
	chat.body = malloc(o->size + 1);
	memset(chat.body, 'x', o->size);
	chat.body[o->size] = 0;
	for (unsigned i = 0; i < chat.n; i++) {
		struct pair *p = &chat.pairs[i];

		p->from = &b->clients[2 * i];
		p->to = &b->clients[2 * i + 1];
		p->from->data = p->to->data = p;
		p->address = strndup(p->to->jid,
			o->to == TO_BARE ? strcspn(p->to->jid, "/") : strlen(p->to->jid));
	}
}

static void release(void)
{
	for (unsigned i = 0; i < chat.n; i++)
		free(chat.pairs[i].address);
	free(chat.pairs);
	free(chat.body);
}

static void begin(struct bench *b)
{
	const struct options *o = b->options;

	if (o->rate > 0) {
		bench_pace(b, &chat.pace, send_due, NULL);
		return;
	}
	for (unsigned i = 0; i < chat.n; i++)
		for (unsigned k = 0; k < o->inflight; k++)
			send_one(&chat.pairs[i], now_ns());
}

/* Waits for what is on the way; how much never came. */
static uint64_t drain(struct bench *b)
{
	uint64_t before, lost = 0;

	chat.over = true;
	bench_pace_end(b);
	do {
		before = chat.on_the_way;
		if (before)
			loop_run(&b->loop, now_ns() + DRAIN_NS);
	} while (chat.on_the_way && chat.on_the_way < before);
	for (unsigned i = 0; i < chat.n; i++)
		lost += chat.pairs[i].sent - chat.pairs[i].received;
	return lost;
}

/* All of them, and all that the server does about them; how many never came. */
static uint64_t measure_to_the_end(struct bench *b)
{
	struct usage from, to;
	uint64_t lost;

	bench_phase(b, PHASE_MEASURE);
	usage_now(b, &from);
	begin(b);
	loop_run(&b->loop, now_ns() + (uint64_t)(b->options->seconds * 1e9));
	lost = drain(b);
	bench_phase(b, PHASE_DRAIN);
	usage_at_rest(b, &to);
	usage_report(b, &from, &to, b->share->latency.n, "message");
	report_hist(&b->report, "latency", &b->share->latency);
	return lost;
}

static uint64_t measure(struct bench *b)
{
	begin(b);
	bench_measure(b, "message", "latency");
	return drain(b);
}

static bool chat_run(struct bench *b)
{
	const struct options *o = b->options;
	uint64_t lost;
	bool good;

	if (!pairs_fit(b))
		return false;
	/* A message to a bare JID finds only those whose presence is known. */
	if (!bench_start_all(b, GOAL_SESSION, &chat_events) ||
		(o->to == TO_BARE && !bench_settle(b)) || !bench_meet(b) || !bench_all_here(b))
		return false;
	prepare(b);
	lost = o->finish ? measure_to_the_end(b) : measure(b);
	report_add(&b->report, "lost", (double)lost, "");
	good = pairs_report(b, lost > 0);
	bench_close_all(b);
	release();
	return good;
}

const struct scenario scenario_chat = { "chat",
	"Pairs exchange messages, some on the way at any time or at a rate; nothing may be lost, "
	"doubled or out of order.",
	chat_run, .group = 2, .open_loop = true };
