/* net/outgoing_conf.h - settings of how other servers are found and reached: rows for the file, and
 * the snapshot that runs. */
#pragma once

#include "core/conf.h"

enum outgoing_family { OUTGOING_IPV4, OUTGOING_IPV6 };

/* A place that the settings name. */
struct fixed_place {
	const char *host; /* an address, or a name that is looked up; NULL: the domain itself */
	int64_t port; /* 0: outgoing_s2s_port */
	bool tls; /* from the first byte, XEP-0368 */
};
struct fixed_places {
	const char *domain; /* prepared; first, as CONF_MAP wants it */
	struct conf_list at; /* of struct fixed_place, to be tried in this order */
};

struct outgoing_conf {
	struct conf_list dns_servers; /* of const char *: "192.0.2.1:53", "[2001:db8::1]:53"; none:
				       * those of /etc/resolv.conf */
	bool dns_trust_ad; /* what they call validated, is */
	int64_t dns_timeout_ms; /* for each name server */
	int64_t dns_retries;
	struct conf_list families; /* of int: enum outgoing_family, the preferred one first */
	int64_t port; /* where no record names one */
	int64_t timeout_ms; /* for each connection until it stands; INT64_MAX: the kernel's */
	const char *ipv4_address, *ipv6_address; /* to connect from; NULL: any */
	struct conf_list places; /* of struct fixed_places */
};
extern const struct conf_item outgoing_conf_items[];

/* c is what runs from now on. It may go after a grace period once the next one is published. main
 * or the one reload at a time. */
void outgoing_conf_publish(const struct outgoing_conf *c);
/* Under RCU; before the first is published, what an empty file means but without any family. */
ANY_THREAD const struct outgoing_conf *outgoing_conf(void) __attribute__((returns_nonnull));
