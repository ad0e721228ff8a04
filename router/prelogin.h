/* router/prelogin.h - what modules add to a client stream before anybody has logged in.
 * Both hooks run on the stream's shard, in the set of the host that the stream was opened to. */
#pragma once

#include "core/actor.h"
#include "core/conf.h"
#include "core/hook.h"
#include "router/host.h"
#include "xml/builder.h"
#include "xml/stanza.h"

/* Children of <stream:features/>; functions add theirs to the builder. */
struct stream_features {
	struct host *host;
	struct builder *features; /* inside <stream:features/> */
	bool authenticated;
	bool tls;
	const struct conf_prefix *address; /* the client's */
};
extern struct hook stream_features_hook; /* subject: struct stream_features */

/* A request of a stream that is not authenticated. Who answers it returns HOOK_STOP and sends the
 * answer to the stream with deliver_to(), at once or later; when nobody does, the stream answers as
 * RFC 6120 §6.1 asks. */
struct prelogin_iq {
	struct host *host;
	struct stanza *iq; /* sealed get or set; ref it to keep it */
	const struct conf_prefix *address; /* the client's */
	struct actor_id stream;
	bool tls;
};
extern struct hook prelogin_iq_hook; /* subject: struct prelogin_iq */
