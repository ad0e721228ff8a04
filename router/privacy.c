/* router/privacy.c - rules, and which of them comes first. */
#include "router/privacy.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "router/contacts.h"

struct account_kind privacy_kind; /* its name and load() are set by modules/privacy_lists */

struct privacy_index {
	uint32_t hash;
	uint32_t rule;
};

/* ---- Making */

static void privacy_free(struct account_part *part)
{
	struct privacy *p = container_of(part, struct privacy, part);

	for (unsigned i = 0; i < p->n; i++) {
		free(p->lists[i].rules);
		free(p->lists[i].index);
		free(p->lists[i].others);
	}
	free(p->lists);
	arena_fini(&p->arena);
	free(p);
}

struct privacy *privacy_new(void)
{
	struct privacy *p = xcalloc(1, sizeof(*p));

	atomic_init(&p->part.refs, 1);
	p->part.free = privacy_free;
	arena_init(&p->arena, NULL, 0);
	return p;
}

/* Whether an array of n that grows by doubling is full. */
static bool is_full(unsigned n)
{
	return (n & (n - 1)) == 0;
}

void privacy_add_list(
	struct privacy *p, int64_t id, uint8_t number, const char *name, bool standard)
{
	if (is_full(p->n))
		p->lists = xrealloc(p->lists, (p->n ? p->n * 2 : 1) * sizeof(p->lists[0]));
	p->lists[p->n++] = (struct privacy_list){
		.id = id, .number = number, .name = arena_text(&p->arena, name, strlen(name))
	};
	if (standard)
		p->standard = (const struct privacy_list *)(uintptr_t)p->n; /* until the end */
}

void privacy_add_rule(struct privacy *p, const struct privacy_rule *rule)
{
	struct privacy_list *l = &p->lists[p->n - 1];
	struct privacy_rule *r;

	if (is_full(l->n))
		l->rules = xrealloc(l->rules, (l->n ? l->n * 2 : 1) * sizeof(l->rules[0]));
	r = &l->rules[l->n++];
	*r = *rule;
	if (rule->jid)
		r->jid = jid_dup(rule->jid, &p->arena);
	if (rule->group)
		r->group = arena_text(&p->arena, rule->group, strlen(rule->group));
}

static int by_order(const void *a, const void *b)
{
	int64_t x = ((const struct privacy_rule *)a)->order;
	int64_t y = ((const struct privacy_rule *)b)->order;

	return x < y ? -1 : x > y;
}

static int by_hash(const void *a, const void *b)
{
	const struct privacy_index *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

static uint32_t domain_hash(const struct jid *j)
{
	return jid_hash_domain(jid_domain(j), j->domain_len);
}

static void index_list(struct privacy_list *l)
{
	if (!l->n)
		return;
	qsort(l->rules, l->n, sizeof(l->rules[0]), by_order);
	l->index = xmalloc(l->n * sizeof(l->index[0]));
	l->others = xmalloc(l->n * sizeof(l->others[0]));
	for (unsigned i = 0; i < l->n; i++) {
		const struct jid *j = l->rules[i].jid;

		if (l->rules[i].about != PRIVACY_JID)
			l->others[l->n_others++] = i;
		else
			l->index[l->n_index++] = (struct privacy_index){
				j->local_len ? j->bare_hash : domain_hash(j), i
			};
	}
	qsort(l->index, l->n_index, sizeof(l->index[0]), by_hash);
}

void privacy_end(struct privacy *p)
{
	if (p->standard)
		p->standard = &p->lists[(uintptr_t)p->standard - 1];
	for (unsigned i = 0; i < p->n; i++)
		index_list(&p->lists[i]);
}

/* ---- Asking */

const struct privacy_list *privacy_list_of(const struct privacy *p, uint8_t active)
{
	for (unsigned i = 0; active && i < p->n; i++)
		if (p->lists[i].number == active)
			return &p->lists[i];
	return p->standard;
}

const struct privacy_list *privacy_find(const struct privacy *p, const char *name)
{
	for (unsigned i = 0; p && i < p->n; i++)
		if (strcmp(p->lists[i].name, name) == 0)
			return &p->lists[i];
	return NULL;
}

/* XEP-0016 §2.1, XEP-0191 §6: what the rule's address does not say may be anything. */
static bool jid_fits(const struct jid *rule, const struct jid *peer)
{
	return strcmp(jid_domain(rule), jid_domain(peer)) == 0 &&
		(!rule->local_len || strcmp(jid_local(rule), jid_local(peer)) == 0) &&
		(!rule->resource_len || strcmp(jid_resource(rule), jid_resource(peer)) == 0);
}

static bool kinds_fit(const struct privacy_rule *r, unsigned kinds)
{
	return !r->kinds || r->kinds & kinds;
}

/* The first one with that hash that fits, unless `first` comes before. */
static unsigned first_of_hash(const struct privacy_list *l, uint32_t hash, const struct jid *peer,
	unsigned kinds, unsigned first)
{
	unsigned low = 0, high = l->n_index;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (l->index[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < l->n_index && l->index[low].hash == hash; low++) {
		unsigned i = l->index[low].rule;

		if (i >= first)
			break;
		if (kinds_fit(&l->rules[i], kinds) && jid_fits(l->rules[i].jid, peer))
			return i;
	}
	return first;
}

static bool other_fits(
	const struct privacy_rule *r, const struct account *a, const struct jid *peer)
{
	switch (r->about) {
	case PRIVACY_GROUP:
		return contact_in_group(a, peer, r->group);
	case PRIVACY_SUBSCRIPTION:
		return (contact_state(a, peer) & CONTACT_BOTH) == r->subscription;
	default:
		return true;
	}
}

bool privacy_denies(const struct privacy_list *l, const struct account *a, const struct jid *peer,
	unsigned kinds)
{
	unsigned first = l->n;

	if (l->n_index) {
		if (peer->local_len)
			first = first_of_hash(l, peer->bare_hash, peer, kinds, first);
		first = first_of_hash(l, domain_hash(peer), peer, kinds, first);
	}
	for (unsigned i = 0; i < l->n_others && l->others[i] < first; i++) {
		const struct privacy_rule *r = &l->rules[l->others[i]];

		if (kinds_fit(r, kinds) && other_fits(r, a, peer))
			first = l->others[i];
	}
	return first < l->n && l->rules[first].deny;
}

/* ---- Stanzas */

static bool is_notification(const struct stanza *s)
{
	return s->type == PRES_AVAILABLE || s->type == PRES_UNAVAILABLE;
}

static unsigned kinds_in(const struct stanza *s)
{
	switch (s->kind) {
	case STANZA_MESSAGE:
		return PRIVACY_MESSAGE;
	case STANZA_IQ:
		return PRIVACY_IQ;
	default:
		return is_notification(s) ? PRIVACY_PRESENCE_IN : 0;
	}
}

/* The account itself, or its server. */
static bool is_own(const struct jid *account, const struct jid *peer)
{
	return jid_equal_bare(account, peer) ||
		(jid_is_domain(peer) && strcmp(jid_domain(account), jid_domain(peer)) == 0);
}

bool privacy_denies_in(
	const struct privacy_list *l, const struct account *a, const struct stanza *s)
{
	return s->from && !is_own(s->to, s->from) && privacy_denies(l, a, s->from, kinds_in(s));
}

bool privacy_denies_out(
	const struct privacy_list *l, const struct account *a, const struct stanza *s)
{
	unsigned kinds =
		s->kind == STANZA_PRESENCE && is_notification(s) ? PRIVACY_PRESENCE_OUT : 0;

	return s->to && !is_own(s->from, s->to) && privacy_denies(l, a, s->to, kinds);
}
