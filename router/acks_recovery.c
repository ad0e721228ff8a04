/* router/acks_recovery.c - what was found in the spool after a process that was killed, put
 * together: a stanza whose traces are there was handled, even if the process had no time to count
 * it; and a message that is in a session's queue waits for nobody else. At the start, one thread at
 * a time. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "router/acks.h"

struct done {
	uint64_t session;
	uint32_t number, check;
};
static struct {
	struct done *at; /* owned */
	size_t n, room;
} handled;
static struct {
	uint64_t *at; /* owned */
	size_t n, room;
	bool sorted;
} messages;

void acks_recover_handled(uint64_t session, uint32_t number, uint32_t check)
{
	if (!session)
		return;
	if (handled.n == handled.room) {
		handled.room = handled.room ? handled.room * 2 : 256;
		handled.at = xrealloc(handled.at, handled.room * sizeof(*handled.at));
	}
	handled.at[handled.n++] = (struct done){ session, number, check };
}

/* Numbers of one session are never half of all apart. */
static int by_number(const void *left, const void *right)
{
	const struct done *a = left, *b = right;

	if (a->session != b->session)
		return a->session < b->session ? -1 : 1;
	return a->number == b->number ? 0 : (int32_t)(a->number - b->number) < 0 ? -1 : 1;
}

void acks_recover_all(void)
{
	if (handled.n)
		qsort(handled.at, handled.n, sizeof(*handled.at), by_number);
}

/* The first of a session's, or where it would stand. */
static size_t find(uint64_t session)
{
	size_t low = 0, high = handled.n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (handled.at[middle].session < session)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void acks_recovered(struct acks *a, uint32_t h)
{
	size_t first = find(a->key), end = first;

	while (end < handled.n && handled.at[end].session == a->key)
		end++;
	a->skip = xcalloc(end - first + 1, sizeof(*a->skip));
	a->handled = h;
	for (size_t i = first; i < end; i++) {
		const struct done *d = &handled.at[i];

		if ((int32_t)(d->number - a->handled) <= 0 ||
			(a->n_skip && a->skip[a->n_skip - 1].number == d->number))
			continue; /* counted, or found twice */
		if (d->number == a->handled + 1)
			a->handled++;
		else
			a->skip[a->n_skip++] = (struct ack_skip){ d->number, d->check };
	}
}

void acks_recover_message(uint64_t log_id)
{
	if (!log_id)
		return;
	if (messages.n == messages.room) {
		messages.room = messages.room ? messages.room * 2 : 256;
		messages.at = xrealloc(messages.at, messages.room * sizeof(*messages.at));
	}
	messages.at[messages.n++] = log_id;
	messages.sorted = false;
}

static int by_id(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

bool acks_recovered_message(uint64_t log_id)
{
	if (!messages.n)
		return false;
	if (!messages.sorted)
		qsort(messages.at, messages.n, sizeof(*messages.at), by_id);
	messages.sorted = true;
	return bsearch(&log_id, messages.at, messages.n, sizeof(*messages.at), by_id);
}

void acks_recover_end(void)
{
	free(handled.at);
	free(messages.at);
	memset(&handled, 0, sizeof(handled));
	memset(&messages, 0, sizeof(messages));
}
