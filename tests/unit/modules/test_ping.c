/* tests/unit/modules/test_ping.c - XEP-0199: pongs, and pings to silent clients. */
#include "modules/module.h"
#include "router/idle.h"
#include "router/session.h"
#include "tests/support/hearing.h"
#include "tests/support/hosting.h"

static const struct {
	const char *section, *request, *answer;
} pings[] = {
	{ "4.2",
		"<iq xmlns='jabber:client' from='juliet@capulet.lit/balcony' to='capulet.lit' "
		"id='c2s1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
		"<iq type='result' id='c2s1' to='juliet@capulet.lit/balcony' "
		"from='capulet.lit'/>" },
	{ "4.2, the client's bare JID",
		"<iq xmlns='jabber:client' from='juliet@capulet.lit/balcony' "
		"to='juliet@capulet.lit' id='c2s1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
		"<iq type='result' id='c2s1' to='juliet@capulet.lit/balcony' "
		"from='juliet@capulet.lit'/>" },
	{ "4.3",
		"<iq xmlns='jabber:client' from='montague.lit' to='capulet.lit' id='s2s1' "
		"type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
		"<iq type='result' id='s2s1' to='montague.lit' from='capulet.lit'/>" },
	{ "8",
		"<iq xmlns='jabber:client' from='juliet@capulet.lit/balcony' to='capulet.lit' "
		"id='c2s1' type='get'><pong xmlns='urn:xmpp:ping'/></iq>",
		"error bad-request" },
};

extern const struct module module_ping;

Test(ping, pongs)
{
	for (size_t i = 0; i < ARRAY_LEN(pings); i++) {
		char *answer = ask(module_ping.iq[0].fn, NULL, NULL, NULL, pings[i].request);

		cr_expect_str_eq(answer, pings[i].answer, "§%s: %s", pings[i].section, answer);
		free(answer);
	}
}

/* A stream that has been silent for so long asks its hook. */
struct silence {
	struct host *host;
	struct session session;
	struct idle idle;
};

static void ask_hook(void *arg)
{
	struct silence *s = arg;

	shard_check(NULL);
	s->idle.session = &s->session;
	s->idle.again_ms = IDLE_NEVER;
	hook_run(s->host->hooks, &session_idle_hook, &s->idle);
}

static const struct {
	const char *settings;
	struct {
		uint64_t silent_ms; /* 0: the client has been heard */
		unsigned pings; /* sent so far */
		uint64_t again_ms;
		bool dead;
	} steps[6];
} plays[] = {
	{ "mod_ping: {}", { { 0, 0, IDLE_NEVER, false } } },
	{ "mod_ping: {send_pings: true, ping_interval: 60 s, ping_ack_timeout: 10 s, "
	  "timeout_action: kill}",
		{ { 0, 0, 60000, false }, { 60000, 1, 70000, false }, { 0, 1, 60000, false },
			{ 60100, 2, 70100, false }, { 65000, 2, 70100, false },
			{ 70100, 2, IDLE_NEVER, true } } },
	{ "mod_ping: {send_pings: true, ping_interval: 60 s, ping_ack_timeout: 10 s, "
	  "timeout_action: none}",
		{ { 0, 0, 60000, false }, { 60000, 1, 70000, false }, { 70000, 1, 130000, false },
			{ 130000, 2, 140000, false }, { 140000, 2, 200000, false },
			{ 200000, 3, 210000, false } } },
	/* A stalled shard looks late: the client is pinged before it is called dead. */
	{ "mod_ping: {send_pings: true, ping_interval: 1 s, ping_ack_timeout: 100 ms, "
	  "timeout_action: kill}",
		{ { 0, 0, 1000, false }, { 5000, 1, 5100, false }, { 0, 1, 1000, false } } },
};

Test(ping, section_4_1_silent_clients)
{
	struct host *h = hosting_begin("capulet.lit");
	struct heard juliet = { 0 };
	struct listener_actor stream = { .heard = &juliet };
	struct jid *jid;

	cr_assert_eq(shards_start(1), 0);
	cr_assert_eq(jid_make("juliet", "capulet.lit", "balcony", NULL, &jid), JID_OK);
	on_shard(0, listener_begin_here, &stream);
	for (size_t p = 0; p < ARRAY_LEN(plays); p++) {
		struct silence s = { .host = h,
			.session = { .id = stream.actor.id, .host = h, .jid = jid } };

		cr_assert_eq(start_modules(h, plays[p].settings), 0);
		for (size_t i = 0; i < ARRAY_LEN(plays[p].steps); i++) {
			if (!plays[p].steps[i].again_ms)
				break;
			s.idle.silent_ms = plays[p].steps[i].silent_ms;
			if (!s.idle.silent_ms)
				s.idle.pinged_ms = 0;
			on_shard(0, ask_hook, &s);
			cr_expect_eq(juliet.n, plays[p].steps[i].pings, "%zu.%zu", p, i);
			cr_expect_eq(s.idle.dead, plays[p].steps[i].dead, "%zu.%zu", p, i);
			if (!s.idle.dead)
				cr_expect_eq(s.idle.again_ms, plays[p].steps[i].again_ms,
					"%zu.%zu: %lu", p, i, s.idle.again_ms);
		}
		if (juliet.n)
			cr_expect_str_eq(juliet.text[0],
				"<iq type='get' from='capulet.lit' to='juliet@capulet.lit/balcony' "
				"id='ping'><ping xmlns='urn:xmpp:ping'/></iq>");
		heard_forget(&juliet);
		registry_stop_host(h);
	}
	on_shard(0, listener_end_here, &stream);
	shards_stop();
	jid_free(jid);
	hosting_end(h);
}
