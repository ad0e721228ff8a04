/* bench/bench_presence.c - rosters of C contacts each, in a ring: everybody knows those beside.
 * They are made by subscriptions (RFC 6121 §3) where an earlier run has not left them. Then all log
 * in (§4.2: each hears of each contact), and then all go on telling what they do (§4.4): every
 * contact hears each once and in order. What the server sends back to the sender's own resource is
 * not counted as a delivery. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_ask.h"
#include "bench/bench_fanout.h"
#include "bench/bench_number.h"
#include "bench/bench_step.h"

#define GET_ROSTER "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>"
#define SETTLE_NS 15000000000ull

enum contact_state { CONTACT_NONE, CONTACT_ASKED, CONTACT_TO, CONTACT_BOTH };
struct person {
	uint8_t *contacts; /* owned: enum contact_state, by slot */
	bool *heard; /* owned: by slot, of the contact since the storm began */
	unsigned missing; /* subscriptions to wait for */
};
static struct {
	struct person *people; /* owned: options->users */
	struct fanout out;
	struct tally subscriptions, logins, told; /* told: of presence in a storm */
	struct hist latency; /* of a login, until the roster is there */
	uint64_t heard, arrived; /* pairs in a storm; all that came */
	enum { BUILDING, LOOKING, STORM, TALKING } step;
} presence;

/* --- who knows whom ---------------------------------------------------------------------- */

/* The contact in a slot: C/2 ahead in the ring, then C/2 behind. */
static unsigned contact_in(const struct options *o, unsigned user, unsigned slot)
{
	unsigned half = o->fanout / 2;

	return slot < half ? (user + slot + 1) % o->users
			   : (user + o->users - (slot - half + 1)) % o->users;
}

/* The slot in which `user` has `other`; -1: they do not know each other. */
static int slot_of(const struct options *o, unsigned user, unsigned other)
{
	unsigned half = o->fanout / 2, ahead = (other + o->users - user) % o->users;

	if (ahead && ahead <= half)
		return (int)ahead - 1;
	if (ahead && o->users - ahead <= half)
		return (int)(half + o->users - ahead) - 1;
	return -1;
}

static int slot_of_address(const struct client *c, const char *text, const char *attribute)
{
	const char *address;
	size_t len;
	int64_t user;

	if (!attr_of(text, attribute, &address, &len))
		return -1;
	user = user_of(c, address, len);
	return user < 0 ? -1 : slot_of(c->loop->options, c->number, (unsigned)user);
}

/* --- rosters ----------------------------------------------------------------------------- */

static void begin_roster(struct client *c)
{
	client_sendf(c, GET_ROSTER);
}

static void strike_off(struct client *c, const char *jid, size_t len)
{
	client_sendf(c,
		"<iq type='set' id='off'><query xmlns='jabber:iq:roster'>"
		"<item jid='%.*s' subscription='remove'/></query></iq>",
		(int)(len < 1000 ? len : 1000), jid);
}

static void read_roster(struct client *c, const char *text)
{
	struct person *p = c->data;
	const char *jid;
	size_t len;

	memset(p->contacts, CONTACT_NONE, c->loop->options->fanout);
	for (text = strstr(text, "<item "); text; text = strstr(text + 1, "<item ")) {
		int slot = slot_of_address(c, text, "jid");

		if (slot < 0 && attr_of(text, "jid", &jid, &len))
			strike_off(c, jid, len); /* of a run with more contacts */
		else if (slot >= 0 && attr_is(text, "subscription", "both"))
			p->contacts[slot] = CONTACT_BOTH;
		else if (slot >= 0 && attr_is(text, "subscription", "to"))
			p->contacts[slot] = CONTACT_TO;
	}
}

static void begin_subscribing(struct client *c)
{
	const struct options *o = c->loop->options;
	struct person *p = c->data;

	p->missing = 0;
	for (unsigned i = 0; i < o->fanout; i++) {
		if (p->contacts[i] >= CONTACT_TO)
			continue;
		p->contacts[i] = CONTACT_ASKED;
		p->missing++;
		client_sendf(c, "<presence type='subscribe' to='%s%u@%s'/>", o->user_prefix,
			o->first_user + contact_in(o, c->number, i), o->domain);
	}
	presence.subscriptions.n += p->missing;
	if (!p->missing)
		step_done(bench_of(c));
}

/* Everybody says yes to everybody, and waits for a yes from each. */
static void building_presence(struct client *c, const char *text)
{
	const struct options *o = c->loop->options;
	struct person *p = c->data;
	int slot = slot_of_address(c, text, "from");

	if (slot < 0)
		return;
	if (attr_is(text, "type", "subscribe")) {
		client_sendf(c, "<presence type='subscribed' to='%s%u@%s'/>", o->user_prefix,
			o->first_user + contact_in(o, c->number, (unsigned)slot), o->domain);
	} else if (attr_is(text, "type", "subscribed") && p->contacts[slot] == CONTACT_ASKED) {
		p->contacts[slot] = CONTACT_TO;
		if (--p->missing == 0)
			step_done(bench_of(c));
	}
}

/* --- hearing ----------------------------------------------------------------------------- */

/* While they log in, one may hear of another twice: told, and asked for. */
static void storm_presence(struct client *c, const char *text)
{
	struct person *p = c->data;
	int slot = slot_of_address(c, text, "from");

	if (slot < 0 || attr_is(text, "type", "unavailable"))
		return;
	presence.arrived++;
	presence.heard += !p->heard[slot];
	p->heard[slot] = true;
	if (presence.heard == (uint64_t)c->loop->options->users * c->loop->options->fanout)
		c->loop->stop = true;
}

static void talking_presence(struct client *c, const char *text)
{
	const struct options *o = c->loop->options;
	const char *from;
	size_t len;
	uint64_t number;
	int64_t user;
	int slot;

	if (!attr_of(text, "from", &from, &len) || !read_numbered(text, &number))
		return;
	user = user_of(c, from, len);
	if (user == c->number)
		return;
	slot = user < 0 ? -1 : slot_of(o, (unsigned)user, c->number);
	if (slot < 0 || attr_is(text, "type", "error"))
		fanout_wrong(&presence.out, c, "not for us", text);
	else
		fanout_got(
			&presence.out, &presence.out.fans[user], (unsigned)slot, number, c, text);
}

static void tell(struct fan *f, uint64_t number)
{
	client_sendf(f->from, "<presence><status>");
	send_numbered(f->from, number);
	client_sendf(f->from, "</status></presence>");
}

static void presence_ready(struct client *c)
{
	if (presence.step == BUILDING)
		step_done(bench_of(c));
	else
		begin_roster(c);
}

static void roster_came(struct client *c, const char *text)
{
	if (!answer_is_result(text)) {
		fanout_wrong(&presence.out, c, "no roster", text);
		step_fail(bench_of(c));
		return;
	}
	if (presence.step == STORM)
		hist_add(&presence.latency, (now_ns() - c->began_ns) / 1000);
	else
		read_roster(c, text);
	step_done(bench_of(c));
}

static void presence_stanza(struct client *c, const char *text)
{
	if (!strncmp(text, "<iq", 3) && attr_is(text, "id", "roster"))
		roster_came(c, text);
	if (strncmp(text, "<presence", 9) || !c->data)
		return;
	if (presence.step == BUILDING)
		building_presence(c, text);
	else if (presence.step == STORM)
		storm_presence(c, text);
	else if (presence.step == TALKING)
		talking_presence(c, text);
}

static void presence_closed(struct client *c, const char *why)
{
	fanout_wrong(&presence.out, c, "connection lost", why ? why : "");
	step_fail(bench_of(c));
}

static const struct client_events presence_events = { presence_ready, presence_stanza,
	presence_closed };

/* --- the play ---------------------------------------------------------------------------- */

static bool is_complete(const struct bench *b)
{
	for (unsigned i = 0; i < b->options->users; i++)
		for (unsigned slot = 0; slot < b->options->fanout; slot++)
			if (presence.people[i].contacts[slot] != CONTACT_BOTH) {
				fprintf(stderr,
					"linnet-bench: the roster of %s%u lacks a contact\n",
					b->options->user_prefix, b->options->first_user + i);
				return false;
			}
	return true;
}

/* All are logged in. What is not there yet is made, and then looked at. */
static bool build(struct bench *b)
{
	struct tally *t = &presence.subscriptions;
	bool good;

	presence.step = LOOKING;
	if (!step_run(b, 0, 1, begin_roster))
		return false;
	presence.step = BUILDING;
	tally_begin(t, b);
	good = step_run(b, 0, 1, begin_subscribing);
	tally_end(t, b, 0);
	presence.step = LOOKING;
	return good && step_run(b, 0, 1, begin_roster) && is_complete(b);
}

static bool storm(struct bench *b)
{
	uint64_t pairs = (uint64_t)b->options->users * b->options->fanout;
	bool good;

	bench_close_all(b);
	presence.step = STORM;
	tally_begin(&presence.logins, b);
	presence.told = presence.logins;
	good = step_login(b, 0, 1, &presence_events);
	if (good && presence.heard < pairs)
		loop_run(&b->loop, now_ns() + SETTLE_NS);
	tally_end(&presence.logins, b, b->options->users);
	tally_end(&presence.told, b, presence.arrived);
	if (presence.heard < pairs)
		fprintf(stderr, "linnet-bench: of %llu contacts nothing was heard\n",
			(unsigned long long)(pairs - presence.heard));
	return good && presence.heard == pairs;
}

static bool talk(struct bench *b)
{
	loop_run(&b->loop, now_ns() + 500000000); /* what the storm left */
	presence.step = TALKING;
	return fanout_run(&presence.out, b, "presence");
}

static bool play(struct bench *b)
{
	bool good = step_login(b, 1, 1, &presence_events) && build(b) && storm(b) && talk(b);

	tally_report(&presence.logins, b, "login");
	tally_report(&presence.told, b, "login_delivery");
	report_hist(&b->report, "login", &presence.latency);
	if (presence.subscriptions.n)
		tally_report(&presence.subscriptions, b, "subscription");
	return good;
}

static void prepare(struct bench *b)
{
	const struct options *o = b->options;

	presence.people = calloc(o->users, sizeof(*presence.people));
	fanout_init(&presence.out, o->users);
	for (unsigned i = 0; i < o->users; i++) {
		presence.people[i].contacts = calloc(o->fanout, 1);
		presence.people[i].heard = calloc(o->fanout, sizeof(bool));
		b->clients[i].data = &presence.people[i];
		fanout_fan(&presence.out, i, &b->clients[i], o->fanout, tell);
	}
}

static void release(const struct bench *b)
{
	for (unsigned i = 0; i < b->options->users; i++) {
		free(presence.people[i].contacts);
		free(presence.people[i].heard);
	}
	free(presence.people);
	fanout_fini(&presence.out);
}

static bool presence_run(struct bench *b)
{
	const struct options *o = b->options;
	bool good;

	if (o->fanout % 2 || o->users <= o->fanout) {
		fprintf(stderr,
			"linnet-bench: presence needs an even --fanout, and more users than "
			"that\n");
		return false;
	}
	if (!step_login_one(b, 0, &presence_events))
		return false;
	if (!answer_is_result(ask(b->clients, "get", NULL, "<query xmlns='jabber:iq:roster'/>")))
		return bench_not_offered(b, "no rosters (jabber:iq:roster)");
	prepare(b);
	good = play(b);
	bench_close_all(b);
	release(b);
	return good;
}

const struct scenario scenario_presence = { "presence",
	"Rosters of --fanout contacts, made where they are not there yet: all log in and hear of "
	"each other, then all tell what they do, and each contact hears each once and in order.",
	presence_run, .group_is_all = true };
