/* cmd/linnetd_server.c - what starts in which order, and ends in the reverse one: a few steps that
 * make the ground for the tree of cmd/linnetd_tree.c, which is all the rest. */
#include "cmd/linnetd_server.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "cmd/linnetd.h"
#include "cmd/linnetd_daemon.h"
#include "cmd/linnetd_pulse.h"
#include "cmd/linnetd_tree.h"
#include "cmd/linnetd_upgrade.h"
#include "core/command.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "core/spool.h"
#include "modules/registry.h"
#include "net/c2s.h"
#include "net/c2s_move.h"
#include "net/c2s_sm.h"
#include "net/dns.h"
#include "net/limits.h"
#include "net/s2s_in.h"
#include "router/access.h"
#include "router/directory.h"
#include "router/route.h"
#include "router/s2s.h"
#include "router/s2s_spool.h"

struct server server;

/* One at a time changes what the server is made of: a reload, or a part that starts or stops. */
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

/* Who waits here may not hold up the grace period that the other waits for. */
void server_lock(void)
{
	bool reading = rcu_offline();

	pthread_mutex_lock(&changing);
	rcu_online(reading);
}

void server_unlock(void)
{
	pthread_mutex_unlock(&changing);
}

const char *server_settings_path(void)
{
	return server.path;
}

struct tls_store *server_tls(void)
{
	return server.tls;
}

char *errors_text(struct conf_errors *errors)
{
	char *text = conf_errors_text(errors);
	size_t len = strlen(text);

	if (len && text[len - 1] == '\n')
		text[len - 1] = 0;
	return text;
}

void server_cannot_start(const char *why)
{
	fprintf(stderr, "linnetd: %s\n", why);
	if (server.settings && server.settings->server.log_file)
		log_error("linnetd", "cannot start", L_STR("why", why));
	takeover_refuse(why);
}

PRINTF_LIKE(1, 2) static int failed(const char *format, ...)
{
	AUTO(free_ptr) char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	server_cannot_start(text ? text : format);
	return -1;
}

static int failed_with(struct conf_errors *errors)
{
	AUTO(free_ptr) char *text = errors_text(errors);

	return failed("%s", text);
}

/* ---- The steps ---- */

static int start_settings(void)
{
	struct conf_errors *errors = conf_errors_new();
	int result = 0;

	server.settings = settings_load(server.path, errors);
	if (server.settings)
		server.started = settings_waiting(server.settings);
	else
		result = failed_with(errors);
	conf_errors_free(errors);
	return result;
}

static void stop_settings(void)
{
	settings_free(server.settings);
	settings_free(server.started);
	server.settings = server.started = NULL;
}

static int start_log(void)
{
	const struct server_conf *s = &server.settings->server;
	int error = log_open(s->log_file, (enum log_format)s->log_format);

	if (error) {
		fprintf(stderr, "linnetd: %s: %s\n", s->log_file, strerror(-error));
		return error;
	}
	atomic_store(&log_level, s->loglevel);
	metric_process_init();
	reload_init();
	mem_give_back();
	return 0;
}

/* Every connection is a file. What the system grants is told, not asked for. */
static int raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	return 0;
}

static int open_spool(void)
{
	const struct settings *s = server.settings;
	AUTO(free_ptr) char *path = spool_path(&s->spool, s->database.path);
	int error = spool_open(path, (uint64_t)s->spool.max_bytes, server_conf_shards(&s->server));

	if (!error) {
		sm_spool_note_messages();
		s2s_spool_find();
	}
	if (error == -EWOULDBLOCK)
		return failed("the spool %s cannot be opened: another server has it", path);
	return error ? failed("the spool %s cannot be opened: %s", path, strerror(-error)) : 0;
}

/* The one that another server uses is opened when that lets go of it. */
static int start_spool(void)
{
	return takeover_is_on() ? 0 : open_spool();
}

static int start_directory(void)
{
	directory_init();
	return 0;
}

static int start_tls(void)
{
	const struct settings *s = server.settings;
	AUTO(free_ptr) char *why = NULL;

	server.tls = tls_store_new();
	if (!tls_store_load(server.tls, &s->tls, s->tls_hosts, s->n_tls_hosts, &why))
		return 0;
	tls_store_free(server.tls);
	server.tls = NULL;
	return failed("%s", why);
}

static void stop_tls(void)
{
	tls_store_free(server.tls);
	server.tls = NULL;
}

static int start_access(void)
{
	access_publish(settings_take_access(server.settings));
	return 0;
}

static void stop_access(void)
{
	access_publish(NULL);
}

static int start_shards(void)
{
	unsigned n = server_conf_shards(&server.settings->server);
	int error = shards_start(n);

	return error ? failed("%u shards cannot be started: %s", n, strerror(-error)) : 0;
}

static int start_pulse(void)
{
	pulse_start(server.settings->server.hang_timeout_ms);
	return 0;
}

struct host *host_make(const struct settings_host *from)
{
	struct host *h = host_new(from->name, settings_host_conf(from));

	/* After the modules, one of which tells the owner that it is done. */
	hook_add(h->hooks, &account_removed_hook, 90, end_removed_sessions, NULL);
	hook_add(h->hooks, &user_agent_revoked_hook, 90, end_revoked_sessions, NULL);
	return h;
}

void host_withdraw(struct host *h, enum stream_condition why)
{
	route_unregister(h->name);
	c2s_kick_host(h, why);
	s2s_in_kick_domain(h->name, why);
}

void host_end(struct host *h)
{
	registry_stop_host(h);
	host_unref(h);
}

/* ---- All of it ---- */

static int start_tree(void)
{
	server_set_limits(server.settings);
	outgoing_conf_publish(&server.settings->outgoing);
	dns_reload();
	s2s_conf_set(&server.settings->s2s);
	return tree_start();
}

/* All is there but what serves: that is the old server's until it says so. */
static int take_over(void)
{
	int error;

	if (!takeover_is_on())
		return 0;
	takeover_run();
	if (open_spool())
		return -1;
	c2s_sm_restore();
	s2s_restore();
	takeover_serve();
	error = command_publish();
	if (error)
		log_error("linnetd", "the control socket cannot take its place",
			L_STR("why", strerror(-error)));
	return 0;
}

/* Who is called upon by another server can answer, and is there to be found. */
static int start_links(void)
{
	s2s_start();
	return 0;
}

static void stop_tree(void)
{
	command_hold(); /* nobody uses any more what goes now */
	server.gave_up = !tree_stop();
	command_release();
}

/* What has to be there before the first actor, then all else. */
static const struct step {
	int (*start)(void); /* says on stderr why it fails */
	void (*stop)(void);
} steps[] = {
	{ start_settings, stop_settings }, /* all others look into them */
	{ start_log, log_close }, /* metrics, too */
	{ raise_files, NULL }, /* before many are opened */
	{ start_directory, directory_fini }, /* shards look into it while they turn */
	{ start_tls, stop_tls }, /* certificates */
	{ start_access, stop_access }, /* rules */
	{ start_spool, spool_close }, /* its records are looked at before anybody adds one */
	{ start_shards, shards_stop }, /* before all whose threads post to shards */
	{ start_pulse, pulse_stop }, /* the monitor hears that they turn */
	{ start_tree, stop_tree }, /* cmd/linnetd_tree.c */
	{ take_over, takeover_end }, /* what another server has, and its place */
	{ start_links, NULL }, /* to other servers */
};

static void stop_steps(size_t n)
{
	while (n--)
		if (steps[n].stop)
			steps[n].stop();
}

static int write_pid(const char *given)
{
	const char *path = given ? given : server.settings->server.pid_file;
	int error = path ? pid_file_write(path) : 0;

	return error ? failed("%s: %s", path, strerror(-error)) : 0;
}

static int start_all(const char *pid_file)
{
	int error = 0;
	size_t n = 0;

	while (n < ARRAY_LEN(steps) && !error) {
		error = steps[n].start();
		n += !error;
	}
	if (!error)
		error = write_pid(pid_file);
	if (error)
		stop_steps(n);
	return error;
}

int server_start(const char *settings_path, const char *pid_file)
{
	int error;

	server.path = settings_path;
	commands_add();
	c2s_move_init();
	limits_handover();
	command_hold(); /* until all is there */
	error = start_all(pid_file);
	if (!error) {
		atomic_store(&server.is_up, true);
		log_info("linnetd", "started", L_STR("version", LINNET_VERSION),
			L_INT("hosts", server.n_hosts), L_INT("shards", shards_count()));
	}
	command_release();
	return error;
}

bool server_stop(void)
{
	log_info("linnetd", "stopping");
	stop_steps(ARRAY_LEN(steps));
	if (!upgrade_is_done())
		pid_file_remove();
	return !server.gave_up;
}
