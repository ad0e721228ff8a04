/* The s2s manager: what becomes of a stanza to another server, whatever the way there does. RFC
 * 6120 §10.4, §8.3.1. The ways out are played by the test. */
#include "router/s2s.h"

#include <unistd.h>

#include "core/metric.h"
#include "core/spool.h"
#include "router/s2s_conf.h"
#include "router/s2s_link.h"
#include "tests/support/router_world.h"

#define OUTS_MAX 16

/* A way out, as net/s2s_out.c would be. Its link's shard only, but for the counts. */
struct out {
	struct s2s_link *link; /* NULL: let go, or gone */
	unsigned shard;
	struct heard sent;
	bool closed;
	unsigned wanted;
};
static struct out outs[OUTS_MAX];
static _Atomic unsigned n_outs;

static void *out_open(struct s2s_link *l)
{
	struct out *o = &outs[atomic_fetch_add(&n_outs, 1)];

	o->link = l;
	o->shard = shard_index(shard_self());
	return o;
}

static void out_wanted(void *out)
{
	((struct out *)out)->wanted++;
}

static void out_send(void *out, struct stanza *s)
{
	heard_note(&((struct out *)out)->sent, s);
}

static void out_close(void *out)
{
	struct out *o = out;

	o->link = NULL;
	o->closed = true;
}

static const struct s2s_opener opener = {
	.open = out_open, .wanted = out_wanted, .send = out_send, .close = out_close
};

static struct client *juliet;
static struct s2s_conf conf;

static void begin(void)
{
	world_begin();
	rcu_get(world_host->conf)->s2s_access = "all";
	conf = *s2s_conf();
	s2s_set_opener(&opener);
	s2s_start();
	juliet = client_new("balcony", 1);
	client_becomes(juliet, 1);
	heard_forget(&juliet->heard);
}

static void end(void)
{
	client_free(juliet);
	s2s_stop();
	s2s_set_opener(NULL);
	for (unsigned i = 0; i < OUTS_MAX; i++)
		heard_forget(&outs[i].sent);
	world_end();
}

TestSuite(s2s, .init = begin, .fini = end);

static void say(const char *to, const char *text)
{
	AUTO(free_ptr)
	char *xml = xprintf("<message xmlns='jabber:client' to='%s' type='chat' id='%s'>"
			    "<body>%s</body></message>",
		to, text, text);

	client_send(juliet, xml);
}

static void up_here(void *arg)
{
	shard_check(NULL);
	s2s_link_up(((struct out *)arg)->link);
}

static void up(struct out *o)
{
	on_shard(o->shard, up_here, o);
	settle();
}

struct going {
	struct out *o;
	int error;
	const char *told, *why;
	const char *const *unsent; /* bodies */
};

static void down_here(void *arg)
{
	struct going *g = arg;
	struct s2s_link *l = g->o->link;

	shard_check(NULL);
	for (const char *const *at = g->unsent; at && *at; at++) {
		AUTO(free_ptr)
		char *xml = xprintf("<message xmlns='jabber:client' to='romeo@montague.example' "
				    "from='juliet@capulet.example/balcony' id='%s' type='chat'>"
				    "<body>%s</body></message>",
			*at, *at);
		struct stanza *s = parse_sealed(xml);

		s2s_link_unsent(l, s);
		stanza_unref(s);
	}
	g->o->link = NULL;
	s2s_link_down(l, g->error, g->told, g->why);
}

static void down(struct out *o, int error, const char *told, const char *const *unsent)
{
	struct going g = { o, error, told, "10.0.0.5: Connection refused", unsent };

	on_shard(o->shard, down_here, &g);
	settle();
}

/* Whether the i-th of what was heard has this in it. */
static bool has(const struct heard *h, unsigned i, const char *text)
{
	return i < atomic_load(&h->n) && strstr(h->text[i], text);
}

#define ROMEO "romeo@montague.example"

Test(s2s, what_comes_while_it_opens_waits_and_leaves_in_order)
{
	say(ROMEO, "one");
	say(ROMEO, "two");
	cr_assert_eq(n_outs, 1, "one way for one pair");
	cr_expect_eq(outs[0].wanted, 1);
	cr_expect_eq(outs[0].sent.n, 0);
	up(&outs[0]);
	say(ROMEO, "three");
	cr_assert_eq(outs[0].sent.n, 3);
	cr_expect(has(&outs[0].sent, 0, "one") && has(&outs[0].sent, 1, "two") &&
		has(&outs[0].sent, 2, "three"));
	cr_expect_eq(juliet->heard.n, 0);
}

Test(s2s, a_server_that_is_not_there_is_told_once_for_each_and_then_at_once)
{
	say(ROMEO, "one");
	say(ROMEO, "two");
	down(&outs[0], ERR_REMOTE_SERVER_NOT_FOUND, "There is no such domain.", NULL);
	cr_assert_eq(juliet->heard.n, 2);
	cr_expect(has(&juliet->heard, 0, "id='one'") || has(&juliet->heard, 0, "id=\"one\""), "%s",
		heard_last(&juliet->heard));
	cr_expect(has(&juliet->heard, 0, "remote-server-not-found"));
	cr_expect(has(&juliet->heard, 0, "There is no such domain."));
	cr_expect(has(&juliet->heard, 0, "type='error'") || has(&juliet->heard, 0, "\"error\""));
	say(ROMEO, "three");
	cr_assert_eq(juliet->heard.n, 3, "while it may not be tried again, at once");
	cr_expect(has(&juliet->heard, 2, "There is no such domain."));
	cr_expect_eq(n_outs, 1);
}

Test(s2s, senders_are_told_no_addresses)
{
	say(ROMEO, "one");
	down(&outs[0], ERR_REMOTE_SERVER_NOT_FOUND, NULL, NULL);
	cr_expect(has(&juliet->heard, 0, "That server cannot be found."));
	say(ROMEO, "two");
	cr_expect(has(&juliet->heard, 1, "That server cannot be found."));
	say("romeo@elsewhere.example", "three");
	down(&outs[1], ERR_REMOTE_SERVER_TIMEOUT, NULL, NULL);
	cr_assert_eq(juliet->heard.n, 3);
	cr_expect(has(&juliet->heard, 2, "That server cannot be spoken with just now."));
	for (unsigned i = 0; i < 3; i++)
		cr_expect_not(has(&juliet->heard, i, "10.0.0.5"));
}

Test(s2s, errors_and_results_are_never_answered)
{
	static const char *const silent[] = {
		"<message xmlns='jabber:client' to='" ROMEO "' type='error'/>",
		"<presence xmlns='jabber:client' to='" ROMEO "' type='error'/>",
		"<iq xmlns='jabber:client' to='" ROMEO "' type='result' id='1'/>",
		"<iq xmlns='jabber:client' to='" ROMEO "' type='error' id='1'/>",
	};

	for (unsigned i = 0; i < ARRAY_LEN(silent); i++) {
		AUTO(free_ptr)
		char *xml = xprintf("%.*s from='%s'%s", (int)(strchr(silent[i], ' ') - silent[i]),
			silent[i], "juliet@capulet.example/balcony", strchr(silent[i], ' '));

		world_send(0, xml);
	}
	cr_assert_eq(n_outs, 1);
	down(&outs[0], ERR_REMOTE_SERVER_TIMEOUT, "No.", NULL);
	cr_expect_eq(juliet->heard.n, 0, "RFC 6120 §8.3.1");
}

Test(s2s, what_was_not_sent_goes_first_by_the_next_way_and_only_once)
{
	static const char *const lost[] = { "two", "three", NULL };

	say(ROMEO, "one");
	up(&outs[0]);
	say(ROMEO, "two");
	say(ROMEO, "three");
	down(&outs[0], 0, NULL, lost);
	cr_assert_eq(n_outs, 2, "opened anew at once");
	say(ROMEO, "four");
	up(&outs[1]);
	cr_assert_eq(outs[1].sent.n, 3);
	cr_expect(has(&outs[1].sent, 0, "two") && has(&outs[1].sent, 1, "three") &&
		has(&outs[1].sent, 2, "four"));
	down(&outs[1], 0, NULL, (const char *const[]){ "three", "four", NULL });
	cr_assert_eq(juliet->heard.n, 1, "the second time it has failed");
	cr_expect(has(&juliet->heard, 0, "three"));
	cr_expect(has(&juliet->heard, 0, "remote-server-timeout"));
	cr_assert_eq(n_outs, 3);
	up(&outs[2]);
	cr_expect_eq(outs[2].sent.n, 1);
	cr_expect(has(&outs[2].sent, 0, "four"));
}

Test(s2s, a_way_that_ends_in_order_is_opened_when_it_is_needed)
{
	say(ROMEO, "one");
	up(&outs[0]);
	down(&outs[0], 0, NULL, NULL);
	cr_expect_eq(n_outs, 1);
	say(ROMEO, "two");
	cr_assert_eq(n_outs, 2);
	up(&outs[1]);
	cr_expect(has(&outs[1].sent, 0, "two"));
}

Test(s2s, the_queue_is_bounded)
{
	conf.queue_stanzas = 2;
	s2s_conf_set(&conf);
	say(ROMEO, "one");
	say(ROMEO, "two");
	say(ROMEO, "three");
	cr_assert_eq(juliet->heard.n, 1);
	cr_expect(has(&juliet->heard, 0, "resource-constraint"));
	up(&outs[0]);
	cr_expect_eq(outs[0].sent.n, 2);
}

Test(s2s, nobody_waits_for_ever)
{
	conf.queue_ms = 1;
	s2s_conf_set(&conf);
	say(ROMEO, "one");
	nap_on_shard(outs[0].shard, 50);
	settle();
	cr_assert_eq(juliet->heard.n, 1);
	cr_expect(has(&juliet->heard, 0, "remote-server-timeout"));
	up(&outs[0]);
	cr_expect_eq(outs[0].sent.n, 0, "it was answered");
}

Test(s2s, it_is_tried_again_after_a_while)
{
	conf.max_retry_ms = 1;
	s2s_conf_set(&conf);
	say(ROMEO, "one");
	down(&outs[0], ERR_REMOTE_SERVER_TIMEOUT, "Nobody answers.", NULL);
	nap_on_shard(outs[0].shard, 50);
	say(ROMEO, "two");
	cr_expect_eq(n_outs, 2);
}

Test(s2s, who_may_not_is_told_so)
{
	rcu_get(world_host->conf)->s2s_access = "none";
	say(ROMEO, "one");
	cr_expect_eq(n_outs, 0);
	cr_assert_eq(juliet->heard.n, 1);
	cr_expect(has(&juliet->heard, 0, "not-allowed"));
}

Test(s2s, several_ways_for_a_pair_and_always_the_same_for_two_addresses)
{
	unsigned used;

	conf.max_connections = 4;
	s2s_conf_set(&conf);
	say(ROMEO, "one");
	say(ROMEO, "two");
	cr_assert_eq(n_outs, 1);
	for (int i = 0; i < 40; i++) {
		AUTO(free_ptr) char *to = xprintf("guest%d@montague.example", i);

		say(to, "hello");
	}
	used = n_outs;
	cr_expect_eq(used, 4, "%u", used);
}

Test(s2s, pairs_have_ways_of_their_own)
{
	say(ROMEO, "one");
	say("nurse@verona.example", "two");
	cr_assert_eq(n_outs, 2);
	up(&outs[0]);
	up(&outs[1]);
	cr_expect_eq(outs[0].sent.n + outs[1].sent.n, 2);
	cr_expect(has(&outs[0].sent, 0, "montague") != has(&outs[1].sent, 0, "montague"));
}

Test(s2s, the_end_of_the_server_is_told_to_those_that_wait)
{
	say(ROMEO, "one");
	s2s_stop();
	settle();
	cr_assert_eq(juliet->heard.n, 1);
	cr_expect(has(&juliet->heard, 0, "remote-server-timeout"));
	cr_expect(outs[0].closed);
	say(ROMEO, "two");
	cr_assert_eq(juliet->heard.n, 2);
	cr_expect(has(&juliet->heard, 1, "remote-server-timeout"));
}

Test(s2s, closed_by_its_operator)
{
	say(ROMEO, "one");
	say("nurse@verona.example", "two");
	cr_expect_eq(s2s_close("montague.example"), 1);
	settle();
	cr_expect_eq(juliet->heard.n, 1);
	cr_expect_neq(outs[0].closed, outs[1].closed);
	cr_expect_eq(s2s_close(NULL), 1);
}

/* --- messages in the spool ------------------------------------------------------------------- */

static char spool_file[64];

static void begin_with_spool(void)
{
	snprintf(spool_file, sizeof(spool_file), "/tmp/linnet-test-s2s-%d.spool", (int)getpid());
	unlink(spool_file);
	cr_assert_eq(spool_open(spool_file, 1 << 20, 2), 0);
	begin();
}

static void end_with_spool(void)
{
	end();
	spool_close();
	unlink(spool_file);
}

TestSuite(s2s_spool, .init = begin_with_spool, .fini = end_with_spool);

static void find_records(const struct metric *m, void *n)
{
	if (!strcmp(m->name, "spool_records"))
		*(int64_t *)n = metric_value(m);
}

static int64_t in_spool(void)
{
	int64_t n = -1;

	metric_each(find_records, &n);
	return n;
}

Test(s2s_spool, a_message_is_kept_until_its_sender_is_told)
{
	say(ROMEO, "one");
	client_send(juliet, "<presence xmlns='jabber:client' to='" ROMEO "'/>");
	cr_expect_eq(in_spool(), 1, "%d", (int)in_spool());
	down(&outs[0], ERR_REMOTE_SERVER_TIMEOUT, "Nobody answers.", NULL);
	cr_expect(has(&juliet->heard, 0, "Nobody answers."));
	cr_expect_eq(in_spool(), 1, "the client of this test takes nothing");
}

Test(s2s_spool, an_error_that_nobody_gets_ends_it)
{
	say(ROMEO, "one");
	juliet->closing = true;
	down(&outs[0], ERR_REMOTE_SERVER_TIMEOUT, "Nobody answers.", NULL);
	cr_expect_eq(in_spool(), 0);
}

Test(s2s_spool, what_it_has_no_room_for_is_refused)
{
	unsigned before = 0;
	AUTO(free_ptr) char *text = xmalloc(4001);

	memset(text, 'x', 4000);
	text[4000] = 0;
	while (!juliet->heard.n && before++ < 500)
		say(ROMEO, text);
	cr_assert_eq(juliet->heard.n, 1);
	cr_expect(has(&juliet->heard, 0, "resource-constraint"));
	cr_expect(has(&juliet->heard, 0, "cannot be stored"));
	cr_expect_eq(in_spool(), before - 1);
}

Test(s2s_spool, it_waits_for_the_part_to_start_again_and_others_do_not)
{
	say(ROMEO, "one");
	client_send(juliet,
		"<iq xmlns='jabber:client' to='" ROMEO "' type='get' id='q'><a xmlns='b'/></iq>");
	s2s_stop();
	settle();
	cr_assert_eq(juliet->heard.n, 1);
	cr_expect(has(&juliet->heard, 0, "<iq") && has(&juliet->heard, 0, "shutting down"));
	say(ROMEO, "two");
	cr_expect_eq(juliet->heard.n, 1);
	s2s_start();
	settle();
	cr_assert_eq(n_outs, 2);
	up(&outs[1]);
	cr_assert_eq(outs[1].sent.n, 2);
	cr_expect(has(&outs[1].sent, 0, "one") && has(&outs[1].sent, 1, "two"));
}

Test(s2s_spool, an_upgrade_that_is_called_off_costs_nothing)
{
	say(ROMEO, "one");
	client_send(juliet,
		"<iq xmlns='jabber:client' to='" ROMEO "' type='get' id='q'><a xmlns='b'/></iq>");
	s2s_pause();
	say(ROMEO, "two");
	s2s_start();
	settle();
	cr_expect_eq(juliet->heard.n, 0);
	up(&outs[1]);
	cr_assert_eq(outs[1].sent.n, 3);
	cr_expect(has(&outs[1].sent, 0, "one") && has(&outs[1].sent, 1, "<iq") &&
		has(&outs[1].sent, 2, "two"));
}

/* --- streams that go both ways: XEP-0288 ----------------------------------------------------- */

struct incoming_actor {
	struct actor actor;
	struct heard heard;
	bool closing;
};

static bool incoming_receive(struct actor *a, struct stanza *s, enum deliver_copies copies UNUSED)
{
	struct incoming_actor *in = container_of(a, struct incoming_actor, actor);

	if (in->closing) {
		s2s_link_remove("capulet.example", "montague.example", a->id);
		return false;
	}
	heard_note(&in->heard, s);
	return true;
}

static const struct recipient incoming_recipient = { .receive = incoming_receive };
static const struct actor_class incoming_class = { .name = "incoming",
	.recipient = &incoming_recipient };

static void incoming_begin(void *arg)
{
	shard_check(NULL);
	actor_begin(&((struct incoming_actor *)arg)->actor, &incoming_class);
}

static void incoming_end(void *arg)
{
	shard_check(NULL);
	actor_end(&((struct incoming_actor *)arg)->actor);
}

static void add(struct incoming_actor *in)
{
	s2s_link_add("capulet.example", "montague.example", in->actor.id);
	settle();
}

Test(s2s, an_incoming_stream_takes_what_waits_and_what_comes)
{
	struct incoming_actor in = { 0 };

	on_shard(0, incoming_begin, &in);
	say(ROMEO, "one");
	add(&in);
	say(ROMEO, "two");
	cr_assert_eq(in.heard.n, 2);
	cr_expect(has(&in.heard, 0, "one") && has(&in.heard, 1, "two"));
	down(&outs[0], ERR_REMOTE_SERVER_TIMEOUT, "Nobody answers.", NULL);
	say(ROMEO, "three");
	cr_expect_eq(in.heard.n, 3, "whatever the way out does");
	cr_expect_eq(juliet->heard.n, 0);
	s2s_link_remove("capulet.example", "montague.example", in.actor.id);
	settle();
	say(ROMEO, "four");
	cr_expect_eq(juliet->heard.n, 1, "which may not be tried again yet");
	on_shard(0, incoming_end, &in);
	heard_forget(&in.heard);
}

Test(s2s, an_incoming_stream_that_refuses_or_is_gone_has_taken_nothing)
{
	struct incoming_actor in = { 0 };
	struct actor_id id;

	on_shard(0, incoming_begin, &in);
	id = in.actor.id;
	add(&in);
	in.closing = true;
	say(ROMEO, "one");
	cr_assert_eq(n_outs, 1);
	up(&outs[0]);
	cr_expect(has(&outs[0].sent, 0, "one"));
	on_shard(0, incoming_end, &in);
	down(&outs[0], 0, NULL, NULL);
	s2s_link_add("capulet.example", "montague.example", id);
	say(ROMEO, "two");
	cr_assert_eq(n_outs, 2, "it is gone");
	up(&outs[1]);
	cr_expect(has(&outs[1].sent, 0, "two"));
}

Test(s2s, an_established_way_out_goes_on_beside_an_incoming_stream)
{
	struct incoming_actor in = { 0 };

	on_shard(1, incoming_begin, &in);
	say(ROMEO, "one");
	up(&outs[0]);
	add(&in);
	say(ROMEO, "two");
	cr_expect_eq(outs[0].sent.n, 2);
	down(&outs[0], 0, NULL, (const char *const[]){ "two", NULL });
	say(ROMEO, "three");
	cr_assert_eq(in.heard.n, 2, "then it takes over");
	cr_expect(has(&in.heard, 0, "two") && has(&in.heard, 1, "three"));
	on_shard(1, incoming_end, &in);
	heard_forget(&in.heard);
}

/* The way changes while an incoming stream on the other shard has letters under way to it. */
struct overtaking {
	struct incoming_actor *first, *then;
	struct stanza *all[3];
};

static void change_way_here(void *arg)
{
	struct overtaking *o = arg;

	shard_check(NULL);
	s2s_route(o->all[0]);
	s2s_route(o->all[1]);
	o->first->closing = true;
	if (o->then)
		s2s_link_add("capulet.example", "montague.example", o->then->actor.id);
	else
		s2s_link_remove("capulet.example", "montague.example", o->first->actor.id);
	s2s_route(o->all[2]);
}

static void change_way(struct overtaking *o)
{
	static const char *const texts[] = { "one", "two", "three" };
	unsigned home = shard_index(s2s_home("capulet.example", "montague.example"));
	unsigned other = !home;

	on_shard(other, incoming_begin, o->first);
	if (o->then)
		on_shard(other, incoming_begin, o->then);
	add(o->first);
	for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
		AUTO(free_ptr)
		char *xml = xprintf("<message xmlns='jabber:client' to='" ROMEO "' "
				    "from='juliet@capulet.example/balcony' id='%s'/>",
			texts[i]);

		o->all[i] = parse_sealed(xml);
	}
	on_shard(home, change_way_here, o);
	settle();
	for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
		stanza_unref(o->all[i]);
	on_shard(other, incoming_end, o->first);
	heard_forget(&o->first->heard);
}

Test(s2s, what_an_incoming_stream_could_not_take_is_not_overtaken)
{
	struct incoming_actor first = { 0 };
	struct overtaking o = { .first = &first };

	change_way(&o);
	cr_assert_eq(n_outs, 1);
	up(&outs[0]);
	cr_assert_eq(outs[0].sent.n, 3);
	cr_expect(has(&outs[0].sent, 0, "one") && has(&outs[0].sent, 1, "two") &&
		has(&outs[0].sent, 2, "three"));
}

Test(s2s, nor_by_what_goes_to_another_incoming_stream)
{
	struct incoming_actor first = { 0 }, then = { 0 };
	struct overtaking o = { .first = &first, .then = &then };

	change_way(&o);
	cr_expect_eq(n_outs, 0);
	cr_assert_eq(then.heard.n, 3);
	cr_expect(has(&then.heard, 0, "one") && has(&then.heard, 1, "two") &&
		has(&then.heard, 2, "three"));
	heard_forget(&then.heard);
}

/* --- verification ---------------------------------------------------------------------------- */

static void want_here(void *arg)
{
	struct s2s_link *l = s2s_link_wanted("capulet.example", "montague.example");

	shard_check(NULL);
	cr_assert(l && l->out);
	*(bool *)arg = s2s_link_waits(l);
}

Test(s2s, a_question_opens_a_way_even_where_one_has_just_failed)
{
	unsigned home = shard_index(s2s_home("capulet.example", "montague.example"));
	bool waits = true;

	on_shard(home, want_here, &waits);
	cr_expect_eq(n_outs, 1);
	cr_expect_not(waits);
	down(&outs[0], ERR_REMOTE_SERVER_TIMEOUT, "Nobody answers.", NULL);
	on_shard(home, want_here, &waits);
	cr_assert_eq(n_outs, 2);
	say(ROMEO, "one");
	up(&outs[1]);
	cr_expect(has(&outs[1].sent, 0, "one"));
}

static void count_lines(unsigned attempt UNUSED, const struct s2s_trace_line *line, void *n)
{
	*(unsigned *)n += strstr(line->text, "10.0.0.5: Connection refused") != NULL;
}

static void count_traces(const struct s2s_link *l, void *n)
{
	s2s_trace_each(&l->trace, count_lines, n);
}

Test(s2s, why_it_failed_is_remembered)
{
	unsigned n = 0;

	say(ROMEO, "one");
	down(&outs[0], ERR_REMOTE_SERVER_TIMEOUT, "Nobody answers.", NULL);
	s2s_each(count_traces, &n);
	cr_expect_eq(n, 1);
}
