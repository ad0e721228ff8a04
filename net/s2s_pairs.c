/* net/s2s_pairs.c - a short list, asked for each stanza, which is mostly about the pair of the one
 * before. */
#include "net/s2s_pairs.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

bool s2s_pairs_has(struct s2s_pairs *p, const char *theirs, const char *ours)
{
	for (uint32_t i = 0; i < p->n; i++) {
		struct s2s_pair found = p->at[i];

		if (strcmp(found.theirs, theirs) || strcmp(found.ours, ours))
			continue;
		p->at[i] = p->at[i / 2];
		p->at[i / 2] = found;
		return true;
	}
	return false;
}

bool s2s_pairs_sends(const struct s2s_pairs *p, const char *theirs)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (!strcmp(p->at[i].theirs, theirs))
			return true;
	return false;
}

bool s2s_pairs_add(struct s2s_pairs *p, const char *theirs, const char *ours)
{
	if (s2s_pairs_has(p, theirs, ours))
		return true;
	if (p->n == S2S_PAIRS_MAX)
		return false;
	if (p->n == p->room) {
		p->room = p->room ? p->room * 2 : 1;
		p->at = xrealloc(p->at, p->room * sizeof(*p->at));
	}
	p->at[p->n++] = (struct s2s_pair){ xstrdup(theirs), xstrdup(ours) };
	return true;
}

static void pair_fini(struct s2s_pair *pair)
{
	free(pair->theirs);
	free(pair->ours);
}

unsigned s2s_pairs_drop(struct s2s_pairs *p, const char *ours)
{
	unsigned left = 0, was = p->n;

	for (uint32_t i = 0; i < p->n; i++) {
		if (strcmp(p->at[i].ours, ours))
			p->at[left++] = p->at[i];
		else
			pair_fini(&p->at[i]);
	}
	p->n = left;
	return was - left;
}

void s2s_pairs_fini(struct s2s_pairs *p)
{
	while (p->n)
		pair_fini(&p->at[--p->n]);
	free(p->at);
	p->at = NULL;
	p->room = 0;
}
