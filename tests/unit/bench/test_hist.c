/* tests/unit/bench/test_hist.c - percentiles out of buckets, and putting histograms together. */
#include "bench/bench_hist.h"

#include <criterion/criterion.h>

static struct hist h, other;

Test(hist, empty)
{
	hist_clear(&h);
	cr_expect_eq(hist_at(&h, 0.5), 0);
	cr_expect_eq(hist_at(&h, 1), 0);
}

Test(hist, small_values_are_exact)
{
	hist_clear(&h);
	for (uint64_t us = 1; us <= 20; us++)
		hist_add(&h, us);
	cr_expect_eq(hist_at(&h, 0.5), 10);
	cr_expect_eq(hist_at(&h, 0.95), 19);
	cr_expect_eq(hist_at(&h, 1), 20);
}

Test(hist, every_percentile_is_right_to_3_percent)
{
	static const double shares[] = { 0.01, 0.5, 0.95, 0.99, 0.999, 1 };

	hist_clear(&h);
	for (uint64_t us = 1; us <= 1000000; us++)
		hist_add(&h, us);
	for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
		double want = shares[i] * 1e6, got = (double)hist_at(&h, shares[i]);

		cr_expect(got >= want * 0.999 && got <= want * 1.032, "p%g: %g", shares[i] * 100,
			got);
	}
	cr_expect_eq(h.max_us, 1000000);
}

Test(hist, nothing_is_longer_than_the_longest)
{
	hist_clear(&h);
	hist_add(&h, 1000001);
	cr_expect_eq(hist_at(&h, 0.5), 1000001);
	cr_expect_eq(hist_at(&h, 0.999), 1000001);
}

Test(hist, buckets_follow_each_other_without_a_gap)
{
	for (unsigned i = 0; i + 1 < HIST_BUCKETS; i++) {
		cr_assert_eq(hist_top(i) + 1, hist_bottom(i + 1), "bucket %u", i);
		cr_assert_geq(hist_top(i), hist_bottom(i), "bucket %u", i);
	}
}

Test(hist, what_is_longer_than_all_buckets_is_counted_in_the_last)
{
	hist_clear(&h);
	hist_add(&h, UINT64_MAX);
	cr_expect_eq(h.count[HIST_BUCKETS - 1], 1);
	cr_expect_eq(h.max_us, UINT64_MAX);
}

Test(hist, merged_is_as_if_counted_together)
{
	struct hist all;

	hist_clear(&h);
	hist_clear(&other);
	hist_clear(&all);
	for (uint64_t us = 0; us < 5000; us++) {
		hist_add(us % 3 ? &h : &other, us * us);
		hist_add(&all, us * us);
	}
	hist_merge(&h, &other);
	cr_expect_arr_eq(h.count, all.count, sizeof(all.count));
	cr_expect_eq(h.n, all.n);
	cr_expect_eq(h.max_us, all.max_us);
}

Test(hist, since_leaves_what_came_later)
{
	hist_clear(&h);
	hist_add(&h, 90000);
	hist_add(&h, 5);
	other = h;
	hist_add(&h, 7);
	hist_add(&h, 5);
	hist_since(&h, &other);
	cr_expect_eq(h.n, 2);
	cr_expect_eq(hist_at(&h, 0.5), 5);
	cr_expect_eq(hist_at(&h, 1), 7);
	cr_expect_eq(h.max_us, 7, "the longest was before");
}
