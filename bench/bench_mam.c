/* bench/bench_mam.c - users in pairs; of each, one writes and both have it in their archives
 * (XEP-0313). Then all page through what was written (XEP-0059), forward for half of the time and
 * backward for the other: each pass is to find every message once and in order. Archives may be
 * full of other things before: paging begins behind what was there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_ask.h"
#include "bench/bench_number.h"
#include "bench/bench_pairs.h"
#include "bench/bench_step.h"

#define NS_MAM "urn:xmpp:mam:2"
#define DEFAULT_BATCH 500
#define ID_ROOM 200

struct reader {
	char mark[ID_ROOM]; /* the archive's last entry before; "": it was empty */
	char at[ID_ROOM]; /* the entry the next page begins behind, or ends before */
	uint64_t sent, received; /* of the pair: the writer's, the other's */
	uint64_t next; /* forward: the number expected; backward: the one behind what is expected */
	uint64_t first, last, n; /* of our messages in this page */
	uint64_t asked_ns;
};
static struct {
	struct reader *readers; /* owned: options->users */
	struct tally archived, pages, messages;
	struct hist forward, backward; /* of a page */
	uint64_t batch, n_pages, n_messages, until_ns;
	enum { MARKING, WRITING, FORWARD, BACKWARD } step;
} mam;

/* --- asking ------------------------------------------------------------------------------ */

static void ask_page(struct client *c, const char *tag, const char *id, unsigned max)
{
	struct reader *r = c->data;

	r->n = 0;
	r->asked_ns = now_ns();
	client_sendf(c,
		"<iq type='set' id='page'><query xmlns='" NS_MAM "' queryid='page'>"
		"<set xmlns='http://jabber.org/protocol/rsm'><max>%u</max>",
		max);
	if (*id)
		client_sendf(c, "<%s>%s</%s>", tag, id, tag);
	else if (!strcmp(tag, "before"))
		client_sendf(c, "<before/>"); /* the last page (XEP-0059 §2.5) */
	client_sendf(c, "</set></query></iq>");
}

static void begin_mark(struct client *c)
{
	ask_page(c, "before", "", 1);
}

static void next_page(struct client *c)
{
	struct reader *r = c->data;

	ask_page(c, mam.step == FORWARD ? "after" : "before", r->at, c->loop->options->page);
}

static void begin_pass(struct client *c)
{
	struct reader *r = c->data;

	if (mam.step == FORWARD)
		memcpy(r->at, r->mark, sizeof(r->at));
	else
		*r->at = 0;
	r->next = mam.step == FORWARD ? 0 : mam.batch;
	next_page(c);
}

/* --- reading ----------------------------------------------------------------------------- */

/* The text of an element that has no children; false: it is not there. */
static bool text_of(const char *text, const char *tag, char *out, size_t room)
{
	const char *from = strstr(text, tag), *to;

	from = from ? strchr(from, '>') : NULL;
	to = from && from[-1] != '/' ? strchr(from, '<') : NULL;
	if (!to || (size_t)(to - from) > room)
		return false;
	snprintf(out, room, "%.*s", (int)(to - from - 1), from + 1);
	return true;
}

static void pass_over(struct client *c)
{
	struct reader *r = c->data;

	if (mam.step == FORWARD ? r->next != mam.batch : r->next != 0)
		pairs_wrong(c, "lost", "messages at the end of the archive");
	if (now_ns() < mam.until_ns && !pairs_wrongs())
		begin_pass(c);
	else
		step_done(bench_of(c));
}

/* The page is whole: its numbers have been looked at one by one. Forward, they continue the page
 * before; backward, they end where it began. */
static void page_over(struct client *c, const char *text)
{
	struct reader *r = c->data;
	const char *fin = strstr(text, "<fin");
	char id[ID_ROOM];
	bool more = fin && !attr_is(fin, "complete", "true") &&
		text_of(text, mam.step == FORWARD ? "<last" : "<first", id, sizeof(id));

	hist_add(mam.step == FORWARD ? &mam.forward : &mam.backward,
		(now_ns() - r->asked_ns) / 1000);
	mam.n_pages++;
	mam.n_messages += r->n;
	if (mam.step == FORWARD) {
		more = more && r->n;
		r->next += r->n;
	} else if (r->n) {
		if (r->last + 1 != r->next)
			pairs_wrong(c, "lost, or doubled", text);
		r->next = r->first;
		more = more && r->next;
	} else {
		more = false;
	}
	if (!more) {
		pass_over(c);
		return;
	}
	memcpy(r->at, id, sizeof(r->at));
	next_page(c);
}

static void answered(struct client *c, const char *text)
{
	struct reader *r = c->data;

	if (!answer_is_result(text)) {
		pairs_wrong(c, "refused", text);
		step_fail(bench_of(c));
	} else if (mam.step == MARKING) {
		text_of(text, "<last", r->mark, sizeof(r->mark));
		step_done(bench_of(c));
	} else {
		page_over(c, text);
	}
}

/* One message of a page, in the order of the archive. */
static void found(struct client *c, const char *text)
{
	struct reader *r = c->data;
	uint64_t number;

	if (!read_numbered(text, &number))
		return;
	if (mam.step == FORWARD ? number != r->next + r->n : r->n && number != r->last + 1)
		pairs_wrong(c, "lost, doubled or out of order", text);
	if (!r->n)
		r->first = number;
	r->last = number;
	r->n++;
}

/* --- writing ----------------------------------------------------------------------------- */

static void write_next(struct client *c)
{
	struct reader *r = c->data;

	pairs_send(c, (c + 1)->jid, r->sent++);
}

static void begin_write(struct client *c)
{
	for (uint64_t k = 0; k < c->loop->options->inflight && k < mam.batch; k++)
		write_next(c);
}

static void received(struct client *c, const char *text)
{
	struct reader *r = c->data, *writer = (c - 1)->data;
	uint64_t number;

	if (!read_numbered(text, &number) || c->number % 2 == 0)
		return;
	if (number != r->received)
		pairs_wrong(c, "lost, doubled or out of order", text);
	r->received++;
	if (writer->sent < mam.batch)
		write_next(c - 1);
	else if (r->received == mam.batch)
		step_done(bench_of(c));
}

/* --- the play ---------------------------------------------------------------------------- */

static void mam_ready(struct client *c)
{
	step_done(bench_of(c));
}

static void mam_stanza(struct client *c, const char *text)
{
	if (!strncmp(text, "<iq", 3) && attr_is(text, "id", "page"))
		answered(c, text);
	else if (strncmp(text, "<message", 8))
		return;
	else if (attr_is(text, "type", "error"))
		pairs_wrong(c, "came back", text);
	else if (strstr(text, "<result") && mam.step >= FORWARD)
		found(c, text);
	else if (mam.step == WRITING)
		received(c, text);
}

static const struct client_events mam_events = { mam_ready, mam_stanza, pairs_closed };

static bool fill(struct bench *b)
{
	struct usage stored;
	bool good;

	mam.step = WRITING;
	tally_begin(&mam.archived, b);
	good = step_run(b, 0, 2, begin_write) && bench_settle(b);
	usage_at_rest(b, &stored);
	tally_until(&mam.archived, &stored, mam.batch * (b->options->users / 2));
	return good;
}

/* At least one pass of each user. */
static bool read_all(struct bench *b, int step)
{
	uint64_t pages = mam.n_pages, messages = mam.n_messages;
	bool good;

	mam.step = step;
	mam.until_ns = now_ns() + (uint64_t)(b->options->seconds * 1e9 / 2);
	tally_begin(&mam.pages, b);
	mam.messages.from = mam.pages.from;
	good = step_run(b, 0, 1, begin_pass);
	tally_end(&mam.pages, b, mam.n_pages - pages);
	tally_end(&mam.messages, b, mam.n_messages - messages);
	return good;
}

static bool play(struct bench *b)
{
	bool good;

	mam.step = MARKING;
	good = step_login(b, 1, 1, &mam_events) && step_run(b, 0, 1, begin_mark) && bench_meet(b) &&
		fill(b);
	bench_phase(b, PHASE_MEASURE);
	good = good && read_all(b, FORWARD) && read_all(b, BACKWARD);
	tally_report(&mam.pages, b, "page");
	tally_report(&mam.messages, b, "message");
	tally_report(&mam.archived, b, "archived_message");
	report_hist(&b->report, "page_forward", &mam.forward);
	report_hist(&b->report, "page_backward", &mam.backward);
	return pairs_report(b, false) && good;
}

static bool mam_run(struct bench *b)
{
	const struct options *o = b->options;
	bool good;

	if (!pairs_fit(b))
		return false;
	if (!step_login_one(b, 0, &mam_events))
		return false;
	if (!ask_has_feature(b->clients, NULL, NS_MAM))
		return bench_not_offered(b, "accounts without the feature " NS_MAM);
	mam.batch = o->batch ? o->batch : DEFAULT_BATCH;
	mam.readers = calloc(o->users, sizeof(*mam.readers));
	for (unsigned i = 0; i < o->users; i++)
		b->clients[i].data = &mam.readers[i];
	good = play(b);
	bench_close_all(b);
	free(mam.readers);
	return good;
}

const struct scenario scenario_mam = { "mam",
	"Pairs fill their archives with --batch messages, then page through them forward and "
	"backward, --page at once (XEP-0313): each is found once and in order.",
	mam_run, .group = 2 };
