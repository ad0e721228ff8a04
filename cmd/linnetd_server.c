/* cmd/linnetd_server.c - what starts in which order, and ends in the reverse one.
 * Jobs come after shards, because what still runs on a job thread at the end brings its answer back
 * to a shard; sockets come last, because they promise that all the rest is there. */
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
#include "core/command.h"
#include "core/db.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "core/spool.h"
#include "core/supervisor.h"
#include "core/sysmon.h"
#include "modules/registry.h"
#include "net/c2s.h"
#include "net/listener.h"
#include "router/access.h"
#include "router/account.h"
#include "router/auth.h"
#include "router/directory.h"
#include "router/route.h"

#define STOP_MS 10000 /* how long clients have to take what waits for them */
#define STOP_LOOK_MS 5

struct server server;

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

/* Where whoever started the server looks, and in the log where that is elsewhere. */
PRINTF_LIKE(1, 2) static int failed(const char *format, ...)
{
	char *text;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	fprintf(stderr, "linnetd: %s\n", text ? text : format);
	if (server.settings && server.settings->server.log_file)
		log_error("linnetd", "cannot start", L_STR("why", text));
	free(text);
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

static int start_database(void)
{
	const struct db_conf *conf = &server.settings->database;
	struct db *db;
	int error = db_open(conf, &db);

	if (error)
		return failed("the database %s cannot be opened: %s", conf->path, strerror(-error));
	db_main_set(db);
	return 0;
}

static void stop_database(void)
{
	struct db *db = db_main();

	db_main_set(NULL);
	db_close(db);
}

static int start_spool(void)
{
	const struct settings *s = server.settings;
	AUTO(free_ptr) char *path = spool_path(&s->spool, s->database.path);
	int error = spool_open(path, (uint64_t)s->spool.max_bytes, server_conf_shards(&s->server));

	if (error == -EWOULDBLOCK)
		return failed("the spool %s cannot be opened: another server has it", path);
	return error ? failed("the spool %s cannot be opened: %s", path, strerror(-error)) : 0;
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

static int start_jobs(void)
{
	unsigned n = server_conf_jobs(&server.settings->server);
	int error = jobs_start(n);

	return error ? failed("%u job threads cannot be started: %s", n, strerror(-error)) : 0;
}

static int start_accounts(void)
{
	int error;

	job_check();
	error = auth_start(db_main());
	if (!error)
		accounts_start();
	return error ? failed("accounts cannot be asked for: %s", strerror(-error)) : 0;
}

static void stop_accounts(void)
{
	accounts_stop();
	auth_stop();
}

struct host *host_make(const struct settings_host *from)
{
	struct host *h = host_new(from->name, settings_host_conf(from));

	/* After the modules, one of which tells the owner that it is done. */
	hook_add(h->hooks, &account_removed_hook, 90, end_removed_sessions, NULL);
	return h;
}

void host_withdraw(struct host *h, enum stream_condition why)
{
	route_unregister(h->name);
	c2s_kick_host(h, why);
}

void host_end(struct host *h)
{
	registry_stop_host(h);
	host_unref(h);
}

static void stop_hosts(void)
{
	while (server.n_hosts) {
		struct host *h = server.hosts[--server.n_hosts];

		host_withdraw(h, STREAM_SYSTEM_SHUTDOWN);
		host_end(h);
	}
	free(server.hosts);
	server.hosts = NULL;
}

/* All at once, so that no module takes a domain that is to be another host's. */
static int make_hosts(struct registry_change *change, struct conf_errors *errors)
{
	const struct settings *s = server.settings;
	int error = 0;

	for (size_t i = 0; i < s->n_hosts && !error; i++) {
		struct host *h = host_make(&s->hosts[i]);

		server.hosts[server.n_hosts++] = h;
		error = registry_change_host(
			change, h, settings_host_node(s, h->name), s->hosts[i].modules, errors);
	}
	return error ? error : registry_change_prepare(change, errors);
}

static int start_hosts(void)
{
	struct conf_errors *errors = conf_errors_new();
	struct registry_change *change = registry_change_begin();
	int error;

	server.hosts = xcalloc(server.settings->n_hosts, sizeof(*server.hosts));
	error = make_hosts(change, errors);
	if (error) {
		failed_with(errors);
		registry_change_abandon(change);
		stop_hosts();
	} else {
		registry_change_commit(change);
		for (size_t i = 0; i < server.n_hosts; i++)
			REQUIRE(route_register_host(server.hosts[i]) == 0);
	}
	conf_errors_free(errors);
	return error;
}

/* ---- The system monitor: a thread below a supervisor of its own. */

static const struct child_spec monitor_child[] = {
	{ .id = "system monitor",
		.shutdown_ms = 2000,
		THREAD_CHILD(sysmon_run, .arg = (void *)&server_sysmon,
			.heartbeat_ms = SYSMON_HEARTBEAT_MS) },
};
static const struct supervisor_plan monitor_plan = {
	.strategy = ONE_FOR_ONE,
	.max_restarts = 5,
	.within_s = 60,
	SUPERVISOR_CHILDREN(monitor_child),
};
static struct actor_id monitor;
static sem_t monitor_ended;

static void note_monitor_end(struct actor_id id UNUSED, const char *reason UNUSED, void *arg UNUSED)
{
	sem_post(&monitor_ended);
}

static int start_monitor(void)
{
	const struct start how = { .ended = note_monitor_end };
	struct start_result r;

	server_set_limits(server.settings);
	sem_init(&monitor_ended, 0, 0);
	r = supervisor_spawn_wait(shard_at(0), &monitor_plan, &how);
	monitor = r.id;
	return r.outcome == STARTED ? 0 : failed("the system monitor does not start: %s", r.reason);
}

static void stop_monitor(void)
{
	bool reading = rcu_offline();

	gen_stop_id(monitor, STOP_SHUTDOWN);
	while (sem_wait(&monitor_ended) < 0)
		;
	rcu_online(reading);
	sem_destroy(&monitor_ended);
}

static int start_listeners(void)
{
	const struct settings *s = server.settings;
	AUTO(free_ptr) char *why = NULL;
	int error = listeners_start(
		s->listen, s->n_listen, server.tls, (unsigned)s->server.acceptors, &why);

	return error ? failed("%s", why) : 0;
}

/* Looks for a moment whether main was asked once more to end; true when it was. */
static bool asked_again(void)
{
	struct timespec look = { .tv_nsec = STOP_LOOK_MS * 1000000L };
	bool reading = rcu_offline();
	sigset_t set;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signo = sigtimedwait(&set, NULL, &look);
	rcu_online(reading);
	return signo > 0;
}

static void stop_listeners(void)
{
	listeners_stop();
	c2s_kick_all(STREAM_SYSTEM_SHUTDOWN);
	for (int waited = 0; c2s_count() > 0 && waited < STOP_MS; waited += STOP_LOOK_MS)
		if (asked_again())
			break;
	if (c2s_count() > 0)
		log_warning("linnetd", "clients were left behind", L_INT("streams", c2s_count()));
}

static int start_control(void)
{
	const struct server_conf *s = &server.settings->server;
	int error = command_listen(s->control_socket, (unsigned)s->control_socket_mode);

	if (error == -EADDRINUSE)
		return failed("%s: another server answers there", s->control_socket);
	return error ? failed("%s: %s", s->control_socket, strerror(-error)) : 0;
}

/* ---- All of it ---- */

static const struct step {
	int (*start)(void); /* says on stderr why it fails */
	void (*stop)(void);
} steps[] = {
	{ start_settings, stop_settings },
	{ start_log, log_close },
	{ raise_files, NULL },
	{ start_directory, directory_fini },
	{ start_tls, stop_tls },
	{ start_access, stop_access },
	{ start_spool, spool_close },
	{ start_shards, shards_stop }, /* before all whose threads post to shards */
	{ start_pulse, pulse_stop },
	{ start_database, stop_database },
	{ start_jobs, jobs_stop },
	{ start_accounts, stop_accounts },
	{ start_hosts, stop_hosts },
	{ start_monitor, stop_monitor },
	{ start_listeners, stop_listeners },
	{ start_control, command_close },
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

int server_start(const char *settings_path, const char *pid_file)
{
	server.path = settings_path;
	commands_add();
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		int error = steps[i].start();

		if (error) {
			stop_steps(i);
			return error;
		}
	}
	if (write_pid(pid_file)) {
		stop_steps(ARRAY_LEN(steps));
		return -1;
	}
	log_info("linnetd", "started", L_STR("version", LINNET_VERSION),
		L_INT("hosts", server.n_hosts), L_INT("shards", shards_count()));
	return 0;
}

void server_stop(void)
{
	log_info("linnetd", "stopping");
	stop_steps(ARRAY_LEN(steps));
	pid_file_remove();
}
