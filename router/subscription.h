/* router/subscription.h - the states of a subscription and what changes them: RFC 6121 Appendix A,
 * as pure functions. What a contact is to an account is a few bits; subscribe, unsubscribe and
 * their answers, from the account's own client (outbound) or from the contact (inbound), change
 * them by one table each. */
#pragma once

#include "core/attr.h"
#include "xml/stanza.h"

/* What an account has noted about a contact. The first four are Appendix A.1's nine states (who is
 * pending out is not subscribed to, who is pending in not from). */
enum contact_bits {
	CONTACT_TO = 1 << 0, /* the account gets the contact's presence */
	CONTACT_FROM = 1 << 1, /* the contact gets the account's presence */
	CONTACT_PENDING_OUT = 1 << 2, /* the account has asked and waits: ask='subscribe' */
	CONTACT_PENDING_IN = 1 << 3, /* the contact has asked and waits */
	CONTACT_APPROVED = 1 << 4, /* before it asked: §3.4 */
	CONTACT_LISTED = 1 << 5, /* stands in the roster; a contact pending in need not */
	CONTACT_SHARED = 1 << 6, /* by a shared group: not the user's to change */
};
#define CONTACT_BOTH (CONTACT_TO | CONTACT_FROM)
#define CONTACT_SUBSCRIPTION (CONTACT_BOTH | CONTACT_PENDING_OUT | CONTACT_PENDING_IN)

struct transition {
	unsigned bits; /* afterwards */
	bool pass; /* outbound: routed to the contact; inbound: handed to the account's clients */
	enum stanza_type answer; /* sent to the contact for the account; TYPE_NONE: nothing */
};
/* type: PRES_SUBSCRIBE, PRES_SUBSCRIBED, PRES_UNSUBSCRIBE or PRES_UNSUBSCRIBED. Bits it does not
 * speak of stay. */
struct transition subscription_out(unsigned bits, enum stanza_type type);
struct transition subscription_in(unsigned bits, enum stanza_type type);

/* The roster's word for it: "none", "to", "from", "both". */
const char *subscription_name(unsigned bits);
bool stanza_is_subscription(const struct stanza *s); /* presence of one of the four types */
