/* bench/scale_server.c - what linnetd starts, but for listeners, modules and a database: clients
 * log in with SASL ANONYMOUS, which needs no accounts. */
#include <stdio.h>
#include <time.h>

#include "bench/scale.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "net/acceptor.h"
#include "net/c2s.h"
#include "net/limits.h"
#include "router/auth.h"
#include "router/directory.h"
#include "router/route.h"
#include "tests/support/certificate.h"

static struct host *host;
static struct listener listener;
static struct listener_options options;
static const struct conf_prefix address = { .bytes = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
	.bits = 128 };

static struct host *host_of_all(void)
{
	struct host_conf *conf = host_conf_new();

	conf->sasl_mechanisms = SASL_ANONYMOUS;
	conf->anonymous = true;
	conf->max_sessions = 10;
	conf->max_out_bytes = 1 << 20;
	conf->language = "en";
	return host_new(SCALE_DOMAIN, conf);
}

void scale_server_start(unsigned shards, bool tls)
{
	job_check();
	atomic_store(&log_level, LOG_LEVEL_ERROR);
	directory_init();
	REQUIRE(shards_start(shards) == 0 && jobs_start(1) == 0 && auth_start(NULL) == 0);
	host = host_of_all();
	REQUIRE(route_register_host(host) == 0);
	atomic_init(&options.refs, 1);
	options.conf = (struct listen_conf){ .starttls = tls,
		.starttls_required = tls,
		.max_stanza_size = 262144,
		.max_stanza_size_unauthenticated = 10000,
		.negotiation_timeout_ms = 600000 };
	options.tls = tls ? store_with_certificate(SCALE_DOMAIN) : NULL;
	atomic_init(&listener.refs, 1);
	rcu_set(listener.options, &options);
}

void scale_server_accept(unsigned number)
{
	struct accepted *a = xcalloc(1, sizeof(*a));

	REQUIRE(limits_begin(&address, 0));
	a->fd = wire_fd(number);
	a->listener = &listener;
	a->options = listener_options_ref(&options);
	a->address = address;
	atomic_fetch_add(&listener.refs, 1);
	atomic_fetch_add(&listener.connections, 1);
	c2s_accepted(&a->msg);
}

void scale_server_stop(void)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	bool reading;

	c2s_kick_all(STREAM_SYSTEM_SHUTDOWN);
	reading = rcu_offline();
	while (c2s_count())
		nanosleep(&nap, NULL);
	rcu_online(reading);
	route_unregister(SCALE_DOMAIN);
	host_unref(host);
	shards_stop();
	auth_stop();
	jobs_stop();
	rcu_wait_later();
	directory_fini();
	tls_store_free(options.tls);
}
