/* router/contacts.h - an account's contacts as a stanza's way needs them: who they are and what
 * subscriptions there are, without names. A part of the account's snapshot (router/account.h), so
 * any thread asks about an account that has sessions, and lists it, without a lock. The roster
 * module loads it (struct contacts_source); where no such module runs, nobody has contacts.
 * Constant once made: about 50 bytes a contact, sorted for look-up; what a shared group adds is one
 * set for all of its members. */
#pragma once

#include "core/attr.h"
#include "router/account.h"
#include "router/subscription.h"

extern struct account_kind contacts_kind;

/* --- asking; any RCU-registered thread, a as account_of() and account_hold() give it (NULL: none)
 */

/* enum contact_bits; 0: unknown. Of who's bare JID. */
unsigned contact_state(const struct account *a, const struct jid *who);
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
	unsigned wanted, set, at;
};
void contacts_begin(struct contacts_walk *w, const struct account *a, unsigned bits);
bool contacts_next(struct contacts_walk *w);

/* --- making ------------------------------------------------------------------------------------
 */

/* Contacts with their bits; many accounts may have one in common. Counted, constant. */
struct contact_set;
struct contact_set_builder;
struct contact_set_builder *contact_set_begin(void) __attribute__((returns_nonnull));
/* bare; at most once each. groups: of n names. */
void contact_set_add(struct contact_set_builder *b, const struct jid *bare, unsigned bits,
	const char *const *groups, unsigned n);
struct contact_set *contact_set_end(struct contact_set_builder *b); /* takes b; one reference */
struct contact_set *contact_set_ref(struct contact_set *s);
void contact_set_unref(struct contact_set *s); /* NULL is fine */
unsigned contact_set_find(const struct contact_set *s, const struct jid *who); /* bits, or 0 */
size_t contact_set_bytes(const struct contact_set *s); /* of memory */

/* What its loader fills: the account's own set, and those it shares. */
struct contacts_loading {
	struct contact_set *own; /* taken */
	unsigned n_shared;
	struct shared_contacts {
		struct contact_set *set; /* taken */
		unsigned bits; /* what all in it are to the account */
	} * shared; /* taken, from the heap */
};
/* arg of account_kind_add(h, &contacts_kind, arg). */
struct contacts_source {
	/* 0 or a negative errno; what is in `into` by then is freed either way. On a
	 * job thread. */
	int (*load)(struct contacts_source *s, struct host *h, const struct jid *bare,
		struct contacts_loading *into);
};
