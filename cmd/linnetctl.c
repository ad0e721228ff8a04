/* cmd/linnetctl.c - the console of a running server. It knows no command of its own: the server
 * describes them (`help`), and that description parses, explains and completes them. */
#include "cmd/linnetctl.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/linnetctl_options.h"
#include "core/mem.h"
#include "core/server_conf.h"

void die(enum exit_code code, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("linnetctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(code); /* whatever callers hold goes with the process */
}

static void print_usage(void)
{
	puts("usage: linnetctl [OPTIONS] COMMAND [ARGUMENTS]\n"
	     "Asks a running Linnet server. `linnetctl help` lists the commands it knows.\n");
	cli_help(ctl_options, stdout);
	cli_wrap(CTL_WHICH_SOCKET, 0, 0, stdout);
	puts("Exit status: 0 done, 1 the command failed, 2 wrong usage, 3 no server answered.");
}

/* What the settings file says; only that counts here, linnetd --check is for the rest of it. */
static char *socket_of_settings(const char *file)
{
	struct conf_errors *errors = conf_errors_new();
	struct conf_file *f = conf_file_load(file, errors);
	struct server_conf conf = { 0 };
	struct arena arena;
	char *path;

	if (!f)
		die(EXIT_USAGE, "%s", conf_errors_text(errors));
	arena_init(&arena, NULL, 0);
	conf_fill(server_conf_items, conf_root(f), &conf, &arena, errors);
	path = xstrdup(conf.control_socket);
	arena_fini(&arena);
	conf_file_free(f);
	conf_errors_free(errors);
	return path;
}

char *socket_path(const char *const *values)
{
	if (!!values[CTL_DATA] + !!values[CTL_SOCKET] + !!values[CTL_CONFIG] > 1)
		die(EXIT_USAGE, "one of --data, --socket and --config is enough");
	if (values[CTL_SOCKET])
		return xstrdup(values[CTL_SOCKET]);
	if (values[CTL_CONFIG])
		return socket_of_settings(values[CTL_CONFIG]);
	if (values[CTL_DATA])
		return xprintf("%s/control.sock", values[CTL_DATA]);
	return xstrdup(access(CTL_DEFAULT_DATA, F_OK) ? CTL_SYSTEM_SOCKET
						      : CTL_DEFAULT_DATA "/control.sock");
}

const json_t *find_command(const json_t *commands, const char *name)
{
	const json_t *command;
	size_t i;

	json_array_foreach (commands, i, command)
		if (!strcmp(args_text(command, "name"), name))
			return command;
	return NULL;
}

static const json_t *need_command(const json_t *commands, const char *name)
{
	const json_t *command = find_command(commands, name);
	struct conf_guess guess = { .given = name };
	size_t i;

	if (command)
		return command;
	json_array_foreach (commands, i, command)
		conf_guess(&guess, args_text(command, "name"));
	if (guess.best)
		die(EXIT_USAGE, "there is no command '%s', did you mean '%s'?", name, guess.best);
	die(EXIT_USAGE, "there is no command '%s'; linnetctl help lists them", name);
}

static void run(int fd, int argc, char **argv, bool json)
{
	json_t *commands = control_ask(fd, "help", NULL), *args, *result;
	const json_t *command = need_command(commands, argv[0]);
	bool help = !strcmp(argv[0], "help");

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		json_decref(commands);
		return run(fd, 2, (char *[]){ "help", argv[0] }, json);
	}
	args = args_read(command, argc - 1, argv + 1, &json);
	if (help && json_object_size(args))
		need_command(commands, json_string_value(json_object_get(args, "command")));
	result = control_ask(fd, argv[0], json_incref(args));
	if (json)
		print_json(result);
	else if (help)
		print_help(result, json_string_value(json_object_get(args, "command")));
	else
		print_result(result, json_object_get(command, "columns"));
	json_decref(args);
	json_decref(result);
	json_decref(commands);
}

int main(int argc, char **argv)
{
	const char *values[CTL_OPTIONS];
	int first = cli_parse(ctl_options, argc, argv, values), fd;
	char *path;

	setlocale(LC_CTYPE, "");
	if (first < 0)
		return EXIT_USAGE;
	if (values[CTL_COMPLETE])
		return complete(argc - first + 1, argv + first - 1), EXIT_DONE;
	if (values[CTL_HELP])
		return print_usage(), EXIT_DONE;
	if (values[CTL_VERSION])
		return puts("linnetctl " LINNET_VERSION), EXIT_DONE;
	if (first == argc) {
		print_usage();
		return EXIT_USAGE;
	}
	path = socket_path(values);
	fd = control_connect(path);
	run(fd, argc - first, argv + first, values[CTL_JSON]);
	close(fd);
	free(path);
	return fflush(stdout) || ferror(stdout) ? EXIT_FAILED : EXIT_DONE;
}
