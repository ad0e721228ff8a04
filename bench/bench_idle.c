/* bench/bench_idle.c - everybody logs in and stays: what a login costs, what a session holds, and
 * what holding it costs. In the end each session answers for itself. */
#include <stdio.h>
#include <string.h>

#include "bench/bench_scenario.h"

#define SETTLE_NS 1000000000ull /* before memory is looked at */

static struct {
	unsigned lost, alive;
	bool asking;
} idle;

static void idle_ready(struct client *c)
{
	(void)c;
}

static void idle_stanza(struct client *c, const char *text)
{
	/* An error is an answer too: the session is there. */
	if (!idle.asking || strncmp(text, "<iq", 3) || !attr_is(text, "id", "alive"))
		return;
	if (++idle.alive + idle.lost == c->loop->options->users)
		c->loop->stop = true;
}

static void idle_closed(struct client *c, const char *why)
{
	bench_complain(c, why ? why : "closed");
	idle.lost++;
}

static const struct client_events idle_events = { idle_ready, idle_stanza, idle_closed };

static void report_memory(struct bench *b, uint64_t before, uint64_t after)
{
	if (!b->options->server.n)
		return;
	report_same(&b->report, "server_memory_before", (double)before, "bytes");
	report_same(&b->report, "server_memory_after", (double)after, "bytes");
	report_same(&b->report, "server_memory_per_session",
		((double)after - (double)before) / b->all_users, "bytes");
	report_same(&b->report, "server_threads", processes_threads(&b->options->server), "");
}

static bool idle_run(struct bench *b)
{
	const struct options *o = b->options;
	uint64_t before = processes_memory(&o->server), cpu_us;
	struct usage from, to;

	if (!bench_meet(b)) /* nobody logs in before all have looked */
		return false;
	usage_now(b, &from);
	if (!bench_start_all(b, GOAL_SESSION, &idle_events))
		return false;
	usage_now(b, &to);
	usage_report(b, &from, &to, o->users, "login");
	bench_phase(b, PHASE_WARMUP);
	loop_run(&b->loop, now_ns() + SETTLE_NS);
	bench_phase(b, PHASE_MEASURE);
	cpu_us = processes_cpu_us(&o->server);
	loop_run(&b->loop, now_ns() + (uint64_t)(o->seconds * 1e9));
	cpu_us = processes_cpu_us(&o->server) - cpu_us;
	report_memory(b, before, processes_memory(&o->server));
	if (o->server.n && o->seconds > 0)
		report_same(
			&b->report, "server_cpu_idle", (double)cpu_us / 1e6 / o->seconds, "cores");
	bench_phase(b, PHASE_DRAIN);
	idle.asking = true;
	for (unsigned i = 0; i < o->users; i++)
		if (b->clients[i].step == STEP_READY)
			client_sendf(&b->clients[i],
				"<iq type='get' id='alive' to='%s'><ping "
				"xmlns='urn:xmpp:ping'/></iq>",
				o->domain);
	if (idle.lost < o->users)
		loop_run(&b->loop, now_ns() + 30000000000ull);
	report_add(&b->report, "sessions_alive", idle.alive, "");
	report_add(&b->report, "sessions_lost", o->users - idle.alive, "");
	return idle.alive == o->users;
}

const struct scenario scenario_idle = { "idle",
	"All log in and stay: memory of a session, CPU of a login and of holding the sessions.",
	idle_run };
