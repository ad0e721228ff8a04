/* router/s2s_conf.c - named as ejabberd names them, where it has them. */
#include "router/s2s_conf.h"

#include "core/mem.h"
#include "core/rcu.h"

const struct conf_item s2s_conf_items[] = {
	{ "max_s2s_connections", CONF_INT, FIELD(struct s2s_conf, max_connections, int64_t),
		.preset = "1", .min = 1, .max = 16, .unit = "connections",
		.help = "Connections that carry stanzas from one of our domains to one of another "
			"server; which one a stanza takes depends on its addresses, so that none "
			"overtakes another." },
	{ "s2s_timeout", CONF_TIME, FIELD(struct s2s_conf, idle_ms, int64_t), .preset = "1 hour",
		.min = 1000, .max = 30 * 86400000LL,
		.help = "A connection to another server that nothing was said on for so long is "
			"closed; it is opened again when it is needed." },
	{ "s2s_negotiation_timeout", CONF_TIME, FIELD(struct s2s_conf, negotiation_ms, int64_t),
		.preset = "30 s", .min = 1000, .max = 3600000,
		.help = "How long another server may take from a connection to the end of its "
			"negotiation, before its next address is tried." },
	{ "s2s_max_retry_delay", CONF_TIME, FIELD(struct s2s_conf, max_retry_ms, int64_t),
		.preset = "5 min", .min = 1000, .max = 86400000,
		.help = "Another server that cannot be reached is tried again after a second, then "
			"after ever longer, but not longer than this; meanwhile senders are told "
			"at once." },
	{ "s2s_queue_size", CONF_INT, FIELD(struct s2s_conf, queue_stanzas, int64_t),
		.preset = "1000", .min = 1, .max = 1000000, .unit = "stanzas",
		.help = "Stanzas that wait for one connection to another server to open; senders "
			"of more are told `resource-constraint`." },
	{ "s2s_queue_bytes", CONF_SIZE, FIELD(struct s2s_conf, queue_bytes, int64_t),
		.preset = "4 MB", .min = 65536, .max = 1 << 30,
		.help = "Memory that these may hold, and what waits in an open connection to a "
			"server that does not read as fast as it is written to." },
	{ "s2s_queue_timeout", CONF_TIME, FIELD(struct s2s_conf, queue_ms, int64_t),
		.preset = "90 s", .min = 1000, .max = 3600000,
		.help = "How long they wait; then their senders are told "
			"`remote-server-timeout`." },
	{ "s2s_dialback_secret", CONF_SECRET, FIELD(struct s2s_conf, dialback_secret, const char *),
		.applies = CONF_AT_RESTART,
		.help = "What the keys of dialback (XEP-0220) are made from, the same for all "
			"servers of a domain; without it, each start makes a new one." },
	{ 0 }
};

static RCU_PTR(struct s2s_conf) current;

/* As the presets above have it. */
static const struct s2s_conf defaults = {
	.max_connections = 1,
	.idle_ms = 3600000,
	.negotiation_ms = 30000,
	.max_retry_ms = 300000,
	.queue_stanzas = 1000,
	.queue_bytes = 4 << 20,
	.queue_ms = 90000,
};

void s2s_conf_set(const struct s2s_conf *conf)
{
	struct s2s_conf *was = rcu_swap(current, xmemdup(conf, sizeof(*conf)));

	if (was)
		rcu_free_later(was);
}

const struct s2s_conf *s2s_conf(void)
{
	const struct s2s_conf *c = rcu_get(current);

	return c ? c : &defaults;
}
