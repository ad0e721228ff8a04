/* cmd/linnetd_branches.c - the rows of the tree that come from the settings: hosts and ports.
 *
 *   hosts                  one_for_one
 *     example.org          one_for_all: what its modules run belongs to them
 *       modules            all of the host's, which start and stop together
 *       processes          one_for_one: the children that the modules ask for
 *   listener               one_for_one
 *     0.0.0.0:5222
 *
 * A reload does its work as a whole, and then tells the tree: a row that comes finds that what it
 * is to start runs, one that goes that it has stopped. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/linnetd.h"
#include "cmd/linnetd_server.h"
#include "cmd/linnetd_tree.h"
#include "core/log.h"
#include "core/mem.h"
#include "modules/module_children.h"
#include "modules/registry.h"
#include "net/c2s.h"
#include "net/listener.h"
#include "router/route.h"

#define HOST_MS 600000 /* modules may change their tables */
#define PORT_MS 60000
#define ASK_MS 900000

enum branch_kind { HOSTS, PORTS, KINDS };

/* Made when its name is first seen, and kept until the end: children point to it. */
struct branch {
	struct branch *next;
	enum branch_kind kind;
	char *name;
	bool wanted;
	size_t at; /* in the settings' list of its kind, while it is wanted */
	/* Of a host. */
	struct supervisor_plan plan, processes;
	struct child_spec parts[2];
	char *processes_name; /* registered */
	struct module_children *running; /* what processes was last started with */
};

static struct {
	pthread_mutex_t
		lock; /* held for short: shards wait for it. A reload alone changes anything */
	struct branch *first[KINDS];
	struct child_spec *specs[KINDS]; /* what the supervisor was last started with */
} branches = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* --- a host's modules --- */

static int begin_modules(const struct settings_host *to, struct conf_errors *errors)
{
	struct registry_change *change = registry_change_begin();
	struct host *h = host_make(to);
	int error = registry_change_host(
		change, h, settings_host_node(server.settings, h->name), to->modules, errors);

	if (!error)
		error = registry_change_prepare(change, errors);
	if (error) {
		registry_change_abandon(change);
		host_unref(h);
		return error;
	}
	registry_change_commit(change);
	REQUIRE(route_register_host(h) == 0);
	server.hosts = xrealloc(server.hosts, (server.n_hosts + 1) * sizeof(struct host *));
	server.hosts[server.n_hosts++] = h;
	return 0;
}

static int start_host(const struct branch *b, char *why)
{
	struct conf_errors *errors;
	int error;

	if (route_host(b->name))
		return 0; /* a reload has started it */
	if (!b->wanted)
		return part_failed(why, "%s is not in the settings any more", b->name);
	errors = conf_errors_new();
	error = begin_modules(&server.settings->hosts[b->at], errors);
	if (error) {
		AUTO(free_ptr) char *text = errors_text(errors);

		part_failed(why, "%s", text);
	}
	conf_errors_free(errors);
	return error;
}

static int start_modules(void *arg, char *why)
{
	const struct branch *b = arg;
	int error;

	server_lock();
	error = start_host(b, why);
	server_unlock();
	return error;
}

static void stop_modules(void *arg)
{
	const struct branch *b = arg;
	struct host *h;

	server_lock();
	h = route_host(b->name); /* it has a reference of the list's */
	for (size_t i = 0; h && i < server.n_hosts; i++)
		if (server.hosts[i] == h)
			server.hosts[i] = server.hosts[--server.n_hosts];
	if (h) {
		host_withdraw(h, STREAM_SYSTEM_SHUTDOWN);
		host_end(h);
	}
	server_unlock();
}

static void count_module(struct module_instance *mi UNUSED, void *n)
{
	++*(int64_t *)n;
}

static int64_t count_modules(void *arg)
{
	const struct branch *b = arg;
	struct host *h = route_host(b->name);
	int64_t n = 0;

	if (h)
		registry_each(h, count_module, &n);
	return n;
}

/* What the modules that run want to be looked after. */
static int list_processes(struct supervisor_plan *out, void *arg)
{
	struct branch *b = arg;
	struct host *h = route_host(b->name);

	module_children_free(b->running);
	b->running = h ? module_children_of(h) : NULL;
	if (b->running) {
		out->children = b->running->at;
		out->n_children = b->running->n;
	}
	return 0;
}

static void host_init(struct branch *b)
{
	b->processes_name = module_processes_name(b->name);
	b->processes = (struct supervisor_plan){
		.strategy = ONE_FOR_ONE,
		.max_restarts = 3,
		.within_s = 10,
		.init = list_processes,
		.arg = b,
	};
	b->parts[0] = (struct child_spec){
		.id = "modules",
		.start_ms = HOST_MS,
		.shutdown_ms = HOST_MS,
		PART_CHILD(.start = start_modules, .stop = stop_modules, .holds = count_modules,
			.arg = b),
	};
	b->parts[1] = (struct child_spec){ .id = "processes",
		SUPERVISOR_CHILD(&b->processes, .name = b->processes_name) };
	b->plan = (struct supervisor_plan){
		.strategy = ONE_FOR_ALL,
		.max_restarts = 3,
		.within_s = 60,
		SUPERVISOR_CHILDREN(b->parts),
	};
}

/* --- ports --- */

static int start_port(void *arg, char *why)
{
	const struct branch *b = arg;
	AUTO(free_ptr) char *text = NULL;
	int error = -ENOENT;

	server_lock();
	if (b->wanted)
		error = listeners_add(&server.settings->listen[b->at], &text);
	server_unlock();
	if (error)
		part_failed(why, "%s", text ? text : "it is not in the settings any more");
	return error;
}

static void stop_port(void *arg)
{
	const struct branch *b = arg;

	server_lock();
	listeners_remove(b->name);
	server_unlock();
}

/* --- the rows --- */

static struct child_spec spec_of(struct branch *b)
{
	if (b->kind == HOSTS)
		return (struct child_spec){ .id = b->name, SUPERVISOR_CHILD(&b->plan) };
	return (struct child_spec){
		.id = b->name,
		.start_ms = PORT_MS,
		.shutdown_ms = PORT_MS,
		PART_CHILD(.start = start_port, .stop = stop_port, .arg = b),
	};
}

static struct branch *branch_new(enum branch_kind kind, const char *name)
{
	struct branch *b = xcalloc(1, sizeof(*b));

	b->kind = kind;
	b->name = xstrdup(name);
	if (kind == HOSTS)
		host_init(b);
	return b;
}

static struct branch **find(enum branch_kind kind, const char *name)
{
	struct branch **place = &branches.first[kind];

	while (*place && strcmp((*place)->name, name) != 0)
		place = &(*place)->next;
	return place;
}

/* Going through the settings' list of a kind, which mostly has the order that it had before. */
struct wanting {
	enum branch_kind kind;
	struct branch **expected; /* where the next one is, if it has */
	struct branch **end;
	size_t unwanted; /* of those that were there before */
};

static struct wanting want_none(enum branch_kind kind)
{
	struct wanting w = { kind, &branches.first[kind], &branches.first[kind], 0 };

	for (; *w.end; w.end = &(*w.end)->next, w.unwanted++)
		(*w.end)->wanted = false;
	return w;
}

static void want(struct wanting *w, const char *name, size_t at)
{
	struct branch **place = w->expected;

	if (!*place || strcmp((*place)->name, name) != 0)
		place = w->unwanted || w->kind == PORTS ? find(w->kind, name) : w->end;
	if (!*place) {
		*place = branch_new(w->kind, name);
		w->end = &(*place)->next;
	} else if (!(*place)->wanted) {
		w->unwanted--;
	}
	(*place)->wanted = true;
	(*place)->at = at;
	w->expected = &(*place)->next;
}

void branches_want(void)
{
	const struct settings *s = server.settings;
	struct wanting w;

	pthread_mutex_lock(&branches.lock);
	w = want_none(HOSTS);
	for (size_t i = 0; i < s->n_hosts; i++)
		want(&w, s->hosts[i].name, i);
	w = want_none(PORTS);
	for (size_t i = 0; i < s->n_listen; i++) {
		AUTO(free_ptr) char *name = listener_name(&s->listen[i]);

		want(&w, name, i);
	}
	pthread_mutex_unlock(&branches.lock);
}

/* The start of such a supervisor: those that are wanted. */
static int list_branches(struct supervisor_plan *out, void *arg)
{
	enum branch_kind kind = (enum branch_kind)(uintptr_t)arg;
	struct child_spec **specs = &branches.specs[kind];
	unsigned n = 0;

	pthread_mutex_lock(&branches.lock);
	for (const struct branch *b = branches.first[kind]; b; b = b->next)
		n += b->wanted;
	free(*specs);
	*specs = xcalloc(n, sizeof(**specs));
	n = 0;
	for (struct branch *b = branches.first[kind]; b; b = b->next)
		if (b->wanted)
			(*specs)[n++] = spec_of(b);
	pthread_mutex_unlock(&branches.lock);
	out->children = *specs;
	out->n_children = n;
	return 0;
}

const struct supervisor_plan hosts_plan = {
	.strategy = ONE_FOR_ONE,
	.max_restarts = 10,
	.within_s = 60,
	.init = list_branches,
	.arg = (void *)HOSTS,
};
const struct supervisor_plan listener_plan = {
	.strategy = ONE_FOR_ONE,
	.max_restarts = 10,
	.within_s = 60,
	.init = list_branches,
	.arg = (void *)PORTS,
};

/* --- after a reload --- */

static struct supervisor_answer *ask(
	struct actor_id supervisor, enum supervisor_request_kind kind, const char *id)
{
	return supervisor_ask_wait(
		supervisor, &(struct supervisor_request){ .kind = kind, .id = id }, ASK_MS);
}

/* expected: where it is, if nothing has come between. */
static unsigned row_of(const struct supervisor_answer *rows, unsigned expected, const char *id)
{
	unsigned i = expected;

	if (i >= rows->n || strcmp(rows->rows[i].id, id) != 0)
		for (i = 0; i < rows->n && strcmp(rows->rows[i].id, id) != 0;)
			i++;
	return i;
}

static void come(struct actor_id supervisor, struct branch *b, const struct child_row *row)
{
	AUTO(free_ptr) struct supervisor_answer *a = NULL;
	const struct child_spec spec = spec_of(b);

	if (!row)
		a = supervisor_ask_wait(supervisor,
			&(struct supervisor_request){ .kind = START_CHILD, .spec = &spec }, ASK_MS);
	else if (row->state == CHILD_DOWN)
		a = ask(supervisor, RESTART_CHILD, b->name);
	if (a && a->outcome == SUPERVISOR_START_FAILED)
		log_error("linnetd", "did not start after a reload", L_STR("child", b->name),
			L_STR("reason", a->why));
}

static void go(struct actor_id supervisor, struct branch *b, const struct child_row *row)
{
	if (!row)
		return;
	free(ask(supervisor, TERMINATE_CHILD, b->name));
	free(ask(supervisor, DELETE_CHILD, b->name));
}

static void follow(enum branch_kind kind, const char *registered)
{
	struct actor_id supervisor = actor_whereis(registered);
	AUTO(free_ptr) struct supervisor_answer *rows = ask(supervisor, WHICH_CHILDREN, NULL);
	unsigned at = 0;

	for (struct branch *b = branches.first[kind]; b; b = b->next) {
		const struct child_row *row;

		at = row_of(rows, at, b->name);
		row = at < rows->n ? &rows->rows[at++] : NULL;
		(b->wanted ? come : go)(supervisor, b, row);
	}
}

void branches_follow(void)
{
	follow(HOSTS, HOSTS_NAME);
	follow(PORTS, LISTENER_NAME);
}

static void branch_free(struct branch *b)
{
	module_children_free(b->running);
	free(b->processes_name);
	free(b->name);
	free(b);
}

void branches_free(void)
{
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct branch *next;

		for (struct branch *b = branches.first[kind]; b; b = next) {
			next = b->next;
			branch_free(b);
		}
		branches.first[kind] = NULL;
		free(branches.specs[kind]);
		branches.specs[kind] = NULL;
	}
}
