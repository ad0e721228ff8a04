/* What core/keep.h promises, with a fork as the server, as in life. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/keep.h"
#include "core/mem.h"

TestSuite(keep, .timeout = 60);

static char last_told[KEEP_NAME_MAX];
static unsigned times_told;

static void told(const char *what)
{
	strcpy(last_told, what);
	times_told++;
}

/* Runs fn() as the next server to its end, with what it said heard; its exit status. */
static int serve(int (*fn)(void))
{
	int status;
	pid_t child;

	cr_assert_eq(keep_open(), 0);
	child = fork();
	if (child == 0) {
		keep_serve();
		_exit(fn());
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	keep_listen(told);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool is_pipe_with(int fd, const char *text)
{
	char room[64] = "";
	ssize_t n = fd < 0 ? -1 : read(fd, room, sizeof(room) - 1);

	return n >= 0 && !strcmp(room, text);
}

/* A pipe with text in it; its reading end is kept. */
static void put_pipe(const char *name, const char *text)
{
	int ends[2];

	REQUIRE(pipe(ends) == 0);
	REQUIRE(write(ends[1], text, strlen(text)) == (ssize_t)strlen(text));
	keep_put(name, ends[0]);
	close(ends[0]);
	close(ends[1]);
}

static int put_two(void)
{
	put_pipe("one", "first");
	put_pipe("two", "second");
	return 0;
}

static int take_two(void)
{
	int one = keep_take("one");

	return !(is_pipe_with(one, "first") && (fcntl(one, F_GETFD) & FD_CLOEXEC) &&
		is_pipe_with(keep_take("two"), "second"));
}

static int find_neither(void)
{
	return !(keep_take("one") < 0 && keep_take("two") < 0);
}

Test(keep, what_one_server_put_the_next_ones_take)
{
	cr_expect_eq(serve(find_neither), 0);
	cr_expect_eq(serve(put_two), 0);
	cr_expect_eq(serve(take_two), 0);
	put_two(); /* the monitor is no server: nothing is kept */
	cr_expect_eq(times_told, 0);
}

static int take_twice(void)
{
	return !(keep_take("one") >= 0 && keep_take("one") < 0);
}

Test(keep, is_taken_once)
{
	serve(put_two);
	cr_expect_eq(serve(take_twice), 0);
	cr_expect_eq(serve(take_twice), 0, "by each server");
}

static int drop_one(void)
{
	keep_drop("one");
	keep_drop("never there");
	return 0;
}

static int find_only_two(void)
{
	return !(keep_take("one") < 0 && is_pipe_with(keep_take("two"), "second"));
}

static int put_one_anew(void)
{
	put_pipe("one", "anew");
	return 0;
}

static int find_one_anew(void)
{
	return !is_pipe_with(keep_take("one"), "anew");
}

Test(keep, drops_and_replaces)
{
	serve(put_two);
	serve(drop_one);
	cr_expect_eq(serve(find_only_two), 0);
	serve(put_one_anew);
	serve(put_one_anew);
	cr_expect_eq(serve(find_one_anew), 0);
}

static int take_one_drop_rest(void)
{
	int one = keep_take("one");

	keep_drop_rest();
	return one < 0 || keep_take("two") >= 0;
}

Test(keep, drops_what_nobody_took)
{
	serve(put_two);
	cr_expect_eq(serve(take_one_drop_rest), 0);
	cr_expect_eq(serve(find_neither), 1);
	cr_expect_eq(serve(take_one_drop_rest), 0, "the first is still there");
}

static int put_too_many(void)
{
	for (unsigned i = 0; i < KEEP_MAX + 10; i++) {
		char name[20];

		snprintf(name, sizeof(name), "number %u", i);
		put_pipe(name, name);
	}
	return 0;
}

static int find_so_many(void)
{
	for (unsigned i = 0; i < KEEP_MAX + 10; i++) {
		char name[20];

		snprintf(name, sizeof(name), "number %u", i);
		if (is_pipe_with(keep_take(name), name) != (i < KEEP_MAX))
			return 1;
	}
	return 0;
}

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(keep, holds_a_bounded_number)
{
	unsigned before;

	serve(find_neither);
	before = open_files();
	serve(put_too_many);
	cr_expect_eq(open_files(), before + KEEP_MAX);
	cr_expect_eq(serve(find_so_many), 0);
}

static int say(void)
{
	keep_tell("first");
	keep_tell("ready");
	return 0;
}

Test(keep, hands_on_what_is_told)
{
	cr_expect_not(keep_is_served());
	keep_tell("nobody");
	serve(say);
	cr_expect_eq(times_told, 2);
	cr_expect_str_eq(last_told, "ready");
}

/* --- upgrades --- */

static char given[64]; /* what was in the pipe that came with "given" */

static void told_given(const char *what)
{
	int fd = keep_told_fd();

	told(what);
	if (fd >= 0 && read(fd, given, sizeof(given) - 1) < 0)
		given[0] = 0;
	fd_close(&fd);
	cr_expect_eq(keep_told_fd(), -1, "it is given once");
}

static int give(void)
{
	int ends[2];

	REQUIRE(pipe(ends) == 0);
	REQUIRE(write(ends[1], "a pipe", 6) == 6);
	keep_tell_with("given", ends[0]);
	keep_tell("nothing");
	return 0;
}

Test(keep, a_descriptor_goes_with_what_is_told)
{
	pid_t child;

	cr_assert_eq(keep_open(), 0);
	child = fork();
	if (child == 0) {
		keep_serve();
		_exit(give());
	}
	cr_assert_eq(waitpid(child, NULL, 0), child);
	keep_listen(told_given);
	cr_expect_str_eq(given, "a pipe");
	cr_expect_eq(times_told, 2);
}

/* As a program that was started with keep_pass_next(): it knows nothing but what it was told. */
static int serve_as_next(const char *packed, int end)
{
	keep_unpack(packed);
	keep_serve_at(end);
	if (!is_pipe_with(keep_take("one"), "first"))
		return 1;
	keep_drop_rest();
	put_pipe("three", "third");
	keep_tell("ready");
	return 0;
}

static int find_three(void)
{
	return !(keep_take("two") < 0 && is_pipe_with(keep_take("three"), "third"));
}

Test(keep, a_second_server_takes_the_place_of_the_first)
{
	char *packed;
	pid_t child;
	int status;

	serve(put_two);
	cr_expect_eq(keep_channel_next(), -1);
	cr_assert_eq(keep_open_next(), 0);
	child = fork();
	if (child == 0) {
		packed = keep_pack();
		keep_take("one"); /* as exec() leaves nothing but open files */
		keep_take("two");
		_exit(serve_as_next(packed, keep_pass_next()));
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect_eq(status, 0);
	keep_listen_next(told);
	cr_expect_str_eq(last_told, "ready");
	keep_promote_next();
	cr_expect_eq(keep_channel_next(), -1);
	cr_expect_neq(keep_channel(), -1);
	cr_expect_eq(serve(find_three), 0, "what it dropped and put is what counts");
}
