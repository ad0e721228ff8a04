/* modules/ping.c - answers pings, and pings clients that have been silent. XEP-0199 (XMPP Ping). */
#include "modules/module.h"
#include "router/deliver.h"
#include "router/idle.h"
#include "router/session.h"

enum ping_timeout_action { PING_TIMEOUT_NONE, PING_TIMEOUT_KILL };
struct ping_conf {
	bool send_pings;
	int64_t ping_interval; /* ms */
	int64_t ping_ack_timeout; /* ms */
	int timeout_action; /* enum ping_timeout_action */
};
static const char *const timeout_actions[] = { "none", "kill", NULL };
static const struct conf_item ping_items[] = {
	{ "send_pings", CONF_BOOL, FIELD(struct ping_conf, send_pings, bool), .preset = "false",
		.help = "Ping clients that have been silent. A change reaches streams opened from "
			"then "
			"on." },
	{ "ping_interval", CONF_TIME, FIELD(struct ping_conf, ping_interval, int64_t),
		.preset = "1 min", .min = 1000, .max = 7 * 24 * 3600000LL,
		.help = "How long a client may be silent before it is pinged." },
	{ "ping_ack_timeout", CONF_TIME, FIELD(struct ping_conf, ping_ack_timeout, int64_t),
		.preset = "32 s", .min = 100, .max = 3600000LL,
		.help = "How long to wait for any sign of life after a ping." },
	{ "timeout_action", CONF_ENUM, FIELD(struct ping_conf, timeout_action, int),
		.preset = "none", .words = timeout_actions,
		.help = "What to do with a client that did not answer in time: none (ping again "
			"later) "
			"or kill (close its stream)." },
	{ 0 }
};
static struct metric sent_metric =
	METRIC_COUNTER("pings_sent_total", "Pings sent to silent clients.");
static struct metric unanswered_metric =
	METRIC_COUNTER("pings_unanswered_total", "Clients silent past ping_ack_timeout.");

/* §4.2: the empty result that the dispatcher has begun is the pong. */
static int ping_get(const struct iq *iq, struct builder *answer UNUSED)
{
	return elem_is(iq->payload, "ping", NS_PING) ? 0 : ERR_BAD_REQUEST;
}

/* §4.1. Whatever the client sends next is a sign of life, so the pong itself is not waited for. */
ON_SHARD static void ping_send(struct session *ss)
{
	struct stanza *ping;
	struct builder b;

	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", "get");
	build_attr(&b, "from", ss->host->name);
	build_attr_jid(&b, "to", ss->jid);
	build_attr(&b, "id", "ping");
	build_open(&b, "ping", NS_PING);
	build_close(&b);
	ping = build_end(&b);
	deliver(ss->id, ping, DELIVER_COPY);
	stanza_unref(ping);
	metric_add(&sent_metric, 1);
}

static void look_again(struct idle *idle, uint64_t at_ms)
{
	if (at_ms < idle->again_ms)
		idle->again_ms = at_ms;
}

static enum hook_next ping_idle(void *subject, void *arg)
{
	struct idle *idle = subject;
	const struct ping_conf *conf = module_conf(arg);
	uint64_t interval = (uint64_t)conf->ping_interval;
	uint64_t patience = (uint64_t)conf->ping_ack_timeout;

	shard_check(NULL);
	if (!conf->send_pings)
		return HOOK_GO_ON;
	if (!idle->pinged_ms && idle->silent_ms < interval) {
		look_again(idle, interval);
	} else if (!idle->pinged_ms) {
		ping_send(idle->session);
		idle->pinged_ms = idle->silent_ms;
		look_again(idle, idle->silent_ms + patience);
	} else if (idle->silent_ms < idle->pinged_ms + patience) {
		look_again(idle, idle->pinged_ms + patience);
	} else {
		metric_add(&unanswered_metric, 1);
		idle->dead = conf->timeout_action == PING_TIMEOUT_KILL;
		idle->pinged_ms = 0;
		look_again(idle, idle->silent_ms + interval);
	}
	return HOOK_GO_ON;
}

const struct module module_ping = {
	.abi = LINNET_MODULE_ABI,
	.name = "ping",
	.help = "Answers pings, and with send_pings pings clients that have been silent, to find "
		"out "
		"which connections are dead.",
	.xeps = (const char *const[]){ "XEP-0199 2.0.1", NULL },
	.features = (const char *const[]){ NS_PING, NULL },
	.account_features = (const char *const[]){ NS_PING, NULL },
	.conf = ping_items,
	.conf_size = sizeof(struct ping_conf),
	.iq = (const struct iq_row[]){ { IQ_FOR_GET, IQ_LOCAL, NS_PING, IQ_NO_QUEUE, ping_get },
		{ IQ_FOR_GET, IQ_SM, NS_PING, IQ_NO_QUEUE, ping_get }, { 0 } },
	.hooks = (const struct hook_row[]){ { &session_idle_hook, 50, ping_idle }, { 0 } },
};
LINNET_MODULE(module_ping);
