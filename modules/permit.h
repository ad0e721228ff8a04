/* modules/permit.h - who may know whether an account is there: RFC 6121 §4.3, and what XEP-0012 and
 * XEP-0030 build on it. The account itself and administrators (acl `admin`) may; the roster, once
 * there, says yes for those who are subscribed. */
#pragma once

#include "core/hook.h"
#include "router/host.h"
#include "xml/jid.h"

struct presence_permit {
	struct host *host; /* the account's */
	const struct jid *who;
	const struct jid *account; /* bare or full */
};
/* A function that allows it returns HOOK_STOP. May run on a shard or a job thread. */
extern struct hook presence_permit_hook; /* subject: struct presence_permit */

/* RCU-registered thread. */
bool presence_permitted(struct host *h, const struct jid *who, const struct jid *account);
/* Whether who may do what administrators do: the access rule says it, or for want of one (NULL) the
 * acl `admin`. RCU-registered thread. */
bool admin_permitted(struct host *h, const char *access, const struct jid *who);
