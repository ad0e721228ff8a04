/* bench/bench_chat.c - users in pairs; of each, one writes and the other reads, with K messages on
 * the way: whenever one arrives the next is sent. Every message is numbered: one lost, doubled or
 * out of order is found, and the run has failed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_scenario.h"

struct pair {
	struct client *from, *to;
	uint64_t sent, received;
	uint64_t *sent_ns; /* owned: by number modulo inflight */
};
struct chat {
	struct pair *pairs; /* owned */
	unsigned n;
	char *body; /* owned */
	struct hist latency;
	uint64_t received, limit; /* since the measurement began; 0: no limit */
	uint64_t bad; /* lost, doubled, out of order, bounced */
	unsigned waiting; /* pairs that have messages on the way, once over */
	bool over;
};
static struct chat chat;

static void send_next(struct pair *p)
{
	p->sent_ns[p->sent % p->from->loop->options->inflight] = now_ns();
	client_sendf(p->from, "<message to='%s' type='chat' id='%llu'><body>", p->to->jid,
		(unsigned long long)p->sent++);
	client_send(p->from, chat.body, strlen(chat.body));
	client_sendf(p->from, "</body></message>");
}

static void wrong(struct client *c, const char *what, const char *text)
{
	char why[300];

	snprintf(why, sizeof(why), "%s: %s", what, text);
	bench_complain(c, why);
	chat.bad++;
}

static void on_message(struct client *c, struct pair *p, const char *text)
{
	int64_t id = attr_number(text, "id");

	if (c != p->to || attr_is(text, "type", "error") || id < 0) {
		wrong(c, "not what was sent", text);
		return;
	}
	if ((uint64_t)id != p->received) {
		wrong(c, (uint64_t)id < p->received ? "doubled or late" : "lost or early", text);
		if ((uint64_t)id < p->received || (uint64_t)id >= p->sent)
			return;
		p->received = (uint64_t)id;
	}
	hist_add(&chat.latency,
		(now_ns() - p->sent_ns[p->received % c->loop->options->inflight]) / 1000);
	p->received++;
	chat.received++;
	if (!chat.over)
		send_next(p);
	else if (p->received == p->sent && --chat.waiting == 0)
		c->loop->stop = true;
	if (chat.limit && chat.received >= chat.limit)
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
	wrong(c, "connection lost", why ? why : "");
}

static const struct client_events chat_events = { chat_ready, chat_stanza, chat_closed };

static void prepare(struct bench *b)
{
	chat.n = b->options->users / 2;
	chat.pairs = calloc(chat.n, sizeof(*chat.pairs));
	chat.body = malloc(b->options->size + 1);
	memset(chat.body, 'x', b->options->size);
	chat.body[b->options->size] = 0;
	for (unsigned i = 0; i < chat.n; i++) {
		struct pair *p = &chat.pairs[i];

		p->from = &b->clients[2 * i];
		p->to = &b->clients[2 * i + 1];
		p->from->data = p->to->data = p;
		p->sent_ns = calloc(b->options->inflight, sizeof(*p->sent_ns));
	}
}

static void release(void)
{
	for (unsigned i = 0; i < chat.n; i++)
		free(chat.pairs[i].sent_ns);
	free(chat.pairs);
	free(chat.body);
}

/* Waits for what is on the way; how much never came. */
static uint64_t drain(struct bench *b)
{
	uint64_t lost = 0;

	chat.over = true;
	chat.limit = 0;
	for (unsigned i = 0; i < chat.n; i++)
		chat.waiting += chat.pairs[i].received < chat.pairs[i].sent;
	if (chat.waiting)
		loop_run(&b->loop, now_ns() + 10000000000ull);
	for (unsigned i = 0; i < chat.n; i++)
		lost += chat.pairs[i].sent - chat.pairs[i].received;
	return lost;
}

static bool chat_run(struct bench *b)
{
	const struct options *o = b->options;
	struct usage from;
	uint64_t lost;

	if (o->users < 2 || o->users % 2) {
		fprintf(stderr, "linnet-bench: chat needs an even number of users\n");
		return false;
	}
	if (!bench_start_all(b, GOAL_SESSION, &chat_events))
		return false;
	prepare(b);
	for (unsigned i = 0; i < chat.n; i++)
		for (unsigned k = 0; k < o->inflight; k++)
			send_next(&chat.pairs[i]);
	loop_run(&b->loop, now_ns() + (uint64_t)(o->warmup * 1e9));
	hist_clear(&chat.latency);
	chat.received = 0;
	chat.limit = o->messages;
	usage_now(b, &from);
	loop_run(&b->loop, now_ns() + (uint64_t)(o->seconds * 1e9));
	usage_report(b, &from, chat.received, "message");
	report_hist(&b->report, "latency", &chat.latency);
	lost = drain(b);
	report_add(&b->report, "lost", (double)lost, "");
	report_add(&b->report, "wrong", (double)chat.bad, "");
	if (lost || chat.bad)
		fprintf(stderr, "linnet-bench: messages were lost, doubled or out of order\n");
	bench_close_all(b);
	release();
	return !lost && !chat.bad;
}

const struct scenario scenario_chat = { "chat",
	"pairs exchange messages, K of each on the way; nothing may be lost or out of order",
	chat_run };
