/* net/c2s_sm_restore.c - sessions that a process before has left in the spool, killed or ended,
 * wait for their clients again: in the directory, with their presence and what was not
 * acknowledged, before anybody can connect. One that cannot be resumed any more is made, too, and
 * ends at once, so that what its client has not got goes where it should. */
#include <limits.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "net/c2s_resume.h"
#include "router/account.h"
#include "router/directory.h"
#include "router/message.h"
#include "router/route.h"

#define AT_ONCE 512 /* whose account's data is being loaded */

static struct metric restored_metric = METRIC_COUNTER(
	"sm_restored_total", "Sessions found in the spool at the start of the server.");

static struct {
	sem_t room; /* for one more of those under way */
} restoring;

struct restore {
	struct msg msg;
	struct sm_found *found;
};

static void drop_records(struct sm_found *f)
{
	for (uint32_t i = 0; i < f->n; i++)
		spool_free(f->stanzas[i].record);
	for (uint32_t i = 0; i < f->n_received; i++)
		spool_free(f->received[i].record);
	spool_free(f->state_record);
	spool_free(f->done_record);
	spool_free(f->record);
}

/* Before anybody hands them out again. */
ON_SHARD static void take_received(struct c2s *c, struct sm *sm)
{
	struct sm_found *f = sm->found;

	sm->found = NULL;
	sm->received = xcalloc(f->n_received + 1, sizeof(*sm->received));
	for (uint32_t i = 0; i < f->n_received; i++) {
		struct stanza *s = sm_found_stanza(&f->received[i]);

		if (s) {
			sm->received[sm->n_received++] = s->log_id;
			message_received(&c->session, s, f->received[i].record);
			stanza_unref(s);
		} else {
			spool_free(f->received[i].record);
		}
	}
}

/* It waits from now on, or ends. */
ON_SHARD static void opened(struct c2s *c)
{
	struct sm *sm = c2s_sm(c);

	c->open = true;
	take_received(c, sm);
	c2s_log(c, LOG_LEVEL_INFO, "session restored", L_INT("unacknowledged", sm->out.n),
		L_INT("handled", sm->acks.handled), L_INT("handled_beyond", sm->acks.n_skip));
	hook_run(c->session.host->hooks, &session_opened_hook, &c->session);
	if (sm->resume)
		c2s_resume_covered(sm);
}

static void account_ready(struct actor_id session, int error)
{
	struct actor *a;
	struct c2s *c;

	shard_check(NULL);
	a = actor_find(session);
	c = a ? container_of(a, struct c2s, fsm.gen.actor) : NULL;
	if (c && !c->left) {
		if (error)
			c2s_fail(c, STREAM_INTERNAL_SERVER_ERROR, NULL);
		else
			opened(c);
	}
	sem_post(&restoring.room);
}

/* True: account_ready() will be called. */
ON_SHARD static bool await_account(struct c2s *c)
{
	int waiting = account_need(&c->session, account_ready);

	if (!waiting)
		opened(c);
	else if (waiting < 0)
		c2s_fail(c, STREAM_RESOURCE_CONSTRAINT, NULL);
	return waiting > 0;
}

ON_SHARD static void take_stanzas(struct sm *sm, struct sm_found *f)
{
	for (uint32_t i = 0; i < f->n; i++) {
		struct stanza *s = sm_found_stanza(&f->stanzas[i]);

		if (s) {
			unacked_add(&sm->out, s, f->stanzas[i].record, f->stanzas[i].copies);
			stanza_unref(s);
		} else {
			spool_free(f->stanzas[i].record);
			f->whole = false;
		}
	}
}

ON_SHARD static struct sm *take_management(struct c2s *c, struct sm_found *f)
{
	struct sm *sm = c2s_sm_new(c, f->max_ms);

	memcpy(sm->id, f->id, SM_ID_BYTES);
	sm->acks.key = f->key;
	sm->restored = true;
	sm->found = f;
	acks_recovered(&sm->acks, f->handled);
	sm->out.acked = f->acked;
	sm->spool = (struct sm_spool){ f->key, f->record, f->state_record, f->done_record };
	take_stanzas(sm, f);
	c2s_sm_set_state(sm, ACKS_WAITING);
	sm_spool_handled(&sm->spool, sm->acks.handled);
	if (!sm->acks.n_skip)
		sm_spool_done_counted(&sm->spool);
	return sm;
}

ON_SHARD static struct c2s *take_identity(struct host *h, struct jid *jid, const struct sm_found *f)
{
	struct c2s *c = xcalloc(1, sizeof(*c));

	stream_begin_ended(&c->stream, &c2s_stream_events);
	c->user = xstrdup(f->user);
	c->conf = host_conf_hold(h);
	c->session.host = host_ref(h);
	session_set_jid(&c->session, jid);
	memcpy(c->session.address.bytes, f->address, sizeof(c->session.address.bytes));
	c->session.address.bits = 128;
	c->session.port = f->port;
	c->session.tls = f->tls;
	c->session.since_ms = f->since_ms;
	c->session.user_agent = f->user_agent;
	c2s_begin(c);
	fsm_event_now(&c->fsm, &(struct term){ .kind = C2S_LOST });
	return c;
}

/* True: account_ready() will be called. */
ON_SHARD static bool build(struct host *h, struct jid *jid, struct sm_found *f)
{
	struct c2s *c = take_identity(h, jid, f);
	struct record_reader state;
	struct actor_id holder;
	struct sm *sm;

	/* Somebody else may have the resource: the process ended between a conflict and its end. */
	c->bound = !directory_enter(&c->session, UINT_MAX, &holder);
	sm = take_management(c, f);
	if (!c->bound) {
		c->left = true;
		c2s_sm_left(c);
		c2s_sm_end(c);
		return false;
	}
	if (sm_found_state(f, &state))
		session_load(&c->session, &state);
	if (f->whole)
		sm_place_add(sm->id, c->session.id, c->session.jid->bare_hash);
	timer_set(&sm->timer, f->whole ? f->left_ms : 0);
	metric_add(&restored_metric, 1);
	return await_account(c);
}

static void restore_run(struct msg *m)
{
	struct restore *r = container_of(m, struct restore, msg);
	struct sm_found *f = r->found;
	struct host *h = route_host(f->host);
	struct jid *jid;

	shard_check(NULL);
	if (!h || jid_make(f->user, f->host, f->resource, NULL, &jid)) {
		log_warning("sm", "a session of a host that is gone", L_STR("host", f->host));
		drop_records(f);
		sem_post(&restoring.room);
	} else if (!build(h, jid, f)) {
		sem_post(&restoring.room);
	}
	free(r);
}

/* Of each, before one is made: what it does may end the records of another's. */
static void keep_done_run(struct msg *m)
{
	struct restore *r = container_of(m, struct restore, msg);

	shard_check(NULL);
	sm_found_keep_done(r->found);
	sem_post(&restoring.room);
	free(r);
}

static void take_room(unsigned n)
{
	bool reading = rcu_offline();

	while (n)
		if (!sem_wait(&restoring.room))
			n--;
	rcu_online(reading);
}

/* Runs it for each on the shard that gets it, and returns when all is done. */
static void for_each_found(struct sm_finds *all, void (*run)(struct msg *m))
{
	sem_init(&restoring.room, 0, AT_ONCE);
	for (uint32_t i = 0; i < all->n; i++) {
		struct restore *r = xcalloc(1, sizeof(*r));

		take_room(1);
		r->msg.run = run;
		r->found = &all->at[i];
		shard_post(shard_at((unsigned)(all->at[i].key % shards_count())), &r->msg);
	}
	take_room(AT_ONCE); /* all of it is back: none is under way */
	sem_destroy(&restoring.room);
}

void c2s_sm_restore(void)
{
	struct sm_finds all;

	metric_register(&restored_metric);
	acks_recover_all();
	sm_spool_find(&all);
	for_each_found(&all, keep_done_run);
	for_each_found(&all, restore_run);
	if (all.n)
		log_info("sm", "sessions wait for their clients again", L_INT("sessions", all.n));
	sm_spool_free_finds(&all);
	acks_recover_end();
}
