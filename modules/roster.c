/* modules/roster.c - rosters: RFC 6121 §2, with versions (§2.6, XEP-0237); and the subscriptions
 * (§3) that change them, in roster_subscription.c. ejabberd's mod_roster.
 * A roster lives in the database. What a live session needs of it, who the contacts are and what
 * subscriptions there are, is in memory as router/contacts. A request goes into its account's lane,
 * where everything that reads or changes this roster runs in order. */
#include "modules/roster_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/db.h"
#include "modules/permit.h"
#include "modules/privilege.h"
#include "modules/shared_roster.h"
#include "router/access.h"
#include "router/directory.h"
#include "router/prelogin.h"
#include "router/presence.h"

static const struct conf_item roster_items[] = {
	{ "versioning", CONF_BOOL, FIELD(struct roster_conf, versioning, bool), .preset = "true",
		.help = "Clients that know the roster as it was get only what has changed since." },
	{ "access", CONF_ACCESS, FIELD(struct roster_conf, access, const char *), .preset = "all",
		.help = "Who may change the own roster and subscribe to others." },
	{ "max_contacts", CONF_INT, FIELD(struct roster_conf, max_contacts, int64_t),
		.preset = "5000", .min = 1, .max = 50000, .unit = "contacts",
		.help = "So many one roster may hold." },
	{ "max_requests", CONF_INT, FIELD(struct roster_conf, max_requests, int64_t),
		.preset = "500", .min = 1, .max = 50000, .unit = "requests",
		.help = "Subscriptions asked for by people who are not in the roster that may wait "
			"for an answer; more are refused." },
	{ "max_name_length", CONF_INT, FIELD(struct roster_conf, max_name_length, int64_t),
		.preset = "1023", .min = 1, .max = ROSTER_TEXT_MAX, .unit = "bytes",
		.help = "A contact's name, or that of a group, may be so long." },
	{ "max_groups", CONF_INT, FIELD(struct roster_conf, max_groups, int64_t), .preset = "50",
		.min = 1, .max = 200, .unit = "groups",
		.help = "One contact may be in so many groups." },
	{ 0 }
};

static struct metric sets_metric =
	METRIC_COUNTER("roster_sets_total", "Contacts added, changed or removed by clients.");
static struct metric gets_metrics[] = {
	METRIC_COUNTER_OF("roster_gets_total", "answer=\"whole\"", "Rosters asked for."),
	METRIC_COUNTER_OF("roster_gets_total", "answer=\"changes\"", "Rosters asked for."),
};
static struct metric refused_metric =
	METRIC_COUNTER("roster_refused_total", "Changes of rosters that were refused.");

/* Of one host. */
struct roster_host {
	struct contacts_source source;
};

/* ---- Work in an account's lane */

static void work_free(struct roster_work *w)
{
	module_conf_drop(w->conf);
	host_unref(w->host);
	jid_free(w->account);
	jid_free(w->contact);
	stanza_unref(w->stanza);
	free(w);
}

static void work_run(struct job *j)
{
	struct roster_work *w = container_of(j, struct roster_work, job);
	struct roster r = { .host = w->host, .conf = w->conf, .account = w->account };
	char first[2048];

	job_check();
	arena_init(&r.arena, first, sizeof(first));
	roster_hold_shared(&r);
	w->run(&r, w);
	roster_drop_shared(&r);
	arena_fini(&r.arena);
}

static void work_done(struct job *j)
{
	work_free(container_of(j, struct roster_work, job));
}

static struct roster_work *work_new(struct module_instance *mi, const struct jid *any_of_account,
	void (*run)(struct roster *r, struct roster_work *w))
{
	struct roster_work *w = xcalloc(1, sizeof(*w));

	w->job.work = work_run;
	w->job.done = work_done;
	w->host = host_ref(mi->host);
	w->conf = module_conf_hold(mi);
	w->account = jid_bare(any_of_account, NULL);
	w->run = run;
	return w;
}

static int submit(struct roster_work *w)
{
	if (account_work(w->account, &w->job) == 0)
		return 0;
	work_free(w);
	return CARRIER_FULL;
}

int roster_submit(struct module_instance *mi, const struct jid *any_of_account, struct stanza *s,
	void (*run)(struct roster *r, struct roster_work *w))
{
	struct roster_work *w = work_new(mi, any_of_account, run);

	w->stanza = s ? stanza_ref(s) : NULL;
	return submit(w);
}

int roster_submit_order(struct module_instance *mi, const struct jid *account,
	void (*run)(struct roster *r, struct roster_work *w), void *order)
{
	struct roster_work *w = work_new(mi, account, run);

	w->order = order;
	return submit(w);
}

int roster_submit_about(struct module_instance *mi, const struct jid *account,
	const struct jid *contact, void (*run)(struct roster *r, struct roster_work *w))
{
	struct roster_work *w = work_new(mi, account, run);

	w->contact = jid_bare(contact, NULL);
	return submit(w);
}

/* ---- Answers */

int roster_condition(int result)
{
	bool passes = result == -ENOSPC || result == -EAGAIN || result == -EBUSY;

	if (result >= 0)
		return result;
	return passes ? ERR_RESOURCE_CONSTRAINT : ERR_INTERNAL_SERVER_ERROR;
}

ON_JOB static void answer_error(const struct stanza *request, int result)
{
	struct builder b;

	metric_add(&refused_metric, 1);
	build_error(&b, request, roster_condition(result), NULL);
	roster_answer(request->from, build_end(&b));
}

ON_JOB static void answer_empty(const struct stanza *request)
{
	struct builder b;

	build_iq_result(&b, request);
	roster_answer(request->from, build_end(&b));
}

/* ---- Get: §2.2, §2.6 */

struct listing {
	struct roster *r;
	struct builder *b;
	struct contact_set_builder *both; /* in the own roster and in a shared group */
};

static int list_item(const struct roster_item *item, void *arg)
{
	const struct listing *l = arg;
	struct roster_item seen = roster_merged(l->r, item);

	if (!roster_item_is_listed(&seen))
		return 0;
	roster_item_build(l->b, &seen);
	if (seen.bits & CONTACT_SHARED)
		contact_set_add(l->both, seen.jid, seen.bits, NULL, 0);
	return 0;
}

ON_JOB static int list_all(struct roster *r, struct builder *b)
{
	struct listing l = { .r = r, .b = b, .both = contact_set_begin() };
	int result = roster_each_item(r, list_item, &l);
	struct contact_set *both = contact_set_end(l.both);

	if (result >= 0)
		roster_build_shared(r, b, both);
	contact_set_unref(both);
	return result;
}

ON_JOB static int answer_whole(struct roster *r, const struct stanza *request, bool with_version)
{
	struct builder b;
	int result;

	build_iq_result(&b, request);
	build_open(&b, "query", NS_ROSTER);
	if (with_version)
		build_attr(&b, "ver", roster_version_text(r, r->version));
	result = list_all(r, &b);
	if (result < 0) {
		build_drop(&b);
		return result;
	}
	build_close(&b);
	metric_add(&gets_metrics[0], 1);
	roster_answer(request->from, build_end(&b));
	return 0;
}

/* §2.6.3: nothing at first, then a push for each. */
ON_JOB static int answer_changes(struct roster *r, const struct stanza *request, int64_t since)
{
	const struct session_entry *e;
	struct roster_item_list changed;
	int result = roster_list_changes(r, since, &changed);

	if (result < 0)
		return result;
	answer_empty(request);
	metric_add(&gets_metrics[1], 1);
	e = directory_find_full(request->from);
	for (unsigned i = 0; e && i < changed.n; i++)
		roster_push_to(r, e->session, &changed.at[i]);
	return 0;
}

/* From now on it gets pushes: what changes after this is behind the answer. */
static void note_interest(const struct jid *full)
{
	const struct session_entry *e = directory_find_full(full);
	struct session *ss = e ? (struct session *)e->session : NULL;

	if (ss) {
		atomic_store_explicit(&ss->interested, true, memory_order_relaxed);
		session_reads_no_more(ss, SESSION_READS_OLD_ROSTER);
	}
}

ON_JOB static void run_get(struct roster *r, struct roster_work *w)
{
	const struct elem *query = stanza_iq_child(w->stanza);
	bool own =
		jid_is_full(w->stanza->from); /* else it is a component's, which gets no pushes */
	const char *ver = r->conf->versioning && own ? elem_attr(query, "ver") : NULL;
	int64_t since = -1;
	int result = roster_open(r);

	note_interest(w->stanza->from);
	if (!result && ver)
		since = roster_version_read(r, ver);
	if (!result)
		result = since >= 0 ? answer_changes(r, w->stanza, since)
				    : answer_whole(r, w->stanza, own); /* §2.6.3: asked or not */
	if (result)
		answer_error(w->stanza, result);
}

/* ---- Set: §2.3 to §2.5 */

int roster_remove_item(struct roster *r, const struct jid *contact)
{
	struct roster_item was, now;
	int result;

	if (roster_shared_bits(r, contact) & CONTACT_LISTED)
		return ERR_NOT_ALLOWED;
	result = roster_find(r, contact, &was);
	if (result < 0)
		return result;
	if (!roster_item_is_listed(&was))
		return ERR_ITEM_NOT_FOUND;
	now = (struct roster_item){ .jid = was.jid, .changed = was.changed };
	result = roster_save(r, &now, ROSTER_SEEN);
	if (result < 0)
		return result;
	roster_push(r, &now);
	roster_part_with(r, &was);
	return 0;
}

bool roster_is_full(struct roster *r)
{
	return contacts_count(account_online(r->account)) >= (uint64_t)r->conf->max_contacts;
}

/* A privileged component speaks for its own contacts: with them a subscription is as it says. Into
 * *bits; unchanged where it may not say. */
static void read_subscription(
	const struct stanza *request, const struct roster_item *asked, unsigned *bits)
{
	const char *word = elem_attr(elem_first(stanza_iq_child(request)), "subscription");

	if (jid_is_full(request->from) || !word ||
		strcmp(jid_domain(request->from), jid_domain(asked->jid)) != 0)
		return;
	for (unsigned both = 0; both <= CONTACT_BOTH; both++)
		if (!strcmp(word, subscription_name(both)))
			*bits = (*bits & ~(unsigned)CONTACT_SUBSCRIPTION) | both;
}

ON_JOB static int store_item(
	struct roster *r, const struct stanza *request, const struct roster_item *asked)
{
	struct roster_item item;
	int result = roster_find(r, asked->jid, &item);
	unsigned before;

	if (result < 0)
		return result;
	if (!roster_item_is_listed(&item) && roster_is_full(r))
		return ERR_RESOURCE_CONSTRAINT;
	before = item.bits;
	item.bits |= CONTACT_LISTED;
	read_subscription(request, asked, &item.bits);
	item.name = asked->name;
	item.groups = asked->groups;
	item.n_groups = asked->n_groups;
	result = roster_save(r, &item, ROSTER_SEEN);
	if (result < 0)
		return result;
	roster_push(r, &item);
	if ((before ^ item.bits) & CONTACT_SUBSCRIPTION)
		roster_tell_changed(r, item.jid, before, item.bits);
	return 0;
}

ON_JOB static int set(struct roster *r, const struct stanza *request)
{
	const struct elem *item = elem_first(stanza_iq_child(request));
	bool own = jid_is_full(request->from); /* else it is a component, for the account */
	struct access_subject who = { .jid = own ? request->from : r->account };
	struct roster_item asked;
	bool remove;
	int error;

	if (!elem_is(item, "item", NS_ROSTER) || elem_next(item))
		return ERR_BAD_REQUEST; /* §2.3.3 */
	if (!access_allowed(r->conf->access, r->host->name, &who))
		return ERR_NOT_ALLOWED;
	error = roster_item_read(r, item, &asked, &remove);
	if (!error)
		error = roster_open(r);
	if (error)
		return error;
	return remove ? roster_remove_item(r, asked.jid) : store_item(r, request, &asked);
}

ON_JOB static void run_set(struct roster *r, struct roster_work *w)
{
	int error = set(r, w->stanza);

	if (error) {
		answer_error(w->stanza, error);
		return;
	}
	metric_add(&sets_metric, 1);
	answer_empty(w->stanza);
}

static int roster_iq(const struct iq *iq, struct builder *answer UNUSED)
{
	if (!elem_is(iq->payload, "query", NS_ROSTER))
		return ERR_BAD_REQUEST;
	if ((!jid_equal_bare(iq->from, iq->to) || !jid_is_full(iq->from)) &&
		!privilege_roster(iq->host, iq->from, iq->set))
		return ERR_FORBIDDEN; /* §2.3.3 */
	if (roster_submit(iq->arg, iq->to, iq->stanza, iq->set ? run_set : run_get))
		return ERR_RESOURCE_CONSTRAINT;
	return IQ_LATER;
}

/* ---- For the account's snapshot */

static int load_item(const struct roster_item *item, void *arg)
{
	if (jid_is_bare(item->jid))
		contact_set_add(arg, item->jid, item->bits, item->groups, item->n_groups);
	return 0;
}

static int roster_load(struct contacts_source *source UNUSED, struct host *h,
	const struct jid *bare, struct contacts_loading *into)
{
	struct roster r = { .host = h, .account = bare };
	struct contact_set_builder *b = contact_set_begin();
	int result;

	job_check();
	arena_init(&r.arena, NULL, 0);
	result = roster_each_item(&r, load_item, b);
	arena_fini(&r.arena);
	into->own = contact_set_end(b);
	return result < 0 ? result : shared_roster_load(h, bare, into);
}

/* ---- Hooks */

static enum hook_next roster_permit(void *subject, void *arg UNUSED)
{
	const struct presence_permit *p = subject;
	const struct account *online = account_online(p->account);
	unsigned bits = contact_state(online, p->who);
	struct account *a;

	if (!online && !shard_self()) {
		job_check();
		if (account_hold(p->host, p->account, &a) == 0) {
			bits = contact_state(a, p->who);
			account_drop(a);
		}
	}
	return bits & CONTACT_FROM ? HOOK_STOP : HOOK_GO_ON;
}

/* §2.6.1, §3.4.1 */
static enum hook_next roster_features(void *subject, void *arg)
{
	const struct stream_features *f = subject;
	const struct roster_conf *conf = module_conf(arg);

	if (!f->authenticated)
		return HOOK_GO_ON;
	if (conf->versioning) {
		build_open(f->features, "ver", NS_FEATURE_ROSTERVER);
		build_close(f->features);
	}
	build_open(f->features, "sub", NS_FEATURE_PREAPPROVAL);
	build_close(f->features);
	return HOOK_GO_ON;
}

/* ---- Life */

static int roster_start(struct module_instance *mi)
{
	struct roster_host *rh;
	int error;

	job_check();
	if (!db_main()) {
		log_error("roster", "needs a database", L_STR("host", mi->host->name));
		return -ENODEV;
	}
	error = roster_store_start();
	if (error)
		return error;
	metric_register(&sets_metric);
	metric_register(&refused_metric);
	for (size_t i = 0; i < ARRAY_LEN(gets_metrics); i++)
		metric_register(&gets_metrics[i]);
	rh = xcalloc(1, sizeof(*rh));
	rh->source.load = roster_load;
	mi->data = rh;
	account_kind_add(mi->host, &contacts_kind, &rh->source);
	return 0;
}

static void roster_stop(struct module_instance *mi)
{
	struct roster_host *rh = mi->data;

	account_kind_remove(mi->host, &contacts_kind, &rh->source);
	free(rh);
}

const struct module module_roster = {
	.abi = LINNET_MODULE_ABI,
	.name = "roster",
	.help = "Keeps each account's contacts, and serves the subscriptions between accounts: who "
		"hears of whose presence.",
	.xeps = (const char *const[]){ "XEP-0237 1.3", NULL },
	.features = (const char *const[]){ NS_ROSTER, NULL },
	.conf = roster_items,
	.conf_size = sizeof(struct roster_conf),
	.iq = (const struct iq_row[]){ { IQ_FOR_BOTH, IQ_SM, NS_ROSTER, IQ_NO_QUEUE, roster_iq },
		{ 0 } },
	.hooks = (const struct hook_row[]){ { &stream_features_hook, 50, roster_features },
		{ &presence_permit_hook, 50, roster_permit },
		{ &subscription_hook, 50, roster_subscription },
		{ &session_presence_hook, 50, roster_session_presence },
		{ &account_removed_hook, 50, roster_account_removed }, { 0 } },
	.start = roster_start,
	.stop = roster_stop,
};
LINNET_MODULE(module_roster);
