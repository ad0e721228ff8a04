/* cmd/linnetd_server.c - the order in which everything starts, and the reverse in which it ends. */
#include "cmd/linnetd_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "cmd/linnetd.h"
#include "cmd/linnetd_daemon.h"
#include "core/command.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "modules/registry.h"
#include "net/c2s.h"
#include "net/listener.h"
#include "router/auth.h"
#include "router/directory.h"
#include "router/route.h"

#define STOP_MS 5000 /* for clients to take their goodbye */

struct server server;

const char *server_settings_path(void)
{
	return server.settings_path;
}

struct tls_store *server_tls(void)
{
	return server.tls;
}

static void nap(long ms)
{
	const struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	bool reading = rcu_offline();

	nanosleep(&ts, NULL);
	rcu_online(reading);
}

/* --- hosts --------------------------------------------------------------------------------- */

int host_begin(const struct settings_host *to, struct conf_errors *errors, struct host **out)
{
	struct host *h = host_new(to->name, settings_host_conf(to));
	int error = registry_start_host(h, to->modules, errors);

	if (error)
		host_unref(h);
	else
		*out = h;
	return error;
}

void host_finish(struct host *h, enum stream_condition why)
{
	c2s_kick_host(h, why);
	route_unregister(h->name);
	registry_stop_host(h);
	host_unref(h);
}

struct host *server_find_host(const char *name)
{
	for (size_t i = 0; server.hosts && i < server.settings->n_hosts; i++)
		if (server.hosts[i] && !strcmp(server.hosts[i]->name, name))
			return server.hosts[i];
	return NULL;
}

int load_certificates(struct tls_store *tls, const struct settings *s, char **why)
{
	return tls_store_load(tls, &s->tls, s->tls_hosts, s->n_tls_hosts, why);
}

/* --- starting: each step and what undoes it ------------------------------------------------ */

static int say(int error, char *why)
{
	if (error) {
		fprintf(stderr, "linnetd: %s\n", why ? why : strerror(-error));
		log_error("linnetd", "not started", L_STR("why", why ? why : strerror(-error)));
	}
	free(why);
	return error;
}

static int start_settings(void)
{
	struct conf_errors *errors = conf_errors_new();

	server.settings = settings_load(server.settings_path, errors);
	if (!server.settings) {
		AUTO(free_ptr) char *text = conf_errors_text(errors);

		fputs(text, stderr);
	}
	conf_errors_free(errors);
	return server.settings ? 0 : -EINVAL;
}

static void stop_settings(void)
{
	settings_free(server.settings);
	server.settings = NULL;
}

static int start_log(void)
{
	const struct server_conf *s = &server.settings->server;
	int error = log_open(s->log_file, (enum log_format)s->log_format);

	if (error)
		return say(error, xprintf("log_file: %s: %s", s->log_file, strerror(-error)));
	atomic_store(&log_level, s->loglevel);
	return 0;
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int start_database(void)
{
	int error = db_open(&server.settings->database, &server.db);

	if (error)
		return say(error, xprintf("database: %s", strerror(-error)));
	db_main_set(server.db);
	return 0;
}

static void stop_database(void)
{
	db_main_set(NULL);
	db_close(server.db);
	server.db = NULL;
}

static int start_jobs(void)
{
	return say(jobs_start(server_conf_jobs(&server.settings->server)), NULL);
}

static int start_accounts(void)
{
	return say(auth_start(server.db), NULL);
}

static int start_tables(void)
{
	directory_init();
	access_publish(settings_take_access(server.settings));
	return 0;
}

static void stop_tables(void)
{
	rcu_wait_later();
	directory_fini();
	access_publish(NULL);
}

static int start_tls(void)
{
	char *why = NULL;
	int error;

	server.tls = tls_store_new();
	error = load_certificates(server.tls, server.settings, &why);
	if (error) {
		tls_store_free(server.tls);
		server.tls = NULL;
	}
	return say(error, why);
}

static void stop_tls(void)
{
	tls_store_free(server.tls);
	server.tls = NULL;
}

static int start_shards(void)
{
	return say(shards_start(server_conf_shards(&server.settings->server)), NULL);
}

static void stop_hosts(void)
{
	for (size_t i = 0; i < server.settings->n_hosts; i++)
		if (server.hosts[i])
			host_finish(server.hosts[i], STREAM_SYSTEM_SHUTDOWN);
	free(server.hosts);
	server.hosts = NULL;
}

static int start_hosts(void)
{
	struct conf_errors *errors = conf_errors_new();
	const struct settings *s = server.settings;
	int error = 0;

	server.hosts = xcalloc(s->n_hosts, sizeof(*server.hosts));
	for (size_t i = 0; i < s->n_hosts && !error; i++) {
		error = host_begin(&s->hosts[i], errors, &server.hosts[i]);
		if (!error)
			route_register_host(server.hosts[i]);
	}
	if (error) {
		say(-EINVAL, conf_errors_text(errors));
		stop_hosts();
	}
	conf_errors_free(errors);
	return error;
}

static int start_listeners(void)
{
	const struct settings *s = server.settings;
	unsigned acceptors = s->server.acceptors ? (unsigned)s->server.acceptors : 1;
	char *why = NULL;
	int error = listeners_start(s->listen, s->n_listen, server.tls, acceptors, &why);

	if (error)
		listeners_stop();
	return say(error, why);
}

/* No new ones, and those that are there are told; who does not go in time is cut off. */
static void stop_listeners(void)
{
	listeners_stop();
	c2s_kick_all(STREAM_SYSTEM_SHUTDOWN);
	for (int waited = 0; c2s_count() && waited < STOP_MS; waited += 10)
		nap(10);
}

static int start_control(void)
{
	const struct server_conf *s = &server.settings->server;
	int error;

	commands_add();
	error = command_listen(s->control_socket, (unsigned)s->control_socket_mode);
	if (error)
		return say(error, xprintf("control_socket: %s: %s", s->control_socket,
			strerror(-error)));
	return 0;
}

static int start_pid_file(void)
{
	int error = server.pid_file ? pid_file_write(server.pid_file) : 0;

	if (error)
		return say(error, xprintf("pid_file: %s: %s", server.pid_file, strerror(-error)));
	return 0;
}

static const struct {
	int (*start)(void);
	void (*stop)(void);
} steps[] = {
	{ start_settings, stop_settings },
	{ start_log, log_close },
	{ start_database, stop_database },
	{ start_jobs, jobs_stop },
	{ start_accounts, auth_stop },
	{ start_tables, stop_tables },
	{ start_tls, stop_tls },
	{ start_shards, shards_stop },
	{ start_hosts, stop_hosts },
	{ start_listeners, stop_listeners },
	{ start_control, command_close },
	{ start_pid_file, pid_file_remove },
};

static void stop_from(size_t n)
{
	while (n--)
		if (steps[n].stop)
			steps[n].stop();
	free(server.settings_path);
	free(server.pid_file);
	server.settings_path = NULL;
	server.pid_file = NULL;
}

int server_start(const char *settings_path, const char *pid_file)
{
	server.settings_path = xstrdup(settings_path);
	server.pid_file = pid_file ? xstrdup(pid_file) : NULL;
	raise_file_limit();
	metric_process_init();
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		int error = steps[i].start();

		if (!error)
			continue;
		stop_from(i);
		return error;
	}
	log_info("linnetd", "started", L_STR("version", LINNET_VERSION),
		L_INT("shards", shards_count()), L_INT("hosts", server.settings->n_hosts));
	return 0;
}

void server_stop(void)
{
	log_info("linnetd", "stopping");
	stop_from(ARRAY_LEN(steps));
}
