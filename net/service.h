/* net/service.h - streams of external components: ejabberd_service, XEP-0114 (Jabber Component
 * Protocol). Each is an fsm on one shard: wait_for_stream, wait_for_handshake, stream_established.
 * Whose domain a stream serves is router/component.h's. */
#pragma once

#include "core/actor.h"
#include "core/attr.h"
#include "core/mailbox.h"
#include "net/stream.h"

/* Makes a stream of an accepted connection (net/acceptor.h); runs on its shard. */
void service_accepted(struct msg *m);

/* Ends one with a stream error; text is a constant and may be NULL. Gone already: nothing. */
ANY_THREAD void service_kick(struct actor_id id, enum stream_condition c, const char *text);
/* Ends all of them, for a clean stop. They are gone when service_count() is 0. */
ANY_THREAD void service_kick_all(enum stream_condition c);
/* The access rules or the listeners' options have changed: streams are read as fast as they say
 * now. */
ANY_THREAD void service_shape_all(void);
ANY_THREAD int64_t service_count(void); /* streams, with a domain or not */
