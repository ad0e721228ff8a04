/* modules/privacy.c - privacy lists as clients see and change them: XEP-0016. What they do is
 * router/privacy's and modules/privacy_lists'; blocks (modules/blocking) are rules of the default
 * list, before all others. */
#include <errno.h>
#include <stdlib.h>

#include "modules/privacy_lists.h"
#include "router/contacts.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/presence.h"

#define TEXT_MAX 1023 /* bytes of a list's name, or of a group's */

struct privacy_conf {
	int64_t max_lists;
	int64_t max_items;
};
static const struct conf_item privacy_items[] = {
	{ "max_lists", CONF_INT, FIELD(struct privacy_conf, max_lists, int64_t), .preset = "20",
		.min = 1, .max = PRIVACY_LISTS_MAX, .unit = "lists",
		.help = "One account may have so many lists." },
	{ "max_items", CONF_INT, FIELD(struct privacy_conf, max_items, int64_t), .preset = "5000",
		.min = 1, .max = 100000, .unit = "rules",
		.help = "So many rules may stand in all lists of an account together; blocked "
			"addresses count too." },
	{ 0 }
};

static struct metric changes_metric =
	METRIC_COUNTER("privacy_changes_total", "Changes of privacy lists by clients.");

/* ---- Rules and their XML: §2.1 */

static const struct {
	const char *name;
	unsigned kind;
} kinds[] = {
	{ "message", PRIVACY_MESSAGE },
	{ "iq", PRIVACY_IQ },
	{ "presence-in", PRIVACY_PRESENCE_IN },
	{ "presence-out", PRIVACY_PRESENCE_OUT },
};
static const struct {
	const char *name;
	unsigned bits;
} subscriptions[] = {
	{ "both", CONTACT_BOTH },
	{ "to", CONTACT_TO },
	{ "from", CONTACT_FROM },
	{ "none", 0 },
};

static void build_value(struct builder *b, const struct privacy_rule *r)
{
	switch (r->about) {
	case PRIVACY_JID:
		build_attr(b, "type", "jid");
		build_attr_jid(b, "value", r->jid);
		break;
	case PRIVACY_GROUP:
		build_attr(b, "type", "group");
		build_attr(b, "value", r->group);
		break;
	case PRIVACY_SUBSCRIPTION:
		build_attr(b, "type", "subscription");
		for (size_t i = 0; i < ARRAY_LEN(subscriptions); i++)
			if (subscriptions[i].bits == r->subscription)
				build_attr(b, "value", subscriptions[i].name);
		break;
	default:
		break;
	}
}

static void build_rule(struct builder *b, const struct privacy_rule *r, int64_t raise)
{
	build_open(b, "item", NULL);
	build_value(b, r);
	build_attr(b, "action", r->deny ? "deny" : "allow");
	build_attr_int(b, "order", r->order + raise);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (r->kinds & kinds[i].kind)
			build_text(b, kinds[i].name, NULL);
	build_close(b);
}

static void build_list(struct builder *b, const struct privacy_list *l)
{
	int64_t raise = l->n && l->rules[0].order < 0 ? -l->rules[0].order : 0;

	build_open(b, "list", NULL);
	build_attr(b, "name", l->name);
	for (unsigned i = 0; i < l->n; i++)
		build_rule(b, &l->rules[i], raise);
	build_close(b);
}

/* What a client has sent; all of these return 0 or an enum stanza_error. */
struct reading {
	struct arena *arena;
	const struct account *account;
	struct privacy_rule *rules;
	unsigned n;
};

static int read_jid(struct reading *in, const char *value, struct privacy_rule *r)
{
	struct jid *jid;

	r->about = PRIVACY_JID;
	if (jid_parse(value, strlen(value), in->arena, &jid))
		return ERR_JID_MALFORMED;
	r->jid = jid;
	return 0;
}

static int read_group(const struct reading *in, const char *value, struct privacy_rule *r)
{
	struct contacts_walk w;

	r->about = PRIVACY_GROUP;
	r->group = value;
	if (strlen(value) > TEXT_MAX)
		return ERR_NOT_ACCEPTABLE;
	for (contacts_begin(&w, in->account, ~0u); contacts_next(&w);)
		if (contact_in_group(in->account, w.jid, value))
			return 0;
	return ERR_ITEM_NOT_FOUND;
}

static int read_subscription(const char *value, struct privacy_rule *r)
{
	r->about = PRIVACY_SUBSCRIPTION;
	for (size_t i = 0; i < ARRAY_LEN(subscriptions); i++)
		if (strcmp(subscriptions[i].name, value) == 0) {
			r->subscription = subscriptions[i].bits;
			return 0;
		}
	return ERR_BAD_REQUEST;
}

static int read_about(struct reading *in, const struct elem *e, struct privacy_rule *r)
{
	const char *type = elem_attr(e, "type"), *value = elem_attr(e, "value");

	if (!type)
		return 0;
	if (!value)
		return ERR_BAD_REQUEST;
	if (strcmp(type, "jid") == 0)
		return read_jid(in, value, r);
	if (strcmp(type, "group") == 0)
		return read_group(in, value, r);
	return strcmp(type, "subscription") == 0 ? read_subscription(value, r) : ERR_BAD_REQUEST;
}

static bool read_action(const struct elem *e, bool *out_deny)
{
	const char *action = elem_attr(e, "action");

	*out_deny = action && strcmp(action, "deny") == 0;
	return *out_deny || (action && strcmp(action, "allow") == 0);
}

/* §2.1: xs:unsignedInt. */
static bool read_order(const struct elem *e, int64_t *out)
{
	const char *text = elem_attr(e, "order");
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoll(text, &end, 10);
	return !errno && !*end && *out <= UINT32_MAX;
}

static bool read_kinds(const struct elem *e, unsigned *out)
{
	elem_each_child (e, child) {
		size_t i = 0;

		while (i < ARRAY_LEN(kinds) && !elem_is(child, kinds[i].name, NS_PRIVACY))
			i++;
		if (i == ARRAY_LEN(kinds))
			return false;
		*out |= kinds[i].kind;
	}
	return true;
}

static int read_rule(struct reading *in, const struct elem *e)
{
	struct privacy_rule *r = &in->rules[in->n];

	*r = (struct privacy_rule){ 0 };
	if (!elem_is(e, "item", NS_PRIVACY) || !read_action(e, &r->deny) ||
		!read_order(e, &r->order) || !read_kinds(e, &r->kinds))
		return ERR_BAD_REQUEST;
	in->n++;
	return read_about(in, e, r);
}

static int by_order(const void *a, const void *b)
{
	const struct privacy_rule *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

static int read_rules(struct reading *in, const struct elem *list, int64_t max)
{
	int64_t n = 0;
	int error = 0;

	elem_each_child (list, e)
		n++;
	if (n > max)
		return ERR_RESOURCE_CONSTRAINT;
	in->rules = arena_alloc(in->arena, (size_t)(n + 1) * sizeof(in->rules[0]));
	elem_each_child (list, e)
		if (!error)
			error = read_rule(in, e);
	if (error)
		return error;
	qsort(in->rules, in->n, sizeof(in->rules[0]), by_order);
	for (unsigned i = 1; i < in->n; i++)
		if (in->rules[i].order == in->rules[i - 1].order)
			return ERR_BAD_REQUEST; /* §2.1 */
	return 0;
}

/* ---- Whom a list applies to */

static uint8_t active_of(const struct session *ss)
{
	return atomic_load_explicit(&ss->active_list, memory_order_relaxed);
}

/* §2.2: whether it does so to a connected resource other than the one that asks. */
ON_JOB static bool is_in_use(
	struct account_request *w, const struct privacy *p, const struct privacy_list *l)
{
	const struct sessions *all = directory_find(w->bare);

	for (unsigned i = 0; all && i < all->n; i++)
		if (!jid_equal(all->at[i].session->jid, w->stanza->from) &&
			privacy_list_of(p, active_of(all->at[i].session)) == l)
			return true;
	return false;
}

/* Another list for the session that asks, which tells it on its shard to whom it matters. */
struct activation {
	struct letter letter;
	struct account *account; /* counted */
	uint8_t was;
};

static void activation_open(struct actor *a, struct letter *l)
{
	struct activation *act = container_of(l, struct activation, letter);
	const struct recipient *r = a ? a->class->recipient : NULL;
	struct session *ss = r && r->session ? r->session(a) : NULL;

	shard_check(NULL);
	if (ss)
		presence_hiding_changed_of(ss, act->account, act->was);
	account_drop(act->account);
	free(act);
}

ON_JOB static void activate(struct account_request *w, uint8_t number)
{
	const struct session_entry *e;
	struct activation *act;
	struct session *ss;
	struct account *a;

	if (account_hold(w->host, w->bare, &a))
		return;
	e = directory_find_full(w->stanza->from);
	if (!e) {
		account_drop(a);
		return;
	}
	ss = (struct session *)e->session;
	act = xcalloc(1, sizeof(*act));
	act->letter.to = e->id;
	act->letter.open = activation_open;
	act->account = a;
	act->was = atomic_exchange_explicit(&ss->active_list, number, memory_order_relaxed);
	letter_post(&act->letter);
}

/* ---- Requests */

/* What one does, with the lists as they are. */
struct asked {
	struct account_request *work;
	struct privacy_owner owner;
	const struct elem *elem; /* <active/>, <default/> or <list/> */
	const struct account *account;
	const struct privacy *lists; /* NULL: none */
	const struct privacy_list *list; /* of that name; NULL: there is none */
	struct reading in;
};

/* §2.4 */
ON_JOB static int set_active(struct asked *q)
{
	if (elem_attr(q->elem, "name") && !q->list)
		return ERR_ITEM_NOT_FOUND;
	activate(q->work, q->list ? q->list->number : 0);
	account_request_answer(q->work, NULL);
	return 0;
}

static int store_standard(struct db_tx *tx, void *arg)
{
	const struct asked *q = arg;

	return privacy_store_standard(tx, &q->owner, q->list ? q->list->id : 0);
}

/* §2.5 */
ON_JOB static int set_default(struct asked *q)
{
	const struct privacy_list *was = q->lists ? q->lists->standard : NULL;
	int error = 0;

	if (elem_attr(q->elem, "name") && !q->list)
		return ERR_ITEM_NOT_FOUND;
	if (was && was != q->list && is_in_use(q->work, q->lists, was))
		return ERR_CONFLICT;
	if (was != q->list)
		error = privacy_change(q->work, store_standard, q);
	if (!error)
		account_request_answer(q->work, NULL);
	return error;
}

static int store_list(struct db_tx *tx, void *arg)
{
	const struct asked *q = arg;
	const struct privacy_owner *o = &q->owner;
	int result = privacy_store_set(tx, o, elem_attr(q->elem, "name"), q->in.rules, q->in.n);

	return result < 0 ? result : privacy_store_check(tx, o);
}

static int store_removal(struct db_tx *tx, void *arg)
{
	const struct asked *q = arg;

	return privacy_store_delete(tx, &q->owner, q->list->id);
}

/* §2.7 */
ON_JOB static int remove_list(struct asked *q)
{
	const struct session_entry *e = directory_find_full(q->work->stanza->from);
	bool was_active;
	int error;

	if (!q->list)
		return ERR_ITEM_NOT_FOUND;
	if (is_in_use(q->work, q->lists, q->list))
		return ERR_CONFLICT;
	was_active = e && active_of(e->session) == q->list->number;
	error = privacy_change(q->work, store_removal, q);
	if (!error && was_active)
		activate(q->work, 0);
	return error;
}

/* §2.6 */
ON_JOB static int set_list(struct asked *q)
{
	const char *name = elem_attr(q->elem, "name");
	int error;

	if (!name || !*name)
		return ERR_BAD_REQUEST;
	if (strlen(name) > TEXT_MAX)
		return ERR_NOT_ACCEPTABLE;
	if (!elem_first(q->elem)) {
		error = remove_list(q);
	} else {
		error = read_rules(&q->in, q->elem, q->owner.max_rules);
		if (!error)
			error = privacy_change(q->work, store_list, q);
	}
	if (error)
		return error;
	account_request_answer(q->work, NULL);
	privacy_push(q->work, name, PRIVACY_TOLD_ALL);
	return 0;
}

ON_JOB static int set(struct asked *q)
{
	int error = ERR_BAD_REQUEST;

	if (elem_is(q->elem, "active", NS_PRIVACY))
		return set_active(q);
	if (elem_is(q->elem, "default", NS_PRIVACY))
		error = set_default(q);
	else if (elem_is(q->elem, "list", NS_PRIVACY))
		error = set_list(q);
	if (!error)
		metric_add(&changes_metric, 1);
	return error;
}

static void build_name(struct builder *b, const char *what, const struct privacy_list *l)
{
	if (!l)
		return;
	build_open(b, what, NULL);
	build_attr(b, "name", l->name);
	build_close(b);
}

/* §2.3 */
ON_JOB static int list_names(struct asked *q)
{
	const struct session_entry *e = directory_find_full(q->work->stanza->from);
	uint8_t active = e ? active_of(e->session) : 0;
	const struct privacy *p = q->lists;
	struct builder b;

	build_iq_result(&b, q->work->stanza);
	build_open(&b, "query", NS_PRIVACY);
	if (p && active && privacy_list_of(p, active))
		build_name(&b, "active", privacy_list_of(p, active));
	if (p)
		build_name(&b, "default", p->standard);
	for (unsigned i = 0; p && i < p->n; i++)
		build_name(&b, "list", &p->lists[i]);
	build_close(&b);
	account_request_answer(q->work, build_end(&b));
	return 0;
}

ON_JOB static int show_list(struct asked *q)
{
	struct builder b;

	if (!elem_is(q->elem, "list", NS_PRIVACY))
		return ERR_BAD_REQUEST;
	if (!q->list)
		return ERR_ITEM_NOT_FOUND;
	build_iq_result(&b, q->work->stanza);
	build_open(&b, "query", NS_PRIVACY);
	build_list(&b, q->list);
	build_close(&b);
	account_request_answer(q->work, build_end(&b));
	return 0;
}

ON_JOB static int serve(struct asked *q)
{
	const struct session_entry *e = directory_find_full(q->work->stanza->from);

	if (e)
		session_reads((struct session *)e->session, SESSION_READS_PRIVACY);
	if (q->work->stanza->type == IQ_SET)
		return set(q);
	return q->elem ? show_list(q) : list_names(q);
}

ON_JOB static int run(struct account_request *w)
{
	const struct privacy_conf *conf = w->conf;
	const struct elem *query = w->payload;
	struct asked q = { .work = w,
		.owner = privacy_owner_of(w, conf->max_lists, conf->max_items),
		.elem = elem_first(query) };
	const char *name = q.elem ? elem_attr(q.elem, "name") : NULL;
	struct account *a;
	int error;

	if (q.elem && elem_next(q.elem))
		return ERR_BAD_REQUEST; /* §2.2, §2.3 */
	if (!q.elem && w->stanza->type == IQ_SET)
		return ERR_BAD_REQUEST;
	error = privacy_hold(w, &a, &q.lists);
	if (error)
		return error;
	q.account = a;
	q.in = (struct reading){ .arena = &w->arena, .account = a };
	q.list = name ? privacy_find(q.lists, name) : NULL;
	error = serve(&q);
	account_drop(a);
	return error;
}

static int privacy_iq(const struct iq *iq, struct builder *answer UNUSED)
{
	shard_check(NULL);
	if (!elem_is(iq->payload, "query", NS_PRIVACY))
		return ERR_BAD_REQUEST;
	return account_request_iq(iq, run);
}

/* ---- Life */

static int privacy_start(struct module_instance *mi)
{
	job_check();
	metric_register(&changes_metric);
	return privacy_lists_use(mi->host);
}

static void privacy_stop(struct module_instance *mi)
{
	privacy_lists_leave(mi->host);
}

const struct module module_privacy = {
	.abi = LINNET_MODULE_ABI,
	.name = "privacy",
	.help = "Privacy lists: rules of an account about whom it hears and who sees it. Clients "
		"of "
		"today block with mod_blocking instead.",
	.xeps = (const char *const[]){ "XEP-0016 1.7", NULL },
	.features = (const char *const[]){ NS_PRIVACY, NULL },
	.account_features = (const char *const[]){ NS_PRIVACY, NULL },
	.conf = privacy_items,
	.conf_size = sizeof(struct privacy_conf),
	.iq = (const struct iq_row[]){ { IQ_FOR_BOTH, IQ_SM, NS_PRIVACY, IQ_NO_QUEUE, privacy_iq,
					       .lane = true },
		{ 0 } },
	.start = privacy_start,
	.stop = privacy_stop,
};
LINNET_MODULE(module_privacy);
