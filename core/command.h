/* core/command.h - what an operator can ask of a running server: one table of commands, used by
 * linnetctl's socket, its help, completion and man page, and later by HTTP and ad-hoc commands.
 * Answers are JSON; linnetctl makes tables of them. */
#pragma once

#include <jansson.h>

#include "core/attr.h"

enum command_arg_type { ARG_STRING, ARG_SECRET, ARG_INT, ARG_JID, ARG_HOST, ARG_FLAG };
struct command_arg {
	const char *name;  /* "user"; ARG_FLAG: "--dry-run" is named "dry-run" */
	enum command_arg_type type;
	bool optional;
	const char *help;
};
struct command_answer {
	json_t *result;    /* owned; an object, or an array of like objects (a table); NULL: nothing */
	char *error;       /* owned; set when the command failed: the cause, as a sentence */
};
/* Runs on the control thread, which may block and is registered with RCU; job-only functions may be
 * called. args: an object with the given arguments, types checked already. */
typedef void command_fn(const json_t *args, struct command_answer *answer);
struct command {
	const char *name;                /* "register" */
	const char *group;               /* "accounts", for help */
	const char *help;
	const struct command_arg *args;  /* in order; ends with a NULL name */
	command_fn *run;                 /* NULL in linnetctl's own copy of the table */
	const char *const *columns;      /* of a table, in order; NULL: as they come */
};
void command_add(const struct command *c);   /* any thread; c outlives it */
void command_remove(const struct command *c); /* after it returns no call is running */
const struct command *command_find(const char *name);
void command_each(void (*fn)(const struct command *c, void *arg), void *arg); /* by group and name */
PRINTF_LIKE(2, 3) void command_fail(struct command_answer *a, const char *format, ...);

/* The control socket: JSON lines {"command": name, "args": {...}} answered by
 * {"result": ...} or {"error": text}. Its own thread; several clients at once. */
int command_listen(const char *socket_path, unsigned mode); /* 0 or negative errno */
void command_close(void);
