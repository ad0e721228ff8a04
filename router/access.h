/* router/access.h - who may do what: ejabberd's acl, access_rules, shaper and shaper_rules.
 * Compiled from the settings into one snapshot, published under RCU, replaced by reload. */
#pragma once

#include "core/attr.h"
#include "core/conf.h"
#include "xml/jid.h"

/* Whom a question is about; what is not known stays NULL or zero. */
struct access_subject {
	const struct jid *jid; /* bare or full */
	const struct conf_prefix *address; /* the peer's; bits 128 */
};

struct access_rules; /* a compiled snapshot */

/* From the nodes of acl, access_rules, shaper, shaper_rules; any may be NULL. Errors are added to e
 * with their place; 0 when there were none. */
int access_compile(const struct conf_node *acl, const struct conf_node *access_rules,
	const struct conf_node *shaper, const struct conf_node *shaper_rules, struct conf_errors *e,
	struct access_rules **out);
void access_free(struct access_rules *r); /* one that is not published; NULL is fine */
/* Publishes and takes r; the old snapshot goes after a grace period. Any thread that may block. */
void access_publish(struct access_rules *r);
/* Whether a name is defined in the snapshot, for checks of settings that name rules; `all` and
 * `none` always are. */
bool access_has_rule(const struct access_rules *r, const char *rule);
bool access_has_shaper(const struct access_rules *r, const char *name); /* a shaper or its rules */
/* Checks every CONF_ACCESS and CONF_SHAPER value that e has noted (core/conf.h) against r, adds an
 * error for each unknown one, and forgets them. */
void access_check_names(const struct access_rules *r, struct conf_errors *e);

/* Questions to the published snapshot; RCU-registered thread. host: the virtual host asked about.
 * An unknown rule denies and is logged seldom. */
bool access_allowed(const char *rule, const char *host, const struct access_subject *who);
bool acl_matches(const char *acl, const char *host, const struct access_subject *who);

/* Whether the published snapshot has this name among shaper or shaper_rules. */
bool access_knows_shaper(const char *name);
/* The rate a shaper name (or shaper_rules name) gives this subject. */
struct shaper_rate {
	int64_t bytes_per_s; /* 0: unlimited */
	int64_t burst_bytes;
};
struct shaper_rate shaper_rate_for(
	const char *name, const char *host, const struct access_subject *who);
/* The number a shaper_rules name gives this subject (max_user_sessions: {10: all, 5000: admin}),
 * INT64_MAX for infinity; otherwise when nothing matches or there is no such name. */
int64_t access_number_for(
	const char *rule, const char *host, const struct access_subject *who, int64_t otherwise);
