/* router/presence.c - presence told to contacts, and asked of them. */
#include "router/presence.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"
#include "router/contacts.h"
#include "router/deliver.h"
#include "router/privacy.h"
#include "router/route.h"
#include "router/subscription.h"
#include "xml/builder.h"

HOOK(subscription);
HOOK(presence_withheld);

static struct metric told_metric =
	METRIC_COUNTER("presence_told_total", "Presence told to contacts, one for each contact.");
static struct metric probes_metric = METRIC_COUNTER("presence_probes_total",
	"Contacts on this server whose presence was asked for, and probes to others.");

__attribute__((constructor)) static void register_metrics(void)
{
	metric_register(&told_metric);
	metric_register(&probes_metric);
}

/* One of our accounts, to which nobody is connected. */
static bool is_absent(const struct jid *contact)
{
	return contact->local_len && route_host(jid_domain(contact)) && !directory_find(contact);
}

/* --- telling -----------------------------------------------------------------------------------
 */

bool presence_reaches(const struct session *ss, const struct jid *whom)
{
	return contact_state(account_of(ss), whom) & CONTACT_FROM;
}

static bool is_withheld(const struct session *ss, const struct jid *contact, enum presence_way way)
{
	struct presence_withheld subject = { ss, contact, way };

	return !hook_empty(ss->host->hooks, &presence_withheld_hook) &&
		hook_run(ss->host->hooks, &presence_withheld_hook, &subject) == HOOK_STOP;
}

void presence_broadcast(struct session *ss, struct stanza *s)
{
	struct contacts_walk w;
	uint64_t told = 0;

	for (contacts_begin(&w, account_of(ss), CONTACT_FROM); contacts_next(&w);) {
		if (is_absent(w.jid) || jid_equal_bare(w.jid, ss->jid) ||
			is_withheld(ss, w.jid, PRESENCE_OUT))
			continue;
		route(stanza_readdressed(s, w.jid));
		told++;
	}
	metric_add(&told_metric, told);
}

/* type, id: NULL: none. */
static struct stanza *build_presence_as(
	const struct jid *from, const struct jid *to, const char *type, const char *id)
{
	struct builder b;

	build_begin(&b, "presence", NS_CLIENT);
	build_attr(&b, "type", type);
	build_attr(&b, "id", id);
	build_attr_jid(&b, "from", from);
	build_attr_jid(&b, "to", to);
	return build_end(&b);
}

static struct stanza *build_presence(const struct jid *from, const struct jid *to, const char *type)
{
	return build_presence_as(from, to, type, NULL);
}

/* Something that resources of one account tell somebody, and what comes when all have. */
struct telling {
	_Atomic uint32_t left; /* resources that have not told it, and who began */
	enum stanza_type type;
	struct stanza *after; /* owned; NULL: nothing */
	struct jid *whom; /* owned */
};
struct telling_letter {
	struct letter letter;
	struct telling *telling;
};

static void telling_end(struct telling *t)
{
	if (atomic_fetch_sub_explicit(&t->left, 1, memory_order_acq_rel) != 1)
		return;
	if (t->after)
		route_post(t->after);
	jid_free(t->whom);
	free(t);
}

static struct session *session_of(struct actor *a)
{
	const struct recipient *r = a ? a->class->recipient : NULL;

	return r && r->session ? r->session(a) : NULL;
}

static void telling_open(struct actor *a, struct letter *l)
{
	struct telling_letter *tl = container_of(l, struct telling_letter, letter);
	struct telling *t = tl->telling;
	struct session *ss = session_of(a);

	shard_check(NULL);
	if (ss && ss->presence && t->type == PRES_UNAVAILABLE)
		route(build_presence(ss->jid, t->whom, "unavailable"));
	else if (ss && ss->presence && !is_withheld(ss, t->whom, PRESENCE_OUT))
		route(stanza_readdressed(ss->presence, t->whom));
	telling_end(t);
	free(tl);
}

static void tell_by_all(struct telling *t, const struct jid *account)
{
	const struct sessions *all = directory_find(account);

	for (unsigned i = 0; all && i < all->n; i++) {
		struct telling_letter *tl;

		if (!all->at[i].available)
			continue;
		tl = xmalloc(sizeof(*tl));
		atomic_fetch_add_explicit(&t->left, 1, memory_order_relaxed);
		tl->letter.to = all->at[i].id;
		tl->letter.open = telling_open;
		tl->telling = t;
		letter_post(&tl->letter);
	}
	telling_end(t);
}

/* A stanza that goes first, on the shard that route_post() would take. */
struct leading {
	struct msg msg;
	struct telling *telling;
	struct stanza *stanza; /* owned */
	struct jid *account; /* owned */
};

static void leading_run(struct msg *m)
{
	struct leading *l = container_of(m, struct leading, msg);

	shard_check(NULL);
	route(l->stanza);
	tell_by_all(l->telling, l->account);
	jid_free(l->account);
	free(l);
}

static void lead_with(struct stanza *s, struct telling *t, const struct jid *account)
{
	struct leading *l = xmalloc(sizeof(*l));

	l->msg.run = leading_run;
	l->telling = t;
	l->stanza = s;
	l->account = jid_bare(account, NULL);
	shard_post(shard_at(s->from->full_hash % shards_count()), &l->msg);
}

void presence_tell(
	const struct jid *account, const struct jid *whom, enum stanza_type type, struct stanza *s)
{
	struct telling *t = xcalloc(1, sizeof(*t));

	atomic_init(&t->left, 1);
	t->type = type;
	t->whom = jid_dup(whom, NULL);
	if (type == PRES_AVAILABLE && s) {
		lead_with(s, t, account);
		return;
	}
	t->after = s;
	tell_by_all(t, account);
}

/* --- hiding ------------------------------------------------------------------------------------
 */

static bool was_hidden(const struct account *was, uint8_t active, const struct jid *whom)
{
	const struct privacy *p = privacy_of(was);
	const struct privacy_list *l = p ? privacy_list_of(p, active) : NULL;

	return l && privacy_denies(l, was, whom, PRIVACY_PRESENCE_OUT);
}

void presence_hiding_changed_of(struct session *ss, const struct account *was, uint8_t active_was)
{
	struct contacts_walk w;

	session_hide_directed(ss, privacy_hides);
	if (!ss->presence)
		return;
	for (contacts_begin(&w, account_of(ss), CONTACT_FROM); contacts_next(&w);) {
		bool hidden = privacy_hides(ss, w.jid);

		if (is_absent(w.jid) || hidden == was_hidden(was, active_was, w.jid))
			continue;
		route(hidden ? build_presence(ss->jid, w.jid, "unavailable")
			     : stanza_readdressed(ss->presence, w.jid));
	}
}

/* What all resources of an account compare. */
struct rehiding {
	_Atomic uint32_t left; /* resources that have not done so, and who began */
	struct account *was; /* counted */
};
struct rehiding_letter {
	struct letter letter;
	struct rehiding *rehiding;
};

static void rehiding_end(struct rehiding *r)
{
	if (atomic_fetch_sub_explicit(&r->left, 1, memory_order_acq_rel) != 1)
		return;
	account_drop(r->was);
	free(r);
}

static void rehiding_open(struct actor *a, struct letter *l)
{
	struct rehiding_letter *rl = container_of(l, struct rehiding_letter, letter);
	struct session *ss = session_of(a);

	shard_check(NULL);
	if (ss)
		presence_hiding_changed_of(ss, rl->rehiding->was,
			atomic_load_explicit(&ss->active_list, memory_order_relaxed));
	rehiding_end(rl->rehiding);
	free(rl);
}

void presence_hiding_changed(const struct jid *account, struct account *was)
{
	const struct sessions *all = directory_find(account);
	struct rehiding *r = xcalloc(1, sizeof(*r));

	atomic_init(&r->left, 1);
	r->was = was;
	for (unsigned i = 0; all && i < all->n; i++) {
		struct rehiding_letter *l = xmalloc(sizeof(*l));

		atomic_fetch_add_explicit(&r->left, 1, memory_order_relaxed);
		l->letter.to = all->at[i].id;
		l->letter.open = rehiding_open;
		l->rehiding = r;
		letter_post(&l->letter);
	}
	rehiding_end(r);
}

/* --- asking ------------------------------------------------------------------------------------
 */

/* Asks a session to tell one other where it stands. */
struct ask {
	struct letter letter;
	struct actor_id newcomer;
	struct jid *asker; /* owned; the newcomer's account */
};

static void ask_open(struct actor *a, struct letter *l)
{
	struct ask *ask = container_of(l, struct ask, letter);
	struct session *ss = session_of(a);

	shard_check(NULL);
	if (ss && ss->presence && presence_reaches(ss, ask->asker) &&
		!is_withheld(ss, ask->asker, PRESENCE_OUT)) {
		struct stanza *s = stanza_readdressed(ss->presence, ask->asker);

		deliver(ask->newcomer, s, DELIVER_COPY);
		stanza_unref(s);
	}
	jid_free(ask->asker);
	free(ask);
}

static void ask_session(struct actor_id whom, struct actor_id newcomer, const struct jid *asker)
{
	struct ask *ask = xmalloc(sizeof(*ask));

	ask->letter.to = whom;
	ask->letter.open = ask_open;
	ask->newcomer = newcomer;
	ask->asker = jid_bare(asker, NULL);
	letter_post(&ask->letter);
}

/* Of a contact of ours: whoever of it is available. */
static void ask_contact(
	const struct sessions *contact, struct actor_id newcomer, const struct jid *asker)
{
	for (unsigned i = 0; i < contact->n; i++)
		if (contact->at[i].available)
			ask_session(contact->at[i].id, newcomer, asker);
}

static struct stanza *build_bare_presence(
	const struct jid *from, const struct jid *to, const char *type, const char *id)
{
	struct jid *bare = jid_bare(from, NULL);
	struct stanza *s = build_presence_as(bare, to, type, id);

	jid_free(bare);
	return s;
}

static bool is_ours(const struct jid *contact)
{
	return contact->local_len && route_host(jid_domain(contact));
}

/* §3.1.2: a request that has no answer yet may have been lost on its way to another server. */
ON_SHARD static void request_again(struct session *ss)
{
	struct contacts_walk w;

	for (contacts_begin(&w, account_of(ss), CONTACT_PENDING_OUT); contacts_next(&w);)
		if (!is_ours(w.jid) && !is_withheld(ss, w.jid, PRESENCE_OUT))
			route(build_bare_presence(ss->jid, w.jid, "subscribe", "again"));
}

void presence_probe(struct session *ss)
{
	struct contacts_walk w;
	uint64_t asked = 0;

	for (contacts_begin(&w, account_of(ss), CONTACT_TO); contacts_next(&w);) {
		if (jid_equal_bare(w.jid, ss->jid) || is_withheld(ss, w.jid, PRESENCE_IN))
			continue;
		if (is_ours(w.jid)) {
			const struct sessions *contact = directory_find(w.jid);

			if (contact)
				ask_contact(contact, ss->id, ss->jid);
		} else {
			route(build_bare_presence(ss->jid, w.jid, "probe", NULL));
		}
		asked++;
	}
	metric_add(&probes_metric, asked);
	request_again(ss);
}

void presence_probe_one(const struct jid *account, const struct jid *contact)
{
	const struct sessions *all = directory_find(account);
	const struct sessions *there = contact->local_len ? directory_find(contact) : NULL;

	for (unsigned i = 0; all && there && i < all->n; i++)
		if (all->at[i].available && !is_withheld(all->at[i].session, contact, PRESENCE_IN))
			ask_contact(there, all->at[i].id, account);
}

/* --- being asked: §4.3.2, §4.6.6. An answer that is no resource's presence has the probe's id
 * (§4.3.2.1). --- */

static bool may_see(const struct account *a, const struct stanza *probe)
{
	return contact_state(a, probe->from) & CONTACT_FROM ||
		jid_equal_bare(probe->from, probe->to);
}

ON_SHARD static void answer_unsubscribed(const struct stanza *probe)
{
	struct jid *asker = jid_bare(probe->from, NULL);

	route(build_bare_presence(probe->to, asker, "unsubscribed", probe->id));
	jid_free(asker);
}

/* Of one resource: that it is there, or is not, and no more. ss: NULL when nobody has that full
 * JID. */
ON_SHARD static void answer_of_one(
	const struct session *ss, const struct account *a, const struct stanza *probe)
{
	if (!may_see(a, probe)) {
		if (ss && session_has_directed(ss, probe->from))
			route(build_presence_as(ss->jid, probe->from, NULL, probe->id));
		else
			answer_unsubscribed(probe);
	} else if (ss && ss->presence && !is_withheld(ss, probe->from, PRESENCE_OUT)) {
		route(build_presence_as(ss->jid, probe->from, NULL, ss->presence->id));
	} else {
		route(build_presence_as(probe->to, probe->from, "unavailable", probe->id));
	}
}

/* To that resource's shard: only there it is known to whom it has directed presence. */
struct probe_letter {
	struct letter letter;
	struct stanza *probe; /* counted */
};

static void probe_open(struct actor *a, struct letter *l)
{
	struct probe_letter *pl = container_of(l, struct probe_letter, letter);
	struct session *ss = session_of(a);

	shard_check(NULL);
	if (ss)
		answer_of_one(ss, account_of(ss), pl->probe);
	else /* gone since */
		answer_unsubscribed(pl->probe);
	stanza_unref(pl->probe);
	free(pl);
}

ON_SHARD static void probe_one(const struct sessions *all, struct stanza *s)
{
	const struct session_entry *one = sessions_find(all, s->to);
	struct probe_letter *pl;

	if (!one) {
		answer_of_one(NULL, account_of(all->at[0].session), s);
		return;
	}
	pl = xmalloc(sizeof(*pl));
	pl->letter.to = one->id;
	pl->letter.open = probe_open;
	pl->probe = stanza_ref(s);
	letter_post(&pl->letter);
}

ON_SHARD static void probe_all(const struct sessions *all, struct stanza *s)
{
	bool available = false;

	for (unsigned i = 0; i < all->n; i++)
		available |= all->at[i].available;
	if (!may_see(account_of(all->at[0].session), s))
		answer_unsubscribed(s);
	else if (available)
		presence_tell(s->to, s->from, PRES_AVAILABLE, NULL);
	else
		route(build_presence_as(s->to, s->from, "unavailable", s->id));
}

/* For an account with sessions. */
ON_SHARD static void answer_probe(const struct sessions *all, struct stanza *s)
{
	if (jid_is_full(s->to))
		probe_one(all, s);
	else
		probe_all(all, s);
}

/* --- subscriptions -----------------------------------------------------------------------------
 */

void presence_to_account(struct host *h, const struct sessions *all, struct stanza *s)
{
	struct subscription subject = { .host = h, .stanza = s, .way = SUBSCRIPTION_IN };

	if (s->type == PRES_PROBE && all && account_of(all->at[0].session))
		answer_probe(all, s);
	else
		hook_run(h->hooks, &subscription_hook, &subject);
}

void presence_subscription_out(struct session *ss, struct stanza *s)
{
	struct subscription subject = { .host = ss->host, .stanza = s, .way = SUBSCRIPTION_OUT };

	if (hook_run(ss->host->hooks, &subscription_hook, &subject) == HOOK_STOP)
		stanza_unref(s);
	else
		route(s);
}
