/* core/actor.c - slots: who an id means, and whether it still does.
 * An id is generation (32 bits), slot (24) and shard (8). A shard's slots live in slabs that never
 * move and are never given back; only the shard itself reads or writes them. */
#include "core/actor.h"

#include <pthread.h>
#include <search.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/metric.h"
#include "core/stall.h"

#define SLOT_BITS 24
#define SLAB_SLOTS 4096u
#define SLABS ((1u << SLOT_BITS) / SLAB_SLOTS)

_Static_assert(SHARDS_MAX < 256, "a shard's index has 8 bits of an id");

struct slot {
	struct actor *actor; /* NULL: free */
	uint32_t generation; /* of the actor; when free, of the last one. Never 0 in use */
	uint32_t next_free; /* slot number + 1, 0: none */
};

struct table {
	/* The shard alone. */
	struct slot *slabs[SLABS];
	uint32_t used; /* slots ever taken */
	uint32_t first_free; /* slot number + 1, 0: none */
	/* Any thread. */
	_Atomic uint32_t live; /* relaxed: for choosing a shard and for people */
	struct metric gauge;
	char label[16];
};

static struct table *_Atomic tables[SHARDS_MAX]; /* made by the shard's first actor, then kept */

static struct table *table_of(unsigned shard)
{
	return atomic_load_explicit(&tables[shard], memory_order_acquire);
}

static struct table *table_make(unsigned shard)
{
	struct table *t = xcalloc(1, sizeof(*t));

	snprintf(t->label, sizeof(t->label), "shard=\"%u\"", shard);
	t->gauge = (struct metric){
		.name = "actors",
		.help = "Live actors: streams, sessions, rooms, servers",
		.kind = METRIC_KIND_GAUGE,
		.label = t->label,
	};
	metric_register(&t->gauge);
	atomic_store_explicit(&tables[shard], t, memory_order_release);
	return t;
}

static struct slot *slot_at(struct table *t, uint32_t number)
{
	return &t->slabs[number / SLAB_SLOTS][number % SLAB_SLOTS];
}

static uint32_t slot_take(struct table *t)
{
	uint32_t number;

	if (t->first_free) {
		number = t->first_free - 1;
		t->first_free = slot_at(t, number)->next_free;
		return number;
	}
	number = t->used++;
	REQUIRE(number < 1u << SLOT_BITS);
	if (number % SLAB_SLOTS == 0)
		t->slabs[number / SLAB_SLOTS] = xcalloc(SLAB_SLOTS, sizeof(struct slot));
	return number;
}

static void count(struct table *t, int by)
{
	atomic_fetch_add_explicit(&t->live, (uint32_t)by, memory_order_relaxed);
	metric_add(&t->gauge, by);
}

static unsigned id_shard(struct actor_id id)
{
	return id.v & 0xff;
}

static uint32_t id_slot(struct actor_id id)
{
	return (id.v >> 8) & ((1u << SLOT_BITS) - 1);
}

static uint32_t id_generation(struct actor_id id)
{
	return (uint32_t)(id.v >> 32);
}

void actor_begin(struct actor *a, const struct actor_class *class)
{
	unsigned shard = shard_index(shard_self());
	struct table *t = table_of(shard);
	uint32_t number;
	struct slot *s;

	if (!t)
		t = table_make(shard);
	number = slot_take(t);
	s = slot_at(t, number);
	if (++s->generation == 0)
		s->generation = 1; /* so no id is 0 */
	s->actor = a;
	a->id.v = (uint64_t)s->generation << 32 | (uint64_t)number << 8 | shard;
	a->class = class;
	count(t, 1);
}

void actor_end(struct actor *a)
{
	struct table *t;
	struct slot *s;

	REQUIRE(actor_find(a->id) == a);
	t = table_of(id_shard(a->id));
	s = slot_at(t, id_slot(a->id));
	s->actor = NULL;
	s->next_free = t->first_free;
	t->first_free = id_slot(a->id) + 1;
	a->id = ACTOR_NONE;
	count(t, -1);
}

struct actor *actor_find(struct actor_id id)
{
	struct table *t;
	struct slot *s;

	shard_check(NULL);
	REQUIRE(id_shard(id) == shard_index(shard_self()));
	t = table_of(id_shard(id));
	if (!t || id_slot(id) >= t->used)
		return NULL;
	s = slot_at(t, id_slot(id));
	return s->generation == id_generation(id) ? s->actor : NULL;
}

void actor_soon(struct actor_id id)
{
	struct shard *here = shard_self();
	struct table *t;

	if (!here || id_shard(id) != shard_index(here))
		return;
	t = table_of(id_shard(id));
	if (t && id_slot(id) < t->used)
		__builtin_prefetch(slot_at(t, id_slot(id)));
}

struct shard *actor_shard(struct actor_id id)
{
	return id.v ? shard_at(id_shard(id)) : NULL;
}

unsigned actor_count(unsigned shard)
{
	struct table *t = table_of(shard);

	return t ? atomic_load_explicit(&t->live, memory_order_relaxed) : 0;
}

static void letter_run(struct msg *m)
{
	struct letter *l = caa_container_of(m, struct letter, msg);
	struct actor *a;

	shard_check(NULL);
	a = l->to.v ? actor_find(l->to) : NULL;
	stall_about(a ? a->class->name : NULL, (void *)l->open);
	l->open(a, l);
}

void letter_post(struct letter *l)
{
	l->msg.run = letter_run;
	shard_post(shard_at(id_shard(l->to)), &l->msg); /* nobody's shard is 0 */
}

static struct slot *letter_slot(const struct msg *m)
{
	const struct letter *l = caa_container_of(m, struct letter, msg);
	struct table *t = table_of(id_shard(l->to));

	return t && id_slot(l->to) < t->used ? slot_at(t, id_slot(l->to)) : NULL;
}

void letters_soon(struct msg *const *m, unsigned n)
{
	struct slot *slots[MAILBOX_AHEAD];

	shard_check(NULL);
	for (unsigned i = 0; i < n; i++) {
		slots[i] = m[i]->run == letter_run ? letter_slot(m[i]) : NULL;
		__builtin_prefetch(slots[i]);
	}
	for (unsigned i = 0; i < n; i++)
		if (slots[i])
			object_soon((uintptr_t)slots[i]->actor, 4);
}

/* --- names: few, and never on a stanza's way, so a tree under a mutex --- */

struct name {
	const char *text;
	struct actor_id id;
};

static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static void *names; /* tsearch(3) */

static int name_compare(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static struct name *name_find(const char *text)
{
	const struct name like = { .text = text };
	struct name **found = tfind(&like, &names, name_compare);

	return found ? *found : NULL;
}

int actor_register(const char *text, struct actor_id id)
{
	struct name *n;
	int err = 0;

	pthread_mutex_lock(&names_lock);
	if (name_find(text)) {
		err = ACTOR_NAME_TAKEN;
	} else {
		n = xmalloc(sizeof(*n) + strlen(text) + 1);
		n->text = strcpy((char *)(n + 1), text);
		n->id = id;
		REQUIRE(tsearch(n, &names, name_compare));
	}
	pthread_mutex_unlock(&names_lock);
	return err;
}

void actor_unregister(const char *text, struct actor_id id)
{
	struct name *n;

	pthread_mutex_lock(&names_lock);
	n = name_find(text);
	if (n && actor_id_equal(n->id, id)) {
		tdelete(n, &names, name_compare);
		free(n);
	}
	pthread_mutex_unlock(&names_lock);
}

struct actor_id actor_whereis(const char *text)
{
	struct actor_id id = ACTOR_NONE;
	struct name *n;

	pthread_mutex_lock(&names_lock);
	n = name_find(text);
	if (n)
		id = n->id;
	pthread_mutex_unlock(&names_lock);
	return id;
}
