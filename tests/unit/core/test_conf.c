/* tests/unit/core/test_conf.c - settings: every type, every error with its place. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"
#include "core/mem.h"
#include "tests/support/conf_rows.h"

/* ---- One value of each type. */

/* Fills out from text; returns the errors as text (the caller frees). */
static char *fill(const struct conf_item *rows, const char *text, void *out, struct arena *a)
{
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("etc/t.yml", text, strlen(text), e);
	unsigned before = conf_errors_count(e);
	char *said;

	if (f)
		cr_expect_eq(conf_fill(rows, conf_root(f), out, a, e),
			conf_errors_count(e) != before ? CONF_BAD : 0);
	said = conf_errors_text(e);
	conf_errors_free(e);
	conf_file_free(f);
	return said;
}

static const struct {
	const char *text, *option, *want; /* as conf_value_text() writes it */
} good_values[] = {
	{ "", "flag", "true" },
	{ "flag: no", "flag", "false" },
	{ "flag: Off", "flag", "false" },
	{ "flag: 'on'", "flag", "true" },
	{ "number: -12", "number", "-12" },
	{ "number: 9223372036854775806", "number", "9223372036854775806" },
	{ "number: infinity", "number", "infinity" },
	{ "bounded: 1", "bounded", "1" },
	{ "bounded: 65535", "bounded", "65535" },
	{ "", "size", "64 KB" },
	{ "size: 65536", "size", "64 KB" },
	{ "size: 1000", "size", "1000" },
	{ "size: 3 MB", "size", "3 MB" },
	{ "size: 2gb", "size", "2 GB" },
	{ "size: 10 KiB", "size", "10 KB" },
	{ "size: unlimited", "size", "infinity" },
	{ "small_size: 1 MB", "small_size", "1 MB" },
	{ "", "time", "30 s" },
	{ "time: 90", "time", "90 s" },
	{ "time: 120", "time", "2 min" },
	{ "time: 500 ms", "time", "500 ms" },
	{ "time: 5s", "time", "5 s" },
	{ "time: 2 min", "time", "2 min" },
	{ "time: 1 hour", "time", "1 hour" },
	{ "time: 3 days", "time", "3 days" },
	{ "time: 1 day", "time", "1 day" },
	{ "time: infinity", "time", "infinity" },
	{ "time: 0", "time", "0" },
	{ "", "string", "null" },
	{ "string: null", "string", "null" },
	{ "string:", "string", "null" },
	{ "string: a b", "string", "a b" },
	{ "string: ''", "string", "\"\"" },
	{ "string: 'yes'", "string", "\"yes\"" },
	{ "string: \"a\\n\\\"b\"", "string", "\"a\\x0a\\\"b\"" },
	{ "string: 'a: b'", "string", "\"a: b\"" },
	{ "string: 12", "string", "12" },
	{ "secret: hunter2", "secret", "\"***\"" },
	{ "path: /etc/passwd", "path", "/etc/passwd" },
	{ "path: x/y.pem", "path", "etc/x/y.pem" },
	{ "colour: green", "colour", "green" },
	{ "colour: 3", "colour", "green" },
	{ "colour: VERDE", "colour", "green" },
	{ "", "colours", "[red, green]" },
	{ "colours: deep-blue", "colours", "[deep-blue]" },
	{ "colours: [deep-blue, red, red]", "colours", "[red, deep-blue]" },
	{ "colours: []", "colours", "[]" },
	{ "", "address", "127.0.0.1" },
	{ "address: 10.1.2.3/8", "address", "10.0.0.0/8" },
	{ "address: 0.0.0.0/0", "address", "0.0.0.0/0" },
	{ "address: '::1'", "address", "\"::1\"" },
	{ "address: fd00::ffff/12", "address", "fd00::/12" },
	{ "address: '::/0'", "address", "\"::/0\"" },
	{ "", "words", "[a, b]" },
	{ "words: c", "words", "[c]" },
	{ "words: [c, 'd, e']", "words", "[c, \"d, e\"]" },
	{ "words:", "words", "[]" },
};

static const struct conf_item *row_named(const struct conf_item *rows, const char *name)
{
	for (; rows->type; rows++)
		if (!strcmp(rows->name, name))
			return rows;
	cr_assert_fail("no row %s", name);
	return NULL;
}

Test(conf, values)
{
	for (size_t i = 0; i < ARRAY_LEN(good_values); i++) {
		const struct conf_item *row = row_named(one_rows, good_values[i].option);
		AUTO(free_ptr) char *said = NULL;
		struct arena a;
		struct one one;

		arena_init(&a, NULL, 0);
		said = fill(one_rows, good_values[i].text, &one, &a);
		cr_expect_str_empty(said, "%s: %s", good_values[i].text, said);
		cr_expect_str_eq(conf_value_text(row, (char *)&one + row->offset, &a),
			good_values[i].want, "%s", good_values[i].text);
		arena_fini(&a);
	}
}

static const struct {
	const char *text, *want;
} bad_values[] = {
	{ "flag: maybe", "etc/t.yml:1:7: flag: expected true or false, found \"maybe\"\n" },
	{ "flag:", "etc/t.yml:1:1: flag: expected true or false, found nothing\n" },
	{ "flag: [true]", "etc/t.yml:1:7: flag: expected true or false, found a list\n" },
	{ "\n\n  number: 1.5", "etc/t.yml:3:11: number: expected a whole number, found \"1.5\"\n" },
	{ "number: 9223372036854775808",
		"etc/t.yml:1:9: number: expected a whole number, found \"9223372036854775808\"\n" },
	{ "bounded: 0",
		"etc/t.yml:1:10: bounded: expected a whole number from 1 to 65535, found \"0\"\n" },
	{ "bounded: 65536",
		"etc/t.yml:1:10: bounded: expected a whole number from 1 to 65535, "
		"found \"65536\"\n" },
	{ "bounded: infinity",
		"etc/t.yml:1:10: bounded: expected a whole number from 1 to 65535, "
		"found \"infinity\"\n" },
	{ "small_size: 2 MB",
		"etc/t.yml:1:13: small_size: expected a size from 1 KB to 1 MB, such as 65536, "
		"64 KB or 1 MB, found \"2 MB\"\n" },
	{ "size: -1",
		"etc/t.yml:1:7: size: expected a size, such as 65536, 64 KB or 1 MB, "
		"or infinity, found \"-1\"\n" },
	{ "size: 99999999999 GB",
		"etc/t.yml:1:7: size: expected a size, such as 65536, 64 KB or 1 MB, "
		"or infinity, found \"99999999999 GB\"\n" },
	{ "short_time: 2 min",
		"etc/t.yml:1:13: short_time: expected a time from 1 ms to 1 min, such as 30 "
		"(seconds), 500 ms or 5 min, found \"2 min\"\n" },
	{ "time: 5 weeks",
		"etc/t.yml:1:7: time: expected a time, such as 30 (seconds), 500 ms or 5 min, "
		"or infinity, found \"5 weeks\"\n" },
	{ "secret: [hunter2]", "etc/t.yml:1:9: secret: expected text, found a list\n" },
	{ "path: ''", "etc/t.yml:1:7: path: expected the name of a file, found \"\"\n" },
	{ "colour: gren",
		"etc/t.yml:1:9: colour: expected red, green or deep-blue, found \"gren\", did you "
		"mean \"green\"?\n" },
	{ "colours: [red, depe_blue, {}]",
		"etc/t.yml:1:16: colours: expected a list of red, green or deep-blue, found "
		"\"depe_blue\", did you mean \"deep-blue\"?\n"
		"etc/t.yml:1:27: colours: expected a list of red, green or deep-blue, "
		"found a map\n" },
	{ "address: 10.0.0.0/33",
		"etc/t.yml:1:10: address: expected an IPv4 or IPv6 address, or a network such as "
		"10.0.0.0/8 or fd00::/8, found \"10.0.0.0/33\"\n" },
	{ "address: ::1/129",
		"etc/t.yml:1:10: address: expected an IPv4 or IPv6 address, or a network such as "
		"10.0.0.0/8 or fd00::/8, found \"::1/129\"\n" },
	{ "words: {a: b}", "etc/t.yml:1:8: words: expected a list, found a map\n" },
	{ "words: [a, [b]]", "etc/t.yml:1:12: word: expected text, found a list\n" },
	{ "collours: red",
		"etc/t.yml:1:1: unknown option \"collours\", did you mean "
		"\"colours\"?\n" },
	{ "small-size: 1",
		"etc/t.yml:1:1: unknown option \"small-size\", did you mean "
		"\"small_size\"?\n" },
	{ "zebra: 1", "etc/t.yml:1:1: unknown option \"zebra\"\n" },
	{ "- a", "etc/t.yml:1:1: expected a map of options\n" },
	{ "flag: x\nnumber: y\nzebra: z",
		"etc/t.yml:1:7: flag: expected true or false, found \"x\"\n"
		"etc/t.yml:2:9: number: expected a whole number, found \"y\"\n"
		"etc/t.yml:3:1: unknown option \"zebra\"\n" },
};

Test(conf, wrong_values)
{
	for (size_t i = 0; i < ARRAY_LEN(bad_values); i++) {
		AUTO(free_ptr) char *said = NULL;
		struct arena a;
		struct one one;

		arena_init(&a, NULL, 0);
		said = fill(one_rows, bad_values[i].text, &one, &a);
		cr_expect_str_eq(said, bad_values[i].want, "%s:\n%s", bad_values[i].text, said);
		arena_fini(&a);
	}
}

/* A list holds what could be read of it; everything else stays as if nothing had been said. */
Test(conf, a_wrong_value_leaves_the_default)
{
	struct one presets, one;
	struct arena a;

	arena_init(&a, NULL, 0);
	free(fill(one_rows, "", &presets, &a));
	for (size_t i = 0; i < ARRAY_LEN(bad_values); i++) {
		if (strncmp(bad_values[i].text, "words: [", 8) == 0)
			continue;
		free(fill(one_rows, bad_values[i].text, &one, &a));
		cr_expect(conf_same(one_rows, &presets, &one), "%s", bad_values[i].text);
	}
	arena_fini(&a);
}

/* ---- The file itself. */

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

Test(conf, files_that_are_not_settings)
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

/* Columns count characters, quoted values stand where their quote is. */
Test(conf, places)
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

Test(conf, limits)
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

Test(conf, errors_are_counted_beyond_those_kept)
{
	AUTO(free_ptr) char *text = xmalloc(1 << 16);
	AUTO(free_ptr) char *said = NULL;
	struct arena a;
	struct one one;
	size_t len = 0;

	for (unsigned i = 0; i < CONF_ERRORS_MAX + 50; i++)
		len += (size_t)sprintf(text + len, "unheard_of_%u: 1\n", i);
	arena_init(&a, NULL, 0);
	said = fill(one_rows, text, &one, &a);
	arena_fini(&a);
	cr_expect(strstr(said, "etc/t.yml:200:1: unknown option \"unheard_of_199\"\n"));
	cr_expect(strstr(said, "... and 50 more\n"));
}

/* ---- Structs in structs. */

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

/* ---- Hints. */

static const struct conf_hint hints[] = {
	{ "ldap_*|pam", "no directory" },
	{ "sql_type", "no choice" },
	{ NULL, NULL },
};
static const struct {
	const char *name, *text;
} hinted[] = {
	{ "ldap_port", "no directory" },
	{ "pam", "no directory" },
	{ "sql_type", "no choice" },
	{ "pam_service", NULL },
	{ "sql", NULL },
	{ "openldap_port", NULL },
	{ "", NULL },
};

Test(conf, hints)
{
	for (size_t i = 0; i < ARRAY_LEN(hinted); i++) {
		const char *text = conf_hint(hints, hinted[i].name);

		cr_expect(text == hinted[i].text ||
				(text && hinted[i].text && !strcmp(text, hinted[i].text)),
			"%s: %s", hinted[i].name, text);
	}
	cr_expect_null(conf_hint(NULL, "any"));
}

Test(conf, a_hint_stands_in_place_of_a_guess)
{
	static const char text[] = "sql_typo: 1\nsql_type: 1\n";
	static const struct conf_item rows[] = { { "sql_typ", CONF_INT, 0 }, { 0 } };
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("t.yml", text, strlen(text), e);
	AUTO(free_ptr) char *said = NULL;
	struct arena a;
	int64_t out;

	arena_init(&a, NULL, 0);
	conf_fill_parts(&(struct conf_part){ rows, &out, hints }, 1, conf_root(f), &a, e);
	said = conf_errors_text(e);
	cr_expect_str_eq(said,
		"t.yml:1:1: unknown option \"sql_typo\", did you mean \"sql_typ\"?\n"
		"t.yml:2:1: unknown option \"sql_type\": no choice\n",
		"%s", said);
	arena_fini(&a);
	conf_file_free(f);
	conf_errors_free(e);
}

/* ---- Guessing. */

static const struct {
	const char *given, *candidate;
	bool near;
} guesses[] = {
	{ "prot", "port", true },
	{ "por", "port", true },
	{ "ports", "port", true },
	{ "PORT", "port", true },
	{ "starttls-required", "starttls_required", true },
	{ "start_tls_required", "starttls_required", true },
	{ "port", "ip", false },
	{ "xy", "ip", false },
	{ "access", "shaper", false },
	{ "", "ip", false },
};

Test(conf, guesses)
{
	for (size_t i = 0; i < ARRAY_LEN(guesses); i++) {
		struct conf_guess g = { .given = guesses[i].given };

		conf_guess(&g, guesses[i].candidate);
		cr_expect_eq(g.best != NULL, guesses[i].near, "%s for %s", guesses[i].given,
			guesses[i].candidate);
	}
}

Test(conf, the_nearest_guess_wins)
{
	struct conf_guess g = { .given = "pord" };
	char far_too_long[500];

	memset(far_too_long, 'x', sizeof(far_too_long) - 1);
	far_too_long[sizeof(far_too_long) - 1] = 0;
	conf_guess(&g, "cord");
	conf_guess(&g, "pord");
	conf_guess(&g, "port");
	conf_guess(&g, far_too_long);
	cr_expect_str_eq(g.best, "pord");
}
