/* modules/privilege_presence.c - components that hear the presence of accounts, and of their
 * contacts: XEP-0356 §6. */
#include <stdlib.h>
#include <string.h>

#include "modules/privilege_inside.h"
#include "modules/registry.h"
#include "router/account.h"
#include "router/contacts.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/session.h"

/* To a session: what it has told last goes to a component. */
struct presence_letter {
	struct letter letter;
	struct jid *to; /* owned */
};

static void presence_open(struct actor *a, struct letter *l)
{
	struct presence_letter *p = container_of(l, struct presence_letter, letter);
	const struct recipient *r = a ? a->class->recipient : NULL;
	struct session *ss = r ? r->session(a) : NULL;

	shard_check(NULL);
	if (ss && ss->presence)
		route(stanza_readdressed(ss->presence, p->to));
	jid_free(p->to);
	free(p);
}

struct present_job {
	struct job job;
	struct host *host; /* counted */
	struct jid *to; /* owned */
};

static void ask_sessions(const struct sessions *s, void *arg)
{
	struct present_job *p = arg;

	for (unsigned i = 0; i < s->n; i++) {
		struct presence_letter *l;

		if (!s->at[i].available || s->at[i].session->host != p->host)
			continue;
		l = xcalloc(1, sizeof(*l));
		l->letter.to = s->at[i].id;
		l->letter.open = presence_open;
		l->to = jid_dup(p->to, NULL);
		letter_post(&l->letter);
	}
}

static void present_work(struct job *j)
{
	job_check();
	directory_each(ask_sessions, container_of(j, struct present_job, job));
}

static void present_done(struct job *j)
{
	struct present_job *p = container_of(j, struct present_job, job);

	host_unref(p->host);
	jid_free(p->to);
	free(p);
}

/* §6.3: those who are there when a component comes. */
void privilege_tell_who_is_there(struct host *h, const struct grant *g)
{
	struct present_job *p = xcalloc(1, sizeof(*p));

	p->job.work = present_work;
	p->job.done = present_done;
	p->host = host_ref(h);
	p->to = jid_dup(g->jid, NULL);
	if (account_work(p->to, &p->job))
		present_done(&p->job);
}

enum hook_next privilege_presence_out(void *subject, void *arg)
{
	const struct session_presence *sp = subject;
	struct privilege *p = ((struct module_instance *)arg)->data;
	const struct grants *g = rcu_get(p->grants);

	shard_check(NULL);
	if (!sp->initial && sp->stanza->type != PRES_UNAVAILABLE)
		return HOOK_GO_ON;
	for (unsigned i = 0; g && i < g->n; i++)
		if (g->at[i].presence)
			route(stanza_readdressed(sp->stanza, g->at[i].jid));
	return HOOK_GO_ON;
}

/* The same stanza to another address, whole and sealed. */
static struct stanza *copy_to(const struct elem *e, const struct jid *from, const struct jid *to)
{
	struct builder b;

	build_begin(&b, e->name, NS_CLIENT);
	for (const struct attr *a = e->attrs; a; a = a->next)
		if (a->ns || (strcmp(a->name, "from") && strcmp(a->name, "to")))
			build_attr_ns(&b, a->name, a->ns, a->value);
	build_attr_jid(&b, "from", from);
	build_attr_jid(&b, "to", to);
	elem_each_child (e, child)
		build_copy(&b, child);
	return build_end(&b);
}

/* Several accounts hear the same of one contact: §6.3. */
static bool was_heard(struct privilege *p, const struct stanza *s)
{
	_Atomic uint64_t *last = &p->heard[s->from->full_hash % HEARD_LAST];
	uint32_t what = 2166136261u ^ s->type;
	uint64_t now;

	for (uint32_t i = 0; i < s->raw_len; i++)
		what = (what ^ (uint8_t)s->raw[i]) * 16777619u;
	now = (uint64_t)s->from->full_hash << 32 | what;
	return atomic_exchange_explicit(last, now, memory_order_relaxed) == now && s->raw;
}

ON_SHARD static void tell_of_contact(struct privilege *p, const struct stanza *s)
{
	const struct grants *g = rcu_get(p->grants);

	if (was_heard(p, s))
		return;
	for (unsigned i = 0; g && i < g->n; i++)
		if (g->at[i].presence == PRESENCE_ROSTER &&
			strcmp(jid_domain(s->from), jid_domain(g->at[i].jid)) != 0)
			route(copy_to(s->root, s->from, g->at[i].jid));
}

/* An account that nobody is connected to: is that a contact of its? */
struct contact_job {
	struct job job;
	struct host *host; /* counted */
	struct stanza *stanza; /* counted: a copy, sealed */
	bool is_contact;
};

static void contact_work(struct job *j)
{
	struct contact_job *c = container_of(j, struct contact_job, job);
	struct jid *bare = jid_bare(c->stanza->to, NULL);
	struct account *a;

	job_check();
	if (account_hold(c->host, bare, &a) == 0) {
		c->is_contact = contact_state(a, c->stanza->from) & CONTACT_TO;
		account_drop(a);
	}
	jid_free(bare);
}

static void contact_done(struct job *j)
{
	struct contact_job *c = container_of(j, struct contact_job, job);
	struct module_instance *mi = registry_find(c->host, "privilege");

	shard_check(NULL);
	if (c->is_contact && mi && mi->data)
		tell_of_contact(mi->data, c->stanza);
	stanza_unref(c->stanza);
	host_unref(c->host);
	free(c);
}

ON_SHARD static void ask_for_contact(struct host *h, const struct stanza *s)
{
	struct contact_job *c = xcalloc(1, sizeof(*c));

	c->job.work = contact_work;
	c->job.done = contact_done;
	c->host = host_ref(h);
	c->stanza = copy_to(s->root, s->from, s->to);
	if (!account_work(s->to, &c->job))
		return;
	stanza_unref(c->stanza);
	host_unref(c->host);
	free(c);
}

/* From another server, or a component. */
enum hook_next privilege_presence_in(void *subject, void *arg)
{
	struct module_instance *mi = arg;
	struct privilege *p = mi->data;
	const struct stanza *s = subject;
	const struct grants *g = rcu_get(p->grants);
	const struct account *a;
	bool anybody = false;

	shard_check(NULL);
	if ((s->type != PRES_AVAILABLE && s->type != PRES_UNAVAILABLE) || !s->to->local_len)
		return HOOK_GO_ON;
	for (unsigned i = 0; g && i < g->n; i++)
		anybody |= g->at[i].presence == PRESENCE_ROSTER;
	if (!anybody)
		return HOOK_GO_ON;
	a = account_online(s->to);
	if (!a)
		ask_for_contact(mi->host, s);
	else if (contact_state(a, s->from) & CONTACT_TO)
		tell_of_contact(p, s);
	return HOOK_GO_ON;
}
