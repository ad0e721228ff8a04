/* modules/offline.c - messages for those who are not there: RFC 6121 §8.5.2.2.1, XEP-0160 (Best
 * Practices for Handling Offline Messages). The message log keeps them; here is how many, how long,
 * and when they are handed out. offline_retrieval.c is for clients that take them one by one. */
#include "modules/offline_inside.h"

#include "core/clock.h"
#include "modules/message_sweep.h"
#include "router/directory.h"

static const struct conf_item offline_items[] = {
	{ "max_user_messages", CONF_INT, FIELD(struct offline_conf, max_user_messages, int64_t),
		.preset = "1000", .min = 1, .max = 1000000, .unit = "messages",
		.help = "So many wait for one account; the sender of a further one is told that it "
			"cannot be delivered." },
	{ "expire_after", CONF_TIME, FIELD(struct offline_conf, expire_after, int64_t),
		.preset = "infinity", .min = 1000, .max = INT64_MAX,
		.help = "Messages that have waited for longer are not delivered any more." },
	{ 0 }
};

static enum hook_next offline_keep(void *subject, void *arg)
{
	const struct offline_conf *conf = module_conf(arg);
	struct message_question *q = subject;

	q->max_waiting = conf->max_user_messages;
	return HOOK_STOP;
}

uint64_t offline_oldest_id(const struct offline_conf *conf)
{
	uint64_t now_ms = clock_wall_ms(), age_ms = (uint64_t)conf->expire_after;

	return now_ms > age_ms ? message_first_id((int64_t)(now_ms - age_ms) * 1000) : 0;
}

static void offline_limits(void *arg, struct message_limits *limits)
{
	const struct offline_conf *conf = module_conf_hold(arg);

	limits->waiting_below = offline_oldest_id(conf);
	module_conf_drop(conf);
}

/* XEP-0013 §2.2: as long as one of the account's clients takes what waits one by one, nobody is
 * handed it. */
static bool somebody_reads(const struct session *ss)
{
	const struct sessions *all = directory_find(ss->jid);

	for (unsigned i = 0; all && i < all->n; i++)
		if (session_is_reading(all->at[i].session, SESSION_READS_OFFLINE))
			return true;
	return false;
}

/* XEP-0160 §2: the first presence with a priority that is not negative. */
static enum hook_next offline_presence(void *subject, void *arg)
{
	const struct session_presence *p = subject;
	const struct offline_conf *conf = module_conf(arg);

	shard_check(NULL);
	if (p->stanza->type == PRES_AVAILABLE && p->session->priority >= 0 &&
		(p->initial || p->priority_was < 0) && !somebody_reads(p->session))
		message_log_catch_up(p->session, offline_oldest_id(conf));
	return HOOK_GO_ON;
}

/* One that a process before has left is available from its first moment, and does not say so again:
 * what was on its way to it when that process was killed waits. */
static enum hook_next offline_opened(void *subject, void *arg)
{
	struct session *ss = subject;
	const struct offline_conf *conf = module_conf(arg);

	shard_check(NULL);
	if (ss->presence && ss->priority >= 0 && !somebody_reads(ss))
		message_log_catch_up(ss, offline_oldest_id(conf));
	return HOOK_GO_ON;
}

static int offline_start(struct module_instance *mi)
{
	int error;

	job_check();
	error = message_log_use(mi->host);
	if (!error)
		message_sweep_use(mi->host, offline_limits, mi);
	return error;
}

static void offline_stop(struct module_instance *mi)
{
	message_sweep_unuse(mi->host, offline_limits, mi);
	message_log_unuse(mi->host);
}

const struct module module_offline = {
	.abi = LINNET_MODULE_ABI,
	.name = "offline",
	.help = "Keeps messages for accounts that are not there, until they come.",
	.xeps = (const char *const[]){ "XEP-0013 1.3", "XEP-0160 1.0.1", "XEP-0203 2.0", NULL },
	.features = (const char *const[]){ "msgoffline", NS_OFFLINE, NULL },
	.conf = offline_items,
	.conf_size = sizeof(struct offline_conf),
	.iq = (const struct iq_row[]){ { IQ_FOR_BOTH, IQ_SM, NS_OFFLINE, IQ_NO_QUEUE, offline_iq,
					       .lane = true },
		{ 0 } },
	.hooks = (const struct hook_row[]){ { &keep_message_hook, 50, offline_keep },
		{ &user_send_hook, 40, offline_asked },
		{ &session_opened_hook, 60, offline_opened },
		{ &session_presence_hook, 60, offline_presence }, { 0 } },
	.start = offline_start,
	.stop = offline_stop,
};
LINNET_MODULE(module_offline);
