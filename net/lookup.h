/* net/lookup.h - from a domain to the places of its server. RFC 6120 §3.2, RFC 2782, XEP-0368,
 * RFC 7673; in this order:
 *   1. places that the settings name for the domain (s2s_places);
 *   2. a domain that is an address;
 *   3. _xmpps-server._tcp and _xmpp-server._tcp SRV, priorities and weights of both mixed;
 *   4. without any, the domain's own addresses and outgoing_s2s_port.
 * Both SRV questions are asked at once, then the addresses of all targets, then, where all of that
 * was validated by DNSSEC, TLSA. How many a domain may name is bounded. */
#pragma once

#include "net/places.h"
#include "net/telling.h"

#define LOOKUP_TARGETS_MAX 10 /* SRV records of a domain that count; the first in order */
#define LOOKUP_ADDRESSES_MAX 8 /* of each family and target */

struct lookup;
/* On the asking shard, never from inside lookup_start(). The lookup is over and forgotten. Takes a
 * reference to p if it keeps it. */
typedef void lookup_done_fn(const struct places *p, void *arg);

/* domain: a prepared one, as in a JID. t: told each step; may be NULL. */
ON_SHARD struct lookup *lookup_start(
	const char *domain, struct telling *t, lookup_done_fn *done, void *arg) MUST_USE;
/* done() is not called any more; NULL is fine. */
ON_SHARD void lookup_cancel(struct lookup *l);
