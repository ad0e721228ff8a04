/* bench/micro_route.c - from a sealed message to the actor that receives it, without bytes: what
 * the router itself costs, on one shard and from shard to shard. */
#include <stdlib.h>

#include "bench/micro.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/host.h"
#include "router/route.h"
#include "tests/support/on_shard.h"
#include "xml/parser.h"

#define DOMAIN "capulet.example"
#define TURN 64u /* messages that a turn may bring */
#define ON_THE_WAY 1024u

/* ---- who receives ---- */

struct receiver {
	struct actor actor;
	struct session session;
	_Atomic unsigned got; /* written by its shard */
	unsigned awaited; /* how many it tells of */
	sem_t all_there;
};
static struct receiver receiver;

static bool receive(struct actor *a, struct stanza *s, enum deliver_copies copies UNUSED)
{
	struct receiver *r = container_of(a, struct receiver, actor);
	unsigned got = atomic_load_explicit(&r->got, memory_order_relaxed) + 1;

	micro_keep(s);
	atomic_store_explicit(&r->got, got, memory_order_release);
	if (got == r->awaited)
		sem_post(&r->all_there);
	return true;
}

static struct session *session_of(struct actor *a)
{
	return &container_of(a, struct receiver, actor)->session;
}

static const struct recipient recipient = { .receive = receive, .session = session_of };
static const struct actor_class receiver_class = { .name = "receiver", .recipient = &recipient };

static void enter_here(void *unused UNUSED)
{
	struct actor_id holder;

	shard_check(NULL);
	actor_begin(&receiver.actor, &receiver_class);
	receiver.session.id = receiver.actor.id;
	REQUIRE(directory_enter(&receiver.session, 10, &holder) == 0);
}

static void leave_here(void *unused UNUSED)
{
	shard_check(NULL);
	directory_leave(&receiver.session);
	actor_end(&receiver.actor);
}

/* ---- who sends: so many in a turn, as connections would ---- */

struct sender {
	struct msg msg;
	struct stanza *stanza; /* owned; the same each time */
	unsigned left, sent;
	sem_t all_sent;
};
static struct sender sender;
static struct host *host;

static void send_turn(struct msg *m)
{
	struct sender *s = container_of(m, struct sender, msg);
	unsigned before = atomic_load_explicit(&receiver.got, memory_order_acquire);

	shard_check(NULL);
	for (unsigned i = 0; i < TURN && s->left && s->sent - before < ON_THE_WAY; i++) {
		s->left--;
		s->sent++;
		REQUIRE(route(stanza_ref(s->stanza)) == ROUTE_DELIVER);
	}
	deliver_congested(); /* as who reads from sockets asks */
	if (s->left)
		shard_post(shard_self(), m);
	else
		sem_post(&s->all_sent);
}

static void begin_route(const struct micro *m)
{
	static const char text[] = "<message from='romeo@" DOMAIN "/orchard' type='chat' id='1'"
				   " to='juliet@" DOMAIN "/balcony'><body>hello</body></message>";
	const struct parser_limits limits = { 65536, PARSER_DEPTH, PARSER_ATTRS };
	struct host_conf *conf = host_conf_new();

	directory_init();
	conf->name = DOMAIN;
	conf->max_sessions = 10;
	host = host_new(DOMAIN, conf);
	REQUIRE(route_register_host(host) == 0);
	receiver = (struct receiver){ .session.host = host_ref(host) };
	REQUIRE(!jid_make("juliet", DOMAIN, "balcony", NULL, &receiver.session.jid));
	sem_init(&receiver.all_there, 0, 0);
	on_shard(m->size, enter_here, NULL);
	sender = (struct sender){ .msg.run = send_turn };
	sem_init(&sender.all_sent, 0, 0);
	REQUIRE(parse_stanza(text, sizeof(text) - 1, &limits, &sender.stanza) == PARSER_OK);
	stanza_seal(sender.stanza);
}

static void end_route(const struct micro *m)
{
	on_shard(m->size, leave_here, NULL);
	rcu_wait_later();
	session_fini(&receiver.session);
	stanza_unref(sender.stanza);
	route_unregister(DOMAIN);
	host_unref(host);
	directory_fini();
}

/* From shard 0 to shard m->size. */
static void send_all(const struct micro *m UNUSED, unsigned n)
{
	bool reading;

	receiver.awaited = atomic_load(&receiver.got) + n;
	sender.left = n;
	shard_post(shard_at(0), &sender.msg);
	reading = rcu_offline();
	while (sem_wait(&receiver.all_there) || sem_wait(&sender.all_sent))
		;
	rcu_online(reading);
}

const struct micro micros_route[] = { { "route: to a session of the same shard", 0, begin_route,
					      send_all, end_route },
	{ "route: to a session of another shard", 1, begin_route, send_all, end_route,
		.flow = true },
	{ 0 } };
