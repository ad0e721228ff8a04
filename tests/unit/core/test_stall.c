/* Who held a shard for too long is counted and named; the clock is set back instead of waiting. */
#include "core/stall.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"

static char folder[] = "/tmp/linnet-stall-XXXXXX", path[64];

static void begin(void)
{
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/log", folder);
	cr_assert_eq(log_open(path, LOG_FORMAT_LOGFMT), 0);
}

static void end(void)
{
	log_close();
	unlink(path);
	rmdir(folder);
}

TestSuite(stall, .init = begin, .fini = end);

static void add_slow(const struct metric *m, void *arg)
{
	if (strcmp(m->name, "shard_slow_turns_total") == 0)
		*(int64_t *)arg += metric_value(m);
}

static int64_t slow_turns(void)
{
	int64_t n = 0;

	metric_each(add_slow, &n);
	return n;
}

/* What has been logged. The caller frees. */
static char *logged(void)
{
	char *text = xcalloc(1, 4096);
	FILE *f;

	log_flush();
	f = fopen(path, "re");
	cr_assert(f);
	cr_assert_lt(fread(text, 1, 4095, f), 4095);
	fclose(f);
	return text;
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* As if what ran had begun so long ago. */
static void ran_for(uint64_t ms, void *fn)
{
	stall_begin();
	stall_since_ms -= ms;
	stall_ran("mail", fn);
}

Test(stall, only_what_took_over_20_ms_is_told)
{
	AUTO(free_ptr) char *text = NULL;

	ran_for(0, malloc);
	cr_expect_eq(slow_turns(), 0);
	ran_for(200, malloc);
	cr_expect_eq(slow_turns(), 1);
	text = logged();
	cr_expect(strstr(text,
			  "level=warning part=shard what=\"a handler held its shard\" "
			  "kind=mail handler="),
		"%s", text);
	cr_expect(strstr(text, " ms=2"), "%s", text);
	stall_end();
}

/* The next handler's time begins when this one has ended. */
Test(stall, each_handler_answers_for_itself)
{
	ran_for(200, malloc);
	stall_ran("timer", free);
	cr_expect_eq(slow_turns(), 1);
	stall_end();
}

Test(stall, who_is_not_watched_is_not_told_of)
{
	stall_since_ms = 0;
	stall_ran("mail", malloc);
	cr_expect_eq(slow_turns(), 0);
	ran_for(200, malloc);
	stall_end();
	stall_ran("mail", malloc);
	cr_expect_eq(slow_turns(), 1);
	cr_expect_eq(stall_since_ms, 0);
}

static void not_exported(void)
{
}

/* By name where the symbol table has it, else by a place that addr2line understands. */
Test(stall, a_handler_is_named)
{
	AUTO(free_ptr) char *text = NULL;

	stall_report("turn_end", NULL, (void *)lfind, 33);
	text = logged();
	cr_expect(strstr(text, "kind=turn_end handler=lfind ms=33 left_out=0"), "%s", text);
}

Test(stall, a_handler_without_a_name_has_a_place)
{
	AUTO(free_ptr) char *text = NULL;
	unsigned long offset = 0;
	const char *place;
	Dl_info here;

	stall_report("watch", NULL, (void *)not_exported, 33);
	text = logged();
	place = strstr(text, "+0x");
	cr_assert(place, "%s", text);
	offset = strtoul(place + 3, NULL, 16);
	cr_assert_neq(dladdr((void *)not_exported, &here), 0);
	cr_expect_eq((char *)here.dli_fbase + offset, (char *)not_exported);
}

/* Who it works for stands before it, and is nobody else's. */
Test(stall, a_handler_is_told_with_its_actor)
{
	AUTO(free_ptr) char *text = NULL;

	stall_about("c2s", (void *)lfind);
	ran_for(200, malloc);
	text = logged();
	cr_expect(strstr(text, "kind=mail handler=c2s/lfind ms="), "%s", text);
	cr_expect_null(stall_name);
	cr_expect_null(stall_fn);
	stall_end();
}

/* A hook's function and an IQ handler answer for themselves; who called them does not. */
Test(stall, what_runs_inside_answers_for_itself)
{
	AUTO(free_ptr) char *text = NULL;

	stall_begin();
	stall_since_ms -= 200;
	stall_ran_inside("iq", "urn:xmpp:ping", (void *)lfind);
	stall_ran("watch", malloc);
	text = logged();
	cr_expect_eq(slow_turns(), 1);
	cr_expect(strstr(text, "kind=iq handler=urn:xmpp:ping/lfind ms="), "%s", text);
	stall_end();
}

/* The setting shard_turn_warning. */
Test(stall, how_long_is_too_long_can_be_set)
{
	atomic_store(&stall_ms, 1000);
	ran_for(200, malloc);
	cr_expect_eq(slow_turns(), 0);
	ran_for(3000, malloc);
	cr_expect_eq(slow_turns(), 1);
	stall_end();
}

/* Many handlers, none of which took too long: the longest of them is named. */
Test(stall, a_turn_that_is_long_by_many)
{
	AUTO(free_ptr) char *text = NULL;

	stall_begin();
	stall_note_longest("mail", "c2s", (void *)lfind, 12);
	cr_expect_eq(stall_longest_ms, 12);
	stall_turn(20);
	stall_turn(21);
	text = logged();
	cr_expect(strstr(text,
			  "what=\"a turn was long\" ms=21 kind=mail longest=c2s/lfind "
			  "longest_ms=12"),
		"%s", text);
	cr_expect_eq(count_lines(text), 1);
	cr_expect_eq(slow_turns(), 0);
	stall_end();
}

Test(stall, a_turn_that_is_long_by_one_is_told_once)
{
	AUTO(free_ptr) char *text = NULL;

	ran_for(200, malloc);
	cr_expect_geq(stall_longest_ms, 200);
	stall_turn(300);
	text = logged();
	cr_expect_eq(count_lines(text), 1, "%s", text);
	stall_begin();
	cr_expect_eq(stall_longest_ms, 0, "the next turn is another");
	stall_end();
}

Test(stall, a_line_a_second_is_enough_and_all_are_counted)
{
	AUTO(free_ptr) char *text = NULL;

	for (int i = 0; i < 4; i++)
		stall_report("watch", NULL, (void *)lfind, 44);
	stall_report("iq", "urn:xmpp:ping", (void *)lfind, 44);
	text = logged();
	cr_expect_eq(slow_turns(), 5);
	cr_expect_lt(count_lines(text), 5, "%s", text);
	cr_expect(strstr(text, "kind=iq"), "one kind does not hide another: %s", text);
}
