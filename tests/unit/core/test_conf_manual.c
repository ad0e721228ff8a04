/* What the tables say to people: the reference, and the commented settings file, which is a
 * settings file once its comment signs are gone. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/support/conf_rows.h"

static char *printed(const struct conf_item *rows, void (*print)(const struct conf_item *, FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	print(rows, out);
	fclose(out);
	return text;
}

static const struct conf_item manual_rows[] = {
	{ "size", CONF_SIZE, 0, .preset = "64 KB", .min = 1, .max = 1 << 20, .unit = "bytes",
		.help = "How much -- at most.", .per_host = true },
	{ "inner", CONF_GROUP, 8, .rows = inner_rows, .help = "Inside.",
		.applies = CONF_AT_RESTART },
	{ "rules", CONF_RAW, 0, .example = "a: 1\nb: 2", .help = ".TH is no request." },
	{ 0 },
};

static void print_markdown(const struct conf_item *rows, FILE *out)
{
	conf_reference(rows, "mod.", out, CONF_MARKDOWN);
}

static void print_roff(const struct conf_item *rows, FILE *out)
{
	conf_reference(rows, "", out, CONF_ROFF);
}

static void print_example(const struct conf_item *rows, FILE *out)
{
	conf_example(rows, 2, out);
}

Test(conf_manual, reference)
{
	AUTO(free_ptr) char *markdown = printed(manual_rows, print_markdown);
	AUTO(free_ptr) char *roff = printed(manual_rows, print_roff);
	AUTO(free_ptr) char *example = printed(manual_rows, print_example);

	cr_expect_str_eq(markdown,
		"\n#### `mod.size`\nHow much -- at most.\n\n"
		"Value: a size from 1 to 1 MB, such as 65536, 64 KB or 1 MB (bytes); default "
		"`64 KB`; also under host_config; applied by a reload.\n"
		"\n#### `mod.inner`\nInside.\n\n"
		"Value: a map of the options below; applied at the next start of the server.\n"
		"\n#### `mod.inner.name`\n\n\nValue: text; default `nobody`; applied at "
		"the next start of the server.\n"
		"\n#### `mod.inner.n`\n\n\nValue: a whole number from 0 to 9; default `1`; "
		"applied at the next start of the server.\n"
		"\n#### `mod.inner.words`\n\n\n"
		"Value: a list, each text; applied at the next start of the server.\n"
		"\n#### `mod.rules`\n.TH is no request.\n\nValue: a map; applied by a reload.\n"
		"\n```yaml\na: 1\nb: 2\n```\n",
		"%s", markdown);
	cr_expect(strstr(roff, ".TP\n\\fBsize\\fR\nHow much \\-\\- at most.\n"));
	cr_expect(strstr(roff, "\n\\&.TH is no request.\n"));
	cr_expect_str_eq(example,
		"#   How much -- at most.\n"
		"#   (a size from 1 to 1 MB, such as 65536, 64 KB or 1 MB (bytes); default 64 KB; "
		"also under\n#   host_config; applied by a reload.)\n"
		"#  size: 64 KB\n"
		"#   Inside.\n"
		"#   (a map of the options below; applied at the next start of the server.)\n"
		"#  inner:\n"
		"#     (text; default nobody; applied at the next start of the server.)\n"
		"#    name: nobody\n"
		"#     (a whole number from 0 to 9; default 1; applied at the next start of the "
		"server.)\n"
		"#    n: 1\n"
		"#     (a list, each text; applied at the next start of the server.)\n"
		"#    words: []\n"
		"#   .TH is no request.\n"
		"#   (a map; applied by a reload.)\n"
		"#  rules:\n"
		"#    a: 1\n"
		"#    b: 2\n",
		"%s", example);
}

/* The commented file without the comment signs before its settings; prose stays behind "# ". The
 * caller frees. */
static char *uncommented(const struct conf_item *rows)
{
	char *text = NULL, *in, *out;
	size_t len;
	FILE *file = open_memstream(&text, &len);

	conf_example(rows, 0, file);
	fclose(file);
	for (in = out = text; *in;) {
		char *end = strchr(in, '\n') + 1;

		cr_expect_eq(*in, '#', "everything is commented out: %.*s", (int)(end - in), in);
		if (in[1] != ' ' || in[2] == ' ') /* else prose */
			in++;
		memmove(out, in, (size_t)(end - in));
		out += end - in;
		in = end;
	}
	*out = 0;
	return text;
}

/* What the commented file shows is what holds when nobody says anything. */
Test(conf_manual, the_commented_file_says_the_defaults)
{
	AUTO(free_ptr) char *text = uncommented(one_rows);
	struct filled presets, shown;

	filled(&presets, one_rows, "");
	filled(&shown, one_rows, text);
	cr_expect(conf_same(one_rows, &presets.out, &shown.out), "%s", text);
	filled_free(&presets);
	filled_free(&shown);
}

static const struct conf_item nested_rows[] = {
	{ "list", CONF_LIST, 0, .rows = inner_rows, .item_size = sizeof(struct inner) },
	{ "map", CONF_MAP, sizeof(struct conf_list), .rows = named_rows,
		.item_size = sizeof(struct inner), .help = "Names." },
	{ "numbers", CONF_MAP, 2 * sizeof(struct conf_list), .item = number_item,
		.item_size = sizeof(struct numbered) },
	{ 0 },
};

Test(conf_manual, lists_and_maps_show_one_of_theirs)
{
	AUTO(free_ptr) char *text = printed(nested_rows, print_example);
	AUTO(free_ptr) char *markdown = printed(nested_rows, print_markdown);

	cr_expect(strstr(text, "#  list:\n#    -\n"), "%s", text);
	cr_expect(strstr(text, "#      n: 1\n"), "%s", text);
	cr_expect(strstr(text, "#  map:\n#    NAME:\n"), "%s", text);
	cr_expect(strstr(text, "#  numbers: {}\n"), "%s", text);
	cr_expect(strstr(markdown, "\n#### `mod.list[].n`\n"), "%s", markdown);
	cr_expect(strstr(markdown, "\n#### `mod.map.NAME.n`\n"), "%s", markdown);
	cr_expect(strstr(markdown, "; required; applied by a reload.\n"), "%s", markdown);
	cr_expect(strstr(markdown, "Value: a map of names, each with a whole number"), "%s",
		markdown);
}

/* A terminal is narrow: prose is broken at words. */
Test(conf_manual, prose_is_broken_into_lines)
{
	static const struct conf_item long_rows[] = {
		{ "x", CONF_BOOL, 0,
			.help = "one two three four five six seven eight nine ten eleven twelve "
				"thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
				"twenty" },
		{ 0 },
	};
	AUTO(free_ptr) char *text = printed(long_rows, print_example);
	const char *line = text;

	while (*line) {
		size_t len = strcspn(line, "\n");

		cr_expect_leq(len, 100, "%.*s", (int)len, line);
		line += len + 1;
	}
	cr_expect(strstr(text, "seventeen"), "no word is lost");
	cr_expect(strstr(text, "twenty\n"));
}
