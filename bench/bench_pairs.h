/* bench/bench_pairs.h - plays of users in pairs: messages that carry a number from one to the
 * other, and whether each came once and in order. */
#pragma once

#include "bench/bench_scenario.h"

/* False, and said: somebody would be left over. */
bool pairs_fit(const struct bench *b);
/* A message with a number (bench/bench_number.h). */
void pairs_send(struct client *c, const char *to, uint64_t number);
/* Something came that should not have, or did not that should; printed, and counted. */
void pairs_wrong(struct client *c, const char *what, const char *text);
uint64_t pairs_wrongs(void); /* how many of these so far */
/* As client_events' closed, in a play in steps: which has failed. */
void pairs_closed(struct client *c, const char *why);
/* Reports what was wrong. True: nothing, nor is anything missing. */
bool pairs_report(struct bench *b, bool missing);
