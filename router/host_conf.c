/* router/host_conf.c - the options that may differ from host to host. */
#include "router/host_conf.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "core/lang.h"
#include "core/mem.h"

/* In the order of enum auth_method. */
static const char *const auth_words[] = { "internal|mnesia", "external", "ldap", "sql", "pam",
	"jwt", "anonymous", NULL };
/* ejabberd's; a row leaves when its way comes. */
static const struct conf_hint auth_hints[] = {
	{ "http", "there is no such way to log in yet" },
	{ NULL, NULL },
};
static const struct conf_item auth_item[] = { { "auth_method", CONF_ENUM, 0, .words = auth_words,
						      .hints = auth_hints,
						      .help = "Where accounts come from." },
	{ 0 } };
static const char *const format_words[] = { "scram", "plain", NULL };
static const char *const conflict_words[] = { "closeold|acceptnew", "closenew", "setresource",
	NULL };
/* In the order of SASL_* in router/host.h; the ones behind them are ejabberd's and never offered.
 */
#define OUR_MECHANISMS                                                                   \
	"SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-512", \
		"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "ANONYMOUS", "EXTERNAL", "OAUTHBEARER"
static const char *const scram_words[] = { "SCRAM-SHA-1|sha", "SCRAM-SHA-256|sha256",
	"SCRAM-SHA-512|sha512", NULL }; /* in the order of enum scram_hash */
static const char *const mechanism_words[] = { OUR_MECHANISMS, NULL };
static const char *const disable_words[] = { OUR_MECHANISMS, "DIGEST-MD5", "X-OAUTH2", NULL };

/* RFC 5646 §2.1 in outline: letters and digits between hyphens, the first part of letters. */
static const char *check_language(const void *value, struct arena *a UNUSED)
{
	const char *tag = *(const char *const *)value, *c = tag;
	size_t run = 0;

	for (; *c; c++) {
		bool letter = (*c | 0x20) >= 'a' && (*c | 0x20) <= 'z';
		bool digit = *c >= '0' && *c <= '9' && memchr(tag, '-', (size_t)(c - tag));

		run = letter || digit ? run + 1 : 0;
		if ((!run && (*c != '-' || c == tag || c[-1] == '-')) || run > 8)
			return "a language tag, such as en or pt-BR";
	}
	return run ? NULL : "a language tag, such as en or pt-BR";
}

/* RFC 6120 §4.9.3.19: a domain or an address, IPv6 in brackets, and a port unless it is the usual.
 */
static const char *check_location(const void *value, struct arena *a UNUSED)
{
	static const char expected[] = "a domain or an IP address, an IPv6 address in square "
				       "brackets, and a port if need be: [2001:db8::1]:5222";
	const char *text = *(const char *const *)value, *port;
	size_t len = strcspn(text, *text == '[' ? "]" : ":");
	AUTO(free_ptr) char *place = xstrndup(text + (*text == '['), len - (*text == '['));
	struct in6_addr address;

	if (*text == '[' ? !inet_pton(AF_INET6, place, &address) || text[len] != ']'
			 : !len || strpbrk(place, " []@/"))
		return expected;
	port = text + len + (*text == '[');
	if (!*port)
		return NULL;
	len = strspn(port + 1, "0123456789");
	return *port == ':' && len && len < 6 && !port[len + 1] && atoi(port + 1) > 0 &&
			atoi(port + 1) <= UINT16_MAX
		? NULL
		: expected;
}

/* In the order of enum s2s_starttls. */
static const char *const starttls_words[] = { "false|no", "optional|true|yes", "required",
	"required_trusted", NULL };
static const char *const resend_words[] = { "false|no", "true|yes", "if_offline", NULL };
/* Named as mod_stream_mgmt of ejabberd names them. */
static const struct conf_item sm_items[] = {
	{ "resume_timeout", CONF_TIME, FIELD(struct sm_conf, resume_timeout_ms, int64_t),
		.preset = "5 min", .max = 86400000,
		.help = "How long a session waits for its client after the connection was lost, if "
			"the client asks for no time of its own. 0: it cannot be resumed." },
	{ "max_resume_timeout", CONF_TIME, FIELD(struct sm_conf, max_resume_timeout_ms, int64_t),
		.preset = "5 min", .max = 86400000,
		.help = "How long it waits at most, whatever the client asks for." },
	{ "max_ack_queue", CONF_INT, FIELD(struct sm_conf, max_ack_queue, int64_t),
		.preset = "5000", .min = 10, .max = 1000000, .unit = "stanzas",
		.help = "Stanzas that a client has not acknowledged; past it the session ends, and "
			"they go the way of an absent user's." },
	{ "max_ack_bytes", CONF_SIZE, FIELD(struct sm_conf, max_ack_bytes, int64_t),
		.preset = "8 MB", .min = 65536, .max = 1 << 30,
		.help = "Memory that these stanzas may hold." },
	{ "ack_timeout", CONF_TIME, FIELD(struct sm_conf, ack_timeout_ms, int64_t),
		.preset = "1 min", .min = 1000, .max = 3600000,
		.help = "A client that does not answer a request for acknowledgement for so long "
			"has lost its connection." },
	{ "resend_on_timeout", CONF_ENUM, FIELD(struct sm_conf, resend, int), .preset = "true",
		.words = resend_words,
		.help = "What becomes of messages that were not acknowledged when a session ends: "
			"`true`, they go to other resources or wait for the user to come back; "
			"`if_offline`, only when no other resource is there, else the sender gets "
			"an error; `false`, the sender gets an error." },
	{ "location", CONF_STRING, FIELD(struct sm_conf, location, const char *),
		.check = check_location, .example = "im3.example.org:5222",
		.help = "Where clients should connect to resume, if that is not where they find "
			"the domain: this machine among several of one domain." },
	{ 0 }
};

/* Named as mod_client_state of ejabberd names them. */
static const struct conf_item client_state_items[] = {
	{ "queue_presence", CONF_BOOL, FIELD(struct client_state_conf, queue_presence, bool),
		.preset = "true", .help = "Presence: of each contact, the latest." },
	{ "queue_chat_states", CONF_BOOL, FIELD(struct client_state_conf, queue_chat_states, bool),
		.preset = "true", .help = "Who is typing, and the like." },
	{ "queue_pep", CONF_BOOL, FIELD(struct client_state_conf, queue_pep, bool),
		.preset = "true",
		.help = "Notifications of what other people publish (XEP-0163)." },
	{ 0 }
};

const struct conf_item host_conf_items[] = {
	{ "auth_method", CONF_LIST, FIELD(struct host_conf, auth_methods, struct conf_list),
		.preset = "[internal]", .item = auth_item, .item_size = sizeof(int),
		.per_host = true,
		.help = "Who may log in: `internal`, the accounts in the server's database; "
			"`anonymous`, anybody, with an address that is thrown away afterwards; all "
			"others are accounts of other systems, each brought by the module of its "
			"name (`external`: mod_auth_external). They are asked in this order, and "
			"an account belongs to the first that knows it." },
	{ "scram_beside_plain", CONF_BOOL, FIELD(struct host_conf, scram_beside_plain, bool),
		.preset = "false", .per_host = true,
		.help = "Where some accounts of auth_method can only log in with PLAIN, offer "
			"SCRAM too, for the others. Clients that choose SCRAM for an account of "
			"the first kind fail, and few try PLAIN then." },
	{ "auth_use_cache", CONF_BOOL, FIELD(struct host_conf, use_auth_cache, bool),
		.preset = "true", .per_host = true,
		.help = "Remember what other systems have said about whether an account exists. "
			"Logins always ask them; messages to absent users do not each time." },
	{ "auth_cache_size", CONF_INT, FIELD(struct host_conf, auth_cache_size, int64_t),
		.preset = "10000", .min = 64, .max = 10000000, .unit = "accounts", .per_host = true,
		.applies = CONF_AT_RESTART,
		.help = "Of how many accounts of a host this is remembered." },
	{ "auth_cache_life_time", CONF_TIME, FIELD(struct host_conf, auth_cache_life_ms, int64_t),
		.preset = "1 hour", .min = 1000, .max = 30 * 86400000LL, .per_host = true,
		.help = "For how long; when the other system is away, also longer." },
	{ "auth_cache_missed", CONF_BOOL, FIELD(struct host_conf, auth_cache_missed, bool),
		.preset = "true", .per_host = true,
		.help = "Remember also that there is no such account." },
	{ "sasl_mechanisms", CONF_WORDS, FIELD(struct host_conf, allowed_mechanisms, uint32_t),
		.preset = "[SCRAM-SHA-512-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-1-PLUS, "
			  "SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, ANONYMOUS, EXTERNAL, "
			  "OAUTHBEARER]",
		.words = mechanism_words, .per_host = true,
		.help = "Ways to log in that may be offered. PLAIN is offered under TLS only, the "
			"-PLUS forms where TLS gives a channel binding, ANONYMOUS when auth_method "
			"has it, EXTERNAL to clients whose certificate is an account's (tls_verify "
			"of the port), OAUTHBEARER when auth_method has jwt, under TLS." },
	{ "disable_sasl_mechanisms", CONF_WORDS,
		FIELD(struct host_conf, disabled_mechanisms, uint32_t), .words = disable_words,
		.per_host = true, .example = "[PLAIN]",
		.help = "Ways to log in that are never offered, whatever sasl_mechanisms says." },
	{ "legacy_auth", CONF_BOOL, FIELD(struct host_conf, legacy_auth, bool), .preset = "false",
		.per_host = true,
		.help = "Let clients log in the way of before 2004 (XEP-0078), under TLS." },
	{ "resource_conflict", CONF_ENUM, FIELD(struct host_conf, resource_conflict, int),
		.preset = "closeold", .words = conflict_words, .per_host = true,
		.help = "When a client asks for a resource that another one of the account has: "
			"`closeold` ends the older session, `closenew` refuses the newer, "
			"`setresource` gives the newer another resource." },
	{ "max_user_sessions", CONF_INT, FIELD(struct host_conf, max_sessions, int64_t),
		.preset = "10", .min = 1, .max = 10000, .unit = "sessions", .per_host = true,
		.help = "Sessions that one account may have at once; where shaper_rules has an "
			"entry of this name, that one counts." },
	{ "certfile", CONF_PATH, FIELD(struct host_conf, certfile, const char *), .per_host = true,
		.help = "A PEM file with this host's certificate and its chain; without it, the "
			"one "
			"of certfiles that names the host." },
	{ "keyfile", CONF_PATH, FIELD(struct host_conf, keyfile, const char *), .per_host = true,
		.help = "A PEM file with the key of certfile; without it, the key is in "
			"certfile." },
	{ "language", CONF_STRING, FIELD(struct host_conf, language, const char *), .preset = "en",
		.per_host = true, .check = check_language,
		.help = "The language of texts for clients that ask for none, or for one that "
			"there are no "
			"texts in." },
	{ "requests_from_strangers", CONF_BOOL, FIELD(struct host_conf, strangers_ask, bool),
		.preset = "true", .per_host = true,
		.help = "Whether requests (iq) to a client's full address reach it when whoever "
			"asks may not see its presence; otherwise they are refused as if it were "
			"not there (RFC 6121 §8.5.3.1), but for those of this server's own "
			"services." },
	{ "max_out_bytes", CONF_SIZE, FIELD(struct host_conf, max_out_bytes, int64_t),
		.preset = "8 MB", .min = 65536, .max = 1 << 30, .per_host = true,
		.help = "Memory that output waiting for one client may hold; past it the client is "
			"disconnected, and its messages go the way of an absent user's." },
	{ "auth_fail_limit", CONF_INT, FIELD(struct host_conf, auth_fails, int64_t), .preset = "20",
		.max = 1000000, .unit = "logins", .per_host = true,
		.help = "Logins that may fail from one address within auth_fail_window; then all "
			"logins from there are refused until the window is over. 0: no limit." },
	{ "auth_fail_window", CONF_TIME, FIELD(struct host_conf, auth_fail_window_ms, int64_t),
		.preset = "10 min", .min = 1000, .max = 7 * 86400000LL, .per_host = true,
		.help = "The time that auth_fail_limit counts in, from the first failure on." },
	{ "scram_iterations", CONF_INT, FIELD(struct host_conf, scram_iterations, int64_t),
		.preset = "10000", .min = 4096, .max = 10000000, .unit = "rounds", .per_host = true,
		.help = "How slow it is to guess passwords from a stolen database; for passwords "
			"that are set from now on. Clients compute the rounds at each login." },
	{ "auth_password_format", CONF_ENUM, FIELD(struct host_conf, password_format, int),
		.preset = "scram", .words = format_words, .per_host = true,
		.help = "How passwords are kept that `linnetctl accounts-import` brings: `scram`, "
			"as verifiers, which takes a moment for each; `plain`, as they are, until "
			"the account's next login makes verifiers of it. All other passwords are "
			"always kept as verifiers." },
	{ "disable_sasl_scram_downgrade_protection", CONF_BOOL,
		FIELD(struct host_conf, scram_no_offer, bool), .preset = "false", .per_host = true,
		.help = "Do not tell clients in SCRAM what was offered to them (XEP-0474), which "
			"shows whether somebody between has changed it; for clients that stumble "
			"over it." },
	{ "sasl2", CONF_BOOL, FIELD(struct host_conf, sasl2, bool), .preset = "true",
		.per_host = true,
		.help = "Offer logins in one round trip (XEP-0388 and XEP-0386), under TLS." },
	{ "offered_upgrades", CONF_WORDS, FIELD(struct host_conf, scram_upgrades, uint32_t),
		.preset = "[SCRAM-SHA-256, SCRAM-SHA-512]", .words = scram_words, .per_host = true,
		.help = "Verifiers that a client may bring while it logs in (XEP-0480), when the "
			"account has none of the kind or one of fewer rounds than "
			"scram_iterations." },
	{ "token_lifetime", CONF_TIME, FIELD(struct host_conf, token_lifetime_ms, int64_t),
		.preset = "30 days", .max = 3650 * 86400000LL, .per_host = true,
		.help = "How long a client may log in with a token in place of the password "
			"(XEP-0484) without coming back; 0: no tokens, and those there are do not "
			"serve." },
	{ "token_refresh_age", CONF_TIME, FIELD(struct host_conf, token_refresh_ms, int64_t),
		.preset = "1 day", .max = 3650 * 86400000LL, .per_host = true,
		.help = "A token of this age is replaced when it is used." },
	{ "max_user_agents", CONF_INT, FIELD(struct host_conf, max_user_agents, int64_t),
		.preset = "20", .min = 1, .max = 10000, .unit = "clients", .per_host = true,
		.help = "Clients that are remembered for one account, each with its token; the one "
			"not seen for longest makes room." },
	{ "user_agent_lifetime", CONF_TIME,
		FIELD(struct host_conf, user_agent_lifetime_ms, int64_t), .preset = "90 days",
		.max = 3650 * 86400000LL, .per_host = true,
		.help = "How long a client that does not come back is remembered in the list of an "
			"account's clients (XEP-0494); 0: its names are not kept, and it is listed "
			"while it has a token." },
	{ "stream_management", CONF_GROUP, FIELD(struct host_conf, sm, struct sm_conf),
		.rows = sm_items, .per_host = true,
		.help = "Acknowledgements, and sessions that outlive their connection "
			"(XEP-0198)." },
	{ "client_state", CONF_GROUP,
		FIELD(struct host_conf, client_state, struct client_state_conf),
		.rows = client_state_items, .per_host = true,
		.help = "What may wait while a client says that nobody looks at it (XEP-0352): it "
			"is sent before the next thing that matters." },
	{ "s2s_access", CONF_ACCESS, FIELD(struct host_conf, s2s_access, const char *),
		.preset = "all", .per_host = true,
		.help = "The access rule that says with which other servers this host speaks, in "
			"either direction; asked about their domain." },
	{ "s2s_use_starttls", CONF_ENUM, FIELD(struct host_conf, s2s_starttls, int),
		.preset = "required", .words = starttls_words, .per_host = true,
		.help = "Encryption between servers: `false`, none is offered or asked for; "
			"`optional`, where both can; `required`, nothing is said without it; "
			"`required_trusted`, and the other server's certificate must be valid for "
			"its domain." },
	{ "s2s_dialback", CONF_BOOL, FIELD(struct host_conf, s2s_dialback, bool), .preset = "true",
		.per_host = true,
		.help = "Let servers that have no valid certificate show by a call back to their "
			"domain who they are (XEP-0220), and show it so to those that want it." },
	{ "s2s_bidi", CONF_BOOL, FIELD(struct host_conf, s2s_bidi, bool), .preset = "true",
		.per_host = true,
		.help = "Let one connection carry both directions, whichever server opened it, "
			"where the other server can do so, too (XEP-0288)." },
	{ 0 }
};

const char *auth_method_name(enum auth_method m)
{
	return m == AUTH_BY_INTERNAL ? "internal" : auth_words[m];
}

/* One that is named twice counts where it stands first. */
static void order_sources(struct host_conf *c)
{
	const int *methods = c->auth_methods.at;
	unsigned seen = 0;

	c->sources_unsaid = false;
	c->n_sources = 0;
	for (size_t i = 0; i < c->auth_methods.n; i++) {
		if (methods[i] < AUTH_SOURCES && !(seen & 1u << methods[i]))
			c->sources[c->n_sources++] = (uint8_t)methods[i];
		seen |= 1u << methods[i];
	}
	c->anonymous = seen & 1u << AUTH_ANONYMOUS;
}

/* What the options come to. */
static void conclude(struct host_conf *c)
{
	c->scram_protects_offer = !c->scram_no_offer;
	order_sources(c);
	c->sasl_mechanisms = c->allowed_mechanisms & ~c->disabled_mechanisms;
	if (!c->anonymous)
		c->sasl_mechanisms &= ~(uint32_t)SASL_ANONYMOUS;
	if (!memchr(c->sources, AUTH_BY_JWT, c->n_sources))
		c->sasl_mechanisms &= ~(uint32_t)SASL_OAUTHBEARER;
	if (!c->n_sources)
		c->sasl_mechanisms &= SASL_ANONYMOUS;
	c->texts = lang_pick(c->language, NULL);
}

#define PARTS_MAX 16

struct host_conf *host_conf_make(const char *name, const struct host_conf *all,
	const struct conf_node *own, const struct conf_node *at, const struct conf_part *extra,
	unsigned n_extra, struct conf_errors *e)
{
	struct host_conf *c = host_conf_new();
	struct conf_part parts[PARTS_MAX] = { { host_conf_items, c } };

	REQUIRE(n_extra < PARTS_MAX);
	for (unsigned i = 0; i < n_extra; i++)
		parts[i + 1] = extra[i];
	c->name = arena_strdup(&c->arena, name);
	conf_copy(host_conf_items, all, c, &c->arena);
	conf_overlay_parts(parts, n_extra + 1, own, &c->arena, e);
	conclude(c);
	if (!c->sasl_mechanisms)
		conf_fail(e, at, "%s: sasl_mechanisms leaves none that auth_method can use", name);
	if (c->keyfile && !c->certfile)
		conf_fail(e, at, "%s: there is a keyfile, but no certfile", name);
	return c;
}
