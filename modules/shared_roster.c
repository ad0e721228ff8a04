/* modules/shared_roster.c - groups of accounts that are in each other's rosters without anybody's
 * doing; ejabberd's mod_shared_roster. Groups come from the settings, or from an operator's
 * commands and live in the database. All of a host's groups are in memory; an account's part in
 * them is a few pointers in its contacts (router/contacts). What a login costs does not grow with
 * the number of accounts; but where a group is of all who are connected, or of all accounts, each
 * login is told to everybody who is connected. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/db.h"
#include "modules/registry.h"
#include "modules/shared_inside.h"
#include "router/directory.h"
#include "router/session.h"
#include "xml/conf_jid.h"

struct shared_conf_group {
	const char *name;
	const char *label;
	const char *description;
	int who; /* enum shared_who */
	struct conf_list members; /* of const char *: JIDs */
	struct conf_list displays; /* of const char *: names of groups */
};
struct shared_conf {
	struct conf_list groups; /* of struct shared_conf_group */
};
static const char *const who_words[] = { "members", "all", "online", NULL };
static const struct conf_item member_item[] = {
	{ "jid", CONF_JID, 0, .check = conf_check_jid, .help = "An account of the host." }, { 0 }
};
static const struct conf_item display_item[] = {
	{ "group", CONF_STRING, 0, .help = "The name of a group." }, { 0 }
};
static const struct conf_item group_rows[] = {
	{ "label", CONF_STRING, FIELD(struct shared_conf_group, label, const char *),
		.help = "What rosters call it; without one, its name." },
	{ "description", CONF_STRING, FIELD(struct shared_conf_group, description, const char *),
		.help = "For operators." },
	{ "who", CONF_ENUM, FIELD(struct shared_conf_group, who, int), .words = who_words,
		.preset = "members",
		.help = "Who is in it: its members, all accounts of the host, or those of them "
			"that are connected." },
	{ "members", CONF_LIST, FIELD(struct shared_conf_group, members, struct conf_list),
		.item = member_item, .item_size = sizeof(const char *),
		.help = "Accounts. Where the settings are those of several hosts, each takes its "
			"own." },
	{ "displays", CONF_LIST, FIELD(struct shared_conf_group, displays, struct conf_list),
		.item = display_item, .item_size = sizeof(const char *),
		.help = "Groups that its members see; without any, it is its own." },
	{ 0 }
};
static const struct conf_item shared_items[] = {
	{ "groups", CONF_MAP, FIELD(struct shared_conf, groups, struct conf_list),
		.rows = group_rows, .item_size = sizeof(struct shared_conf_group),
		.example = "{staff: {label: Staff, members: [romeo@example.org]}}",
		.help = "Groups by name. Those made with linnetctl are beside them; of one name, "
			"the one here counts." },
	{ 0 }
};

static struct metric told_metric = METRIC_COUNTER(
	"shared_roster_told_total", "Rosters that a change of a shared group was told to.");
static struct metric untold_metric = METRIC_COUNTER("shared_roster_untold_total",
	"Changes of shared groups that clients see at their next login only: too much waited.");

/* ---- Its life */

static void free_groups(struct shared_group *list)
{
	struct shared_group *g;

	while ((g = list)) {
		list = g->next;
		shared_group_free(g);
	}
}

static void shared_host_free(struct rcu_head *head)
{
	struct shared_host *sh = container_of(head, struct shared_host, rcu);
	free_groups(sh->groups);
	contact_set_unref(sh->everybody);
	contact_set_unref(sh->online);
	pthread_mutex_destroy(&sh->lock);
	pthread_mutex_destroy(&sh->editing);
	host_unref(sh->host);
	free(sh);
}

void shared_drop(struct shared_host *sh)
{
	if (sh && atomic_fetch_sub_explicit(&sh->refs, 1, memory_order_acq_rel) == 1)
		rcu_later(&sh->rcu, shared_host_free);
}

struct shared_host *shared_hold(struct host *h)
{
	struct module_instance *mi = registry_find(h, "shared_roster");
	struct shared_host *sh = mi ? mi->data : NULL;
	uint32_t refs = sh ? atomic_load_explicit(&sh->refs, memory_order_relaxed) : 0;

	while (refs &&
		!atomic_compare_exchange_weak_explicit(
			&sh->refs, &refs, refs + 1, memory_order_acquire, memory_order_relaxed))
		;
	return refs ? sh : NULL;
}

static struct shared_host *shared_host_new(struct host *h)
{
	struct shared_host *sh = xcalloc(1, sizeof(*sh));

	atomic_init(&sh->refs, 1);
	sh->host = host_ref(h);
	pthread_mutex_init(&sh->editing, NULL);
	pthread_mutex_init(&sh->lock, NULL);
	sh->everybody = contact_set_end(contact_set_begin());
	sh->online = contact_set_end(contact_set_begin());
	return sh;
}

/* ---- Telling */

/* Of a group that is seen. */
struct announcement {
	struct shared_host *sh;
	struct module_instance *roster;
	const struct jid *contact; /* NULL: everybody is to be refreshed */
	struct contact_group *const *groups;
	unsigned n;
};

static bool sees(const struct announcement *a, const struct account *account)
{
	for (unsigned i = 0; i < a->n; i++)
		if (contacts_share(account, a->groups[i], CONTACT_LISTED))
			return true;
	return false;
}

static void count_told(int full)
{
	metric_add(full ? &untold_metric : &told_metric, 1);
}

static void announce_to(const struct sessions *s, void *arg)
{
	const struct announcement *a = arg;
	const struct session *ss = s->at[0].session;

	if (ss->host != a->sh->host)
		return;
	if (!a->contact)
		count_told(roster_shared_refresh_all(a->roster, ss->jid));
	else if (!jid_equal_bare(ss->jid, a->contact) && sees(a, account_of(ss)))
		count_told(roster_shared_contact(a->roster, ss->jid, a->contact));
}

void shared_announce(struct shared_host *sh, const struct jid *contact,
	struct contact_group *const *g, unsigned n)
{
	struct announcement a = { .sh = sh,
		.roster = registry_find(sh->host, "roster"),
		.contact = contact,
		.groups = g,
		.n = n };

	if (a.roster)
		directory_each(announce_to, &a);
}

void shared_refresh(struct shared_host *sh, const struct jid *account)
{
	struct announcement a = { .sh = sh, .roster = registry_find(sh->host, "roster") };

	if (!a.roster)
		return;
	if (!account)
		directory_each(announce_to, &a);
	else if (directory_find(account))
		count_told(roster_shared_refresh(a.roster, account));
}

/* Tells those who see a contact in a group of all accounts, or of those online; or in any. */
enum announced { ANNOUNCE_MOVING, ANNOUNCE_ANY };

static void announce_in(struct shared_host *sh, enum announced which, const struct jid *contact)
{
	struct contact_group *groups[SHARED_GROUPS_MAX];
	unsigned n = 0;

	pthread_mutex_lock(&sh->lock);
	for (struct shared_group *g = sh->groups; g && n < SHARED_GROUPS_MAX; g = g->next)
		if (which == ANNOUNCE_ANY || g->who != SHARED_LISTED)
			groups[n++] = contact_group_ref(g->live);
	pthread_mutex_unlock(&sh->lock);
	shared_announce(sh, contact, groups, n);
	while (n)
		contact_group_unref(groups[--n]);
}

/* ---- Who is there when the first group asks for it */

struct collecting_online {
	struct contact_set_builder *b;
	const struct host *host;
};

static void collect_online(const struct sessions *s, void *arg)
{
	const struct collecting_online *c = arg;
	const struct session *ss = s->at[0].session;
	struct jid *bare;

	if (ss->host != c->host)
		return;
	bare = jid_bare(ss->jid, NULL);
	contact_set_add(c->b, bare, CONTACT_SHARED, NULL, 0);
	jid_free(bare);
}

void shared_know_online(struct shared_host *sh)
{
	struct collecting_online c = { contact_set_begin(), sh->host };

	directory_each(collect_online, &c);
	contact_set_unref(sh->online);
	sh->online = contact_set_end(c.b);
}

/* ---- What accounts get */

struct collecting {
	struct contact_set_builder *b;
	const struct host *host;
	char last[JID_PART_MAX + 1];
	unsigned n;
};

static void collect_account(const char *user, void *arg)
{
	struct collecting *c = arg;
	struct jid *account;

	c->n++;
	snprintf(c->last, sizeof(c->last), "%s", user);
	if (jid_make(user, c->host->name, NULL, NULL, &account))
		return;
	contact_set_add(c->b, account, CONTACT_SHARED, NULL, 0);
	jid_free(account);
}

/* Once, when the first account that is in such a group comes. */
ON_JOB static void know_everybody(struct shared_host *sh)
{
	struct collecting c = { .b = contact_set_begin(), .host = sh->host };
	static struct log_seldom seldom;
	struct contact_set *all;
	uint32_t left_out;
	int error;

	do {
		c.n = 0;
		error = auth_list(sh->host, c.last, 1000, collect_account, &c);
	} while (!error && c.n);
	all = contact_set_end(c.b);
	if (error) { /* logins go on; the next one tries again */
		if (log_seldom(&seldom, &left_out))
			log_warning("shared_roster", "the host's accounts cannot be listed",
				L_STR("host", sh->host->name), L_INT("left_out", left_out));
		contact_set_unref(all);
		return;
	}
	pthread_mutex_lock(&sh->lock);
	contact_set_unref(sh->everybody);
	sh->everybody = all;
	sh->knows_everybody = true;
	for (struct shared_group *g = sh->groups; g; g = g->next)
		shared_apply(sh, g);
	pthread_mutex_unlock(&sh->lock);
}

ON_JOB static void know_those_needed(struct shared_host *sh)
{
	bool reading = rcu_offline(), needed;

	pthread_mutex_lock(&sh->editing);
	rcu_online(reading);
	pthread_mutex_lock(&sh->lock);
	needed = shared_has(sh, SHARED_ALL) && !sh->knows_everybody;
	pthread_mutex_unlock(&sh->lock);
	if (needed)
		know_everybody(sh);
	pthread_mutex_unlock(&sh->editing);
}

/* Its first session is in the directory by now, so that nobody else's presence passes it by. */
int shared_roster_load(struct host *h, const struct jid *bare, struct contacts_loading *into)
{
	struct shared_host *sh = shared_hold(h);
	bool moved = false, needs;

	if (!sh)
		return 0;
	pthread_mutex_lock(&sh->lock);
	needs = shared_has(sh, SHARED_ALL) && !sh->knows_everybody;
	pthread_mutex_unlock(&sh->lock);
	if (needs)
		know_those_needed(sh);
	pthread_mutex_lock(&sh->lock);
	if (directory_find(bare)) {
		moved = shared_note_account(sh, bare, true);
		moved |= shared_note_online(sh, bare, true);
	}
	shared_view(sh, bare, into);
	pthread_mutex_unlock(&sh->lock);
	if (moved)
		announce_in(sh, ANNOUNCE_MOVING, bare);
	shared_drop(sh);
	return 0;
}

/* ---- Who leaves */

struct leaving {
	struct job job;
	struct shared_host *sh; /* counted */
	struct jid *account; /* owned */
	enum leaving_why { LEAVING_CLOSED, LEAVING_REMOVED } why;
};

static void leaving_work(struct job *j)
{
	struct leaving *l = container_of(j, struct leaving, job);
	bool removed = l->why == LEAVING_REMOVED, moved = false;

	job_check();
	pthread_mutex_lock(&l->sh->lock);
	if (removed)
		moved = shared_note_account(l->sh, l->account, false);
	if (removed || !directory_find(l->account))
		moved |= shared_note_online(l->sh, l->account, false);
	pthread_mutex_unlock(&l->sh->lock);
	if (moved)
		announce_in(l->sh, removed ? ANNOUNCE_ANY : ANNOUNCE_MOVING, l->account);
}

static void leaving_done(struct job *j)
{
	struct leaving *l = container_of(j, struct leaving, job);

	shared_drop(l->sh);
	jid_free(l->account);
	free(l);
}

static void leave(struct shared_host *sh, const struct jid *account, enum leaving_why why)
{
	struct leaving *l = xcalloc(1, sizeof(*l));

	atomic_fetch_add_explicit(&sh->refs, 1, memory_order_relaxed);
	l->sh = sh;
	l->account = jid_bare(account, NULL);
	l->why = why;
	l->job.work = leaving_work;
	l->job.done = leaving_done;
	if (account_work(l->account, &l->job)) {
		metric_add(&untold_metric, 1);
		leaving_done(&l->job);
	}
}

static enum hook_next shared_closed(void *subject, void *arg)
{
	const struct session *ss = subject;
	struct module_instance *mi = arg;

	if (!directory_find(ss->jid))
		leave(mi->data, ss->jid, LEAVING_CLOSED);
	return HOOK_GO_ON;
}

static enum hook_next shared_removed(void *subject, void *arg)
{
	struct module_instance *mi = arg;

	shared_store_forget(subject);
	leave(mi->data, subject, LEAVING_REMOVED);
	return HOOK_GO_ON;
}

/* ---- Settings, start and stop */

/* The settings may be those of several hosts: each takes its own accounts. */
static void add_member(struct contact_set_builder *b, const struct host *h, const char *text)
{
	struct jid *member;

	if (jid_parse(text, strlen(text), NULL, &member))
		return;
	if (member->local_len && strcmp(jid_domain(member), h->name) == 0)
		contact_set_add(b, member, CONTACT_SHARED, NULL, 0);
	jid_free(member);
}

static void add_configured(struct shared_host *sh, const struct shared_conf_group *c)
{
	struct shared_group *g = shared_group_make(c->name, c->label ? c->label : c->name);
	const char *const *members = c->members.at, *const *displays = c->displays.at;
	struct contact_set_builder *b = contact_set_begin();

	if (c->description)
		shared_group_describe(g, c->description);
	g->who = (enum shared_who)c->who;
	g->fixed = true;
	for (size_t i = 0; i < c->members.n; i++)
		add_member(b, sh->host, members[i]);
	contact_set_unref(g->listed);
	g->listed = contact_set_end(b);
	for (size_t i = 0; i < c->displays.n; i++)
		shared_group_show(g, displays[i]);
	shared_add(sh, g);
}

/* Those of the settings, then those of the database, as a list of its own. */
ON_JOB static int read_groups(
	struct host *h, const struct shared_conf *conf, struct shared_group **out)
{
	const struct shared_conf_group *groups = conf->groups.at;
	struct shared_host fresh = { .host = h };
	int error;

	for (size_t i = 0; i < conf->groups.n && i < SHARED_GROUPS_MAX; i++)
		add_configured(&fresh, &groups[i]);
	error = shared_store_load(&fresh);
	*out = fresh.groups;
	return error;
}

/* With the lock held, or before anybody sees sh. The old ones are returned. */
static struct shared_group *take_groups(struct shared_host *sh, struct shared_group *groups)
{
	struct shared_group *was = sh->groups;

	sh->groups = groups;
	shared_know_online(sh);
	for (struct shared_group *g = groups; g; g = g->next)
		shared_apply(sh, g);
	return was;
}

static int shared_start(struct module_instance *mi)
{
	struct shared_group *groups;
	struct shared_host *sh;
	int error;

	job_check();
	metric_register(&told_metric);
	metric_register(&untold_metric);
	if (!db_main()) {
		log_error("shared_roster", "needs a database", L_STR("host", mi->host->name));
		return -ENODEV;
	}
	error = shared_store_start();
	if (error)
		return error;
	error = read_groups(mi->host, module_conf(mi), &groups);
	if (error) {
		free_groups(groups);
		return error;
	}
	mi->data = sh = shared_host_new(mi->host);
	take_groups(sh, groups);
	return 0;
}

/* All are told anew: which of the groups have changed, nobody has noted. */
static void shared_reload(struct module_instance *mi, const void *old UNUSED)
{
	struct shared_host *sh = mi->data;
	bool reading = rcu_offline();
	struct shared_group *groups;

	job_check();
	pthread_mutex_lock(&sh->editing);
	rcu_online(reading);
	if (read_groups(mi->host, module_conf(mi), &groups)) {
		log_error("shared_roster", "the groups stay as they were",
			L_STR("host", mi->host->name));
	} else {
		pthread_mutex_lock(&sh->lock);
		groups = take_groups(sh, groups);
		pthread_mutex_unlock(&sh->lock);
		shared_refresh(sh, NULL);
	}
	free_groups(groups);
	pthread_mutex_unlock(&sh->editing);
}

static void shared_stop(struct module_instance *mi)
{
	shared_drop(mi->data);
}

const struct module module_shared_roster = {
	.abi = LINNET_MODULE_ABI,
	.name = "shared_roster",
	.help = "Puts groups of accounts into each other's rosters. Clients cannot remove them. "
		"Accounts that are connected while the module starts have the groups from their "
		"next "
		"login on.",
	.conf = shared_items,
	.conf_size = sizeof(struct shared_conf),
	.hooks = (const struct hook_row[]){ { &session_closed_hook, 50, shared_closed },
		{ &account_removed_hook, 40, shared_removed }, { 0 } },
	.start = shared_start,
	.reload = shared_reload,
	.stop = shared_stop,
};
LINNET_MODULE(module_shared_roster);
