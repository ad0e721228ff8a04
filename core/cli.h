/* core/cli.h - a program's command line from one table, which also makes its --help and the options
 * of its man page. One thread, before anything else runs. */
#pragma once

#include <stdio.h>

#include "core/attr.h"

#define CLI_OPTIONS_MAX 32
struct cli_option { /* a table ends with a NULL name */
	const char *name; /* "config": given as --config FILE or --config=FILE */
	const char *value; /* "FILE"; NULL: the option takes none */
	const char *help; /* a sentence or two */
};

/* Reads the options before the first argument that is none. values: one for each row, NULL when
 * absent, "" for an option without a value; the last one given counts. Returns the index in argv of
 * the first argument that is not an option, or -1 after saying on stderr what is wrong. */
int cli_parse(const struct cli_option *rows, int argc, char *const argv[], const char **values);
/* The rows, aligned and wrapped, for --help. */
void cli_help(const struct cli_option *rows, FILE *out);
/* The rows as the body of a man page's OPTIONS section. */
void cli_man(const struct cli_option *rows, FILE *out);
/* Text with what roff would take for its own escaped, in lines that are not too long. */
void cli_roff(const char *text, FILE *out);
/* Text from column `indent` on, wrapped at 80 columns; the cursor stands at `at`. Ends the line. */
void cli_wrap(const char *text, int at, int indent, FILE *out);
