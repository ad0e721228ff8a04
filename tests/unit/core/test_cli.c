/* Command lines and their manual from one table. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli.h"
#include "core/mem.h"

static const struct cli_option rows[] = { { "config", "FILE", "A file." },
	{ "check", NULL, "Look only. .Not a roff request, though it has a \\ and a -." }, { 0 } };

static const struct {
	const char *about, *words[5];
	int next;
	const char *config, *check;
} lines[] = {
	{ "nothing", { "p" }, 1, NULL, NULL },
	{ "a value apart", { "p", "--config", "a" }, 3, "a", NULL },
	{ "a value with =", { "p", "--config=a", "--check" }, 3, "a", "" },
	{ "the last one counts", { "p", "--config=a", "--config", "b" }, 4, "b", NULL },
	{ "it ends at the first word", { "p", "--check", "word", "--config=a" }, 2, NULL, "" },
	{ "and at --", { "p", "--", "--check" }, 2, NULL, NULL },
	{ "an unknown one", { "p", "--nonsense" }, -1, NULL, NULL },
	{ "a missing value", { "p", "--config" }, -1, NULL, NULL },
	{ "a value for none", { "p", "--check=yes" }, -1, NULL, NULL },
};

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

Test(cli, parse, .init = cr_redirect_stderr)
{
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		const char *values[2];
		char *words[6] = { 0 };
		int n = 0, next;

		for (; n < 5 && lines[i].words[n]; n++)
			words[n] = (char *)lines[i].words[n];
		next = cli_parse(rows, n, words, values);
		cr_expect_eq(next, lines[i].next, "%s: %d", lines[i].about, next);
		if (next < 0)
			continue;
		cr_expect(same(values[0], lines[i].config), "%s", lines[i].about);
		cr_expect(same(values[1], lines[i].check), "%s", lines[i].about);
	}
}

static char *printed(void (*print)(const struct cli_option *rows, FILE *out))
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	print(rows, out);
	fclose(out);
	return text;
}

Test(cli, help_is_aligned)
{
	AUTO(free_ptr) char *text = printed(cli_help);

	cr_expect_str_eq(text,
		"  --config FILE         A file.\n"
		"  --check               Look only. .Not a roff request, though it has a \\ and a\n"
		"                        -.\n");
}

Test(cli, man_is_escaped)
{
	AUTO(free_ptr) char *text = printed(cli_man);

	cr_expect_str_eq(text,
		".TP\n\\fB\\-\\-config\\fR \\fIFILE\\fR\nA file.\n"
		".TP\n\\fB\\-\\-check\\fR\n"
		"Look only. .Not a roff request, though it has a \\e and a \\-.\n");
}

Test(cli, roff_lines_are_no_requests)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	cli_roff(".one\n'two\na.b", out);
	fclose(out);
	cr_expect_str_eq(text, "\\&.one\n\\&'two\na.b");
	free(text);
}
