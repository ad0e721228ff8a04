/* router/host.h - a virtual host: one of the domains this server answers for.
 * Found through the route table; counted, because streams and jobs outlive a reload that removes
 * it. Its settings are one snapshot that a reload replaces. */
#pragma once

#include <stdatomic.h>

#include "core/arena.h"
#include "core/attr.h"
#include "core/conf.h"
#include "core/hook.h"
#include "core/rcu.h"

enum password_format { PASSWORD_AS_VERIFIERS, PASSWORD_AS_IT_IS };
enum resource_conflict { CONFLICT_CLOSE_OLD, CONFLICT_CLOSE_NEW, CONFLICT_SET_RESOURCE };
enum { /* sasl_mechanisms, in the order of the setting's words */
	SASL_SCRAM_SHA_512_PLUS = 1 << 0,
	SASL_SCRAM_SHA_256_PLUS = 1 << 1,
	SASL_SCRAM_SHA_1_PLUS = 1 << 2,
	SASL_SCRAM_SHA_512 = 1 << 3,
	SASL_SCRAM_SHA_256 = 1 << 4,
	SASL_SCRAM_SHA_1 = 1 << 5,
	SASL_PLAIN = 1 << 6,
	SASL_ANONYMOUS = 1 << 7,
	SASL_EXTERNAL = 1 << 8,
	SASL_OAUTHBEARER = 1 << 9,
};
#define SASL_SCRAM_ALL 0x3fu

/* auth_method: where accounts come from, in the order of the setting's words. Each but the last is
 * a source: the module auth_WORD brings it (router/auth.h). */
enum auth_method {
	AUTH_BY_INTERNAL,
	AUTH_BY_EXTERNAL,
	AUTH_BY_LDAP,
	AUTH_BY_SQL,
	AUTH_BY_PAM,
	AUTH_BY_JWT,
	AUTH_SOURCES,
	AUTH_ANONYMOUS = AUTH_SOURCES, /* no source: those accounts are nobody's */
};

/* The setting stream_management: XEP-0198. Times 0: never. */
enum sm_resend { SM_RESEND_NO, SM_RESEND_YES, SM_RESEND_IF_OFFLINE };
struct sm_conf {
	int64_t resume_timeout_ms; /* what a client gets that asks for no other */
	int64_t max_resume_timeout_ms; /* what it gets at most */
	int64_t max_ack_queue; /* stanzas that it has not acknowledged */
	int64_t max_ack_bytes; /* memory that these hold */
	int64_t ack_timeout_ms; /* for an answer to our <r/> */
	int resend; /* enum sm_resend */
	const char *location; /* where a client should come back to; NULL: to where it finds us */
};

/* The setting client_state: XEP-0352, what waits while a client says that nobody looks at it. */
struct client_state_conf {
	bool queue_presence, queue_chat_states, queue_pep;
};

/* Options that host_config may set for one host. Counted: whoever keeps one across a turn refs it.
 */
struct host_conf {
	_Atomic uint32_t refs;
	struct rcu_head rcu;
	struct arena arena; /* holds the strings below */
	const char *name;
	struct conf_list auth_methods; /* auth_method: int, enum auth_method, as in the file */
	uint8_t sources[AUTH_SOURCES]; /* enum auth_method, those that are sources: in what order
					* they are asked */
	unsigned n_sources;
	bool sources_unsaid; /* no settings: whichever there are */
	bool scram_beside_plain; /* offered, too, where some accounts cannot use it */
	bool use_auth_cache; /* auth_use_cache and the options beside it: router/auth_cache.h */
	int64_t auth_cache_size;
	int64_t auth_cache_life_ms;
	bool auth_cache_missed;
	bool anonymous; /* one of them: SASL ANONYMOUS makes throw-away accounts */
	bool legacy_auth; /* XEP-0078 in state wait_for_auth */
	int resource_conflict; /* enum resource_conflict */
	int64_t max_sessions; /* max_user_sessions: per account */
	uint32_t allowed_mechanisms; /* the setting sasl_mechanisms */
	uint32_t disabled_mechanisms; /* the setting disable_sasl_mechanisms */
	uint32_t sasl_mechanisms; /* what these come to */
	const char *certfile; /* PEM with chain; NULL: the server's certfiles by name */
	const char *keyfile; /* NULL: in certfile */
	const char *language; /* xml:lang for those who ask none */
	const char *texts; /* lang_pick() of it: what texts for them are in; NULL: en */
	bool strangers_ask; /* requests_from_strangers: session_takes_request() */
	int64_t max_out_bytes; /* of memory, output waiting for one client before it is closed */
	int64_t auth_fails; /* failed logins per address ... */
	int64_t auth_fail_window_ms; /* ... within this time, then refused until it is over */
	int64_t scram_iterations;
	int password_format; /* auth_password_format: enum password_format */
	bool scram_no_offer; /* disable_sasl_scram_downgrade_protection */
	bool scram_protects_offer; /* XEP-0474: not that */
	bool sasl2; /* XEP-0388, under TLS */
	uint32_t scram_upgrades; /* XEP-0480: bits of enum scram_hash */
	int64_t token_lifetime_ms; /* XEP-0484; 0: no tokens */
	int64_t token_refresh_ms; /* a token this old is replaced when it is used */
	int64_t max_user_agents; /* remembered of each account */
	int64_t user_agent_lifetime_ms; /* since it was last seen; 0: nothing is kept */
	struct sm_conf sm; /* stream_management */
	struct client_state_conf client_state;
	/* With other servers: router/s2s.h. */
	const char *s2s_access; /* the rule that says with which */
	int s2s_starttls; /* s2s_use_starttls: enum s2s_starttls */
	bool s2s_dialback; /* XEP-0220 will do where there is no valid certificate */
	bool s2s_bidi; /* XEP-0288 */
};

struct iq_table; /* router/iq.c */
struct auth_source; /* router/auth_source.c */
struct auth_cache; /* router/auth_cache.c */

struct host {
	_Atomic uint32_t refs;
	const char *name; /* A prepared domain; constant */
	uint32_t hash;
	struct hook_set *hooks; /* owned */
	RCU_PTR(struct host_conf) conf; /* replaced by reload */
	RCU_PTR(struct iq_table) iq[2]; /* by enum iq_scope; written by router/iq.c */
	RCU_PTR(struct auth_source) auth[AUTH_SOURCES]; /* auth_source_add() */
	RCU_PTR(struct auth_cache) auth_cache; /* owned; made when first needed */
	struct module_instance *modules; /* modules/registry's */
	struct rcu_head rcu;
};

/* A host that nobody finds yet: it is found once route_register_host() has taken it. Takes conf. */
struct host *host_new(const char *name, struct host_conf *conf);
void host_set_conf(struct host *h, struct host_conf *conf); /* takes conf; any registered thread */
struct host *host_ref(struct host *h);
void host_unref(struct host *h); /* the last one frees after a grace period; NULL is fine */
/* The conf, counted for the caller. Any registered thread. */
struct host_conf *host_conf_hold(struct host *h);
void host_conf_drop(struct host_conf *c); /* the last one frees; NULL is fine */
/* What it says to nobody in particular is in: lang_pick() of its `language`. */
const char *host_lang(struct host *h);
/* An empty snapshot with one reference, to be filled from settings (router/host_conf.c). */
struct host_conf *host_conf_new(void);
