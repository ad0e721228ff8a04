/* modules/configure_service.c - the end of the service after a while, with a word to who is
 * connected: XEP-0133 §4.31. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/job.h"
#include "core/shard.h"
#include "core/timer.h"
#include "modules/campaign.h"
#include "modules/configure.h"
#include "modules/module.h"

#define WORDS_PER_SECOND 10000 /* what is said before the end has to arrive before it */

/* The one end that is planned. */
static struct {
	_Atomic bool planned;
	struct msg msg;
	struct timer timer;
	uint64_t delay_ms;
} end;

static void end_now(struct timer *t UNUSED)
{
	log_info("configure", "stopping, as an administrator asked");
	kill(getpid(), SIGTERM); /* as linnetctl stop does */
}

static void end_later(struct msg *m UNUSED)
{
	shard_check(NULL);
	timer_init(&end.timer, end_now);
	timer_set(&end.timer, end.delay_ms);
}

static void add_host(struct host *h, void *arg)
{
	struct campaign_order *o = arg;
	struct host **hosts = (struct host **)o->hosts;

	hosts = xrealloc(hosts, (o->n_hosts + 1) * sizeof(struct host *));
	hosts[o->n_hosts++] = host_ref(h);
	o->hosts = hosts;
}

/* To everybody, since it is everybody's server that ends. */
static int announce_end(struct adhoc *a, const char *text)
{
	struct campaign_order order = { .to = CAMPAIGN_ONLINE,
		.notice = { .body = text, .lang = a->lang },
		.per_second = WORDS_PER_SECOND };
	unsigned id;
	int error;

	route_each_host(add_host, &order);
	error = campaign_begin(&order, &id);
	for (size_t i = 0; i < order.n_hosts; i++)
		host_unref(order.hosts[i]);
	free((void *)order.hosts);
	return error;
}

static int shut_down(struct adhoc *a)
{
	const char *text = form_joined(a->form, "announcement", a->arena);
	char from[JID_TEXT_MAX];

	job_check();
	if (atomic_exchange(&end.planned, true)) {
		a->problem = TR("The service is going to end already.");
		return ERR_CONFLICT;
	}
	if (text && *text && announce_end(a, text))
		adhoc_note(a, "warn", tr(a->lang, "The announcement could not be sent."));
	jid_write(a->iq->from, from);
	log_info("configure", "an administrator ends the service", L_STR("jid", from));
	end.delay_ms = 1000 * (uint64_t)atoi(form_text(a->form, "delay", a->arena));
	end.msg.run = end_later;
	shard_post(shard_at(0), &end.msg);
	return ADHOC_DONE;
}

static const char *preset_delay(struct adhoc *a UNUSED, const struct form_row *field)
{
	return field->options ? "60" : NULL;
}

static const char *const delays[] = { "30", "60", "90", "120", "180", "240", "300", NULL };
static const struct form_row end_fields[] = { { "delay", FORM_LIST_SINGLE, TR("Seconds until then"),
						      .required = true, .options = delays },
	{ "announcement", FORM_TEXT_MULTI, TR("Announcement") }, { 0 } };
static const struct adhoc_command commands[] = {
	{ .node = ADMIN_NODE("shutdown"),
		.name = TR("Shut down the service"),
		.form_type = NS_ADMIN,
		.fields = end_fields,
		.preset = preset_delay,
		.run = shut_down },
};
const struct adhoc_commands service_commands = { commands, ARRAY_LEN(commands) };
