/* Settings of every type: how a value may be written, how it is shown, and what is refused. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/support/conf_rows.h"

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

Test(conf_value, values)
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

Test(conf_value, wrong_values)
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
Test(conf_value, a_wrong_value_leaves_the_default)
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
