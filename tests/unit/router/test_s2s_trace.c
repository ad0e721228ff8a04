/* What was done to reach another server, for those who ask later. */
#include "router/s2s_trace.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

static struct s2s_trace trace;

struct told {
	unsigned n, first_attempt, last_attempt;
	const char *last;
};

static void note(unsigned attempt, const struct s2s_trace_line *line, void *arg)
{
	struct told *t = arg;

	if (!t->n++)
		t->first_attempt = attempt;
	t->last_attempt = attempt;
	t->last = line->text;
	cr_expect_gt(line->at_ms, 0);
}

static struct told told(void)
{
	struct told t = { 0 };

	s2s_trace_each(&trace, note, &t);
	return t;
}

static void end(void)
{
	s2s_trace_fini(&trace);
}

TestSuite(s2s_trace, .fini = end);

Test(s2s_trace, nothing_was_done_yet)
{
	cr_expect_eq(told().n, 0);
}

Test(s2s_trace, the_last_attempts_oldest_first)
{
	struct told t;

	for (unsigned i = 0; i < S2S_TRACE_ATTEMPTS + 2; i++) {
		s2s_trace_begin(&trace);
		s2s_trace_say(&trace, "attempt %u", i + 1);
	}
	t = told();
	cr_expect_eq(t.n, S2S_TRACE_ATTEMPTS);
	cr_expect_eq(t.first_attempt, 3);
	cr_expect_eq(t.last_attempt, S2S_TRACE_ATTEMPTS + 2);
	cr_expect_str_eq(t.last, "attempt 5");
}

Test(s2s_trace, a_line_without_an_attempt_begins_one)
{
	s2s_trace_say(&trace, "%s", "something");
	cr_expect_eq(told().last_attempt, 1);
}

Test(s2s_trace, an_attempt_is_bounded)
{
	for (unsigned i = 0; i < 2 * S2S_TRACE_LINES; i++)
		s2s_trace_say(&trace, "line %u", i);
	cr_expect_eq(told().n, S2S_TRACE_LINES);
	cr_expect_str_eq(told().last, "line 47");
}

/* At whatever byte it is cut, no character is. */
Test(s2s_trace, a_long_line_ends_with_a_whole_character)
{
	for (unsigned shift = 0; shift < 4; shift++) {
		char bird[4 * 200 + 1] = "";
		size_t len;

		for (unsigned i = 0; i < 200; i++)
			strcat(bird, "\xf0\x9f\x90\xa6");
		s2s_trace_begin(&trace);
		s2s_trace_say(&trace, "%.*s%s", (int)shift, "xxx", bird);
		len = strlen(told().last);
		cr_expect_lt(len, 400);
		cr_expect_gt(len, 380);
		cr_expect_eq((len - shift) % 4, 0, "%zu", len);
	}
}
