/* router/session.c - a client's own presence: to its account's other resources, to whom it directs
 * it, and by router/presence to its contacts. */
#include "router/session.h"

#include <stdlib.h>
#include <string.h>
#include <urcu/list.h>

#include "core/mem.h"
#include "router/account.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/message.h"
#include "router/presence.h"
#include "router/route.h"
#include "router/subscription.h"
#include "xml/builder.h"
#include "xml/parser.h"

HOOK(session_opened);
HOOK(session_closed);
HOOK(session_presence);
HOOK(user_send);
HOOK(session_away);

/* Addresses told directly that this session is available: RFC 6121 §4.6.3. */
struct directed {
	unsigned n, room;
	struct jid *at[];
};

static int directed_index(const struct directed *d, const struct jid *to)
{
	for (unsigned i = 0; d && i < d->n; i++)
		if (jid_equal(d->at[i], to))
			return (int)i;
	return -1;
}

static bool directed_add(struct session *ss, const struct jid *to)
{
	struct directed *d = ss->directed;

	if (directed_index(d, to) >= 0)
		return true;
	if (d && d->n == SESSION_DIRECTED_MAX)
		return false;
	if (!d || d->n == d->room) {
		unsigned room = d ? d->room * 2 : 4, n = d ? d->n : 0;

		d = xrealloc(d, sizeof(*d) + room * sizeof(d->at[0]));
		d->n = n;
		d->room = room;
		ss->directed = d;
	}
	d->at[d->n++] = jid_dup(to, NULL);
	return true;
}

static void directed_remove_at(struct directed *d, unsigned i)
{
	jid_free(d->at[i]);
	d->at[i] = d->at[--d->n];
}

static void directed_remove(struct session *ss, const struct jid *to)
{
	int i = directed_index(ss->directed, to);

	if (i >= 0)
		directed_remove_at(ss->directed, (unsigned)i);
}

/* Those whom broadcasts reach are told by them. */
static void directed_leave_reached(struct session *ss)
{
	struct directed *d = ss->directed;

	for (unsigned i = 0; d && i < d->n;) {
		if (presence_reaches(ss, d->at[i]))
			directed_remove_at(d, i);
		else
			i++;
	}
}

bool session_has_directed(const struct session *ss, const struct jid *whom)
{
	const struct directed *d = ss->directed;

	for (unsigned i = 0; d && i < d->n; i++)
		if (jid_equal_bare(d->at[i], whom))
			return true;
	return false;
}

static bool is_of_server(const struct jid *who)
{
	const char *domain = jid_domain(who);

	return route_host(domain) ? !who->local_len : route_has(domain);
}

bool session_takes_request(const struct session *ss, const struct stanza *request)
{
	const struct jid *from = request->from;

	return jid_equal_bare(from, ss->jid) || presence_reaches(ss, from) || is_of_server(from) ||
		session_has_directed(ss, from);
}

void session_heard_unavailable(struct session *ss, const struct jid *from)
{
	shard_check(NULL);
	directed_remove(ss, from);
}

static void directed_clear(struct session *ss)
{
	struct directed *d = ss->directed;

	for (unsigned i = 0; d && i < d->n; i++)
		jid_free(d->at[i]);
	free(d);
	ss->directed = NULL;
}

/* To every available resource of the account; self says whether to the sender too. */
ON_SHARD static void tell_own_resources(struct session *ss, struct stanza *s, bool self)
{
	const struct sessions *all = directory_find(ss->jid);

	for (unsigned i = 0; all && i < all->n; i++) {
		bool is_self = actor_id_equal(all->at[i].id, ss->id);

		if (is_self ? self : all->at[i].available)
			deliver(all->at[i].id, s, DELIVER_COPY);
	}
}

/* A newcomer asks another resource of its account to tell it where it stands. */
struct presence_ask {
	struct letter letter;
	struct actor_id newcomer;
};

static void presence_ask_open(struct actor *a, struct letter *l)
{
	struct presence_ask *ask = container_of(l, struct presence_ask, letter);

	shard_check(NULL);
	if (a) {
		const struct recipient *r = a->class->recipient;
		struct session *ss = r && r->session ? r->session(a) : NULL;

		if (ss && ss->presence)
			deliver(ask->newcomer, ss->presence, DELIVER_COPY);
	}
	free(ask);
}

ON_SHARD static void ask_own_resources(struct session *ss)
{
	const struct sessions *all = directory_find(ss->jid);

	for (unsigned i = 0; all && i < all->n; i++) {
		struct presence_ask *ask;

		if (!all->at[i].available || actor_id_equal(all->at[i].id, ss->id))
			continue;
		ask = xmalloc(sizeof(*ask));
		ask->letter.to = all->at[i].id;
		ask->letter.open = presence_ask_open;
		ask->newcomer = ss->id;
		letter_post(&ask->letter);
	}
}

/* RFC 6121 §4.7.2.3: an integer from -128 to 127, 0 when there is none. */
static bool read_priority(const struct stanza *s, struct arena *a, int *out)
{
	const char *text = elem_child_text(s->root, "priority", NS_CLIENT, a);
	char *end;
	long value;

	*out = 0;
	if (!text)
		return true;
	value = strtol(text, &end, 10);
	if (end == text || end[strspn(end, " \t\r\n")] || value < -128 || value > 127)
		return false;
	*out = (int)value;
	return true;
}

ON_SHARD static void became_available(struct session *ss, struct stanza *s, int priority)
{
	struct session_presence subject = { ss, s, !ss->presence, ss->priority };

	stanza_unref(ss->presence);
	ss->presence = stanza_ref(s);
	ss->priority = (int8_t)priority;
	directory_presence(ss, true, priority);
	tell_own_resources(ss, s, true);
	presence_broadcast(ss, s);
	if (subject.initial) {
		directed_leave_reached(ss);
		ask_own_resources(ss);
		presence_probe(ss);
	}
	hook_run(ss->host->hooks, &session_presence_hook, &subject);
}

ON_SHARD static void route_unavailable(
	struct session *ss, const struct jid *whom, const char *status)
{
	struct builder b;

	build_begin(&b, "presence", NS_CLIENT);
	build_attr(&b, "type", "unavailable");
	build_attr_jid(&b, "from", ss->jid);
	build_attr_jid(&b, "to", whom);
	if (status)
		build_text(&b, "status", status);
	route(build_end(&b));
}

/* said: by the client itself, sealed; NULL: it has gone without a word, or with that status. */
ON_SHARD static void tell_directed_unavailable(
	struct session *ss, struct stanza *said, const char *status)
{
	struct directed *d = ss->directed;

	ss->directed = NULL; /* what is told below may come back here */
	for (unsigned i = 0; d && i < d->n; i++) {
		if (said)
			route(stanza_readdressed(said, d->at[i]));
		else
			route_unavailable(ss, d->at[i], status);
		jid_free(d->at[i]);
	}
	free(d);
}

void session_hide_directed(
	struct session *ss, bool (*hidden)(const struct session *ss, const struct jid *whom))
{
	for (unsigned i = 0; ss->directed && i < ss->directed->n;) {
		struct jid *whom = ss->directed->at[i];

		if (!hidden(ss, whom)) {
			i++;
			continue;
		}
		ss->directed->at[i] = ss->directed->at[--ss->directed->n];
		route_unavailable(ss, whom, NULL);
		jid_free(whom);
	}
}

ON_SHARD static void became_unavailable(struct session *ss, struct stanza *s)
{
	struct session_presence subject = { ss, s, false, ss->priority };

	stanza_unref(ss->presence);
	ss->presence = NULL;
	ss->priority = 0;
	directory_presence(ss, false, 0);
	tell_own_resources(ss, s, true);
	presence_broadcast(ss, s);
	hook_run(ss->host->hooks, &session_presence_hook, &subject);
}

ON_SHARD static void broadcast(struct session *ss, struct stanza *s)
{
	struct jid *bare = jid_bare(ss->jid, &s->arena);
	int priority;

	if (!read_priority(s, &s->arena, &priority)) {
		stanza_seal(s);
		route_error(
			s, ERR_BAD_REQUEST, "The priority must be an integer from -128 to 127.");
		return;
	}
	stanza_set_to(s, bare);
	stanza_seal(s);
	if (s->type == PRES_AVAILABLE) {
		became_available(ss, s, priority);
		return;
	}
	if (ss->presence)
		became_unavailable(ss, s);
	tell_directed_unavailable(ss, s, NULL);
}

/* RFC 6121 §4.6.3. Who is told by broadcasts anyway is not remembered. False: remembered for too
 * many already. */
static bool note_directed(struct session *ss, const struct stanza *s)
{
	if (s->type == PRES_AVAILABLE && ss->presence && presence_reaches(ss, s->to))
		return true;
	if (s->type == PRES_AVAILABLE)
		return directed_add(ss, s->to);
	if (s->type == PRES_UNAVAILABLE)
		directed_remove(ss, s->to);
	return true;
}

/* RFC 6121 §3.1.2: between accounts, so both addresses are bare; c2s has stamped `from` so. */
ON_SHARD static void subscription(struct session *ss, struct stanza *s)
{
	if (jid_is_full(s->to))
		stanza_set_to(s, jid_bare(s->to, &s->arena));
	stanza_seal(s);
	if (jid_equal_bare(s->to, ss->jid))
		route_error(s, ERR_NOT_ALLOWED, "All your resources have your presence already.");
	else
		presence_subscription_out(ss, stanza_ref(s));
}

void session_presence_out(struct session *ss, struct stanza *s)
{
	if (s->to && stanza_is_subscription(s)) {
		subscription(ss, s);
	} else if (s->to) {
		stanza_seal(s);
		if (note_directed(ss, s))
			route(stanza_ref(s));
		else
			route_error(s, ERR_RESOURCE_CONSTRAINT,
				"There are too many directed presences.");
	} else if (s->type == PRES_AVAILABLE || s->type == PRES_UNAVAILABLE) {
		broadcast(ss, s);
	} else {
		stanza_seal(s);
		/* Subscriptions and probes name somebody: RFC 6121 §3.1.1, §4.3. */
		route_error(s, ERR_BAD_REQUEST, NULL);
	}
	stanza_unref(s);
}

void session_unavailable(struct session *ss, const char *status)
{
	if (ss->presence) {
		struct stanza *s;
		struct builder b;

		build_begin(&b, "presence", NS_CLIENT);
		build_attr(&b, "type", "unavailable");
		build_attr_jid(&b, "from", ss->jid);
		build_attr_jid(&b, "to", jid_bare(ss->jid, &b.stanza->arena));
		if (status)
			build_text(&b, "status", status);
		s = build_end(&b);
		stanza_unref(ss->presence);
		ss->presence = NULL;
		directory_presence(ss, false, 0);
		tell_own_resources(ss, s, false);
		presence_broadcast(ss, s);
		hook_run(ss->host->hooks, &session_presence_hook,
			&(struct session_presence){ ss, s, false, ss->priority });
		stanza_unref(s);
	}
	tell_directed_unavailable(ss, NULL, status);
}

/* ---- from one process to another ---- */

enum {
	SAVED_INTERESTED = 1,
	SAVED_CARBONS = 2,
	SAVED_READS_BLOCKS = 4,
	SAVED_OLD_ROSTER = 8,
	SAVED_READS_PRIVACY = 16,
};
#define SAVED_LIST_SHIFT 8 /* above, the active privacy list */

static uint64_t saved_flags(const struct session *ss)
{
	const struct session_entry *e = directory_find_full(ss->jid);

	return (atomic_load_explicit(&ss->interested, memory_order_relaxed) ? SAVED_INTERESTED
									    : 0) |
		(e && e->carbons ? SAVED_CARBONS : 0) |
		(session_is_reading(ss, SESSION_READS_BLOCKS) ? SAVED_READS_BLOCKS : 0) |
		(session_is_reading(ss, SESSION_READS_OLD_ROSTER) ? SAVED_OLD_ROSTER : 0) |
		(session_is_reading(ss, SESSION_READS_PRIVACY) ? SAVED_READS_PRIVACY : 0) |
		(unsigned)atomic_load_explicit(&ss->active_list, memory_order_relaxed)
		<< SAVED_LIST_SHIFT;
}

static void load_flags(struct session *ss, uint64_t flags)
{
	atomic_store_explicit(&ss->interested, flags & SAVED_INTERESTED, memory_order_relaxed);
	if (flags & SAVED_READS_BLOCKS)
		session_reads(ss, SESSION_READS_BLOCKS);
	if (flags & SAVED_OLD_ROSTER)
		session_reads(ss, SESSION_READS_OLD_ROSTER);
	if (flags & SAVED_READS_PRIVACY)
		session_reads(ss, SESSION_READS_PRIVACY);
	atomic_store_explicit(
		&ss->active_list, (uint8_t)(flags >> SAVED_LIST_SHIFT), memory_order_relaxed);
	directory_carbons(ss, flags & SAVED_CARBONS);
}

void session_save(const struct session *ss, struct record *r)
{
	const struct directed *d = ss->directed;
	struct buf *presence = ss->presence ? stanza_wire(ss->presence) : buf_new(0);
	char text[JID_TEXT_MAX];

	record_number(r, (uint64_t)(int64_t)ss->priority);
	record_bytes(r, presence->data, presence->len);
	buf_unref(presence);
	record_number(r, saved_flags(ss));
	record_number(r, d ? d->n : 0);
	for (unsigned i = 0; d && i < d->n; i++) {
		jid_write(d->at[i], text);
		record_text(r, text);
	}
}

static bool load_presence(struct session *ss, const char *wire, size_t len)
{
	if (!len)
		return true;
	ss->presence = parse_wire(wire, len);
	return ss->presence && ss->presence->kind == STANZA_PRESENCE;
}

static bool load_directed(struct session *ss, struct record_reader *r)
{
	const char *text = record_read_text(r);
	struct jid *to;
	bool good;

	if (!text || jid_parse(text, strlen(text), NULL, &to))
		return false;
	good = directed_add(ss, to);
	jid_free(to);
	return good;
}

bool session_load(struct session *ss, struct record_reader *r)
{
	int64_t priority = (int64_t)record_read_number(r);
	const char *wire;
	uint64_t n;
	size_t len;

	wire = record_read_bytes(r, &len);
	if (!wire || priority < -128 || priority > 127 || !load_presence(ss, wire, len))
		return false;
	ss->priority = (int8_t)priority;
	directory_presence(ss, ss->presence != NULL, ss->priority);
	load_flags(ss, record_read_number_to(r, UINT16_MAX));
	n = record_read_number_to(r, SESSION_DIRECTED_MAX);
	while (n--)
		if (!load_directed(ss, r))
			return false;
	return record_is_good(r);
}

void session_set_jid(struct session *ss, struct jid *j)
{
	if (ss->jid != (struct jid *)ss->jid_room)
		jid_free(ss->jid);
	ss->jid = j;
	if (!j || jid_bytes(j) > sizeof(ss->jid_room))
		return;
	ss->jid = memcpy(ss->jid_room, j, jid_bytes(j));
	jid_free(j);
}

void session_fini(struct session *ss)
{
	directed_clear(ss);
	stanza_unref(ss->presence);
	session_set_jid(ss, NULL);
	account_drop(rcu_get(ss->account));
	host_unref(ss->host);
}

/* --- holding ------------------------------------------------------------------------------- */

struct held {
	struct held *next;
	struct stanza *stanza; /* one reference */
	int copies; /* enum deliver_copies */
};
/* Few at a time: sessions that have just become available. */
struct holding {
	struct cds_list_head node;
	struct actor_id session;
	bool only_messages;
	struct held *first, **last;
	unsigned n;
};
#define HELD_MAX 10000 /* more does not wait */

_Thread_local unsigned sessions_holding;

ON_SHARD static struct cds_list_head *holdings(void)
{
	static _Thread_local struct cds_list_head list;

	if (!list.next)
		CDS_INIT_LIST_HEAD(&list);
	return &list;
}

ON_SHARD static struct holding *holding_of(struct actor_id id)
{
	struct holding *h;

	cds_list_for_each_entry (h, holdings(), node)
		if (actor_id_equal(h->session, id))
			return h;
	return NULL;
}

void session_hold(struct session *ss)
{
	struct holding *h = holding_of(ss->id);

	if (h) {
		h->only_messages = false;
		return;
	}
	h = xcalloc(1, sizeof(*h));
	h->session = ss->id;
	h->last = &h->first;
	cds_list_add(&h->node, holdings());
	sessions_holding++;
}

ON_SHARD static void hold_one(struct held ***last, struct held *one)
{
	one->next = NULL;
	**last = one;
	*last = &one->next;
}

ON_SHARD static void deliver_held(struct actor_id session, struct held *one)
{
	struct held *next;

	for (; one; one = next) {
		next = one->next;
		deliver(session, one->stanza, (enum deliver_copies)one->copies);
		stanza_unref(one->stanza);
		free(one);
	}
}

/* What is delivered may end the session, and with it what holds. */
void session_hold_only_messages(struct actor_id session)
{
	struct holding *h = holding_of(session);
	struct held *one, *next, *others = NULL, **others_last = &others;

	if (!h)
		return;
	h->only_messages = true;
	one = h->first;
	h->last = &h->first;
	h->first = NULL;
	for (; one; one = next) {
		bool stays = one->stanza->kind == STANZA_MESSAGE;

		next = one->next;
		h->n -= !stays;
		hold_one(stays ? &h->last : &others_last, one);
	}
	deliver_held(session, others);
}

bool session_held(struct session *ss, struct stanza *s, int copies)
{
	struct holding *h = s->log_flags & MESSAGE_LOG_WAITS ? NULL : holding_of(ss->id);
	struct held *one;

	if (!h || h->n == HELD_MAX || (h->only_messages && s->kind != STANZA_MESSAGE))
		return false;
	one = xcalloc(1, sizeof(*one));
	one->stanza = stanza_ref(s);
	one->copies = copies;
	hold_one(&h->last, one);
	h->n++;
	return true;
}

void session_let_go(struct actor_id session)
{
	struct holding *h = holding_of(session);

	if (!h)
		return;
	cds_list_del(&h->node);
	sessions_holding--;
	deliver_held(session, h->first);
	free(h);
}
