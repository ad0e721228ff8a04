/* router/s2s.c - a stanza's way to the link that carries it. */
#include "router/s2s.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/shard.h"
#include "router/access.h"
#include "router/deliver.h"
#include "router/route.h"
#include "router/s2s_conf.h"
#include "router/s2s_inside.h"
#include "xml/builder.h"

/* --- policy -------------------------------------------------------------------------------- */

struct host *s2s_host(const char *ours)
{
	struct host *h = route_host(ours);

	for (const char *dot = ours; !h && (dot = strchr(dot, '.'));)
		h = route_host(++dot);
	return h ? h : route_host(route_own_name());
}

bool s2s_allowed(const char *ours, const char *theirs)
{
	struct access_subject who = { 0 };
	struct host *h = s2s_host(ours);
	struct jid *jid = NULL;
	bool allowed;

	if (!h || jid_make(NULL, theirs, NULL, NULL, &jid))
		return false;
	who.jid = jid;
	allowed = access_allowed(rcu_get(h->conf)->s2s_access, h->name, &who);
	jid_free(jid);
	return allowed;
}

/* --- a stanza's way ------------------------------------------------------------------------ */

struct arrival {
	struct msg msg;
	struct stanza *stanza; /* one reference */
	unsigned index;
	struct actor_id refused_by; /* ACTOR_NONE: nobody has */
};

unsigned s2s_index_of(const struct stanza *s)
{
	uint64_t n = (uint64_t)s2s_conf()->max_connections;

	return n == 1 ? 0 : (unsigned)((s->from->bare_hash * 31ull + s->to->bare_hash) % n);
}

/* A letter to an incoming stream that carries no more, behind all stanzas that it was sent: when it
 * comes back, so have those that were refused, or could not be sent. */
struct fence {
	struct letter letter;
	struct shard *home;
	uint32_t hash;
	unsigned index;
	const char *theirs;
	char ours[]; /* NUL, theirs, NUL */
};

ON_SHARD static void go_on_in_order(struct s2s_link *l)
{
	struct s2s_queue all[2];
	struct s2s_waiting *w;

	l->fenced = false;
	s2s_queue_move(&l->returned, &all[0]);
	s2s_queue_move(&l->held, &all[1]);
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		while ((w = s2s_queue_take(&all[i]))) {
			s2s_link_send(l, w->stanza, TAKE_ACCEPTED);
			s2s_waiting_free(w);
		}
	}
}

static void fence_back(struct msg *m)
{
	struct fence *f = container_of(m, struct fence, letter.msg);
	struct s2s_link *l;

	shard_check(NULL);
	l = s2s_table_find(s2s_table_own(), f->hash, f->index, f->ours, f->theirs);
	if (l && l->fenced) {
		s2s_table_hold(s2s_table_own(), l);
		go_on_in_order(l);
		s2s_table_settle(l);
	}
	free(f);
}

static void fence_open(struct actor *a, struct letter *letter)
{
	struct fence *f = container_of(letter, struct fence, letter);
	const struct recipient *r = a ? a->class->recipient : NULL;

	shard_check(NULL);
	if (r && r->replaced)
		r->replaced(a, f->ours, f->theirs);
	letter->msg.run = fence_back;
	if (f->home == shard_self())
		letter->msg.run(&letter->msg);
	else
		shard_post(f->home, &letter->msg);
}

/* Nothing more goes to its incoming stream. While a link is fenced none is sent anything. */
ON_SHARD static void leave_incoming(struct s2s_link *l)
{
	size_t ours_len = strlen(l->ours) + 1, theirs_len = strlen(l->theirs) + 1;
	struct fence *f;

	if (!l->on_incoming || l->fenced)
		return;
	f = xmalloc(sizeof(*f) + ours_len + theirs_len);
	f->letter.to = l->incoming;
	f->letter.open = fence_open;
	f->home = shard_self();
	f->hash = l->hash;
	f->index = l->index;
	memcpy(f->ours, l->ours, ours_len);
	f->theirs = memcpy(f->ours + ours_len, l->theirs, theirs_len);
	l->fenced = true;
	letter_post(&f->letter);
}

/* Behind the fence, in order. */
ON_SHARD static void wait_for_fence(struct s2s_link *l, struct stanza *s, bool returned)
{
	if (returned)
		s2s_queue_add(&l->returned, s, true);
	else if (s2s_link_is_queue_full(&l->held))
		s2s_bounce(s, ERR_RESOURCE_CONSTRAINT, s2s_too_much);
	else
		s2s_queue_add(&l->held, s, false);
}

/* An incoming stream that is gone, or about to be, carries nothing any more. */
ON_SHARD static void incoming_is_gone(struct s2s_link *l, struct actor_id gone)
{
	if (!actor_id_equal(l->incoming, gone))
		return;
	leave_incoming(l);
	l->incoming = ACTOR_NONE;
	l->on_incoming = false;
}

void s2s_arrive(struct stanza *s, uint32_t hash, unsigned index, struct actor_id refused_by,
	enum s2s_taking taking)
{
	struct s2s_link *l;

	if (!s2s_table_own()->open && s2s_put_by(s))
		return;
	if (s2s_is_stopping()) {
		s2s_bounce(s, ERR_REMOTE_SERVER_TIMEOUT, s2s_shutting_down);
		return;
	}
	l = s2s_table_have(hash, index, jid_domain(s->from), jid_domain(s->to));
	if (!l) {
		s2s_bounce(s, ERR_RESOURCE_CONSTRAINT, "There are too many connections.");
		return;
	}
	if (refused_by.v)
		incoming_is_gone(l, refused_by);
	if (l->fenced)
		wait_for_fence(l, s, refused_by.v != 0);
	else
		s2s_link_send(l, s, taking);
	s2s_table_settle(l);
}

static void arrival_run(struct msg *m)
{
	struct arrival *a = container_of(m, struct arrival, msg);
	struct stanza *s = a->stanza;

	shard_check(NULL);
	s2s_arrive(s, s2s_pair_hash(jid_domain(s->from), jid_domain(s->to)), a->index,
		a->refused_by, TAKE_ANEW);
	stanza_unref(s);
	free(a);
}

void s2s_route_again(struct stanza *s, struct actor_id refused_by)
{
	uint32_t hash = s2s_pair_hash(jid_domain(s->from), jid_domain(s->to));
	unsigned index = s2s_index_of(s);
	struct shard *home = s2s_home_of(hash, index);
	struct arrival *a;

	if (home == shard_self()) {
		s2s_arrive(s, hash, index, refused_by, TAKE_ANEW);
		return;
	}
	a = xmalloc(sizeof(*a));
	a->msg.run = arrival_run;
	a->stanza = stanza_ref(s);
	a->index = index;
	a->refused_by = refused_by;
	deliver_hops_to(home);
	shard_post(home, &a->msg);
}

bool s2s_accept(struct stanza *s)
{
	if (s->kind != STANZA_MESSAGE || !s2s_opener || !route_has(jid_domain(s->from)) ||
		s2s_spool_keep(s))
		return true;
	s2s_bounce(s, ERR_RESOURCE_CONSTRAINT, "Messages cannot be stored just now.");
	return false;
}

void s2s_route(struct stanza *s)
{
	if (!s2s_opener)
		s2s_bounce(s, ERR_REMOTE_SERVER_NOT_FOUND, NULL);
	else if (route_has(jid_domain(s->from))) /* we speak for nobody else */
		s2s_route_again(s, ACTOR_NONE);
	else
		log_debug("s2s", "a stanza between two other servers",
			L_STR("from", jid_domain(s->from)), L_STR("to", jid_domain(s->to)));
}

void s2s_give_back(struct stanza *s, struct actor_id by)
{
	s2s_route_again(s, by);
}

/* --- incoming streams that go both ways ---------------------------------------------------- */

struct incoming {
	struct msg msg;
	struct actor_id link;
	unsigned index;
	bool adds;
	const char *theirs;
	char ours[]; /* NUL, theirs, NUL */
};

/* A stream of our own that is established carries on; what waits for one to be goes at once. */
ON_SHARD static void add_incoming(struct s2s_link *l, struct actor_id link)
{
	if (!actor_id_equal(l->incoming, link))
		leave_incoming(l);
	l->incoming = link;
	if (l->state == S2S_UP)
		return;
	if (l->state == S2S_RETRYING)
		s2s_link_enter(l, S2S_IDLE);
	s2s_link_turn_to_incoming(l);
}

static void incoming_run(struct msg *m)
{
	struct incoming *i = container_of(m, struct incoming, msg);
	uint32_t hash = s2s_pair_hash(i->ours, i->theirs);
	struct s2s_link *l;

	shard_check(NULL);
	l = i->adds && !s2s_is_stopping()
		? s2s_table_have(hash, i->index, i->ours, i->theirs)
		: s2s_table_find(s2s_table_own(), hash, i->index, i->ours, i->theirs);
	if (l && i->adds)
		add_incoming(l, i->link);
	else if (l)
		incoming_is_gone(l, i->link);
	if (l)
		s2s_table_settle(l);
	free(i);
}

static void post_incoming(const char *ours, const char *theirs, struct actor_id link, bool adds)
{
	size_t ours_len = strlen(ours) + 1, theirs_len = strlen(theirs) + 1;
	uint32_t hash = s2s_pair_hash(ours, theirs);

	for (unsigned index = 0; index < (uint64_t)s2s_conf()->max_connections; index++) {
		struct incoming *i = xmalloc(sizeof(*i) + ours_len + theirs_len);

		i->msg.run = incoming_run;
		i->link = link;
		i->index = index;
		i->adds = adds;
		memcpy(i->ours, ours, ours_len);
		i->theirs = memcpy(i->ours + ours_len, theirs, theirs_len);
		if (s2s_home_of(hash, index) == shard_self())
			i->msg.run(&i->msg); /* what is routed next finds it done */
		else
			shard_post(s2s_home_of(hash, index), &i->msg);
	}
}

void s2s_link_add(const char *ours, const char *theirs, struct actor_id link)
{
	REQUIRE(link.v);
	post_incoming(ours, theirs, link, true);
}

void s2s_link_remove(const char *ours, const char *theirs, struct actor_id link)
{
	post_incoming(ours, theirs, link, false);
}
