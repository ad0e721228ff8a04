/* bench/bench_main.c - linnet-bench: a load generator for XMPP servers, of the size of its
 * questions. One thread, one epoll set; it says what it used itself, so that one sees when it is
 * the limit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/bench_scenario.h"

extern const struct scenario scenario_chat, scenario_idle, scenario_login, scenario_ping;
const struct scenario *const scenarios[] = { &scenario_chat, &scenario_idle, &scenario_login,
	&scenario_ping, NULL };

#define PATIENCE_NS 60000000000ull /* without any login coming through */

void bench_complain(const struct client *c, const char *why)
{
	static unsigned told;

	if (told++ < 5)
		fprintf(stderr, "linnet-bench: %s%u: %.300s\n", c->loop->options->user_prefix,
			c->loop->options->first_user + c->number, why);
}

/* --- all in, all out --------------------------------------------------------------------- */

static void start_next(struct bench *b, enum client_goal goal)
{
	while (b->next < b->options->users && b->under_way < b->options->parallel) {
		b->under_way++;
		client_start(&b->clients[b->next++], goal);
	}
}

static void arrived(struct bench *b, const struct client *c)
{
	b->under_way--;
	b->done++;
	start_next(b, c->goal);
	if (b->done == b->options->users)
		b->loop.stop = true;
}

static void start_ready(struct client *c)
{
	struct bench *b = bench_of(c);

	if (c->goal == GOAL_ACCOUNT) {
		client_close(c);
		return;
	}
	c->events = b->then;
	arrived(b, c);
}

static void start_stanza(struct client *c, const char *text)
{
	(void)c, (void)text;
}

static void start_closed(struct client *c, const char *why)
{
	struct bench *b = bench_of(c);

	if (why || c->goal == GOAL_SESSION) {
		bench_complain(c, why ? why : "closed");
		b->failed++;
	}
	arrived(b, c);
}

static const struct client_events start_events = { start_ready, start_stanza, start_closed };

bool bench_start_all(struct bench *b, enum client_goal goal, const struct client_events *then)
{
	unsigned before;

	b->next = b->under_way = b->done = b->failed = 0;
	b->then = then;
	for (unsigned i = 0; i < b->options->users; i++)
		b->clients[i].events = &start_events;
	start_next(b, goal);
	do {
		before = b->done;
		if (b->done < b->options->users)
			loop_run(&b->loop, now_ns() + PATIENCE_NS);
	} while (b->done > before && b->done < b->options->users);
	if (b->failed || b->done < b->options->users)
		fprintf(stderr, "linnet-bench: %u of %u came through, %u failed\n",
			b->done - b->failed, b->options->users, b->failed);
	return !b->failed && b->done == b->options->users;
}

static void close_closed(struct client *c, const char *why)
{
	struct bench *b = bench_of(c);

	(void)why;
	if (--b->under_way == 0)
		b->loop.stop = true;
}

static const struct client_events close_events = { start_ready, start_stanza, close_closed };

void bench_close_all(struct bench *b)
{
	b->under_way = 0;
	for (unsigned i = 0; i < b->options->users; i++) {
		struct client *c = &b->clients[i];

		c->events = &close_events;
		if (c->step == STEP_NONE)
			continue;
		b->under_way++;
		client_close(c);
	}
	if (b->under_way)
		loop_run(&b->loop, now_ns() + 5000000000ull);
}

/* --- what was used ----------------------------------------------------------------------- */

void usage_now(const struct bench *b, struct usage *u)
{
	u->at_ns = now_ns();
	u->server_us = processes_cpu_us(&b->options->server);
	u->own_us = own_cpu_us();
}

void usage_report(struct bench *b, const struct usage *from, uint64_t operations, const char *name)
{
	double n = operations ? (double)operations : 1;
	struct usage now;
	double seconds;
	char text[48];

	usage_now(b, &now);
	seconds = (double)(now.at_ns - from->at_ns) / 1e9;
	snprintf(text, sizeof(text), "%ss", name);
	report_add(&b->report, text, (double)operations, "");
	report_add(&b->report, "seconds", seconds, "s");
	snprintf(text, sizeof(text), "%ss_per_second", name);
	report_add(&b->report, text, (double)operations / seconds, "/s");
	if (b->options->server.n) {
		snprintf(text, sizeof(text), "server_cpu_per_%s", name);
		report_add(&b->report, text, (double)(now.server_us - from->server_us) / n, "us");
		report_add(&b->report, "server_cores",
			(double)(now.server_us - from->server_us) / 1e6 / seconds, "");
	}
	snprintf(text, sizeof(text), "own_cpu_per_%s", name);
	report_add(&b->report, text, (double)(now.own_us - from->own_us) / n, "us");
}

/* --- main -------------------------------------------------------------------------------- */

static void list_accounts(const struct options *o)
{
	for (unsigned i = o->first_user; i < o->first_user + o->users; i++)
		printf("%s%u %s %s%u\n", o->user_prefix, i, o->domain, o->password, i);
}

static const struct scenario *find(const char *name)
{
	for (const struct scenario *const *s = scenarios; *s; s++)
		if (!strcmp((*s)->name, name))
			return *s;
	fprintf(stderr, "linnet-bench: there is no scenario %s\n", name);
	exit(2);
}

static void open_many_files(void)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static bool play(struct bench *b, const struct scenario *s)
{
	char title[200];
	bool good;

	if (b->options->do_register) {
		if (!bench_start_all(b, GOAL_ACCOUNT, NULL))
			return false;
		if (!s)
			return true;
	}
	good = s->run(b);
	bench_close_all(b);
	options_title(b->options, title, sizeof(title));
	if (!b->report.n) /* it never began, and said why */
		return good;
	if (b->options->json)
		report_json(&b->report, title);
	else
		report_table(&b->report, title);
	return good;
}

int main(int argc, char **argv)
{
	struct options o;
	struct bench b = { .options = &o };
	const struct scenario *s;
	bool good;

	options_read(&o, argc, argv);
	if (o.list) {
		list_accounts(&o);
		return 0;
	}
	s = o.scenario ? find(o.scenario) : NULL;
	open_many_files();
	loop_init(&b.loop, &o);
	b.clients = calloc(o.users, sizeof(*b.clients));
	for (unsigned i = 0; i < o.users; i++)
		client_init(&b.clients[i], &b.loop, i, &start_events);
	good = play(&b, s);
	for (unsigned i = 0; i < o.users; i++)
		client_fini(&b.clients[i]);
	free(b.clients);
	loop_fini(&b.loop);
	return good ? 0 : 1;
}
