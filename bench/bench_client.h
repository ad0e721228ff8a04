/* bench/bench_client.h - one XMPP client on the loop: connects, negotiates, then hands over
 * stanzas. Everything runs on one thread. What is written during a round of the loop leaves with
 * one send() per client at the round's end, as a client that has several things to say would do it.
 */
#pragma once

#include <openssl/ssl.h>

#include "bench/bench_options.h"
#include "bench/bench_pace.h"
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

struct loop {
	const struct options *options;
	struct scram_account *accounts; /* owned: options->users of them */
	SSL_CTX *tls; /* owned */
	struct client *dirty; /* those with something to send, linked */
	char *features; /* owned: what the stream offered the first one that had logged in */
	int epoll;
	struct pace *pace; /* what begins by the clock; NULL: nothing */
	bool stop; /* ends loop_run() after this round */
	char *room; /* owned: what is read, one client at a time */
};
void loop_init(struct loop *l, const struct options *o);
void loop_fini(struct loop *l);
/* Until l->stop is set or now_ns() is past the time; 0: no such time. */
void loop_run(struct loop *l, uint64_t until_ns);
/* From now on the loop runs what is due; NULL: no longer. The pace is the caller's. */
void loop_pace(struct loop *l, struct pace *p);
uint64_t now_ns(void); /* monotonic */

enum client_goal { GOAL_SESSION, GOAL_ACCOUNT };
enum client_step {
	STEP_NONE,
	STEP_CONNECT,
	STEP_HANDSHAKE,
	STEP_FEATURES,
	STEP_PROCEED,
	STEP_CHALLENGE,
	STEP_SUCCESS,
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

/* Hangs up without a word, as a network that fails; closed() is not called. */
void client_cut(struct client *c);

/* The value of an attribute of the first tag in text; false: it has none. Not unescaped. */
bool attr_of(const char *text, const char *name, const char **value, size_t *len);
bool attr_is(const char *text, const char *name, const char *value);
/* As a number, or -1. */
int64_t attr_number(const char *text, const char *name);
