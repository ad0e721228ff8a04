/* bench/bench_resume.c - users in pairs; one writes, the other answers each message and is cut off
 * in the middle of each batch, comes back and resumes its stream (XEP-0198). Then it sends again
 * what the server says it did not get, and gets what it missed: both sides see every message once
 * and in order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_ask.h"
#include "bench/bench_number.h"
#include "bench/bench_pairs.h"
#include "bench/bench_step.h"

#define NS_SM "urn:xmpp:sm:3"
#define DEFAULT_BATCH 10
#define DRAIN_NS 20000000000ull

/* Of one batch, what one side has got: messages, or the answers to them. */
struct got {
	bool *seen; /* owned: by number modulo the batch's size */
	uint64_t n; /* of these */
	uint64_t next; /* the number that is to come, when all come in order */
};
struct pair {
	struct client *writer, *mover;
	char *jid; /* owned: the mover's, which it keeps */
	char previd[300], resume[500];
	uint64_t sent; /* by the writer */
	struct got messages, answers;
	/* The mover's stream since it was enabled: all stanzas of ours are answers, numbered from
	 * 0. */
	uint64_t answered;
	uint32_t handled; /* stanzas that came */
	uint64_t cut_ns;
	bool is_cut;
};
static struct {
	struct pair *pairs; /* owned: options->users / 2 */
	uint64_t batch, repeated, doubled, out_of_order;
	unsigned running;
	bool over, cannot;
} resume;

static void begin_batch(struct got *g)
{
	memset(g->seen, 0, resume.batch * sizeof(*g->seen));
	g->n = 0;
}

static void count(uint64_t *counter, struct client *c, const char *what, const char *text)
{
	bench_complain_of(c, what, text);
	++*counter;
}

/* Something of this batch has come. False: it was there before. */
static bool see(struct pair *p, struct got *g, struct client *c, uint64_t number, const char *text)
{
	bool *seen = &g->seen[number % resume.batch];

	if (number + resume.batch < p->sent || number >= p->sent || *seen) {
		count(&resume.doubled, c, "doubled", text);
		return false;
	}
	if (number != g->next)
		count(&resume.out_of_order, c, "out of order", text);
	g->next = number + 1;
	*seen = true;
	g->n++;
	return true;
}

static void write_batch(struct pair *p)
{
	begin_batch(&p->messages);
	begin_batch(&p->answers);
	for (uint64_t i = 0; i < resume.batch; i++)
		pairs_send(p->writer, p->jid, p->sent++);
}

/* --- the one that is cut off ------------------------------------------------------------- */

static void begin_enable(struct client *c)
{
	client_sendf(c, "<enable xmlns='" NS_SM "' resume='true'/>");
}

static void enabled(struct pair *p, const char *text)
{
	struct bench *b = bench_of(p->mover);
	const char *id;
	size_t len;

	resume.cannot = strncmp(text, "<enabled", 8) || !attr_of(text, "id", &id, &len) ||
		!(attr_is(text, "resume", "true") || attr_is(text, "resume", "1"));
	if (resume.cannot) {
		step_fail(b);
		return;
	}
	snprintf(p->previd, sizeof(p->previd), "%.*s", (int)len, id);
	step_done(b);
}

static void cut(struct pair *p)
{
	snprintf(p->resume, sizeof(p->resume), "<resume xmlns='" NS_SM "' h='%u' previd='%s'/>",
		p->handled, p->previd);
	p->mover->resume = p->resume;
	p->is_cut = true;
	p->cut_ns = now_ns();
	client_cut(p->mover);
	client_start(p->mover, GOAL_SESSION);
}

/* What the server has not handled is said again, in order. */
static void resumed(struct pair *p, const char *text)
{
	int64_t h = attr_number(text, "h");

	if (strncmp(text, "<resumed", 8) || h < 0 || (uint64_t)h > p->answered) {
		pairs_wrong(p->mover, "not resumed", text);
		p->mover->loop->stop = true;
		return;
	}
	p->is_cut = false;
	bench_operation(bench_of(p->mover), p->cut_ns);
	for (uint64_t i = (uint64_t)h; i < p->answered; i++) {
		pairs_send(p->mover, p->writer->jid, i);
		resume.repeated++;
	}
}

static void mover_message(struct pair *p, const char *text)
{
	uint64_t number;

	if (!read_numbered(text, &number)) /* left over from another run */
		return;
	if (!see(p, &p->messages, p->mover, number, text))
		return;
	pairs_send(p->mover, p->writer->jid, p->answered++);
	if (p->messages.n == resume.batch / 2 + 1)
		cut(p);
}

static void mover_stanza(struct pair *p, const char *text)
{
	if (!strncmp(text, "<r ", 3) || !strncmp(text, "<r/", 3)) {
		client_sendf(p->mover, "<a xmlns='" NS_SM "' h='%u'/>", p->handled);
	} else if (p->is_cut) {
		resumed(p, text);
	} else if (!strncmp(text, "<message", 8)) {
		p->handled++;
		mover_message(p, text);
	} else if (!strncmp(text, "<iq", 3) || !strncmp(text, "<presence", 9)) {
		p->handled++;
	} else if (strncmp(text, "<a ", 3)) {
		pairs_wrong(p->mover, "not expected", text);
	}
}

/* --- the one that writes ----------------------------------------------------------------- */

static void writer_message(struct pair *p, const char *text)
{
	uint64_t number;

	if (!read_numbered(text, &number))
		return;
	if (attr_is(text, "type", "error")) {
		pairs_wrong(p->writer, "came back", text);
		return;
	}
	if (!see(p, &p->answers, p->writer, number, text) || p->answers.n < resume.batch)
		return;
	if (!resume.over)
		write_batch(p);
	else if (--resume.running == 0)
		p->writer->loop->stop = true;
}

/* --- the play ---------------------------------------------------------------------------- */

static void resume_ready(struct client *c)
{
	step_done(bench_of(c));
}

static void resume_stanza(struct client *c, const char *text)
{
	struct pair *p = c->data;

	if (!p)
		return;
	if (c == p->writer && !strncmp(text, "<message", 8))
		writer_message(p, text);
	else if (c == p->mover && (!strncmp(text, "<enabled", 8) || !strncmp(text, "<failed", 7)) &&
		!p->is_cut)
		enabled(p, text);
	else if (c == p->mover && *p->previd)
		mover_stanza(p, text);
}

static const struct client_events resume_events = { resume_ready, resume_stanza, pairs_closed };

/* The mover answers no requests: all its stanzas are to be ours, so that they can be counted. */
static void prepare(struct bench *b)
{
	resume.pairs = calloc(b->options->users / 2, sizeof(*resume.pairs));
	for (unsigned i = 0; i < b->options->users / 2; i++) {
		struct pair *p = &resume.pairs[i];

		p->writer = &b->clients[2 * i];
		p->mover = &b->clients[2 * i + 1];
		p->writer->data = p->mover->data = p;
		p->mover->keeps_requests = true;
		p->messages.seen = calloc(resume.batch, sizeof(bool));
		p->answers.seen = calloc(resume.batch, sizeof(bool));
	}
}

static bool log_in(struct bench *b)
{
	bool good = step_login(b, 1, 1, &resume_events) && step_run(b, 1, 2, begin_enable);

	for (unsigned i = 0; good && i < b->options->users / 2; i++)
		resume.pairs[i].jid = strdup(resume.pairs[i].mover->jid);
	return good;
}

/* Lets the pairs end what they have begun; how many messages or answers are missing. */
static uint64_t drain(struct bench *b)
{
	uint64_t missing = 0, until = now_ns() + DRAIN_NS;

	resume.over = true;
	resume.running = b->options->users / 2;
	while (resume.running && !pairs_wrongs() && now_ns() < until)
		loop_run(&b->loop, until);
	for (unsigned i = 0; i < b->options->users / 2; i++)
		missing += resume.batch - resume.pairs[i].answers.n;
	return missing;
}

static bool measure(struct bench *b)
{
	uint64_t lost;

	for (unsigned i = 0; i < b->options->users / 2; i++)
		write_batch(&resume.pairs[i]);
	if (!bench_measure(b, "resumption", "resumed"))
		return false;
	lost = drain(b);
	report_same(&b->report, "messages_per_resumption", 2.0 * (double)resume.batch, "");
	report_add(&b->report, "repeated", (double)resume.repeated, "");
	report_add(&b->report, "lost", (double)lost, "");
	report_add(&b->report, "doubled", (double)resume.doubled, "");
	report_add(&b->report, "out_of_order", (double)resume.out_of_order, "");
	return pairs_report(b, lost || resume.doubled || resume.out_of_order);
}

static bool resume_run(struct bench *b)
{
	bool good;

	if (!pairs_fit(b))
		return false;
	if (!step_login_one(b, 0, &resume_events))
		return false;
	if (!stream_offers(b->clients, NS_SM))
		return bench_not_offered(b, "streams without the feature " NS_SM);
	resume.batch = b->options->batch ? b->options->batch : DEFAULT_BATCH;
	prepare(b);
	good = log_in(b);
	if (resume.cannot)
		return bench_not_offered(b, "stream management without resumption");
	good = good && measure(b);
	bench_close_all(b);
	for (unsigned i = 0; i < b->options->users / 2; i++) {
		free(resume.pairs[i].jid);
		free(resume.pairs[i].messages.seen);
		free(resume.pairs[i].answers.seen);
	}
	free(resume.pairs);
	return good;
}

const struct scenario scenario_resume = { "resume",
	"Pairs exchange messages, --batch at a time; in each batch the one who answers is cut off "
	"and resumes (XEP-0198): nothing is lost, doubled or out of order.",
	resume_run, .group = 2 };
