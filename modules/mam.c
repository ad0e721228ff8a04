/* modules/mam.c - accounts' archives of their messages: XEP-0313 (Message Archive Management) and
 * XEP-0441 (its preferences). ejabberd's mod_mam. The message log keeps the messages; here is which
 * of them are an account's archive, for how long, and who may read it: its clients. */
#include "modules/mam_inside.h"

#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "modules/message_sweep.h"
#include "router/account.h"
#include "router/bind.h"
#include "router/directory.h"

const char *const mam_defaults[] = { "always", "never", "roster", NULL };

static const struct conf_item mam_items[] = {
	{ "default", CONF_ENUM, FIELD(struct mam_conf, default_archive, int), .words = mam_defaults,
		.preset = "always",
		.help = "What is archived of accounts that have not chosen: everything, nothing, "
			"or what they exchange with the contacts in their roster." },
	{ "expire_after", CONF_TIME, FIELD(struct mam_conf, expire_after, int64_t),
		.preset = "infinity", .min = 1000, .max = INT64_MAX,
		.help = "Messages that are older are in no archive any more; they are deleted "
			"soon after." },
	{ "max_messages", CONF_INT, FIELD(struct mam_conf, max_messages, int64_t), .preset = "0",
		.min = 0, .max = 1000000000, .unit = "messages",
		.help = "So many stay in one archive; the oldest beyond are deleted by and by. 0: "
			"any number." },
	{ "default_page_size", CONF_INT, FIELD(struct mam_conf, default_page, int64_t),
		.preset = "50", .min = 1, .max = 1000, .unit = "messages",
		.help = "So many are sent to a client that does not say how many it wants." },
	{ "max_page_size", CONF_INT, FIELD(struct mam_conf, max_page, int64_t), .preset = "250",
		.min = 1, .max = 1000, .unit = "messages",
		.help = "So many are sent at once at most." },
	{ 0 }
};

static struct metric requests_metric =
	METRIC_COUNTER("archive_requests_total", "Requests to archives.");
static struct metric refused_metric =
	METRIC_COUNTER("archive_refused_total", "Requests to archives that were refused at once.");

uint64_t mam_oldest_id(const struct mam_conf *conf)
{
	uint64_t now_ms = clock_wall_ms(), age_ms = (uint64_t)conf->expire_after;

	return now_ms > age_ms ? message_first_id((int64_t)(now_ms - age_ms) * 1000) : 0;
}

/* ---- What is archived */

static enum hook_next mam_archive(void *subject, void *arg)
{
	const struct mam_conf *conf = module_conf(arg);
	const struct message_question *q = subject;

	return mam_prefs_want(q->account, q->peer, (enum mam_default)conf->default_archive)
		? HOOK_STOP
		: HOOK_GO_ON;
}

/* ---- Requests */

static account_request_fn *mam_function(const struct iq *iq)
{
	static const struct {
		const char *name;
		bool set;
		account_request_fn *run;
	} all[] = {
		{ "query", true, mam_query_set },
		{ "query", false, mam_query_get },
		{ "metadata", false, mam_metadata_get },
		{ "prefs", true, mam_prefs_set },
		{ "prefs", false, mam_prefs_get },
	};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		if (elem_is(iq->payload, all[i].name, NS_MAM) && iq->set == all[i].set)
			return all[i].run;
	return NULL;
}

/* XEP-0313 §6.1.1: who reads the archive before it is available is not handed what waits and is in
 * there, too. On its shard, so that it holds for a presence right behind the request. */
ON_SHARD static bool reads_instead(const struct iq *iq)
{
	const struct session_entry *e = directory_find_full(iq->from);

	if (!e || !iq->set || !elem_is(iq->payload, "query", NS_MAM) ||
		!jid_equal_bare(iq->from, iq->to))
		return false;
	session_reads((struct session *)e->session, SESSION_READS_ARCHIVE);
	return !e->available;
}

static int mam_iq(const struct iq *iq, struct builder *answer UNUSED)
{
	account_request_fn *run = mam_function(iq);
	int result = ERR_BAD_REQUEST;

	shard_check(NULL);
	metric_add(&requests_metric, 1);
	if (run && reads_instead(iq))
		run = mam_query_instead;
	if (run)
		result = account_request_iq(iq, run); /* of one's own alone: XEP-0313 §8.1 */
	if (result != IQ_LATER)
		metric_add(&refused_metric, 1);
	return result;
}

/* ---- With a session's beginning: XEP-0386 §3.2 */

struct beginning {
	struct job job;
	struct host *host; /* counted */
	const void *conf; /* held */
	struct jid *account; /* owned */
	struct actor_id stream;
	bind_ready_fn *ready;
	struct stanza *metadata;
};

static void beginning_work(struct job *j)
{
	struct beginning *b = container_of(j, struct beginning, job);

	job_check();
	b->metadata = mam_begin(b->host, b->account, b->conf);
}

static void beginning_free(struct beginning *b)
{
	module_conf_drop(b->conf);
	host_unref(b->host);
	jid_free(b->account);
	free(b);
}

static void beginning_done(struct job *j)
{
	struct beginning *b = container_of(j, struct beginning, job);

	b->ready(b->stream, b->metadata);
	beginning_free(b);
}

static enum hook_next mam_prepare(void *subject, void *arg)
{
	struct bind_prepare *p = subject;
	struct module_instance *mi = arg;
	struct beginning *b = xcalloc(1, sizeof(*b));

	b->host = host_ref(mi->host);
	b->conf = module_conf_hold(mi);
	b->account = jid_bare(p->account, NULL);
	b->stream = p->stream;
	b->ready = p->ready;
	b->job.work = beginning_work;
	b->job.done = beginning_done;
	if (account_work(b->account, &b->job) == 0)
		p->waits++;
	else
		beginning_free(b); /* it can ask for the metadata by itself */
	return HOOK_GO_ON;
}

/* Who binds that way reads the archive in place of what waits. */
static enum hook_next mam_inline(void *subject, void *arg UNUSED)
{
	const struct bind_inline *b = subject;

	shard_check(NULL);
	session_reads(b->session, SESSION_READS_ARCHIVE);
	return HOOK_GO_ON;
}

/* ---- Life */

static void mam_limits(void *arg, struct message_limits *limits)
{
	const struct mam_conf *conf = module_conf_hold(arg);

	limits->archive_below = mam_oldest_id(conf);
	limits->archive_max = conf->max_messages;
	module_conf_drop(conf);
}

static enum hook_next mam_removed(void *subject, void *arg UNUSED)
{
	mam_prefs_forget(subject);
	return HOOK_GO_ON;
}

static int mam_start(struct module_instance *mi)
{
	int error;

	job_check();
	error = message_log_use(mi->host);
	if (error)
		return error;
	error = mam_prefs_open();
	if (error) {
		message_log_unuse(mi->host);
		return error;
	}
	metric_register(&requests_metric);
	metric_register(&refused_metric);
	mam_prefs_use(mi);
	message_sweep_use(mi->host, mam_limits, mi);
	return 0;
}

static void mam_stop(struct module_instance *mi)
{
	message_sweep_unuse(mi->host, mam_limits, mi);
	mam_prefs_unuse(mi);
	message_log_unuse(mi->host);
}

static const char *mam_check(const void *settings, struct arena *a UNUSED)
{
	const struct mam_conf *conf = settings;

	return conf->default_page > conf->max_page
		? "default_page_size must not be more than max_page_size"
		: NULL;
}

const struct module module_mam = {
	.abi = LINNET_MODULE_ABI,
	.name = "mam",
	.help = "Archives accounts' messages, for their clients to page through.",
	.xeps = (const char *const[]){ "XEP-0313 1.1.3", "XEP-0441 0.2.0", "XEP-0059 1.0",
		"XEP-0297 1.0", "XEP-0334 1.0.0", "XEP-0359 0.7.0", NULL },
	/* profanity until 0.13 and others ask the server alone whether accounts have archives. */
	.features = (const char *const[]){ NS_MAM, NULL },
	.account_features = (const char *const[]){ NS_MAM, NS_MAM_EXTENDED,
		"urn:xmpp:mam:2#groupchat-field", NS_SID, NULL },
	.conf = mam_items,
	.conf_size = sizeof(struct mam_conf),
	.iq =
		(const struct iq_row[]){
			{ IQ_FOR_BOTH, IQ_SM, NS_MAM, IQ_NO_QUEUE, mam_iq, .lane = true }, { 0 } },
	.hooks = (const struct hook_row[]){ { &archive_message_hook, 50, mam_archive },
		{ &account_removed_hook, 50, mam_removed }, { &bind_prepare_hook, 50, mam_prepare },
		{ &bind_inline_hook, 50, mam_inline }, { 0 } },
	.start = mam_start,
	.stop = mam_stop,
	.check = mam_check,
};
LINNET_MODULE(module_mam);
