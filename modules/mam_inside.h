/* modules/mam_inside.h - the inside of modules/mam, shared by the files that make it up: mam.c
 * (settings, what is archived), mam_query.c and mam_wanted.c (XEP-0313), mam_prefs.c (XEP-0441),
 * mam_operator.c (modules/mam.h). The messages are the message log's (modules/message_log.h).
 * Requests run in their account's lane (router/account.h), behind what came for the account before
 * them. */
#pragma once

#include "modules/account_request.h"
#include "modules/message_archive.h"
#include "modules/message_log.h"

enum mam_default { MAM_ALWAYS, MAM_NEVER, MAM_ROSTER };
extern const char *const mam_defaults[]; /* the words for them */
struct mam_conf {
	int default_archive; /* enum mam_default */
	int64_t expire_after; /* ms; INT64_MAX: never */
	int64_t max_messages; /* 0: any number */
	int64_t default_page, max_page; /* messages */
};
/* The lowest id that is not too old. */
uint64_t mam_oldest_id(const struct mam_conf *conf);

/* --- mam_query.c */
ON_JOB int mam_query_set(struct account_request *r);
/* The same, by who is not handed what it could page through. */
ON_JOB int mam_query_instead(struct account_request *r);
ON_JOB int mam_query_get(struct account_request *r); /* the form */
ON_JOB int mam_metadata_get(struct account_request *r);
/* For a client that begins a session: what waits counts as offered to it, since it reads the
 * archive; and the archive's ends, sealed, or NULL when they cannot be had. XEP-0386 §3.2 */
ON_JOB struct stanza *mam_begin(
	struct host *h, const struct jid *bare, const struct mam_conf *conf);

/* <result/> with the message, which is parsed and not sealed. */
void mam_build_result(
	struct builder *b, const char *queryid, const struct message_found *m, struct stanza *s);

/* --- mam_prefs.c */
ON_JOB int mam_prefs_get(struct account_request *r);
ON_JOB int mam_prefs_set(struct account_request *r);
ON_JOB int mam_prefs_open(void); /* makes the tables */
void mam_prefs_use(struct module_instance *mi);
void mam_prefs_unuse(struct module_instance *mi);
void mam_prefs_forget(const struct jid *account);
/* Whether the account wants what it exchanges with peer archived. Does not block. */
bool mam_prefs_want(const struct account *a, const struct jid *peer, enum mam_default otherwise);
