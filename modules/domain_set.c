/* modules/domain_set.c - a hash table that only grows. */
#include "modules/domain_set.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "xml/jid.h"

/* Where it is, or belongs. */
static char **place(const struct domain_set *d, const char *domain)
{
	size_t at = jid_hash_domain(domain, strlen(domain)) & (d->room - 1);

	while (d->at[at] && strcmp(d->at[at], domain) != 0)
		at = (at + 1) & (d->room - 1);
	return &d->at[at];
}

static void grow(struct domain_set *d)
{
	struct domain_set wider = { .room = d->room ? 2 * d->room : 16, .n = d->n };

	wider.at = xcalloc(wider.room, sizeof(*wider.at));
	for (size_t i = 0; i < d->room; i++)
		if (d->at[i])
			*place(&wider, d->at[i]) = d->at[i];
	free(d->at);
	*d = wider;
}

bool domain_set_add(struct domain_set *d, const char *domain)
{
	char **found;

	if (2 * (d->n + 1) > d->room)
		grow(d);
	found = place(d, domain);
	if (*found)
		return false;
	*found = xstrdup(domain);
	d->n++;
	return true;
}

void domain_set_fini(struct domain_set *d)
{
	for (size_t i = 0; i < d->room; i++)
		free(d->at[i]);
	free(d->at);
	*d = (struct domain_set){ 0 };
}
