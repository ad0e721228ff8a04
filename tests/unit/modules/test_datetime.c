/* tests/unit/modules/test_datetime.c - XEP-0082. */
#include "modules/datetime.h"

#include <criterion/criterion.h>

#define SECOND ((int64_t)1000000)

static const struct {
	const char *section, *text;
	int64_t us;
} read[] = {
	{ "3.2", "1970-01-01T00:00:00Z", 0 },
	{ "3.2", "1969-07-21T02:56:15Z", -14159025 * SECOND },
	{ "3.2", "1969-07-20T21:56:15-05:00", -14159025 * SECOND },
	{ "3.2", "1970-01-01T02:30:00+02:30", 0 },
	{ "3.2", "1970-01-01T00:00:01.5Z", 3 * SECOND / 2 },
	{ "3.2", "1970-01-01T00:00:00.000001Z", 1 },
	{ "3.2", "1970-01-01T00:00:00.1234567890123Z", 123456 },
	{ "3.2", "2000-02-29T00:00:00Z", 951782400 * SECOND },
	{ "3.2", "2009-01-01T00:00:00Z", 1230768000 * SECOND },
	{ "3.2", "2008-12-31T23:59:60Z", 1230768000 * SECOND },
	{ "3.2", "2026-11-21T22:00:00.250+00:00", 1795298400 * SECOND + SECOND / 4 },
};

Test(datetime, read)
{
	for (size_t i = 0; i < ARRAY_LEN(read); i++) {
		int64_t us = -1;

		cr_assert(
			datetime_read(read[i].text, &us), "§%s: %s", read[i].section, read[i].text);
		cr_expect_eq(us, read[i].us, "§%s: %s is %lld", read[i].section, read[i].text,
			(long long)us);
	}
}

Test(datetime, refused)
{
	static const char *const bad[] = { "", "now", "2026", "2026-11-21", "2026-11-21T22:00:00",
		"2026-11-21 22:00:00Z", "2026-11-21T22:00Z", "2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z",
		"2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z",
		"2026-11-21T24:00:00Z", "2026-11-21T22:60:00Z", "2026-11-21T22:00:61Z",
		"2026-11-21T22:00:00.Z", "2026-11-21T22:00:00ZZ", "2026-11-21T22:00:00+1:00",
		"2026-11-21T22:00:00+01", "2026-11-21T22:00:00+24:00", "2026-11-21T22:00:00+01:60",
		"2026-11-21T22:00:00+01:00Z", "-026-11-21T22:00:00Z", "+026-11-21T22:00:00Z",
		" 2026-11-21T22:00:00Z", "20261121T22:00:00Z" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t us;

		cr_expect_not(datetime_read(bad[i], &us), "%s", bad[i]);
	}
}

Test(datetime, written)
{
	static const struct {
		int64_t us;
		const char *text;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 999, "1970-01-01T00:00:00.000Z" },
		{ 1999, "1970-01-01T00:00:00.001Z" },
		{ 951782400 * SECOND + 999999, "2000-02-29T00:00:00.999Z" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[DATETIME_MAX];
		int64_t us;

		datetime_write(rows[i].us, text);
		cr_expect_str_eq(text, rows[i].text);
		cr_assert(datetime_read(text, &us));
		cr_expect_eq(us, rows[i].us / 1000 * 1000);
	}
}
