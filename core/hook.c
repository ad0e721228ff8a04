/* core/hook.c - a set is an RCU array, by hook index, of RCU arrays of entries in running order. */
#include "core/hook.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/stall.h"

struct entry {
	int order;
	uint64_t added; /* breaks ties, and names the entry within its chain */
	hook_fn *fn;
	void *arg;
};

struct chain { /* never changed once published */
	unsigned n;
	struct entry entries[];
};
typedef RCU_PTR(struct chain) chain_ptr;

struct chains { /* its pointers change in place; it is replaced only to grow */
	unsigned n;
	chain_ptr at[];
};

struct hook_set {
	RCU_PTR(struct chains) chains; /* NULL: nothing added yet */
	struct rcu_head rcu;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all writers */
static unsigned last_index; /* under lock */
static uint64_t last_added; /* under lock */
static _Atomic unsigned hanging;

struct hook_set *hook_set_new(void)
{
	return xcalloc(1, sizeof(struct hook_set));
}

static void hook_set_reclaim(struct rcu_head *head)
{
	struct hook_set *s = caa_container_of(head, struct hook_set, rcu);
	struct chains *chains = rcu_get(s->chains);

	for (unsigned i = 0; chains && i < chains->n; i++) {
		struct chain *c = rcu_get(chains->at[i]);

		atomic_fetch_sub(&hanging, c ? c->n : 0);
		free(c);
	}
	free(chains);
	free(s);
}

void hook_set_free(struct hook_set *s)
{
	if (s)
		rcu_later(&s->rcu, hook_set_reclaim);
}

/* --- readers --- */

static struct chain *chain_of(struct hook_set *s, struct hook *h)
{
	unsigned index = atomic_load_explicit(&h->index, memory_order_relaxed);
	struct chains *chains = rcu_get(s->chains);

	return index && chains && index < chains->n ? rcu_get(chains->at[index]) : NULL;
}

static bool comes_after(const struct entry *a, const struct entry *b)
{
	return a->order != b->order ? a->order > b->order : a->added > b->added;
}

/* The entry after last, which may have been removed meanwhile; i: where last stood. */
static unsigned resume(const struct chain *c, unsigned i, const struct entry *last)
{
	if (i < c->n && c->entries[i].added == last->added)
		return i + 1;
	for (i = 0; i < c->n && !comes_after(&c->entries[i], last);)
		i++;
	return i;
}

/* The chain is fetched anew after each function: off the shards one may have blocked, and a chain
 * seen before that may be gone. On a shard that costs three loads of what is in the cache. */
enum hook_next hook_run(struct hook_set *s, struct hook *h, void *subject)
{
	struct chain *c = chain_of(s, h);
	enum hook_next next;
	struct entry e;

	for (unsigned i = 0; c && i < c->n; i = c ? resume(c, i, &e) : 0) {
		e = c->entries[i];
		next = e.fn(subject, e.arg);
		stall_ran_inside("hook", h->name, (void *)e.fn);
		if (next == HOOK_STOP)
			return HOOK_STOP;
		c = chain_of(s, h);
	}
	return HOOK_GO_ON;
}

unsigned hook_count(void)
{
	return atomic_load(&hanging);
}

bool hook_empty(struct hook_set *s, struct hook *h)
{
	struct chain *c = chain_of(s, h);

	return !c || c->n == 0;
}

/* --- writers: all under lock --- */

static unsigned index_of(struct hook *h)
{
	unsigned index = atomic_load_explicit(&h->index, memory_order_relaxed);

	if (!index) {
		index = ++last_index;
		atomic_store_explicit(&h->index, index, memory_order_relaxed);
	}
	return index;
}

/* Where the chain of this index is kept, in an array that is large enough. */
static chain_ptr *place_of(struct hook_set *s, unsigned index)
{
	struct chains *was = rcu_get(s->chains), *now;
	unsigned n = index < 8 ? 16 : index * 2;

	if (was && index < was->n)
		return &was->at[index];
	now = xcalloc(1, sizeof(*now) + n * sizeof(now->at[0]));
	now->n = n;
	for (unsigned i = 0; was && i < was->n; i++)
		rcu_set(now->at[i], rcu_get(was->at[i]));
	rcu_set(s->chains, now);
	rcu_free_later(was);
	return &now->at[index];
}

static bool is(const struct entry *e, int order, hook_fn *fn, void *arg)
{
	return e->order == order && e->fn == fn && e->arg == arg;
}

/* Where (order, fn, arg) hangs, or n. */
static unsigned entry_find(const struct chain *c, int order, hook_fn *fn, void *arg)
{
	unsigned i = 0;

	while (i < c->n && !is(&c->entries[i], order, fn, arg))
		i++;
	return i;
}

static struct chain *chain_new(unsigned n)
{
	struct chain *c = xmalloc(sizeof(*c) + n * sizeof(c->entries[0]));

	c->n = n;
	return c;
}

static struct chain *chain_with(const struct chain *was, const struct entry *e)
{
	struct chain *now = chain_new(was->n + 1);
	unsigned i = 0;

	for (; i < was->n && !comes_after(&was->entries[i], e); i++)
		now->entries[i] = was->entries[i];
	now->entries[i] = *e;
	for (; i < was->n; i++)
		now->entries[i + 1] = was->entries[i];
	return now;
}

static struct chain *chain_without(const struct chain *was, unsigned out)
{
	struct chain *now = chain_new(was->n - 1);

	for (unsigned i = 0; i < now->n; i++)
		now->entries[i] = was->entries[i + (i >= out)];
	return now;
}

int hook_add(struct hook_set *s, struct hook *h, int order, hook_fn *fn, void *arg)
{
	static const struct chain empty;
	struct entry e = { order, 0, fn, arg };
	const struct chain *was;
	chain_ptr *place;
	int err = 0;

	pthread_mutex_lock(&lock);
	place = place_of(s, index_of(h));
	was = rcu_get(*place) ? rcu_get(*place) : &empty;
	if (entry_find(was, order, fn, arg) < was->n) {
		err = HOOK_DUPLICATE;
	} else {
		e.added = ++last_added;
		rcu_free_later(rcu_swap(*place, chain_with(was, &e)));
		atomic_fetch_add(&hanging, 1);
	}
	pthread_mutex_unlock(&lock);
	return err;
}

void hook_remove(struct hook_set *s, struct hook *h, int order, hook_fn *fn, void *arg)
{
	struct chain *was;
	chain_ptr *place;
	unsigned i;

	pthread_mutex_lock(&lock);
	place = place_of(s, index_of(h));
	was = rcu_get(*place);
	if (was && (i = entry_find(was, order, fn, arg)) < was->n) {
		rcu_free_later(rcu_swap(*place, chain_without(was, i)));
		atomic_fetch_sub(&hanging, 1);
	}
	pthread_mutex_unlock(&lock);
}

bool hook_replace(struct hook_set *s, struct hook *h, int order, hook_fn *fn, void *arg, void *now)
{
	struct chain *was, *next;
	chain_ptr *place;
	unsigned i = 0;
	bool found;

	pthread_mutex_lock(&lock);
	place = place_of(s, index_of(h));
	was = rcu_get(*place);
	found = was && (i = entry_find(was, order, fn, arg)) < was->n;
	if (found) {
		next = chain_new(was->n);
		memcpy(next->entries, was->entries, was->n * sizeof(was->entries[0]));
		next->entries[i].arg = now;
		rcu_free_later(rcu_swap(*place, next));
	}
	pthread_mutex_unlock(&lock);
	return found;
}
