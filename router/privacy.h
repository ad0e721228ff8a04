/* router/privacy.h - whom an account will not hear or be seen by: the privacy lists of XEP-0016,
 * and the blocks of XEP-0191, which are rules of the account's default list. A part of the
 * account's snapshot (router/account.h) that modules/privacy_lists loads: any thread asks without a
 * lock, and for an account without lists that is a look at a pointer. Constant once made; rules
 * about addresses are found by their hashes, so a long list costs little more than a short one. */
#pragma once

#include "core/arena.h"
#include "core/attr.h"
#include "router/account.h"
#include "xml/jid.h"
#include "xml/stanza.h"

extern struct account_kind privacy_kind;

/* What a rule is about: XEP-0016 §2.9 to §2.12. None of them: all there is, both ways (§2.13). */
enum privacy_kinds {
	PRIVACY_MESSAGE = 1 << 0, /* in */
	PRIVACY_IQ = 1 << 1, /* in */
	PRIVACY_PRESENCE_IN = 1 << 2, /* notifications; not subscriptions and probes */
	PRIVACY_PRESENCE_OUT = 1 << 3,
};
enum privacy_about { PRIVACY_ANYBODY, PRIVACY_JID, PRIVACY_GROUP, PRIVACY_SUBSCRIPTION };
struct privacy_rule {
	int64_t order; /* lower ones are asked first; unlike that of any other in the list */
	enum privacy_about about;
	bool deny;
	unsigned kinds; /* enum privacy_kinds */
	const struct jid *jid; /* PRIVACY_JID: §2.1, of any form */
	const char *group; /* PRIVACY_GROUP */
	unsigned subscription; /* PRIVACY_SUBSCRIPTION: CONTACT_TO, CONTACT_FROM, both or 0 */
};

struct privacy_list {
	int64_t id; /* the database's */
	uint8_t number; /* among the account's, never 0, for as long as the list is there */
	const char *name;
	unsigned n;
	struct privacy_rule *rules; /* by their order */
	/* Private: rules about addresses by hash, and all others by their order. */
	struct privacy_index *index;
	unsigned *others;
	unsigned n_index, n_others;
};
/* All of an account's. */
struct privacy {
	struct account_part part;
	unsigned n;
	struct privacy_list *lists;
	const struct privacy_list *standard; /* the default list; NULL: there is none */
	struct arena arena; /* private: holds all of it */
};

/* --- asking; any RCU-registered thread; a as account_of() and account_hold() give it */

static inline const struct privacy *privacy_of(const struct account *a)
{
	return account_part(a, &privacy_kind);
}
/* The list that holds for a session: the active one when it has chosen one, else the default.
 * NULL: everything is allowed. active: session's active_list, 0 for none. */
const struct privacy_list *privacy_list_of(const struct privacy *p, uint8_t active);
const struct privacy_list *privacy_find(const struct privacy *p, const char *name);

/* Whether the list denies what a stanza of those kinds, or 0 for one that only rules about
 * everything speak of, is to or from that peer. a: whose contacts groups and subscriptions are. */
bool privacy_denies(const struct privacy_list *l, const struct account *a, const struct jid *peer,
	unsigned kinds);
/* Stanzas: one for the account / one that its client sends. Between an account's own resources, and
 * with its server itself, nothing is denied: XEP-0191 §5. */
bool privacy_denies_in(
	const struct privacy_list *l, const struct account *a, const struct stanza *s);
bool privacy_denies_out(
	const struct privacy_list *l, const struct account *a, const struct stanza *s);
/* Presence of a session, to somebody / to it. */
static inline const struct privacy_list *privacy_list_for(const struct session *ss)
{
	const struct privacy *p = privacy_of(account_of(ss));

	return p ? privacy_list_of(p, atomic_load_explicit(&ss->active_list, memory_order_relaxed))
		 : NULL;
}
static inline bool privacy_hides(const struct session *ss, const struct jid *whom)
{
	const struct privacy_list *l = privacy_list_for(ss);

	return l && privacy_denies(l, account_of(ss), whom, PRIVACY_PRESENCE_OUT);
}
static inline bool privacy_mutes(const struct session *ss, const struct jid *whom)
{
	const struct privacy_list *l = privacy_list_for(ss);

	return l && privacy_denies(l, account_of(ss), whom, PRIVACY_PRESENCE_IN);
}

/* What reached the account, but this session would not have: only one with an active list, since
 * others have been asked for the account. */
static inline bool privacy_keeps_from(const struct session *ss, const struct stanza *s)
{
	const struct privacy_list *l = privacy_list_for(ss);

	return l && !s->by_server && privacy_denies_in(l, account_of(ss), s);
}

/* --- making; one thread --- */

/* With one reference, as load() of an account_kind gives it. Takes copies of names and rules. */
struct privacy *privacy_new(void) __attribute__((returns_nonnull));
void privacy_add_list(
	struct privacy *p, int64_t id, uint8_t number, const char *name, bool standard);
/* To the list that was added last. */
void privacy_add_rule(struct privacy *p, const struct privacy_rule *rule);
void privacy_end(struct privacy *p); /* now it may be asked */
