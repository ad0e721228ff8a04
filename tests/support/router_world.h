/* tests/support/router_world.h - a small real world for router tests: shards, jobs, a directory,
 * one virtual host, and clients that are actors keeping what they receive as text. */
#pragma once

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/job.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/host.h"
#include "router/route.h"
#include "router/session.h"
#include "xml/parser.h"

/* --- running something on a shard and waiting for it --------------------------------------- */

struct errand {
	struct msg msg;
	void (*fn)(void *arg);
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool over;
};

static void errand_run(struct msg *m)
{
	struct errand *e = container_of(m, struct errand, msg);

	e->fn(e->arg);
	pthread_mutex_lock(&e->lock);
	e->over = true;
	pthread_cond_signal(&e->done);
	pthread_mutex_unlock(&e->lock);
}

UNUSED static void on_shard(unsigned shard, void (*fn)(void *arg), void *arg)
{
	struct errand e = { .msg.run = errand_run,
		.fn = fn,
		.arg = arg,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.done = PTHREAD_COND_INITIALIZER };
	bool reading;

	shard_post(shard_at(shard), &e.msg);
	reading = rcu_offline();
	pthread_mutex_lock(&e.lock);
	while (!e.over)
		pthread_cond_wait(&e.done, &e.lock);
	pthread_mutex_unlock(&e.lock);
	rcu_online(reading);
}

static void nothing(void *arg UNUSED)
{
}

/* Everything posted before it has run: letters hop at most a few times. */
UNUSED static void settle(void)
{
	for (int i = 0; i < 4; i++)
		for (unsigned s = 0; s < shards_count(); s++)
			on_shard(s, nothing, NULL);
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
	conf->name = WORLD_HOST;
	conf->max_sessions = 10;
	world_host = host_new(WORLD_HOST, conf);
	cr_assert_eq(route_register_host(world_host), 0);
}

UNUSED static void world_end(void)
{
	route_unregister(WORLD_HOST);
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
	pthread_mutex_t lock;
	unsigned n; /* received */
	char *text[64]; /* each as it would go over the wire */
	bool deaf; /* answers false: on its way out */
};

static bool client_receive(struct actor *a, struct stanza *s, enum deliver_copies copies UNUSED)
{
	struct client *c = container_of(a, struct client, actor);
	struct buf *wire;

	if (c->deaf)
		return false;
	wire = stanza_wire(s);
	pthread_mutex_lock(&c->lock);
	cr_assert_lt(c->n, ARRAY_LEN(c->text));
	c->text[c->n++] = xstrndup(wire->data, wire->len);
	pthread_mutex_unlock(&c->lock);
	buf_unref(wire);
	return true;
}

static struct session *client_session(struct actor *a)
{
	return &container_of(a, struct client, actor)->session;
}

static const struct recipient client_recipient = {
	.receive = client_receive,
	.session = client_session,
};
static const struct actor_class client_class = { .name = "client", .recipient = &client_recipient };

static void client_begin_here(void *arg)
{
	struct client *c = arg;
	struct actor_id holder;

	actor_begin(&c->actor, &client_class);
	c->session.id = c->actor.id;
	cr_assert_eq(directory_enter(&c->session, 10, &holder), 0);
}

UNUSED static struct client *client_new(const char *resource, unsigned shard)
{
	struct client *c = xcalloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	c->shard = shard;
	c->session.host = host_ref(world_host);
	cr_assert_eq(jid_make("juliet", WORLD_HOST, resource, NULL, &c->session.jid), 0);
	on_shard(shard, client_begin_here, c);
	return c;
}

static void client_leave_here(void *arg)
{
	struct client *c = arg;

	session_unavailable(&c->session, NULL);
	directory_leave(&c->session);
	actor_end(&c->actor);
}

UNUSED static void client_forget(struct client *c)
{
	for (unsigned i = 0; i < c->n; i++)
		free(c->text[i]);
	c->n = 0;
}

UNUSED static void client_free(struct client *c)
{
	on_shard(c->shard, client_leave_here, c);
	settle();
	rcu_wait();
	client_forget(c);
	session_fini(&c->session);
	free(c);
}

/* --- sending ------------------------------------------------------------------------------- */

UNUSED static struct stanza *stanza_of(const char *text)
{
	const struct parser_limits limits = { 65536, 32, 32 };
	struct stanza *s;

	cr_assert_eq(parse_element(text, strlen(text), &limits, &s), 0, "%s", text);
	return s;
}

struct sending {
	struct client *from; /* NULL: the stanza says */
	struct stanza *stanza;
	enum verdict verdict;
};

static void send_here(void *arg)
{
	struct sending *snd = arg;

	if (snd->stanza->kind == STANZA_PRESENCE && snd->from) {
		session_presence_out(&snd->from->session, snd->stanza);
		return;
	}
	stanza_seal(snd->stanza);
	snd->verdict = route(snd->stanza);
}

/* As the client's stream would: stamps from, hands presence to the session, the rest to route(). */
UNUSED static enum verdict client_send(struct client *c, const char *text)
{
	struct sending snd = { .from = c, .stanza = stanza_of(text) };

	cr_assert_eq(stanza_read_head(snd.stanza), 0);
	stanza_set_from(snd.stanza, c->session.jid);
	on_shard(c->shard, send_here, &snd);
	settle();
	return snd.verdict;
}

UNUSED static enum verdict world_send(const char *text)
{
	struct sending snd = { .stanza = stanza_of(text) };

	cr_assert_eq(stanza_read_head(snd.stanza), 0);
	on_shard(0, send_here, &snd);
	settle();
	return snd.verdict;
}

UNUSED static const char *client_last(const struct client *c)
{
	return c->n ? c->text[c->n - 1] : "";
}
