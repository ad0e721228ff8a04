/* core/conf.h - settings: YAML through libfyaml into plain structs, by tables.
 * Each option is a row: name, type, where it goes, bounds, unit, default, help. The parser, the
 * checks, `linnetd --check`, the reference in the manual and the commented default file are made
 * from the same rows. An error names file:line:column, what was expected, and what comes near. */
#pragma once

#include "core/arena.h"
#include "core/attr.h"

enum conf_type {
	CONF_END,         /* ends a table (the all-zero row) */
	CONF_BOOL,        /* bool: true false yes no on off */
	CONF_INT,         /* int64_t within .min .max */
	CONF_SIZE,        /* int64_t bytes: 65536, 64 KB, 1 MB; "infinity" = INT64_MAX where .max allows */
	CONF_TIME,        /* int64_t milliseconds: 30 (seconds), 500 ms, 5 s, 2 min, 1 hour, 3 days; infinity */
	CONF_STRING,      /* const char * */
	CONF_SECRET,      /* const char *, never printed */
	CONF_ENUM,        /* int: index into .words */
	CONF_WORDS,       /* uint32_t: set of bits, one per entry of .words, from a list */
	CONF_PATH,        /* const char *, relative to the settings file's folder */
	CONF_DOMAIN,      /* const char *, prepared by conf_domain_check */
	CONF_JID,         /* const char *, checked and normalised by .check */
	CONF_ADDRESS,     /* struct conf_prefix: IPv4 or IPv6 with optional /bits */
	CONF_LIST,        /* struct conf_list of .item (a one-row table) or of .rows (maps) */
	CONF_MAP,         /* struct conf_list: a map of free keys; each item a struct whose first
	                   * member is const char *name, filled from .rows (or .item for one value) */
	CONF_GROUP,       /* a nested struct filled from .rows */
	CONF_RAW,         /* struct conf_node *: kept for whoever owns a grammar of its own (acl,
	                   * access_rules, modules), who reads it with conf_node_* and conf_fail() */
};

struct conf_list {
	void *at;   /* array of .item_size */
	size_t n;
};
struct conf_prefix {
	uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t bits;      /* 0..128 */
};
struct conf_node;   /* a place in the file */
struct conf_errors; /* collects all of them, not only the first */

struct conf_item {
	const char *name;
	enum conf_type type;
	size_t offset;               /* FIELD() */
	const char *preset;          /* default, written as in the file; NULL: required if .required */
	const char *unit;            /* "connections": for the manual */
	const char *help;            /* one or two sentences */
	int64_t min, max;            /* CONF_INT, CONF_SIZE, CONF_TIME; both 0: no bounds */
	const char *const *words;    /* CONF_ENUM, CONF_WORDS: NULL-terminated */
	const struct conf_item *rows; /* CONF_LIST, CONF_MAP, CONF_GROUP: the nested table */
	const struct conf_item *item; /* CONF_LIST, CONF_MAP of plain values: one row; its offset counts */
	size_t item_size;            /* CONF_LIST, CONF_MAP */
	/* A further check of one value: returns NULL, or what was expected. value points at the field. */
	const char *(*check)(const void *value, struct arena *a);
	bool required;
	bool per_host;               /* may stand under host_config too */
	bool needs_restart;          /* a reload names it instead of applying it */
	const char *example;         /* YAML for the commented default file; NULL: made from preset */
};
/* The offset of a member, with its type checked at compile time. */
#define FIELD(type_, member, ctype)                                                                \
	(offsetof(type_, member) + 0 * sizeof(char[__builtin_types_compatible_p(                  \
	 __typeof__(((type_ *)0)->member), ctype) ? 1 : -1]))

/* The rest of this interface (files, nodes, errors, checks, reference) is declared below. */
