/* modules/privilege.c - external components with the rights of accounts: XEP-0356 (Privileged
 * Entity). Access rules say which component has which; it is told when it connects. A component's
 * grants are worked out when it comes and when the settings change, so that a stanza's way asks one
 * small array, which is empty where there are none. */
#include "modules/privilege.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modules/module.h"
#include "modules/privilege_inside.h"
#include "modules/question.h"
#include "modules/registry.h"
#include "modules/roster.h"
#include "router/account.h"
#include "router/component.h"

#define ANSWER_MS 60000 /* an entity that an account is made to ask has so long */

/* ---- Settings */

struct privilege_types {
	const char *get, *set, *both;
};
struct privilege_roster_conf {
	struct privilege_types types;
	bool push;
};
struct privilege_namespace {
	const char *ns;
	struct privilege_types types;
};
struct privilege_conf {
	struct privilege_roster_conf roster;
	struct {
		const char *outgoing;
	} message;
	struct {
		const char *managed_entity, *roster;
	} presence;
	struct conf_list iq; /* of struct privilege_namespace */
};

static const struct conf_item roster_rows[] = {
	{ "get", CONF_ACCESS, FIELD(struct privilege_conf, roster.types.get, const char *),
		.preset = "none", .help = "Which components may read rosters." },
	{ "set", CONF_ACCESS, FIELD(struct privilege_conf, roster.types.set, const char *),
		.preset = "none", .help = "Which components may change rosters." },
	{ "both", CONF_ACCESS, FIELD(struct privilege_conf, roster.types.both, const char *),
		.preset = "none", .help = "Which components may do both." },
	{ "push", CONF_BOOL, FIELD(struct privilege_conf, roster.push, bool), .preset = "true",
		.help = "Tell components that may read rosters of each change." },
	{ 0 }
};
static const struct conf_item message_rows[] = {
	{ "outgoing", CONF_ACCESS, FIELD(struct privilege_conf, message.outgoing, const char *),
		.preset = "none",
		.help = "Which components may send messages in the name of an account, or of the "
			"server." },
	{ 0 }
};
static const struct conf_item presence_rows[] = {
	{ "managed_entity", CONF_ACCESS,
		FIELD(struct privilege_conf, presence.managed_entity, const char *),
		.preset = "none",
		.help = "Which components hear when clients of accounts come and go." },
	{ "roster", CONF_ACCESS, FIELD(struct privilege_conf, presence.roster, const char *),
		.preset = "none",
		.help = "Which components hear that, and the presence of the accounts' contacts on "
			"other servers and components. They must be allowed to read rosters." },
	{ 0 }
};
static const struct conf_item namespace_rows[] = {
	{ "get", CONF_ACCESS, FIELD(struct privilege_namespace, types.get, const char *),
		.preset = "none", .help = "Which components may send requests that ask." },
	{ "set", CONF_ACCESS, FIELD(struct privilege_namespace, types.set, const char *),
		.preset = "none", .help = "Which components may send requests that change." },
	{ "both", CONF_ACCESS, FIELD(struct privilege_namespace, types.both, const char *),
		.preset = "none", .help = "Which components may send both." },
	{ 0 }
};
static const struct conf_item privilege_items[] = {
	{ "roster", CONF_GROUP, 0, .rows = roster_rows, .help = "Rosters of the host's accounts." },
	{ "message", CONF_GROUP, 0, .rows = message_rows, .help = "Messages." },
	{ "presence", CONF_GROUP, 0, .rows = presence_rows, .help = "Presence." },
	{ "iq", CONF_MAP, FIELD(struct privilege_conf, iq, struct conf_list),
		.rows = namespace_rows, .item_size = sizeof(struct privilege_namespace),
		.help = "Requests in the name of accounts, by their namespace.",
		.example = "{\"http://jabber.org/protocol/pubsub\": {both: all}}" },
	{ 0 }
};

/* ---- Grants */

static const char *const type_names[] = { "none", "get", "set", "both" };
static void grant_clear(struct grant *g)
{
	jid_free(g->jid);
	for (unsigned i = 0; i < g->n_iq; i++)
		free(g->iq[i].ns);
	free(g->iq);
}

static void grants_free(struct grants *g)
{
	for (unsigned i = 0; g && i < g->n; i++)
		grant_clear(&g->at[i]);
	free(g);
}

static void grants_drop(struct rcu_head *head)
{
	grants_free(container_of(head, struct grants, rcu));
}

static bool allows(const char *rule, struct host *h, const struct component *c)
{
	const struct access_subject who = { c->jid, &c->address };

	return access_allowed(rule, h->name, &who);
}

static uint8_t types_for(
	const struct privilege_types *types, struct host *h, const struct component *c)
{
	if (allows(types->both, h, c))
		return GET | SET;
	return (uint8_t)((allows(types->get, h, c) ? GET : 0) |
		(allows(types->set, h, c) ? SET : 0));
}

static struct grant grant_for(
	const struct privilege_conf *conf, struct host *h, const struct component *c)
{
	const struct privilege_namespace *ns = conf->iq.at;
	struct grant g = {
		.jid = jid_dup(c->jid, NULL),
		.roster = types_for(&conf->roster.types, h, c),
		.message = allows(conf->message.outgoing, h, c),
		.iq = xcalloc(conf->iq.n + 1, sizeof(struct grant_iq)),
	};

	g.push = conf->roster.push && g.roster & GET;
	if (allows(conf->presence.managed_entity, h, c))
		g.presence = PRESENCE_MANAGED;
	if (g.roster & GET && allows(conf->presence.roster, h, c)) /* §6.2 */
		g.presence = PRESENCE_ROSTER;
	for (size_t i = 0; i < conf->iq.n; i++) {
		uint8_t types = types_for(&ns[i].types, h, c);

		if (types)
			g.iq[g.n_iq++] = (struct grant_iq){ xstrdup(ns[i].ns), types };
	}
	return g;
}

static bool grants_anything(const struct grant *g)
{
	return g->roster || g->presence || g->message || g->n_iq;
}

struct making {
	const struct privilege_conf *conf;
	struct host *host;
	struct grants *grants;
	unsigned room;
};

static void add_grant(const struct component *c, void *arg)
{
	struct making *m = arg;
	struct grant g;

	if (atomic_load(&c->gone))
		return;
	g = grant_for(m->conf, m->host, c);
	if (!grants_anything(&g)) {
		grant_clear(&g);
		return;
	}
	if (m->grants->n == m->room) {
		m->room = m->room * 2 + 4;
		m->grants = xrealloc(
			m->grants, sizeof(*m->grants) + m->room * sizeof(m->grants->at[0]));
	}
	m->grants->at[m->grants->n++] = g;
}

/* For those that are connected now. Any registered thread. */
static void make_grants(struct module_instance *mi, const struct privilege_conf *conf)
{
	struct privilege *p = mi->data;
	struct making m = { conf, mi->host, xcalloc(1, sizeof(struct grants)), 0 };
	struct grants *was;

	pthread_mutex_lock(&p->lock);
	components_each(add_grant, &m);
	was = rcu_swap(p->grants, m.grants);
	pthread_mutex_unlock(&p->lock);
	if (was)
		rcu_later(&was->rcu, grants_drop);
}

/* What who may do, or NULL: nothing. Good until the thread's next quiescent state. */
static const struct grant *grant_of(struct module_instance *mi, const struct jid *who)
{
	struct privilege *p = mi->data;
	const struct grants *g = rcu_get(p->grants);

	for (unsigned i = 0; g && i < g->n; i++)
		if (jid_equal(g->at[i].jid, who))
			return &g->at[i];
	return NULL;
}

bool privilege_roster(struct host *h, const struct jid *from, bool set)
{
	struct module_instance *mi = registry_find(h, "privilege");
	const struct grant *g = mi && mi->data ? grant_of(mi, from) : NULL;

	return g && g->roster & (set ? SET : GET);
}

/* ---- Telling a component: §4.2 and so on */

static void open_perm(struct builder *b, const char *access, const char *type)
{
	build_open(b, "perm", NULL);
	build_attr(b, "access", access);
	build_attr(b, "type", type);
}

static void add_perm(struct builder *b, const char *access, const char *type)
{
	open_perm(b, access, type);
	build_close(b);
}

static void add_iq_perm(struct builder *b, const struct grant *g)
{
	if (!g->n_iq)
		return;
	open_perm(b, "iq", NULL);
	for (unsigned i = 0; i < g->n_iq; i++) {
		build_open(b, "namespace", NULL);
		build_attr(b, "ns", g->iq[i].ns);
		build_attr(b, "type", type_names[g->iq[i].types]);
		build_close(b);
	}
	build_close(b);
}

static struct stanza *permissions(struct host *h, const struct grant *g)
{
	struct builder b;

	build_begin(&b, "message", NS_CLIENT);
	build_attr(&b, "from", h->name);
	build_attr_jid(&b, "to", g->jid);
	build_open(&b, "privilege", NS_PRIVILEGE);
	if (g->roster) {
		open_perm(&b, "roster", type_names[g->roster]);
		build_attr(&b, "push", g->push ? "true" : "false");
		build_close(&b);
	}
	if (g->message)
		add_perm(&b, "message", "outgoing");
	add_iq_perm(&b, g);
	if (g->presence)
		add_perm(&b, "presence",
			g->presence == PRESENCE_ROSTER ? "roster" : "managed_entity");
	build_close(&b);
	return build_end(&b);
}

/* ---- Messages: §5 */

/* <message/> in <forwarded/> in <privilege/>; NULL: that is not what it is. */
static const struct elem *forwarded_message(const struct stanza *s)
{
	const struct elem *privilege = elem_child(s->root, "privilege", NS_PRIVILEGE);
	const struct elem *forwarded =
		privilege ? elem_child(privilege, "forwarded", NS_FORWARD) : NULL;

	return forwarded ? elem_child(forwarded, "message", NS_CLIENT) : NULL;
}

static struct jid *read_address(const struct elem *e, const char *name, struct arena *a)
{
	const char *text = elem_attr(e, name);
	struct jid *jid;

	return text && jid_parse(text, strlen(text), a, &jid) == JID_OK ? jid : NULL;
}

/* As if a client of the account had sent it: its archive and its other clients have it. */
ON_SHARD static void send_for_account(struct host *h, struct stanza *s)
{
	struct session nobody = { .host = h, .jid = (struct jid *)s->from };
	struct session_packet packet = { &nobody, s };

	rcu_set(nobody.account, (struct account *)account_online(s->from));
	if (s->from->local_len && hook_run(h->hooks, &user_send_hook, &packet) == HOOK_STOP) {
		stanza_unref(s);
		return;
	}
	stanza_seal(s);
	route(s);
}

ON_SHARD static int send_message(struct host *h, const struct elem *message)
{
	struct jid *from, *to;
	struct builder b;
	int error = 0;

	build_begin(&b, "message", NS_CLIENT);
	from = read_address(message, "from", &b.stanza->arena);
	to = read_address(message, "to", &b.stanza->arena);
	if (!from || !jid_is_bare(from) || strcmp(jid_domain(from), h->name) != 0)
		error = ERR_FORBIDDEN; /* §5.1 */
	else if (!to)
		error = ERR_JID_MALFORMED;
	if (error) {
		build_drop(&b);
		return error;
	}
	for (const struct attr *a = message->attrs; a; a = a->next)
		build_attr_ns(&b, a->name, a->ns, a->value);
	elem_each_child (message, child)
		build_copy(&b, child);
	stanza_read_head(b.stanza);
	send_for_account(h, b.stanza);
	return 0;
}

static enum hook_next message_to_host(void *subject, void *arg)
{
	struct module_instance *mi = arg;
	const struct stanza *s = subject;
	const struct elem *message;
	const struct grant *g;
	int error;

	shard_check(NULL);
	if (!elem_child(s->root, "privilege", NS_PRIVILEGE) || !jid_is_domain(s->to) ||
		!component_find(jid_domain(s->from)))
		return HOOK_GO_ON;
	g = grant_of(mi, s->from);
	message = forwarded_message(s);
	if (!g || !g->message)
		error = ERR_FORBIDDEN;
	else
		error = message ? send_message(mi->host, message) : ERR_BAD_REQUEST;
	if (error)
		route_error(s, error, NULL);
	return HOOK_STOP;
}

/* ---- Requests: §5.3 */

struct request {
	struct question question;
	struct stanza *outer; /* counted: the component's */
	const char *id; /* of the request inside, in outer */
};

static void request_drop(struct question *q)
{
	struct request *r = container_of(q, struct request, question);

	stanza_unref(r->outer);
	free(r);
}

static void request_done(struct question *q, struct stanza *answer)
{
	struct request *r = container_of(q, struct request, question);
	struct builder b;

	shard_check(NULL);
	if (answer) {
		build_iq_result(&b, r->outer);
		build_open(&b, "privilege", NS_PRIVILEGE);
		build_open(&b, "forwarded", NS_FORWARD);
		build_open(&b, "iq", NS_CLIENT);
		for (const struct attr *a = answer->root->attrs; a; a = a->next)
			if (a->ns || strcmp(a->name, "id"))
				build_attr_ns(&b, a->name, a->ns, a->value);
		build_attr(&b, "id", r->id);
		elem_each_child (answer->root, child)
			build_copy(&b, child);
		build_close(&b);
		build_close(&b);
		build_close(&b);
		route(build_end(&b));
	} else {
		route_error(r->outer, ERR_REMOTE_SERVER_TIMEOUT, NULL);
	}
	request_drop(q);
}

static uint8_t iq_types(const struct grant *g, const char *namespace)
{
	for (unsigned i = 0; i < g->n_iq; i++)
		if (!strcmp(g->iq[i].ns, namespace))
			return g->iq[i].types;
	return 0;
}

/* What is inside may be sent: §5.3, the list of what is forbidden. */
static bool may_send(const struct iq *iq, const struct grant *g, const struct elem *inner)
{
	const struct elem *payload = elem_first(inner);
	const char *type = elem_attr(inner, "type"), *from = elem_attr(inner, "from");
	char bare[JID_TEXT_MAX];

	jid_write(iq->to, bare);
	return g && payload && !elem_next(payload) && type &&
		!strcmp(type, iq->set ? "set" : "get") && (!from || !strcmp(from, bare)) &&
		iq_types(g, payload->ns) & (iq->set ? SET : GET);
}

ON_SHARD static int send_request(const struct iq *iq, const struct elem *inner)
{
	struct request *r = xcalloc(1, sizeof(*r));
	struct builder b;
	struct jid *to;

	build_begin(&b, "iq", NS_CLIENT);
	to = elem_attr(inner, "to") ? read_address(inner, "to", &b.stanza->arena)
				    : jid_dup(iq->to, &b.stanza->arena);
	if (!to || !question_begin(&r->question, to, ANSWER_MS)) {
		build_drop(&b);
		free(r);
		return to ? ERR_RESOURCE_CONSTRAINT : ERR_JID_MALFORMED;
	}
	r->question.done = request_done;
	r->question.drop = request_drop;
	r->outer = stanza_ref(iq->stanza);
	r->id = elem_attr(inner, "id");
	build_attr(&b, "type", iq->set ? "set" : "get");
	build_attr(&b, "id", r->question.id);
	build_attr_jid(&b, "from", iq->to);
	build_attr_jid(&b, "to", to);
	elem_each_child (inner, child)
		build_copy(&b, child);
	route(build_end(&b));
	return IQ_LATER;
}

static int privileged_iq(const struct iq *iq, struct builder *answer UNUSED)
{
	const struct elem *inner = elem_first(iq->payload);
	const struct grant *g = grant_of(iq->arg, iq->from);

	shard_check(NULL);
	if (!g || !elem_is(iq->payload, "privileged_iq", NS_PRIVILEGE))
		return ERR_FORBIDDEN;
	if (!inner || !elem_is(inner, "iq", NS_CLIENT) || elem_next(inner) ||
		!may_send(iq, g, inner))
		return ERR_FORBIDDEN;
	return send_request(iq, inner);
}

/* ---- Rosters: §4.4 */

static enum hook_next roster_pushed(void *subject, void *arg)
{
	struct privilege *p = ((struct module_instance *)arg)->data;
	const struct grants *g = rcu_get(p->grants);

	for (unsigned i = 0; g && i < g->n; i++)
		if (g->at[i].push)
			route_post(stanza_readdressed(subject, g->at[i].jid));
	return HOOK_GO_ON;
}

/* ---- Components come and go */

static enum hook_next connected(void *subject, void *arg)
{
	const struct component *c = subject;
	struct module_instance *mi = arg;
	struct privilege *p = mi->data;
	const struct grant *g;

	shard_check(NULL);
	make_grants(mi, module_conf(mi));
	g = grant_of(mi, c->jid);
	if (!g)
		return HOOK_GO_ON;
	for (unsigned i = 0; i < HEARD_LAST; i++)
		atomic_store_explicit(&p->heard[i], 0, memory_order_relaxed);
	route(permissions(mi->host, g));
	if (g->presence)
		privilege_tell_who_is_there(mi->host, g);
	return HOOK_GO_ON;
}

static enum hook_next left(void *subject UNUSED, void *arg)
{
	shard_check(NULL);
	make_grants(arg, module_conf(arg));
	return HOOK_GO_ON;
}

/* Those that were connected before are told, too. */
static void grant_anew(struct module_instance *mi)
{
	const struct privilege_conf *conf = module_conf_hold(mi);
	struct privilege *p = mi->data;
	const struct grants *g;

	make_grants(mi, conf);
	g = rcu_get(p->grants);
	for (unsigned i = 0; i < g->n; i++)
		route_post(permissions(mi->host, &g->at[i]));
	module_conf_drop(conf);
}

/* ---- Life */

static int privilege_start(struct module_instance *mi)
{
	struct privilege *p = xcalloc(1, sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	mi->data = p;
	hook_add(component_hooks(), &component_connected_hook, 50, connected, mi);
	hook_add(component_hooks(), &component_left_hook, 50, left, mi);
	grant_anew(mi);
	return 0;
}

static void privilege_stop(struct module_instance *mi)
{
	struct privilege *p = mi->data;

	hook_remove(component_hooks(), &component_connected_hook, 50, connected, mi);
	hook_remove(component_hooks(), &component_left_hook, 50, left, mi);
	rcu_wait();
	grants_free(rcu_get(p->grants));
	pthread_mutex_destroy(&p->lock);
	mi->data = NULL;
	free(p);
}

static void privilege_reload(struct module_instance *mi, const void *old UNUSED)
{
	grant_anew(mi);
}

const struct module module_privilege = {
	.abi = LINNET_MODULE_ABI,
	.name = "privilege",
	.help = "Lets external components act for accounts: rosters, messages, requests, presence. "
		"They must be trusted as the server itself is.",
	.xeps = (const char *const[]){ "XEP-0356 0.4.1", NULL },
	.conf = privilege_items,
	.conf_size = sizeof(struct privilege_conf),
	.iq =
		(const struct iq_row[]){
			{ IQ_FOR_BOTH, IQ_SM, NS_PRIVILEGE, IQ_NO_QUEUE, privileged_iq }, { 0 } },
	.hooks = (const struct hook_row[]){ { &host_answer_hook, 40, question_answered },
		{ &host_message_hook, 40, message_to_host },
		{ &session_presence_hook, 90, privilege_presence_out },
		{ &foreign_stanza_hook, 50, privilege_presence_in },
		{ &roster_push_hook, 50, roster_pushed }, { 0 } },
	.start = privilege_start,
	.stop = privilege_stop,
	.reload = privilege_reload,
};
LINNET_MODULE(module_privilege);
