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

uint64_t hist_bottom(unsigned bucket)
{
	unsigned shift = bucket / HIST_FINE;

	if (!shift)
		return bucket;
	return (uint64_t)(bucket % HIST_FINE + HIST_FINE) << (shift - 1);
}

uint64_t hist_top(unsigned bucket)
{
	return hist_bottom(bucket + 1) - 1;
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
			return hist_top(i) < h->max_us ? hist_top(i) : h->max_us;
	}
	return h->max_us;
}

void hist_merge(struct hist *h, const struct hist *from)
{
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		h->count[i] += from->count[i];
	h->n += from->n;
	if (from->max_us > h->max_us)
		h->max_us = from->max_us;
}

void hist_since(struct hist *h, const struct hist *before)
{
	uint64_t max_us = 0;

	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		h->count[i] -= before->count[i];
		if (h->count[i])
			max_us = hist_top(i) < h->max_us ? hist_top(i) : h->max_us;
	}
	h->n -= before->n;
	h->max_us = max_us;
}
