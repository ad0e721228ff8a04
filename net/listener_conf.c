/* net/listener_conf.c - what an entry of `listen` may say. */
#include "net/listener_conf.h"

#include <arpa/inet.h>
#include <string.h>

#include "router/component.h"
#include "xml/jid.h"

const char *const listen_module_words[] = {
	[LISTEN_C2S] = "ejabberd_c2s|c2s",
	[LISTEN_S2S_IN] = "ejabberd_s2s_in|s2s",
	[LISTEN_SERVICE] = "ejabberd_service",
	[LISTEN_MODULES] = NULL,
};
/* ejabberd's; a row leaves when its listener or option comes. */
static const struct conf_hint module_hints[] = {
	{ "ejabberd_http|ejabberd_http_ws|ejabberd_xmlrpc", "there is no HTTP yet" },
	{ "ejabberd_stun|ejabberd_sip|mod_mqtt",
		"this server does not have it; take the entry out" },
	{ NULL, NULL },
};
const struct conf_hint listen_hints[] = {
	{ "certfile|certfiles", "certificates stand at the top, as certfiles, for all ports" },
	{ "ciphers", "this is tls_ciphers, and for TLS 1.3 tls_ciphersuites, at the top" },
	{ "dhfile", "the key exchange is by elliptic curves, which tls_groups at the top lists" },
	{ "protocol_options", "this is tls_min_version, at the top" },
	{ "tls_compression|zlib", "streams are never compressed; take it out" },
	{ "max_fsm_queue|send_timeout",
		"max_out_bytes bounds what waits for who does not read: at the top for clients, "
		"here for components" },
	{ "pre_auth_max_stanza_size", "this is max_stanza_size_unauthenticated" },
	{ "max_stanza_elements|pre_auth_max_stanza_elements|accept_interval|supervisor",
		"there is nothing of this kind to be set; take it out" },
	{ "allow_unencrypted_sasl2", "there is no SASL2 yet" },
	{ "transport", "every port is one of TCP; take it out" },
	{ "unix_socket|use_proxy_protocol", "clients come by TCP, and directly; take it out" },
	{ "request_handlers|custom_headers|default_host|tag", "there is no HTTP yet" },
	{ "use_turn|turn_*|auth_realm|auth_type|server_name", "there is no STUN yet" },
	{ "shaper_rule", "this is shaper" },
	{ "service_check_from", "this is check_from" },
	{ NULL, NULL },
};

static const struct conf_hint s2s_in_missing[] = {
	{ "starttls|starttls_required", "this is s2s_use_starttls at the top" },
	{ "access", "this is s2s_access at the top" },
	{ "max_out_bytes", "this is s2s_queue_bytes at the top" },
	{ "tls_verify", "other servers are always asked for a certificate" },
	{ "cafile", "this is ca_file at the top" },
	{ "hosts|password|check_from|global_routes|domain_conflict",
		"it is one of ejabberd_service" },
	{ NULL, NULL },
};

/* Options that a module does not have, and what to do instead; without a table it has all. */
static const struct conf_hint *const options_missing[LISTEN_MODULES] = {
	[LISTEN_C2S] =
		(const struct conf_hint[]){
			{ "max_out_bytes", "it stands at the top, or under host_config" },
			{ "hosts|password|check_from|global_routes|domain_conflict",
				"it is one of ejabberd_service" },
			{ NULL, NULL },
		},
	[LISTEN_S2S_IN] = s2s_in_missing,
	[LISTEN_SERVICE] =
		(const struct conf_hint[]){
			{ "starttls|starttls_required",
				"XEP-0114 has no STARTTLS; tls is TLS from the first byte" },
			{ "tls_verify|cafile", "a component shows who it is by its password" },
			{ NULL, NULL },
		},
};

static const char *const conflict_words[] = {
	[COMPONENT_CLOSE_NEW] = "closenew",
	[COMPONENT_CLOSE_OLD] = "closeold",
	NULL,
};

/* Also brings it to its one canonical form, so that equal addresses are equal texts. */
static const char *check_ip(const void *value, struct arena *a)
{
	const char **ip = (const char **)value; /* conf_item allows it */
	char address[sizeof(struct in6_addr)], text[INET6_ADDRSTRLEN];
	int family = strchr(*ip, ':') ? AF_INET6 : AF_INET;

	if (inet_pton(family, *ip, address) != 1)
		return "an IPv4 or IPv6 address; 0.0.0.0 or :: for all";
	*ip = arena_strdup(a, inet_ntop(family, address, text, sizeof(text)));
	return NULL;
}

static const struct conf_item domain_rows[] = {
	{ "password", CONF_SECRET, FIELD(struct listen_domain, password, const char *),
		.help = "The secret of this domain's component; without it, the entry's "
			"password." },
	{ 0 }
};

const struct conf_item listen_items[] = {
	{ "port", CONF_INT, FIELD(struct listen_conf, port, int64_t), .max = 65535,
		.required = true, .example = "5222", .help = "The TCP port; 0: any that is free." },
	{ "ip", CONF_STRING, FIELD(struct listen_conf, ip, const char *), .preset = "0.0.0.0",
		.check = check_ip, .example = "\"::\"",
		.help = "The address: 0.0.0.0 is every IPv4 address of the machine, `::` every "
			"IPv6 "
			"and IPv4 address." },
	{ "v6_only", CONF_BOOL, FIELD(struct listen_conf, v6_only, bool), .preset = "false",
		.help = "Leave IPv4 out where ip is `::`." },
	{ "module", CONF_ENUM, FIELD(struct listen_conf, module, int), .preset = "ejabberd_c2s",
		.words = listen_module_words, .hints = module_hints, .example = "ejabberd_c2s",
		.help = "Who comes to this port: `ejabberd_c2s`, clients; `ejabberd_s2s_in`, other "
			"servers (usually port 5269); `ejabberd_service`, external components "
			"(XEP-0114), such as gateways." },
	{ "tls", CONF_BOOL, FIELD(struct listen_conf, tls, bool), .preset = "false",
		.help = "TLS from the first byte (XEP-0368, usually port 5223) instead of "
			"STARTTLS." },
	{ "starttls", CONF_BOOL, FIELD(struct listen_conf, starttls, bool), .preset = "true",
		.help = "Offer STARTTLS. Without it and without tls, everything is in the clear." },
	{ "starttls_required", CONF_BOOL, FIELD(struct listen_conf, starttls_required, bool),
		.preset = "true", .help = "Let nobody log in before STARTTLS." },
	{ "tls_verify", CONF_BOOL, FIELD(struct listen_conf, tls_verify, bool), .preset = "false",
		.help = "Ask clients for a certificate; one from a known authority that has the "
			"client's address in it (as XmppAddr) logs it in without a password "
			"(EXTERNAL, XEP-0178). Who has none logs in as usual." },
	{ "cafile", CONF_PATH, FIELD(struct listen_conf, cafile, const char *), .no_example = true,
		.help = "A PEM file with the authorities that these certificates may come from; "
			"without it, those of ca_file at the top." },
	{ "access", CONF_ACCESS, FIELD(struct listen_conf, access, const char *),
		.help = "The access rule that says who may log in here; without it, everybody." },
	{ "shaper", CONF_SHAPER, FIELD(struct listen_conf, shaper, const char *),
		.help = "How fast one client or server is read: a shaper, or an entry of "
			"shaper_rules; without "
			"it, as fast as it sends." },
	{ "max_stanza_size", CONF_SIZE, FIELD(struct listen_conf, max_stanza_size, int64_t),
		.preset = "256 KB", .min = 10000, .max = 16 << 20,
		.help = "The largest stanza a client or server may send; a larger one ends its "
			"stream." },
	{ "max_stanza_size_unauthenticated", CONF_SIZE,
		FIELD(struct listen_conf, max_stanza_size_unauthenticated, int64_t),
		.preset = "16 KB", .min = 10000, .max = 1 << 20,
		.help = "The same for a client that has not logged in, and a server that has not "
			"shown who it is." },
	{ "negotiation_timeout", CONF_TIME,
		FIELD(struct listen_conf, negotiation_timeout_ms, int64_t), .max = 3600000,
		.help = "As the option of this name at the top, for this port alone." },
	{ "max_connections", CONF_INT, FIELD(struct listen_conf, max_connections, int64_t),
		.preset = "0", .max = 100000000, .unit = "connections",
		.help = "Connections that may be open at once; 0: as many as the process may "
			"have." },
	{ "max_unauthenticated_per_address", CONF_INT,
		FIELD(struct listen_conf, max_unauthenticated_per_address, int64_t),
		.preset = "1000", .max = 100000000, .unit = "connections",
		.help = "Connections from one IPv4 address or IPv6 /64 that may be open at once "
			"without having logged in; 0: no limit." },
	{ "backlog", CONF_INT, FIELD(struct listen_conf, backlog, int64_t), .preset = "1024",
		.min = 1, .max = 65535, .unit = "connections",
		.help = "Connections that may wait in the kernel to be accepted." },
	{ "hosts", CONF_MAP, FIELD(struct listen_conf, hosts, struct conf_list),
		.rows = domain_rows, .item_size = sizeof(struct listen_domain), .no_example = true,
		.help = "Of ejabberd_service: the domains whose components may connect here, each "
			"with its password. Without it, any domain that is not this server's." },
	{ "password", CONF_SECRET, FIELD(struct listen_conf, password, const char *),
		.no_example = true,
		.help = "Of ejabberd_service: the secret of all domains that have none of their "
			"own." },
	{ "check_from", CONF_BOOL, FIELD(struct listen_conf, check_from, bool), .preset = "true",
		.no_example = true,
		.help = "Of ejabberd_service: end the stream of a component that sends as somebody "
			"outside of its domain. Without it a component may send as anybody." },
	{ "global_routes", CONF_BOOL, FIELD(struct listen_conf, global_routes, bool),
		.preset = "false", .no_example = true,
		.help = "Of ejabberd_service: a component serves all domains of hosts that nobody "
			"else serves, and not only the one it connects as." },
	{ "domain_conflict", CONF_ENUM, FIELD(struct listen_conf, domain_conflict, int),
		.preset = "closenew", .words = conflict_words, .no_example = true,
		.help = "Of ejabberd_service: whose stream ends when a component comes for a "
			"domain "
			"that another one serves. `closeold` suits one that comes back after its "
			"network was gone." },
	{ "max_out_bytes", CONF_SIZE, FIELD(struct listen_conf, max_out_bytes, int64_t),
		.preset = "16 MB", .min = 65536, .max = (int64_t)1 << 32, .no_example = true,
		.help = "Of ejabberd_service: memory of what may wait for a component that does "
			"not read; beyond it, its stream ends, and messages are answered with an "
			"error." },
	{ 0 }
};

static void check_options(int module, const struct conf_node *map, struct conf_errors *e)
{
	const char *word = listen_module_words[module];
	const struct conf_node *option;

	if (!options_missing[module] || conf_node_kind(map) != CONF_MAPPING)
		return;
	conf_node_each (option, map) {
		const char *name = conf_node_key(option);
		const char *instead = conf_hint(options_missing[module], name);

		if (instead)
			conf_fail_key(e, option, "%.*s has no option \"%s\": %s",
				(int)strcspn(word, "|"), word, name, instead);
	}
}

/* A component's domains are looked up as a stream's `to` is: prepared. */
static void check_domains(
	const struct listen_conf *l, const struct conf_node *map, struct conf_errors *e)
{
	const struct conf_node *hosts = conf_node_get(map, "hosts"), *item = conf_node_first(hosts);
	const struct listen_domain *at = l->hosts.at;

	if (!l->hosts.n && !l->password)
		conf_fail(e, map, "expected hosts or a password, without which no component comes");
	for (size_t i = 0; i < l->hosts.n; i++, item = conf_node_next(item)) {
		char domain[JID_PART_MAX + 1];

		if (jid_prep_domain(at[i].name, strlen(at[i].name), domain) <= 0)
			conf_fail_key(e, item, "expected a domain name, found \"%s\"", at[i].name);
		else if (strcmp(domain, at[i].name) != 0)
			conf_fail_key(e, item, "expected \"%s\", as domains are compared", domain);
		if (!at[i].password && !l->password)
			conf_fail_key(e, item, "the component %s has no password", at[i].name);
	}
}

void listen_conf_finish(struct listen_conf *l, const struct conf_node *map, int64_t all_timeout_ms,
	struct conf_errors *e)
{
	/* Only what the file says itself can be wrong, not a default. */
	const struct conf_node *starttls = conf_node_get(map, "starttls");
	const struct conf_node *required = conf_node_get(map, "starttls_required");

	check_options(l->module, map, e);
	if (l->module == LISTEN_SERVICE)
		check_domains(l, map, e);
	if (l->module != LISTEN_C2S && !starttls)
		l->starttls = false; /* clients' alone is on unless it is said */
	if (!l->negotiation_timeout_ms)
		l->negotiation_timeout_ms = all_timeout_ms;
	if (l->tls && l->starttls && starttls)
		conf_fail_key(e, starttls, "expected either tls or starttls, found both");
	if (!l->tls && !l->starttls && l->starttls_required && required)
		conf_fail_key(e, required,
			"expected starttls to be on where it is required, found it off");
	if (l->cafile && !l->tls_verify)
		conf_fail_key(e, conf_node_get(map, "cafile"),
			"expected tls_verify to be on where there is a cafile, found it off");
	if (l->tls_verify && !l->tls && !l->starttls)
		conf_fail_key(e, conf_node_get(map, "tls_verify"),
			"expected tls or starttls, without which there are no certificates");
	l->starttls = l->starttls && !l->tls;
	l->starttls_required = l->starttls_required && l->starttls;
}

static bool takes_ipv4(const struct listen_conf *l)
{
	return !strchr(l->ip, ':') || (!strcmp(l->ip, "::") && !l->v6_only);
}

static bool is_any(const struct listen_conf *l)
{
	return !strcmp(l->ip, "::") || !strcmp(l->ip, "0.0.0.0");
}

bool listen_conf_clash(const struct listen_conf *a, const struct listen_conf *b)
{
	bool a6 = strchr(a->ip, ':'), b6 = strchr(b->ip, ':');

	if (!a->port || a->port != b->port)
		return false;
	if (!strcmp(a->ip, b->ip))
		return true;
	if (a6 == b6)
		return is_any(a) || is_any(b);
	return is_any(a6 ? a : b) && takes_ipv4(a6 ? a : b);
}
