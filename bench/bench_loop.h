/* bench/bench_loop.h - waits for the sockets of all clients of a process, and for the clock. What
 * is written during a round leaves with one send() per client at the round's end, as a client that
 * has several things to say would do it. One thread. */
#pragma once

#include <openssl/ssl.h>

#include "bench/bench_options.h"
#include "bench/bench_pace.h"
#include "core/attr.h"

struct client;
struct scram_account;
#define LOOP_ROOM (1u << 20) /* the longest stanza, and what one client gets read in a round */
struct loop {
	const struct options *options;
	struct scram_account *accounts; /* owned: options->users of them */
	SSL_CTX *tls; /* owned */
	struct client *dirty; /* those with something to send, linked */
	char *features; /* owned: what the stream offered the first one that had logged in */
	int epoll;
	struct pace *pace; /* what begins by the clock; NULL: nothing */
	bool stop; /* ends loop_run() after this round */
	char *room; /* owned: LOOP_ROOM and one more, for what is read of one client */
};
void loop_init(struct loop *l, const struct options *o);
void loop_fini(struct loop *l);
/* Until l->stop is set or now_ns() is past the time; 0: no such time. */
void loop_run(struct loop *l, uint64_t until_ns);
/* From now on the loop runs what is due; NULL: no longer. The pace is the caller's. */
void loop_pace(struct loop *l, struct pace *p);
uint64_t now_ns(void); /* monotonic */
