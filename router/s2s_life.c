/* router/s2s_life.c - the s2s manager's start and end, and what its operator sees and closes. */
#include "router/s2s.h"

#include <stdlib.h>
#include <string.h>

#include "core/errand.h"
#include "core/lang.h"
#include "core/mem.h"
#include "core/shard.h"
#include "router/s2s_inside.h"
#include "router/s2s_spool.h"
#include "xml/builder.h"

const char s2s_shutting_down[] = TR("The server is shutting down.");

_Atomic bool s2s_stopping;
_Atomic bool s2s_stopped;

/* --- for the operator ---------------------------------------------------------------------- */

static void show(struct s2s_link *l, struct s2s_tour *t)
{
	t->look(l, t->arg);
}

void s2s_each(void (*fn)(const struct s2s_link *l, void *arg), void *arg)
{
	s2s_tour(&(struct s2s_tour){ .fn = show, .look = fn, .arg = arg });
}

char *s2s_describe(const struct s2s_link *l)
{
	return s2s_opener->describe ? s2s_opener->describe(l->out) : xstrdup("");
}

unsigned s2s_unacked(const struct s2s_link *l)
{
	return l->out && s2s_opener->unacked ? s2s_opener->unacked(l->out) : 0;
}

/* Its queue gets an error, its way out ends by itself. */
ON_SHARD static void end_link(struct s2s_link *l, int error, const char *why)
{
	s2s_link_let_out_go(l);
	s2s_bounce_all(&l->queue, error, why);
	s2s_bounce_all(&l->returned, error, why);
	s2s_bounce_all(&l->held, error, why);
}

static void close_one(struct s2s_link *l, struct s2s_tour *t)
{
	shard_check(NULL);
	if ((t->theirs && strcmp(l->theirs, t->theirs)) || (!l->out && l->state == S2S_IDLE))
		return;
	t->n++;
	end_link(l, ERR_REMOTE_SERVER_TIMEOUT, "The connection to that server was closed.");
	s2s_table_settle(l);
}

unsigned s2s_close(const char *theirs)
{
	struct s2s_tour t = { .fn = close_one, .theirs = theirs };

	s2s_tour(&t);
	return t.n;
}

static void recheck_one(struct s2s_link *l, struct s2s_tour *t UNUSED)
{
	shard_check(NULL);
	if (l->state == S2S_RETRYING || !s2s_allowed(l->ours, l->theirs))
		end_link(l, ERR_NOT_ALLOWED, "This server does not speak with that one.");
	s2s_table_settle(l);
}

void s2s_recheck(void)
{
	s2s_tour(&(struct s2s_tour){ .fn = recheck_one });
}

/* --- the start and the end ----------------------------------------------------------------- */

/* Something to do with what each shard has, one after the other. */
struct visit {
	struct errand errand;
	void (*fn)(struct s2s_table *h, const struct visit *v);
	struct s2s_found *found;
};

static void visit_run(struct msg *m)
{
	struct visit *v = container_of(m, struct visit, errand.msg);

	shard_check(NULL);
	v->fn(s2s_table_own(), v);
	errand_tell(&v->errand);
}

static void visit(struct visit *v)
{
	for (unsigned i = 0; i < shards_count(); i++)
		errand_wait(&v->errand, shard_at(i), visit_run);
}

static bool is_at_home(const struct stanza *s)
{
	uint32_t hash = s2s_pair_hash(jid_domain(s->from), jid_domain(s->to));

	return s2s_home_of(hash, s2s_index_of(s)) == shard_self();
}

static void pass_found(struct s2s_table *h UNUSED, const struct visit *v)
{
	shard_check(NULL);
	for (uint32_t i = 0; i < v->found->n; i++) {
		struct s2s_found_message *m = &v->found->at[i];

		if (!m->stanza || !is_at_home(m->stanza) || s2s_spool_passes(m->stanza))
			continue;
		stanza_unref(m->stanza);
		m->stanza = NULL;
	}
}

/* Their peers may have what was sent by them. */
static void restore_streams(struct s2s_table *h UNUSED, const struct visit *v)
{
	shard_check(NULL);
	for (uint32_t i = 0; s2s_opener->restore && i < v->found->n_streams; i++) {
		struct s2s_found_stream *f = &v->found->streams[i];
		uint32_t hash = s2s_pair_hash(f->what.ours, f->what.theirs);
		struct s2s_link *l;

		if (s2s_home_of(hash, f->what.index) != shard_self() ||
			!s2s_allowed(f->what.ours, f->what.theirs))
			continue;
		l = s2s_table_have(hash, f->what.index, f->what.ours, f->what.theirs);
		if (l && !l->out) {
			s2s_link_enter(l, S2S_UP);
			l->out = s2s_opener->restore(l, f, v->found);
		}
		if (l)
			s2s_table_settle(l);
	}
}

static void put_found_by(struct s2s_table *h, const struct visit *v)
{
	shard_check(NULL);
	for (uint32_t i = 0; i < v->found->n; i++) {
		struct stanza *s = v->found->at[i].stanza;

		if (s && is_at_home(s))
			s2s_queue_add(&h->put_by, s, false);
	}
}

void s2s_restore(void)
{
	struct s2s_found found;

	s2s_spool_take(&found);
	visit(&(struct visit){ .fn = pass_found, .found = &found });
	visit(&(struct visit){ .fn = restore_streams, .found = &found });
	visit(&(struct visit){ .fn = put_found_by, .found = &found });
	s2s_found_free(&found);
}

static void open_home(struct s2s_table *h, const struct visit *v UNUSED)
{
	struct s2s_queue all;
	struct s2s_waiting *w;

	shard_check(NULL);
	h->open = true;
	s2s_queue_move(&h->put_by, &all);
	while ((w = s2s_queue_take(&all))) {
		struct stanza *s = w->stanza;
		uint32_t hash = s2s_pair_hash(jid_domain(s->from), jid_domain(s->to));

		if (s2s_home_of(hash, s2s_index_of(s)) == shard_self())
			s2s_arrive(s, hash, s2s_index_of(s), ACTOR_NONE, TAKE_ACCEPTED);
		else
			s2s_route_again(s, ACTOR_NONE);
		s2s_waiting_free(w);
	}
}

static void begin_one(struct s2s_link *l, struct s2s_tour *t UNUSED)
{
	shard_check(NULL);
	if (l->out && s2s_opener->wanted)
		s2s_opener->wanted(l->out);
}

void s2s_start(void)
{
	atomic_store(&s2s_stopped, false);
	atomic_store(&s2s_stopping, false);
	s2s_tour(&(struct s2s_tour){ .fn = begin_one });
	visit(&(struct visit){ .fn = open_home });
}

static void stop_one(struct s2s_link *l, struct s2s_tour *t UNUSED)
{
	shard_check(NULL);
	end_link(l, ERR_REMOTE_SERVER_TIMEOUT, s2s_shutting_down);
	s2s_table_forget(s2s_table_own(), l);
}

static void close_home(struct s2s_table *h, const struct visit *v UNUSED)
{
	shard_check(NULL);
	h->open = false;
}

void s2s_pause(void)
{
	atomic_store(&s2s_stopping, true);
	visit(&(struct visit){ .fn = close_home });
	s2s_tour(&(struct s2s_tour){ .fn = stop_one });
}

/* What is in the spool stays here, too: links may carry again in this process. */
static void tell_rest(struct s2s_table *h, const struct visit *v UNUSED)
{
	shard_check(NULL);
	s2s_bounce_all(&h->put_by, ERR_REMOTE_SERVER_TIMEOUT, s2s_shutting_down);
}

void s2s_stop(void)
{
	atomic_store(&s2s_stopped, true);
	s2s_pause();
	visit(&(struct visit){ .fn = tell_rest });
}
