/* cmd/linnetd_reload.c - from the settings that run to those of the file, as a whole or not at all.
 * First everything is read and checked; then come the steps that may fail, each of which only makes
 * ready what nobody sees yet; last all of it is put in place, which cannot fail. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/linnetd.h"
#include "cmd/linnetd_daemon.h"
#include "cmd/linnetd_pulse.h"
#include "cmd/linnetd_server.h"
#include "cmd/linnetd_tree.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "modules/registry.h"
#include "net/c2s.h"
#include "net/dns.h"
#include "net/listener.h"
#include "net/s2s_in.h"
#include "net/service.h"
#include "router/access.h"
#include "router/route.h"
#include "router/s2s.h"

#define LOGGED_MAX 100 /* changes that get a line of their own in the log */

static struct metric reloads[] = {
	METRIC_COUNTER_OF("reloads_total", "result=\"ok\"", "Reloads of the settings."),
	METRIC_COUNTER_OF("reloads_total", "result=\"failed\"", "Reloads of the settings."),
};
static _Atomic int64_t reloaded_at; /* seconds since 1970 */

static int64_t read_reloaded_at(void)
{
	return atomic_load_explicit(&reloaded_at, memory_order_relaxed);
}

static struct metric last_success = METRIC_GAUGE_READ("reload_last_success_timestamp_seconds",
	"When the settings were last applied by a reload, seconds since 1970; 0: not yet.",
	read_reloaded_at);

struct reload {
	struct settings *old, *new;
	struct host **hosts; /* of new, in its order: those that run and those made for it */
	bool *added; /* of hosts: made for it */
	/* What is prepared. */
	int log;
	struct tls_change *tls;
	struct registry_change *modules;
	struct listeners_change *listeners;
	struct conf_errors *errors;
	json_t *rows; /* the differences */
};

/* Held until the tree has followed, too, which the server's lock cannot be. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

/* Who waits here may not hold up the grace period that the other waits for. */
static void wait_for_others(void)
{
	bool reading = rcu_offline();

	pthread_mutex_lock(&one_at_a_time);
	rcu_online(reading);
}

void reload_hold(void)
{
	wait_for_others();
	server_lock();
}

void reload_release(void)
{
	server_unlock();
	pthread_mutex_unlock(&one_at_a_time);
}

/* ---- What may fail: each step tells why in errors, and undoes itself when asked to. ---- */

static int prepare_log(struct reload *r)
{
	const char *path = r->new->server.log_file;

	r->log = log_prepare(path);
	if (r->log >= 0)
		return 0;
	conf_fail(r->errors, settings_option_node(r->new, "log_file"), "log_file: %s: %s", path,
		strerror(-r->log));
	return r->log;
}

static void abandon_log(struct reload *r)
{
	log_abandon(r->log);
}

static int prepare_certificates(struct reload *r)
{
	const struct settings *s = r->new;
	AUTO(free_ptr) char *why = NULL;
	int error =
		tls_store_prepare(server.tls, &s->tls, s->tls_hosts, s->n_tls_hosts, &r->tls, &why);

	if (error)
		conf_fail(r->errors, settings_certificate_node(s, why), "%s", why);
	return error;
}

static void abandon_certificates(struct reload *r)
{
	tls_store_abandon(r->tls);
}

static void abandon_hosts(struct reload *r)
{
	registry_change_abandon(r->modules);
	for (size_t i = 0; i < r->new->n_hosts; i++)
		if (r->added[i])
			host_unref(r->hosts[i]);
}

static int prepare_host(struct reload *r, size_t i)
{
	const struct settings_host *to = &r->new->hosts[i];

	r->hosts[i] = route_host(to->name); /* server.hosts has a reference */
	if (!r->hosts[i]) {
		r->hosts[i] = host_make(to);
		r->added[i] = true;
	}
	return registry_change_host(r->modules, r->hosts[i], settings_host_node(r->new, to->name),
		to->modules, r->errors);
}

static int prepare_hosts(struct reload *r)
{
	int error = 0;

	r->modules = registry_change_begin();
	for (size_t i = 0; i < r->new->n_hosts && !error; i++)
		error = prepare_host(r, i);
	for (size_t i = 0; i < server.n_hosts; i++)
		if (!settings_find_host(r->new, server.hosts[i]->name))
			registry_change_gone(r->modules, server.hosts[i]);
	if (!error)
		error = registry_change_prepare(r->modules, r->errors);
	if (error)
		abandon_hosts(r);
	return error;
}

static int prepare_listeners(struct reload *r)
{
	const struct settings *s = r->new;
	AUTO(free_ptr) char *why = NULL;
	size_t at;
	int error = listeners_prepare(s->listen, s->n_listen, &r->listeners, &at, &why);

	if (error)
		conf_fail(r->errors, settings_listen_node(s, at), "%s", why);
	return error;
}

static void abandon_listeners(struct reload *r)
{
	listeners_abandon(r->listeners);
}

static const struct {
	int (*prepare)(struct reload *r);
	void (*abandon)(struct reload *r);
	bool has_effects; /* a dry run leaves it out: a start() is a module's own business */
} preparations[] = {
	{ prepare_log, abandon_log, .has_effects = true }, /* it makes the file */
	{ prepare_certificates, abandon_certificates },
	{ prepare_hosts, abandon_hosts, .has_effects = true },
	{ prepare_listeners, abandon_listeners }, /* last: clients may come from here on */
};

static void abandon(struct reload *r, size_t n, bool dry_run)
{
	while (n--)
		if (!dry_run || !preparations[n].has_effects)
			preparations[n].abandon(r);
}

static int prepare(struct reload *r, bool dry_run)
{
	for (size_t i = 0; i < ARRAY_LEN(preparations); i++) {
		int error = dry_run && preparations[i].has_effects ? 0 : preparations[i].prepare(r);

		if (!error)
			continue;
		abandon(r, i, dry_run);
		return error;
	}
	return 0;
}

/* ---- What cannot fail ---- */

static bool is_gone(const struct reload *r, const struct host *h)
{
	return !settings_find_host(r->new, h->name);
}

/* Nobody finds the hosts that go before others take over their domains; those that come are found
 * once their modules are there. */
static void commit_hosts(struct reload *r)
{
	for (size_t i = 0; i < server.n_hosts; i++)
		if (is_gone(r, server.hosts[i]))
			host_withdraw(server.hosts[i], STREAM_HOST_GONE);
	registry_change_commit(r->modules);
	for (size_t i = 0; i < server.n_hosts; i++)
		if (is_gone(r, server.hosts[i]))
			host_end(server.hosts[i]);
	for (size_t i = 0; i < r->new->n_hosts; i++) {
		if (r->added[i])
			REQUIRE(route_register_host(r->hosts[i]) == 0);
		else
			host_set_conf(r->hosts[i], settings_host_conf(&r->new->hosts[i]));
	}
	free(server.hosts);
	server.hosts = r->hosts;
	server.n_hosts = r->new->n_hosts;
	r->hosts = NULL;
}

static void commit(struct reload *r)
{
	const struct server_conf *s = &r->new->server;

	log_commit(r->log, s->log_file, (enum log_format)s->log_format);
	tls_store_commit(r->tls);
	access_publish(settings_take_access(r->new)); /* before those who name new rules */
	commit_hosts(r);
	listeners_commit(r->listeners);
	c2s_shape_all();
	s2s_in_recheck();
	service_shape_all();
	atomic_store(&log_level, s->loglevel);
	pulse_within(s->hang_timeout_ms);
	server_set_limits(r->new);
	outgoing_conf_publish(&r->new->outgoing);
	dns_reload();
	s2s_conf_set(&r->new->s2s);
	s2s_recheck();
	server.settings = r->new;
	rcu_wait(); /* modules' handlers may still look at their options as they were */
	settings_free(r->old);
}

/* ---- The difference ---- */

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static void add_difference(const struct difference *d, void *arg)
{
	struct reload *r = arg;
	AUTO(free_ptr) char *line = difference_line(d), *sign = xprintf("%c", d->sign);
	AUTO(free_ptr)
	char *name = xprintf("%s%s%s", d->name, d->option ? " " : "", d->option ? d->option : "");

	json_array_append_new(r->rows,
		json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:s}", "change", line, "sign", sign,
			"kind", d->kind, "name", name, "host", text_or_null(d->host), "before",
			text_or_null(d->before), "after", text_or_null(d->after), "applies",
			d->sign == '!' ? "at the next start" : "now"));
}

/* ---- The whole ---- */

static void log_changes(const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach (rows, i, row)
		if (i < LOGGED_MAX)
			log_info("linnetd", "reloading",
				L_STR("change", json_string_value(json_object_get(row, "change"))));
}

/* Whether it went well; either way new is no longer the caller's. */
static bool reload(struct reload *r, bool dry_run)
{
	bool done;

	r->hosts = xcalloc(r->new->n_hosts, sizeof(struct host *));
	r->added = xcalloc(r->new->n_hosts, sizeof(*r->added));
	done = !prepare(r, dry_run);
	if (done) {
		settings_differences(server.started, r->old, r->new, add_difference, r);
		certificate_differences(server.tls, r->tls, add_difference, r);
		if (dry_run) {
			abandon(r, ARRAY_LEN(preparations), true);
		} else {
			log_changes(r->rows);
			commit(r);
		}
	}
	if (!done || dry_run)
		settings_free(r->new);
	free(r->hosts);
	free(r->added);
	return done;
}

static void note_outcome(const struct reload *r, bool done, const char *why)
{
	metric_add(&reloads[!done], 1);
	if (!done) {
		log_error("linnetd", "reload failed; nothing has changed", L_STR("why", why));
		return;
	}
	atomic_store_explicit(&reloaded_at, (int64_t)time(NULL), memory_order_relaxed);
	log_info("linnetd", "reloaded", L_INT("changes", json_array_size(r->rows)));
}

void reload_init(void)
{
	for (size_t i = 0; i < ARRAY_LEN(reloads); i++)
		metric_register(&reloads[i]);
	metric_register(&last_success);
}

json_t *server_reload(bool dry_run, char **why)
{
	struct reload r = { .errors = conf_errors_new(), .rows = json_array() };
	AUTO(free_ptr) char *down = NULL;
	bool done;

	wait_for_others();
	down = tree_find_down();
	if (down)
		conf_fail(r.errors, NULL, "%s is not up: linnetctl supervisor start '%s'", down,
			down);
	server_lock();
	r.old = server.settings;
	r.new = down ? NULL : settings_load(server.path, r.errors);
	done = r.new &&reload(&r, dry_run);
	if (done && !dry_run)
		branches_want();
	server_unlock();
	if (done && !dry_run)
		branches_follow();
	pthread_mutex_unlock(&one_at_a_time);
	if (!done)
		*why = errors_text(r.errors);
	if (!dry_run)
		note_outcome(&r, done, *why);
	conf_errors_free(r.errors);
	if (done)
		return r.rows;
	json_decref(r.rows);
	return NULL;
}

void reload_and_log(void)
{
	AUTO(free_ptr) char *why = NULL;

	daemon_notify_reloading();
	json_decref(server_reload(false, &why));
	daemon_notify("READY=1");
}
