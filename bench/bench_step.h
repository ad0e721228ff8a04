/* bench/bench_step.h - a play in steps: something is done for many clients, so many at a time, and
 * the next step begins when all are done. What the steps of one kind cost adds up in a tally. */
#pragma once

#include "bench/bench_scenario.h"

/* Begins with every every-th client from `first` on, options->parallel at once, and waits until
 * step_done() was said for each. False: nothing came through for a minute, or step_fail(). */
bool step_run(struct bench *b, unsigned first, unsigned every, void (*begin)(struct client *c));
void step_done(struct bench *b);
void step_fail(struct bench *b);

/* A step that logs in: it is for ready() or later to say step_done(). */
bool step_login(
	struct bench *b, unsigned first, unsigned every, const struct client_events *events);
/* Only this one client, whose events these are from then on. */
bool step_login_one(struct bench *b, unsigned number, const struct client_events *events);

/* What one kind of step took, added up. */
struct tally {
	uint64_t server_us, own_us, wait_us, ns, n;
	struct usage from; /* of what is being added, private */
};
void tally_begin(struct tally *t, const struct bench *b);
void tally_end(struct tally *t, const struct bench *b, uint64_t operations);
/* The same, where the moment has been taken already. */
void tally_until(struct tally *t, const struct usage *to, uint64_t operations);
void tally_report(const struct tally *t, struct bench *b, const char *operation);
