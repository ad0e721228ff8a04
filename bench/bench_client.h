/* bench/bench_client.h - one XMPP client on the loop: connects, negotiates, then hands over
 * stanzas. Everything runs on one thread. */
#pragma once

#include <openssl/ssl.h>

#include "bench/bench_attr.h"
#include "bench/bench_loop.h"
#include "bench/bench_scan.h"
#include "bench/bench_scram.h"
#include "core/attr.h"

struct client;
struct client_events {
	void (*ready)(struct client *c); /* logged in and bound, or registered */
	/* A stanza once ready: text is whole, NUL-terminated and good during the call. */
	void (*stanza)(struct client *c, const char *text);
	/* The connection is gone; why NULL: because client_close() asked for it. */
	void (*closed)(struct client *c, const char *why);
};

enum client_goal { GOAL_SESSION, GOAL_ACCOUNT };
enum client_step {
	STEP_NONE,
	STEP_CONNECT,
	STEP_HANDSHAKE,
	STEP_FEATURES,
	STEP_PROCEED,
	STEP_CHALLENGE,
	STEP_SUCCESS,
	STEP_SASL2,
	STEP_SASL2_FEATURES,
	STEP_BIND,
	STEP_SESSION,
	STEP_RESUME,
	STEP_REGISTER,
	STEP_READY,
	STEP_CLOSING,
};
struct client {
	struct loop *loop;
	const struct client_events *events;
	void *data; /* the scenario's */
	unsigned number; /* of its account, from 0 */
	enum client_goal goal;
	uint64_t began_ns; /* client_start() */
	char *jid; /* owned: the full JID once ready */
	/* XEP-0198: sent instead of binding a resource, while the scenario keeps it here. What is
	 * answered, <resumed/> or <failed/>, is given to stanza() and not followed by ready(). */
	const char *resume;
	uint32_t handled; /* with --sm: stanzas of the server's, for its requests */
	bool managed; /* it has said <enabled/> */
	bool keeps_requests; /* the server's are given to stanza(), not answered */
	/* Private. */
	enum client_step step;
	int fd;
	SSL *ssl; /* owned */
	struct scan scan;
	struct scram_client scram;
	char *in; /* owned: an unfinished stanza */
	size_t in_len;
	char *out; /* owned */
	size_t out_len, out_at, out_cap;
	bool authenticated, is_dirty, wants_write, wants_session;
	struct client *next_dirty;
};
void client_init(
	struct client *c, struct loop *l, unsigned number, const struct client_events *events);
void client_fini(struct client *c);
void client_start(struct client *c, enum client_goal goal); /* again after closed() is fine */
void client_send(struct client *c, const char *bytes, size_t len);
void client_sendf(struct client *c, const char *format, ...) PRINTF_LIKE(2, 3);
void client_close(
	struct client *c); /* </stream:stream>, then closed(NULL) once the server agrees */

/* Hangs up without a word, as a network that fails: what was sent may or may not arrive, what is on
 * its way here is lost. closed() is not called. */
void client_cut(struct client *c);

/* --- for bench_loop.c and bench_negotiate.c ----------------------------------------------- */

void client_event(struct client *c, uint32_t events); /* of epoll */
void client_flush(struct client *c); /* what client_send() has gathered */
void client_wants_write(struct client *c, bool wants); /* to be woken when the socket takes more */
void client_lose(struct client *c, const char *why); /* hangs up and calls closed() */
