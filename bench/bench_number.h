/* bench/bench_number.h - texts that carry a number, so that what is lost, doubled or out of order
 * is found, and a mark of this run, so that what an earlier one left behind is not taken for it. */
#pragma once

#include "bench/bench_client.h"

/* A word that no other run has. */
const char *run_tag(void);
/* Sends the mark, the number and what brings it to options->size bytes; no markup. */
void send_numbered(struct client *c, uint64_t number);
/* The number of the first such text in these bytes; false: there is none of this run. */
bool read_numbered(const char *text, uint64_t *out);
