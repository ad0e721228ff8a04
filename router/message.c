/* router/message.c - the hooks of the message log, and who has a message in hand. */
#include "router/message.h"

#include <pthread.h>

HOOK(message);
HOOK(message_received);

static struct hook_set *hooks;

static void make_hooks(void)
{
	hooks = hook_set_new();
}

struct hook_set *message_hooks(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_hooks);
	return hooks;
}

void message_spool_mark(struct spool_record *r, uint32_t bit)
{
	const uint32_t all = MESSAGE_SPOOL_WRITTEN | MESSAGE_SPOOL_TAKEN | MESSAGE_SPOOL_COVERED;
	_Atomic uint32_t *state;

	if (!r)
		return;
	state = (_Atomic uint32_t *)r->bytes;
	if (((atomic_fetch_or_explicit(state, bit, memory_order_acq_rel) | bit) & all) == all)
		spool_free(r);
}

void message_taken(struct stanza *s)
{
	message_spool_mark(message_give_up_record(s), MESSAGE_SPOOL_TAKEN);
}
