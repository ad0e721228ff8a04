/* tests/unit/bench/test_plot.c - ticks at round numbers, not too many. */
#include "bench/bench_plot.h"

#include <criterion/criterion.h>

static const struct {
	double range, step;
} steps[] = { { 1, 0.2 }, { 1.9, 0.2 }, { 2, 0.5 }, { 4.9, 0.5 }, { 5, 1 }, { 9.9, 1 }, { 10, 2 },
	{ 37000, 5000 }, { 0.04, 0.005 } };

Test(plot, steps_are_1_2_or_5)
{
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		cr_expect_float_eq(plot_step(steps[i].range), steps[i].step, steps[i].step * 1e-9,
			"%g", steps[i].range);
}

Test(plot, any_range_has_four_to_ten_steps)
{
	for (double range = 1e-6; range < 1e9; range *= 1.37) {
		double n = range / plot_step(range);

		cr_expect(n >= 3.99 && n <= 10.01, "%g: %g", range, n);
	}
}

static const struct {
	double value;
	const char *text;
} ticks[] = { { 0, "0" }, { 0.05, "0.05" }, { 250, "250" }, { 5000, "5000" }, { 20000, "20k" },
	{ 1500000, "1.5M" } };

Test(plot, ticks_are_short)
{
	for (size_t i = 0; i < ARRAY_LEN(ticks); i++) {
		char text[32];

		plot_tick(ticks[i].value, text, sizeof(text));
		cr_expect_str_eq(text, ticks[i].text);
	}
}
