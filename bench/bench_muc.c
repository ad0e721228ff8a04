/* bench/bench_muc.c - rooms of N occupants each (XEP-0045); the first of a room speaks, and all of
 * it hear, the speaker too. Every message is numbered: each occupant hears each once, in order. */
#include <stdio.h>
#include <string.h>

#include "bench/bench_ask.h"
#include "bench/bench_fanout.h"
#include "bench/bench_number.h"
#include "bench/bench_step.h"

#define NS_MUC "http://jabber.org/protocol/muc"

static struct {
	char service[256];
	struct fanout out;
	struct tally joins;
	struct hist join;
	bool joining; /* the phases before the measurement */
} muc;

static unsigned room_of(const struct client *c)
{
	return c->number / c->loop->options->fanout;
}

static void send_room(struct client *c, const char *before, const char *behind)
{
	client_sendf(c, "%s to='%s-%u@%s%s", before, run_tag(), room_of(c), muc.service, behind);
}

static void begin_join(struct client *c)
{
	char nick[100];

	snprintf(nick, sizeof(nick),
		"/n%u'><x xmlns='" NS_MUC "'><history maxstanzas='0'/></x></presence>", c->number);
	c->began_ns = now_ns();
	send_room(c, "<presence", nick);
}

/* A new room is locked until its owner says how it is to be: as it is (§10.1.2). */
static void unlock(struct client *c)
{
	send_room(c, "<iq type='set' id='unlock'",
		"'><query xmlns='" NS_MUC "#owner'>"
		"<x xmlns='jabber:x:data' type='submit'/></query></iq>");
}

static bool has_status(const char *text, const char *code)
{
	for (text = strstr(text, "<status "); text; text = strstr(text + 1, "<status "))
		if (attr_is(text, "code", code))
			return true;
	return false;
}

static void joined(struct client *c)
{
	hist_add(&muc.join, (now_ns() - c->began_ns) / 1000);
	step_done(bench_of(c));
}

static void joining_stanza(struct client *c, const char *text)
{
	if (attr_is(text, "type", "error")) {
		bench_complain(c, text);
		step_fail(bench_of(c));
	} else if (!strncmp(text, "<iq", 3) && attr_is(text, "id", "unlock")) {
		joined(c);
	} else if (!strncmp(text, "<presence", 9) && has_status(text, "110")) {
		if (has_status(text, "201"))
			unlock(c);
		else
			joined(c);
	}
}

static void heard(struct client *c, const char *text)
{
	struct fan *f = &muc.out.fans[room_of(c)];
	uint64_t number;

	if (attr_is(text, "type", "error"))
		fanout_wrong(&muc.out, c, "came back", text);
	else if (attr_is(text, "type", "groupchat") && read_numbered(text, &number))
		fanout_got(&muc.out, f, c->number % c->loop->options->fanout, number, c, text);
}

static void muc_ready(struct client *c)
{
	step_done(bench_of(c));
}

static void muc_stanza(struct client *c, const char *text)
{
	if (muc.joining)
		joining_stanza(c, text);
	else if (!strncmp(text, "<message", 8))
		heard(c, text);
}

static void muc_closed(struct client *c, const char *why)
{
	fanout_wrong(&muc.out, c, "connection lost", why ? why : "");
	step_fail(bench_of(c));
}

static const struct client_events muc_events = { muc_ready, muc_stanza, muc_closed };

static void speak(struct fan *f, uint64_t number)
{
	send_room(f->from, "<message type='groupchat'", "'><body>");
	send_numbered(f->from, number);
	client_sendf(f->from, "</body></message>");
}

/* The owners first; then one of each room at a time. */
static bool join_all(struct bench *b)
{
	unsigned occupants = b->options->fanout;
	bool good;

	muc.joining = true;
	good = step_run(b, 0, occupants, begin_join);
	hist_clear(&muc.join);
	tally_begin(&muc.joins, b);
	for (unsigned i = 1; good && i < occupants; i++)
		good = step_run(b, i, occupants, begin_join);
	tally_end(&muc.joins, b, muc.join.n);
	muc.joining = false;
	return good;
}

static bool play(struct bench *b)
{
	bool good = step_login(b, 1, 1, &muc_events) && join_all(b) &&
		fanout_run(&muc.out, b, "message");

	tally_report(&muc.joins, b, "join");
	report_hist(&b->report, "join", &muc.join);
	return good;
}

static bool muc_run(struct bench *b)
{
	unsigned occupants = b->options->fanout, rooms = b->options->users / occupants;
	bool good;

	if (!rooms || b->options->users % occupants) {
		fprintf(stderr, "linnet-bench: muc needs users in full rooms: a multiple of %u\n",
			occupants);
		return false;
	}
	if (!step_login_one(b, 0, &muc_events))
		return false;
	if (!ask_for_service(b->clients, "conference", NS_MUC, muc.service, sizeof(muc.service)))
		return bench_not_offered(b, "no service with the feature " NS_MUC);
	fanout_init(&muc.out, rooms);
	for (unsigned i = 0; i < rooms; i++)
		fanout_fan(&muc.out, i, &b->clients[i * occupants], occupants, speak);
	good = play(b);
	bench_close_all(b);
	fanout_fini(&muc.out);
	return good;
}

const struct scenario scenario_muc = { "muc",
	"Rooms of --fanout occupants, one of each speaks (XEP-0045); each hears each message once "
	"and in "
	"order.",
	muc_run, .group_is_fanout = true };
