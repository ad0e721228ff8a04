/* net/c2s_move.c - client streams from one process to the next. */
#include "net/c2s_move.h"
#include "net/c2s_csi.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/errand.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "net/acceptor.h"
#include "net/c2s_sm.h"
#include "net/crowd.h"
#include "router/account.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/route.h"

#define PART "c2s"
#define PART_MORE "c2s more" /* what reached a stream after it was saved */
#define NUMBERS_MAX (16u << 20)
#define WAITING_MAX 10000 /* account data is loaded in a queue that is bounded */
#define TAKE_MS 60000

/* One that is held still. */
struct c2s_moving {
	uint32_t number; /* among those given */
	uint32_t pieces; /* of output that its record has */
	uint64_t timer_ms; /* what was left of its timer */
};

void c2s_moving_free(struct c2s *c)
{
	free(c->moving);
	c->moving = NULL;
}

static bool is_held(const struct c2s *c)
{
	return c->bound && c->moving;
}

/* --- the old server: what reaches one that went --------------------------------------------- */

/* Not on the stanza's way of anybody who is served here, so a lock will do. */
struct follower {
	struct follower *next;
	uint32_t number;
	bool was_held; /* it waits at the held connection, too */
	struct actor_id id;
	struct buf *bytes; /* one reference */
	struct stanza *stanza; /* one reference; NULL: nobody asks what became of it */
};

static struct {
	pthread_mutex_t lock;
	struct follower *first, **end;
} following = { PTHREAD_MUTEX_INITIALIZER, NULL, &following.first };

/* Takes b. */
static void follow(const struct c2s *c, struct buf *b, struct stanza *s, bool was_held)
{
	struct follower *f = xcalloc(1, sizeof(*f));

	f->number = c->moving->number;
	f->was_held = was_held;
	f->id = c->session.id;
	f->bytes = b;
	f->stanza = s ? stanza_ref(s) : NULL;
	pthread_mutex_lock(&following.lock);
	*following.end = f;
	following.end = &f->next;
	pthread_mutex_unlock(&following.lock);
}

static struct follower *take_followers(void)
{
	struct follower *first;

	pthread_mutex_lock(&following.lock);
	first = following.first;
	following.first = NULL;
	following.end = &following.first;
	pthread_mutex_unlock(&following.lock);
	return first;
}

static void follower_free(struct follower *f)
{
	buf_unref(f->bytes);
	stanza_unref(f->stanza);
	free(f);
}

int c2s_follow(struct handover *to)
{
	struct follower *f = take_followers(), *next;

	for (; f; f = next) {
		struct record r;

		next = f->next;
		record_begin(&r, PART_MORE, 1);
		record_number(&r, f->number);
		record_number(&r, f->stanza != NULL);
		record_bytes(&r, f->bytes->data, f->bytes->len);
		handover_give(to, &r, -1);
		follower_free(f);
	}
	return handover_error(to);
}

/* A stream that went: its class. It stands in the directory until the process ends. */
static bool receive_moved(struct actor *a, struct stanza *s, enum deliver_copies copies)
{
	shard_check(NULL);
	follow(container_of(a, struct c2s, fsm.gen.actor), stanza_wire(s),
		copies == DELIVER_SURE ? s : NULL, false);
	return true;
}

static struct session *session_moved(struct actor *a)
{
	return &container_of(a, struct c2s, fsm.gen.actor)->session;
}

/* Nobody is told that it ended, because it has not. */
ON_SHARD static void forget(struct c2s *c)
{
	if (c->bound && !c->left)
		directory_leave(&c->session);
	c->left = true;
}

static void moved_terminate(struct fsm *f, const char *reason)
{
	shard_check(NULL);
	forget(c2s_of(f));
	c2s_class.terminate(f, reason);
}

static void moved_drop(struct fsm *f)
{
	c2s_class.drop(f);
}

static struct next no_event(struct fsm *f UNUSED, struct term *e UNUSED)
{
	return fsm_same();
}

static const struct recipient moved_recipient = {
	.receive = receive_moved,
	.session = session_moved,
};
static const struct fsm_state moved_states[] = { { "moved", no_event } };
static const struct fsm_class moved_class = {
	.gen = { .actor = { .name = "c2s moved",
			 .behaviour = &fsm_behaviour,
			 .recipient = &moved_recipient },
		.version = 1,
		.bytes = sizeof(struct c2s) },
	FSM_STATES(moved_states),
	.terminate = moved_terminate,
	.drop = moved_drop,
};

bool c2s_has_moved(const struct c2s *c)
{
	return c->fsm.gen.actor.class == &moved_class.gen.actor;
}

/* --- the old server: in order --------------------------------------------------------------- */

static void freeze(struct cds_list_head *stream, void *unused UNUSED)
{
	struct c2s *c = c2s_in_crowd(stream);

	shard_check(NULL);
	c2s_csi_active(c); /* what waited for it goes with its output */
	conn_freeze(&c->stream.conn);
}

void c2s_freeze(void)
{
	crowd_visit(LISTEN_C2S, freeze, NULL);
}

struct giving {
	unsigned n, given, room;
	struct {
		int fd;
		struct record record;
	} * at;
};

ON_SHARD static bool may_move(const struct c2s *c)
{
	return c->open && !c->left && !c2s_sm(c) && !stream_closing(&c->stream) &&
		!c->stream.conn.tls && c->stream.conn.watch.fd >= 0;
}

ON_SHARD static void hold(struct c2s *c, uint32_t number)
{
	conn_hold(&c->stream.conn);
	c->moving = xcalloc(1, sizeof(*c->moving));
	c->moving->number = number;
	c->moving->pieces = conn_pieces(&c->stream.conn);
	c->moving->timer_ms = timer_left_ms(&c->timer);
	timer_cancel(&c->timer);
}

ON_SHARD static void stay(struct c2s *c)
{
	timer_set(&c->timer, c->moving->timer_ms);
	c2s_moving_free(c);
	conn_let_go(&c->stream.conn);
}

/* The listener as it was when the client connected: its address does not change. */
static void save_origin(const struct c2s *c, struct record *r)
{
	const struct listen_conf *l = &c->options->conf;

	record_text(r, l->ip);
	record_number(r, (uint64_t)l->port);
	record_number(r, l->v6_only);
	record_bytes(r, c->session.address.bytes, sizeof(c->session.address.bytes));
	record_number(r, c->session.port);
}

ON_SHARD static bool save_stream(struct c2s *c, struct record *r)
{
	record_begin(r, PART, c2s_class.gen.version);
	record_number(r, c->moving->number);
	record_text(r, c->session.host->name);
	record_text(r, c->user);
	record_text(r, jid_resource(c->session.jid));
	save_origin(c, r);
	if (!stream_save(&c->stream, r))
		return false;
	record_text(r, fsm_state_name(&c->fsm));
	record_number(r, c->session.since_ms);
	record_number(r, c->session.user_agent);
	record_number(r, c->idle_heard_ms);
	record_number(r, c->idle_pinged_ms);
	record_number(r, c->idle_again_ms);
	record_number(r, c->moving->timer_ms);
	session_save(&c->session, r);
	return true;
}

static void hold_and_save(struct cds_list_head *stream, void *arg)
{
	struct c2s *c = c2s_in_crowd(stream);
	struct giving *g = arg;

	shard_check(NULL);
	if (!may_move(c) || g->n == NUMBERS_MAX)
		return;
	if (g->n == g->room) {
		g->room = g->room ? g->room * 2 : 256;
		g->at = xrealloc(g->at, g->room * sizeof(*g->at));
	}
	hold(c, g->n);
	g->at[g->n].fd = c->stream.conn.watch.fd;
	if (save_stream(c, &g->at[g->n].record) && g->at[g->n].record.bytes) {
		g->n++;
		return;
	}
	buf_unref(record_end(&g->at[g->n].record));
	stay(c);
	conn_freeze(&c->stream.conn);
}

static void save_all(struct handover *to)
{
	struct giving g = { 0 };

	crowd_visit(LISTEN_C2S, hold_and_save, &g);
	while (g.given < g.n) {
		handover_give(to, &g.at[g.given].record, g.at[g.given].fd);
		g.given++;
	}
	free(g.at);
}

struct diverting {
	bool *refused; /* owned; by number */
	unsigned n;
};

static void follow_piece(void *arg, struct buf *b, struct stanza *s)
{
	follow(arg, buf_ref(b), s, true);
}

static void divert(struct cds_list_head *stream, void *arg)
{
	struct c2s *c = c2s_in_crowd(stream);
	const struct diverting *d = arg;

	shard_check(NULL);
	if (!is_held(c))
		return;
	if (c->moving->number < d->n && d->refused[c->moving->number]) {
		stay(c);
		conn_freeze(&c->stream.conn);
		return;
	}
	conn_each_piece(&c->stream.conn, c->moving->pieces, follow_piece, c);
	c->fsm.gen.actor.class = &moved_class.gen.actor;
}

bool c2s_divert(struct record_reader *in)
{
	struct diverting d = { .n = (unsigned)record_read_number_to(in, NUMBERS_MAX) };
	uint64_t n = record_read_number_to(in, d.n);
	bool good;

	d.refused = xcalloc(d.n + 1, sizeof(*d.refused));
	while (n--)
		d.refused[record_read_number_to(in, d.n)] = true;
	good = record_is_read(in);
	if (good)
		crowd_visit(LISTEN_C2S, divert, &d);
	free(d.refused);
	return good;
}

static void come_back(struct cds_list_head *stream, void *unused UNUSED)
{
	struct c2s *c = c2s_in_crowd(stream);

	shard_check(NULL);
	if (c2s_has_moved(c))
		c->fsm.gen.actor.class = &c2s_class.gen.actor;
}

static void thaw(struct cds_list_head *stream, void *unused UNUSED)
{
	struct c2s *c = c2s_in_crowd(stream);

	shard_check(NULL);
	if (is_held(c))
		stay(c);
	else
		conn_thaw(&c->stream.conn);
}

struct redelivery {
	struct errand errand;
	struct follower *first;
};

/* What a held connection has as well goes out from there. */
static void redeliver(struct msg *m)
{
	struct redelivery *r = container_of(m, struct redelivery, errand.msg);
	struct follower *f, *next;

	shard_check(NULL);
	for (f = r->first; f; f = next) {
		next = f->next;
		if (!f->was_held && f->stanza)
			deliver(f->id, f->stanza, DELIVER_SURE);
		follower_free(f);
	}
	errand_tell(&r->errand);
}

void c2s_thaw(void)
{
	struct redelivery r = { 0 };

	crowd_visit(LISTEN_C2S, come_back, NULL);
	r.first = take_followers();
	errand_wait(&r.errand, shard_at(0), redeliver);
	crowd_visit(
		LISTEN_C2S, thaw, NULL); /* only now, so that nothing overtakes what was gathered */
}

static void count_moved(struct cds_list_head *stream, void *n)
{
	struct c2s *c = c2s_in_crowd(stream);

	shard_check(NULL);
	*(unsigned *)n += c2s_has_moved(c);
}

unsigned c2s_moved(void)
{
	unsigned n = 0;

	crowd_visit(LISTEN_C2S, count_moved, &n);
	return n;
}

static void leave(struct cds_list_head *stream, void *unused UNUSED)
{
	struct c2s *c = c2s_in_crowd(stream);

	shard_check(NULL);
	if (c2s_has_moved(c))
		return;
	if (c2s_sm_stays(c)) /* the new server has it already, from the spool */
		c2s_sm_park(c);
	c2s_leave(c, NULL);
}

void c2s_leave_rest(void)
{
	crowd_visit(LISTEN_C2S, leave, NULL);
}

static void end_one(struct cds_list_head *stream, void *condition)
{
	struct c2s *c = c2s_in_crowd(stream);

	shard_check(NULL);
	if (!c2s_has_moved(c))
		c2s_fail(c, *(enum stream_condition *)condition, NULL);
}

void c2s_end_rest(enum stream_condition condition)
{
	crowd_visit(LISTEN_C2S, end_one, &condition);
}

/* --- the new server ------------------------------------------------------------------------- */

/* A record on its way to a shard. */
struct loading {
	struct msg msg;
	struct handover_item item;
};

static struct {
	_Atomic uint32_t waiting; /* of those posted; for account data, in the end */
	pthread_mutex_t lock;
	struct actor_id *ids; /* owned; by number. ACTOR_NONE: it could not be made */
	uint32_t n, room;
	unsigned next_shard;
} taken = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void note_taken(uint32_t number, struct actor_id id)
{
	pthread_mutex_lock(&taken.lock);
	while (number >= taken.room) {
		uint32_t room = taken.room ? taken.room * 2 : 256;

		taken.ids = xrealloc(taken.ids, room * sizeof(*taken.ids));
		memset(taken.ids + taken.room, 0, (room - taken.room) * sizeof(*taken.ids));
		taken.room = room;
	}
	if (number >= taken.n)
		taken.n = number + 1;
	taken.ids[number] = id;
	pthread_mutex_unlock(&taken.lock);
	atomic_fetch_sub_explicit(&taken.waiting, 1, memory_order_release);
}

/* Until so few wait, or a deadline that others keep is over. */
static bool await_taken(uint32_t left)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	uint64_t until_ms = clock_ms() + TAKE_MS;
	bool reading = rcu_offline();

	while (atomic_load_explicit(&taken.waiting, memory_order_acquire) > left &&
		clock_ms() < until_ms)
		nanosleep(&nap, NULL);
	rcu_online(reading);
	return atomic_load_explicit(&taken.waiting, memory_order_acquire) <= left;
}

/* Who it is; the JID is NULL when the host is none of ours any more. */
struct identity {
	uint32_t number;
	struct host *host;
	const char *user;
	struct jid *jid; /* owned */
	struct listen_conf listen;
	const char *address;
	uint16_t port;
};

ON_SHARD static bool read_identity(struct record_reader *in, struct identity *out)
{
	const char *host, *resource;
	size_t len;

	out->number = (uint32_t)record_read_number_to(in, NUMBERS_MAX - 1);
	host = record_read_text(in);
	out->user = record_read_text(in);
	resource = record_read_text(in);
	out->listen.ip = record_read_text(in);
	out->listen.port = (int64_t)record_read_number_to(in, UINT16_MAX);
	out->listen.v6_only = record_read_number_to(in, 1);
	out->address = record_read_bytes(in, &len);
	out->port = (uint16_t)record_read_number_to(in, UINT16_MAX);
	if (!record_is_good(in) || len != sizeof(((struct conf_prefix *)0)->bytes) || !host ||
		!out->user || !resource || !out->listen.ip)
		return false;
	out->host = route_host(host);
	return out->host && !jid_make(out->user, host, resource, NULL, &out->jid) &&
		jid_is_full(out->jid);
}

ON_SHARD static void take_identity(struct c2s *c, struct identity *i, struct listener *l)
{
	c->listener = l;
	c->options = listener_options_ref(rcu_get(l->options));
	c->user = xstrdup(i->user);
	c->conf = host_conf_hold(i->host);
	c->session.host = host_ref(i->host);
	session_set_jid(&c->session, i->jid);
	i->jid = NULL;
	memcpy(c->session.address.bytes, i->address, sizeof(c->session.address.bytes));
	c->session.address.bits = 128;
	c->session.port = i->port;
}

static bool state_by_name(const char *name, unsigned *state)
{
	for (unsigned i = WAIT_FOR_SESSION; name && i < c2s_class.n_states; i++) {
		if (strcmp(c2s_class.states[i].name, name))
			continue;
		*state = i;
		return true;
	}
	return false;
}

int c2s_load_state(
	struct fsm *f, unsigned old_version, bool down UNUSED, void *extra, unsigned *state)
{
	struct record_reader *in = extra;
	struct c2s *c = c2s_of(f);
	struct actor_id holder;

	shard_check(NULL);
	if (old_version != 1)
		return -ENOTSUP;
	if (!state_by_name(record_read_text(in), state))
		return -EBADMSG;
	c->session.since_ms = record_read_number(in);
	c->session.user_agent = record_read_number(in);
	c->idle_heard_ms = record_read_number(in);
	c->idle_pinged_ms = (uint32_t)record_read_number(in);
	c->idle_again_ms = (uint32_t)record_read_number(in);
	c->moving->timer_ms = record_read_number(in);
	if (!record_is_good(in) || directory_enter(&c->session, UINT32_MAX, &holder))
		return -EBADMSG;
	return session_load(&c->session, in) && record_is_read(in) ? 0 : -EBADMSG;
}

ON_SHARD static void give_up(struct c2s *c)
{
	forget(c);
	fsm_stop_now(&c->fsm, STOP_NORMAL);
}

ON_SHARD static struct c2s *load_stream(
	struct handover_item *item, struct identity *i, struct listener *l)
{
	const struct parser_limits limits = listener_limits(&rcu_get(l->options)->conf);
	struct c2s *c = xcalloc(1, sizeof(*c));

	if (stream_load(&c->stream, steal_fd(&item->fd), &limits, &c2s_stream_events, i->host->name,
		    &item->in))
		return c;
	stream_end(&c->stream);
	free(c);
	return NULL;
}

/* NULL: not to be had here. */
ON_SHARD static struct c2s *load_c2s(struct handover_item *item, struct identity *i)
{
	struct listener *l = listener_join(&i->listen);
	struct c2s *c = l ? load_stream(item, i, l) : NULL;

	if (l && !c) {
		atomic_fetch_sub_explicit(&l->connections, 1, memory_order_relaxed);
		listener_unref(l);
	}
	if (!c)
		return NULL;
	take_identity(c, i, l);
	c->bound = true;
	c->moving = xcalloc(1, sizeof(*c->moving));
	c->moving->number = i->number;
	c2s_begin(c);
	c->stream.conn.out_max_held = (uint64_t)c->conf->max_out_bytes;
	if (!fsm_behaviour.code_change(&c->fsm.gen, &c2s_class.gen, item->in.version, &item->in)) {
		c2s_shape(c);
		return c;
	}
	give_up(c);
	return NULL;
}

ON_SHARD static void note_open(struct c2s *c)
{
	c->open = true;
	note_taken(c->moving->number, c->session.id);
}

static void account_ready(struct actor_id session, int error)
{
	struct actor *a;
	struct c2s *c;

	shard_check(NULL);
	a = actor_find(session);
	REQUIRE(a); /* held, so nothing has ended it */
	c = container_of(a, struct c2s, fsm.gen.actor);
	if (!error) {
		note_open(c);
		return;
	}
	note_taken(c->moving->number, ACTOR_NONE);
	give_up(c);
}

static void load_run(struct msg *m)
{
	struct loading *l = container_of(m, struct loading, msg);
	struct identity i = { 0 };
	struct c2s *c = NULL;
	int waits;

	shard_check(NULL);
	if (l->item.fd >= 0 && read_identity(&l->item.in, &i))
		c = load_c2s(&l->item, &i);
	waits = c ? account_need(&c->session, account_ready) : -EBADMSG;
	if (waits < 0) {
		note_taken(i.number, ACTOR_NONE);
		if (c)
			give_up(c);
	} else if (!waits) {
		note_open(c);
	}
	jid_free(i.jid);
	handover_item_fini(&l->item);
	free(l);
}

static int load_one(struct handover_item *item)
{
	struct loading *l = xcalloc(1, sizeof(*l));

	await_taken(WAITING_MAX);
	atomic_fetch_add_explicit(&taken.waiting, 1, memory_order_relaxed);
	l->msg.run = load_run;
	l->item = *item;
	*item = (struct handover_item){ .fd = -1 };
	shard_post(shard_at(taken.next_shard++ % shards_count()), &l->msg);
	return 0;
}

/* More output for one that was taken. */
struct more {
	struct letter letter;
	struct buf *bytes;
	struct stanza *stanza; /* NULL: nobody asks what became of it */
};

static void more_open(struct actor *a, struct letter *l)
{
	struct more *m = container_of(l, struct more, letter);
	struct c2s *c = a ? container_of(a, struct c2s, fsm.gen.actor) : NULL;

	shard_check(NULL);
	if (c && !stream_closing(&c->stream))
		conn_write(&c->stream.conn, buf_ref(m->bytes), m->stanza);
	else if (m->stanza)
		deliver_failed(m->stanza, DELIVER_SURE);
	buf_unref(m->bytes);
	stanza_unref(m->stanza);
	free(m);
}

static int load_more(struct handover_item *item)
{
	uint64_t number = record_read_number_to(&item->in, NUMBERS_MAX - 1);
	bool sure = record_read_number_to(&item->in, 1);
	struct stanza *s = NULL;
	const char *bytes;
	struct more *m;
	size_t len;

	bytes = record_read_bytes(&item->in, &len);
	if (!bytes || !record_is_read(&item->in) || number >= taken.n)
		return -EBADMSG;
	if (sure && !(s = parse_wire(bytes, len)))
		return -EBADMSG;
	m = xcalloc(1, sizeof(*m));
	m->letter.to = taken.ids[number];
	m->letter.open = more_open;
	m->bytes = buf_of(bytes, len);
	m->stanza = s;
	letter_post(&m->letter);
	return 0;
}

bool c2s_taken(struct record *r)
{
	bool all = await_taken(0);
	unsigned refused = 0;

	for (uint32_t i = 0; i < taken.n; i++)
		refused += !taken.ids[i].v;
	record_number(r, taken.n);
	record_number(r, refused);
	for (uint32_t i = 0; i < taken.n; i++)
		if (!taken.ids[i].v)
			record_number(r, i);
	return all;
}

static void go(struct cds_list_head *stream, void *n)
{
	struct c2s *c = c2s_in_crowd(stream);

	shard_check(NULL);
	if (!is_held(c))
		return;
	stay(c);
	++*(unsigned *)n;
}

unsigned c2s_go(void)
{
	unsigned n = 0;

	crowd_visit(LISTEN_C2S, go, &n);
	return n;
}

void c2s_move_init(void)
{
	static const struct handover_part c2s = { PART, 1, 1, save_all, load_one };
	static const struct handover_part more = { PART_MORE, 1, 1, NULL, load_more };

	handover_add(&c2s);
	handover_add(&more);
}
