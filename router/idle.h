/* router/idle.h - how a module watches over silent client streams without costing a stanza
 * anything. A bound stream runs the hook when it opens, and again when its client has sent no byte
 * for as long as the hook asked for: the stream's timer then looks at the time of the last byte,
 * and when that has moved it only asks anew with silent_ms as it is, so traffic neither arms nor
 * cancels anything. */
#pragma once

#include "core/hook.h"

struct session; /* router/session.h */

#define IDLE_NEVER UINT64_MAX
/* On the stream's shard. */
struct idle {
	struct session *session;
	uint64_t silent_ms; /* since the client's last byte */
	/* When the client was last pinged, as silent_ms of then. The stream keeps it between two
	 * calls and sets it to 0 when the client has been heard. */
	uint64_t pinged_ms;
	/* Ask again when silent for so long in all. Begins as IDLE_NEVER; functions lower it. */
	uint64_t again_ms;
	/* The connection is lost: close the stream with connection-timeout, RFC 6120 §4.9.3.4. */
	bool dead;
};
extern struct hook session_idle_hook; /* subject: struct idle */
