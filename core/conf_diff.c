/* core/conf_diff.c - two structs of one table: are they the same, what differs, and a copy. */
#include <string.h>

#include "core/conf_value.h"

static const void *field_of(const struct conf_item *row, const void *from)
{
	return (const char *)from + row->offset;
}

static const char *text_at(const void *field)
{
	return *(const char *const *)field;
}

static const void *item_at(const struct conf_item *row, const struct conf_list *list, size_t i)
{
	return (const char *)list->at + i * row->item_size;
}

/* ---- The same? */

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_item(const struct conf_item *row, const void *a, const void *b)
{
	if (row->type == CONF_MAP && !same_text(text_at(a), text_at(b)))
		return false;
	return conf_same(row->rows ? row->rows : row->item, a, b);
}

static bool same_list(
	const struct conf_item *row, const struct conf_list *a, const struct conf_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!same_item(row, item_at(row, a, i), item_at(row, b, i)))
			return false;
	return true;
}

static bool same_field(const struct conf_item *row, const void *a, const void *b)
{
	if (conf_is_text(row))
		return same_text(text_at(a), text_at(b));
	switch (row->type) {
	case CONF_LIST:
	case CONF_MAP:
		return same_list(row, a, b);
	case CONF_GROUP:
		return conf_same(row->rows, a, b);
	case CONF_RAW:
		return conf_node_same(
			*(const struct conf_node *const *)a, *(const struct conf_node *const *)b);
	default:
		return !memcmp(a, b, conf_field_bytes(row));
	}
}

bool conf_same(const struct conf_item *rows, const void *a, const void *b)
{
	for (; rows && rows->type; rows++)
		if (!same_field(rows, field_of(rows, a), field_of(rows, b)))
			return false;
	return true;
}

/* ---- What differs? */

struct differing {
	void (*fn)(const struct conf_change *change, void *arg);
	void *arg;
	struct arena *texts; /* paths and values, until the end */
	const char *path; /* of what is being compared: "listen[0]." */
	enum conf_applies applies; /* as what is around it says */
};

static enum conf_applies later(enum conf_applies a, enum conf_applies b)
{
	return a > b ? a : b;
}

static void differ(struct differing *d, const struct conf_item *row, const char *path,
	const char *before, const char *after)
{
	struct conf_change change = { path, row, before, after, later(d->applies, row->applies) };

	d->fn(&change, d->arg);
}

static void compare_structs(
	struct differing *d, const struct conf_item *rows, const void *before, const void *after);

static void compare_inside(struct differing *d, const struct conf_item *row, const char *path,
	const void *before, const void *after)
{
	struct differing inside = *d;

	inside.path = path;
	inside.applies = later(d->applies, row->applies);
	compare_structs(&inside, row->rows, before, after);
}

/* Lists of as many structs and maps of the same names are compared one by one. */
static bool in_step(
	const struct conf_item *row, const struct conf_list *a, const struct conf_list *b)
{
	if (!row->rows || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n && row->type == CONF_MAP; i++)
		if (!same_text(text_at(item_at(row, a, i)), text_at(item_at(row, b, i))))
			return false;
	return true;
}

static void compare_lists(struct differing *d, const struct conf_item *row, const char *path,
	const struct conf_list *before, const struct conf_list *after)
{
	if (!in_step(row, before, after)) {
		differ(d, row, path, conf_value_text(row, before, d->texts),
			conf_value_text(row, after, d->texts));
		return;
	}
	for (size_t i = 0; i < before->n; i++) {
		const void *a = item_at(row, before, i), *b = item_at(row, after, i);
		const char *item = row->type == CONF_MAP
			? arena_printf(d->texts, "%s.%s.", path, text_at(a))
			: arena_printf(d->texts, "%s[%zu].", path, i);

		compare_inside(d, row, item, a, b);
	}
}

static bool is_map(const struct conf_node *node)
{
	return node && conf_node_kind(node) == CONF_MAPPING;
}

/* A grammar of its own: the keys at its top that have changed, come or gone. */
static void compare_nodes(struct differing *d, const struct conf_item *row, const char *path,
	const struct conf_node *before, const struct conf_node *after)
{
	const struct conf_node *node;

	if (!is_map(before) || !is_map(after)) {
		differ(d, row, path, before ? "..." : NULL, after ? "..." : NULL);
		return;
	}
	conf_node_each (node, before) {
		const struct conf_node *now = conf_node_get(after, conf_node_key(node));

		if (!conf_node_same(node, now))
			differ(d, row, arena_printf(d->texts, "%s.%s", path, conf_node_key(node)),
				"...", now ? "..." : NULL);
	}
	conf_node_each (node, after)
		if (!conf_node_get(before, conf_node_key(node)))
			differ(d, row, arena_printf(d->texts, "%s.%s", path, conf_node_key(node)),
				NULL, "...");
}

static void compare_fields(
	struct differing *d, const struct conf_item *row, const void *before, const void *after)
{
	const char *path = arena_printf(d->texts, "%s%s", d->path, row->name);

	switch (row->type) {
	case CONF_GROUP:
		compare_inside(d, row, arena_printf(d->texts, "%s.", path), before, after);
		break;
	case CONF_LIST:
	case CONF_MAP:
		compare_lists(d, row, path, before, after);
		break;
	case CONF_RAW:
		compare_nodes(d, row, path, *(const struct conf_node *const *)before,
			*(const struct conf_node *const *)after);
		break;
	default:
		differ(d, row, path, conf_value_text(row, before, d->texts),
			conf_value_text(row, after, d->texts));
	}
}

static void compare_structs(
	struct differing *d, const struct conf_item *rows, const void *before, const void *after)
{
	for (; rows && rows->type; rows++)
		if (!same_field(rows, field_of(rows, before), field_of(rows, after)))
			compare_fields(d, rows, field_of(rows, before), field_of(rows, after));
}

void conf_differences(const struct conf_item *rows, const void *before, const void *after,
	void (*fn)(const struct conf_change *change, void *arg), void *arg)
{
	struct arena texts;
	struct differing d = { .fn = fn, .arg = arg, .texts = &texts, .path = "" };

	arena_init(&texts, NULL, 0);
	compare_structs(&d, rows, before, after);
	arena_fini(&texts);
}

/* ---- A copy. */

static void copy_list(const struct conf_item *row, struct conf_list *list, struct arena *a)
{
	const struct conf_item *rows = row->rows ? row->rows : row->item;
	char *items = arena_alloc(a, list->n * row->item_size);

	if (list->n)
		memcpy(items, list->at, list->n * row->item_size);
	list->at = items;
	for (size_t i = 0; i < list->n; i++) {
		char *item = items + i * row->item_size;

		if (row->type == CONF_MAP)
			*(const char **)(void *)item = arena_strdup(a, text_at(item));
		conf_copy(rows, item, item, a);
	}
}

void conf_copy(const struct conf_item *rows, const void *from, void *to, struct arena *a)
{
	for (; rows && rows->type; rows++) {
		const void *source = field_of(rows, from);
		void *field = (char *)to + rows->offset;

		if (rows->type == CONF_GROUP) {
			conf_copy(rows->rows, source, field, a);
			continue;
		}
		if (field != source)
			memcpy(field, source, conf_field_bytes(rows));
		if (conf_is_text(rows) && text_at(field))
			*(const char **)field = arena_strdup(a, text_at(field));
		else if (rows->type == CONF_LIST || rows->type == CONF_MAP)
			copy_list(rows, field, a);
	}
}
