/* modules/privacy_lists.c - what comes for an account and what its clients send, measured by its
 * lists: XEP-0016 §2.14, XEP-0191 §3.3. */
#include "modules/privacy_lists.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "modules/erase.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/presence.h"

static struct metric refused_metrics[] = {
	METRIC_COUNTER_OF("privacy_denied_total", "way=\"in\"",
		"Stanzas that an account's blocks or privacy lists have kept away."),
	METRIC_COUNTER_OF("privacy_denied_total", "way=\"out\"",
		"Stanzas that an account's blocks or privacy lists have kept away."),
};

/* ---- Stanzas on their way */

static uint8_t active_of(const struct session_entry *e)
{
	return atomic_load_explicit(&e->session->active_list, memory_order_relaxed);
}

/* Of an address that is not one session's: whether all who could get it deny it. XEP-0016 §2.1 has
 * the default list for an account nobody is connected to. */
static bool all_deny(const struct privacy *p, const struct account *a, const struct stanza *s,
	const struct sessions *all)
{
	int least = s->kind == STANZA_MESSAGE ? 0 : -128;
	bool any = false;

	for (unsigned i = 0; all && s->kind != STANZA_IQ && i < all->n; i++) {
		const struct privacy_list *l = privacy_list_of(p, active_of(&all->at[i]));

		if (!all->at[i].available || all->at[i].priority < least)
			continue;
		if (!l || !privacy_denies_in(l, a, s))
			return false;
		any = true;
	}
	return any || (p->standard && privacy_denies_in(p->standard, a, s));
}

static bool is_denied(const struct privacy *p, const struct account *a, const struct stanza *s)
{
	const struct sessions *all = directory_find(s->to);
	const struct session_entry *one =
		all && jid_is_full(s->to) ? sessions_find(all, s->to) : NULL;
	const struct privacy_list *l;

	if (!one)
		return all_deny(p, a, s, all);
	l = privacy_list_of(p, active_of(one));
	return l && privacy_denies_in(l, a, s);
}

/* Presence and answers go without a word, the others back as from somebody who is not there. */
static int how_denied(const struct stanza *s)
{
	switch (s->type) {
	case IQ_GET:
	case IQ_SET:
	case MSG_NORMAL:
	case MSG_CHAT:
	case MSG_GROUPCHAT:
	case MSG_HEADLINE:
		return ERR_SERVICE_UNAVAILABLE;
	default:
		return -1;
	}
}

static enum hook_next visit(void *subject, void *arg UNUSED)
{
	struct account_visit *v = subject;
	const struct privacy *p = privacy_of(v->account);

	if (likely(!p) || !is_denied(p, v->account, v->stanza))
		return HOOK_GO_ON;
	metric_add(&refused_metrics[0], 1);
	v->error = how_denied(v->stanza);
	return HOOK_STOP;
}

/* Straight to the client: by the router it would come from whom is denied. */
ON_SHARD static void refuse(const struct session *ss, struct stanza *s)
{
	struct builder b;
	struct stanza *error;

	stanza_seal(s);
	if (s->type == MSG_ERROR || s->type == PRES_ERROR || s->type == IQ_ERROR ||
		s->type == IQ_RESULT)
		return;
	build_answer(&b, s, "error");
	build_open(&b, "error", NULL);
	build_attr(&b, "type", "cancel"); /* as XEP-0191 §3.3 has it */
	build_open(&b, "not-acceptable", NS_STANZAS);
	build_close(&b);
	build_open(&b, "blocked", "urn:xmpp:blocking:errors");
	build_close(&b);
	build_close(&b);
	error = build_end(&b);
	error->by_server = true;
	deliver(ss->id, error, DELIVER_COPY);
	stanza_unref(error);
}

static enum hook_next send_out(void *subject, void *arg UNUSED)
{
	const struct session_packet *packet = subject;
	const struct privacy_list *l = privacy_list_for(packet->session);

	shard_check(NULL);
	if (likely(!l) || !packet->stanza->to ||
		!privacy_denies_out(l, account_of(packet->session), packet->stanza))
		return HOOK_GO_ON;
	metric_add(&refused_metrics[1], 1);
	refuse(packet->session, packet->stanza);
	return HOOK_STOP;
}

static enum hook_next withheld(void *subject, void *arg UNUSED)
{
	const struct presence_withheld *w = subject;
	bool denied = w->way == PRESENCE_OUT ? privacy_hides(w->session, w->contact)
					     : privacy_mutes(w->session, w->contact);

	return denied ? HOOK_STOP : HOOK_GO_ON;
}

static enum hook_next account_removed(void *subject, void *arg UNUSED)
{
	erase_account(subject, privacy_erase_stmts, "privacy");
	return HOOK_GO_ON;
}

/* ---- Hosts */

struct use {
	struct use *next;
	struct host *host;
	unsigned n; /* modules */
};
static struct use *uses;
static pthread_mutex_t uses_lock = PTHREAD_MUTEX_INITIALIZER;

static const struct {
	struct hook *hook;
	int order;
	hook_fn *fn;
} hooks[] = {
	{ &account_visit_hook, 10, visit },
	{ &user_send_hook, 10, send_out },
	{ &presence_withheld_hook, 10, withheld },
	{ &account_removed_hook, 50, account_removed },
};

static struct use **use_of(const struct host *h)
{
	struct use **at = &uses;

	while (*at && (*at)->host != h)
		at = &(*at)->next;
	return at;
}

static void begin_use(struct host *h)
{
	for (size_t i = 0; i < ARRAY_LEN(refused_metrics); i++)
		metric_register(&refused_metrics[i]);
	privacy_kind.name = "privacy";
	privacy_kind.load = privacy_store_load;
	account_kind_add(h, &privacy_kind, NULL);
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++)
		hook_add(h->hooks, hooks[i].hook, hooks[i].order, hooks[i].fn, NULL);
}

static void end_use(struct host *h)
{
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++)
		hook_remove(h->hooks, hooks[i].hook, hooks[i].order, hooks[i].fn, NULL);
	account_kind_remove(h, &privacy_kind, NULL);
	rcu_wait();
}

int privacy_lists_use(struct host *h)
{
	int result = privacy_store_start();
	struct use **u;

	if (result)
		return result;
	pthread_mutex_lock(&uses_lock);
	u = use_of(h);
	if (!*u) {
		*u = xcalloc(1, sizeof(**u));
		(*u)->host = h;
	}
	if ((*u)->n++ == 0)
		begin_use(h);
	pthread_mutex_unlock(&uses_lock);
	return 0;
}

void privacy_lists_leave(struct host *h)
{
	struct use **u, *gone;

	pthread_mutex_lock(&uses_lock);
	u = use_of(h);
	gone = *u;
	if (gone && --gone->n == 0) {
		end_use(h);
		*u = gone->next;
		free(gone);
	}
	pthread_mutex_unlock(&uses_lock);
}

/* ---- Requests */

int privacy_hold(
	struct account_request *w, struct account **out_account, const struct privacy **out)
{
	int result = account_hold(w->host, w->bare, out_account);

	if (result == 0)
		*out = privacy_of(*out_account);
	return result;
}

void privacy_push(struct account_request *w, const char *list, enum privacy_told whom)
{
	const struct sessions *all = directory_find(w->bare);

	for (unsigned i = 0; all && i < all->n; i++) {
		const struct session *ss = all->at[i].session;
		struct builder b;
		struct stanza *s;

		if (whom == PRIVACY_TOLD_READERS && !session_is_reading(ss, SESSION_READS_PRIVACY))
			continue;
		build_begin(&b, "iq", NS_CLIENT);
		build_attr(&b, "type", "set");
		build_attr(&b, "id", w->stanza->id);
		build_attr_jid(&b, "from", w->bare);
		build_attr_jid(&b, "to", ss->jid);
		build_open(&b, "query", NS_PRIVACY);
		build_open(&b, "list", NULL);
		build_attr(&b, "name", list);
		build_close(&b);
		build_close(&b);
		s = build_end(&b);
		deliver_to(all->at[i].id, s);
		stanza_unref(s);
	}
}

int privacy_change(struct account_request *w, int (*fn)(struct db_tx *tx, void *arg), void *arg)
{
	struct account *was;
	int result = account_hold(w->host, w->bare, &was);

	if (result)
		return result;
	result = db_write(db_main(), fn, arg);
	if (result >= 0)
		result = account_changed(w->host, w->bare, &privacy_kind);
	if (result < 0)
		account_drop(was);
	else
		presence_hiding_changed(w->bare, was);
	return result < 0 ? result : 0;
}
