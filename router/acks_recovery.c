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
static struct {
	struct spool_record **at; /* owned, and so are they */
	size_t n, room;
} told;
static bool recovering;

void acks_recover_begin(void)
{
	recovering = true;
}

void acks_recover_handled(uint64_t session, uint32_t number, uint32_t check)
{
	if (!session || !recovering)
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

uint32_t acks_recovered_above(uint64_t session, uint32_t h, struct ack_skip *out)
{
	uint32_t n = 0, last = h;

	for (size_t i = find(session); i < handled.n && handled.at[i].session == session; i++) {
		const struct done *d = &handled.at[i];

		if ((int32_t)(d->number - last) <= 0)
			continue; /* counted, or found twice */
		last = d->number;
		if (out)
			out[n] = (struct ack_skip){ d->number, d->check };
		n++;
	}
	return n;
}

void acks_recovered(struct acks *a, uint32_t h)
{
	uint32_t n = acks_recovered_above(a->key, h, NULL), done = 0;

	a->skip = xcalloc(n + 1, sizeof(*a->skip));
	acks_recovered_above(a->key, h, a->skip);
	while (done < n && a->skip[done].number == h + done + 1)
		done++;
	a->handled = h + done;
	a->n_skip = n - done;
	memmove(a->skip, a->skip + done, a->n_skip * sizeof(*a->skip));
}

void acks_recover_free(struct spool_record *r)
{
	if (!recovering) {
		spool_free(r);
		return;
	}
	if (told.n == told.room) {
		told.room = told.room ? told.room * 2 : 256;
		told.at = xrealloc(told.at, told.room * sizeof(*told.at));
	}
	told.at[told.n++] = r;
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
	for (size_t i = 0; i < told.n; i++)
		spool_free(told.at[i]);
	free(told.at);
	free(handled.at);
	free(messages.at);
	memset(&told, 0, sizeof(told));
	memset(&handled, 0, sizeof(handled));
	memset(&messages, 0, sizeof(messages));
	recovering = false;
}
