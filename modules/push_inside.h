/* modules/push_inside.h - the inside of modules/push: push.c (settings, requests, the table),
 * push_send.c (what is sent when, and what comes back). */
#pragma once

#include "modules/account_request.h"
#include "modules/push.h"

struct push_conf {
	bool include_body;
	bool include_sender;
	int notify_on; /* enum push_on */
	int64_t max_services;
	int64_t max_rate;
	int64_t max_failures;
};
enum push_on { PUSH_ON_MESSAGES, PUSH_ON_ALL };

/* An app server's node. */
struct push_service {
	const struct jid *jid;
	const char *node; /* "" for none */
	const char *resource;
	const char *options; /* XML of a form for it; "" for none */
};
/* A part of the account's snapshot. Constant; whoever sends meanwhile counts, too. */
struct push_services {
	struct account_part part;
	_Atomic uint32_t refs;
	unsigned n;
	struct push_service *at;
	struct arena arena;
};
extern struct account_kind push_kind;
struct push_services *push_services_ref(const struct push_services *p);
void push_services_unref(struct push_services *p);

/* In the account's lane, of a service that wants nothing any more. How many, or a negative errno.
 */
ON_JOB int push_withdraw(
	struct host *h, const struct jid *bare, const char *service, const char *node);

/* --- push_send.c */

struct push_sender; /* one for each instance */
struct push_sender *push_sender_new(void);
void push_sender_unref(struct push_sender *s); /* by the instance; work under way has its own */
/* hook_fn of message_kept_hook, session_away_hook, host_answer_hook; arg: the module_instance */
enum hook_next push_kept(void *subject, void *arg);
enum hook_next push_away(void *subject, void *arg);
enum hook_next push_answered(void *subject, void *arg);
