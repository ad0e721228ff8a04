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

/* §3.2: the session is in the directory, its client has not been told yet, and has sent nothing. A
 * function looks for its elements below request, as <enable xmlns='urn:xmpp:carbons:2'/>, does what
 * they ask, and adds to bound what the client must hear of it, as <enabled xmlns='urn:xmpp:sm:3'/>
 * or, unasked, <metadata xmlns='urn:xmpp:mam:2'/>. Nothing is sent to the session from here: it
 * would come before <success/>. */
struct bind_inline {
	struct session *session;
	const struct elem *request; /* <bind xmlns='urn:xmpp:bind:0'/> */
	struct builder *bound; /* inside <bound xmlns='urn:xmpp:bind:0'/> */
};
extern struct hook bind_inline_hook; /* subject: struct bind_inline */
