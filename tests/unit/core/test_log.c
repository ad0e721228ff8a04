/* The log's lines as a reader of the file sees them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"

static char folder[] = "/tmp/linnet-log-XXXXXX";
static char path[64];

static void setup(void)
{
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/log", folder);
	atomic_store(&log_level, LOG_LEVEL_INFO);
}

static void teardown(void)
{
	log_close();
	unlink(path);
	rmdir(folder);
}

TestSuite(log, .init = setup, .fini = teardown);

/* The file as one string; the caller frees. */
static char *read_file(const char *name)
{
	FILE *f = fopen(name, "re");
	size_t cap = 0;
	char *text = NULL;

	cr_assert(f);
	if (getdelim(&text, &cap, 0, f) < 0) {
		free(text);
		text = xstrdup("");
	}
	fclose(f);
	return text;
}

static char *logged(void)
{
	log_flush();
	return read_file(path);
}

static const struct {
	const char *what, *value, *logfmt, *json;
} rows[] = {
	{ "a word stays bare", "juliet@example.org", "v=juliet@example.org",
		"\"v\":\"juliet@example.org\"" },
	{ "empty", "", "v=\"\"", "\"v\":\"\"" },
	{ "space", "a b", "v=\"a b\"", "\"v\":\"a b\"" },
	{ "equals sign", "a=b", "v=\"a=b\"", "\"v\":\"a=b\"" },
	{ "quote and backslash", "a\"\\", "v=\"a\\\"\\\\\"", "\"v\":\"a\\\"\\\\\"" },
	{ "a forged second line", "x\nlevel=error", "v=\"x\\nlevel=error\"",
		"\"v\":\"x\\nlevel=error\"" },
	{ "carriage return, tab", "\r\t", "v=\"\\r\\t\"", "\"v\":\"\\r\\t\"" },
	{ "escape of a terminal", "\033[2J", "v=\"\\u001b[2J\"", "\"v\":\"\\u001b[2J\"" },
	{ "delete", "\177", "v=\"\\u007f\"", "\"v\":\"\\u007f\"" },
	{ "C1 control", "\xc2\x9b", "v=\"\\u009b\"", "\"v\":\"\\u009b\"" },
	{ "right-to-left override", "\xe2\x80\xae", "v=\"\\u202e\"", "\"v\":\"\\u202e\"" },
	{ "line separator", "\xe2\x80\xa8", "v=\"\\u2028\"", "\"v\":\"\\u2028\"" },
	{ "plain UTF-8", "\xc3\xa4\xf0\x9f\x90\xa6", "v=\"\xc3\xa4\xf0\x9f\x90\xa6\"",
		"\"v\":\"\xc3\xa4\xf0\x9f\x90\xa6\"" },
	{ "lone continuation byte", "\x80", "v=\"\\x80\"", "\"v\":\"\\ufffd\"" },
	{ "cut sequence", "\xe2\x82", "v=\"\\xe2\\x82\"", "\"v\":\"\\ufffd\\ufffd\"" },
	{ "overlong (RFC 3629 §3)", "\xc0\xaf", "v=\"\\xc0\\xaf\"", "\"v\":\"\\ufffd\\ufffd\"" },
	{ "surrogate (RFC 3629 §3)", "\xed\xa0\x80", "v=\"\\xed\\xa0\\x80\"",
		"\"v\":\"\\ufffd\\ufffd\\ufffd\"" },
	{ "beyond U+10FFFF (RFC 3629 §3)", "\xf4\x90\x80\x80", "v=\"\\xf4\\x90\\x80\\x80\"",
		"\"v\":\"\\ufffd\\ufffd\\ufffd\\ufffd\"" },
};

Test(log, values_are_escaped)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (int format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++) {
			const char *want =
				format == LOG_FORMAT_JSON ? rows[i].json : rows[i].logfmt;
			AUTO(free_ptr) char *text = NULL;
			char *newline;

			unlink(path);
			cr_assert_eq(log_open(path, format), 0);
			log_info("test", "value", L_STR("v", rows[i].value), L_INT("n", -7));
			text = logged();
			cr_expect(strstr(text, want), "%s: %s in %s", rows[i].what, want, text);
			newline = strchr(text, '\n');
			cr_assert(newline, "%s", rows[i].what);
			cr_expect_eq(newline[1], 0, "%s: one line", rows[i].what);
			if (format == LOG_FORMAT_JSON) {
				json_t *line = json_loads(text, 0, NULL);

				cr_expect(line, "%s: %s", rows[i].what, text);
				cr_expect_eq(json_integer_value(json_object_get(line, "n")), -7);
				json_decref(line);
			}
		}
	}
}

/* Not time(), whose clock only moves with the kernel's ticks and so may be a second behind. */
static time_t seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec;
}

Test(log, line_has_time_level_part_what_in_order)
{
	AUTO(free_ptr) char *text = NULL;
	char level[8], part[8];
	struct tm then = { 0 };
	unsigned ms;
	int at = 0;
	time_t before = seconds_now(), said;

	cr_assert_eq(log_open(path, LOG_FORMAT_LOGFMT), 0);
	log_warning("c2s", "slow peer", L_STR("jid", "a@b"));
	text = logged();
	cr_assert_eq(sscanf(text, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3uZ level=%7s part=%7s what=%n",
			     &then.tm_year, &then.tm_mon, &then.tm_mday, &then.tm_hour,
			     &then.tm_min, &then.tm_sec, &ms, level, part, &at),
		9, "%s", text);
	then.tm_year -= 1900;
	then.tm_mon -= 1;
	said = timegm(&then);
	cr_expect(said >= before && said <= seconds_now(), "%s", text);
	cr_expect_str_eq(level, "warning");
	cr_expect_str_eq(part, "c2s");
	cr_expect_str_eq(text + at, "\"slow peer\" jid=a@b\n");
}

Test(log, below_the_level_nothing_is_written_but_a_trace_is)
{
	AUTO(free_ptr) char *text = NULL;

	cr_assert_eq(log_open(path, LOG_FORMAT_LOGFMT), 0);
	log_debug("test", "hidden");
	atomic_store(&log_level, LOG_LEVEL_NONE);
	log_error("test", "hidden");
	log_trace("test", "followed");
	text = logged();
	cr_expect_null(strstr(text, "hidden"));
	cr_expect(strstr(text, "level=trace part=test what=followed"));
}

/* A line longer than the limit is still one whole line in both formats. */
Test(log, long_line_is_cut)
{
	AUTO(free_ptr) char *value = xmalloc(100001);

	memset(value, 'x', 100000);
	value[100000] = 0;
	for (int format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++)
		for (size_t less = 0; less < 200; less++) {
			AUTO(free_ptr) char *text = NULL;
			size_t len;

			unlink(path);
			cr_assert_eq(log_open(path, format), 0);
			log_info("test", "long", L_STR("a", value + 100000 - 16384 + less),
				L_STR("b", "word"), L_INT("c", 123456));
			text = logged();
			len = strlen(text);
			cr_assert(len <= 16384 && text[len - 1] == '\n' &&
				strchr(text, '\n') == text + len - 1);
			if (format == LOG_FORMAT_JSON) {
				json_t *line = json_loads(text, 0, NULL);

				cr_assert(line, "less %zu: ...%s", less, text + len - 100);
				cr_expect_neq(
					!json_object_get(line, "c"), !json_object_get(line, "cut"));
				json_decref(line);
			}
		}
}

Test(log, reopen_writes_to_the_new_file)
{
	AUTO(free_ptr) char *old = NULL, *text = NULL;
	char moved[80];

	snprintf(moved, sizeof(moved), "%s.1", path);
	cr_assert_eq(log_open(path, LOG_FORMAT_LOGFMT), 0);
	log_info("test", "before");
	cr_assert_eq(rename(path, moved), 0);
	log_info("test", "between");
	cr_assert_eq(log_reopen(), 0);
	log_info("test", "after");
	text = logged();
	old = read_file(moved);
	unlink(moved);
	cr_expect(strstr(old, "before") && strstr(old, "between") && !strstr(old, "after"));
	cr_expect(strstr(text, "after") && !strstr(text, "between"));
}

Test(log, a_path_that_does_not_open_leaves_the_old_destination)
{
	AUTO(free_ptr) char *text = NULL;

	cr_assert_eq(log_open(path, LOG_FORMAT_LOGFMT), 0);
	cr_expect_eq(log_open("/nonexistent/folder/log", LOG_FORMAT_LOGFMT), -ENOENT);
	log_info("test", "still here");
	text = logged();
	cr_expect(strstr(text, "still here"));
}

Test(log, another_destination_in_two_steps)
{
	AUTO(free_ptr) char *text = NULL, *other = xprintf("%s.other", path);
	int prepared;

	cr_assert_eq(log_open(path, LOG_FORMAT_LOGFMT), 0);
	cr_expect_eq(log_prepare("/nonexistent/folder/log"), -ENOENT);
	prepared = log_prepare(other);
	cr_assert_geq(prepared, 0);
	log_abandon(prepared);
	log_info("test", "still here");
	prepared = log_prepare(other);
	cr_assert_geq(prepared, 0);
	log_commit(prepared, other, LOG_FORMAT_JSON);
	log_info("test", "over there");
	text = logged();
	cr_expect(strstr(text, "still here"));
	cr_expect_not(strstr(text, "over there"));
	free(text);
	text = NULL;
	unlink(path);
	cr_assert_eq(rename(other, path), 0);
	text = logged();
	cr_expect(strstr(text, "\"what\":\"over there\""), "%s", text);
}

/* stderr's file of before the writer exists. */
Test(log, before_open_lines_go_to_stderr_at_once)
{
	AUTO(free_ptr) char *text = NULL;
	int saved = dup(2), file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	cr_assert(saved >= 0 && file >= 0 && dup2(file, 2) == 2);
	log_warning("test", "early");
	dup2(saved, 2);
	close(saved);
	close(file);
	text = read_file(path);
	cr_expect(strstr(text, "what=early"));
}

#define LINES 2000
static void *write_many(void *arg)
{
	for (int i = 0; i < LINES; i++) {
		log_info("test", "many", L_INT("thread", (intptr_t)arg), L_INT("i", i));
		if (i % 100 == 99)
			log_flush(); /* stays below what may wait */
	}
	return NULL;
}

Test(log, lines_of_one_thread_keep_their_order)
{
	AUTO(free_ptr) char *text = NULL;
	pthread_t threads[4];
	int next[4] = { 0 }, i, n = 0;
	long thread;
	char *at;

	cr_assert_eq(log_open(path, LOG_FORMAT_LOGFMT), 0);
	for (intptr_t t = 0; t < 4; t++)
		cr_assert_eq(pthread_create(&threads[t], NULL, write_many, (void *)t), 0);
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	at = text = logged();
	while ((at = strstr(at, "thread="))) {
		cr_assert_eq(sscanf(at, "thread=%ld i=%d", &thread, &i), 2);
		cr_assert_eq(i, next[thread]);
		next[thread]++;
		n++;
		at++;
	}
	cr_expect_eq(n, 4 * LINES);
}

static void add_lost(const struct metric *m, void *arg)
{
	if (strcmp(m->name, "log_lines_lost_total") == 0)
		*(int64_t *)arg += metric_value(m);
}

struct reader {
	int fd;
	unsigned lines, told_lost;
};

static void *read_until_end(void *arg)
{
	struct reader *r = arg;
	FILE *f = fdopen(r->fd, "r");
	size_t cap = 0;
	char *line = NULL;
	unsigned count;

	while (getline(&line, &cap, f) > 0) {
		const char *told = strstr(line, "\"lines lost\"");

		if (told && sscanf(told, "\"lines lost\" count=%u", &count) == 1)
			r->told_lost += count;
		else
			r->lines++;
	}
	free(line);
	fclose(f);
	return NULL;
}

/* Nobody reads the pipe at first: who logs goes on, and what was lost is counted and told. */
Test(log, a_stuck_destination_loses_lines_and_says_how_many)
{
	struct reader r = { 0 };
	int64_t lost = 0;
	pthread_t thread;

	cr_assert_eq(mkfifo(path, 0600), 0);
	r.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	cr_assert(r.fd >= 0);
	cr_assert_eq(log_open(path, LOG_FORMAT_LOGFMT), 0);
	fcntl(r.fd, F_SETFL, 0);
	cr_expect_eq(log_waiting(), 0);
	for (int i = 0; i < 30000; i++)
		log_info("test", "flood", L_INT("i", i));
	cr_expect_gt(log_waiting(), 0);
	cr_expect_lt(log_waiting(), 30000, "those that are lost do not wait");
	cr_assert_eq(pthread_create(&thread, NULL, read_until_end, &r), 0);
	log_close();
	pthread_join(thread, NULL);
	metric_each(add_lost, &lost);
	cr_expect_gt(lost, 0);
	cr_expect_eq(r.told_lost, lost);
	cr_expect_eq(log_waiting(), 0);
	cr_expect_eq(r.lines + lost, 30000);
}

Test(log, seldom_lets_one_through_and_counts_the_rest)
{
	struct log_seldom s = { 0 };
	uint32_t left_out = 99;

	cr_expect(log_seldom(&s, &left_out));
	cr_expect_eq(left_out, 0);
	cr_expect_gt(atomic_load(&s.next_ms), 0);
	atomic_store(&s.next_ms, INT64_MAX); /* the second does not end however slow this is */
	for (int i = 0; i < 5; i++)
		cr_expect_not(log_seldom(&s, &left_out));
	atomic_store(&s.next_ms, 0); /* a second later */
	cr_expect(log_seldom(&s, &left_out));
	cr_expect_eq(left_out, 5);
}

Test(log, follow)
{
	unsigned version = log_follow_version();

	cr_expect_not(log_follows(true));
	log_follow("romeo@montague.example");
	cr_expect(log_follows(true));
	cr_expect_not(log_follows(false));
	cr_expect_neq(log_follow_version(), version);
	cr_expect(log_follow_matches("romeo@montague.example", "romeo@montague.example/a", "c1"));
	cr_expect_not(log_follow_matches("juliet@capulet.example", NULL, "c1"));
	log_follow("romeo@montague.example/b");
	cr_expect_not(
		log_follow_matches("romeo@montague.example", "romeo@montague.example/a", "c1"));
	cr_expect(log_follow_matches("romeo@montague.example", "romeo@montague.example/b", "c1"));
	log_follow("c1234");
	cr_expect(log_follow_matches(NULL, NULL, "c1234"));
	cr_expect_not(log_follow_matches(NULL, NULL, "c12345"));
	log_follow(NULL);
	cr_expect_not(log_follows(true));
	cr_expect_not(log_follow_matches(NULL, NULL, ""));
}

Test(log, levels_by_name_and_by_ejabberds_number)
{
	static const struct {
		const char *name;
		int level;
	} levels[] = { { "none", 0 }, { "error", 1 }, { "Warning", 2 }, { "info", 3 },
		{ "debug", 4 }, { "0", 0 }, { "1", 1 }, { "2", 1 }, { "3", 2 }, { "4", 3 },
		{ "5", 4 }, { "critical", 1 }, { "6", -1 }, { "", -1 }, { "verbose", -1 } };

	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		cr_expect_eq(
			log_level_parse(levels[i].name), levels[i].level, "%s", levels[i].name);
	cr_expect_str_eq(log_level_name(LOG_LEVEL_DEBUG), "debug");
}
