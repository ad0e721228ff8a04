/* cmd/linnetctl_print.c - answers for a person: aligned columns, `key: value`, plain text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "cmd/linnetctl.h"
#include "core/cli.h"
#include "core/mem.h"

#define HELP_COLUMN 34

void print_json(const json_t *result)
{
	if (result)
		json_dumpf(result, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	else
		fputs("null", stdout);
	fputc('\n', stdout);
}

/* ---- One value ---- */

/* A peer may have chosen the text: nothing in it may steer the terminal. */
static void put_printable(const char *text, FILE *out)
{
	mbstate_t state = { 0 };

	while (*text) {
		wchar_t wide;
		size_t n = mbrtowc(&wide, text, strlen(text), &state);

		if (n == (size_t)-1 || n == (size_t)-2) {
			fprintf(out, "\\x%02x", (unsigned char)*text++);
			memset(&state, 0, sizeof(state));
			continue;
		}
		if (iswprint((wint_t)wide))
			fwrite(text, 1, n, out);
		else
			fprintf(out, "\\u%04x", (unsigned)wide);
		text += n;
	}
}

static void put_value(const json_t *value, FILE *out)
{
	const json_t *item;
	size_t i;

	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		put_printable(json_string_value(value), out);
		break;
	case JSON_NULL:
		fputc('-', out);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		fputs(json_is_true(value) ? "yes" : "no", out);
		break;
	case JSON_ARRAY:
		json_array_foreach (value, i, item) {
			fputs(i ? ", " : "", out);
			put_value(item, out);
		}
		if (!json_array_size(value))
			fputc('-', out);
		break;
	default:
		json_dumpf(value, out, JSON_ENCODE_ANY | JSON_COMPACT);
	}
}

static char *value_text(const json_t *value)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	put_value(value, out);
	fclose(out);
	return text;
}

/* Columns of the terminal that it takes. */
static int width_of(const char *text)
{
	mbstate_t state = { 0 };
	int width = 0;

	while (*text) {
		wchar_t wide;
		size_t n = mbrtowc(&wide, text, strlen(text), &state);

		if (n == (size_t)-1 || n == (size_t)-2)
			return width + (int)strlen(text);
		width += wcwidth(wide) > 0 ? wcwidth(wide) : 0;
		text += n;
	}
	return width;
}

/* ---- Tables and objects ---- */

static json_t *columns_of(const json_t *rows, const json_t *columns)
{
	json_t *names;
	const char *key;
	json_t *value;

	if (columns)
		return json_deep_copy(columns);
	names = json_array();
	json_object_foreach (json_array_get(rows, 0), key, value)
		json_array_append_new(names, json_string(key));
	return names;
}

static void put_cell(const char *text, int width, bool last)
{
	printf("%s%*s", text, last ? 0 : width - width_of(text) + 2, "");
	if (last)
		putchar('\n');
}

static void print_table(const json_t *rows, const json_t *given_columns)
{
	json_t *names = columns_of(rows, given_columns), *row, *name;
	size_t n = json_array_size(names), n_rows = json_array_size(rows), r, c;
	char **cells = xcalloc(n * (n_rows + 1), sizeof(*cells));
	int *widths = xcalloc(n, sizeof(*widths));

	json_array_foreach (names, c, name)
		cells[c] = xstrdup(json_string_value(name));
	json_array_foreach (rows, r, row)
		json_array_foreach (names, c, name)
			cells[(r + 1) * n + c] =
				value_text(json_object_get(row, json_string_value(name)));
	for (size_t i = 0; i < n * (n_rows + 1); i++)
		if (width_of(cells[i]) > widths[i % n])
			widths[i % n] = width_of(cells[i]);
	for (size_t i = 0; n_rows && i < n * (n_rows + 1); i++)
		put_cell(cells[i], widths[i % n], i % n == n - 1);
	for (size_t i = 0; i < n * (n_rows + 1); i++)
		free(cells[i]);
	free(cells);
	free(widths);
	json_decref(names);
}

/* The unit that the end of a name says, in front of where it begins. */
static size_t unit_at(const char *key, const char *unit)
{
	size_t len = strlen(key), n = strlen(unit);

	return len > n && !strcmp(key + len - n, unit) ? len - n : 0;
}

static void put_seconds(long long s, FILE *out)
{
	if (s >= 86400)
		fprintf(out, "%lld d %lld h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		fprintf(out, "%lld h %lld min", s / 3600, s / 60 % 60);
	else if (s >= 60)
		fprintf(out, "%lld min %lld s", s / 60, s % 60);
	else
		fprintf(out, "%lld s", s);
}

/* "memory bytes: 14835712" as "memory: 14.1 MiB". */
static void print_member(const char *key, const json_t *value, int widest)
{
	size_t seconds = json_is_integer(value) ? unit_at(key, "_s") : 0;
	size_t bytes = json_is_integer(value) ? unit_at(key, "_bytes") : 0;
	int len = (int)(seconds ? seconds : bytes ? bytes : strlen(key));

	for (int i = 0; i < len; i++)
		putchar(key[i] == '_' ? ' ' : key[i]);
	printf(":%*s", widest - len + 1, "");
	if (seconds)
		put_seconds(json_integer_value(value), stdout);
	else if (bytes)
		printf("%.1f MiB", (double)json_integer_value(value) / (1 << 20));
	else
		put_value(value, stdout);
	putchar('\n');
}

static void print_object(const json_t *object)
{
	const char *key;
	json_t *value;
	int widest = 0;

	json_object_foreach ((json_t *)object, key, value)
		widest = (int)strlen(key) > widest ? (int)strlen(key) : widest;
	json_object_foreach ((json_t *)object, key, value)
		print_member(key, value, widest);
}

static bool is_table(const json_t *result)
{
	return json_is_array(result) &&
		(!json_array_size(result) || json_is_object(json_array_get(result, 0)));
}

/* A table of one column whose heading nobody needs. */
static void print_lines(const json_t *rows, const json_t *column)
{
	const json_t *row;
	size_t i;

	json_array_foreach (rows, i, row) {
		put_value(json_object_get(row, json_string_value(column)), stdout);
		putchar('\n');
	}
}

void print_result(const json_t *result, const json_t *columns)
{
	const json_t *item;
	size_t i;

	if (is_table(result) && json_array_size(columns) == 1) {
		print_lines(result, json_array_get(columns, 0));
	} else if (is_table(result)) {
		print_table(result, columns);
		if (!json_array_size(result) && isatty(STDOUT_FILENO))
			puts("none"); /* a program reads no lines */
	} else if (json_is_object(result)) {
		print_object(result);
	} else if (json_is_string(result)) {
		fputs(json_string_value(result), stdout);
	} else if (json_is_array(result)) {
		json_array_foreach (result, i, item) {
			put_value(item, stdout);
			putchar('\n');
		}
	}
}

/* ---- Help ---- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void explain(const json_t *command)
{
	char *usage = args_usage(command);
	const json_t *arg;
	size_t i;

	printf("usage: linnetctl %s\n", usage);
	free(usage);
	cli_wrap(text_of(command, "help"), 0, 0 + 2, stdout);
	json_array_foreach (json_object_get(command, "args"), i, arg) {
		int at =
			printf("    %s%s", json_is_true(json_object_get(arg, "option")) ? "--" : "",
				text_of(arg, "name"));

		cli_wrap(text_of(arg, "help"), at, 20, stdout);
	}
}

void print_help(const json_t *commands, const char *only)
{
	const char *group = "";
	const json_t *command;
	size_t i;

	json_array_foreach (commands, i, command) {
		char *usage;

		if (only) {
			explain(command);
			continue;
		}
		if (strcmp(group, text_of(command, "group")))
			printf("%s%s:\n", *group ? "\n" : "", text_of(command, "group"));
		group = text_of(command, "group");
		usage = args_usage(command);
		cli_wrap(text_of(command, "help"), printf("  %s", usage), HELP_COLUMN, stdout);
		free(usage);
	}
}
