/* net/s2s_pairs.h - the pairs of domains that a stream from another server may carry stanzas for:
 * most have one, and XEP-0220 §2.6 lets one stream carry many. Bounded, because the peer decides.
 * Names are prepared domains. Part of a stream, its shard's only. */
#pragma once

#include "core/attr.h"

#define S2S_PAIRS_MAX 1000u

struct s2s_pair {
	char *theirs, *ours; /* owned */
};
struct s2s_pairs {
	struct s2s_pair *at; /* owned; what was found last stands near the front */
	uint32_t n, room;
};

bool s2s_pairs_has(struct s2s_pairs *p, const char *theirs, const char *ours);
/* Whether the peer speaks for that domain, to whomever. */
bool s2s_pairs_sends(const struct s2s_pairs *p, const char *theirs);
/* False: there are too many. One that is there already is fine. */
bool s2s_pairs_add(struct s2s_pairs *p, const char *theirs, const char *ours);
/* All pairs with that domain of ours go; how many there were. */
unsigned s2s_pairs_drop(struct s2s_pairs *p, const char *ours);
void s2s_pairs_fini(struct s2s_pairs *p);
