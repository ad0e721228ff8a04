/* Snapshots of accounts: loaded once for all sessions, changed while they live, gone with them. */
#include "tests/support/router_world.h"

#include <errno.h>

/* A part that counts how often it was loaded. */
struct note {
	struct account_part part;
	int number;
};
static _Atomic int loads, frees, fail_with, number;

static void note_free(struct account_part *p)
{
	atomic_fetch_add(&frees, 1);
	free(container_of(p, struct note, part));
}

static int note_load(
	void *arg UNUSED, struct host *h UNUSED, const struct jid *bare, struct account_part **out)
{
	struct note *n;

	job_check();
	cr_assert(jid_is_bare(bare));
	atomic_fetch_add(&loads, 1);
	if (atomic_load(&fail_with))
		return atomic_load(&fail_with);
	n = xcalloc(1, sizeof(*n));
	atomic_init(&n->part.refs, 1);
	n->part.free = note_free;
	n->number = atomic_load(&number);
	*out = &n->part;
	return 0;
}

static struct account_kind note_kind = { .name = "note", .load = note_load };
static struct account_kind other_kind = { .name = "other", .load = note_load };

static const struct note *note_of(const struct client *c)
{
	return account_part(account_of(&c->session), &note_kind);
}

/* A client whose account's data is asked for as a stream does. */
struct wanting {
	struct client *client;
	int answer;
};
static _Atomic int ready_error, ready_calls;

static void ready(struct actor_id session UNUSED, int error)
{
	shard_check(NULL);
	atomic_store(&ready_error, error);
	atomic_fetch_add(&ready_calls, 1);
}

static void need_here(void *arg)
{
	struct wanting *w = arg;

	shard_check(NULL);
	w->answer = account_need(&w->client->session, ready);
}

static int need(struct client *c)
{
	struct wanting w = { .client = c };
	int calls = atomic_load(&ready_calls);

	on_shard(c->shard, need_here, &w);
	while (w.answer == 1 && atomic_load(&ready_calls) == calls)
		settle();
	return w.answer;
}

static void begin(void)
{
	world_begin();
	atomic_store(&number, 1);
	account_kind_add(world_host, &note_kind, NULL);
}

static void end(void)
{
	account_kind_remove(world_host, &note_kind, NULL);
	world_end();
	cr_assert_eq(atomic_load(&loads) - (atomic_load(&fail_with) ? 1 : 0), atomic_load(&frees));
}

/* In the account's lane, waited for. */
struct lane_work {
	struct job job;
	void (*fn)(void);
	_Atomic bool ran;
};

static void lane_run(struct job *j)
{
	container_of(j, struct lane_work, job)->fn();
}

static void lane_ran(struct job *j)
{
	atomic_store(&container_of(j, struct lane_work, job)->ran, true);
}

static void in_lane(const struct client *c, void (*fn)(void))
{
	struct lane_work w = { .job = { .work = lane_run, .done = lane_ran }, .fn = fn };

	cr_assert_eq(account_work(c->session.jid, &w.job), 0);
	while (!atomic_load(&w.ran))
		settle();
}

Test(account, is_loaded_for_the_first_session_and_shared_by_the_next, .init = begin, .fini = end)
{
	struct client *orchard = client_new("orchard", 0), *tomb;

	cr_assert_null(account_of(&orchard->session));
	cr_expect_eq(need(orchard), 1);
	cr_expect_eq(atomic_load(&ready_error), 0);
	cr_assert_not_null(note_of(orchard));
	tomb = client_new("tomb", 1);
	cr_expect_eq(account_of(&tomb->session), account_of(&orchard->session));
	cr_expect_eq(need(tomb), 0);
	cr_expect_eq(atomic_load(&loads), 1);
	cr_expect_eq(account_online(tomb->session.jid), account_of(&orchard->session));
	client_free(orchard);
	cr_expect_not_null(note_of(tomb), "it lives as long as the last session");
	client_free(tomb);
}

Test(account, without_kinds_has_nothing_to_wait_for)
{
	struct client *c;

	world_begin();
	c = client_new("orchard", 0);
	cr_expect_eq(need(c), 0);
	cr_expect_null(account_of(&c->session));
	client_free(c);
	world_end();
}

Test(account, that_cannot_be_loaded_says_why, .init = begin, .fini = end)
{
	struct client *c = client_new("orchard", 0);

	atomic_store(&fail_with, -EIO);
	cr_expect_eq(need(c), 1);
	cr_expect_eq(atomic_load(&ready_error), -EIO);
	cr_expect_null(account_of(&c->session));
	client_free(c);
}

static struct client *changing;

static int change(void)
{
	struct jid *bare = jid_bare(changing->session.jid, NULL);
	int error = account_changed(world_host, bare, &note_kind);

	jid_free(bare);
	return error;
}

static void change_it(void)
{
	job_check();
	cr_expect_eq(change(), 0);
}

Test(account, has_a_new_part_after_a_change_and_the_others_as_they_were, .init = begin, .fini = end)
{
	const void *other;

	account_kind_add(world_host, &other_kind, NULL);
	changing = client_new("orchard", 0);
	cr_assert_eq(need(changing), 1);
	other = account_part(account_of(&changing->session), &other_kind);
	atomic_store(&number, 2);
	in_lane(changing, change_it);
	cr_expect_eq(note_of(changing)->number, 2);
	cr_expect_eq(account_part(account_of(&changing->session), &other_kind), other);
	client_free(changing);
	account_kind_remove(world_host, &other_kind, NULL);
}

static void fail_to_change_it(void)
{
	job_check();
	cr_expect_eq(change(), -EIO);
}

Test(account, keeps_what_it_had_when_a_change_cannot_be_read, .init = begin, .fini = end)
{
	changing = client_new("orchard", 0);
	cr_assert_eq(need(changing), 1);
	atomic_store(&fail_with, -EIO);
	in_lane(changing, fail_to_change_it);
	cr_expect_eq(note_of(changing)->number, 1);
	client_free(changing);
}

static void hold_it(void)
{
	struct account *a = NULL;
	struct jid *bare = jid_bare(changing->session.jid, NULL);

	job_check();
	cr_expect_eq(account_hold(world_host, bare, &a), 0);
	cr_expect_not_null(account_part(a, &note_kind));
	account_drop(a);
	jid_free(bare);
}

Test(account, without_sessions_is_loaded_for_a_job, .init = begin, .fini = end)
{
	changing = client_new("orchard", 0);
	in_lane(changing, hold_it);
	in_lane(changing, hold_it);
	cr_expect_eq(atomic_load(&loads), 2, "nobody keeps it");
	cr_expect_eq(need(changing), 1);
	in_lane(changing, hold_it);
	cr_expect_eq(atomic_load(&loads), 3, "its session has it");
	client_free(changing);
}

Test(account, gets_a_kind_that_is_added_while_it_has_sessions, .init = begin, .fini = end)
{
	struct client *c = client_new("orchard", 0);

	cr_assert_eq(need(c), 1);
	account_kind_add(world_host, &other_kind, NULL);
	while (!account_part(account_of(&c->session), &other_kind))
		settle();
	client_free(c);
	account_kind_remove(world_host, &other_kind, NULL);
}

/* --- who may visit --- */

static enum hook_next refuse(void *subject, void *arg)
{
	struct account_visit *v = subject;

	cr_assert(!v->account || account_part(v->account, &note_kind));
	v->error = *(int *)arg;
	return HOOK_STOP;
}

Test(account, decides_who_may_visit, .init = begin, .fini = end)
{
	static const int errors[] = { ERR_SERVICE_UNAVAILABLE, 0 };
	struct client *c = client_new("orchard", 0);
	const struct account *a;

	cr_assert_eq(need(c), 1);
	a = account_of(&c->session);
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		int error = errors[i];

		cr_assert_eq(
			hook_add(world_host->hooks, &account_visit_hook, 50, refuse, &error), 0);
		cr_expect_eq(account_admits(world_host, a, NULL), error ? error : -1);
		cr_expect_eq(account_admits(world_host, NULL, NULL), error ? error : -1,
			"nothing is known of it");
		hook_remove(world_host->hooks, &account_visit_hook, 50, refuse, &error);
	}
	cr_expect_eq(account_admits(world_host, a, NULL), 0);
	client_free(c);
}
