/* router/route.h - where a stanza goes: the route table and the rules of RFC 6120 §10 and
 * RFC 6121 §8. route() looks up, decides and hands over; it writes nothing to any socket.
 * The table maps a domain to a virtual host of ours or to a service (a module's or a component's
 * domain); later the cluster's table and the s2s manager come behind it. Read under RCU. */
#pragma once

#include "core/attr.h"
#include "core/rcu.h"
#include "router/host.h"
#include "xml/stanza.h"

enum verdict {
	ROUTE_DELIVER, /* to one or more sessions */
	ROUTE_DISPATCH, /* to an IQ handler, on behalf of host or account */
	ROUTE_ACCOUNT, /* subscriptions and probes: answered for the account */
	ROUTE_SERVICE, /* to the service that registered the domain */
	ROUTE_STORE, /* nobody there: offline storage, where a module offers it, else as
			ROUTE_BOUNCE */
	ROUTE_FORWARD, /* another server's domain: the s2s manager */
	ROUTE_BOUNCE, /* an error goes back to the sender */
	ROUTE_DROP, /* silently ignored, as the RFCs ask */
};

enum route_kind { ROUTE_TO_HOST, ROUTE_TO_SERVICE };
/* What a service does with a stanza to its domain. Runs on the sender's shard; takes a reference of
 * its own if it keeps s. */
typedef void service_fn(void *arg, struct stanza *s);

/* Registering and withdrawing: any thread that may block. 0, or ROUTE_TAKEN: someone has it. */
#define ROUTE_TAKEN 1
int route_register_host(struct host *h); /* keeps a reference */
int route_register_service(const char *domain, service_fn *fn, void *arg);
/* Another fn and arg for a service's domain, with no stanza in between that finds neither. After it
 * returns no call of the old one is running or will come. false: the domain is no service's. */
bool route_replace_service(const char *domain, service_fn *fn, void *arg);
/* What the domain's service was registered with, if that is fn; NULL: it is not. Good until the
 * thread's next quiescent state. */
void *route_service_arg(const char *domain, service_fn *fn);
/* After it returns no call of fn is running or will come (it waits for a grace period). */
void route_unregister(const char *domain);
/* The host, uncounted: good until the thread's next quiescent state. NULL: not ours. */
struct host *route_host(const char *domain);
/* The name of one of our hosts, for who must be answered before it is known whose they are; ""
 * while there is none. Good until the thread's next quiescent state. */
const char *route_own_name(void);
bool route_has(const char *domain); /* a host or service of ours */
void route_each_host(void (*fn)(struct host *h, void *arg), void *arg);
unsigned route_count(void); /* domains */
unsigned route_count_services(void); /* of them, those of services */

/* Routes a sealed stanza on behalf of its `from`; takes the caller's reference. On a shard.
 * Whatever cannot be delivered is answered as the RFCs ask. Returns what was decided. */
ON_SHARD enum verdict route(struct stanza *s);
/* The same from any thread: hops to a shard picked by the sender, so that order is kept. */
ANY_THREAD void route_post(struct stanza *s);
/* The same for one that another server or a component has sent: modules of the host that it is for
 * have a look at it, then it is sealed. Its from and to are there, and the sender may speak for
 * from. Takes s. */
ON_SHARD enum verdict route_foreign(struct stanza *s);
/* What RFC 6120 §8 asks of any stanza that comes in by a stream, whose head has been read; 0, or
 * the stanza error. */
int route_unfit(const struct stanza *s);
/* An error answer to the sender of s, unless s is an error or a result itself. Does not take s. */
ON_SHARD void route_error(const struct stanza *s, int cond, const char *text);
/* The same in place of s: its record in the spool, if it has one, goes when the answer has reached
 * the sender, or nobody is going to get one. */
ON_SHARD void route_error_instead(struct stanza *s, int cond, const char *text);

/* Runs for what comes from outside to one of our hosts, or its accounts, before it is sealed: what
 * user_send_hook is for our own clients. On a shard. A function may add to the stanza, or take care
 * of it itself and return HOOK_STOP: then it goes no further. */
extern struct hook foreign_stanza_hook; /* subject: struct stanza, unsealed */
/* Runs for a message to one of our hosts itself, with any resource, before it is refused. On a
 * shard. A module that takes it answers HOOK_STOP. */
extern struct hook host_message_hook; /* subject: struct stanza */
/* Runs for an answer to a request of one of our hosts, or one made in an account's name: an IQ
 * result or error to its domain or a bare JID. On a shard. Whoever asked answers HOOK_STOP. */
extern struct hook host_answer_hook; /* subject: struct stanza, sealed */
/* Runs when a message found nobody: RFC 6121 §8.5.2.2. A module that keeps it answers HOOK_STOP. */
extern struct hook offline_message_hook; /* subject: struct stanza */
