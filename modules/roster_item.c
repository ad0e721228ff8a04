/* modules/roster_item.c - an item as clients, tables and pushes have it. RFC 6121 §2.1.2. */
#include <stdlib.h>
#include <string.h>

#include "modules/roster_inside.h"

#define SEPARATOR 0x1f /* between groups in the table; XML has no such character */

bool roster_item_is_listed(const struct roster_item *item)
{
	return item->bits & CONTACT_LISTED;
}

/* ---- Groups */

const char *roster_groups_join(struct arena *a, const char *const *groups, unsigned n)
{
	size_t len = 1;
	char *joined, *at;

	for (unsigned i = 0; i < n; i++)
		len += strlen(groups[i]) + 1;
	joined = at = arena_alloc(a, len);
	for (unsigned i = 0; i < n; i++) {
		at = stpcpy(at, groups[i]);
		*at++ = SEPARATOR;
	}
	at[n ? -1 : 0] = '\0';
	return joined;
}

unsigned roster_groups_split(struct arena *a, const char *joined, const char *const **out)
{
	unsigned n = *joined != '\0', i = 0;
	const char **groups;
	char *copy;

	for (const char *c = joined; *c; c++)
		n += *c == SEPARATOR;
	groups = arena_alloc(a, (n + 1) * sizeof(*groups));
	copy = arena_strdup(a, joined);
	for (; i < n; i++) {
		char *end = strchrnul(copy, SEPARATOR);

		groups[i] = copy;
		copy = end + 1;
		*end = '\0';
	}
	*out = groups;
	return n;
}

/* ---- Reading */

static bool is_repeated(const char *const *groups, unsigned n, const char *group)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(groups[i], group) == 0)
			return true;
	return false;
}

/* §2.3.3: no empty ones, none twice, none too long; how many is ours to say. */
static int read_groups(struct roster *r, const struct elem *item, struct roster_item *out)
{
	unsigned n = 0;
	const char **groups;

	elem_each_child (item, e)
		n += elem_is(e, "group", NS_ROSTER);
	if (n > r->conf->max_groups)
		return ERR_NOT_ACCEPTABLE;
	groups = arena_alloc(&r->arena, (n + 1) * sizeof(*groups));
	n = 0;
	elem_each_child (item, e) {
		const char *text = elem_text(e, &r->arena);

		if (!elem_is(e, "group", NS_ROSTER))
			continue;
		if (!*text || strlen(text) > (size_t)r->conf->max_name_length)
			return ERR_NOT_ACCEPTABLE;
		if (is_repeated(groups, n, text))
			return ERR_BAD_REQUEST;
		groups[n++] = text;
	}
	out->groups = groups;
	out->n_groups = n;
	return 0;
}

int roster_item_read(
	struct roster *r, const struct elem *e, struct roster_item *out, bool *out_remove)
{
	const char *jid = elem_attr(e, "jid"), *name = elem_attr(e, "name");
	const char *subscription = elem_attr(e, "subscription");
	struct jid *parsed;

	*out = (struct roster_item){ .bits = CONTACT_LISTED };
	*out_remove = subscription && strcmp(subscription, "remove") == 0; /* else: §2.1.2.5 */
	if (!jid)
		return ERR_BAD_REQUEST;
	if (jid_parse(jid, strlen(jid), &r->arena, &parsed))
		return ERR_JID_MALFORMED;
	out->jid = parsed;
	if (jid_equal(parsed, r->account))
		return ERR_NOT_ALLOWED;
	if (*out_remove)
		return 0;
	if (name && strlen(name) > (size_t)r->conf->max_name_length)
		return ERR_NOT_ACCEPTABLE;
	out->name = name && *name ? name : NULL;
	return read_groups(r, e, out);
}

/* ---- Writing */

void roster_item_build(struct builder *b, const struct roster_item *item)
{
	build_open(b, "item", NS_ROSTER);
	build_attr_jid(b, "jid", item->jid);
	if (roster_item_is_listed(item)) {
		build_attr(b, "name", item->name);
		build_attr(b, "subscription", subscription_name(item->bits));
		if (item->bits & CONTACT_PENDING_OUT)
			build_attr(b, "ask", "subscribe");
		if (item->bits & CONTACT_APPROVED && !(item->bits & CONTACT_FROM))
			build_attr(b, "approved", "true");
		for (unsigned i = 0; i < item->n_groups; i++)
			build_text(b, "group", item->groups[i]);
	} else {
		build_attr(b, "subscription", "remove");
	}
	build_close(b);
}
