/* tests/support/conf_rows.h - tables of options for tests: one of each type, and structs in
 * structs; and structs filled by them from YAML. */
#pragma once

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"

static const char *const colours[] = { "red", "green|verde|3", "deep-blue", NULL };
struct one {
	bool flag;
	int64_t number, bounded, size, small_size, time, short_time;
	const char *string, *secret, *path;
	int colour;
	uint32_t colours;
	struct conf_prefix address;
	struct conf_list words;
	const char *access;
};
UNUSED static const struct conf_item word_item[] = { { "word", CONF_STRING, 0 }, { 0 } };
UNUSED static const struct conf_item one_rows[] = {
	{ "flag", CONF_BOOL, FIELD(struct one, flag, bool), .preset = "true" },
	{ "number", CONF_INT, FIELD(struct one, number, int64_t), .preset = "7" },
	{ "bounded", CONF_INT, FIELD(struct one, bounded, int64_t), .preset = "5222", .min = 1,
		.max = 65535 },
	{ "size", CONF_SIZE, FIELD(struct one, size, int64_t), .preset = "64 KB" },
	{ "small_size", CONF_SIZE, FIELD(struct one, small_size, int64_t), .preset = "1 KB",
		.min = 1024, .max = 1 << 20 },
	{ "time", CONF_TIME, FIELD(struct one, time, int64_t), .preset = "30" },
	{ "short_time", CONF_TIME, FIELD(struct one, short_time, int64_t), .preset = "1 s",
		.min = 1, .max = 60000 },
	{ "string", CONF_STRING, FIELD(struct one, string, const char *) },
	{ "secret", CONF_SECRET, FIELD(struct one, secret, const char *) },
	{ "path", CONF_PATH, FIELD(struct one, path, const char *) },
	{ "colour", CONF_ENUM, FIELD(struct one, colour, int), .preset = "red", .words = colours },
	{ "colours", CONF_WORDS, FIELD(struct one, colours, uint32_t), .preset = "[red, verde]",
		.words = colours },
	{ "address", CONF_ADDRESS, FIELD(struct one, address, struct conf_prefix),
		.preset = "127.0.0.1" },
	{ "words", CONF_LIST, FIELD(struct one, words, struct conf_list), .preset = "[a, b]",
		.item = word_item, .item_size = sizeof(char *) },
	{ "access", CONF_ACCESS, FIELD(struct one, access, const char *), .preset = "all" },
	{ 0 },
};

/* --- structs in structs --- */

struct inner {
	const char *name;
	int64_t n;
	struct conf_list words;
};
struct outer {
	struct inner group, own;
	struct conf_list list, map, numbers;
	const struct conf_node *raw;
};
UNUSED static const struct conf_item inner_rows[] = {
	{ "name", CONF_STRING, FIELD(struct inner, name, const char *), .preset = "nobody" },
	{ "n", CONF_INT, FIELD(struct inner, n, int64_t), .preset = "1", .min = 0, .max = 9 },
	{ "words", CONF_LIST, FIELD(struct inner, words, struct conf_list), .item = word_item,
		.item_size = sizeof(char *), .applies = CONF_AT_RESTART },
	{ 0 },
};
UNUSED static const struct conf_item named_rows[] = {
	{ "n", CONF_INT, FIELD(struct inner, n, int64_t), .required = true },
	{ "words", CONF_LIST, FIELD(struct inner, words, struct conf_list), .item = word_item,
		.item_size = sizeof(char *) },
	{ 0 },
};
struct numbered {
	const char *name;
	int64_t n;
};
UNUSED static const struct conf_item number_item[] = {
	{ "number", CONF_INT, FIELD(struct numbered, n, int64_t), .max = 5 }, { 0 }
};
UNUSED static const struct conf_item outer_rows[] = {
	{ "group", CONF_GROUP, FIELD(struct outer, group, struct inner), .rows = inner_rows,
		.short_for = "name", .per_host = true },
	{ "own", CONF_GROUP, FIELD(struct outer, own, struct inner), .rows = inner_rows },
	{ "list", CONF_LIST, FIELD(struct outer, list, struct conf_list), .rows = inner_rows,
		.item_size = sizeof(struct inner), .per_host = true },
	{ "map", CONF_MAP, FIELD(struct outer, map, struct conf_list), .rows = named_rows,
		.item_size = sizeof(struct inner) },
	{ "numbers", CONF_MAP, FIELD(struct outer, numbers, struct conf_list), .item = number_item,
		.item_size = sizeof(struct numbered), .preset = "{one: 1, two: 2}" },
	{ "raw", CONF_RAW, FIELD(struct outer, raw, const struct conf_node *) },
	{ 0 },
};

/* --- filled --- */

struct filled {
	struct conf_errors *errors;
	struct conf_file *file;
	struct arena arena;
	union {
		struct one one;
		struct outer outer;
	} out;
};

UNUSED static void filled(struct filled *f, const struct conf_item *rows, const char *text)
{
	f->errors = conf_errors_new();
	f->file = conf_file_parse("t.yml", text, strlen(text), f->errors);
	arena_init(&f->arena, NULL, 0);
	cr_assert_eq(
		conf_fill(rows, conf_root(f->file), &f->out, &f->arena, f->errors), 0, "%s", text);
}

UNUSED static void filled_free(struct filled *f)
{
	arena_fini(&f->arena);
	conf_file_free(f->file);
	conf_errors_free(f->errors);
}

/* Fills out from text; returns the errors as text (the caller frees). */
static inline char *fill(const struct conf_item *rows, const char *text, void *out, struct arena *a)
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

static inline const struct conf_item *row_named(const struct conf_item *rows, const char *name)
{
	for (; rows->type; rows++)
		if (!strcmp(rows->name, name))
			return rows;
	cr_assert_fail("no row %s", name);
	return NULL;
}
