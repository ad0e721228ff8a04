/* net/places.h - where the server of a domain may be reached: an ordered list, immutable and
 * counted, as net/lookup.h makes it and net/dial.h goes through it. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "core/attr.h"
#include "net/dns_answer.h"

#define PLACES_MAX 40

struct place {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address; /* with the port */
	uint16_t port;
	bool direct_tls; /* TLS with the first byte, XEP-0368; else STARTTLS */
	/* Which host has this address was validated by DNSSEC from the domain on, so host is a name
	 * that its certificate may have, too (RFC 7673 §4). */
	bool secure;
	unsigned rank; /* 0 and up: a later one is for when those before do not answer */
	const char *host; /* the SRV target, ASCII; of a literal, the address */
	/* Of _port._tcp.host, validated; NULL: there are none. RFC 7673 §3.3. */
	const struct dns_answer *tlsa;
};

enum places_outcome {
	PLACES_FOUND, /* one at least */
	PLACES_NONE, /* the domain says that it has no server, or there is no such domain */
	PLACES_UNKNOWN, /* name servers did not answer, or not as they should: later, perhaps */
};

struct places {
	_Atomic unsigned refs;
	enum places_outcome outcome;
	const char *why; /* unless found: a sentence without its stop */
	unsigned n;
	struct place at[]; /* in the order in which they are to be tried */
};
ANY_THREAD struct places *places_ref(const struct places *p);
ANY_THREAD void places_unref(const struct places *p); /* NULL is fine */

#define PLACE_TEXT_MAX 64
/* "192.0.2.1:5269", "[2001:db8::1]:5269" */
ANY_THREAD const char *place_text(const struct place *p, char text[PLACE_TEXT_MAX]);
