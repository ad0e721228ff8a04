/* The session directory on one thread: who is entered is found, who left is not. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/mem.h"
#include "router/directory.h"

static struct session *session_new(const char *jid, uint64_t id)
{
	struct session *ss = xcalloc(1, sizeof(*ss));

	cr_assert_eq(jid_parse(jid, strlen(jid), NULL, &ss->jid), 0);
	ss->id.v = id;
	return ss;
}

static void session_free(struct session *ss)
{
	rcu_wait();
	jid_free(ss->jid);
	free(ss);
}

static void begin(void)
{
	rcu_thread_begin();
	directory_init();
}

static void end(void)
{
	directory_fini();
	rcu_thread_end();
}

TestSuite(directory, .init = begin, .fini = end);

Test(directory, finds_by_bare_and_by_full)
{
	struct session *orchard = session_new("romeo@montague.example/orchard", 1);
	struct session *tomb = session_new("romeo@montague.example/tomb", 2);
	struct actor_id holder;

	cr_assert_eq(directory_enter(orchard, 10, &holder), 0);
	cr_assert_eq(directory_enter(tomb, 10, &holder), 0);
	cr_assert_eq(directory_count(), 2);
	cr_assert_eq(directory_count_accounts(), 1);
	cr_assert_eq(directory_find(orchard->jid)->n, 2);
	cr_assert_eq(directory_find_full(tomb->jid)->id.v, 2);
	cr_assert(directory_leave(orchard));
	cr_assert_null(directory_find_full(orchard->jid));
	cr_assert_eq(directory_find(orchard->jid)->n, 1);
	cr_assert(directory_leave(tomb));
	cr_assert_null(directory_find(tomb->jid));
	cr_assert_eq(directory_count_accounts(), 0);
	session_free(orchard);
	session_free(tomb);
}

Test(directory, names_the_holder_of_a_taken_resource)
{
	struct session *old = session_new("romeo@montague.example/orchard", 1);
	struct session *young = session_new("romeo@montague.example/orchard", 2);
	struct actor_id holder = ACTOR_NONE;

	cr_assert_eq(directory_enter(old, 10, &holder), 0);
	cr_assert_eq(directory_enter(young, 10, &holder), DIRECTORY_TAKEN);
	cr_assert_eq(holder.v, 1);
	cr_assert_eq(directory_replace(young).v, 1);
	cr_assert_eq(directory_count(), 1);
	cr_assert_not(directory_leave(old), "the old one does not hold it any more");
	cr_assert_eq(directory_find_full(old->jid)->id.v, 2);
	cr_assert(directory_leave(young));
	session_free(old);
	session_free(young);
}

Test(directory, bounds_sessions_of_one_account)
{
	struct session *one = session_new("romeo@montague.example/1", 1);
	struct session *two = session_new("romeo@montague.example/2", 2);
	struct session *other = session_new("juliet@capulet.example/1", 3);
	struct actor_id holder;

	cr_assert_eq(directory_enter(one, 1, &holder), 0);
	cr_assert_eq(directory_enter(two, 1, &holder), DIRECTORY_FULL);
	cr_assert_eq(directory_enter(other, 1, &holder), 0);
	cr_assert(directory_leave(one));
	cr_assert(directory_leave(other));
	cr_assert_not(directory_leave(two));
	session_free(one);
	session_free(two);
	session_free(other);
}

Test(directory, keeps_presence_of_each)
{
	struct session *one = session_new("romeo@montague.example/1", 1);
	struct session *two = session_new("romeo@montague.example/2", 2);
	struct actor_id holder;

	cr_assert_eq(directory_enter(one, 9, &holder), 0);
	cr_assert_eq(directory_enter(two, 9, &holder), 0);
	cr_assert_not(directory_find_full(one->jid)->available);
	directory_presence(one, true, -7);
	cr_assert(directory_find_full(one->jid)->available);
	cr_assert_eq(directory_find_full(one->jid)->priority, -7);
	cr_assert_not(directory_find_full(two->jid)->available);
	directory_presence(one, false, 0);
	cr_assert_not(directory_find_full(one->jid)->available);
	cr_assert(directory_leave(one));
	cr_assert(directory_leave(two));
	session_free(one);
	session_free(two);
}

static void add_up(const struct sessions *s, void *arg)
{
	*(unsigned *)arg += s->n;
}

/* Each so often the table may be made anew: it waits for readers, and this thread is one. */
static void let_resize(unsigned i)
{
	if (i % 1000 == 0)
		rcu_wait_later();
}

static void expect_from(struct session **all, unsigned from, unsigned to)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < to; i++) {
		const struct session_entry *e = directory_find_full(all[i]->jid);

		if (i < from)
			cr_assert_null(e);
		else
			cr_assert_eq(e->session, all[i]);
	}
	directory_each(add_up, &seen);
	cr_assert_eq(seen, to - from);
	cr_assert_eq(directory_count_accounts(), to - from);
}

Test(directory, holds_many_accounts)
{
	enum { N = 20000 };
	struct session **all = xcalloc(N, sizeof(*all));
	struct actor_id holder;

	for (unsigned i = 0; i < N; i++) {
		AUTO(free_ptr) char *text = xprintf("user%u@montague.example/r", i);

		all[i] = session_new(text, i + 1);
		cr_assert_eq(directory_enter(all[i], 1, &holder), 0);
		let_resize(i);
	}
	expect_from(all, 0, N);
	for (unsigned i = 0; i < N; i++) {
		cr_assert(directory_leave(all[i]));
		let_resize(i);
		if (i % 5000 == 0)
			expect_from(all, i + 1, N);
	}
	rcu_wait();
	for (unsigned i = 0; i < N; i++) {
		jid_free(all[i]->jid);
		free(all[i]);
	}
	free(all);
}
