/* router/acks_recovery.c - what was found in the spool after a process that was killed, put
 * together: a stanza whose traces are there was handled, even if the process had no time to count
 * it; and a message that is in a session's queue waits for nobody else. At the start, one thread at
 * a time. */
#include <stdlib.h>

#include "core/mem.h"
#include "router/acks.h"

/* Numbers by key, open addressing. Key 0 is nothing. */
struct table {
	struct slot {
		uint64_t key;
		uint32_t number;
	} * at; /* owned */
	uint32_t n, room; /* a power of two */
};
static struct table handled, messages;

static struct slot *slot_of(const struct table *t, uint64_t key)
{
	uint32_t i = (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32);

	while (t->at[i & (t->room - 1)].key && t->at[i & (t->room - 1)].key != key)
		i++;
	return &t->at[i & (t->room - 1)];
}

static void grow(struct table *t)
{
	struct table was = *t;

	t->room = t->room ? t->room * 2 : 1024;
	t->at = xcalloc(t->room, sizeof(*t->at));
	for (uint32_t i = 0; i < was.room; i++)
		if (was.at[i].key)
			*slot_of(t, was.at[i].key) = was.at[i];
	free(was.at);
}

/* Its slot, made if there is none. */
static struct slot *slot_for(struct table *t, uint64_t key, uint32_t number)
{
	struct slot *s;

	if (t->n * 2 >= t->room)
		grow(t);
	s = slot_of(t, key);
	if (!s->key) {
		*s = (struct slot){ key, number };
		t->n++;
	}
	return s;
}

void acks_recover_handled(uint64_t session, uint32_t number)
{
	struct slot *s;

	if (!session)
		return;
	s = slot_for(&handled, session, number);
	if ((int32_t)(number - s->number) > 0)
		s->number = number;
}

uint32_t acks_recovered(uint64_t session, uint32_t h)
{
	const struct slot *s = handled.room ? slot_of(&handled, session) : NULL;

	return s && s->key && (int32_t)(s->number - h) > 0 ? s->number : h;
}

void acks_recover_message(uint64_t log_id)
{
	if (log_id)
		slot_for(&messages, log_id, 0);
}

bool acks_recovered_message(uint64_t log_id)
{
	return log_id && messages.room && slot_of(&messages, log_id)->key;
}

void acks_recover_end(void)
{
	free(handled.at);
	free(messages.at);
	handled = messages = (struct table){ 0 };
}
