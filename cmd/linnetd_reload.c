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
	size_t n_handed; /* of server.hosts that have got their new modules' options */
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
	return load_certificates(r->new, r->why);
}

static void undo_certificates(struct reload *r)
{
	AUTO(free_ptr) char *why = NULL;

	load_certificates(r->old, &why);
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

/* Gives the first n hosts the modules' options that one of the two settings has for them. */
static int hand_over(
	const struct settings *as, size_t n, struct conf_errors *errors, size_t *handed)
{
	for (*handed = 0; *handed < n; ++*handed) {
		struct host *h = server.hosts[*handed];
		int error = settings_find_host(as, h->name)
			? registry_reload_host(h, settings_modules(as, h->name), errors)
			: 0;

		if (error)
			return error;
	}
	return 0;
}

static void undo_modules(struct reload *r)
{
	struct conf_errors *errors = conf_errors_new();
	size_t undone;

	if (hand_over(r->old, r->n_handed, errors, &undone)) {
		AUTO(free_ptr) char *text = errors_text(errors);

		log_error("linnetd", "a module does not take its options back", L_STR("why", text));
	}
	conf_errors_free(errors);
}

static int apply_modules(struct reload *r)
{
	struct conf_errors *errors = conf_errors_new();
	int error = hand_over(r->new, server.n_hosts, errors, &r->n_handed);

	if (error) {
		*r->why = errors_text(errors);
		undo_modules(r);
	}
	conf_errors_free(errors);
	return error;
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

static struct host *running_host(const char *name)
{
	for (size_t i = 0; i < server.n_hosts; i++)
		if (!strcmp(server.hosts[i]->name, name))
			return server.hosts[i];
	return NULL;
}

/* Kept hosts get their settings, added ones are found from now on, the others go. */
static void replace_hosts(struct reload *r)
{
	size_t n = r->new->n_hosts;
	struct host **now = xcalloc(n, sizeof(*now)), **added = r->added;

	for (size_t i = 0; i < n; i++) {
		const struct settings_host *to = &r->new->hosts[i];

		now[i] = running_host(to->name);
		if (now[i]) {
			host_set_conf(now[i], settings_host_conf(to));
		} else {
			now[i] = *added++;
			route_register_host(now[i]);
		}
	}
	for (size_t i = 0; i < server.n_hosts; i++)
		if (!settings_find_host(r->new, server.hosts[i]->name))
			host_finish(server.hosts[i], STREAM_HOST_GONE);
	free(server.hosts);
	server.hosts = now;
	server.n_hosts = n;
}

/* Until here an access rule that is new was unknown, and so denied. */
static void replace_settings(struct reload *r)
{
	access_publish(settings_take_access(r->new));
	replace_hosts(r);
	atomic_store(&log_level, r->new->server.loglevel);
	server.settings = r->new;
	rcu_wait(); /* modules' handlers may still look at their options as they were */
	settings_free(r->old);
}

/* ---- The whole ---- */

static void add_change(const struct conf_change *change, void *list)
{
	json_array_append_new(list,
		json_pack("{s:s, s:s?, s:s?, s:s}", "option", change->path, "before",
			change->before, "after", change->after, "applies",
			change->needs_restart ? "at the next start" : "now"));
}

static json_t *reload(struct settings *to, bool dry_run, char **why)
{
	struct reload r = { .old = server.settings, .new = to, .why = why };
	json_t *list = json_array();
	int error;

	settings_differences(r.old, r.new, add_change, list);
	if (dry_run) {
		settings_free(r.new);
		return list;
	}
	r.added = xcalloc(r.new->n_hosts, sizeof(*r.added));
	error = apply_changes(&r);
	if (error) {
		if (!*why)
			*why = xstrdup(strerror(error < 0 ? -error : EINVAL));
		settings_free(r.new);
		json_decref(list);
		list = NULL;
	} else {
		replace_settings(&r);
	}
	free(r.added);
	return list;
}

json_t *server_reload(bool dry_run, char **why)
{
	struct conf_errors *errors = conf_errors_new();
	struct settings *to;
	json_t *list = NULL;

	lock();
	to = settings_load(server.path, errors);
	if (to)
		list = reload(to, dry_run, why);
	else
		*why = errors_text(errors);
	pthread_mutex_unlock(&one_at_a_time);
	conf_errors_free(errors);
	if (dry_run)
		return list;
	if (*why)
		log_error("linnetd", "reload failed; nothing has changed", L_STR("why", *why));
	else
		log_info("linnetd", "reloaded", L_INT("changes", json_array_size(list)));
	return list;
}

void reload_and_log(void)
{
	AUTO(free_ptr) char *why = NULL;

	daemon_notify_reloading();
	json_decref(server_reload(false, &why));
	daemon_notify("READY=1");
}
