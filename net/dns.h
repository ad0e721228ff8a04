/* net/dns.h - asks name servers, by c-ares on a thread of its own (`dns`).
 * A shard asks and goes on; the answer comes back to it as a message. Equal questions that wait are
 * one question to the name server. Answers are kept for as long as their TTL says, those that
 * nothing is there too (RFC 2308), within a bound of memory. What is asked of whom and how long is
 * waited says net/outgoing_conf.h. */
#pragma once

#include "core/attr.h"
#include "core/heart.h"
#include "net/dns_answer.h"

#define DNS_WAITING_MAX 10000 /* questions of all askers at once; more fail */
#define DNS_HEARTBEAT_MS 30000

struct dns_query;
struct dns_reply {
	const struct dns_answer *answer; /* dns_answer_ref() to keep it */
	uint32_t left_s; /* of its TTL */
	bool cached; /* nobody was asked just now */
};
/* On the asking shard, never from inside dns_ask(). */
typedef void dns_done_fn(const struct dns_reply *r, void *arg);

/* name: lower-case ASCII, cut to DNS_NAME_MAX. The question is to be forgotten once done() has been
 * called, which it is in any case but dns_cancel(). */
ON_SHARD struct dns_query *dns_ask(
	const char *name, enum dns_type type, dns_done_fn *done, void *arg) MUST_USE;
/* done() is not called any more; NULL is fine. On the shard that asked. */
ON_SHARD void dns_cancel(struct dns_query *q);

/* Takes over what outgoing_conf() says, and reads /etc/resolv.conf again. What waits is asked anew;
 * what is kept is forgotten if other servers are asked or trusted now. main or the one reload at a
 * time. */
void dns_reload(void);
/* Forgets what is kept. Returns how many answers that were, about. */
ANY_THREAD int64_t dns_flush(void);

/* The thread, as a supervisor runs it. Before it runs, questions wait; after it, they fail. */
const char *dns_run(struct heart *h, void *unused);
void dns_wake(void *unused); /* so that it looks whether it is to end. Any thread */
ANY_THREAD int64_t dns_waiting(void); /* questions */
