/* cmd/linnetctl_args.c - the words behind a command, by the server's own description of it. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cmd/linnetctl.h"
#include "core/mem.h"

#define SECRET_MAX 1024

const char *args_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool is_option(const json_t *arg)
{
	return json_is_true(json_object_get(arg, "option"));
}

static bool is_type(const json_t *arg, const char *type)
{
	return !strcmp(args_text(arg, "type"), type);
}

/* A secret left out is asked for, so it reads as optional. */
static bool may_be_left_out(const json_t *arg)
{
	return json_is_true(json_object_get(arg, "optional")) || is_type(arg, "secret");
}

static void put_upper(const char *text, FILE *out)
{
	for (; *text; text++)
		fputc(*text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text, out);
}

char *args_usage(const json_t *command)
{
	char *text = NULL;
	size_t len, i;
	FILE *out = open_memstream(&text, &len);
	json_t *arg;

	fputs(args_text(command, "name"), out);
	json_array_foreach (json_object_get(command, "args"), i, arg) {
		const char *name = args_text(arg, "name");

		fputs(may_be_left_out(arg) ? " [" : " ", out);
		if (is_option(arg))
			fprintf(out, "--%s%s", name, is_type(arg, "flag") ? "" : " ");
		if (!is_type(arg, "flag"))
			put_upper(name, out);
		fputs(may_be_left_out(arg) ? "]" : "", out);
	}
	fclose(out);
	return text;
}

static void usage(const json_t *command, const char *problem, const char *which)
{
	char *text = args_usage(command);

	die(EXIT_USAGE, "%s%s\nusage: linnetctl %s", problem, which, text);
}

/* ---- Secrets ---- */

/* A line of standard input without its newline; false at its end. */
static bool read_secret_line(char *buffer)
{
	size_t len;

	if (!fgets(buffer, SECRET_MAX, stdin))
		return false;
	len = strcspn(buffer, "\r\n");
	if (!buffer[len] && !feof(stdin))
		die(EXIT_USAGE, "a password has at most %d bytes", SECRET_MAX - 2);
	buffer[len] = 0;
	return true;
}

static void interrupted(int signo UNUSED)
{
}

/* Waits for a line; false: Ctrl-C came first. SIGINT is blocked but for this, as in was_blocked. */
static bool wait_for_line(const sigset_t *was_blocked)
{
	const struct sigaction stop_waiting = { .sa_handler = interrupted };
	struct pollfd at = { STDIN_FILENO, POLLIN, 0 };
	struct sigaction was_stopping;
	int ready;

	sigaction(SIGINT, &stop_waiting, &was_stopping);
	ready = ppoll(&at, 1, NULL, was_blocked);
	sigaction(SIGINT, &was_stopping, NULL);
	return ready > 0;
}

/* Ctrl-C ends the program, but not before the terminal is as it was. */
static void ask_secret(const char *prompt, char *buffer)
{
	struct termios was, quiet;
	sigset_t stop, was_blocked;
	bool asked, read;

	if (tcgetattr(STDIN_FILENO, &was) < 0)
		die(EXIT_USAGE, "cannot ask for it without a terminal");
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigprocmask(SIG_BLOCK, &stop, &was_blocked);
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet); /* before the prompt: it drops what is typed */
	fprintf(stderr, "%s: ", prompt);
	asked = wait_for_line(&was_blocked);
	read = asked && read_secret_line(buffer);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &was);
	fputc('\n', stderr);
	sigprocmask(SIG_SETMASK, &was_blocked, NULL);
	if (!asked)
		raise(SIGINT);
	if (!read)
		die(EXIT_USAGE, "no password given");
}

static json_t *secret_value(const char *buffer)
{
	json_t *value = json_string(buffer);

	if (!value)
		die(EXIT_USAGE, "the password is not valid UTF-8");
	return value;
}

static json_t *secret_from_stdin(void)
{
	char buffer[SECRET_MAX];
	json_t *value;

	if (!read_secret_line(buffer))
		die(EXIT_USAGE, "no password on standard input");
	value = secret_value(buffer);
	wipe(buffer, sizeof(buffer));
	return value;
}

static json_t *secret_from_terminal(const json_t *command, const char *name)
{
	char first[SECRET_MAX], again[SECRET_MAX];
	json_t *value;

	if (!isatty(STDIN_FILENO))
		usage(command, "give the password, or - to read it from standard input: ", name);
	ask_secret("Password", first);
	ask_secret("The same again", again);
	if (strcmp(first, again))
		die(EXIT_FAILED, "the two are not the same");
	value = secret_value(first);
	wipe(first, sizeof(first));
	wipe(again, sizeof(again));
	return value;
}

/* ---- Arguments ---- */

/* The server runs in another folder than its operator. */
static json_t *path_value(const char *text)
{
	AUTO(free_ptr) char *folder = getcwd(NULL, 0);

	if (*text == '/' || !folder)
		return json_string(text);
	return json_sprintf("%s/%s", folder, text);
}

static json_t *value_of(const json_t *command, const json_t *arg, char *text)
{
	json_t *value;

	if (is_type(arg, "secret")) {
		if (!strcmp(text, "-"))
			return secret_from_stdin();
		value = secret_value(text);
		wipe(text, strlen(text)); /* out of the process list, as soon as may be */
		return value;
	}
	if (is_type(arg, "int")) {
		char *end;
		long long number;

		errno = 0;
		number = strtoll(text, &end, 10);
		if (errno || *end || end == text)
			usage(command, "a whole number is expected, not ", text);
		return json_integer(number);
	}
	value = is_type(arg, "file") ? path_value(text) : json_string(text);
	if (!value)
		usage(command, "not valid UTF-8: ", args_text(arg, "name"));
	return value;
}

const json_t *args_option(const json_t *command, const char *word)
{
	size_t i, len = strcspn(word + 2, "=");
	const json_t *arg;

	json_array_foreach (json_object_get(command, "args"), i, arg) {
		const char *name = args_text(arg, "name");

		if (is_option(arg) && strlen(name) == len && !strncmp(name, word + 2, len))
			return arg;
	}
	return NULL;
}

const json_t *args_positional(const json_t *command, size_t *at)
{
	const json_t *args = json_object_get(command, "args"), *arg;

	while ((arg = json_array_get(args, (*at)++)))
		if (!is_option(arg))
			return arg;
	return NULL;
}

/* argv[*i] is "--name..."; moves *i over a value that stands apart. */
static void read_option(const json_t *command, char **argv, int argc, int *i, json_t *into)
{
	char *word = argv[*i] + 2, *equals = strchr(word, '='), *text = equals ? equals + 1 : NULL;
	const json_t *arg = args_option(command, argv[*i]);

	if (!arg)
		usage(command, "unknown option --", word);
	if (is_type(arg, "flag")) {
		if (text)
			usage(command, "takes no value: --", args_text(arg, "name"));
		json_object_set_new(into, args_text(arg, "name"), json_true());
		return;
	}
	if (!text && *i + 1 == argc)
		usage(command, "needs a value: --", word);
	if (!text)
		text = argv[++*i];
	json_object_set_new(into, args_text(arg, "name"), value_of(command, arg, text));
}

static void ask_for_missing(const json_t *command, json_t *given)
{
	json_t *arg;
	size_t i;

	json_array_foreach (json_object_get(command, "args"), i, arg) {
		const char *name = args_text(arg, "name");

		if (json_is_true(json_object_get(arg, "optional")) || json_object_get(given, name))
			continue;
		if (!is_type(arg, "secret"))
			usage(command, "missing: ", name);
		json_object_set_new(given, name, secret_from_terminal(command, name));
	}
}

json_t *args_read(const json_t *command, int argc, char **argv, bool *json)
{
	json_t *given = json_object();
	bool only_words = false;
	size_t at = 0;

	for (int i = 0; i < argc; i++) {
		const json_t *arg;

		if (!only_words && !strcmp(argv[i], "--")) {
			only_words = true;
		} else if (!only_words && !strcmp(argv[i], "--json")) {
			*json = true;
		} else if (!only_words && !strncmp(argv[i], "--", 2)) {
			read_option(command, argv, argc, &i, given);
		} else {
			arg = args_positional(command, &at);
			if (!arg)
				usage(command, "one argument too many: ", argv[i]);
			json_object_set_new(
				given, args_text(arg, "name"), value_of(command, arg, argv[i]));
		}
	}
	ask_for_missing(command, given);
	return given;
}
