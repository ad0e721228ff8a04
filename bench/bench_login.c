/* bench/bench_login.c - users come and go: connect, negotiate, bind, close, and again. */
#include <stdio.h>

#include "bench/bench_scenario.h"

static struct {
	struct hist latency; /* of connect to bound */
	uint64_t done, failed, limit;
	unsigned open;
	bool over;
} login;

static void login_ready(struct client *c)
{
	hist_add(&login.latency, (now_ns() - c->began_ns) / 1000);
	client_close(c);
}

static void login_stanza(struct client *c, const char *text)
{
	(void)c, (void)text;
}

/* One is done, the next user's turn begins; those that are connected keep away from the same name.
 */
static void login_closed(struct client *c, const char *why)
{
	struct bench *b = bench_of(c);
	struct client *next = &b->clients[b->next];

	login.open--;
	if (why) {
		bench_complain(c, why);
		login.failed++;
	} else {
		login.done++;
	}
	if ((login.limit && login.done >= login.limit) || (login.over && !login.open) ||
		login.failed > 1000)
		c->loop->stop = true;
	if (login.over)
		return;
	b->next = (b->next + 1) % b->options->users;
	if (next->step != STEP_NONE)
		next = c;
	login.open++;
	client_start(next, GOAL_SESSION);
}

static const struct client_events login_events = { login_ready, login_stanza, login_closed };

static bool login_run(struct bench *b)
{
	const struct options *o = b->options;
	unsigned parallel = o->parallel < o->users ? o->parallel : o->users;
	struct usage from;

	for (unsigned i = 0; i < o->users; i++)
		b->clients[i].events = &login_events;
	b->next = parallel % o->users;
	login.open = parallel;
	for (unsigned i = 0; i < parallel; i++)
		client_start(&b->clients[i], GOAL_SESSION);
	loop_run(&b->loop, now_ns() + (uint64_t)(o->warmup * 1e9));
	hist_clear(&login.latency);
	login.done = 0;
	login.limit = o->messages;
	usage_now(b, &from);
	loop_run(&b->loop, now_ns() + (uint64_t)(o->seconds * 1e9));
	usage_report(b, &from, login.done, "login");
	report_hist(&b->report, "login", &login.latency);
	login.over = true;
	login.limit = 0;
	if (login.open)
		loop_run(&b->loop, now_ns() + 10000000000ull);
	report_add(&b->report, "failed", (double)login.failed, "");
	return !login.failed;
}

const struct scenario scenario_login = { "login", "connect, log in, bind, close, over and over",
	login_run };
