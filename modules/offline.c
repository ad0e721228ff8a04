/* modules/offline.c - messages for those who are not there: RFC 6121 §8.5.2.2.1, XEP-0160 (Best
 * Practices for Handling Offline Messages). The message log keeps them; here is how many, and when
 * they are handed out. */
#include "modules/message_log.h"

struct offline_conf {
	int64_t max_user_messages;
};

static const struct conf_item offline_items[] = {
	{ "max_user_messages", CONF_INT, FIELD(struct offline_conf, max_user_messages, int64_t),
		.preset = "1000", .min = 1, .max = 1000000, .unit = "messages",
		.help = "So many wait for one account; the sender of a further one is told that it "
			"cannot be delivered." },
	{ 0 }
};

static enum hook_next offline_keep(void *subject, void *arg)
{
	const struct offline_conf *conf = module_conf(arg);
	struct message_question *q = subject;

	q->max_waiting = conf->max_user_messages;
	return HOOK_STOP;
}

/* XEP-0160 §2: the first presence with a priority that is not negative. */
static enum hook_next offline_presence(void *subject, void *arg UNUSED)
{
	const struct session_presence *p = subject;

	shard_check(NULL);
	if (p->stanza->type == PRES_AVAILABLE && p->session->priority >= 0 &&
		(p->initial || p->priority_was < 0))
		message_log_catch_up(p->session);
	return HOOK_GO_ON;
}

static int offline_start(struct module_instance *mi)
{
	job_check();
	return message_log_use(mi->host);
}

static void offline_stop(struct module_instance *mi)
{
	message_log_unuse(mi->host);
}

const struct module module_offline = {
	.abi = LINNET_MODULE_ABI,
	.name = "offline",
	.help = "Keeps messages for accounts that are not there, until they come.",
	.xeps = (const char *const[]){ "XEP-0160 1.0.1", "XEP-0203 2.0", NULL },
	.features = (const char *const[]){ "msgoffline", NULL },
	.conf = offline_items,
	.conf_size = sizeof(struct offline_conf),
	.hooks = (const struct hook_row[]){ { &keep_message_hook, 50, offline_keep },
		{ &session_presence_hook, 60, offline_presence }, { 0 } },
	.start = offline_start,
	.stop = offline_stop,
};
LINNET_MODULE(module_offline);
