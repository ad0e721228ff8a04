/* A module for watch_test.py that does what no module may: it holds up who calls it. Each of its
 * functions waits a moment, or as long as a file is not there. */
#include <time.h>
#include <unistd.h>

#include "modules/module.h"

struct slow_conf {
	const char *until;
};

static const struct conf_item slow_items[] = {
	{ "until", CONF_PATH, FIELD(struct slow_conf, until, const char *), .required = true,
		.help = "The file that ends waiting." },
	{ 0 }
};

static void wait_ms(long ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static int slow_get(const struct iq *iq UNUSED, struct builder *answer UNUSED)
{
	wait_ms(200);
	return 0;
}

static int queued_get(const struct iq *iq, struct builder *answer UNUSED)
{
	const struct slow_conf *conf = iq_conf(iq);

	while (access(conf->until, F_OK))
		wait_ms(1);
	return 0;
}

extern struct hook session_opened_hook; /* router/session.h, which modules do not include */

static enum hook_next slow_session(void *subject UNUSED, void *arg UNUSED)
{
	wait_ms(200);
	return HOOK_GO_ON;
}

static const struct module slow = {
	.abi = LINNET_MODULE_ABI,
	.name = "slow",
	.help = "For a test.",
	.conf = slow_items,
	.conf_size = sizeof(struct slow_conf),
	.hooks = (const struct hook_row[]){ { &session_opened_hook, 50, slow_session }, { 0 } },
	.iq = (const struct iq_row[]){ { IQ_FOR_GET, IQ_LOCAL, "urn:test:slow", IQ_NO_QUEUE,
					       slow_get },
		{ IQ_FOR_GET, IQ_LOCAL, "urn:test:queued", IQ_ONE_QUEUE, queued_get }, { 0 } },
};
LINNET_MODULE(slow);
