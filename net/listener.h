/* net/listener.h - the open ports, from the `listen` setting: ejabberd_listener.
 * A listener whose address and port a reload did not change stays open; its options are replaced
 * for connections accepted from then on. */
#pragma once

#include <stdatomic.h>

#include "core/arena.h"
#include "core/attr.h"
#include "core/conf.h"
#include "core/rcu.h"
#include "net/tls.h"
#include "xml/parser.h"

/* Who comes to a port, and so what becomes of a connection. One more is one more name here, its
 * word and its options in net/listener_conf.c, and its row of services[] in net/acceptor.c. */
enum listen_module { LISTEN_C2S, LISTEN_S2S_IN, LISTEN_SERVICE, LISTEN_MODULES };

/* One of `hosts`: a component's domain. */
struct listen_domain {
	const char *name; /* prepared */
	const char *password; /* NULL: the entry's */
};

/* One entry of `listen`. */
struct listen_conf {
	int64_t port; /* 0: the kernel chooses (tests) */
	const char *ip; /* "0.0.0.0", "::", "127.0.0.1"; "::" takes IPv4 too unless v6_only */
	bool v6_only;
	int module; /* enum listen_module */
	int64_t backlog;
	bool tls; /* direct TLS with ALPN xmpp-client */
	bool starttls;
	bool starttls_required;
	bool tls_verify; /* asks clients for certificates */
	const char *cafile; /* whose authorities count for these; NULL: those of `ca_file` */
	const char *access; /* name of an access rule; NULL: all */
	const char *shaper; /* name of a shaper or shaper_rules entry; NULL: none */
	int64_t max_stanza_size; /* bytes, once authenticated */
	int64_t max_stanza_size_unauthenticated;
	int64_t negotiation_timeout_ms; /* from accept to a bound resource */
	int64_t max_connections; /* 0: no limit of its own */
	int64_t max_unauthenticated_per_address;
	/* Of LISTEN_SERVICE. */
	struct conf_list hosts; /* of struct listen_domain; none: any domain */
	const char *password; /* NULL: none */
	bool check_from;
	bool global_routes;
	int domain_conflict; /* enum component_conflict */
	int64_t max_out_bytes;
};

/* What a stream may send: before its peer has proven who it is, and afterwards. */
static inline struct parser_limits listener_first_limits(const struct listen_conf *conf)
{
	return (struct parser_limits){ (uint32_t)conf->max_stanza_size_unauthenticated,
		PARSER_DEPTH, PARSER_ATTRS };
}
static inline struct parser_limits listener_limits(const struct listen_conf *conf)
{
	return (struct parser_limits){ (uint32_t)conf->max_stanza_size, PARSER_DEPTH,
		PARSER_ATTRS };
}

/* A listener's settings as one reload left them; a stream keeps those it was accepted with. */
struct listener_options {
	_Atomic uint32_t refs;
	struct arena arena;
	struct listen_conf conf; /* its strings are in the arena */
	struct tls_store *tls; /* not owned: lives as long as the server */
	struct tls_offer offer; /* to clients */
};
struct listener_options *listener_options_ref(struct listener_options *o);
void listener_options_unref(struct listener_options *o); /* NULL is fine */

/* An open port. Found by its descriptor's place in the acceptors' epoll sets. */
struct listener {
	int fd;
	uint16_t port; /* the bound one */
	_Atomic int64_t connections; /* of this listener, now */
	_Atomic uint32_t refs; /* its streams and the list */
	struct rcu_head rcu;
	RCU_PTR(struct listener_options) options;
};
void listener_unref(struct listener *l);

/* Starts the acceptors, with no port yet; 0 or a negative errno. listeners_stop() ends them. */
int listeners_begin(struct tls_store *tls, unsigned acceptors);
/* Opens one port, if it is not open; 0, or a negative errno and *why as below. Under the same rule
 * as a change. */
int listeners_add(const struct listen_conf *conf, char **why);
void listeners_remove(const char *name); /* of listener_name(); its connections live on */
char *listener_name(const struct listen_conf *conf); /* "0.0.0.0:5222"; the caller frees */

/* Opens what conf says and starts the acceptors. 0, or a negative errno and *why ("0.0.0.0 port
 * 5222: Address already in use"), which the caller frees. main. */
int listeners_start(const struct listen_conf *conf, size_t n, struct tls_store *tls,
	unsigned acceptors, char **why);
/* From what is open to what conf says, in two steps: preparing does all that can fail, and either
 * committing or abandoning ends it. What is the same address and port stays open. conf outlives the
 * change. One change at a time; main or the control thread.
 * 0, or a negative errno, *at the entry that cannot be opened (n: none), and *why as above. */
struct listeners_change;
int listeners_prepare(const struct listen_conf *conf, size_t n, struct listeners_change **out,
	size_t *at, char **why);
void listeners_commit(struct listeners_change *c); /* the new are accepted from, the rest closes */
void listeners_abandon(struct listeners_change *c); /* nothing has changed; NULL is fine */
/* Both steps. */
int listeners_reload(const struct listen_conf *conf, size_t n, char **why);
void listeners_stop(void); /* nothing is accepted any more */
/* Who connects waits in the backlogs; listeners that are opened meanwhile do not accept either, nor
 * does the monitor keep them. May be called before listeners_start(), for a start that can still be
 * taken back. main or the control thread. */
void listeners_pause(void);
void listeners_resume(void);
/* The ports are another process's: closing them here changes nothing for who connects. And are
 * ours, and accepted from. */
void listeners_given_away(void);
void listeners_take(void);
/* The open port with that address, counted as by one more connection (accepted_release() gives it
 * back), or NULL. */
struct listener *listener_join(const struct listen_conf *like);
void listeners_each(
	void (*fn)(const struct listener *l, const struct listen_conf *conf, void *arg), void *arg);
