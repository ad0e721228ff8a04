/* modules/caps.h - what clients say that they can: XEP-0115 and XEP-0390, for modules that tell
 * some clients what others have not asked for, such as personal eventing (XEP-0163 §4.2).
 * Known are clients connected here that show capabilities in their presence, once they have
 * answered what the hash stands for or the hash was known. */
#pragma once

#include "core/hook.h"
#include "modules/caps_cache.h"
#include "router/session.h"
#include "xml/jid.h"

/* The features of the client at a full JID, or NULL: not known (yet). Good until the thread's next
 * quiescent state. Any registered thread, no lock. */
const struct caps_features *caps_features(const struct jid *full);
/* Whether it wants notifications of a node: has the feature NODE+notify. False: not known, too. */
bool caps_wants(const struct jid *full, const char *node);

/* Runs on the session's shard when the features of a client have become known, or others than
 * before; in its host's set. subject: struct caps_change. */
struct caps_change {
	struct session *session;
	const struct caps_features *before; /* NULL: not known */
	const struct caps_features *now; /* not NULL */
};
extern struct hook caps_change_hook;
