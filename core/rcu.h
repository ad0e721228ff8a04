/* core/rcu.h - tables read by everyone and written rarely, on liburcu's QSBR flavour.
 * A read costs nothing: whatever rcu_get() returned stays whole until the reading thread's next
 * quiescent state (a shard's end of turn) or until it goes offline. So nothing read under RCU is
 * kept across a turn, a blocking call or a job's db call without a count of its own.
 * Writers hold a mutex of their table, build the new value unseen, rcu_set() it and give the old
 * one to rcu_later(). */
#pragma once

#define URCU_INLINE_SMALL_FUNCTIONS
#include <stdatomic.h>
#include <urcu-qsbr.h>

#include "core/attr.h"

#if defined(__SANITIZE_THREAD__)
#define LINNET_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LINNET_TSAN 1
#endif
#endif

/* ThreadSanitizer does not see liburcu 0.13's own atomics: say what they order. */
#ifdef LINNET_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define tsan_acquire(p) __tsan_acquire(p)
#define tsan_release(p) __tsan_release(p)
#else
#define tsan_acquire(p) ((void)(p))
#define tsan_release(p) ((void)(p))
#endif

/* A pointer that only rcu_get() and rcu_set() reach. */
#define RCU_PTR(type)                   \
	struct {                        \
		type *_Atomic rcu_only; \
	}
#define rcu_get(x) atomic_load_explicit(&(x).rcu_only, memory_order_acquire)
#define rcu_set(x, value) atomic_store_explicit(&(x).rcu_only, (value), memory_order_release)
/* Publishes the new value and returns the old one, which readers may still see. */
#define rcu_swap(x, value) atomic_exchange_explicit(&(x).rcu_only, (value), memory_order_acq_rel)

/* Runs fn(head) after a grace period, on liburcu's own thread. Any registered thread. */
void rcu_later(struct rcu_head *head, void (*fn)(struct rcu_head *head));
/* free(p) after a grace period. p needs no head. Allocates. */
void rcu_free_later(void *p);
/* Waits until every reader of before has let go. Blocks: never on a shard. */
void rcu_wait(void);
/* Waits until everything given to rcu_later() so far has run. Blocks: never on a shard. */
void rcu_wait_later(void);

/* Every thread that reads registers itself, and is offline while it blocks. The pair nests. */
void rcu_thread_begin(void);
void rcu_thread_end(void);
/* Around a call that may block long, on any thread: lets go of everything read so far. rcu_online()
 * takes what rcu_offline() returned, so that the pair may stand in code that threads of every kind
 * run: bool reading = rcu_offline(); pthread_cond_wait(...); rcu_online(reading); */
bool rcu_offline(void);
void rcu_online(bool reading);
/* Between two pieces of work: lets go of everything read so far, and goes on. */
void rcu_quiescent(void);
