/* core/rcu.c - liburcu's QSBR flavour with ThreadSanitizer told what it orders. */
#include "core/rcu.h"

#include <stdlib.h>

#include "core/mem.h"
#include "core/shard.h"

/* How often this thread has begun and not yet ended. */
static _Thread_local unsigned depth;

#ifdef LINNET_TSAN
/* Every reader releases it when it lets go, every reclaimer acquires it after the grace period. */
static char grace;

/* call_rcu() calls fn itself; to say "a grace period lies between" one has to stand before fn. */
struct annotated {
	struct rcu_head head;
	struct rcu_head *inner;
	void (*fn)(struct rcu_head *head);
};

static void annotated_run(struct rcu_head *head)
{
	struct annotated *a;

	tsan_acquire(head);
	tsan_acquire(&grace);
	a = caa_container_of(head, struct annotated, head);
	a->fn(a->inner);
	free(a);
}

void rcu_later(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
	struct annotated *a = xmalloc(sizeof(*a));

	a->inner = head;
	a->fn = fn;
	tsan_release(&a->head);
	call_rcu(&a->head, annotated_run);
}
#else
static char grace UNUSED;

void rcu_later(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
	call_rcu(head, fn);
}
#endif

struct free_later {
	struct rcu_head head;
	void *p;
};

static void free_later_run(struct rcu_head *head)
{
	struct free_later *f = caa_container_of(head, struct free_later, head);

	free(f->p);
	free(f);
}

void rcu_free_later(void *p)
{
	struct free_later *f;

	if (!p)
		return;
	f = xmalloc(sizeof(*f));
	f->p = p;
	rcu_later(&f->head, free_later_run);
}

void rcu_wait(void)
{
	REQUIRE(!shard_self());
	tsan_release(&grace);
	synchronize_rcu(); /* a registered caller is offline meanwhile */
	tsan_acquire(&grace);
}

void rcu_wait_later(void)
{
	REQUIRE(!shard_self());
	tsan_release(&grace);
	rcu_barrier();
	tsan_acquire(&grace);
}

void rcu_thread_begin(void)
{
	if (depth++ == 0)
		rcu_register_thread();
}

void rcu_thread_end(void)
{
	REQUIRE(depth > 0);
	if (--depth > 0)
		return;
	tsan_release(&grace);
	rcu_unregister_thread();
}

bool rcu_offline(void)
{
	if (!rcu_read_ongoing())
		return false;
	tsan_release(&grace);
	rcu_thread_offline();
	return true;
}

void rcu_online(bool reading)
{
	if (reading)
		rcu_thread_online();
}

void rcu_quiescent(void)
{
	tsan_release(&grace);
	rcu_quiescent_state();
}
