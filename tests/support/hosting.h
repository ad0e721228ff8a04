/* tests/support/hosting.h - a virtual host and settings from text, for unit tests of modules.
 * The test's thread is registered with RCU by hosting_begin(). */
#pragma once

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/rcu.h"
#include "modules/registry.h"
#include "router/host.h"
#include "router/route.h"
#include "tests/support/settings_text.h"

static inline struct host *hosting_begin(const char *name)
{
	struct host *h;

	rcu_thread_begin();
	h = host_new(name, host_conf_new());
	cr_assert_eq(route_register_host(h), 0);
	return h;
}

static inline void hosting_end(struct host *h)
{
	registry_stop_host(h);
	route_unregister(h->name);
	host_unref(h);
	rcu_wait_later();
	rcu_thread_end();
}

static inline int start_modules(struct host *h, const char *yaml)
{
	struct settings_text t = settings_text(yaml);
	int result = registry_start_host(h, t.root, t.errors);

	settings_text_end(&t);
	return result;
}

static inline int reload_modules(struct host *h, const char *yaml)
{
	struct settings_text t = settings_text(yaml);
	int result = registry_reload_host(h, t.root, t.errors);

	settings_text_end(&t);
	return result;
}
