/* core/attr.h - the few words the whole tree is written in: who may call, what cleans itself up,
 * what must never happen. Everything here is about reading code, nothing about running it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a function may run. Under clang these are -Wthread-safety capabilities, so a job that calls
 * a shard's function does not build with LINNET_CLANG_CHECKS; under gcc they are words.
 * A function reached through a pointer takes its role with shard_check() or job_check(). */
#if defined(__clang__)
struct __attribute__((capability("role"))) thread_role {
	char unused;
};
extern struct thread_role shard_role, job_role;
#define ON_SHARD __attribute__((requires_capability(shard_role)))
#define ON_JOB __attribute__((requires_capability(job_role)))
#define TAKES_SHARD_ROLE __attribute__((assert_capability(shard_role)))
#define TAKES_JOB_ROLE __attribute__((assert_capability(job_role)))
#else
#define ON_SHARD
#define ON_JOB
#define TAKES_SHARD_ROLE
#define TAKES_JOB_ROLE
#endif
#define ANY_THREAD

/* AUTO(fn) T x: fn(&x) runs when x leaves its scope. For what only this function sees. */
#define AUTO(fn) __attribute__((cleanup(fn)))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED __attribute__((unused))
#define MUST_USE __attribute__((warn_unused_result))
#define NO_RETURN __attribute__((noreturn))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The object that holds this member. */
#define container_of(ptr, type, member) \
	((type *)((char *)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))

/* Our own mistakes only, never a peer's bytes. Stays on in release builds. */
#define REQUIRE(cond) (likely(cond) ? (void)0 : require_failed(#cond, __FILE__, __LINE__, __func__))
NO_RETURN void require_failed(const char *what, const char *file, int line, const char *func);
