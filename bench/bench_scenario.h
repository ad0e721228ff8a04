/* bench/bench_scenario.h - what is played against the server, and what every play needs.
 * To add one: a file with a struct scenario, a line in bench_scenario.c. A scenario plays the users
 * of one process, its share of all; nothing it does may need those of another process. */
#pragma once

#include "bench/bench_board.h"
#include "bench/bench_client.h"
#include "bench/bench_report.h"

struct bench {
	const struct options *options; /* of this process: users, rate and messages are its share */
	struct loop loop;
	struct client *clients; /* owned: options->users */
	struct report report;
	unsigned all_users; /* of all processes */
	struct board *board;
	struct share *share; /* this process's, on the board */
	/* Private to bench_measure.c. */
	uint64_t left; /* operations until the measurement ends before its time; 0: no such end */
	uint64_t longest_us; /* latency since the measurement began */
	unsigned meetings;
	/* Private to bench_users.c: who still has to come or go. */
	const struct client_events *then; /* the scenario's, once ready */
	unsigned next, under_way, done, failed;
};
struct scenario {
	const char *name, *help;
	bool (*run)(struct bench *b); /* false: something went wrong and was told */
	unsigned group; /* users that belong together, on one process; 0: each alone */
	bool group_is_fanout; /* so many belong together as options->fanout says */
	bool group_is_all;
	bool open_loop; /* knows options->rate */
};
extern const struct scenario *const scenarios[]; /* ends with NULL */
const struct scenario *scenario_find(const char *name); /* NULL: there is none */
unsigned scenario_group(const struct scenario *s, const struct options *o);

static inline struct bench *bench_of(const struct client *c)
{
	return (struct bench *)((char *)c->loop - offsetof(struct bench, loop));
}

/* --- users: bench_users.c ---------------------------------------------------------------- */

/* Logs all users in (or makes their accounts), options->parallel at a time; then stanzas and
 * closing go to the scenario. False when any failed; the first reasons are printed. */
bool bench_start_all(struct bench *b, enum client_goal goal, const struct client_events *then);
/* Waits until the server has read all that the users sent: each asks it and is answered. */
bool bench_settle(struct bench *b);
/* Whether nobody who had come in was cut off since; if somebody was, it says so. */
bool bench_all_here(const struct bench *b);
/* Closes all that are open and waits for it, a few seconds at most. */
void bench_close_all(struct bench *b);
void bench_complain(const struct client *c, const char *why); /* the first few only */
void bench_complain_of(const struct client *c, const char *what, const char *text);
/* The server lacks what the scenario is about; returns what run() is to return. */
bool bench_not_offered(struct bench *b, const char *what);

/* --- measuring: bench_measure.c ---------------------------------------------------------- */

/* Tells the live view. */
void bench_phase(struct bench *b, enum phase phase);
/* Waits for all other processes to come to the same place. False: one of them has failed. */
bool bench_meet(struct bench *b);
/* One is done; its latency counts from the time given. Ends the measurement after --messages. */
void bench_operation(struct bench *b, uint64_t began_ns);
/* Begins operations at options->rate, by calling due(arg, when_ns) from the loop. */
void bench_pace(struct bench *b, struct pace *p, void (*due)(void *, uint64_t), void *arg);
/* The end of that, where it was begun; reports how late the operations began. */
void bench_pace_end(struct bench *b);
/* Warms up, measures for options->seconds and reports: operations of this name by second, CPU of
 * each, and their latency under the name `latency`. False: another process has failed. */
bool bench_measure(struct bench *b, const char *operation, const char *latency);

/* For what bench_measure() does not fit: what the server and we used between two moments. */
struct usage {
	uint64_t at_ns, server_us, own_us, wait_us;
};
void usage_now(const struct bench *b, struct usage *u);
/* Adds the figures between two moments for so many operations called `name`. */
void usage_report(struct bench *b, const struct usage *from, const struct usage *to,
	uint64_t operations, const char *name);
/* Waits until the server does next to nothing, a minute at most; out: when that began. */
void usage_at_rest(struct bench *b, struct usage *out);
