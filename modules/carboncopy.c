/* modules/carboncopy.c - an account's clients all see its conversations: XEP-0280 (Message
 * Carbons). A client that wants it is marked in the directory; a message that passes on its way to
 * an account, or from one, is copied to those that do not get it anyway. */
#include "modules/message_log.h"
#include "router/bind.h"
#include "router/deliver.h"
#include "router/message.h"
#include "router/session.h"

static struct metric copies_metric =
	METRIC_COUNTER("carbon_copies_total", "Copies of messages given to further clients.");

/* ---- Which messages: §6.1, urn:xmpp:carbons:rules:0 */

static bool is_im_payload(const struct elem *e)
{
	return e->ns == NS_RECEIPTS || e->ns == NS_CHATSTATES || e->ns == NS_CHAT_MARKERS ||
		e->ns == NS_CONFERENCE;
}

static bool has_im_payload(const struct stanza *s)
{
	elem_each_child (s->root, child)
		if (is_im_payload(child))
			return true;
	return false;
}

static bool is_private(const struct stanza *s)
{
	return elem_child(s->root, "private", NS_CARBONS) ||
		elem_child(s->root, "no-copy", NS_HINTS);
}

/* An error answers what was eligible. It mostly carries that; of one that does not nobody knows,
 * and so it is copied. */
static bool is_bare_error(const struct stanza *s)
{
	if (s->type != MSG_ERROR)
		return false;
	elem_each_child (s->root, child)
		if (!elem_is(child, "error", NS_CLIENT))
			return false;
	return true;
}

static bool is_eligible(const struct stanza *s, bool received)
{
	const struct elem *muc = elem_child(s->root, "x", NS_MUC_USER);
	bool body = elem_child(s->root, "body", NS_CLIENT) != NULL;

	if (s->type == MSG_GROUPCHAT || is_private(s))
		return false;
	if (muc && elem_child(muc, "invite", NS_MUC_USER))
		return true;
	if (muc && received && jid_is_full(s->from))
		return false; /* a room's private message: every client that joined gets its own */
	return s->type == MSG_CHAT || (body && s->type != MSG_HEADLINE) || has_im_payload(s) ||
		is_bare_error(s);
}

/* ---- Copies: §7, §8 */

static const char *message_type(const struct stanza *s)
{
	const char *type = elem_attr(s->root, "type");

	return type && s->type != MSG_NORMAL ? type : NULL;
}

/* XEP-0313 §3.5: who has sent it sees the id of the own archive, and not that of the other one. */
static bool is_others_id(const struct elem *e, const struct stanza *s)
{
	const char *by = elem_is(e, "stanza-id", NS_SID) ? elem_attr(e, "by") : NULL;
	char other[JID_TEXT_MAX];

	if (!by)
		return false;
	jid_write_bare(s->to, other);
	return strcmp(by, other) == 0;
}

static void build_sent(struct builder *b, const struct stanza *s)
{
	build_open_copy(b, s->root);
	elem_each_child (s->root, child)
		if (!is_others_id(child, s))
			build_copy(b, child);
	if (s->log_flags & MESSAGE_LOG_SENDER) {
		build_open(b, "stanza-id", NS_SID);
		build_attr_jid(b, "by", jid_bare(s->from, &b->stanza->arena));
		build_attr_int(b, "id", (int64_t)s->log_id);
		build_close(b);
	}
	build_close(b);
}

static struct stanza *wrap(bool sent, const struct jid *to, const struct stanza *s)
{
	struct builder b;

	build_begin(&b, "message", NS_CLIENT);
	build_attr(&b, "type", message_type(s));
	build_attr_jid(&b, "from", jid_bare(to, &b.stanza->arena));
	build_attr_jid(&b, "to", to);
	build_open(&b, sent ? "sent" : "received", NS_CARBONS);
	build_open(&b, "forwarded", NS_FORWARD);
	if (sent)
		build_sent(&b, s);
	else
		build_copy(&b, s->root);
	build_close(&b);
	build_close(&b);
	return build_end(&b);
}

/* One message's copies, which share all but the address. */
struct copies {
	bool sent; /* by the account; else it is for it */
	const struct stanza *of;
	struct stanza *first; /* owned; NULL: none was needed yet */
};

ON_SHARD static void copy_to(struct copies *c, const struct session_entry *e)
{
	const struct jid *to = e->session->jid;

	metric_add(&copies_metric, 1);
	if (!c->first) {
		c->first = wrap(c->sent, to, c->of);
		deliver(e->id, c->first, DELIVER_COPY);
	} else {
		struct stanza *s = stanza_readdressed(c->first, to);

		deliver(e->id, s, DELIVER_COPY);
		stanza_unref(s);
	}
}

static bool gets_it(const struct message_passing *p, const struct session_entry *e, int best)
{
	if (p->verdict != ROUTE_DELIVER)
		return false;
	return p->to == LOCAL_ONE ? e == p->one : local_chosen(e, p->to, best);
}

ON_SHARD static void copy_received(const struct message_passing *p)
{
	struct copies c = { false, p->stanza, NULL };
	int best = p->all ? local_best(p->all) : 0;

	for (unsigned i = 0; p->all && i < p->all->n; i++)
		if (p->all->at[i].carbons && !gets_it(p, &p->all->at[i], best))
			copy_to(&c, &p->all->at[i]);
	stanza_unref(c.first);
}

/* The server's own answers are none of these: they hold what somebody has written who may be
 * blocked. */
static enum hook_next carbons_sending(void *subject, void *arg UNUSED)
{
	const struct session_packet *p = subject;

	p->stanza->log_flags |= MESSAGE_BY_CLIENT;
	return HOOK_GO_ON;
}

/* Also of a client that did not ask for copies itself, and of who sends in the account's name
 * (modules/privilege.h). */
ON_SHARD static void copy_sent(struct stanza *s)
{
	const struct sessions *all = directory_find(s->from);
	struct copies c = { true, s, NULL };

	for (unsigned i = 0; all && i < all->n; i++)
		if (all->at[i].carbons && !jid_equal(all->at[i].session->jid, s->from))
			copy_to(&c, &all->at[i]);
	stanza_unref(c.first);
}

/* And their host still has it. */
static bool anybody_wants(const struct sessions *all)
{
	for (unsigned i = 0; all && i < all->n; i++)
		if (all->at[i].carbons)
			return iq_registered(all->at[i].session->host, IQ_SM, NS_CARBONS);
	return false;
}

static enum hook_next carbons_pass(void *subject, void *arg UNUSED)
{
	const struct message_passing *p = subject;
	struct stanza *s = p->stanza;

	shard_check(NULL);
	if (s->log_flags & MESSAGE_COPIED || p->verdict == ROUTE_DROP || p->verdict == ROUTE_BOUNCE)
		return HOOK_GO_ON;
	if (p->host && s->to->local_len && anybody_wants(p->all) && is_eligible(s, true))
		copy_received(p);
	if (s->log_flags & MESSAGE_BY_CLIENT && !jid_equal_bare(s->from, s->to) &&
		anybody_wants(directory_find(s->from)) && is_eligible(s, false))
		copy_sent(s);
	s->log_flags |= MESSAGE_COPIED; /* it may come by once more, when its receiver is gone */
	return HOOK_GO_ON;
}

/* ---- Who wants them: §4, §5 */

static int carbons_set(const struct iq *iq, struct builder *answer UNUSED)
{
	const struct session_entry *e = directory_find_full(iq->from);
	bool on = elem_is(iq->payload, "enable", NS_CARBONS);

	if (!on && !elem_is(iq->payload, "disable", NS_CARBONS))
		return ERR_BAD_REQUEST;
	if (!e || !jid_equal_bare(iq->from, iq->to))
		return ERR_NOT_ALLOWED;
	directory_carbons(e->session, on);
	return 0;
}

/* XEP-0386 §3.1 */
static enum hook_next carbons_offer(void *subject, void *arg UNUSED)
{
	bind_offer(subject, NS_CARBONS);
	return HOOK_GO_ON;
}

static enum hook_next carbons_inline(void *subject, void *arg UNUSED)
{
	const struct bind_inline *b = subject;

	if (elem_child(b->request, "enable", NS_CARBONS))
		directory_carbons(b->session, true);
	return HOOK_GO_ON;
}

/* Messages pass one place for all hosts. Modules start and stop one at a time. */
static unsigned hosts;

static int carbons_start(struct module_instance *mi UNUSED)
{
	metric_register(&copies_metric);
	if (!hosts++)
		hook_add(message_hooks(), &message_hook, 40, carbons_pass, NULL);
	return 0;
}

static void carbons_stop(struct module_instance *mi UNUSED)
{
	if (--hosts)
		return;
	hook_remove(message_hooks(), &message_hook, 40, carbons_pass, NULL);
	rcu_wait();
}

const struct module module_carboncopy = {
	.abi = LINNET_MODULE_ABI,
	.name = "carboncopy",
	.help = "Copies messages to those clients of an account that want to see all of its "
		"conversations.",
	.xeps = (const char *const[]){ "XEP-0280 1.0.1", NULL },
	.features = (const char *const[]){ NS_CARBONS, "urn:xmpp:carbons:rules:0", NULL },
	.iq = (const struct iq_row[]){ { IQ_FOR_SET, IQ_SM, NS_CARBONS, IQ_NO_QUEUE, carbons_set },
		{ 0 } },
	.hooks = (const struct hook_row[]){ { &user_send_hook, 50, carbons_sending },
		{ &bind_offer_hook, 50, carbons_offer }, { &bind_inline_hook, 50, carbons_inline },
		{ 0 } },
	.start = carbons_start,
	.stop = carbons_stop,
};
LINNET_MODULE(module_carboncopy);
