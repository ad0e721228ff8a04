/* cmd/linnetd_tree.c - the whole server, in the order of its start. */
#include "cmd/linnetd_tree.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cmd/linnetd_server.h"
#include "core/command.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/sysmon.h"
#include "net/dns.h"

#define PART_MS 600000 /* the longest that one may start or stop: a database can be a large one */
#define ASK_MS 900000
#define LOOK_MS 5

#define PART(p, ...)                                 \
	.start_ms = PART_MS, .shutdown_ms = PART_MS, \
	PART_CHILD(.start = part_start, .stop = part_stop, .arg = (void *)&(p), ##__VA_ARGS__)
#define TABLE(...) PART_CHILD(__VA_ARGS__) /* in memory: there with the process */

/* REST_FOR_ONE: who comes later may use all that comes before, so it is stopped and started with
 * it. Names as in ejabberd's tree; what is to come (HTTP) finds its place here. */
static const struct child_spec children[] = {
	/* First, so that who looks and mends can get in while all the rest is down. */
	{ .id = "control", PART(part_control) },

	/* Tables that those below write into: a new one means that all of them enter anew. */
	{ .id = "hooks", TABLE(.holds = count_hooks) },
	{ .id = "router", TABLE(.holds = count_domains) },
	{ .id = "services",
		TABLE(.holds = count_services) }, /* domains of modules and components */
	{ .id = "session manager", TABLE(.holds = count_sessions) },
	{ .id = "local router", TABLE(.start = NULL) },
	{ .id = "iq handlers", TABLE(.holds = count_iq_handlers, .waits = count_iqs) },

	/* Before who writes into it: it closes when the last job is done. */
	{ .id = "database", PART(part_database, .waits = count_writes) },
	/* The threads for what blocks, after all that their work may need. */
	{ .id = "temporary tasks", PART(part_jobs, .waits = count_jobs) },
	/* Asks the database on those threads. */
	{ .id = "accounts", PART(part_accounts) },
	/* One supervisor each: their modules use all of the above. */
	{ .id = "hosts", SUPERVISOR_CHILD(&hosts_plan, .name = HOSTS_NAME) },
	/* Client streams belong to a host. They are counted, not children: there may be a million.
	 */
	{ .id = "c2s", PART(part_c2s, .holds = count_streams, .waits = count_mail) },
	/* Streams of external components, and the domains that they serve. */
	{ .id = "components", PART(part_components, .holds = count_components) },
	/* Streams to other servers: ended first, while those who are told so are still there. */
	{ .id = "s2s manager", TABLE(.holds = count_s2s_links) },
	{ .id = "s2s out", PART(part_s2s_out, .holds = count_s2s_out) },
	/* Streams that other servers opened; counted, too. */
	{ .id = "s2s in", PART(part_s2s_in, .holds = count_s2s_in) },
	/* Threads that make streams of what comes in by ports; late, as an open port is a promise.
	 */
	{ .id = "acceptors", PART(part_acceptors) },
	{ .id = "listener", SUPERVISOR_CHILD(&listener_plan, .name = LISTENER_NAME) },
	/* Asks name servers. Who asks while it is away hears so. */
	{ .id = "dns",
		.shutdown_ms = 2000,
		THREAD_CHILD(dns_run, .wake = dns_wake, .heartbeat_ms = DNS_HEARTBEAT_MS) },
	/* Looks at all of the above, none of which needs it. */
	{ .id = "system monitor",
		.shutdown_ms = 2000,
		THREAD_CHILD(sysmon_run, .arg = (void *)&server_sysmon,
			.heartbeat_ms = SYSMON_HEARTBEAT_MS) },
};

static const struct supervisor_plan plan = {
	.strategy = REST_FOR_ONE,
	.max_restarts = 3,
	.within_s = 60,
	SUPERVISOR_CHILDREN(children),
};

static struct {
	struct actor_id root;
	sem_t ended;
	_Atomic bool stopping; /* it was asked to end */
	bool gave_up;
} tree;

/* The root has ended: nobody above it in this process can do anything about that. */
static void root_ended(struct actor_id id UNUSED, const char *reason, void *arg UNUSED)
{
	if (!atomic_load(&tree.stopping)) {
		log_error("linnetd", "ends, as its parts do not stay up", L_STR("reason", reason));
		tree.gave_up = true;
		kill(getpid(), SIGTERM);
	}
	sem_post(&tree.ended);
}

/* What a shard or a part holds is not to be had back from within. */
static void lost(const char *id, bool is_lost)
{
	if (!is_lost)
		return;
	log_error("linnetd", "ends, as it cannot do without what was abandoned", L_STR("id", id));
	log_flush();
	abort();
}

int tree_start(void)
{
	struct start_result r;

	sem_init(&tree.ended, 0, 0);
	atomic_store(&tree.stopping, false);
	tree.gave_up = false;
	child_on_abandoned(lost);
	branches_want();
	r = supervisor_spawn_wait(
		shard_at(0), &plan, &(struct start){ .name = "linnet", .ended = root_ended });
	tree.root = r.id;
	if (r.outcome == STARTED)
		return 0;
	sem_destroy(&tree.ended);
	branches_free();
	return -1;
}

/* Looks for a moment whether main was asked once more to end. */
static bool asked_again(void)
{
	struct timespec look = { .tv_nsec = LOOK_MS * 1000000L };
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

bool tree_stop(void)
{
	atomic_store(&tree.stopping, true);
	gen_stop_id(tree.root, STOP_SHUTDOWN);
	while (sem_trywait(&tree.ended) < 0)
		if (asked_again())
			atomic_store(&server.hurry, true);
	sem_destroy(&tree.ended);
	branches_free();
	return !tree.gave_up;
}

struct supervisor_answer *tree_ask(enum supervisor_request_kind kind, const char *path)
{
	return supervisor_ask_path(tree.root, kind, path, ASK_MS);
}

void tree_walk(void (*fn)(const char *path, unsigned depth, const struct child_row *row, void *arg),
	void *arg)
{
	supervisor_walk(tree.root, fn, arg);
}

char *tree_find_down(void)
{
	AUTO(free_ptr)
	struct supervisor_answer *a = supervisor_ask_wait(
		tree.root, &(struct supervisor_request){ .kind = WHICH_CHILDREN }, ASK_MS);

	for (unsigned i = 0; i < a->n; i++)
		if (a->rows[i].state != CHILD_UP)
			return xstrdup(a->rows[i].id);
	return a->n ? NULL : xstrdup("the tree");
}
