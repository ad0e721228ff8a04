/* router/contacts.c - sets of contacts: addresses in one piece of memory, sorted by their hashes.
 */
#include "router/contacts.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"

#define SET_BYTES_MAX (1u << 24)

/* The address lies `at` bytes into the set's data, then uint16_t: how many groups, and which. */
struct entry {
	uint32_t hash;
	uint32_t at : 24;
	uint32_t bits : 8;
};
struct contact_set {
	_Atomic uint32_t refs;
	uint32_t n;
	uint32_t bits; /* all of them together */
	uint32_t n_groups;
	uint32_t bytes; /* of data */
	struct entry *entries; /* in the same piece of memory, as the others */
	uint32_t *groups; /* where their names are in data */
	const char *data;
};

static const struct jid *jid_at(const struct contact_set *s, const struct entry *e)
{
	return (const struct jid *)(const void *)(s->data + e->at);
}

/* --- making ------------------------------------------------------------------------------------
 */

struct contact_set_builder {
	struct entry *entries;
	uint32_t *groups;
	unsigned n, room, n_groups;
	struct buf *data;
};

struct contact_set_builder *contact_set_begin(void)
{
	struct contact_set_builder *b = xcalloc(1, sizeof(*b));

	b->data = buf_new(256);
	return b;
}

/* Addresses stand at multiples of four. */
static uint32_t aligned(struct buf **data)
{
	while ((*data)->len % _Alignof(struct jid))
		buf_append_char(data, 0);
	return (*data)->len;
}

static uint16_t group_index(struct contact_set_builder *b, const char *name)
{
	for (unsigned i = 0; i < b->n_groups; i++)
		if (strcmp(b->data->data + b->groups[i], name) == 0)
			return (uint16_t)i;
	if (b->n_groups % 8 == 0)
		b->groups = xrealloc(b->groups, (b->n_groups + 8) * sizeof(b->groups[0]));
	b->groups[b->n_groups] = b->data->len;
	buf_append(&b->data, name, strlen(name) + 1);
	return (uint16_t)b->n_groups++;
}

/* Names first: the entry's own bytes lie together. */
void contact_set_add(struct contact_set_builder *b, const struct jid *bare, unsigned bits,
	const char *const *groups, unsigned n)
{
	uint16_t list[1 + 256];
	struct entry *e;

	list[0] = 0;
	for (unsigned i = 0; i < n && i < 256 && b->n_groups < UINT16_MAX; i++)
		list[++list[0]] = group_index(b, groups[i]);
	if (b->data->len + jid_bytes(bare) + sizeof(list) > SET_BYTES_MAX)
		return;
	if (b->n == b->room) {
		b->room = b->room ? b->room * 2 : 16;
		b->entries = xrealloc(b->entries, b->room * sizeof(b->entries[0]));
	}
	e = &b->entries[b->n++];
	*e = (struct entry){ .hash = bare->bare_hash,
		.at = aligned(&b->data) & (SET_BYTES_MAX - 1),
		.bits = bits & 0xff };
	buf_append(&b->data, bare, jid_bytes(bare));
	buf_append(&b->data, list, (list[0] + 1u) * sizeof(list[0]));
}

static int by_hash(const void *a, const void *b)
{
	uint32_t x = ((const struct entry *)a)->hash, y = ((const struct entry *)b)->hash;

	return x < y ? -1 : x > y;
}

struct contact_set *contact_set_end(struct contact_set_builder *b)
{
	size_t entries = b->n * sizeof(b->entries[0]), groups = b->n_groups * sizeof(b->groups[0]);
	struct contact_set *s = xmalloc(sizeof(*s) + entries + groups + b->data->len);
	char *data;

	atomic_init(&s->refs, 1);
	s->n = b->n;
	s->n_groups = b->n_groups;
	s->bytes = b->data->len;
	s->bits = 0;
	s->entries = (struct entry *)(s + 1);
	s->groups = (uint32_t *)(s->entries + b->n);
	s->data = data = (char *)(s->groups + b->n_groups);
	for (unsigned i = 0; i < b->n; i++)
		s->bits |= b->entries[i].bits;
	if (b->n)
		memcpy(s->entries, b->entries, entries);
	if (b->n_groups)
		memcpy(s->groups, b->groups, groups);
	memcpy(data, b->data->data, b->data->len);
	if (b->n)
		qsort(s->entries, b->n, sizeof(b->entries[0]), by_hash);
	free(b->entries);
	free(b->groups);
	buf_unref(b->data);
	free(b);
	return s;
}

struct contact_set *contact_set_ref(struct contact_set *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void contact_set_unref(struct contact_set *s)
{
	if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
		free(s);
}

size_t contact_set_bytes(const struct contact_set *s)
{
	return sizeof(*s) + s->n * sizeof(s->entries[0]) + s->n_groups * sizeof(s->groups[0]) +
		s->bytes;
}

static const struct entry *find_entry(const struct contact_set *s, const struct jid *who)
{
	unsigned from = 0, to = s->n;

	while (from < to) {
		unsigned middle = (from + to) / 2;

		if (s->entries[middle].hash < who->bare_hash)
			from = middle + 1;
		else
			to = middle;
	}
	for (; from < s->n && s->entries[from].hash == who->bare_hash; from++)
		if (jid_equal_bare(jid_at(s, &s->entries[from]), who))
			return &s->entries[from];
	return NULL;
}

unsigned contact_set_find(const struct contact_set *s, const struct jid *who)
{
	const struct entry *e = find_entry(s, who);

	return e ? e->bits : 0;
}

/* --- the part ----------------------------------------------------------------------------------
 */

struct contacts {
	struct account_part part;
	unsigned n; /* sets: the account's own first */
	struct shared_contacts sets[];
};

static void contacts_free(struct account_part *p)
{
	struct contacts *c = container_of(p, struct contacts, part);

	for (unsigned i = 0; i < c->n; i++)
		contact_set_unref(c->sets[i].set);
	free(c);
}

static struct account_part *make_part(struct contacts_loading *l)
{
	unsigned n = l->n_shared + 1;
	struct contacts *c = xmalloc(sizeof(*c) + n * sizeof(c->sets[0]));

	atomic_init(&c->part.refs, 1);
	c->part.free = contacts_free;
	c->n = n;
	c->sets[0] = (struct shared_contacts){ .set = l->own };
	if (l->n_shared)
		memcpy(c->sets + 1, l->shared, l->n_shared * sizeof(c->sets[0]));
	free(l->shared);
	return &c->part;
}

static int contacts_load(
	void *arg, struct host *h, const struct jid *bare, struct account_part **out)
{
	struct contacts_source *source = arg;
	struct contacts_loading l = { 0 };
	int error = source->load(source, h, bare, &l);

	if (!error) {
		*out = make_part(&l);
		return 0;
	}
	contact_set_unref(l.own);
	for (unsigned i = 0; i < l.n_shared; i++)
		contact_set_unref(l.shared[i].set);
	free(l.shared);
	return error;
}

struct account_kind contacts_kind = { .name = "roster", .load = contacts_load };

static const struct contacts *contacts_of(const struct account *a)
{
	const struct account_part *p = account_part(a, &contacts_kind);

	return p ? container_of(p, const struct contacts, part) : NULL;
}

/* --- asking ------------------------------------------------------------------------------------
 */

unsigned contact_state(const struct account *a, const struct jid *who)
{
	const struct contacts *c = contacts_of(a);
	unsigned bits = 0;

	for (unsigned i = 0; c && i < c->n; i++) {
		unsigned own = contact_set_find(c->sets[i].set, who);

		if (own)
			bits |= own | c->sets[i].bits;
	}
	return bits;
}

bool contact_in_group(const struct account *a, const struct jid *who, const char *group)
{
	const struct contacts *c = contacts_of(a);

	for (unsigned i = 0; c && i < c->n; i++) {
		const struct contact_set *s = c->sets[i].set;
		const struct entry *e = find_entry(s, who);
		const char *at = e ? s->data + e->at + jid_bytes(jid_at(s, e)) : NULL;
		uint16_t n = 0, index;

		if (at)
			memcpy(&n, at, sizeof(n));
		for (unsigned k = 1; k <= n; k++) {
			memcpy(&index, at + k * sizeof(index), sizeof(index));
			if (strcmp(s->data + s->groups[index], group) == 0)
				return true;
		}
	}
	return false;
}

bool contacts_have(const struct account *a, unsigned bits)
{
	const struct contacts *c = contacts_of(a);

	for (unsigned i = 0; c && i < c->n; i++)
		if ((c->sets[i].set->bits | (c->sets[i].set->n ? c->sets[i].bits : 0)) & bits)
			return true;
	return false;
}

unsigned contacts_count(const struct account *a)
{
	const struct contacts *c = contacts_of(a);
	unsigned n = 0;

	for (unsigned i = 0; c && i < c->sets[0].set->n; i++)
		n += (c->sets[0].set->entries[i].bits & CONTACT_LISTED) != 0;
	return n;
}

void contacts_begin(struct contacts_walk *w, const struct account *a, unsigned bits)
{
	*w = (struct contacts_walk){ .in = contacts_of(a), .wanted = bits };
}

/* Who is in several sets comes with the first of them that has a wanted bit. */
static bool came_before(const struct contacts_walk *w)
{
	for (unsigned i = 0; i < w->set; i++) {
		unsigned bits = contact_set_find(w->in->sets[i].set, w->jid);

		if (bits && (bits | w->in->sets[i].bits) & w->wanted)
			return true;
	}
	return false;
}

bool contacts_next(struct contacts_walk *w)
{
	for (; w->in && w->set < w->in->n; w->set++, w->at = 0) {
		const struct contact_set *s = w->in->sets[w->set].set;

		while (w->at < s->n) {
			const struct entry *e = &s->entries[w->at++];

			w->bits = e->bits | w->in->sets[w->set].bits;
			w->jid = jid_at(s, e);
			if (w->bits & w->wanted && !came_before(w))
				return true;
		}
	}
	return false;
}
