/* bench/scale.h - as many sessions as memory holds, in one process: everything of the server from a
 * connection's bytes upwards is real (conn, tls, stream, c2s, router), and below it is a wire in
 * memory (net/wire.h), whose far end plays the client. linnet-scale logs them in, lets them write
 * to each other at random and be idle, and says what each costs. */
#pragma once

#include "core/attr.h"
#include "net/wire.h"

#define SCALE_DOMAIN "localhost"
#define SCALE_RESOURCE "r"

/* ---- scale_far.c: a client at the far end of a wire; its session's shard alone touches it ---- */

/* Makes n, number i on wire i. tls: each asks for STARTTLS. main. */
void fars_new(unsigned n, bool tls);
void fars_free(void);
/* Says hello. far_ready() is called once it has a session and has sent its presence. */
ON_SHARD void far_start(unsigned number);
/* Its own memory is wanted soon: fetched ahead, so that figures have the server's misses only. */
void far_soon(unsigned number);
/* Sends a message of 100 bytes to number `to`, which may be on any shard. */
ON_SHARD void far_send(unsigned number, unsigned to);
/* Its bare address's local part, once it is ready. Any thread. */
const char *far_local(unsigned number);
/* What the far ends' TLS holds, which is not the server's. Without jemalloc: 0. */
uint64_t fars_tls_bytes(void);

/* What the program does about it, on the session's shard. */
ON_SHARD void far_ready(unsigned number);
ON_SHARD void far_received(unsigned number, unsigned messages);

/* ---- scale_server.c: the server, without listeners and modules ---- */

void scale_server_start(unsigned shards, bool tls);
void scale_server_stop(void); /* ends all sessions first */
/* A connection on wire `number`, to the running shard. */
ON_SHARD void scale_server_accept(unsigned number);
