/* modules/shared_inside.h - the inside of modules/shared_roster: shared_roster.c (the module, what
 * accounts get), shared_group.c (the groups of a host in memory), shared_store.c (their tables),
 * shared_operator.c (commands). */
#pragma once

#include <pthread.h>

#include "modules/shared_roster.h"

#define SHARED_GROUPS_MAX 1000 /* of a host */
#define SHARED_DISPLAYS_MAX 100 /* of a group */

struct shared_group {
	struct shared_group *next;
	char *id, *label, *description;
	enum shared_who who;
	bool fixed;
	char **displays; /* ids; none: itself */
	unsigned n_displays;
	struct contact_set *listed; /* counted: SHARED_LISTED */
	struct contact_group *live; /* counted: what accounts have */
};

/* Of one host; counted, as jobs outlive the module. */
struct shared_host {
	_Atomic uint32_t refs;
	struct rcu_head rcu;
	struct host *host; /* counted */
	pthread_mutex_t editing; /* who changes groups; held across the database */
	pthread_mutex_t lock; /* all below; held for moments */
	struct shared_group *groups;
	struct contact_set *everybody, *online; /* counted; kept while a group asks for them */
	bool knows_everybody;
};

/* --- shared_group.c; with the lock held unless it says otherwise */

struct shared_group *shared_find(struct shared_host *sh, const char *id);
struct shared_group *shared_group_make(const char *id, const char *label)
	__attribute__((returns_nonnull));
void shared_group_free(struct shared_group *g); /* one that is in no list */
/* Texts are copied. */
void shared_group_relabel(struct shared_group *g, const char *label);
void shared_group_describe(struct shared_group *g, const char *text);
void shared_group_show(struct shared_group *g, const char *displayed); /* once is enough */
bool shared_group_hide(struct shared_group *g, const char *displayed);
bool shared_displays(const struct shared_group *g, const struct shared_group *other);
void shared_add(struct shared_host *sh, struct shared_group *g); /* takes g */
struct shared_group *shared_take(struct shared_host *sh, const char *id); /* out of the list */
/* What accounts see of it follows. */
void shared_apply(struct shared_host *sh, struct shared_group *g);
/* Whether any group is of that kind. */
bool shared_has(const struct shared_host *sh, enum shared_who who);
/* The groups of an account and what they show it: fills into->shared. */
void shared_view(struct shared_host *sh, const struct jid *bare, struct contacts_loading *into);
/* An account came, went, was made or removed. True: its groups changed. */
bool shared_note_online(struct shared_host *sh, const struct jid *bare, bool online);
bool shared_note_account(struct shared_host *sh, const struct jid *bare, bool exists);

/* --- shared_store.c; 0 or a negative errno */

ON_JOB int shared_store_start(void); /* makes the tables */
ON_JOB int shared_store_load(struct shared_host *sh); /* adds what the tables have */
ON_JOB int shared_store_put(struct shared_host *sh, const struct shared_group *g);
ON_JOB int shared_store_delete(struct shared_host *sh, const char *id);
ON_JOB int shared_store_add(struct shared_host *sh, const char *id, const struct jid *member);
ON_JOB int shared_store_remove(struct shared_host *sh, const char *id, const struct jid *member);
void shared_store_forget(const struct jid *account); /* any thread */

/* --- shared_roster.c */

/* All who are connected by now. With the lock held, or before anybody sees sh. */
void shared_know_online(struct shared_host *sh);
/* Counted for the caller; NULL: the module does not run there. Any RCU-registered thread. */
struct shared_host *shared_hold(struct host *h);
void shared_drop(struct shared_host *sh);
/* Everybody connected to whom these groups show members: pushes of one contact. */
void shared_announce(struct shared_host *sh, const struct jid *contact,
	struct contact_group *const *g, unsigned n);
/* One account, or with NULL everybody who is connected to the host, gets its groups anew. */
void shared_refresh(struct shared_host *sh, const struct jid *account);
