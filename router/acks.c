/* router/acks.c - the tickets of stanzas whose acknowledgement waits. There are few at a time, and
 * the first is mostly the one that is completed next. */
#include "router/acks.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "router/deliver.h"
#include "router/message.h"

static _Thread_local struct acks *here; /* whose stanza is being handled */

/* Room for one more. */
static void *grow(void *at, uint32_t n, uint32_t *room, size_t each)
{
	if (n < *room)
		return at;
	*room = *room ? *room * 2 : 8;
	return xrealloc(at, *room * each);
}

struct ack_ticket ack_here(void)
{
	return here ? (struct ack_ticket){ here->session, here->handled }
		    : (struct ack_ticket){ ACTOR_NONE, 0 };
}

struct ack_ticket ack_begin(void)
{
	struct acks *a = here;

	if (!a)
		return ack_here();
	if (!a->n_open || a->open[a->n_open - 1].number != a->handled) {
		a->open = grow(a->open, a->n_open, &a->open_room, sizeof(*a->open));
		a->open[a->n_open++] = (struct ack_open){ .number = a->handled };
	}
	a->open[a->n_open - 1].tickets++;
	return ack_here();
}

static struct acks *acks_of(struct actor_id session)
{
	struct actor *a;
	const struct recipient *r;
	struct session *ss;

	shard_check(NULL);
	a = session.v ? actor_find(session) : NULL;
	r = a ? a->class->recipient : NULL;
	if (r && r->acks)
		return r->acks(a);
	ss = r && r->session ? r->session(a) : NULL;
	return ss ? rcu_get(ss->acks) : NULL;
}

void ack_complete(struct ack_ticket t)
{
	struct acks *a = acks_of(t.session);
	uint32_t at = 0, done = 0;

	while (a && at < a->n_open && a->open[at].number != t.number)
		at++;
	if (!a || at == a->n_open)
		return;
	REQUIRE(a->open[at].tickets--);
	while (done < a->n_open && !a->open[done].tickets)
		done++;
	if (!done)
		return;
	a->n_open -= done;
	memmove(a->open, a->open + done, a->n_open * sizeof(*a->open));
	a->covered(a);
}

uint32_t acks_covered(const struct acks *a)
{
	return a->n_open ? a->open[0].number - 1 : a->handled;
}

/* --- records that wait for h --------------------------------------------------------------- */

void ack_keep(struct ack_ticket t, struct spool_record *r)
{
	struct acks *a = acks_of(t.session);

	if (!a || !a->key) {
		message_spool_mark(r, MESSAGE_SPOOL_COVERED);
		return;
	}
	a->marks = grow(a->marks, a->n_marks, &a->marks_room, sizeof(*a->marks));
	a->marks[a->n_marks++] = (struct ack_mark){ t.number, r };
}

void acks_release(struct acks *a)
{
	uint32_t h = acks_covered(a), left = 0;

	for (uint32_t i = 0; i < a->n_marks; i++) {
		if ((int32_t)(a->marks[i].number - h) <= 0)
			message_spool_mark(a->marks[i].record, MESSAGE_SPOOL_COVERED);
		else
			a->marks[left++] = a->marks[i];
	}
	a->n_marks = left;
	if (a->at_skip == a->n_skip && a->n_skip &&
		(int32_t)(a->skip[a->n_skip - 1].number - h) <= 0)
		a->n_skip = a->at_skip = 0;
}

void acks_release_all(struct acks *a)
{
	while (a->n_marks)
		message_spool_mark(a->marks[--a->n_marks].record, MESSAGE_SPOOL_COVERED);
}

/* --- stanzas as they come ------------------------------------------------------------------ */

/* Of what its client calls it: FNV-1a. */
static uint32_t check_of(const struct stanza *s)
{
	uint32_t check = 2166136261u;

	for (const char *c = s->id; c && *c; c++)
		check = (check ^ (unsigned char)*c) * 16777619u;
	return check;
}

/* Clients send again what was not acknowledged, in order: XEP-0198 §5. What is called otherwise is
 * something else, and then so is all that follows. */
ON_SHARD static bool is_skipped(struct acks *a, uint32_t check)
{
	struct ack_skip next = a->skip[a->at_skip];

	if ((int32_t)(a->handled - next.number) < 0)
		return false;
	a->at_skip++;
	if (next.number == a->handled && next.check == check)
		return true;
	a->n_skip = a->at_skip = 0;
	return false;
}

bool acks_begin_stanza(struct session *ss, struct stanza *s)
{
	struct acks *a = rcu_get(ss->acks);

	a->handled++;
	if (a->key) {
		s->ack_session = a->key;
		s->ack_number = a->handled;
		s->ack_check = check_of(s);
		if (unlikely(a->at_skip < a->n_skip) && is_skipped(a, s->ack_check))
			return false;
	}
	here = a;
	return true;
}

void acks_begin_foreign(struct acks *a)
{
	a->handled++;
	here = a;
}

void acks_end_stanza(void)
{
	here = NULL;
}

void acks_fini(struct acks *a)
{
	free(a->open);
	free(a->marks);
	free(a->skip);
	free(rcu_get(a->origin));
}
