/* tests/unit/router/test_iq.c - IQ handlers: which discipline runs what where, and what happens at
 * its bounds. The developer's guide §8.1 (gen_iq_handler), RFC 6120 §8.2.3 and §8.3. */
#include <errno.h>

#include "core/job.h"
#include "tests/support/hearing.h"
#include "tests/support/probe.h"

#define NS_PROBE "urn:example:probe"

static struct host *h;
static struct heard romeo;
static struct probe probe;

static void begin(void)
{
	rcu_thread_begin();
	h = host_new("capulet.lit", host_conf_new());
	cr_assert_eq(route_register_host(h), 0);
	cr_assert_eq(route_register_service("montague.net", heard_service, &romeo), 0);
	cr_assert_eq(jobs_start(4), 0);
	cr_assert_eq(shards_start(2), 0);
	probe = (struct probe)PROBE;
}

static void end(void)
{
	iq_unregister(h, IQ_LOCAL, NS_PROBE);
	route_unregister("montague.net");
	shards_stop();
	jobs_stop();
	heard_forget(&romeo);
	route_unregister("capulet.lit");
	host_unref(h);
	rcu_wait_later();
	rcu_thread_end();
}
TestSuite(iq, .init = begin, .fini = end);

static void serve(enum iq_discipline kind, unsigned queues, unsigned max_queue)
{
	const struct iq_handler_spec spec = { .scope = IQ_LOCAL,
		.ns = NS_PROBE,
		.types = IQ_FOR_GET,
		.disc = { kind, queues, max_queue },
		.fn = probe_handler,
		.arg = &probe };

	cr_assert_eq(iq_register(h, &spec), 0);
}

/* A get with a running number as its id. */
static void ask_from(unsigned shard, const char *user)
{
	static unsigned n;
	char text[256];

	snprintf(text, sizeof(text),
		"<iq xmlns='jabber:client' type='get' id='%u' from='%s@montague.net/r' "
		"to='capulet.lit'><probe xmlns='" NS_PROBE "'/></iq>",
		n++, user);
	send_from(shard, text);
}

static unsigned count_heard(const char *part)
{
	unsigned n = 0;

	for (unsigned i = 0; i < romeo.n; i++)
		n += strstr(romeo.text[i], part) != NULL;
	return n;
}

/* The ids in the order of the calls grow, of all calls or only of one account's. */
static bool in_order(uint32_t account)
{
	int last = -1;

	for (unsigned i = 0; i < probe.begun; i++) {
		if (account && probe.call[i].account != account)
			continue;
		if (atoi(probe.call[i].id) <= last)
			return false;
		last = atoi(probe.call[i].id);
	}
	return true;
}

Test(iq, no_queue_runs_at_once_on_the_shard_of_the_sender)
{
	serve(IQ_NO_QUEUE, 0, 0);
	for (unsigned i = 0; i < 6; i++) {
		ask_from(i % 2, "romeo");
		cr_expect_eq(romeo.n, i + 1, "answered before the sender's call returned");
		cr_expect_eq(probe.call[i].shard, (int)(i % 2));
	}
	cr_expect_eq(count_heard("type='result'"), 6);
}

Test(iq, one_queue_keeps_the_order_of_all_and_overlaps_with_nothing)
{
	static const char *const users[] = { "romeo", "mercutio", "benvolio", "balthasar" };

	serve(IQ_ONE_QUEUE, 0, 0);
	probe.meeting = true;
	for (unsigned i = 0; i < 12; i++)
		ask_from(i % 2, users[i % 4]);
	cr_assert(heard_wait(&romeo, 12));
	cr_expect_eq(probe.most, 1);
	cr_expect(in_order(0));
	cr_expect_not(probe.shards);
	cr_expect_eq(count_heard("type='result'"), 12);
}

Test(iq, queues_keep_the_order_of_an_account_and_overlap_between_accounts)
{
	serve(IQ_QUEUES, 8, 0);
	probe_gate(&probe, true);
	ask_from(0, "romeo");
	cr_assert(probe_wait_inside(&probe, 1));
	for (unsigned i = 0; i < 3; i++)
		ask_from(i % 2, "romeo");
	cr_expect_not(probe_more_than(&probe, 1), "one of an account at a time");
	for (unsigned i = 0; i < 16; i++) {
		char user[16];

		snprintf(user, sizeof(user), "page%u", i);
		ask_from(i % 2, user);
	}
	cr_expect(probe_wait_inside(&probe, 2), "others go on meanwhile");
	probe_gate(&probe, false);
	cr_assert(heard_wait(&romeo, 20));
	cr_expect_not(probe.same_account);
	cr_expect(in_order(probe.call[0].account));
	cr_expect_not(probe.shards);
}

Test(iq, parallel_overlaps_for_one_account)
{
	serve(IQ_PARALLEL, 0, 0);
	probe_gate(&probe, true);
	for (unsigned i = 0; i < 3; i++)
		ask_from(i % 2, "romeo");
	cr_expect(probe_wait_inside(&probe, 3));
	cr_expect(probe.same_account);
	cr_expect_not(probe.shards);
	probe_gate(&probe, false);
	cr_assert(heard_wait(&romeo, 3));
}

static const enum iq_discipline queued[] = { IQ_ONE_QUEUE, IQ_QUEUES, IQ_PARALLEL };

Test(iq, a_full_queue_answers_resource_constraint)
{
	for (size_t d = 0; d < ARRAY_LEN(queued); d++) {
		serve(queued[d], 2, 3);
		probe_gate(&probe, true);
		for (unsigned i = 0; i < 3; i++)
			ask_from(i % 2, "romeo");
		cr_expect_eq(romeo.n, 0);
		ask_from(0, "romeo");
		cr_assert_eq(romeo.n, 1, "refused at once");
		cr_expect(strstr(romeo.text[0], "<error type='wait'><resource-constraint "),
			"RFC 6120 §8.3.3.18: %s", romeo.text[0]);
		probe_gate(&probe, false);
		cr_assert(heard_wait(&romeo, 4));
		cr_expect_eq(count_heard("type='result'"), 3);
		ask_from(1, "romeo");
		cr_assert(heard_wait(&romeo, 5));
		cr_expect_eq(count_heard("type='result'"), 4, "and takes requests again");
		heard_forget(&romeo);
		iq_unregister(h, IQ_LOCAL, NS_PROBE);
	}
}

static void *unregister(void *arg)
{
	rcu_thread_begin();
	iq_unregister(h, IQ_LOCAL, NS_PROBE);
	atomic_store((_Atomic bool *)arg, true);
	rcu_thread_end();
	return NULL;
}

Test(iq, unregistering_waits_for_the_last_call)
{
	for (size_t d = 0; d < ARRAY_LEN(queued); d++) {
		_Atomic bool returned = false;
		pthread_t thread;
		bool reading;

		serve(queued[d], 2, 0);
		probe_gate(&probe, true);
		ask_from(0, "romeo");
		ask_from(1, "romeo");
		cr_assert(probe_wait_inside(&probe, 1));
		pthread_create(&thread, NULL, unregister, &returned);
		while (iq_registered(h, IQ_LOCAL, NS_PROBE))
			rcu_quiescent();
		ask_from(0, "mercutio");
		cr_expect(heard_wait(&romeo, 1));
		cr_expect_eq(count_heard("<service-unavailable "), 1, "nobody finds it any more");
		probe_more_than(&probe, 2);
		cr_expect_not(atomic_load(&returned), "two calls are still inside or waiting");
		probe_gate(&probe, false);
		reading = rcu_offline();
		pthread_join(thread, NULL);
		rcu_online(reading);
		cr_expect_eq(probe.begun, probe.ended);
		cr_assert(heard_wait(&romeo, 3));
		cr_expect_eq(count_heard("type='result'"), 2, "what was accepted is answered");
		heard_forget(&romeo);
	}
}

/* Requests one after the other from a shard while handlers come and go. */
struct traffic {
	struct msg msg;
	_Atomic bool stop;
	unsigned sent;
	sem_t done;
};

static void traffic_run(struct msg *m)
{
	struct traffic *t = container_of(m, struct traffic, msg);

	if (atomic_load(&t->stop)) {
		sem_post(&t->done);
		return;
	}
	if (t->sent < HEARD_MAX && atomic_load(&romeo.n) == t->sent) {
		char text[256];

		snprintf(text, sizeof(text),
			"<iq xmlns='jabber:client' type='get' id='t%u' from='romeo@montague.net/r' "
			"to='capulet.lit'><probe xmlns='" NS_PROBE "'/></iq>",
			t->sent++);
		route_here(text);
	}
	shard_post(shard_self(), &t->msg);
}

Test(iq, replacing_loses_no_request)
{
	static const struct iqdisc disciplines[] = { { IQ_NO_QUEUE, 0, 0 }, { IQ_QUEUES, 4, 0 },
		{ IQ_ONE_QUEUE, 0, 0 }, { IQ_PARALLEL, 0, 0 } };
	struct traffic t = { .msg.run = traffic_run };
	struct iq_handler_spec spec = { .scope = IQ_LOCAL,
		.ns = NS_PROBE,
		.types = IQ_FOR_GET,
		.fn = probe_handler,
		.arg = &probe };

	cr_expect_eq(iq_replace(h, &spec), -ENOENT);
	serve(IQ_PARALLEL, 0, 0);
	sem_init(&t.done, 0, 0);
	shard_post(shard_at(0), &t.msg);
	for (unsigned i = 0; i < 40; i++) {
		spec.disc = disciplines[i % ARRAY_LEN(disciplines)];
		cr_expect_eq(iq_replace(h, &spec), 0);
	}
	cr_expect(heard_wait(&romeo, 8));
	atomic_store(&t.stop, true);
	cr_assert(await(&t.done));
	cr_assert(heard_wait(&romeo, t.sent));
	cr_expect_eq(count_heard("type='result'"), t.sent);
}

static int refuse(const struct iq *iq UNUSED, struct builder *answer UNUSED)
{
	return ERR_FORBIDDEN;
}

static int later(const struct iq *iq UNUSED, struct builder *answer UNUSED)
{
	return IQ_LATER;
}

static int ignore(const struct iq *iq UNUSED, struct builder *answer UNUSED)
{
	return IQ_IGNORE;
}

#define ASK(type, children)                                                             \
	"<iq xmlns='jabber:client' type='" type "' id='1' from='romeo@montague.net/r' " \
	"to='capulet.lit'>" children "</iq>"

static const struct {
	const char *section, *request, *error; /* NULL: no answer */
} outcomes[] = {
	{ "guide 8.1, a type not asked for", ASK("set", "<x xmlns='urn:example:refuse'/>"),
		"<error type='cancel'><not-allowed " },
	{ "RFC 6120 8.4, nobody's namespace", ASK("get", "<x xmlns='urn:example:none'/>"),
		"<error type='cancel'><service-unavailable " },
	{ "RFC 6120 8.2.3, no payload", ASK("get", ""), "<error type='modify'><bad-request " },
	{ "RFC 6120 8.2.3, two payloads",
		ASK("get", "<x xmlns='urn:example:refuse'/><x xmlns='urn:example:refuse'/>"),
		"<error type='modify'><bad-request " },
	{ "RFC 6120 8.3, the handler's error", ASK("get", "<x xmlns='urn:example:refuse'/>"),
		"<x xmlns='urn:example:refuse'/><error type='auth'><forbidden " },
	{ "answered later", ASK("get", "<x xmlns='urn:example:later'/>"), NULL },
	{ "not answered", ASK("get", "<x xmlns='urn:example:ignore'/>"), NULL },
};

Test(iq, outcomes)
{
	static const struct {
		const char *ns;
		iq_handler *fn;
	} handlers[] = { { "urn:example:refuse", refuse }, { "urn:example:later", later },
		{ "urn:example:ignore", ignore } };
	struct iq_handler_spec spec = { .scope = IQ_LOCAL, .types = IQ_FOR_GET };

	for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
		spec.ns = handlers[i].ns;
		spec.fn = handlers[i].fn;
		cr_assert_eq(iq_register(h, &spec), 0);
		cr_expect_eq(iq_register(h, &spec), IQ_TAKEN);
	}
	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
		send_from(0, outcomes[i].request);
		cr_expect_eq(romeo.n, outcomes[i].error != NULL, "§%s", outcomes[i].section);
		if (outcomes[i].error && romeo.n)
			cr_expect(strstr(romeo.text[0], outcomes[i].error), "§%s: %s",
				outcomes[i].section, romeo.text[0]);
		heard_forget(&romeo);
	}
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
		iq_unregister(h, IQ_LOCAL, handlers[i].ns);
}
