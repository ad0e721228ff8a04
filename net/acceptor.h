/* net/acceptor.h - the threads that accept connections and hand each to a shard.
 * All of them wait on all listening sockets; the kernel wakes one. */
#pragma once

#include "core/attr.h"
#include "core/conf.h"
#include "core/mailbox.h"
#include "net/listener.h"

/* A connection on its way from an acceptor to its shard. */
struct accepted {
	struct msg msg;
	int fd;
	struct listener *listener; /* counted, and counted in its connections */
	struct listener_options *options; /* counted */
	struct conf_prefix address; /* counted in net/limits.h */
	uint16_t port;
};
/* Gives back what an accepted connection holds: counts and references, not the descriptor.
 * limited: whether it still counts as not authenticated. Any registered thread. */
void accepted_release(struct listener *l, struct listener_options *o,
	const struct conf_prefix *address, bool limited);

int acceptors_start(unsigned n); /* 0 or negative errno; main */
void acceptors_stop(void); /* joins */
/* All of an addition that can fail: l is watched, and nothing is accepted yet. Closing its socket
 * takes it back. 0 or negative errno. */
int acceptors_prepare(struct listener *l);
void acceptors_add(struct listener *l); /* a prepared one: from here on it is accepted from */
/* After either returns no acceptor accepts from l. They wait for a grace period. A paused one may
 * be added again. */
void acceptors_pause(struct listener *l);
void acceptors_remove(struct listener *l);
