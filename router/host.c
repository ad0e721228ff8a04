/* router/host.c - virtual hosts and the snapshot of settings each holds. */
#include "router/host.h"

#include <stdlib.h>
#include <string.h>

#include "core/lang.h"
#include "core/mem.h"
#include "router/auth_cache.h"
#include "router/auth_source.h"
#include "router/iq.h"
#include "xml/jid.h"

struct host_conf *host_conf_new(void)
{
	struct host_conf *c = xcalloc(1, sizeof(*c));

	atomic_init(&c->refs, 1);
	arena_init(&c->arena, NULL, 0);
	c->sources_unsaid = true;
	while (c->n_sources < AUTH_SOURCES) {
		c->sources[c->n_sources] = (uint8_t)c->n_sources;
		c->n_sources++;
	}
	return c;
}

void host_conf_drop(struct host_conf *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	arena_fini(&c->arena);
	free(c);
}

static void conf_drop_later(struct rcu_head *head)
{
	struct host_conf *c = container_of(head, struct host_conf, rcu);

	host_conf_drop(c);
}

struct host_conf *host_conf_hold(struct host *h)
{
	struct host_conf *c = rcu_get(h->conf);

	/* The host's own reference goes only after a grace period, so the count is not zero here.
	 */
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void host_set_conf(struct host *h, struct host_conf *conf)
{
	struct host_conf *old = rcu_swap(h->conf, conf);

	if (old)
		rcu_later(&old->rcu, conf_drop_later);
}

struct host *host_new(const char *name, struct host_conf *conf)
{
	struct host *h = xcalloc(1, sizeof(*h));

	atomic_init(&h->refs, 1);
	h->name = xstrdup(name);
	h->hash = jid_hash_domain(name, strlen(name));
	h->hooks = hook_set_new();
	rcu_set(h->conf, conf);
	return h;
}

struct host *host_ref(struct host *h)
{
	atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
	return h;
}

static void host_free(struct rcu_head *head)
{
	struct host *h = container_of(head, struct host, rcu);

	iq_table_free(h);
	auth_sources_forget(h);
	auth_cache_free(rcu_get(h->auth_cache));
	hook_set_free(h->hooks);
	host_conf_drop(rcu_get(h->conf));
	free((char *)h->name);
	free(h);
}

void host_unref(struct host *h)
{
	if (h && atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) == 1)
		rcu_later(&h->rcu, host_free);
}

const char *host_lang(struct host *h)
{
	struct host_conf *c = host_conf_hold(h);
	const char *lang = c->texts;

	host_conf_drop(c);
	return lang_pick(lang, NULL);
}
