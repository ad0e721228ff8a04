/* The table of commands, requests as JSON, and the control socket with several clients. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/command.h"
#include "core/mem.h"

static void run_add(const json_t *args, struct command_answer *a)
{
	int64_t sum = command_int(args, "a", 0) + command_int(args, "b", 100);

	if (command_flag(args, "refuse"))
		command_fail(a, "refused %d", (int)sum);
	else
		a->result = json_pack("{s:I}", "sum", (json_int_t)sum);
}

static void run_keep(const json_t *args, struct command_answer *a)
{
	a->result = json_string(command_text(args, "password"));
}

static void run_big(const json_t *args, struct command_answer *a)
{
	size_t len = (size_t)command_int(args, "bytes", 0);
	char *text = xmalloc(len + 1);

	memset(text, 'x', len);
	text[len] = 0;
	a->result = json_string(text);
	free(text);
}

static const struct command_arg add_args[] = { { "a", ARG_INT, .help = "First." },
	{ "b", ARG_INT, .optional = true, .help = "Second." },
	{ "refuse", ARG_FLAG, .help = "Fail." }, { 0 } };
static const struct command_arg keep_args[] = { { "password", ARG_SECRET, .help = "It." }, { 0 } };
static const struct command_arg big_args[] = { { "bytes", ARG_INT, .help = "Length." }, { 0 } };
static const struct command add = { "add", "sums", "Adds.", add_args, run_add, NULL };
static const struct command keep = { "keep", "accounts", "Keeps.", keep_args, run_keep, NULL };
static const struct command big = { "big", "sums", "Answers at length.", big_args, run_big, NULL };
static const struct command aaa = { "aaa", "sums", "Nothing.", NULL, run_add, NULL };

static char *ask_text(const char *line)
{
	AUTO(free_ptr) char *copy = xstrdup(line);
	json_t *reply = command_request(copy, strlen(copy));
	char *text = json_dumps(reply, JSON_COMPACT);

	json_decref(reply);
	return text;
}

static const struct {
	const char *about, *line, *want;
} requests[] = {
	{ "both arguments", "{\"command\":\"add\",\"args\":{\"a\":1,\"b\":2}}",
		"{\"result\":{\"sum\":3}}" },
	{ "an optional one left out", "{\"command\":\"add\",\"args\":{\"a\":1}}",
		"{\"result\":{\"sum\":101}}" },
	{ "a flag", "{\"command\":\"add\",\"args\":{\"a\":1,\"refuse\":true}}",
		"{\"error\":\"refused 101\"}" },
	{ "no result", "{\"command\":\"big\",\"args\":{\"bytes\":0}}", "{\"result\":\"\"}" },
	{ "a needed one left out", "{\"command\":\"add\"}",
		"{\"error\":\"add needs 'a': First.\",\"usage\":true}" },
	{ "wrong type", "{\"command\":\"add\",\"args\":{\"a\":\"1\"}}",
		"{\"error\":\"add: 'a' must be a whole number\",\"usage\":true}" },
	{ "a flag's wrong type", "{\"command\":\"add\",\"args\":{\"a\":1,\"refuse\":1}}",
		"{\"error\":\"add: 'refuse' must be true or false\",\"usage\":true}" },
	{ "one nobody knows", "{\"command\":\"add\",\"args\":{\"a\":1,\"c\":2}}",
		"{\"error\":\"add takes no argument 'c'\",\"usage\":true}" },
	{ "arguments that are none", "{\"command\":\"add\",\"args\":[1]}",
		"{\"error\":\"a request is {\\\"command\\\": name, \\\"args\\\": {...}}\","
		"\"usage\":true}" },
	{ "no command", "{}",
		"{\"error\":\"a request is {\\\"command\\\": name, \\\"args\\\": {...}}\","
		"\"usage\":true}" },
	{ "unknown command", "{\"command\":\"nope\"}",
		"{\"error\":\"there is no command 'nope'\",\"usage\":true}" },
};

Test(command, request)
{
	command_add(&add);
	command_add(&big);
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		AUTO(free_ptr) char *got = ask_text(requests[i].line);

		cr_expect_str_eq(got, requests[i].want, "%s: %s", requests[i].about, got);
	}
}

Test(command, what_is_not_json_is_refused)
{
	static const char *const lines[] = { "", "{", "nonsense", "{\"command\":\"a\\u0000\"}",
		"{\"command\":1,\"command\":2}", "[1,2]", "\xff" };

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		AUTO(free_ptr) char *got = ask_text(lines[i]);

		cr_expect(strstr(got, "\"error\"") && strstr(got, "\"usage\":true"), "%s", got);
	}
}

Test(command, a_request_is_overwritten)
{
	char line[] = "{\"command\":\"keep\",\"args\":{\"password\":\"geheim\"}}";
	json_t *reply;

	command_add(&keep);
	reply = command_request(line, sizeof(line) - 1);
	cr_expect_str_eq(command_text(reply, "result"), "geheim");
	for (size_t i = 0; i < sizeof(line); i++)
		cr_expect_eq(line[i], 0, "byte %zu is left", i);
	json_decref(reply);
}

static void collect(const struct command *c, void *arg)
{
	strcat(strcat(arg, c->name), " ");
}

Test(command, listed_by_group_and_name)
{
	char names[100] = "";

	command_add(&big);
	command_add(&keep);
	command_add(&aaa);
	command_add(&add);
	command_each(collect, names);
	cr_expect_str_eq(names, "keep aaa add big ");
	command_remove(&aaa);
	command_remove(&aaa);
	names[0] = 0;
	command_each(collect, names);
	cr_expect_str_eq(names, "keep add big ");
	cr_expect_null(command_find("aaa"));
	cr_expect_eq(command_find("add"), &add);
}

/* ---- Removing while it runs ---- */

static int gate[2], started[2];
static _Atomic bool left;

static void run_slow(const json_t *args UNUSED, struct command_answer *a UNUSED)
{
	char c = 0;

	cr_assert_eq(write(started[1], &c, 1), 1);
	cr_assert_eq(read(gate[0], &c, 1), 1);
	atomic_store(&left, true);
}
static const struct command slow = { "slow", "sums", "Waits.", NULL, run_slow, NULL };

static void *ask_slow(void *arg UNUSED)
{
	free(ask_text("{\"command\":\"slow\"}"));
	return NULL;
}

static void *open_gate(void *arg UNUSED)
{
	while (command_find("slow")) /* until the removal is under way */
		usleep(1000);
	cr_assert_eq(write(gate[1], "", 1), 1);
	return NULL;
}

Test(command, removal_waits_for_the_call)
{
	pthread_t asker, opener;
	char c;

	cr_assert(!pipe(gate) && !pipe(started));
	command_add(&slow);
	pthread_create(&asker, NULL, ask_slow, NULL);
	cr_assert_eq(read(started[0], &c, 1), 1);
	pthread_create(&opener, NULL, open_gate, NULL);
	command_remove(&slow);
	cr_expect(atomic_load(&left));
	pthread_join(asker, NULL);
	pthread_join(opener, NULL);
}

static const struct command removes_itself;
static void run_remove(const json_t *args UNUSED, struct command_answer *a)
{
	command_remove(&removes_itself);
	a->result = json_true();
}
static const struct command removes_itself = { "once", "sums", "Once.", NULL, run_remove, NULL };

Test(command, may_remove_itself)
{
	AUTO(free_ptr) char *first = NULL;
	AUTO(free_ptr) char *second = NULL;

	command_add(&removes_itself);
	first = ask_text("{\"command\":\"once\"}");
	second = ask_text("{\"command\":\"once\"}");
	cr_expect_str_eq(first, "{\"result\":true}");
	cr_expect(strstr(second, "no command"));
}

/* ---- The socket ---- */

static char folder[] = "/tmp/linnet-command-XXXXXX";
static char path[100];

static void listen_there(void)
{
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/control.sock", folder);
	command_add(&add);
	command_add(&big);
	cr_assert_eq(command_listen(path, 0600), 0);
}

static void close_there(void)
{
	command_close();
	cr_expect_eq(access(path, F_OK), -1, "the socket's file is left");
	rmdir(folder);
}

static int client_open(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval bound = { .tv_sec = 60 };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(addr.sun_path, path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound));
	return fd;
}

static void client_say(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* One line without its newline; NULL at the end of the stream. The caller frees. */
static char *client_hear(int fd)
{
	char *line = NULL, c;
	size_t len;
	FILE *out = open_memstream(&line, &len);
	ssize_t n;

	while ((n = recv(fd, &c, 1, 0)) == 1 && c != '\n')
		fputc(c, out);
	fclose(out);
	if (n == 1)
		return line;
	free(line);
	return NULL;
}

static void client_hears(int fd, const char *want)
{
	AUTO(free_ptr) char *line = client_hear(fd);

	cr_assert_not_null(line);
	cr_expect_str_eq(line, want);
}

#define ADD_1_2 "{\"command\":\"add\",\"args\":{\"a\":1,\"b\":2}}\n"
#define IS_3 "{\"result\":{\"sum\":3}}"

TestSuite(control, .init = listen_there, .fini = close_there);

Test(control, several_requests_in_one_write_and_one_in_several)
{
	int fd = client_open();

	client_say(fd, ADD_1_2 ADD_1_2 "{\"command\":\"add\",");
	client_hears(fd, IS_3);
	client_hears(fd, IS_3);
	client_say(fd, "\"args\":{\"a\":1,\"b\":2}}\n");
	client_hears(fd, IS_3);
	close(fd);
}

Test(control, a_client_that_does_not_read_holds_nobody)
{
	int lazy = client_open(), quick = client_open();
	AUTO(free_ptr) char *line = NULL;

	/* More than any socket buffer; and a second request that must wait behind it. */
	client_say(lazy, "{\"command\":\"big\",\"args\":{\"bytes\":2000000}}\n" ADD_1_2);
	for (int i = 0; i < 20; i++) {
		client_say(quick, ADD_1_2);
		client_hears(quick, IS_3);
	}
	line = client_hear(lazy);
	cr_expect_eq(strlen(line), 2000000 + strlen("{\"result\":\"\"}"));
	client_hears(lazy, IS_3);
	close(lazy);
	close(quick);
}

Test(control, an_endless_line_is_refused)
{
	int fd = client_open();
	char piece[4096];
	AUTO(free_ptr) char *line = NULL;

	memset(piece, 'x', sizeof(piece));
	for (size_t sent = 0; sent < 2 * COMMAND_LINE_MAX; sent += sizeof(piece))
		if (send(fd, piece, sizeof(piece), MSG_NOSIGNAL) < 0)
			break;
	line = client_hear(fd);
	cr_assert_not_null(line);
	cr_expect(strstr(line, "longer than 1 MiB"), "%s", line);
	cr_expect_null(client_hear(fd));
	close(fd);
}

Test(control, more_clients_than_it_serves_wait)
{
	int fds[COMMAND_CLIENTS_MAX + 5];

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = client_open();
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		client_say(fds[i], ADD_1_2);
		client_hears(fds[i], IS_3);
		close(fds[i]); /* makes room for one that waits */
	}
}

Test(control, help_describes_every_command)
{
	int fd = client_open();
	AUTO(free_ptr) char *line = NULL;
	json_t *reply, *list;

	client_say(fd, "{\"command\":\"help\"}\n");
	line = client_hear(fd);
	reply = json_loads(line, 0, NULL);
	list = json_object_get(reply, "result");
	cr_assert_eq(json_array_size(list), 3);
	cr_expect_str_eq(command_text(json_array_get(list, 0), "name"), "help");
	cr_expect_str_eq(command_text(json_array_get(list, 1), "name"), "add");
	cr_expect_eq(json_array_size(json_object_get(json_array_get(list, 1), "args")), 3);
	json_decref(reply);
	client_say(fd, "{\"command\":\"help\",\"args\":{\"command\":\"nope\"}}\n");
	client_hears(fd, "{\"error\":\"there is no command 'nope'\"}");
	close(fd);
}

Test(control, the_file_is_private_and_one_server_s)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
}

/* What a killed server leaves: a bound file that nobody listens at. */
Test(command, a_stale_socket_is_replaced_and_nothing_else_is)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int dead, fd, live;

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/control.sock", folder);
	strcpy(addr.sun_path, path);
	dead = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(dead, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(dead);
	cr_assert_eq(command_listen(path, 0600), 0);
	command_close();

	live = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(live, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(live, 1), 0);
	cr_expect_eq(command_listen(path, 0600), -EADDRINUSE);
	close(live);
	unlink(path);

	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	cr_expect_eq(command_listen(path, 0600), -EEXIST);
	cr_expect_eq(access(path, F_OK), 0, "somebody's file was removed");
	unlink(path);
	rmdir(folder);

	memset(path, 'x', sizeof(path));
	cr_expect_eq(command_listen("/nowhere/control.sock", 0600), -ENOENT);
}
