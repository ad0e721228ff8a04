/* bench/bench_hist.c - buckets by exponent and the five bits after the first. */
#include "bench/bench_hist.h"

#include <string.h>

void hist_clear(struct hist *h)
{
	memset(h, 0, sizeof(*h));
}

static unsigned bucket_of(uint64_t us)
{
	unsigned shift, bucket;

	if (us < HIST_FINE)
		return (unsigned)us;
	shift = 63 - (unsigned)__builtin_clzll(us) - 5;
	bucket = (shift + 1) * HIST_FINE + (unsigned)(us >> shift) - HIST_FINE;
	return bucket < HIST_BUCKETS ? bucket : HIST_BUCKETS - 1;
}

/* The largest value that falls into the bucket. */
static uint64_t top_of(unsigned bucket)
{
	unsigned shift = bucket / HIST_FINE;

	if (!shift)
		return bucket;
	return ((uint64_t)(bucket % HIST_FINE + HIST_FINE + 1) << (shift - 1)) - 1;
}

void hist_add(struct hist *h, uint64_t us)
{
	h->count[bucket_of(us)]++;
	h->n++;
	if (us > h->max_us)
		h->max_us = us;
}

uint64_t hist_at(const struct hist *h, double share)
{
	uint64_t want = (uint64_t)(share * (double)h->n + 0.5), seen = 0;

	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += h->count[i];
		if (seen && seen >= want)
			return top_of(i) < h->max_us ? top_of(i) : h->max_us;
	}
	return h->max_us;
}
