/* net/s2s_stanza.h - a stanza that another server sends: is it one that its stream may carry? If
 * so, it goes to the router. The same for streams that it opened (net/s2s_in_stanza.c) and for
 * those of ours that go both ways (XEP-0288, net/s2s_out_login.c). Owning shard only. */
#pragma once

#include "core/attr.h"
#include "net/s2s_pairs.h"
#include "net/stream.h"
#include "router/acks.h"

/* A stream, as far as that is concerned. */
struct s2s_carrier {
	struct stream *stream;
	struct s2s_pairs *pairs; /* that the peer has proven */
	const char *ours; /* of the stream header: who is meant without a `to` */
	struct acks *acks; /* NULL: the peer does not want to know */
};

/* STREAM_CONDITIONS: s is taken, and handled in one way or the other. Else the stream is to end
 * with that condition, and s stays the caller's. */
ON_SHARD enum stream_condition s2s_stanza(const struct s2s_carrier *c, struct stanza *s);

/* --- policy: the settings of a domain of ours --- */

ANY_THREAD bool s2s_needs_tls(const char *ours);
ANY_THREAD bool s2s_needs_certificate(const char *ours); /* dialback will not do */
ANY_THREAD bool s2s_both_ways(const char *ours); /* XEP-0288 */
