/* bench/bench_login.c - users come and go: connect, negotiate, bind, close, and again. */
#include <stdio.h>

#include "bench/bench_scenario.h"

static struct {
	uint64_t failed;
	unsigned open;
	bool over;
} login;

static void login_ready(struct client *c)
{
	bench_operation(bench_of(c), c->began_ns);
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
	}
	if ((login.over && !login.open) || login.failed > 1000)
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

/* The latency is that of connect to bound. */
static bool login_run(struct bench *b)
{
	const struct options *o = b->options;
	unsigned parallel = o->parallel < o->users ? o->parallel : o->users;

	for (unsigned i = 0; i < o->users; i++)
		b->clients[i].events = &login_events;
	b->next = parallel % o->users;
	login.open = parallel;
	for (unsigned i = 0; i < parallel; i++)
		client_start(&b->clients[i], GOAL_SESSION);
	bench_measure(b, "login", "login");
	login.over = true;
	if (login.open)
		loop_run(&b->loop, now_ns() + 10000000000ull);
	report_add(&b->report, "failed", (double)login.failed, "");
	return !login.failed;
}

const struct scenario scenario_login = { "login",
	"Users connect, log in, bind, close, over and over.", login_run };
