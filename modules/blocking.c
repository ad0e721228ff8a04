/* modules/blocking.c - accounts that will not hear from somebody: XEP-0191 (Blocking Command).
 * A block is a rule of the account's default privacy list, which modules/privacy shows whole; what
 * follows from it is modules/privacy_lists'. A report of spam that comes with one is taken by
 * modules/report. */
#include <errno.h>

#include "modules/privacy_lists.h"
#include "modules/report.h"
#include "router/contacts.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/presence.h"

struct blocking_conf {
	int64_t max_items;
};
static const struct conf_item blocking_items[] = {
	{ "max_items", CONF_INT, FIELD(struct blocking_conf, max_items, int64_t), .preset = "5000",
		.min = 1, .max = 100000, .unit = "addresses",
		.help = "One account may block so many addresses; rules of its privacy lists count "
			"too." },
	{ 0 }
};

static struct metric changes_metrics[] = {
	METRIC_COUNTER_OF("blocking_changes_total", "kind=\"block\"",
		"Requests of clients that have blocked or unblocked addresses."),
	METRIC_COUNTER_OF("blocking_changes_total", "kind=\"unblock\"",
		"Requests of clients that have blocked or unblocked addresses."),
};

/* ---- What a request names */

struct blocking_change {
	struct account_request *work;
	struct privacy_owner owner;
	const struct jid **whom;
	unsigned n;
	bool block;
};

static int read_item(struct arena *a, const struct elem *e, const struct jid **out)
{
	const char *text = elem_is(e, "item", NS_BLOCKING) ? elem_attr(e, "jid") : NULL;
	struct jid *jid;

	if (!text)
		return ERR_BAD_REQUEST;
	if (jid_parse(text, strlen(text), a, &jid))
		return ERR_JID_MALFORMED;
	*out = jid;
	return 0;
}

/* 0 or an enum stanza_error. */
static int read_items(struct blocking_change *c, const struct elem *list)
{
	unsigned room = 0;
	int error = 0;

	elem_each_child (list, e)
		room++;
	if (room > c->owner.max_rules)
		return ERR_RESOURCE_CONSTRAINT;
	c->whom = arena_alloc(&c->work->arena, (room + 1) * sizeof(*c->whom));
	elem_each_child (list, e)
		if (!error)
			error = read_item(&c->work->arena, e, &c->whom[c->n++]);
	return error;
}

/* ---- Changing */

static int store_block(struct db_tx *tx, void *arg)
{
	const struct blocking_change *c = arg;
	int result = 0;

	for (unsigned i = 0; i < c->n && result >= 0; i++)
		result = privacy_store_block(tx, &c->owner, c->whom[i]);
	return result < 0 ? result : privacy_store_check(tx, &c->owner);
}

static int store_unblock(struct db_tx *tx, void *arg)
{
	const struct blocking_change *c = arg;
	int result = 0;

	if (!c->n)
		return privacy_store_unblock(tx, &c->owner, NULL);
	for (unsigned i = 0; i < c->n && result >= 0; i++)
		result = privacy_store_unblock(tx, &c->owner, c->whom[i]);
	return result;
}

ON_JOB static struct stanza *build_push(const struct blocking_change *c)
{
	const struct stanza *request = c->work->stanza;
	struct builder b;

	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", "set");
	build_attr(&b, "id", request->id);
	build_attr_jid(&b, "from", c->work->bare);
	build_attr_jid(&b, "to", c->work->bare);
	build_open(&b, c->block ? "block" : "unblock", NS_BLOCKING);
	for (unsigned i = 0; i < c->n; i++) {
		build_open(&b, "item", NULL);
		build_attr_jid(&b, "jid", c->whom[i]);
		build_close(&b);
	}
	build_close(&b);
	return build_end(&b);
}

/* §3.3, §3.4: to the resources that have asked for the list. */
ON_JOB static void push(const struct blocking_change *c)
{
	const struct sessions *all = directory_find(c->work->bare);
	struct stanza *push = NULL;

	for (unsigned i = 0; all && i < all->n; i++) {
		const struct session *ss = all->at[i].session;
		struct stanza *s;

		if (!session_is_reading(ss, SESSION_READS_BLOCKS))
			continue;
		if (!push)
			push = build_push(c);
		s = stanza_readdressed(push, ss->jid);
		deliver_to(all->at[i].id, s);
		stanza_unref(s);
	}
	stanza_unref(push);
}

/* Whoever looks at privacy lists sees a change of the default one. */
ON_JOB static void push_list(const struct blocking_change *c)
{
	const struct privacy *p;
	struct account *a;

	if (privacy_hold(c->work, &a, &p))
		return;
	if (p && p->standard)
		privacy_push(c->work, p->standard->name, PRIVACY_TOLD_READERS);
	account_drop(a);
}

/* Contacts as such hear of it by privacy_change(); here, single resources of theirs, and of those
 * who are unblocked, where they stand. */
ON_JOB static void tell(const struct blocking_change *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		const struct jid *whom = c->whom[i];
		unsigned bits = contact_state(account_online(c->work->bare), whom);

		if (jid_is_full(whom) && bits & CONTACT_FROM)
			presence_tell(c->work->bare, whom,
				c->block ? PRES_UNAVAILABLE : PRES_AVAILABLE, NULL);
		if (!c->block && bits & CONTACT_TO)
			presence_probe_one(c->work->bare, whom);
	}
}

static void take_reports(const struct blocking_change *c, const struct elem *list)
{
	unsigned i = 0;

	elem_each_child (list, e) {
		const struct elem *report = elem_child(e, "report", NS_REPORTING);

		if (report)
			report_take(c->work->host, c->work->stanza->from, c->whom[i], report);
		i++;
	}
}

ON_JOB static int run_change(struct account_request *w)
{
	const struct blocking_conf *conf = w->conf;
	const struct elem *list = w->payload;
	struct blocking_change c = { .owner = privacy_owner_of(
					     w, PRIVACY_LISTS_MAX, conf->max_items),
		.work = w,
		.block = elem_is(list, "block", NS_BLOCKING) };
	int error = read_items(&c, list);

	if (!error && c.block && !c.n)
		error = ERR_BAD_REQUEST; /* §3.3 */
	if (!error)
		error = privacy_change(w, c.block ? store_block : store_unblock, &c);
	if (error)
		return error;
	metric_add(&changes_metrics[c.block ? 0 : 1], 1);
	account_request_answer(w, NULL);
	push(&c);
	push_list(&c);
	tell(&c);
	if (c.block)
		take_reports(&c, list);
	return 0;
}

/* ---- §3.2 */

static void note_interest(const struct jid *full)
{
	const struct session_entry *e = directory_find_full(full);
	struct session *ss = e ? (struct session *)e->session : NULL;

	if (ss)
		session_reads(ss, SESSION_READS_BLOCKS);
}

static void build_blocks(struct builder *b, const struct privacy_list *l)
{
	for (unsigned i = 0; l && i < l->n; i++) {
		if (!privacy_is_block(&l->rules[i]))
			continue;
		build_open(b, "item", NULL);
		build_attr_jid(b, "jid", l->rules[i].jid);
		build_close(b);
	}
}

ON_JOB static int run_get(struct account_request *w)
{
	const struct privacy *p;
	struct account *a;
	struct builder b;
	int result = privacy_hold(w, &a, &p);

	if (result)
		return result;
	note_interest(w->stanza->from);
	build_iq_result(&b, w->stanza);
	build_open(&b, "blocklist", NS_BLOCKING);
	build_blocks(&b, p ? p->standard : NULL);
	build_close(&b);
	account_request_answer(w, build_end(&b));
	account_drop(a);
	return 0;
}

static int blocking_iq(const struct iq *iq, struct builder *answer UNUSED)
{
	bool known = iq->set ? elem_is(iq->payload, "block", NS_BLOCKING) ||
			elem_is(iq->payload, "unblock", NS_BLOCKING)
			     : elem_is(iq->payload, "blocklist", NS_BLOCKING);

	shard_check(NULL);
	if (!known)
		return ERR_BAD_REQUEST;
	return account_request_iq(iq, iq->set ? run_change : run_get);
}

/* ---- Life */

static int blocking_start(struct module_instance *mi)
{
	job_check();
	for (size_t i = 0; i < ARRAY_LEN(changes_metrics); i++)
		metric_register(&changes_metrics[i]);
	return privacy_lists_use(mi->host);
}

static void blocking_stop(struct module_instance *mi)
{
	privacy_lists_leave(mi->host);
}

const struct module module_blocking = {
	.abi = LINNET_MODULE_ABI,
	.name = "blocking",
	.help = "Lets people block addresses: whoever is blocked finds the account absent.",
	.xeps = (const char *const[]){ "XEP-0191 1.3", NULL },
	.features = (const char *const[]){ NS_BLOCKING, NULL },
	.account_features = (const char *const[]){ NS_BLOCKING, NULL },
	.conf = blocking_items,
	.conf_size = sizeof(struct blocking_conf),
	.iq = (const struct iq_row[]){ { IQ_FOR_BOTH, IQ_SM, NS_BLOCKING, IQ_NO_QUEUE, blocking_iq,
					       .lane = true },
		{ 0 } },
	.start = blocking_start,
	.stop = blocking_stop,
};
LINNET_MODULE(module_blocking);
