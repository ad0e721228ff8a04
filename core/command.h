/* core/command.h - what an operator can ask of a running server: one table of commands, used by
 * linnetctl's socket, its help, completion and man page, and later by HTTP and ad-hoc commands.
 * Answers are JSON; linnetctl makes tables of them. */
#pragma once

#include <jansson.h>

#include "core/attr.h"

enum command_arg_type {
	ARG_STRING,
	ARG_SECRET,
	ARG_INT,
	ARG_JID,
	ARG_HOST,
	ARG_COMMAND, /* the name of one */
	ARG_FILE, /* a path on the server's machine; linnetctl makes it absolute */
	ARG_FLAG,
};
struct command_arg {
	const char *name; /* "user"; ARG_FLAG: "--dry-run" is named "dry-run" */
	enum command_arg_type type;
	bool optional;
	bool option; /* given as --name VALUE, never by position; ARG_FLAG always is */
	const char *help;
	const char *const *words; /* to choose from, for completion; NULL: any value */
};
struct command_answer {
	json_t *result; /* owned; an object, or an array of like objects (a table); NULL: nothing */
	char *error; /* owned; set when the command failed: the cause, as a sentence */
};
/* Runs on the control thread, which may block and is registered with RCU; job-only functions may be
 * called. args: an object with the given arguments, types checked already. */
typedef void command_fn(const json_t *args, struct command_answer *answer);
struct command {
	const char *name; /* "register" */
	const char *group; /* "accounts", for help */
	const char *help;
	const struct command_arg *args; /* in order; ends with a NULL name; NULL: none */
	command_fn *run;
	const char *const *columns; /* of a table, in order; NULL: as they come */
	bool always; /* also while command_hold() holds the others back */
};
/* Any thread that may block, except from inside command_each(). c outlives its registration; a
 * second command of the same name is our own mistake. */
void command_add(const struct command *c);
/* After it returns no call is running, except the one that removes itself. Unknown is fine. */
void command_remove(const struct command *c);
const struct command *command_find(const char *name); /* NULL: no such command */
/* Commands wait from its return on until command_release(): what they use starts or stops. Waits
 * for those that run. Counted; any thread that may block, but not from inside a command that is not
 * one of those that always run. */
void command_hold(void);
void command_release(void);
void command_each(
	void (*fn)(const struct command *c, void *arg), void *arg); /* by group and name */
const char *command_arg_type_name(enum command_arg_type type); /* "string", as in help --json */

/* Inside a command: the arguments, and why it failed (the first reason stays). */
const char *command_text(const json_t *args, const char *name); /* NULL when absent */
int64_t command_int(const json_t *args, const char *name, int64_t absent);
bool command_flag(const json_t *args, const char *name); /* false when absent */
PRINTF_LIKE(2, 3) void command_fail(struct command_answer *a, const char *format, ...);

/* One request, {"command": name, "args": {...}}, checked against the table and run. Returns what
 * goes back, owned by the caller: {"result": ...}, or {"error": text} with "usage": true when the
 * request itself was wrong. Secrets in line are overwritten. On a thread a command may run on. */
json_t *command_request(char *line, size_t len);

/* The control socket: one JSON request a line, one JSON answer a line, in order. Its own thread;
 * several clients at once, none of which waits for another's reading. Only root, the server's own
 * user and whom the file's mode names may speak. `help` is the command that lists the others.
 * mode: of the socket's file, as 0600. 0 or negative errno; -EADDRINUSE: a server answers there. */
#define COMMAND_LINE_MAX (1 << 20) /* bytes of one request */
#define COMMAND_CLIENTS_MAX 32 /* more wait in the kernel's backlog */
int command_listen(const char *socket_path, unsigned mode);
/* The same beside a server that answers there: at another name, until command_publish() gives the
 * socket the right one, and who connects from then on is ours. */
int command_listen_beside(const char *socket_path, unsigned mode);
int command_publish(void); /* 0 or negative errno */
/* Lets the running command end and its answer leave, then ends the thread and removes the file,
 * unless another server has put its own there. */
void command_close(void);
