/* Two structs of one table: what differs, in words for whoever reloads, and a copy. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/support/conf_rows.h"

static void note_change(const struct conf_change *c, void *arg)
{
	fprintf(arg, "%s: %s -> %s%s\n", c->path, c->before ? c->before : "nothing",
		c->after ? c->after : "nothing", c->applies == CONF_AT_RESTART ? " (restart)" : "");
}

static const struct {
	const struct conf_item *rows;
	const char *before, *after, *want;
} changes[] = {
	{ one_rows, "", "flag: true", "" },
	{ one_rows, "time: 60", "time: 1 min", "" },
	{ one_rows, "time: 60", "time: 2 min", "time: 1 min -> 2 min\n" },
	{ one_rows, "secret: a", "secret: b", "secret: \"***\" -> \"***\"\n" },
	{ one_rows, "", "secret: b", "secret: null -> \"***\"\n" },
	{ one_rows, "words: [a]", "words: [a, b]", "words: [a] -> [a, b]\n" },
	{ one_rows, "words: a", "words: [a]", "" },
	{ one_rows, "address: 10.0.0.1/8", "address: 10.0.0.0/8", "" },
	{ one_rows, "colours: [red]", "colours: [deep-blue]", "colours: [red] -> [deep-blue]\n" },
	{ outer_rows, "", "group: me", "group.name: nobody -> me\n" },
	{ outer_rows, "", "own: {words: x}", "own.words: [] -> [x] (restart)\n" },
	{ outer_rows, "list: [{n: 1}, {n: 2}]", "list: [{n: 1}, {n: 3}]", "list[1].n: 2 -> 3\n" },
	{ outer_rows, "list: [{n: 1}]", "list: []",
		"list: [{name: nobody, n: 1, words: []}] -> []\n" },
	{ outer_rows, "map: {a: {n: 1}}", "map: {a: {n: 2}}", "map.a.n: 1 -> 2\n" },
	{ outer_rows, "map: {a: {n: 1}}", "map: {b: {n: 1}}",
		"map: {a: {n: 1, words: []}} -> {b: {n: 1, words: []}}\n" },
	{ outer_rows, "raw: {a: 1, b: [2]}", "raw: {a: 1, b: [2]}", "" },
	{ outer_rows, "raw: {a: 1, b: [2], c: 3}", "raw: {a: 1, b: [3], d: 3}",
		"raw.b: ... -> ...\nraw.c: ... -> nothing\nraw.d: nothing -> ...\n" },
	{ outer_rows, "", "raw: [a]", "raw: nothing -> ...\n" },
};

Test(conf_diff, differences)
{
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct filled before, after;
		char *text = NULL;
		size_t len;
		FILE *out = open_memstream(&text, &len);

		filled(&before, changes[i].rows, changes[i].before);
		filled(&after, changes[i].rows, changes[i].after);
		conf_differences(changes[i].rows, &before.out, &after.out, note_change, out);
		fclose(out);
		cr_expect_str_eq(text, changes[i].want, "%s to %s:\n%s", changes[i].before,
			changes[i].after, text);
		cr_expect_eq(conf_same(changes[i].rows, &before.out, &after.out), !*text);
		free(text);
		filled_free(&before);
		filled_free(&after);
	}
}

Test(conf_diff, a_copy_stands_alone)
{
	static const char text[] = "group: {name: me, words: [x, y]}\n"
				   "list: [{name: z, words: [v]}]\nmap: {a: {n: 2, words: [w]}}";
	struct filled from, same;
	struct outer copy = { 0 };
	struct arena a;

	filled(&from, outer_rows, text);
	filled(&same, outer_rows, text);
	arena_init(&a, NULL, 0);
	conf_copy(outer_rows, &from.out, &copy, &a);
	filled_free(&from);
	cr_expect(conf_same(outer_rows, &copy, &same.out));
	filled_free(&same);
	arena_fini(&a);
}

/* A restart is asked for by the row itself or by one around it, for what is inside too. */
static const struct conf_item restarting_rows[] = {
	{ "group", CONF_GROUP, FIELD(struct outer, group, struct inner), .rows = inner_rows,
		.applies = CONF_AT_RESTART },
	{ "list", CONF_LIST, FIELD(struct outer, list, struct conf_list), .rows = inner_rows,
		.item_size = sizeof(struct inner), .applies = CONF_AT_RESTART },
	{ "map", CONF_MAP, FIELD(struct outer, map, struct conf_list), .rows = named_rows,
		.item_size = sizeof(struct inner) },
	{ 0 },
};

static const struct {
	const char *before, *after, *path;
	bool restart;
} restarts[] = {
	{ "group: {n: 1}", "group: {n: 2}", "group.n", true },
	{ "list: [{n: 1}]", "list: [{n: 2}]", "list[0].n", true },
	{ "list: [{n: 1}]", "list: [{n: 1}, {n: 2}]", "list", true },
	{ "map: {a: {n: 1}}", "map: {a: {n: 2}}", "map.a.n", false },
};

struct seen_change {
	unsigned n;
	char path[32];
	bool restart;
	const struct conf_item *item;
};

static void see(const struct conf_change *c, void *arg)
{
	struct seen_change *s = arg;

	s->n++;
	snprintf(s->path, sizeof(s->path), "%s", c->path);
	s->restart = c->applies == CONF_AT_RESTART;
	s->item = c->item;
}

Test(conf_diff, what_needs_a_restart_says_so)
{
	for (size_t i = 0; i < ARRAY_LEN(restarts); i++) {
		struct seen_change seen = { 0 };
		struct filled before, after;

		filled(&before, restarting_rows, restarts[i].before);
		filled(&after, restarting_rows, restarts[i].after);
		conf_differences(restarting_rows, &before.out, &after.out, see, &seen);
		cr_expect_eq(seen.n, 1);
		cr_expect_str_eq(seen.path, restarts[i].path);
		cr_expect_eq(seen.restart, restarts[i].restart, "%s", seen.path);
		cr_expect_not_null(seen.item);
		filled_free(&before);
		filled_free(&after);
	}
}

/* Over itself: what it points to moves, so that the arena it came from may go. */
Test(conf_diff, a_struct_may_be_copied_over_itself)
{
	static const char text[] = "group: {words: [x, y]}\nlist: [{name: z}]\nmap: {a: {n: 2}}";
	struct filled moved, same;
	struct arena a;

	filled(&moved, outer_rows, text);
	filled(&same, outer_rows, text);
	arena_init(&a, NULL, 0);
	conf_copy(outer_rows, &moved.out, &moved.out, &a);
	arena_fini(&moved.arena);
	arena_init(&moved.arena, NULL, 0);
	cr_expect(conf_same(outer_rows, &moved.out, &same.out));
	filled_free(&moved);
	filled_free(&same);
	arena_fini(&a);
}

/* What is not there is copied as not there. */
Test(conf_diff, nothing_is_copied_as_nothing)
{
	struct filled from;
	struct one copy;
	struct arena a;

	filled(&from, one_rows, "words: []");
	arena_init(&a, NULL, 0);
	conf_copy(one_rows, &from.out, &copy, &a);
	cr_expect_null(copy.string);
	cr_expect_null(copy.secret);
	cr_expect_eq(copy.words.n, 0);
	cr_expect(conf_same(one_rows, &copy, &from.out));
	filled_free(&from);
	cr_expect_str_eq(copy.access, "all", "presets too");
	arena_fini(&a);
}

/* In one line, as it might stand in a file; what is long ends early. */
static const struct {
	const char *yaml, *want;
} lines[] = {
	{ "a", "a" },
	{ "", "null" },
	{ "{}", "{}" },
	{ "[1, [2, x y]]", "[1, [2, x y]]" },
	{ "- deny: blocked\n- allow: {user: a@b}", "[{deny: blocked}, {allow: {user: a@b}}]" },
};

Test(conf_diff, a_node_in_one_line)
{
	struct conf_errors *e = conf_errors_new();
	struct arena a;

	arena_init(&a, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct conf_file *f =
			conf_file_parse("t.yml", lines[i].yaml, strlen(lines[i].yaml), e);

		cr_assert(f);
		cr_expect_str_eq(conf_node_line(conf_root(f), &a), lines[i].want);
		conf_file_free(f);
	}
	cr_expect_eq(conf_errors_count(e), 0);
	arena_fini(&a);
	conf_errors_free(e);
}

Test(conf_diff, a_long_node_is_cut)
{
	struct conf_errors *e = conf_errors_new();
	char yaml[8000] = "[0";
	struct conf_file *f;
	struct arena a;
	const char *line;

	for (int i = 1; i < 1000; i++)
		sprintf(yaml + strlen(yaml), ", %d", i);
	strcat(yaml, "]");
	arena_init(&a, NULL, 0);
	f = conf_file_parse("t.yml", yaml, strlen(yaml), e);
	line = conf_node_line(conf_root(f), &a);
	cr_expect_lt(strlen(line), 300);
	cr_expect(strstr(line, ", ...]"), "%s", line);
	conf_file_free(f);
	arena_fini(&a);
	conf_errors_free(e);
}
