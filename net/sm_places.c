/* net/sm_places.c - a hash table in parts, each behind its lock: it is asked once a login. */
#include "net/sm_places.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <urcu/list.h>

#include "core/mem.h"

#define PARTS 64u
#define BUCKETS_FIRST 64u

struct entry {
	struct entry *next; /* in its bucket */
	struct cds_list_head over; /* in its part's list, oldest first, when it is over */
	uint8_t id[SM_ID_BYTES];
	struct sm_place place;
};

static struct part {
	pthread_mutex_t lock;
	struct entry **buckets; /* owned */
	uint32_t n_buckets; /* a power of two */
	uint32_t n, n_over;
	struct cds_list_head over;
} parts[PARTS];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make(void)
{
	for (unsigned i = 0; i < PARTS; i++) {
		pthread_mutex_init(&parts[i].lock, NULL);
		CDS_INIT_LIST_HEAD(&parts[i].over);
	}
}

void sm_id_make(uint8_t out[SM_ID_BYTES])
{
	REQUIRE(getrandom(out, SM_ID_BYTES, 0) == SM_ID_BYTES);
}

void sm_id_write(const uint8_t id[SM_ID_BYTES], char out[SM_ID_TEXT])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < SM_ID_BYTES; i++) {
		out[2 * i] = digits[id[i] >> 4];
		out[2 * i + 1] = digits[id[i] & 15];
	}
	out[2 * SM_ID_BYTES] = 0;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sm_id_read(const char *text, uint8_t out[SM_ID_BYTES])
{
	for (unsigned i = 0; i < SM_ID_BYTES; i++) {
		int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);

		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return !text[2 * SM_ID_BYTES];
}

/* The first bytes say which part, others which bucket: they are random. */
static struct part *part_of(const uint8_t *id)
{
	pthread_once(&made, make);
	return &parts[id[0] % PARTS];
}

static uint32_t hash_of(const uint8_t *id)
{
	uint32_t hash;

	memcpy(&hash, id + 4, sizeof(hash));
	return hash;
}

/* Under the part's lock: the link to it, or the last one of its bucket. */
static struct entry **find(struct part *p, const uint8_t *id)
{
	static struct entry *none;
	struct entry **link = p->n_buckets ? &p->buckets[hash_of(id) & (p->n_buckets - 1)] : &none;

	while (*link && memcmp((*link)->id, id, SM_ID_BYTES))
		link = &(*link)->next;
	return link;
}

static void grow(struct part *p)
{
	uint32_t n = p->n_buckets ? p->n_buckets * 2 : BUCKETS_FIRST;
	struct entry **was = p->buckets;
	uint32_t n_was = p->n_buckets;

	p->buckets = xcalloc(n, sizeof(*p->buckets));
	p->n_buckets = n;
	for (uint32_t i = 0; i < n_was; i++) {
		for (struct entry *e = was[i], *next; e; e = next) {
			struct entry **link = &p->buckets[hash_of(e->id) & (n - 1)];

			next = e->next;
			e->next = *link;
			*link = e;
		}
	}
	free(was);
}

static void drop(struct part *p, struct entry **link)
{
	struct entry *e = *link;

	*link = e->next;
	p->n--;
	if (!e->place.session.v) {
		cds_list_del(&e->over);
		p->n_over--;
	}
	free(e);
}

void sm_place_add(const uint8_t id[SM_ID_BYTES], struct actor_id session, uint32_t bare_hash)
{
	struct part *p = part_of(id);
	struct entry *e = xcalloc(1, sizeof(*e)), **link;

	memcpy(e->id, id, SM_ID_BYTES);
	e->place.session = session;
	e->place.bare_hash = bare_hash;
	pthread_mutex_lock(&p->lock);
	if (p->n >= p->n_buckets)
		grow(p);
	link = find(p, id);
	REQUIRE(!*link);
	*link = e;
	p->n++;
	pthread_mutex_unlock(&p->lock);
}

void sm_place_end(const uint8_t id[SM_ID_BYTES], uint32_t handled)
{
	struct part *p = part_of(id);
	struct entry *e;

	pthread_mutex_lock(&p->lock);
	e = *find(p, id);
	if (e && e->place.session.v) {
		e->place.session = ACTOR_NONE;
		e->place.handled = handled;
		cds_list_add_tail(&e->over, &p->over);
		if (++p->n_over > SM_OVER_MAX / PARTS)
			drop(p, find(p, cds_list_first_entry(&p->over, struct entry, over)->id));
	}
	pthread_mutex_unlock(&p->lock);
}

void sm_place_remove(const uint8_t id[SM_ID_BYTES])
{
	struct part *p = part_of(id);
	struct entry **link;

	pthread_mutex_lock(&p->lock);
	link = find(p, id);
	if (*link)
		drop(p, link);
	pthread_mutex_unlock(&p->lock);
}

bool sm_place_find(const uint8_t id[SM_ID_BYTES], struct sm_place *out)
{
	struct part *p = part_of(id);
	struct entry *e;

	pthread_mutex_lock(&p->lock);
	e = *find(p, id);
	if (e)
		*out = e->place;
	pthread_mutex_unlock(&p->lock);
	return e != NULL;
}
