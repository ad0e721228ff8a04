/* core/cli.c - getopt_long() and the manual from the same rows. */
#include "core/cli.h"

#include <getopt.h>
#include <string.h>

#define LINE_COLUMNS 80
#define ROFF_COLUMNS 72 /* escapes and what stands before come on top */
#define FIRST_VALUE 256 /* above every character getopt may return */

int cli_parse(const struct cli_option *rows, int argc, char *const argv[], const char **values)
{
	struct option known[CLI_OPTIONS_MAX + 1] = { { 0 } };
	int found;

	for (int i = 0; rows[i].name; i++) {
		REQUIRE(i < CLI_OPTIONS_MAX);
		known[i].name = rows[i].name;
		known[i].has_arg = rows[i].value ? required_argument : no_argument;
		known[i].val = FIRST_VALUE + i;
		values[i] = NULL;
	}
	optind = 1;
	while ((found = getopt_long(argc, argv, "+", known, NULL)) != -1) {
		if (found < FIRST_VALUE)
			return -1;
		values[found - FIRST_VALUE] = optarg ? optarg : "";
	}
	return optind;
}

void cli_wrap(const char *text, int at, int indent, FILE *out)
{
	if (at >= indent) {
		fputc('\n', out);
		at = 0;
	}
	fprintf(out, "%*s", indent - at, "");
	at = indent;
	while (*text) {
		int len = (int)strcspn(text, " ");

		if (at > indent && at + 1 + len > LINE_COLUMNS) {
			fprintf(out, "\n%*s", indent, "");
			at = indent;
		} else if (at > indent) {
			fputc(' ', out);
			at++;
		}
		fwrite(text, 1, (size_t)len, out);
		at += len;
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

void cli_help(const struct cli_option *rows, FILE *out)
{
	for (; rows->name; rows++) {
		int at = fprintf(out, "  --%s%s%s", rows->name, rows->value ? " " : "",
			rows->value ? rows->value : "");

		cli_wrap(rows->help, at, 24, out);
	}
}

/* One word: what is left of text up to a space or newline. At the start of a line a . or ' would be
 * a request. */
static size_t roff_word(const char *text, bool line_start, FILE *out)
{
	size_t len = strcspn(text, " \n");

	if (line_start && (*text == '.' || *text == '\''))
		fputs("\\&", out);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '-')
			fputs("\\-", out);
		else if (text[i] == '\\')
			fputs("\\e", out);
		else
			fputc(text[i], out);
	}
	return len;
}

void cli_roff(const char *text, FILE *out)
{
	size_t column = 0;

	while (*text) {
		size_t blank = strspn(text, " "), word = strcspn(text + blank, " \n");

		if (column && blank && column + blank + word > ROFF_COLUMNS) {
			fputc('\n', out);
			column = blank = 0;
			text += strspn(text, " ");
		}
		fprintf(out, "%*s", (int)blank, "");
		text += blank;
		text += roff_word(text, !column && !blank, out);
		column += blank + word;
		if (*text == '\n') {
			fputc(*text++, out);
			column = 0;
		}
	}
}

void cli_man(const struct cli_option *rows, FILE *out)
{
	for (; rows->name; rows++) {
		fputs(".TP\n\\fB\\-\\-", out);
		cli_roff(rows->name, out);
		fputs("\\fR", out);
		if (rows->value) {
			fputs(" \\fI", out);
			cli_roff(rows->value, out);
			fputs("\\fR", out);
		}
		fputc('\n', out);
		cli_roff(rows->help, out);
		fputc('\n', out);
	}
}
