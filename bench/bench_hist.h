/* bench/bench_hist.h - how long things took: counts in buckets 1/32 of a power of two wide, so that
 * every percentile is right to 3 %, from a microsecond to an hour, in 8 KiB. */
#pragma once

#include "core/attr.h"

#define HIST_FINE 32
#define HIST_BUCKETS (HIST_FINE * 32)
struct hist {
	uint64_t count[HIST_BUCKETS];
	uint64_t n, max_us;
};
void hist_clear(struct hist *h);
void hist_add(struct hist *h, uint64_t us);
/* share in 0..1: the time that this share of all took at most; 0 when there are none. */
uint64_t hist_at(const struct hist *h, double share);
/* All of `from` too. */
void hist_merge(struct hist *h, const struct hist *from);
/* Only what came after the earlier state `before`; its longest is then known to the bucket. */
void hist_since(struct hist *h, const struct hist *before);
/* The range of times that fall into a bucket. */
uint64_t hist_bottom(unsigned bucket);
uint64_t hist_top(unsigned bucket);
