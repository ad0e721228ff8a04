/* tests/support/hearing.h - peers that note what they are sent, and senders on shards. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "core/rcu.h"
#include "router/deliver.h"
#include "router/route.h"
#include "tests/support/asking.h"
#include "tests/support/on_shard.h"

static inline void do_nothing(void *arg UNUSED)
{
}

/* What somebody has been sent, in order. Any threads write, also at once; any thread reads those
 * below n. */
#define HEARD_MAX 64
struct heard {
	_Atomic unsigned n;
	char *text[HEARD_MAX]; /* owned */
};

static inline void heard_note(struct heard *h, struct stanza *s)
{
	static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
	unsigned at;

	pthread_mutex_lock(&writing);
	at = atomic_load(&h->n);
	REQUIRE(at < HEARD_MAX);
	h->text[at] = stanza_text(s);
	atomic_store(&h->n, at + 1);
	pthread_mutex_unlock(&writing);
}

/* A service_fn: everything to a domain is noted. arg: struct heard. */
static inline void heard_service(void *arg, struct stanza *s)
{
	heard_note(arg, s);
}

/* Waits until n have come; false after 10 seconds without. */
static inline bool heard_wait(struct heard *h, unsigned n)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	bool reading = rcu_offline();

	for (int i = 0; i < 10000 && atomic_load(&h->n) < n; i++)
		nanosleep(&nap, NULL);
	rcu_online(reading);
	return atomic_load(&h->n) >= n;
}

/* The last one; "" when there is none. */
static inline const char *heard_last(const struct heard *h)
{
	unsigned n = atomic_load(&h->n);

	return n ? h->text[n - 1] : "";
}

static inline void heard_forget(struct heard *h)
{
	for (unsigned i = 0; i < atomic_load(&h->n); i++)
		free(h->text[i]);
	atomic_store(&h->n, 0);
}

/* An actor that notes what is delivered to it: a stream without a socket. */
struct listener_actor {
	struct actor actor;
	struct heard *heard;
};

static inline bool listener_receive(
	struct actor *a, struct stanza *s, enum deliver_copies copies UNUSED)
{
	heard_note(container_of(a, struct listener_actor, actor)->heard, s);
	return true;
}

static const struct recipient listener_recipient = { .receive = listener_receive };
static const struct actor_class listener_class = { .name = "listener",
	.recipient = &listener_recipient };

static inline void listener_begin_here(void *arg)
{
	struct listener_actor *l = arg;

	shard_check(NULL);
	actor_begin(&l->actor, &listener_class);
}

static inline void listener_end_here(void *arg)
{
	struct listener_actor *l = arg;

	shard_check(NULL);
	actor_end(&l->actor);
}

/* Routes a stanza from where its sender would be. text: parsed and sealed here. */
static inline void route_here(void *arg)
{
	shard_check(NULL);
	route(parse_sealed(arg));
}

static inline void send_from(unsigned shard, const char *text)
{
	on_shard(shard, route_here, (void *)text);
}
