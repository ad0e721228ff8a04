/* tests/support/listening.h - the parts below a client stream, as the server starts and stops them,
 * with listeners in the same process. For one file of a test program, see moved_clock.h. */
#pragma once

#include <criterion/criterion.h>

#include "core/rcu.h"
#include "net/listener.h"
#include "router/directory.h"
#include "tests/support/dialling.h"
#include "tests/support/moved_clock.h"

static struct tls_store *store;

/* Two shards, the acceptors, and a port for each of conf[0..n). */
static inline void listening_begin(const struct listen_conf *conf, size_t n, unsigned acceptors)
{
	char *why = NULL;

	rcu_thread_begin();
	directory_init();
	cr_assert_eq(shards_start(2), 0);
	store = tls_store_new();
	cr_assert_eq(listeners_start(conf, n, store, acceptors, &why), 0, "%s", why);
}

static inline void listening_end(void)
{
	listeners_stop();
	c2s_kick_all(STREAM_SYSTEM_SHUTDOWN);
	settle();
	clock_move(5000);
	cr_expect_eq(c2s_count(), 0);
	shards_stop();
	rcu_wait_later();
	tls_store_free(store);
	directory_fini();
	rcu_thread_end();
}

static inline void listening_reload(const struct listen_conf *conf, size_t n)
{
	char *why = NULL;

	cr_assert_eq(listeners_reload(conf, n, &why), 0, "%s", why);
}
