/* modules/datetime.c - XEP-0082's DateTime. */
#include "modules/datetime.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND_US 1000000

void datetime_write(int64_t us, char out[DATETIME_MAX])
{
	time_t seconds = (time_t)(us / SECOND_US);
	struct tm utc;
	size_t n;

	gmtime_r(&seconds, &utc);
	n = strftime(out, DATETIME_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(out + n, DATETIME_MAX - n, ".%03uZ", (unsigned)(us % SECOND_US / 1000) % 1000);
}

/* Two digits or four. Negative: they are none. */
static int take_number(const char **at, unsigned digits)
{
	int n = 0;

	for (unsigned i = 0; i < digits; i++, ++*at) {
		if (**at < '0' || **at > '9')
			return -1;
		n = n * 10 + (**at - '0');
	}
	return n;
}

/* A number, then that character. */
static int take_field(const char **at, unsigned digits, char end)
{
	int n = take_number(at, digits);

	if (n >= 0 && *(*at)++ != end)
		return -1;
	return n;
}

static bool take_fraction(const char **at, int64_t *us)
{
	int64_t unit = SECOND_US / 10;

	if (**at != '.')
		return true;
	if (*++*at < '0' || **at > '9')
		return false;
	for (; **at >= '0' && **at <= '9'; ++*at, unit /= 10)
		*us += (**at - '0') * unit;
	return true;
}

static bool take_zone(const char **at, int64_t *us)
{
	int sign = **at == '-' ? -1 : 1, hours, minutes;

	if (**at == 'Z')
		return !*++*at;
	if (**at != '+' && **at != '-')
		return false;
	++*at;
	hours = take_field(at, 2, ':');
	minutes = hours < 0 ? -1 : take_number(at, 2);
	if (minutes < 0 || minutes > 59 || hours > 23 || **at)
		return false;
	*us -= sign * (hours * 3600 + minutes * 60) * (int64_t)SECOND_US;
	return true;
}

static int days_of(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 1 && leap ? 29 : days[month];
}

bool datetime_read(const char *text, int64_t *out)
{
	const char *at = text;
	struct tm t = { 0 };
	int64_t us = 0;
	int day;

	t.tm_year = take_field(&at, 4, '-') - 1900;
	if (t.tm_year < -1900)
		return false;
	t.tm_mon = take_field(&at, 2, '-') - 1;
	if (t.tm_mon < 0 || t.tm_mon > 11)
		return false;
	day = t.tm_mday = take_field(&at, 2, 'T');
	if (day < 1 || day > 31)
		return false;
	t.tm_hour = take_field(&at, 2, ':');
	if (t.tm_hour < 0 || t.tm_hour > 23)
		return false;
	t.tm_min = take_field(&at, 2, ':');
	if (t.tm_min < 0 || t.tm_min > 59)
		return false;
	t.tm_sec = take_number(&at, 2);
	if (t.tm_sec < 0 || t.tm_sec > 60 || !take_fraction(&at, &us) || !take_zone(&at, &us))
		return false;
	if (day > days_of(t.tm_year + 1900, t.tm_mon))
		return false;
	*out = us + (int64_t)timegm(&t) * SECOND_US;
	return true;
}
