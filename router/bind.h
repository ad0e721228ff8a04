/* router/bind.h - what modules offer and do while a resource is bound inline: XEP-0386 (Bind 2).
 * All of it on the stream's shard. */
#pragma once

#include "core/hook.h"
#include "router/host.h"
#include "router/session.h"
#include "xml/builder.h"
#include "xml/stanza.h"

/* §3.1: before anybody has logged in. For each feature that a function can enable inline it calls
 * bind_offer() with its name in service discovery ("urn:xmpp:carbons:2"). */
struct bind_offer {
	struct host *host;
	struct builder *features; /* private to bind_offer() */
	bool any; /* private */
};
extern struct hook bind_offer_hook; /* subject: struct bind_offer */
void bind_offer(struct bind_offer *o, const char *feature);

/* §3.2: before the resource is bound, for what has to be looked up. A function that needs time
 * keeps what it needs, adds one to waits, and later says ready() on the same shard, with an element
 * for <bound/> (taken; NULL: nothing), whether the stream is still there or not. The client waits.
 */
typedef void bind_ready_fn(struct actor_id stream, struct stanza *element);
struct bind_prepare {
	struct host *host;
	const struct jid *account; /* bare */
	struct actor_id stream;
	const struct elem *request; /* as below; the hook's alone */
	unsigned waits;
	bind_ready_fn *ready;
};
extern struct hook bind_prepare_hook; /* subject: struct bind_prepare */

/* §3.2: the session is in the directory, its client has not been told yet, and has sent nothing. A
 * function looks for its elements below request, as <enable xmlns='urn:xmpp:carbons:2'/>, does what
 * they ask, and adds to bound what the client must hear of it. Nothing is sent to the session from
 * here: it would come before <success/>. */
struct bind_inline {
	struct session *session;
	const struct elem *request; /* <bind xmlns='urn:xmpp:bind:0'/> */
	struct builder *bound; /* inside <bound xmlns='urn:xmpp:bind:0'/> */
};
extern struct hook bind_inline_hook; /* subject: struct bind_inline */
