/* router/acks.c - the tickets of stanzas whose acknowledgement waits. There are few at a time, and
 * the first is mostly the one that is completed next. */
#include "router/acks.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "router/deliver.h"

struct ack_ticket ack_begin(struct session *ss)
{
	struct acks *a = rcu_get(ss->acks);

	if (!a)
		return (struct ack_ticket){ ACTOR_NONE, 0 };
	if (!a->n_open || a->open[a->n_open - 1].number != a->handled) {
		if (a->n_open == a->room) {
			a->room = a->room ? a->room * 2 : 8;
			a->open = xrealloc(a->open, a->room * sizeof(*a->open));
		}
		a->open[a->n_open++] = (struct ack_open){ .number = a->handled };
	}
	a->open[a->n_open - 1].tickets++;
	return (struct ack_ticket){ ss->id, a->handled };
}

static struct acks *acks_of(struct actor_id session)
{
	struct actor *a;
	const struct recipient *r;
	struct session *ss;

	shard_check(NULL);
	a = actor_find(session);
	r = a ? a->class->recipient : NULL;
	ss = r && r->session ? r->session(a) : NULL;
	return ss ? rcu_get(ss->acks) : NULL;
}

void ack_complete(struct ack_ticket t)
{
	struct acks *a = t.session.v ? acks_of(t.session) : NULL;
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

void acks_fini(struct acks *a)
{
	free(a->open);
	free(rcu_get(a->origin));
}
