/* net/limits.c - a fixed number of short chains, each with its lock. */
#include "net/limits.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/handover.h"
#include "core/mem.h"

#define CHAINS 4096u
#define CHAIN_MAX 32u /* beyond it, one that has nothing open goes */

struct entry {
	struct entry *next;
	uint8_t key[16];
	uint32_t open;
	uint32_t failed;
	uint64_t window_ends_ms;
};
static struct {
	pthread_mutex_t lock;
	struct entry *first;
} chains[CHAINS] = { [0 ... CHAINS - 1] = { .lock = PTHREAD_MUTEX_INITIALIZER } };

static void key_of(const struct conf_prefix *address, uint8_t *key)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(key, address->bytes, 16);
	if (memcmp(key, mapped, sizeof(mapped)))
		memset(key + 8, 0, 8); /* one household of IPv6 */
}

static unsigned chain_of(const uint8_t *key)
{
	uint32_t h = 2166136261u;

	for (unsigned i = 0; i < 16; i++)
		h = (h ^ key[i]) * 16777619u;
	return (h ^ h >> 15) % CHAINS;
}

static bool idle(const struct entry *e, uint64_t now)
{
	return !e->open && now >= e->window_ends_ms;
}

/* Drops what is over; if the chain is still too long, the first to run out of those without open
 * connections. */
static void trim(struct entry **first, uint64_t now)
{
	struct entry **least = NULL;
	unsigned n = 0;

	for (struct entry **at = first; *at;) {
		struct entry *e = *at;

		if (idle(e, now)) {
			*at = e->next;
			free(e);
			continue;
		}
		if (!e->open && (!least || e->window_ends_ms < (*least)->window_ends_ms))
			least = at;
		n++;
		at = &e->next;
	}
	if (n >= CHAIN_MAX && least) {
		struct entry *e = *least;

		*least = e->next;
		free(e);
	}
}

static struct entry *find(struct entry *e, const uint8_t *key)
{
	while (e && memcmp(e->key, key, 16))
		e = e->next;
	return e;
}

static struct entry *find_or_add(struct entry **first, const uint8_t *key)
{
	struct entry *e = find(*first, key);

	if (e)
		return e;
	trim(first, clock_ms());
	e = xcalloc(1, sizeof(*e));
	memcpy(e->key, key, 16);
	e->next = *first;
	*first = e;
	return e;
}

bool limits_begin(const struct conf_prefix *address, int64_t max)
{
	uint8_t key[16];
	unsigned c;
	struct entry *e;
	bool ok;

	key_of(address, key);
	c = chain_of(key);
	pthread_mutex_lock(&chains[c].lock);
	e = find_or_add(&chains[c].first, key);
	ok = !max || e->open < max;
	if (ok)
		e->open++;
	pthread_mutex_unlock(&chains[c].lock);
	return ok;
}

void limits_end(const struct conf_prefix *address)
{
	uint8_t key[16];
	unsigned c;
	struct entry *e;

	key_of(address, key);
	c = chain_of(key);
	pthread_mutex_lock(&chains[c].lock);
	e = find(chains[c].first, key);
	REQUIRE(e && e->open);
	e->open--;
	trim(&chains[c].first, clock_ms());
	pthread_mutex_unlock(&chains[c].lock);
}

void limits_login_failed(const struct conf_prefix *address, int64_t window_ms)
{
	uint64_t now = clock_ms();
	uint8_t key[16];
	unsigned c;
	struct entry *e;

	key_of(address, key);
	c = chain_of(key);
	pthread_mutex_lock(&chains[c].lock);
	e = find_or_add(&chains[c].first, key);
	if (now >= e->window_ends_ms) {
		e->failed = 0;
		e->window_ends_ms = now + (uint64_t)window_ms;
	}
	e->failed++;
	pthread_mutex_unlock(&chains[c].lock);
}

bool limits_login_blocked(const struct conf_prefix *address, int64_t max)
{
	uint8_t key[16];
	unsigned c;
	struct entry *e;
	bool blocked;

	key_of(address, key);
	c = chain_of(key);
	pthread_mutex_lock(&chains[c].lock);
	e = find(chains[c].first, key);
	blocked = e && max && e->failed >= max && clock_ms() < e->window_ends_ms;
	pthread_mutex_unlock(&chains[c].lock);
	return blocked;
}

/* --- from one process to another: a record for each chain --- */

/* The failures that count still; their number. */
static unsigned save_chain(const struct entry *e, struct record *r)
{
	uint64_t now = clock_ms();
	unsigned n = 0;

	for (; e; e = e->next) {
		if (!e->failed || now >= e->window_ends_ms)
			continue;
		record_bytes(r, e->key, sizeof(e->key));
		record_number(r, e->failed);
		record_number(r, e->window_ends_ms); /* the clock is the machine's */
		n++;
	}
	return n;
}

static void save(struct handover *to)
{
	for (unsigned c = 0; c < CHAINS; c++) {
		struct record r;
		unsigned n;

		record_begin(&r, "limits", 1);
		pthread_mutex_lock(&chains[c].lock);
		n = save_chain(chains[c].first, &r);
		pthread_mutex_unlock(&chains[c].lock);
		if (n)
			handover_give(to, &r, -1);
		else
			buf_unref(record_end(&r));
	}
}

static bool load_entry(struct record_reader *in)
{
	struct entry *e, found = { 0 };
	const char *key;
	unsigned c;
	size_t len;

	key = record_read_bytes(in, &len);
	found.failed = (uint32_t)record_read_number_to(in, UINT32_MAX);
	found.window_ends_ms = record_read_number(in);
	if (!record_is_good(in) || len != sizeof(found.key))
		return false;
	memcpy(found.key, key, sizeof(found.key));
	c = chain_of(found.key);
	pthread_mutex_lock(&chains[c].lock);
	e = find_or_add(&chains[c].first, found.key);
	e->failed = found.failed;
	e->window_ends_ms = found.window_ends_ms;
	pthread_mutex_unlock(&chains[c].lock);
	return true;
}

static int load(struct handover_item *i)
{
	while (!record_is_read(&i->in))
		if (!load_entry(&i->in))
			return -EBADMSG;
	return 0;
}

void limits_handover(void)
{
	static const struct handover_part part = { "limits", 1, 1, save, load };

	handover_add(&part);
}
