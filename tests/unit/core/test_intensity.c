/* More than MaxR restarts within MaxT seconds are too many. */
#include "core/intensity.h"

#include <criterion/criterion.h>

static const struct {
	const char *what;
	unsigned max;
	uint64_t within_ms;
	uint64_t at_ms[6]; /* of restarts, each but the last is allowed; ends with 0 */
	bool last;
} rows[] = {
	{ "MaxR = 0: the first is one too many", 0, 1000, { 1 }, false },
	{ "as many as MaxR", 3, 1000, { 1, 1, 1 }, true },
	{ "one more than MaxR at the same time", 3, 1000, { 1, 1, 1, 1 }, false },
	{ "one more just within MaxT", 2, 1000, { 1, 500, 1001 }, false },
	{ "one more just after MaxT", 2, 1000, { 1, 500, 1002 }, true },
	{ "the window moves on with each", 2, 1000, { 1, 500, 1002, 1500 }, false },
	{ "the window moves on and leaves room", 2, 1000, { 1, 500, 1002, 1501 }, true },
	{ "MaxT = 0: only what is at the same time counts", 1, 0, { 7, 8, 9 }, true },
	{ "MaxT = 0: and that does", 1, 0, { 7, 7 }, false },
};

Test(intensity, more_than_max_within_the_window_is_too_many)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct intensity in;
		bool allowed = true;

		intensity_init(&in, rows[i].max, rows[i].within_ms);
		for (size_t at = 0; at < ARRAY_LEN(rows[i].at_ms) && rows[i].at_ms[at]; at++) {
			cr_expect(allowed, "%s: refused too early", rows[i].what);
			allowed = intensity_allows(&in, rows[i].at_ms[at]);
		}
		cr_expect_eq(allowed, rows[i].last, "%s", rows[i].what);
		intensity_fini(&in);
	}
}
