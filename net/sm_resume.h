/* net/sm_resume.h - what a client's and a server's <resume/> have in common: what it asks for, and
 * the way of its connection from one shard to another (XEP-0198 §5).
 *
 * Both go the same three steps (net/c2s_resume.c tells them). The steps themselves are written in
 * either place all the same: at each of them the two ask something different of a different state,
 * and a table of functions for that is longer than what it would save. */
#pragma once

#include "net/listener.h"
#include "net/sm_places.h"
#include "net/stream.h"
#include "router/acks.h"
#include "xml/stanza.h"

#define SM_GRANTED_MS 10000 /* for the connection of a granted <resume/> to arrive */

/* What the element says, and whose that is. 0: *place has it, or what is left of it; else the
 * stanza error of <failed/>. */
int sm_read_resume(
	const struct elem *resume, uint8_t id[SM_ID_BYTES], uint32_t *h, struct sm_place *place);

/* A connection between two streams, with what it holds of its listener. */
struct sm_connection {
	struct stream_moving stream;
	struct listener *listener; /* counted */
	struct listener_options *options; /* counted */
	struct session_origin origin; /* filled in by who gives it */
};
/* Takes it from st, and what it holds from there. False: it has just been lost, and nothing has
 * happened. */
ON_SHARD bool sm_connection_leave(struct sm_connection *m, struct stream *st,
	struct listener **listener, struct listener_options **options);
/* Gives it to st, which has none. False: it cannot be watched, and is ended. */
ON_SHARD bool sm_connection_arrive(struct sm_connection *m, struct stream *st,
	const struct stream_events *events, const char *name, struct listener **listener,
	struct listener_options **options);
/* There is nobody to give it to. */
ON_SHARD void sm_connection_end(struct sm_connection *m);
