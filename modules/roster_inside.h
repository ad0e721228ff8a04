/* modules/roster_inside.h - the inside of modules/roster, shared by the files that make it up:
 * roster.c (settings, requests), roster_item.c (an item's forms), roster_store.c (its tables),
 * roster_push.c (who hears of changes), roster_subscription.c (RFC 6121 §3), roster_shared.c (what
 * shared groups add), roster_operator.c (an operator's commands).
 * All work on one account's roster runs in the account's lane (router/account.h), one piece after
 * the other, on job threads: what is read there is true until the same piece of work writes. */
#pragma once

#include "core/job.h"
#include "modules/module.h"
#include "modules/roster.h"
#include "router/contacts.h"

struct roster_conf {
	bool versioning;
	const char *access;
	int64_t max_contacts;
	int64_t max_requests;
	int64_t max_name_length;
	int64_t max_groups;
};

#define ROSTER_TEXT_MAX 1023 /* bytes of a name or a group */
#define ROSTER_TOMBSTONES_MAX 100 /* removed contacts remembered for clients that were away */

/* One contact, with what the tables know of it. In somebody's arena. */
struct roster_item {
	const struct jid *jid; /* as in the roster; bare, but for clients that want it otherwise */
	unsigned bits; /* enum contact_bits; neither listed nor pending: it has been removed */
	int64_t changed; /* the version that clients saw it change with; 0: none has seen it */
	const char *name; /* NULL: none */
	const char *const *groups;
	unsigned n_groups;
	const char *request; /* the <presence/> that waits for an answer; NULL: a plain one */
};

/* A roster during one piece of work. */
struct roster {
	struct host *host;
	const struct roster_conf *conf;
	const struct jid *account; /* bare */
	struct arena arena;
	/* Versions count up with each change that clients see. Of what happened up to base, not all
	 * is known any more. */
	int64_t version, base;
	/* What shared groups give a connected account: as it is when the work begins. */
	struct shared_held *shared;
	unsigned n_shared;
};

/* A piece of work: runs in the lane, then frees itself. */
struct roster_work {
	struct job job;
	struct host *host; /* counted */
	const struct roster_conf *conf; /* held */
	struct jid *account; /* owned */
	struct stanza *stanza; /* counted; NULL when there is none */
	void *order; /* roster_submit_order()'s; else NULL */
	struct jid *contact; /* owned; roster_submit_about()'s; else NULL */
	void (*run)(struct roster *r, struct roster_work *w); /* ON_JOB */
};
/* s may be NULL. 0, or CARRIER_FULL. Any RCU-registered thread. */
int roster_submit(struct module_instance *mi, const struct jid *any_of_account, struct stanza *s,
	void (*run)(struct roster *r, struct roster_work *w)) MUST_USE;

/* The same with an order, which is run()'s to free; refused, it stays the caller's. */
int roster_submit_order(struct module_instance *mi, const struct jid *account,
	void (*run)(struct roster *r, struct roster_work *w), void *order) MUST_USE;

/* The same about a contact, of which the bare JID is copied. */
int roster_submit_about(struct module_instance *mi, const struct jid *account,
	const struct jid *contact, void (*run)(struct roster *r, struct roster_work *w)) MUST_USE;

/* With all that follows: §2.5.2. 0, an enum stanza_error, or a negative errno. */
ON_JOB int roster_remove_item(struct roster *r, const struct jid *contact);
/* What a client is told of a failure: enum stanza_error as it is, of a negative errno whether it
 * may try again. */
int roster_condition(int result);
/* Of a client that adds a contact: there are enough. */
bool roster_is_full(struct roster *r);

/* --- roster_item.c */

/* Out of a client's <item/>: 0, or an enum stanza_error. *out_remove: that is what it asks for. */
int roster_item_read(
	struct roster *r, const struct elem *e, struct roster_item *out, bool *out_remove);
/* <item/>; of what has been removed, only that. */
void roster_item_build(struct builder *b, const struct roster_item *item);
bool roster_item_is_listed(const struct roster_item *item); /* clients see it */
/* Groups as one text of the table, in the arena, and back. */
const char *roster_groups_join(struct arena *a, const char *const *groups, unsigned n);
unsigned roster_groups_split(struct arena *a, const char *joined, const char *const **out);

/* --- roster_store.c; negative: errno */

ON_JOB int roster_store_start(void); /* makes the tables */
ON_JOB int roster_open(struct roster *r); /* reads the version */
/* 1: found; 0: not, and *out is one that nobody knows. */
ON_JOB int roster_find(struct roster *r, const struct jid *contact, struct roster_item *out);
typedef int roster_item_fn(const struct roster_item *item, void *arg); /* as db_row_fn */
/* All that have not been removed. The item is good during the call, which reads nothing under RCU.
 */
ON_JOB int roster_each_item(struct roster *r, roster_item_fn *fn, void *arg);
/* The same kept, in the arena / those that clients saw change after a version, in that order. */
struct roster_item_list {
	struct roster_item *at;
	unsigned n, room;
};
ON_JOB int roster_list_items(struct roster *r, struct roster_item_list *out);
ON_JOB int roster_list_changes(struct roster *r, int64_t after, struct roster_item_list *out);
/* Writes an item and, when clients see the change, a new version, which becomes the item's and the
 * roster's; then the account's snapshot follows. */
enum roster_change { ROSTER_UNSEEN, ROSTER_SEEN };
ON_JOB int roster_save(struct roster *r, struct roster_item *item, enum roster_change how);
ON_JOB int roster_erase(struct roster *r); /* all of it */
ON_JOB int roster_count_requests(struct roster *r, int64_t *out); /* of contacts not listed */

/* --- roster_push.c */

/* The version as clients see it, in the arena; NULL: versions are switched off. It also says what
 * shared groups there are. */
const char *roster_version_text(struct roster *r, int64_t version);
/* Reads one: -1 when it is none of this roster's, or the shared groups were others. */
int64_t roster_version_read(struct roster *r, const char *text);
/* To all resources of the account that have asked for the roster. */
ON_JOB void roster_push(struct roster *r, const struct roster_item *item);
/* To one of them, with the version that this item brought. */
ON_JOB void roster_push_to(
	struct roster *r, const struct session *ss, const struct roster_item *item);
/* A push was left out: no version is told until the roster is asked for again, so that the next
 * login does not take what is missing for known. Any RCU-registered thread. */
void roster_falls_behind(const struct jid *account);
/* Presence, sealed, to those that asked for the roster / are available. Not taken. */
ON_JOB void roster_tell_interested(struct roster *r, struct stanza *s);
ON_JOB void roster_tell_available(struct roster *r, struct stanza *s);
/* To the session of a full JID, if it is still there, or to a privileged component. Takes s. */
ON_JOB void roster_answer(const struct jid *full, struct stanza *s);

/* --- roster_shared.c */

void roster_hold_shared(struct roster *r);
void roster_drop_shared(struct roster *r);
/* What shared groups make of a contact: bits, 0 for nothing. */
unsigned roster_shared_bits(const struct roster *r, const struct jid *contact);
/* The item as clients see it, with those bits and the groups' labels. */
struct roster_item roster_merged(struct roster *r, const struct roster_item *item);
uint64_t roster_shared_digest(const struct roster *r); /* 0: there are none */
/* Those that are in shared groups and not in `but`. */
void roster_build_shared(struct roster *r, struct builder *b, const struct contact_set *but);

/* --- roster_subscription.c */

/* hook_fn of subscription_hook, session_presence_hook, account_removed_hook. */
enum hook_next roster_subscription(void *subject, void *arg);
enum hook_next roster_session_presence(void *subject, void *arg);
enum hook_next roster_account_removed(void *subject, void *arg);
/* Presence that begins or ends for a contact whose half has not changed, and the other way. */
ON_JOB void roster_tell_changed(
	struct roster *r, const struct jid *contact, unsigned before, unsigned after);
/* Ends what there was with a contact that is being removed: §2.5.2. */
ON_JOB void roster_part_with(struct roster *r, const struct roster_item *was);
