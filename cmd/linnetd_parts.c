/* cmd/linnetd_parts.c - how the parts of the tree start and stop, and what they count. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/linnetd_server.h"
#include "cmd/linnetd_tree.h"
#include "cmd/linnetd_upgrade.h"
#include "core/command.h"
#include "core/db.h"
#include "core/hook.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "net/acceptor.h"
#include "net/c2s.h"
#include "net/c2s_sm.h"
#include "net/dialback.h"
#include "net/listener.h"
#include "net/s2s_in.h"
#include "net/s2s_out.h"
#include "net/service.h"
#include "router/account.h"
#include "router/auth.h"
#include "router/component.h"
#include "router/directory.h"
#include "router/iq.h"
#include "router/route.h"
#include "router/s2s.h"

#define STOP_MS 10000 /* how long clients have to take what waits for them */
#define STOP_LOOK_MS 5
#define S2S_STOP_MS 6000 /* the same for other servers */

int part_failed(char *why, const char *format, ...)
{
	char *text;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (atomic_load(&server.is_up))
		snprintf(why, CHILD_REASON_MAX, "%s", log_text(text));
	else
		server_cannot_start(log_text(text));
	free(text);
	return -1;
}

/* --- one at a time --- */

int part_start(void *arg, char *why)
{
	const struct part *p = arg;
	int error;

	server_lock();
	error = p->start ? p->start(why) : 0;
	server_unlock();
	return error;
}

/* No command may be in the middle of what stops. */
void part_stop(void *arg)
{
	const struct part *p = arg;

	command_hold();
	server_lock();
	p->stop();
	server_unlock();
	command_release();
}

/* --- control --- */

static int start_control(char *why)
{
	const struct server_conf *s = &server.settings->server;
	unsigned mode = (unsigned)s->control_socket_mode;
	int error = !atomic_load(&server.is_up) && takeover_is_on()
		? command_listen_beside(s->control_socket, mode)
		: command_listen(s->control_socket, mode);

	if (error == -EADDRINUSE)
		return part_failed(why, "%s: another server answers there", s->control_socket);
	return error ? part_failed(why, "%s: %s", s->control_socket, strerror(-error)) : 0;
}

const struct part part_control = { start_control, command_close };

/* --- tables --- */

int64_t count_hooks(void *unused UNUSED)
{
	return hook_count();
}

int64_t count_domains(void *unused UNUSED)
{
	return route_count();
}

int64_t count_services(void *unused UNUSED)
{
	return route_count_services();
}

int64_t count_sessions(void *unused UNUSED)
{
	return (int64_t)directory_count();
}

int64_t count_iq_handlers(void *unused UNUSED)
{
	return iq_count().handlers;
}

int64_t count_iqs(void *unused UNUSED)
{
	return iq_count().waiting;
}

/* --- database, jobs, accounts --- */

static int start_database(char *why)
{
	const struct db_conf *conf = &server.settings->database;
	struct db *db;
	int error = db_open(conf, &db);

	if (error)
		return part_failed(
			why, "the database %s cannot be opened: %s", conf->path, strerror(-error));
	db_main_set(db);
	return 0;
}

static void stop_database(void)
{
	struct db *db = db_main();

	db_main_set(NULL);
	db_close(db);
}

int64_t count_writes(void *unused UNUSED)
{
	return db_waiting(db_main());
}

const struct part part_database = { start_database, stop_database };

static int start_jobs(char *why)
{
	unsigned n = server_conf_jobs(&server.settings->server);
	int error = jobs_start(n);

	return error ? part_failed(why, "%u job threads cannot be started: %s", n, strerror(-error))
		     : 0;
}

int64_t count_jobs(void *unused UNUSED)
{
	return jobs_waiting();
}

const struct part part_jobs = { start_jobs, jobs_stop };

static int start_accounts(char *why)
{
	int error;

	job_check();
	error = auth_start(db_main());
	if (!error)
		accounts_start();
	return error ? part_failed(why, "accounts cannot be asked for: %s", strerror(-error)) : 0;
}

static void stop_accounts(void)
{
	accounts_stop();
	auth_stop();
}

const struct part part_accounts = { start_accounts, stop_accounts };

/* --- clients --- */

static void look_later(void)
{
	const struct timespec look = { .tv_nsec = STOP_LOOK_MS * 1000000L };
	bool reading = rcu_offline();

	nanosleep(&look, NULL);
	rcu_online(reading);
}

/* Until there are none, or it takes too long. */
static void await_end(int64_t (*count)(void), const char *what)
{
	for (int waited = 0; count() > 0 && waited < STOP_MS; waited += STOP_LOOK_MS) {
		if (atomic_load(&server.hurry))
			break;
		look_later();
	}
	if (count() > 0)
		log_warning("linnetd", what, L_INT("streams", count()));
}

static void stop_c2s(void)
{
	if (upgrade_is_done())
		upgrade_finish(&server.hurry);
	c2s_kick_all(STREAM_SYSTEM_SHUTDOWN);
	await_end(c2s_count, "clients were left behind");
}

int64_t count_streams(void *unused UNUSED)
{
	return c2s_count();
}

int64_t count_mail(void *unused UNUSED)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < shards_count(); i++)
		sum += shard_waiting(shard_at(i));
	return sum;
}

/* Those of a process before, which wait for their clients; others come by the acceptors. */
static int start_c2s(char *why UNUSED)
{
	c2s_sm_restore();
	return 0;
}

/* --- other servers --- */

static int start_s2s_in(char *why UNUSED)
{
	return 0;
}

static void stop_s2s_in(void)
{
	s2s_in_kick_all(STREAM_SYSTEM_SHUTDOWN);
	await_end(s2s_in_count, "other servers' streams were left behind");
}

int64_t count_s2s_in(void *unused UNUSED)
{
	return s2s_in_count();
}

const struct part part_s2s_in = { start_s2s_in, stop_s2s_in };

const struct part part_c2s = { .start = start_c2s, .stop = stop_c2s };

static int start_components(char *why UNUSED)
{
	components_start();
	return 0;
}

static void stop_components(void)
{
	service_kick_all(STREAM_SYSTEM_SHUTDOWN);
	await_end(service_count, "components were left behind");
	components_stop();
}

int64_t count_components(void *unused UNUSED)
{
	return components_count();
}

const struct part part_components = { start_components, stop_components };

/* --- other servers --- */

int64_t count_s2s_links(void *unused UNUSED)
{
	return s2s_count();
}

int64_t count_s2s_out(void *unused UNUSED)
{
	return s2s_out_count();
}

static int start_s2s_out(char *why UNUSED)
{
	const char *secret = server.settings->s2s.dialback_secret;

	if (secret)
		dialback_set_secret(secret);
	s2s_out_start(server.tls);
	if (atomic_load(&server.is_up))
		s2s_start();
	else
		s2s_restore(); /* until all is there */
	return 0;
}

/* Messages that wait for a server are in the spool; what else does comes back to its senders. */
static void stop_s2s_out(void)
{
	s2s_stop();
	s2s_out_stop(atomic_load(&server.hurry) ? 0 : S2S_STOP_MS);
}

const struct part part_s2s_out = { start_s2s_out, stop_s2s_out };

/* --- ports --- */

/* Ports that another server serves still are not accepted from, and its own to close. */
static int start_acceptors(char *why)
{
	int error = listeners_begin(server.tls, (unsigned)server.settings->server.acceptors);

	if (!atomic_load(&server.is_up) && takeover_is_on()) {
		listeners_pause();
		listeners_given_away();
	}
	return error ? part_failed(why, "acceptors: %s", strerror(-error)) : 0;
}

const struct part part_acceptors = { start_acceptors, listeners_stop };
