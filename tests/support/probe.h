/* tests/support/probe.h - an IQ handler that shows where and beside whom it runs. Each call notes
 * itself, may wait at a gate, and notes its end; so that a test can tell disciplines apart by what
 * overlaps and in which order, not by time. Any thread. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "core/rcu.h"
#include "core/shard.h"
#include "router/iq.h"

#define PROBE_CALLS 512
struct probe {
	pthread_mutex_t lock; /* covers all below */
	pthread_cond_t changed;
	bool closed; /* the gate: calls wait inside */
	bool meeting; /* calls linger for a moment, so that others can be seen beside them */
	unsigned begun, ended;
	unsigned most; /* running at once, ever */
	bool same_account; /* two of one sender ran at once */
	bool shards; /* some call ran on a shard */
	struct {
		char id[16];
		uint32_t account;
		int shard; /* -1: none */
		bool over;
	} call[PROBE_CALLS];
};
#define PROBE                                                                          \
	{                                                                              \
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
	}

static inline struct timespec probe_deadline(long ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return until;
}

/* Under the lock: begins a call, whose number is returned. */
static inline unsigned probe_begin(struct probe *p, const struct iq *iq)
{
	struct shard *here = shard_self();
	unsigned n = p->begun++;

	REQUIRE(n < PROBE_CALLS);
	strncpy(p->call[n].id, iq->stanza->id, sizeof(p->call[n].id) - 1);
	p->call[n].account = iq->from->bare_hash;
	p->call[n].shard = here ? (int)shard_index(here) : -1;
	p->shards |= here != NULL;
	for (unsigned i = 0; i < n; i++)
		p->same_account |= !p->call[i].over && p->call[i].account == iq->from->bare_hash;
	if (p->begun - p->ended > p->most)
		p->most = p->begun - p->ended;
	pthread_cond_broadcast(&p->changed);
	return n;
}

/* An iq_handler; iq->arg is the probe. */
static inline int probe_handler(const struct iq *iq, struct builder *answer)
{
	struct probe *p = iq->arg;
	bool reading = !shard_self() && rcu_offline();
	struct timespec moment;
	unsigned n;

	pthread_mutex_lock(&p->lock);
	n = probe_begin(p, iq);
	moment = probe_deadline(20);
	while (p->meeting && p->begun - p->ended < 2)
		if (pthread_cond_timedwait(&p->changed, &p->lock, &moment) != 0)
			break;
	while (p->closed)
		pthread_cond_wait(&p->changed, &p->lock);
	p->call[n].over = true;
	p->ended++;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	if (reading)
		rcu_online(true);
	build_open(answer, "probed", "urn:example:probe");
	build_close(answer);
	return 0;
}

/* Waits until so many calls run inside, or 10 seconds. */
static inline bool probe_wait_inside(struct probe *p, unsigned n)
{
	struct timespec until = probe_deadline(10000);
	bool reading = rcu_offline(), there;

	pthread_mutex_lock(&p->lock);
	while (p->begun - p->ended < n)
		if (pthread_cond_timedwait(&p->changed, &p->lock, &until) != 0)
			break;
	there = p->begun - p->ended >= n;
	pthread_mutex_unlock(&p->lock);
	rcu_online(reading);
	return there;
}

/* Whether one more call than n comes in within a moment: false is what is hoped for. */
static inline bool probe_more_than(struct probe *p, unsigned n)
{
	struct timespec until = probe_deadline(50);
	bool reading = rcu_offline(), more;

	pthread_mutex_lock(&p->lock);
	while (p->begun - p->ended <= n)
		if (pthread_cond_timedwait(&p->changed, &p->lock, &until) != 0)
			break;
	more = p->begun - p->ended > n;
	pthread_mutex_unlock(&p->lock);
	rcu_online(reading);
	return more;
}

static inline void probe_gate(struct probe *p, bool closed)
{
	pthread_mutex_lock(&p->lock);
	p->closed = closed;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}
