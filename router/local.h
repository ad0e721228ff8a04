/* router/local.h - the rules for stanzas to a domain of ours: ejabberd's local router and the
 * account half of its session manager. local_decide() is the tables of RFC 6120 §10.5 and RFC 6121
 * §8.5 and touches nothing; local_route() carries its decision out. */
#pragma once

#include "core/attr.h"
#include "router/directory.h"
#include "router/route.h"

enum local_to {
	LOCAL_NOBODY, /* the verdict says what happens instead */
	LOCAL_ONE, /* the session of the full JID */
	LOCAL_BEST, /* available, priority not negative and the highest: all that share it */
	LOCAL_NOT_NEGATIVE, /* available and priority not negative: all */
	LOCAL_AVAILABLE, /* all available ones */
};
struct local_decision {
	enum verdict verdict;
	enum local_to to;
	int error; /* ROUTE_BOUNCE: enum stanza_error */
	int scope; /* ROUTE_DISPATCH: enum iq_scope */
};
/* all: the account's sessions, NULL for none; one: the session of the full JID, NULL for none. */
struct local_decision local_decide(
	const struct stanza *s, const struct sessions *all, const struct session_entry *one);

/* Whether that is one of those who get it. best: local_best() of all. */
bool local_chosen(const struct session_entry *e, enum local_to to, int best);
int local_best(const struct sessions *all); /* the highest priority there is, at least 0 */

/* Does not take s. */
ON_SHARD enum verdict local_route(struct host *h, struct stanza *s);
