/* core/conf_manual.c - the reference and the commented settings file, from the rows that parse
 * them. */
#include <string.h>

#include "core/cli.h"
#include "core/conf_value.h"

/* A default as it would be written in a file; NULL: none. */
static const char *preset_text(const struct conf_item *row, struct arena *a)
{
	struct conf_prefix field; /* the largest of the scalar ones */

	_Static_assert(sizeof(field) >= sizeof(int64_t) && sizeof(field) >= sizeof(void *), "");
	if (!row->preset || !conf_is_scalar(row))
		return row->preset;
	REQUIRE(conf_read_scalar(row, row->preset, NULL, &field, a));
	return conf_value_text(row, &field, a);
}

/* Of a list: what one of it is. */
static const struct conf_item *one_of_list(const struct conf_item *row)
{
	return (row->type == CONF_LIST || row->type == CONF_MAP) && !row->rows ? row->item : NULL;
}

static const char *kind_text(const struct conf_item *row, struct arena *a)
{
	const struct conf_item *one = one_of_list(row);

	if (row->type == CONF_RAW)
		return row->unit ? row->unit : "a map";
	if (row->type == CONF_LIST && row->rows)
		return "a list of maps with the options below";
	if (row->type == CONF_MAP && row->rows)
		return "a map of names, each with the options below";
	if (row->type == CONF_GROUP)
		return row->short_for
			? arena_printf(a, "a map of the options below, or one value for %s",
				  row->short_for)
			: "a map of the options below";
	if (row->type == CONF_MAP)
		return arena_printf(a, "a map of names, each with %s", conf_expected(one, a));
	if (one)
		return arena_printf(a, "a list, each %s", conf_expected(one, a));
	return conf_expected(row, a);
}

/* What holds for all options of a table, because the one around them says so. */
struct inherited {
	bool per_host;
	enum conf_applies applies;
};

static struct inherited inherit(struct inherited from, const struct conf_item *row)
{
	return (struct inherited){ from.per_host || row->per_host,
		from.applies > row->applies ? from.applies : row->applies };
}

/* "a whole number from 0 to 65535; default 5222; also under host_config" */
static const char *facts_text(const struct conf_item *row, struct inherited holds, struct arena *a,
	enum conf_format format)
{
	const char *text = kind_text(row, a), *preset = preset_text(row, a);
	const char *quote = format == CONF_MARKDOWN ? "`" : "";
	static const char *const when[] = { [CONF_AT_RELOAD] = "applied by a reload",
		[CONF_AT_MODULE_START] = "applied by a reload, which starts the module anew",
		[CONF_AT_RESTART] = "applied at the next start of the server" };

	if (row->unit && row->type != CONF_RAW)
		text = arena_printf(a, "%s (%s)", text, row->unit);
	if (preset)
		text = arena_printf(a, "%s; default %s%s%s", text, quote, preset, quote);
	if (row->required)
		text = arena_printf(a, "%s; required", text);
	if (holds.per_host)
		text = arena_printf(a, "%s; also under host_config", text);
	if (row->rows && holds.applies == CONF_AT_RELOAD)
		return text; /* those inside say it, each for itself */
	return arena_printf(a, "%s; %s", text, when[holds.applies]);
}

static const char *nested_prefix(const struct conf_item *row, const char *prefix, struct arena *a)
{
	const char *suffix = row->type == CONF_LIST ? "[]."
		: row->type == CONF_MAP             ? ".NAME."
						    : ".";

	return arena_printf(a, "%s%s%s", prefix, row->name, suffix);
}

static void print_example(const char *example, FILE *out, enum conf_format format)
{
	fputs(format == CONF_MARKDOWN ? "\n```yaml\n" : ".RS\n.nf\n", out);
	if (format == CONF_MARKDOWN)
		fputs(example, out);
	else
		cli_roff(example, out);
	fputs(format == CONF_MARKDOWN ? "\n```\n" : "\n.fi\n.RE\n", out);
}

static void print_row(const struct conf_item *row, const char *prefix, struct inherited holds,
	FILE *out, enum conf_format format, struct arena *a)
{
	const char *name = arena_printf(a, "%s%s", prefix, row->name);
	const char *facts = facts_text(row, holds, a, format), *help = row->help ? row->help : "";

	if (format == CONF_MARKDOWN) {
		fprintf(out, "\n#### `%s`\n%s\n\nValue: %s.\n", name, help, facts);
	} else {
		fputs(".TP\n\\fB", out);
		cli_roff(name, out);
		fputs("\\fR\n", out);
		cli_roff(help, out);
		fputs("\n(", out);
		cli_roff(facts, out);
		fputs(".)\n", out);
	}
	if (row->example && strchr(row->example, '\n'))
		print_example(row->example, out, format);
}

static void print_rows(const struct conf_item *rows, const char *prefix, struct inherited around,
	FILE *out, enum conf_format format, struct arena *a)
{
	for (; rows && rows->type; rows++) {
		struct inherited holds = inherit(around, rows);

		print_row(rows, prefix, holds, out, format, a);
		if (rows->rows)
			print_rows(
				rows->rows, nested_prefix(rows, prefix, a), holds, out, format, a);
	}
}

void conf_reference(
	const struct conf_item *rows, const char *prefix, FILE *out, enum conf_format format)
{
	struct arena a;

	arena_init(&a, NULL, 0);
	print_rows(rows, prefix, (struct inherited){ 0 }, out, format, &a);
	arena_fini(&a);
}

/* ---- The commented file. Prose follows "# ", what would be a setting follows "#". */

#define LINE_COLUMNS 100

static void print_prose(const char *text, unsigned indent, FILE *out)
{
	unsigned column = 0; /* 0: no line begun */

	while (*text) {
		size_t word = strcspn(text, " ");

		if (!column || column + 1 + word > LINE_COLUMNS) {
			fprintf(out, "%s#%*s", column ? "\n" : "", (int)indent, "");
			column = indent + 1;
		}
		fprintf(out, " %.*s", (int)word, text);
		column += (unsigned)word + 1;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void print_commented(const char *text, unsigned indent, FILE *out)
{
	for (;;) {
		size_t line = strcspn(text, "\n");

		fprintf(out, "#%*s%.*s\n", (int)indent, "", (int)line, text);
		if (!text[line])
			return;
		text += line + 1;
	}
}

/* What an option without a default is when nobody sets it. */
static const char *unset_text(const struct conf_item *row, struct arena *a)
{
	static const struct conf_prefix nothing;

	if (conf_is_scalar(row))
		return conf_value_text(row, &nothing, a);
	if (row->type == CONF_RAW)
		return "null";
	return row->type == CONF_LIST || row->type == CONF_WORDS ? "[]" : "{}";
}

static void print_commented_rows(const struct conf_item *rows, unsigned indent,
	struct inherited around, FILE *out, struct arena *a);

static void print_option(const struct conf_item *row, unsigned indent, struct inherited holds,
	FILE *out, struct arena *a)
{
	const char *value = row->example ? row->example : preset_text(row, a);

	if (!value)
		value = unset_text(row, a);
	if (row->rows && !row->example) {
		fprintf(out, "#%*s%s:\n", (int)indent, "", row->name);
		if (row->type == CONF_LIST)
			fprintf(out, "#%*s-\n", (int)indent + 2, "");
		else if (row->type == CONF_MAP)
			fprintf(out, "#%*sNAME:\n", (int)indent + 2, "");
		print_commented_rows(
			row->rows, indent + (row->type == CONF_GROUP ? 2 : 4), holds, out, a);
	} else if (strchr(value, '\n')) {
		fprintf(out, "#%*s%s:\n", (int)indent, "", row->name);
		print_commented(value, indent + 2, out);
	} else {
		fprintf(out, "#%*s%s: %s\n", (int)indent, "", row->name, value);
	}
}

static void print_commented_rows(const struct conf_item *rows, unsigned indent,
	struct inherited around, FILE *out, struct arena *a)
{
	for (; rows && rows->type; rows++) {
		struct inherited holds = inherit(around, rows);

		if (rows->no_example)
			continue;
		if (rows->help)
			print_prose(rows->help, indent, out);
		print_prose(arena_printf(a, "(%s.)", facts_text(rows, holds, a, CONF_ROFF)), indent,
			out);
		print_option(rows, indent, holds, out, a);
	}
}

void conf_example(const struct conf_item *rows, unsigned indent, FILE *out)
{
	struct arena a;

	arena_init(&a, NULL, 0);
	print_commented_rows(rows, indent, (struct inherited){ 0 }, out, &a);
	arena_fini(&a);
}
