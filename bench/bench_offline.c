/* bench/bench_offline.c - users in pairs; of each, one writes while the other is away, who then
 * comes and collects (RFC 6121 §8.5.2.2, XEP-0160), over and over. Every message comes back once
 * and in order, stamped (XEP-0203), and none a second time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_ask.h"
#include "bench/bench_number.h"
#include "bench/bench_pairs.h"
#include "bench/bench_step.h"

#define DEFAULT_BATCH 100

struct absent { /* a pair */
	uint64_t sent, next;
	uint64_t began_ns;
};
static struct {
	struct absent *pairs; /* owned: users / 2 */
	struct tally store, collect;
	struct hist storing, collecting; /* of one batch */
	uint64_t unstamped;
	unsigned batch;
	bool leaving;
} offline;

static struct absent *pair_of(const struct client *c)
{
	return &offline.pairs[c->number / 2];
}

static bool is_sender(const struct client *c)
{
	return c->number % 2 == 0;
}

/* What comes back tells that all before it is done (RFC 6120 §10.1). */
static void send_ping(struct client *c)
{
	client_sendf(c, "<iq type='get' id='behind' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>",
		c->loop->options->domain);
}

static void begin_store(struct client *c)
{
	struct absent *p = pair_of(c);
	char to[300];

	bare_jid(c + 1, to, sizeof(to));
	p->began_ns = now_ns();
	for (unsigned i = 0; i < offline.batch; i++)
		pairs_send(c, to, p->sent++);
	send_ping(c);
}

static void begin_leave(struct client *c)
{
	client_close(c);
}

static void collected(struct client *c, const char *text)
{
	struct absent *p = pair_of(c);
	uint64_t number;

	if (!read_numbered(text, &number))
		return; /* of an earlier run that did not end well */
	if (number < p->next || number >= p->sent) {
		pairs_wrong(c, "doubled or late", text);
		return;
	}
	if (number > p->next)
		pairs_wrong(c, "lost or early", text);
	offline.unstamped += !strstr(text, "urn:xmpp:delay");
	p->next = number + 1;
	if (p->next < p->sent)
		return;
	hist_add(&offline.collecting, (now_ns() - c->began_ns) / 1000);
	send_ping(c);
}

static void offline_ready(struct client *c)
{
	if (is_sender(c))
		step_done(bench_of(c));
	else if (pair_of(c)->next == pair_of(c)->sent)
		send_ping(c); /* nothing is to come */
}

static void ping_came(struct client *c)
{
	if (is_sender(c))
		hist_add(&offline.storing, (now_ns() - pair_of(c)->began_ns) / 1000);
	step_done(bench_of(c));
}

static void offline_stanza(struct client *c, const char *text)
{
	if (!strncmp(text, "<iq", 3) && attr_is(text, "id", "behind"))
		ping_came(c);
	else if (!strncmp(text, "<message", 8) && (is_sender(c) || attr_is(text, "type", "error")))
		pairs_wrong(c, "came back", text);
	else if (!strncmp(text, "<message", 8))
		collected(c, text);
}

static void offline_closed(struct client *c, const char *why)
{
	if (offline.leaving && !why)
		step_done(bench_of(c));
	else
		pairs_closed(c, why);
}

static const struct client_events offline_events = { offline_ready, offline_stanza,
	offline_closed };

static bool leave(struct bench *b)
{
	bool good;

	offline.leaving = true;
	good = step_run(b, 1, 2, begin_leave);
	offline.leaving = false;
	return good;
}

/* Written, fetched, gone again. */
static bool cycle(struct bench *b)
{
	uint64_t messages = (uint64_t)offline.batch * (b->options->users / 2);
	bool good;

	tally_begin(&offline.store, b);
	good = step_run(b, 0, 2, begin_store);
	tally_end(&offline.store, b, messages);
	if (!good)
		return false;
	tally_begin(&offline.collect, b);
	good = step_login(b, 1, 2, &offline_events);
	tally_end(&offline.collect, b, messages);
	return good && leave(b);
}

/* At least one cycle; another as long as there is time. */
static bool cycle_for(struct bench *b, double seconds)
{
	uint64_t until = now_ns() + (uint64_t)(seconds * 1e9), limit = b->options->messages;

	do {
		if (!cycle(b))
			return false;
	} while (now_ns() < until && !(limit && offline.store.n >= limit));
	return true;
}

static bool report(struct bench *b)
{
	uint64_t lost = 0;

	tally_report(&offline.store, b, "store");
	report_hist(&b->report, "store_batch", &offline.storing);
	tally_report(&offline.collect, b, "collect");
	report_hist(&b->report, "collect_batch", &offline.collecting);
	for (unsigned i = 0; i < b->options->users / 2; i++)
		lost += offline.pairs[i].sent - offline.pairs[i].next;
	report_same(&b->report, "batch", offline.batch, "");
	report_add(&b->report, "without_stamp", (double)offline.unstamped, "");
	report_add(&b->report, "lost", (double)lost, "");
	return pairs_report(b, lost > 0);
}

static bool play(struct bench *b)
{
	bool good = step_login(b, 2, 2, &offline_events) && cycle_for(b, b->options->warmup);

	offline.store = offline.collect = (struct tally){ 0 };
	hist_clear(&offline.storing);
	hist_clear(&offline.collecting);
	offline.unstamped = 0;
	good = good && cycle_for(b, b->options->seconds) &&
		step_login(b, 1, 2, &offline_events); /* once more: nothing is left */
	return report(b) && good;
}

static bool offline_run(struct bench *b)
{
	bool good;

	if (!pairs_fit(b))
		return false;
	if (!step_login_one(b, 0, &offline_events))
		return false;
	if (!ask_has_feature(b->clients, b->options->domain, "msgoffline") &&
		!ask_has_feature(b->clients, NULL, "msgoffline"))
		return bench_not_offered(b, "no feature msgoffline");
	offline.batch = b->options->batch ? b->options->batch : DEFAULT_BATCH;
	offline.pairs = calloc(b->options->users / 2, sizeof(*offline.pairs));
	good = play(b);
	bench_close_all(b);
	free(offline.pairs);
	return good;
}

const struct scenario scenario_offline = { "offline",
	"Messages to users who are away, --batch for each, who then come and collect them "
	"(XEP-0160): each once and in order.",
	offline_run, .group = 2 };
