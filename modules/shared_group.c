/* modules/shared_group.c - the groups of a host. A group's members are one object for all accounts
 * that see them (struct contact_group), so who comes or goes is changed there, once. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "modules/shared_inside.h"

struct shared_group *shared_find(struct shared_host *sh, const char *id)
{
	struct shared_group *g = sh->groups;

	while (g && strcmp(g->id, id) != 0)
		g = g->next;
	return g;
}

struct shared_group *shared_group_make(const char *id, const char *label)
{
	struct shared_group *g = xcalloc(1, sizeof(*g));

	g->id = xstrdup(id);
	g->label = xstrdup(label);
	g->description = xstrdup("");
	g->listed = contact_set_end(contact_set_begin());
	g->live = contact_group_new(label);
	return g;
}

void shared_group_free(struct shared_group *g)
{
	if (!g)
		return;
	for (unsigned i = 0; i < g->n_displays; i++)
		free(g->displays[i]);
	free(g->displays);
	free(g->id);
	free(g->label);
	free(g->description);
	contact_set_unref(g->listed);
	contact_group_unref(g->live);
	free(g);
}

/* Accounts keep the group with the old label until they are told of the new one. */
void shared_group_relabel(struct shared_group *g, const char *label)
{
	free(g->label);
	g->label = xstrdup(label);
	contact_group_unref(g->live);
	g->live = contact_group_new(label);
}

void shared_group_describe(struct shared_group *g, const char *text)
{
	free(g->description);
	g->description = xstrdup(text);
}

static int display_index(const struct shared_group *g, const char *id)
{
	for (unsigned i = 0; i < g->n_displays; i++)
		if (strcmp(g->displays[i], id) == 0)
			return (int)i;
	return -1;
}

void shared_group_show(struct shared_group *g, const char *displayed)
{
	if (display_index(g, displayed) >= 0)
		return;
	g->displays = xrealloc(g->displays, (g->n_displays + 1) * sizeof(*g->displays));
	g->displays[g->n_displays++] = xstrdup(displayed);
}

bool shared_group_hide(struct shared_group *g, const char *displayed)
{
	int at = display_index(g, displayed);

	if (at < 0)
		return false;
	free(g->displays[at]);
	g->displays[at] = g->displays[--g->n_displays];
	return true;
}

bool shared_displays(const struct shared_group *g, const struct shared_group *other)
{
	return g->n_displays ? display_index(g, other->id) >= 0 : g == other;
}

void shared_add(struct shared_host *sh, struct shared_group *g)
{
	struct shared_group **link = &sh->groups;

	while (*link && strcmp((*link)->id, g->id) < 0)
		link = &(*link)->next;
	g->next = *link;
	*link = g;
}

struct shared_group *shared_take(struct shared_host *sh, const char *id)
{
	struct shared_group **link = &sh->groups, *g;

	while (*link && strcmp((*link)->id, id) != 0)
		link = &(*link)->next;
	g = *link;
	if (g)
		*link = g->next;
	return g;
}

void shared_apply(struct shared_host *sh, struct shared_group *g)
{
	if (g->who == SHARED_ALL)
		contact_group_set(g->live, sh->everybody, sh->online);
	else if (g->who == SHARED_ONLINE)
		contact_group_set(g->live, sh->online, sh->online);
	else
		contact_group_set(g->live, g->listed, g->listed);
}

bool shared_has(const struct shared_host *sh, enum shared_who who)
{
	const struct shared_group *g = sh->groups;

	while (g && g->who != who)
		g = g->next;
	return g;
}

/* ---- What an account sees */

static bool is_member(struct shared_host *sh, const struct shared_group *g, const struct jid *bare)
{
	if (g->who == SHARED_LISTED)
		return contact_set_find(g->listed, bare);
	return g->who == SHARED_ALL || contact_set_find(sh->online, bare);
}

/* The members of g see those of the groups it displays, who know that they are seen. */
static unsigned bits_of(
	struct shared_host *sh, const struct shared_group *g, const struct jid *bare)
{
	unsigned bits = 0;

	for (const struct shared_group *o = sh->groups; o; o = o->next) {
		if (shared_displays(o, g) && is_member(sh, o, bare))
			bits |= CONTACT_TO | CONTACT_LISTED;
		if (shared_displays(g, o) && is_member(sh, o, bare))
			bits |= CONTACT_FROM;
	}
	return bits;
}

void shared_view(struct shared_host *sh, const struct jid *bare, struct contacts_loading *into)
{
	unsigned n = 0;

	for (struct shared_group *g = sh->groups; g; g = g->next)
		n++;
	if (!n)
		return;
	into->shared = xcalloc(n, sizeof(*into->shared));
	for (struct shared_group *g = sh->groups; g; g = g->next) {
		unsigned bits = bits_of(sh, g, bare);

		if (bits)
			into->shared[into->n_shared++] =
				(struct shared_contacts){ contact_group_ref(g->live), bits };
	}
}

/* ---- Who is there */

static bool change_set(struct contact_set **set, const struct jid *bare, bool in)
{
	struct contact_set *now;

	if ((contact_set_find(*set, bare) != 0) == in)
		return false;
	now = in ? contact_set_with(*set, bare, CONTACT_SHARED) : contact_set_without(*set, bare);
	contact_set_unref(*set);
	*set = now;
	return true;
}

static void apply_moving(struct shared_host *sh)
{
	for (struct shared_group *g = sh->groups; g; g = g->next)
		if (g->who != SHARED_LISTED)
			shared_apply(sh, g);
}

bool shared_note_online(struct shared_host *sh, const struct jid *bare, bool online)
{
	if (!shared_has(sh, SHARED_ALL) && !shared_has(sh, SHARED_ONLINE))
		return false;
	if (!change_set(&sh->online, bare, online))
		return false;
	apply_moving(sh);
	return true;
}

bool shared_note_account(struct shared_host *sh, const struct jid *bare, bool exists)
{
	bool changed = false;

	if (sh->knows_everybody && change_set(&sh->everybody, bare, exists)) {
		apply_moving(sh);
		changed = true;
	}
	for (struct shared_group *g = sh->groups; g && !exists; g = g->next)
		if (g->who == SHARED_LISTED && change_set(&g->listed, bare, false)) {
			shared_apply(sh, g);
			changed = true;
		}
	return changed;
}
