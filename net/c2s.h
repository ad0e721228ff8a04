/* net/c2s.h - client streams: ejabberd_c2s. Each is an fsm on one shard whose states keep their
 * names: wait_for_stream, wait_for_feature_request, wait_for_sasl_response, wait_for_auth,
 * wait_for_bind, wait_for_session, session_established. What others may do with one. */
#pragma once

#include "core/actor.h"
#include "core/attr.h"
#include "core/mailbox.h"
#include "net/stream.h"
#include "router/host.h"

/* Makes a stream of an accepted connection (net/acceptor.h); runs on its shard. */
void c2s_accepted(struct msg *m);

/* Ends one with a stream error; text (copied) may be NULL. Gone already: nothing. */
ANY_THREAD void c2s_kick(struct actor_id id, enum stream_condition c, const char *text);
/* Ends all of them, for a clean stop. They are gone when c2s_count() is 0. */
ANY_THREAD void c2s_kick_all(enum stream_condition c);
ANY_THREAD void c2s_kick_host(const struct host *h, enum stream_condition c);
/* The access rules or the listeners' options have changed: streams are read as fast as they say
 * now.
 */
ANY_THREAD void c2s_shape_all(void);
/* Closes those that hold the most memory (what waits in their output and input), largest first,
 * until they held so much together; none that holds less than C2S_SHED_MIN. Does not wait; false:
 * those of the last call are still being closed. Told in the log. */
#define C2S_SHED_MIN 65536
ANY_THREAD bool c2s_shed(uint64_t bytes);
ANY_THREAD int64_t c2s_count(void); /* streams, bound or not */
