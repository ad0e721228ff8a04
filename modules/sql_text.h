/* modules/sql_text.h - a query from the settings: SQL in which %u stands for the user, %d for the
 * host, and in lists %a for the name to begin behind and %n for how many. They become parameters,
 * so that no name is ever a part of the SQL; %% is a percent sign. */
#pragma once

#include "core/arena.h"
#include "core/db.h"

#define SQL_TEXT_MARKS 16
struct sql_text {
	struct db_stmt stmt; /* constant, and good as long as connections that have prepared it */
	char marks[SQL_TEXT_MARKS]; /* 'u', 'd', ... in their order */
	unsigned n;
};
/* NULL, or what is wrong with the text. allowed: the letters it may have. sql (may be NULL) is made
 * in the arena. */
const char *sql_text_read(
	const char *text, const char *allowed, struct arena *a, struct sql_text *out);

struct sql_text_values {
	const char *user, *host, *after;
	int64_t max;
};
/* Those of q in order: at most SQL_TEXT_MARKS of them. */
struct db_params sql_text_fill(
	const struct sql_text *q, const struct sql_text_values *v, struct db_value *at);
