/* The settings file itself: what is YAML of ours, where everything stands, and how far it goes. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/support/conf_rows.h"

static const struct {
	const char *text, *want;
} bad_files[] = {
	{ "flag: yes\nnumber: 1\nflag: no",
		"etc/t.yml:3:1: \"flag\" is set twice, before this in line 1\n" },
	{ "\"flag\": yes\n'flag': no",
		"etc/t.yml:2:1: \"flag\" is set twice, before this in line 1\n" },
	{ "string: [a\nb: c",
		"etc/t.yml:3:1: not YAML: flow sequence without a closing bracket\n" },
	{ "string: \"a", "etc/t.yml:1:10: not YAML: double-quoted scalar without closing quote\n" },
	{ "string: @a", "etc/t.yml:1:9: not YAML: plain scalar cannot start with '@'\n" },
	{ "\tstring: a", "etc/t.yml:1:1: not YAML: invalid tab as indendation in a mapping\n" },
	{ "a:\n  b: 1\n c: 2", "etc/t.yml:3:2: not YAML: invalid indentation in mapping\n" },
	{ "string: &x a", "etc/t.yml:1:10: anchors (&name) are not used in settings\n" },
	{ "string: *x",
		"etc/t.yml:1:10: aliases (*name) are not used in settings; write the value "
		"out, in quotes if it begins with *\n" },
	{ "string: !!str a", "etc/t.yml:1:9: tags (!name) are not used in settings\n" },
	{ "flag: yes\n---\nflag: no",
		"etc/t.yml:2:1: a second document begins here; settings are one document\n" },
	{ "? [a]\n: b", "etc/t.yml:1:3: expected a plain word as key, found a list or map\n" },
	{ ": b", "etc/t.yml:1:1: expected a key before the colon\n" },
	{ "string: \"a\\0b\"", "etc/t.yml:1:9: expected text without NUL bytes\n" },
	{ "string: \xff", "etc/t.yml:1:9: expected text in UTF-8, found the byte 0xff\n" },
	{ "# \xc3\xbc\xc3\xbc\nstring: \xc3\xbc\xed\xa0\x80",
		"etc/t.yml:2:10: expected text in UTF-8, found the byte 0xed\n" },
	{ "string: \x01", "etc/t.yml:1:9: expected text in UTF-8, found the byte 0x01\n" },
};

Test(conf_file, files_that_are_not_settings)
{
	for (size_t i = 0; i < ARRAY_LEN(bad_files); i++) {
		AUTO(free_ptr) char *said = NULL;
		struct arena a;
		struct one one;

		arena_init(&a, NULL, 0);
		said = fill(one_rows, bad_files[i].text, &one, &a);
		cr_expect_str_eq(said, bad_files[i].want, "%s:\n%s", bad_files[i].text, said);
		arena_fini(&a);
	}
}

/* YAML 1.2 §7.3, §8.1: what each style of writing a text means, in many pieces too. */
static const struct {
	const char *text, *want;
} styles[] = {
	{ "string: a b", "a b" },
	{ "string: a\n  b\n\n  c", "a b\nc" },
	{ "string: 'it''s'", "it's" },
	{ "string: ''", "" },
	{ "string: \"\\x41\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\t\\\"\\u00fc\"",
		"A\n\n\n\n\n\n\n\n\n\n\t\"ü" },
	{ "string: |\n  a\n   b\n  c\n", "a\n b\nc\n" },
	{ "string: >-\n  a\n  b\n\n  c\n", "a b\nc" },
};

Test(conf_file, texts_in_every_style)
{
	for (size_t i = 0; i < ARRAY_LEN(styles); i++) {
		AUTO(free_ptr) char *said = NULL;
		struct arena a;
		struct one one;

		arena_init(&a, NULL, 0);
		said = fill(one_rows, styles[i].text, &one, &a);
		cr_expect_str_empty(said, "%s:\n%s", styles[i].text, said);
		cr_expect_str_eq(one.string, styles[i].want, "%s", styles[i].text);
		arena_fini(&a);
	}
}

/* Columns count characters, quoted values stand where their quote is. */
Test(conf_file, places)
{
	static const char text[] = "a: 1\n'ü': \"x\"\nlist:\n  - y\n  - {b: z}\nnull_one:\n";
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("x.yml", text, strlen(text), e);
	const struct conf_node *root = conf_root(f), *n = conf_node_get(root, "ü");
	struct conf_error place = conf_node_place(n);

	cr_expect_str_eq(place.file, "x.yml");
	cr_expect_eq(place.line, 2);
	cr_expect_eq(place.column, 6);
	place = conf_node_key_place(n);
	cr_expect_eq(place.column, 1);
	n = conf_node_get(root, "list");
	cr_expect_eq(conf_node_count(n), 2);
	n = conf_node_next(conf_node_first(n));
	cr_expect_null(conf_node_key(n));
	place = conf_node_place(conf_node_get(n, "b"));
	cr_expect_eq(place.line, 5);
	cr_expect_eq(place.column, 9);
	n = conf_node_get(root, "null_one");
	cr_expect_eq(conf_node_kind(n), CONF_NULL);
	place = conf_node_place(n);
	cr_expect_eq(place.line, 6);
	cr_expect_eq(place.column, 1);
	cr_expect_str_eq(conf_node_folder(n), ".");
	conf_file_free(f);
	conf_errors_free(e);
}

static unsigned errors_of(const char *text, size_t len)
{
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("x.yml", text, len, e);
	unsigned n = conf_errors_count(e);

	conf_file_free(f);
	conf_errors_free(e);
	return n;
}

/* depth lists in one another. */
static unsigned errors_nested(unsigned depth)
{
	AUTO(free_ptr) char *text = xcalloc(1, 2 * depth + 1);

	memset(text, '[', depth);
	memset(text + depth, ']', depth);
	return errors_of(text, 2 * depth);
}

Test(conf_file, limits)
{
	size_t len = CONF_FILE_MAX + 1;
	AUTO(free_ptr) char *text = xmalloc(len + 1);

	memset(text, '\n', len);
	text[len] = 0;
	cr_expect_eq(errors_of(text, len), 1, "one byte too many");
	cr_expect_eq(errors_of(text, len - 1), 0);
	cr_expect_eq(errors_nested(CONF_DEPTH_MAX + 1), 0);
	cr_expect_eq(errors_nested(CONF_DEPTH_MAX + 2), 1);
	cr_expect_eq(errors_nested(100000), 1);
	memset(text, ',', len);
	text[0] = '[';
	for (size_t i = 1; i < 2 * (size_t)CONF_NODES_MAX; i += 2)
		text[i] = 'a';
	text[2 * (size_t)CONF_NODES_MAX] = ']';
	cr_expect_eq(errors_of(text, 2 * (size_t)CONF_NODES_MAX + 1), 1, "too many values");
}

Test(conf_file, is_read_from_where_it_is)
{
	char folder[] = "/tmp/linnet-conf-XXXXXX", path[64];
	struct conf_errors *e = conf_errors_new();
	AUTO(free_ptr) char *said = NULL;
	struct conf_file *file;
	FILE *out;

	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/l.yml", folder);
	cr_expect_null(conf_file_load(path, e));
	said = conf_errors_text(e);
	cr_expect(strstr(said, path) && strstr(said, "No such file"), "%s", said);
	cr_expect_eq(conf_errors_count(e), 1);
	out = fopen(path, "we");
	fputs("a: b\n", out);
	fclose(out);
	file = conf_file_load(path, e);
	cr_assert(file);
	cr_expect_eq(conf_errors_count(e), 1, "no new one");
	cr_expect_str_eq(conf_node_text(conf_node_get(conf_root(file), "a")), "b");
	cr_expect_str_eq(conf_file_name(file), path);
	cr_expect_str_eq(conf_node_folder(conf_root(file)), folder);
	conf_file_free(file);
	conf_errors_free(e);
	unlink(path);
	cr_expect_eq(rmdir(folder), 0);
}

/* By what it means, not by how it is written. */
static const struct {
	const char *a, *b;
	bool same;
} nodes[] = {
	{ "x: 1", "x:   '1'", true },
	{ "{a: 1, b: [2, 3]}", "a: 1\nb:\n - 2\n - 3\n", true },
	{ "{a: 1, b: 2}", "{b: 2, a: 1}", false }, /* of rules the first that fits counts */
	{ "{a: 1}", "{a: 2}", false },
	{ "{a: 1}", "{b: 1}", false },
	{ "{a: 1}", "{a: 1, b: 2}", false },
	{ "[1, 2]", "[2, 1]", false },
	{ "[1]", "1", false },
	{ "x:", "x: ''", false },
	{ "", "", true },
};

Test(conf_file, nodes_are_compared_by_meaning)
{
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
		struct conf_errors *e = conf_errors_new();
		struct conf_file *a = conf_file_parse("a", nodes[i].a, strlen(nodes[i].a), e);
		struct conf_file *b = conf_file_parse("b", nodes[i].b, strlen(nodes[i].b), e);

		cr_expect_eq(conf_node_same(conf_root(a), conf_root(b)), nodes[i].same, "%s and %s",
			nodes[i].a, nodes[i].b);
		cr_expect_not(conf_node_same(conf_root(a), NULL), "%s", nodes[i].a);
		conf_file_free(a);
		conf_file_free(b);
		conf_errors_free(e);
	}
	cr_expect(conf_node_same(NULL, NULL));
}
