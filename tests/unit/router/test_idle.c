/* The hook of silent streams as the stream runs it: each module of the host may ask to be woken
 * sooner, or say that the connection is lost. */
#include "router/idle.h"

#include <criterion/criterion.h>

#include "core/rcu.h"
#include "router/prelogin.h"

static struct hook_set *host, *other_host;

static void begin(void)
{
	rcu_thread_begin();
	host = hook_set_new();
	other_host = hook_set_new();
}

static void end(void)
{
	hook_set_free(host);
	hook_set_free(other_host);
	rcu_wait_later();
	rcu_thread_end();
}

TestSuite(idle, .init = begin, .fini = end);

/* arg: how long of silence is too long for this module. */
static enum hook_next watch(void *subject, void *arg)
{
	struct idle *i = subject;
	uint64_t limit_ms = *(const uint64_t *)arg;

	if (i->silent_ms >= limit_ms)
		i->dead = true;
	else if (limit_ms < i->again_ms)
		i->again_ms = limit_ms;
	return HOOK_GO_ON;
}

static struct idle ask(struct hook_set *of, uint64_t silent_ms)
{
	struct idle i = { .silent_ms = silent_ms, .again_ms = IDLE_NEVER };

	hook_run(of, &session_idle_hook, &i);
	return i;
}

Test(idle, nobody_watches_unless_a_module_does)
{
	uint64_t limit_ms = 5000;

	cr_expect(hook_empty(host, &session_idle_hook));
	cr_expect_eq(ask(host, UINT64_MAX - 1).again_ms, IDLE_NEVER);
	hook_add(other_host, &session_idle_hook, 50, watch, &limit_ms);
	cr_expect(hook_empty(host, &session_idle_hook), "another host's module is not asked");
	cr_expect_not(ask(host, 6000).dead);
	cr_expect(ask(other_host, 6000).dead);
}

Test(idle, the_soonest_of_all_counts)
{
	uint64_t far_ms = 60000, near_ms = 5000;
	struct idle i;

	hook_add(host, &session_idle_hook, 50, watch, &near_ms);
	hook_add(host, &session_idle_hook, 60, watch, &far_ms);
	i = ask(host, 0);
	cr_expect_eq(i.again_ms, 5000);
	cr_expect_not(i.dead);
	i = ask(host, 5000);
	cr_expect(i.dead);
	cr_expect_eq(i.again_ms, 60000, "the other was asked all the same");
	hook_remove(host, &session_idle_hook, 50, watch, &near_ms);
	cr_expect_eq(ask(host, 5000).again_ms, 60000);
}
