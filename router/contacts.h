/* router/contacts.h - an account's contacts as a stanza's way needs them: who they are and what
 * subscriptions there are, without names. A part of the account's snapshot (router/account.h), so
 * any thread asks about an account that has sessions, and lists it, without a lock. The roster
 * module loads it (struct contacts_source); where no such module runs, nobody has contacts.
 * Constant once made: about 50 bytes a contact, sorted for look-up. What a shared group adds is one
 * object for all of its members, which may change under them. */
#pragma once

#include "core/attr.h"
#include "router/account.h"
#include "router/subscription.h"

extern struct account_kind contacts_kind;

/* --- asking; any RCU-registered thread, a as account_of() and account_hold() give it (NULL: none)
 */

/* enum contact_bits; 0: unknown. Of who's bare JID. */
unsigned contact_state(const struct account *a, const struct jid *who);
/* Without what shared groups add. */
unsigned contact_own_state(const struct account *a, const struct jid *who);
/* Whether the roster lists who (its bare JID) in that group. */
bool contact_in_group(const struct account *a, const struct jid *who, const char *group);
/* Whether any contact has one of those bits. */
bool contacts_have(const struct account *a, unsigned bits);

/* How many stand in the account's own roster. */
unsigned contacts_count(const struct account *a);

/* All who have one of the bits:
 *   struct contacts_walk w;
 *   for (contacts_begin(&w, account, CONTACT_FROM); contacts_next(&w);) ... w.jid, w.bits */
struct contacts_walk {
	const struct jid *jid; /* bare */
	unsigned bits;
	/* Private. */
	const struct contacts *in;
	const struct contact_set *set;
	unsigned wanted, next, at, shared_bits;
};
/* Good as long as a is; false: there are no more. */
void contacts_begin(struct contacts_walk *w, const struct account *a, unsigned bits);
bool contacts_next(struct contacts_walk *w);

/* --- sets; any RCU-registered thread --- */

/* Addresses with their bits, constant. Counted; readers under RCU need no count. */
struct contact_set;
struct contact_set_builder;
struct contact_set_builder *contact_set_begin(void) __attribute__((returns_nonnull));
/* bare; at most once each. groups: of n names. */
void contact_set_add(struct contact_set_builder *b, const struct jid *bare, unsigned bits,
	const char *const *groups, unsigned n);
struct contact_set *contact_set_end(struct contact_set_builder *b); /* takes b; one reference */
/* The same but for one. was NULL: of nobody. Does not take was. */
struct contact_set *contact_set_with(
	const struct contact_set *was, const struct jid *bare, unsigned bits);
struct contact_set *contact_set_without(const struct contact_set *was, const struct jid *bare);
struct contact_set *contact_set_ref(struct contact_set *s);
void contact_set_unref(struct contact_set *s); /* NULL is fine */
unsigned contact_set_find(const struct contact_set *s, const struct jid *who); /* bits, or 0 */
unsigned contact_set_count(const struct contact_set *s);
const struct jid *contact_set_at(const struct contact_set *s, unsigned i);
uint64_t contact_set_digest(const struct contact_set *s); /* of the addresses, in any process */
size_t contact_set_bytes(const struct contact_set *s); /* of memory */

/* --- shared groups --- */

/* What many accounts have in common: contacts that come and go for all of them at once. Counted. */
struct contact_group;
struct contact_group *contact_group_new(const char *label) __attribute__((returns_nonnull));
struct contact_group *contact_group_ref(struct contact_group *g);
void contact_group_unref(struct contact_group *g); /* NULL is fine */
const char *contact_group_label(const struct contact_group *g);
/* Who is in it, and whom presence goes to and comes from: of a big group, those who are there. Does
 * not take them. One writer at a time. */
void contact_group_set(
	struct contact_group *g, struct contact_set *members, struct contact_set *present);

/* One that an account has: what all in it are to the account. */
struct shared_contacts {
	struct contact_group *group;
	unsigned bits;
};
/* The account's, with references of the caller's own: of the group and, as it is now, its members.
 */
struct shared_held {
	struct shared_contacts shared;
	struct contact_set *members;
};
/* Whether the account has that group, with those bits. */
bool contacts_share(const struct account *a, const struct contact_group *g, unsigned bits);
unsigned contacts_hold_shared(const struct account *a, struct shared_held **out); /* on the heap */
void contacts_drop_shared(struct shared_held *held, unsigned n);

/* --- loading --- */

/* What an account's loader fills. */
struct contacts_loading {
	struct contact_set *own; /* taken */
	unsigned n_shared;
	struct shared_contacts *shared; /* taken, from the heap, and their groups */
};
/* arg of account_kind_add(h, &contacts_kind, arg). */
struct contacts_source {
	/* 0 or a negative errno; what is in `into` by then is freed either way. On a job thread. */
	int (*load)(struct contacts_source *s, struct host *h, const struct jid *bare,
		struct contacts_loading *into);
};
