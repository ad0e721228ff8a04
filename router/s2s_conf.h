/* router/s2s_conf.h - the settings of streams between servers that are the same for all hosts. What
 * a host may have of its own is in router/host_conf.c. */
#pragma once

#include "core/conf.h"

struct s2s_conf {
	int64_t max_connections; /* links of one pair of domains */
	int64_t idle_ms; /* a link without a stanza is closed */
	int64_t negotiation_ms; /* from a connection to an established stream */
	int64_t max_retry_ms; /* between attempts that fail */
	int64_t queue_stanzas; /* that wait for one link to open ... */
	int64_t queue_bytes; /* ... memory that these hold ... */
	int64_t queue_ms; /* ... and for how long */
	const char *dialback_secret; /* NULL: a random one */
};
extern const struct conf_item s2s_conf_items[];

/* Published: from now on they count. main or the control thread; conf is copied but for its texts,
 * which nobody reads here. */
void s2s_conf_set(const struct s2s_conf *conf);
/* Any registered thread; good until its next quiescent state. Before any was set, the defaults. */
const struct s2s_conf *s2s_conf(void);
