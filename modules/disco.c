/* modules/disco.c - what the server and its accounts are and can do: XEP-0030 (Service Discovery),
 * with the forms of XEP-0128 and the contact addresses of XEP-0157.
 * Requests to the server are answered from memory, at once; those to accounts may have to ask the
 * database whether the account exists, so they go to the job threads. */
#include "modules/disco.h"

#include <ctype.h>

#include "modules/module.h"
#include "modules/permit.h"
#include "modules/registry.h"
#include "router/component.h"
#include "router/directory.h"
#include "xml/form.h"

HOOK(disco_info);
HOOK(disco_items);
HOOK(disco_offer);

struct disco_addresses { /* one field of XEP-0157's form */
	const char *name;
	struct conf_list urls; /* of const char * */
};
struct disco_conf {
	const char *name;
	struct conf_list server_info; /* of struct disco_addresses */
	struct conf_list extra_domains; /* of const char * */
};

/* XEP-0157 §3; RFC 3986 §3.1. */
static const char *check_uri(const void *value, struct arena *a UNUSED)
{
	const char *uri = *(const char *const *)value;
	size_t scheme = strcspn(uri, ":");
	bool good = isalpha((unsigned char)uri[0]) && uri[scheme] && uri[scheme + 1] &&
		!uri[strcspn(uri, " \t\n<>\"")];

	for (size_t i = 0; i < scheme; i++)
		good &= isalnum((unsigned char)uri[i]) || strchr("+-.", uri[i]);
	return good ? NULL : "a URI, such as mailto:abuse@example.org";
}

static const struct conf_item url_item[] = { { "url", CONF_STRING, 0, .check = check_uri,
						     .help = "A URI: mailto:, xmpp: or https:." },
	{ 0 } };
static const struct conf_item address_items[] = {
	{ "name", CONF_STRING, FIELD(struct disco_addresses, name, const char *), .required = true,
		.help = "The field: abuse-addresses, admin-addresses, feedback-addresses, "
			"sales-addresses, security-addresses, status-addresses or "
			"support-addresses." },
	{ "urls", CONF_LIST, FIELD(struct disco_addresses, urls, struct conf_list),
		.item = url_item, .item_size = sizeof(const char *), .required = true,
		.help = "Where to reach them." },
	{ 0 }
};
static const struct conf_item domain_item[] = {
	{ "domain", CONF_DOMAIN, 0, .help = "A service's domain." }, { 0 }
};
static const struct conf_item disco_items[] = {
	{ "name", CONF_STRING, FIELD(struct disco_conf, name, const char *), .preset = "Linnet",
		.help = "The server's name as clients show it." },
	{ "server_info", CONF_LIST, FIELD(struct disco_conf, server_info, struct conf_list),
		.rows = address_items, .item_size = sizeof(struct disco_addresses),
		.help = "Contact addresses to announce (XEP-0157).",
		.example = "- name: abuse-addresses\n"
			   "  urls: [\"mailto:abuse@example.org\"]" },
	{ "extra_domains", CONF_LIST, FIELD(struct disco_conf, extra_domains, struct conf_list),
		.item = domain_item, .item_size = sizeof(const char *),
		.help = "Further services to list, which do not belong to this server's modules." },
	{ 0 }
};

/* ---- What answers are made of */

void disco_identity(struct builder *b, const char *category, const char *type, const char *name)
{
	build_open(b, "identity", NULL);
	build_attr(b, "category", category);
	build_attr(b, "type", type);
	build_attr(b, "name", name);
	build_close(b);
}

void disco_feature(struct builder *b, const char *feature)
{
	build_open(b, "feature", NULL);
	build_attr(b, "var", feature);
	build_close(b);
}

void disco_item(struct builder *b, const char *jid, const char *node, const char *name)
{
	build_open(b, "item", NULL);
	build_attr(b, "jid", jid);
	build_attr(b, "node", node);
	build_attr(b, "name", name);
	build_close(b);
}

void disco_form(struct builder *b, const char *form_type)
{
	form_open(b, "result", form_type);
}

static void run_hook(struct hook *hook, struct disco_query *q, enum disco_part part)
{
	q->part = part;
	hook_run(q->iq->host->hooks, hook, q);
}

struct offering {
	struct host *host;
	enum iq_scope scope;
	struct builder *answer;
};

/* Adds a feature unless it is there: two modules may bring the same. */
static void add_feature(const char *feature, void *arg)
{
	struct offering *o = arg;
	struct disco_offer offer = { o->scope, feature };

	elem_each_child (o->answer->at, there) {
		const char *var = elem_attr(there, "var");

		if (var && strcmp(var, feature) == 0)
			return;
	}
	if (hook_run(o->host->hooks, &disco_offer_hook, &offer) != HOOK_STOP)
		disco_feature(o->answer, feature);
}

static void add_module_features(struct disco_query *q)
{
	struct offering o = { q->iq->host, q->scope, q->answer };

	module_feature_each(o.host, o.scope, add_feature, &o);
}

/* Begins <query/> in the answer; §3.2: a node is mirrored. */
static struct disco_query query_begin(
	const struct iq *iq, enum iq_scope scope, struct builder *answer)
{
	struct disco_query q = { .iq = iq, .scope = scope, .answer = answer, .permitted = true };

	q.node = elem_attr(iq->payload, "node");
	build_open(answer, "query", iq->payload->ns);
	build_attr(answer, "node", q.node);
	return q;
}

/* What only the hook can know: a node's information or items. */
static int answer_node(struct disco_query *q, struct hook *hook)
{
	if (hook == &disco_items_hook) {
		run_hook(hook, q, DISCO_ITEMS);
	} else {
		run_hook(hook, q, DISCO_IDENTITIES);
		run_hook(hook, q, DISCO_FEATURES);
		run_hook(hook, q, DISCO_FORMS);
	}
	build_close(q->answer);
	return q->known ? 0 : ERR_ITEM_NOT_FOUND;
}

/* ---- The server */

/* XEP-0157 */
static void add_addresses(struct builder *answer, const struct disco_conf *conf)
{
	const struct disco_addresses *fields = conf->server_info.at;

	if (!conf->server_info.n)
		return;
	disco_form(answer, "http://jabber.org/network/serverinfo");
	for (size_t i = 0; i < conf->server_info.n; i++) {
		const char *const *urls = fields[i].urls.at;

		build_open(answer, "field", NULL);
		build_attr(answer, "var", fields[i].name);
		build_attr(answer, "type", "list-multi");
		for (size_t u = 0; u < fields[i].urls.n; u++)
			build_text(answer, "value", urls[u]);
		build_close(answer);
	}
	build_close(answer);
}

static int server_info(const struct iq *iq, struct builder *answer)
{
	const struct disco_conf *conf = iq_conf(iq);
	struct disco_query q = query_begin(iq, IQ_LOCAL, answer);

	if (q.node)
		return answer_node(&q, &disco_info_hook);
	disco_identity(answer, "server", "im", conf->name);
	run_hook(&disco_info_hook, &q, DISCO_IDENTITIES);
	add_module_features(&q);
	run_hook(&disco_info_hook, &q, DISCO_FEATURES);
	add_addresses(answer, conf);
	run_hook(&disco_info_hook, &q, DISCO_FORMS);
	build_close(answer);
	return 0;
}

bool disco_server_info(struct host *h, struct builder *b)
{
	struct module_instance *mi = registry_find(h, "disco");
	struct stanza *request;
	struct builder r;
	struct iq iq;

	if (!mi)
		return false;
	build_begin(&r, "iq", NS_CLIENT);
	build_attr(&r, "type", "get");
	build_attr(&r, "from", h->name);
	build_attr(&r, "to", h->name);
	build_open(&r, "query", NS_DISCO_INFO);
	build_close(&r);
	request = build_end(&r);
	iq = (struct iq){ .stanza = request,
		.from = request->from,
		.to = request->to,
		.payload = stanza_iq_child(request),
		.host = h,
		.conf = module_conf(mi),
		.arg = mi };
	server_info(&iq, b);
	stanza_unref(request);
	return true;
}

static void add_service(const char *domain, const char *title, void *arg)
{
	disco_item(arg, domain, NULL, title);
}

/* A component's domain is listed by the host that it is below: by the nearest. */
struct component_items {
	struct host *host;
	struct builder *answer;
};

static void add_component(const struct component *c, void *arg)
{
	const struct component_items *items = arg;
	const char *domain = jid_domain(c->jid), *above = domain;
	struct host *h = NULL;

	while (!h && (above = strchr(above, '.')))
		h = route_host(++above);
	if (h == items->host && !atomic_load(&c->gone))
		disco_item(items->answer, domain, NULL, NULL);
}

static int server_items(const struct iq *iq, struct builder *answer)
{
	struct component_items components = { iq->host, answer };
	const struct disco_conf *conf = iq_conf(iq);
	const char *const *extra = conf->extra_domains.at;
	struct disco_query q = query_begin(iq, IQ_LOCAL, answer);

	if (q.node)
		return answer_node(&q, &disco_items_hook);
	module_service_each(iq->host, add_service, answer);
	components_each(add_component, &components);
	for (size_t i = 0; i < conf->extra_domains.n; i++)
		disco_item(answer, extra[i], NULL, NULL);
	run_hook(&disco_items_hook, &q, DISCO_ITEMS);
	build_close(answer);
	return 0;
}

/* ---- Accounts */

/* Its own sessions prove that an account is there, so only others' requests ask the database. */
ON_JOB static bool account_exists(const struct iq *iq)
{
	struct auth_account account;

	return jid_equal_bare(iq->from, iq->to) ||
		auth_find(iq->host, jid_local(iq->to), &account) == 0;
}

ON_JOB static bool account_is_anonymous(const struct iq *iq)
{
	struct host_conf *conf = host_conf_hold(iq->host);
	struct auth_account account;
	bool anonymous = conf->anonymous &&
		auth_find(iq->host, jid_local(iq->to), &account) == AUTH_NO_SUCH_USER;

	host_conf_drop(conf);
	return anonymous;
}

/* §8: service-unavailable alike for accounts that are not there and for those one may not see. */
static int account_info(const struct iq *iq, struct builder *answer)
{
	struct disco_query q = query_begin(iq, IQ_SM, answer);

	job_check();
	if (!presence_permitted(iq->host, iq->from, iq->to) || !account_exists(iq))
		return ERR_SERVICE_UNAVAILABLE;
	if (q.node)
		return answer_node(&q, &disco_info_hook);
	disco_identity(
		answer, "account", account_is_anonymous(iq) ? "anonymous" : "registered", NULL);
	run_hook(&disco_info_hook, &q, DISCO_IDENTITIES);
	add_module_features(&q);
	run_hook(&disco_info_hook, &q, DISCO_FEATURES);
	run_hook(&disco_info_hook, &q, DISCO_FORMS);
	build_close(answer);
	return 0;
}

static void add_resources(struct builder *answer, const struct jid *account)
{
	const struct sessions *all = directory_find(account);
	char text[JID_TEXT_MAX];

	for (unsigned i = 0; all && i < all->n; i++) {
		if (!all->at[i].available)
			continue;
		jid_write(all->at[i].session->jid, text);
		disco_item(answer, text, NULL, NULL);
	}
}

/* §8: an empty result for whoever may not see the account's resources, as for no account at all. */
static int account_items(const struct iq *iq, struct builder *answer)
{
	struct disco_query q = query_begin(iq, IQ_SM, answer);

	q.permitted = presence_permitted(iq->host, iq->from, iq->to);
	if (q.node)
		return answer_node(&q, &disco_items_hook) && q.permitted ? ERR_ITEM_NOT_FOUND : 0;
	if (q.permitted)
		add_resources(answer, iq->to);
	run_hook(&disco_items_hook, &q, DISCO_ITEMS);
	build_close(answer);
	return 0;
}

const struct module module_disco = {
	.abi = LINNET_MODULE_ABI,
	.name = "disco",
	.help = "Tells what the server and its accounts are, can do and consist of.",
	.xeps = (const char *const[]){ "XEP-0030 2.5.0", "XEP-0128 1.0.1", "XEP-0157 1.1.1", NULL },
	.features = (const char *const[]){ NS_DISCO_INFO, NS_DISCO_ITEMS, NULL },
	.account_features = (const char *const[]){ NS_DISCO_INFO, NS_DISCO_ITEMS, NULL },
	.conf = disco_items,
	.conf_size = sizeof(struct disco_conf),
	.iq = (const struct iq_row[]){ { IQ_FOR_GET, IQ_LOCAL, NS_DISCO_INFO, IQ_NO_QUEUE,
					       server_info },
		{ IQ_FOR_GET, IQ_LOCAL, NS_DISCO_ITEMS, IQ_NO_QUEUE, server_items },
		{ IQ_FOR_GET, IQ_SM, NS_DISCO_INFO, IQ_QUEUES, account_info, .blocks = true },
		{ IQ_FOR_GET, IQ_SM, NS_DISCO_ITEMS, IQ_NO_QUEUE, account_items }, { 0 } },
};
LINNET_MODULE(module_disco);
