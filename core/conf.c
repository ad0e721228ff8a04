/* core/conf.c - fills structs from settings nodes by tables of rows. */
#include "core/conf.h"

#include <string.h>

#include "core/conf_value.h"

enum origin { FROM_FILE, FROM_PRESET };
enum mode {
	WHOLE, /* presets first, then what the file says */
	OVERLAY, /* only what the file says, only per_host rows */
	OVERLAY_INSIDE, /* a group of an overlay, whose row was per_host */
};
struct filling {
	struct arena *arena;
	struct conf_errors *errors;
	const char *folder; /* where relative paths start; NULL: they stay relative */
	enum origin origin; /* presets come from nodes that are gone afterwards */
	enum mode mode;
};

static void fill_struct(
	struct filling *f, const struct conf_part *parts, unsigned n, const struct conf_node *map);
static bool fill_field(
	struct filling *f, const struct conf_item *row, const struct conf_node *node, void *field);

#define QUOTED_MAX 80 /* bytes */

static const char *quoted(const char *text, struct arena *a)
{
	size_t len = strlen(text);

	if (len <= QUOTED_MAX)
		return arena_printf(a, "\"%s\"", text);
	for (len = QUOTED_MAX; ((unsigned char)text[len] & 0xc0) == 0x80; len--)
		; /* not between the bytes of one character */
	return arena_printf(a, "\"%.*s...\"", (int)len, text);
}

static const char *found(const struct conf_item *row, const struct conf_node *node, struct arena *a)
{
	switch (conf_node_kind(node)) {
	case CONF_NULL:
		return "nothing";
	case CONF_SEQUENCE:
		return "a list";
	case CONF_MAPPING:
		return "a map";
	default:
		return row->type == CONF_SECRET ? "something else"
						: quoted(conf_node_text(node), a);
	}
}

static bool wrong(struct filling *f, const struct conf_item *row, const struct conf_node *node,
	const char *expected)
{
	struct conf_guess guess = { .given = conf_node_text(node) };
	const char *hint = row->words ? conf_hint(row->hints, guess.given) : NULL;
	struct arena text;

	arena_init(&text, NULL, 0);
	if (row->words && *guess.given && !hint) {
		for (const char *const *w = row->words; *w; w++)
			conf_guess(
				&guess, conf_word(row->words, (unsigned)(w - row->words), &text));
	}
	conf_fail_guess(f->errors, node, &guess, "%s: expected %s, found %s%s%s", row->name,
		expected ? expected : conf_expected(row, &text), found(row, node, &text),
		hint ? ": " : "", hint ? hint : "");
	arena_fini(&text);
	return false;
}

#define SCALAR_BYTES (sizeof(struct conf_prefix) + 8) /* room for any */

static bool fill_scalar(
	struct filling *f, const struct conf_item *row, const struct conf_node *node, void *field)
{
	_Alignas(16) char spare[SCALAR_BYTES] = { 0 };

	if (conf_node_kind(node) == CONF_NULL && conf_is_text(row) && !row->preset &&
		!row->required) {
		*(const char **)field = NULL;
		return true;
	}
	if (conf_node_kind(node) != CONF_SCALAR)
		return wrong(f, row, node, NULL);
	if (!conf_read_scalar(row, conf_node_text(node), f->folder, spare, f->arena))
		return wrong(f, row, node, NULL);
	memcpy(field, spare, conf_field_bytes(row));
	if (row->type == CONF_ACCESS || row->type == CONF_SHAPER)
		conf_name_note(f->errors, row->type, *(const char **)field,
			f->origin == FROM_FILE ? node : NULL);
	return true;
}

static bool fill_words(struct filling *f, const struct conf_item *row, const struct conf_node *node,
	uint32_t *bits)
{
	const struct conf_node *one =
		conf_node_kind(node) == CONF_SCALAR ? node : conf_node_first(node);

	uint32_t found_bits = 0;
	bool good = true;

	if (conf_node_kind(node) == CONF_MAPPING)
		return wrong(f, row, node, NULL);
	for (; one; one = one == node ? NULL : conf_node_next(one)) {
		int index = conf_node_kind(one) == CONF_SCALAR
			? conf_word_index(row->words, conf_node_text(one))
			: -1;

		if (index < 0)
			good = wrong(f, row, one, NULL);
		else
			found_bits |= 1u << index;
	}
	if (good)
		*bits = found_bits;
	return good;
}

static void fill_item(
	struct filling *f, const struct conf_item *row, const struct conf_node *node, char *item)
{
	struct filling fresh = *f;
	struct conf_part part = { row->rows, item, row->hints };

	if (row->item && conf_node_kind(node) == CONF_NULL) {
		wrong(f, row->item, node, NULL);
		return;
	}
	fresh.mode = WHOLE; /* a list is replaced, its items begin with their presets */
	if (!row->rows)
		fill_field(&fresh, row->item, node, item + row->item->offset);
	else if (conf_node_kind(node) == CONF_MAPPING || conf_node_kind(node) == CONF_NULL)
		fill_struct(&fresh, &part, 1, node);
	else
		wrong(f, row, node, "a map of options");
}

/* A list or a map of free keys; every child becomes an item, also one with errors, so that items
 * and children stay in step. */
static bool fill_list(struct filling *f, const struct conf_item *row, const struct conf_node *node,
	struct conf_list *list)
{
	enum conf_kind kind = conf_node_kind(node);
	bool single = kind == CONF_SCALAR && row->type == CONF_LIST && row->item &&
		conf_is_scalar(row->item);
	const struct conf_node *child;
	char *item;

	if (kind != CONF_NULL && !single &&
		kind != (row->type == CONF_MAP ? CONF_MAPPING : CONF_SEQUENCE))
		return wrong(f, row, node, NULL);
	list->n = single ? 1 : conf_node_count(node);
	list->at = item = arena_zalloc(f->arena, list->n * row->item_size);
	if (single)
		fill_item(f, row, node, item);
	conf_node_each (child, node) {
		if (row->type == CONF_MAP)
			*(const char **)(void *)item = arena_strdup(f->arena, conf_node_key(child));
		fill_item(f, row, child, item);
		item += row->item_size;
	}
	return true;
}

static const struct conf_item *named(const struct conf_item *rows, const char *name)
{
	for (; rows && rows->type; rows++)
		if (!strcmp(rows->name, name))
			return rows;
	return NULL;
}

static bool fill_group(
	struct filling *f, const struct conf_item *row, const struct conf_node *node, void *field)
{
	struct conf_part part = { row->rows, field, row->hints };
	struct filling inside = *f;
	const struct conf_item *one;

	inside.mode = f->mode == WHOLE ? WHOLE : OVERLAY_INSIDE;
	if (conf_node_kind(node) == CONF_MAPPING || conf_node_kind(node) == CONF_NULL) {
		fill_struct(&inside, &part, 1, node);
		return true;
	}
	if (conf_node_kind(node) != CONF_SCALAR || !row->short_for)
		return wrong(f, row, node, NULL);
	one = named(row->rows, row->short_for);
	REQUIRE(one);
	if (inside.mode == WHOLE)
		fill_struct(&inside, &part, 1, NULL);
	return fill_field(&inside, one, node, (char *)field + one->offset);
}

/* False: it was wrong, and the field is as it was. */
static bool fill_unchecked(
	struct filling *f, const struct conf_item *row, const struct conf_node *node, void *field)
{
	switch (row->type) {
	case CONF_WORDS:
		return fill_words(f, row, node, field);
	case CONF_LIST:
	case CONF_MAP:
		return fill_list(f, row, node, field);
	case CONF_GROUP:
		return fill_group(f, row, node, field);
	case CONF_RAW:
		REQUIRE(f->origin == FROM_FILE);
		*(const struct conf_node **)field = conf_node_kind(node) == CONF_NULL ? NULL : node;
		return true;
	default:
		return fill_scalar(f, row, node, field);
	}
}

static bool fill_field(
	struct filling *f, const struct conf_item *row, const struct conf_node *node, void *field)
{
	_Alignas(16) char before[SCALAR_BYTES];
	const char *expected;

	if (conf_is_scalar(row))
		memcpy(before, field, conf_field_bytes(row));
	if (!fill_unchecked(f, row, node, field))
		return false;
	if (conf_is_text(row) && !*(const char **)field)
		return true;
	expected = row->check ? row->check(field, f->arena) : NULL;
	if (!expected)
		return true;
	if (conf_is_scalar(row))
		memcpy(field, before, conf_field_bytes(row));
	return wrong(f, row, node, expected);
}

/* A preset of several values, written as in a file; it is ours, so it must be right. */
static void fill_list_preset(struct filling *f, const struct conf_item *row, void *field)
{
	struct conf_errors *errors = conf_errors_new();
	struct filling preset = { f->arena, errors, f->folder, FROM_PRESET, WHOLE };
	struct conf_file *file =
		conf_file_parse(row->name, row->preset, strlen(row->preset), errors);

	REQUIRE(file);
	fill_field(&preset, row, conf_root(file), field);
	REQUIRE(!conf_errors_count(errors));
	conf_errors_free(errors);
	conf_file_free(file);
}

static void fill_preset(struct filling *f, const struct conf_item *row, void *field)
{
	struct conf_part part = { row->rows, field };

	memset(field, 0, conf_field_bytes(row));
	if (row->type == CONF_GROUP)
		fill_struct(f, &part, 1, NULL);
	else if (row->preset && !conf_is_scalar(row))
		fill_list_preset(f, row, field);
	else if (row->preset)
		REQUIRE(conf_read_scalar(row, row->preset, f->folder, field, f->arena) &&
			(!row->check || !row->check(field, f->arena)));
}

static const struct conf_item *find_row(
	const struct conf_part *parts, unsigned n, const char *name, unsigned *out_part)
{
	const struct conf_item *row = NULL;

	for (unsigned i = 0; i < n && !row; i++) {
		row = named(parts[i].rows, name);
		*out_part = i;
	}
	return row;
}

#define NAMES_SHOWN 12

static const char *hint_of(const struct conf_part *parts, unsigned n, const char *name)
{
	const char *hint = NULL;

	for (unsigned i = 0; i < n && !hint; i++)
		hint = conf_hint(parts[i].hints, name);
	return hint;
}

static void unknown_option(
	struct filling *f, const struct conf_part *parts, unsigned n, const struct conf_node *node)
{
	struct conf_guess guess = { .given = conf_node_key(node) };
	const char *names = "", *hint = hint_of(parts, n, guess.given);
	unsigned count = 0;
	struct arena text;

	arena_init(&text, NULL, 0);
	for (unsigned i = 0; i < n; i++) {
		for (const struct conf_item *row = parts[i].rows; row && row->type; row++) {
			conf_guess(&guess, row->name);
			if (count++ < NAMES_SHOWN)
				names = arena_printf(
					&text, "%s%s%s", names, *names ? ", " : "", row->name);
		}
	}
	if (hint)
		conf_fail_key(f->errors, node, "unknown option \"%s\": %s", guess.given, hint);
	else if (!count)
		conf_fail_key(
			f->errors, node, "unknown option \"%s\", there are none here", guess.given);
	else if (guess.best || count > NAMES_SHOWN)
		conf_fail_key_guess(f->errors, node, &guess, "unknown option \"%s\"", guess.given);
	else
		conf_fail_key(f->errors, node, "unknown option \"%s\", expected one of %s",
			guess.given, names);
	arena_fini(&text);
}

/* What no row names, and what may not stand in an overlay. */
static bool may_stand(struct filling *f, const struct conf_part *parts, unsigned n,
	const struct conf_item *row, const struct conf_node *node)
{
	if (!row)
		unknown_option(f, parts, n, node);
	else if (f->mode == OVERLAY && !row->per_host)
		conf_fail_key(f->errors, node,
			"\"%s\" holds for the whole server and cannot stand here", row->name);
	return row && (f->mode != OVERLAY || row->per_host);
}

static void fill_presets(
	struct filling *f, const struct conf_part *part, const struct conf_node *map)
{
	for (const struct conf_item *row = part->rows; row && row->type; row++) {
		fill_preset(f, row, (char *)part->out + row->offset);
		if (row->required && !conf_node_get(map, row->name))
			conf_fail(f->errors, map, "the option \"%s\" is missing", row->name);
	}
}

static void fill_struct(
	struct filling *f, const struct conf_part *parts, unsigned n, const struct conf_node *map)
{
	const struct conf_node *node;
	unsigned part = 0;

	for (unsigned i = 0; i < n && f->mode == WHOLE; i++)
		fill_presets(f, &parts[i], map);
	conf_node_each (node, map) {
		const struct conf_item *row = find_row(parts, n, conf_node_key(node), &part);

		if (may_stand(f, parts, n, row, node))
			fill_field(f, row, node, (char *)parts[part].out + row->offset);
	}
}

static int fill_parts(const struct conf_part *parts, unsigned n, const struct conf_node *map,
	struct arena *a, struct conf_errors *e, enum mode mode)
{
	struct filling f = { a, e, map ? conf_node_folder(map) : NULL, FROM_FILE, mode };
	unsigned before = conf_errors_count(e);

	if (map && conf_node_kind(map) != CONF_MAPPING && conf_node_kind(map) != CONF_NULL)
		conf_fail(e, map, "expected a map of options");
	else
		fill_struct(&f, parts, n, map);
	return conf_errors_count(e) != before ? CONF_BAD : 0;
}

int conf_fill_parts(const struct conf_part *parts, unsigned n, const struct conf_node *map,
	struct arena *a, struct conf_errors *e)
{
	return fill_parts(parts, n, map, a, e, WHOLE);
}

int conf_overlay_parts(const struct conf_part *parts, unsigned n, const struct conf_node *map,
	struct arena *a, struct conf_errors *e)
{
	return fill_parts(parts, n, map, a, e, OVERLAY);
}

int conf_fill(const struct conf_item *rows, const struct conf_node *map, void *out, struct arena *a,
	struct conf_errors *e)
{
	return conf_fill_parts(&(struct conf_part){ rows, out }, 1, map, a, e);
}

int conf_fill_value(const struct conf_item *row, const struct conf_node *node, void *field,
	struct arena *a, struct conf_errors *e)
{
	struct filling f = { a, e, conf_node_folder(node), FROM_FILE, WHOLE };
	unsigned before = conf_errors_count(e);

	fill_field(&f, row, node, field);
	return conf_errors_count(e) != before ? CONF_BAD : 0;
}
