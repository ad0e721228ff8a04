/* modules/announce.c - the operator speaks to everybody: to who is connected, to all accounts, or
 * by a message of the day. Three ways in: messages to ejabberd's addresses (host/announce/online
 * ...), the ad-hoc commands of XEP-0133 §4.23-4.26, and linnetctl. */
#include "modules/announce.h"

#include <errno.h>
#include <stdlib.h>

#include "core/db.h"
#include "core/job.h"
#include "modules/adhoc.h"
#include "modules/module.h"
#include "modules/permit.h"
#include "modules/registry.h"
#include "router/session.h"

#define ORDERS_MAX 64 /* messages to the addresses being carried out at once */

struct announce_conf {
	const char *access;
	int64_t rate;
};
static const struct conf_item announce_items[] = {
	{ "access", CONF_ACCESS, FIELD(struct announce_conf, access, const char *),
		.help = "Who may announce something, by message or ad-hoc command; without it, the "
			"acl `admin`. What goes to all hosts needs the permission of each host "
			"that has this module." },
	{ "rate", CONF_INT, FIELD(struct announce_conf, rate, int64_t), .preset = "1000", .min = 1,
		.max = 10000, .unit = "messages",
		.help = "So many messages are sent in a second." },
	{ 0 }
};

/* Of one host. */
struct announcer {
	struct motd_board *board; /* owned */
	struct carrier *carrier; /* owned; carries out messages to the addresses */
};

/* ---- On which hosts */

struct host_list {
	struct host **at; /* owned; each counted */
	size_t n;
	int64_t rate; /* the slowest one's */
	const struct jid *who; /* NULL: may anything */
	bool refused; /* who may not on one of them */
};

static void consider_host(struct host *h, void *arg)
{
	struct module_instance *mi = registry_find(h, "announce");
	struct host_list *l = arg;
	const struct announce_conf *conf;

	if (!mi)
		return;
	conf = module_conf(mi);
	if (l->who)
		l->refused |= !admin_permitted(h, conf->access, l->who);
	if (!l->n || conf->rate < l->rate)
		l->rate = conf->rate;
	l->at = xrealloc(l->at, (l->n + 1) * sizeof(struct host *));
	l->at[l->n++] = host_ref(h);
}

/* h NULL: all. */
static struct host_list hosts_for(struct host *h, const struct jid *who)
{
	struct host_list l = { .who = who };

	if (h)
		consider_host(h, &l);
	else
		route_each_host(consider_host, &l);
	return l;
}

static void hosts_free(struct host_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		host_unref(l->at[i]);
	free(l->at);
}

static bool may_announce(struct host *h, const struct jid *who, bool everywhere)
{
	struct host_list l = hosts_for(everywhere ? NULL : h, who);
	bool may = l.n && !l.refused;

	hosts_free(&l);
	return may;
}

/* ---- Carrying it out */

static void note_batch(struct host *h, const char *const *addresses, unsigned n, int64_t number)
{
	job_check();
	motd_note(h, addresses, n, number);
}

ON_JOB static int set_motd(const struct host_list *l, const struct notice *n, int64_t number)
{
	int error = 0;

	for (size_t i = 0; i < l->n && !error; i++)
		error = motd_set(l->at[i], n, number);
	return error;
}

/* 1: there was none anywhere. */
ON_JOB static int delete_motd(const struct host_list *l)
{
	int result = 1;

	for (size_t i = 0; i < l->n && result >= 0; i++) {
		int one = motd_delete(l->at[i]);

		result = one < 0 ? one : result && one;
	}
	return result;
}

ON_JOB static int carry_out(const struct host_list *l, enum announcement what,
	const struct notice *notice, unsigned *out_id)
{
	struct campaign_order order = { .hosts = l->at, .n_hosts = l->n, .per_second = l->rate };
	int64_t number = motd_number();
	int error;

	if (what == ANNOUNCE_MOTD_DELETE)
		return delete_motd(l);
	order.notice = *notice;
	order.to = what == ANNOUNCE_ALL ? CAMPAIGN_ALL : CAMPAIGN_ONLINE;
	if (what == ANNOUNCE_MOTD || what == ANNOUNCE_MOTD_UPDATE) {
		error = set_motd(l, notice, number);
		if (error || what == ANNOUNCE_MOTD_UPDATE)
			return error;
		order.batch = note_batch;
		order.arg = number;
	}
	return campaign_begin(&order, out_id);
}

int announce(struct host *h, enum announcement what, const struct notice *notice, unsigned *out_id)
{
	struct host_list l = hosts_for(h, NULL);
	int result = l.n ? carry_out(&l, what, notice, out_id) : -ENODEV;

	if (result >= 0)
		log_info("announce", "ordered", L_STR("host", h ? h->name : "all"),
			L_INT("what", what), L_INT("id", *out_id));
	hosts_free(&l);
	return result;
}

void announce_each_host(void (*fn)(struct host *h, void *arg), void *arg)
{
	struct host_list l = hosts_for(NULL, NULL);

	for (size_t i = 0; i < l.n; i++)
		fn(l.at[i], arg);
	hosts_free(&l);
}

/* ---- By message */

static const struct {
	const char *resource;
	enum announcement what;
	bool everywhere;
} addresses[] = {
	{ "announce/online", ANNOUNCE_ONLINE, false },
	{ "announce/all", ANNOUNCE_ALL, false },
	{ "announce/motd", ANNOUNCE_MOTD, false },
	{ "announce/motd/update", ANNOUNCE_MOTD_UPDATE, false },
	{ "announce/motd/delete", ANNOUNCE_MOTD_DELETE, false },
	{ "announce/all-hosts/online", ANNOUNCE_ONLINE, true },
	{ "announce/all-hosts/all", ANNOUNCE_ALL, true },
	{ "announce/all-hosts/motd", ANNOUNCE_MOTD, true },
	{ "announce/all-hosts/motd/update", ANNOUNCE_MOTD_UPDATE, true },
	{ "announce/all-hosts/motd/delete", ANNOUNCE_MOTD_DELETE, true },
};

/* A message to one of them. */
struct order {
	struct job job;
	struct host *host; /* counted; NULL: all */
	struct stanza *stanza; /* one reference */
	enum announcement what;
	int result;
};

static void order_work(struct job *j)
{
	struct order *o = container_of(j, struct order, job);
	struct notice n = { .lang = o->stanza->lang };
	unsigned id = 0;
	struct arena a;

	job_check();
	arena_init(&a, NULL, 0);
	n.subject = elem_child_text(o->stanza->root, "subject", NS_CLIENT, &a);
	n.body = elem_child_text(o->stanza->root, "body", NS_CLIENT, &a);
	o->result = announce(o->host, o->what, &n, &id);
	arena_fini(&a);
}

/* What a failure of announce() is to whoever ordered it. */
static int error_of(int result)
{
	switch (result) {
	case 1:
		return ERR_ITEM_NOT_FOUND;
	case -EINVAL:
		return ERR_BAD_REQUEST;
	case -EMSGSIZE:
		return ERR_POLICY_VIOLATION;
	case -EAGAIN:
		return ERR_RESOURCE_CONSTRAINT;
	case -ENODEV:
		return ERR_SERVICE_UNAVAILABLE;
	default:
		return ERR_INTERNAL_SERVER_ERROR;
	}
}

static void order_done(struct job *j)
{
	struct order *o = container_of(j, struct order, job);

	shard_check(NULL);
	if (o->result)
		route_error(o->stanza, error_of(o->result), NULL);
	stanza_unref(o->stanza);
	host_unref(o->host);
	free(o);
}

ON_SHARD static void submit_order(
	struct announcer *an, struct host *h, struct stanza *s, enum announcement what)
{
	struct order *o = xcalloc(1, sizeof(*o));

	o->job.work = order_work;
	o->job.done = order_done;
	o->host = h ? host_ref(h) : NULL;
	o->stanza = stanza_ref(s);
	o->what = what;
	if (carrier_submit(an->carrier, 0, &o->job) == 0)
		return;
	o->result = -EAGAIN;
	order_done(&o->job);
}

static enum hook_next message_to_host(void *subject, void *arg)
{
	struct module_instance *mi = arg;
	struct stanza *s = subject;

	shard_check(NULL);
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		if (strcmp(jid_resource(s->to), addresses[i].resource) != 0)
			continue;
		if (may_announce(mi->host, s->from, addresses[i].everywhere))
			submit_order(mi->data, addresses[i].everywhere ? NULL : mi->host, s,
				addresses[i].what);
		else
			route_error(s, ERR_FORBIDDEN, NULL);
		return HOOK_STOP;
	}
	return HOOK_GO_ON;
}

/* ---- By ad-hoc command: XEP-0133 §4.23-4.26, and ejabberd's for all accounts and all hosts */

static const struct form_row announcement_fields[] = { { "subject", FORM_TEXT_SINGLE,
							       TR("Subject") },
	{ "announcement", FORM_TEXT_MULTI, TR("Announcement"), .required = true }, { 0 } };
static const struct form_row motd_fields[] = { { "subject", FORM_TEXT_SINGLE, TR("Subject") },
	{ "motd", FORM_TEXT_MULTI, TR("Message of the day"), .required = true }, { 0 } };

static const char *preset_motd(struct adhoc *a, const struct form_row *field)
{
	AUTO(free_ptr) char *subject = NULL, *body = NULL;
	const char *text;

	job_check();
	body = motd_text(a->host, &subject);
	text = strcmp(field->var, "motd") == 0 ? body : subject;
	return text ? arena_strdup(a->arena, text) : NULL;
}

ON_JOB static int run(struct adhoc *a, enum announcement what, bool everywhere)
{
	struct notice n = { .subject = form_text(a->form, "subject", a->arena), .lang = a->lang };
	unsigned id = 0;
	int result;

	n.body = form_joined(a->form, "announcement", a->arena);
	if (!n.body)
		n.body = form_joined(a->form, "motd", a->arena);
	result = announce(everywhere ? NULL : a->host, what, &n, &id);
	if (result)
		return error_of(result);
	return ADHOC_DONE;
}

#define RUN(name, what, everywhere)                \
	static int name(struct adhoc *a)           \
	{                                          \
		job_check();                       \
		return run(a, (what), everywhere); \
	}
RUN(run_online, ANNOUNCE_ONLINE, false)
RUN(run_all, ANNOUNCE_ALL, false)
RUN(run_motd, ANNOUNCE_MOTD, false)
RUN(run_update, ANNOUNCE_MOTD_UPDATE, false)
RUN(run_delete, ANNOUNCE_MOTD_DELETE, false)
RUN(run_online_everywhere, ANNOUNCE_ONLINE, true)
RUN(run_all_everywhere, ANNOUNCE_ALL, true)
RUN(run_motd_everywhere, ANNOUNCE_MOTD, true)
RUN(run_update_everywhere, ANNOUNCE_MOTD_UPDATE, true)
RUN(run_delete_everywhere, ANNOUNCE_MOTD_DELETE, true)

#define ADMIN(name) "http://jabber.org/protocol/admin#" name
#define SEND(n, title, fn)                                                \
	{                                                                 \
		.node = ADMIN(n), .name = (title), .form_type = NS_ADMIN, \
		.fields = announcement_fields, .run = (fn)                \
	}
#define KEEP(n, title, fn)                                                                       \
	{                                                                                        \
		.node = ADMIN(n), .name = (title), .form_type = NS_ADMIN, .fields = motd_fields, \
		.preset = preset_motd, .run = (fn)                                               \
	}
#define TAKE(n, title, fn)                                     \
	{                                                      \
		.node = ADMIN(n), .name = (title), .run = (fn) \
	}
static const struct adhoc_command here[] = {
	SEND("announce", TR("Send an announcement to online users"), run_online),
	SEND("announce-all", TR("Send an announcement to all users"), run_all),
	KEEP("set-motd", TR("Set the message of the day and send it to online users"), run_motd),
	KEEP("edit-motd", TR("Edit the message of the day"), run_update),
	TAKE("delete-motd", TR("Delete the message of the day"), run_delete),
};
static const struct adhoc_command everywhere[] = {
	SEND("announce-allhosts", TR("Send an announcement to online users of all hosts"),
		run_online_everywhere),
	SEND("announce-all-allhosts", TR("Send an announcement to all users of all hosts"),
		run_all_everywhere),
	KEEP("set-motd-allhosts",
		TR("Set the message of the day of all hosts and send it to online users"),
		run_motd_everywhere),
	KEEP("edit-motd-allhosts", TR("Edit the message of the day of all hosts"),
		run_update_everywhere),
	TAKE("delete-motd-allhosts", TR("Delete the message of the day of all hosts"),
		run_delete_everywhere),
};

static enum hook_next offer(void *subject, void *arg)
{
	struct host *h = adhoc_search_host(subject);
	const struct jid *from = adhoc_search_from(subject);
	bool may = may_announce(h, from, false);

	adhoc_offer(subject, here, ARRAY_LEN(here), may, arg);
	adhoc_offer(subject, everywhere, ARRAY_LEN(everywhere), may && may_announce(h, from, true),
		arg);
	return HOOK_GO_ON;
}

/* ---- The message of the day, for who comes */

/* RFC 6121 §8.5.2.1.1: one with a negative priority wants no messages. */
static enum hook_next came(void *subject, void *arg)
{
	const struct session_presence *p = subject;
	const struct module_instance *mi = arg;
	const struct announcer *an = mi->data;

	shard_check(NULL);
	if (p->initial && p->session->presence && p->session->priority >= 0)
		motd_tell(an->board, p->session);
	return HOOK_GO_ON;
}

static enum hook_next removed(void *subject, void *arg UNUSED)
{
	motd_forget(subject);
	return HOOK_GO_ON;
}

static int announce_start(struct module_instance *mi)
{
	struct announcer *an = xcalloc(1, sizeof(*an));
	int error;

	job_check();
	error = motd_open(mi->host, &an->board);
	if (error) {
		free(an);
		return error;
	}
	campaigns_open();
	an->carrier = carrier_new(CARRIER_LANES, 1, ORDERS_MAX, "announce");
	mi->data = an;
	return 0;
}

static void announce_stop(struct module_instance *mi)
{
	struct announcer *an = mi->data;

	carrier_free(an->carrier);
	campaigns_close();
	motd_close(an->board);
	free(an);
}

const struct module module_announce = {
	.abi = LINNET_MODULE_ABI,
	.name = "announce",
	.help = "Messages of the operator to everybody: to those who are connected "
		"(HOST/announce/online), to all accounts (HOST/announce/all), or a message of the "
		"day that each gets once, when coming (HOST/announce/motd, motd/update, "
		"motd/delete); "
		"with all-hosts/ behind announce/ for all hosts. Also as ad-hoc commands, and by "
		"linnetctl announce.",
	.xeps = (const char *const[]){ "XEP-0133 1.3.1 partial", NULL },
	.conf = announce_items,
	.conf_size = sizeof(struct announce_conf),
	.hooks = (const struct hook_row[]){ { &host_message_hook, 50, message_to_host },
		{ &adhoc_hook, 60, offer }, { &session_presence_hook, 80, came },
		{ &account_removed_hook, 50, removed }, { 0 } },
	.start = announce_start,
	.stop = announce_stop,
};
LINNET_MODULE(module_announce);
