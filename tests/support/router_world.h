/* tests/support/router_world.h - a small real world for router tests: two shards, jobs, a
 * directory, one virtual host, and clients that are actors keeping what they receive as text. */
#pragma once

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/job.h"
#include "core/mem.h"
#include "router/account.h"
#include "router/directory.h"
#include "router/session.h"
#include "tests/support/hearing.h"

/* Everything posted before it has run: letters hop at most a few times. */
static inline void settle(void)
{
	for (int i = 0; i < 4; i++)
		for (unsigned s = 0; s < shards_count(); s++)
			on_shard(s, do_nothing, NULL);
}

/* --- the world ----------------------------------------------------------------------------- */

#define WORLD_HOST "capulet.example"
static struct host *world_host;

UNUSED static void world_begin(void)
{
	struct host_conf *conf = host_conf_new();

	rcu_thread_begin();
	directory_init();
	cr_assert_eq(jobs_start(2), 0);
	cr_assert_eq(shards_start(2), 0);
	accounts_start();
	conf->name = WORLD_HOST;
	conf->max_sessions = 10;
	world_host = host_new(WORLD_HOST, conf);
	cr_assert_eq(route_register_host(world_host), 0);
}

UNUSED static void world_end(void)
{
	route_unregister(WORLD_HOST);
	accounts_stop();
	host_unref(world_host);
	shards_stop();
	jobs_stop();
	rcu_wait_later();
	directory_fini();
	rcu_thread_end();
}

/* --- clients ------------------------------------------------------------------------------- */

struct client {
	struct actor actor;
	struct session session;
	unsigned shard;
	struct heard heard;
	bool closing; /* leaves when the next stanza comes, without receiving it */
};

static inline bool client_receive(
	struct actor *a, struct stanza *s, enum deliver_copies copies UNUSED)
{
	struct client *c = container_of(a, struct client, actor);

	if (c->closing)
		directory_leave(&c->session); /* before the router looks for another receiver */
	else
		heard_note(&c->heard, s);
	return !c->closing;
}

static inline struct session *client_session(struct actor *a)
{
	return &container_of(a, struct client, actor)->session;
}

static const struct recipient client_recipient = {
	.receive = client_receive,
	.session = client_session,
};
static const struct actor_class client_class = { .name = "client", .recipient = &client_recipient };

static inline void client_begin_here(void *arg)
{
	struct client *c = arg;
	struct actor_id holder;

	shard_check(NULL);
	actor_begin(&c->actor, &client_class);
	c->session.id = c->actor.id;
	cr_assert_eq(directory_enter(&c->session, 10, &holder), 0);
}

/* A resource of juliet's, connected and not yet available. */
static inline struct client *client_new(const char *resource, unsigned shard)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->shard = shard;
	c->session.host = host_ref(world_host);
	cr_assert_eq(jid_make("juliet", WORLD_HOST, resource, NULL, &c->session.jid), 0);
	on_shard(shard, client_begin_here, c);
	return c;
}

static inline void client_leave_here(void *arg)
{
	struct client *c = arg;

	shard_check(NULL);
	session_unavailable(&c->session, NULL);
	directory_leave(&c->session);
	actor_end(&c->actor);
}

static inline void client_free(struct client *c)
{
	on_shard(c->shard, client_leave_here, c);
	settle();
	rcu_wait();
	heard_forget(&c->heard);
	session_fini(&c->session);
	free(c);
}

/* --- sending ------------------------------------------------------------------------------- */

struct sending {
	struct client *from; /* NULL: the stanza says */
	struct stanza *stanza;
	enum verdict verdict;
};

static inline void send_here(void *arg)
{
	struct sending *snd = arg;

	shard_check(NULL);
	if (snd->stanza->kind == STANZA_PRESENCE && snd->from) {
		session_presence_out(&snd->from->session, snd->stanza);
		return;
	}
	stanza_seal(snd->stanza);
	snd->verdict = route(snd->stanza);
}

/* As the client's stream would: stamps from, hands presence to the session, the rest to route(). */
static inline enum verdict client_send(struct client *c, const char *text)
{
	struct sending snd = { .from = c, .stanza = parse_unsealed(text) };

	stanza_set_from(snd.stanza, c->session.jid);
	on_shard(c->shard, send_here, &snd);
	settle();
	return snd.verdict;
}

/* From whom the stanza says, on that shard. */
static inline enum verdict world_send(unsigned shard, const char *text)
{
	struct sending snd = { .stanza = parse_unsealed(text) };

	on_shard(shard, send_here, &snd);
	settle();
	return snd.verdict;
}

static inline void client_becomes(struct client *c, int priority)
{
	char text[128];

	snprintf(text, sizeof(text),
		"<presence xmlns='jabber:client'><priority>%d</priority></presence>", priority);
	client_send(c, text);
}
