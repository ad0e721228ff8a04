/* modules/shared_operator.c - an operator's changes of shared groups: stored, then in memory, then
 * pushed to all whom they concern. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "modules/shared_inside.h"

/* Alone among those who change groups. NULL: the module does not run there. */
static struct shared_host *edit_begin(struct host *h)
{
	struct shared_host *sh = shared_hold(h);
	bool reading = rcu_offline();

	if (sh)
		pthread_mutex_lock(&sh->editing);
	rcu_online(reading);
	return sh;
}

static void edit_end(struct shared_host *sh)
{
	pthread_mutex_unlock(&sh->editing);
	shared_drop(sh);
}

/* Only editors take groups out, so it stays while one edits. */
static struct shared_group *find(struct shared_host *sh, const char *id, int *error)
{
	struct shared_group *g;

	pthread_mutex_lock(&sh->lock);
	g = shared_find(sh, id);
	pthread_mutex_unlock(&sh->lock);
	*error = !g ? -ENOENT : g->fixed ? -EPERM : 0;
	return g;
}

/* ---- Looking */

static void describe(const struct shared_group *g, struct shared_host *sh,
	void (*fn)(const struct shared_group_info *g, void *arg), void *arg)
{
	const struct contact_set *members = g->who == SHARED_ALL ? sh->everybody
		: g->who == SHARED_ONLINE                        ? sh->online
								 : g->listed;
	const struct shared_group_info info = {
		.id = g->id,
		.label = g->label,
		.description = g->description,
		.who = g->who,
		.fixed = g->fixed,
		.displays = (const char *const *)g->displays,
		.n_displays = g->n_displays,
		.n_members = contact_set_count(members),
	};

	fn(&info, arg);
}

int shared_groups_each(
	struct host *h, void (*fn)(const struct shared_group_info *g, void *arg), void *arg)
{
	struct shared_host *sh = edit_begin(h);

	job_check();
	if (!sh)
		return -ENOSYS;
	pthread_mutex_lock(&sh->lock);
	for (const struct shared_group *g = sh->groups; g; g = g->next)
		describe(g, sh, fn, arg);
	pthread_mutex_unlock(&sh->lock);
	edit_end(sh);
	return 0;
}

int shared_members_each(
	struct host *h, const char *id, void (*fn)(const struct jid *member, void *arg), void *arg)
{
	struct shared_host *sh = edit_begin(h);
	const struct shared_group *g;
	int result = -ENOENT;

	job_check();
	if (!sh)
		return -ENOSYS;
	pthread_mutex_lock(&sh->lock);
	g = shared_find(sh, id);
	if (g) {
		for (unsigned i = 0; i < contact_set_count(g->listed); i++)
			fn(contact_set_at(g->listed, i), arg);
		result = 0;
	}
	pthread_mutex_unlock(&sh->lock);
	edit_end(sh);
	return result;
}

/* ---- Groups */

/* g is in the list, or is new and taken. */
ON_JOB static int store(struct shared_host *sh, struct shared_group *g, bool is_new)
{
	int error = shared_store_put(sh, g);

	if (error) {
		if (is_new)
			shared_group_free(g);
		return error;
	}
	pthread_mutex_lock(&sh->lock);
	if (is_new)
		shared_add(sh, g);
	if (g->who != SHARED_LISTED)
		shared_know_online(sh);
	shared_apply(sh, g);
	pthread_mutex_unlock(&sh->lock);
	shared_refresh(sh, NULL);
	return 0;
}

static void change(
	struct shared_host *sh, struct shared_group *g, const struct shared_group_info *info)
{
	pthread_mutex_lock(&sh->lock);
	if (info->label && strcmp(info->label, g->label) != 0)
		shared_group_relabel(g, info->label);
	if (info->description)
		shared_group_describe(g, info->description);
	g->who = info->who;
	for (unsigned i = 0; i < info->n_displays; i++)
		shared_group_show(g, info->displays[i]);
	pthread_mutex_unlock(&sh->lock);
}

static bool has_room(struct shared_host *sh)
{
	unsigned n = 0;

	for (const struct shared_group *g = sh->groups; g; g = g->next)
		n++;
	return n < SHARED_GROUPS_MAX;
}

int shared_group_put(struct host *h, const struct shared_group_info *info)
{
	struct shared_host *sh = edit_begin(h);
	struct shared_group *g;
	int error;

	job_check();
	if (!sh)
		return -ENOSYS;
	g = find(sh, info->id, &error);
	if (error == -ENOENT && has_room(sh)) {
		g = shared_group_make(info->id, info->label ? info->label : info->id);
		change(sh, g, info);
		error = store(sh, g, true);
	} else if (error == -ENOENT) {
		error = -EDQUOT;
	} else if (!error) {
		change(sh, g, info);
		error = store(sh, g, false);
	}
	edit_end(sh);
	return error;
}

int shared_group_delete(struct host *h, const char *id)
{
	struct shared_host *sh = edit_begin(h);
	struct shared_group *g = NULL;
	int error;

	job_check();
	if (!sh)
		return -ENOSYS;
	find(sh, id, &error);
	if (!error)
		error = shared_store_delete(sh, id);
	if (!error) {
		pthread_mutex_lock(&sh->lock);
		g = shared_take(sh, id);
		pthread_mutex_unlock(&sh->lock);
		shared_refresh(sh, NULL);
	}
	shared_group_free(g);
	edit_end(sh);
	return error;
}

int shared_group_display(struct host *h, const char *id, const char *displayed, bool on)
{
	struct shared_host *sh = edit_begin(h);
	struct shared_group *g;
	bool changed = true;
	int error;

	job_check();
	if (!sh)
		return -ENOSYS;
	g = find(sh, id, &error);
	if (!error && on && g->n_displays >= SHARED_DISPLAYS_MAX)
		error = -EDQUOT;
	if (!error) {
		pthread_mutex_lock(&sh->lock);
		if (on)
			shared_group_show(g, displayed);
		else
			changed = shared_group_hide(g, displayed);
		pthread_mutex_unlock(&sh->lock);
		error = changed ? store(sh, g, false) : -ENOENT;
	}
	edit_end(sh);
	return error;
}

/* ---- Members */

/* The member sees other groups now, and others see the member or do not. */
static void tell_of_member(
	struct shared_host *sh, struct shared_group *g, const struct jid *member, bool in)
{
	struct contact_group *live;
	struct contact_set *was, *now;

	pthread_mutex_lock(&sh->lock);
	was = g->listed;
	now = in ? contact_set_with(was, member, CONTACT_SHARED) : contact_set_without(was, member);
	g->listed = now;
	shared_apply(sh, g);
	live = contact_group_ref(g->live);
	pthread_mutex_unlock(&sh->lock);
	contact_set_unref(was);
	shared_refresh(sh, member);
	shared_announce(sh, member, &live, 1);
	contact_group_unref(live);
}

int shared_member_add(struct host *h, const char *id, const struct jid *account)
{
	struct shared_host *sh = edit_begin(h);
	struct shared_group *g;
	int error;

	job_check();
	if (!sh)
		return -ENOSYS;
	g = find(sh, id, &error);
	if (!error && !contact_set_find(g->listed, account)) {
		error = shared_store_add(sh, id, account);
		if (!error)
			tell_of_member(sh, g, account, true);
	}
	edit_end(sh);
	return error;
}

int shared_member_remove(struct host *h, const char *id, const struct jid *account)
{
	struct shared_host *sh = edit_begin(h);
	struct shared_group *g;
	int error;

	job_check();
	if (!sh)
		return -ENOSYS;
	g = find(sh, id, &error);
	if (!error && !contact_set_find(g->listed, account))
		error = -ENOENT;
	if (!error)
		error = shared_store_remove(sh, id, account);
	if (!error)
		tell_of_member(sh, g, account, false);
	edit_end(sh);
	return error;
}
