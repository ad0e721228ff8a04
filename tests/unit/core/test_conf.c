/* Structs filled by tables: structs in structs, lists and maps, and one map laid over another. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/support/conf_rows.h"

static const struct {
	const char *text, *option, *want;
} nested_values[] = {
	{ "", "group", "{name: nobody, n: 1, words: []}" },
	{ "group:", "group", "{name: nobody, n: 1, words: []}" },
	{ "group: {n: 3, words: x}", "group", "{name: nobody, n: 3, words: [x]}" },
	{ "group: me", "group", "{name: me, n: 1, words: []}" },
	{ "", "list", "[]" },
	{ "list: [{n: 2}, {name: x}]", "list",
		"[{name: nobody, n: 2, words: []}, {name: x, n: 1, words: []}]" },
	{ "", "map", "{}" },
	{ "map: {a: {n: 2}, 'b c': {n: 3, words: [x]}}", "map",
		"{a: {n: 2, words: []}, b c: {n: 3, words: [x]}}" },
	{ "", "numbers", "{one: 1, two: 2}" },
	{ "numbers: {x: 5}", "numbers", "{x: 5}" },
	{ "numbers: {}", "numbers", "{}" },
};

Test(conf, nested_values)
{
	for (size_t i = 0; i < ARRAY_LEN(nested_values); i++) {
		const struct conf_item *row = row_named(outer_rows, nested_values[i].option);
		AUTO(free_ptr) char *said = NULL;
		struct outer outer;
		struct arena a;

		arena_init(&a, NULL, 0);
		said = fill(outer_rows, nested_values[i].text, &outer, &a);
		cr_expect_str_empty(said, "%s: %s", nested_values[i].text, said);
		cr_expect_str_eq(conf_value_text(row, (char *)&outer + row->offset, &a),
			nested_values[i].want, "%s", nested_values[i].text);
		arena_fini(&a);
	}
}

static const struct {
	const char *text, *want;
} nested_mistakes[] = {
	{ "group: {nmae: x}", "etc/t.yml:1:9: unknown option \"nmae\", did you mean \"name\"?\n" },
	{ "group: {zzzzzz: x}",
		"etc/t.yml:1:9: unknown option \"zzzzzz\", expected one of name, n, words\n" },
	{ "group: [x]", "etc/t.yml:1:8: group: expected a map of options, found a list\n" },
	{ "own: x", "etc/t.yml:1:6: own: expected a map of options, found \"x\"\n" },
	{ "list: {n: 1}", "etc/t.yml:1:7: list: expected a list, found a map\n" },
	{ "list:\n  - n: 1\n  - x\n  - n: 99",
		"etc/t.yml:3:5: list: expected a map of options, found \"x\"\n"
		"etc/t.yml:4:8: n: expected a whole number from 0 to 9, found \"99\"\n" },
	{ "map: {a: {}}", "etc/t.yml:1:10: the option \"n\" is missing\n" },
	{ "map: {a: {n: 1}, a: {n: 2}}",
		"etc/t.yml:1:18: \"a\" is set twice, before this in line 1\n" },
	{ "numbers: {a: 6}",
		"etc/t.yml:1:14: number: expected a whole number from 0 to 5, found \"6\"\n" },
	{ "numbers: [1]", "etc/t.yml:1:10: numbers: expected a map of options, found a list\n" },
};

Test(conf, nested_mistakes)
{
	for (size_t i = 0; i < ARRAY_LEN(nested_mistakes); i++) {
		AUTO(free_ptr) char *said = NULL;
		struct outer outer;
		struct arena a;

		arena_init(&a, NULL, 0);
		said = fill(outer_rows, nested_mistakes[i].text, &outer, &a);
		cr_expect_str_eq(
			said, nested_mistakes[i].want, "%s:\n%s", nested_mistakes[i].text, said);
		arena_fini(&a);
	}
}

Test(conf, no_options_at_all)
{
	AUTO(free_ptr) char *said = NULL, *wrong = NULL;
	struct arena a;

	arena_init(&a, NULL, 0);
	said = fill(NULL, "{}", NULL, &a);
	cr_expect_str_empty(said);
	wrong = fill(NULL, "x: 1", NULL, &a);
	cr_expect_str_eq(wrong, "etc/t.yml:1:1: unknown option \"x\", there are none here\n");
	arena_fini(&a);
}

/* Only per_host rows, only what the map says; what it does not say stays. */
Test(conf, overlay)
{
	static const char base[] = "group: {name: me, n: 5}\nown: {n: 6}\nlist: [{n: 2}]";
	static const char over[] = "group: {n: 7}\nown: {n: 8}\nlist: [{name: x}]\nuknown: 1";
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("o.yml", over, strlen(over), e);
	AUTO(free_ptr) char *said = NULL, *errors = NULL;
	struct outer outer;
	struct conf_part part = { outer_rows, &outer };
	struct arena a;

	arena_init(&a, NULL, 0);
	said = fill(outer_rows, base, &outer, &a);
	cr_assert_str_empty(said);
	cr_expect_eq(conf_overlay_parts(&part, 1, conf_root(f), &a, e), CONF_BAD);
	errors = conf_errors_text(e);
	cr_expect_str_eq(errors,
		"o.yml:2:1: \"own\" holds for the whole server and cannot stand here\n"
		"o.yml:4:1: unknown option \"uknown\", expected one of group, own, list, map, "
		"numbers, raw\n");
	cr_expect_str_eq(outer.group.name, "me");
	cr_expect_eq(outer.group.n, 7, "a group's rows go with it");
	cr_expect_eq(outer.own.n, 6);
	cr_assert_eq(outer.list.n, 1);
	cr_expect_str_eq(((struct inner *)outer.list.at)->name, "x");
	cr_expect_eq(((struct inner *)outer.list.at)->n, 1, "an item begins with its defaults");
	arena_fini(&a);
	conf_file_free(f);
	conf_errors_free(e);
}
