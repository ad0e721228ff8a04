/* core/conf_file.c - a settings file as a tree of nodes that know their line and column.
 * libfyaml gives the events; the tree is ours, so that size, depth and number are bounded while it
 * grows, and nothing of the library outlives the reading. */
#include <errno.h>
#include <fcntl.h>
#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/mem.h"

struct conf_node {
	const struct conf_file *file;
	struct conf_node *next; /* of the same parent */
	struct conf_node *first; /* child */
	const struct conf_node *key; /* when the parent is a mapping */
	const char *text; /* a scalar's */
	uint32_t count; /* of children */
	uint32_t line, column; /* from 1 */
	enum conf_kind kind;
};

struct conf_file {
	struct arena arena;
	const char *name, *folder;
	struct conf_node *root;
};

struct reading {
	struct conf_file *file;
	struct conf_errors *errors;
	struct fy_parser *parser;
	unsigned nodes;
};

/* ---- Reading what a node says. */

const char *conf_file_name(const struct conf_file *f)
{
	return f->name;
}

const struct conf_node *conf_root(const struct conf_file *f)
{
	return f->root;
}

enum conf_kind conf_node_kind(const struct conf_node *n)
{
	return n->kind;
}

const char *conf_node_text(const struct conf_node *n)
{
	return n->text;
}

unsigned conf_node_count(const struct conf_node *n)
{
	return n->count;
}

const struct conf_node *conf_node_first(const struct conf_node *n)
{
	return n ? n->first : NULL;
}

const struct conf_node *conf_node_next(const struct conf_node *n)
{
	return n->next;
}

const char *conf_node_key(const struct conf_node *n)
{
	return n->key ? n->key->text : NULL;
}

const struct conf_node *conf_node_get(const struct conf_node *map, const char *key)
{
	const struct conf_node *n;

	if (!map || map->kind != CONF_MAPPING)
		return NULL;
	conf_node_each (n, map)
		if (!strcmp(n->key->text, key))
			return n;
	return NULL;
}

struct conf_error conf_node_place(const struct conf_node *n)
{
	if (!n)
		return (struct conf_error){ 0 };
	return (struct conf_error){ .file = n->file->name, .line = n->line, .column = n->column };
}

struct conf_error conf_node_key_place(const struct conf_node *n)
{
	return conf_node_place(n && n->key ? n->key : n);
}

const char *conf_node_folder(const struct conf_node *n)
{
	return n->file->folder;
}

bool conf_node_same(const struct conf_node *a, const struct conf_node *b)
{
	if (!a || !b)
		return a == b;
	if (a->kind != b->kind || a->count != b->count || strcmp(a->text, b->text))
		return false;
	if (!a->key != !b->key || (a->key && strcmp(a->key->text, b->key->text)))
		return false;
	for (a = a->first, b = b->first; a; a = a->next, b = b->next)
		if (!conf_node_same(a, b))
			return false;
	return true;
}

/* ---- From events to nodes. */

static struct conf_node *node_new(
	struct reading *r, enum conf_kind kind, const struct fy_mark *mark)
{
	struct conf_node *n = arena_zalloc(&r->file->arena, sizeof(*n));

	n->file = r->file;
	n->kind = kind;
	n->text = "";
	n->line = mark ? (uint32_t)mark->line + 1 : 1;
	n->column = mark ? (uint32_t)mark->column + 1 : 1;
	return n;
}

static int refuse(struct reading *r, const struct fy_mark *mark, const char *what)
{
	conf_fail(r->errors, node_new(r, CONF_NULL, mark), "%s", what);
	return CONF_BAD;
}

/* A value that is not there has no place: it gets its key's or its list's. */
static void place_nothing(struct conf_node *n, const struct conf_node *near)
{
	if (n->kind == CONF_NULL && !*n->text) {
		n->line = near->line;
		n->column = near->column;
	}
}

/* Plain words that YAML's core schema reads as "nothing". */
static bool says_null(const char *text, enum fy_scalar_style style)
{
	return style == FYSS_PLAIN && (!*text || !strcmp(text, "~") || !strcasecmp(text, "null"));
}

/* The token's text, ended by a NUL that is not counted; NULL when there is none. Piece by piece:
 * of a text in single quotes that holds several quotes, libfyaml 0.7.12's fy_token_get_text() leaks
 * a kilobyte. */
static const char *token_text(struct fy_token *token, struct arena *a, size_t *len)
{
	size_t room = fy_token_get_text_length(token);
	const struct fy_iter_chunk *piece = NULL;
	struct fy_token_iter *iter;
	char *text;
	int err = 0;

	*len = 0;
	iter = room < SIZE_MAX ? fy_token_iter_create(token) : NULL;
	if (!iter)
		return NULL;
	text = arena_alloc(a, room + 1);
	while ((piece = fy_token_iter_chunk_next(iter, piece, &err)) && piece->len <= room - *len) {
		memcpy(text + *len, piece->str, piece->len);
		*len += piece->len;
	}
	text[*len] = 0;
	fy_token_iter_destroy(iter);
	return err || piece ? NULL : text;
}

static int fill_scalar(struct reading *r, struct conf_node *n, struct fy_event *event)
{
	struct fy_token *token = event->scalar.value;
	enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
	size_t len = 0;
	const char *text = token ? token_text(token, &r->file->arena, &len) : "";

	if (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED)
		n->column--; /* the mark is behind the quote */
	if (!text || memchr(text, 0, len)) {
		conf_fail(r->errors, n, "expected text without NUL bytes");
		return CONF_BAD;
	}
	n->text = text;
	if (says_null(n->text, style))
		n->kind = CONF_NULL;
	return 0;
}

static int build_node(
	struct reading *r, struct fy_event *event, unsigned depth, struct conf_node **out);

/* The next event, or NULL: end or a mistake that libfyaml has noted. */
static struct fy_event *next_event(struct reading *r)
{
	return fy_parser_parse(r->parser);
}

static int build_sequence(struct reading *r, struct conf_node *list, unsigned depth)
{
	struct conf_node **end = &list->first;

	for (;;) {
		struct fy_event *event = next_event(r);
		int bad;

		if (!event)
			return CONF_BAD;
		if (event->type == FYET_SEQUENCE_END) {
			fy_parser_event_free(r->parser, event);
			return 0;
		}
		bad = build_node(r, event, depth, end);
		fy_parser_event_free(r->parser, event);
		if (bad)
			return bad;
		place_nothing(*end, list);
		list->count++;
		end = &(*end)->next;
	}
}

static int by_key(const void *left, const void *right)
{
	const struct conf_node *const *a = left, *const *b = right;
	int keys = strcmp((*a)->key->text, (*b)->key->text);

	if (keys)
		return keys;
	if ((*a)->key->line != (*b)->key->line)
		return (*a)->key->line < (*b)->key->line ? -1 : 1;
	return (*a)->key->column < (*b)->key->column ? -1 : 1;
}

static void check_twins(struct reading *r, const struct conf_node *map)
{
	const struct conf_node **sorted, *n;
	unsigned i = 0;

	if (map->count < 2)
		return;
	sorted = xmalloc(map->count * sizeof(*sorted));
	conf_node_each (n, map)
		sorted[i++] = n;
	qsort(sorted, i, sizeof(*sorted), by_key);
	while (--i > 0) {
		const struct conf_node *first = sorted[i - 1], *second = sorted[i];

		if (!strcmp(first->key->text, second->key->text))
			conf_fail_key(r->errors, second,
				"\"%s\" is set twice, before this in line %u", second->key->text,
				first->key->line);
	}
	free(sorted);
}

static int build_key(struct reading *r, struct fy_event *event, struct conf_node **out)
{
	int bad;

	if (event->type != FYET_SCALAR)
		return refuse(r, fy_event_start_mark(event),
			event->type == FYET_ALIAS
				? "expected a plain word as key, found an alias"
				: "expected a plain word as key, found a list or map");
	bad = build_node(r, event, 0, out);
	if (!bad && !*(*out)->text) {
		conf_fail(r->errors, *out, "expected a key before the colon");
		return CONF_BAD;
	}
	return bad;
}

static int build_mapping(struct reading *r, struct conf_node *map, unsigned depth)
{
	struct conf_node **end = &map->first;

	for (;;) {
		struct fy_event *event = next_event(r);
		struct conf_node *key = NULL;
		int bad;

		if (!event)
			return CONF_BAD;
		if (event->type == FYET_MAPPING_END) {
			fy_parser_event_free(r->parser, event);
			check_twins(r, map);
			return 0;
		}
		bad = build_key(r, event, &key);
		fy_parser_event_free(r->parser, event);
		if (bad)
			return bad;
		event = next_event(r);
		if (!event)
			return CONF_BAD;
		bad = build_node(r, event, depth, end);
		fy_parser_event_free(r->parser, event);
		if (bad)
			return bad;
		(*end)->key = key;
		place_nothing(*end, key);
		map->count++;
		end = &(*end)->next;
	}
}

static int build_node(
	struct reading *r, struct fy_event *event, unsigned depth, struct conf_node **out)
{
	const struct fy_mark *mark = fy_event_start_mark(event);
	struct fy_token *anchor = NULL, *tag = NULL;
	enum conf_kind kind = CONF_SCALAR;

	switch (event->type) {
	case FYET_SCALAR:
		anchor = event->scalar.anchor;
		tag = event->scalar.tag;
		break;
	case FYET_SEQUENCE_START:
		kind = CONF_SEQUENCE;
		anchor = event->sequence_start.anchor;
		tag = event->sequence_start.tag;
		break;
	case FYET_MAPPING_START:
		kind = CONF_MAPPING;
		anchor = event->mapping_start.anchor;
		tag = event->mapping_start.tag;
		break;
	case FYET_ALIAS:
		return refuse(r, mark,
			"aliases (*name) are not used in settings; "
			"write the value out, in quotes if it begins with *");
	default:
		return CONF_BAD;
	}
	if (anchor)
		return refuse(
			r, fy_token_start_mark(anchor), "anchors (&name) are not used in settings");
	if (tag)
		return refuse(r, fy_token_start_mark(tag), "tags (!name) are not used in settings");
	if (depth > CONF_DEPTH_MAX)
		return refuse(r, mark, "nested too deeply");
	if (++r->nodes > CONF_NODES_MAX)
		return refuse(r, mark, "too many values in one file");
	*out = node_new(r, kind, mark);
	if (kind == CONF_SEQUENCE)
		return build_sequence(r, *out, depth + 1);
	if (kind == CONF_MAPPING)
		return build_mapping(r, *out, depth + 1);
	return fill_scalar(r, *out, event);
}

/* One document, whose root is a mapping or nothing. */
static int build_file(struct reading *r)
{
	struct fy_event *event;
	bool seen = false;
	int bad = 0;

	while (!bad && (event = next_event(r))) {
		switch (event->type) {
		case FYET_STREAM_START:
		case FYET_STREAM_END:
		case FYET_DOCUMENT_END:
			break;
		case FYET_DOCUMENT_START:
			if (seen)
				bad = refuse(r, fy_event_start_mark(event),
					"a second document begins here; "
					"settings are one document");
			seen = true;
			break;
		default:
			bad = build_node(r, event, 0, &r->file->root);
			break;
		}
		fy_parser_event_free(r->parser, event);
	}
	return bad;
}

static void no_output(struct fy_diag *diag, void *user, const char *buf, size_t len)
{
	(void)diag, (void)user, (void)buf, (void)len;
}

static struct fy_diag *diag_new(void)
{
	struct fy_diag_cfg cfg;
	struct fy_diag *diag;

	fy_diag_cfg_default(&cfg);
	cfg.fp = NULL;
	cfg.output_fn = no_output;
	cfg.level = FYET_ERROR;
	diag = fy_diag_create(&cfg);
	REQUIRE(diag);
	fy_diag_set_collect_errors(diag, true);
	return diag;
}

/* How many there were. */
static unsigned take_syntax_errors(struct reading *r, struct fy_diag *diag)
{
	const struct fy_diag_error *error;
	void *prev = NULL;
	unsigned n = 0;

	while ((error = fy_diag_errors_iterate(diag, &prev))) {
		struct conf_error place = { .file = r->file->name };

		if (error->line > 0) {
			place.line = (unsigned)error->line;
			place.column = error->column > 0 ? (unsigned)error->column : 1;
		}
		conf_fail_place(r->errors, &place, "not YAML: %s", error->msg);
		n++;
	}
	return n;
}

/* text has a NUL behind its len bytes. */
static int read_nodes(struct conf_file *f, const char *text, size_t len, struct conf_errors *e)
{
	struct fy_diag *diag = diag_new();
	struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2,
		.diag = diag };
	struct reading r = { .file = f, .errors = e };
	unsigned before = conf_errors_count(e);
	int bad;

	r.parser = fy_parser_create(&cfg);
	REQUIRE(r.parser);
	bad = fy_parser_set_string(r.parser, text, len) ? CONF_BAD : build_file(&r);
	if (take_syntax_errors(&r, diag) || fy_parser_get_stream_error(r.parser))
		bad = CONF_BAD;
	if (bad && conf_errors_count(e) == before)
		conf_fail_place(e, &(struct conf_error){ .file = f->name }, "not YAML");
	fy_parser_destroy(r.parser);
	fy_diag_destroy(diag);
	return bad;
}

static struct conf_file *file_new(const char *name)
{
	struct conf_file *f = xcalloc(1, sizeof(*f));
	const char *slash = strrchr(name, '/');

	arena_init(&f->arena, NULL, 0);
	f->name = arena_strdup(&f->arena, name);
	f->folder = slash == name ? "/"
		: slash           ? arena_text(&f->arena, name, (size_t)(slash - name))
				  : ".";
	f->root = arena_zalloc(&f->arena, sizeof(*f->root));
	*f->root = (struct conf_node){ .file = f, .text = "", .line = 1, .column = 1 };
	return f;
}

void conf_file_free(struct conf_file *f)
{
	if (!f)
		return;
	arena_fini(&f->arena);
	free(f);
}

static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
}

/* How many bytes the character at the start of text has; 0: none that UTF-8 allows (RFC 3629). */
static unsigned utf8_bytes(const uint8_t *text, size_t len)
{
	unsigned bytes = text[0] < 0x80 ? 1
		: text[0] < 0xc2        ? 0
		: text[0] < 0xe0        ? 2
		: text[0] < 0xf0        ? 3
		: text[0] < 0xf5        ? 4
					: 0;

	if (bytes > len)
		return 0;
	for (unsigned i = 1; i < bytes; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
		(text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return bytes;
}

/* libfyaml takes bytes that are not UTF-8 for the end of the text: be plainer. */
static bool check_bytes(const char *name, const char *text, size_t len, struct conf_errors *e)
{
	struct conf_error place = { .file = name, .line = 1, .column = 1 };

	for (size_t i = 0; i < len;) {
		unsigned bytes = utf8_bytes((const uint8_t *)text + i, len - i);

		if (!bytes || (bytes == 1 && is_control(text[i]))) {
			conf_fail_place(e, &place, "expected text in UTF-8, found the byte 0x%02x",
				(unsigned)(uint8_t)text[i]);
			return false;
		}
		place.column++;
		if (text[i] == '\n') {
			place.line++;
			place.column = 1;
		}
		i += bytes;
	}
	return true;
}

struct conf_file *conf_file_parse(
	const char *name, const char *text, size_t len, struct conf_errors *e)
{
	struct conf_file *f = file_new(name);

	if (len > CONF_FILE_MAX)
		conf_fail_place(e, &(struct conf_error){ .file = name },
			"expected a file of at most %u bytes", CONF_FILE_MAX);
	else if (check_bytes(name, text, len, e) && !read_nodes(f, text, len, e))
		return f;
	conf_file_free(f);
	return NULL;
}

/* Reads at most limit bytes. 0 or negative errno; the caller frees *out. */
static int read_whole(const char *path, size_t limit, char **out, size_t *out_len)
{
	AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	AUTO(free_ptr) char *text = NULL;
	size_t len = 0;

	if (fd < 0)
		return -errno;
	text = xmalloc(limit + 1);
	for (;;) {
		ssize_t got = read(fd, text + len, limit - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		len += (size_t)got;
	}
	text[len] = 0;
	*out = text;
	*out_len = len;
	text = NULL;
	return 0;
}

struct conf_file *conf_file_load(const char *path, struct conf_errors *e)
{
	AUTO(free_ptr) char *text = NULL;
	size_t len = 0;
	int bad = read_whole(path, CONF_FILE_MAX + 1, &text, &len);

	if (bad) {
		conf_fail_place(e, &(struct conf_error){ .file = path },
			"the settings file cannot be read: %s", strerror(-bad));
		return NULL;
	}
	return conf_file_parse(path, text, len, e);
}
