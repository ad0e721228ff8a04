/* net/unacked.c - a ring that grows. */
#include "net/unacked.h"

#include <stdlib.h>

#include "core/mem.h"

#define ROOM_FIRST 16u

static uint64_t held_by(const struct unacked_stanza *u)
{
	return sizeof(*u) + stanza_held_bytes(u->stanza);
}

static void grow(struct unacked *u)
{
	uint32_t room = u->room ? u->room * 2 : ROOM_FIRST;
	struct unacked_stanza *at = xmalloc(room * sizeof(*at));

	for (uint32_t i = 0; i < u->n; i++)
		at[i] = *unacked_at(u, i);
	free(u->at);
	u->at = at;
	u->first = 0;
	u->room = room;
}

void unacked_add(
	struct unacked *u, struct stanza *s, struct spool_record *kept, enum deliver_copies copies)
{
	struct unacked_stanza *new;

	if (u->n == u->room)
		grow(u);
	new = &u->at[(u->first + u->n++) & (u->room - 1)];
	*new = (struct unacked_stanza){ stanza_ref(s), kept, copies };
	u->held += held_by(new);
}

bool unacked_covers(const struct unacked *u, uint32_t h)
{
	return h - u->acked <= u->n;
}

struct unacked_stanza unacked_take(struct unacked *u)
{
	struct unacked_stanza oldest = u->at[u->first];

	u->first = (u->first + 1) & (u->room - 1);
	u->n--;
	u->acked++;
	u->held -= held_by(&oldest);
	return oldest;
}

struct unacked_stanza unacked_take_back(struct unacked *u)
{
	struct unacked_stanza newest = *unacked_at(u, --u->n);

	u->held -= held_by(&newest);
	return newest;
}

void unacked_rest(struct unacked *u)
{
	if (u->n || u->room <= ROOM_FIRST)
		return;
	free(u->at);
	u->at = NULL;
	u->first = u->room = 0;
}
