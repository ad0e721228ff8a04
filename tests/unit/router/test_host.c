/* A virtual host: who counts it keeps it, and its settings are replaced under its readers. */
#include "router/host.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/rcu.h"
#include "router/host_conf.h"
#include "xml/jid.h"

static struct host_conf *conf_numbered(int64_t n)
{
	struct host_conf *c = host_conf_new();

	c->max_sessions = n;
	c->scram_iterations = n;
	c->language = arena_strdup(&c->arena, "en");
	return c;
}

TestSuite(host, .init = rcu_thread_begin, .fini = rcu_thread_end);

Test(host, has_a_name_a_hash_and_hooks_of_its_own)
{
	struct host *a = host_new("capulet.example", host_conf_new());
	struct host *b = host_new("montague.example", host_conf_new());

	cr_expect_str_eq(a->name, "capulet.example");
	cr_expect_eq(a->hash, jid_hash_domain("capulet.example", 15));
	cr_expect_neq(a->hooks, b->hooks);
	for (int m = 0; m < AUTH_SOURCES; m++)
		cr_expect_null(rcu_get(a->auth[m]), "no source until a module brings one");
	host_unref(a);
	host_unref(b);
	host_unref(NULL);
	rcu_wait_later();
}

/* The settings live while the host does or anybody holds them, and no longer: its own reference is
 * seen in their count. */
Test(host, lives_until_the_last_reference_and_a_grace_period)
{
	struct host *h = host_new("capulet.example", conf_numbered(1));
	struct host_conf *c = host_conf_hold(h);

	cr_expect_eq(c->refs, 2);
	cr_expect_eq(host_ref(h), h);
	host_unref(h);
	rcu_wait_later();
	cr_expect_eq(c->refs, 2, "one reference is left");
	host_unref(h);
	cr_expect_eq(c->refs, 2, "whoever found it this turn may still look at it");
	cr_expect_str_eq(h->name, "capulet.example");
	rcu_wait_later();
	cr_expect_eq(c->refs, 1, "it is gone, and has let go of its settings");
	cr_expect_str_eq(c->language, "en", "who holds them reads on");
	host_conf_drop(c);
	host_conf_drop(NULL);
}

Test(host, replaces_its_settings_for_those_who_ask_anew)
{
	struct host *h = host_new("capulet.example", conf_numbered(1));
	struct host_conf *old = host_conf_hold(h), *now;

	host_set_conf(h, conf_numbered(2));
	now = host_conf_hold(h);
	cr_expect_eq(now->max_sessions, 2);
	cr_expect_eq(old->max_sessions, 1, "held ones stay as they were");
	cr_expect_eq(old->refs, 2, "the host's own goes after a grace period");
	rcu_wait_later();
	cr_expect_eq(old->refs, 1);
	host_conf_drop(old);
	host_conf_drop(now);
	host_unref(h);
	rcu_wait_later();
}

static _Atomic bool done;

/* As streams do at login while a reload goes on. */
static void *hold_and_drop(void *arg)
{
	struct host *h = arg;
	uintptr_t torn = 0;

	rcu_thread_begin();
	while (!atomic_load(&done)) {
		struct host_conf *c = host_conf_hold(h);

		torn += c->max_sessions != c->scram_iterations || strcmp(c->language, "en") != 0;
		host_conf_drop(c);
		rcu_quiescent();
	}
	rcu_thread_end();
	return (void *)torn;
}

Test(host, many_hold_settings_while_they_are_replaced)
{
	struct host *h = host_new("capulet.example", conf_numbered(0));
	pthread_t threads[3];
	bool reading;
	void *torn;

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, hold_and_drop, h), 0);
	for (int i = 1; i < 3000; i++) {
		host_set_conf(h, conf_numbered(i));
		rcu_quiescent();
	}
	atomic_store(&done, true);
	reading = rcu_offline();
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &torn);
		cr_expect_eq(torn, NULL, "a snapshot is whole");
	}
	rcu_online(reading);
	rcu_wait_later();
	cr_expect_eq(rcu_get(h->conf)->refs, 1, "each hold has been dropped");
	host_unref(h);
	rcu_wait_later();
}
