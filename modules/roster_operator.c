/* modules/roster_operator.c - rosters from outside: an operator's commands wait for their turn in
 * the account's lane like everybody else. */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

#include "modules/registry.h"
#include "modules/roster_inside.h"
#include "router/presence.h"

/* One at a time for each caller, on the caller's stack. */
struct order {
	sem_t done;
	int (*run)(struct roster *r, struct order *o); /* ON_JOB */
	int result;
	const struct roster_entry *entry;
	const struct jid *contact;
	void (*fn)(const struct roster_entry *e, void *arg);
	void *arg;
};

ON_JOB static void run_order(struct roster *r, struct roster_work *w)
{
	struct order *o = w->order;

	o->result = roster_open(r);
	if (!o->result)
		o->result = o->run(r, o);
	sem_post(&o->done);
}

ON_JOB static int carry_out(struct host *h, const char *user, struct order *o)
{
	struct module_instance *mi = registry_find(h, "roster");
	struct jid *account;
	bool reading;
	int result;

	if (!mi)
		return -ENOSYS;
	if (jid_make(user, h->name, NULL, NULL, &account))
		return -EINVAL;
	sem_init(&o->done, 0, 0);
	result = roster_submit_order(mi, account, run_order, o);
	jid_free(account);
	if (!result) {
		reading = rcu_offline();
		while (sem_wait(&o->done) < 0)
			;
		rcu_online(reading);
		result = o->result;
	} else {
		result = -EAGAIN;
	}
	sem_destroy(&o->done);
	return result;
}

/* ---- Listing */

static int list_one(const struct roster_item *item, void *arg)
{
	const struct order *o = arg;
	const struct roster_entry e = { item->jid, item->name, item->groups, item->n_groups,
		item->bits };

	o->fn(&e, o->arg);
	return 0;
}

ON_JOB static int run_list(struct roster *r, struct order *o)
{
	int result = roster_each_item(r, list_one, o);

	return result < 0 ? result : 0;
}

int roster_list(struct host *h, const char *user,
	void (*fn)(const struct roster_entry *e, void *arg), void *arg)
{
	struct order o = { .run = run_list, .fn = fn, .arg = arg };

	return carry_out(h, user, &o);
}

/* ---- Changing */

ON_JOB static int run_put(struct roster *r, struct order *o)
{
	const struct roster_entry *e = o->entry;
	struct roster_item item;
	unsigned before;
	int result;

	if (jid_equal(e->contact, r->account))
		return ERR_NOT_ALLOWED;
	result = roster_find(r, e->contact, &item);
	if (result < 0)
		return result;
	before = item.bits;
	item.bits = e->bits | CONTACT_LISTED;
	item.name = e->name;
	item.groups = e->groups;
	item.n_groups = e->n_groups;
	item.request = NULL;
	result = roster_save(r, &item, ROSTER_SEEN);
	if (result)
		return result;
	roster_push(r, &item);
	roster_tell_changed(r, item.jid, before, item.bits);
	return 0;
}

int roster_put(struct host *h, const char *user, const struct roster_entry *e)
{
	struct order o = { .run = run_put, .entry = e };

	return carry_out(h, user, &o);
}

ON_JOB static int run_remove(struct roster *r, struct order *o)
{
	return roster_remove_item(r, o->contact);
}

int roster_remove(struct host *h, const char *user, const struct jid *contact)
{
	struct order o = { .run = run_remove, .contact = contact };

	return carry_out(h, user, &o);
}

ON_JOB static int run_repeat(struct roster *r, struct order *o UNUSED)
{
	struct roster_item_list all;
	int result = roster_list_items(r, &all);

	for (unsigned i = 0; i < all.n; i++)
		if (roster_item_is_listed(&all.at[i]))
			roster_push(r, &all.at[i]);
	return result < 0 ? result : 0;
}

int roster_repeat(struct host *h, const char *user)
{
	struct order o = { .run = run_repeat };

	return carry_out(h, user, &o);
}
