/* modules/roster_subscription.c - subscriptions between accounts: RFC 6121 §3. What a stanza
 * changes is router/subscription's to say; here it is looked up, stored, and told to whom it
 * concerns. Each account's half runs in its own lane: one server's two accounts speak through the
 * router like those of two servers. */
#include <stdlib.h>
#include <string.h>

#include "modules/datetime.h"
#include "modules/last.h"
#include "modules/roster_inside.h"
#include "router/access.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/presence.h"
#include "xml/parser.h"

#define REQUEST_BYTES_MAX 4096 /* a longer one waits without what is in it */

static struct metric changes_metric = METRIC_COUNTER(
	"subscriptions_changed_total", "Subscriptions that changed, in either half.");
static struct metric lost_metric = METRIC_COUNTER("subscriptions_lost_total",
	"Subscription stanzas that were not served: too much waited, or the database failed.");

__attribute__((constructor)) static void register_metrics(void)
{
	metric_register(&changes_metric);
	metric_register(&lost_metric);
}

/* ---- Speaking for the account */

static void begin_presence(struct builder *b, const struct jid *from, const struct jid *to,
	const char *type, const char *id)
{
	build_begin(b, "presence", NS_CLIENT);
	build_attr(b, "type", type);
	build_attr(b, "id", id); /* NULL: none */
	build_attr_jid(b, "from", from);
	build_attr_jid(b, "to", to);
}

static struct stanza *build_presence(const struct jid *from, const struct jid *to, const char *type)
{
	struct builder b;

	begin_presence(&b, from, to, type, NULL);
	return build_end(&b);
}

static void post_error(const struct stanza *about, int cond)
{
	struct builder b;

	if (about->type == PRES_ERROR)
		return;
	build_error(&b, about, cond, NULL);
	route_post(build_end(&b));
}

static bool is_ours(const struct jid *contact)
{
	return contact->local_len && route_host(jid_domain(contact));
}

/* Sends a subscription on, with the presence that §3 wants before or behind it. A contact of ours
 * that is told "subscribed" asks for presence itself, once it knows. */
static void send_on(struct roster *r, struct stanza *s, bool gives, bool takes)
{
	if (takes)
		presence_tell(r->account, s->to, PRES_UNAVAILABLE, s);
	else if (gives && !is_ours(s->to))
		presence_tell(r->account, s->to, PRES_AVAILABLE, s);
	else
		route_post(s);
}

void roster_tell_changed(
	struct roster *r, const struct jid *contact, unsigned before, unsigned after)
{
	if (after & ~before & CONTACT_FROM)
		presence_tell(r->account, contact, PRES_AVAILABLE, NULL);
	if (before & ~after & CONTACT_FROM)
		presence_tell(r->account, contact, PRES_UNAVAILABLE, NULL);
	if (after & ~before & CONTACT_TO)
		presence_probe_one(r->account, contact);
}

void roster_part_with(struct roster *r, const struct roster_item *was)
{
	struct jid *contact = jid_bare(was->jid, &r->arena);

	if (was->bits & (CONTACT_TO | CONTACT_PENDING_OUT))
		route_post(build_presence(r->account, contact, "unsubscribe"));
	if (was->bits & (CONTACT_FROM | CONTACT_PENDING_IN))
		send_on(r, build_presence(r->account, contact, "unsubscribed"), false,
			was->bits & CONTACT_FROM);
}

/* ---- Storing */

/* What clients see of an item. */
#define VISIBLE (CONTACT_BOTH | CONTACT_PENDING_OUT | CONTACT_APPROVED | CONTACT_LISTED)

/* 0 or a negative errno. */
ON_JOB static int store(struct roster *r, struct roster_item *item, unsigned bits)
{
	bool seen = bits & CONTACT_LISTED && (bits ^ item->bits) & VISIBLE;

	metric_add(&changes_metric, 1);
	item->bits = bits;
	if (!(bits & CONTACT_PENDING_IN))
		item->request = NULL;
	return roster_save(r, item, seen ? ROSTER_SEEN : ROSTER_UNSEEN);
}

ON_JOB static int open_item(struct roster *r, const struct jid *contact, struct roster_item *out)
{
	int result = roster_open(r);

	return result < 0 ? result : roster_find(r, contact, out);
}

ON_JOB static void fail(const struct stanza *s, int result)
{
	metric_add(&lost_metric, 1);
	post_error(s, roster_condition(result));
}

/* Whether a shared group has settled what this would change. */
static bool is_shared(const struct roster *r, const struct jid *contact, enum stanza_type type,
	enum subscription_way way)
{
	bool asks = type == PRES_SUBSCRIBE || type == PRES_UNSUBSCRIBE;
	bool is_to = asks == (way == SUBSCRIPTION_OUT);

	return roster_shared_bits(r, contact) & (is_to ? CONTACT_TO : CONTACT_FROM);
}

/* ---- Outbound */

/* Which of them bring the contact into the roster: §3.1.2, §3.1.5, §3.4.2. */
static unsigned bits_after(unsigned before, const struct transition *t, enum stanza_type type)
{
	bool adds = type == PRES_SUBSCRIBE ||
		(type == PRES_SUBSCRIBED && t->bits & (CONTACT_FROM | CONTACT_APPROVED) &&
			t->bits != before);

	return t->bits | (adds ? CONTACT_LISTED : 0);
}

/* One of ours who does not exist is not asked: the sender hears it, and nobody comes into the
 * roster (§3.1.2). */
ON_JOB static bool is_nobody(const struct jid *contact)
{
	struct host *h = contact->local_len ? route_host(jid_domain(contact)) : NULL;
	struct auth_account found;
	bool nobody;

	if (!h || directory_find(contact))
		return false;
	host_ref(h);
	nobody = auth_find(h, jid_local(contact), &found) == AUTH_NO_SUCH_USER;
	host_unref(h);
	return nobody;
}

ON_JOB static void run_out(struct roster *r, struct roster_work *w)
{
	struct stanza *s = w->stanza;
	struct roster_item item;
	struct transition t;
	unsigned before, after;
	int result;

	if (is_shared(r, s->to, s->type, SUBSCRIPTION_OUT)) {
		if (s->type == PRES_UNSUBSCRIBE || s->type == PRES_UNSUBSCRIBED)
			post_error(s, ERR_NOT_ALLOWED);
		return;
	}
	if (s->type == PRES_SUBSCRIBE && is_nobody(s->to)) {
		post_error(s, ERR_SERVICE_UNAVAILABLE);
		return;
	}
	result = open_item(r, s->to, &item);
	if (result < 0) {
		fail(s, result);
		return;
	}
	before = item.bits;
	t = subscription_out(before, s->type);
	after = bits_after(before, &t, s->type);
	if (after & ~before & CONTACT_LISTED && roster_is_full(r)) {
		post_error(s, ERR_RESOURCE_CONSTRAINT);
		return;
	}
	result = after != before ? store(r, &item, after) : 0;
	if (result < 0) {
		fail(s, result);
		return;
	}
	if (after & CONTACT_LISTED && (after ^ before) & VISIBLE)
		roster_push(r, &item);
	if (t.pass)
		send_on(r, stanza_ref(s), after & ~before & CONTACT_FROM,
			before & ~after & CONTACT_FROM);
}

/* ---- Inbound */

/* Whole, as §3.1.3 asks, so that a greeting is not lost. */
static const char *request_text(struct roster *r, const struct stanza *s)
{
	struct buf *xml = NULL;
	const char *text = NULL;

	if (!s->root->first)
		return NULL;
	elem_wire(s->root, "", &xml);
	if (xml->len <= REQUEST_BYTES_MAX)
		text = arena_text(&r->arena, xml->data, xml->len);
	buf_unref(xml);
	return text;
}

/* Whether another stranger's request may wait: 0, or why not. */
ON_JOB static int check_room(struct roster *r, unsigned before, unsigned after)
{
	int64_t waiting = 0;
	int result;

	if (before || after != CONTACT_PENDING_IN)
		return 0;
	result = roster_count_requests(r, &waiting);
	if (!result && waiting >= r->conf->max_requests)
		result = ERR_RESOURCE_CONSTRAINT;
	return result;
}

/* §3.1.3, §3.1.6, §3.2.3, §3.3.3: to the clients first, then the push, then presence. */
ON_JOB static void tell_of(struct roster *r, struct stanza *s, const struct roster_item *item,
	unsigned before, const struct transition *t)
{
	const struct jid *contact = item->jid;

	if (t->pass && s->type == PRES_SUBSCRIBE)
		roster_tell_available(r, s);
	else if (t->pass)
		roster_tell_interested(r, s);
	if (item->bits & CONTACT_LISTED && (item->bits ^ before) & VISIBLE)
		roster_push(r, item);
	if (t->answer == PRES_SUBSCRIBED)
		send_on(r, build_presence(r->account, contact, "subscribed"), true, false);
	else if (t->answer)
		send_on(r, build_presence(r->account, contact, "unsubscribed"), false,
			before & ~item->bits & CONTACT_FROM);
	if (item->bits & ~before & CONTACT_TO)
		presence_probe_one(r->account, contact);
}

ON_JOB static void change_in(struct roster *r, struct stanza *s, const struct jid *contact)
{
	struct roster_item item;
	struct transition t;
	unsigned before;
	int result;

	if (is_shared(r, contact, s->type, SUBSCRIPTION_IN)) {
		if (s->type == PRES_SUBSCRIBE)
			route_post(build_presence(r->account, contact, "subscribed"));
		return;
	}
	result = open_item(r, contact, &item);
	if (result < 0) {
		fail(s, result);
		return;
	}
	before = item.bits;
	t = subscription_in(before, s->type);
	result = check_room(r, before, t.bits);
	if (s->type == PRES_SUBSCRIBE && t.bits & ~before & CONTACT_PENDING_IN)
		item.request = request_text(r, s);
	if (!result && t.bits != before)
		result = store(r, &item, t.bits);
	if (result)
		fail(s, result);
	else
		tell_of(r, s, &item, before, &t);
}

/* §4.3.2: nobody of the account is connected; since when, where mod_last knows. A probe
 * of one resource is answered for that one alone. */
ON_JOB static struct stanza *build_last(struct roster *r, const struct stanza *probe)
{
	char stamp[DATETIME_MAX];
	struct builder b;
	int64_t since_s;

	begin_presence(&b, probe->to, probe->from, "unavailable", probe->id);
	if (!jid_is_full(probe->to) && last_seen(r->host, jid_local(r->account), &since_s) == 0) {
		datetime_write(since_s * 1000000, stamp);
		build_open(&b, "delay", NS_DELAY);
		build_attr(&b, "stamp", stamp);
		build_close(&b);
	}
	return build_end(&b);
}

static void answer_unsubscribed(struct roster *r, const struct stanza *probe)
{
	struct builder b;

	begin_presence(&b, r->account, jid_bare(probe->from, &r->arena), "unsubscribed", probe->id);
	route_post(build_end(&b));
}

ON_JOB static void answer_probe(
	struct roster *r, const struct account *a, const struct stanza *probe)
{
	if (contact_state(a, probe->from) & CONTACT_FROM || jid_equal_bare(probe->from, probe->to))
		route_post(build_last(r, probe));
	else
		answer_unsubscribed(r, probe);
}

/* Whether such an account exists and takes this stanza. Of those that are connected, the router has
 * asked. */
ON_JOB static bool is_admitted(struct roster *r, struct stanza *s, struct account *a)
{
	struct auth_account found;
	int error;

	if (directory_find(r->account))
		return true;
	error = auth_find(r->host, jid_local(r->account), &found);
	if (error == AUTH_NO_SUCH_USER) {
		if (s->type == PRES_PROBE) /* §4.3.2; all else is ignored: §8.5.1 */
			answer_unsubscribed(r, s);
		return false;
	}
	if (!error)
		error = account_admits(r->host, a, s);
	else
		error = ERR_INTERNAL_SERVER_ERROR;
	if (error > 0)
		post_error(s, error);
	return !error;
}

ON_JOB static void run_in(struct roster *r, struct roster_work *w)
{
	struct jid *contact = jid_bare(w->stanza->from, &r->arena);
	struct account *a;
	int error = account_hold(r->host, r->account, &a);

	if (error) {
		fail(w->stanza, error);
		return;
	}
	if (is_admitted(r, w->stanza, a)) {
		if (w->stanza->type == PRES_PROBE)
			answer_probe(r, a, w->stanza);
		else
			change_in(r, w->stanza, contact);
	}
	account_drop(a);
}

/* ---- From the router */

enum hook_next roster_subscription(void *subject, void *arg)
{
	const struct subscription *sub = subject;
	const struct roster_conf *conf = module_conf(arg);
	struct access_subject who = { .jid = sub->stanza->from };
	bool out = sub->way == SUBSCRIPTION_OUT;
	struct stanza *s = sub->stanza;

	shard_check(NULL);
	if (out && !access_allowed(conf->access, sub->host->name, &who)) {
		route_error(s, ERR_NOT_ALLOWED, NULL);
	} else if (roster_submit(arg, out ? s->from : s->to, s, out ? run_out : run_in)) {
		metric_add(&lost_metric, 1);
		route_error(s, ERR_RESOURCE_CONSTRAINT, NULL);
	}
	return HOOK_STOP;
}

/* ---- Requests that wait: §3.1.3 */

static struct stanza *request_of(struct roster *r, const struct roster_item *item)
{
	const struct parser_limits limits = {
		.stanza_bytes = REQUEST_BYTES_MAX + 1, .depth = PARSER_DEPTH, .attrs = PARSER_ATTRS
	};
	struct stanza *s;

	if (!item->request ||
		parse_element(item->request, strlen(item->request), &limits, &s) != PARSER_OK)
		return build_presence(item->jid, r->account, "subscribe");
	if (!s->sealed)
		stanza_seal(s);
	return s;
}

ON_JOB static void run_requests(struct roster *r, struct roster_work *w)
{
	struct roster_item_list all;

	roster_list_items(r, &all);
	for (unsigned i = 0; i < all.n; i++)
		if (all.at[i].bits & CONTACT_PENDING_IN)
			roster_answer(w->stanza->from, request_of(r, &all.at[i]));
}

enum hook_next roster_session_presence(void *subject, void *arg)
{
	const struct session_presence *p = subject;
	static struct log_seldom seldom;
	uint32_t left_out;

	if (!p->initial || !contacts_have(account_of(p->session), CONTACT_PENDING_IN))
		return HOOK_GO_ON;
	if (roster_submit(arg, p->session->jid, p->stanza, run_requests) &&
		log_seldom(&seldom, &left_out))
		log_warning("roster", "too much waits: subscription requests are not shown",
			L_INT("left_out", left_out));
	return HOOK_GO_ON;
}

/* ---- The end of an account */

/* Contacts lose it as if it had taken them out of its roster one by one. */
ON_JOB static void run_removed(struct roster *r, struct roster_work *w UNUSED)
{
	struct roster_item_list all;
	int result = roster_list_items(r, &all);

	if (result >= 0)
		result = roster_erase(r);
	if (result < 0) {
		log_error("roster", "of a removed account: it is still there",
			L_STR("host", r->host->name), L_STR("name", jid_local(r->account)));
		return;
	}
	for (unsigned i = 0; i < all.n; i++)
		roster_part_with(r, &all.at[i]);
}

enum hook_next roster_account_removed(void *subject, void *arg)
{
	if (roster_submit(arg, subject, NULL, run_removed))
		log_error("roster", "of a removed account: too much waits, it is still there",
			L_STR("name", jid_local(subject)));
	return HOOK_GO_ON;
}
