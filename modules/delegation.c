/* modules/delegation.c - namespaces that external components answer for: XEP-0355 (Namespace
 * Delegation), admin mode, ejabberd's mod_delegation. A request to the server or an account in such
 * a namespace is forwarded, and the answer comes back in the server's own name. What the component
 * says of itself by service discovery stands in the server's and the accounts' answers in place of
 * what the server has. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "modules/disco.h"
#include "modules/module.h"
#include "modules/question.h"
#include "router/component.h"

#define ANSWER_MS 60000
/* §7.2.4, §7.2.5: what there is behind accounts that the server knows nothing of. */
#define ANY_INFO NS_DELEGATION_TEXT ":bare:disco#info:*"
#define ANY_ITEMS NS_DELEGATION_TEXT ":bare:disco#items:*"
#define NS_DELEGATION_TEXT "urn:xmpp:delegation:2"

/* ---- Settings */

struct delegation_ns {
	const char *ns;
	const char *access;
	struct conf_list filtering; /* of const char * */
};
struct delegation_conf {
	struct conf_list namespaces; /* of struct delegation_ns */
};

static const struct conf_item attribute_item[] = {
	{ "attribute", CONF_STRING, 0, .help = "An attribute's name." }, { 0 }
};
static const struct conf_item namespace_rows[] = {
	{ "access", CONF_ACCESS, FIELD(struct delegation_ns, access, const char *),
		.required = true,
		.help = "Which component answers: the first one that this rule allows." },
	{ "filtering", CONF_LIST, FIELD(struct delegation_ns, filtering, struct conf_list),
		.item = attribute_item, .item_size = sizeof(const char *),
		.help = "Only requests whose payload has all of these attributes are delegated; "
			"the server answers the others." },
	{ 0 }
};
static const struct conf_item delegation_items[] = {
	{ "namespaces", CONF_MAP, FIELD(struct delegation_conf, namespaces, struct conf_list),
		.rows = namespace_rows, .item_size = sizeof(struct delegation_ns),
		.help = "What is delegated, by namespace. While its component is not there, it is "
			"answered with an error. `" ANY_INFO "` stands for what "
			"nodes of accounts are, `" ANY_ITEMS "` for what accounts have.",
		.example = "{\"http://jabber.org/protocol/pubsub\": {access: all}}" },
	{ 0 }
};

static const char *check_conf(const void *value, struct arena *a)
{
	const struct delegation_conf *conf = value;
	const struct delegation_ns *ns = conf->namespaces.at;

	for (size_t i = 0; i < conf->namespaces.n; i++)
		if (!strcmp(ns[i].ns, NS_DELEGATION) || !strcmp(ns[i].ns, NS_PRIVILEGE))
			return arena_printf(a, "%s cannot be delegated", ns[i].ns);
	return NULL;
}

/* ---- Who answers for what */

struct delegated {
	char *ns; /* owned */
	char **attributes; /* owned */
	unsigned n_attributes;
	struct jid *entity; /* owned; NULL: it is not there */
	struct stanza *info[2]; /* counted: what entity is, by enum iq_scope; NULL: not known */
};
struct delegations {
	struct rcu_head rcu;
	unsigned n;
	struct delegated at[];
};

/* Of one host. Counted by the module and by questions under way. */
struct delegation {
	_Atomic uint32_t refs;
	struct host *host; /* counted */
	pthread_mutex_t lock; /* of who makes a new table; held for short */
	RCU_PTR(struct delegations) table;
};

static void table_free(struct delegations *t)
{
	for (unsigned i = 0; t && i < t->n; i++) {
		struct delegated *d = &t->at[i];

		free(d->ns);
		for (unsigned k = 0; k < d->n_attributes; k++)
			free(d->attributes[k]);
		free(d->attributes);
		jid_free(d->entity);
		stanza_unref(d->info[IQ_LOCAL]);
		stanza_unref(d->info[IQ_SM]);
	}
	free(t);
}

static void table_drop(struct rcu_head *head)
{
	table_free(container_of(head, struct delegations, rcu));
}

static struct delegation *delegation_ref(struct delegation *d)
{
	atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
	return d;
}

static void delegation_unref(struct delegation *d)
{
	if (atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) != 1)
		return;
	table_free(rcu_get(d->table));
	pthread_mutex_destroy(&d->lock);
	host_unref(d->host);
	free(d);
}

static struct delegations *table_new(unsigned n)
{
	struct delegations *t = xcalloc(1, sizeof(*t) + n * sizeof(t->at[0]));

	t->n = n;
	return t;
}

static void put_table(struct delegation *d, struct delegations *now)
{
	struct delegations *was = rcu_swap(d->table, now);

	if (was)
		rcu_later(&was->rcu, table_drop);
}

static const struct delegated *find(const struct delegations *t, const char *ns)
{
	for (unsigned i = 0; t && i < t->n; i++)
		if (!strcmp(t->at[i].ns, ns))
			return &t->at[i];
	return NULL;
}

/* --- choosing --- */

struct choosing {
	struct host *host;
	const char *rule;
	const struct jid *before; /* it stays, if it may and is there; NULL: nobody */
	struct jid *chosen; /* owned */
};

static void look_at(const struct component *c, void *arg)
{
	struct choosing *choosing = arg;
	const struct access_subject who = { c->jid, &c->address };
	bool before = choosing->before && jid_equal(choosing->before, c->jid);

	if (atomic_load(&c->gone) || (choosing->chosen && !before) ||
		!access_allowed(choosing->rule, choosing->host->name, &who))
		return;
	jid_free(choosing->chosen);
	choosing->chosen = jid_dup(c->jid, NULL);
}

static void choose(struct delegated *d, const struct delegation_ns *conf, struct host *h,
	const struct delegated *before)
{
	const char *const *attributes = conf->filtering.at;
	struct choosing choosing = { h, conf->access, before ? before->entity : NULL, NULL };

	d->ns = xstrdup(conf->ns);
	d->n_attributes = (unsigned)conf->filtering.n;
	d->attributes = xcalloc(d->n_attributes + 1, sizeof(char *));
	for (unsigned k = 0; k < d->n_attributes; k++)
		d->attributes[k] = xstrdup(attributes[k]);
	components_each(look_at, &choosing);
	d->entity = choosing.chosen;
	if (!d->entity || !before || !before->entity || !jid_equal(d->entity, before->entity))
		return;
	for (int scope = IQ_LOCAL; scope <= IQ_SM; scope++)
		d->info[scope] = before->info[scope] ? stanza_ref(before->info[scope]) : NULL;
}

/* Any registered thread. */
static void make_table(struct delegation *d, const struct delegation_conf *conf)
{
	const struct delegation_ns *ns = conf->namespaces.at;
	struct delegations *now = table_new((unsigned)conf->namespaces.n);

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < now->n; i++)
		choose(&now->at[i], &ns[i], d->host, find(rcu_get(d->table), ns[i].ns));
	put_table(d, now);
	pthread_mutex_unlock(&d->lock);
}

/* The same table, where one entity has said what it is. */
static void keep_info(
	struct delegation *d, const char *ns, enum iq_scope scope, struct stanza *info)
{
	const struct delegations *was;
	struct delegations *now;

	pthread_mutex_lock(&d->lock);
	was = rcu_get(d->table);
	now = table_new(was->n);
	for (unsigned i = 0; i < was->n; i++) {
		const struct delegated *from = &was->at[i];
		struct delegated *to = &now->at[i];

		*to = *from;
		to->ns = xstrdup(from->ns);
		to->attributes = xcalloc(from->n_attributes + 1, sizeof(char *));
		for (unsigned k = 0; k < from->n_attributes; k++)
			to->attributes[k] = xstrdup(from->attributes[k]);
		to->entity = from->entity ? jid_dup(from->entity, NULL) : NULL;
		for (int s = IQ_LOCAL; s <= IQ_SM; s++)
			to->info[s] = from->info[s] ? stanza_ref(from->info[s]) : NULL;
		if (strcmp(to->ns, ns) != 0 || !to->entity || !jid_equal(to->entity, info->from))
			continue;
		stanza_unref(to->info[scope]);
		to->info[scope] = stanza_ref(info);
	}
	put_table(d, now);
	pthread_mutex_unlock(&d->lock);
}

/* ---- Asking what an entity is: §7.2 */

struct disco_question {
	struct question question;
	struct delegation *delegation; /* counted */
	enum iq_scope scope;
	char *ns; /* owned */
};

static void disco_drop(struct question *q)
{
	struct disco_question *dq = container_of(q, struct disco_question, question);

	delegation_unref(dq->delegation);
	free(dq->ns);
	free(dq);
}

static void disco_done(struct question *q, struct stanza *answer)
{
	struct disco_question *dq = container_of(q, struct disco_question, question);

	shard_check(NULL);
	if (answer && answer->type == IQ_RESULT && elem_child(answer->root, "query", NS_DISCO_INFO))
		keep_info(dq->delegation, dq->ns, dq->scope, answer);
	disco_drop(q);
}

ON_SHARD static void ask_entity(
	struct delegation *d, const struct delegated *of, enum iq_scope scope)
{
	struct disco_question *dq = xcalloc(1, sizeof(*dq));
	struct builder b;

	if (!question_begin(&dq->question, of->entity, ANSWER_MS)) {
		free(dq);
		return;
	}
	dq->question.done = disco_done;
	dq->question.drop = disco_drop;
	dq->delegation = delegation_ref(d);
	dq->scope = scope;
	dq->ns = xstrdup(of->ns);
	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", "get");
	build_attr(&b, "id", dq->question.id);
	build_attr(&b, "from", d->host->name);
	build_attr_jid(&b, "to", of->entity);
	build_open(&b, "query", NS_DISCO_INFO);
	build_attr(&b, "node",
		arena_printf(&b.stanza->arena, "%s%s%s", NS_DELEGATION,
			scope == IQ_LOCAL ? "::" : ":bare:", of->ns));
	build_close(&b);
	route(build_end(&b));
}

/* ---- Telling an entity what is its: §4.2 */

ON_SHARD static void tell_entity(struct delegation *d, const struct jid *entity)
{
	const struct delegations *t = rcu_get(d->table);
	bool any = false;
	struct builder b;

	build_begin(&b, "message", NS_CLIENT);
	build_attr(&b, "from", d->host->name);
	build_attr_jid(&b, "to", entity);
	build_open(&b, "delegation", NS_DELEGATION);
	for (unsigned i = 0; i < t->n; i++) {
		if (!t->at[i].entity || !jid_equal(t->at[i].entity, entity))
			continue;
		any = true;
		build_open(&b, "delegated", NULL);
		build_attr(&b, "namespace", t->at[i].ns);
		for (unsigned k = 0; k < t->at[i].n_attributes; k++) {
			build_open(&b, "attribute", NULL);
			build_attr(&b, "name", t->at[i].attributes[k]);
			build_close(&b);
		}
		build_close(&b);
	}
	build_close(&b);
	if (any)
		route(build_end(&b));
	else
		build_drop(&b);
}

static bool is_special(const char *ns)
{
	return !strcmp(ns, ANY_INFO) || !strcmp(ns, ANY_ITEMS);
}

/* Those that were chosen just now: what they are is not known yet. */
ON_SHARD static void ask_unknown(struct delegation *d)
{
	const struct delegations *t = rcu_get(d->table);

	for (unsigned i = 0; i < t->n; i++)
		for (int scope = IQ_LOCAL; scope <= IQ_SM; scope++)
			if (t->at[i].entity && !t->at[i].info[scope] && !is_special(t->at[i].ns))
				ask_entity(d, &t->at[i], (enum iq_scope)scope);
}

/* ---- Requests: §4.3 */

static bool has_attributes(const struct elem *payload, const struct delegated *d)
{
	for (unsigned k = 0; k < d->n_attributes; k++)
		if (!elem_attr(payload, d->attributes[k]))
			return false;
	return true;
}

static bool is_about(const struct delegated *d, enum iq_scope scope, const struct elem *payload)
{
	if (!strcmp(d->ns, ANY_INFO))
		return scope == IQ_SM && payload->ns == NS_DISCO_INFO && elem_attr(payload, "node");
	if (!strcmp(d->ns, ANY_ITEMS))
		return scope == IQ_SM && payload->ns == NS_DISCO_ITEMS;
	return !strcmp(d->ns, payload->ns);
}

struct forwarded {
	struct question question;
	struct stanza *request; /* counted */
};

static void forwarded_drop(struct question *q)
{
	struct forwarded *f = container_of(q, struct forwarded, question);

	stanza_unref(f->request);
	free(f);
}

static bool attr_is_jid(const struct elem *e, const char *name, const struct jid *jid)
{
	const char *text = elem_attr(e, name);
	char want[JID_TEXT_MAX];

	jid_write(jid, want);
	return text && !strcmp(text, want);
}

/* The answer inside, when it is one to that request: §4.3. from may be missing, as the request's to
 * was. An error inside is the entity's answer, too, which XEP-0355 does not think of. */
static const struct elem *answer_inside(const struct stanza *answer, const struct stanza *request)
{
	const struct elem *e = elem_child(answer->root, "delegation", NS_DELEGATION);
	const char *id, *type;

	e = e ? elem_child(e, "forwarded", NS_FORWARD) : NULL;
	e = e ? elem_child(e, "iq", NS_CLIENT) : NULL;
	if (!e || answer->type != IQ_RESULT)
		return NULL;
	id = elem_attr(e, "id");
	type = elem_attr(e, "type");
	if (!id || strcmp(id, request->id) != 0 || !type ||
		(strcmp(type, "result") != 0 && strcmp(type, "error") != 0))
		return NULL;
	if (!attr_is_jid(e, "to", request->from) ||
		(elem_attr(e, "from") && !attr_is_jid(e, "from", request->to)))
		return NULL;
	return e;
}

static void forwarded_done(struct question *q, struct stanza *answer)
{
	struct forwarded *f = container_of(q, struct forwarded, question);
	const struct elem *inside = answer ? answer_inside(answer, f->request) : NULL;
	struct builder b;

	shard_check(NULL);
	if (inside) {
		build_answer(&b, f->request, elem_attr(inside, "type"));
		elem_each_child (inside, child)
			build_copy(&b, child);
		route(build_end(&b));
	} else {
		route_error(f->request, ERR_SERVICE_UNAVAILABLE, NULL);
	}
	forwarded_drop(q);
}

ON_SHARD static void forward(
	struct delegation *d, const struct delegated *to, struct stanza *request)
{
	struct forwarded *f = xcalloc(1, sizeof(*f));
	struct builder b;

	if (!question_begin(&f->question, to->entity, ANSWER_MS)) {
		route_error(request, ERR_RESOURCE_CONSTRAINT, NULL);
		free(f);
		return;
	}
	f->question.done = forwarded_done;
	f->question.drop = forwarded_drop;
	f->request = stanza_ref(request);
	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", "set");
	build_attr(&b, "id", f->question.id);
	build_attr(&b, "from", d->host->name);
	build_attr_jid(&b, "to", to->entity);
	build_open(&b, "delegation", NS_DELEGATION);
	build_open(&b, "forwarded", NS_FORWARD);
	build_copy(&b, request->root);
	build_close(&b);
	build_close(&b);
	route(build_end(&b));
}

static enum hook_next visit(void *subject, void *arg)
{
	const struct iq_visit *v = subject;
	struct delegation *d = ((struct module_instance *)arg)->data;
	const struct delegations *t = rcu_get(d->table);

	shard_check(NULL);
	for (unsigned i = 0; i < t->n; i++) {
		const struct delegated *to = &t->at[i];

		if (!is_about(to, v->scope, v->payload) || !has_attributes(v->payload, to))
			continue;
		if (!to->entity)
			route_error(v->stanza, ERR_SERVICE_UNAVAILABLE, NULL);
		else if (!strcmp(jid_domain(v->stanza->from), jid_domain(to->entity)))
			continue; /* §4.4: the entity's own are the server's to answer */
		else
			forward(d, to, v->stanza);
		return HOOK_STOP;
	}
	return HOOK_GO_ON;
}

/* ---- Service discovery: §7 */

/* What the server itself has in a delegated namespace is not announced. */
static enum hook_next feature_offered(void *subject, void *arg)
{
	const char *feature = ((const struct disco_offer *)subject)->feature;
	struct delegation *d = ((struct module_instance *)arg)->data;
	const struct delegations *t = rcu_get(d->table);

	for (unsigned i = 0; i < t->n; i++) {
		size_t len = strlen(t->at[i].ns);

		if (!strncmp(feature, t->at[i].ns, len) && (!feature[len] || feature[len] == '#'))
			return HOOK_STOP;
	}
	return HOOK_GO_ON;
}

static bool has_feature(const struct elem *query, const char *feature)
{
	elem_each_child (query, there) {
		const char *var = elem_attr(there, "var");

		if (var && !strcmp(var, feature))
			return true;
	}
	return false;
}

static void add_part(struct disco_query *q, const struct elem *info)
{
	elem_each_child (info, child) {
		const char *var = elem_attr(child, "var");

		if (q->part == DISCO_IDENTITIES && elem_is(child, "identity", NS_DISCO_INFO))
			build_copy(q->answer, child);
		if (q->part == DISCO_FEATURES && elem_is(child, "feature", NS_DISCO_INFO) && var &&
			!has_feature(q->answer->at, var))
			build_copy(q->answer, child);
		if (q->part == DISCO_FORMS && elem_is(child, "x", NS_DATA))
			build_copy(q->answer, child);
	}
}

static enum hook_next info_asked(void *subject, void *arg)
{
	struct disco_query *q = subject;
	struct delegation *d = ((struct module_instance *)arg)->data;
	const struct delegations *t = rcu_get(d->table);

	for (unsigned i = 0; !q->node && i < t->n; i++)
		if (t->at[i].entity && t->at[i].info[q->scope])
			add_part(q,
				elem_child(t->at[i].info[q->scope]->root, "query", NS_DISCO_INFO));
	return HOOK_GO_ON;
}

/* ---- Components come and go, settings change */

static enum hook_next connected(void *subject, void *arg)
{
	const struct component *c = subject;
	struct module_instance *mi = arg;

	shard_check(NULL);
	make_table(mi->data, module_conf(mi));
	tell_entity(mi->data, c->jid);
	ask_unknown(mi->data);
	return HOOK_GO_ON;
}

/* Another one may be there for what it answered. */
static enum hook_next left(void *subject UNUSED, void *arg)
{
	struct module_instance *mi = arg;

	shard_check(NULL);
	make_table(mi->data, module_conf(mi));
	ask_unknown(mi->data);
	return HOOK_GO_ON;
}

struct renewal {
	struct msg msg;
	struct delegation *delegation; /* counted */
};

/* To all that are there what is theirs now. */
static void renew(struct msg *m)
{
	struct renewal *r = container_of(m, struct renewal, msg);
	const struct delegations *t = rcu_get(r->delegation->table);

	shard_check(NULL);
	for (unsigned i = 0; i < t->n; i++) {
		bool told = false;

		for (unsigned k = 0; t->at[i].entity && k < i; k++)
			told |= t->at[k].entity && jid_equal(t->at[k].entity, t->at[i].entity);
		if (t->at[i].entity && !told)
			tell_entity(r->delegation, t->at[i].entity);
	}
	ask_unknown(r->delegation);
	delegation_unref(r->delegation);
	free(r);
}

static void delegate_anew(struct module_instance *mi)
{
	const struct delegation_conf *conf = module_conf_hold(mi);
	struct renewal *r = xcalloc(1, sizeof(*r));

	make_table(mi->data, conf);
	module_conf_drop(conf);
	r->msg.run = renew;
	r->delegation = delegation_ref(mi->data);
	shard_post(shard_at(0), &r->msg);
}

/* ---- Life */

static int delegation_start(struct module_instance *mi)
{
	struct delegation *d = xcalloc(1, sizeof(*d));

	atomic_init(&d->refs, 1);
	d->host = host_ref(mi->host);
	pthread_mutex_init(&d->lock, NULL);
	mi->data = d;
	hook_add(component_hooks(), &component_connected_hook, 60, connected, mi);
	hook_add(component_hooks(), &component_left_hook, 60, left, mi);
	delegate_anew(mi);
	return 0;
}

static void delegation_stop(struct module_instance *mi)
{
	hook_remove(component_hooks(), &component_connected_hook, 60, connected, mi);
	hook_remove(component_hooks(), &component_left_hook, 60, left, mi);
	rcu_wait();
	delegation_unref(mi->data);
	mi->data = NULL;
}

static void delegation_reload(struct module_instance *mi, const void *old UNUSED)
{
	delegate_anew(mi);
}

const struct module module_delegation = {
	.abi = LINNET_MODULE_ABI,
	.name = "delegation",
	.help = "Lets external components answer for namespaces of the server and its accounts.",
	.xeps = (const char *const[]){ "XEP-0355 0.5 partial", NULL },
	.features = (const char *const[]){ NS_DELEGATION, NULL },
	.conf = delegation_items,
	.conf_size = sizeof(struct delegation_conf),
	.check = check_conf,
	.hooks = (const struct hook_row[]){ { &host_answer_hook, 40, question_answered },
		{ &iq_visit_hook, 50, visit }, { &disco_info_hook, 60, info_asked },
		{ &disco_offer_hook, 50, feature_offered }, { 0 } },
	.start = delegation_start,
	.stop = delegation_stop,
	.reload = delegation_reload,
};
LINNET_MODULE(module_delegation);
