/* A stanza's last step: who of an account receives what (the tables of RFC 6121 §8.5 and RFC 6120
 * §10.5 carried out, from either shard), and what happens when the receiver has gone meanwhile. */
#include <signal.h>

#include "tests/support/router_world.h"

static struct heard romeo; /* everybody at montague.example, who sends what the tables say */

static void begin(void)
{
	world_begin();
	cr_assert_eq(route_register_service("montague.example", heard_service, &romeo), 0);
}

static void end(void)
{
	route_unregister("montague.example");
	heard_forget(&romeo);
	world_end();
}

TestSuite(deliver, .init = begin, .fini = end);

#define BARE "juliet@capulet.example"
#define FROM_ROMEO "xmlns='jabber:client' from='romeo@montague.example/orchard' id='1'"

/* kind: "message", "presence" or "iq"; type: NULL for none. The caller frees. */
static char *stanza_of(const char *kind, const char *type, const char *to)
{
	const char *child = strcmp(kind, "iq") == 0 ? "<query xmlns='urn:example:q'/>" : "";

	return type ? xprintf("<%s " FROM_ROMEO " to='%s' type='%s'>%s</%s>", kind, to, type, child,
			      kind)
		    : xprintf("<%s " FROM_ROMEO " to='%s'>%s</%s>", kind, to, child, kind);
}

/* --- who receives ---------------------------------------------------------------------------- */

/* Juliet's resources, in two worlds: with somebody to choose from, and without. */
enum { HIGH = 1 << 0, EQUAL = 1 << 1, LOW = 1 << 2, MINUS = 1 << 3, SILENT = 1 << 4 };
static const struct {
	const char *resource;
	unsigned shard;
	bool available;
	int priority;
} resources[] = {
	{ "high", 0, true, 5 },
	{ "equal", 1, true, 5 },
	{ "low", 1, true, 1 },
	{ "minus", 0, true, -1 },
	{ "silent", 1, false, 0 },
};
#define RESOURCES ARRAY_LEN(resources)
enum { ALL = HIGH | EQUAL | LOW | MINUS | SILENT, UNREACHED = MINUS | SILENT };

#define REFUSED "<service-unavailable "

struct row {
	const char *section, *kind, *type, *to;
	unsigned present; /* which resources are connected */
	unsigned receive; /* which of them get it */
	const char *answer; /* what romeo gets; NULL: nothing */
};

static const struct row rows[] = {
	/* RFC 6120 §10.5.1: to the server. */
	{ "6120 10.5.1", "message", "chat", "capulet.example", ALL, 0, REFUSED },
	{ "6120 10.5.1", "presence", NULL, "capulet.example", ALL, 0, NULL },
	{ "6120 10.5.1", "iq", "get", "capulet.example", ALL, 0, REFUSED },
	{ "6120 10.5.1", "iq", "result", "capulet.example", ALL, 0, NULL },
	/* RFC 6121 §8.5.2.1: to the account, with a resource to choose. */
	{ "8.5.2.1.1", "message", NULL, BARE, ALL, HIGH | EQUAL, NULL },
	{ "8.5.2.1.1", "message", "normal", BARE, ALL, HIGH | EQUAL, NULL },
	{ "8.5.2.1.1", "message", "chat", BARE, ALL, HIGH | EQUAL, NULL },
	{ "8.5.2.1.1", "message", "chat", BARE, LOW | UNREACHED, LOW, NULL },
	{ "8.5.2.1.1", "message", "groupchat", BARE, ALL, 0, REFUSED },
	{ "8.5.2.1.1", "message", "headline", BARE, ALL, HIGH | EQUAL | LOW, NULL },
	{ "8.5.2.1.1", "message", "error", BARE, ALL, 0, NULL },
	{ "8.5.2.1.2", "presence", NULL, BARE, ALL, HIGH | EQUAL | LOW | MINUS, NULL },
	{ "8.5.2.1.2", "presence", "unavailable", BARE, ALL, HIGH | EQUAL | LOW | MINUS, NULL },
	{ "8.5.2.1.3", "iq", "get", BARE, ALL, 0, REFUSED },
	{ "8.5.2.1.3", "iq", "set", BARE, ALL, 0, REFUSED },
	{ "8.5.2.1.3", "iq", "result", BARE, ALL, 0, NULL },
	{ "8.5.2.1.3", "iq", "error", BARE, ALL, 0, NULL },
	/* §8.5.2.2: to the account, with none. */
	{ "8.5.2.2.1", "message", "normal", BARE, UNREACHED, 0, REFUSED },
	{ "8.5.2.2.1", "message", "chat", BARE, UNREACHED, 0, REFUSED },
	{ "8.5.2.2.1", "message", "chat", BARE, 0, 0, REFUSED },
	{ "8.5.2.2.1", "message", "groupchat", BARE, 0, 0, REFUSED },
	{ "8.5.2.2.1", "message", "headline", BARE, UNREACHED, 0, NULL },
	{ "8.5.2.2.1", "message", "error", BARE, UNREACHED, 0, NULL },
	{ "8.5.2.2.2", "presence", NULL, BARE, SILENT, 0, NULL },
	{ "8.5.2.2.2", "presence", NULL, BARE, UNREACHED, MINUS, NULL },
	{ "8.5.2.2.3", "iq", "get", BARE, UNREACHED, 0, REFUSED },
	/* §8.5.3.1: to a resource that is connected, whatever its presence. */
	{ "8.5.3.1", "message", "chat", BARE "/low", ALL, LOW, NULL },
	{ "8.5.3.1", "message", "groupchat", BARE "/silent", ALL, SILENT, NULL },
	{ "8.5.3.1", "message", "error", BARE "/minus", ALL, MINUS, NULL },
	{ "8.5.3.1", "message", "headline", BARE "/high", ALL, HIGH, NULL },
	{ "8.5.3.1", "presence", NULL, BARE "/silent", ALL, SILENT, NULL },
	{ "8.5.3.1", "presence", "unavailable", BARE "/minus", ALL, MINUS, NULL },
	{ "8.5.3.1", "presence", "subscribe", BARE "/high", ALL, 0, NULL }, /* the account's */
	{ "8.5.3.1", "iq", "get", BARE "/equal", ALL, EQUAL, NULL },
	{ "8.5.3.1", "iq", "set", BARE "/high", ALL, HIGH, NULL },
	{ "8.5.3.1", "iq", "result", BARE "/silent", ALL, SILENT, NULL },
	{ "8.5.3.1", "iq", "error", BARE "/low", ALL, LOW, NULL },
	/* §8.5.3.2: to a resource that is not there. */
	{ "8.5.3.2.1", "message", "normal", BARE "/gone", ALL, 0, REFUSED },
	{ "8.5.3.2.1", "message", "groupchat", BARE "/gone", ALL, 0, REFUSED },
	{ "8.5.3.2.1", "message", "headline", BARE "/gone", ALL, 0, REFUSED },
	{ "8.5.3.2.1", "message", "chat", BARE "/gone", ALL, HIGH | EQUAL, NULL },
	{ "8.5.3.2.1", "message", "chat", BARE "/gone", UNREACHED, 0, REFUSED },
	{ "8.5.3.2.1", "message", "error", BARE "/gone", ALL, 0, NULL },
	{ "8.5.3.2.2", "presence", NULL, BARE "/gone", ALL, 0, NULL },
	{ "8.5.3.2.2", "presence", "unavailable", BARE "/gone", ALL, 0, NULL },
	{ "8.5.3.2.3", "iq", "get", BARE "/gone", ALL, 0, REFUSED },
	{ "8.5.3.2.3", "iq", "set", BARE "/gone", 0, 0, REFUSED },
	{ "8.5.3.2.3", "iq", "result", BARE "/gone", ALL, 0, NULL },
	{ "8.5.3.2.3", "iq", "error", BARE "/gone", ALL, 0, NULL },
};

static void gather(struct client *clients[], unsigned present)
{
	for (unsigned i = 0; i < RESOURCES; i++) {
		clients[i] = NULL;
		if (!(present & 1u << i))
			continue;
		clients[i] = client_new(resources[i].resource, resources[i].shard);
		if (resources[i].available)
			client_becomes(clients[i], resources[i].priority);
	}
	for (unsigned i = 0; i < RESOURCES; i++)
		if (clients[i])
			heard_forget(&clients[i]->heard);
}

static void disperse(struct client *clients[])
{
	for (unsigned i = 0; i < RESOURCES; i++)
		if (clients[i])
			client_free(clients[i]);
}

static void expect_received(const struct row *r, unsigned from_shard, struct client *clients[])
{
	for (unsigned i = 0; i < RESOURCES; i++)
		if (clients[i])
			cr_expect_eq(clients[i]->heard.n, (r->receive & 1u << i) != 0,
				"§%s %s %s to %s from shard %u: %s got %u", r->section, r->kind,
				r->type ? r->type : "", r->to, from_shard, resources[i].resource,
				clients[i]->heard.n);
	cr_expect_eq(romeo.n, r->answer != NULL, "§%s %s %s to %s: %s", r->section, r->kind,
		r->type ? r->type : "", r->to, heard_last(&romeo));
	if (r->answer)
		cr_expect(strstr(heard_last(&romeo), r->answer), "§%s: %s", r->section,
			heard_last(&romeo));
}

Test(deliver, reaches_whom_the_rules_name, .timeout = 60)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (unsigned shard = 0; shard < 2; shard++) {
			AUTO(free_ptr)
			char *text = stanza_of(rows[i].kind, rows[i].type, rows[i].to);
			struct client *clients[RESOURCES];

			gather(clients, rows[i].present);
			world_send(shard, text);
			expect_received(&rows[i], shard, clients);
			disperse(clients);
			heard_forget(&romeo);
		}
	}
}

/* --- the receiver has gone ------------------------------------------------------------------- */

struct handing {
	struct actor_id to;
	struct stanza *stanza;
	enum deliver_copies copies;
};

static void hand_here(void *arg)
{
	struct handing *h = arg;

	shard_check(NULL);
	deliver(h->to, h->stanza, h->copies);
}

static const struct {
	const char *section, *kind, *type, *to;
	bool other_receives; /* juliet/other, who is available */
	const char *answer;
} lost[] = {
	{ "8.5.3.2.1", "message", "chat", BARE "/leaving", true, NULL },
	{ "8.5.3.2.1", "message", "normal", BARE "/leaving", false, REFUSED },
	{ "8.5.3.2.1", "message", "groupchat", BARE "/leaving", false, REFUSED },
	{ "8.5.3.2.1", "message", "headline", BARE "/leaving", false, REFUSED },
	{ "8.5.3.2.1", "message", "error", BARE "/leaving", false, NULL },
	{ "8.5.2.1.1", "message", "chat", BARE, true, NULL },
	{ "8.5.2.1.1", "message", NULL, BARE, true, NULL },
	{ "8.5.2.1.1", "message", "headline", BARE, true, NULL },
	{ "8.5.2.1.2", "presence", NULL, BARE, false, NULL },
	{ "8.5.3.2.2", "presence", NULL, BARE "/leaving", false, NULL },
	{ "8.5.3.2.2", "presence", "unavailable", BARE "/leaving", false, NULL },
	{ "8.5.3.2.3", "iq", "get", BARE "/leaving", false, REFUSED },
	{ "8.5.3.2.3", "iq", "set", BARE "/leaving", false, REFUSED },
	{ "8.5.3.2.3", "iq", "result", BARE "/leaving", false, NULL },
	{ "8.5.3.2.3", "iq", "error", BARE "/leaving", false, NULL },
};

static void lose_each_to(
	struct actor_id gone, struct client *other, enum deliver_copies copies, const char *how)
{
	for (size_t i = 0; i < ARRAY_LEN(lost); i++) {
		AUTO(free_ptr) char *text = stanza_of(lost[i].kind, lost[i].type, lost[i].to);
		struct handing h = { gone, parse_sealed(text), copies };
		const char *answer = copies == DELIVER_SURE ? lost[i].answer : NULL;
		bool receives = copies == DELIVER_SURE && lost[i].other_receives;

		on_shard(0, hand_here, &h);
		settle();
		cr_expect_eq(other->heard.n, receives, "§%s %s: other got %u of %s",
			lost[i].section, how, other->heard.n, text);
		cr_expect_eq(romeo.n, answer != NULL, "§%s %s: %s for %s", lost[i].section, how,
			heard_last(&romeo), text);
		if (answer)
			cr_expect(strstr(heard_last(&romeo), answer), "§%s %s: %s", lost[i].section,
				how, heard_last(&romeo));
		cr_expect_eq(h.stanza->refs, 1, "§%s %s: nobody keeps it", lost[i].section, how);
		stanza_unref(h.stanza);
		heard_forget(&other->heard);
		heard_forget(&romeo);
	}
}

static void begin_plain(void *arg)
{
	static const struct actor_class plain_class = { .name = "takes no stanzas" };

	shard_check(NULL);
	actor_begin(arg, &plain_class);
}

static void end_plain(void *arg)
{
	shard_check(NULL);
	actor_end(arg);
}

static void lose_all(enum deliver_copies copies)
{
	struct client *other = client_new("other", 0);
	struct actor plain;

	client_becomes(other, 0);
	heard_forget(&other->heard);
	for (unsigned shard = 0; shard < 2; shard++) {
		struct client *c = client_new("leaving", shard);
		struct actor_id gone = c->actor.id;

		c->closing = true;
		lose_each_to(gone, other, copies, "on its way out");
		client_free(c);
		lose_each_to(gone, other, copies, "gone");
		on_shard(shard, begin_plain, &plain);
		lose_each_to(plain.id, other, copies, "not a recipient");
		on_shard(shard, end_plain, &plain);
	}
	lose_each_to(ACTOR_NONE, other, copies, "nobody");
	client_free(other);
}

Test(deliver, looks_for_another_when_the_only_receiver_has_gone, .timeout = 60)
{
	lose_all(DELIVER_SURE);
}

Test(deliver, drops_a_copy_whose_receiver_has_gone, .timeout = 60)
{
	lose_all(DELIVER_COPY);
}

/* Found in the directory, gone on arrival: nobody is left, or somebody is. */
static const struct {
	const char *kind, *type, *to;
} last_ones[] = { { "message", "chat", BARE }, { "message", NULL, BARE "/a" },
	{ "iq", "set", BARE "/a" } };

Test(deliver, finds_nobody_when_the_only_one_was_leaving)
{
	for (size_t i = 0; i < ARRAY_LEN(last_ones); i++) {
		for (unsigned shard = 0; shard < 2; shard++) {
			struct client *c = client_new("a", shard);
			AUTO(free_ptr)
			char *text =
				stanza_of(last_ones[i].kind, last_ones[i].type, last_ones[i].to);

			client_becomes(c, 0);
			c->closing = true;
			world_send(0, text);
			cr_expect_eq(romeo.n, 1, "it is as if she had been away: %s", text);
			cr_expect(strstr(heard_last(&romeo), REFUSED));
			heard_forget(&romeo);
			client_free(c);
		}
	}
}

Test(deliver, gives_copies_to_those_that_are_left)
{
	struct client *a = client_new("a", 0), *b = client_new("b", 1);
	AUTO(free_ptr) char *text = stanza_of("message", "chat", BARE);

	client_becomes(a, 0);
	client_becomes(b, 0);
	heard_forget(&a->heard);
	b->closing = true;
	world_send(0, text);
	cr_expect_eq(a->heard.n, 1, "once");
	cr_expect_eq(romeo.n, 0);
	client_free(a);
	client_free(b);
}

/* RFC 6121 §8.5.2.1.1: all that were the best are leaving; the next best gets it, or nobody. */
Test(deliver, several_that_are_leaving_are_as_one)
{
	for (unsigned next = 0; next < 2; next++) {
		struct client *next_best = client_new("c", 1), *best[3];
		AUTO(free_ptr) char *text = stanza_of("message", "chat", BARE);

		if (next)
			client_becomes(next_best, 3);
		for (unsigned i = 0; i < ARRAY_LEN(best); i++) {
			best[i] = client_new((const char *[]){ "x", "y", "z" }[i], i % 2);
			client_becomes(best[i], 9);
		}
		for (unsigned i = 0; i < ARRAY_LEN(best); i++)
			best[i]->closing = true;
		heard_forget(&next_best->heard);
		world_send(0, text);
		cr_expect_eq(next_best->heard.n, next, "once, if it is there");
		cr_expect_eq(romeo.n, !next);
		cr_expect(next || strstr(heard_last(&romeo), REFUSED));
		heard_forget(&romeo);
		for (unsigned i = 0; i < ARRAY_LEN(best); i++)
			client_free(best[i]);
		client_free(next_best);
	}
}

/* --- the way there --------------------------------------------------------------------------- */

struct inbox {
	struct actor actor;
	unsigned n;
	struct stanza *last; /* not a reference */
	bool in_order;
	struct shard *on;
	enum deliver_copies copies;
};

static bool inbox_receive(struct actor *a, struct stanza *s, enum deliver_copies copies)
{
	struct inbox *in = container_of(a, struct inbox, actor);

	in->in_order &= strtoul(s->id, NULL, 10) == in->n;
	in->n++;
	in->last = s;
	in->copies = copies;
	in->on = shard_self();
	return true;
}

static const struct recipient inbox_recipient = { .receive = inbox_receive };
static const struct actor_class inbox_class = { .name = "inbox", .recipient = &inbox_recipient };

static void inbox_begin(void *arg)
{
	struct inbox *in = arg;

	shard_check(NULL);
	*in = (struct inbox){ .in_order = true };
	actor_begin(&in->actor, &inbox_class);
}

struct sending_many {
	struct inbox *to;
	unsigned n;
	unsigned seen_at_return; /* what had arrived when the last deliver() returned */
	bool congested;
};

static struct stanza *numbered(unsigned i)
{
	char text[128];

	snprintf(text, sizeof(text), "<message xmlns='jabber:client' id='%u' to='a@b' from='c@d'/>",
		i);
	return parse_sealed(text);
}

static void send_many(void *arg)
{
	struct sending_many *m = arg;

	shard_check(NULL);
	for (unsigned i = 0; i < m->n; i++) {
		struct stanza *s = numbered(i);

		deliver(m->to->actor.id, s, DELIVER_SURE);
		stanza_unref(s);
	}
	m->seen_at_return = m->to->n;
	m->congested = deliver_congested();
}

Test(deliver, keeps_order_and_calls_on_the_receivers_shard)
{
	for (unsigned there = 0; there < 2; there++) {
		struct inbox in;
		struct sending_many m = { .to = &in, .n = 500 };

		on_shard(there, inbox_begin, &in);
		on_shard(0, send_many, &m);
		settle();
		cr_expect_eq(in.n, 500);
		cr_expect(in.in_order);
		cr_expect_eq(in.on, shard_at(there));
		cr_expect_eq(in.copies, DELIVER_SURE);
		if (there == 0)
			cr_expect_eq(m.seen_at_return, 500, "a plain call on the same shard");
		cr_expect_not(m.congested);
		on_shard(there, end_plain, &in.actor);
	}
}

Test(deliver, shares_one_stanza_and_keeps_none)
{
	for (unsigned there = 0; there < 2; there++) {
		struct inbox in;
		struct handing h = { .stanza = numbered(0), .copies = DELIVER_COPY };

		on_shard(there, inbox_begin, &in);
		h.to = in.actor.id;
		on_shard(0, hand_here, &h);
		settle();
		cr_expect_eq(in.last, h.stanza, "the same one");
		cr_expect_eq(in.copies, DELIVER_COPY);
		cr_expect_eq(h.stanza->refs, 1);
		stanza_unref(h.stanza);
		on_shard(there, end_plain, &in.actor);
	}
}

Test(deliver, goes_out_from_any_thread)
{
	AUTO(free_ptr) char *text = stanza_of("message", "chat", BARE);
	struct stanza *s = parse_sealed(text);
	struct inbox in;
	struct actor_id gone;

	on_shard(1, inbox_begin, &in);
	deliver_to(in.actor.id, s);
	settle();
	cr_expect_eq(in.n, 1);
	cr_expect_eq(in.on, shard_at(1));
	gone = in.actor.id;
	on_shard(1, end_plain, &in.actor);
	deliver_to(gone, s);
	settle();
	cr_expect_eq(in.n, 1);
	cr_expect_eq(romeo.n, 0, "an answer that finds nobody is not answered");
	cr_expect_eq(s->refs, 1);
	stanza_unref(s);
}

static sem_t held, go_on;

static void hold(struct msg *m UNUSED)
{
	sem_post(&held);
	while (sem_wait(&go_on) < 0)
		;
}

/* A shard that does not get round to its mail makes those rest who write to it, and only them. */
Test(deliver, tells_of_a_receiver_that_has_fallen_behind)
{
	struct msg holding = { .run = hold };
	struct inbox far, near;
	struct sending_many few = { .to = &far, .n = 100 }, many = { .to = &far, .n = 8300 };
	struct sending_many own = { .to = &near, .n = 8300 }, none = { .to = &far };

	sem_init(&held, 0, 0);
	sem_init(&go_on, 0, 0);
	on_shard(1, inbox_begin, &far);
	on_shard(0, inbox_begin, &near);
	shard_post(shard_at(1), &holding);
	cr_assert(await(&held));
	on_shard(0, send_many, &few);
	cr_expect_not(few.congested);
	on_shard(0, send_many, &own);
	cr_expect_not(own.congested, "nothing waits on its own shard");
	on_shard(0, send_many, &many);
	cr_expect(many.congested);
	on_shard(0, send_many, &none);
	cr_expect_not(none.congested, "asking has cleared it");
	on_shard(0, send_many, &few);
	cr_expect(few.congested, "still behind");
	sem_post(&go_on);
	settle();
	on_shard(0, send_many, &few);
	cr_expect_not(few.congested, "it has caught up");
	on_shard(1, end_plain, &far.actor);
	on_shard(0, end_plain, &near.actor);
}

static void hand_unsealed(void *arg)
{
	struct inbox *in = arg;

	shard_check(NULL);
	deliver(in->actor.id, parse_unsealed("<message xmlns='jabber:client' id='0'/>"),
		DELIVER_SURE);
}

Test(deliver, of_what_is_not_sealed_aborts, .signal = SIGABRT)
{
	struct inbox in;

	on_shard(1, inbox_begin, &in);
	on_shard(0, hand_unsealed, &in);
}
