/* cmd/linnetctl_complete.c - what the word under a shell's cursor could be: from the server's own
 * description of its commands, its hosts and who is connected. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/linnetctl.h"
#include "cmd/linnetctl_options.h"
#include "core/mem.h"

static void offer(const char *word, const char *begun)
{
	if (!strncmp(word, begun, strlen(begun)))
		puts(word);
}

/* One member of each row of a command's answer. */
static void offer_rows(int fd, const char *command, const char *key, const char *begun)
{
	json_t *rows = control_ask(fd, command, NULL), *row;
	size_t i;

	json_array_foreach (rows, i, row)
		offer(args_text(row, key), begun);
	json_decref(rows);
}

static void offer_values(int fd, const json_t *arg, const char *begun)
{
	const char *type = args_text(arg, "type");
	const json_t *word;
	size_t i;

	json_array_foreach (json_object_get(arg, "words"), i, word)
		offer(json_string_value(word), begun);
	if (!strcmp(type, "host"))
		offer_rows(fd, "hosts", "host", begun);
	else if (!strcmp(type, "jid"))
		offer_rows(fd, "connected", "jid", begun);
	else if (!strcmp(type, "command"))
		offer_rows(fd, "help", "name", begun);
	else if (!strcmp(type, "file"))
		puts(":file");
}

static void offer_options(const json_t *command, const char *begun)
{
	const json_t *arg;
	size_t i;

	json_array_foreach (json_object_get(command, "args"), i, arg) {
		AUTO(free_ptr) char *option = xprintf("--%s", args_text(arg, "name"));

		if (json_is_true(json_object_get(arg, "option")))
			offer(option, begun);
	}
	offer("--json", begun);
}

static bool takes_value(const json_t *arg)
{
	return arg && strcmp(args_text(arg, "type"), "flag");
}

/* The last of argv is the one to complete, those before it are whole. */
static void complete_argument(int fd, const json_t *command, int argc, char **argv)
{
	const char *begun = argv[argc - 1];
	const json_t *arg = NULL;
	bool only_words = false;
	size_t at = 0;

	for (int i = 0; i < argc - 1; i++) {
		bool option = !only_words && !strncmp(argv[i], "--", 2);

		arg = option ? args_option(command, argv[i]) : NULL;
		if (!option)
			args_positional(command, &at);
		else if (!argv[i][2])
			only_words = true;
		else if (takes_value(arg) && !strchr(argv[i], '=') && ++i == argc - 1)
			return offer_values(fd, arg, begun);
	}
	if (!only_words && *begun == '-')
		offer_options(command, begun);
	else if ((arg = args_positional(command, &at)))
		offer_values(fd, arg, begun);
}

/* An option of ours that stands before the command and wants a value; the last one of argv. */
static bool wants_value(int argc, char **argv)
{
	for (size_t i = 0; i < CTL_OPTIONS && argc > 1; i++)
		if (ctl_options[i].value && !strncmp(argv[argc - 1], "--", 2) &&
			!strcmp(argv[argc - 1] + 2, ctl_options[i].name))
			return true;
	return false;
}

static void complete_command(const char *const *values, int argc, char **argv)
{
	AUTO(free_ptr) char *path = socket_path(values);
	int fd = control_connect(path);
	json_t *commands = control_ask(fd, "help", NULL);
	const json_t *command = find_command(commands, argv[0]);

	if (argc == 1)
		offer_rows(fd, "help", "name", argv[0]);
	else if (command)
		complete_argument(fd, command, argc - 1, argv + 1);
	json_decref(commands);
	close(fd);
}

void complete(int argc, char **argv)
{
	const char *values[CTL_OPTIONS];
	int first;

	if (argc < 2)
		return;
	if (wants_value(argc - 1, argv)) {
		puts(":file");
		return;
	}
	first = cli_parse(ctl_options, argc - 1, argv, values);
	if (first < 0)
		return;
	if (first < argc - 1 || *argv[first] != '-') {
		complete_command(values, argc - first, argv + first);
		return;
	}
	for (size_t i = 0; i < CTL_OPTIONS; i++) {
		AUTO(free_ptr) char *option = xprintf("--%s", ctl_options[i].name);

		offer(option, argv[first]);
	}
}
