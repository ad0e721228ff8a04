/* cmd/linnetd_supervisor.c - `linnetctl supervisor`: the tree, and one child of it stopped, started
 * or both with all that depend on it. */
#include <string.h>
#include <time.h>

#include "cmd/linnetd.h"
#include "cmd/linnetd_tree.h"
#include "core/mem.h"
#include "core/shard.h"
#include "modules/registry.h"
#include "net/listener.h"
#include "router/route.h"

/* --- the tree --- */

static json_t *number_or_null(int64_t number)
{
	return number < 0 ? json_null() : json_integer(number);
}

static json_t *describe(const char *path, const struct child_row *row)
{
	static const char *const restarts[] = {
		[CHILD_PERMANENT] = "permanent",
		[CHILD_TRANSIENT] = "transient",
		[CHILD_TEMPORARY] = "temporary",
	};
	bool is_supervisor = row->type == CHILD_SUPERVISOR;

	return json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:s?, s:s, s:o}", "path", path,
		"type", is_supervisor ? "supervisor" : child_kind_name(row->kind), "state",
		child_state_name(row->state), "restarts", (json_int_t)row->restarts, "since",
		time_value((int64_t)time(NULL) - (int64_t)(row->for_ms / 1000)), "waiting",
		number_or_null(row->waiting), "holds", number_or_null(row->holds), "reason",
		row->reason[0] ? row->reason : NULL, "restart", restarts[row->restart], "pid",
		row->pid ? json_integer(row->pid) : json_null());
}

/* What belongs to a child and is none itself. */
static void add_inside(json_t *list, const char *path, const char *id, const char *type,
	json_t *waiting, json_t *holds)
{
	AUTO(free_ptr) char *whole = xprintf("%s/%s", path, id);

	json_array_append_new(list,
		json_pack("{s:s, s:s, s:s, s:o, s:o}", "path", whole, "type", type, "state",
			child_state_name(CHILD_UP), "waiting", waiting, "holds", holds));
}

struct listing {
	json_t *list;
	const char *path; /* of the child whose inside is being listed */
};

static void add_shards(struct listing *l)
{
	for (unsigned i = 0; i < shards_count(); i++) {
		AUTO(free_ptr) char *id = xprintf("shard%u", i);

		add_inside(l->list, l->path, id, "shard", json_integer(shard_waiting(shard_at(i))),
			json_integer(shard_load(shard_at(i))));
	}
}

static void add_module(struct module_instance *mi, void *arg)
{
	struct listing *l = arg;

	add_inside(l->list, l->path, mi->module->name, "module", json_null(), json_null());
}

/* The host of "hosts/NAME/modules", or NULL. */
static struct host *host_of_modules(const char *path)
{
	AUTO(free_ptr) char *name = NULL;
	const char *end = strrchr(path, '/');

	if (strncmp(path, "hosts/", 6) != 0 || !end || strcmp(end, "/modules") != 0)
		return NULL;
	name = xprintf("%.*s", (int)(end - path - 6), path + 6);
	return route_host(name);
}

struct port {
	const char *name;
	int64_t connections;
};

static void find_port(const struct listener *l, const struct listen_conf *conf, void *arg)
{
	AUTO(free_ptr) char *name = listener_name(conf);
	struct port *p = arg;

	if (strcmp(name, p->name) == 0)
		p->connections = atomic_load_explicit(&l->connections, memory_order_relaxed);
}

/* Of "listener/NAME", while it is open, the connections. */
static void add_connections(json_t *row, const char *path)
{
	struct port p = { path + strlen("listener/"), -1 };

	listeners_each(find_port, &p);
	json_object_set_new(row, "holds", number_or_null(p.connections));
}

static void add_row(
	const char *path, unsigned depth UNUSED, const struct child_row *row, void *list)
{
	struct listing l = { list, path };
	struct host *h = host_of_modules(path);

	json_array_append_new(list, describe(path, row));
	if (h)
		registry_each(h, add_module, &l);
	if (strncmp(path, "listener/", 9) == 0)
		add_connections(json_array_get(list, json_array_size(list) - 1), path);
	if (strcmp(path, "c2s") == 0)
		add_shards(&l);
}

/* --- requests --- */

static void refuse(
	struct command_answer *answer, const char *path, const struct supervisor_answer *a)
{
	switch (a->outcome) {
	case SUPERVISOR_NOT_FOUND:
		command_fail(answer, "there is no child '%s'; linnetctl supervisor tree lists them",
			path);
		break;
	case SUPERVISOR_RUNNING:
		command_fail(answer, "%s is %s already", path, child_state_name(a->child.state));
		break;
	case SUPERVISOR_START_FAILED:
		command_fail(
			answer, "not all of it has started, and the log says more: %s", a->why);
		break;
	default:
		command_fail(answer, "%s: %s", path, supervisor_outcome_name(a->outcome));
	}
}

static void work_on(
	const char *path, enum supervisor_request_kind kind, struct command_answer *answer)
{
	AUTO(free_ptr) struct supervisor_answer *a = NULL;

	if (strcmp(path, "control") == 0) {
		command_fail(answer, "linnetctl speaks through it; linnetctl stop ends the server");
		return;
	}
	a = tree_ask(kind, path);
	if (a->outcome == SUPERVISOR_OK)
		answer->result = describe(path, &a->child);
	else
		refuse(answer, path, a);
}

static const struct {
	const char *name;
	enum supervisor_request_kind kind;
} actions[] = {
	{ "stop", STOP_WITH_REST },
	{ "start", START_WITH_REST },
	{ "restart", RESTART_WITH_REST },
};

static void run_supervisor(const json_t *args, struct command_answer *answer)
{
	const char *action = command_text(args, "action"), *path = command_text(args, "path");

	if (strcmp(action, "tree") == 0 && !path) {
		answer->result = json_array();
		tree_walk(add_row, answer->result);
		return;
	}
	for (unsigned i = 0; path && i < ARRAY_LEN(actions); i++) {
		if (strcmp(action, actions[i].name) == 0) {
			work_on(path, actions[i].kind, answer);
			return;
		}
	}
	command_fail(answer, "expected tree, or stop, start or restart with a path");
}

static const char *const words[] = { "tree", "stop", "start", "restart", NULL };
static const struct command_arg supervisor_args[] = {
	{ "action", ARG_STRING, .words = words,
		.help = "tree: list all children. stop, start, restart: one, and with it those "
			"that "
			"depend on it." },
	{ "path", ARG_STRING, .optional = true,
		.help = "The child as the tree names it, such as listener/0.0.0.0:5222." },
	{ 0 }
};
static const char *const supervisor_columns[] = { "path", "type", "state", "restarts", "since",
	"waiting", "holds", "reason", NULL };
static const struct command supervisor_command = { "supervisor", "server",
	"Show the parts of the server as the tree they are supervised in, or stop, start or "
	"restart "
	"one. What waits in each and what it holds is counted where there is something to count.",
	supervisor_args, run_supervisor, supervisor_columns, .always = true };

void commands_add_supervisor(void)
{
	command_add(&supervisor_command);
}
