/* net/listener.h - the open ports, from the `listen` setting: ejabberd_listener.
 * A listener whose address and port a reload did not change stays open; its options are replaced
 * for connections accepted from then on. */
#pragma once

#include <stdatomic.h>

#include "core/attr.h"
#include "core/conf.h"

enum listen_module { LISTEN_C2S }; /* words: ejabberd_c2s (also: c2s) */

/* One entry of `listen`. */
struct listen_conf {
	int64_t port;               /* 0: the kernel chooses (tests) */
	const char *ip;             /* "0.0.0.0", "::", "127.0.0.1"; "::" takes IPv4 too unless v6_only */
	bool v6_only;
	int module;                 /* enum listen_module */
	int64_t backlog;
	bool tls;                   /* direct TLS with ALPN xmpp-client */
	bool starttls;
	bool starttls_required;
	const char *access;         /* name of an access rule; NULL: all */
	const char *shaper;         /* name of a shaper or shaper_rules entry; NULL: none */
	int64_t max_stanza_size;    /* bytes, once authenticated */
	int64_t max_stanza_size_unauthenticated;
	int64_t max_connections;    /* 0: no limit of its own */
	int64_t max_unauthenticated_per_address;
};
