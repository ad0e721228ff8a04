/* modules/report.h - reports of spam and abuse, taken with a block: XEP-0377 with XEP-0191. */
#pragma once

#include "core/attr.h"
#include "router/host.h"
#include "xml/jid.h"
#include "xml/stanza.h"

/* Somebody blocks an address and says why: report is the <report xmlns='urn:xmpp:reporting:1'/>
 * inside the <item/>. To be called once the block is stored (§6: a report never makes a block
 * fail). Copies what it needs and does not wait. Where mod_report does not run on h, or what came
 * is no report, it does nothing. RCU-registered thread. */
ANY_THREAD void report_take(struct host *h, const struct jid *reporter, const struct jid *reported,
	const struct elem *report);

/* What is kept of one. */
struct report {
	int64_t id; /* of the server, counted up */
	int64_t at; /* seconds since 1970 */
	const char *host;
	const char *reporter; /* bare JID; "" once the account was removed */
	const char *reported; /* JID */
	const char *reason; /* "urn:xmpp:reporting:spam" */
	const char *text; /* of the user; "" for none */
	const char *lang; /* of the text; "" for not said */
	const char *stanza_ids; /* "BY ID", one a line */
	bool to_origin, to_third_party; /* §5: may be forwarded there */
};
struct report_query {
	const char *host; /* NULL: all */
	const char *reported; /* bare JID or domain; NULL: anybody */
	int64_t before; /* ids lower than this; 0: from the newest */
	unsigned max;
};
/* The newest first. How many there are, or a negative errno. */
ON_JOB int report_each(
	const struct report_query *q, void (*fn)(const struct report *r, void *arg), void *arg);
/* 1: fn saw it, 0: there is none, or a negative errno. */
ON_JOB int report_find(int64_t id, void (*fn)(const struct report *r, void *arg), void *arg);
ON_JOB int report_delete(int64_t id); /* as report_find() */
