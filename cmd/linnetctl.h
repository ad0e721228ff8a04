/* cmd/linnetctl.h - the console's three steps: arguments to a request, the server's answer to it,
 * and the answer to something a person reads. One thread. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

enum exit_code { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_NO_SERVER };
/* Says "linnetctl: ..." on stderr and ends the program. */
void die(enum exit_code code, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

/* linnetctl_socket.c */
/* A connection to the server's control socket, or the end of the program with the reason. */
int control_connect(const char *path);
/* One request and its answer, owned by the caller; takes args (NULL: none). An answer with an error
 * ends the program. */
json_t *control_ask(int fd, const char *command, json_t *args);

/* linnetctl_args.c; command: as `help` describes it. */
/* The request's arguments from argv; asks for secrets on the terminal. "--json" sets *json. Ends
 * the program when they do not fit. */
json_t *args_read(const json_t *command, int argc, char **argv, bool *json);
/* "register USER HOST [PASSWORD]"; the caller frees. */
char *args_usage(const json_t *command);

const char *args_text(const json_t *object, const char *key); /* "" when there is none */
/* The argument that --NAME or --NAME=VALUE means; NULL: none. */
const json_t *args_option(const json_t *command, const char *word);
/* The next one given by position; *at begins with 0. NULL: there is none. */
const json_t *args_positional(const json_t *command, size_t *at);

/* linnetctl_complete.c */
/* Prints what may stand in place of the last word, one a line: of the options before a command, the
 * commands, or the arguments of one. A line of ":file" alone: the name of a file. argv as main's,
 * but for the last one unfinished, maybe empty. Never asks for anything. */
void complete(int argc, char **argv);

/* linnetctl.c */
/* Where the server is, by the options before the command; the caller frees. */
char *socket_path(const char *const *values);
/* The one of `help`'s list; NULL: there is none. */
const json_t *find_command(const json_t *commands, const char *name);

/* linnetctl_print.c */
/* The result for a person: a table, `key: value` lines, or the text itself. columns may be NULL. */
void print_result(const json_t *result, const json_t *columns);
void print_json(const json_t *result);
/* All commands by group, or what `only` does and takes. */
void print_help(const json_t *commands, const char *only);
