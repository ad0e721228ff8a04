/* bench/bench_ping.c - each user asks the server (XEP-0199), K requests on the way, or all users in
 * turn at a rate. Answers may come in any order, but one each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_scenario.h"

#define DRAIN_NS 10000000000ull /* without any answer */

struct asker {
	uint64_t *sent_ns; /* owned: of the requests on the way, by slot; 0: free */
	unsigned *unused; /* owned: the free slots, n_unused of them */
	unsigned slots, n_unused;
};
static struct {
	struct asker *askers; /* owned */
	uint64_t bad, on_the_way;
	unsigned turn;
	struct pace pace;
	bool over;
} ping;

static void grow(struct asker *a)
{
	unsigned slots = a->slots ? a->slots * 2 : 4;

	a->sent_ns = realloc(a->sent_ns, slots * sizeof(*a->sent_ns));
	a->unused = realloc(a->unused, slots * sizeof(*a->unused));
	if (!a->sent_ns || !a->unused)
		abort();
	for (unsigned i = a->slots; i < slots; i++) {
		a->sent_ns[i] = 0;
		a->unused[a->n_unused++] = i;
	}
	a->slots = slots;
}

/* The id is "SLOT-TIME". */
static void ask(struct client *c, uint64_t when_ns)
{
	struct asker *a = c->data;
	unsigned slot;

	if (!a->n_unused)
		grow(a);
	slot = a->unused[--a->n_unused];
	a->sent_ns[slot] = when_ns;
	ping.on_the_way++;
	client_sendf(c, "<iq type='get' id='%u-%llu' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>",
		slot, (unsigned long long)when_ns, c->loop->options->domain);
}

static void ask_due(void *arg, uint64_t when_ns)
{
	struct bench *b = arg;

	ask(&b->clients[ping.turn++ % b->options->users], when_ns);
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

static bool read_id(const struct asker *a, const char *text, unsigned *slot)
{
	unsigned long number;
	const char *id;
	char *end;
	size_t len;

	if (!attr_of(text, "id", &id, &len))
		return false;
	number = strtoul(id, &end, 10);
	if (end == id || *end != '-' || number >= a->slots)
		return false;
	*slot = (unsigned)number;
	return a->sent_ns[number] && a->sent_ns[number] == strtoull(end + 1, NULL, 10);
}

static void ping_stanza(struct client *c, const char *text)
{
	struct asker *a = c->data;
	uint64_t when_ns;
	unsigned slot;

	if (strncmp(text, "<iq", 3))
		return;
	if (!attr_is(text, "type", "result") || !read_id(a, text, &slot)) {
		wrong(c, text);
		return;
	}
	when_ns = a->sent_ns[slot];
	a->sent_ns[slot] = 0;
	a->unused[a->n_unused++] = slot;
	ping.on_the_way--;
	bench_operation(bench_of(c), when_ns);
	if (!ping.over && !c->loop->pace)
		ask(c, now_ns());
	else if (ping.over && !ping.on_the_way)
		c->loop->stop = true;
}

static void ping_closed(struct client *c, const char *why)
{
	wrong(c, why ? why : "closed");
}

static const struct client_events ping_events = { ping_ready, ping_stanza, ping_closed };

static void begin(struct bench *b)
{
	const struct options *o = b->options;

	if (o->rate > 0) {
		bench_pace(b, &ping.pace, ask_due, b);
		return;
	}
	for (unsigned i = 0; i < o->users; i++)
		for (unsigned k = 0; k < o->inflight; k++)
			ask(&b->clients[i], now_ns());
}

static void drain(struct bench *b)
{
	uint64_t before;

	ping.over = true;
	bench_pace_end(b);
	do {
		before = ping.on_the_way;
		if (before)
			loop_run(&b->loop, now_ns() + DRAIN_NS);
	} while (ping.on_the_way && ping.on_the_way < before);
}

static void release(unsigned users)
{
	for (unsigned i = 0; i < users; i++) {
		free(ping.askers[i].sent_ns);
		free(ping.askers[i].unused);
	}
	free(ping.askers);
}

static bool ping_run(struct bench *b)
{
	const struct options *o = b->options;

	ping.askers = calloc(o->users, sizeof(*ping.askers));
	for (unsigned i = 0; i < o->users; i++)
		b->clients[i].data = &ping.askers[i];
	if (!bench_start_all(b, GOAL_SESSION, &ping_events) || !bench_meet(b)) {
		release(o->users);
		return false;
	}
	begin(b);
	bench_measure(b, "ping", "latency");
	drain(b);
	report_add(&b->report, "unanswered", (double)ping.on_the_way, "");
	report_add(&b->report, "wrong", (double)ping.bad, "");
	bench_close_all(b);
	release(o->users);
	return !ping.on_the_way && !ping.bad;
}

const struct scenario scenario_ping = { "ping",
	"Each user pings the server, some requests on the way at any time or at a rate; each is "
	"answered once.",
	ping_run, .open_loop = true };
