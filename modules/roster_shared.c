/* modules/roster_shared.c - what shared groups (modules/shared_roster) add to a roster: contacts
 * that nobody stored, and bits and groups for those that somebody did. */
#include <stdlib.h>
#include <string.h>

#include "modules/roster_inside.h"
#include "modules/shared_roster.h"
#include "router/presence.h"

void roster_hold_shared(struct roster *r)
{
	r->n_shared = contacts_hold_shared(account_online(r->account), &r->shared);
}

void roster_drop_shared(struct roster *r)
{
	contacts_drop_shared(r->shared, r->n_shared);
	r->shared = NULL;
	r->n_shared = 0;
}

/* ---- Merging */

static unsigned held_bits(const struct shared_held *h, const struct jid *contact)
{
	unsigned bits = contact_set_find(h->members, contact);

	return bits ? bits | h->shared.bits : 0;
}

static unsigned bits_of(const struct shared_held *held, unsigned n, const struct jid *contact)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < n; i++)
		bits |= held_bits(&held[i], contact);
	return bits;
}

unsigned roster_shared_bits(const struct roster *r, const struct jid *contact)
{
	return jid_equal_bare(contact, r->account) ? 0 : bits_of(r->shared, r->n_shared, contact);
}

static bool has_group(const struct roster_item *item, const char *label)
{
	for (unsigned i = 0; i < item->n_groups; i++)
		if (strcmp(item->groups[i], label) == 0)
			return true;
	return false;
}

struct roster_item roster_merged(struct roster *r, const struct roster_item *item)
{
	struct roster_item seen = *item;
	const char **groups;

	if (!r->n_shared || jid_is_full(item->jid) || !roster_shared_bits(r, item->jid))
		return seen;
	groups = arena_alloc(&r->arena, (item->n_groups + r->n_shared) * sizeof(*groups));
	if (item->n_groups)
		memcpy(groups, item->groups, item->n_groups * sizeof(*groups));
	seen.groups = groups;
	for (unsigned i = 0; i < r->n_shared; i++) {
		unsigned bits = held_bits(&r->shared[i], item->jid);
		const char *label = contact_group_label(r->shared[i].shared.group);

		seen.bits |= bits;
		if (bits & CONTACT_LISTED && !has_group(&seen, label))
			groups[seen.n_groups++] = label;
	}
	if (seen.bits & CONTACT_TO)
		seen.bits &= ~(unsigned)CONTACT_PENDING_OUT;
	return seen;
}

uint64_t roster_shared_digest(const struct roster *r)
{
	uint64_t digest = 0;

	for (unsigned i = 0; i < r->n_shared; i++) {
		const struct shared_held *h = &r->shared[i];
		uint64_t one = contact_set_digest(h->members) + h->shared.bits;

		for (const char *c = contact_group_label(h->shared.group); *c; c++)
			one = (one ^ (unsigned char)*c) * 0x100000001b3u;
		digest += one;
	}
	return digest;
}

void roster_build_shared(struct roster *r, struct builder *b, const struct contact_set *but)
{
	for (unsigned i = 0; i < r->n_shared; i++) {
		const struct contact_set *members = r->shared[i].members;

		if (!(r->shared[i].shared.bits & CONTACT_LISTED))
			continue;
		for (unsigned k = 0; k < contact_set_count(members); k++) {
			struct roster_item item = { .jid = contact_set_at(members, k) };

			if (jid_equal_bare(item.jid, r->account) ||
				contact_set_find(but, item.jid) ||
				bits_of(r->shared, i, item.jid) & CONTACT_LISTED)
				continue;
			item = roster_merged(r, &item);
			roster_item_build(b, &item);
		}
	}
}

/* ---- Following changes */

/* Pushes one as it is by now. */
ON_JOB static void push_contact(struct roster *r, const struct jid *contact)
{
	struct roster_item item = { .jid = contact };

	if (contact_own_state(account_online(r->account), contact) &&
		roster_find(r, contact, &item) < 0)
		return;
	roster_push(r, &item);
}

/* Its presence comes by itself: the contact is told of it as well. */
ON_JOB static void run_contact(struct roster *r, struct roster_work *w)
{
	if (!roster_open(r))
		push_contact(r, w->contact);
}

/* Work of accounts beyond which this is left to the next login: others are to get through. */
#define WAITING_MAX 16384

int roster_shared_contact(
	struct module_instance *mi, const struct jid *account, const struct jid *contact)
{
	int full = account_work_waiting() > WAITING_MAX
		? CARRIER_FULL
		: roster_submit_about(mi, account, contact, run_contact);

	if (full)
		roster_falls_behind(account);
	return full;
}

static bool is_held(const struct shared_held *held, unsigned n, const struct shared_contacts *s)
{
	for (unsigned i = 0; i < n; i++)
		if (held[i].shared.group == s->group && held[i].shared.bits == s->bits)
			return true;
	return false;
}

/* A change of groups that concerns one account, which then asks and tells for both sides; or all,
 * where each tells for itself. */
enum refresh { REFRESH_ONE, REFRESH_ALL };
struct refreshing {
	struct roster *r;
	enum refresh how;
	struct shared_held *before; /* the groups as they were */
	unsigned n_before;
	unsigned pushes;
};
/* A group of all accounts would be a flood: the rest is seen at the next login. */
#define PUSHES_MAX 1000

/* One whose place in the groups has changed. */
ON_JOB static void tell_of(struct refreshing *f, const struct jid *contact)
{
	struct roster *r = f->r;
	unsigned own = contact_own_state(account_online(r->account), contact);
	unsigned was = own | bits_of(f->before, f->n_before, contact);
	unsigned is = own | roster_shared_bits(r, contact);
	unsigned ours = f->how == REFRESH_ALL ? CONTACT_FROM : CONTACT_BOTH;

	if (f->pushes++ < PUSHES_MAX)
		push_contact(r, contact);
	else if (f->pushes == PUSHES_MAX + 1)
		roster_falls_behind(r->account);
	roster_tell_changed(r, contact, was & ours, is & ours);
	if (was & ~is & ours & CONTACT_TO)
		presence_tell(contact, r->account, PRES_UNAVAILABLE, NULL);
}

/* All in the groups of some that are not among others. */
ON_JOB static void tell_of_difference(struct refreshing *f, const struct shared_held *some,
	unsigned n, const struct shared_held *others, unsigned n_others)
{
	for (unsigned i = 0; i < n; i++) {
		if (is_held(others, n_others, &some[i].shared))
			continue;
		for (unsigned k = 0; k < contact_set_count(some[i].members); k++) {
			const struct jid *contact = contact_set_at(some[i].members, k);

			if (!jid_equal_bare(contact, f->r->account))
				tell_of(f, contact);
		}
	}
}

/* The account is in other groups than before, or they show others. */
ON_JOB static void refresh(struct roster *r, enum refresh how)
{
	struct refreshing f = { .r = r, .how = how, .before = r->shared, .n_before = r->n_shared };

	if (roster_open(r) || account_changed(r->host, r->account, &contacts_kind))
		return;
	roster_hold_shared(r);
	tell_of_difference(&f, f.before, f.n_before, r->shared, r->n_shared);
	tell_of_difference(&f, r->shared, r->n_shared, f.before, f.n_before);
	contacts_drop_shared(f.before, f.n_before);
}

ON_JOB static void run_refresh_one(struct roster *r, struct roster_work *w UNUSED)
{
	refresh(r, REFRESH_ONE);
}

ON_JOB static void run_refresh_all(struct roster *r, struct roster_work *w UNUSED)
{
	refresh(r, REFRESH_ALL);
}

int roster_shared_refresh(struct module_instance *mi, const struct jid *account)
{
	return roster_submit(mi, account, NULL, run_refresh_one);
}

int roster_shared_refresh_all(struct module_instance *mi, const struct jid *account)
{
	int full = roster_submit(mi, account, NULL, run_refresh_all);

	if (full)
		roster_falls_behind(account);
	return full;
}
