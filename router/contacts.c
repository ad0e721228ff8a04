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
	struct rcu_head rcu;
	uint64_t digest;
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

/* FNV-1a of the address's text: the process's own hashes are seeded. */
static uint64_t digest_of(const struct jid *j)
{
	uint64_t h = 0xcbf29ce484222325u;
	size_t len = (size_t)j->local_len + 1 + j->domain_len;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)j->text[i]) * 0x100000001b3u;
	return h;
}

static int by_hash(const void *a, const void *b)
{
	uint32_t x = ((const struct entry *)a)->hash, y = ((const struct entry *)b)->hash;

	return x < y ? -1 : x > y;
}

static bool is_sorted(const struct entry *e, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		if (e[i].hash < e[i - 1].hash)
			return false;
	return true;
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
	s->digest = 0;
	for (unsigned i = 0; i < b->n; i++) {
		s->bits |= b->entries[i].bits;
		s->digest += digest_of(
			(const struct jid *)(const void *)(b->data->data + b->entries[i].at));
	}
	if (b->n)
		memcpy(s->entries, b->entries, entries);
	if (b->n_groups)
		memcpy(s->groups, b->groups, groups);
	memcpy(data, b->data->data, b->data->len);
	if (!is_sorted(s->entries, s->n))
		qsort(s->entries, b->n, sizeof(b->entries[0]), by_hash);
	free(b->entries);
	free(b->groups);
	buf_unref(b->data);
	free(b);
	return s;
}

/* In the order of hashes, so that nothing is sorted again. */
static void copy_entries(struct contact_set_builder *b, const struct contact_set *s, unsigned from,
	unsigned to, const struct jid *but)
{
	for (unsigned i = from; i < to; i++)
		if (!but || !jid_equal_bare(jid_at(s, &s->entries[i]), but))
			contact_set_add(b, jid_at(s, &s->entries[i]), s->entries[i].bits, NULL, 0);
}

static unsigned place_of(const struct contact_set *s, uint32_t hash)
{
	unsigned from = 0, to = s->n;

	while (from < to) {
		unsigned middle = (from + to) / 2;

		if (s->entries[middle].hash < hash)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

struct contact_set *contact_set_with(
	const struct contact_set *was, const struct jid *bare, unsigned bits)
{
	struct contact_set_builder *b = contact_set_begin();
	unsigned place = was ? place_of(was, bare->bare_hash) : 0;

	if (was)
		copy_entries(b, was, 0, place, bare);
	contact_set_add(b, bare, bits, NULL, 0);
	if (was)
		copy_entries(b, was, place, was->n, bare);
	return contact_set_end(b);
}

struct contact_set *contact_set_without(const struct contact_set *was, const struct jid *bare)
{
	struct contact_set_builder *b = contact_set_begin();

	copy_entries(b, was, 0, was->n, bare);
	return contact_set_end(b);
}

struct contact_set *contact_set_ref(struct contact_set *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

static void set_free(struct rcu_head *head)
{
	free(container_of(head, struct contact_set, rcu));
}

void contact_set_unref(struct contact_set *s)
{
	if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
		rcu_later(&s->rcu, set_free);
}

/* One found under RCU; NULL when it is on its way out. */
static struct contact_set *set_hold(struct contact_set *s)
{
	uint32_t refs = s ? atomic_load_explicit(&s->refs, memory_order_relaxed) : 0;

	while (refs &&
		!atomic_compare_exchange_weak_explicit(
			&s->refs, &refs, refs + 1, memory_order_acquire, memory_order_relaxed))
		;
	return refs ? s : NULL;
}

unsigned contact_set_count(const struct contact_set *s)
{
	return s->n;
}

const struct jid *contact_set_at(const struct contact_set *s, unsigned i)
{
	return jid_at(s, &s->entries[i]);
}

uint64_t contact_set_digest(const struct contact_set *s)
{
	return s->digest;
}

size_t contact_set_bytes(const struct contact_set *s)
{
	return sizeof(*s) + s->n * sizeof(s->entries[0]) + s->n_groups * sizeof(s->groups[0]) +
		s->bytes;
}

static const struct entry *find_entry(const struct contact_set *s, const struct jid *who)
{
	unsigned from = place_of(s, who->bare_hash);

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

/* --- shared groups ---------------------------------------------------------------------------- */

struct contact_group {
	_Atomic uint32_t refs;
	struct rcu_head rcu;
	RCU_PTR(struct contact_set) members, present; /* counted */
	char label[];
};

struct contact_group *contact_group_new(const char *label)
{
	struct contact_group *g = xcalloc(1, sizeof(*g) + strlen(label) + 1);

	atomic_init(&g->refs, 1);
	strcpy(g->label, label);
	rcu_set(g->members, contact_set_end(contact_set_begin()));
	rcu_set(g->present, contact_set_ref(rcu_get(g->members)));
	return g;
}

struct contact_group *contact_group_ref(struct contact_group *g)
{
	atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
	return g;
}

static void group_free(struct rcu_head *head)
{
	struct contact_group *g = container_of(head, struct contact_group, rcu);

	contact_set_unref(rcu_get(g->members));
	contact_set_unref(rcu_get(g->present));
	free(g);
}

void contact_group_unref(struct contact_group *g)
{
	if (g && atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) == 1)
		rcu_later(&g->rcu, group_free);
}

const char *contact_group_label(const struct contact_group *g)
{
	return g->label;
}

void contact_group_set(
	struct contact_group *g, struct contact_set *members, struct contact_set *present)
{
	contact_set_unref(rcu_swap(g->members, contact_set_ref(members)));
	contact_set_unref(rcu_swap(g->present, contact_set_ref(present)));
}

/* Until it is one that is not being replaced. */
static struct contact_set *hold_members(struct contact_group *g)
{
	struct contact_set *s;

	while (!(s = set_hold(rcu_get(g->members))))
		;
	return s;
}

/* --- the part ----------------------------------------------------------------------------------
 */

struct contacts {
	struct account_part part;
	struct contact_set *own; /* counted */
	unsigned n;
	struct shared_contacts shared[]; /* counted */
};

static void contacts_free(struct account_part *p)
{
	struct contacts *c = container_of(p, struct contacts, part);

	contact_set_unref(c->own);
	for (unsigned i = 0; i < c->n; i++)
		contact_group_unref(c->shared[i].group);
	free(c);
}

static struct account_part *make_part(struct contacts_loading *l)
{
	struct contacts *c = xmalloc(sizeof(*c) + l->n_shared * sizeof(c->shared[0]));

	atomic_init(&c->part.refs, 1);
	c->part.free = contacts_free;
	c->own = l->own;
	c->n = l->n_shared;
	if (l->n_shared)
		memcpy(c->shared, l->shared, l->n_shared * sizeof(c->shared[0]));
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
		contact_group_unref(l.shared[i].group);
	free(l.shared);
	return error;
}

struct account_kind contacts_kind = { .name = "roster", .load = contacts_load };

static const struct contacts *contacts_of(const struct account *a)
{
	const struct account_part *p = account_part(a, &contacts_kind);

	return p ? container_of(p, const struct contacts, part) : NULL;
}

unsigned contacts_hold_shared(const struct account *a, struct shared_held **out)
{
	const struct contacts *c = contacts_of(a);

	*out = NULL;
	if (!c || !c->n)
		return 0;
	*out = xmalloc(c->n * sizeof(**out));
	for (unsigned i = 0; i < c->n; i++) {
		(*out)[i].shared.bits = c->shared[i].bits;
		(*out)[i].shared.group = contact_group_ref(c->shared[i].group);
		(*out)[i].members = hold_members(c->shared[i].group);
	}
	return c->n;
}

void contacts_drop_shared(struct shared_held *held, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		contact_group_unref(held[i].shared.group);
		contact_set_unref(held[i].members);
	}
	free(held);
}

/* --- asking ------------------------------------------------------------------------------------
 */

static unsigned shared_state(const struct shared_contacts *s, const struct jid *who)
{
	unsigned bits = contact_set_find(rcu_get(s->group->members), who);

	return bits ? bits | s->bits : 0;
}

unsigned contact_state(const struct account *a, const struct jid *who)
{
	const struct contacts *c = contacts_of(a);
	unsigned bits = c ? contact_set_find(c->own, who) : 0;

	for (unsigned i = 0; c && i < c->n; i++)
		bits |= shared_state(&c->shared[i], who);
	return bits;
}

unsigned contact_own_state(const struct account *a, const struct jid *who)
{
	const struct contacts *c = contacts_of(a);

	return c ? contact_set_find(c->own, who) : 0;
}

bool contacts_share(const struct account *a, const struct contact_group *g, unsigned bits)
{
	const struct contacts *c = contacts_of(a);

	for (unsigned i = 0; c && i < c->n; i++)
		if (c->shared[i].group == g && c->shared[i].bits & bits)
			return true;
	return false;
}

static bool own_in_group(const struct contact_set *s, const struct jid *who, const char *group)
{
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
	return false;
}

bool contact_in_group(const struct account *a, const struct jid *who, const char *group)
{
	const struct contacts *c = contacts_of(a);

	for (unsigned i = 0; c && i < c->n; i++)
		if (shared_state(&c->shared[i], who) & CONTACT_LISTED &&
			strcmp(c->shared[i].group->label, group) == 0)
			return true;
	return c && own_in_group(c->own, who, group);
}

bool contacts_have(const struct account *a, unsigned bits)
{
	const struct contacts *c = contacts_of(a);
	unsigned have = c ? c->own->bits : 0;

	for (unsigned i = 0; c && i < c->n; i++)
		have |= c->shared[i].bits;
	return have & bits;
}

unsigned contacts_count(const struct account *a)
{
	const struct contacts *c = contacts_of(a);
	unsigned n = 0;

	for (unsigned i = 0; c && i < c->own->n; i++)
		n += (c->own->entries[i].bits & CONTACT_LISTED) != 0;
	return n;
}

void contacts_begin(struct contacts_walk *w, const struct account *a, unsigned bits)
{
	const struct contacts *c = contacts_of(a);

	*w = (struct contacts_walk){ .in = c, .set = c ? c->own : NULL, .wanted = bits };
}

/* Who is in several sets comes with the first of them that has a wanted bit. */
static bool came_before(const struct contacts_walk *w)
{
	if (!w->next) /* the account's own */
		return false;
	if (contact_set_find(w->in->own, w->jid) & w->wanted)
		return true;
	for (unsigned i = 0; i + 1 < w->next; i++)
		if (contact_set_find(rcu_get(w->in->shared[i].group->present), w->jid) &&
			w->in->shared[i].bits & w->wanted)
			return true;
	return false;
}

/* A set stays the one that it was when the walk came to it. */
static void next_set(struct contacts_walk *w)
{
	const struct shared_contacts *s = NULL;

	while (w->next < w->in->n && !s) {
		s = &w->in->shared[w->next++];
		if (!(s->bits & w->wanted))
			s = NULL;
	}
	w->set = s ? rcu_get(s->group->present) : NULL;
	w->shared_bits = s ? s->bits : 0;
	w->at = 0;
}

bool contacts_next(struct contacts_walk *w)
{
	for (; w->set; next_set(w)) {
		while (w->at < w->set->n) {
			const struct entry *e = &w->set->entries[w->at++];

			w->bits = e->bits | w->shared_bits;
			w->jid = jid_at(w->set, e);
			if (w->bits & w->wanted && !came_before(w))
				return true;
		}
	}
	return false;
}
