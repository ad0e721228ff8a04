/* core/conf.h - settings: YAML through libfyaml into plain structs, by tables.
 * Each option is a row: name, type, where it goes, bounds, unit, default, help. The parser, the
 * checks, `linnetd --check`, the reference in the manual and the commented default file are made
 * from the same rows. An error names file:line:column, what was expected, and what comes near. */
#pragma once

#include <stdio.h>

#include "core/arena.h"
#include "core/attr.h"

/* The C type behind each; strings live in the arena that was given to conf_fill(). */
enum conf_type {
	CONF_END, /* ends a table (the all-zero row) */
	CONF_BOOL, /* bool: true false yes no on off */
	CONF_INT, /* int64_t within .min .max */
	CONF_SIZE, /* int64_t bytes: 65536, 64 KB, 1 MB; "infinity" = INT64_MAX where .max allows */
	CONF_TIME, /* int64_t milliseconds: 30 (seconds), 500 ms, 5 s, 2 min, 1 hour, 3 days;
		      infinity */
	CONF_STRING, /* const char * */
	CONF_SECRET, /* const char *, never printed */
	CONF_ENUM, /* int: index into .words; "warning|3" is one word with another spelling */
	CONF_WORDS, /* uint32_t: set of bits, one per entry of .words, from a list */
	CONF_MODE, /* int64_t: a file's mode in octal, 0600 */
	CONF_PATH, /* const char *, relative to the settings file's folder */
	CONF_DOMAIN, /* const char *, prepared by .check = conf_check_domain (xml/conf_jid.h) */
	CONF_JID, /* const char *, prepared by .check = conf_check_jid (xml/conf_jid.h) */
	CONF_ACCESS, /* const char *: name of an access rule; noted, see conf_names_each() */
	CONF_SHAPER, /* const char *: name of a shaper or of a shaper_rules entry; noted */
	CONF_ADDRESS, /* struct conf_prefix: IPv4 or IPv6 with optional /bits */
	CONF_LIST, /* struct conf_list of .item (a one-row table) or of .rows (maps) */
	CONF_MAP, /* struct conf_list: a map of free keys; each item a struct whose first
		   * member is const char *name, filled from .rows (or .item for one value) */
	CONF_GROUP, /* a nested struct filled from .rows */
	CONF_RAW, /* const struct conf_node *, NULL when absent: kept for whoever owns a grammar
		   * of its own (acl, access_rules, modules) and reads it with conf_node_* */
};

struct conf_list {
	void *at; /* array of .item_size */
	size_t n;
};
struct conf_prefix {
	uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t bits; /* 0..128 */
};
#define CONF_ADDRESS_TEXT_MAX 46
void conf_address_write(
	const struct conf_prefix *p, char text[CONF_ADDRESS_TEXT_MAX]); /* no bits */
struct conf_node; /* a place in the file */
struct conf_errors; /* collects all of them, not only the first */

/* Names that a file for another server has, with what to do about them here: they go into the
 * error instead of a guess. Ends with a NULL name. */
struct conf_hint {
	const char *names; /* "ldap_*|pam_service": patterns as of fnmatch(3) */
	const char *text; /* behind a colon: "there is no LDAP yet" */
};
const char *conf_hint(const struct conf_hint *hints, const char *name); /* NULL: none */

/* When a change of an option takes effect; the manual says it of each. */
enum conf_applies {
	CONF_AT_RELOAD,
	CONF_AT_MODULE_START, /* of a module's: at a reload, which starts the module anew */
	CONF_AT_RESTART, /* of the server; a reload names it instead of applying it */
};

struct conf_item {
	const char *name;
	enum conf_type type;
	size_t offset; /* FIELD() */
	const char *preset; /* default, written as in the file; NULL: all zero, and a text may
			     * be set to null in the file */
	const char *unit; /* "connections": for the manual. CONF_RAW: what the value is, "a map" */
	const char *help; /* one or two sentences */
	int64_t min, max; /* CONF_INT, CONF_SIZE, CONF_TIME; both 0: no bounds */
	const char *const *words; /* CONF_ENUM, CONF_WORDS: NULL-terminated */
	const struct conf_item *rows; /* CONF_LIST, CONF_MAP, CONF_GROUP: the nested table */
	const struct conf_item *item; /* CONF_LIST, CONF_MAP of plain values: a table of one row;
				       * its offset counts, its name says what one is ("domain") */
	size_t item_size; /* CONF_LIST, CONF_MAP */
	/* A further check of one value: returns NULL, or what was expected. value points at the
	 * field, which the check may replace by the same thing in its canonical form. Not run on a
	 * missing value (NULL). */
	const char *(*check)(const void *value, struct arena *a);
	bool required;
	bool per_host; /* may stand under host_config too */
	enum conf_applies applies; /* when a change of it takes effect; for what is inside, too */
	const struct conf_hint *hints; /* CONF_ENUM, CONF_WORDS: of words; CONF_LIST, CONF_MAP,
					* CONF_GROUP: of nested options; may be NULL */
	const char *short_for; /* CONF_GROUP: the nested option that one word stands for */
	const char *example; /* the value as YAML, for the commented default file, of one line or
			      * several; NULL: made from preset */
	bool no_example; /* left out of that file: it does not go with all that stands beside it */
};
/* The offset of a member, with its type checked at compile time. */
#define FIELD(type_, member, ctype)                                                  \
	(offsetof(type_, member) +                                                   \
		0 *                                                                  \
			sizeof(char[__builtin_types_compatible_p(                    \
					    __typeof__(((type_ *)0)->member), ctype) \
					? 1                                          \
					: -1]))

/* Tables end with the all-zero row. */

/* ---- Errors: collected, sorted by place when they are read. One thread at a time. */
struct conf_error {
	const char *file; /* NULL: of no place */
	unsigned line, column; /* from 1; columns count characters; 0: of the file as a whole */
	const char *text; /* "port: expected a whole number from 0 to 65535, found \"abc\"" */
};
#define CONF_ERRORS_MAX 200 /* kept; the rest is only counted */
struct conf_errors *conf_errors_new(void) __attribute__((returns_nonnull));
void conf_errors_free(struct conf_errors *e);
unsigned conf_errors_count(const struct conf_errors *e);
void conf_errors_each(
	struct conf_errors *e, void (*fn)(const struct conf_error *error, void *arg), void *arg);
/* One line each, "file:line:column: text"; the caller frees. */
char *conf_errors_text(struct conf_errors *e) __attribute__((returns_nonnull));

/* at: where; NULL: of no place. The text says what was expected and what was found. */
void conf_fail(struct conf_errors *e, const struct conf_node *at, const char *format, ...)
	PRINTF_LIKE(3, 4);
/* The same for a value in a mapping, pointing at its key. */
void conf_fail_key(struct conf_errors *e, const struct conf_node *at, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* The same where there is no node: a place as in struct conf_error. */
void conf_fail_place(struct conf_errors *e, const struct conf_error *place, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* The nearest of some names, for "did you mean": start with { .given = text }, offer each name,
 * then conf_fail_guess() adds the best one to its text when it is near enough. */
struct conf_guess {
	const char *given, *best;
	unsigned distance;
};
void conf_guess(struct conf_guess *g, const char *candidate);
void conf_fail_guess(struct conf_errors *e, const struct conf_node *at, const struct conf_guess *g,
	const char *format, ...) PRINTF_LIKE(4, 5);
void conf_fail_key_guess(struct conf_errors *e, const struct conf_node *at,
	const struct conf_guess *g, const char *format, ...) PRINTF_LIKE(4, 5);

/* ---- Files and their nodes. Nodes never change and live as long as their file. */
struct conf_file;
#define CONF_FILE_MAX (4u << 20) /* bytes */
#define CONF_DEPTH_MAX 32
#define CONF_NODES_MAX (1u << 19)
/* NULL: e says why. Anchors, aliases, tags and a second document are errors. After a key that is
 * set twice, which is one too, the file comes back all the same: the rest can be looked over. */
struct conf_file *conf_file_load(const char *path, struct conf_errors *e);
/* The same from memory; name stands in errors, its folder is where CONF_PATHs start. */
struct conf_file *conf_file_parse(
	const char *name, const char *text, size_t len, struct conf_errors *e);
void conf_file_free(struct conf_file *f); /* NULL is fine */
const char *conf_file_name(const struct conf_file *f);
const struct conf_node *conf_root(const struct conf_file *f); /* of an empty file: a CONF_NULL */

enum conf_kind { CONF_NULL, CONF_SCALAR, CONF_SEQUENCE, CONF_MAPPING };
enum conf_kind conf_node_kind(const struct conf_node *n);
const char *conf_node_text(const struct conf_node *n); /* a scalar's; "" for anything else */
unsigned conf_node_count(const struct conf_node *n); /* of children */
/* The items of a sequence, or the values of a mapping; NULL at the end. */
const struct conf_node *conf_node_first(const struct conf_node *n);
const struct conf_node *conf_node_next(const struct conf_node *n);
#define conf_node_each(child, of) \
	for (child = conf_node_first(of); child; child = conf_node_next(child))
/* Of a value in a mapping: its key; NULL in a sequence. */
const char *conf_node_key(const struct conf_node *n);
/* The value of a key; NULL: no such key, or not a mapping, or map is NULL. */
const struct conf_node *conf_node_get(const struct conf_node *map, const char *key);
struct conf_error conf_node_place(const struct conf_node *n); /* text is NULL */
struct conf_error conf_node_key_place(const struct conf_node *n); /* of its key, if it has one */
const char *conf_node_folder(const struct conf_node *n); /* of its file, "." at least */
bool conf_node_same(const struct conf_node *a, const struct conf_node *b); /* either may be NULL */

/* ---- Filling structs by tables. Errors are added to e; 0, or CONF_BAD when there were any: what
 * could be filled is filled, the rest holds its default. */
#define CONF_BAD 1
/* Every row gets its preset, then what the map says. map may be NULL or a CONF_NULL (all presets);
 * rows may be NULL (no options). A key that no row names is an error. */
int conf_fill(const struct conf_item *rows, const struct conf_node *map, void *out, struct arena *a,
	struct conf_errors *e);
/* One map whose options go to several structs. */
struct conf_part {
	const struct conf_item *rows; /* NULL: none */
	void *out;
	const struct conf_hint *hints; /* of options; may be NULL */
};
int conf_fill_parts(const struct conf_part *parts, unsigned n, const struct conf_node *map,
	struct arena *a, struct conf_errors *e);
/* Over structs that are filled already: only what the map says, and only rows that are .per_host;
 * any other row is refused as one for the whole server (its part's out may be NULL). */
int conf_overlay_parts(const struct conf_part *parts, unsigned n, const struct conf_node *map,
	struct arena *a, struct conf_errors *e);
/* One value of a grammar of its own, as if node stood behind the row's name. */
int conf_fill_value(const struct conf_item *row, const struct conf_node *node, void *field,
	struct arena *a, struct conf_errors *e);

/* The names that CONF_ACCESS and CONF_SHAPER values gave since the last call of
 * conf_names_forget(), so that whoever knows the rules checks them all: access_check_names(). */
void conf_names_each(struct conf_errors *e,
	void (*fn)(enum conf_type type, const char *name, const struct conf_node *at, void *arg),
	void *arg);
void conf_name_note(
	struct conf_errors *e, enum conf_type type, const char *name, const struct conf_node *at);
void conf_names_forget(struct conf_errors *e);

/* ---- Structs of one table. */
bool conf_same(const struct conf_item *rows, const void *a, const void *b);
/* Copies the fields with all they point to but nodes. to may be from: then all it points to is
 * copied into the arena. */
void conf_copy(const struct conf_item *rows, const void *from, void *to, struct arena *a);
struct conf_change {
	const char *path; /* "database.synchronous", "listen[2].port", "acl.admin" */
	const struct conf_item *item; /* for CONF_RAW the row of the whole */
	const char *before, *after; /* as written in a file, secrets hidden. CONF_RAW: "...", or
				     * NULL where it is absent */
	enum conf_applies applies; /* the latest that the row or one around it says */
};
/* Calls fn for each option that differs; texts are good during the call. */
void conf_differences(const struct conf_item *rows, const void *before, const void *after,
	void (*fn)(const struct conf_change *change, void *arg), void *arg);
/* A node as it would be written in a file, in one line; what is long is cut, with "..." at its end.
 * Shows secrets: only for what has none. */
const char *conf_node_line(const struct conf_node *n, struct arena *a);
/* One value as it would be written in a file (in one line); secrets hidden. */
const char *conf_value_text(const struct conf_item *row, const void *field, struct arena *a);

/* ---- What the tables say, for people. */
enum conf_format { CONF_MARKDOWN, CONF_ROFF };
/* The options of one table; nested ones follow their parent with a dotted name. prefix: "" or the
 * path of the table ("modules.mod_ping."). */
void conf_reference(
	const struct conf_item *rows, const char *prefix, FILE *out, enum conf_format format);
/* A settings file with every option commented out: prose behind "# ", and behind "#" the option
 * with its default, or its example. indent: columns the options stand in from the left. */
void conf_example(const struct conf_item *rows, unsigned indent, FILE *out);
