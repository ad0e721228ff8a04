/* cmd/linnetd_reload.c - from the settings that run to those of the file, as a whole or not at all.
 * First everything is read and checked; then come the changes that may fail, each with a way back;
 * last those that cannot. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/linnetd.h"
#include "cmd/linnetd_daemon.h"
#include "cmd/linnetd_server.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "modules/registry.h"
#include "net/c2s.h"
#include "net/listener.h"
#include "router/access.h"
#include "router/route.h"

struct reload {
	struct settings *old, *new;
	struct host **added; /* hosts only new has, in its order; not found by anyone yet */
	size_t n_added;
	size_t n_handed; /* hosts of old that have got their new modules' options */
	char **why;
};

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

/* Who waits here may not hold up the grace period that the other waits for. */
static void lock(void)
{
	bool reading = rcu_offline();

	pthread_mutex_lock(&one_at_a_time);
	rcu_online(reading);
}

static char *errors_text(struct conf_errors *errors)
{
	char *text = conf_errors_text(errors);
	size_t len = strlen(text);

	if (len && text[len - 1] == '\n')
		text[len - 1] = 0;
	return text;
}

/* ---- What may fail ---- */

static int apply_log(struct reload *r)
{
	const struct server_conf *s = &r->new->server;
	int error = log_open(s->log_file, (enum log_format)s->log_format);

	if (error)
		*r->why = xprintf("log_file: %s: %s", s->log_file, strerror(-error));
	return error;
}

static void undo_log(struct reload *r)
{
	const struct server_conf *s = &r->old->server;

	log_open(s->log_file, (enum log_format)s->log_format);
}

static int apply_certificates(struct reload *r)
{
	return load_certificates(server.tls, r->new, r->why);
}

static void undo_certificates(struct reload *r)
{
	AUTO(free_ptr) char *why = NULL;

	load_certificates(server.tls, r->old, &why);
}

static void stop_added(struct reload *r)
{
	while (r->n_added) {
		struct host *h = r->added[--r->n_added];

		registry_stop_host(h);
		host_unref(h);
	}
}

static int start_added(struct reload *r)
{
	struct conf_errors *errors = conf_errors_new();
	int error = 0;

	for (size_t i = 0; i < r->new->n_hosts && !error; i++) {
		const struct settings_host *to = &r->new->hosts[i];

		if (settings_find_host(r->old, to->name))
			continue;
		error = host_begin(to, errors, &r->added[r->n_added]);
		if (!error)
			r->n_added++;
	}
	if (error) {
		*r->why = errors_text(errors);
		stop_added(r);
	}
	conf_errors_free(errors);
	return error;
}

/* The module options of the first n hosts of old, as one of the two settings has them. */
static int hand_over(const struct settings *as, const struct settings *old, size_t n,
	struct conf_errors *errors, size_t *handed)
{
	for (*handed = 0; *handed < n; ++*handed) {
		const struct settings_host *was = &old->hosts[*handed];
		const struct settings_host *now = settings_find_host(as, was->name);
		int error = now ? registry_reload_host(server.hosts[*handed], now->modules, errors) :
				  0;

		if (error)
			return error;
	}
	return 0;
}

static int apply_modules(struct reload *r)
{
	struct conf_errors *errors = conf_errors_new();
	int error = hand_over(r->new, r->old, r->old->n_hosts, errors, &r->n_handed);

	if (error) {
		size_t undone;

		*r->why = errors_text(errors);
		hand_over(r->old, r->old, r->n_handed, errors, &undone);
	}
	conf_errors_free(errors);
	return error;
}

static void undo_modules(struct reload *r)
{
	struct conf_errors *errors = conf_errors_new();
	size_t undone;

	hand_over(r->old, r->old, r->n_handed, errors, &undone);
	conf_errors_free(errors);
}

static int apply_listeners(struct reload *r)
{
	return listeners_reload(r->new->listen, r->new->n_listen, r->why);
}

static const struct {
	int (*apply)(struct reload *r);
	void (*undo)(struct reload *r);
} changes[] = {
	{ apply_log, undo_log },
	{ apply_certificates, undo_certificates },
	{ start_added, stop_added },
	{ apply_modules, undo_modules },
	{ apply_listeners, NULL },
};

static int apply_changes(struct reload *r)
{
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		int error = changes[i].apply(r);

		if (!error)
			continue;
		while (i--)
			changes[i].undo(r);
		return error;
	}
	return 0;
}

/* ---- What cannot fail ---- */

/* The hosts that run, in the order of new: kept ones get their settings, added ones are found from
 * now on, the others go. */
static void replace_hosts(struct reload *r)
{
	struct host **now = xcalloc(r->new->n_hosts, sizeof(*now)), **added = r->added;

	for (size_t i = 0; i < r->new->n_hosts; i++) {
		const struct settings_host *to = &r->new->hosts[i];
		struct host *h = server_find_host(to->name);

		if (h)
			host_set_conf(h, settings_host_conf(to));
		else
			route_register_host(h = *added++);
		now[i] = h;
	}
	for (size_t i = 0; i < r->old->n_hosts; i++)
		if (!settings_find_host(r->new, r->old->hosts[i].name))
			host_finish(server.hosts[i], STREAM_HOST_GONE);
	free(server.hosts);
	server.hosts = now;
}

static void apply_rest(struct reload *r)
{
	access_publish(settings_take_access(r->new));
	atomic_store(&log_level, r->new->server.loglevel);
	replace_hosts(r);
	settings_free(server.settings);
	server.settings = r->new;
}

/* ---- What is told ---- */

static void add_change(const struct conf_change *change, void *arg)
{
	json_array_append_new(arg,
		json_pack("{s:s, s:s, s:s, s:b}", "option", change->path, "before",
			change->before ? change->before : "", "after",
			change->after ? change->after : "", "restart", change->needs_restart));
}

static json_t *reload_locked(bool dry_run, char **why)
{
	struct conf_errors *errors = conf_errors_new();
	struct reload r = { .old = server.settings, .why = why };
	json_t *changes_made = NULL;

	r.new = settings_load(server.settings_path, errors);
	if (!r.new) {
		*why = errors_text(errors);
	} else {
		changes_made = json_array();
		settings_differences(r.old, r.new, add_change, changes_made);
	}
	conf_errors_free(errors);
	if (!r.new || dry_run) {
		settings_free(r.new);
		return changes_made;
	}
	r.added = xcalloc(r.new->n_hosts, sizeof(*r.added));
	if (apply_changes(&r)) {
		json_decref(changes_made);
		changes_made = NULL;
		settings_free(r.new);
	} else {
		apply_rest(&r);
	}
	free(r.added);
	return changes_made;
}

json_t *server_reload(bool dry_run, char **why)
{
	json_t *changes_made;

	lock();
	changes_made = reload_locked(dry_run, why);
	pthread_mutex_unlock(&one_at_a_time);
	return changes_made;
}

void reload_and_log(void)
{
	char *why = NULL;
	json_t *changes_made;

	daemon_notify_reloading();
	changes_made = server_reload(false, &why);
	if (changes_made)
		log_info("linnetd", "settings reloaded",
			L_INT("changes", json_array_size(changes_made)));
	else
		log_error("linnetd", "settings not reloaded", L_STR("why", why));
	json_decref(changes_made);
	free(why);
	daemon_notify("READY=1");
}
