/* core/hook.h - named chains that modules hang functions on: ejabberd_hooks.
 * The place that runs a hook defines it; a module adds to it per scope (a virtual host's set, or
 * the global set) with a number: lower runs first, equal ones in the order added. A function may
 * end the chain. Running takes no lock: chains are RCU arrays, replaced when they change. */
#pragma once

#include "core/attr.h"
#include "core/rcu.h"

/* HOOK(c2s_stream_features) defines struct hook c2s_stream_features_hook; extern it in a header. */
struct hook {
	const char *name;
	_Atomic unsigned index; /* given when first used; 0: none yet; private */
};
#define HOOK(n) struct hook n##_hook = { .name = #n }

enum hook_next { HOOK_GO_ON, HOOK_STOP };
typedef enum hook_next hook_fn(void *subject, void *arg); /* arg: as given to hook_add */

struct hook_set; /* one per host, and one for all */
struct hook_set *hook_set_new(void);
void hook_set_free(struct hook_set *s); /* after a grace period; NULL is fine */

/* Any thread that may block (the writer takes a mutex). HOOK_DUPLICATE when the same (fn, arg)
 * already hangs there with that number. */
#define HOOK_DUPLICATE 1
int hook_add(struct hook_set *s, struct hook *h, int order, hook_fn *fn, void *arg);
/* After it returns, new runs do not call fn; runs under way may until rcu_wait(). */
void hook_remove(struct hook_set *s, struct hook *h, int order, hook_fn *fn, void *arg);
/* Another arg in its place in the chain: every run calls fn with the one or the other. false: it
 * does not hang there. */
bool hook_replace(struct hook_set *s, struct hook *h, int order, hook_fn *fn, void *arg, void *now);

/* Runs the chain. HOOK_STOP when a function ended it. RCU-registered thread. */
enum hook_next hook_run(struct hook_set *s, struct hook *h, void *subject);
unsigned hook_count(void); /* functions that hang anywhere; any thread */
bool hook_empty(struct hook_set *s, struct hook *h); /* saves building the subject */
