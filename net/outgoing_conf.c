/* net/outgoing_conf.c - rows, and a pointer. */
#include "net/outgoing_conf.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "core/rcu.h"
#include "xml/jid.h"
#include "xml/precis.h"

#define DNS_PORT 53

static const struct outgoing_conf nothing = { .port = 5269 };
static RCU_PTR(const struct outgoing_conf) running = { &nothing };

/* ---- Checks, which also bring a value to its one canonical form. */

static const char *check_ip(const char **ip, int family, const char *expected, struct arena *a)
{
	char address[sizeof(struct in6_addr)], text[INET6_ADDRSTRLEN];

	if (inet_pton(family, *ip, address) != 1)
		return expected;
	*ip = arena_strdup(a, inet_ntop(family, address, text, sizeof(text)));
	return NULL;
}

static const char *check_ipv4(const void *value, struct arena *a)
{
	return check_ip((const char **)value, AF_INET, "an IPv4 address", a);
}

static const char *check_ipv6(const void *value, struct arena *a)
{
	return check_ip((const char **)value, AF_INET6, "an IPv6 address", a);
}

/* The port behind the last colon of "address:port" or "[address]:port", or DNS_PORT; -1: neither.
 * Cuts text down to the address. */
static int split_port(char **text)
{
	char *colon = strrchr(*text, ':'), *end;
	long port;

	if (**text == '[') {
		char *bracket = strchr(*text, ']');

		if (!bracket || (bracket[1] && bracket + 1 != colon))
			return -1;
		*bracket = 0;
		++*text;
		colon = bracket + 1 == colon ? colon : NULL;
	} else if (colon && strchr(*text, ':') != colon) {
		colon = NULL; /* IPv6 alone */
	}
	if (!colon)
		return DNS_PORT;
	*colon = 0;
	port = strtol(colon + 1, &end, 10);
	return end == colon + 1 || *end || port < 1 || port > 65535 ? -1 : (int)port;
}

static const char *check_name_server(const void *value, struct arena *a)
{
	static const char expected[] =
		"the address of a name server, such as 127.0.0.1, 127.0.0.1:5353 or [::1]:5353";
	const char **server = (const char **)value; /* conf_item allows it */
	char *ip = arena_strdup(a, *server), address[sizeof(struct in6_addr)];
	int port = split_port(&ip), family = strchr(ip, ':') ? AF_INET6 : AF_INET;
	char text[INET6_ADDRSTRLEN];

	if (port < 0 || inet_pton(family, ip, address) != 1)
		return expected;
	inet_ntop(family, address, text, sizeof(text));
	*server = arena_printf(a, family == AF_INET6 ? "[%s]:%d" : "%s:%d", text, port);
	return NULL;
}

static const char *check_host(const void *value, struct arena *a)
{
	const char **host = (const char **)value; /* conf_item allows it */
	char address[sizeof(struct in6_addr)], name[JID_PART_MAX + 1];
	int len;

	if (inet_pton(AF_INET, *host, address) == 1 || inet_pton(AF_INET6, *host, address) == 1)
		return NULL;
	len = jid_prep_domain(*host, strlen(*host), name);
	len = len > 0 ? precis_domain_ascii(name, (size_t)len, name, JID_PART_MAX) : len;
	if (len <= 0)
		return "an address or a name";
	*host = arena_text(a, name, (size_t)len);
	return NULL;
}

static const char *check_places(const void *value, struct arena *a)
{
	const struct conf_list *places = value;
	struct fixed_places *at = places->at;
	char prepared[JID_PART_MAX + 1];

	for (size_t i = 0; i < places->n; i++) {
		int len = jid_prep_domain(at[i].domain, strlen(at[i].domain), prepared);

		if (len <= 0)
			return "a map of domain names";
		at[i].domain = arena_text(a, prepared, (size_t)len);
		for (size_t j = 0; j < i; j++)
			if (!strcmp(at[j].domain, at[i].domain))
				return "a map of domain names, each once";
	}
	return NULL;
}

/* ---- Rows. */

static const char *const family_words[] = { "ipv4", "ipv6", NULL };
static const struct conf_item family_item[] = { { "family", CONF_ENUM, 0, .words = family_words },
	{ 0 } };
static const struct conf_item name_server_item[] = {
	{ "address", CONF_STRING, 0, .check = check_name_server }, { 0 }
};

static const struct conf_item fixed_place_items[] = {
	{ "host", CONF_STRING, FIELD(struct fixed_place, host, const char *), .check = check_host,
		.example = "192.0.2.1",
		.help = "An address, or a name whose addresses are looked up. Without it, the "
			"domain itself." },
	{ "port", CONF_INT, FIELD(struct fixed_place, port, int64_t), .preset = "0", .max = 65535,
		.help = "The TCP port; 0: the one of outgoing_s2s_port." },
	{ "tls", CONF_BOOL, FIELD(struct fixed_place, tls, bool), .preset = "false",
		.help = "TLS begins with the first byte (XEP-0368), not by STARTTLS." },
	{ 0 }
};
static const struct conf_item fixed_places_item[] = {
	{ "places", CONF_LIST, FIELD(struct fixed_places, at, struct conf_list),
		.rows = fixed_place_items, .item_size = sizeof(struct fixed_place) },
	{ 0 }
};

const struct conf_item outgoing_conf_items[] = {
	{ "dns_servers", CONF_LIST, FIELD(struct outgoing_conf, dns_servers, struct conf_list),
		.item = name_server_item, .item_size = sizeof(const char *),
		.example = "[127.0.0.1, \"[2001:db8::53]:5353\"]",
		.help = "The name servers that are asked for other servers: addresses, each with a "
			"port where it is not 53. Without it, those of /etc/resolv.conf, which is "
			"read again at each reload." },
	{ "dns_trust_ad", CONF_BOOL, FIELD(struct outgoing_conf, dns_trust_ad, bool),
		.preset = "false",
		.help = "Believe the name servers what they say to have validated by DNSSEC, so "
			"that TLSA records (DANE) count. Only for a validating resolver that "
			"nobody can get in between, best one on this machine." },
	{ "s2s_dns_timeout", CONF_TIME, FIELD(struct outgoing_conf, dns_timeout_ms, int64_t),
		.preset = "10 s", .min = 100, .max = 600000,
		.help = "How long a question waits for one name server, all tries taken together; "
			"then the next server is asked." },
	{ "s2s_dns_retries", CONF_INT, FIELD(struct outgoing_conf, dns_retries, int64_t),
		.preset = "2", .max = 10, .unit = "tries",
		.help = "How often a name server that does not answer is asked again." },
	{ "outgoing_s2s_families", CONF_LIST,
		FIELD(struct outgoing_conf, families, struct conf_list), .item = family_item,
		.item_size = sizeof(int), .preset = "[ipv6, ipv4]",
		.help = "The kinds of addresses that other servers are connected to by, the "
			"preferred one first." },
	{ "outgoing_s2s_port", CONF_INT, FIELD(struct outgoing_conf, port, int64_t),
		.preset = "5269", .min = 1, .max = 65535,
		.help = "The port of other servers where no SRV record names one." },
	{ "outgoing_s2s_timeout", CONF_TIME, FIELD(struct outgoing_conf, timeout_ms, int64_t),
		.preset = "10 s", .min = 100, .max = INT64_MAX,
		.help = "How long one connection may take until it stands; others are tried "
			"meanwhile." },
	{ "outgoing_s2s_ipv4_address", CONF_STRING,
		FIELD(struct outgoing_conf, ipv4_address, const char *), .check = check_ipv4,
		.example = "192.0.2.1",
		.help = "The address of this machine that connections by IPv4 come from. Without "
			"it, the system chooses." },
	{ "outgoing_s2s_ipv6_address", CONF_STRING,
		FIELD(struct outgoing_conf, ipv6_address, const char *), .check = check_ipv6,
		.example = "2001:db8::1", .help = "The same for IPv6." },
	{ "s2s_places", CONF_MAP, FIELD(struct outgoing_conf, places, struct conf_list),
		.item = fixed_places_item, .item_size = sizeof(struct fixed_places),
		.check = check_places,
		.example = "chat.example.org:\n  - host: 192.0.2.1\n    port: 5270\n    tls: true",
		.help = "Where the servers of some domains are, in place of what DNS says: a map "
			"of domains, each with a list of places that are tried in this order." },
	{ 0 },
};

/* ---- What runs. */

void outgoing_conf_publish(const struct outgoing_conf *c)
{
	rcu_set(running, c);
}

const struct outgoing_conf *outgoing_conf(void)
{
	return rcu_get(running);
}
