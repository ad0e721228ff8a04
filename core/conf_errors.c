/* core/conf_errors.c - what is wrong with a settings file, all of it, in the order of the file. */
#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/conf.h"
#include "core/mem.h"

#define GUESS_MAX 64 /* bytes: longer names get no "did you mean" */

struct name_use {
	enum conf_type type;
	const char *name;
	const struct conf_node *at;
};

struct conf_errors {
	struct arena arena;
	struct conf_error *at; /* owned, CONF_ERRORS_MAX */
	unsigned kept, count;
	struct name_use *names; /* owned */
	unsigned names_n, names_room;
};

struct conf_errors *conf_errors_new(void)
{
	struct conf_errors *e = xcalloc(1, sizeof(*e));

	arena_init(&e->arena, NULL, 0);
	e->at = xcalloc(CONF_ERRORS_MAX, sizeof(*e->at));
	return e;
}

void conf_errors_free(struct conf_errors *e)
{
	if (!e)
		return;
	arena_fini(&e->arena);
	free(e->at);
	free(e->names);
	free(e);
}

unsigned conf_errors_count(const struct conf_errors *e)
{
	return e->count;
}

static int by_place(const void *left, const void *right)
{
	const struct conf_error *a = left, *b = right;
	int files = a->file && b->file ? strcmp(a->file, b->file) : !!a->file - !!b->file;

	if (files)
		return files;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return strcmp(a->text, b->text);
}

void conf_errors_each(
	struct conf_errors *e, void (*fn)(const struct conf_error *, void *), void *arg)
{
	qsort(e->at, e->kept, sizeof(*e->at), by_place);
	for (unsigned i = 0; i < e->kept; i++)
		fn(&e->at[i], arg);
}

static void print_error(const struct conf_error *error, void *arg)
{
	FILE *out = arg;

	if (error->file && error->line)
		fprintf(out, "%s:%u:%u: %s\n", error->file, error->line, error->column,
			error->text);
	else if (error->file)
		fprintf(out, "%s: %s\n", error->file, error->text);
	else
		fprintf(out, "%s\n", error->text);
}

char *conf_errors_text(struct conf_errors *e)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	REQUIRE(out);
	conf_errors_each(e, print_error, out);
	if (e->count > e->kept)
		fprintf(out, "... and %u more\n", e->count - e->kept);
	fclose(out);
	REQUIRE(text);
	return text;
}

PRINTF_LIKE(3, 0)
static void add(struct conf_errors *e, const struct conf_error *place, const char *format,
	va_list args, const struct conf_guess *guess)
{
	struct conf_error *error;
	char text[1024];
	size_t len;

	e->count++;
	if (e->kept == CONF_ERRORS_MAX)
		return;
	vsnprintf(text, sizeof(text), format, args);
	len = strlen(text);
	if (guess && guess->best)
		snprintf(text + len, sizeof(text) - len, ", did you mean \"%s\"?", guess->best);
	error = &e->at[e->kept++];
	*error = *place;
	error->file = place->file ? arena_strdup(&e->arena, place->file) : NULL;
	error->text = arena_strdup(&e->arena, text);
}

void conf_fail(struct conf_errors *e, const struct conf_node *at, const char *format, ...)
{
	struct conf_error place = conf_node_place(at);
	va_list args;

	va_start(args, format);
	add(e, &place, format, args, NULL);
	va_end(args);
}

void conf_fail_key(struct conf_errors *e, const struct conf_node *at, const char *format, ...)
{
	struct conf_error place = conf_node_key_place(at);
	va_list args;

	va_start(args, format);
	add(e, &place, format, args, NULL);
	va_end(args);
}

void conf_fail_place(struct conf_errors *e, const struct conf_error *place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(e, place, format, args, NULL);
	va_end(args);
}

void conf_fail_guess(struct conf_errors *e, const struct conf_node *at, const struct conf_guess *g,
	const char *format, ...)
{
	struct conf_error place = conf_node_place(at);
	va_list args;

	va_start(args, format);
	add(e, &place, format, args, g);
	va_end(args);
}

void conf_fail_key_guess(struct conf_errors *e, const struct conf_node *at,
	const struct conf_guess *g, const char *format, ...)
{
	struct conf_error place = conf_node_key_place(at);
	va_list args;

	va_start(args, format);
	add(e, &place, format, args, g);
	va_end(args);
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

static bool same_letter(char a, char b)
{
	if (a == '-')
		a = '_';
	if (b == '-')
		b = '_';
	return (a | 0x20) == (b | 0x20);
}

/* Levenshtein's distance with neighbours exchanged counting once; - and _, a and A are the same. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][GUESS_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_len; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *spare = before;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned change = !same_letter(a[i - 1], b[j - 1]);

			row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + change);
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
				same_letter(a[i - 2], b[j - 1]) && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		before = above;
		above = row;
		row = spare;
	}
	return above[b_len];
}

void conf_guess(struct conf_guess *g, const char *candidate)
{
	size_t given = strlen(g->given), len = strlen(candidate);
	size_t longer = given > len ? given : len;
	unsigned d, allowed;

	if (longer > GUESS_MAX || !given || !len)
		return;
	d = distance(g->given, given, candidate, len);
	allowed = longer < 3 ? 0 : longer < 6 ? 1 : longer < 9 ? 2 : 3;
	if (d <= allowed && (!g->best || d < g->distance)) {
		g->best = candidate;
		g->distance = d;
	}
}

static bool fits_one_of(const char *patterns, const char *name)
{
	while (*patterns) {
		size_t len = strcspn(patterns, "|");
		char pattern[GUESS_MAX];

		REQUIRE(len < sizeof(pattern));
		memcpy(pattern, patterns, len);
		pattern[len] = 0;
		if (!fnmatch(pattern, name, 0))
			return true;
		patterns += len + (patterns[len] == '|');
	}
	return false;
}

const char *conf_hint(const struct conf_hint *hints, const char *name)
{
	for (; hints && hints->names; hints++)
		if (fits_one_of(hints->names, name))
			return hints->text;
	return NULL;
}

void conf_name_note(
	struct conf_errors *e, enum conf_type type, const char *name, const struct conf_node *at)
{
	if (e->names_n == e->names_room) {
		e->names_room = e->names_room ? 2 * e->names_room : 16;
		e->names = xrealloc(e->names, e->names_room * sizeof(*e->names));
	}
	e->names[e->names_n++] = (struct name_use){ type, arena_strdup(&e->arena, name), at };
}

void conf_names_each(struct conf_errors *e,
	void (*fn)(enum conf_type, const char *, const struct conf_node *, void *), void *arg)
{
	for (unsigned i = 0; i < e->names_n; i++)
		fn(e->names[i].type, e->names[i].name, e->names[i].at, arg);
}

void conf_names_forget(struct conf_errors *e)
{
	e->names_n = 0;
}
