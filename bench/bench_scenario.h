/* bench/bench_scenario.h - what is played against the server, and what every play needs.
 * To add one: a file with a struct scenario, a line in bench_main.c. */
#pragma once

#include "bench/bench_client.h"
#include "bench/bench_report.h"

struct bench {
	const struct options *options;
	struct loop loop;
	struct client *clients; /* owned: options->users */
	struct report report;
	/* Private to bench_main.c: who still has to come or go. */
	const struct client_events *then; /* the scenario's, once ready */
	unsigned next, under_way, done, failed;
};
struct scenario {
	const char *name, *help;
	bool (*run)(struct bench *b); /* false: something went wrong and was told */
};
extern const struct scenario *const scenarios[]; /* ends with NULL */

static inline struct bench *bench_of(const struct client *c)
{
	return (struct bench *)((char *)c->loop - offsetof(struct bench, loop));
}
/* Logs all users in (or makes their accounts), options->parallel at a time; then stanzas and
 * closing go to the scenario. False when any failed; the first reasons are printed. */
bool bench_start_all(struct bench *b, enum client_goal goal, const struct client_events *then);
/* Closes all that are open and waits for it, a few seconds at most. */
void bench_close_all(struct bench *b);
void bench_complain(const struct client *c, const char *why); /* the first few only */

/* What the server and we used between two moments. */
struct usage {
	uint64_t at_ns, server_us, own_us;
};
void usage_now(const struct bench *b, struct usage *u);
/* Adds the figures from `from` until now for so many operations called `name`. */
void usage_report(struct bench *b, const struct usage *from, uint64_t operations, const char *name);
